//! A hub's journal as the centre sees it: chained, hashed, numbered events, made by the contract's text alone.
//!
//! Pure. It stands in for `vaktd` where the centre itself is tested, and breaks the rules only when told to.

use crate::arc::event::FIRST_PREV;
use crate::arc::event::hash;
use serde_json::Value;
use serde_json::json;

/// A journal of one epoch.
#[derive(Debug, Clone)]
pub struct Journal {
    epoch: u64,
    next: u64,
    head: String,
}

impl Journal {
    /// Begins one.
    pub fn begin(epoch: u64) -> Self {
        Self { epoch, next: 1, head: FIRST_PREV.to_owned() }
    }

    /// The hash of the last event.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The next event, as it would be sent before the disk answered: no number, no links. Its place stays free.
    pub fn early(&self, kind: &str) -> Value {
        let mut event = self.draft("alarm", kind);
        event["seq"] = Value::Null;
        event["journaled"] = json!(false);
        event
    }

    /// Journals the next event of `class`.
    pub fn event(&mut self, class: &str, kind: &str) -> Value {
        self.event_with(class, kind, |_| {})
    }

    /// The same, with a last change before it is hashed.
    pub fn event_with(&mut self, class: &str, kind: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut event = self.draft(class, kind);
        event["prev"] = json!(self.head);
        change(&mut event);
        seal(&mut event);
        self.head = event["hash"].as_str().unwrap_or_default().to_owned();
        self.next += 1;
        event
    }

    fn draft(&self, class: &str, kind: &str) -> Value {
        let id = format!("019a9d2c-{:04x}-7000-8000-{:012x}", self.epoch & 0xffff, self.next);
        let millis = self.next % 1000;
        json!({
            "v": 1, "epoch": self.epoch, "seq": self.next, "id": id, "type": kind, "class": class,
            "at": format!("2026-11-20T21:39:00.{millis:03}Z"), "clock": "trusted", "boot": 1, "mono_ms": self.next,
            "service": "active", "detail": {"n": self.next},
        })
    }
}

/// Hashes an event again, after a change that is meant to look right.
pub fn seal(event: &mut Value) {
    let members = event.as_object_mut().expect("an event is an object");
    members.remove("hash");
    let sealed = hash(members).expect("events made here have a canonical form");
    members.insert("hash".to_owned(), Value::String(sealed));
}
