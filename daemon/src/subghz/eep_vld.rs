//! EnOcean profiles of variable length (D2): window sensors with a message type, and multisensors packed bit by bit.
//!
//! Source: D2-06-50, D2-14-41 and D2-01 of the EnOcean Alliance's EEPViewer, as the openHAB binding (D2_06_50), the OpenKNX
//! gateway and the EnOcean seminar of A. Hidaka (STM 550J) have them; D2-01 in EnOcean Equipment Profiles 2.6.7.

use crate::subghz::eep::Said;
use crate::subghz::eep::Word;
use crate::subghz::eep::bytes;
use crate::subghz::eep::not_known;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;
use vakt_core::device::Measurement;

pub(crate) fn read(eep: Eep, payload: &[u8]) -> Result<Word, Refused> {
    match (eep.func, eep.variant) {
        (0x06, 0x50) => sash(eep, payload),
        (0x14, 0x41) => multisensor(eep, payload),
        _ => Err(not_known(eep)),
    }
}

/// D2-01: switches and dimmers for mains. They watch for nothing, so they never report; how one stands is a value.
pub(crate) fn actuator(eep: Eep, payload: &[u8]) -> Result<Option<Said>, Refused> {
    const STATUS_RESPONSE: u8 = 0x04;
    if (eep.rorg, eep.func) != (0xD2, 0x01) || eep.variant > 0x16 {
        return Ok(None);
    }
    let Some(command) = payload.first().map(|byte| byte & 0x0F) else {
        return Err(Refused::new(Reason::BadLength, 1, format!("no payload: {eep} begins with a command")));
    };
    let mut values = vec![measured("command", command.into(), "")];
    if let ([_, channel, output], STATUS_RESPONSE) = (payload, command) {
        values.push(measured("channel", (channel & 0x1F).into(), ""));
        // Above 100 it is none, or was not set yet.
        values.extend(Some(output & 0x7F).filter(|o| *o <= 100).map(|output| measured("output", output.into(), "%")));
    }
    Ok(Some(Said { values, ..Said::default() }))
}

fn measured(measure: &str, value: i64, unit: &str) -> Measurement {
    Measurement { measure: measure.to_owned(), value_milli: value * 1_000, unit: unit.to_owned() }
}

/// D2-06-50: where the sash and the handle of a window stand. The high bit beside them is a mode and no position.
fn sash(eep: Eep, payload: &[u8]) -> Result<Word, Refused> {
    const STATUS: u8 = 0x01;
    const ALARM: u8 = 0x02;
    const CALIBRATION: u8 = 0x11;
    let word = Word::of(DeviceKind::Contact);
    match *payload {
        [STATUS, position, _, _, _, _, battery, ..] => {
            let word = word.low_battery(battery & 0x80 != 0).battery_percent(battery & 0x7F);
            let position = position & 0x7F;
            if !(1..=9).contains(&position) {
                return Ok(word.unlisted()); // 0 is "not known"
            }
            const POSITIONS: [&str; 3] = ["closed", "open", "tilted"];
            let [sash, handle] = [(position - 1) / 3, (position - 1) % 3].map(|n| POSITIONS[usize::from(n)]);
            let state = if position <= 3 { DeviceState::Closed } else { DeviceState::Open };
            Ok(word.word("sash", sash).word("handle", handle).state(state))
        }
        [ALARM, alarm, ..] => Ok(if alarm & 0x7F == 1 { word.alarm(true) } else { word.unlisted() }),
        // How it stands is not told; that it has to be calibrated again, is.
        [CALIBRATION, step, ..] => Ok(if step >> 6 == 0 { word } else { word.fault() }),
        [message, ..] if ![STATUS, ALARM, CALIBRATION].contains(&message) => Ok(word.unlisted()),
        _ => {
            let text = format!("{} bytes of payload: {eep} has 2, its window status 7", payload.len());
            Err(Refused::new(Reason::BadLength, 1, text))
        }
    }
}

/// D2-14-41: a multisensor with a contact (STM 550). Nine bytes, fields without gaps from the first bit on.
fn multisensor(eep: Eep, payload: &[u8]) -> Result<Word, Refused> {
    let data = bytes::<9>(eep, payload)?;
    let field = |at: usize, size: usize| {
        (at..at + size).fold(0u32, |value, bit| value << 1 | u32::from(data[bit / 8] >> (7 - bit % 8) & 1))
    };
    let mut word = Word::of(DeviceKind::Contact);
    // Raw end of the scale, its lowest value and its step, in thousandths; above the end nothing was measured.
    for (measure, at, size, end, low, step, unit) in [
        ("temperature", 0, 10, 1_000, -40_000, 100, "°C"),
        ("relative_humidity", 10, 8, 200, 0, 500, "%"),
        ("illumination", 18, 17, 100_000, 0, 1_000, "lx"),
        ("acceleration_x", 37, 10, 1_000, -2_500, 5, "g"),
        ("acceleration_y", 47, 10, 1_000, -2_500, 5, "g"),
        ("acceleration_z", 57, 10, 1_000, -2_500, 5, "g"),
    ] {
        let raw = field(at, size);
        word = if raw <= end { word.value(measure, low + i64::from(raw) * step, unit) } else { word.fault() };
    }
    word = match field(35, 2) {
        0 => word.vibration(false), // sent by its clock
        1 | 2 => word.vibration(true),
        _ => word.fault(),
    };
    Ok(word.state(if field(67, 1) == 1 { DeviceState::Closed } else { DeviceState::Open }))
}
