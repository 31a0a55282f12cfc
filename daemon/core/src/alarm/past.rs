//! What detectors made for inspection remember: how often, and when last, they found smoke. They do not send while it burns;
//! that their memory has moved says that it has burnt since, or that somebody has cooked.
//!
//! It is told, and is no alarm: whatever it was is over, by hours perhaps. It never becomes a state of the detector.

use crate::alarm::detector;
use crate::alarm::draft::About;
use crate::alarm::draft::Draft;
use crate::device::Authenticated;
use crate::device::DeviceId;
use crate::event::Fact;
use crate::stamp::Stamp;
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

/// No detector has alarmed so often. Most of them can be forged: a number from nowhere must not hide the next true one.
const ALARMS_MAX: u64 = 10_000;
/// Nor so much oftener since it was last heard.
const ALARMS_STEP: u64 = 100;
/// A day may have begun where the detector counts it, in ms.
const DAY_MS: i64 = 24 * 3_600_000;

/// What can be so of what is told: no day that is still to come, no number from nowhere.
fn credible(told: &Past, known: Option<&Past>, now: Stamp) -> Past {
    let tomorrow = Stamp { wall_ms: now.wall_ms.saturating_add(DAY_MS), ..now }.at();
    let begun =
        |day: &String| !now.trusted || tomorrow.get(..day.len()).is_some_and(|tomorrow| *day.as_str() <= *tomorrow);
    let before = known.and_then(|known| known.alarms);
    let most = before.map_or(ALARMS_MAX, |before| before.saturating_add(ALARMS_STEP));
    Past { alarms: told.alarms.filter(|alarms| *alarms <= most), last: told.last.clone().filter(begun) }
}

/// A detector has told what it remembers.
pub(crate) fn on_past(draft: &mut Draft, device: DeviceId, authenticated: Authenticated, told: &Past) {
    let Some(known) = draft.state.devices.get(&device).map(|device| device.past.clone()) else { return };
    let told = credible(told, known.as_ref(), draft.now());
    if told == Past::default() {
        return; // it has told nothing that a later word could be read beside
    }
    let joined = known.as_ref().map_or_else(|| told.clone(), |known| known.joined(&told));
    let (learnt, Past { alarms, last }) = (known.as_ref() != Some(&joined), joined);
    let fact = match &known {
        Some(known) if known.is_moved_by(&told) => Fact::AlarmedSince { alarms, last },
        _ if learnt => Fact::PastAlarmsRead { alarms, last },
        _ => return,
    };
    let about = About { authenticated: Some(authenticated), ..detector::place_of(draft, device) };
    draft.emit(fact, about);
}
