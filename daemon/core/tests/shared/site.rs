//! Devices and their places, as tests that make their own site name them. Nothing is judged here.

use vakt_core::device::{AreaId, Authenticated, DeviceId, DeviceKind, DeviceState, Report, ZoneId};
use vakt_core::event::ZoneRole;
use vakt_core::input::{Command, Input, Newcomer};

pub fn device(name: &str) -> DeviceId {
    DeviceId::new(format!("zb-{name}")).unwrap()
}

/// Its word, over a radio that is believed.
pub fn report(name: &str, kind: DeviceKind, state: DeviceState) -> Input {
    Input::Report(Report { state: Some(state), ..Report::silent(device(name), kind, Authenticated::MacCounter) })
}

/// A zone of its own name, the device, and the one in the other.
pub fn placed(area: &AreaId, name: &str, kind: DeviceKind, role: ZoneRole) -> [Command; 3] {
    let (zone, area) = (ZoneId::new(name).unwrap(), area.clone());
    [
        Command::ZoneSet { zone: zone.clone(), area, name: None, role, modes: None, chime: false },
        Command::DeviceAdd(Newcomer::plain(device(name), kind)),
        Command::DeviceAssign { device: device(name), zone },
    ]
}
