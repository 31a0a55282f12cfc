//! What inspection detectors remember: how often, and when last, they found smoke. They do not send when it burns; that a
//! counter or a date has moved since the last telegram says that it has burnt since, or that somebody has cooked.
//!
//! It reads, and compares with nothing: what follows from it the core decides. Sources: wmbusmeters drivers ei6500 and
//! qsmoke, OMS TR-05 (`#AL` counts alarms).

use crate::subghz::wmbus_record::Record;
use crate::subghz::wmbus_tpl::Telegram;
use serde_json::Value;
use vakt_core::alarm::past::Past;

/// What a telegram tells of the past, of a detector that remembers; `records` are the telegram's.
pub fn past(telegram: &Telegram, records: &[Record]) -> Option<Past> {
    let address = telegram.address;
    let (is_counter, is_day): (Test, Test) = match (address.maker().as_str(), address.version, address.medium) {
        // Cumulation counter and date of tariff 1 in sub-unit 1, the detector's head.
        ("EIE", 0x0C, 0x1A) => (
            |r| r.vif == [0xFD, 0x61] && (r.storage, r.tariff, r.subunit) == (0, 1, 1),
            |r| r.vif == [0x6C] && (r.storage, r.tariff, r.subunit) == (0, 1, 1),
        ),
        // Both in storage 6, the counter under the plain text `#AL`.
        ("QDS" | "LSE", 0x21 | 0x23, 0x1A) => {
            (|r| r.unit == "#AL" && r.storage == 6, |r| r.vif == [0x6C] && (r.storage, r.tariff) == (6, 0))
        }
        _ => return None,
    };
    let find = |test: Test| records.iter().find(|record| test(record));
    let alarms = find(is_counter).and_then(|record| record.bits);
    let last = find(is_day).and_then(|record| match &record.value {
        // A date of every year begins with a dash and is no day.
        Value::String(day) if day.starts_with(|c: char| c.is_ascii_digit()) => Some(day.clone()),
        _ => None,
    });
    let past = Past { alarms, last };
    (past != Past::default()).then_some(past)
}

type Test = fn(&Record) -> bool;
