//! Whether detectors are still there (R18): one that has said nothing for too long guards nothing, and that is told.
//!
//! When each was last heard is no event and no state: a word that changes nothing is not journaled. After a start nobody
//! knows, so the time begins anew. It never takes silence for "closed".

use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::alarm::state::State;
use crate::device::{DeviceFault, DeviceId, DeviceKind, Report};
use crate::input::{Disk, Input};
use crate::stamp::{Deadline, Stamp};
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;
/// A failing disk keeps it from being told; then it is looked at again so much later, in ms.
const AGAIN_MS: u64 = 60_000;

/// After how much silence a detector is missing (requirements, "missing detector"), in ms; `None`: it speaks when it has
/// something to say. Detectors of fire, gas and water tell their battery several times a day, and once at least.
fn missing_after_ms(kind: DeviceKind) -> Option<u64> {
    match kind {
        DeviceKind::Contact | DeviceKind::Motion | DeviceKind::GlassBreak | DeviceKind::Vibration => Some(2 * HOUR_MS),
        DeviceKind::Smoke
        | DeviceKind::Heat
        | DeviceKind::Co
        | DeviceKind::Gas
        | DeviceKind::Water
        | DeviceKind::Freeze
        | DeviceKind::KeyBox
        | DeviceKind::Keypad
        | DeviceKind::Siren
        | DeviceKind::Camera
        | DeviceKind::Lock => Some(26 * HOUR_MS),
        // Buttons without a battery, and meters that are read once a month.
        DeviceKind::Sos | DeviceKind::Medical | DeviceKind::Climate | DeviceKind::Meter => None,
    }
}

/// Who was last heard when, since this process began to listen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Heard {
    since: Option<Stamp>,
    last: BTreeMap<DeviceId, Stamp>,
}

impl Heard {
    /// Takes note of who speaks.
    pub(crate) fn hear(&mut self, now: Stamp, inputs: &[Input], state: &State) {
        self.since.get_or_insert(now);
        for input in inputs {
            if let Input::Report(Report { device, .. }) | Input::Unreadable { device } = input
                && state.devices.contains_key(device)
            {
                self.last.insert(device.clone(), now);
            }
        }
    }

    /// How long a device may still be silent, in ms; `None`: for ever, or it is missing already.
    fn left_ms(&self, id: &DeviceId, state: &State, now: Stamp) -> Option<u64> {
        let device = state.devices.get(id).filter(|device| !device.faults.contains(&DeviceFault::Missing))?;
        let after_ms = missing_after_ms(device.kind)?;
        // A device that was added a moment ago has its time too.
        let last = self.last.get(id).copied().into_iter().chain(self.since).chain(device.added);
        let last = last.filter(|at| at.boot == now.boot).max_by_key(|at| at.mono_ms)?;
        Deadline::after(last, after_ms).remaining_ms(now)
    }

    /// When the next one is missed, in ms.
    pub(crate) fn due_ms(&self, state: &State, now: Stamp) -> Option<u64> {
        let left = state.devices.keys().filter_map(|id| self.left_ms(id, state, now)).min()?;
        Some(if left == 0 { AGAIN_MS } else { left })
    }
}

/// Whoever has been silent for too long.
pub(crate) fn on_time(draft: &mut Draft, heard: &Heard) {
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return; // what room there is is for alarms
    }
    let now = draft.now();
    let silent = |id: &&DeviceId| heard.left_ms(id, &draft.state, now) == Some(0);
    let silent: Vec<DeviceId> = draft.state.devices.keys().filter(silent).cloned().collect();
    for id in silent {
        detector::on_fault(draft, id, DeviceFault::Missing);
    }
}
