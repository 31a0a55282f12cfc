//! The smoke cannon (R64 to R69): fired by the centre's hand in an open burglary, and by nothing else.
//!
//! No rule, schedule, restart or repeated message leads here. Whatever speaks against it is named, all of it. A cannon
//! that was told to fire counts as spent, whether it answered or not, until somebody has serviced it.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::lock;
use crate::alarm::state::State;
use crate::alarm::warrant::{Obeyed, Refusal};
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, DeviceState};
use crate::event::{Act, AlarmKind, Event, Fact, Service};
use crate::input::Disk;
use crate::stamp::{Deadline, Stamp};
use crate::warrant::{Ground, Warrant};
use serde::{Deserialize, Serialize};

/// People outside the household whom the centre must have on file (R84).
const CONTACTS_MIN: u32 = 3;
/// Air the room within this time, in hours (R68).
const AIR_H: u32 = 1;
/// And at the latest within this; so long its smoke detectors may be deceived (R69).
const AIR_LAST_H: u32 = 2;
const HOUR_MS: u64 = 3_600_000;

/// A cannon that was told to fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fog {
    /// When.
    pub fired: Stamp,
    /// Its fog may still be in the room.
    pub fills: bool,
    /// Which reminder has been given, in hours.
    pub reminded_h: u32,
}

fn area_of(state: &State, device: &DeviceId) -> Option<AreaId> {
    let zone = state.devices.get(device)?.zone.as_ref()?;
    state.zones.get(zone).map(|zone| zone.area.clone())
}

/// Whether fog may be in this area's air.
pub(crate) fn fills(state: &State, area: Option<&AreaId>) -> bool {
    let there = |cannon: &DeviceId| area.is_none() || area_of(state, cannon).as_ref() == area;
    state.fogs.iter().any(|(cannon, fog)| fog.fills && there(cannon))
}

/// The cannon that was named, or the only one.
fn which(state: &State, named: Option<&DeviceId>) -> Option<DeviceId> {
    let mut cannons = state.devices.iter().filter(|(_, device)| device.kind == DeviceKind::Fog).map(|(id, _)| id);
    match named {
        Some(id) => cannons.find(|cannon| *cannon == id).cloned(),
        None => cannons.next().cloned().filter(|_| cannons.next().is_none()),
    }
}

/// The centre fires (B4). Everything that speaks against it is named.
pub(crate) fn on_fire(
    draft: &Draft,
    warrant: &Warrant,
    device: Option<&DeviceId>,
    contacts: u32,
    about: About,
) -> Result<Obeyed, Refusal> {
    let cannon = which(&draft.state, device);
    let missing = missing(draft, warrant, cannon.as_ref(), contacts);
    match cannon {
        Some(cannon) if missing.is_empty() => {
            let zone = draft.state.devices.get(&cannon).and_then(|cannon| cannon.zone.clone());
            let area = area_of(&draft.state, &cannon);
            let about = About { area, zone, device: Some(cannon), incident: warrant.incident, ..about };
            Ok(Obeyed::Sends(vec![(
                Fact::CommandSent { act: Act::FogFire, warrant: Some(warrant.jti.clone()) },
                about,
            )]))
        }
        _ => Err(lock::all(&missing)),
    }
}

fn missing(draft: &Draft, warrant: &Warrant, cannon: Option<&DeviceId>, contacts: u32) -> Vec<(&'static str, String)> {
    let state = &draft.state;
    let mut missing: Vec<(&str, String)> = Vec::new();
    let mut need = |holds: bool, code: &'static str, text: &str| {
        if !holds {
            missing.push((code, text.to_owned()));
        }
    };
    let incident = warrant.incident.and_then(|id| state.incidents.get(&id));
    need(incident.is_some(), "no_incident", "no such incident is open");
    need(incident.is_none_or(|of| of.kind == AlarmKind::Burglary), "not_burglary", "the incident is no burglary");
    let grounds = [Ground::SignalsAndPicture, Ground::CustomerConfirmed, Ground::PresenceDeniedByContact];
    let ground = warrant.ground.is_some_and(|ground| grounds.contains(&ground));
    need(ground, "no_ground", "the ground is signals_and_picture, customer_confirmed or presence_denied_by_contact");
    // The area was set when it triggered, and nobody who may has disarmed since.
    need(
        incident.is_none_or(|of| of.mode.is_some() && !of.disarmed && !of.duress),
        "not_armed",
        "the area is no longer set since it triggered",
    );
    let service = state.standing.agreed();
    need(
        !matches!(service, Service::Suspended | Service::Ended),
        "no_subscription",
        "the service is suspended or over",
    );
    need(contacts >= CONTACTS_MIN, "contacts", "fewer than three contacts outside the household are on file");
    need(!matches!(draft.context.disk, Disk::Failed { .. }), "disk", "the journal's disk does not answer");
    need(cannon.is_some(), "no_cannon", "name one smoke cannon of this site");
    let Some(cannon) = cannon else { return missing };
    let area = area_of(state, cannon);
    let mut need = |holds: bool, code: &'static str, text: String| {
        if !holds {
            missing.push((code, text));
        }
    };
    need(incident.is_none_or(|of| of.area == area), "other_area", format!("{cannon} is not where the alarm is"));
    let in_danger = |kind| {
        use AlarmKind::{Co, Duress, Fire, Gas, HoldUp, Medical, Sos};
        matches!(kind, Fire | Co | Gas | Sos | Medical | HoldUp | Duress)
    };
    let danger = state
        .incidents
        .values()
        .any(|of| in_danger(of.kind) && (of.area.is_none() || area.is_none() || of.area == area));
    need(!danger, "people_in_danger", "a fire, a call for help or a medical alarm is open there".to_owned());
    let stands = &state.devices[cannon];
    let busy = state.acts.values().any(|sent| sent.device.as_ref() == Some(cannon));
    // Mains lost inside the incident is a warning: the cannon has a battery, and burglars have hands.
    let well = stands.faults.iter().all(|fault| *fault == DeviceFault::MainsLost);
    let ready = stands.state == Some(DeviceState::Ready) && well && !busy && !state.fogs.contains_key(cannon);
    need(ready, "cannon_not_ready", format!("{cannon} does not say that it is ready, or has not been serviced"));
    missing
}

/// Air the room; and the end of the time in which smoke detectors may be deceived.
pub(crate) fn on_time(draft: &mut Draft) {
    let now = draft.now();
    let fogs: Vec<(DeviceId, Fog)> = draft.state.fogs.iter().map(|(id, fog)| (id.clone(), fog.clone())).collect();
    for (id, fog) in fogs {
        let Some(hours) = next(&fog).filter(|_| left_ms(&fog, now) == Some(0)) else { continue };
        let about = About { area: area_of(&draft.state, &id), device: Some(id), ..About::default() };
        draft.keep(Fact::AirNow { hours }, about);
    }
}

fn next(fog: &Fog) -> Option<u32> {
    [AIR_H, AIR_LAST_H].into_iter().find(|hours| fog.reminded_h < *hours)
}

fn left_ms(fog: &Fog, now: Stamp) -> Option<u64> {
    Deadline::after(fog.fired, u64::from(next(fog)?) * HOUR_MS).remaining_ms(now)
}

/// When the next reminder is, in ms.
pub(crate) fn due_ms(state: &State, now: Stamp) -> Option<u64> {
    state.fogs.values().filter_map(|fog| left_ms(fog, now)).min()
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    if let Fact::HubStarted { .. } = event.fact {
        // How long it has been nobody can prove: the time begins anew.
        let unproven = state.fogs.values_mut().filter(|fog| left_ms(fog, event.stamp).is_none());
        unproven.for_each(|fog| fog.fired = event.stamp);
    }
    let Some(id) = &event.device else { return };
    match &event.fact {
        Fact::CommandSent { act: Act::FogFire, .. } => {
            state.fogs.insert(id.clone(), Fog { fired: event.stamp, fills: true, reminded_h: 0 });
        }
        Fact::AirNow { hours } => {
            let fog = state.fogs.get_mut(id);
            fog.into_iter().for_each(|fog| (fog.reminded_h, fog.fills) = (*hours, *hours < AIR_LAST_H));
        }
        Fact::FogServiced {} | Fact::DeviceRemoved {} => drop(state.fogs.remove(id)),
        _ => {}
    }
}
