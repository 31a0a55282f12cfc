//! What becomes of an incident after its first alarm: cleared, cancelled, confirmed, verified, closed (B1–B5, B10, B11).
//!
//! The alarm has always been told before any of this. Nothing here holds one back, a fire never ends but by the centre's
//! word, and a disarm touches no 24-hour incident.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::camera_window::WINDOW_MS;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::outcome;
use crate::alarm::state::{Arming, Remembered, State};
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind};
use crate::event::{AlarmKind, ArmMode, CloseCause, Event, EventId, Evidence, Fact, Method, Profile, Tag};
use crate::input::{CodeChecked, RequestId, Sound};
use crate::stamp::{Deadline, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A disarm within this time of the first alarm clears a burglary by itself, where the profile says so (B5), in ms.
const CLEAR_MS: u64 = 60_000;
/// A person may cancel for so long after the first alarm (R33), in ms.
const CANCEL_MS: u64 = 180_000;
/// Two smoke detectors that alarm within this time are a verified fire (R23), in ms.
const TWO_SMOKES_MS: u64 = 600_000;
/// Detectors of an incident that are remembered. A further one is told like every alarm, and confirms nothing new.
pub(crate) const SOURCES_MAX: usize = 16;

/// Earlier incidents that one remembers to continue. The oldest is forgotten.
const WAS_MAX: usize = 8;
/// Within this time of its last alarm an incident is joined; later alarms open one that continues it (B17), in ms.
const JOIN_MS: u64 = 10 * 60_000;
/// Alarms an area remembers until somebody acknowledges them. The newest is not kept when there are more.
const MEMORY_MAX: usize = 16;

/// How long burglary sirens sound after the last alarm, in ms (2 to 15 min allowed; profile default 3 min).
pub const SIREN_MS: u64 = 180_000;

/// One alarm from trigger to close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Incident {
    pub kind: AlarmKind,
    pub area: Option<AreaId>,
    pub opened: Stamp,
    pub last: Stamp,
    pub alarms: u32,
    /// Whether the area guarded when it last alarmed: a tamper sounds like a burglary then.
    pub armed: bool,
    /// How long sirens that end by themselves still sound.
    pub sounding: Deadline,
    /// Until when a further alarm joins it; later ones open an incident that continues it (B17).
    pub joined: Deadline,
    /// Silenced by a person, until it alarms again.
    pub silenced: bool,
    /// Detectors that raised it, and when each last did.
    pub sources: BTreeMap<DeviceId, Stamp>,
    /// Why it is believed.
    pub evidence: BTreeSet<Evidence>,
    /// A person has said that it is false.
    pub said_false: bool,
    /// The centre was granted a picture of it.
    pub window_used: bool,
    /// The centre gets no more.
    pub window_closed: bool,
    /// How the area guarded when it opened; `None`: it did not.
    pub mode: Option<ArmMode>,
    /// Somebody who may has disarmed since.
    pub disarmed: bool,
    /// It is a hold-up, and nobody on site may notice (B1).
    pub duress: bool,
    /// To whoever is on site it looks cleared.
    pub looks_cleared: bool,
    /// A guard is there.
    pub guard_on_site: bool,
    /// Detectors that raised it, for the count of false alarms.
    pub raised_by: BTreeSet<DeviceId>,
    /// Incidents it continues: who means one of them means it (B17).
    pub was: BTreeSet<EventId>,
}

impl Incident {
    /// Its kind as the centre, and it alone, is told it.
    pub fn told_as(&self) -> AlarmKind {
        if self.duress && self.kind != AlarmKind::HoldUp { AlarmKind::Duress } else { self.kind }
    }

    /// Its kind on record: what is known of it on site is listed as what it is there (B1).
    fn listed_as(&self) -> AlarmKind {
        if self.is_hidden() { self.told_as() } else { self.kind }
    }

    /// Whether nobody on site may read this of it: in a hold-up that cameras are opened is nobody's to see (B8).
    pub(crate) fn hides(&self, fact: &Fact) -> bool {
        let of_cameras =
            matches!(fact, Fact::MediaGranted { .. } | Fact::MediaRefused { .. } | Fact::MediaWindowClosed { .. });
        self.is_hidden() || self.duress && of_cameras
    }

    /// Whether nobody on site may know of it.
    pub fn is_hidden(&self) -> bool {
        matches!(self.kind, AlarmKind::HoldUp | AlarmKind::Duress) || self.looks_cleared
    }

    /// One that has just opened.
    fn opened(event: &Event, kind: AlarmKind, mode: Option<ArmMode>) -> Self {
        Self {
            kind,
            area: event.area.clone(),
            opened: event.stamp,
            last: event.stamp,
            alarms: 0,
            armed: mode.is_some(),
            sounding: Deadline::after(event.stamp, SIREN_MS),
            joined: Deadline::after(event.stamp, JOIN_MS),
            silenced: false,
            sources: BTreeMap::new(),
            evidence: BTreeSet::new(),
            said_false: false,
            window_used: false,
            window_closed: false,
            mode,
            disarmed: false,
            duress: matches!(kind, AlarmKind::HoldUp | AlarmKind::Duress),
            looks_cleared: false,
            guard_on_site: false,
            raised_by: BTreeSet::new(),
            was: BTreeSet::new(),
        }
    }

    /// Takes over what was known of the one it continues.
    fn inherit(&mut self, id: EventId, old: Incident) {
        // A fire that was verified is, for as long as it is open (B3); a burglary is confirmed anew.
        if self.kind.only_the_centre_ends() {
            self.evidence.extend(old.evidence);
        }
        // Whether they are still fresh is judged when it counts; a disarm has emptied a burglary's.
        self.sources.extend(old.sources);
        self.raised_by.extend(old.raised_by);
        self.guard_on_site |= old.guard_on_site;
        // A code under threat was one; a disarm was of the period before.
        self.duress |= old.duress;
        self.said_false |= old.said_false;
        self.was = old.was;
        self.was.insert(id);
        while self.was.len() > WAS_MAX {
            self.was.pop_first();
        }
    }

    /// Whether a further alarm belongs to it (B17): soon after the last one, within the time of its pictures as far as that can
    /// be proven, and not when the area was set anew meanwhile.
    pub(crate) fn is_joined(&self, guards: bool, now: Stamp) -> bool {
        let runs = |until: Deadline| until.remaining_ms(now).is_some_and(|left| left > 0);
        let anew = matches!(self.kind, AlarmKind::Burglary | AlarmKind::Tamper | AlarmKind::KeyBox) && self.disarmed;
        runs(self.joined) && runs(Deadline::after(self.opened, WINDOW_MS)) && !(anew && guards)
    }

    /// How long its sirens still sound, if they end by themselves.
    pub fn siren_left_ms(&self, now: Stamp) -> u64 {
        self.sounding.remaining_ms(now).unwrap_or(SIREN_MS)
    }

    /// In how many ms its sound ends without anybody's doing; `None`: it is silent, or sounds until a code.
    pub fn sound_ends_ms(&self, now: Stamp) -> Option<u64> {
        let by_itself = !matches!(self.kind, AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas);
        Some(self.siren_left_ms(now)).filter(|left| by_itself && !self.silenced && *left > 0)
    }

    pub(crate) fn sound(&self, now: Stamp) -> Option<Sound> {
        match self.kind {
            AlarmKind::HoldUp | AlarmKind::Duress => None,
            // A siren that falls silent where a code would not have silenced it would tell (B1).
            _ if self.looks_cleared => None,
            // Until a code silences it (B9).
            AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas => Some(Sound::Fire),
            _ if self.siren_left_ms(now) == 0 => None,
            AlarmKind::Burglary => Some(Sound::Burglary),
            AlarmKind::Tamper => Some(if self.armed { Sound::Burglary } else { Sound::TamperBeep }),
            AlarmKind::Water | AlarmKind::Freeze => Some(Sound::Water),
            AlarmKind::Sos | AlarmKind::Medical => Some(Sound::SosTone),
            AlarmKind::KeyBox => Some(if self.armed { Sound::Burglary } else { Sound::TamperBeep }),
        }
    }
}

impl Profile {
    /// Whether a quick disarm clears a burglary (R31).
    fn clears(self) -> bool {
        self == Profile::Se
    }

    /// Within which time a second detector confirms a burglary (requirements, "confirmation"), in ms.
    fn confirm_ms(self) -> u64 {
        match self {
            Profile::Dk => 600_000,
            Profile::Se | Profile::No => 1_800_000,
        }
    }
}

impl AlarmKind {
    /// Whether one source may raise it only so often: nobody's life hangs on it (B2).
    pub(crate) fn is_limited(self) -> bool {
        !self.only_the_centre_ends()
    }

    /// Whether only the centre ends it: somebody may be in danger, whatever the panel is told (B2, B10).
    pub(crate) fn only_the_centre_ends(self) -> bool {
        match self {
            AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas | AlarmKind::Sos | AlarmKind::Medical => true,
            AlarmKind::HoldUp | AlarmKind::Duress => true,
            AlarmKind::Burglary | AlarmKind::Tamper | AlarmKind::Water | AlarmKind::Freeze | AlarmKind::KeyBox => false,
        }
    }
}

/// Whether so little time has passed since the first alarm; a time that nobody can prove has passed.
fn within(incident: &Incident, ms: u64, now: Stamp) -> bool {
    Deadline::after(incident.opened, ms).remaining_ms(now).is_some_and(|left| left > 0)
}

/// Seconds since the first alarm, as far as they can be known.
fn seconds_since(incident: &Incident, now: Stamp) -> u32 {
    let left = Deadline::after(incident.opened, CANCEL_MS).remaining_ms(now).unwrap_or(0);
    u32::try_from((CANCEL_MS - left) / 1_000).unwrap_or(0)
}

fn about(draft: &Draft, id: EventId) -> About {
    let area = draft.state.incidents.get(&id).and_then(|incident| incident.area.clone());
    About { area, incident: Some(id), ..About::default() }
}

/// The area of a burglary was disarmed: one that is only seconds old was the family's own (B5). Where somebody is or was
/// under `threat` it only looks so (B1).
pub(crate) fn on_disarmed(draft: &mut Draft, by: &About, threat: bool) {
    let Some((id, incident)) = by.incident.and_then(|id| Some((id, draft.state.incidents.get(&id)?))) else { return };
    if !clears(incident, draft.state.profile, draft.now()) {
        return;
    }
    if threat || incident.duress {
        looks_cleared(draft, by.clone());
        return;
    }
    let (after_s, centre_only) = (seconds_since(incident, draft.now()), draft.state.duress);
    if !centre_only {
        outcome::on_end(draft, id, CloseCause::User);
    }
    draft.emit(Fact::IncidentCleared { after_s, centre_only }, by.clone());
}

/// It is the centre's alone from here: on site it is over.
fn looks_cleared(draft: &mut Draft, about: About) -> EventId {
    let tags = [Tag::LooksCleared].into();
    draft.keep(Fact::AlarmRaised { kind: AlarmKind::Duress, by: DeviceKind::Keypad, continues: None, tags }, about)
}

/// Whether a disarm at this moment clears it. What continues an older one is the centre's, as that is.
fn clears(incident: &Incident, profile: Option<Profile>, now: Stamp) -> bool {
    let may = profile.is_some_and(Profile::clears) && incident.kind == AlarmKind::Burglary && incident.was.is_empty();
    may && within(incident, CLEAR_MS, now)
}

/// A person says that it was a mistake (R33).
pub(crate) fn on_cancel(draft: &mut Draft, request: RequestId, incident: Option<EventId>, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Cancel) else { return };
    let now = draft.now();
    let named = incident.map(|id| draft.state.incident_of(id).unwrap_or(id));
    // Of what nobody on site may know nothing is cancelled, and nothing is said.
    let shown = draft.state.incidents_on_site().filter(|(id, _)| named.is_none_or(|named| named == **id));
    let Some((id, stands)) = shown.max_by_key(|(_, of)| (of.opened.boot, of.opened.mono_ms)) else {
        return draft.refuse(request, "no_incident", "no alarm is open");
    };
    let id = *id;
    let by = About { user: Some(user), method: Some(code.method), ..about(draft, id) };
    // In somebody's danger, after three minutes, or when it goes on from an older one, the centre is at work: his word is
    // told, and counts there (R33).
    if stands.kind.only_the_centre_ends() || !stands.was.is_empty() || !within(stands, CANCEL_MS, now) {
        let event = draft.emit(Fact::CustomerSaysFalse {}, by);
        let text = "the centre is told that it is false; it stays open until the centre has made sure";
        return area::finish(draft, request, event, text.to_owned());
    }
    let (after_s, centre_only) = (seconds_since(stands, now), draft.state.duress);
    let event = if stands.duress || code.duress {
        // Under threat nothing is cancelled, and nobody on site can tell (B1).
        Some(looks_cleared(draft, by))
    } else {
        if !centre_only {
            outcome::on_end(draft, id, CloseCause::User);
        }
        draft.emit(Fact::IncidentCancelled { after_s }, About { centre_only, ..by })
    };
    area::finish(draft, request, event, "the alarm is cancelled, and the centre is told".to_owned());
}

/// A code hushed the sounders: for a fire that is the household's word that it is none (B10), told once.
pub(crate) fn on_hushed(draft: &mut Draft, by: &About) {
    let meant = |incident: &Incident| by.area.is_none() || incident.area.is_none() || incident.area == by.area;
    let fires: Vec<EventId> = (draft.state.incidents.iter())
        .filter(|(_, incident)| matches!(incident.kind, AlarmKind::Fire | AlarmKind::Co | AlarmKind::Gas))
        .filter(|(_, incident)| meant(incident) && !incident.said_false)
        .map(|(id, _)| *id)
        .collect();
    for id in fires {
        let area = about(draft, id).area;
        draft.emit(Fact::CustomerSaysFalse {}, About { incident: Some(id), area, ..by.clone() });
    }
}

/// An alarm was raised: whether it says by itself what it takes two detectors to say.
pub(crate) fn on_alarm(draft: &mut Draft, id: EventId) {
    let now = draft.now();
    let Some(incident) = draft.state.incidents.get(&id) else { return };
    let kind = incident.kind;
    let (evidence, within_ms) = match kind {
        AlarmKind::Fire => (Evidence::TwoSmokes, TWO_SMOKES_MS),
        AlarmKind::Burglary => {
            (Evidence::SecondDetector, draft.state.profile.map_or(TWO_SMOKES_MS, Profile::confirm_ms))
        }
        _ => return,
    };
    // Detectors that alarmed a short while ago, in this incident or, for a fire, in the house: one housing is one.
    let fresh = |at: &Stamp| Deadline::after(*at, within_ms).remaining_ms(now).is_some_and(|left| left > 0);
    let counts = |device: &DeviceId| {
        kind != AlarmKind::Fire || draft.state.devices.get(device).is_some_and(|d| d.kind == DeviceKind::Smoke)
    };
    let of = draft
        .state
        .incidents
        .iter()
        .filter(|(other, of)| **other == id || kind == AlarmKind::Fire && of.kind == AlarmKind::Fire);
    let sources = of.flat_map(|(id, of)| of.sources.iter().map(|(device, at)| (*id, device, at)));
    let sources = sources.filter(|(_, device, at)| counts(device) && fresh(at));
    let (whose, housings): (BTreeSet<EventId>, BTreeSet<&str>) =
        sources.map(|(id, device, _)| (id, witness(device, kind))).unzip();
    if housings.len() >= 2 {
        // One smoke in each of two areas: both fires are.
        for id in whose {
            verify(draft, id, evidence, &About::default());
        }
    }
}

/// Who says so. Smokes that are wired often drive each other, and all of the hub's wires can be bridged at one place: for a
/// fire they are one witness together (B11). So are those that rtl_433 hears: they pass each other's alarm on, and one
/// transmitter can speak for them all.
fn witness(device: &DeviceId, kind: AlarmKind) -> &str {
    match kind {
        AlarmKind::Fire if device.is_wired() => "hub",
        AlarmKind::Fire if device.is_best_effort() => "rf",
        _ => device.housing(),
    }
}

/// The operator has evidence.
pub(crate) fn on_verify(draft: &mut Draft, request: RequestId, id: EventId, by: Evidence) {
    let whose = About { method: Some(Method::Arc), ..About::default() };
    match verify(draft, id, by, &whose) {
        true => draft.done(request, None, "noted"),
        false => draft.refuse(request, "no_incident", format!("no incident {id} is open")),
    }
}

/// The operator closes it.
pub(crate) fn on_close(draft: &mut Draft, request: RequestId, id: EventId, cause: CloseCause) {
    let whose = About { method: Some(Method::Arc), ..About::default() };
    match close(draft, id, cause, &whose) {
        true => draft.done(request, None, "closed"),
        false => draft.refuse(request, "no_incident", format!("no incident {id} is open")),
    }
}

/// The operator has spoken with the customer, who cancels (R33, "operator-assisted"). A fire is only ever closed.
pub(crate) fn on_centre_cancels(draft: &mut Draft, request: RequestId, id: EventId) {
    let Some(incident) = draft.state.incidents.get(&id) else {
        return draft.refuse(request, "no_incident", format!("no incident {id} is open"));
    };
    if incident.kind.only_the_centre_ends() || incident.duress {
        return draft.refuse(request, "close_it", "an alarm of this kind is closed with its cause, not cancelled");
    }
    let after_s = seconds_since(incident, draft.now());
    outcome::on_end(draft, id, CloseCause::User);
    let by = About { method: Some(Method::Arc), ..about(draft, id) };
    let event = draft.emit(Fact::IncidentCancelled { after_s }, by);
    area::finish(draft, request, event, "cancelled".to_owned());
}

/// The longest note, in bytes.
const NOTE_MAX: usize = crate::canonical::PERSONAL_TEXT_MAX;

/// The operator notes something: personal, in the timeline of the incident.
pub(crate) fn on_note(draft: &mut Draft, request: RequestId, id: EventId, text: String) {
    if !draft.state.incidents.contains_key(&id) {
        return draft.refuse(request, "no_incident", format!("no incident {id} is open"));
    }
    if text.is_empty() || text.len() > NOTE_MAX || text.chars().any(|c| c.is_control() && c != '\n') {
        return draft.refuse(request, "bad_note", format!("a note has 1 to {NOTE_MAX} bytes of text"));
    }
    let by = About { method: Some(Method::Arc), note: Some(text), ..about(draft, id) };
    let event = draft.emit(Fact::IncidentNoted {}, by);
    area::finish(draft, request, event, "noted".to_owned());
}

/// Evidence that it is real (B3). Each kind counts once. False: there is no such open incident.
pub(crate) fn verify(draft: &mut Draft, id: EventId, by: Evidence, whose: &About) -> bool {
    let Some(incident) = draft.state.incidents.get(&id) else { return false };
    let kind = incident.listed_as();
    if !incident.evidence.contains(&by) {
        let About { area, incident, .. } = about(draft, id);
        draft.emit(Fact::IncidentVerified { kind, by }, About { area, incident, ..whose.clone() });
    }
    true
}

/// The centre's last word. False: there is no such open incident.
pub(crate) fn close(draft: &mut Draft, id: EventId, cause: CloseCause, whose: &About) -> bool {
    let Some(incident) = draft.state.incidents.get(&id) else { return false };
    let kind = incident.listed_as();
    outcome::on_end(draft, id, cause);
    let About { area, incident, .. } = about(draft, id);
    draft.emit(Fact::IncidentClosed { kind, cause }, About { area, incident, ..whose.clone() });
    true
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    let Some(id) = event.incident else { return };
    match &event.fact {
        Fact::IncidentCleared { .. } | Fact::IncidentCancelled { .. } | Fact::IncidentClosed { .. } => {
            let Some(ended) = state.incidents.remove(&id) else { return };
            heard_out(state, &ended, event.stamp);
        }
        Fact::CustomerSaysFalse {} => {
            state.incidents.get_mut(&id).into_iter().for_each(|incident| incident.said_false = true);
        }
        Fact::IncidentVerified { by, .. } => {
            state.incidents.get_mut(&id).into_iter().for_each(|incident| {
                let _ = incident.evidence.insert(*by);
            });
        }
        _ => {}
    }
}

/// It is over, or looks so: its detectors' alarms of that kind count from here.
fn heard_out(state: &mut State, ended: &Incident, at: Stamp) {
    for device in &ended.raised_by {
        let device = Arc::make_mut(&mut state.devices).get_mut(device).map(Arc::make_mut);
        device.into_iter().for_each(|device| device.is_heard_out(ended.kind, at));
    }
}

/// An alarm was raised.
pub(crate) fn raised(
    state: &mut State,
    event: &Event,
    kind: AlarmKind,
    continues: Option<EventId>,
    tags: &BTreeSet<Tag>,
) {
    if matches!(kind, AlarmKind::HoldUp | AlarmKind::Duress)
        && let Some(incident) = event.incident.and_then(|id| state.incidents.get_mut(&id))
    {
        // The same incident becomes a hold-up, and nothing on site changes (B1).
        incident.duress = true;
        incident.alarms += 1;
        if tags.contains(&Tag::LooksCleared) {
            incident.looks_cleared = true;
            let ended = incident.clone();
            heard_out(state, &ended, event.stamp);
        }
        return;
    }
    let mode = state.area(event).and_then(|area| area.arming.guarding());
    // The hub's own housing, where it has no zone, belongs to every area.
    let hub = event.area.is_none() && event.device.as_ref().is_some_and(DeviceId::is_wired);
    let armed = mode.is_some() || hub && state.areas.values().any(|area| area.arming.guarding().is_some());
    remember(state, event, kind);
    if kind == AlarmKind::Tamper && !tags.contains(&Tag::Missing) {
        state.device(event, |device| {
            let _ = device.faults.insert(DeviceFault::Tamper);
        });
    }
    if kind == AlarmKind::Burglary
        && let Some(area) = state.area(event)
        && let Some(mode) = area.arming.guarding()
    {
        area.arming = Arming::Alarm { mode };
    }
    let old = continues.and_then(|old| Some((old, state.incidents.remove(&old)?)));
    let echo = tags.contains(&Tag::Relayed);
    state.device(event, |device| device.echo = echo);
    let id = event.incident.unwrap_or(event.id);
    let incident = state.incidents.entry(id).or_insert_with(|| Incident::opened(event, kind, mode));
    if let Some((id, old)) = old {
        incident.inherit(id, old);
    }
    incident.sounding = Deadline::after(event.stamp, SIREN_MS);
    incident.joined = Deadline::after(event.stamp, JOIN_MS);
    incident.last = event.stamp;
    incident.alarms += 1;
    if let Some(device) = &event.device
        && (incident.raised_by.len() < SOURCES_MAX || incident.raised_by.contains(device))
    {
        incident.raised_by.insert(device.clone());
    }
    // Fog looks like smoke, and an echo is no second witness (B11).
    if let Some(device) = &event.device
        && (incident.sources.len() < SOURCES_MAX || incident.sources.contains_key(device))
        && !tags.contains(&Tag::FogPresent)
        && !tags.contains(&Tag::Relayed)
    {
        incident.sources.insert(device.clone(), event.stamp);
    }
    incident.armed = armed;
    incident.silenced = false;
    if kind.is_limited() {
        state.device(event, |device| *device.raised.entry(kind).or_default() += 1);
    }
}

/// Somebody shall see later that it happened, and acknowledge it (B25). Of a hold-up nothing is to be seen.
fn remember(state: &mut State, event: &Event, kind: AlarmKind) {
    if matches!(kind, AlarmKind::HoldUp | AlarmKind::Duress) {
        return;
    }
    let (zone, at) = (event.zone.clone(), event.stamp.at());
    if let Some(area) = state.area(event).filter(|area| area.memory.len() < MEMORY_MAX) {
        area.memory.push(Remembered { kind, zone, at });
    }
}
