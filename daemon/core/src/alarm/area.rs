//! Arming and disarming: who may, what speaks against it, and what the delays lead to.
//!
//! It never disarms without a code's owner, and never arms past an open window without saying so.

use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::draft::cut;
use crate::alarm::incident;
use crate::alarm::state::Arming;
use crate::device::{AreaId, DeviceFault, DeviceKind, DeviceState, UserId};
use crate::event::{ArmMode, Cause, CauseKind, Delay, Fact, ZoneRole};
use crate::input::{CodeChecked, Disk, RequestId};
use crate::stamp::Deadline;

/// How many wrong codes at one source block it (requirements, "codes").
const CODES_WRONG_MAX: u32 = 3;
/// For how long, in seconds.
const CODES_BLOCKED_S: u32 = 90;
/// The same person's code again within this time arms in spite of what was named (B18), in ms.
const OVERRIDE_MS: u64 = 30_000;
/// How many causes one `arm_failed` names; the rest of a very broken site would not fit an event.
const CAUSES_MAX: usize = 24;

/// Whose code it is, or a refusal that was counted.
pub(crate) fn known(draft: &mut Draft, request: RequestId, code: &CodeChecked) -> Option<UserId> {
    let now = draft.now();
    let source = cut(code.source.clone());
    let blocked = draft.state.codes.get(&source).and_then(|codes| codes.blocked);
    let left = blocked.map_or(0, |until| until.remaining_ms(now).unwrap_or(until.length_ms));
    if left > 0 {
        draft.refuse(request, "code_blocked", format!("too many wrong codes: wait {} s", left.div_ceil(1000)));
        return None;
    }
    if let Some(user) = code.user.clone().filter(|user| draft.state.users.contains_key(user)) {
        return Some(user);
    }
    let about = About { method: Some(code.method), ..About::default() };
    draft.emit(Fact::CodeRefused { source: source.clone() }, about.clone());
    if draft.state.codes.get(&source).is_some_and(|codes| codes.wrong >= CODES_WRONG_MAX) {
        let delay = Delay::after(now, CODES_BLOCKED_S);
        draft.emit(Fact::CodeBlocked { source, delay }, about);
    }
    draft.refuse(request, "wrong_code", "this code is nobody's");
    None
}

/// The area that was named, or the only one.
fn which(draft: &mut Draft, request: RequestId, area: Option<AreaId>) -> Option<AreaId> {
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
    let Some(user) = known(draft, request, code) else { return };
    let Some(id) = which(draft, request, area) else { return };
    let stands = &draft.state.areas[&id];
    match &stands.arming {
        Arming::Disarmed | Arming::Unknown => {}
        Arming::Armed { mode: same } | Arming::Exit { mode: same, .. } if *same == mode => {
            return draft.done(request, None, format!("{id} is armed already"));
        }
        _ => return draft.refuse(request, "not_disarmed", format!("disarm {id} first")),
    }
    let exit_s = stands.exit_s;
    let about = About { area: Some(id.clone()), user: Some(user), method: Some(code.method), ..About::default() };
    let causes = against(draft, &id, mode, exit_s > 0);
    if !causes.is_empty() && said_again(draft, &id, mode, &about, &causes) {
        draft.emit(Fact::ArmOverridden { mode, causes }, about.clone());
    } else if !causes.is_empty() {
        let again = if causes.iter().all(|cause| cause.why.yields()) { "; the same code again arms it so" } else { "" };
        let text = format!("{id} is not armed: {}{again}", in_words(&causes));
        draft.emit(Fact::ArmFailed { mode, causes }, about);
        return draft.refuse(request, "not_ready", text);
    }
    let (fact, text) = if exit_s == 0 {
        (Fact::AreaArmed { mode }, format!("{id} is armed"))
    } else {
        (Fact::ExitStarted { mode, delay: Delay::after(draft.now(), exit_s) }, format!("{id} arms in {exit_s} s"))
    };
    let event = draft.emit(fact, about);
    finish(draft, request, event, text);
}

/// Whether this person was told a moment ago of everything that speaks against it, and insists.
fn said_again(draft: &Draft, area: &AreaId, mode: ArmMode, about: &About, causes: &[Cause]) -> bool {
    let now = draft.now();
    let Some(refused) = &draft.state.areas[area].refused else { return false };
    refused.user == about.user
        && refused.mode == mode
        && Deadline::after(refused.at, OVERRIDE_MS).remaining_ms(now).is_some_and(|left| left > 0)
        && causes.iter().all(|cause| cause.why.yields() && refused.causes.contains(cause))
}

impl CauseKind {
    /// Whether a person may arm in spite of it. What cannot be told from sabotage, and a hub that cannot hear, may not.
    fn yields(self) -> bool {
        matches!(self, CauseKind::Active | CauseKind::LowBattery | CauseKind::MainsLost | CauseKind::PathsDown)
    }
}

pub(crate) fn on_disarm(draft: &mut Draft, request: RequestId, area: Option<AreaId>, code: &CodeChecked) {
    let Some(user) = known(draft, request, code) else { return };
    let Some(id) = which(draft, request, area) else { return };
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
    incident::on_disarmed(draft, &id, &about);
    finish(draft, request, event, format!("{id} is disarmed"));
}

pub(crate) fn on_siren_stop(draft: &mut Draft, request: RequestId, area: Option<AreaId>, code: &CodeChecked) {
    let Some(user) = known(draft, request, code) else { return };
    if let Some(id) = area.as_ref().filter(|id| !draft.state.areas.contains_key(id)) {
        return draft.refuse(request, "no_area", format!("there is no area `{id}`"));
    }
    let about = About { area, user: Some(user), method: Some(code.method), ..About::default() };
    let event = draft.emit(Fact::SirenStopped {}, about.clone());
    incident::on_hushed(draft, &about);
    finish(draft, request, event, "the sirens are silent; incidents stay open".to_owned());
}

pub(crate) fn finish(draft: &mut Draft, request: RequestId, event: Option<crate::event::EventId>, text: String) {
    match event {
        Some(_) => draft.done(request, event, text),
        None => draft.refuse(request, "disk", "the journal's disk does not answer and nothing more can be kept"),
    }
}

/// Delays that have run out.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let due: Vec<(AreaId, Arming)> = draft
        .state
        .areas
        .iter()
        .filter(|(_, area)| match area.arming {
            Arming::Exit { until, .. } | Arming::Entry { until, .. } => until.remaining_ms(now) == Some(0),
            _ => false,
        })
        .map(|(id, area)| (id.clone(), area.arming.clone()))
        .collect();
    for (id, arming) in due {
        match arming {
            Arming::Exit { mode, user, method, .. } => {
                exit_ends(draft, mode, About { area: Some(id), user, method, ..About::default() });
            }
            Arming::Entry { zone, device, .. } => {
                let kind = device.as_ref().and_then(|id| draft.state.devices.get(id)).map(|device| device.kind);
                let about = About { area: Some(id), zone, device, ..About::default() };
                detector::burglary(draft, kind.unwrap_or(DeviceKind::Contact), about);
            }
            _ => {}
        }
    }
}

fn exit_ends(draft: &mut Draft, mode: ArmMode, about: About) {
    // Checked again: a door that was left open must be told now, not by a burglar (B18).
    let causes = about.area.as_ref().map_or_else(Vec::new, |id| against(draft, id, mode, false));
    if causes.is_empty() {
        draft.emit(Fact::AreaArmed { mode }, about);
    } else {
        draft.emit(Fact::ArmFailed { mode, causes }, about);
    }
}

/// Everything that speaks against arming. `leaving`: doors on the way out may still be open.
fn against(draft: &Draft, area: &AreaId, mode: ArmMode, leaving: bool) -> Vec<Cause> {
    let state = &draft.state;
    let mut causes = Vec::new();
    for (id, device) in &state.devices {
        let Some((zone_id, zone)) = device.zone.as_ref().and_then(|zone| state.zones.get_key_value(zone)) else {
            continue;
        };
        if zone.area != *area {
            continue;
        }
        let mut cause = |why| causes.push(Cause { zone: Some(zone_id.clone()), device: Some(id.clone()), why });
        let way_out = matches!(zone.role, ZoneRole::EntryDoor | ZoneRole::EntryRoute);
        let active = matches!(device.state, Some(DeviceState::Open | DeviceState::Alarm));
        if detector::intrusion(device.kind) && detector::guards(zone.role, mode) {
            if active && !(leaving && way_out) {
                cause(CauseKind::Active);
            }
            // Its battery may have been heard of; whether it is closed has not.
            if device.state.is_none() {
                cause(CauseKind::NeverHeard);
            }
        }
        for fault in &device.faults {
            cause(match fault {
                DeviceFault::Tamper => CauseKind::Tamper,
                DeviceFault::LowBattery => CauseKind::LowBattery,
                DeviceFault::Fault => CauseKind::Fault,
                DeviceFault::Unreadable => CauseKind::Unreadable,
                DeviceFault::Masked => CauseKind::Masked,
                DeviceFault::MainsLost => CauseKind::MainsLost,
                DeviceFault::Gone => CauseKind::Gone,
                DeviceFault::Missing => CauseKind::Missing,
            });
        }
    }
    let mut hub = |why| causes.push(Cause { zone: None, device: None, why });
    if !state.receivers_down.is_empty() {
        hub(CauseKind::Receiver);
    }
    if !state.paths.is_empty() && state.paths.values().all(Option::is_some) {
        hub(CauseKind::PathsDown);
    }
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        hub(CauseKind::Disk);
    }
    let overridden = state.areas.get(area).map_or(&[][..], |area| &area.overridden);
    causes.retain(|cause| !overridden.contains(cause));
    causes.truncate(CAUSES_MAX);
    causes
}

fn in_words(causes: &[Cause]) -> String {
    let word = |cause: &Cause| {
        let place = cause.zone.as_ref().map_or_else(|| "the hub".to_owned(), ToString::to_string);
        let why = match cause.why {
            CauseKind::Active => "is open or sees movement",
            CauseKind::Tamper => "is opened or off its place",
            CauseKind::LowBattery => "has an empty battery",
            CauseKind::Fault => "is out of order",
            CauseKind::Unreadable => "cannot be read (is its key right?)",
            CauseKind::Masked => "is covered, or its view is blocked",
            CauseKind::MainsLost => "lost its mains supply",
            CauseKind::Missing => "has not been heard for too long",
            CauseKind::Gone => "has left its network, or cannot be heard any more",
            CauseKind::NeverHeard => "has not been heard yet",
            CauseKind::Receiver => "has a radio receiver that does not work",
            CauseKind::PathsDown => "does not reach the centre",
            CauseKind::Disk => "cannot write its journal",
        };
        format!("{place} {why}")
    };
    causes.iter().map(word).collect::<Vec<_>>().join("; ")
}
