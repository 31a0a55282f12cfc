//! What a centre makes of a hub that falls silent while somebody is in an entry delay: burglary (requirements, B7).
//!
//! Who breaks in and smashes the hub at once must gain nothing. A hub that lives says what became of the delay: disarmed, a
//! warning, an alarm. Pure; it never judges while the centre's own line is down.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// After the deadline a hub that lives has this long to say what became of it, in milliseconds: the requirements' "report
/// delay", and more than a fail-over takes.
pub const GRACE_MS: u64 = 10_000;
/// Delays watched at once; one hub has fewer areas. Beyond it a further one is not watched.
pub const OPEN_MAX: usize = 64;

/// A burglary that nobody reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Assumed {
    /// Where.
    pub area: String,
    /// The event that began the delay.
    pub event: String,
    /// How long nothing had been heard of the hub, milliseconds.
    pub silent_ms: u64,
}

#[derive(Debug)]
struct Open {
    event: String,
    deadline_ms: u64,
}

/// The delays of one hub that nothing has become of.
#[derive(Debug, Default)]
pub struct Entries {
    open: BTreeMap<String, Open>,
    heard_ms: u64,
    line_up: bool,
}

impl Entries {
    /// The centre's own line came up or went down. What was due meanwhile has its grace from the moment it is up again.
    pub fn line(&mut self, up: bool, now_ms: u64) {
        if up && !self.line_up {
            self.open.values_mut().for_each(|open| open.deadline_ms = open.deadline_ms.max(now_ms));
        }
        self.line_up = up;
    }

    /// The hub was heard, by whatever path: a beat, a birth, an event.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// An event that was not held before: its type, its id, its area, and what else it says.
    pub fn event(&mut self, kind: &str, id: &str, area: &str, detail: &Value, now_ms: u64) {
        let delay_s = detail.pointer("/delay/seconds").and_then(Value::as_u64);
        // A lid that is opened or water on the floor says nothing of who came in.
        let burglary = kind == "alarm_raised" && detail.get("kind") == Some(&Value::from("burglary"));
        match (kind, delay_s) {
            ("entry_started" | "local_warning", Some(seconds)) => {
                let open = Open { event: id.to_owned(), deadline_ms: now_ms + seconds * 1000 };
                if self.open.len() < OPEN_MAX || self.open.contains_key(area) {
                    self.open.insert(area.to_owned(), open);
                }
            }
            _ if burglary || kind == "area_disarmed" => drop(self.open.remove(area)),
            _ => {}
        }
    }

    /// What must be assumed by now.
    pub fn poll(&mut self, now_ms: u64) -> Vec<Assumed> {
        let Self { open, heard_ms, line_up } = self;
        if !*line_up {
            return Vec::new();
        }
        let mut assumed = Vec::new();
        open.retain(|area, open| {
            if open.deadline_ms + GRACE_MS > now_ms {
                return true;
            }
            // Who was heard after the deadline lives, and tells what became of it.
            if *heard_ms < open.deadline_ms {
                let (area, event) = (area.clone(), open.event.clone());
                assumed.push(Assumed { area, event, silent_ms: now_ms.saturating_sub(*heard_ms) });
            }
            false
        });
        assumed
    }

    /// When `poll` will next have something to say, in the caller's milliseconds.
    pub fn due_at_ms(&self) -> Option<u64> {
        self.open.values().map(|open| open.deadline_ms + GRACE_MS).min().filter(|_| self.line_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entering() -> Entries {
        let mut entries = Entries::default();
        entries.line(true, 0);
        entries.heard(1_000);
        entries.event("entry_started", "e-1", "house", &json!({"delay": {"seconds": 30}}), 1_000);
        entries
    }

    #[test]
    fn b7_a_hub_that_dies_in_the_entry_delay_is_taken_for_a_burglary() {
        let mut entries = entering();
        entries.heard(6_000); // the last beat before it was smashed
        assert_eq!(entries.due_at_ms(), Some(41_000));
        assert_eq!(entries.poll(40_999), []);
        let assumed = Assumed { area: "house".to_owned(), event: "e-1".to_owned(), silent_ms: 35_000 };
        assert_eq!(entries.poll(41_000), [assumed]);
        assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None), "said once");
    }

    #[test]
    fn b7_who_disarms_or_raises_the_alarm_or_lives_is_not() {
        for (word, kind) in [("area_disarmed", "none"), ("alarm_raised", "burglary")] {
            let mut entries = entering();
            entries.event(word, "e-2", "garden", &json!({"kind": kind}), 5_000);
            assert!(entries.due_at_ms().is_some(), "another area's");
            entries.event("alarm_raised", "e-2", "house", &json!({"kind": "tamper"}), 5_000);
            assert!(entries.due_at_ms().is_some(), "whoever smashes the hub opens its lid first");
            entries.event(word, "e-2", "house", &json!({"kind": kind}), 5_000);
            assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None), "{word}");
        }
        let mut entries = entering();
        entries.heard(31_000);
        assert_eq!(entries.poll(99_000), [], "it was heard after the deadline");
        let mut entries = entering();
        entries.event("local_warning", "e-3", "house", &json!({"delay": {"seconds": 30}}), 31_000);
        assert_eq!(entries.poll(70_999), []);
        assert_eq!(entries.poll(71_000).len(), 1, "it died in the warning");
    }

    #[test]
    fn the_centres_own_absence_is_not_the_hubs_silence() {
        let mut entries = entering();
        entries.line(false, 10_000);
        assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None));
        entries.line(true, 100_000);
        assert_eq!(entries.poll(109_999), []);
        assert_eq!(entries.poll(110_000).len(), 1);
    }
}
