//! What the hub says of its paths, held against what it was told: the kernel's word comes first, a path is up only where
//! the centre was heard on its connection, and else it is down for the reason its last connection ended. And what it says
//! of alarms: one that waits too long for its receipt is told to be late.

use super::World;
use super::checks::Check;
use super::checks::Held;
use super::checks::broken;
use super::faults::Fault;
use super::story::SECOND;
use super::voice::ALARM_DEADLINE_S;
use super::voice::DEVICES;
use super::voice::PATHS;
use vakt_core::event::EventId;
use vakt_core::port::LinkState;
use vakt_core::port::Place;
use vaktd::upstream::outbox::ConnId;
use vaktd::upstream::verdict::Reason;

/// An alarm that is not receipted is told to be late within this, in ms: its deadline, and some looks at the journal.
const TOLD_AFTER_MS: u64 = ALARM_DEADLINE_S as u64 * SECOND + 5 * SECOND;

/// One path.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The hub's newest word, up or why not; none yet in this run of its process.
    newest: Option<Option<String>>,
    /// Why its last connection ended, where the world ended it.
    ended: Option<String>,
    /// The connections on which the centre was last heard, and an event was last refused.
    heard: Option<ConnId>,
    refused: Option<ConnId>,
}

impl Said {
    pub(super) fn ends(&mut self, reason: &Reason) {
        self.ended = Some(reason.to_string());
    }

    pub(super) fn heard(&mut self, conn: ConnId) {
        self.heard = Some(conn);
    }

    pub(super) fn refused(&mut self, conn: ConnId) {
        self.refused = Some(conn);
    }
}

impl World {
    /// What is wrong with a path's interface, by the kernel's last word.
    fn kernel_word(&self, at: usize) -> Option<&'static str> {
        match self.kernel.as_ref()?.get(DEVICES[at]) {
            Some(LinkState::Well) => None,
            Some(LinkState::NoCarrier) => Some("no_carrier"),
            Some(LinkState::NoAddress) => Some("no_address"),
            None => Some("no_device"),
        }
    }

    /// The hub says that a path is up, or down for this reason.
    pub(super) fn is_said_of_path(&mut self, path: &str, reason: Option<&str>) -> Held {
        let Some(at) = PATHS.iter().position(|name| *name == path) else { return Ok(()) };
        let conn = self.hub.as_ref().and_then(|hub| hub.voice.conn(at));
        let said = &self.said[at];
        let of_this = |other: Option<ConnId>| other.is_some() && other == conn;
        let so = match (self.kernel_word(at), reason) {
            (Some(word), reason) => reason == Some(word),
            (None, None) => of_this(said.heard),
            // A broker that does not answer, and a centre, are the hub's own findings; the deadlines tell.
            (None, Some("silent" | "centre_silent")) => true,
            (None, Some("publish_refused:0x87")) => of_this(said.refused),
            // Who confirms twice breaks the rules of MQTT.
            (None, Some("garbage")) => self.struck.times(Fault::AckTwice) > 0,
            (None, Some(reason)) => said.ended.as_deref() == Some(reason),
        };
        if !so {
            let what = format!("{path} is said to be {reason:?}; the kernel says {:?}, {said:?}", self.kernel_word(at));
            return broken(Check::Verdict, what);
        }
        self.said[at].newest = Some(reason.map(str::to_owned));
        Ok(())
    }

    /// Once the hub has looked, a path of whose interface the kernel says that it is of no use is said to be down for it.
    pub(super) fn cables_are_told(&self) -> Held {
        for (at, path) in PATHS.iter().enumerate() {
            let Some(word) = self.kernel_word(at) else { continue };
            let newest = self.said[at].newest.as_ref();
            if newest.and_then(Option::as_deref) != Some(word) {
                return broken(Check::Verdict, format!("the kernel says {word} of {path}, the hub says {newest:?}"));
            }
        }
        Ok(())
    }

    /// An alarm is on record: it must be receipted in time, or told to be late.
    pub(super) fn alarm_waits(&mut self, place: Place, id: EventId) {
        self.waiting.insert((self.now + TOLD_AFTER_MS, place, id));
    }

    /// Whoever waited for too long has been told to be late, by a process that had the time for it and a disk to read from.
    pub(super) fn delays_are_told(&mut self) -> Held {
        while let Some((due, place, id)) = self.waiting.first().copied().filter(|(due, ..)| *due <= self.now) {
            self.waiting.pop_first();
            if self.late.contains(&id) || self.evidence.receipted(place) {
                continue;
            }
            let Some(hub) = self.hub.as_ref() else { return Ok(()) };
            let well_from = self.clock.when(hub.since.mono_ms).max(self.disk_failed_at);
            let disk_well = self.disk_fault.is_none() && hub.disk_well();
            if disk_well && self.now >= well_from + TOLD_AFTER_MS {
                let what = format!("{place:?} has waited since {}, and nobody was told", due - TOLD_AFTER_MS);
                return broken(Check::Deadline, what);
            }
            self.waiting.insert((self.now + TOLD_AFTER_MS, place, id));
        }
        Ok(())
    }
}
