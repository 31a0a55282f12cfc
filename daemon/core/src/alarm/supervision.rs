//! Whether detectors are still there (R18): one that has said nothing for too long guards nothing, and that is told.
//!
//! When each was last heard is no event and no state: a word that changes nothing is not journaled. After a start nobody
//! knows, so the time begins anew. It never takes silence for "closed".

use crate::alarm::detector;
use crate::alarm::draft::Draft;
use crate::alarm::state::{Device, State};
use crate::device::{AreaId, DeviceFault, DeviceId, DeviceKind, Report, ZoneId};
use crate::event::{AlarmKind, Fact, Tag};
use crate::input::{Disk, Input};
use crate::stamp::{Deadline, Stamp};
use serde::Serialize;
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
/// An intrusion detector must be missed after so much silence, in ms.
const GRADE_MS: u64 = 2 * HOUR_MS;
/// The shortest time after which anything is missed, in ms: `install` takes no shorter.
const SHORTEST_MS: u64 = 5 * 60_000;
/// A failing disk keeps it from being told; then it is looked at again so much later, in ms.
const AGAIN_MS: u64 = 60_000;

/// After how much silence a detector is missing (requirements, "missing detector"), in ms; `None`: it speaks when it has
/// something to say. Detectors of fire, gas and water tell their battery several times a day, and once at least.
fn missing_after_ms(id: &DeviceId, device: &Device) -> Option<u64> {
    if let Some(silence_s) = device.silence_s {
        return (silence_s > 0).then_some(u64::from(silence_s) * 1_000);
    }
    // Most of them say nothing for years, and a program of others may be what is silent.
    if id.is_best_effort() {
        return None;
    }
    match device.kind {
        DeviceKind::Contact | DeviceKind::Motion | DeviceKind::GlassBreak | DeviceKind::Vibration | DeviceKind::Hub => {
            Some(GRADE_MS)
        }
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

/// Whether its silence is told of.
pub(crate) fn is_supervised(id: &DeviceId, device: &Device) -> bool {
    missing_after_ms(id, device).is_some()
}

/// Why an intrusion detector is none of that grade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Below {
    /// Anybody with a radio can speak as it does, or play what it said again.
    CanBeForged,
    /// Its silence is told of too late, or never.
    SilentTooLong,
}

/// What keeps a device from being a detector of intrusion grade (requirements, "missing detector"; contract, "Trust in
/// radio"); of other kinds nobody asks. It guards all the same: whoever looks at the site shall know how far.
pub fn below_intrusion_grade(id: &DeviceId, device: &Device) -> Vec<Below> {
    let in_time = missing_after_ms(id, device).is_some_and(|after_ms| after_ms <= GRADE_MS);
    let below = [(Below::CanBeForged, id.is_unproven(device.secret.is_some())), (Below::SilentTooLong, !in_time)];
    let asked = detector::intrusion(device.kind);
    below.into_iter().filter(|(_, is)| asked && *is).map(|(why, _)| why).collect()
}

/// Zones of an area that a detector below intrusion grade guards.
pub fn zones_below_grade<'a>(state: &'a State, area: &'a AreaId) -> impl Iterator<Item = &'a ZoneId> {
    let zones = state.zones.iter().filter(move |(_, zone)| zone.area == *area).map(|(id, _)| id);
    zones.filter(|zone| {
        let mut there = state.devices.iter().filter(|(_, device)| device.zone.as_ref() == Some(*zone));
        there.any(|(id, device)| !below_intrusion_grade(id, device).is_empty())
    })
}

/// Who was last heard when, since this process began to listen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Heard {
    since: Option<Stamp>,
    /// Nobody is missing before this, on the monotonic clock: until then nobody is looked for.
    nobody_before_ms: u64,
    /// When detectors that never move are looked for again.
    idle_again_ms: u64,
    /// They are looked for in this turn.
    idle_now: bool,
    last: BTreeMap<DeviceId, Habit>,
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
            // A sensor that only measures is alive too.
            if let Input::Report(Report { device, .. })
            | Input::Unreadable { device }
            | Input::SelfTest { device, .. }
            | Input::Measured { device, .. } = input
                && state.devices.contains_key(device)
            {
                let habit = self.last.entry(device.clone()).or_insert(Habit { first: now, last: now, longest_ms: 0 });
                habit.longest_ms = habit.longest_ms.max(now.mono_ms.saturating_sub(habit.last.mono_ms));
                habit.last = now;
            }
        }
        if self.may_miss(now) {
            // Who was taken off is forgotten.
            self.last.retain(|device, _| state.devices.contains_key(device));
            // Whoever is heard or added from here on has at least the shortest time.
            let next = self.left(state, now).map(|(_, left)| left).min().unwrap_or(SHORTEST_MS);
            self.nobody_before_ms = now.mono_ms + next.min(SHORTEST_MS);
        }
        self.idle_now = now.mono_ms >= self.idle_again_ms;
        if self.idle_now {
            self.idle_again_ms = now.mono_ms + HOUR_MS;
        }
    }

    /// Whether somebody may be missing by now: only then they are looked for.
    fn may_miss(&self, now: Stamp) -> bool {
        now.mono_ms >= self.nobody_before_ms
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

    /// How long each device may still be silent, in ms; left out: for ever, or it is missing already.
    fn left<'a>(&'a self, state: &'a State, now: Stamp) -> impl Iterator<Item = (&'a DeviceId, u64)> {
        // Both are in the order of their ids: one walk along the two.
        let mut heard = self.last.iter().peekable();
        state.devices.iter().filter_map(move |(id, device)| {
            while heard.next_if(|(other, _)| *other < id).is_some() {}
            let last = heard.next_if(|(other, _)| *other == id).map(|(_, habit)| habit.last);
            let after_ms = missing_after_ms(id, device).filter(|_| !device.faults.contains(&DeviceFault::Missing))?;
            // A device that was added a moment ago has its time too.
            let last = last.into_iter().chain(self.since).chain(device.added);
            let last = last.filter(|at| at.boot == now.boot).max_by_key(|at| at.mono_ms)?;
            Some((id, Deadline::after(last, after_ms).remaining_ms(now)?))
        })
    }

    /// When the next one is missed, in ms.
    pub(crate) fn due_ms(&self, state: &State, now: Stamp) -> Option<u64> {
        let left = self.left(state, now).map(|(_, left)| left).min()?;
        Some(if left == 0 { AGAIN_MS } else { left })
    }
}

/// Whoever has been silent for too long.
pub(crate) fn on_time(draft: &mut Draft, heard: &Heard) {
    if matches!(draft.context.disk, Disk::Failed { .. }) {
        return; // what room there is is for alarms
    }
    let now = draft.now();
    let silent: Vec<DeviceId> = match heard.may_miss(now) {
        true => heard.left(&draft.state, now).filter(|(_, left)| *left == 0).map(|(id, _)| id.clone()).collect(),
        false => Vec::new(),
    };
    for id in silent {
        on_silence(draft, id, DeviceFault::Missing);
    }
    if heard.idle_now {
        idle(draft);
    }
}

/// A device is heard no more, or has left its network. In an armed house, or in a jammed one, that is somebody's work until
/// it is known not to be.
pub(crate) fn on_silence(draft: &mut Draft, id: DeviceId, fault: DeviceFault) {
    let Some(device) = draft.state.devices.get(&id) else { return };
    let (kind, known) = (device.kind, device.faults.contains(&fault));
    let about = detector::place_of(draft, id.clone());
    let area = about.area.as_ref().and_then(|area| draft.state.areas.get(area));
    let guards = area.is_some_and(|area| area.arming.guarding().is_some());
    let waited_for = !id.is_best_effort();
    detector::on_fault(draft, id, fault);
    if !known && waited_for && (guards || !draft.state.jammed.is_empty()) {
        detector::raise_with(draft, AlarmKind::Tamper, kind, about, Some(Tag::Missing));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_be_forged_or_is_missed_late_is_below_intrusion_grade() {
        let of = |id: &str, kind: &str, more: serde_json::Value| {
            let mut device = serde_json::json!({"kind": kind, "said": {}, "closed": {}, "faults": [], "raised": {},
                "suppressed": [], "pet": false, "cover_open": false, "idle": false, "woke": false, "echo": false});
            device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            below_intrusion_grade(&DeviceId::new(id).unwrap(), &serde_json::from_value(device).unwrap())
        };
        let nothing = || serde_json::json!({});
        let both = [Below::CanBeForged, Below::SilentTooLong];
        assert_eq!(of("zb-00124b0001020304", "contact", nothing()), []);
        assert_eq!(of("rf-cavius-door-dc3ce3126533", "contact", nothing()), both);
        assert_eq!(of("en-05115a8d", "contact", nothing()), [Below::CanBeForged]);
        assert_eq!(of("en-019eb63b", "contact", serde_json::json!({"secret": "key-1"})), []);
        let late = serde_json::json!({"silence_s": 21_600});
        assert_eq!(of("wm-las-00010203-07-1d", "contact", late), both);
        let never = serde_json::json!({"secret": "key-1", "silence_s": 0});
        assert_eq!(of("en-019eb63b", "contact", never), [Below::SilentTooLong]);
        // of a smoke nobody asks
        assert_eq!(of("rf-cavius-01020304", "smoke", nothing()), []);
    }
}
