//! Whether detectors are still there (R18): one that has said nothing for too long guards nothing, and that is told.
//!
//! When each was last heard is no event and no state: a word that changes nothing is not journaled. After a start nobody
//! knows, so the time begins anew. It never takes silence for "closed".

use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::alarm::state::{Device, State};
use crate::device::{DeviceFault, DeviceId, DeviceKind, Report};
use crate::event::{AlarmKind, Fact, Tag};
use crate::input::{Disk, Input};
use crate::stamp::{Deadline, Stamp};
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;
/// A detector that has not been silent for longer, since it has been known for so long, checks in (requirements, "missing detector").
const OFTEN_MS: u64 = 9 * 60_000;
const KNOWN_MS: u64 = HOUR_MS;
/// Such a one is asked after before arming, when it has been silent for so long, in ms.
const QUIET_MS: u64 = 20 * 60_000;
/// An intrusion detector that has not moved for so long may watch nothing at all, in days.
const NEVER_FIRED_DAYS: u32 = 30;
const DAY_MS: u64 = 24 * HOUR_MS;
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
        | DeviceKind::Fog
        | DeviceKind::Lock => Some(26 * HOUR_MS),
        // Buttons without a battery, and meters that are read once a month.
        DeviceKind::Sos | DeviceKind::Medical | DeviceKind::HoldUp | DeviceKind::Climate | DeviceKind::Meter => None,
    }
}

/// Who was last heard when, since this process began to listen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Heard {
    since: Option<Stamp>,
    last: BTreeMap<DeviceId, Habit>,
    /// When each last tested itself, and whether it passed: the ledger (R18).
    tested: BTreeMap<DeviceId, (Stamp, bool)>,
}

/// How a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Habit {
    first: Stamp,
    last: Stamp,
    /// The longest it has been silent between two words, in ms.
    longest_ms: u64,
}

impl Heard {
    /// Takes note of who speaks.
    pub(crate) fn hear(&mut self, now: Stamp, inputs: &[Input], state: &State) {
        self.since.get_or_insert(now);
        for input in inputs {
            if let Input::Report(Report { device, .. }) | Input::Unreadable { device } = input
                && state.devices.contains_key(device)
            {
                let habit = self.last.entry(device.clone()).or_insert(Habit { first: now, last: now, longest_ms: 0 });
                habit.longest_ms = habit.longest_ms.max(now.mono_ms.saturating_sub(habit.last.mono_ms));
                habit.last = now;
            }
            if let Input::SelfTest { device, passed } = input
                && state.devices.contains_key(device)
            {
                self.tested.insert(device.clone(), (now, *passed));
            }
        }
        // Who was taken off is forgotten.
        if self.last.len() > state.devices.len() {
            self.last.retain(|device, _| state.devices.contains_key(device));
            self.tested.retain(|device, _| state.devices.contains_key(device));
        }
    }

    /// When a device last tested itself since this process began to listen, and whether it passed.
    pub(crate) fn tested(&self, id: &DeviceId) -> Option<(Stamp, bool)> {
        self.tested.get(id).copied()
    }

    /// Whether a detector that speaks every few minutes has not for 20 (requirements, "prevents setting"). One that does
    /// not speak so often is none of that grade: its silence means nothing yet.
    pub(crate) fn is_quiet(&self, id: &DeviceId, now: Stamp) -> bool {
        self.last.get(id).is_some_and(|habit| {
            let known_ms = habit.last.mono_ms.saturating_sub(habit.first.mono_ms);
            let often = known_ms >= KNOWN_MS && habit.longest_ms <= OFTEN_MS;
            often && now.mono_ms.saturating_sub(habit.last.mono_ms) > QUIET_MS
        })
    }

    /// How long a device may still be silent, in ms; `None`: for ever, or it is missing already.
    fn left_ms(&self, id: &DeviceId, state: &State, now: Stamp) -> Option<u64> {
        let device = state.devices.get(id).filter(|device| !device.faults.contains(&DeviceFault::Missing))?;
        let after_ms = missing_after_ms(device.kind)?;
        // A device that was added a moment ago has its time too.
        let last = self.last.get(id).map(|habit| habit.last).into_iter().chain(self.since).chain(device.added);
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
        let about = detector::place_of(draft, id.clone());
        let area = about.area.as_ref().and_then(|area| draft.state.areas.get(area));
        let guards = area.is_some_and(|area| area.arming.guarding().is_some());
        let kind = draft.state.devices[&id].kind;
        detector::on_fault(draft, id, DeviceFault::Missing);
        // Silence in an armed house, or in a jammed one, is somebody's work until it is known not to be.
        if guards || !draft.state.jammed.is_empty() {
            detector::raise_with(draft, AlarmKind::Tamper, kind, about, Some(Tag::Missing));
        }
    }
    idle(draft);
}

/// Detectors that have never moved for long: told once, until they do.
fn idle(draft: &mut Draft) {
    let now = draft.now();
    let over = |device: &Device| {
        let since = device.changed.or(device.added);
        let left = since.and_then(|at| Deadline::after(at, u64::from(NEVER_FIRED_DAYS) * DAY_MS).remaining_ms(now));
        detector::intrusion(device.kind) && !device.idle && left == Some(0)
    };
    let over: Vec<DeviceId> = draft.state.devices.iter().filter(|(_, d)| over(d)).map(|(id, _)| id.clone()).collect();
    for id in over {
        let about = detector::place_of(draft, id);
        draft.emit(Fact::NeverFired { days: NEVER_FIRED_DAYS }, about);
    }
}

/// A device has tested itself (R18): told when it fails, and when it passes again.
pub(crate) fn on_self_test(draft: &mut Draft, id: DeviceId, passed: bool) {
    let Some(device) = draft.state.devices.get(&id) else { return };
    let (fault, failed) = (DeviceFault::SelfTest, device.faults.contains(&DeviceFault::SelfTest));
    let about = detector::place_of(draft, id);
    match (passed, failed) {
        (false, false) => drop(draft.emit(Fact::FaultRaised { fault }, about)),
        (true, true) => drop(draft.emit(Fact::FaultCleared { fault }, about)),
        _ => {}
    }
}
