//! What a detector's word means: a new state, a fault, an alarm, the door that starts the entry delay.
//!
//! It never holds an alarm back to see whether somebody disarms (the entry delay excepted), and life-safety kinds
//! alarm whatever the area's state, with a place or without.

use crate::alarm::access;
use crate::alarm::access::Right;
use crate::alarm::area;
use crate::alarm::camera_window;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::duress;
use crate::alarm::fog;
use crate::alarm::incident;
use crate::alarm::lock;
use crate::alarm::state::{Arming, Device, State};
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, DeviceState, Report};
use crate::event::{AlarmKind, Delay, EventId, Fact, Method, Service, Tag, ZoneRole};
use crate::input::{CodeChecked, RequestId, Signal};
use crate::stamp::{Deadline, Stamp};
use std::sync::Arc;

/// A button that tells no release is pressed anew when it speaks again after this time, in ms; sooner it is the same
/// press, repeated by the radio.
const PRESS_MS: u64 = 10_000;

/// A detector that goes on saying so for so long after its alarm was closed alarms anew, in ms: it may have been closed by
/// mistake.
const STILL_MS: u64 = 10 * 60_000;

/// Messages that change nothing until the counter of the last one is recorded.
const COUNTER_STEP: u32 = 64;

/// Whether it watches for people where none should be.
pub(crate) fn intrusion(kind: DeviceKind) -> bool {
    matches!(kind, DeviceKind::Contact | DeviceKind::Motion | DeviceKind::GlassBreak | DeviceKind::Vibration)
}

pub(crate) fn around_the_clock(kind: DeviceKind) -> Option<AlarmKind> {
    match kind {
        // All a keypad says under its own kind is that its fire key was pressed; its other keys speak as what they are.
        DeviceKind::Smoke | DeviceKind::Heat | DeviceKind::Keypad => Some(AlarmKind::Fire),
        DeviceKind::Co => Some(AlarmKind::Co),
        DeviceKind::Gas => Some(AlarmKind::Gas),
        DeviceKind::Sos => Some(AlarmKind::Sos),
        DeviceKind::Water => Some(AlarmKind::Water),
        DeviceKind::Medical => Some(AlarmKind::Medical),
        DeviceKind::Freeze => Some(AlarmKind::Freeze),
        DeviceKind::KeyBox => Some(AlarmKind::KeyBox),
        DeviceKind::HoldUp => Some(AlarmKind::HoldUp),
        _ => None,
    }
}

pub(crate) fn on_report(draft: &mut Draft, report: Report) {
    if report.device.is_wired() && !draft.state.devices.contains_key(&report.device) {
        let fact = Fact::DeviceAdded {
            kind: report.kind,
            secret: None,
            pet: false,
            eep: None,
            silence_s: None,
            counter: None,
        };
        draft.keep(fact, About { device: Some(report.device.clone()), ..About::default() });
    }
    let Some(device) = draft.state.devices.get(&report.device) else { return };
    let zone = device.zone.clone();
    let area = zone.as_ref().and_then(|zone| draft.state.zones.get(zone)).map(|zone| zone.area.clone());
    let about = About {
        area,
        zone,
        device: Some(report.device.clone()),
        authenticated: Some(report.authenticated),
        ..About::default()
    };
    let before = draft.written();
    // What it watches for comes first: a fault beside it must not delay the alarm.
    if let Some(state) = report.state {
        on_state(draft, &report, state, &about);
        if report.kind == DeviceKind::Lock {
            lock::on_report(draft, &report.device, state);
        }
    }
    on_faults(draft, &report, &about);
    let said = draft.written() > before;
    keep_counter(draft, &report, &about, said);
}

/// The counter of a word that said something, if that is not on record with it: played again after a start it would say it
/// again. Words that change nothing are not recorded, and yet each has used up its counter: so many behind, a start would let
/// as many recordings pass for signs of life; and a detector whose counter is not sent with its words is not understood any more
/// when it is 128 ahead of what is known (EnOcean, "Security of EnOcean Radio Networks", rolling code window).
fn keep_counter(draft: &mut Draft, report: &Report, about: &About, said: bool) {
    let known = draft.state.devices.get(&report.device).and_then(|device| device.counter);
    let Some(counter) = report.counter.filter(|counter| known != Some(*counter)) else { return };
    // One that is lower has come round.
    if said || known.is_none_or(|known| counter.wrapping_sub(known) >= COUNTER_STEP) {
        draft.emit(Fact::CounterKept { counter }, about.clone());
    }
}

fn on_state(draft: &mut Draft, report: &Report, state: DeviceState, about: &About) {
    let now = draft.now();
    let device = &draft.state.devices[&report.device];
    // No radio repeats a press across a start of the board, whatever the clocks say of the time between.
    let long_ago = |at: Stamp| at.boot != now.boot || Deadline::after(at, PRESS_MS).remaining_ms(now) == Some(0);
    let button = matches!(report.kind, DeviceKind::Sos | DeviceKind::Medical | DeviceKind::HoldUp | DeviceKind::Keypad);
    let again = button && state == DeviceState::Alarm && device.changed.is_some_and(long_ago);
    let said = device.said.get(&report.kind).copied();
    // An echo that becomes a witness is news (B11).
    let witness = device.echo && report.relayed != Some(true) && state == DeviceState::Alarm;
    // The centre has closed what it raised, and it goes on.
    let closed = device.closed.get(&report.kind).filter(|_| state == DeviceState::Alarm);
    // A time that nobody can prove has passed: too often harms less than never.
    let goes_on =
        closed.is_some_and(|at| Deadline::after(*at, STILL_MS).remaining_ms(now).is_none_or(|left| left == 0));
    if said == Some(state) && !again && !witness && !goes_on {
        return;
    }
    let changed = Fact::DeviceChanged { kind: report.kind, state, counter: report.counter };
    let guarding = about.area.as_ref().and_then(|area| draft.state.areas.get(area)).and_then(|a| a.arming.guarding());
    if around_the_clock(report.kind).is_some() || guarding.is_some() {
        // Were this lost, the next alarm would look like the one before, or each repeat like a new one.
        draft.keep(changed, about.clone());
    } else {
        draft.emit(changed, about.clone());
    }
    let active = matches!(state, DeviceState::Open | DeviceState::Alarm);
    match around_the_clock(report.kind) {
        // The box is watched where that was agreed on, and then it has a place (R39).
        Some(AlarmKind::KeyBox) if about.zone.is_none() => {}
        Some(AlarmKind::HoldUp) if active => {
            duress::raise(draft, AlarmKind::HoldUp, report.kind, about.area.clone(), about.clone());
        }
        Some(kind) if active => {
            let relayed = (report.relayed == Some(true)).then_some(Tag::Relayed);
            raise_with(draft, kind, report.kind, about.clone(), relayed);
        }
        // Only who raised an alarm can say that its cause is gone.
        Some(kind) if said == Some(DeviceState::Alarm) => {
            let incident = open_incident(draft, about.area.as_ref(), Some(kind));
            let fact = Fact::AlarmRestored { kind, by: report.kind };
            draft.emit(fact, About { incident, ..about.clone() });
        }
        Some(_) => {}
        None if active && intrusion(report.kind) => on_intrusion(draft, report.kind, about),
        None if said == Some(DeviceState::Open) && entry_door(draft, about) => area::on_final_door(draft, about),
        None => {}
    }
}

fn entry_door(draft: &Draft, about: &About) -> bool {
    let zone = about.zone.as_ref().and_then(|zone| draft.state.zones.get(zone));
    zone.is_some_and(|zone| zone.role == ZoneRole::EntryDoor)
}

fn on_intrusion(draft: &mut Draft, kind: DeviceKind, about: &About) {
    let Some(area) = about.area.as_ref().and_then(|area| draft.state.areas.get(area)) else { return };
    let Some((id, zone)) = about.zone.as_ref().and_then(|zone| draft.state.zones.get_key_value(zone)) else { return };
    let Some(mode) = area.arming.guarding() else {
        if zone.chime && kind == DeviceKind::Contact && area.arming == Arming::Disarmed {
            let chime = Signal::Chime(id.clone());
            draft.signal(chime);
        }
        return;
    };
    let role = zone.role;
    if !zone.guards(mode) || about.zone.as_ref().is_some_and(|zone| area.passes_over(zone, about.device.as_ref())) {
        return;
    }
    if draft.state.settling.is_some() {
        return; // looked at again when it is over: `woke`
    }
    match (role, &area.arming) {
        (ZoneRole::EntryDoor, Arming::Armed { .. }) if area.entry_s > 0 => {
            let delay = Delay::after(draft.now(), area.entry_s);
            let by = about.zone.as_ref().map_or_else(String::new, ToString::to_string);
            draft.emit(Fact::EntryStarted { delay, by }, about.clone());
        }
        // The way from the door to the panel, while the delay runs.
        (ZoneRole::EntryDoor | ZoneRole::EntryRoute, Arming::Entry { .. } | Arming::Warning { .. }) => {}
        _ => burglary(draft, kind, about.clone()),
    }
}

fn on_faults(draft: &mut Draft, report: &Report, about: &About) {
    let said = [
        (DeviceFault::LowBattery, report.low_battery),
        (DeviceFault::Fault, report.fault),
        (DeviceFault::Masked, report.masked),
        (DeviceFault::MainsLost, report.mains_lost),
        (DeviceFault::Unreadable, Some(false)),
        (DeviceFault::Gone, Some(false)),
        (DeviceFault::Missing, Some(false)),
    ];
    on_tamper(draft, report, about);
    for (fault, said) in said {
        let has = draft.state.devices[&report.device].faults.contains(&fault);
        match (said, has) {
            (Some(true), false) => drop(draft.emit(Fact::FaultRaised { fault }, about.clone())),
            (Some(false), true) => drop(draft.emit(Fact::FaultCleared { fault }, about.clone())),
            _ => {}
        }
    }
}

/// It was opened or taken off; or closed again. While its battery is changed that is no sabotage (B14).
fn on_tamper(draft: &mut Draft, report: &Report, about: &About) {
    let device = &draft.state.devices[&report.device];
    let (has, upkeep) = (device.faults.contains(&DeviceFault::Tamper), device.upkeep.is_some());
    match (report.tamper, has) {
        (Some(true), false) if upkeep && device.cover_open => {}
        (Some(true), false) if upkeep => drop(draft.emit(Fact::CoverOpened {}, about.clone())),
        (Some(true), false) => drop(raise(draft, AlarmKind::Tamper, report.kind, about.clone())),
        (Some(false), true) => {
            let incident = open_incident(draft, about.area.as_ref(), Some(AlarmKind::Tamper));
            let fact = Fact::AlarmRestored { kind: AlarmKind::Tamper, by: report.kind };
            draft.emit(fact, About { incident, ..about.clone() });
        }
        // Shut, and it speaks: done.
        (Some(false), false) if upkeep && device.cover_open => {
            draft.emit(Fact::BatteryChangeEnded {}, about.clone());
            new_battery(draft, &report.device, about.clone());
        }
        _ => {}
    }
}

/// How long a battery may be changed for (B14), in seconds.
const UPKEEP_S: u32 = 600;

/// A user is about to change a battery: the cover may open for a while.
pub(crate) fn on_battery_change(draft: &mut Draft, request: RequestId, id: DeviceId, code: &CodeChecked) {
    let Some(user) = access::known(draft, request, code, Right::Upkeep) else { return };
    if !draft.state.devices.contains_key(&id) {
        return draft.refuse(request, "no_device", format!("there is no device `{id}`"));
    }
    let about = About { user: Some(user), method: Some(code.method), ..place_of(draft, id) };
    let area = about.area.as_ref().and_then(|area| draft.state.areas.get(area));
    if area.is_some_and(|area| !matches!(area.arming, Arming::Disarmed | Arming::Unknown)) {
        return draft.refuse(request, "not_disarmed", "disarm first: an open cover is sabotage while it guards");
    }
    let delay = Delay::after(draft.now(), UPKEEP_S);
    let event = draft.emit(Fact::BatteryChangeStarted { delay }, about);
    area::finish(draft, request, event, "open it now: 10 minutes".to_owned());
}

/// Battery changes whose time is over: a cover that is still open is a fault.
fn upkeep_ends(draft: &mut Draft) {
    let now = draft.now();
    let over = |device: &Device| device.upkeep.is_some_and(|until| until.remaining_ms(now).unwrap_or(0) == 0);
    let over: Vec<(DeviceId, bool)> =
        draft.state.devices.iter().filter(|(_, d)| over(d)).map(|(id, d)| (id.clone(), d.cover_open)).collect();
    for (id, open) in over {
        let about = place_of(draft, id.clone());
        if open {
            draft.keep(Fact::FaultRaised { fault: DeviceFault::Tamper }, about.clone());
        }
        draft.keep(Fact::BatteryChangeEnded {}, about.clone());
        new_battery(draft, &id, about);
    }
}

/// Some detectors say that a battery is low and never that it is good again (EnOcean F6-05-02). One that still is says so in
/// its next word.
fn new_battery(draft: &mut Draft, id: &DeviceId, about: About) {
    if draft.state.devices.get(id).is_some_and(|device| device.faults.contains(&DeviceFault::LowBattery)) {
        draft.keep(Fact::FaultCleared { fault: DeviceFault::LowBattery }, about);
    }
}

/// When the next one's is, in ms.
pub(crate) fn upkeep_ms(state: &State, now: Stamp) -> Option<u64> {
    let running = state.devices.values().filter_map(|device| device.upkeep);
    running.map(|until| until.remaining_ms(now).unwrap_or(0)).min()
}

/// A known detector that cannot be read or heard guards nothing: told once, until it is read again.
pub(crate) fn on_fault(draft: &mut Draft, id: DeviceId, fault: DeviceFault) {
    let Some(device) = draft.state.devices.get(&id) else { return };
    // Who is heard is there, though it cannot be read.
    let found = fault == DeviceFault::Unreadable && device.faults.contains(&DeviceFault::Missing);
    if found {
        let about = place_of(draft, id.clone());
        draft.emit(Fact::FaultCleared { fault: DeviceFault::Missing }, about);
    }
    if !draft.state.devices[&id].faults.contains(&fault) {
        let about = place_of(draft, id);
        draft.emit(Fact::FaultRaised { fault }, about);
    }
}

/// Detectors have settled after a start of the board: those that have begun to say so meanwhile, and still do, alarm.
pub(crate) fn on_time(draft: &mut Draft) {
    upkeep_ends(draft);
    let now = draft.now();
    if draft.state.settling.is_none_or(|until| until.remaining_ms(now).is_some_and(|left| left > 0)) {
        return;
    }
    let woke = |device: &Device| {
        let active = matches!(device.state, Some(DeviceState::Open | DeviceState::Alarm));
        active && intrusion(device.kind) && device.woke
    };
    let woke: Vec<(DeviceId, DeviceKind)> =
        draft.state.devices.iter().filter(|(_, d)| woke(d)).map(|(id, device)| (id.clone(), device.kind)).collect();
    // Were it not on record it would fall due for ever.
    draft.keep(Fact::Settled {}, About::default());
    for (id, kind) in woke {
        let about = place_of(draft, id);
        on_intrusion(draft, kind, &about);
    }
}

/// Where a device is.
pub(crate) fn place_of(draft: &Draft, id: DeviceId) -> About {
    let zone = draft.state.devices.get(&id).and_then(|device| device.zone.clone());
    let area = zone.as_ref().and_then(|zone| draft.state.zones.get(zone)).map(|zone| zone.area.clone());
    About { area, zone, device: Some(id), ..About::default() }
}

/// Somebody calls for help, not by a button of a detector's kind.
pub(crate) fn on_sos(draft: &mut Draft, request: RequestId, method: Method, area: Option<AreaId>) {
    let area = area.filter(|id| draft.state.areas.contains_key(id));
    let event = raise(draft, AlarmKind::Sos, DeviceKind::Sos, About { area, method: Some(method), ..About::default() });
    // A panel that nobody listens to must not sound as if (B12).
    let text = match draft.state.standing.agreed() {
        Service::Ended => "nobody is listening: call 112",
        _ => "help is called: the centre's answer follows",
    };
    draft.done(request, event, text);
}

/// An intrusion in an area that guards.
pub(crate) fn burglary(draft: &mut Draft, by: DeviceKind, about: About) {
    raise(draft, AlarmKind::Burglary, by, about);
}

/// Alarms of one source in a row, until its area is armed or disarmed; the next are told as one notice.
const IN_A_ROW_MAX: u32 = 3;

/// Raises an alarm: joins the open incident of its area and kind, or opens one.
pub(crate) fn raise(draft: &mut Draft, kind: AlarmKind, by: DeviceKind, about: About) -> Option<EventId> {
    raise_with(draft, kind, by, about, None)
}

/// The same, with what else is known of it.
pub(crate) fn raise_with(
    draft: &mut Draft,
    kind: AlarmKind,
    by: DeviceKind,
    about: About,
    tag: Option<Tag>,
) -> Option<EventId> {
    let now = draft.now();
    let source = about.device.as_ref().and_then(|id| draft.state.devices.get(id)).filter(|_| kind.is_limited());
    let often = |device: &&Arc<Device>| device.raised.get(&kind).is_some_and(|times| *times >= IN_A_ROW_MAX);
    if let Some(device) = source.filter(often) {
        let told = device.suppressed.contains(&kind);
        if kind == AlarmKind::Tamper && tag != Some(Tag::Missing) {
            draft.emit(Fact::FaultRaised { fault: DeviceFault::Tamper }, about.clone());
        }
        return if told { None } else { draft.emit(Fact::AlarmSuppressed { kind }, about) };
    }
    let open = open_incident(draft, about.area.as_ref(), Some(kind));
    let area = about.area.as_ref().and_then(|area| draft.state.areas.get(area));
    let guards = area.is_some_and(|area| area.arming.guarding().is_some());
    let fresh = open.filter(|id| draft.state.incidents[id].is_joined(guards, now));
    let continues = if fresh.is_some() { None } else { open };
    continues.into_iter().for_each(|old| camera_window::on_continued(draft, old));
    let about = About { incident: fresh, opens: fresh.is_none(), ..about };
    let tags = tag.into_iter().chain(tags(draft, kind, by, &about)).collect();
    let event = draft.emit(Fact::AlarmRaised { kind, by, continues, tags }, about)?;
    incident::on_alarm(draft, fresh.unwrap_or(event));
    Some(event)
}

/// So soon after arming somebody may have come back for his keys (requirements, "recent close"), in ms.
const RECENT_MS: u64 = 120_000;

/// What else is known of an alarm at this moment.
fn tags(draft: &Draft, kind: AlarmKind, by: DeviceKind, about: &About) -> Vec<Tag> {
    let (state, now) = (&draft.state, draft.now());
    let device = about.device.as_ref().and_then(|id| state.devices.get(id));
    let of_area = |area: &Option<AreaId>| area.is_none() || about.area.is_none() || *area == about.area;
    let guard = state.incidents.values().any(|incident| incident.guard_on_site && of_area(&incident.area));
    let armed = about.area.as_ref().and_then(|area| state.areas.get(area)).and_then(|area| area.armed_at);
    let recent = armed.is_some_and(|at| Deadline::after(at, RECENT_MS).remaining_ms(now).is_some_and(|left| left > 0));
    let zone = about.zone.as_ref().and_then(|zone| state.zones.get(zone));
    let role = zone.map(|zone| zone.role).filter(|_| kind == AlarmKind::Burglary);
    let all = [
        (Tag::FogPresent, by == DeviceKind::Smoke && fog::fills(state, about.area.as_ref())),
        (Tag::GuardOnSite, guard),
        (Tag::PetFunction, device.is_some_and(|device| device.pet)),
        (Tag::Jammed, !state.jammed.is_empty()),
        (Tag::RecentClose, kind == AlarmKind::Burglary && recent),
        (Tag::Perimeter, role == Some(ZoneRole::Perimeter)),
        (Tag::Interior, matches!(role, Some(ZoneRole::Interior | ZoneRole::EntryRoute))),
        (Tag::EntryDoor, role == Some(ZoneRole::EntryDoor)),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(tag, _)| tag).collect()
}

/// The newest open incident of an area, of one kind or of burglary and its kin when none is named.
pub(crate) fn open_incident(draft: &Draft, area: Option<&AreaId>, kind: Option<AlarmKind>) -> Option<EventId> {
    let kind = kind.unwrap_or(AlarmKind::Burglary);
    // A hold-up is the centre's alone: what happens after it looks, and sounds, like what it is (B1).
    let mine = draft.state.incidents_on_site().filter(|(_, incident)| incident.kind == kind);
    let mine = mine.filter(|(_, incident)| incident.area.as_ref() == area);
    mine.max_by_key(|(_, incident)| (incident.opened.boot, incident.opened.mono_ms)).map(|(id, _)| *id)
}
