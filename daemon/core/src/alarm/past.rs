//! What detectors made for inspection remember: how often, and when last, they found smoke. They do not send while it burns;
//! that their memory has moved says that it has burnt since, or that somebody has cooked.
//!
//! It is told, and is no alarm: whatever it was is over, by hours perhaps. It never becomes a state of the detector.

use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::device::DeviceId;
use crate::event::Fact;
use serde::{Deserialize, Serialize};

/// A detector's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Alarms since it was made, where it counts them.
    pub alarms: Option<u64>,
    /// The day of the last, as 2022-05-24, where it tells one.
    pub last: Option<String>,
}

impl Past {
    /// The highest of both: an old telegram, heard again, moves nothing, and neither does the newest after it.
    fn joined(&self, other: &Past) -> Past {
        Past { alarms: self.alarms.max(other.alarms), last: self.last.clone().max(other.last.clone()) }
    }

    /// Whether `told` says that it has alarmed since. A first day does so only where no counter could: else an earlier
    /// telegram had merely left the day out.
    fn is_moved_by(&self, told: &Past) -> bool {
        let counted = self.alarms.is_some() && told.alarms > self.alarms;
        let dated = told.last > self.last && (self.last.is_some() || told.alarms.is_none());
        counted || dated
    }
}

/// A detector has told what it remembers.
pub(crate) fn on_past(draft: &mut Draft, device: DeviceId, told: &Past) {
    let Some(known) = draft.state.devices.get(&device).map(|device| device.past.clone()) else { return };
    let Past { alarms, last } = known.as_ref().map_or_else(|| told.clone(), |known| known.joined(told));
    let fact = match &known {
        None => Fact::PastAlarmsRead { alarms, last },
        Some(known) if known.is_moved_by(told) => Fact::AlarmedSince { alarms, last },
        Some(_) => return,
    };
    let about = detector::place_of(draft, device);
    draft.emit(fact, about);
}
