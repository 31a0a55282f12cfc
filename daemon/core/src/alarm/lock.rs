//! The door's lock (R70 to R75): who may turn it, when it turns by itself, and when the centre may have it opened.
//!
//! A lock is locked when it says so, not when it was told to. Opening never disarms, unless the site has said so for who
//! may disarm. The centre opens only for police, fire or ambulance, in a verified fire or a call for help. While somebody
//! may have to get out, nothing locks by itself.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::state::State;
use crate::alarm::warrant::{Obeyed, Refusal, no};
use crate::device::{AreaId, DeviceId, DeviceKind, DeviceState};
use crate::event::{Act, AlarmKind, Event, EventId, Fact, Method, Service};
use crate::input::{CodeChecked, Disk, LockUsed, RequestId};
use crate::stamp::{Deadline, Stamp};
use crate::warrant::{Emergency, Ground, Warrant};
use serde::{Deserialize, Serialize};

/// The longest auto-lock and left-open times, in seconds.
pub(crate) const LOCK_S_MAX: u32 = 3_600;
/// A door that stands open or unlocked for so long is told of, unless the site says otherwise, in seconds.
const LEFT_OPEN_S: u32 = 300;

/// What the hub knows of a lock besides what the device last said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Lock {
    /// It has said that it is locked.
    pub locked: bool,
    /// Since when it has not been, or been open.
    pub since: Option<Stamp>,
    /// Locks by itself so many seconds after it was unlocked; 0: never.
    pub auto_lock_s: u32,
    /// Told of after so many seconds; 0: never.
    pub left_open_s: u32,
    /// Arming waits until it is locked.
    pub before_arming: bool,
    /// Who unlocks it from outside and may disarm, disarms.
    pub disarms: bool,
    /// That it stands open has been told.
    pub left_open: bool,
    /// The centre had it opened: it is nobody's to lock again but a person's.
    pub emergency: bool,
    /// The order to lock by itself has been given since it was unlocked.
    pub told_to_lock: bool,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            locked: false,
            since: None,
            auto_lock_s: 0,
            left_open_s: LEFT_OPEN_S,
            before_arming: true,
            disarms: false,
            left_open: false,
            emergency: false,
            told_to_lock: false,
        }
    }
}

fn area_of(state: &State, device: &DeviceId) -> Option<AreaId> {
    let zone = state.devices.get(device)?.zone.as_ref()?;
    state.zones.get(zone).map(|zone| zone.area.clone())
}

fn place(state: &State, device: &DeviceId) -> About {
    let zone = state.devices.get(device).and_then(|device| device.zone.clone());
    About { area: area_of(state, device), zone, device: Some(device.clone()), ..About::default() }
}

/// The lock that was named, or the only one.
fn which(state: &State, named: Option<&DeviceId>) -> Result<DeviceId, (&'static str, String)> {
    let mut locks = state.devices.iter().filter(|(_, device)| device.kind == DeviceKind::Lock).map(|(id, _)| id);
    match named {
        Some(id) if locks.any(|lock| lock == id) => Ok(id.clone()),
        Some(id) => Err(("no_lock", format!("{id} is no lock of this site"))),
        None => match (locks.next(), locks.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(("no_lock", "this site has no lock".to_owned())),
            (Some(_), Some(_)) => Err(("which_lock", "the site has several locks: name one".to_owned())),
        },
    }
}

/// A turn of the bolt, on its way to be recorded. `Err`: why it cannot be asked for now.
fn turns(draft: &Draft, lock: &DeviceId, act: Act, about: About) -> Result<(Fact, About), (&'static str, String)> {
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return Err(("disk", "the journal's disk does not answer: the lock waits until it does".to_owned()));
    }
    if draft.state.standing.agreed() == Service::Ended {
        return Err(("ended", "the contract has ended: the lock turns by hand and by key only".to_owned()));
    }
    if draft.state.acts.values().any(|sent| sent.device.as_ref() == Some(lock)) {
        return Err(("busy", format!("{lock} has not answered the order before")));
    }
    let About { area, zone, device, .. } = place(&draft.state, lock);
    Ok((Fact::CommandSent { act, warrant: None }, About { area, zone, device, ..about }))
}

/// Somebody at the hub locks or unlocks, with his code.
pub(crate) fn on_person(
    draft: &mut Draft,
    request: RequestId,
    device: Option<&DeviceId>,
    act: Act,
    code: &CodeChecked,
) {
    let Some(user) = access::known(draft, request, code, Right::Door) else { return };
    let about = About { user: Some(user), method: Some(code.method), ..About::default() };
    let sent = which(&draft.state, device).and_then(|lock| turns(draft, &lock, act, about));
    match sent {
        Ok((fact, about)) => {
            let event = draft.emit(fact, about);
            area::finish(draft, request, event, "sent: it counts when the lock says so".to_owned());
        }
        Err((reason, text)) => draft.refuse(request, reason, text),
    }
}

/// The same by a warrant: its answer follows the lock's.
pub(crate) fn ordered(
    draft: &Draft,
    warrant: &Warrant,
    device: Option<&DeviceId>,
    act: Act,
    about: About,
) -> Result<Obeyed, Refusal> {
    let refusal = |(reason, text): (&'static str, String)| no(reason, text);
    let lock = which(&draft.state, device).map_err(refusal)?;
    let (fact, about) = turns(draft, &lock, act, about).map_err(refusal)?;
    let Fact::CommandSent { act, .. } = fact else { return Err(no("not_available", "no lock turns by that")) };
    Ok(Obeyed::Sends(vec![(Fact::CommandSent { act, warrant: Some(warrant.jti.clone()) }, about)]))
}

/// The centre has a door opened for an emergency service (R71, C10). Everything that is missing is named.
pub(crate) fn emergency(
    draft: &Draft,
    warrant: &Warrant,
    device: Option<&DeviceId>,
    _service: Emergency, // police, fire or ambulance: the type leaves no room for a guard
    about: About,
) -> Result<Obeyed, Refusal> {
    let state = &draft.state;
    let mut missing: Vec<(&str, String)> = Vec::new();
    let incident = warrant.incident.and_then(|id| state.incidents.get(&id));
    if incident.is_none() {
        missing.push(("no_incident", "no such incident is open".to_owned()));
    }
    match (warrant.ground, incident.map(|incident| (incident.kind, &incident.evidence))) {
        (Some(Ground::VerifiedFire), Some((AlarmKind::Fire, evidence))) if evidence.is_empty() => {
            missing.push(("not_verified", "two smoke detectors or incident_verify must verify the fire".to_owned()));
        }
        (Some(Ground::VerifiedFire), Some((AlarmKind::Fire, _)))
        | (Some(Ground::SosPressed), Some((AlarmKind::Sos, _))) => {}
        (Some(Ground::VerifiedFire | Ground::SosPressed), Some(_)) => {
            missing.push(("other_kind", "the incident is not of the kind the ground says".to_owned()));
        }
        (Some(Ground::VerifiedFire | Ground::SosPressed), None) => {}
        _ => missing.push(("no_ground", "the ground is verified_fire or sos_pressed".to_owned())),
    }
    let lock = which(state, device);
    match &lock {
        Ok(lock) if incident.is_some_and(|of| of.area.is_some() && of.area != area_of(state, lock)) => {
            missing.push(("other_area", format!("{lock} is not where the alarm is")));
        }
        Ok(_) => {}
        Err((reason, text)) => missing.push((reason, text.clone())),
    }
    if !missing.is_empty() {
        return Err(all(&missing));
    }
    ordered(draft, warrant, device, Act::EmergencyUnlock, About { incident: warrant.incident, ..about })
}

/// Every reason in one refusal.
pub(crate) fn all(missing: &[(&str, String)]) -> Refusal {
    let codes: Vec<&str> = missing.iter().map(|(code, _)| *code).collect();
    let texts: Vec<&str> = missing.iter().map(|(_, text)| text.as_str()).collect();
    (codes.join(","), texts.join("; "))
}

/// The lock says how it stands: what it was told to do is done only now (R79).
pub(crate) fn on_report(draft: &mut Draft, id: &DeviceId, state: DeviceState) {
    let done = |act: Act| match act {
        Act::Lock => state == DeviceState::Locked,
        Act::Unlock | Act::EmergencyUnlock => state == DeviceState::Unlocked,
        Act::SirenChirp | Act::FogFire => false,
    };
    let answered = (draft.state.acts.iter())
        .filter(|(_, sent)| sent.device.as_ref() == Some(id) && done(sent.act))
        .map(|(command, sent)| (*command, sent.act))
        .collect::<Vec<(EventId, Act)>>();
    for (command, act) in answered {
        let about = place(&draft.state, id);
        // Were it not on record the door would be told to open, or said to have failed, once more.
        draft.keep(Fact::CommandConfirmed { act, command }, about);
    }
    if state == DeviceState::Locked {
        area::on_locked(draft);
    }
}

/// Somebody turned it at the door: by code, tag or phone, by key or by hand.
pub(crate) fn on_used(draft: &mut Draft, used: LockUsed) {
    let LockUsed { device, unlocked, method, user, credential } = used;
    if draft.state.devices.get(&device).is_none_or(|lock| lock.kind != DeviceKind::Lock) {
        return;
    }
    let about = About { user: user.clone(), method, ..place(&draft.state, &device) };
    // By key or by hand there is nobody to ask after; a tag may be blocked though the lock does not say whose it is.
    let blocked = credential.as_ref().filter(|id| draft.state.blocked.contains(*id)).map(|_| "blocked");
    let refused = blocked.or_else(|| access::at_the_door(draft, user.as_ref()?));
    // A lock that has not heard of it yet opened for somebody who may no more (R74): shut it again, and tell.
    if let Some(reason) = refused.filter(|_| unlocked) {
        let source = device.to_string();
        draft.keep(Fact::CredentialRefused { source, reason: reason.to_owned() }, about.clone());
        if !hold(&draft.state)
            && let Ok((fact, about)) = turns(draft, &device, Act::Lock, about)
        {
            draft.emit(fact, about);
        }
        return;
    }
    draft.emit(Fact::LockUsed { unlocked }, about.clone());
    let disarms = unlocked && draft.state.locks.get(&device).is_some_and(|lock| lock.disarms);
    if let (true, Some(user), Some(method)) = (disarms, user, method) {
        let code = CodeChecked { source: device.to_string(), user: Some(user), method, credential, duress: false };
        area::disarm_by_lock(draft, about.area, &code);
    }
}

/// A lock has let somebody neither in nor out.
pub(crate) fn on_refused(draft: &mut Draft, device: &DeviceId, method: Option<Method>, reason: String) {
    if draft.state.devices.get(device).is_some_and(|lock| lock.kind == DeviceKind::Lock) {
        let about = About { method, ..place(&draft.state, device) };
        draft.emit(Fact::CredentialRefused { source: device.to_string(), reason }, about);
    }
}

/// Whether somebody may have to get out, or to come in and help: then nothing locks by itself (B13).
pub(crate) fn hold(state: &State) -> bool {
    use AlarmKind::{Co, Fire, Gas, Medical, Sos};
    state.incidents.values().any(|incident| matches!(incident.kind, Fire | Co | Gas | Sos | Medical))
        || state.locks.values().any(|lock| lock.emergency)
}

/// Whether no bolt moves but by somebody's hand: that too when the contract is over (R53).
fn by_hand_only(state: &State) -> bool {
    hold(state) || state.standing.agreed() == Service::Ended
}

/// Locks of an area that arming waits for.
pub(crate) fn unlocked_before_arming(state: &State, area: &AreaId) -> Vec<DeviceId> {
    if by_hand_only(state) {
        return Vec::new();
    }
    let open = state.locks.iter().filter(|(_, lock)| lock.before_arming && !lock.locked);
    open.map(|(id, _)| id).filter(|id| area_of(state, id).as_ref() == Some(area)).cloned().collect()
}

/// Tells a lock to lock, on nobody's behalf.
pub(crate) fn shut(draft: &mut Draft, lock: &DeviceId) {
    let about = About { method: Some(Method::Local), ..About::default() };
    if let Ok((fact, about)) = turns(draft, lock, Act::Lock, about) {
        draft.emit(fact, about);
    }
}

/// When a time that runs from `since` is over, in ms. One that nobody can prove has not begun.
fn left_ms(since: Option<Stamp>, seconds: u32, now: Stamp) -> Option<u64> {
    let since = since.filter(|_| seconds > 0)?;
    Deadline::after(since, u64::from(seconds) * 1000).remaining_ms(now)
}

/// Doors that lock by themselves, and doors that stand open.
pub(crate) fn on_time(draft: &mut Draft) {
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return;
    }
    let (now, held) = (draft.now(), by_hand_only(&draft.state));
    let open: Vec<(DeviceId, Lock)> = draft.state.locks.iter().map(|(id, lock)| (id.clone(), lock.clone())).collect();
    for (id, lock) in open {
        if !held && !lock.told_to_lock && left_ms(lock.since, lock.auto_lock_s, now) == Some(0) {
            shut(draft, &id);
        }
        if !lock.left_open && left_ms(lock.since, lock.left_open_s, now) == Some(0) {
            let about = place(&draft.state, &id);
            draft.keep(Fact::DoorLeftOpen {}, about);
        }
    }
}

/// When the next of them is, in ms.
pub(crate) fn due_ms(state: &State, now: Stamp) -> Option<u64> {
    let held = by_hand_only(state);
    let busy = |id: &DeviceId| state.acts.values().any(|sent| sent.device.as_ref() == Some(id));
    let due = state.locks.iter().flat_map(|(id, lock)| {
        let shut = left_ms(lock.since, lock.auto_lock_s, now).filter(|_| !held && !lock.told_to_lock && !busy(id));
        let told = left_ms(lock.since, lock.left_open_s, now).filter(|_| !lock.left_open);
        shut.into_iter().chain(told)
    });
    due.min()
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    if let Fact::HubStarted { .. } = event.fact {
        // How long a door has stood open nobody can prove: the time begins anew.
        let open = state.locks.values_mut().filter_map(|lock| lock.since.as_mut());
        let unproven = open.filter(|since| Deadline::after(**since, 1).remaining_ms(event.stamp).is_none());
        unproven.for_each(|since| *since = event.stamp);
    }
    let Some(id) = event.device.as_ref().filter(|id| {
        let kind = state.devices.get(id).map(|device| device.kind);
        kind == Some(DeviceKind::Lock) || state.locks.contains_key(id)
    }) else {
        return;
    };
    if matches!(event.fact, Fact::DeviceRemoved {}) {
        state.locks.remove(id);
        return;
    }
    let lock = state.locks.entry(id.clone()).or_default();
    match &event.fact {
        Fact::LockSet { auto_lock_s, left_open_s, before_arming, disarms } => {
            (lock.auto_lock_s, lock.left_open_s) = (*auto_lock_s, *left_open_s);
            (lock.before_arming, lock.disarms) = (*before_arming, *disarms);
        }
        Fact::DeviceChanged { kind: DeviceKind::Lock, state: said, .. } => {
            lock.locked = *said == DeviceState::Locked;
            lock.since = (!lock.locked).then_some(event.stamp);
            lock.told_to_lock = false;
            if lock.locked {
                (lock.left_open, lock.emergency) = (false, false);
            }
        }
        Fact::CommandSent { act: Act::Lock, .. } => lock.told_to_lock = true,
        Fact::CommandSent { act: Act::EmergencyUnlock, .. } => lock.emergency = true,
        Fact::CommandFailed { act: Act::EmergencyUnlock, .. } if lock.locked => lock.emergency = false,
        Fact::DoorLeftOpen {} => lock.left_open = true,
        _ => {}
    }
}
