//! What may be pruned: only from the head of an epoch, only what the centre has signed for, never what a start needs.
//!
//! No user can delete an event (requirements, "event log"); this is the only way one ever goes.

use vakt_core::port::Place;

/// Events kept whatever their age (grade 2 asks for 250; a quiet site should still show a year).
pub const KEEP_ROWS: u64 = 10_000;
/// The same when the disk is full: what happens now must be written down, and the centre holds what goes.
pub const KEEP_ROWS_FULL: u64 = 1_000;

/// What is known of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochFacts {
    /// Which.
    pub epoch: u64,
    /// Its first row still here.
    pub first: u64,
    /// Its last row.
    pub last: u64,
    /// What the centre has signed for.
    pub upto: u64,
    /// The last row older than the time rows are kept; `None`: the disk is full, and age is no matter.
    pub old: Option<u64>,
}

/// The last place that may go, if any may. `base`: the older of the two snapshots, from which a start replays.
pub fn prunable(facts: &EpochFacts, base: Place) -> Option<Place> {
    let replay = if base.epoch > facts.epoch {
        facts.last
    } else if base.epoch == facts.epoch {
        base.seq
    } else {
        0
    };
    let kept = if facts.old.is_some() { KEEP_ROWS } else { KEEP_ROWS_FULL };
    let old = facts.old.unwrap_or(facts.last).min(facts.last.saturating_sub(kept));
    let seq = facts.upto.min(old).min(replay);
    (seq >= facts.first).then_some(Place { epoch: facts.epoch, seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: EpochFacts = EpochFacts { epoch: 5, first: 1, last: 50_000, upto: 50_000, old: Some(30_000) };
    const BASE: Place = Place { epoch: 5, seq: 49_000 };

    #[test]
    fn only_what_is_old_receipted_and_not_needed_goes() {
        assert_eq!(prunable(&FACTS, BASE).map(|p| p.seq), Some(30_000), "the age decides");
        assert_eq!(prunable(&EpochFacts { upto: 12, ..FACTS }, BASE).map(|p| p.seq), Some(12), "the receipt decides");
        assert_eq!(prunable(&FACTS, Place { epoch: 5, seq: 7 }).map(|p| p.seq), Some(7), "the replay decides");
        assert_eq!(prunable(&EpochFacts { last: 10_003, old: Some(10_003), ..FACTS }, BASE).map(|p| p.seq), Some(3));
        assert_eq!(
            prunable(&EpochFacts { last: 250, old: Some(250), upto: 250, ..FACTS }, BASE),
            None,
            "few rows stay"
        );
        let full = EpochFacts { old: None, ..FACTS };
        assert_eq!(prunable(&full, Place { epoch: 6, seq: 1 }).map(|p| p.seq), Some(49_000), "a full disk has no age");
        assert_eq!(prunable(&EpochFacts { upto: 12, ..full }, BASE).map(|p| p.seq), Some(12), "and no receipt, no end");
        assert_eq!(prunable(&FACTS, Place { epoch: 4, seq: 9 }), None, "a start still needs this epoch whole");
    }
}
