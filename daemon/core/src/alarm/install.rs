//! What the site is made of: areas, zones, people and devices, each change a fact.
//!
//! It never touches an armed area's guard: what guards is changed only while it is disarmed.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::rules::Rule;
use crate::alarm::settings;
use crate::alarm::state::{Arming, Device, Key, State, Zone};
use crate::canonical::PERSONAL_TEXT_MAX;
use crate::device::{AreaId, DeviceId, DeviceKind};
use crate::event::{Event, EventId, Fact, Joining, Method};
use crate::input::{Command, Disk, Newcomer, RequestId};
use crate::stamp::Deadline;
use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The longest entry delay, in seconds (requirements, "entry delay").
const ENTRY_S_MAX: u32 = 45;
/// The longest exit delay, in seconds.
const EXIT_S_MAX: u32 = 180;
/// The longest time in which unknown devices are listed, in seconds.
const PERMIT_S_MAX: u32 = 180;
/// After how much silence a device may be missed, in seconds.
const SILENCE_S: RangeInclusive<u32> = 300..=31 * 86_400;
/// How many devices, zones or users a site may have. Who comes later is refused: the state is snapshotted whole.
pub(crate) const SITE_MAX: usize = 512;
/// How many areas. Who comes later is refused: one event must be able to name them all.
const AREAS_MAX: usize = 64;

pub(crate) type Refusal = (&'static str, String);

pub(crate) fn on_command(draft: &mut Draft, request: RequestId, method: Method, command: Command) {
    if let Disk::Failed { .. } = draft.context.disk {
        let text = "the journal's disk does not answer: settings wait until it does";
        return draft.refuse(request, "disk", text);
    }
    match change(draft, method, command) {
        Ok((event, text)) => draft.done(request, event, text),
        Err((code, text)) => draft.refuse(request, code, text),
    }
}

fn change(draft: &mut Draft, method: Method, command: Command) -> Result<(Option<EventId>, String), Refusal> {
    let about = About { method: Some(method), ..About::default() };
    match command {
        Command::AreaSet { area, name, entry_s, exit_s } => {
            bounded("entry delay", entry_s, ENTRY_S_MAX)?;
            bounded("exit delay", exit_s, EXIT_S_MAX)?;
            room(draft.state.areas.len(), AREAS_MAX, draft.state.areas.contains_key(&area), "areas")?;
            quiet(draft, Some(&area))?;
            let text = format!("area {area}: {entry_s} s to come in, {exit_s} s to leave");
            let about = About { area: Some(area), name: short(name)?, ..about };
            Ok((draft.emit(Fact::AreaSet { entry_s, exit_s }, about), text))
        }
        Command::ZoneSet { zone, area, name, role, modes, chime } => {
            if !draft.state.areas.contains_key(&area) {
                return Err(("no_area", format!("there is no area `{area}`: make it with `vaktd area set {area}`")));
            }
            let old = draft.state.zones.get(&zone).map(|zone| zone.area.clone());
            room(draft.state.zones.len(), SITE_MAX, old.is_some(), "zones")?;
            quiet(draft, old.as_ref())?;
            quiet(draft, Some(&area))?;
            let inside = draft.state.devices.iter().filter(|(_, device)| device.zone.as_ref() == Some(&zone));
            inside.map(|(id, _)| id).try_for_each(|id| unwatched(draft, id))?;
            let text = format!("zone {zone} is in area {area}");
            let about = About { area: Some(area), zone: Some(zone), name: short(name)?, ..about };
            Ok((draft.emit(Fact::ZoneSet { role, modes, chime }, about), text))
        }
        devices => change_devices(draft, about, devices),
    }
}

fn change_devices(draft: &mut Draft, about: About, command: Command) -> Result<(Option<EventId>, String), Refusal> {
    match command {
        Command::DevicePermit { seconds, joining } => {
            if seconds == 0 {
                let open = draft.state.permit.is_some();
                let event = open.then(|| draft.emit(Fact::PermitClosed {}, about)).flatten();
                return Ok((event, "devices that are not known are no longer listed".to_owned()));
            }
            bounded("time to listen", seconds, PERMIT_S_MAX)?;
            let text = match joining {
                None => format!("devices that are not known are listed for {seconds} s"),
                Some(Joining::InstallCode) => format!("the device with this install code may join for {seconds} s"),
                Some(Joining::Legacy) => {
                    format!("any Zigbee device may join for {seconds} s, on a key that everybody knows")
                }
                Some(Joining::Teach) => format!("EnOcean devices may be taught for {seconds} s"),
            };
            Ok((draft.emit(Fact::PermitOpened { seconds, joining }, about), text))
        }
        Command::DeviceReplace { old, new } => replace(draft, &about, old, new),
        Command::DeviceAdd(new) => {
            room(draft.state.devices.len(), SITE_MAX, draft.state.devices.contains_key(&new.device), "devices")?;
            let device = new.device.clone();
            let text = format!("device {device} is known; give it a place with `vaktd device assign {device} ZONE`");
            Ok((add(draft, &about, new)?, text))
        }
        Command::DeviceAssign { device, zone } => {
            if !draft.state.devices.contains_key(&device) {
                return Err(("no_device", format!("there is no device `{device}`: add it first")));
            }
            let Some(area) = draft.state.zones.get(&zone).map(|zone| zone.area.clone()) else {
                let text = format!("there is no zone `{zone}`: make it with `vaktd zone set {zone} --area AREA`");
                return Err(("no_zone", text));
            };
            quiet(draft, area_of(draft, &device).as_ref())?;
            unwatched(draft, &device)?;
            quiet(draft, Some(&area))?;
            let text = format!("device {device} is in zone {zone}, area {area}");
            let about = About { device: Some(device), zone: Some(zone), area: Some(area), ..about };
            Ok((draft.emit(Fact::DeviceAssigned {}, about), text))
        }
        Command::DeviceRemove { device } => {
            if !draft.state.devices.contains_key(&device) {
                return Err(("no_device", format!("there is no device `{device}`")));
            }
            quiet(draft, area_of(draft, &device).as_ref())?;
            unwatched(draft, &device)?;
            let text = match device.is_wired() {
                true => format!(
                    "device {device} is gone, and comes back within a minute while the configuration names its pin: take \
                     it out of [board] first"
                ),
                false => format!("device {device} is gone"),
            };
            Ok((draft.emit(Fact::DeviceRemoved {}, About { device: Some(device), ..about }), text))
        }
        people => settings::change_people(draft, about, people),
    }
}

/// Makes a device known, or known anew.
fn add(draft: &mut Draft, about: &About, new: Newcomer) -> Result<Option<EventId>, Refusal> {
    let Newcomer { device, kind, name, secret, pet, eep, silence_s, counter } = new;
    if let Some(given) = silence_s.filter(|s| *s != 0 && !SILENCE_S.contains(s)) {
        let (least, most) = (SILENCE_S.start() / 60, SILENCE_S.end() / 86_400);
        let text = format!("{given} s of silence: {least} minutes to {most} days, or 0 for never");
        return Err(("out_of_range", text));
    }
    quiet(draft, area_of(draft, &device).as_ref())?;
    unwatched(draft, &device)?;
    // Nobody knows a key that was taught, so nobody can type it again: what is not said anew stays. A key goes with its device.
    let known = draft.state.devices.get(&device);
    let of_old = known.map(|known| (known.secret.clone(), known.counter)).filter(|_| secret.is_none());
    let (secret, counter) = of_old.unwrap_or((secret, counter));
    let eep = eep.or(known.and_then(|known| known.eep));
    let silence_s = silence_s.or(known.and_then(|known| known.silence_s));
    let about = About { device: Some(device), name: short(name)?, ..about.clone() };
    Ok(draft.emit(Fact::DeviceAdded { kind, secret, pet, eep, silence_s, counter }, about))
}

/// One device takes the place of another: its zone stays, and with it all that hangs on it.
fn replace(
    draft: &mut Draft,
    about: &About,
    old: DeviceId,
    new: Newcomer,
) -> Result<(Option<EventId>, String), Refusal> {
    let Some(was) = draft.state.devices.get(&old).cloned() else {
        return Err(("no_device", format!("there is no device `{old}`")));
    };
    let device = new.device.clone();
    if device == old {
        return Err(("same_device", format!("{device} is that device: to give it another key, add it again")));
    }
    if draft.state.devices.get(&device).is_some_and(|device| device.zone.is_some()) {
        return Err(("has_a_place", format!("{device} has a place already: remove it there first")));
    }
    if was.kind != new.kind {
        let text = format!("{old} and {device} do not watch for the same: remove the one and add the other");
        return Err(("other_kind", text));
    }
    quiet(draft, area_of(draft, &old).as_ref())?;
    unwatched(draft, &old)?;
    let own = draft.state.devices.get(&device).and_then(|device| device.silence_s);
    let silence_s = new.silence_s.or(own).or(was.silence_s);
    let event = add(draft, about, Newcomer { silence_s, ..new })?;
    let rules = draft.state.rules.iter().filter(|(_, rule)| rule.device == old);
    for (rule, is) in rules.map(|(rule, is)| (rule.clone(), is.clone())).collect::<Vec<_>>() {
        let Rule { measure, above, limit_milli, back_milli, then, .. } = is;
        let fact = Fact::RuleSet { rule, measure, above, limit_milli, back_milli, then };
        draft.emit(fact, About { device: Some(device.clone()), ..about.clone() });
    }
    if let Some(zone) = was.zone.clone() {
        let area = draft.state.zones.get(&zone).map(|zone| zone.area.clone());
        let placed = About { device: Some(device.clone()), zone: Some(zone), area, ..about.clone() };
        draft.emit(Fact::DeviceAssigned {}, placed);
    }
    draft.emit(Fact::DeviceRemoved {}, About { device: Some(old.clone()), ..about.clone() });
    let place = was.zone.as_ref().map_or_else(|| "no place".to_owned(), |zone| format!("zone {zone}"));
    Ok((event, format!("{device} is in {old}'s place: {place}")))
}

/// The time for listing unknown devices is over.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    // A restart that cannot prove how long it took closes the window: open is the state that can harm.
    if draft.state.permit.is_some_and(|until| until.remaining_ms(now).unwrap_or(0) == 0) {
        draft.emit(Fact::PermitClosed {}, About::default());
    }
}

fn area_of(draft: &Draft, device: &DeviceId) -> Option<AreaId> {
    let zone = draft.state.devices.get(device)?.zone.as_ref()?;
    Some(draft.state.zones.get(zone)?.area.clone())
}

fn quiet(draft: &Draft, area: Option<&AreaId>) -> Result<(), Refusal> {
    let Some((id, area)) = area.and_then(|id| draft.state.areas.get_key_value(id)) else { return Ok(()) };
    match area.arming {
        Arming::Disarmed | Arming::Unknown => Ok(()),
        _ => Err(("not_disarmed", format!("disarm {id} first: what guards is not changed while it does"))),
    }
}

/// A camera stays where it is while the centre looks through it: else it would look where no alarm is.
fn unwatched(draft: &Draft, device: &DeviceId) -> Result<(), Refusal> {
    let camera = draft.state.devices.get(device).is_some_and(|device| device.kind == DeviceKind::Camera);
    // Of a silent one nobody here is told; what it was granted ends when the camera is moved.
    let watched = draft.state.incidents_on_site().any(|(_, incident)| incident.window_used && !incident.window_closed);
    match camera && watched {
        true => {
            Err(("watched", "the centre looks through the cameras of an open alarm: wait until it has ended".into()))
        }
        false => Ok(()),
    }
}

fn bounded(what: &str, given: u32, max: u32) -> Result<(), Refusal> {
    if given <= max { Ok(()) } else { Err(("out_of_range", format!("the {what} is {given} s; {max} s at most"))) }
}

pub(crate) fn room(count: usize, max: usize, there: bool, what: &str) -> Result<(), Refusal> {
    if there || count < max { Ok(()) } else { Err(("full", format!("a site has at most {max} {what}"))) }
}

pub(crate) fn short(name: Option<String>) -> Result<Option<String>, Refusal> {
    match name {
        Some(name) if name.len() > PERSONAL_TEXT_MAX || name.chars().any(char::is_control) => {
            Err(("bad_name", format!("a name has at most {PERSONAL_TEXT_MAX} bytes and no control characters")))
        }
        name => Ok(name),
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    match &event.fact {
        Fact::AreaSet { entry_s, exit_s } => {
            let Some(id) = event.area.clone() else { return };
            let area = state.areas.entry(id).or_default();
            (area.entry_s, area.exit_s, area.refused) = (*entry_s, *exit_s, None);
            area.overridden.clear();
            area.bypassed.clear();
        }
        Fact::ZoneSet { role, modes, chime } => {
            if let (Some(zone), Some(area)) = (event.zone.clone(), event.area.clone()) {
                Arc::make_mut(&mut state.zones)
                    .insert(zone, Zone { area, role: *role, modes: modes.clone(), chime: *chime });
            }
        }
        Fact::PermitOpened { seconds, .. } => {
            state.permit = Some(Deadline::after(event.stamp, u64::from(*seconds) * 1000));
        }
        Fact::PermitClosed {} => state.permit = None,
        Fact::DeviceAdded { kind, secret, pet, eep, silence_s, counter } => {
            let Some(id) = event.device.clone() else { return };
            let old = state.devices.get(&id);
            let device = Device {
                kind: *kind,
                secret: secret.clone(),
                zone: old.and_then(|device| device.zone.clone()),
                state: None,
                said: BTreeMap::new(),
                closed: BTreeMap::new(),
                faults: BTreeSet::new(),
                changed: None,
                raised: BTreeMap::new(),
                suppressed: BTreeSet::new(),
                added: Some(event.stamp),
                pet: *pet,
                eep: *eep,
                silence_s: *silence_s,
                counter: *counter,
                past: None,
                upkeep: None,
                cover_open: false,
                idle: false,
                woke: false,
                echo: false,
            };
            Arc::make_mut(&mut state.devices).insert(id, Arc::new(device));
        }
        Fact::DeviceAssigned {} => {
            let zone = event.zone.clone();
            event
                .device
                .iter()
                .filter_map(|id| {
                    Arc::make_mut(&mut state.devices).get_mut(id).map(|d| Arc::make_mut(d).zone = zone.clone())
                })
                .for_each(drop);
        }
        Fact::DeviceRemoved {} => event.device.iter().for_each(|id| drop(Arc::make_mut(&mut state.devices).remove(id))),
        Fact::KeyListed { kid, role, ed25519 } => {
            let added = event.method.is_some();
            state.keys.insert(
                kid.clone(),
                Key { role: role.clone(), ed25519: ed25519.clone(), added, user: event.user.clone() },
            );
        }
        Fact::KeyWithdrawn { kid } => drop(state.keys.remove(kid)),
        _ => {}
    }
}
