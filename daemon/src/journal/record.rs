//! Event ↔ row, and the small texts that stand beside the journal. Their bytes are for ever.
//!
//! It never opens a file: `io` does, and hands the bytes here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::KeyInit;
use hmac::Mac;
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use vakt_core::alarm::state::STATE_VERSION;
use vakt_core::alarm::state::State;
use vakt_core::canonical;
use vakt_core::canonical::Clock;
use vakt_core::canonical::Unsound;
use vakt_core::event::AlarmKind;
use vakt_core::event::Class;
use vakt_core::event::Event;
use vakt_core::event::EventId;
use vakt_core::port::Place;
use vakt_core::port::Stored;
use vakt_core::stamp::Stamp;
use vakt_core::stamp::parse_rfc3339;

/// One row of `event`, with its personal part where it still exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it stands.
    pub place: Place,
    /// The class column.
    pub class: i64,
    /// What was hashed.
    pub body: Vec<u8>,
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// The personal part's bytes.
    pub personal: Option<Vec<u8>>,
}

/// The class as a column.
pub fn class_column(class: Class) -> i64 {
    Class::ALL.iter().position(|other| *other == class).map_or(i64::MAX, |rank| rank as i64)
}

impl Row {
    /// The row of an event at its place.
    pub fn seal(event: &Event, place: Place, prev: &[u8; 32]) -> Self {
        let sealed = canonical::seal(event, place, prev);
        let class = class_column(event.fact.class());
        Self { place, class, body: sealed.body, hash: sealed.hash, personal: sealed.personal }
    }

    /// The payload as it is sent, exported and listed.
    pub fn wire(&self) -> Vec<u8> {
        canonical::wire(&self.body, &self.hash, self.personal.as_deref())
    }

    /// The payload as whoever is on site may see it (B1, B8): a row that is for the centre alone shows that it is there, and
    /// its hash. `None`: even that would tell, because only rows of one class were asked for.
    pub fn wire_on_site(&self, one_class: bool) -> Option<Vec<u8>> {
        match self.check() {
            Ok((prev, event)) if event.is_centre_only() => {
                let Place { epoch, seq } = self.place;
                let (prev, hash) = (canonical::hex(&prev), canonical::hex(&self.hash));
                let text =
                    format!(r#"{{"epoch":{epoch},"hash":"{hash}","prev":"{prev}","seq":{seq},"withheld":true}}"#);
                (!one_class).then(|| text.into_bytes())
            }
            _ => Some(self.wire()),
        }
    }

    /// Checks that everything in the row belongs together; gives `prev` and the event.
    ///
    /// # Errors
    /// What does not match.
    pub fn check(&self) -> Result<([u8; 32], Event), Unsound> {
        canonical::check(&self.body, &self.hash, self.personal.as_deref())?;
        let (place, prev, event) = canonical::open(&self.body)?;
        if place != self.place {
            let text = format!("the row stands at {}, its bytes say {}", show(self.place), show(place));
            return Err(Unsound::NotAnEvent(text));
        }
        if class_column(event.fact.class()) != self.class {
            return Err(Unsound::NotAnEvent("the class column is not the event's class".to_owned()));
        }
        Ok((prev, event))
    }

    /// Whether its bytes are those that were sealed, and yet no event that this program knows.
    pub fn is_of_a_later_program(&self) -> bool {
        canonical::check(&self.body, &self.hash, None).is_ok() && canonical::open(&self.body).is_err()
    }

    /// The row for the outbox: its bytes were checked when the journal was opened, and only what decides where it goes is
    /// read of them.
    ///
    /// # Errors
    /// Why it is not an event.
    pub fn stored(&self) -> Result<Stored, Unsound> {
        let wrong = |what: String| Unsound::NotAnEvent(what);
        let said: Said = serde_json::from_slice(&self.body).map_err(|e| wrong(e.to_string()))?;
        let place = Place { epoch: said.epoch, seq: said.seq };
        if place != self.place || class_column(said.class) != self.class {
            let text =
                format!("the row stands at {} in class {}, its bytes say otherwise", show(self.place), self.class);
            return Err(wrong(text));
        }
        let wall_ms = parse_rfc3339(&said.at).map_err(wrong)?;
        let trusted = said.clock == Clock::Trusted;
        let stamp = Stamp { boot: said.boot, mono_ms: said.mono_ms, wall_ms, trusted };
        let every_way = said.goes_every_way();
        Ok(Stored { place, id: said.id, class: said.class, every_way, stamp, wire: self.wire().into() })
    }
}

/// What the outbox must know of an event; reading all of it took most of the time of sending it.
#[derive(serde::Deserialize)]
struct Said {
    epoch: u64,
    seq: u64,
    id: EventId,
    class: Class,
    at: String,
    clock: Clock,
    boot: u32,
    mono_ms: u64,
    r#type: String,
    #[serde(default)]
    detail: SaidDetail,
}

#[derive(Default, serde::Deserialize)]
struct SaidDetail {
    /// Of an alarm its kind; other events say other things by it.
    #[serde(default)]
    kind: Value,
}

impl Said {
    fn goes_every_way(&self) -> bool {
        let kind = || AlarmKind::deserialize(&self.detail.kind).is_ok_and(AlarmKind::goes_every_way);
        self.r#type == ALARM_RAISED && kind()
    }
}

/// The event that raises an alarm, by its name in the bytes.
const ALARM_RAISED: &str = "alarm_raised";

/// A place as people read it.
pub fn show(place: Place) -> String {
    format!("epoch {} seq {}", place.epoch, place.seq)
}

/// A state as a snapshot's bytes.
pub fn snapshot_bytes(state: &State) -> Vec<u8> {
    canonical::canonical(state)
}

/// A step of the state's shape: from this version to the next. `None`: it is not of that version.
pub type Step = (u32, fn(Value) -> Option<Value>);

/// From each version of the state that was given away to the next. 0.1.0 wrote 5; 6 says more of a device, and what it
/// does not say is as it was. Where the rows that made a state are
/// pruned it can be had in no other way.
const STEPS: &[Step] = &[(5, Some)];

/// A state's bytes in their version's shape as a state of today's.
fn read_state(version: u32, bytes: &[u8]) -> Option<State> {
    if version == STATE_VERSION {
        return serde_json::from_slice(bytes).ok();
    }
    serde_json::from_value(raised(serde_json::from_slice(bytes).ok()?, version, STATE_VERSION, STEPS)?).ok()
}

/// A state of an earlier shape, step by step in a later one; `None` where none leads on.
pub fn raised(state: Value, from: u32, to: u32, steps: &[Step]) -> Option<Value> {
    let step = |state: Value, version: u32| {
        let (_, step) = steps.iter().find(|(from, _)| *from == version)?;
        step(state)
    };
    if from > to { None } else { (from..to).try_fold(state, step) }
}

/// A snapshot's bytes as a state, if its hash is right and its version known.
pub fn read_snapshot(version: i64, bytes: &[u8], hash: &[u8]) -> Option<State> {
    let version = u32::try_from(version).ok()?;
    if canonical::sha256(&[bytes]) == *hash { read_state(version, bytes) } else { None }
}

/// Whether a later program wrote a snapshot. One that reads as this program's own has a bent number.
pub fn is_of_a_later_program(version: i64, bytes: &[u8], hash: &[u8]) -> bool {
    let ours = || read_state(STATE_VERSION, bytes).is_some_and(|state| snapshot_bytes(&state) == bytes);
    version > i64::from(STATE_VERSION) && canonical::sha256(&[bytes]) == *hash && !ours()
}

/// Whether a receipt's signed text says at least what its row says. Its signature was checked when it came.
pub fn covers(jws: &str, epoch: u64, upto: u64) -> bool {
    let claims = || -> Option<(u64, u64)> {
        let payload = URL_SAFE_NO_PAD.decode(jws.split('.').nth(1)?).ok()?;
        let payload: Value = serde_json::from_slice(&payload).ok()?;
        Some((payload["epoch"].as_u64()?, payload["upto"].as_u64()?))
    };
    upto == 0 || claims().is_some_and(|(of, signed)| of == epoch && upto <= signed)
}

/// The first line of the side snapshot.
const SIDE_V1: &str = "vakt-side/1";

/// The largest side snapshot read, in bytes; a larger file is not ours.
pub const SIDE_MAX: u64 = 4 << 20;

/// The side snapshot: place and state, sealed with the hub's key, for the day the journal had to be put aside.
pub fn side_text(place: Place, state: &State, key: &[u8; 32]) -> Vec<u8> {
    let mut text = format!("{SIDE_V1} {STATE_VERSION} {} {}\n", place.epoch, place.seq).into_bytes();
    text.extend(snapshot_bytes(state));
    let seal = canonical::hex(&mac(key, &text));
    text.extend_from_slice(format!("\n{seal}\n").as_bytes());
    text
}

/// Reads a side snapshot; `None` when its seal is not by this key, or from its state's version no step leads to this one.
pub fn read_side(text: &[u8], key: &[u8; 32]) -> Option<(Place, State)> {
    let text = text.strip_suffix(b"\n")?;
    let cut = text.iter().rposition(|byte| *byte == b'\n')?;
    let (sealed, seal) = (&text[..cut], std::str::from_utf8(&text[cut + 1..]).ok()?);
    hasher(key, sealed).verify_slice(&canonical::unhex32(seal)?).ok()?;
    let line = sealed.iter().position(|byte| *byte == b'\n')?;
    let words: Vec<&str> = std::str::from_utf8(&sealed[..line]).ok()?.split(' ').collect();
    let [SIDE_V1, version, epoch, seq] = words.as_slice() else { return None };
    let place = Place { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? };
    Some((place, read_state(version.parse().ok()?, &sealed[line + 1..])?))
}

fn hasher(key: &[u8; 32], text: &[u8]) -> hmac::Hmac<Sha256> {
    let mut mac = hmac::Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac
}

fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    hasher(key, text).finalize().into_bytes().into()
}

/// What an anchor's signature covers.
pub fn anchor_text(place: Place, hash: &[u8; 32]) -> Vec<u8> {
    let mut text = b"vakt-anchor/1".to_vec();
    text.extend(place.epoch.to_be_bytes());
    text.extend(place.seq.to_be_bytes());
    text.extend(hash);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_snapshot_reads_back_only_under_its_key_and_unchanged() {
        let (place, state, key) = (Place { epoch: 7, seq: 9 }, State::default(), [3; 32]);
        let text = side_text(place, &state, &key);
        assert_eq!(read_side(&text, &key), Some((place, state)));
        assert_eq!(read_side(&text, &[4; 32]), None);
        for at in 0..text.len() {
            let mut bent = text.clone();
            bent[at] ^= 1;
            assert_eq!(read_side(&bent, &key), None, "byte {at}");
        }
        assert_eq!(read_side(b"", &key), None);
    }

    #[test]
    fn a_state_of_an_earlier_version_is_raised_step_by_step_and_one_that_no_step_leads_from_is_not_guessed() {
        let steps: &[Step] = &[
            (5, |mut state| {
                let rooms = state.as_object_mut()?.remove("areas")?;
                state["rooms"] = rooms;
                Some(state)
            }),
            (6, |mut state| {
                state["rooms"]["attic"] = 7.into();
                Some(state)
            }),
        ];
        let five = || serde_json::json!({"areas": {"house": 1}});
        let rooms = serde_json::json!({"rooms": {"house": 1}});
        assert_eq!(raised(five(), 5, 6, steps), Some(rooms.clone()));
        let both = serde_json::json!({"rooms": {"house": 1, "attic": 7}});
        assert_eq!((raised(five(), 5, 7, steps), raised(rooms.clone(), 6, 7, steps)), (Some(both.clone()), Some(both)));
        for (from, to) in [(4, 6), (5, 8), (6, 5)] {
            assert_eq!(raised(five(), from, to, steps), None, "{from} to {to}");
        }
        assert_eq!(raised(rooms, 5, 6, steps), None, "it is not of the version it says");
    }

    #[test]
    fn a_snapshot_of_a_later_program_is_told_from_one_whose_number_is_bent() {
        let ours = snapshot_bytes(&State::default());
        let later = [&ours[..ours.len() - 1], br#","what_is_not_known_yet":1}"#].concat();
        let next = i64::from(STATE_VERSION) + 1;
        let is = |version, bytes: &[u8]| is_of_a_later_program(version, bytes, &canonical::sha256(&[bytes]));
        assert!(is(next, &later));
        assert!(!is(next, &ours) && !is(next - 1, &later), "a bent number, a bent state");
        assert!(!is_of_a_later_program(next, &later, &[0; 32]));
    }
}
