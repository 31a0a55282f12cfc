//! One event as a hub sent it, read and verified by the contract's text alone (contract, "Events").
//!
//! Pure. It deliberately shares no code with the daemon that wrote the event, and it never repairs one.

use serde_json::Map;
use serde_json::Value;
use sha2::Digest;
use sha2::Sha256;
use std::fmt::Write;
use thiserror::Error;

/// An event is at most this long (contract). A longer one is kept all the same, and the breach is counted.
pub const EVENT_MAX_BYTES: usize = 8 * 1024;

/// The classes of the contract, in the order in which they are delivered.
pub const CLASSES: [&str; 6] = ["alarm", "fault", "access", "state", "test", "audit"];

/// `prev` of the first event of a journal.
pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where an event stands in the hub's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Journaled: it has its number and its links.
    Journaled {
        /// Rises with each journal the hub begins or restores.
        epoch: u64,
        /// From 1, without gaps, within the epoch.
        seq: u64,
        /// Hash of the event before it.
        prev: String,
        /// Its own hash, which this file has computed again and found equal.
        hash: String,
    },
    /// It went out before the hub's disk answered; a journaled copy with the same id follows.
    Unjournaled {
        /// The hub's epoch then, where it says so.
        epoch: Option<u64>,
    },
}

/// An event that holds together.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its UUIDv7.
    pub id: String,
    /// `alarm fault access state test audit`.
    pub class: String,
    /// What happened, past tense.
    pub kind: String,
    /// The hub's own time for it.
    pub at: String,
    /// Its place in the journal.
    pub place: Place,
    /// What it says apart from its place in the journal and its erasable part, in canonical form: what must be equal
    /// in the unjournaled and the journaled copy.
    pub facts: String,
    /// Breaches of the contract that do not make it unreadable. It is kept all the same: an alarm is an alarm.
    pub breaches: Vec<String>,
}

/// Why something that arrived on an event topic cannot be signed for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Not an event.
    #[error("reading an event: {0}")]
    Unreadable(String),
    /// Its hash is not the hash of what it says.
    #[error("checking event {id}: it carries hash {carried} but its content hashes to {computed}")]
    Hash {
        /// Its id.
        id: String,
        /// What it carries.
        carried: String,
        /// What is right for its content.
        computed: String,
    },
}

/// Reads and verifies one event.
///
/// # Errors
/// It cannot be read, or its hash is wrong.
pub fn read(body: &str) -> Result<Received, Refusal> {
    let value: Value = serde_json::from_str(body).map_err(|e| unreadable(format!("not JSON: {e}")))?;
    let Value::Object(event) = value else {
        return Err(unreadable("not a JSON object"));
    };
    if event.get("v").and_then(Value::as_u64) != Some(1) {
        return Err(unreadable(format!("version {} is not 1", event.get("v").unwrap_or(&Value::Null))));
    }
    let id = text(&event, "id")?;
    let class = text(&event, "class")?;
    let mut breaches = breaches(body, &event, &id, &class);
    let place = place(&event, &id)?;
    if matches!(place, Place::Unjournaled { .. }) && class != "alarm" {
        breaches
            .push(format!("an unjournaled event of class {class}: only an alarm may go out before the disk answers"));
    }
    Ok(Received {
        kind: text(&event, "type")?,
        at: text(&event, "at")?,
        facts: facts(&event)?,
        id,
        class,
        place,
        breaches,
    })
}

/// Lower-case hex SHA-256 of RFC 8785(event without `hash`, `personal` replaced by `personal_digest`).
///
/// # Errors
/// `personal` has no salt, or the event has no canonical form.
pub fn hash(event: &Map<String, Value>) -> Result<String, Refusal> {
    let mut hashed = event.clone();
    hashed.remove("hash");
    if let Some(personal) = hashed.remove("personal") {
        let salt =
            personal.get("salt").and_then(Value::as_str).ok_or_else(|| unreadable("`personal` without `salt`"))?;
        let digest = Sha256::new_with_prefix(salt.as_bytes()).chain_update(canonical(&personal)?).finalize();
        hashed.insert("personal_digest".to_owned(), Value::String(hex(&digest)));
    }
    Ok(hex(&Sha256::digest(canonical(&Value::Object(hashed))?)))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

fn place(event: &Map<String, Value>, id: &str) -> Result<Place, Refusal> {
    let epoch = event.get("epoch").and_then(Value::as_u64);
    if event.get("seq") == Some(&Value::Null) {
        return match event.get("journaled") {
            Some(Value::Bool(false)) => Ok(Place::Unjournaled { epoch }),
            _ => Err(unreadable("`seq` is null without `\"journaled\":false`")),
        };
    }
    let epoch = epoch.ok_or_else(|| unreadable("`epoch` is not a whole number"))?;
    let seq = event.get("seq").and_then(Value::as_u64).filter(|seq| *seq > 0);
    let seq = seq.ok_or_else(|| unreadable("`seq` is not a whole number from 1"))?;
    let (prev, carried) = (text(event, "prev")?, text(event, "hash")?);
    let computed = hash(event)?;
    if carried != computed {
        return Err(Refusal::Hash { id: id.to_owned(), carried, computed });
    }
    Ok(Place::Journaled { epoch, seq, prev, hash: carried })
}

fn breaches(body: &str, event: &Map<String, Value>, id: &str, class: &str) -> Vec<String> {
    let mut found = Vec::new();
    if body.len() > EVENT_MAX_BYTES {
        found.push(format!("{} bytes long, {EVENT_MAX_BYTES} is the most", body.len()));
    }
    if !CLASSES.contains(&class) {
        found.push(format!("class `{class}` is none of {}", CLASSES.join(" ")));
    }
    if !is_uuid_v7(id) {
        found.push(format!("id `{id}` is not a lower-case UUIDv7"));
    }
    if event.values().any(has_fraction) {
        found.push("it holds a number that is not a whole one".to_owned());
    }
    for key in ["boot", "mono_ms"] {
        if event.get(key).and_then(Value::as_u64).is_none() {
            found.push(format!("`{key}` is not a whole number"));
        }
    }
    found
}

fn is_uuid_v7(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'7',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

fn facts(event: &Map<String, Value>) -> Result<String, Refusal> {
    let mut facts = event.clone();
    for place in ["epoch", "seq", "prev", "hash", "journaled", "personal", "personal_digest"] {
        facts.remove(place);
    }
    let bytes = canonical(&Value::Object(facts))?;
    String::from_utf8(bytes).map_err(|e| unreadable(format!("its canonical form: {e}")))
}

fn canonical(value: &Value) -> Result<Vec<u8>, Refusal> {
    serde_json_canonicalizer::to_vec(value).map_err(|e| unreadable(format!("no canonical form: {e}")))
}

fn text(event: &Map<String, Value>, key: &str) -> Result<String, Refusal> {
    let found = event.get(key).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| unreadable(format!("`{key}` is missing or not a text")))
}

fn unreadable(why: impl Into<String>) -> Refusal {
    Refusal::Unreadable(why.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain() -> Value {
        json!({"v":1,"epoch":1,"seq":1,"id":"01936f2e-7c1a-7b3c-8d4e-5f6071829304","type":"alarm_started",
            "class":"alarm","at":"2026-11-20T21:39:00.000Z","clock":"trusted","boot":1,"mono_ms":5,
            "service":"active","detail":{"b":2,"a":"å"},"prev":FIRST_PREV})
    }

    fn sealed(mut event: Value) -> String {
        event["hash"] = json!(hash(event.as_object().unwrap()).unwrap());
        event.to_string()
    }

    #[test]
    fn the_hash_is_over_the_canonical_form_computed_by_hand() {
        let by_hand = format!(
            "{}{}{}",
            r#"{"at":"2026-11-20T21:39:00.000Z","boot":1,"class":"alarm","clock":"trusted","detail":{"a":"å","b":2},"#,
            r#""epoch":1,"id":"01936f2e-7c1a-7b3c-8d4e-5f6071829304","mono_ms":5,"#,
            format_args!(r#""prev":"{FIRST_PREV}","seq":1,"service":"active","type":"alarm_started","v":1}}"#)
        );
        assert_eq!(hash(plain().as_object().unwrap()).unwrap(), hex(&Sha256::digest(by_hand)));
    }

    #[test]
    fn the_erasable_part_counts_only_through_its_salted_digest() {
        let mut whole = plain();
        whole["personal"] = json!({"salt":"c2FsdA","name":"Anna"});
        let digest = hex(&Sha256::digest(r#"c2FsdA{"name":"Anna","salt":"c2FsdA"}"#));
        let mut erased = plain();
        erased["personal_digest"] = json!(digest);
        assert_eq!(hash(whole.as_object().unwrap()), hash(erased.as_object().unwrap()));
        assert!(read(&sealed(whole.clone())).is_ok());
        whole["personal"]["name"] = json!("Arne");
        assert_ne!(hash(whole.as_object().unwrap()), hash(erased.as_object().unwrap()));
    }

    #[test]
    fn a_changed_byte_is_a_wrong_hash_and_never_accepted() {
        let body = sealed(plain()).replace("alarm_started", "alarm_stopped");
        assert!(matches!(read(&body), Err(Refusal::Hash { .. })));
    }

    #[test]
    fn breaches_are_named_but_the_event_is_kept() {
        let mut odd = plain();
        odd["id"] = json!("not-a-uuid");
        odd["detail"] = json!({"x": 1.5});
        odd["boot"] = json!("one");
        let breaches = read(&sealed(odd)).unwrap().breaches.join("; ");
        for part in ["not-a-uuid", "not a whole one", "`boot`"] {
            assert!(breaches.contains(part), "{part} is missing from: {breaches}");
        }
    }

    #[test]
    fn an_unjournaled_alarm_needs_no_links_and_only_an_alarm_may_be_one() {
        let mut early = plain();
        early["seq"] = Value::Null;
        early["journaled"] = json!(false);
        early.as_object_mut().unwrap().remove("prev");
        let read_back = read(&early.to_string()).unwrap();
        assert_eq!(read_back.place, Place::Unjournaled { epoch: Some(1) });
        assert!(read_back.breaches.is_empty());
        assert_eq!(read_back.facts, read(&sealed(plain())).unwrap().facts);
        early["class"] = json!("state");
        assert_eq!(read(&early.to_string()).unwrap().breaches.len(), 1);
        early.as_object_mut().unwrap().remove("journaled");
        assert!(matches!(read(&early.to_string()), Err(Refusal::Unreadable(_))));
    }
}
