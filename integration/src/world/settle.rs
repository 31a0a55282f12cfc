//! What must come in time: a silent detector is missed, and when everything is well again everything comes to rest. A hub
//! that does nothing wrong because it does nothing fails here.

use super::World;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::detectors::MODELS;
use super::detectors::number_of;
use super::faults::Faults;
use super::story::MINUTE;
use std::collections::BTreeSet;
use vakt_core::device::DeviceId;
use vakt_core::event::Class;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::stamp::Stamp;

/// How much later than its window a silence may be told: the hub looks when something happens or is due, and not while
/// its disk fails.
const GRACE_MS: u64 = 3 * MINUTE;
/// How long everything may take to come to rest, once it is well again: two spans of the slowest back-off, the widest
/// pause between two sendings and what is in between.
const REST_MS: u64 = 30 * MINUTE;

impl World {
    /// For how long a detector has been silent, as far as this process can know.
    fn silent_ms(&self, n: usize, now: Stamp) -> u64 {
        let Some(hub) = self.hub.as_ref() else { return 0 };
        let last = self.heard[n].filter(|at| at.boot == now.boot).map_or(0, |at| at.mono_ms);
        now.mono_ms - last.max(hub.since.mono_ms)
    }

    /// Who is told to be missing has been silent for long enough.
    pub(super) fn missed_rightly(&self, id: &DeviceId, now: Stamp) -> Held {
        let n = number_of(id);
        let silent = n.map_or(0, |n| self.silent_ms(n, now));
        match n.and_then(|n| MODELS[n].missed_after_ms()) {
            Some(window) if silent + 1 >= window => Ok(()),
            _ => broken(Check::Silent, format!("{id} is called missing after {silent} ms")),
        }
    }

    /// Who has been silent for too long has been told to be missing.
    pub(super) fn nobody_is_forgotten(&self) -> Held {
        let waits = self.disk_fault.is_some() || self.now < self.disk_failed_at + GRACE_MS;
        if self.hub.is_none() || waits {
            return Ok(());
        }
        let now = self.clock.stamp(self.now);
        for (n, model) in MODELS.iter().enumerate() {
            let Some(window) = model.missed_after_ms() else { continue };
            let silent = self.silent_ms(n, now);
            if silent > window + GRACE_MS && !self.missing[n] {
                let what = format!("{} has been silent for {silent} ms, and nobody was told", model.id);
                return broken(Check::Silent, what);
            }
        }
        Ok(())
    }

    /// Everything is healed, and must come to rest within bounded time.
    pub(super) fn settles(&mut self) -> Held {
        self.settling = true;
        self.story.faults = Faults::default();
        self.kill = None;
        self.disk_heals();
        for at in 0..self.links.len() {
            self.links[at].weather = None;
            self.kernel_rings(at);
        }
        self.centre_leaves(0, true);
        self.trace.note(self.now, "world", format_args!("everything is well again"));
        if self.hub.is_none() {
            if std::mem::take(&mut self.dark) {
                self.clock.boots(self.now, 0);
                self.clock.finds_time();
            }
            self.starts()?;
        }
        let begun = self.now;
        while self.now < begun + REST_MS {
            let until = self.now + MINUTE;
            while self.step(until)? {}
            // What falls due at this very moment is done first.
            self.clock_moved();
            self.hub_works()?;
            if self.now > begun + 2 * MINUTE && self.at_rest() {
                break;
            }
        }
        self.look()?;
        self.no_life_was_lost()?;
        if !self.at_rest() {
            let left = self.unsent();
            return broken(Check::Settles, format!("{left} events still wait for the centre after {REST_MS} ms"));
        }
        self.nothing_was_lost()?;
        self.areas_agree()?;
        self.sounds_right()
    }

    fn at_rest(&self) -> bool {
        let idle = self.hub.as_ref().is_some_and(|hub| hub.disk_well() && hub.pending.is_empty());
        idle && self.unsent() == 0
    }

    /// Rows without the centre's receipt.
    fn unsent(&self) -> usize {
        let Some(hub) = self.hub.as_ref() else { return 0 };
        let asked = |class| NextEvents { class, after: Place::default(), limit: 1_000 };
        let rows = |class| hub.reader.next(&asked(class)).map_or(1, |rows| rows.len());
        Class::ALL.into_iter().map(rows).sum()
    }

    /// What somebody's life hung on has come to the centre, on record or before.
    fn no_life_was_lost(&self) -> Held {
        let held: BTreeSet<&str> = self.centre.ledger.rows().map(|row| row.id.as_str()).collect();
        let lost = self.evidence.life.iter().find(|(id, _)| !held.contains(id.to_string().as_str()));
        match lost {
            Some((id, kind)) => broken(Check::Life, format!("{kind:?} {id} was lost on its way")),
            None => Ok(()),
        }
    }

    /// The centre holds what the journal holds, each once.
    fn nothing_was_lost(&self) -> Held {
        let mut rows = self.centre.ledger.rows().filter(|row| row.seq.is_some());
        for (place, seen) in &self.evidence.rows {
            let Some(row) = rows.next() else {
                return broken(Check::Delivered, format!("{place:?} never came to the centre"));
            };
            if (row.epoch, row.seq) != (Some(place.epoch), Some(place.seq)) || row.id != seen.id.to_string() {
                return broken(Check::Delivered, format!("{place:?} never came; {:?} did", (row.epoch, row.seq)));
            }
        }
        match rows.next() {
            Some(row) => broken(Check::Delivered, format!("the centre holds {}, which is not on record", row.id)),
            None => Ok(()),
        }
    }
}
