//! Where nothing watches (R91): coverage ends where devices do, and whoever looks at the site shall see it.

use crate::alarm::state::State;
use crate::device::{AreaId, DeviceKind};
use serde::Serialize;
use std::collections::BTreeSet;

/// What an area has none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Gap {
    Intrusion,
    Smoke,
    Camera,
    Fog,
    Siren,
}

/// Each area's gaps.
pub fn gaps(state: &State) -> Vec<(AreaId, Vec<Gap>)> {
    let of = |area: &AreaId| {
        let kinds: BTreeSet<DeviceKind> = (state.devices.values())
            .filter(|device| {
                let zone = device.zone.as_ref().and_then(|zone| state.zones.get(zone));
                zone.is_some_and(|zone| zone.area == *area)
            })
            .map(|device| device.kind)
            .collect();
        let has = |any: &[DeviceKind]| any.iter().any(|kind| kinds.contains(kind));
        let gaps = [
            (
                Gap::Intrusion,
                has(&[DeviceKind::Contact, DeviceKind::Motion, DeviceKind::GlassBreak, DeviceKind::Vibration]),
            ),
            (Gap::Smoke, has(&[DeviceKind::Smoke, DeviceKind::Heat])),
            (Gap::Camera, has(&[DeviceKind::Camera])),
            (Gap::Fog, has(&[DeviceKind::Fog])),
            (Gap::Siren, has(&[DeviceKind::Siren])),
        ];
        gaps.into_iter().filter(|(_, there)| !there).map(|(gap, _)| gap).collect()
    };
    state.areas.keys().map(|area| (area.clone(), of(area))).collect()
}
