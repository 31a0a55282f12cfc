//! Event format v1: the one form that is hashed, stored and sent (contract, "Events").
//!
//! `seal` gives an event its place and makes the bytes; from then on bytes are only ever spliced, never built again,
//! so an event verifies for ever, whatever this code becomes. Integers only: RFC 8785 has no second opinion on them.

use crate::device::{AreaId, Authenticated, DeviceId, UserId, ZoneId};
use crate::event::{Cid, Class, Event, EventId, Fact, Method, Notify, Personal, Service};
use crate::port::Place;
use crate::stamp::{Stamp, parse_rfc3339};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The largest event as sent, in bytes. Whoever makes one bounds its lists and texts so that this always holds.
pub const EVENT_MAX: usize = 8 * 1024;

/// The longest personal text, in bytes: a name, not a letter.
pub const PERSONAL_TEXT_MAX: usize = 256;

/// Whether the wall time of an event can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's own words
pub enum Clock {
    Trusted,
    Untrusted,
}

/// Event format v1 as JSON. Its member names and meanings are for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Vakt event, version 1")]
pub struct EventV1 {
    /// 1.
    pub v: u8,
    /// Rises whenever a journal is begun or restored; absent from an alarm that is not journaled yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// From 1 without gaps within the epoch; null in an alarm that is not journaled yet.
    pub seq: Option<u64>,
    /// false only in an alarm that had to go out before the disk answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journaled: Option<bool>,
    /// UUIDv7: duplicates are recognised by it.
    pub id: EventId,
    /// What happened (`type`) and its particulars (`detail`).
    #[serde(flatten)]
    pub fact: Fact,
    /// What it is about.
    pub class: Class,
    /// UTC, RFC 3339, milliseconds.
    pub at: String,
    /// Whether `at` can be believed.
    pub clock: Clock,
    /// How many times the board has started.
    pub boot: u32,
    /// Milliseconds since that start (CLOCK_BOOTTIME).
    pub mono_ms: u64,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<AreaId>,
    /// Where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneId>,
    /// By which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The id of the event that opened the incident it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<EventId>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// And how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The site's standing with the operator.
    pub service: Service,
    /// How far the radio report behind it can be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<Authenticated>,
    /// Not to be shown to whoever is on site: it belongs to a silent incident.
    #[serde(default, skip_serializing_if = "is_false")]
    pub centre_only: bool,
    /// SIA DC-03 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sia: Option<String>,
    /// Contact ID code (SIA DC-05).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Cid>,
    /// Whom a notice of it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// SHA-256(salt as text ‖ RFC 8785(personal)), in place of `personal` where that is hashed or has been erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_digest: Option<String>,
    /// Names and free text: the only part that can be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// The hash of the event before it in this epoch; 64 zeros in its first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    /// SHA-256 of RFC 8785(this without `hash`, `personal` replaced by `personal_digest`), lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// An event with its place: what the journal stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// RFC 8785 bytes without `hash`, `personal` replaced by its digest: what was hashed.
    pub body: Vec<u8>,
    /// Their SHA-256.
    pub hash: [u8; 32],
    /// RFC 8785 bytes of the personal part, kept apart so that it can be erased.
    pub personal: Option<Vec<u8>>,
}

/// Why bytes are not an event that verifies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// Not JSON of format v1.
    #[error("not an event of format v1: {0}")]
    NotAnEvent(String),
    /// A newer format.
    #[error("event format v{0} is newer than this program, which knows v1")]
    NewerFormat(u64),
    /// Not the bytes that were hashed.
    #[error("the hash is {found}, its bytes give {computed}")]
    Hash {
        /// What it says.
        found: String,
        /// What its bytes give.
        computed: String,
    },
    /// The personal part is not the one that was hashed.
    #[error("the personal part does not match its digest")]
    Personal,
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 lower-case hex digits as 32 bytes.
pub fn unhex32(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut out = [0u8; 32];
    if digits.len() != 64 || !digits.iter().all(|d| d.is_ascii_digit() || (b'a'..=b'f').contains(d)) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// SHA-256.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// RFC 8785 bytes of anything that serialises. Our types hold integers and text only, which always do.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("our edge types are integers, texts and maps with text keys")
}

/// The digest that stands for a personal part: SHA-256 over the salt's text and the part's RFC 8785 bytes.
pub fn personal_digest(salt: &str, personal: &[u8]) -> String {
    hex(&sha256(&[salt.as_bytes(), personal]))
}

fn is_false(it: &bool) -> bool {
    !it
}

fn form(event: &Event) -> EventV1 {
    let (sia, cid) = event.codes();
    EventV1 {
        v: 1,
        epoch: None,
        seq: None,
        journaled: None,
        id: event.id,
        fact: event.fact.clone(),
        class: event.fact.class(),
        at: event.stamp.at(),
        clock: if event.stamp.trusted { Clock::Trusted } else { Clock::Untrusted },
        boot: event.stamp.boot,
        mono_ms: event.stamp.mono_ms,
        area: event.area.clone(),
        zone: event.zone.clone(),
        device: event.device.clone(),
        incident: event.incident,
        user: event.user.clone(),
        method: event.method,
        service: event.service,
        authenticated: event.authenticated,
        centre_only: event.centre_only,
        sia: sia.map(str::to_owned),
        cid,
        notify: event.notify(),
        personal_digest: None,
        personal: None,
        prev: None,
        hash: None,
    }
}

/// Gives an event its place in the chain and makes its bytes.
pub fn seal(event: &Event, place: Place, prev: &[u8; 32]) -> Sealed {
    assert!(place.seq >= 1 && place.epoch >= 1, "an event's place starts at 1");
    assert!(place.epoch < 1 << 53 && place.seq < 1 << 53, "RFC 8785 numbers are exact below 2^53");
    let personal = event.personal.as_ref().map(canonical);
    let mut form = form(event);
    form.epoch = Some(place.epoch);
    form.seq = Some(place.seq);
    form.prev = Some(hex(prev));
    if let (Some(part), Some(bytes)) = (&event.personal, &personal) {
        form.personal_digest = Some(personal_digest(&part.salt, bytes));
    }
    let body = canonical(&form);
    assert!(body.len() + personal.as_ref().map_or(0, Vec::len) + 128 <= EVENT_MAX, "every list in a fact is bounded");
    let hash = sha256(&[&body]);
    Sealed { body, hash, personal }
}

/// The payload as it is sent: the hashed bytes with `hash` added, and `personal` put back where it still exists.
pub fn wire(body: &[u8], hash: &[u8; 32], personal: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 128 + personal.map_or(0, <[u8]>::len));
    // A quote inside a JSON text is escaped, so this member can be found as bytes; detail and names are texts too.
    let member = b"\"personal_digest\":\"";
    let spot = personal.and_then(|_| body.windows(member.len()).position(|window| window == member));
    match (personal, spot) {
        (Some(personal), Some(start)) => {
            let end = (start + member.len() + 64 + 1).min(body.len());
            out.extend_from_slice(&body[..start]);
            out.extend_from_slice(b"\"personal\":");
            out.extend_from_slice(personal);
            out.extend_from_slice(&body[end..]);
        }
        _ => out.extend_from_slice(body),
    }
    let closing = out.pop();
    debug_assert_eq!(closing, Some(b'}'));
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(hex(hash).as_bytes());
    out.extend_from_slice(b"\"}");
    out
}

/// The payload of an alarm that goes out before the disk has answered.
pub fn unjournaled(event: &Event) -> Vec<u8> {
    let mut form = form(event);
    form.journaled = Some(false);
    form.personal = event.personal.clone();
    canonical(&form)
}

/// Reads the hashed bytes back: place, `prev`, event. The personal part is kept apart and not in it.
///
/// # Errors
/// Why the bytes are not an event.
pub fn open(body: &[u8]) -> Result<(Place, [u8; 32], Event), Unsound> {
    let form: EventV1 = serde_json::from_slice(body).map_err(|e| not_an_event(body, &e))?;
    if form.v != 1 {
        return Err(not_version_1(form.v.into()));
    }
    let wrong = |what: &str| Unsound::NotAnEvent(what.to_owned());
    let epoch = form.epoch.ok_or_else(|| wrong("it has no epoch"))?;
    let seq = form.seq.ok_or_else(|| wrong("it has no seq"))?;
    let prev = form.prev.as_deref().and_then(unhex32).ok_or_else(|| wrong("prev is not 64 hex digits"))?;
    let stamp = Stamp {
        boot: form.boot,
        mono_ms: form.mono_ms,
        wall_ms: parse_rfc3339(&form.at).map_err(Unsound::NotAnEvent)?,
        trusted: form.clock == Clock::Trusted,
    };
    let event = Event {
        id: form.id,
        stamp,
        fact: form.fact,
        area: form.area,
        zone: form.zone,
        device: form.device,
        incident: form.incident,
        user: form.user,
        method: form.method,
        service: form.service,
        authenticated: form.authenticated,
        personal: None,
        centre_only: form.centre_only,
    };
    Ok((Place { epoch, seq }, prev, event))
}

fn not_an_event(bytes: &[u8], error: &serde_json::Error) -> Unsound {
    match serde_json::from_slice::<serde_json::Value>(bytes).ok().and_then(|value| value.get("v")?.as_u64()) {
        Some(v) if v > 1 => not_version_1(v),
        _ => Unsound::NotAnEvent(error.to_string()),
    }
}

fn not_version_1(v: u64) -> Unsound {
    if v > 1 { Unsound::NewerFormat(v) } else { Unsound::NotAnEvent(format!("there is no format v{v}")) }
}

/// Checks that bytes and hash belong together, and the personal part with them where it still exists.
///
/// # Errors
/// What does not match.
pub fn check(body: &[u8], hash: &[u8; 32], personal: Option<&[u8]>) -> Result<(), Unsound> {
    let computed = sha256(&[body]);
    if computed != *hash {
        return Err(Unsound::Hash { found: hex(hash), computed: hex(&computed) });
    }
    let Some(personal) = personal else { return Ok(()) };
    let part: Personal = serde_json::from_slice(personal).map_err(|_| Unsound::Personal)?;
    let form: EventV1 = serde_json::from_slice(body).map_err(|e| not_an_event(body, &e))?;
    let digest = personal_digest(&part.salt, personal);
    if form.personal_digest.as_deref() == Some(digest.as_str()) { Ok(()) } else { Err(Unsound::Personal) }
}
