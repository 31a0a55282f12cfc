//! What a Zigbee node does beside watching: keypads, sirens, locks, switches. What it is and what follows from that for its
//! joining; how each is spoken to stands in files of their own. It never takes a detector for anything else.

use crate::zigbee::ias;
use crate::zigbee::power;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zdo::SimpleDescriptor;
use serde::Deserialize;
use serde::Serialize;
use vakt_core::device::DeviceKind;

/// Something a node does that is no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The endpoint it lives on.
    pub endpoint: u8,
    /// What it is.
    pub role: Role,
}

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// People arm, disarm and call for help at it (IAS ACE, its client side).
    Keypad,
    /// It sounds (IAS WD).
    Siren,
    /// A door's bolt (Door Lock).
    Lock,
    /// It switches: a plug, a light, a relay (On/Off).
    Switch,
    /// It measures temperature and nothing else.
    Climate,
}

impl Role {
    /// What an endpoint is beside a zone, by its simple descriptor. A detector that also switches something, or tells how warm
    /// it is, is a detector.
    pub fn of(descriptor: &SimpleDescriptor) -> Option<Self> {
        let serves = |role: Self| descriptor.inputs.contains(&role.cluster());
        let detects = descriptor.inputs.contains(&ias::CLUSTER);
        let uses_ace = descriptor.outputs.contains(&Self::Keypad.cluster());
        [
            (Self::Lock, serves(Self::Lock)),
            (Self::Keypad, uses_ace),
            (Self::Siren, serves(Self::Siren)),
            (Self::Switch, serves(Self::Switch) && !detects),
            (Self::Climate, serves(Self::Climate) && !detects),
        ]
        .into_iter()
        .find_map(|(role, is)| is.then_some(role))
    }

    /// The attribute that says how it stands, and its type: lock state, on or off, temperature.
    pub fn state(self) -> Option<(u16, DataType)> {
        match self {
            Self::Lock => Some((0x0000, DataType::ENUM8)),
            Self::Switch => Some((0x0000, DataType::BOOL)),
            Self::Climate => Some((power::attribute::TEMPERATURE, DataType::INT16)),
            Self::Keypad | Self::Siren => None,
        }
    }

    /// The cluster it speaks by.
    pub fn cluster(self) -> u16 {
        match self {
            Self::Keypad => 0x0501,
            Self::Siren => 0x0502,
            Self::Lock => 0x0101,
            Self::Switch => 0x0006,
            Self::Climate => power::cluster::TEMPERATURE,
        }
    }

    /// As what the panel knows it; `None`: what hangs on a switch nobody but its fitter can say.
    pub fn kind(self) -> Option<DeviceKind> {
        match self {
            Self::Keypad => Some(DeviceKind::Keypad),
            Self::Siren => Some(DeviceKind::Siren),
            Self::Lock => Some(DeviceKind::Lock),
            Self::Climate => Some(DeviceKind::Climate),
            Self::Switch => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_what_its_endpoint_serves_and_a_detector_that_switches_is_a_detector() {
        let of = |inputs: &[u16], outputs: &[u16]| {
            let (inputs, outputs) = (inputs.to_vec(), outputs.to_vec());
            Role::of(&SimpleDescriptor { endpoint: 1, profile: 0x0104, device: 0, inputs, outputs })
        };
        // As they are sold: a keypad with its cover's zone, a siren that switches too, a lock, a plug, a thermometer.
        assert_eq!(of(&[0x0000, 0x0001, 0x0500], &[0x0501]), Some(Role::Keypad));
        assert_eq!(of(&[0x0000, 0x0500, 0x0502, 0x0006], &[]), Some(Role::Siren));
        assert_eq!(of(&[0x0000, 0x0101, 0x0009], &[]), Some(Role::Lock));
        assert_eq!(of(&[0x0000, 0x0006, 0x0402], &[]), Some(Role::Switch));
        assert_eq!(of(&[0x0000, 0x0402], &[]), Some(Role::Climate));
        // Contacts that light a lamp by themselves, and know how warm it is.
        assert_eq!(of(&[0x0000, 0x0500, 0x0402], &[0x0006]), None);
        assert_eq!(of(&[0x0000, 0x0003], &[]), None);
    }
}
