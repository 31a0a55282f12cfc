//! The stick's tables and tokens: children, addresses, groups, long time-outs, manufacturing data.

use super::Ncp;
use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Writer;
use super::ezsp::Answer;
use super::frames;
use super::memory;
use super::shelf::config;
use super::status::Status;
use std::time::Duration;

/// Rows of the address table that belong to the stack, behind the application's.
const STACK_ADDRESSES: u8 = 100;

impl Ncp {
    pub(super) fn table_command(&mut self, _now: Duration, id: u16, mut r: Reader<'_>) -> Answer {
        Ok(Some(match id {
            0x000B => Writer::new().counted(&mfg_token(r.u8()?)).done(),
            0x004A => self.child(r.u8()?),
            0x00AC => self.status(Status::InvalidCall),
            0x0063 => {
                let index = r.u8()?;
                let entry = self.ram.multicast.get(&index).copied().unwrap_or_default();
                self.out(self.in_range(index, config::MULTICAST_TABLE)).bytes(&entry).done()
            }
            0x0064 => {
                let (index, entry) = (r.u8()?, r.array::<4>()?);
                let status = self.in_range(index, config::MULTICAST_TABLE);
                if status == Status::Ok {
                    self.ram.multicast.insert(index, entry);
                }
                self.status(status)
            }
            0x0102 => {
                let (token, _) = (r.u32()?, r.u32()?);
                self.get_token(token)
            }
            0x0103 => {
                let (token, _, length) = (r.u32()?, r.u32()?, r.u32()?);
                let data = r.take(usize::try_from(length).unwrap_or(usize::MAX))?.to_vec();
                let status = self.set_token(token, data);
                self.status(status)
            }
            0x0106 => {
                let node = self.children().nth(usize::from(r.u8()?)).and_then(|child| child.node);
                Writer::new().u16(node.unwrap_or(0xFFFF)).done()
            }
            _ => return self.address_command(id, r),
        }))
    }

    fn address_command(&mut self, id: u16, mut r: Reader<'_>) -> Answer {
        let new = self.settings.ezsp >= frames::NEW_LAYOUT;
        Ok(Some(match id {
            0x005B => vec![0],
            0x005C if new => {
                let (index, device, node) = (r.u8()?, r.eui()?, r.u16()?);
                let status = self.set_address(index, device, node);
                self.status(status)
            }
            0x005E if new => {
                let (status, device, node) = self.address(r.u8()?);
                self.out(status).u16(node).eui(device).done()
            }
            0x005E => Writer::new().eui(self.address(r.u8()?).1).done(),
            0x005F if !new => Writer::new().u16(self.address(r.u8()?).2).done(),
            0x0060 => {
                let wanted = r.eui()?;
                let node = self.devices.iter().find(|device| device.eui == wanted).and_then(|device| device.node);
                let own = (wanted == self.memory.address()).then_some(0);
                let node = node.or(own).filter(|_| self.ram.up);
                let status = if node.is_some() { Status::Ok } else { Status::NotFound };
                let out = if new { self.out(status) } else { Writer::new() };
                out.u16(node.unwrap_or(0xFFFF)).done()
            }
            0x0061 => {
                let wanted = r.u16()?;
                let device = self.devices.iter().find(|device| device.node == Some(wanted));
                let eui = device.map(|device| device.eui).filter(|_| self.ram.up);
                let status = if eui.is_some() { Status::Ok } else { Status::NotFound };
                self.out(status).eui(eui.unwrap_or(Eui64::BLANK)).done()
            }
            0x007A => vec![0],
            0x0079 | 0x007B => self.out(Status::NotFound).bytes(&[0; 16]).done(),
            0x007E => {
                let (device, long) = (r.eui()?, r.u8()? != 0);
                if long {
                    self.ram.extended_timeout.insert(device);
                } else {
                    self.ram.extended_timeout.remove(&device);
                }
                self.new_only(Status::Ok)
            }
            0x007F => {
                let long = self.ram.extended_timeout.contains(&r.eui()?);
                if new { self.status(if long { Status::Ok } else { Status::Fail }) } else { vec![u8::from(long)] }
            }
            0x0082 => self.replace_address(r)?,
            _ => return Ok(None),
        }))
    }

    fn child(&self, index: u8) -> Vec<u8> {
        let child = self.children().nth(usize::from(index)).filter(|_| self.ram.up);
        let status = if child.is_some() { Status::Ok } else { Status::NotJoined };
        let (eui, node) = child.map_or((Eui64::BLANK, 0xFFFF), |child| (child.eui, child.node.unwrap_or(0xFFFF)));
        // Sleepy end device; phy, power, time-out, what is left of it.
        self.out(status).eui(eui).u8(4).u16(node).bytes(&[0, 0, 0]).u32(0).done()
    }

    fn address(&self, index: u8) -> (Status, Eui64, u16) {
        let rows = u8::try_from(self.ram.config(config::ADDRESS_TABLE)).unwrap_or(u8::MAX);
        match self.ram.addresses.get(&index) {
            Some((device, node)) => (Status::Ok, *device, *node),
            None if index < rows.saturating_add(STACK_ADDRESSES) => (Status::Ok, Eui64::ANY, 0xFFFF),
            None => (Status::IndexOutOfRange, Eui64::ANY, 0xFFFF),
        }
    }

    fn set_address(&mut self, index: u8, device: Eui64, node: u16) -> Status {
        let status = self.in_range(index, config::ADDRESS_TABLE);
        if status == Status::Ok {
            self.ram.addresses.insert(index, (device, node));
        }
        status
    }

    fn replace_address(&mut self, mut r: Reader<'_>) -> Result<Vec<u8>, super::bytes::Short> {
        let (index, device, node, long) = (r.u8()?, r.eui()?, r.u16()?, r.u8()? != 0);
        let (_, old, old_node) = self.address(index);
        let old_long = self.ram.extended_timeout.remove(&old);
        let status = self.set_address(index, device, node);
        if long && status == Status::Ok {
            self.ram.extended_timeout.insert(device);
        }
        Ok(self.out(status).eui(old).u16(old_node).u8(u8::from(old_long)).done())
    }

    fn get_token(&self, token: u32) -> Vec<u8> {
        let blank = (token == memory::TOKEN_EUI64).then(|| vec![0xFF; 8]);
        match self.memory.tokens.get(&token).cloned().or(blank) {
            Some(data) => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                self.out(Status::Ok).u32(length).bytes(&data).done()
            }
            None => self.status(Status::NotFound),
        }
    }

    fn set_token(&mut self, token: u32, data: Vec<u8>) -> Status {
        if token != memory::TOKEN_EUI64 {
            return Status::NotFound;
        }
        if data.len() != 8 {
            return Status::BadArgument;
        }
        self.memory.tokens.insert(token, data);
        Status::Ok
    }
}

/// Manufacturing tokens: fixed lengths, empty ones all ones.
fn mfg_token(id: u8) -> Vec<u8> {
    let padded = |text: &str| [text.as_bytes(), &[0xFF; 16]].concat()[..16].to_vec();
    match id {
        0x01 => padded("Vakt"),
        0x02 => padded("NCP twin"),
        0x00 | 0x03 | 0x04 => vec![0xFF; 2],
        0x0C => vec![0xFF; 8],
        _ => Vec::new(),
    }
}
