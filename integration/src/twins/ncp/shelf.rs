//! The stick's shelves: configuration, policies, values, tables, tokens, counters. All but the tokens are gone after a
//! reset, as on real sticks.

use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Writer;
use super::ezsp::Answer;
use super::memory;
use super::memory::Memory;
use super::status::Status;
use super::zdo::Binding;
use super::zdo::Endpoint;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// Counters of EZSP 13 and later.
pub const COUNTERS: usize = 41;

/// Endpoints of a host; a real stick takes a handful.
const ENDPOINTS_MOST: usize = 8;

/// Places of the counters that are kept (EmberCounterType).
pub mod counter {
    /// MAC unicasts that came.
    pub const MAC_RX_UNICAST: usize = 2;
    /// MAC unicasts that nobody took.
    pub const MAC_TX_FAILED: usize = 5;
    /// APS unicasts that came.
    pub const APS_RX_UNICAST: usize = 8;
    /// APS unicasts that were acknowledged.
    pub const APS_TX_SUCCESS: usize = 9;
    /// APS unicasts that were not.
    pub const APS_TX_FAILED: usize = 11;
    /// APS broadcasts that came.
    pub const APS_RX_BROADCAST: usize = 6;
    /// APS broadcasts that went.
    pub const APS_TX_BROADCAST: usize = 7;
    /// Detectors that joined.
    pub const JOINED: usize = 16;
    /// Children that are gone.
    pub const CHILD_REMOVED: usize = 17;
    /// Frames the PHY could not send for a busy channel.
    pub const NO_GAP: usize = 32;
}

/// Configuration ids with the value a stick starts with (EmberZNet 7.4 NCP builds).
const CONFIGURATION: [(u8, u16); 40] = [
    (0x01, 255),
    (0x02, 26),
    (0x03, 64),
    (0x04, 32),
    (0x05, 12),
    (0x06, 16),
    (0x07, 16),
    (0x08, 8),
    (0x0C, 2),
    (0x0D, 5),
    (0x10, 30),
    (0x11, 32),
    (0x12, 7680),
    (0x13, 8),
    (0x17, 0),
    (0x18, 0),
    (0x19, 2),
    (0x1A, 200),
    (0x1C, 1),
    (0x1D, 0),
    (0x1E, 12),
    (0x1F, 1600),
    (0x20, 3),
    (0x21, 60),
    (0x22, 2),
    (0x24, 0),
    (0x29, 0),
    (0x2A, 0),
    (0x2B, 15),
    (0x2C, 2),
    (0x2D, 1),
    (0x2E, 0),
    (0x33, 0),
    (0x34, 16),
    (0x35, 2),
    (0x36, 300),
    (0x37, 0),
    (0x38, 300),
    (0x39, 0),
    (0x40, 0),
];

/// Sizes of tables, which may not change any more once the stack is up.
const TABLE_SIZES: [u8; 14] = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11, 0x19, 0x1A, 0x1E, 0x2B, 0x34];

/// The values a stick has, and how long they are.
const VALUES: [(u8, usize); 16] = [
    (0x03, 1),
    (0x05, 2),
    (0x06, 2),
    (0x07, 1),
    (0x0A, 2),
    (0x0C, 1),
    (0x11, 7),
    (0x15, 1),
    (0x23, 4),
    (0x24, 4),
    (0x3A, 1),
    (0x3B, 2),
    (0x3E, 1),
    (0x43, 2),
    (0x44, 1),
    (0x46, 1),
];
const FREE_BUFFERS: u8 = 0x03;
const VERSION_STRUCT: u8 = 0x11;
const NWK_COUNTER: u8 = 0x23;
const APS_COUNTER: u8 = 0x24;

/// Configuration ids that the twin itself obeys.
pub mod config {
    /// Rows of the address table.
    pub const ADDRESS_TABLE: u8 = 0x05;
    /// Rows of the multicast table.
    pub const MULTICAST_TABLE: u8 = 0x06;
    /// Children.
    pub const CHILDREN: u8 = 0x11;
    /// How long a message is kept for a child, ms.
    pub const INDIRECT: u8 = 0x12;
    /// Rows of the link key table.
    pub const KEY_TABLE: u8 = 0x1E;
    /// How long a transient key lives, s.
    pub const TRANSIENT_KEY: u8 = 0x36;
}

/// A key for one that is about to join.
#[derive(Debug)]
pub struct Transient {
    /// Whose; all ones: anybody's.
    pub device: Eui64,
    /// The key.
    pub key: memory::Key,
    /// Until then.
    pub until: Duration,
}

/// What a reset clears.
#[derive(Debug)]
pub struct Ram {
    /// VERSION was agreed.
    pub version_set: bool,
    /// The last answer's sequence number, which callbacks carry on.
    pub sequence: u8,
    /// Callbacks were lost.
    pub overflowed: bool,
    /// The network is up.
    pub up: bool,
    /// Joining is allowed until then.
    pub permit_until: Option<Duration>,
    /// Counts permissions.
    pub permit_round: u32,
    /// What setInitialSecurityState gave.
    pub security: Option<super::keys::Security>,
    /// Keys for those about to join.
    pub transient: Vec<Transient>,
    /// Endpoints of the host.
    pub endpoints: Vec<Endpoint>,
    /// ZDO bindings of the stick itself.
    pub bindings: Vec<Binding>,
    /// Configuration by id.
    pub config: BTreeMap<u8, u16>,
    /// Policies by id.
    pub policy: BTreeMap<u8, u8>,
    /// Values by id, once they were set.
    pub values: BTreeMap<u8, Vec<u8>>,
    /// Group, endpoint, network by index.
    pub multicast: BTreeMap<u8, [u8; 4]>,
    /// Address and node id by index.
    pub addresses: BTreeMap<u8, (Eui64, u16)>,
    /// Whose messages may take long.
    pub extended_timeout: BTreeSet<Eui64>,
    /// Counters.
    pub counters: [u16; COUNTERS],
    /// The radio is away on a scan until then.
    pub scans_until: Duration,
    /// The network key's frame counter.
    pub nwk_counter: u32,
    /// APS counter of what the stick sends.
    pub aps_sequence: u8,
    /// It is a concentrator and gets route records.
    pub concentrator: bool,
    /// Manufacturer code in its node descriptor.
    pub manufacturer: u16,
}

impl Ram {
    /// As after a reset.
    pub fn new(memory: &Memory) -> Self {
        Self {
            version_set: false,
            sequence: 0,
            overflowed: false,
            up: false,
            permit_until: None,
            permit_round: 0,
            security: None,
            transient: Vec::new(),
            endpoints: Vec::new(),
            bindings: Vec::new(),
            config: CONFIGURATION.into_iter().collect(),
            // Trust centre, binding, replies, poll, contents, key requests ...
            policy: [
                (0, 1),
                (1, 0x10),
                (2, 0x20),
                (3, 0x30),
                (4, 0x40),
                (5, 0x51),
                (6, 0x60),
                (7, 0x62),
                (8, 0),
                (9, 0),
            ]
            .into_iter()
            .collect(),
            values: BTreeMap::new(),
            multicast: BTreeMap::new(),
            addresses: BTreeMap::new(),
            extended_timeout: BTreeSet::new(),
            counters: [0; COUNTERS],
            scans_until: Duration::ZERO,
            nwk_counter: memory.nwk_counter,
            aps_sequence: 0,
            concentrator: false,
            manufacturer: 0x1002,
        }
    }

    /// A configuration value.
    pub fn config(&self, id: u8) -> u16 {
        self.config.get(&id).copied().unwrap_or(0)
    }

    /// Counts one.
    pub fn count(&mut self, counter: usize) {
        self.counters[counter] = self.counters[counter].wrapping_add(1);
    }
}

impl Ncp {
    pub(super) fn shelf_command(&mut self, _now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        Ok(Some(match id {
            0x0002 => return self.add_endpoint(r).map(Some),
            0x0003 => self.extended_value(r.u8()?, r.u32()?),
            0x0005 | 0x0104 => Vec::new(),
            0x0015 => {
                self.ram.manufacturer = r.u16()?;
                self.new_only(Status::Ok)
            }
            0x0016 => self.new_only(Status::Ok),
            0x0047 => self.out(Status::InvalidCall).u8(0).done(),
            0x0052 => {
                let id = r.u8()?;
                let known = if self.ram.config.contains_key(&id) { Status::Ok } else { Status::InvalidId };
                self.out(known).u16(self.ram.config(id)).done()
            }
            0x0053 => {
                let status = self.set_config(r.u8()?, r.u16()?);
                self.status(status)
            }
            0x0055 => {
                let (id, value) = (r.u8()?, r.u8()?);
                let status = match self.ram.policy.get_mut(&id) {
                    Some(policy) => {
                        *policy = value;
                        Status::Ok
                    }
                    None => Status::InvalidId,
                };
                self.status(status)
            }
            0x0056 => {
                let policy = self.ram.policy.get(&r.u8()?).copied();
                let status = if policy.is_some() { Status::Ok } else { Status::InvalidId };
                self.out(status).u8(policy.unwrap_or(0)).done()
            }
            0x0065 | 0x00F1 => {
                let values = self.ram.counters;
                if id == 0x0065 {
                    self.ram.counters = [0; COUNTERS];
                }
                Writer::new().words(&values).done()
            }
            0x0081 => Writer::new().counted(r.counted()?).done(),
            0x00AA => self.get_value(r.u8()?),
            0x00AB => {
                let (id, value) = (r.u8()?, r.counted()?.to_vec());
                let status = self.set_value(id, value);
                self.status(status)
            }
            _ => return Ok(None),
        }))
    }

    /// Commands that answer nothing in the old layout and a status in the new.
    pub(super) fn new_only(&self, status: Status) -> Vec<u8> {
        if self.settings.ezsp < super::frames::NEW_LAYOUT { Vec::new() } else { self.status(status) }
    }

    pub(super) fn in_range(&self, index: u8, size: u8) -> Status {
        if u16::from(index) < self.ram.config(size) { Status::Ok } else { Status::IndexOutOfRange }
    }

    fn add_endpoint(&mut self, mut r: Reader<'_>) -> Result<Vec<u8>, super::bytes::Short> {
        let (id, profile, device, version) = (r.u8()?, r.u16()?, r.u16()?, r.u8()?);
        let (inputs, outputs) = (r.u8()?, r.u8()?);
        let (inputs, outputs) = (r.words(inputs)?, r.words(outputs)?);
        let known = self.ram.endpoints.iter().any(|endpoint| endpoint.id == id);
        // Once the stack is up the endpoints are what they are.
        if self.ram.up || known || id == 0 {
            return Ok(self.status(Status::InvalidEzspCall));
        }
        if self.ram.endpoints.len() >= ENDPOINTS_MOST {
            return Ok(self.status(Status::TableFull));
        }
        self.ram.endpoints.push(Endpoint { id, profile, device, version, inputs, outputs });
        Ok(self.status(Status::Ok))
    }

    /// Two bytes always: hosts take the length before they look at the status.
    fn extended_value(&self, id: u8, which: u32) -> Vec<u8> {
        let known = self.ram.endpoints.iter().any(|endpoint| u32::from(endpoint.id) == which);
        let (status, value) = match id {
            0x00 if known => (Status::Ok, 1),
            0x01 | 0x02 => (Status::Ok, 0),
            _ => (Status::InvalidId, 0),
        };
        self.out(status).u8(2).u16(value).done()
    }

    fn set_config(&mut self, id: u8, value: u16) -> Status {
        if !self.ram.config.contains_key(&id) {
            return Status::InvalidId;
        }
        if self.ram.up && TABLE_SIZES.contains(&id) {
            return Status::InvalidEzspCall;
        }
        self.ram.config.insert(id, value);
        Status::Ok
    }

    fn get_value(&self, id: u8) -> Vec<u8> {
        let value = match id {
            FREE_BUFFERS => Some(vec![0xFC]),
            VERSION_STRUCT => {
                let [major, minor, patch, special] = self.settings.stack;
                Some(vec![0, 0, major, minor, patch, special, 0xAA])
            }
            NWK_COUNTER => Some(self.ram.nwk_counter.to_le_bytes().to_vec()),
            APS_COUNTER => Some(self.memory.aps_counter.to_le_bytes().to_vec()),
            _ => {
                let length = VALUES.iter().find(|(known, _)| *known == id).map(|(_, length)| vec![0; *length]);
                self.ram.values.get(&id).cloned().or(length)
            }
        };
        let status = if value.is_some() { Status::Ok } else { Status::InvalidId };
        self.out(status).counted(&value.unwrap_or_default()).done()
    }

    fn set_value(&mut self, id: u8, value: Vec<u8>) -> Status {
        let Some((_, length)) = VALUES.iter().find(|(known, _)| *known == id) else { return Status::InvalidId };
        if value.len() != *length {
            return Status::InvalidValue;
        }
        let counter = value.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        match (id, counter) {
            (FREE_BUFFERS | VERSION_STRUCT, _) => return Status::InvalidEzspCall,
            // Counters may only be set before there is a network.
            (NWK_COUNTER | APS_COUNTER, _) if self.ram.up => return Status::InvalidEzspCall,
            (NWK_COUNTER, Some(counter)) => {
                self.memory.nwk_counter = counter;
                self.ram.nwk_counter = counter;
            }
            (APS_COUNTER, Some(counter)) => self.memory.aps_counter = counter,
            _ => {
                self.ram.values.insert(id, value);
            }
        }
        Status::Ok
    }
}
