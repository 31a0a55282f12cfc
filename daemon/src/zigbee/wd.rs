//! IAS WD, cluster 0x0502: how a siren is told to sound, to chirp and to stop (07-5123, chapter 8.4). Bytes here; when
//! it is told what stands in `siren`.

use crate::zigbee::named::named;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl_global::Attribute;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;

/// The cluster's id.
pub const CLUSTER: u16 = 0x0502;

/// The longest a siren sounds by itself, s, unless it says otherwise (07-5123, 8.4.2.1.1).
pub const MAX_DURATION_DEFAULT_S: u16 = 240;

/// The cluster's attribute.
pub mod attribute {
    #![allow(missing_docs)] // the standard's own names
    pub const MAX_DURATION: u16 = 0x0000;
}

/// Commands to a siren.
pub mod to_siren {
    #![allow(missing_docs)] // the standard's own names
    pub const START_WARNING: u8 = 0x00;
    pub const SQUAWK: u8 = 0x01;
}

named! {
    /// What is warned of.
    WarningMode {
        Stop = 0 "stop",
        Burglar = 1 "burglar",
        Fire = 2 "fire",
        Emergency = 3 "emergency",
        PolicePanic = 4 "police_panic",
        FirePanic = 5 "fire_panic",
        EmergencyPanic = 6 "emergency_panic",
    }
}

named! {
    /// How loud it sounds, or how bright it flashes.
    Level {
        Low = 0 "low",
        Medium = 1 "medium",
        High = 2 "high",
        VeryHigh = 3 "very_high",
    }
}

named! {
    /// What a chirp means.
    SquawkMode {
        SystemIsArmed = 0 "system_is_armed",
        SystemIsDisarmed = 1 "system_is_disarmed",
    }
}

/// How a siren sounds and flashes, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// What is warned of.
    pub mode: WarningMode,
    /// How loud.
    pub level: Level,
    /// How bright it flashes; `None`: not at all.
    pub strobe: Option<Level>,
    /// The share of the time that the strobe is lit, per cent, in tens.
    pub duty_percent: u8,
    /// It ends by itself after so long, s.
    pub duration_s: u16,
}

impl Warning {
    /// Silence.
    pub const STOP: Self =
        Self { mode: WarningMode::Stop, level: Level::Low, strobe: None, duty_percent: 0, duration_s: 0 };

    /// The first byte: mode, strobe, level.
    fn info(self) -> u8 {
        self.mode.code() << 4 | u8::from(self.strobe.is_some()) << 2 | self.level.code()
    }
}

/// A short sign, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Squawk {
    /// What it means.
    pub mode: SquawkMode,
    /// How loud.
    pub level: Level,
    /// Whether it flashes.
    pub strobe: bool,
}

/// Tells a siren to sound, or with [`Warning::STOP`] to stop. What became of it comes as a Default Response.
pub fn start_warning(tsn: u8, warning: Warning) -> Vec<u8> {
    let [low, high] = warning.duration_s.to_le_bytes();
    let brightness = warning.strobe.map_or(0, Level::code);
    command(tsn, to_siren::START_WARNING, &[warning.info(), low, high, warning.duty_percent.min(100), brightness])
}

/// Tells a siren to chirp.
pub fn squawk(tsn: u8, squawk: Squawk) -> Vec<u8> {
    let info = squawk.mode.code() << 4 | u8::from(squawk.strobe) << 3 | squawk.level.code();
    command(tsn, to_siren::SQUAWK, &[info])
}

fn command(tsn: u8, command: u8, payload: &[u8]) -> Vec<u8> {
    let wants_answer = Header { scope: Scope::Cluster, no_default_response: false, ..Header::request(tsn, command) };
    wants_answer.message(payload)
}

/// Asks a siren how long it sounds at most.
pub fn read_max_duration(tsn: u8) -> Vec<u8> {
    Global::Read(vec![attribute::MAX_DURATION]).request(tsn)
}

/// Sets how long a siren sounds at most, s.
pub fn write_max_duration(tsn: u8, duration_s: u16) -> Vec<u8> {
    let value = Value::fixed(DataType::UINT16, u64::from(duration_s)).expect("two bytes are a uint16");
    Global::Write(vec![Attribute { id: attribute::MAX_DURATION, value }]).request(tsn)
}

/// How long a siren says that it sounds at most, s; `None` where it does not say, or says 0 or "no value".
///
/// # Errors
/// `bad_value` where the attribute is no number of two bytes.
pub fn max_duration_s(told: &Global) -> Result<Option<u16>, Refused> {
    let Some((_, value)) = told.told().find(|(id, _)| *id == attribute::MAX_DURATION) else { return Ok(None) };
    if value.data_type() != DataType::UINT16 {
        let text = format!("MaxDuration of IAS WD is a {}, it must be a uint16", value.data_type().name());
        return Err(Refused::new(Reason::BadValue, 0, text));
    }
    let seconds = value.unsigned().and_then(|seconds| u16::try_from(seconds).ok());
    Ok(seconds.filter(|seconds| *seconds > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::zcl::Status;

    #[test]
    fn a_siren_is_told_in_the_standards_bytes() {
        let burglar = Warning {
            mode: WarningMode::Burglar,
            level: Level::VeryHigh,
            strobe: Some(Level::High),
            duty_percent: 50,
            duration_s: 180,
        };
        assert_eq!(start_warning(9, burglar), [0x01, 9, 0x00, 0x17, 180, 0, 50, 2]);
        let fire = Warning { mode: WarningMode::Fire, strobe: None, duration_s: 0x0102, duty_percent: 200, ..burglar };
        assert_eq!(start_warning(9, fire), [0x01, 9, 0x00, 0x23, 2, 1, 100, 0]);
        assert_eq!(start_warning(9, Warning::STOP), [0x01, 9, 0x00, 0, 0, 0, 0, 0]);
        let disarmed = Squawk { mode: SquawkMode::SystemIsDisarmed, level: Level::Medium, strobe: true };
        assert_eq!(squawk(9, disarmed), [0x01, 9, 0x01, 0x19]);
        assert_eq!(read_max_duration(9), [0x10, 9, 0x00, 0, 0]);
        assert_eq!(write_max_duration(9, 900), [0x10, 9, 0x02, 0, 0, 0x21, 0x84, 3]);
    }

    #[test]
    fn max_duration_is_believed_in_its_own_type_alone() {
        let told = |data_type, bits| Global::ReadResponse(vec![(0, Ok(Value::fixed(data_type, bits).unwrap()))]);
        assert_eq!(max_duration_s(&told(DataType::UINT16, 1800)), Ok(Some(1800)));
        assert_eq!(max_duration_s(&told(DataType::UINT16, 0xFFFF)), Ok(None));
        assert_eq!(max_duration_s(&told(DataType::UINT16, 0)), Ok(None));
        assert_eq!(max_duration_s(&told(DataType::UINT8, 9)).unwrap_err().kind, Reason::BadValue);
        assert_eq!(max_duration_s(&Global::ReadResponse(vec![(0, Err(Status::UNSUPPORTED_ATTRIBUTE))])), Ok(None));
    }
}
