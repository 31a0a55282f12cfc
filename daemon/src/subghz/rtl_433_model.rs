//! The detectors that rtl_433 decodes and this hub believes: which, since which release, and what their fields mean.
//!
//! A model that is not listed is nobody's detector. A value that is not listed is refused with its reason and never turns
//! into "closed" or "clear"; where a model has no word for "it is over", none is made up. Nothing here is proof of who
//! speaks: all of it can be said by anybody with a transmitter.
//!
//! Sources: merbanan/rtl_433 `src/devices/cavius.c` (#1648, #2562), `bresser_leakage.c` (#2576, #2704),
//! `fineoffset_wh55.c` (#2756), and what releases 22.11 and 25.12 print for each.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::rtl_433::Version;
use serde::Deserialize;
use serde_json::Value;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// The fields of a line that anything here hangs on. What else a line says is passed over; one of these said twice is no line.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Fields {
    pub(crate) model: Option<Value>,
    pub(crate) id: Option<Value>,
    pub(crate) mic: Option<Value>,
    pub(crate) mode: Option<Value>,
    pub(crate) data: Option<Value>,
    pub(crate) frames: Option<Value>,
    pub(crate) stats: Option<Value>,
    channel: Option<Value>,
    message: Option<Value>,
    state: Option<Value>,
    alarm: Option<Value>,
    battery_ok: Option<Value>,
}

/// One model.
pub(crate) struct Model {
    /// As rtl_433 calls it.
    pub(crate) name: &'static str,
    /// The first release whose decoder is right.
    pub(crate) since: Version,
    /// What tells one of them from another.
    id: fn(&Fields) -> Result<String, Refused>,
    read: fn(&Fields, Report) -> Result<Report, Refused>,
    kind: DeviceKind,
    authenticated: Authenticated,
    /// Whether its decoder tells that it has checked a checksum.
    mic: bool,
}

/// All of them.
pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "Cavius-Security",
        since: Version::new(22, 11),
        id: |fields| Ok(format!("rf-cavius-{:08x}", word("id", fields.id.as_ref())?)),
        read: cavius,
        kind: DeviceKind::Smoke,
        // Its CRC covers network and message, and not who sends.
        authenticated: Authenticated::None,
        mic: true,
    },
    Model {
        name: "Cavius-Door",
        // Added on 2026-07-17: no earlier build has it, and the release before was 25.12.
        since: Version::new(25, 12),
        id: cavius_door_id,
        read: cavius_door,
        kind: DeviceKind::Contact,
        authenticated: Authenticated::Crc,
        mic: true,
    },
    Model {
        name: "Bresser-Leakage",
        since: Version::new(23, 11),
        // It draws a new one with each battery.
        id: |fields| Ok(format!("rf-bresser-leak-{:08x}", word("id", fields.id.as_ref())?)),
        read: bresser_leak,
        kind: DeviceKind::Water,
        // Its CRC ends before the byte with the alarm, which has but its own inverse beside it.
        authenticated: Authenticated::None,
        mic: false,
    },
    Model {
        name: "Fineoffset-WH55",
        since: Version::new(24, 10),
        id: wh55_id,
        read: wh55,
        kind: DeviceKind::Water,
        authenticated: Authenticated::Crc,
        mic: true,
    },
];

impl Model {
    /// Which one speaks.
    pub(crate) fn device(&self, fields: &Fields) -> Result<DeviceId, Refused> {
        let id = (self.id)(fields)?;
        DeviceId::new(id).map_err(|error| Refused::new(Reason::BadRecord, 0, error.to_string()))
    }

    /// What it says.
    pub(crate) fn report(&self, device: DeviceId, fields: &Fields, version: Version) -> Result<Report, Refused> {
        if version < self.since {
            let text = format!("rtl_433 {version} reads a {} wrong: {} or later is needed", self.name, self.since);
            return Err(Refused::new(Reason::NotSupported, 0, text));
        }
        if self.mic {
            checked(fields)?;
        }
        (self.read)(fields, Report::silent(device, self.kind, self.authenticated))
    }
}

/// Whether the decoder says that it has checked a checksum.
pub(crate) fn checked(fields: &Fields) -> Result<(), Refused> {
    match fields.mic.as_ref().and_then(Value::as_str) {
        Some("CRC") => Ok(()),
        _ => Err(bad("mic", fields.mic.as_ref(), "CRC")),
    }
}

/// Cavius smoke, heat and water alarms. The line does not tell which of the three it is: "alarm" is a fire, "warning" water.
/// None of its words says that it is over.
fn cavius(fields: &Fields, report: Report) -> Result<Report, Refused> {
    const PAIRING: u64 = 0x80;
    const TEST: u64 = 0x40;
    const ALARM: u64 = 0x20;
    const WARNING: u64 = 0x10;
    const MUTED: u64 = 0x04;
    let low_battery = flag("battery_ok", fields.battery_ok.as_ref())?.map(|ok| !ok);
    let report = Report { low_battery, ..report };
    let message = whole("message", fields.message.as_ref(), 0, 0xFF)?;
    match message {
        // Whatever it says beside that.
        bits if bits & ALARM != 0 => Ok(Report { state: Some(DeviceState::Alarm), ..report }),
        bits if bits & WARNING != 0 => {
            Ok(Report { kind: DeviceKind::Water, state: Some(DeviceState::Alarm), ..report })
        }
        TEST => Ok(Report { test: Some(true), ..report }),
        // A hushed smoke still smells smoke, and the battery's own message has no other bit.
        0 | MUTED | PAIRING => Ok(report),
        _ => Err(bad("message", fields.message.as_ref(), "one of the bits 80, 40, 20, 10 or 04 (hex)")),
    }
}

fn cavius_door_id(fields: &Fields) -> Result<String, Refused> {
    let id = fields.id.as_ref().and_then(Value::as_str);
    let id = id.filter(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    id.map(|id| format!("rf-cavius-door-{id}")).ok_or_else(|| bad("id", fields.id.as_ref(), "twelve hex digits"))
}

fn cavius_door(fields: &Fields, report: Report) -> Result<Report, Refused> {
    let state = match fields.state.as_ref().and_then(Value::as_str) {
        Some("open") => DeviceState::Open,
        Some("closed") => DeviceState::Closed,
        _ => return Err(bad("state", fields.state.as_ref(), "open or closed")),
    };
    Ok(Report { state: Some(state), ..report })
}

fn bresser_leak(fields: &Fields, report: Report) -> Result<Report, Refused> {
    let low_battery = flag("battery_ok", fields.battery_ok.as_ref())?.map(|ok| !ok);
    Ok(Report { state: leak(fields)?, low_battery, ..report })
}

/// As its maker's page shows it: the switch for its channel, 1 to 4 as 0 to 3, and its own number. Another switch makes
/// it another one there, too.
fn wh55_id(fields: &Fields) -> Result<String, Refused> {
    let channel = whole("channel", fields.channel.as_ref(), 1, 4)?;
    let number = whole("id", fields.id.as_ref(), 0, 0xFFFF)?;
    Ok(format!("rf-wh55-{:x}{number:05x}", channel - 1))
}

/// `alarm` is its own judgement by the limit that its switch sets (60 or 90 pF). Its battery is told in fifths; what is
/// told beyond them is told by none, and must not cost the alarm.
fn wh55(fields: &Fields, report: Report) -> Result<Report, Refused> {
    let part = fields
        .battery_ok
        .as_ref()
        .map(|value| value.as_f64().ok_or_else(|| bad("battery_ok", Some(value), "a number")));
    let battery_percent =
        part.transpose()?.filter(|part| (0.0..=1.0).contains(part)).map(|part| (part * 100.0).round() as u8);
    let low_battery = battery_percent.map(|percent| percent <= 20);
    Ok(Report { state: leak(fields)?, low_battery, battery_percent, ..report })
}

fn leak(fields: &Fields) -> Result<Option<DeviceState>, Refused> {
    let alarm = flag("alarm", fields.alarm.as_ref())?;
    Ok(alarm.map(|alarm| if alarm { DeviceState::Alarm } else { DeviceState::Clear }))
}

/// 0 or 1; `None` where nothing is said.
fn flag(name: &str, value: Option<&Value>) -> Result<Option<bool>, Refused> {
    value.map(|value| Ok(whole(name, Some(value), 0, 1)? == 1)).transpose()
}

fn whole(name: &str, value: Option<&Value>, least: u64, most: u64) -> Result<u64, Refused> {
    let found = value.and_then(Value::as_u64).filter(|number| (least..=most).contains(number));
    found.ok_or_else(|| bad(name, value, &format!("a whole number, {least} to {most}")))
}

/// 32 bits that are printed as a signed number, whatever they are.
fn word(name: &str, value: Option<&Value>) -> Result<u32, Refused> {
    let number = value.and_then(Value::as_i64);
    let bits = number.and_then(|n| u32::try_from(n).ok().or_else(|| i32::try_from(n).ok().map(i32::cast_unsigned)));
    bits.ok_or_else(|| bad(name, value, "a whole number of 32 bits"))
}

/// What is repeated of a value in an error, in characters.
const SHOWN: usize = 40;

pub(crate) fn bad(name: &str, value: Option<&Value>, right: &str) -> Refused {
    let found = value.map_or_else(|| "is not there".to_owned(), |value| format!("is {value}"));
    let found: String = found.chars().take(SHOWN).collect();
    Refused::new(Reason::BadRecord, 0, format!("`{name}` {found}; right would be {right}"))
}

#[cfg(test)]
mod tests {
    use crate::subghz::receiver::NotHeard;
    use crate::subghz::refused::Reason;
    use crate::subghz::rtl_433::Said;
    use crate::subghz::rtl_433::Unread;
    use crate::subghz::rtl_433::Version;
    use crate::subghz::rtl_433::read;
    use vakt_core::device::Authenticated;
    use vakt_core::device::DeviceKind;
    use vakt_core::device::DeviceState;
    use vakt_core::device::Report;

    // Each line as a build after 25.12 prints it with `-F json -M time:off`, of codes put in by `-y` that were made by the
    // decoders' own descriptions; the door's codes are captured ones (merbanan/rtl_433_tests, tests/cavius). 22.11 prints the
    // same of Cavius alarms.
    const FIRE: &str = r#"{"model" : "Cavius-Security", "id" : 16909060, "battery_ok" : 1, "net_id" : 12773633, "message" : 32, "text" : "Fire alarm", "mic" : "CRC"}"#;
    const WATER: &str = r#"{"model" : "Cavius-Security", "id" : -19088744, "battery_ok" : 1, "net_id" : 12773633, "message" : 16, "text" : "Warning/Water detected", "mic" : "CRC"}"#;
    const BATTERY: &str = r#"{"model" : "Cavius-Security", "id" : 16909060, "battery_ok" : 0, "net_id" : 12773633, "message" : 0, "text" : "Battery low", "mic" : "CRC"}"#;
    const OPEN: &str =
        r#"{"model" : "Cavius-Door", "id" : "dc3ce3126533", "state" : "open", "counter" : 255, "mic" : "CRC"}"#;
    const CLOSED: &str =
        r#"{"model" : "Cavius-Door", "id" : "dc3ce3126533", "state" : "closed", "counter" : 254, "mic" : "CRC"}"#;
    const DRY: &str = r#"{"model" : "Bresser-Leakage", "id" : 899089416, "channel" : 7, "battery_ok" : 1, "alarm" : 0, "startup" : 1}"#;
    const LEAK: &str =
        r#"{"model" : "Bresser-Leakage", "id" : -2147331448, "channel" : 1, "battery_ok" : 1, "alarm" : 1}"#;
    const WH55: &str = r#"{"model" : "Fineoffset-WH55", "id" : 53077, "channel" : 4, "battery_ok" : 0.800, "raw_value" : 649, "sensitivity" : 1, "alarm" : 0, "mic" : "CRC"}"#;

    const NEW: Version = Version::new(25, 12);

    fn said(line: &str) -> Report {
        match read(line.as_bytes(), NEW) {
            Ok(Said::Report(report)) => report,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Who, and why not.
    fn unread(line: &str, version: Version) -> (Option<String>, Reason, String) {
        match read(line.as_bytes(), version) {
            Err(Unread { device, why: NotHeard::Frame(why) }) => {
                (device.map(|device| device.as_str().to_owned()), why.kind, why.text)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_cavius_alarm_says_fire_or_water_and_never_that_it_is_over() {
        let fire = said(FIRE);
        assert_eq!(fire.device.as_str(), "rf-cavius-01020304");
        assert_eq!((fire.kind, fire.state), (DeviceKind::Smoke, Some(DeviceState::Alarm)));
        assert_eq!((fire.low_battery, fire.tamper, fire.test), (Some(false), None, None));
        // who sends is outside of the checksum
        assert_eq!((fire.authenticated, fire.rssi_dbm), (Authenticated::None, None));
        let water = said(WATER);
        assert_eq!(water.device.as_str(), "rf-cavius-fedcba98", "its number is printed as a signed one");
        assert_eq!((water.kind, water.state), (DeviceKind::Water, Some(DeviceState::Alarm)));
        let battery = said(BATTERY);
        assert_eq!((battery.state, battery.low_battery), (None, Some(true)));
        for (message, test) in [("4", None), ("128", None), ("64", Some(true))] {
            let quiet = said(&FIRE.replace(r#""message" : 32"#, &format!(r#""message" : {message}"#)));
            assert_eq!((quiet.state, quiet.test), (None, test), "{message}");
        }
        for message in 0..=255 {
            let line = FIRE.replace(r#""message" : 32"#, &format!(r#""message" : {message}"#));
            if let Ok(Said::Report(report)) = read(line.as_bytes(), NEW) {
                assert!(matches!(report.state, None | Some(DeviceState::Alarm)), "{message}: {:?}", report.state);
                assert_eq!(report.state.is_some(), message & 0x30 != 0, "{message}: a fire beside anything is a fire");
            } else {
                assert_eq!(message & 0x30, 0, "{message}: no alarm is lost for a bit beside it");
            }
        }
    }

    #[test]
    fn a_cavius_door_opens_and_closes() {
        let (open, closed) = (said(OPEN), said(CLOSED));
        assert_eq!(open.device.as_str(), "rf-cavius-door-dc3ce3126533");
        assert_eq!((open.kind, open.state), (DeviceKind::Contact, Some(DeviceState::Open)));
        assert_eq!((closed.state, closed.authenticated), (Some(DeviceState::Closed), Authenticated::Crc));
    }

    #[test]
    fn a_leak_is_told_and_that_it_is_over() {
        let (dry, leak) = (said(DRY), said(LEAK));
        assert_eq!(
            (dry.device.as_str(), leak.device.as_str()),
            ("rf-bresser-leak-35970408", "rf-bresser-leak-80025288")
        );
        assert_eq!((dry.kind, dry.state), (DeviceKind::Water, Some(DeviceState::Clear)));
        assert_eq!(
            (leak.state, leak.low_battery, leak.authenticated),
            (Some(DeviceState::Alarm), Some(false), Authenticated::None)
        );
        assert_eq!(said(&DRY.replace(r#""battery_ok" : 1"#, r#""battery_ok" : 0"#)).low_battery, Some(true));
        let dry = said(WH55);
        assert_eq!(dry.device.as_str(), "rf-wh55-30cf55", "as Ecowitt's own page calls it (#2756)");
        assert_eq!(
            (dry.kind, dry.state, dry.authenticated),
            (DeviceKind::Water, Some(DeviceState::Clear), Authenticated::Crc)
        );
        assert_eq!((dry.battery_percent, dry.low_battery), (Some(80), Some(false)));
        // One fifth, and what no fifth is: that must not cost the alarm.
        let leak = WH55.replace(r#""alarm" : 0"#, r#""alarm" : 1"#);
        let (low, odd) = (said(&leak.replace("0.800", "0.200")), said(&leak.replace("0.800", "1.200")));
        assert_eq!((low.state, low.battery_percent, low.low_battery), (Some(DeviceState::Alarm), Some(20), Some(true)));
        assert_eq!((odd.state, odd.battery_percent, odd.low_battery), (Some(DeviceState::Alarm), None, None));
    }

    #[test]
    fn what_is_not_told_is_not_made_up() {
        let silent = said(&WH55.replace(r#", "alarm" : 0"#, ""));
        assert_eq!((silent.state, silent.fault), (None, None));
        assert_eq!(said(&DRY.replace(r#""battery_ok" : 1, "#, "")).low_battery, None);
        assert_eq!(said(&DRY.replace(r#""alarm" : 0"#, r#""alarm" : null"#)).state, None);
    }

    #[test]
    fn a_value_that_is_not_listed_is_refused_and_the_device_named() {
        let (door, cavius, wh55) = ("rf-cavius-door-dc3ce3126533", "rf-cavius-01020304", "rf-wh55-30cf55");
        for (line, what, by, whose) in [
            (CLOSED, r#""state" : "closed""#, r#""state" : "shut""#, Some(door)),
            (CLOSED, r#""state" : "closed""#, r#""state" : 36"#, Some(door)),
            (CLOSED, r#""state" : "closed", "#, "", Some(door)),
            (CLOSED, r#""mic" : "CRC""#, r#""mic" : "CHECKSUM""#, Some(door)),
            (CLOSED, "dc3ce3126533", "DC3CE3126533", None),
            (CLOSED, "dc3ce3126533", "dc3ce312653", None),
            (CLOSED, r#""dc3ce3126533""#, "1", None),
            (BATTERY, r#""message" : 0"#, r#""message" : 1"#, Some(cavius)),
            (BATTERY, r#""message" : 0"#, r#""message" : 256"#, Some(cavius)),
            (BATTERY, r#""message" : 0"#, r#""message" : "0""#, Some(cavius)),
            (BATTERY, r#""message" : 0, "#, "", Some(cavius)),
            (BATTERY, r#""battery_ok" : 0"#, r#""battery_ok" : 2"#, Some(cavius)),
            (BATTERY, "16909060", "4294967296", None),
            (BATTERY, "16909060", "-2147483649", None),
            (BATTERY, "16909060", "1.5", None),
            (WH55, r#""alarm" : 0"#, r#""alarm" : 2"#, Some(wh55)),
            (WH55, r#""alarm" : 0"#, r#""alarm" : false"#, Some(wh55)),
            (WH55, "0.800", r#""full""#, Some(wh55)),
            (WH55, r#""channel" : 4"#, r#""channel" : 5"#, None),
            (WH55, "53077", "65536", None),
        ] {
            assert!(line.contains(what), "{what}");
            let (device, reason, text) = unread(&line.replace(what, by), NEW);
            assert_eq!((device.as_deref(), reason), (whose, Reason::BadRecord), "{by}");
            assert!(text.contains("right would be"), "{text}");
        }
    }

    #[test]
    fn a_release_that_reads_a_model_wrong_is_not_believed() {
        for (line, before, first) in
            [(DRY, (22, 11), "23.11"), (WH55, (23, 11), "24.10"), (OPEN, (25, 2), "25.12"), (FIRE, (22, 5), "22.11")]
        {
            let (device, reason, text) = unread(line, Version::new(before.0, before.1));
            assert!(device.is_some() && reason == Reason::NotSupported && text.contains(first), "{text}");
        }
    }

    #[test]
    fn an_error_repeats_little_of_what_it_found() {
        let (_, _, text) = unread(&CLOSED.replace("closed", &"x".repeat(5_000)), NEW);
        assert!(text.len() < 120, "{text}");
    }
}
