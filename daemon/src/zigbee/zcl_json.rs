//! Attributes and their values, and the commands of keypads, sirens, switches and locks, as JSON, for people who read
//! one frame. Keys are withheld, and of a code it is only said that there is one.

use crate::zigbee::ace;
use crate::zigbee::ace::AlarmStatus;
use crate::zigbee::ace::ArmNotification;
use crate::zigbee::ace::Audible;
use crate::zigbee::ace::Code;
use crate::zigbee::ace::FromKeypad;
use crate::zigbee::ace::PanelStatus;
use crate::zigbee::ace::from_keypad;
use crate::zigbee::ace::to_keypad;
use crate::zigbee::bytes::Reader;
use crate::zigbee::door_lock;
use crate::zigbee::door_lock::CodeKind;
use crate::zigbee::door_lock::FromLock;
use crate::zigbee::door_lock::ScheduleAt;
use crate::zigbee::door_lock::UserStatus;
use crate::zigbee::door_lock::UserType;
use crate::zigbee::refused::Refused;
use crate::zigbee::switch;
use crate::zigbee::switch::to_switch;
use crate::zigbee::wd;
use crate::zigbee::wd::Level;
use crate::zigbee::wd::SquawkMode;
use crate::zigbee::wd::WarningMode;
use crate::zigbee::wd::to_siren;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_global::Reporting;
use crate::zigbee::zcl_value::Content;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;
use serde_json::Value as Json;
use serde_json::json;

/// The list of a global command, one object for each attribute.
pub fn attributes(command: &Global) -> Vec<Json> {
    let failed = |failed: &[(u16, Status)]| failed.iter().map(|(id, status)| refused(*id, *status)).collect();
    match command {
        Global::Read(ids) => ids.iter().map(|id| json!({"id": code(*id)})).collect(),
        Global::ReadResponse(records) => {
            let record = |(id, result): &(u16, Result<Value, Status>)| match result {
                Ok(value) => told(*id, value),
                Err(status) => refused(*id, *status),
            };
            records.iter().map(record).collect()
        }
        Global::Write(attributes) | Global::Report(attributes) => {
            attributes.iter().map(|attribute| told(attribute.id, &attribute.value)).collect()
        }
        Global::WriteResponse(all) | Global::ConfigureReportingResponse(all) => failed(all),
        Global::ConfigureReporting(all) => all.iter().map(reporting).collect(),
        Global::DefaultResponse { .. } => Vec::new(),
    }
}

fn told(id: u16, value: &Value) -> Json {
    json!({"id": code(id), "type": value.data_type().name(), "value": shown(value)})
}

fn refused(id: u16, status: Status) -> Json {
    json!({"id": code(id), "status": status.name()})
}

fn reporting(reporting: &Reporting) -> Json {
    match reporting {
        Reporting::Send { id, data_type, min_s, max_s, change } => json!({
            "id": code(*id), "type": data_type.name(), "min_s": min_s, "max_s": max_s,
            "change": change.as_ref().map(shown),
        }),
        Reporting::Expect { id, timeout_s } => json!({"id": code(*id), "timeout_s": timeout_s}),
    }
}

/// The name of a command of the clusters of keypads, sirens and switches; `None` for those of others and for makers'.
pub fn command_name(cluster: u16, header: &Header) -> Option<&'static str> {
    if (header.scope, header.manufacturer) != (Scope::Cluster, None) {
        return None;
    }
    Some(match (cluster, header.direction, header.command) {
        (ace::CLUSTER, Direction::ToServer, from_keypad::ARM) => "arm",
        (ace::CLUSTER, Direction::ToServer, from_keypad::BYPASS) => "bypass",
        (ace::CLUSTER, Direction::ToServer, from_keypad::EMERGENCY) => "emergency",
        (ace::CLUSTER, Direction::ToServer, from_keypad::FIRE) => "fire",
        (ace::CLUSTER, Direction::ToServer, from_keypad::PANIC) => "panic",
        (ace::CLUSTER, Direction::ToServer, from_keypad::GET_ZONE_ID_MAP) => "get_zone_id_map",
        (ace::CLUSTER, Direction::ToServer, from_keypad::GET_ZONE_INFORMATION) => "get_zone_information",
        (ace::CLUSTER, Direction::ToServer, from_keypad::GET_PANEL_STATUS) => "get_panel_status",
        (ace::CLUSTER, Direction::ToServer, from_keypad::GET_BYPASSED_ZONE_LIST) => "get_bypassed_zone_list",
        (ace::CLUSTER, Direction::ToServer, from_keypad::GET_ZONE_STATUS) => "get_zone_status",
        (ace::CLUSTER, Direction::ToClient, to_keypad::ARM_RESPONSE) => "arm_response",
        (ace::CLUSTER, Direction::ToClient, to_keypad::GET_ZONE_ID_MAP_RESPONSE) => "get_zone_id_map_response",
        (ace::CLUSTER, Direction::ToClient, to_keypad::GET_ZONE_INFORMATION_RESPONSE) => {
            "get_zone_information_response"
        }
        (ace::CLUSTER, Direction::ToClient, to_keypad::ZONE_STATUS_CHANGED) => "zone_status_changed",
        (ace::CLUSTER, Direction::ToClient, to_keypad::PANEL_STATUS_CHANGED) => "panel_status_changed",
        (ace::CLUSTER, Direction::ToClient, to_keypad::GET_PANEL_STATUS_RESPONSE) => "get_panel_status_response",
        (ace::CLUSTER, Direction::ToClient, to_keypad::SET_BYPASSED_ZONE_LIST) => "set_bypassed_zone_list",
        (ace::CLUSTER, Direction::ToClient, to_keypad::BYPASS_RESPONSE) => "bypass_response",
        (ace::CLUSTER, Direction::ToClient, to_keypad::GET_ZONE_STATUS_RESPONSE) => "get_zone_status_response",
        (wd::CLUSTER, Direction::ToServer, to_siren::START_WARNING) => "start_warning",
        (wd::CLUSTER, Direction::ToServer, to_siren::SQUAWK) => "squawk",
        (switch::CLUSTER, Direction::ToServer, to_switch::OFF) => "off",
        (switch::CLUSTER, Direction::ToServer, to_switch::ON) => "on",
        (switch::CLUSTER, Direction::ToServer, to_switch::TOGGLE) => "toggle",
        (switch::CLUSTER, Direction::ToServer, to_switch::ON_WITH_TIMED_OFF) => "on_with_timed_off",
        _ => return None,
    })
}

/// What such a command says; `None` where it says no more than its name, or where this reader only knows the name.
///
/// # Errors
/// Why it was refused.
pub fn command(cluster: u16, header: &Header, reader: &mut Reader) -> Result<Option<Json>, Refused> {
    if command_name(cluster, header).is_none() {
        return Ok(None);
    }
    match (cluster, header.direction, header.command) {
        (ace::CLUSTER, Direction::ToServer, _) => FromKeypad::parse(header, reader).map(|said| wanted(&said)),
        (ace::CLUSTER, _, to_keypad::ARM_RESPONSE) => {
            let notification = reader.u8("the arm notification")?;
            Ok(Some(json!({"notification": ArmNotification::new(notification).map(ArmNotification::name)})))
        }
        (ace::CLUSTER, _, to_keypad::PANEL_STATUS_CHANGED | to_keypad::GET_PANEL_STATUS_RESPONSE) => {
            panel(reader).map(Some)
        }
        (wd::CLUSTER, _, to_siren::START_WARNING) => warning(reader).map(Some),
        (wd::CLUSTER, _, to_siren::SQUAWK) => {
            let info = reader.u8("the squawk")?;
            Ok(Some(json!({
                "mode": SquawkMode::new(info >> 4).map(SquawkMode::name), "strobe": info & 8 != 0,
                "level": Level::new(info & 3).map(Level::name),
            })))
        }
        (switch::CLUSTER, _, to_switch::ON_WITH_TIMED_OFF) => Ok(Some(json!({
            "only_when_on": reader.u8("the control")? & 1 != 0, "on_deci_s": reader.u16("the on time")?,
            "off_wait_deci_s": reader.u16("the off wait time")?,
        }))),
        _ => Ok(None),
    }
}

fn wanted(said: &FromKeypad) -> Option<Json> {
    let hidden = |code: &Option<Code>| code.as_ref().map(|_| "hidden");
    Some(match said {
        FromKeypad::Arm { mode, code, zone_id } => {
            json!({"mode": mode.name(), "code": hidden(code), "zone_id": zone_id})
        }
        FromKeypad::Bypass { zone_ids, code } => json!({"zone_ids": zone_ids, "code": hidden(code)}),
        FromKeypad::GetZoneInfo { zone_id } => json!({"zone_id": zone_id}),
        FromKeypad::GetZoneStatus(query) => json!({
            "start": query.start, "max": query.max, "masked": query.masked, "mask": code(query.mask),
        }),
        FromKeypad::Emergency
        | FromKeypad::Fire
        | FromKeypad::Panic
        | FromKeypad::GetZoneIdMap
        | FromKeypad::GetPanelStatus
        | FromKeypad::GetBypassedZoneList => return None,
    })
}

/// How a panel stands; a code the standard does not have is `null`.
fn panel(reader: &mut Reader) -> Result<Json, Refused> {
    let status = PanelStatus::new(reader.u8("the panel status")?).map(PanelStatus::name);
    let seconds_remaining = reader.u8("the seconds remaining")?;
    let audible = Audible::new(reader.u8("the audible notification")?).map(Audible::name);
    let alarm = AlarmStatus::new(reader.u8("the alarm status")?).map(AlarmStatus::name);
    Ok(json!({"status": status, "seconds_remaining": seconds_remaining, "audible": audible, "alarm": alarm}))
}

fn warning(reader: &mut Reader) -> Result<Json, Refused> {
    let info = reader.u8("the warning")?;
    Ok(json!({
        "mode": WarningMode::new(info >> 4).map(WarningMode::name), "strobe": info & 0b1100 != 0,
        "level": Level::new(info & 3).map(Level::name), "duration_s": reader.u16("the duration")?,
        "duty_percent": reader.u8("the duty cycle")?,
        "brightness": Level::new(reader.u8("the strobe level")?).map(Level::name),
    }))
}

/// A value as JSON: numbers as numbers, "no value" as `null`, bytes that are no text as hex.
fn shown(value: &Value) -> Json {
    let number = value.data_type().code();
    match (value.content(), number) {
        (_, 0x20..=0x27) => value.unsigned().into(),
        (_, 0x28..=0x2F) => value.signed().into(),
        (_, 0x38..=0x3A) => value.float().into(),
        (Content::Bits(bits), _) if value.data_type() == DataType::BOOL => match bits {
            0 => false.into(),
            1 => true.into(),
            _ => Json::Null,
        },
        (Content::Bits(_), 0x00 | 0xFF) => Json::Null,
        (Content::Bits(bits), _) if value.data_type() == DataType::EUI64 => format!("{bits:016x}").into(),
        (Content::Bits(bits), _) => (*bits).into(),
        (Content::Bytes(_), 0xF1) => "withheld".into(),
        (Content::Bytes(None), _) => Json::Null,
        (Content::Bytes(Some(bytes)), 0x42 | 0x44) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => plain(bytes).into(),
        },
        (Content::Bytes(Some(bytes)), _) => plain(bytes).into(),
        (Content::Many(_, values) | Content::Fields(values), _) => {
            values.as_ref().map(|values| values.iter().map(shown).collect::<Vec<_>>()).into()
        }
    }
}

/// What a lock says, its codes hidden: nor is it told whether there was one, or how long.
pub fn from_lock(said: &FromLock) -> Json {
    match said {
        FromLock::Done(_, status) => json!({"status": status}),
        FromLock::Code(kind, user, status, user_type, _) => json!({
            "user": user, "user_status": user_status(*status), "user_type": kind_of_user(*user_type),
            code_name(*kind): HIDDEN,
        }),
        FromLock::UserStatus(user, status) => json!({"user": user, "user_status": user_status(*status)}),
        FromLock::UserType(user, user_type) => json!({"user": user, "user_type": kind_of_user(*user_type)}),
        FromLock::WeekDay(at, told) => scheduled(
            *at,
            told,
            |week| json!({"days": week.days, "start": [week.start.0, week.start.1], "end": [week.end.0, week.end.1]}),
        ),
        FromLock::YearDay(at, told) => {
            scheduled(*at, told, |year| json!({"start_s": year.start_s, "end_s": year.end_s}))
        }
        FromLock::Operation(event) => json!({
            "source": source(event.source), "event": event.code, "user": event.user, "pin": HIDDEN,
            "local_s": event.local_s,
        }),
        FromLock::Programming(event) => json!({
            "source": source(event.source), "event": event.code, "user": event.user, "pin": HIDDEN,
            "user_type": event.user_type.map(kind_of_user), "user_status": event.status.map(user_status),
            "local_s": event.local_s,
        }),
    }
}

/// What a lock is told, as far as it is nobody's code; `None` where nothing is said of it but its name.
pub fn to_lock(number: u8) -> Option<Json> {
    use door_lock::command::*;
    match number {
        LOCK | UNLOCK | TOGGLE | UNLOCK_WITH_TIMEOUT | SET_PIN => Some(json!({"pin": HIDDEN})),
        SET_RFID => Some(json!({"rfid": HIDDEN})),
        _ => None,
    }
}

/// The name of a Door Lock command that is no maker's own.
pub fn lock_name(manufacturer: Option<u16>, direction: Direction, number: u8) -> Option<&'static str> {
    if manufacturer.is_some() { None } else { door_lock::name(direction, number) }
}

const HIDDEN: &str = "hidden";

fn code_name(kind: CodeKind) -> &'static str {
    match kind {
        CodeKind::Pin => "pin",
        CodeKind::Rfid => "rfid",
    }
}

fn user_status(status: UserStatus) -> Json {
    match status {
        UserStatus::Available => "available".into(),
        UserStatus::Enabled => "enabled".into(),
        UserStatus::Disabled => "disabled".into(),
        UserStatus::Other(code) => code.into(),
    }
}

fn kind_of_user(user_type: UserType) -> Json {
    match user_type {
        UserType::Unrestricted => "unrestricted".into(),
        UserType::YearDay => "year_day".into(),
        UserType::WeekDay => "week_day".into(),
        UserType::Master => "master".into(),
        UserType::NonAccess => "non_access".into(),
        UserType::Other(code) => code.into(),
    }
}

fn source(code: u8) -> Json {
    match code {
        0 => "keypad".into(),
        1 => "rf".into(),
        2 => "manual".into(),
        3 => "rfid".into(),
        other => other.into(),
    }
}

fn scheduled<T>(at: ScheduleAt, told: &Result<T, u8>, one: impl Fn(&T) -> Json) -> Json {
    let status = told.as_ref().err().copied().unwrap_or(0);
    let window = told.as_ref().ok().map(one);
    json!({"user": at.user, "schedule": at.schedule, "status": status, "window": window})
}

/// A code as the standard writes it, e.g. `0x0500`.
pub fn code(number: u16) -> String {
    format!("0x{number:04x}")
}

/// Upper-case hex.
pub fn plain(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;

    fn said(cluster: u16, hex: &str) -> (Option<&'static str>, Result<Option<Json>, Refused>) {
        let bytes = from_hex(&hex.replace(' ', "")).unwrap();
        let reader = &mut Reader::new(&bytes).unwrap();
        let header = Header::parse(reader).unwrap();
        (command_name(cluster, &header), command(cluster, &header, reader))
    }

    #[test]
    fn what_is_asked_at_keypads_is_told_without_its_code() {
        let arm = json!({"mode": "arm_day_home_zones_only", "code": "hidden", "zone_id": 0});
        assert_eq!(said(0x0501, "01 4E 00 01 04 31323334 00"), (Some("arm"), Ok(Some(arm))));
        let fob = json!({"mode": "arm_all_zones", "code": null, "zone_id": null});
        assert_eq!(said(0x0501, "11 01 00 03"), (Some("arm"), Ok(Some(fob))));
        let bypass = json!({"zone_ids": [5], "code": "hidden"});
        assert_eq!(said(0x0501, "01 02 01 01 05 04 31323334"), (Some("bypass"), Ok(Some(bypass))));
        assert_eq!(said(0x0501, "01 3C 07"), (Some("get_panel_status"), Ok(None)));
        assert_eq!(said(0x0501, "01 3C 04"), (Some("panic"), Ok(None)));
        assert!(said(0x0501, "01 4E 00 01 05 31323334").1.is_err(), "a cut code is refused");
    }

    #[test]
    fn what_keypads_sirens_and_switches_are_told_has_its_name() {
        let panel =
            json!({"status": "exit_delay", "seconds_remaining": 30, "audible": "default_sound", "alarm": "no_alarm"});
        assert_eq!(said(0x0501, "19 01 04 04 1E 01 00"), (Some("panel_status_changed"), Ok(Some(panel))));
        let not_ready = json!({"notification": "not_ready_to_arm"});
        assert_eq!(said(0x0501, "19 4E 00 05"), (Some("arm_response"), Ok(Some(not_ready))));
        let unknown = json!({"notification": null});
        assert_eq!(said(0x0501, "19 4E 00 07").1, Ok(Some(unknown)), "no guess");
        let burglar = json!({
            "mode": "burglar", "strobe": true, "level": "very_high", "duration_s": 180, "duty_percent": 50,
            "brightness": "high",
        });
        assert_eq!(said(0x0502, "01 09 00 17 B400 32 02"), (Some("start_warning"), Ok(Some(burglar))));
        let chirp = json!({"mode": "system_is_disarmed", "strobe": true, "level": "medium"});
        assert_eq!(said(0x0502, "01 09 01 19"), (Some("squawk"), Ok(Some(chirp))));
        let timed = json!({"only_when_on": false, "on_deci_s": 20, "off_wait_deci_s": 0});
        assert_eq!(said(0x0006, "01 09 42 00 1400 0000"), (Some("on_with_timed_off"), Ok(Some(timed))));
        assert_eq!(said(0x0006, "01 09 00"), (Some("off"), Ok(None)));
        assert_eq!(said(0x0006, "09 09 00"), (None, Ok(None)), "a switch has no such word");
        assert_eq!(said(0x0502, "05 1510 09 00"), (None, Ok(None)), "a maker's own");
    }

    use crate::zigbee::decode::decode_line;

    fn say(frame: &str) -> (Json, Json) {
        let (line, _) = decode_line(door_lock::CLUSTER, None, &frame.replace(' ', ""));
        assert!(!line.contains("1234") && !line.contains("31323334"), "{line}");
        let mut said: Json = serde_json::from_str(&line).unwrap();
        assert!(said["report"].is_null() && said["payload"].is_null(), "{line}");
        (said["header"]["name"].take(), said["lock"].take())
    }

    #[test]
    fn locks_are_read_and_their_codes_hidden() {
        // Home Assistant core 57875; deconz-rest-plugin 3750, whose code stands there twice; herdsman-converters 2456.
        let (name, lock) = say("19 AC 20 00 02 0100 00 9361D112 00");
        assert_eq!(name, "operation_event_notification");
        let local_s = 315_711_891; // 9361D112, least significant first
        assert_eq!(lock, json!({"source": "keypad", "event": 2, "user": 1, "pin": "hidden", "local_s": local_s}));
        let (name, lock) = say("09 01 21 01 02 0300 04 31323334 00 01 FFFFFFFF 04 31323334");
        assert_eq!(name, "programming_event_notification");
        assert_eq!(
            lock,
            json!({
                "source": "rf", "event": 2, "user": 3, "pin": "hidden", "user_type": "unrestricted",
                "user_status": "enabled", "local_s": null,
            })
        );
        assert_eq!(say("09 03 20 02 0D 0000 00 FFFFFFFF 00").1["source"], "manual");
        assert_eq!(say("19 02 05 00"), ("set_pin_code_response".into(), json!({"status": 0})));
        for (frame, name) in [
            ("01 02 01 04 31323334", "unlock_door"),
            ("01 02 05 0300 01 00 04 31323334", "set_pin_code"),
            ("19 02 06 0300 01 00 04 31323334", "get_pin_code_response"),
        ] {
            let (said, lock) = say(frame);
            assert_eq!((said, &lock["pin"]), (name.into(), &json!("hidden")));
        }
        assert_eq!(say("01 02 16 0300 01 00 04 31323334").1, json!({"rfid": "hidden"}));
        assert_eq!(say("01 02 0A 0300"), ("get_user_status".into(), Json::Null));
        let (name, lock) = say("19 02 0C 01 0300 00 3E081E1000");
        assert_eq!(name, "get_week_day_schedule_response");
        assert_eq!(lock["window"], json!({"days": 62, "start": [8, 30], "end": [16, 0]}));
        assert_eq!(say("19 02 0C 01 0300 8B").1["status"], 0x8B);
        assert_eq!(
            say("1D 5F11 02 05 04 31323334"),
            (Json::Null, Json::Null),
            "a maker's own has no name and no fields"
        );
        assert_eq!(say("19 02 0A 0300").0, Json::Null, "cut: refused");
    }
}
