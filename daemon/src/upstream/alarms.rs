//! The alarms that wait for the centre's word: those with a delivery deadline, and those that went out before the disk
//! answered. It follows the journal whether or not a connection is up, because a miss must be known just then.

use crate::upstream::cursor::PAGE;
use crate::upstream::cursor::read_to;
use crate::upstream::topic::age_ms;
use std::collections::BTreeMap;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::port::NextEvents;
use vakt_core::port::Place;
use vakt_core::port::Stored;
use vakt_core::port::Unjournaled;
use vakt_core::port::UpstreamNote;
use vakt_core::stamp::Stamp;

/// Alarms whose deadline is watched at once. When it is full the oldest already told make room, and if none is told the
/// reading waits: a deadline falls due soon and makes room.
pub const WATCHED_MAX: usize = 256;
/// Unjournaled alarms held. When it is full the hub's channel waits, and the hub decides.
pub const UNJOURNALED_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Watched {
    id: EventId,
    seen_ms: u64,
    /// On the monotonic scale of this boot; negative for what happened before it.
    happened_ms: i64,
    told: bool,
}

/// An alarm without a place in the journal yet.
#[derive(Debug, Clone)]
pub(crate) struct Extra {
    pub(crate) alarm: Unjournaled,
    seen_ms: u64,
    told: bool,
    /// It goes over every connection.
    pub(crate) every_way: bool,
}

/// Everything that waits.
#[derive(Debug, Clone)]
pub(crate) struct Alarms {
    deadline_ms: u64,
    read_to: Place,
    watched: BTreeMap<Place, Watched>,
    /// Alarms up to here go over every connection.
    pub(crate) every_way_to: Place,
    pub(crate) extras: Vec<Extra>,
}

impl Alarms {
    pub(crate) fn new(deadline_ms: u64) -> Self {
        Self {
            deadline_ms,
            read_to: Place::default(),
            watched: BTreeMap::new(),
            every_way_to: Place::default(),
            extras: Vec::new(),
        }
    }

    /// The question to ask the journal, if no connection's reading has answered it already.
    pub(crate) fn wants(&self, head: Place) -> Option<NextEvents> {
        let room = self.watched.len() < WATCHED_MAX || self.watched.values().any(|alarm| alarm.told);
        (self.read_to < head && room).then_some(NextEvents { class: Class::Alarm, after: self.read_to, limit: PAGE })
    }

    /// An answer of the journal, whoever asked: alarms in it are watched, and an unjournaled alarm whose journaled twin
    /// appears is retired, because the twin is sent, and sent again, in its place.
    pub(crate) fn read(
        &mut self,
        asked: NextEvents,
        head: Place,
        rows: &[Stored],
        now: Stamp,
        receipted: impl Fn(Place) -> bool,
    ) {
        let mut twins = BTreeMap::new();
        for row in rows {
            if let Some(at) = self.extras.iter().position(|extra| extra.alarm.id == row.id) {
                twins.insert(row.id, self.extras.remove(at).told);
            }
        }
        if asked.class != Class::Alarm || asked.after > self.read_to {
            return;
        }
        for row in rows {
            if row.place <= self.read_to {
                continue;
            }
            if !receipted(row.place) && !self.watch(row, now, twins.get(&row.id) == Some(&true)) {
                return; // full: read again from here later
            }
            self.read_to = row.place;
        }
        self.read_to = self.read_to.max(read_to(asked, head, rows));
    }

    fn watch(&mut self, row: &Stored, now: Stamp, told: bool) -> bool {
        if self.watched.len() >= WATCHED_MAX {
            let Some(oldest) = self.watched.iter().find(|(_, alarm)| alarm.told).map(|(place, _)| *place) else {
                return false;
            };
            self.watched.remove(&oldest);
        }
        if row.every_way {
            self.every_way_to = self.every_way_to.max(row.place);
        }
        let age = i64::try_from(age_ms(row.stamp, now).unwrap_or(0)).unwrap_or(i64::MAX);
        let happened_ms = signed(now.mono_ms).saturating_sub(age);
        self.watched.insert(row.place, Watched { id: row.id, seen_ms: now.mono_ms, happened_ms, told });
        true
    }

    /// An alarm that has no row yet. Only with room for it.
    pub(crate) fn add(&mut self, alarm: Unjournaled, now: Stamp) {
        assert!(self.room(), "the hub's channel is not read while the list is full");
        if self.extras.iter().all(|extra| extra.alarm.id != alarm.id) {
            let every_way = alarm.every_way;
            self.extras.push(Extra { alarm, seen_ms: now.mono_ms, told: false, every_way });
        }
    }

    /// Whether one more unjournaled alarm can be held.
    pub(crate) fn room(&self) -> bool {
        self.extras.len() < UNJOURNALED_MAX
    }

    /// These are receipted.
    pub(crate) fn receipted(&mut self, covered: impl Fn(Place, EventId) -> bool, ids: &[EventId]) {
        self.watched.retain(|place, alarm| !covered(*place, alarm.id));
        self.extras.retain(|extra| !ids.contains(&extra.alarm.id));
    }

    /// What has waited for its receipt `patience_ms` since it was seen, and since there is a connection that carries
    /// (`since_ms`), goes over every connection.
    pub(crate) fn hedge(&mut self, since_ms: u64, patience_ms: u64, now_ms: u64) {
        let late = |seen_ms: u64| seen_ms.max(since_ms) + patience_ms <= now_ms;
        let last = self.watched.iter().rev().find(|(_, alarm)| late(alarm.seen_ms)).map(|(place, _)| *place);
        self.every_way_to = self.every_way_to.max(last.unwrap_or_default());
        self.extras.iter_mut().for_each(|extra| extra.every_way |= late(extra.seen_ms));
    }

    /// When the next will have, in monotonic milliseconds.
    pub(crate) fn hedge_due_ms(&self, since_ms: u64, patience_ms: u64) -> Option<u64> {
        let rows = self.watched.iter().filter(|(place, _)| **place > self.every_way_to).map(|(_, alarm)| alarm.seen_ms);
        let extras = self.extras.iter().filter(|extra| !extra.every_way).map(|extra| extra.seen_ms);
        rows.chain(extras).min().map(|seen_ms| seen_ms.max(since_ms) + patience_ms)
    }

    /// Whether an alarm waits for the centre.
    pub(crate) fn waiting(&self) -> bool {
        !self.watched.is_empty() || !self.extras.is_empty()
    }

    /// When the next deadline falls due, in monotonic milliseconds.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let rows = self.watched.values().filter(|alarm| !alarm.told).map(|alarm| alarm.happened_ms);
        let extras = self.extras.iter().filter(|extra| !extra.told).map(|extra| signed(extra.seen_ms));
        let first = rows.chain(extras).min()?;
        Some(u64::try_from(first.saturating_add(signed(self.deadline_ms))).unwrap_or(0))
    }

    /// The alarms whose deadline has passed, each once.
    pub(crate) fn overdue(&mut self, now: Stamp) -> Vec<UpstreamNote> {
        let late = |happened: i64| u64::try_from(signed(now.mono_ms).saturating_sub(happened)).unwrap_or(0);
        let mut notes = Vec::new();
        for (place, alarm) in self.watched.iter_mut().filter(|(_, alarm)| !alarm.told) {
            let after_ms = late(alarm.happened_ms);
            if after_ms >= self.deadline_ms {
                alarm.told = true;
                notes.push(UpstreamNote::Overdue { event: alarm.id, place: *place, after_ms });
            }
        }
        for extra in self.extras.iter_mut().filter(|extra| !extra.told) {
            let after_ms = late(signed(extra.seen_ms));
            if after_ms >= self.deadline_ms {
                extra.told = true;
                // without a row it stands nowhere yet
                notes.push(UpstreamNote::Overdue { event: extra.alarm.id, place: Place::default(), after_ms });
            }
        }
        notes
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
