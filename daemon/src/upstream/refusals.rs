//! What a flood of rubbish may cost: a note a minute for each reason, with its count, and a few replies a second.
//!
//! It never sees what was refused, so it can keep nothing of it.

use std::collections::BTreeMap;

/// Between two notes about the same refusal, in milliseconds; those between are counted.
pub const REFUSAL_EVERY_MS: u64 = 60_000;

/// Counts refusals by their reason.
#[derive(Debug, Clone)]
pub struct Refusals<R> {
    seen: BTreeMap<R, (u64, Option<u64>)>,
}

impl<R> Default for Refusals<R> {
    fn default() -> Self {
        Self { seen: BTreeMap::new() }
    }
}

impl<R: Ord> Refusals<R> {
    /// One more, at `now_ms`: how many there are to be told of, unless the last note is too young.
    pub fn count(&mut self, refused: R, now_ms: u64) -> Option<u64> {
        let (count, told) = self.seen.entry(refused).or_default();
        *count += 1;
        if told.is_some_and(|at| now_ms < at + REFUSAL_EVERY_MS) {
            return None;
        }
        *told = Some(now_ms);
        Some(std::mem::take(count))
    }
}

/// So many in a second, and no more.
#[derive(Debug, Clone)]
pub struct Rate {
    most: u32,
    since_ms: u64,
    taken: u32,
}

impl Rate {
    /// At most so many a second.
    pub fn a_second(most: u32) -> Self {
        Self { most, since_ms: 0, taken: 0 }
    }

    /// Whether one more may be, at `now_ms`; then it counts.
    pub fn take(&mut self, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.since_ms) >= 1_000 {
            (self.since_ms, self.taken) = (now_ms, 0);
        }
        let free = self.taken < self.most;
        self.taken += u32::from(free);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_rubbish_is_a_note_a_minute_with_its_count() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.count("forged", 0), Some(1));
        for at in 1..1_000 {
            assert_eq!(refusals.count("forged", at), None);
        }
        assert_eq!(refusals.count("expired", 5), Some(1));
        assert_eq!(refusals.count("forged", REFUSAL_EVERY_MS), Some(1_000));
    }

    #[test]
    fn ten_a_second_are_ten_a_second() {
        let mut rate = Rate::a_second(10);
        let within = |rate: &mut Rate, from: u64| (from..from + 1_000).filter(|at| rate.take(*at)).count();
        assert_eq!(within(&mut rate, 5_000), 10);
        assert_eq!(within(&mut rate, 6_000), 10);
        assert!(rate.take(90_000));
    }
}
