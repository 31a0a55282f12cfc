//! How much went over the path that is paid for, this month: what the kernel counts, made to outlive its interface, the daemon
//! and the board. It tells when the agreed amount is nearly used and when it is; it holds nothing back.

use serde::Deserialize;
use serde::Serialize;
use vakt_core::port::DataUsed;
use vakt_core::stamp::Stamp;

/// The agreed amount is in millions of bytes, as operators sell it.
const MB: u64 = 1_000_000;
/// Told when so much of it is used, in per cent.
const TOLD_AT: [u8; 2] = [100, 80];

/// What must be known after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The month, `2026-11`; empty while no trusted clock has said which it is.
    month: String,
    bytes: u64,
    /// What of it was told.
    told: u8,
    /// Where the kernel's counter stood, and in which boot: a daemon that is started anew goes on from there.
    counter: Option<(u32, u64)>,
}

impl Record {
    /// What the kernel counts now, received and sent; `None`: there is no such interface. What share of the agreed amount is
    /// to be told, in per cent.
    pub fn count(&mut self, now: Stamp, counter: Option<u64>, monthly_mb: Option<u64>) -> Option<u8> {
        let month = now.at();
        let month = month.get(..7).filter(|_| now.trusted).unwrap_or("");
        if self.month.is_empty() {
            month.clone_into(&mut self.month);
        } else if month > self.month.as_str() {
            // A clock that falls back begins no month: what was used stays used.
            *self = Self { month: month.to_owned(), counter: self.counter, ..Self::default() };
        }
        if let Some(counter) = counter {
            let before = self.counter.filter(|(boot, before)| *boot == now.boot && *before <= counter);
            self.bytes = self.bytes.saturating_add(counter - before.map_or(0, |(_, before)| before));
            self.counter = Some((now.boot, counter));
        }
        let agreed = monthly_mb?.saturating_mul(MB).max(1);
        let used = |percent: &u8| u128::from(self.bytes) * 100 >= u128::from(agreed) * u128::from(*percent);
        let percent = TOLD_AT.into_iter().find(used).filter(|percent| *percent > self.told)?;
        self.told = percent;
        Some(percent)
    }

    /// Used so far, in millions of bytes, rounded down.
    pub fn used_mb(&self) -> u64 {
        self.bytes / MB
    }

    /// What is shown of it.
    pub fn shown(&self, monthly_mb: Option<u64>) -> DataUsed {
        DataUsed { month: self.month.clone(), bytes: self.bytes, monthly_mb }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVEMBER: i64 = 1_795_210_740_007;
    const DECEMBER: i64 = NOVEMBER + 20 * 86_400_000;

    fn at(boot: u32, wall_ms: i64, trusted: bool) -> Stamp {
        Stamp { boot, mono_ms: 0, wall_ms, trusted }
    }

    #[test]
    fn it_is_told_at_four_fifths_and_when_it_is_used_up_and_each_once() {
        let mut record = Record::default();
        let mut count = |mb: u64, wall_ms| record.count(at(1, wall_ms, true), Some(mb * MB), Some(500));
        assert_eq!(count(399, NOVEMBER), None);
        assert_eq!(count(400, NOVEMBER), Some(80));
        assert_eq!(count(499, NOVEMBER), None);
        assert_eq!(count(500, NOVEMBER), Some(100));
        assert_eq!(count(900, NOVEMBER), None);
        assert_eq!(count(901, DECEMBER), None, "a month begins");
        assert_eq!(record.shown(Some(500)), DataUsed { month: "2026-12".to_owned(), bytes: MB, monthly_mb: Some(500) });
    }

    #[test]
    fn a_month_goes_on_over_interfaces_daemons_and_boards() {
        let mut record = Record::default();
        let mut count = |boot, bytes| record.count(at(boot, NOVEMBER, true), bytes, None);
        // The interface goes, comes back with its counter at nothing, and the board starts anew.
        for (boot, bytes) in [(1, Some(100)), (1, None), (1, Some(30)), (1, Some(40)), (2, Some(50))] {
            assert_eq!(count(boot, bytes), None);
        }
        assert_eq!(record.bytes, 190);
        let mut kept: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        kept.count(at(2, NOVEMBER, true), Some(60), None);
        assert_eq!(kept.bytes, 200, "what went while the daemon was down is counted too");
    }

    #[test]
    fn a_counter_that_makes_no_sense_stops_at_the_largest_number() {
        let mut record = Record::default();
        record.count(at(1, NOVEMBER, true), Some(u64::MAX), None);
        record.count(at(2, NOVEMBER, true), Some(u64::MAX), Some(500));
        assert_eq!(record.bytes, u64::MAX);
    }

    #[test]
    fn a_clock_that_is_not_trusted_begins_no_month() {
        let mut record = Record::default();
        record.count(at(1, 0, false), Some(10), None);
        assert_eq!(record.month, "");
        record.count(at(1, DECEMBER, true), Some(20), None);
        record.count(at(2, 0, false), Some(5), None);
        record.count(at(2, NOVEMBER, true), Some(6), None);
        assert_eq!(record.shown(None), DataUsed { month: "2026-12".to_owned(), bytes: 26, monthly_mb: None });
    }
}
