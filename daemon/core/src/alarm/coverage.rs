//! Where nothing watches (R91): coverage ends where devices do, and whoever looks at the site shall see it.

use crate::alarm::state::State;
use crate::alarm::supervision;
use crate::device::{AreaId, DeviceKind, ZoneId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a place has none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Gap {
    Intrusion,
    Smoke,
    Camera,
    Fog,
    Siren,
    /// Its intrusion detectors may be forged, or are missed too late.
    IntrusionGrade,
}

/// One area's gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// Of what there is none in the whole area.
    pub area: Vec<Gap>,
    /// Of what there is none in each of its zones: pictures, smoke detectors, fog.
    pub zones: BTreeMap<ZoneId, Vec<Gap>>,
}

impl Gap {
    fn is_filled_by(self, kind: DeviceKind) -> bool {
        use DeviceKind as Kind;
        match self {
            Gap::Intrusion => matches!(kind, Kind::Contact | Kind::Motion | Kind::GlassBreak | Kind::Vibration),
            Gap::Smoke => matches!(kind, Kind::Smoke | Kind::Heat),
            Gap::Camera => kind == Kind::Camera,
            Gap::Fog => kind == Kind::Fog,
            Gap::Siren => kind == Kind::Siren,
            Gap::IntrusionGrade => false, // no kind of device alone
        }
    }
}

/// Each area's gaps, and each zone's.
pub fn gaps(state: &State) -> BTreeMap<AreaId, Gaps> {
    let mut kinds: BTreeMap<&ZoneId, BTreeSet<DeviceKind>> = state.zones.keys().map(|zone| (zone, [].into())).collect();
    for device in state.devices.values() {
        if let Some(kinds) = device.zone.as_ref().and_then(|zone| kinds.get_mut(zone)) {
            kinds.insert(device.kind);
        }
    }
    let missing = |gaps: &[Gap], there: &BTreeSet<DeviceKind>| {
        gaps.iter().filter(|gap| !there.iter().any(|kind| gap.is_filled_by(*kind))).copied().collect::<Vec<Gap>>()
    };
    let of = |area: &AreaId| {
        let zones = || kinds.iter().filter(|(zone, _)| state.zones.get(**zone).is_some_and(|zone| zone.area == *area));
        let all: BTreeSet<DeviceKind> = zones().flat_map(|(_, kinds)| kinds).copied().collect();
        let below: BTreeSet<&ZoneId> = supervision::zones_below_grade(state, area).collect();
        let of_zone = |zone: &ZoneId, kinds| {
            let mut gaps = missing(&[Gap::Smoke, Gap::Camera, Gap::Fog], kinds);
            gaps.extend(below.contains(zone).then_some(Gap::IntrusionGrade));
            gaps
        };
        Gaps {
            area: missing(&[Gap::Intrusion, Gap::Smoke, Gap::Camera, Gap::Fog, Gap::Siren], &all),
            zones: zones().map(|(zone, kinds)| ((*zone).clone(), of_zone(zone, kinds))).collect(),
        }
    };
    state.areas.keys().map(|area| (area.clone(), of(area))).collect()
}
