//! Which packet ids are on their way to the broker: a mirror of the client's own numbering, kept so that no id is ever
//! given to a second publish while the first still waits, and so that each acknowledgement finds its publish.
//!
//! The client numbers publishes and subscriptions 1, 2, … up to its limit and begins again, without looking whether an
//! old id is still open; a second publish on an open id would stall the connection for good. So the mirror knows the
//! next id before the client does, holds the sending back where it is open, and each `Outgoing::Publish` must bear the
//! id foreseen. It never sends anything, and one lives as long as its connection and no longer.

use std::collections::{BTreeMap, VecDeque};

/// Ids the client may use at most: small, because the client reserves memory for each; far above what is ever open.
pub const IDS_MAX: u16 = 64;
/// Events on their way to the broker at once.
pub const EVENTS_MAX: usize = 12;
/// Of these, so many are kept for alarms. The others wait.
pub const ALARM_SLOTS: usize = 2;
/// State, device, path, beat and reply publishes on their way at once. They wait for each other.
pub const CONTROL_MAX: usize = 4;
/// Of these, so many may be replies: a flood of warrants must not hold a beat back.
pub const REPLIES_MAX: usize = 2;
/// Milliseconds a publish may stay without the broker's word; then the connection is dead.
pub const BROKER_PATIENCE_MS: u64 = 10_000;

/// What a publish is, as far as the window cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// State, device, path, beat.
    Control,
    /// What became of a warrant.
    Reply,
    /// An event of the class alarm.
    Alarm,
    /// Any other event.
    Event,
}

/// What may be sent just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// An alarm.
    pub alarm: bool,
    /// Another event.
    pub event: bool,
    /// State, device, path or beat.
    pub control: bool,
    /// What became of a warrant.
    pub reply: bool,
}

/// An id did not come as foreseen: the connection must be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the MQTT client sent a publish under id {sent} where {expected:?} was foreseen; no answer could be trusted")]
pub struct WrongId {
    /// What the client used.
    pub sent: u16,
    /// What the mirror foresaw.
    pub expected: Option<u16>,
}

/// A publish on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open<T> {
    /// What it is.
    pub kind: Kind,
    /// When it was handed to the client, in monotonic milliseconds.
    pub since_ms: u64,
    /// What the caller wants back with the acknowledgement.
    pub tag: T,
}

/// The mirror of one connection.
#[derive(Debug, Clone)]
pub struct Window<T> {
    limit: u16,
    last: u16,
    open: BTreeMap<u16, Open<T>>,
    /// Handed to the client, not yet seen leaving it, in order.
    handed: VecDeque<u16>,
    /// When the broker last answered, in monotonic milliseconds.
    answered_ms: u64,
}

impl<T> Window<T> {
    /// A fresh connection whose broker takes `receive_max` publishes at once (MQTT 5, 3.2.2.3.3; 65,535 unless it
    /// says).
    pub fn new(receive_max: u16) -> Self {
        Self {
            limit: receive_max.clamp(1, IDS_MAX),
            last: 0,
            open: BTreeMap::new(),
            handed: VecDeque::new(),
            answered_ms: 0,
        }
    }

    /// What may be sent now.
    pub fn room(&self) -> Room {
        let of = |kind| self.open.values().filter(|open| open.kind == kind).count();
        let replies = of(Kind::Reply);
        let control = of(Kind::Control) + replies;
        let events = self.open.len() - control;
        let all = (EVENTS_MAX + CONTROL_MAX).min(usize::from(self.limit));
        let free = all.saturating_sub(self.open.len());
        if free == 0 || self.open.contains_key(&self.next()) {
            return Room::default();
        }
        // a broker that takes one or two at a time leaves nothing to keep aside
        let unreserved = free > ALARM_SLOTS || (all <= ALARM_SLOTS && self.open.is_empty());
        Room {
            alarm: events < EVENTS_MAX,
            event: events < EVENTS_MAX - ALARM_SLOTS && unreserved,
            control: control < CONTROL_MAX && unreserved,
            reply: control < CONTROL_MAX && replies < REPLIES_MAX && unreserved,
        }
    }

    /// A publish is handed to the client. Only with room for it.
    pub fn take(&mut self, kind: Kind, tag: T, now_ms: u64) -> u16 {
        let id = self.number();
        let old = self.open.insert(id, Open { kind, since_ms: now_ms, tag });
        assert!(old.is_none(), "a packet id is never given out while it is open");
        self.handed.push_back(id);
        id
    }

    /// A subscription is handed to the client: it takes an id from the same row.
    pub fn take_for_subscription(&mut self) -> u16 {
        self.number()
    }

    /// The client has put a publish on the wire under this id.
    ///
    /// # Errors
    /// The id is not the one foreseen.
    pub fn left(&mut self, id: u16) -> Result<(), WrongId> {
        let expected = self.handed.pop_front();
        if expected == Some(id) { Ok(()) } else { Err(WrongId { sent: id, expected }) }
    }

    /// The broker has answered for this id; `None` when nothing was open under it.
    pub fn answered(&mut self, id: u16, now_ms: u64) -> Option<Open<T>> {
        self.answered_ms = now_ms;
        self.open.remove(&id)
    }

    /// Since when the broker owes a word, in monotonic milliseconds: since the longest waiting publish was handed over,
    /// or since its last word. On a slow path many wait long, and each word shows that it goes on.
    pub fn waiting_since_ms(&self) -> Option<u64> {
        let first = self.open.values().map(|open| open.since_ms).min()?;
        Some(first.max(self.answered_ms))
    }

    /// Publishes on their way.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn next(&self) -> u16 {
        if self.last >= self.limit { 1 } else { self.last + 1 }
    }

    fn number(&mut self) -> u16 {
        self.last = self.next();
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_twelve_places_are_kept_for_alarms() {
        let mut window = Window::new(u16::MAX);
        while window.room().event {
            window.take(Kind::Event, (), 0);
        }
        assert_eq!(window.open(), 10);
        while window.room().alarm {
            window.take(Kind::Alarm, (), 0);
        }
        assert_eq!(window.open(), 12);
        assert!(window.room().control, "a full house of events does not stop the beat");
    }

    #[test]
    fn replies_leave_room_for_the_beat() {
        let mut window = Window::new(u16::MAX);
        while window.room().reply {
            window.take(Kind::Reply, (), 0);
        }
        assert!(window.open() == 2 && window.room().control);
        window.answered(1, 0);
        window.take(Kind::Control, (), 0);
        window.take(Kind::Control, (), 0);
        assert!(window.room().control && window.room().reply);
        window.take(Kind::Control, (), 0);
        assert!(!window.room().control && !window.room().reply);
    }

    #[test]
    fn an_id_still_open_holds_everything_back_instead_of_colliding() {
        let mut window = Window::new(20); // what mosquitto announces
        let first = window.take(Kind::Event, "first", 0);
        assert_eq!(first, 1);
        for _ in 2..=20 {
            let id = window.take(Kind::Event, "later", 0);
            window.answered(id, 0);
        }
        assert_eq!(window.room(), Room::default(), "1 comes next and is open");
        assert_eq!(window.answered(1, 0).map(|open| open.tag), Some("first"));
        assert_eq!(window.take(Kind::Event, "again", 0), 1);
    }

    #[test]
    fn a_broker_that_takes_one_at_a_time_gets_one_at_a_time() {
        let mut window = Window::new(1);
        assert!(window.room().event && window.room().alarm && window.room().control);
        window.take(Kind::Event, (), 0);
        assert_eq!(window.room(), Room::default());
        window.answered(1, 0);
        assert_eq!(window.take(Kind::Alarm, (), 0), 1);
    }

    #[test]
    fn a_stranger_among_the_ids_is_noticed() {
        let mut window = Window::new(20);
        assert_eq!(window.take_for_subscription(), 1);
        assert_eq!(window.take(Kind::Control, (), 5), 2);
        assert_eq!(window.left(3), Err(WrongId { sent: 3, expected: Some(2) }));
        assert_eq!(window.left(3), Err(WrongId { sent: 3, expected: None }));
        assert_eq!(window.waiting_since_ms(), Some(5));
    }
}
