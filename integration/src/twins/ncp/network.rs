//! The network: forming, resuming, leaving, who may join, and the stick's own identity.

use super::Duty;
use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::ezsp::Answer;
use super::keys::bit;
use super::memory::Network;
use super::memory::TOKEN_EUI64;
use super::status::Status;
use std::time::Duration;

/// From a command about the network to the stackStatus that ends it.
const SETTLES: Duration = Duration::from_millis(25);

/// The node type of a coordinator.
const COORDINATOR: u8 = 1;

impl Ncp {
    pub(super) fn network_command(&mut self, now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        Ok(Some(match id {
            0x0010 => {
                self.ram.concentrator = r.u8()? != 0;
                self.status(Status::Ok)
            }
            0x0017 => {
                let status = self.resume(now);
                self.status(status)
            }
            0x0018 => vec![if self.ram.up { 2 } else { 0 }],
            0x001A => self.start_scan(now, r)?,
            0x001D | 0x0099 | 0x00FE | 0x0105 => self.status(Status::Ok),
            0x001E => {
                let status = self.form(now, r)?;
                self.status(status)
            }
            0x0020 => {
                let status = self.dissolve(now);
                self.status(status)
            }
            0x0022 => {
                let status = self.permit(now, r.u8()?);
                self.status(status)
            }
            0x0026 => Writer::new().eui(self.memory.address()).done(),
            0x0027 => Writer::new().u16(if self.ram.up { 0 } else { 0xFFFE }).done(),
            0x0028 => self.parameters(),
            0x005A => Writer::new().u32(if r.u8()? == 0 { u32::MAX } else { 5000 }).done(),
            0x0077 => {
                let (keep_counters, keep_boots) = (r.u8()? != 0, r.u8()? != 0);
                self.factory_reset(keep_counters, keep_boots);
                Vec::new()
            }
            0x009D => Vec::new(),
            _ => return Ok(None),
        }))
    }

    fn resume(&mut self, now: Duration) -> Status {
        if self.ram.up {
            return Status::InvalidCall;
        }
        if self.memory.network.is_none() {
            return Status::NotJoined;
        }
        self.come_up(now);
        Status::Ok
    }

    fn form(&mut self, now: Duration, mut r: Reader<'_>) -> Result<Status, Short> {
        let (extended_pan, pan) = (r.array()?, r.u16()?);
        let (tx_power, channel, join_method) = (r.u8()?.cast_signed(), r.u8()?, r.u8()?);
        let (manager, _, channels) = (r.u16()?, r.u8()?, r.u32()?);
        if self.ram.up {
            return Ok(Status::InvalidCall);
        }
        let Some(security) = self.ram.security.take() else { return Ok(Status::SecurityNotSet) };
        if !(11..=26).contains(&channel) {
            return Ok(Status::BadArgument);
        }
        let mut made = || -> [u8; 16] {
            let words = [self.chance.draw().to_le_bytes(), self.chance.draw().to_le_bytes()];
            words.concat().try_into().expect("two words are 16 bytes")
        };
        let key = if security.mask & bit::NETWORK_KEY == 0 { made() } else { security.network_key };
        let own = self.memory.address();
        let named = security.mask & bit::TC_EUI != 0 && security.trust_centre != Eui64::BLANK;
        if security.mask & bit::KEEP_COUNTERS == 0 {
            self.memory.nwk_counter = 0;
            self.memory.aps_counter = 0;
        }
        self.ram.nwk_counter = self.memory.nwk_counter;
        let network = Network {
            extended_pan,
            pan,
            tx_power,
            channel,
            join_method,
            manager,
            // A stick forms with update id 0, whatever it is told.
            update_id: 0,
            channels,
            key,
            key_sequence: security.sequence,
            tc_link_key: security.tc_key,
            security: security.mask,
            trust_centre: if named { security.trust_centre } else { own },
        };
        self.memory.network = Some(network);
        self.come_up(now);
        Ok(Status::Ok)
    }

    fn come_up(&mut self, now: Duration) {
        self.ram.up = true;
        self.spend_counter(0);
        self.agenda.at(now + SETTLES, Duty::Status(Status::NetworkUp));
    }

    /// Each frame takes a number; flash hears of it a step ahead, so that no number is used twice after a reset.
    pub(super) fn spend_counter(&mut self, frames: u32) {
        self.ram.nwk_counter = self.ram.nwk_counter.wrapping_add(frames);
        if self.ram.nwk_counter >= self.memory.nwk_counter {
            self.memory.nwk_counter = self.ram.nwk_counter.wrapping_add(super::memory::COUNTER_STEP);
        }
    }

    fn dissolve(&mut self, now: Duration) -> Status {
        if !self.ram.up {
            return Status::InvalidCall;
        }
        self.ram.up = false;
        self.ram.permit_until = None;
        self.memory.network = None;
        self.memory.link_keys.clear();
        self.indirect.clear();
        self.agenda.at(now + SETTLES, Duty::Status(Status::NetworkDown));
        Status::Ok
    }

    fn permit(&mut self, now: Duration, seconds: u8) -> Status {
        if !self.ram.up {
            return Status::InvalidCall;
        }
        let was_open = self.ram.permit_until.is_some();
        self.ram.permit_round += 1;
        let round = self.ram.permit_round;
        match seconds {
            0 => self.ram.permit_until = None,
            0xFF => self.ram.permit_until = Some(Duration::MAX),
            seconds => {
                let until = now + Duration::from_secs(u64::from(seconds));
                self.ram.permit_until = Some(until);
                self.agenda.at(until, Duty::PermitEnds { round });
            }
        }
        let status = if seconds == 0 { Status::NetworkClosed } else { Status::NetworkOpened };
        if seconds != 0 || was_open {
            self.agenda.at(now + Duration::from_millis(2), Duty::Status(status));
        }
        Status::Ok
    }

    fn parameters(&self) -> Vec<u8> {
        let Some(network) = self.memory.network.as_ref().filter(|_| self.ram.up) else {
            return self.out(Status::NotJoined).u8(0).bytes(&[0; 20]).done();
        };
        let out = self.out(Status::Ok).u8(COORDINATOR).bytes(&network.extended_pan).u16(network.pan);
        let out = out.u8(network.tx_power.cast_unsigned()).u8(network.channel).u8(network.join_method);
        out.u16(network.manager).u8(network.update_id).u32(network.channels).done()
    }

    /// All tokens but the address and, when wanted, the counters.
    fn factory_reset(&mut self, keep_counters: bool, keep_boots: bool) {
        let kept = self.memory.tokens.remove_entry(&TOKEN_EUI64);
        let (nwk, aps, boots) = (self.memory.nwk_counter, self.memory.aps_counter, self.memory.boots);
        self.memory = super::memory::Memory::new(self.memory.eui64);
        self.memory.tokens.extend(kept);
        if keep_counters {
            (self.memory.nwk_counter, self.memory.aps_counter) = (nwk, aps);
        }
        if keep_boots {
            self.memory.boots = boots;
        }
    }
}
