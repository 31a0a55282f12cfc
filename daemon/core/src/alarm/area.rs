//! Arming and disarming: who may, what the delays lead to, and what is remembered after an alarm.
//!
//! It never disarms without a code's owner, and never arms past an open window without saying so. What speaks against
//! arming is in `ready`.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::incident;
use crate::alarm::incident::Incident;
use crate::alarm::lock;
use crate::alarm::ready;
use crate::alarm::state::{Area, Arming, Device, RefusedArm, State};
use crate::alarm::supervision;
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, ZoneId};
use crate::event::{AlarmKind, ArmMode, Cause, CauseKind, Delay, Event, EventId, Fact, Method, ZoneRole};
use crate::input::{CodeChecked, RequestId};
use crate::stamp::{Deadline, Stamp};
use std::sync::Arc;

/// The same person's code again within this time arms in spite of what was named (B18), in ms.
const OVERRIDE_MS: u64 = 30_000;
/// After the entry delay it is loud inside for so long before the centre is told of a burglary (requirements, "entry
/// delay"), in seconds.
const WARNING_S: u32 = 30;
/// Once the final door has closed, the area arms so soon (B19), in seconds.
const FINAL_DOOR_S: u32 = 5;
/// A bolt that has not said by then that it is home is not, in seconds.
const LOCKING_S: u32 = 15;
/// The entry beeps hurry for the last of it (B9), in ms.
const HURRY_MS: u64 = 10_000;

/// The area that was named, or the only one.
pub(crate) fn which(draft: &mut Draft, request: RequestId, area: Option<AreaId>) -> Option<AreaId> {
    let ids: Vec<&AreaId> = draft.state.areas.keys().collect();
    match (area, ids.as_slice()) {
        (Some(id), _) if draft.state.areas.contains_key(&id) => Some(id),
        (None, [only]) => Some((*only).clone()),
        (named, ids) => {
            let list = ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
            let text = match (named, list.as_str()) {
                (_, "") => "there is no area yet: make one with `vaktd area set ID`".to_owned(),
                (Some(id), list) => format!("there is no area `{id}`: the areas are {list}"),
                (None, list) => format!("say which area: {list}"),
            };
            draft.refuse(request, "no_area", text);
            None
        }
    }
}

pub(crate) fn on_arm(draft: &mut Draft, request: RequestId, area: Option<AreaId>, mode: ArmMode, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Arm) else { return };
    let Some(id) = which(draft, request, area) else { return };
    access::on_guard(draft, &user, Some(&id), code.method);
    let about = About { area: Some(id), user: Some(user), method: Some(code.method), ..About::default() };
    arm(draft, request, mode, about);
}

/// Arms on somebody's word: a person's, a schedule's, the centre's.
pub(crate) fn arm(draft: &mut Draft, request: RequestId, mode: ArmMode, about: About) {
    let Some(id) = about.area.clone() else { return draft.refuse(request, "no_area", "say which area") };
    let stands = &draft.state.areas[&id];
    match &stands.arming {
        Arming::Disarmed | Arming::Unknown => {}
        Arming::Armed { mode: same } | Arming::Exit { mode: same, .. } if *same == mode => {
            return draft.done(request, None, format!("{id} is armed already"));
        }
        _ => return draft.refuse(request, "not_disarmed", format!("disarm {id} first")),
    }
    let exit_s = stands.exit_s;
    let causes = ready::against(draft, &id, mode, exit_s > 0);
    if !causes.is_empty() && said_again(draft, &id, mode, &about, &causes) {
        draft.emit(Fact::ArmOverridden { mode, causes }, about.clone());
    } else if !causes.is_empty() {
        let again = if causes.iter().all(|cause| cause.why.yields()) { "; the same code again arms it so" } else { "" };
        let text = format!("{id} is not armed: {}{again}", ready::in_words(&causes));
        draft.emit(Fact::ArmFailed { mode, causes, exit_error: false }, about);
        return draft.refuse(request, "not_ready", text);
    }
    if exit_s == 0 {
        let event = leave(draft, mode, about);
        let locking = matches!(draft.state.areas[&id].arming, Arming::Exit { .. });
        let text = if locking { format!("{id} arms when its doors are locked") } else { format!("{id} is armed") };
        return finish(draft, request, event, text + &below_grade(&draft.state, &id));
    }
    let fact = Fact::ExitStarted { mode, delay: Delay::after(draft.now(), exit_s) };
    let event = draft.emit(fact, about);
    finish(draft, request, event, format!("{id} arms in {exit_s} s") + &below_grade(&draft.state, &id));
}

/// Whoever arms is told what is guarded by detectors that may be forged, or missed too late.
fn below_grade(state: &State, area: &AreaId) -> String {
    let zones: Vec<&str> = supervision::zones_below_grade(state, area).map(ZoneId::as_str).collect();
    if zones.is_empty() { String::new() } else { format!("; not intrusion grade: {}", zones.join(", ")) }
}

/// Whether this person was told a moment ago of everything that speaks against it, and insists.
fn said_again(draft: &Draft, area: &AreaId, mode: ArmMode, about: &About, causes: &[Cause]) -> bool {
    let now = draft.now();
    let Some(refused) = &draft.state.areas[area].refused else { return false };
    refused.user == about.user
        && refused.user.is_some()
        && refused.mode == mode
        && Deadline::after(refused.at, OVERRIDE_MS).remaining_ms(now).is_some_and(|left| left > 0)
        && causes.iter().all(|cause| cause.why.yields() && refused.causes.contains(cause))
}

impl CauseKind {
    /// Whether a person may arm in spite of it. What cannot be told from sabotage, and a hub that cannot hear, may not.
    fn yields(self) -> bool {
        matches!(
            self,
            CauseKind::Active
                | CauseKind::LowBattery
                | CauseKind::MainsLost
                | CauseKind::HubMains
                | CauseKind::HubBattery
                | CauseKind::PathsDown
        )
    }
}

pub(crate) fn on_disarm(draft: &mut Draft, request: RequestId, area: Option<AreaId>, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Disarm) else { return };
    let Some(id) = which(draft, request, area) else { return };
    access::on_guard(draft, &user, Some(&id), code.method);
    let arming = &draft.state.areas[&id].arming;
    if *arming == Arming::Disarmed {
        return draft.done(request, None, format!("{id} is disarmed already"));
    }
    let after_alarm = matches!(arming, Arming::Alarm { .. });
    // The newest burglary of the area: the disarm belongs to it, and leaves it open.
    let incident = after_alarm.then(|| detector::open_incident(draft, Some(&id), None)).flatten();
    let about =
        About { area: Some(id.clone()), user: Some(user), method: Some(code.method), incident, ..About::default() };
    let event = draft.emit(Fact::AreaDisarmed { after_alarm }, about.clone());
    incident::on_disarmed(draft, &about, code.duress);
    finish(draft, request, event, format!("{id} is disarmed"));
}

/// A door was opened by somebody who may disarm, on a site where that disarms. Nobody waits for a reply.
pub(crate) fn disarm_by_lock(draft: &mut Draft, area: Option<AreaId>, code: &CodeChecked) {
    on_disarm(draft, RequestId::MAX, area, code);
    draft.take_reply(RequestId::MAX);
}

pub(crate) fn on_siren_stop(draft: &mut Draft, request: RequestId, area: Option<AreaId>, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Hush) else { return };
    if let Some(id) = area.as_ref().filter(|id| !draft.state.areas.contains_key(id)) {
        return draft.refuse(request, "no_area", format!("there is no area `{id}`"));
    }
    access::on_guard(draft, &user, area.as_ref(), code.method);
    let about = About { area, user: Some(user), method: Some(code.method), ..About::default() };
    let event = draft.emit(Fact::SirenStopped {}, about.clone());
    // A guard has come to look, and says so himself; he does not speak for the household.
    if !access::is_guard(&draft.state, about.user.as_ref()) {
        incident::on_hushed(draft, &about);
    }
    finish(draft, request, event, "the sirens are silent; incidents stay open".to_owned());
}

/// A user has seen what happened (B25). It restores nothing.
pub(crate) fn on_acknowledge(draft: &mut Draft, request: RequestId, area: Option<AreaId>, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Upkeep) else { return };
    let Some(id) = which(draft, request, area) else { return };
    let memory = &draft.state.areas[&id].memory;
    if memory.is_empty() {
        return draft.done(request, None, format!("nothing has happened in {id} that was not seen"));
    }
    let seen: Vec<String> = memory.iter().map(|of| of.in_words()).collect();
    let about = About { area: Some(id), user: Some(user), method: Some(code.method), ..About::default() };
    let event = draft.emit(Fact::MemoryAcknowledged {}, about);
    finish(draft, request, event, seen.join("; "));
}

/// A zone stands aside until its area is disarmed the next time, or no longer.
pub(crate) fn on_bypass(draft: &mut Draft, request: RequestId, zone: ZoneId, on: bool, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Own) else { return };
    let Some(place) = draft.state.zones.get(&zone) else {
        return draft.refuse(request, "no_zone", format!("there is no zone `{zone}`"));
    };
    let (area, role) = (place.area.clone(), place.role);
    if role == ZoneRole::Always {
        return draft.refuse(request, "not_this_zone", "fire, help and water are never bypassed");
    }
    let Some(stands) = draft.state.areas.get(&area) else {
        return draft.refuse(request, "no_area", format!("the area of {zone} is gone"));
    };
    if !matches!(stands.arming, Arming::Disarmed | Arming::Unknown) {
        return draft.refuse(request, "not_disarmed", format!("disarm {area} first"));
    }
    if stands.bypassed.contains(&zone) == on {
        return draft.done(request, None, format!("{zone} stands so already"));
    }
    let about = About {
        area: Some(area),
        zone: Some(zone.clone()),
        user: Some(user),
        method: Some(code.method),
        ..About::default()
    };
    let event = draft.emit(Fact::ZoneBypassed { on }, about);
    let text = if on { "does not guard until its area is disarmed the next time" } else { "guards again" };
    finish(draft, request, event, format!("{zone} {text}"));
}

pub(crate) fn finish(draft: &mut Draft, request: RequestId, event: Option<EventId>, text: String) {
    match event {
        Some(_) => draft.done(request, event, text),
        None => draft.refuse(request, "disk", "the journal's disk does not answer and nothing more can be kept"),
    }
}

/// Delays that have run out.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let due = |area: &&Area| area.arming.until().is_some_and(|until| until.remaining_ms(now) == Some(0));
    let due: Vec<(AreaId, Arming)> = draft
        .state
        .areas
        .iter()
        .filter(|(_, area)| due(area))
        .map(|(id, area)| (id.clone(), area.arming.clone()))
        .collect();
    for (id, arming) in due {
        match arming {
            Arming::Exit { mode, user, method, .. } => {
                leave(draft, mode, About { area: Some(id), user, method, ..About::default() });
            }
            Arming::Entry { zone, device, until, .. }
                // Unless the hub was dark for so long that the warning would be over as well.
                if after(until, WARNING_S).remaining_ms(now) != Some(0) =>
            {
                let delay = Delay::after(now, WARNING_S);
                let by = zone.as_ref().map_or_else(String::new, ToString::to_string);
                let about = About { area: Some(id), zone, device, ..About::default() };
                draft.emit(Fact::LocalWarning { delay, by }, about);
            }
            Arming::Entry { zone, device, .. } | Arming::Warning { zone, device, .. } => {
                let kind = device.as_ref().and_then(|id| draft.state.devices.get(id)).map(|device| device.kind);
                let about = About { area: Some(id), zone, device, ..About::default() };
                detector::burglary(draft, kind.unwrap_or(DeviceKind::Contact), about);
            }
            _ => {}
        }
    }
}

/// The same delay, so much longer.
fn after(until: Deadline, seconds: u32) -> Deadline {
    Deadline { length_ms: until.length_ms + u64::from(seconds) * 1000, ..until }
}

/// When the entry beeps begin to hurry, in ms.
pub(crate) fn hurries_ms(area: &Area, now: Stamp) -> Option<u64> {
    let Arming::Entry { until, .. } = &area.arming else { return None };
    until.remaining_ms(now)?.checked_sub(HURRY_MS).filter(|left| *left > 0)
}

/// People have left, or nobody had to: armed, if everything is as it was; after the doors are locked (R70).
fn leave(draft: &mut Draft, mode: ArmMode, about: About) -> Option<EventId> {
    let id = about.area.clone()?;
    let locking = matches!(draft.state.areas.get(&id)?.arming, Arming::Exit { locking: true, .. });
    // Checked again: a door that was left open must be told now, not by a burglar (B18).
    let mut causes = ready::against(draft, &id, mode, false);
    let open = lock::unlocked_before_arming(&draft.state, &id);
    if causes.is_empty() && !open.is_empty() && !locking {
        let event = draft.emit(Fact::LockingStarted { mode, delay: Delay::after(draft.now(), LOCKING_S) }, about)?;
        open.iter().for_each(|lock| lock::shut(draft, lock));
        return Some(event);
    }
    let not_locked = |lock: DeviceId| {
        let zone = draft.state.devices.get(&lock).and_then(|device| device.zone.clone());
        Cause { zone, device: Some(lock), why: CauseKind::NotLocked }
    };
    causes.extend(open.into_iter().map(not_locked));
    causes.truncate(ready::CAUSES_MAX);
    if causes.is_empty() {
        return draft.emit(Fact::AreaArmed { mode }, about);
    }
    let exit_error = causes.iter().any(|cause| cause.why == CauseKind::Active && is_way_out(&draft.state, cause));
    draft.emit(Fact::ArmFailed { mode, causes, exit_error }, about)
}

fn is_way_out(state: &State, cause: &Cause) -> bool {
    let zone = cause.zone.as_ref().and_then(|zone| state.zones.get(zone));
    zone.is_some_and(|zone| zone.role == ZoneRole::EntryDoor)
}

/// A lock has said that it is locked: areas that waited for it arm.
pub(crate) fn on_locked(draft: &mut Draft) {
    let waits = |arming: &Arming| matches!(arming, Arming::Exit { locking: true, .. });
    let waiting: Vec<(AreaId, Arming)> = (draft.state.areas.iter())
        .filter(|(id, area)| waits(&area.arming) && lock::unlocked_before_arming(&draft.state, id).is_empty())
        .map(|(id, area)| (id.clone(), area.arming.clone()))
        .collect();
    for (id, arming) in waiting {
        if let Arming::Exit { mode, user, method, .. } = arming {
            leave(draft, mode, About { area: Some(id), user, method, ..About::default() });
        }
    }
}

/// The door people leave by has closed behind them.
pub(crate) fn on_final_door(draft: &mut Draft, about: &About) {
    let Some(area) = about.area.as_ref().and_then(|area| draft.state.areas.get(area)) else { return };
    let Arming::Exit { until, locking: false, .. } = &area.arming else { return };
    if until.remaining_ms(draft.now()).is_some_and(|left| left > u64::from(FINAL_DOOR_S) * 1000) {
        let delay = Delay::after(draft.now(), FINAL_DOOR_S);
        draft.emit(Fact::ExitShortened { delay }, about.clone());
    }
}

/// The centre arms, to restore what an incident found (B16).
pub(crate) fn on_centre_arms(
    draft: &mut Draft,
    request: RequestId,
    area: Option<AreaId>,
    mode: ArmMode,
    incident: Option<EventId>,
) {
    let Some(of) = incident.and_then(|id| draft.state.incidents.get(&id)) else {
        return draft.refuse(request, "no_incident", "name the open incident whose state is to be restored");
    };
    let (was, place, of_hidden) = (of.mode, of.area.clone(), of.is_hidden());
    if place.is_none() || area.is_some() && area != place {
        return draft.refuse(request, "other_area", "that incident is not of this area");
    }
    if was != Some(mode) {
        return draft.refuse(request, "not_as_before", "the centre only restores how the area stood when it alarmed");
    }
    // Who is on site hears it arm, whatever else they may not know.
    let incident = incident.filter(|_| !of_hidden);
    let about = About { area: place, method: Some(Method::Arc), incident, ..About::default() };
    arm(draft, request, mode, about);
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::ExitStarted { mode, delay } => {
            access::code_given(state, event);
            let (user, method) = (event.user.clone(), event.method);
            let until = delay.deadline(event.stamp);
            let arming = Arming::Exit { mode: *mode, until, user, method, locking: false };
            state.area(event).into_iter().for_each(|area| area.arming = arming.clone());
        }
        Fact::AreaArmed { mode } => {
            // At the end of an exit delay nobody gives a code: it was given when the delay began.
            if !matches!(state.area(event), Some(Area { arming: Arming::Exit { .. }, .. })) {
                access::code_given(state, event);
            }
            let at = event.stamp;
            state.area(event).into_iter().for_each(|area| {
                (area.arming, area.armed_at) = (Arming::Armed { mode: *mode }, Some(at));
            });
            new_period(state, event);
        }
        Fact::LockingStarted { mode, delay } => {
            let (user, method, until) = (event.user.clone(), event.method, delay.deadline(event.stamp));
            let arming = Arming::Exit { mode: *mode, until, user, method, locking: true };
            state.area(event).into_iter().for_each(|area| area.arming = arming.clone());
        }
        Fact::ExitShortened { delay } => {
            let ends = delay.deadline(event.stamp);
            if let Some(Area { arming: Arming::Exit { until, .. }, .. }) = state.area(event) {
                *until = ends;
            }
        }
        Fact::ZoneBypassed { on } => {
            let Some(zone) = event.zone.clone() else { return };
            state.area(event).into_iter().for_each(|area| {
                let _ = if *on { area.bypassed.insert(zone.clone()) } else { area.bypassed.remove(&zone) };
            });
        }
        Fact::MemoryAcknowledged {} => {
            state.area(event).into_iter().for_each(|area| area.memory.clear());
        }
        Fact::ArmFailed { mode, causes, .. } => {
            let (user, at, mode, causes) = (event.user.clone(), event.stamp, *mode, causes.clone());
            let refused = Some(RefusedArm { user, at, mode, causes });
            if let Some(area) = state.area(event) {
                (area.arming, area.refused, area.overridden) = (Arming::Disarmed, refused, Vec::new());
            }
        }
        Fact::ArmOverridden { causes, .. } => {
            if let Some(area) = state.area(event) {
                (area.refused, area.overridden) = (None, causes.clone());
            }
        }
        guarding => apply_guard(state, event, guarding),
    }
}

/// What happens while it guards, and when it no longer does.
fn apply_guard(state: &mut State, event: &Event, fact: &Fact) {
    match fact {
        Fact::EntryStarted { delay, .. } => {
            let (zone, device) = (event.zone.clone(), event.device.clone());
            if let Some(area) = state.area(event)
                && let Some(mode) = area.arming.guarding()
            {
                area.arming = Arming::Entry { mode, until: delay.deadline(event.stamp), zone, device };
            }
        }
        Fact::LocalWarning { delay, .. } => {
            let (zone, device) = (event.zone.clone(), event.device.clone());
            if let Some(area) = state.area(event)
                && let Some(mode) = area.arming.guarding()
            {
                area.arming = Arming::Warning { mode, until: delay.deadline(event.stamp), zone, device };
            }
        }
        Fact::AreaDisarmed { .. } => {
            access::code_given(state, event);
            if let Some(area) = state.area(event) {
                (area.arming, area.refused, area.overridden) = (Arming::Disarmed, None, Vec::new());
                area.bypassed.clear();
            }
            new_period(state, event);
            // What has no place, as the hub's own housing, sounds for every area.
            let meant = |of: &Incident| of.area == event.area || of.area.is_none() && of.kind == AlarmKind::Tamper;
            for incident in state.incidents.values_mut().filter(|incident| meant(incident)) {
                incident.disarmed = true;
                incident.silenced |=
                    matches!(incident.kind, AlarmKind::Burglary | AlarmKind::Tamper | AlarmKind::KeyBox);
                if incident.kind == AlarmKind::Burglary {
                    // Two mistakes in two evenings are no burglar.
                    incident.sources.clear();
                }
            }
        }
        Fact::AlarmRaised { kind, continues, tags, .. } => incident::raised(state, event, *kind, *continues, tags),
        Fact::AlarmRestored { kind: AlarmKind::Tamper, .. } => {
            state.device(event, |device| {
                let _ = device.faults.remove(&DeviceFault::Tamper);
            });
        }
        Fact::SirenStopped {} => {
            access::code_given(state, event);
            // A detector without a place belongs to every area: whoever hushes one means it too.
            let all = event.area.is_none();
            let meant = |of: &Option<AreaId>| all || of.is_none() || *of == event.area;
            let heard = state.incidents.values_mut().filter(|incident| meant(&incident.area));
            heard.for_each(|incident| incident.silenced = true);
        }
        _ => {}
    }
}

/// The area was armed or disarmed: what its detectors have said too often counts from here.
fn new_period(state: &mut State, event: &Event) {
    let State { devices, zones, .. } = state;
    let of_it = |zone: &ZoneId| zones.get(zone).map(|zone| &zone.area) == event.area.as_ref();
    // While it guards nobody changes a battery: an open cover is sabotage again (B14).
    let guards = matches!(event.fact, Fact::AreaArmed { .. });
    // What is suppressed was raised too often.
    let counted = |device: &Device| !device.raised.is_empty() || device.upkeep.is_some();
    // What has no place belongs to every area.
    let of_area = |device: &Device| device.zone.as_ref().is_none_or(of_it);
    if !devices.values().any(|device| counted(device)) {
        return; // nothing is copied where nothing changes
    }
    for device in Arc::make_mut(devices).values_mut().filter(|device| counted(device) && of_area(device)) {
        let device = Arc::make_mut(device);
        device.raised.clear();
        device.suppressed.clear();
        if guards && !device.cover_open {
            device.upkeep = None;
        }
    }
}

/// The centre silences the sirens; incidents stay open.
pub(crate) fn on_centre_hushes(draft: &mut Draft, request: RequestId, area: Option<AreaId>) {
    if let Some(id) = area.as_ref().filter(|id| !draft.state.areas.contains_key(id)) {
        return draft.refuse(request, "no_area", format!("there is no area `{id}`"));
    }
    let event = draft.emit(Fact::SirenStopped {}, About { area, method: Some(Method::Arc), ..About::default() });
    finish(draft, request, event, "the sirens are silent".to_owned());
}
