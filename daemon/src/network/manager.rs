//! What NetworkManager's properties mean: how an interface stands with it, and which profile would connect it. Data in,
//! data out; it changes no route and no profile.

use serde_json::Value;
use vakt_core::port::Managed;

/// The interface that makes an object a device.
pub const DEVICE: &str = "org.freedesktop.NetworkManager.Device";
/// A profile that is up.
pub const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
/// NM_DEVICE_TYPE_MODEM.
const TYPE_MODEM: u64 = 8;

/// The device behind an interface, among NetworkManager's objects. A modem's own name is that of its control port, and while
/// it is down no interface is told: the only modem is meant then where the path is the mobile one.
fn device<'a>(objects: &'a Value, interface: &str, mobile: bool) -> Option<(&'a str, &'a Value)> {
    let all = objects.as_object()?.iter();
    let devices = all.filter_map(|(path, interfaces)| Some((path.as_str(), interfaces.get(DEVICE)?)));
    let devices: Vec<(&str, &Value)> = devices.collect();
    let named = |name: &str| devices.iter().find(|(_, device)| device[name].as_str() == Some(interface)).copied();
    let modems = || devices.iter().filter(|(_, device)| device["DeviceType"].as_u64() == Some(TYPE_MODEM));
    let only = || Some(*modems().next()?).filter(|_| modems().count() == 1);
    named("IpInterface").or_else(|| named("Interface")).or_else(|| mobile.then(only).flatten())
}

/// How an interface stands; `None`: NetworkManager has no such device.
pub fn managed(objects: &Value, interface: &str, mobile: bool) -> Option<Managed> {
    let (_, device) = device(objects, interface, mobile)?;
    let connectivity = match device["Ip4Connectivity"].as_u64() {
        Some(1) => Some("none"),
        Some(2) => Some("portal"),
        Some(3) => Some("limited"),
        Some(4) => Some("full"),
        _ => None,
    };
    Some(Managed { state: state(device["State"].as_u64()), connectivity })
}

/// NMDeviceState.
fn state(number: Option<u64>) -> &'static str {
    match number {
        Some(10) => "unmanaged",
        Some(20) => "unavailable",
        Some(30) => "disconnected",
        Some(40) => "prepare",
        Some(50) => "config",
        Some(60) => "need_auth",
        Some(70) => "ip_config",
        Some(80) => "ip_check",
        Some(90) => "secondaries",
        Some(100) => "activated",
        Some(110) => "deactivating",
        Some(120) => "failed",
        _ => "unknown",
    }
}

/// What would connect it again: its profile and its device. The profile that is up counts, else the first of those that fit
/// it. `None`: NetworkManager does not look after it, or has no profile for it.
pub fn profile(objects: &Value, interface: &str, mobile: bool) -> Option<(String, String)> {
    let (path, device) = device(objects, interface, mobile)?;
    let active = device["ActiveConnection"].as_str().and_then(|active| objects[active][ACTIVE]["Connection"].as_str());
    let fits = || device["AvailableConnections"].as_array()?.first()?.as_str();
    let profile = active.filter(|profile| *profile != "/").or_else(fits)?;
    Some((profile.to_owned(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn objects() -> Value {
        json!({
            "/Devices/2": {DEVICE: {"Interface": "wwan0", "IpInterface": "wwan0", "DeviceType": 20, "State": 100,
                "Ip4Connectivity": 2, "ActiveConnection": "/Active/1", "AvailableConnections": ["/Settings/9"]}},
            "/Devices/3": {DEVICE: {"Interface": "cdc-wdm0", "IpInterface": "", "DeviceType": 8, "State": 30,
                "Ip4Connectivity": 0, "ActiveConnection": "/", "AvailableConnections": ["/Settings/4", "/Settings/5"]}},
            "/Active/1": {ACTIVE: {"Connection": "/Settings/1"}},
        })
    }

    #[test]
    fn an_interface_is_found_by_its_name_and_a_modem_that_is_down_by_being_the_only_one() {
        let objects = objects();
        let up = Managed { state: "activated", connectivity: Some("portal") };
        assert_eq!(managed(&objects, "wwan0", true), Some(up));
        let down = Managed { state: "disconnected", connectivity: None };
        assert_eq!(managed(&objects, "wwp0s20", true), Some(down));
        assert_eq!(managed(&objects, "eth7", false), None);
    }

    #[test]
    fn the_profile_that_is_up_or_the_first_that_fits() {
        let objects = objects();
        assert_eq!(profile(&objects, "wwan0", true), Some(("/Settings/1".to_owned(), "/Devices/2".to_owned())));
        assert_eq!(profile(&objects, "wwp0s20", true), Some(("/Settings/4".to_owned(), "/Devices/3".to_owned())));
        assert_eq!(profile(&json!({}), "wwan0", true), None);
    }
}
