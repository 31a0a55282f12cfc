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
    let part = fields.battery_ok.as_ref().map(|value| value.as_f64().ok_or_else(|| bad("battery_ok", Some(value), "a number")));
    let battery_percent = part.transpose()?.filter(|part| (0.0..=1.0).contains(part)).map(|part| (part * 100.0).round() as u8);
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
