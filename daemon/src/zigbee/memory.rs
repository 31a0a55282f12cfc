//! What the hub keeps of its Zigbee network from one start to the next: the network with its key, and for each node
//! what the hub must know to understand its first word. It goes into `secrets.db` whole; it is never sent or shown.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Key;
use crate::zigbee::ezsp::Parameters;
use crate::zigbee::function::Function;
use crate::zigbee::function::Role;
use crate::zigbee::ias::ZoneType;
use crate::zigbee::ias_meaning::kind_of;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use vakt_core::device::DeviceKind;

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The hub's network; `None` before the first start with a stick.
    pub network: Option<Network>,
    /// Its nodes.
    pub nodes: BTreeMap<Eui64, Node>,
}

/// A network of the hub's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its short name.
    pub pan: u16,
    /// Its long one.
    pub extended_pan: [u8; 8],
    /// 11 to 26.
    pub channel: u8,
    /// Its key.
    pub key: Key,
    /// What the link keys of its nodes are made from.
    pub link_key: Key,
    /// A stick has formed it. From then on it is resumed and never formed again: that would orphan every node.
    pub formed: bool,
}

/// A node that has joined and told what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its short address, as last heard.
    pub nwk: u16,
    /// Its receiver is off most of the time.
    pub sleepy: bool,
    /// Who made it, in its own words.
    pub maker: String,
    /// What it is, in its own words.
    pub model: String,
    /// What it watches with.
    pub zones: Vec<Zone>,
    /// What else it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Of a lock: which revision of whose key each place holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placed: BTreeMap<u16, u32>,
    /// Its battery is low by its own per cent, which it tells seldom.
    #[serde(default)]
    pub weak: bool,
}

/// An IAS zone of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The endpoint it lives on.
    pub endpoint: u8,
    /// What it calls itself (ZoneType).
    pub zone_type: u16,
    /// The id it was enrolled with; unique on this hub.
    pub zone_id: u8,
}

impl Node {
    /// The endpoints that are devices to the panel, each once, and what each is; `None` where nobody can say.
    pub fn devices(&self) -> BTreeMap<u8, Option<DeviceKind>> {
        let functions = self.functions.iter().map(|function| (function.endpoint, function.role.kind()));
        let mut devices: BTreeMap<u8, Option<DeviceKind>> = functions.collect();
        // A smoke detector with a sounder, or a button that arms too, is a detector; a zone that tells only of a siren's, keypad's
        // or lock's own cover and battery is none.
        for zone in &self.zones {
            let kind = kind_of(zone.zone_type());
            let cover = match self.role(zone.endpoint) {
                Some(Role::Lock) => true,
                Some(Role::Keypad) => matches!(kind, None | Some(DeviceKind::Keypad | DeviceKind::Contact)),
                Some(Role::Siren) => matches!(kind, None | Some(DeviceKind::Siren)),
                Some(Role::Switch | Role::Climate) | None => false,
            };
            if !cover {
                devices.insert(zone.endpoint, kind);
            }
        }
        devices
    }

    /// What an endpoint does, if it is no mere zone.
    pub fn role(&self, endpoint: u8) -> Option<Role> {
        self.functions.iter().find(|function| function.endpoint == endpoint).map(|function| function.role)
    }
}

impl Zone {
    /// What it calls itself.
    pub fn zone_type(&self) -> ZoneType {
        ZoneType::new(self.zone_type)
    }
}

/// Channels a new network is put on: those that lie between Wi-Fi's 1, 6 and 11.
const CHANNELS: [u8; 4] = [11, 15, 20, 25];

impl Network {
    /// A network nobody has yet, from 64 random bytes.
    pub fn draw(random: &[u8; 64]) -> Self {
        let part = |from: usize| -> [u8; 16] { random[from..from + 16].try_into().expect("sixteen of sixty-four") };
        // FFFF and its neighbours mean something else; so does 0.
        let pan = u16::from_le_bytes([random[40], random[41]]).clamp(1, 0xFFF0);
        let extended_pan = random[32..40].try_into().expect("eight of sixty-four");
        let channel = CHANNELS[usize::from(random[42]) % CHANNELS.len()];
        Self { pan, extended_pan, channel, key: Key(part(0)), link_key: Key(part(16)), formed: false }
    }

    /// As a stick is told it.
    pub fn parameters(&self) -> Parameters {
        /// dBm; the highest that every stick and rule in the EEA allows without a second thought.
        const TX_POWER: i8 = 8;
        Parameters { extended_pan: self.extended_pan, pan: self.pan, tx_power: TX_POWER, channel: self.channel }
    }
}

impl Memory {
    /// Who has this short address.
    pub fn by_nwk(&self, nwk: u16) -> Option<Eui64> {
        self.nodes.iter().find(|(_, node)| node.nwk == nwk).map(|(device, _)| *device)
    }

    /// A zone id nobody has: peers that gave every zone the same one could not tell them apart. `None`: 255 are out.
    /// Those for which `promised` says so are somebody's already.
    pub fn free_zone_id(&self, promised: impl Fn(u8) -> bool) -> Option<u8> {
        let taken = |id: u8| self.nodes.values().flat_map(|node| &node.zones).any(|zone| zone.zone_id == id);
        (0..=ZONE_ID_MAX).find(|id| !taken(*id) && !promised(*id))
    }

    /// All zones of all nodes.
    pub fn zones(&self) -> impl Iterator<Item = (Eui64, u8)> + '_ {
        self.nodes.iter().flat_map(|(device, node)| node.zones.iter().map(|zone| (*device, zone.endpoint)))
    }

    /// A short address now belongs to this device: nobody else has it any more.
    pub fn freed(&mut self, nwk: u16, owner: Eui64) {
        let others = self.nodes.iter_mut().filter(|(device, node)| **device != owner && node.nwk == nwk);
        others.for_each(|(_, node)| node.nwk = NWK_UNKNOWN);
    }

    /// Notes a node's short address; true when that is news. An address has one owner: the one heard last.
    pub fn moved(&mut self, device: Eui64, nwk: u16) -> bool {
        if self.nodes.get(&device).is_none_or(|node| node.nwk == nwk) {
            return false;
        }
        self.freed(nwk, device);
        if let Some(node) = self.nodes.get_mut(&device) {
            node.nwk = nwk;
        }
        true
    }
}

/// FF means "none" (07-5123, 8.2.2.2.3).
const ZONE_ID_MAX: u8 = 0xFE;
/// Nobody's address.
pub const NWK_UNKNOWN: u16 = 0xFFFF;

#[cfg(test)]
mod tests {
    use super::*;

    fn node(nwk: u16, zone_id: u8) -> Node {
        let zones = vec![Zone { endpoint: 1, zone_type: 0x15, zone_id }];
        let (maker, model) = (String::new(), String::new());
        Node { nwk, sleepy: true, maker, model, zones, functions: Vec::new(), placed: BTreeMap::new(), weak: false }
    }

    #[test]
    fn zone_ids_are_unique_and_run_out_aloud() {
        let mut memory = Memory::default();
        for id in 0..=254u8 {
            assert_eq!(memory.free_zone_id(|_| false), Some(id));
            memory.nodes.insert(Eui64(u64::from(id)), node(u16::from(id), id));
        }
        assert_eq!(memory.free_zone_id(|_| false), None);
        memory.nodes.remove(&Eui64(7));
        assert_eq!(memory.free_zone_id(|_| false), Some(7));
        assert_eq!(memory.free_zone_id(|id| id == 7), None);
    }

    #[test]
    fn a_detector_that_also_sounds_or_arms_is_a_detector() {
        let is = |zone_type: u16, role: Role| {
            let zones = vec![Zone { endpoint: 1, zone_type, zone_id: 0 }];
            let functions = vec![Function { endpoint: 1, role }];
            Node { zones, functions, ..node(1, 0) }.devices()[&1]
        };
        assert_eq!(is(0x0028, Role::Siren), Some(DeviceKind::Smoke), "smoke with a sounder");
        assert_eq!(is(0x0115, Role::Keypad), Some(DeviceKind::Sos), "a fob's button");
        assert_eq!(is(0x0225, Role::Siren), Some(DeviceKind::Siren));
        assert_eq!(is(0x021D, Role::Keypad), Some(DeviceKind::Keypad));
        assert_eq!(is(0x0015, Role::Keypad), Some(DeviceKind::Keypad), "the contact of its cover");
        assert_eq!(is(0x0015, Role::Lock), Some(DeviceKind::Lock));
        assert_eq!(is(0xFFFF, Role::Siren), Some(DeviceKind::Siren));
    }

    #[test]
    fn a_short_address_has_one_owner() {
        let mut memory = Memory::default();
        memory.nodes.insert(Eui64(1), node(0x1111, 0));
        memory.nodes.insert(Eui64(2), node(0x2222, 1));
        assert!(memory.moved(Eui64(1), 0x2222));
        assert_eq!((memory.by_nwk(0x2222), memory.by_nwk(0x1111)), (Some(Eui64(1)), None));
        assert!(!memory.moved(Eui64(1), 0x2222) && !memory.moved(Eui64(3), 0x3333));
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
    }

    #[test]
    fn a_drawn_network_can_be_formed() {
        for fill in [0u8, 0xFF, 0x55] {
            let network = Network::draw(&[fill; 64]);
            assert!((1..=0xFFF0).contains(&network.pan) && (11..=26).contains(&network.channel));
        }
    }
}
