//! The core's state in the forms that others show: the centre's `state` and `device` topics, the socket's lists.

use super::core::Seen;
use crate::hub::telemetry::Book;
use crate::hub::telemetry::Newest;
use crate::journal::chain::public_key;
use crate::subghz::known;
use crate::subghz::known::Known;
use crate::subghz::known::Secret;
use crate::upstream::topic::AreaView;
use crate::upstream::topic::ArmWord;
use crate::upstream::topic::Battery;
use crate::upstream::topic::DeviceView;
use crate::upstream::topic::FaultView;
use crate::upstream::topic::IncidentView;
use crate::upstream::topic::Mobile;
use crate::upstream::topic::StateView;
use crate::upstream::topic::View;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::sync::watch;
use vakt_core::alarm::incident::Incident;
use vakt_core::alarm::state::Arming;
use vakt_core::alarm::state::Device;
use vakt_core::alarm::state::Key;
use vakt_core::alarm::state::Remembered;
use vakt_core::alarm::state::State;
use vakt_core::alarm::supervision::below_intrusion_grade;
use vakt_core::device::AreaId;
use vakt_core::device::DeviceFault;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::Report;
use vakt_core::event::ArmMode;
use vakt_core::event::EventId;
use vakt_core::input::Input;
use vakt_core::input::Supply;
use vakt_core::port::DataUsed;
use vakt_core::port::Links;
use vakt_core::port::ListedKey;
use vakt_core::port::Networks;
use vakt_core::stamp::Stamp;
use vakt_core::stamp::rfc3339;

/// `last_heard` is shown to this grain, in ms: each change of it is a publish.
const LAST_HEARD_MS: i64 = 15 * 60_000;

/// The signal is shown to this grain, in dB: it never stands still, and each change of it is a publish.
const SIGNAL_DB: i16 = 10;

/// What a device told beside its state. Not journaled: measurements, not events.
#[derive(Debug, Clone, Copy)]
pub struct Signs {
    /// When it last spoke.
    pub at: Stamp,
    rssi_dbm: Option<i16>,
    lqi: Option<u8>,
    battery_percent: Option<u8>,
    /// It tells whether its battery is low.
    tells_battery: bool,
    /// When it last tested itself, and whether it passed: the ledger (R18).
    self_test: Option<(Stamp, bool)>,
}

/// What may be looked at.
#[derive(Clone)]
pub struct Sight {
    /// What the panel knows.
    pub seen: watch::Receiver<Seen>,
    /// Signal and last word of each device.
    pub heard: Heard,
    /// How the interfaces stand, if the kernel says.
    pub links: watch::Receiver<Option<Arc<Links>>>,
    /// The modem, and what else is known of the networks.
    pub networks: watch::Receiver<Arc<Networks>>,
    /// The hub's supply, where something tells of it.
    pub supply: watch::Receiver<Option<Supply>>,
}

impl Sight {
    /// What the centre sees.
    pub fn view(&mut self) -> View {
        let state = self.seen.borrow_and_update().state.clone();
        let networks = self.networks.borrow_and_update().clone();
        view(&state, &self.heard, &networks)
    }
}

/// Each device's, and what it measured.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    signs: Arc<Mutex<BTreeMap<DeviceId, Signs>>>,
    /// The newest of what they measure.
    pub book: Arc<Mutex<Book>>,
}

impl Heard {
    fn of(&self, device: &DeviceId) -> Option<Signs> {
        self.signs.lock().ok().and_then(|signs| signs.get(device).copied())
    }
}

/// Notes what a device told; what it does not tell this time stays.
pub fn note(heard: &Heard, now: Stamp, input: &Input) {
    if let Input::Measured { device, values, .. } = input
        && let Ok(mut book) = heard.book.lock()
    {
        book.note(now, device, values);
    }
    let (Input::Report(Report { device, .. }) | Input::SelfTest { device, .. } | Input::Measured { device, .. }) =
        input
    else {
        return;
    };
    let Ok(mut heard) = heard.signs.lock() else { return };
    let fresh =
        Signs { at: now, rssi_dbm: None, lqi: None, battery_percent: None, tells_battery: false, self_test: None };
    let signs = heard.entry(device.clone()).or_insert(fresh);
    signs.at = now;
    match input {
        Input::SelfTest { passed, .. } => signs.self_test = Some((now, *passed)),
        Input::Report(report) => {
            signs.rssi_dbm = report.rssi_dbm.or(signs.rssi_dbm);
            signs.lqi = report.lqi.or(signs.lqi);
            signs.battery_percent = report.battery_percent.or(signs.battery_percent);
            signs.tells_battery |= report.low_battery.is_some();
        }
        _ => {}
    }
}

/// What the centre sees.
pub fn view(state: &State, heard: &Heard, networks: &Networks) -> View {
    let devices = state.devices.iter().map(|(id, device)| (id.clone(), device_view(state, id, device, heard)));
    let spent = |data: &DataUsed| data.monthly_mb.is_some_and(|mb| data.bytes >= mb.saturating_mul(1_000_000));
    let spent = networks.data.as_ref().is_some_and(spent);
    let mobile = Mobile { signal: networks.signal.clone(), jammed: networks.jammed, spent };
    View { state: state_view(state), devices: devices.collect(), mobile }
}

fn state_view(state: &State) -> StateView {
    let areas = state.areas.iter().map(|(id, area)| (id.clone(), area_view(&area.arming))).collect();
    let incidents = state.incidents.iter().map(|(id, incident)| IncidentView {
        id: *id,
        // To the centre, and to nobody else.
        kind: incident.told_as(),
        area: incident.area.clone(),
        since: incident.opened.at(),
    });
    StateView { areas, incidents: incidents.collect(), faults: faults(state), service: Some(state.service()) }
}

/// The hub's supply, as it is now.
pub fn supply(supply: Supply) -> serde_json::Value {
    let Supply { mains, battery_percent, minutes_left, dying: _ } = supply;
    serde_json::json!({"mains": mains, "battery_percent": battery_percent, "minutes_left": minutes_left})
}

/// Open incidents as whoever is on site may know of them.
pub fn on_site(state: &State) -> Vec<IncidentView> {
    let view = |(id, incident): (&EventId, &Incident)| IncidentView {
        id: *id,
        kind: incident.kind,
        area: incident.area.clone(),
        since: incident.opened.at(),
    };
    state.incidents_on_site().map(view).collect()
}

/// What has happened and nobody has acknowledged, by area.
pub fn memory(state: &State) -> BTreeMap<&AreaId, &Vec<Remembered>> {
    let areas = state.areas.iter().filter(|(_, area)| !area.memory.is_empty());
    areas.map(|(id, area)| (id, &area.memory)).collect()
}

fn area_view(arming: &Arming) -> AreaView {
    let mode = |mode: &ArmMode| match mode {
        ArmMode::Away => ArmWord::ArmedAway,
        ArmMode::Home => ArmWord::ArmedHome,
        ArmMode::Night => ArmWord::ArmedNight,
    };
    let (arm, until) = match arming {
        Arming::Unknown => (ArmWord::Unknown, None),
        Arming::Disarmed => (ArmWord::Disarmed, None),
        Arming::Exit { until, .. } => (ArmWord::Exit, Some(until)),
        Arming::Entry { until, .. } => (ArmWord::Entry, Some(until)),
        Arming::Warning { until, .. } => (ArmWord::Warning, Some(until)),
        Arming::Armed { mode: m } | Arming::Alarm { mode: m } => (mode(m), None),
    };
    AreaView { arm, since: None, until: until.map(|until| rfc3339(until.wall_ms())) }
}

fn faults(state: &State) -> Vec<FaultView> {
    let of = |what: String, device: Option<&DeviceId>| FaultView { what, device: device.cloned(), since: None };
    let devices = state.devices.iter().flat_map(|(id, device)| device.faults.iter().map(move |fault| (id, fault)));
    devices
        .map(|(id, fault)| of(word(*fault).to_owned(), Some(id)))
        .chain(state.disk_down.iter().map(|_| of("disk".to_owned(), None)))
        .chain(state.disk_low.then(|| of("disk_nearly_full".to_owned(), None)))
        .chain(state.power.mains_lost.then(|| of("mains_lost".to_owned(), None)))
        .chain(state.power.battery_low.then(|| of("battery_low".to_owned(), None)))
        .chain(state.power.moved.then(|| of("moved".to_owned(), None)))
        .chain(state.modems.swapped.iter().map(|modem| of(format!("sim:{modem}"), None)))
        .chain(state.modems.locked.keys().map(|modem| of(format!("sim_locked:{modem}"), None)))
        .chain(state.jammed.iter().map(|name| of(format!("jammed:{name}"), None)))
        .chain(state.receivers_down.keys().map(|name| of(format!("receiver:{name}"), None)))
        .chain(state.paths.iter().filter(|(_, why)| why.is_some()).map(|(path, _)| of(format!("path:{path}"), None)))
        .collect()
}

fn word(fault: DeviceFault) -> &'static str {
    match fault {
        DeviceFault::Tamper => "tamper",
        DeviceFault::LowBattery => "low_battery",
        DeviceFault::Fault => "fault",
        DeviceFault::Unreadable => "unreadable",
        DeviceFault::Masked => "masked",
        DeviceFault::MainsLost => "mains_lost",
        DeviceFault::Gone => "gone",
        DeviceFault::Missing => "missing",
        DeviceFault::SelfTest => "self_test",
    }
}

fn device_view(state: &State, id: &DeviceId, device: &Device, heard: &Heard) -> DeviceView {
    let last = heard.of(id);
    let coarse = |stamp: Stamp| rfc3339(stamp.wall_ms.div_euclid(LAST_HEARD_MS) * LAST_HEARD_MS);
    let battery = match (device.faults.contains(&DeviceFault::LowBattery), last) {
        (true, _) => Some(Battery::Low),
        (false, Some(Signs { tells_battery: true, .. })) => Some(Battery::Ok),
        _ => None,
    };
    let signal = last.and_then(|signs| signs.rssi_dbm);
    DeviceView {
        kind: device.kind,
        area: device.zone.as_ref().and_then(|zone| state.zones.get(zone)).map(|zone| zone.area.clone()),
        zone: device.zone.clone(),
        state: device.state,
        battery,
        signal_dbm: signal.map(|dbm| dbm.div_euclid(SIGNAL_DB) * SIGNAL_DB),
        last_heard: last.map(|signs| coarse(signs.at)),
        faults: device.faults.iter().copied().collect(),
    }
}

/// One line a device, for the socket: as the centre sees it, with the last signal and the exact last word.
pub fn device_lines(state: &State, heard: &Heard) -> Vec<String> {
    let line = |(id, device): (&DeviceId, &Arc<Device>)| {
        // A silent button speaks when somebody presses it: that it has is nobody's to see here (B8).
        let silent = device.kind == DeviceKind::HoldUp;
        let last = heard.of(id).filter(|_| !silent);
        let mut view = device_view(state, id, device, heard);
        view.state = view.state.filter(|_| !silent);
        view.signal_dbm = last.and_then(|signs| signs.rssi_dbm);
        view.last_heard = last.map(|signs| signs.at.at());
        let mut value = serde_json::to_value(&view).expect("a device is words and numbers");
        if let Some(lqi) = last.and_then(|signs| signs.lqi) {
            value["lqi"] = lqi.into();
        }
        if let Some(percent) = last.and_then(|signs| signs.battery_percent) {
            value["battery_percent"] = percent.into();
        }
        if let Some((at, passed)) = last.and_then(|signs| signs.self_test) {
            value["self_test"] = json!({"at": at.at(), "passed": passed});
        }
        if let Some(measured) = measured(heard, id).filter(|_| !silent) {
            value["measured"] = measured;
        }
        value["device"] = id.as_str().into();
        value["has_key"] = device.secret.is_some().into();
        if let Some(eep) = &device.eep {
            value["eep"] = eep.to_string().into();
        }
        if let Some(silence_s) = device.silence_s {
            value["silence_s"] = silence_s.into();
        }
        let below = below_intrusion_grade(id, device);
        if !below.is_empty() {
            value["not_intrusion_grade"] = serde_json::to_value(below).expect("words have a JSON form");
        }
        value.to_string()
    };
    state.devices.iter().map(line).collect()
}

/// The newest of what a device measures, by the names that rules know; `None` where it measures nothing.
fn measured(heard: &Heard, device: &DeviceId) -> Option<serde_json::Value> {
    let book = heard.book.lock().ok()?;
    let of = |newest: &Newest| {
        let Newest { at, value, .. } = newest;
        (value.measure.clone(), json!({"value": value.value(), "unit": value.unit, "at": at.at()}))
    };
    let measured: serde_json::Map<_, _> = book.newest(device).map(of).collect();
    (!measured.is_empty()).then(|| measured.into())
}

/// Every key the panel lists, for upstream. One that cannot be read signs nothing.
pub fn listed_keys(state: &State) -> Vec<ListedKey> {
    let of = |(kid, key): (&String, &Key)| {
        let ed25519 = public_key(&key.ed25519)?;
        Some(ListedKey { kid: kid.clone(), role: key.role.clone(), ed25519 })
    };
    state.keys.iter().filter_map(of).collect()
}

/// The devices the receivers are to understand, with their keys: `key` has what is kept under a name.
pub fn known(state: &State, mut key: impl FnMut(&str) -> Secret) -> Known {
    let of = |(id, device): (&DeviceId, &Arc<Device>)| {
        let secret = device.secret.as_deref().map_or(Secret::None, &mut key);
        let (eep, counter, key) = (device.eep, device.counter, device.secret.clone());
        (id.clone(), known::Device { secret, eep, counter, key })
    };
    state.devices.iter().map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use vakt_core::device::Authenticated;

    /// R18: when a device was last heard, when it tested itself, and how that went.
    #[test]
    fn r18_the_last_self_test_is_noted() {
        let (device, heard) = (DeviceId::new("zb-smoke").unwrap(), Heard::default());
        let at = |s: i64| Stamp { boot: 1, mono_ms: 0, wall_ms: 1_795_208_400_000 + s * 1_000, trusted: true };
        note(&heard, at(0), &Input::Report(Report::silent(device.clone(), DeviceKind::Smoke, Authenticated::Crc)));
        note(&heard, at(1), &Input::SelfTest { device: device.clone(), passed: true });
        note(&heard, at(2), &Input::SelfTest { device: device.clone(), passed: false });
        note(&heard, at(3), &Input::Tick);
        let signs = heard.of(&device).unwrap();
        assert_eq!((signs.at, signs.self_test), (at(2), Some((at(2), false))));
    }
}
