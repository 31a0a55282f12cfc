//! Which zones are still to be asked how they stand: all of them after a start, and whenever a word may have been lost.
//!
//! A zone is asked until it was heard, later and later, because one that sleeps or whose question was lost would else
//! stay as it was before the hub went away. It never asks everybody at once, and begins with whoever has waited longest.

use crate::zigbee::eui64::Eui64;
use std::collections::BTreeMap;

/// A zone.
pub(crate) type ZoneAt = (Eui64, u8);

/// The first wait for an answer, ms: twice what the stick keeps a question for a sleeper. It doubles.
const FIRST_MS: u64 = 16_000;
/// The longest wait, ms.
const LONGEST_MS: u64 = 3_600_000;
/// Between two rounds over everybody, ms: a stick without room is not helped by as many answers.
const ROUND_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub(crate) struct Asking {
    due: BTreeMap<ZoneAt, (u64, u32)>,
    round_ms: Option<u64>,
}

impl Asking {
    /// Nothing is known of anybody: the stick was started anew.
    pub(crate) fn anew(&mut self, zones: impl Iterator<Item = ZoneAt>, now_ms: u64) {
        self.due = zones.map(|zone| (zone, (now_ms, 0))).collect();
        self.round_ms = Some(now_ms);
    }

    /// Somebody's word was lost, and nobody knows whose.
    pub(crate) fn round(&mut self, zones: impl Iterator<Item = ZoneAt>, now_ms: u64) {
        let from_ms = match self.round_ms {
            None => now_ms,
            // One is to come already.
            Some(next) if next > now_ms => next,
            Some(last) => now_ms.max(last + ROUND_MS),
        };
        for zone in zones {
            self.due.entry(zone).or_insert((from_ms, 0));
        }
        self.round_ms = Some(from_ms);
    }

    /// This one is to be asked now.
    pub(crate) fn ask(&mut self, zone: ZoneAt, now_ms: u64) {
        self.due.insert(zone, (now_ms, 0));
    }

    /// It was heard, or is not there any more.
    pub(crate) fn settled(&mut self, zone: ZoneAt) {
        self.due.remove(&zone);
    }

    /// Whom to ask now.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<ZoneAt> {
        let (zone, (due, times)) = self.due.iter_mut().min_by_key(|(_, (due, _))| *due)?;
        if *due > now_ms {
            return None;
        }
        *due = now_ms + (FIRST_MS << (*times).min(16)).min(LONGEST_MS);
        *times += 1;
        Some(*zone)
    }

    /// When the next one is due, ms.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due.values().map(|(due, _)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONES: [ZoneAt; 3] = [(Eui64(1), 1), (Eui64(2), 1), (Eui64(2), 2)];

    #[test]
    fn each_is_asked_until_it_is_heard_and_a_storm_of_rounds_is_one_round() {
        let mut asking = Asking::default();
        (0..20).for_each(|ms| asking.round(ZONES.into_iter(), ms));
        let asked: Vec<_> = std::iter::from_fn(|| asking.next(20)).collect();
        assert_eq!(asked, ZONES);
        asking.settled(ZONES[0]);
        assert_eq!(asking.next(20 + FIRST_MS), Some(ZONES[1]));
        asking.round(ZONES.into_iter(), 21 + FIRST_MS);
        let due: Vec<_> = std::iter::from_fn(|| asking.next(21 + FIRST_MS)).collect();
        assert_eq!(due, [ZONES[2], ZONES[0]], "who has waited longest is first");
        let mut now_ms = 100_000;
        for _ in 0..40 {
            now_ms = now_ms.max(asking.due_ms().unwrap());
            assert!(asking.next(now_ms).is_some());
            assert!(asking.due_ms().unwrap() <= now_ms + LONGEST_MS);
        }
    }
}
