//! IAS ACE, cluster 0x0501: what a keypad, an operating panel, a remote or a key fob asks, and what it is told (07-5123,
//! chapter 8.3). Bytes here; who answers what stands in `keypad`.
//!
//! A code is text of any kind: digits of any number, none at all, or what a tag says of itself (Develco and frient
//! KEPZB-110 send it in this field, nine characters for a tag: deconz-rest-plugin 5352 and 7386). It is kept as it
//! came, shown to nobody, and stands in no error.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::ias::ZoneType;
use crate::zigbee::named::named;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use std::fmt;

/// The cluster's id.
pub const CLUSTER: u16 = 0x0501;

/// Longest message to a keypad, in bytes: what an APS frame carries whole when it is encrypted and names a route of
/// two hops, safely below the 82 of one that is neither (EmberZNet's EZSP reference, maximumPayloadLength). A label is
/// cut to it, and lists are told in part; nothing is sent in fragments, which keypads do not put together.
pub const MESSAGE_MAX: usize = 66;
/// What stands before the payload.
const HEADER: usize = 3;
/// A string's length byte that says there is none.
const NO_STRING: u8 = 0xFF;
/// Sections of the zone id map, of 16 zones each.
const SECTIONS: usize = 16;

/// Commands from a keypad.
pub mod from_keypad {
    #![allow(missing_docs)] // the standard's own names
    pub const ARM: u8 = 0x00;
    pub const BYPASS: u8 = 0x01;
    pub const EMERGENCY: u8 = 0x02;
    pub const FIRE: u8 = 0x03;
    pub const PANIC: u8 = 0x04;
    pub const GET_ZONE_ID_MAP: u8 = 0x05;
    pub const GET_ZONE_INFORMATION: u8 = 0x06;
    pub const GET_PANEL_STATUS: u8 = 0x07;
    pub const GET_BYPASSED_ZONE_LIST: u8 = 0x08;
    pub const GET_ZONE_STATUS: u8 = 0x09;
}

/// Commands to a keypad.
pub mod to_keypad {
    #![allow(missing_docs)] // the standard's own names
    pub const ARM_RESPONSE: u8 = 0x00;
    pub const GET_ZONE_ID_MAP_RESPONSE: u8 = 0x01;
    pub const GET_ZONE_INFORMATION_RESPONSE: u8 = 0x02;
    pub const ZONE_STATUS_CHANGED: u8 = 0x03;
    pub const PANEL_STATUS_CHANGED: u8 = 0x04;
    pub const GET_PANEL_STATUS_RESPONSE: u8 = 0x05;
    pub const SET_BYPASSED_ZONE_LIST: u8 = 0x06;
    pub const BYPASS_RESPONSE: u8 = 0x07;
    pub const GET_ZONE_STATUS_RESPONSE: u8 = 0x08;
}

named! {
    /// What a keypad wants guarded.
    ArmMode {
        Disarm = 0 "disarm",
        ArmDayHomeZonesOnly = 1 "arm_day_home_zones_only",
        ArmNightSleepZonesOnly = 2 "arm_night_sleep_zones_only",
        ArmAllZones = 3 "arm_all_zones",
    }
}

named! {
    /// What became of it.
    ArmNotification {
        AllZonesDisarmed = 0 "all_zones_disarmed",
        OnlyDayHomeZonesArmed = 1 "only_day_home_zones_armed",
        OnlyNightSleepZonesArmed = 2 "only_night_sleep_zones_armed",
        AllZonesArmed = 3 "all_zones_armed",
        InvalidArmDisarmCode = 4 "invalid_arm_disarm_code",
        NotReadyToArm = 5 "not_ready_to_arm",
        AlreadyDisarmed = 6 "already_disarmed",
    }
}

named! {
    /// How the system stands.
    PanelStatus {
        PanelDisarmed = 0 "panel_disarmed",
        ArmedStay = 1 "armed_stay",
        ArmedNight = 2 "armed_night",
        ArmedAway = 3 "armed_away",
        ExitDelay = 4 "exit_delay",
        EntryDelay = 5 "entry_delay",
        NotReadyToArm = 6 "not_ready_to_arm",
        InAlarm = 7 "in_alarm",
        ArmingStay = 8 "arming_stay",
        ArmingNight = 9 "arming_night",
        ArmingAway = 10 "arming_away",
    }
}

named! {
    /// Whether a keypad says it aloud. 80 to FF are makers' own and are not sent.
    Audible {
        Mute = 0 "mute",
        DefaultSound = 1 "default_sound",
    }
}

named! {
    /// What alarms.
    AlarmStatus {
        NoAlarm = 0 "no_alarm",
        Burglar = 1 "burglar",
        Fire = 2 "fire",
        Emergency = 3 "emergency",
        PolicePanic = 4 "police_panic",
        FirePanic = 5 "fire_panic",
        EmergencyPanic = 6 "emergency_panic",
    }
}

named! {
    /// What became of one zone that was to stand aside.
    BypassResult {
        ZoneBypassed = 0 "zone_bypassed",
        ZoneNotBypassed = 1 "zone_not_bypassed",
        NotAllowed = 2 "not_allowed",
        InvalidZoneId = 3 "invalid_zone_id",
        UnknownZoneId = 4 "unknown_zone_id",
        InvalidArmDisarmCode = 5 "invalid_arm_disarm_code",
    }
}

/// A code or a tag as it was given. `Debug` shows none of it, not even how long it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// For the one place that looks up whose it is.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A command of the cluster, from a keypad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromKeypad {
    /// Guard, or guard no longer.
    Arm {
        /// What.
        mode: ArmMode,
        /// With this; `None`: none was sent. An empty one is what a keypad sends whose key was pressed without a code.
        code: Option<Code>,
        /// Which zone; remotes say none, and keypads 0 or FF for all.
        zone_id: Option<u8>,
    },
    /// Zones shall stand aside.
    Bypass {
        /// These.
        zone_ids: Vec<u8>,
        /// With this.
        code: Option<Code>,
    },
    /// Help, somebody is ill.
    Emergency,
    /// Fire.
    Fire,
    /// Help, somebody is threatened.
    Panic,
    /// Which zones there are.
    GetZoneIdMap,
    /// What one of them is.
    GetZoneInfo {
        /// Which.
        zone_id: u8,
    },
    /// How the system stands.
    GetPanelStatus,
    /// Which zones stand aside.
    GetBypassedZoneList,
    /// How zones stand.
    GetZoneStatus(ZoneQuery),
}

/// Which zones' statuses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneQuery {
    /// From this id on.
    pub start: u8,
    /// So many at most.
    pub max: u8,
    /// Only those with a bit of `mask` set.
    pub masked: bool,
    /// Bits of the zone status.
    pub mask: u16,
}

impl FromKeypad {
    /// Reads a keypad's own command. Remotes and fobs send an Arm without a code, or without a zone: both are taken.
    /// Bytes after the end are passed over, as the standard asks: a cry for help must not be lost to a field that came
    /// later.
    ///
    /// # Errors
    /// `too_short`, also where a code claims more bytes than there are; `bad_value` for a mode or a flag the standard
    /// does not have and for a code that is no text, without repeating it; `not_supported` for other commands, makers'
    /// extensions and the other direction.
    pub fn parse(header: &Header, reader: &mut Reader) -> Result<Self, Refused> {
        let ours = (header.scope, header.direction, header.manufacturer);
        if ours != (Scope::Cluster, Direction::ToServer, None) {
            return Err(Refused::new(Reason::NotSupported, 0, "not a command of an IAS ACE client"));
        }
        Ok(match header.command {
            from_keypad::ARM => Self::Arm {
                mode: arm_mode(reader)?,
                code: if reader.left() == 0 { None } else { code(reader)? },
                zone_id: if reader.left() == 0 { None } else { Some(reader.u8("the zone id")?) },
            },
            from_keypad::BYPASS => {
                let count = reader.u8("the number of zones")?;
                let zone_ids = reader.take(usize::from(count), "the zone ids")?.to_vec();
                Self::Bypass { zone_ids, code: if reader.left() == 0 { None } else { code(reader)? } }
            }
            from_keypad::EMERGENCY => Self::Emergency,
            from_keypad::FIRE => Self::Fire,
            from_keypad::PANIC => Self::Panic,
            from_keypad::GET_ZONE_ID_MAP => Self::GetZoneIdMap,
            from_keypad::GET_ZONE_INFORMATION => Self::GetZoneInfo { zone_id: reader.u8("the zone id")? },
            from_keypad::GET_PANEL_STATUS => Self::GetPanelStatus,
            from_keypad::GET_BYPASSED_ZONE_LIST => Self::GetBypassedZoneList,
            from_keypad::GET_ZONE_STATUS => Self::GetZoneStatus(ZoneQuery {
                start: reader.u8("the starting zone id")?,
                max: reader.u8("the greatest number of zones")?,
                masked: flag(reader)?,
                mask: reader.u16("the zone status mask")?,
            }),
            other => {
                let text = format!("command 0x{other:02x} is none of an IAS ACE client, they are 0x00 to 0x09");
                return Err(Refused::new(Reason::NotSupported, reader.at(), text));
            }
        })
    }
}

fn arm_mode(reader: &mut Reader) -> Result<ArmMode, Refused> {
    let at = reader.at();
    let mode = reader.u8("the arm mode")?;
    ArmMode::new(mode).ok_or_else(|| Refused::new(Reason::BadValue, at, format!("arm mode {mode}: it is 0 to 3")))
}

fn flag(reader: &mut Reader) -> Result<bool, Refused> {
    let at = reader.at();
    match reader.u8("the zone status mask flag")? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Refused::new(Reason::BadValue, at, format!("mask flag {other}: it is 0 or 1"))),
    }
}

fn code(reader: &mut Reader) -> Result<Option<Code>, Refused> {
    let length = reader.u8("the code's length")?;
    if length == NO_STRING {
        return Ok(None);
    }
    let at = reader.at();
    let bytes = reader.take(usize::from(length), "the code")?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(Code(text.to_owned()))),
        Err(why) => Err(Refused::new(Reason::BadValue, at + why.valid_up_to(), "the code is no UTF-8 text")),
    }
}

/// How the system stands, as one keypad shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panel {
    /// How it stands.
    pub status: PanelStatus,
    /// How long the delay still is, s; 0 without one.
    pub seconds_remaining: u8,
    /// Whether to say it aloud.
    pub audible: Audible,
    /// What alarms.
    pub alarm: AlarmStatus,
}

impl Panel {
    fn payload(self) -> [u8; 4] {
        [self.status.code(), self.seconds_remaining, self.audible.code(), self.alarm.code()]
    }
}

/// A zone, as keypads know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its id among the hub's zones.
    pub id: u8,
    /// What it is.
    pub zone_type: ZoneType,
    /// Who it is.
    pub address: Eui64,
    /// What people call it.
    pub label: String,
    /// How it stands.
    pub status: ZoneStatus,
    /// It stands aside.
    pub bypassed: bool,
}

/// The answer to an arm, with its transaction number.
pub fn arm_response(tsn: u8, notification: ArmNotification) -> Vec<u8> {
    message(tsn, to_keypad::ARM_RESPONSE, &[notification.code()])
}

/// Which zones there are, as the answer to that question.
pub fn zone_id_map_response(tsn: u8, zones: &[Zone]) -> Vec<u8> {
    let mut sections = [0u16; SECTIONS];
    for zone in zones {
        sections[usize::from(zone.id) / 16] |= 1 << (zone.id % 16);
    }
    let payload: Vec<u8> = sections.iter().flat_map(|section| section.to_le_bytes()).collect();
    message(tsn, to_keypad::GET_ZONE_ID_MAP_RESPONSE, &payload)
}

/// What a zone is, as the answer to that question.
pub fn zone_info_response(tsn: u8, zone: &Zone) -> Vec<u8> {
    let mut payload = vec![zone.id];
    payload.extend(zone.zone_type.code().to_le_bytes());
    payload.extend(zone.address.bytes());
    write_label(&zone.label, &mut payload);
    message(tsn, to_keypad::GET_ZONE_INFORMATION_RESPONSE, &payload)
}

/// A zone's status has changed.
pub fn zone_status_changed(tsn: u8, zone: &Zone, audible: Audible) -> Vec<u8> {
    let mut payload = vec![zone.id];
    payload.extend(zone.status.0.to_le_bytes());
    payload.push(audible.code());
    write_label(&zone.label, &mut payload);
    message(tsn, to_keypad::ZONE_STATUS_CHANGED, &payload)
}

/// The system stands otherwise now.
pub fn panel_status_changed(tsn: u8, panel: Panel) -> Vec<u8> {
    message(tsn, to_keypad::PANEL_STATUS_CHANGED, &panel.payload())
}

/// How the system stands, as the answer to that question.
pub fn get_panel_status_response(tsn: u8, panel: Panel) -> Vec<u8> {
    message(tsn, to_keypad::GET_PANEL_STATUS_RESPONSE, &panel.payload())
}

/// Which zones stand aside, asked or not. Those beyond what fits are not told: a keypad's list is for reading, and the
/// hub's own counts.
pub fn set_bypassed_zone_list(tsn: u8, zones: &[Zone]) -> Vec<u8> {
    let bypassed = zones.iter().filter(|zone| zone.bypassed).map(|zone| zone.id);
    counted(tsn, to_keypad::SET_BYPASSED_ZONE_LIST, bypassed)
}

/// The answer to a bypass: one result for each of its zones, in its order.
pub fn bypass_response(tsn: u8, results: &[BypassResult]) -> Vec<u8> {
    counted(tsn, to_keypad::BYPASS_RESPONSE, results.iter().map(|result| result.code()))
}

/// How zones stand, as the answer to that question: in the order of their ids, as many as were asked for and fit. Where
/// more would match, it says that it is not complete.
pub fn get_zone_status_response(tsn: u8, zones: &[Zone], query: ZoneQuery) -> Vec<u8> {
    let asked = |zone: &&Zone| zone.id >= query.start && (!query.masked || zone.status.0 & query.mask != 0);
    let mut matching: Vec<&Zone> = zones.iter().filter(asked).collect();
    matching.sort_by_key(|zone| zone.id);
    let fit = usize::from(query.max).min((MESSAGE_MAX - HEADER - 2) / 3);
    let told = &matching[..matching.len().min(fit)];
    let complete = told.len() == matching.len();
    let mut payload = vec![u8::from(complete), u8::try_from(told.len()).expect("as many as fit")];
    for zone in told {
        payload.push(zone.id);
        payload.extend(zone.status.0.to_le_bytes());
    }
    message(tsn, to_keypad::GET_ZONE_STATUS_RESPONSE, &payload)
}

fn message(tsn: u8, command: u8, payload: &[u8]) -> Vec<u8> {
    let to_client = Header { scope: Scope::Cluster, direction: Direction::ToClient, ..Header::request(tsn, command) };
    to_client.message(payload)
}

fn counted(tsn: u8, command: u8, all: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend(all.take(MESSAGE_MAX - HEADER - 1));
    payload[0] = u8::try_from(payload.len() - 1).expect("no more than a message has room for");
    message(tsn, command, &payload)
}

/// A label, cut between two characters to what is left of the message.
fn write_label(label: &str, payload: &mut Vec<u8>) {
    let room = MESSAGE_MAX - HEADER - payload.len() - 1;
    let fitting = &label[..label.floor_char_boundary(room)];
    payload.push(u8::try_from(fitting.len()).expect("shorter than a message"));
    payload.extend(fitting.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;
    use proptest::prelude::*;

    fn read(hex: &str) -> Result<FromKeypad, Refused> {
        let bytes = from_hex(&hex.replace(' ', "")).unwrap();
        let reader = &mut Reader::new(&bytes).unwrap();
        let header = Header::parse(reader).unwrap();
        FromKeypad::parse(&header, reader)
    }

    fn arm(mode: ArmMode, code: Option<&str>, zone_id: Option<u8>) -> FromKeypad {
        FromKeypad::Arm { mode, code: code.map(|code| Code(code.into())), zone_id }
    }

    fn zone(id: u8, label: &str, status: u16) -> Zone {
        let address = Eui64(0x00_15_8D_00_01_02_03_04);
        Zone {
            id,
            zone_type: ZoneType::Contact,
            address,
            label: label.into(),
            status: ZoneStatus(status),
            bypassed: id % 2 == 1,
        }
    }

    #[test]
    fn captured_keypads_are_read_to_the_last_field() {
        // Xfinity XHK1 (deconz-rest-plugin 4560), and Securifi's button with its eight characters.
        let day = arm(ArmMode::ArmDayHomeZonesOnly, Some("1234"), Some(0));
        assert_eq!(read("01 4E 00 01 04 31323334 00"), Ok(day));
        let night = arm(ArmMode::ArmNightSleepZonesOnly, Some("1111"), Some(0));
        assert_eq!(read("01 3E 00 02 04 31313131 00"), Ok(night));
        assert_eq!(read("01 3C 07"), Ok(FromKeypad::GetPanelStatus));
        for (mode, hex) in
            [(ArmMode::ArmAllZones, "03"), (ArmMode::ArmNightSleepZonesOnly, "02"), (ArmMode::Disarm, "00")]
        {
            assert_eq!(
                read(&format!("01 01 00 {hex} 08 3132333435363738 00")),
                Ok(arm(mode, Some("12345678"), Some(0)))
            );
        }
    }

    #[test]
    fn codes_are_kept_as_they_were_typed_and_remotes_need_none() {
        assert_eq!(read("11 01 00 03 00 17"), Ok(arm(ArmMode::ArmAllZones, Some(""), Some(0x17))));
        assert_eq!(
            read("11 01 00 03 09 2B3141324233433444 00"),
            Ok(arm(ArmMode::ArmAllZones, Some("+1A2B3C4D"), Some(0)))
        );
        assert_eq!(read("11 01 00 00 02 C3A5"), Ok(arm(ArmMode::Disarm, Some("å"), None)));
        assert_eq!(read("11 01 00 03"), Ok(arm(ArmMode::ArmAllZones, None, None)));
        assert_eq!(read("11 01 00 03 FF 00"), Ok(arm(ArmMode::ArmAllZones, None, Some(0))), "no string");
        assert_eq!(read("11 01 00 03 00 00 99"), Ok(arm(ArmMode::ArmAllZones, Some(""), Some(0))), "a later field");
        assert_eq!(
            read("01 02 01 02 05 06 04 31323334"),
            Ok(FromKeypad::Bypass { zone_ids: vec![5, 6], code: Some(Code("1234".into())) })
        );
        assert_eq!(read("01 02 01 01 05"), Ok(FromKeypad::Bypass { zone_ids: vec![5], code: None }));
    }

    #[test]
    fn each_cry_and_question_is_its_own() {
        for (command, said) in [
            ("02", FromKeypad::Emergency),
            ("03", FromKeypad::Fire),
            ("04", FromKeypad::Panic),
            ("05", FromKeypad::GetZoneIdMap),
            ("06 FE", FromKeypad::GetZoneInfo { zone_id: 0xFE }),
            ("08", FromKeypad::GetBypassedZoneList),
            ("09 05 0A 01 0300", FromKeypad::GetZoneStatus(ZoneQuery { start: 5, max: 10, masked: true, mask: 3 })),
        ] {
            assert_eq!(read(&format!("01 07 {command}")), Ok(said));
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_at_its_byte_and_shows_no_code() {
        let refused = |hex, kind, at| {
            let refused = read(hex).unwrap_err();
            assert_eq!((refused.kind, refused.at), (kind, at), "{refused}");
            assert!(!refused.to_string().contains("1234") && !refused.to_string().contains("31323334"));
        };
        refused("01 4E 00", Reason::TooShort, 3);
        refused("01 4E 00 04 04 31323334 00", Reason::BadValue, 3);
        refused("01 4E 00 01 05 31323334", Reason::TooShort, 5);
        refused("01 4E 00 01 FE 31323334 00", Reason::TooShort, 5);
        refused("01 4E 00 01 04 3132FF34 00", Reason::BadValue, 7);
        refused("01 4E 01 03 0102", Reason::TooShort, 4);
        refused("01 4E 01 01 01 05 31323334", Reason::TooShort, 6);
        refused("01 4E 06", Reason::TooShort, 3);
        refused("01 4E 09 00 10 02 0000", Reason::BadValue, 5);
        refused("01 4E 0A", Reason::NotSupported, 3);
        refused("09 4E 00 00", Reason::NotSupported, 0);
        refused("05 1510 4E 00 00", Reason::NotSupported, 0);
        let said = read("01 4E 00 01 04 31323334 00").unwrap();
        assert_eq!(format!("{said:?}"), "Arm { mode: ArmDayHomeZonesOnly, code: Some((hidden)), zone_id: Some(0) }");
    }

    #[test]
    fn keypads_are_told_in_the_standards_bytes() {
        assert_eq!(arm_response(0x4E, ArmNotification::AllZonesArmed), [0x19, 0x4E, 0x00, 0x03]);
        let panel = Panel {
            status: PanelStatus::ExitDelay,
            seconds_remaining: 30,
            audible: Audible::DefaultSound,
            alarm: AlarmStatus::NoAlarm,
        };
        assert_eq!(panel_status_changed(1, panel), [0x19, 1, 0x04, 4, 30, 1, 0]);
        assert_eq!(get_panel_status_response(0x3C, panel), [0x19, 0x3C, 0x05, 4, 30, 1, 0]);
        let zones = [zone(0, "", 0), zone(17, "", 0), zone(255, "", 0)];
        let map = zone_id_map_response(2, &zones);
        assert_eq!(map.len(), 3 + 32);
        assert_eq!((&map[..7], &map[33..]), (&[0x19, 2, 0x01, 1, 0, 2, 0][..], &[0, 0x80][..]));
        assert_eq!(
            zone_info_response(3, &zone(7, "Dör", 0)),
            from_hex("1903020715000403020100 8D150004 44C3B672".replace(' ', "").as_str()).unwrap()
        );
        assert_eq!(zone_status_changed(4, &zone(7, "D", 0x0121), Audible::Mute), [0x19, 4, 3, 7, 0x21, 1, 0, 1, b'D']);
        assert_eq!(set_bypassed_zone_list(5, &zones), [0x19, 5, 0x06, 2, 17, 255]);
        let results = [BypassResult::ZoneBypassed, BypassResult::InvalidArmDisarmCode];
        assert_eq!(bypass_response(6, &results), [0x19, 6, 0x07, 2, 0, 5]);
    }

    #[test]
    fn zones_are_told_in_order_as_many_as_asked_for_and_no_more_than_fit() {
        let zones: Vec<_> = (0..50).rev().map(|id| zone(id, "", u16::from(id % 3 == 0))).collect();
        let query = ZoneQuery { start: 4, max: 2, masked: true, mask: 1 };
        assert_eq!(get_zone_status_response(1, &zones, query), [0x19, 1, 8, 0, 2, 6, 1, 0, 9, 1, 0]);
        let query = ZoneQuery { start: 48, max: 255, masked: false, mask: 0 };
        assert_eq!(get_zone_status_response(1, &zones, query), [0x19, 1, 8, 1, 2, 48, 1, 0, 49, 0, 0]);
        let all = get_zone_status_response(1, &zones, ZoneQuery { start: 0, ..query });
        assert_eq!((all.len(), &all[3..5]), (5 + 20 * 3, &[0, 20][..]));
        assert!(all.len() <= MESSAGE_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(any::<u8>(), 3..300), command in 0u8..12) {
            let bytes = [&[0x01, bytes[1], command], &bytes[3..]].concat();
            let reader = &mut Reader::new(&bytes).unwrap();
            let header = Header::parse(reader).unwrap();
            let _ = FromKeypad::parse(&header, reader);
        }

        #[test]
        fn no_label_outgrows_a_message_or_is_cut_inside_a_character(label in ".{0,90}") {
            let zone = zone(1, &label, 0);
            for (message, at) in [(zone_info_response(1, &zone), 14), (zone_status_changed(1, &zone, Audible::Mute), 7)] {
                prop_assert!(message.len() <= MESSAGE_MAX);
                prop_assert_eq!(usize::from(message[at]), message.len() - at - 1);
                let told = std::str::from_utf8(&message[at + 1..]).unwrap();
                prop_assert!(label.starts_with(told) && (told == label || message.len() + 4 > MESSAGE_MAX));
            }
        }
    }
}
