//! What will happen, by time: the twin's only notion of "later". Equal times keep the order they were written in.

use std::collections::BTreeMap;
use std::time::Duration;

/// The list.
#[derive(Debug)]
pub struct Agenda<T> {
    entries: BTreeMap<(Duration, u64), T>,
    count: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), count: 0 }
    }
}

impl<T> Agenda<T> {
    /// Writes it down.
    pub fn at(&mut self, time: Duration, what: T) {
        self.entries.insert((time, self.count), what);
        self.count += 1;
    }

    /// The next thing that is due, and when it was.
    pub fn take(&mut self, now: Duration) -> Option<(Duration, T)> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((time, _), what) = entry.remove_entry();
        Some((time, what))
    }

    /// When the next thing is due.
    pub fn due(&self) -> Option<Duration> {
        self.entries.first_key_value().map(|((time, _), _)| *time)
    }

    /// Strikes out what `keep` refuses.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|_, what| keep(what));
    }
}
