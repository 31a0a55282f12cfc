//! What inspection detectors remember: how often, and when last, they found smoke. They do not send when it burns; that a
//! counter or a date has moved since the last telegram says that it has burnt since, or that somebody has cooked.
//!
//! It compares and remembers, no more. It is no live alarm and never becomes a state: what follows from it the core
//! decides. Sources: wmbusmeters drivers ei6500 and qsmoke, OMS TR-05 (`#AL` counts alarms).

use crate::subghz::wmbus_record::Record;
use crate::subghz::wmbus_tpl::Telegram;
use serde_json::Value;
use std::collections::BTreeMap;
use vakt_core::device::DeviceId;

/// Detectors that are remembered; a site has some tens. Whoever comes later is not compared, and is told of as
/// [`Seen::NotRemembered`].
pub const REMEMBERED_MAX: usize = 512;

/// What a telegram tells of the past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// Alarms since the detector was made, where it counts them.
    pub alarms: Option<u64>,
    /// The day of the last, `2022-05-24`, by the detector's own calendar; `None` where there was none or it is no day.
    pub last: Option<String>,
}

/// The mark in a telegram of a detector that leaves one; `records` are the telegram's.
pub fn mark(telegram: &Telegram, records: &[Record]) -> Option<Mark> {
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
    let mark = Mark { alarms, last };
    (mark != Mark::default()).then_some(mark)
}

type Test = fn(&Record) -> bool;

/// What a mark says, beside what was known of its detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first of this detector: nothing to compare it with.
    First,
    /// No alarm since.
    Unmoved,
    /// It found smoke since its last telegram.
    Moved,
    /// The memory is full, see [`REMEMBERED_MAX`].
    NotRemembered,
}

/// The marks of a site's detectors, whichever receiver heard them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    marks: BTreeMap<DeviceId, Mark>,
}

impl Memory {
    /// Compares a mark with the highest known of its detector, and keeps the higher. An old telegram, heard again, moves
    /// nothing, and neither does the newest after it.
    pub fn see(&mut self, device: &DeviceId, mark: &Mark) -> Seen {
        let Some(known) = self.marks.get_mut(device) else {
            if self.marks.len() == REMEMBERED_MAX {
                return Seen::NotRemembered;
            }
            self.marks.insert(device.clone(), mark.clone());
            return Seen::First;
        };
        let counted = known.alarms.is_some() && mark.alarms > known.alarms;
        // A first day is a move only where no counter can say so: else an early telegram had merely left the day out.
        let dated = mark.last > known.last && (known.last.is_some() || mark.alarms.is_none());
        known.alarms = mark.alarms.max(known.alarms);
        known.last = mark.last.clone().max(known.last.take());
        if counted || dated { Seen::Moved } else { Seen::Unmoved }
    }

    /// A detector that is no longer the site's.
    pub fn forget(&mut self, device: &DeviceId) {
        self.marks.remove(device);
    }
}
