//! EnOcean profiles of four bytes (A5), DB3 first: motion, contacts, vibration, smoke, climate, with their supply.
//!
//! A supply that is out of order says so by a value above 250; a value of 0 V cannot be measured by what runs on it, so it
//! says nothing. No profile says when a battery is low: see [`LOW_MV`].
//!
//! Source: EnOcean Equipment Profiles 2.6.7, A5-02, A5-04, A5-07, A5-08, A5-14, A5-30. A5-30-03 has four inputs without
//! a meaning; the one meant here is Eltako's smoke detector FRW, which sends 0F and 1F in DB1 (openHAB, A5_30_03_ELTAKO).

use crate::subghz::eep::Word;
use crate::subghz::eep::bytes;
use crate::subghz::eep::not_known;
use crate::subghz::refused::Refused;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Eep;

/// Below it a supply is low, in millivolts. The hub's choice: a transmitter of the STM 300 family, which most of these
/// devices are built on, starts again only above about 2.45 V (its manual's turn-on threshold), and a lithium cell of 3 V
/// has little left there. Who loses: a solar device that lives below it at night is told to be low and well by turns.
pub const LOW_MV: u16 = 2_450;

pub(crate) fn read(eep: Eep, payload: &[u8]) -> Result<Word, Refused> {
    let data = bytes::<4>(eep, payload)?;
    match eep.func {
        0x02 => temperature(eep, data),
        0x04 => climate(eep, data),
        0x07 => motion(eep, data),
        0x08 => ceiling(eep, data),
        0x14 => window(eep, data),
        0x30 if eep.variant == 0x03 => Ok(eltako_smoke(data)),
        _ => Err(not_known(eep)),
    }
}

/// A supply of 0 to 5 V in 250 steps; above are error codes.
fn supply(word: Word, raw: u8) -> Word {
    match raw {
        0 => word,
        1..=250 => volts(word, raw),
        251.. => word.fault(),
    }
}

/// A supply in steps of 20 mV.
fn volts(word: Word, raw: u8) -> Word {
    let millivolts = u16::from(raw) * 20;
    word.low_battery(millivolts < LOW_MV).value("supply_voltage", millivolts.into(), "V")
}

/// A straight line from raw 0 to `end`, in thousandths of the unit.
fn scaled(raw: u16, end: u16, from_milli: i64, to_milli: i64) -> i64 {
    let span = (to_milli - from_milli) * i64::from(raw);
    // Rounded to the nearest; the span is never negative where it is used.
    from_milli + (span + i64::from(end) / 2) / i64::from(end)
}

/// A5-02: temperature, its high end at raw 0.
fn temperature(eep: Eep, [_, db2, db1, _]: [u8; 4]) -> Result<Word, Refused> {
    let word = Word::of(DeviceKind::Climate);
    let of = |low: i64, span: i64| {
        let milli = scaled(u16::from(255 - db1), 255, low * 1_000, (low + span) * 1_000);
        Ok(word.clone().value("temperature", milli, "°C"))
    };
    match eep.variant {
        0x01..=0x0B => of(-40 + 10 * (i64::from(eep.variant) - 0x01), 40),
        0x10..=0x1B => of(-60 + 10 * (i64::from(eep.variant) - 0x10), 80),
        0x20 | 0x30 => {
            let raw = 1023 - (u16::from(db2 & 0x03) << 8 | u16::from(db1));
            let (low, high) = if eep.variant == 0x20 { (-10_000, 41_200) } else { (-40_000, 62_300) };
            Ok(word.value("temperature", scaled(raw, 1023, low, high), "°C"))
        }
        _ => Err(not_known(eep)),
    }
}

/// A5-04: temperature and humidity.
fn climate(eep: Eep, [db3, db2, db1, db0]: [u8; 4]) -> Result<Word, Refused> {
    let word = Word::of(DeviceKind::Climate);
    let low = match eep.variant {
        0x01 => 0,
        0x02 => -20_000,
        0x03 => {
            let humidity = scaled(db3.into(), 255, 0, 100_000);
            let temperature = scaled(u16::from(db2 & 0x03) << 8 | u16::from(db1), 1023, -20_000, 60_000);
            let word = word.value("relative_humidity", humidity, "%");
            return Ok(word.value("temperature", temperature, "°C"));
        }
        _ => return Err(not_known(eep)),
    };
    let high = if eep.variant == 0x01 { 40_000 } else { 60_000 };
    let reading = |word: Word, raw: u8, measure: &str, from: i64, to: i64, unit: &str| match raw {
        0..=250 => word.value(measure, scaled(raw.into(), 250, from, to), unit),
        251.. => word.fault(),
    };
    let word = reading(word, db2, "relative_humidity", 0, 100_000, "%");
    let has_temperature = db0 & 0x02 != 0;
    Ok(if has_temperature { reading(word, db1, "temperature", low, high, "°C") } else { word })
}

/// A5-07: motion. "Uncertain" is these profiles' word for none: no detector of motion knows that nobody is there.
fn motion(eep: Eep, [db3, db2, db1, db0]: [u8; 4]) -> Result<Word, Refused> {
    let word = Word::of(DeviceKind::Motion);
    Ok(match eep.variant {
        0x01 => {
            let word = word.alarm(db1 >= 128);
            let tells_supply = db0 & 0x01 != 0;
            if tells_supply { supply(word, db3) } else { word }
        }
        0x02 => supply(word.alarm(db0 & 0x80 != 0), db3),
        0x03 => {
            let word = supply(word.alarm(db0 & 0x80 != 0), db3);
            match u16::from(db2) << 2 | u16::from(db1) >> 6 {
                lux @ 0..=1000 => word.value("illumination", i64::from(lux) * 1_000, "lx"),
                1001 => word, // too bright to tell
                _ => word.fault(),
            }
        }
        _ => return Err(not_known(eep)),
    })
}

/// A5-08: motion, light and warmth from the ceiling; motion is a cleared bit. Its supply has no error codes.
fn ceiling(eep: Eep, [db3, db2, db1, db0]: [u8; 4]) -> Result<Word, Refused> {
    if eep.variant != 0x01 {
        return Err(not_known(eep));
    }
    let word = Word::of(DeviceKind::Motion).alarm(db0 & 0x02 == 0);
    let word = if db3 == 0 { word } else { volts(word, db3) };
    let word = word.value("illumination", i64::from(db2) * 2_000, "lx");
    Ok(word.value("temperature", i64::from(db1) * 200, "°C"))
}

/// A5-14: contacts and vibration of doors and windows.
fn window(eep: Eep, [db3, db2, _, db0]: [u8; 4]) -> Result<Word, Refused> {
    let bit = |n: u8| db0 >> n & 1 == 1;
    let contact = Word::of(DeviceKind::Contact);
    let open = |open: bool| contact.clone().state(if open { DeviceState::Open } else { DeviceState::Closed });
    let light = |word: Word| match db2 {
        0..=250 => word.value("illumination", i64::from(db2) * 4_000, "lx"),
        251.. => word.fault(),
    };
    let word = match eep.variant {
        0x01 => open(bit(0)),
        0x02 => light(open(bit(0))),
        0x03 => open(bit(0)).vibration(bit(1)),
        0x04 => light(open(bit(0)).vibration(bit(1))),
        0x05 => Word::of(DeviceKind::Vibration).alarm(bit(1)),
        0x06 => light(Word::of(DeviceKind::Vibration).alarm(bit(1))),
        0x07 | 0x08 => {
            let word = open(bit(2)).word("lock", if bit(1) { "unlocked" } else { "locked" });
            if eep.variant == 0x08 { word.vibration(bit(0)) } else { word }
        }
        0x09 | 0x0A => {
            let word = match db0 >> 1 & 0b11 {
                0b00 => open(false).word("handle", "closed"),
                0b01 => open(true).word("handle", "tilted"),
                0b11 => open(true).word("handle", "open"),
                _ => contact.unlisted(),
            };
            if eep.variant == 0x0A { word.vibration(bit(0)) } else { word }
        }
        _ => return Err(not_known(eep)),
    };
    Ok(supply(word, db3))
}

/// A5-30-03 as Eltako's smoke detector has it.
fn eltako_smoke([_, db2, db1, _]: [u8; 4]) -> Word {
    let word = Word::of(DeviceKind::Smoke);
    let word = match db1 {
        0x0F => word.alarm(true),
        0x1F => word.alarm(false),
        _ => word.unlisted(),
    };
    word.value("temperature", scaled(u16::from(255 - db2), 255, 0, 40_000), "°C")
}
