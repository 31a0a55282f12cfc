//! What a centre makes of a hub that falls silent while somebody is in an entry delay: burglary (requirements, B7).
//!
//! Who breaks in and smashes the hub at once must gain nothing. A hub that lives says what became of the delay: disarmed, a
//! warning, an alarm. What it says counts in the order of its journal, not in that of its arrival, and what is open is
//! rebuilt from the ledger, so a delay that ran out while the centre was down is judged when it is back. Pure; it never
//! judges while the hub cannot be heard for the centre's own sake.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// After the deadline a hub that lives has this long to say what became of it, in milliseconds: the requirements' "report
/// delay", and more than a fail-over takes.
pub const GRACE_MS: u64 = 10_000;
/// The events that say something of an entry delay.
pub const KINDS: [&str; 4] = ["entry_started", "local_warning", "alarm_raised", "area_disarmed"];
/// Areas whose newest word is kept; one hub has fewer. Beyond it the one told longest ago and not open is forgotten, and
/// if all are open a further one is not watched.
pub const AREAS_MAX: usize = 64;

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

/// What was made of a delay that no event has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// A burglary; else the hub was heard afterwards, so it lives and tells what became of it.
    pub burglary: bool,
    /// About what.
    pub about: Assumed,
}

/// An event's epoch and seq.
type Place = (u64, u64);

/// An event, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// Its type.
    pub kind: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its area.
    pub area: &'a str,
    /// What else it says.
    pub detail: &'a Value,
    /// Its epoch and seq; none while it is not in the hub's journal.
    pub place: Option<Place>,
}

#[derive(Debug)]
struct Open {
    event: String,
    /// Who is heard from here on lives.
    lives_ms: u64,
    judged_ms: u64,
}

#[derive(Debug, Default)]
struct Area {
    /// Where the newest word about it stands.
    told: Place,
    open: Option<Open>,
}

/// The delays of one hub that nothing has become of.
#[derive(Debug, Default)]
pub struct Entries {
    areas: BTreeMap<String, Area>,
    newest: Place,
    heard_ms: u64,
    line_up: bool,
}

impl Entries {
    /// The hub can be heard now, or no longer. What was due meanwhile is judged when a living hub has had `beat_ms` to be
    /// heard again, and its grace.
    pub fn line(&mut self, up: bool, beat_ms: u64, now_ms: u64) {
        if up && !self.line_up {
            for open in self.areas.values_mut().filter_map(|area| area.open.as_mut()) {
                open.lives_ms = open.lives_ms.max(now_ms);
                open.judged_ms = open.judged_ms.max(now_ms + beat_ms + GRACE_MS);
            }
        }
        self.line_up = up;
    }

    /// The hub was heard, by whatever path: a beat, a birth, an event.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// An event that was not held before.
    pub fn event(&mut self, word: Word<'_>, now_ms: u64) {
        self.newest = self.newest.max(word.place.unwrap_or_default());
        // One without a place tells of now: it is newer than all that has a place so far.
        let place = word.place.unwrap_or(self.newest);
        let delay_s = word.detail.pointer("/delay/seconds").and_then(Value::as_u64);
        // A lid that is opened or water on the floor says nothing of who came in.
        let burglary = word.kind == "alarm_raised" && word.detail.get("kind") == Some(&Value::from("burglary"));
        let opens_s = match (word.kind, delay_s) {
            ("entry_started" | "local_warning", Some(seconds)) => Some(seconds),
            _ if burglary || word.kind == "area_disarmed" => None,
            _ => return,
        };
        let Some(area) = self.area(word.area) else { return };
        if place < area.told {
            return; // a later word about it was here before
        }
        area.told = place;
        let same = area.open.as_ref().is_some_and(|open| open.event == word.id);
        if same && opens_s.is_some() {
            return; // its journaled copy: the delay runs since the first one
        }
        area.open = opens_s.map(|seconds| {
            let lives_ms = now_ms + seconds * 1000;
            Open { event: word.id.to_owned(), lives_ms, judged_ms: lives_ms + GRACE_MS }
        });
    }

    /// It was judged before the centre fell.
    pub fn was_judged(&mut self, area: &str, event: &str) {
        if let Some(area) = self.areas.get_mut(area) {
            area.open.take_if(|open| open.event == event);
        }
    }

    /// What must be made of it by now.
    pub fn poll(&mut self, now_ms: u64) -> Vec<Judged> {
        let Self { areas, heard_ms, line_up, .. } = self;
        if !*line_up {
            return Vec::new();
        }
        let mut judged = Vec::new();
        for (name, area) in areas {
            let Some(open) = area.open.take_if(|open| open.judged_ms <= now_ms) else { continue };
            let silent_ms = now_ms.saturating_sub(*heard_ms);
            let about = Assumed { area: name.clone(), event: open.event, silent_ms };
            judged.push(Judged { burglary: *heard_ms < open.lives_ms, about });
        }
        judged
    }

    /// When `poll` will next have something to say, in the caller's milliseconds.
    pub fn due_at_ms(&self) -> Option<u64> {
        let due = self.areas.values().filter_map(|area| area.open.as_ref()).map(|open| open.judged_ms).min();
        due.filter(|_| self.line_up)
    }

    fn area(&mut self, name: &str) -> Option<&mut Area> {
        if !self.areas.contains_key(name) && self.areas.len() >= AREAS_MAX {
            let closed = self.areas.iter().filter(|(_, area)| area.open.is_none());
            let oldest = closed.min_by_key(|(_, area)| area.told).map(|(name, _)| name.clone())?;
            self.areas.remove(&oldest);
        }
        Some(self.areas.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BEAT_MS: u64 = 20_000;

    fn say(entries: &mut Entries, kind: &str, area: &str, detail: &Value, seq: Option<u64>, now_ms: u64) {
        let (id, place) = (format!("e-{}", seq.unwrap_or(10)), seq.map(|seq| (1, seq)));
        entries.event(Word { kind, id: &id, area, detail, place }, now_ms);
    }

    fn delay() -> Value {
        json!({"delay": {"seconds": 30}})
    }

    /// Somebody has come in at 1 s, which the journal has at 10.
    fn entering() -> Entries {
        let mut entries = Entries::default();
        entries.line(true, BEAT_MS, 0);
        entries.heard(1_000);
        say(&mut entries, "entry_started", "house", &delay(), Some(10), 1_000);
        entries
    }

    fn burglaries(entries: &mut Entries, now_ms: u64) -> Vec<Assumed> {
        entries.poll(now_ms).into_iter().filter(|judged| judged.burglary).map(|judged| judged.about).collect()
    }

    #[test]
    fn b7_a_hub_that_dies_in_the_entry_delay_is_taken_for_a_burglary() {
        let mut entries = entering();
        entries.heard(6_000); // the last beat before it was smashed
        assert_eq!(entries.due_at_ms(), Some(41_000));
        assert_eq!(entries.poll(40_999), []);
        let assumed = Assumed { area: "house".to_owned(), event: "e-10".to_owned(), silent_ms: 35_000 };
        assert_eq!(burglaries(&mut entries, 41_000), [assumed]);
        assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None), "said once");
    }

    #[test]
    fn b7_who_disarms_or_raises_the_alarm_or_lives_is_not() {
        for (word, kind) in [("area_disarmed", "none"), ("alarm_raised", "burglary")] {
            let mut entries = entering();
            say(&mut entries, word, "garden", &json!({"kind": kind}), Some(11), 5_000);
            assert!(entries.due_at_ms().is_some(), "another area's");
            say(&mut entries, "alarm_raised", "house", &json!({"kind": "tamper"}), Some(12), 5_000);
            assert!(entries.due_at_ms().is_some(), "whoever smashes the hub opens its lid first");
            say(&mut entries, word, "house", &json!({"kind": kind}), Some(13), 5_000);
            assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None), "{word}");
        }
        let mut entries = entering();
        entries.heard(31_000);
        let lives = entries.poll(99_000);
        assert!(lives.len() == 1 && !lives[0].burglary, "it was heard after the deadline");
        let mut entries = entering();
        say(&mut entries, "local_warning", "house", &delay(), Some(14), 31_000);
        assert_eq!(entries.poll(70_999), []);
        assert_eq!(burglaries(&mut entries, 71_000).len(), 1, "it died in the warning");
    }

    #[test]
    fn b7_the_journals_order_counts_and_not_that_of_arrival() {
        // Yesterday's disarming comes late, over the other path.
        let mut entries = entering();
        say(&mut entries, "area_disarmed", "house", &json!({}), Some(8), 2_000);
        assert_eq!(burglaries(&mut entries, 41_000).len(), 1, "it ended another delay than this");
        // Today's came before the entry it ended.
        let mut entries = Entries::default();
        entries.line(true, BEAT_MS, 0);
        say(&mut entries, "area_disarmed", "house", &json!({}), Some(12), 1_000);
        say(&mut entries, "entry_started", "house", &delay(), Some(10), 2_000);
        assert_eq!(entries.due_at_ms(), None, "it is over already");
        // A new journal's words are newer than any of the old one.
        let disarmed = Word { kind: "area_disarmed", id: "n", area: "house", detail: &json!({}), place: Some((2, 1)) };
        let mut entries = entering();
        entries.event(disarmed, 2_000);
        assert_eq!(entries.due_at_ms(), None);
    }

    #[test]
    fn b7_an_entry_that_no_disk_has_is_as_new_as_it_arrives() {
        let mut entries = Entries::default();
        entries.line(true, BEAT_MS, 0);
        say(&mut entries, "area_armed", "house", &json!({}), Some(9), 500);
        say(&mut entries, "entry_started", "house", &delay(), None, 1_000);
        say(&mut entries, "area_disarmed", "house", &json!({}), Some(8), 2_000);
        say(&mut entries, "entry_started", "house", &delay(), Some(10), 9_000);
        assert_eq!(entries.due_at_ms(), Some(41_000), "its journaled copy begins no new delay");
        say(&mut entries, "area_disarmed", "house", &json!({}), Some(11), 9_000);
        assert_eq!(entries.due_at_ms(), None);
    }

    #[test]
    fn the_centres_own_absence_is_not_the_hubs_silence() {
        let mut entries = entering();
        entries.line(false, BEAT_MS, 10_000);
        assert_eq!((entries.poll(99_000), entries.due_at_ms()), (vec![], None));
        entries.line(true, BEAT_MS, 100_000);
        assert_eq!(entries.poll(129_999), [], "a living hub beats once in this time");
        assert_eq!(burglaries(&mut entries, 130_000).len(), 1);
        let mut entries = entering();
        entries.line(false, BEAT_MS, 10_000);
        entries.line(true, BEAT_MS, 100_000);
        entries.heard(101_000);
        assert_eq!(burglaries(&mut entries, 130_000), [], "it does");
    }

    #[test]
    fn what_was_judged_before_the_centre_fell_is_not_judged_again() {
        let mut entries = entering();
        entries.was_judged("house", "another");
        assert!(entries.due_at_ms().is_some());
        entries.was_judged("house", "e-10");
        assert_eq!(entries.due_at_ms(), None);
    }

    #[test]
    fn areas_without_end_cost_no_more_than_their_limit() {
        let mut entries = entering();
        for number in 0..AREAS_MAX as u64 * 2 {
            say(&mut entries, "area_disarmed", &format!("a-{number}"), &json!({}), Some(20 + number), 2_000);
        }
        assert_eq!(entries.areas.len(), AREAS_MAX);
        assert!(entries.due_at_ms().is_some(), "who is inside is not forgotten");
    }
}
