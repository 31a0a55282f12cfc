//! What is asked of a lock again and again until it has answered, later and later, and which of its settings are still
//! to be read or written. Knows no radio and no clock.

use crate::zigbee::lock_words::Ask;
use crate::zigbee::lock_words::Part;
use std::collections::VecDeque;

/// A question that was not answered is asked again after this, ms, and later and later.
const FIRST_AGAIN_MS: u64 = 15_000;
/// But at least so often, ms.
const LONGEST_AGAIN_MS: u64 = 900_000;

/// Something asked again and again until it is answered.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    pub(crate) due_ms: Option<u64>,
    pub(crate) silences: u32,
}

impl Patience {
    pub(crate) fn from(&mut self, at_ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(at_ms, |due| due.min(at_ms)));
        self.silences = 0;
    }

    pub(crate) fn silent(&mut self, now_ms: u64) {
        let wait = FIRST_AGAIN_MS << self.silences.min(6);
        self.silences = self.silences.saturating_add(1);
        self.due_ms = Some(now_ms + wait.min(LONGEST_AGAIN_MS));
    }

    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms.is_some_and(|due| due <= now_ms)
    }

    pub(crate) fn over(&mut self) {
        *self = Self::default();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chore {
    Read(Part),
    Masks,
    Relock(u32),
    RelockBack(u32),
}

/// Settings still to be read or written.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    pub(crate) todo: VecDeque<Chore>,
    pub(crate) patience: Patience,
    /// Once since the lock was last known to have forgotten them: one that does not keep them is not asked for ever.
    pub(crate) masks_written: bool,
    pub(crate) relock_s: Option<u32>,
}

impl Chores {
    pub(crate) fn all(&mut self, now_ms: u64) {
        self.todo.retain(|chore| matches!(chore, Chore::Relock(_) | Chore::RelockBack(_)));
        self.todo.extend([Part::Behaviour, Part::Limits, Part::Masks].map(Chore::Read));
        self.patience.from(now_ms);
    }

    pub(crate) fn first(&mut self, chore: Chore, now_ms: u64) {
        self.todo.retain(|old| std::mem::discriminant(old) != std::mem::discriminant(&chore));
        self.todo.push_front(chore);
        self.patience.from(now_ms);
    }

    pub(crate) fn next(&self, now_ms: u64) -> Option<Ask> {
        let chore = self.todo.front().filter(|_| self.patience.is_due(now_ms))?;
        Some(match chore {
            Chore::Read(part) => Ask::Settings(*part),
            Chore::Masks => Ask::WriteMasks,
            Chore::Relock(seconds) => Ask::WriteAutoRelock(*seconds),
            Chore::RelockBack(_) => Ask::Settings(Part::Behaviour),
        })
    }
}
