//! What became of alarms, detector by detector (R34, R35): false alarms are the cost to beat, so they are counted from
//! the first, and a cause that can be cured is told when it repeats itself.

use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::alarm::incident::Incident;
use crate::alarm::state::State;
use crate::device::DeviceId;
use crate::event::{CloseCause, Event, EventId, Fact};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many false alarms of one detector for one cause are worth somebody's visit.
const REPEATED: u32 = 3;

/// How one detector's alarms ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Incidents it raised that were real.
    pub real: u32,
    /// And those that were not, by cause.
    pub mistaken: BTreeMap<CloseCause, u32>,
}

impl CloseCause {
    /// Whether somebody can mend it: placing, cleaning, setting, showing how.
    fn curable(self) -> bool {
        !matches!(self, CloseCause::Real | CloseCause::Test | CloseCause::Unknown)
    }
}

/// An incident has just ended so: what repeats itself is told. To be called before its end is recorded.
pub(crate) fn on_end(draft: &mut Draft, id: EventId, cause: CloseCause) {
    let Some(incident) = draft.state.incidents.get(&id).filter(|of| cause.curable() && !of.is_hidden()) else { return };
    let count = |device: &DeviceId| {
        let of_it = draft.state.outcomes.get(device).and_then(|outcomes| outcomes.mistaken.get(&cause));
        of_it.copied().unwrap_or(0) + 1
    };
    let repeated: Vec<(DeviceId, u32)> = (incident.raised_by.iter())
        .map(|device| (device.clone(), count(device)))
        .filter(|(_, count)| count.is_multiple_of(REPEATED))
        .collect();
    for (device, count) in repeated {
        let zone = draft.state.devices.get(&device).and_then(|device| device.zone.clone());
        let about = About { device: Some(device), zone, incident: Some(id), ..About::default() };
        draft.emit(Fact::FalseAlarmsRepeated { cause, count }, about);
    }
}

/// Counts an incident that ends.
pub(crate) fn count(outcomes: &mut BTreeMap<DeviceId, Outcomes>, incident: &Incident, cause: CloseCause) {
    for device in &incident.raised_by {
        let of_it = outcomes.entry(device.clone()).or_default();
        match cause {
            CloseCause::Real => of_it.real += 1,
            CloseCause::Test => {}
            mistaken => *of_it.mistaken.entry(mistaken).or_default() += 1,
        }
    }
}

/// What is recorded of it.
pub(crate) fn apply(state: &mut State, event: &Event) {
    let cause = match &event.fact {
        // Of what nobody on site may know nothing is counted where they look.
        _ if event.is_centre_only() => return,
        Fact::IncidentCleared { .. } | Fact::IncidentCancelled { .. } => CloseCause::User,
        Fact::IncidentClosed { cause, .. } => *cause,
        Fact::DeviceRemoved {} => {
            event.device.iter().for_each(|device| drop(state.outcomes.remove(device)));
            return;
        }
        _ => return,
    };
    if let Some(incident) = event.incident.and_then(|id| state.incidents.get(&id)) {
        count(&mut state.outcomes, incident, cause);
    }
}
