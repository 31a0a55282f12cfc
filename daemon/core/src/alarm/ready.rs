//! What speaks against arming (requirements, "prevents setting"; B18): everything that is not as it must be, named.
//!
//! It decides nothing: `area` does.

use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::device::{AreaId, DeviceFault, DeviceKind, DeviceState};
use crate::event::{ArmMode, Cause, CauseKind, ZoneRole};
use crate::input::{BEST_EFFORT, Disk};

/// How many causes one `arm_failed` names; the rest of a very broken site would not fit an event.
pub(crate) const CAUSES_MAX: usize = 24;

/// Everything that speaks against arming. `leaving`: doors on the way out may still be open.
pub(crate) fn against(draft: &Draft, area: &AreaId, mode: ArmMode, leaving: bool) -> Vec<Cause> {
    let state = &draft.state;
    let mut causes = Vec::new();
    for (id, device) in state.devices.iter() {
        let Some((zone_id, zone)) = device.zone.as_ref().and_then(|zone| state.zones.get_key_value(zone)) else {
            continue;
        };
        if zone.area != *area {
            continue;
        }
        // What stands aside says nothing, but that somebody has opened it.
        let aside = state.areas.get(area).is_some_and(|area| area.bypassed.contains(zone_id));
        let mut cause = |why| causes.push(Cause { zone: Some(zone_id.clone()), device: Some(id.clone()), why });
        let way_out = matches!(zone.role, ZoneRole::EntryDoor | ZoneRole::EntryRoute);
        let active = matches!(device.state, Some(DeviceState::Open | DeviceState::Alarm));
        if !aside && detector::intrusion(device.kind) && zone.guards(mode) {
            if active && !(leaving && way_out) {
                cause(CauseKind::Active);
            }
            // Its battery may have been heard of; whether it is closed has not.
            if device.state.is_none() {
                cause(CauseKind::NeverHeard);
            }
            if !id.is_best_effort()
                && draft.heard.is_quiet(id, draft.now())
                && !device.faults.contains(&DeviceFault::Missing)
            {
                cause(CauseKind::Quiet);
            }
        }
        // Open for a new battery, it watches nothing and would not tell who opens it.
        if device.cover_open && !device.faults.contains(&DeviceFault::Tamper) {
            cause(CauseKind::Tamper);
        }
        let waits = |fault: &DeviceFault| *fault != DeviceFault::Missing || !id.is_best_effort();
        for fault in device.faults.iter().filter(|fault| (!aside || **fault == DeviceFault::Tamper) && waits(fault)) {
            cause(match fault {
                DeviceFault::Tamper => CauseKind::Tamper,
                DeviceFault::LowBattery => CauseKind::LowBattery,
                DeviceFault::Fault => CauseKind::Fault,
                DeviceFault::Unreadable => CauseKind::Unreadable,
                DeviceFault::Masked => CauseKind::Masked,
                DeviceFault::MainsLost => CauseKind::MainsLost,
                DeviceFault::Gone => CauseKind::Gone,
                DeviceFault::Missing => CauseKind::Missing,
                DeviceFault::SelfTest => CauseKind::SelfTest,
            });
        }
    }
    of_the_hub(draft, &mut causes);
    let overridden = state.areas.get(area).map_or(&[][..], |area| &area.overridden);
    causes.retain(|cause| !overridden.contains(cause));
    causes.truncate(CAUSES_MAX);
    causes
}

/// What speaks against arming any area.
fn of_the_hub(draft: &Draft, causes: &mut Vec<Cause>) {
    let state = &draft.state;
    // An open hub and a wired siren that cannot sound speak against it wherever they are; with a zone they are told with
    // their area.
    for (id, device) in state.devices.iter().filter(|(id, device)| id.is_wired() && device.zone.is_none()) {
        let why = match device.kind {
            DeviceKind::Hub if device.faults.contains(&DeviceFault::Tamper) => CauseKind::Tamper,
            DeviceKind::Siren if device.faults.contains(&DeviceFault::Fault) => CauseKind::Fault,
            _ => continue,
        };
        causes.push(Cause { zone: None, device: Some(id.clone()), why });
    }
    let mut hub = |why| causes.push(Cause { zone: None, device: None, why });
    if !state.jammed.is_empty() {
        hub(CauseKind::Jammed);
    }
    if state.power.mains_lost {
        hub(CauseKind::HubMains);
    }
    if state.power.battery_low {
        hub(CauseKind::HubBattery);
    }
    if state.receivers_down.keys().any(|receiver| !receiver.starts_with(BEST_EFFORT)) {
        hub(CauseKind::Receiver);
    }
    if !state.paths.is_empty() && state.paths.values().all(Option::is_some) {
        hub(CauseKind::PathsDown);
    }
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        hub(CauseKind::Disk);
    }
}

pub(crate) fn in_words(causes: &[Cause]) -> String {
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
            CauseKind::Quiet => "has not been heard for 20 minutes",
            CauseKind::SelfTest => "has failed its self-test",
            CauseKind::Jammed => "hears that somebody jams the radio",
            CauseKind::HubMains => "is without mains",
            CauseKind::HubBattery => "has an empty battery",
            CauseKind::NotLocked => "is not locked",
            CauseKind::Disk => "cannot write its journal",
        };
        format!("{place} {why}")
    };
    causes.iter().map(word).collect::<Vec<_>>().join("; ")
}
