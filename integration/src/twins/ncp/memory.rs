//! What a stick keeps when its power goes: address, network, keys, frame counters, tokens.
//!
//! Plain data with a JSON form for `--state`; whoever runs the twin writes it to a file.

use super::bytes::Eui64;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// The token that overrides the address on NCP builds (zigbee.md §5).
pub const TOKEN_EUI64: u32 = 0x0000_E12A;

/// A real stick writes its frame counter only so often and starts that much higher after a reset.
pub const COUNTER_STEP: u32 = 0x400;

/// A 128-bit key.
pub type Key = [u8; 16];

/// The network a stick has formed, as its tokens hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Extended PAN id, as on the wire.
    pub extended_pan: [u8; 8],
    /// PAN id.
    pub pan: u16,
    /// dBm.
    pub tx_power: i8,
    /// 11 to 26.
    pub channel: u8,
    /// How it was joined; 0 for a coordinator.
    pub join_method: u8,
    /// The network manager's node id.
    pub manager: u16,
    /// Counts changes of the channel.
    pub update_id: u8,
    /// The channels that may be used.
    pub channels: u32,
    /// The network key.
    pub key: Key,
    /// Its sequence number.
    pub key_sequence: u8,
    /// The trust centre's link key (the secret that others are made of, when it is hashed).
    pub tc_link_key: Key,
    /// The initial security bitmask.
    pub security: u16,
    /// The trust centre's address.
    pub trust_centre: Eui64,
}

/// A link key in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkKey {
    /// Whose.
    pub device: Eui64,
    /// The key.
    pub key: Key,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The address it was made with.
    pub eui64: Eui64,
    /// The network, while it is in one.
    pub network: Option<Network>,
    /// From here the network key's frame counter goes on after a reset.
    pub nwk_counter: u32,
    /// The same for the link key.
    pub aps_counter: u32,
    /// By index.
    pub link_keys: BTreeMap<u8, LinkKey>,
    /// Tokens that hosts have written, by number.
    pub tokens: BTreeMap<u32, Vec<u8>>,
    /// Resets so far.
    pub boots: u32,
}

impl Memory {
    /// As it leaves the factory.
    pub fn new(eui64: Eui64) -> Self {
        Self {
            eui64,
            network: None,
            nwk_counter: 0,
            aps_counter: 0,
            link_keys: BTreeMap::new(),
            tokens: BTreeMap::new(),
            boots: 0,
        }
    }

    /// The address it goes by.
    pub fn address(&self) -> Eui64 {
        let token = self.tokens.get(&TOKEN_EUI64).and_then(|bytes| <[u8; 8]>::try_from(bytes.as_slice()).ok());
        token.map(|bytes| Eui64(u64::from_le_bytes(bytes))).filter(|eui| *eui != Eui64::ANY).unwrap_or(self.eui64)
    }
}
