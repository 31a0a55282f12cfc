//! What must be true at every moment of every life. Each check is told by the requirements, from what was seen from
//! outside (rows on the disk, what left, what arrived, what was done), and never asks the code it judges.
//!
//! `tests/world.rs` plants a bug for each and sees that it is found.

use super::disk::Row;
use super::story::MINUTE;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use vakt_core::event::AlarmKind;
use vakt_core::event::Class;
use vakt_core::event::EventId;
use vakt_core::event::Fact;
use vakt_core::port::Place;
use vakt_core::stamp::Stamp;

/// The checks, in the order of the design's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// No effect and no publish without a committed row, but for what is declared for a failing disk.
    Committed,
    /// The centre has every event, in order, once.
    Delivered,
    /// The alarm, told again in few lines, agrees.
    Oracle,
    /// The journal, replayed, is what the hub knew.
    Replay,
    /// No lock, no fog without a warrant; each at most once.
    Warrant,
    /// A silent detector is missed in time, and no other.
    Silent,
    /// Queues, turns and answers have their limits.
    Limits,
    /// Fire and SOS are never muted, limited or lost.
    Life,
    /// No camera outside fifteen minutes, realm or incident.
    Camera,
    /// What is said of a path is so: the kernel's word, why a connection ended, whether the centre was heard.
    Verdict,
    /// An alarm that has waited too long for its receipt is told to be late.
    Deadline,
    /// When everything is well again, everything comes to rest.
    Settles,
    /// Nothing panics.
    Panics,
}

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub check: Check,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.what)
    }
}

/// Whether everything that was looked at held.
pub(super) type Held = Result<(), Broken>;

pub(super) fn broken<T>(check: Check, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken { check, what: what.into() })
}

/// Whether somebody's life may hang on it (B2).
pub(super) fn life(kind: AlarmKind) -> bool {
    matches!(kind, AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas | AlarmKind::Sos | AlarmKind::Medical)
}

/// A row as the checks remember it.
#[derive(Debug)]
pub(super) struct Seen {
    pub id: EventId,
    pub class: Class,
    /// The hashed bytes, where the payload must begin with them; none where an erasable part stands in between.
    pub body: Option<Vec<u8>>,
}

/// An incident as the journal tells it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub kind: AlarmKind,
    pub area: Option<String>,
    pub opened: Stamp,
    pub armed: bool,
    pub closed: bool,
    /// The centre has ended its part.
    pub shut: bool,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub rows: BTreeMap<Place, Seen>,
    pub on_disk: BTreeMap<EventId, Place>,
    by_class: [Vec<Place>; 6],
    /// What the hub has had a receipt for: all up to, and single ones.
    upto: BTreeMap<u64, u64>,
    single: BTreeSet<Place>,
    /// Per connection and class, how many of the class have been sent on it.
    sent: BTreeMap<(u64, Class), usize>,
    pub incidents: BTreeMap<EventId, Told>,
    /// Life-safety alarms that were decided and not lost with a failing disk.
    pub life: BTreeMap<EventId, AlarmKind>,
    /// Acts by their command, and by the digest of their warrant.
    acted: BTreeSet<EventId>,
    acted_by: BTreeMap<String, EventId>,
    /// `command_sent` rows: which act, by which warrant.
    pub commands: BTreeMap<EventId, (vakt_core::event::Act, Option<String>)>,
    /// Warrants that were obeyed: digest and expiry by jti, the newest; and the digests of all.
    pub accepted: BTreeMap<String, (String, i64)>,
    pub obeyed: BTreeSet<String>,
}

impl Evidence {
    /// A row was committed.
    pub(super) fn row(&mut self, row: Row, armed: bool) -> Held {
        let Row { place, event, body } = row;
        let class = event.fact.class();
        self.by_class[class as usize].push(place);
        if let Some(other) = self.on_disk.insert(event.id, place) {
            return broken(Check::Replay, format!("{} stands at {other:?} and again at {place:?}", event.id));
        }
        let plain = !body.windows(17).any(|window| window == b"\"personal_digest\"");
        self.rows.insert(place, Seen { id: event.id, class, body: plain.then_some(body) });
        match &event.fact {
            Fact::AlarmRaised { kind, continues, .. } => {
                if let Some(old) = continues.and_then(|old| self.incidents.get_mut(&old)) {
                    old.closed = true;
                }
                let id = event.incident.unwrap_or(event.id);
                let area = event.area.as_ref().map(|area| area.as_str().to_owned());
                let (kind, opened) = (*kind, event.stamp);
                let fresh = || Told { kind, area, opened, armed, closed: false, shut: false };
                let told = self.incidents.entry(id).or_insert_with(fresh);
                told.armed = armed;
                if told.kind != kind {
                    return broken(Check::Life, format!("{:?} was told within an incident of {:?}", kind, told.kind));
                }
            }
            Fact::IncidentCleared { .. } | Fact::IncidentCancelled { .. } => {
                let told = event.incident.and_then(|id| self.incidents.get_mut(&id));
                if let Some(told) = told {
                    told.closed = true;
                    if life(told.kind) {
                        return broken(Check::Life, format!("{:?} ended without the centre's word", told.kind));
                    }
                }
            }
            Fact::IncidentClosed { .. } => self.end(event.incident, |told| told.closed = true),
            Fact::MediaWindowClosed { .. } => self.end(event.incident, |told| told.shut = true),
            Fact::CommandSent { act, warrant } => drop(self.commands.insert(event.id, (*act, warrant.clone()))),
            Fact::AlarmSuppressed { kind } if life(*kind) => {
                return broken(Check::Life, format!("an alarm of {kind:?} was limited"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, id: Option<EventId>, end: impl FnOnce(&mut Told)) {
        if let Some(told) = id.and_then(|id| self.incidents.get_mut(&id)) {
            end(told);
        }
    }

    /// The hub was handed this receipt.
    pub(super) fn receipt(&mut self, epoch: u64, upto: u64, seqs: &[u64]) {
        let known = self.upto.entry(epoch).or_default();
        *known = upto.max(*known);
        self.single.extend(seqs.iter().map(|seq| Place { epoch, seq: *seq }));
    }

    pub(super) fn receipted(&self, place: Place) -> bool {
        self.upto.get(&place.epoch).is_some_and(|upto| place.seq <= *upto) || self.single.contains(&place)
    }

    /// An event leaves on a connection: it is on record, with these bytes, and none of its class was passed over.
    pub(super) fn leaves(&mut self, conn: u64, class: Class, place: Place, id: EventId, wire: &[u8]) -> Held {
        let Some(row) = self.rows.get(&place) else {
            return broken(Check::Committed, format!("{id} left as {place:?}, where the journal has nothing"));
        };
        let same = row.body.as_ref().is_none_or(|body| wire.starts_with(&body[..body.len() - 1]));
        if row.id != id || row.class != class || !same {
            return broken(Check::Committed, format!("{place:?} left as something else than it is in the journal"));
        }
        let places = &self.by_class[class as usize];
        let at = places.partition_point(|other| *other < place);
        let from = self.sent.get(&(conn, class)).copied().unwrap_or(0);
        for passed in places.iter().take(at).skip(from) {
            if !self.receipted(*passed) {
                let what = format!("{place:?} left before {passed:?} of its class, on connection {conn}");
                let life = self.rows.get(passed).is_some_and(|row| self.life.contains_key(&row.id));
                return broken(if life { Check::Life } else { Check::Delivered }, what);
            }
        }
        if at >= from {
            self.sent.insert((conn, class), at + 1);
        }
        Ok(())
    }

    /// A connection is over; its number is never used again.
    pub(super) fn over(&mut self, conn: u64) {
        self.sent.retain(|(of, _), _| *of != conn);
    }

    /// A device does something: it was ordered, on record, and this once.
    pub(super) fn acts(&mut self, command: EventId, act: vakt_core::event::Act) -> Held {
        use vakt_core::event::Act;
        let Some((sent, warrant)) = self.commands.get(&command) else {
            return broken(Check::Committed, format!("{act:?} was done, and {command} is not on record"));
        };
        if *sent != act {
            return broken(Check::Committed, format!("{act:?} was done, on record is {sent:?}"));
        }
        if !self.acted.insert(command) {
            return broken(Check::Warrant, format!("{act:?} of {command} was done twice"));
        }
        match (act, warrant) {
            (Act::SirenChirp, None) => Ok(()),
            (_, Some(jti)) => match self.accepted.get(jti) {
                None => broken(Check::Warrant, format!("{act:?} by warrant {jti}, which was never accepted")),
                Some((digest, _)) => match self.acted_by.insert(digest.clone(), command) {
                    Some(_) => broken(Check::Warrant, format!("warrant {jti} acted twice")),
                    None => Ok(()),
                },
            },
            // A household may lock and unlock by code, on record with who did; the rest only by warrant.
            // The hub locks by itself before it arms.
            (Act::Lock, None) => Ok(()),
            (Act::Unlock, None) => broken(Check::Warrant, format!("{act:?} by nobody's order")),
            (_, None) => broken(Check::Warrant, format!("{act:?} without a warrant")),
        }
    }
}

/// From an incident's first moment (R04).
const WINDOW_MS: u64 = 15 * MINUTE;

/// Whether a camera may show the centre something of this incident until so many ms from now; told by R01 to R07, B14,
/// B17 and the restart rule.
pub(super) fn may_show(told: &Told, dk: bool, area: Option<&str>, now: Stamp, for_ms: u64) -> Held {
    let opens = match told.kind {
        AlarmKind::Burglary | AlarmKind::Fire | AlarmKind::Sos => true,
        AlarmKind::Tamper => dk && told.armed,
        _ => false,
    };
    if !opens {
        return broken(Check::Camera, format!("an alarm of {:?} opened a camera", told.kind));
    }
    if told.closed || told.shut {
        return broken(Check::Camera, "a camera was opened for an incident that is over");
    }
    let passed_ms = match told.opened.boot == now.boot {
        true => now.mono_ms - told.opened.mono_ms,
        false if told.opened.trusted && now.trusted => u64::try_from(now.wall_ms - told.opened.wall_ms).unwrap_or(0),
        false => return broken(Check::Camera, "nobody can prove how much of the window is left"),
    };
    if passed_ms + for_ms > WINDOW_MS {
        return broken(Check::Camera, format!("{passed_ms} ms after the alarm a camera is open for {for_ms} more"));
    }
    if told.area.is_some() && told.area.as_deref() != area {
        return broken(Check::Camera, "the camera is not where the alarm is");
    }
    Ok(())
}
