//! What a Door Lock server holds beside its users (07-5123, 7.3.2.1 to 7.3.2.13), and the alarms it sends through the
//! Alarms cluster (07-5123, chapter 3.11 and table 7-14). Bytes here; an attribute of another type than the standard's
//! is no value: its bits would mean something else.

use crate::zigbee::bytes::Reader;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::zcl::Direction;
use crate::zigbee::zcl::Header;
use crate::zigbee::zcl::Scope;
use crate::zigbee::zcl_global::Attribute;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_global::Reporting;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;

/// The Alarms cluster's id.
pub const ALARMS: u16 = 0x0009;

/// The cluster's attributes.
pub mod attribute {
    #![allow(missing_docs)] // the standard's own names
    pub const LOCK_STATE: u16 = 0x0000;
    pub const DOOR_STATE: u16 = 0x0003;
    pub const NUMBER_OF_TOTAL_USERS: u16 = 0x0011;
    pub const NUMBER_OF_PIN_USERS: u16 = 0x0012;
    pub const NUMBER_OF_RFID_USERS: u16 = 0x0013;
    pub const NUMBER_OF_WEEK_DAYS: u16 = 0x0014;
    pub const NUMBER_OF_YEAR_DAYS: u16 = 0x0015;
    pub const MAX_PIN_LENGTH: u16 = 0x0017;
    pub const MIN_PIN_LENGTH: u16 = 0x0018;
    pub const MAX_RFID_LENGTH: u16 = 0x0019;
    pub const MIN_RFID_LENGTH: u16 = 0x001A;
    pub const AUTO_RELOCK_TIME: u16 = 0x0023;
    pub const OPERATING_MODE: u16 = 0x0025;
    pub const WRONG_CODE_ENTRY_LIMIT: u16 = 0x0030;
    pub const USER_CODE_TEMPORARY_DISABLE_TIME: u16 = 0x0031;
    pub const SEND_PIN_OVER_THE_AIR: u16 = 0x0032;
    pub const REQUIRE_PIN_FOR_RF_OPERATION: u16 = 0x0033;
    pub const SECURITY_LEVEL: u16 = 0x0034;
    pub const ALARM_MASK: u16 = 0x0040;
    /// Operation events of keypad, radio, hand and tag, then programming events of keypad, radio and tag.
    pub const EVENT_MASKS: [u16; 7] = [0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047];
}

/// OperatingMode in which the lock does not obey the radio (07-5123, table 7-11).
pub const MODE_NO_RF: u8 = 3;

/// A report at least so often, s: a lock's silence is noticed by the hub's own supervision within the hour, and a state
/// that was missed once is told again.
const REPORT_MAX_S: u16 = 1_800;

/// What is read in one go. A whole answer must fit one frame: a lock leaves out what does not.
pub mod group {
    use super::attribute::*;

    /// How it stands.
    pub const STATE: &[u16] = &[LOCK_STATE, DOOR_STATE];
    /// How many users it takes and how long codes may be.
    pub const LIMITS: &[u16] = &[
        NUMBER_OF_TOTAL_USERS,
        NUMBER_OF_PIN_USERS,
        NUMBER_OF_RFID_USERS,
        NUMBER_OF_WEEK_DAYS,
        NUMBER_OF_YEAR_DAYS,
        MAX_PIN_LENGTH,
        MIN_PIN_LENGTH,
        MAX_RFID_LENGTH,
        MIN_RFID_LENGTH,
    ];
    /// What it demands and does by itself.
    pub const BEHAVIOUR: &[u16] = &[
        AUTO_RELOCK_TIME,
        OPERATING_MODE,
        WRONG_CODE_ENTRY_LIMIT,
        USER_CODE_TEMPORARY_DISABLE_TIME,
        SEND_PIN_OVER_THE_AIR,
        REQUIRE_PIN_FOR_RF_OPERATION,
        SECURITY_LEVEL,
    ];
    /// Which alarms and events it tells.
    pub const MASKS: &[u16] = &[ALARM_MASK, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047];
}

/// The type the standard gives an attribute this hub reads.
fn data_type(id: u16) -> Option<DataType> {
    use attribute::*;
    Some(match id {
        LOCK_STATE | DOOR_STATE | OPERATING_MODE | SECURITY_LEVEL => DataType::ENUM8,
        NUMBER_OF_TOTAL_USERS | NUMBER_OF_PIN_USERS | NUMBER_OF_RFID_USERS => DataType::UINT16,
        NUMBER_OF_WEEK_DAYS
        | NUMBER_OF_YEAR_DAYS
        | MAX_PIN_LENGTH
        | MIN_PIN_LENGTH
        | MAX_RFID_LENGTH
        | MIN_RFID_LENGTH
        | WRONG_CODE_ENTRY_LIMIT
        | USER_CODE_TEMPORARY_DISABLE_TIME => DataType::UINT8,
        AUTO_RELOCK_TIME => DataType::UINT32,
        SEND_PIN_OVER_THE_AIR | REQUIRE_PIN_FOR_RF_OPERATION => DataType::BOOL,
        ALARM_MASK..=0x0047 => DataType::BITMAP16,
        _ => return None,
    })
}

/// An attribute that is told, as a number. `None`: it is not told.
///
/// # Errors
/// `bad_value` where it has another type than the standard's.
pub fn number(told: &Global, id: u16) -> Result<Option<u32>, Refused> {
    let Some((_, value)) = told.told().find(|(told, _)| *told == id) else { return Ok(None) };
    let right = data_type(id).filter(|right| *right == value.data_type());
    let bits = right.and_then(|_| value.bits()).and_then(|bits| u32::try_from(bits).ok());
    let text = || format!("attribute 0x{id:04x} of Door Lock is a {}", value.data_type().name());
    bits.map(Some).ok_or_else(|| Refused::new(Reason::BadValue, 0, text()))
}

/// Asks for attributes.
pub fn read(tsn: u8, group: &[u16]) -> Vec<u8> {
    Global::Read(group.to_vec()).request(tsn)
}

/// Has every alarm and every event told.
pub fn write_masks(tsn: u8) -> Vec<u8> {
    let every = |id: &u16| Some(Attribute { id: *id, value: Value::fixed(DataType::BITMAP16, 0xFFFF)? });
    Global::Write(group::MASKS.iter().filter_map(every).collect()).request(tsn)
}

/// Has it lock by itself so many seconds after it was unlocked; 0: never.
pub fn write_auto_relock(tsn: u8, seconds: u32) -> Vec<u8> {
    let value = Value::fixed(DataType::UINT32, u64::from(seconds)).expect("a uint32");
    Global::Write(vec![Attribute { id: attribute::AUTO_RELOCK_TIME, value }]).request(tsn)
}

/// The reports a lock is asked for when it joins: at once when it changes, and again before long.
pub fn reports() -> Vec<Reporting> {
    let one = |id| Reporting::Send { id, data_type: DataType::ENUM8, min_s: 0, max_s: REPORT_MAX_S, change: None };
    group::STATE.iter().copied().map(one).collect()
}

/// A lock's alarm by its code; the Alarms cluster says whose it is. `None`: another cluster's.
///
/// # Errors
/// `too_short`; `not_supported` for other commands of the Alarms cluster.
pub fn alarm(header: &Header, reader: &mut Reader) -> Result<Option<u8>, Refused> {
    let ours = (header.scope, header.direction, header.manufacturer, header.command);
    if ours != (Scope::Cluster, Direction::ToClient, None, 0) {
        return Err(Refused::new(Reason::NotSupported, 0, "not an alarm of an Alarms server"));
    }
    let code = reader.u8("the alarm code")?;
    let cluster = reader.u16("the cluster")?;
    Ok((cluster == crate::zigbee::door_lock::CLUSTER).then_some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zigbee::bytes::from_hex;
    use crate::zigbee::zcl_json::plain;

    fn heard(frame: &str) -> Global {
        let bytes = from_hex(&frame.replace(' ', "")).unwrap();
        let reader = &mut Reader::new(&bytes).unwrap();
        let header = Header::parse(reader).unwrap();
        Global::parse(header.command, reader).unwrap()
    }

    #[test]
    fn settings_are_asked_for_and_written_as_the_standard_says() {
        assert_eq!(plain(&read(7, group::STATE)), "10070000000300");
        assert_eq!(plain(&write_auto_relock(7, 0)), "100702230023 00000000".replace(' ', ""));
        assert_eq!(
            plain(&write_masks(7)),
            "100702 400019FFFF 410019FFFF 420019FFFF 430019FFFF 440019FFFF 450019FFFF 460019FFFF 470019FFFF"
                .replace(' ', "")
        );
        assert_eq!(group::MASKS[1..], attribute::EVENT_MASKS);
        for group in [group::STATE, group::LIMITS, group::BEHAVIOUR, group::MASKS] {
            let bytes: usize = group.iter().map(|id| data_type(*id).map_or(99, |_| 4 + 4)).sum();
            assert!(bytes <= 74, "{bytes}: the answer would not fit a frame"); // 82 of APS, less security and header
            assert!(group.iter().all(|id| data_type(*id).is_some()));
        }
    }

    #[test]
    fn an_attribute_of_another_type_is_no_value() {
        let told = heard("18 01 01 0000 00 30 01 0300 86 2300 00 23 1E000000");
        assert_eq!(number(&told, attribute::LOCK_STATE), Ok(Some(1)));
        assert_eq!(number(&told, attribute::DOOR_STATE), Ok(None), "unsupported");
        assert_eq!(number(&told, attribute::AUTO_RELOCK_TIME), Ok(Some(30)));
        let odd = heard("18 01 0A 0000 20 01");
        assert_eq!(number(&odd, attribute::LOCK_STATE).unwrap_err().kind, Reason::BadValue);
    }

    #[test]
    fn an_alarm_names_its_cluster() {
        let heard = |frame: &str| {
            let bytes = from_hex(&frame.replace(' ', "")).unwrap();
            let reader = &mut Reader::new(&bytes)?;
            let header = Header::parse(reader)?;
            alarm(&header, reader)
        };
        assert_eq!(heard("09 01 00 05 0101"), Ok(Some(5)));
        assert_eq!(heard("09 01 00 05 0100"), Ok(None), "Power Configuration's");
        assert_eq!(heard("09 01 00 05").unwrap_err().kind, Reason::TooShort);
        assert_eq!(heard("01 01 00 05 0101").unwrap_err().kind, Reason::NotSupported);
    }
}
