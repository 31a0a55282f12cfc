//! What a detector's zone type and status mean for the alarm system.
//!
//! Either alarm bit is an alarm, on every type: the standard gives the second one to other things (presence, a second
//! door, gas, the button of a pendant), makers use it for the only one (motion sensors of SmartThings, Centralite and
//! NYCE, gas detectors of Heiman), and where the standard leaves it empty a set bit is still not "clear". A device
//! that uses it for something else needs a rule of its own, by maker and model; there is none here.
//!
//! A test never hides an alarm: the alarm bits count whatever the test bit says. A test without an alarm says nothing
//! of the thing watched, not even "clear": a detector under test may not be looking (and one CO detector, FireAngel
//! W2, has its alarm in that bit). Its next status without the bit does.
//!
//! There is no bit for "masked" in the standard, and none that makers share; such a rule too belongs to a model.
//! Types that watch for nothing, and types nobody knows, get no state here: never "closed".

use crate::zigbee::ias::ZoneStatus;
use crate::zigbee::ias::ZoneType;
use vakt_core::device::Authenticated;
use vakt_core::device::DeviceId;
use vakt_core::device::DeviceKind;
use vakt_core::device::DeviceState;
use vakt_core::device::Report;

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// What it watches for; `None` where neither its type nor its owner says so.
    pub kind: Option<DeviceKind>,
    /// What it says of it; `None` where it says nothing of it.
    pub state: Option<DeviceState>,
    /// Opened or taken off.
    pub tamper: bool,
    /// The battery is low or broken.
    pub low_battery: bool,
    /// It says itself that it does not work.
    pub fault: bool,
    /// It lost its mains supply.
    pub mains_lost: bool,
    /// It is being tested.
    pub test: bool,
}

impl Statement {
    /// The meaning of a status. `known_as` is what the device was registered as, where it is: it outweighs the type,
    /// because a heat detector calls itself fire, a gas detector carbon monoxide, and some nothing at all.
    pub fn of(zone_type: ZoneType, known_as: Option<DeviceKind>, status: ZoneStatus) -> Self {
        let kind = kind(zone_type, known_as, status);
        Self {
            kind,
            state: kind.and_then(|kind| state(kind, status)),
            tamper: status.tamper(),
            low_battery: status.battery_low() || status.battery_defect(),
            fault: status.trouble(),
            mains_lost: status.mains_lost(),
            test: status.test(),
        }
    }

    /// The detector's word for the core; `None` while nobody knows what it watches for.
    pub fn report(&self, device: DeviceId, authenticated: Authenticated) -> Option<Report> {
        Some(Report {
            state: self.state,
            tamper: Some(self.tamper),
            low_battery: Some(self.low_battery),
            fault: Some(self.fault),
            mains_lost: Some(self.mains_lost),
            test: Some(self.test),
            ..Report::silent(device, self.kind?, authenticated)
        })
    }
}

/// What a type watches for; `None` for types without a kind of ours.
pub fn kind_of(zone_type: ZoneType) -> Option<DeviceKind> {
    Some(match zone_type {
        ZoneType::Motion => DeviceKind::Motion,
        ZoneType::Contact | ZoneType::Handle => DeviceKind::Contact,
        ZoneType::Fire => DeviceKind::Smoke,
        ZoneType::Water => DeviceKind::Water,
        ZoneType::CarbonMonoxide => DeviceKind::Co,
        // Fall or button; panic or emergency.
        ZoneType::PersonalEmergency | ZoneType::Remote | ZoneType::KeyFob => DeviceKind::Sos,
        ZoneType::Vibration => DeviceKind::Vibration,
        ZoneType::GlassBreak => DeviceKind::GlassBreak,
        ZoneType::Keypad => DeviceKind::Keypad,
        ZoneType::WarningDevice => DeviceKind::Siren,
        ZoneType::StandardCie | ZoneType::Repeater | ZoneType::Other(_) => return None,
    })
}

fn kind(zone_type: ZoneType, known_as: Option<DeviceKind>, status: ZoneStatus) -> Option<DeviceKind> {
    match (known_as.or(kind_of(zone_type)), zone_type) {
        // A keypad's alarm bits are its panic and emergency keys.
        (Some(DeviceKind::Keypad), ZoneType::Keypad) if status.alarm() => Some(DeviceKind::Sos),
        // The second bit alone is gas ("cooking" in the standard), which nobody airs a room for in the same way.
        (Some(DeviceKind::Co), ZoneType::CarbonMonoxide)
            if known_as.is_none() && status.alarm2() && !status.alarm1() =>
        {
            Some(DeviceKind::Gas)
        }
        (kind, _) => kind,
    }
}

fn state(kind: DeviceKind, status: ZoneStatus) -> Option<DeviceState> {
    let (active, quiet) = match kind {
        DeviceKind::Contact => (DeviceState::Open, DeviceState::Closed),
        DeviceKind::Motion
        | DeviceKind::Smoke
        | DeviceKind::Heat
        | DeviceKind::Co
        | DeviceKind::Gas
        | DeviceKind::Water
        | DeviceKind::GlassBreak
        | DeviceKind::Vibration
        | DeviceKind::Sos
        | DeviceKind::Medical
        | DeviceKind::Freeze
        | DeviceKind::HoldUp
        | DeviceKind::KeyBox => (DeviceState::Alarm, DeviceState::Clear),
        // These watch for nothing: a siren's alarm bits say that it sounds.
        DeviceKind::Camera
        | DeviceKind::Fog
        | DeviceKind::Hub
        | DeviceKind::Keypad
        | DeviceKind::Siren
        | DeviceKind::Lock
        | DeviceKind::Climate
        | DeviceKind::Meter => {
            return None;
        }
    };
    match (status.alarm(), status.test()) {
        (true, _) => Some(active),
        (false, true) => None,
        (false, false) => Some(quiet),
    }
}
