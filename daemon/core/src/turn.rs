//! The turn's order, kept by types: decide → record → apply → act.
//!
//! A `Decided` can only become a `Recorded` by what the journal returned for exactly these events, or by the named
//! way out for a disk that does not answer; only a `Recorded` can be applied; only applying yields effects.

use crate::alarm::camera_window::Grant;
use crate::canonical;
use crate::event::{Class, Event, EventId, Fact};
use crate::input::{Effect, Reply, RequestId};
use crate::port::{Head, Unjournaled};
use crate::warrant::Answer;
use std::collections::BTreeMap;

/// What is said once the events are recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Says {
    pub replies: Vec<(RequestId, Reply)>,
    pub grants: Vec<Grant>,
    /// To warrants that change nothing: they have had their answer before.
    pub answers: Vec<Answer>,
    /// Short signs to people.
    pub signals: Vec<Effect>,
    /// What an answer says in words, by jti.
    pub texts: BTreeMap<String, String>,
}

/// What follows from some inputs; nothing has happened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "decided events must be recorded, then applied"]
pub struct Decided {
    pub(crate) events: Vec<Event>,
    pub(crate) says: Says,
    /// Events that could not even be kept in memory: the disk fails and the pending list is full.
    pub(crate) refused: u64,
}

/// The journal's word that it holds these events; made by `journal/io` after its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The events, in order.
    pub ids: Vec<EventId>,
    /// The last row now.
    pub head: Head,
}

/// Events that are in the journal, or kept in memory because the disk does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "recorded events must be applied"]
pub struct Recorded {
    pub(crate) events: Vec<Event>,
    pub(crate) says: Says,
    pub(crate) journaled: bool,
}

impl Decided {
    /// What must be recorded, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many events found no room while the disk fails.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The journal has them.
    pub fn committed(self, committed: &Committed) -> Recorded {
        assert!(
            self.events.iter().map(|event| event.id).eq(committed.ids.iter().copied()),
            "the journal's word is about exactly the events that were decided"
        );
        Recorded { events: self.events, says: self.says, journaled: true }
    }

    /// There is nothing to record: a refusal, a reply, a tick too early.
    ///
    /// # Errors
    /// Itself, when there is.
    pub fn nothing_to_record(self) -> Result<Recorded, Decided> {
        if self.events.is_empty() {
            Ok(Recorded { events: self.events, says: self.says, journaled: true })
        } else {
            Err(self)
        }
    }

    /// The disk does not answer. The events stay in memory, to be journaled in order when it does (`kept` returns
    /// them); applied now, they release only sounds, replies and publishing.
    pub fn kept(self) -> (Recorded, Vec<Event>) {
        let kept = self.events.clone();
        (Recorded { events: self.events, says: self.says, journaled: false }, kept)
    }
}

impl Recorded {
    /// What was recorded, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// The form in which an alarm goes to the centre before the disk has it. Everything else waits for the disk: an alarm is
/// all that the contract lets out unjournaled.
pub fn publish_unjournaled(event: &Event) -> Option<Effect> {
    let class = event.fact.class();
    let every_way = matches!(event.fact, Fact::AlarmRaised { kind, .. } if kind.goes_every_way());
    let wire = || canonical::unjournaled(event).into();
    (class == Class::Alarm).then(|| Effect::Publish(Unjournaled { id: event.id, class, every_way, wire: wire() }))
}
