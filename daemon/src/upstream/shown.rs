//! What this connection has shown of the site: `state` at most every five seconds, each device when it changes, all of
//! it once on a new connection. It compares and remembers; it never decides what is worth knowing.

use crate::upstream::topic::DeviceView;
use crate::upstream::topic::PathStatus;
use crate::upstream::topic::StateView;
use crate::upstream::topic::View;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use vakt_core::device::DeviceId;
use vakt_core::port::Signal;

/// Between two `state` publishes, in milliseconds (contract).
pub const STATE_EVERY_MS: u64 = 5_000;

/// What is to be shown next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// The site as a whole.
    State,
    /// This device; one that is no longer in the view is taken off with an empty payload.
    Device(DeviceId),
}

/// Between two publishes of how a modem is connected, in milliseconds: its bytes are paid for (contract, `path/{name}`).
pub const SIGNAL_EVERY_MS: u64 = 15 * 60_000;

/// One connection's memory of how its modem is connected.
#[derive(Debug, Clone)]
pub struct SignalShown {
    shown: Option<Signal>,
    at_ms: u64,
    due: bool,
}

impl SignalShown {
    /// It stood in the birth.
    pub fn born(signal: Option<Signal>, now_ms: u64) -> Self {
        Self { shown: signal, at_ms: now_ms, due: false }
    }

    /// It may have changed.
    pub fn compare(&mut self, signal: Option<&Signal>) {
        self.due = self.shown.as_ref() != signal;
    }

    /// Whether it is to be shown at `now_ms`; it counts as shown.
    pub fn next(&mut self, signal: Option<&Signal>, now_ms: u64) -> bool {
        let next = self.due_ms().is_some_and(|at| at <= now_ms);
        if next {
            *self = Self::born(signal.cloned(), now_ms);
        }
        next
    }

    /// When it is to be shown; `None` when nothing has changed.
    pub fn due_ms(&self) -> Option<u64> {
        self.due.then_some(self.at_ms + SIGNAL_EVERY_MS)
    }
}

/// One connection's memory.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    state: Option<(StateView, BTreeMap<String, PathStatus>)>,
    state_ms: Option<u64>,
    state_due: bool,
    devices: BTreeMap<DeviceId, DeviceView>,
    devices_due: BTreeSet<DeviceId>,
}

impl Shown {
    /// The view or the paths may have changed.
    pub fn compare(&mut self, view: &View, paths: &BTreeMap<String, PathStatus>) {
        self.state_due = self.state.as_ref().is_none_or(|(state, shown)| *state != view.state || shown != paths);
        let changed = view.devices.iter().filter(|(id, device)| self.devices.get(*id) != Some(*device));
        let gone = self.devices.keys().filter(|id| !view.devices.contains_key(*id));
        self.devices_due = changed.map(|(id, _)| id).chain(gone).cloned().collect();
    }

    /// What is due at `now_ms`; it counts as shown. `devices`: whether they are shown on this path.
    pub fn next(
        &mut self,
        view: &View,
        paths: &BTreeMap<String, PathStatus>,
        devices: bool,
        now_ms: u64,
    ) -> Option<Show> {
        if self.state_due && self.state_at_ms().is_none_or(|at| at <= now_ms) {
            self.state_due = false;
            self.state = Some((view.state.clone(), paths.clone()));
            self.state_ms = Some(now_ms);
            return Some(Show::State);
        }
        let id = if devices { self.devices_due.pop_first()? } else { return None };
        match view.devices.get(&id) {
            Some(device) => self.devices.insert(id.clone(), device.clone()),
            None => self.devices.remove(&id),
        };
        Some(Show::Device(id))
    }

    /// When something is due; `None` when nothing has changed.
    pub fn due_ms(&self, devices: bool) -> Option<u64> {
        if devices && !self.devices_due.is_empty() {
            return Some(0);
        }
        self.state_due.then(|| self.state_at_ms().unwrap_or(0))
    }

    fn state_at_ms(&self) -> Option<u64> {
        self.state_ms.map(|at| at + STATE_EVERY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vakt_core::device::DeviceKind;
    use vakt_core::event::Service;

    fn device(signal_dbm: i16) -> DeviceView {
        DeviceView {
            kind: DeviceKind::Smoke,
            area: None,
            zone: None,
            state: None,
            battery: None,
            signal_dbm: Some(signal_dbm),
            last_heard: None,
            faults: vec![],
        }
    }

    #[test]
    fn everything_once_then_only_what_changes_and_the_state_every_five_seconds() {
        let [a, b] = ["wm-a", "wm-b"].map(|id| DeviceId::new(id).unwrap());
        let mut view = View::default();
        view.devices.insert(a.clone(), device(-70));
        view.devices.insert(b.clone(), device(-80));
        let paths = BTreeMap::new();
        let mut shown = Shown::default();
        shown.compare(&view, &paths);
        let mut all = || std::iter::from_fn(|| shown.next(&view, &paths, true, 1_000)).collect::<Vec<_>>();
        assert_eq!(all(), [Show::State, Show::Device(a.clone()), Show::Device(b.clone())]);
        assert_eq!(all(), []);
        view.state.service = Some(Service::Test);
        view.devices.insert(a.clone(), device(-71));
        view.devices.remove(&b);
        shown.compare(&view, &paths);
        assert_eq!(shown.next(&view, &paths, true, 1_100), Some(Show::Device(a)));
        assert_eq!(
            shown.next(&view, &paths, true, 1_100),
            Some(Show::Device(b)),
            "gone from the site, gone from the broker"
        );
        assert_eq!(shown.next(&view, &paths, true, 5_999), None);
        assert_eq!(shown.due_ms(true), Some(6_000));
        assert_eq!(shown.next(&view, &paths, true, 6_000), Some(Show::State));
        shown.compare(&view, &paths);
        assert_eq!((shown.next(&view, &paths, true, 60_000), shown.due_ms(true)), (None, None));
        view.devices.insert(DeviceId::new("wm-c").unwrap(), device(-60));
        shown.compare(&view, &paths);
        assert_eq!((shown.next(&view, &paths, false, 60_000), shown.due_ms(false)), (None, None), "not on LTE");
        assert!(shown.next(&view, &paths, true, 60_000).is_some(), "on the other path it still is");
    }

    #[test]
    fn a_signal_is_shown_in_the_birth_and_then_every_quarter_of_an_hour_at_most() {
        let bars = |bars| Signal { bars, operator: None, technology: None };
        let mut shown = SignalShown::born(Some(bars(3)), 1_000);
        shown.compare(Some(&bars(3)));
        assert_eq!((shown.due_ms(), shown.next(Some(&bars(3)), 9_000_000)), (None, false));
        shown.compare(Some(&bars(2)));
        assert!(!shown.next(Some(&bars(2)), 900_999), "its bytes are paid for");
        assert_eq!(shown.due_ms(), Some(901_000));
        shown.compare(Some(&bars(3)));
        assert!(!shown.next(Some(&bars(3)), 901_000), "it is as it was shown");
        shown.compare(None);
        assert!(shown.next(None, 901_000));
        assert_eq!(shown.due_ms(), None);
    }
}
