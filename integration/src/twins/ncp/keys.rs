//! Keys: the initial security state, the link key table, keys for those about to join, and reading them back.
//!
//! Key commands answer a 32-bit status in both layouts.

use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::ezsp::Answer;
use super::memory::Key;
use super::memory::LinkKey;
use super::shelf::Transient;
use super::shelf::config;
use super::status::Status;
use std::time::Duration;

/// The most keys for those about to join; the oldest goes.
const TRANSIENT_MOST: usize = 16;

/// Bits of the initial security bitmask.
pub mod bit {
    /// The link key is a secret that others are made of.
    pub const HASHED: u16 = 0x0084;
    /// The trust centre's address is given.
    pub const TC_EUI: u16 = 0x0040;
    /// A network key is given.
    pub const NETWORK_KEY: u16 = 0x0200;
    /// Frame counters stay as they are.
    pub const KEEP_COUNTERS: u16 = 0x1000;
}

/// What setInitialSecurityState gives, for the next network.
#[derive(Debug, Clone)]
pub struct Security {
    /// Bits.
    pub mask: u16,
    /// Trust centre link key.
    pub tc_key: Key,
    /// Network key.
    pub network_key: Key,
    /// Its sequence number.
    pub sequence: u8,
    /// Trust centre.
    pub trust_centre: Eui64,
}

/// What a key is asked for with.
struct Context {
    kind: u8,
    index: u8,
    raw: Vec<u8>,
}

impl Context {
    /// 18 bytes: kind, index, derived kind (two), address, network, flags, algorithm (four).
    fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        let raw = r.take(18)?.to_vec();
        Ok(Self { kind: raw[0], index: raw[1], raw })
    }

    fn of(kind: u8, index: u8, device: Eui64) -> Writer {
        Writer::new().u8(kind).u8(index).u16(0).eui(device).u8(0).u8(0x03).u32(0)
    }
}

impl Ncp {
    pub(super) fn key_command(&mut self, now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        let new = self.settings.ezsp >= super::frames::NEW_LAYOUT;
        let word = |status: Status| Writer::new().u32(status.word());
        Ok(Some(match id {
            0x0068 => {
                let security = Security {
                    mask: r.u16()?,
                    tc_key: r.array()?,
                    network_key: r.array()?,
                    sequence: r.u8()?,
                    trust_centre: r.eui()?,
                };
                if self.ram.up {
                    return Ok(Some(self.status(Status::InvalidCall)));
                }
                self.ram.security = Some(security);
                self.status(Status::Ok)
            }
            0x0069 => self.current_security(),
            0x0075 => {
                let (device, _) = (r.eui()?, r.u8()?);
                let found = self.memory.link_keys.iter().find(|(_, entry)| entry.device == device);
                Writer::new().u8(found.map_or(0xFF, |(index, _)| *index)).done()
            }
            0x0076 => {
                let index = r.u8()?;
                let status = self.in_range(index, config::KEY_TABLE);
                self.memory.link_keys.remove(&index);
                self.status(status)
            }
            0x00B1 => {
                self.memory.link_keys.clear();
                self.status(Status::Ok)
            }
            0x010C => {
                let context = Context::read(&mut r)?;
                let status = if context.kind == 2 { Status::Ok } else { Status::NotFound };
                self.aps_key_info(new, status, &context)
            }
            0x010D | 0x010F => self.export_link_key(id, new, r)?,
            0x010E => {
                let (index, device, key) = (r.u8()?, r.eui()?, r.array()?);
                let status = self.in_range(index, config::KEY_TABLE);
                if status == Status::Ok {
                    self.memory.link_keys.insert(index, LinkKey { device, key });
                }
                word(status).done()
            }
            0x0110 => word(Status::Ok).done(),
            0x0114 => {
                let context = Context::read(&mut r)?;
                let key = self.exported(&context);
                let status = if key.is_some() { Status::Ok } else { Status::NotFound };
                let key = key.unwrap_or_default();
                if new {
                    word(status).bytes(&key).bytes(&context.raw).done()
                } else {
                    Writer::new().bytes(&key).u32(status.word()).done()
                }
            }
            0x0116 => self.network_key_info(),
            _ => return self.transient_command(now, id, r),
        }))
    }

    fn transient_command(&mut self, now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        let new = self.settings.ezsp >= super::frames::NEW_LAYOUT;
        Ok(Some(match id {
            0x006B => {
                self.ram.transient.clear();
                Vec::new()
            }
            0x0111 => {
                let (device, key) = (r.eui()?, r.array()?);
                self.import_transient(now, device, key).word().to_le_bytes().to_vec()
            }
            0x0112 | 0x0113 => self.export_transient(now, id, new, r)?,
            _ => return Ok(None),
        }))
    }

    fn current_security(&self) -> Vec<u8> {
        let network = self.memory.network.as_ref().filter(|_| self.ram.up);
        let status = if network.is_some() { Status::Ok } else { Status::NotJoined };
        // Global link key, trust centre link key, and whether it is hashed.
        let mask = network.map_or(0, |network| 0x0014 | network.security & bit::HASHED);
        self.out(status).u16(mask).eui(network.map_or(Eui64::BLANK, |network| network.trust_centre)).done()
    }

    fn exported(&self, context: &Context) -> Option<Key> {
        match context.kind {
            1 => self.memory.network.as_ref().filter(|_| context.index == 0).map(|network| network.key),
            2 => self.memory.network.as_ref().map(|network| network.tc_link_key),
            4 => self.memory.link_keys.get(&context.index).map(|entry| entry.key),
            _ => None,
        }
    }

    fn network_key_info(&self) -> Vec<u8> {
        let out = Writer::new();
        match &self.memory.network {
            Some(network) => {
                let out = out.u32(Status::Ok.word()).u8(1).u8(0).u8(network.key_sequence).u8(0);
                out.u32(self.ram.nwk_counter).done()
            }
            None => out.u32(Status::Ok.word()).u32(0).u32(0).done(),
        }
    }

    fn aps_key_info(&self, new: bool, status: Status, context: &Context) -> Vec<u8> {
        let data = Writer::new().u16(0x0006).u32(self.memory.aps_counter).u32(0).u16(0).done();
        let out = Writer::new();
        if new {
            out.u32(status.word()).bytes(&data).bytes(&context.raw).done()
        } else {
            out.eui(Eui64::BLANK).bytes(&data).u32(status.word()).done()
        }
    }

    fn export_link_key(&self, id: u16, new: bool, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        let (index, entry) = if id == 0x010D {
            let device = r.eui()?;
            let found = self.memory.link_keys.iter().find(|(_, entry)| entry.device == device);
            found.map_or((0xFF, None), |(index, entry)| (*index, Some(entry)))
        } else {
            let index = r.u8()?;
            (index, self.memory.link_keys.get(&index))
        };
        let status = if entry.is_some() { Status::Ok } else { Status::NotFound };
        let (device, key) = entry.map_or((Eui64::BLANK, [0; 16]), |entry| (entry.device, entry.key));
        let data = Writer::new().u16(0x0016).u32(0).u32(0).u16(0).done();
        let out = Writer::new();
        Ok(match (new, id) {
            (true, _) => {
                let context = Context::of(4, index, device).done();
                out.u32(status.word()).bytes(&context).bytes(&key).bytes(&data).done()
            }
            (false, 0x010D) => out.bytes(&key).u8(index).bytes(&data).u32(status.word()).done(),
            (false, _) => out.eui(device).bytes(&key).bytes(&data).u32(status.word()).done(),
        })
    }

    fn import_transient(&mut self, now: Duration, device: Eui64, key: Key) -> Status {
        if self.settings.keys_full {
            return Status::TableFull;
        }
        self.ram.transient.retain(|entry| entry.until > now && entry.device != device);
        if self.ram.transient.len() >= TRANSIENT_MOST {
            self.ram.transient.remove(0);
        }
        let lives = Duration::from_secs(u64::from(self.ram.config(config::TRANSIENT_KEY)));
        self.ram.transient.push(Transient { device, key, until: now + lives });
        Status::Ok
    }

    fn export_transient(&self, now: Duration, id: u16, new: bool, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        let mut live = self.ram.transient.iter().filter(|entry| entry.until > now);
        let entry = if id == 0x0112 {
            live.nth(usize::from(r.u8()?))
        } else {
            let device = r.eui()?;
            live.find(|entry| entry.device == device)
        };
        let status = if entry.is_some() { Status::Ok } else { Status::NotFound };
        let (device, key) = entry.map_or((Eui64::BLANK, [0; 16]), |entry| (entry.device, entry.key));
        let left = entry.map_or(0, |entry| (entry.until - now).as_secs());
        let data = Writer::new().u16(0x0040).u32(0).u32(0).u16(u16::try_from(left).unwrap_or(u16::MAX)).done();
        let body = Context::of(3, 0, device).bytes(&key).bytes(&data).done();
        let out = Writer::new();
        Ok(if new { out.u32(status.word()).bytes(&body).done() } else { out.bytes(&body).u32(status.word()).done() })
    }

    /// The key a joining device is sent the network key under: its own, then anybody's, then the global one.
    pub(super) fn joining_key(&self, now: Duration, device: Eui64) -> (Option<Key>, Option<Key>) {
        let live = |wanted: Eui64| {
            let entry = self.ram.transient.iter().find(|entry| entry.until > now && entry.device == wanted);
            entry.map(|entry| entry.key)
        };
        let network = self.memory.network.as_ref();
        let global = network.filter(|network| network.security & bit::HASHED != bit::HASHED);
        let own = live(device);
        (own, own.or_else(|| live(Eui64::ANY)).or_else(|| global.map(|network| network.tc_link_key)))
    }
}
