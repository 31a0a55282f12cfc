//! EZSP frames as a stick writes them, in the two layouts: up to version 13, and from 14 on (zigbee.md §3d).
//!
//! Only layouts; who gets what when is decided elsewhere.

use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;
use super::status::Status;

/// The first version with 32-bit status, packet information and 16-bit tags.
pub const NEW_LAYOUT: u8 = 14;

/// Frame ids of what a stick says by itself.
pub mod id {
    /// VERSION.
    pub const VERSION: u16 = 0x0000;
    /// stackStatusHandler.
    pub const STACK_STATUS: u16 = 0x0019;
    /// scanCompleteHandler.
    pub const SCAN_COMPLETE: u16 = 0x001C;
    /// childJoinHandler.
    pub const CHILD_JOIN: u16 = 0x0023;
    /// trustCenterJoinHandler.
    pub const TRUST_CENTRE_JOIN: u16 = 0x0024;
    /// messageSentHandler.
    pub const MESSAGE_SENT: u16 = 0x003F;
    /// incomingMessageHandler.
    pub const INCOMING: u16 = 0x0045;
    /// energyScanResultHandler.
    pub const ENERGY: u16 = 0x0048;
    /// invalidCommand.
    pub const INVALID: u16 = 0x0058;
    /// incomingRouteRecordHandler.
    pub const ROUTE_RECORD: u16 = 0x0059;
    /// zigbeeKeyEstablishmentHandler.
    pub const KEY_ESTABLISHMENT: u16 = 0x009B;
}

/// Frame control, low byte.
pub mod control {
    /// An answer.
    pub const REPLY: u8 = 0x80;
    /// Said by itself.
    pub const CALLBACK: u8 = 0x90;
    /// Callbacks were lost for want of room.
    pub const OVERFLOW: u8 = 0x01;
    /// More is waiting.
    pub const PENDING: u8 = 0x04;
}

/// An APS frame's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aps {
    /// Application profile.
    pub profile: u16,
    /// Cluster.
    pub cluster: u16,
    /// From this endpoint.
    pub source: u8,
    /// To this endpoint.
    pub destination: u8,
    /// Options.
    pub options: u16,
    /// Group.
    pub group: u16,
    /// APS counter.
    pub sequence: u8,
}

impl Aps {
    /// Retry until the other side's APS acknowledgement.
    pub const RETRY: u16 = 0x0040;
    /// Encrypt with the link key too.
    pub const ENCRYPTED: u16 = 0x0020;

    /// Reads one, 11 bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Short> {
        Ok(Self {
            profile: r.u16()?,
            cluster: r.u16()?,
            source: r.u8()?,
            destination: r.u8()?,
            options: r.u16()?,
            group: r.u16()?,
            sequence: r.u8()?,
        })
    }

    fn put(&self, out: Writer) -> Writer {
        let out = out.u16(self.profile).u16(self.cluster).u8(self.source).u8(self.destination);
        out.u16(self.options).u16(self.group).u8(self.sequence)
    }
}

/// A frame in the extended format.
pub fn extended(sequence: u8, control: u8, id: u16, body: &[u8]) -> Vec<u8> {
    Writer::new().u8(sequence).u8(control).u8(0x01).u16(id).bytes(body).done()
}

/// A frame in the legacy format, which only VERSION still uses.
pub fn legacy(sequence: u8, control: u8, id: u8, body: &[u8]) -> Vec<u8> {
    Writer::new().u8(sequence).u8(control).u8(id).bytes(body).done()
}

/// A status in a version's width.
pub fn status(version: u8, status: Status) -> Vec<u8> {
    if version < NEW_LAYOUT { vec![status.byte()] } else { status.word().to_le_bytes().to_vec() }
}

/// incomingMessageHandler.
#[derive(Debug, Clone)]
pub struct Incoming<'a> {
    /// 0 unicast, 4 broadcast.
    pub kind: u8,
    /// Addresses.
    pub aps: Aps,
    /// Sender.
    pub sender: u16,
    /// Link quality.
    pub lqi: u8,
    /// Signal strength, dBm.
    pub rssi: i8,
    /// The message.
    pub message: &'a [u8],
}

impl Incoming<'_> {
    /// Its body in a version's layout.
    pub fn body(&self, version: u8) -> Vec<u8> {
        let rssi = self.rssi.to_le_bytes()[0];
        let out = self.aps.put(Writer::new().u8(self.kind));
        if version < NEW_LAYOUT {
            let out = out.u8(self.lqi).u8(rssi).u16(self.sender).u8(0xFF).u8(0xFF);
            return out.counted(self.message).done();
        }
        // Captures carry no sender address, no time, and one byte behind the message.
        let out = out.u16(self.sender).eui(Eui64::BLANK).u8(0xFF).u8(0xFF).u8(self.lqi).u8(rssi).u32(0);
        out.counted(self.message).u8(0).done()
    }
}

/// messageSentHandler.
#[derive(Debug, Clone)]
pub struct Sent<'a> {
    /// What became of it.
    pub status: Status,
    /// 0 direct, 3 multicast, 6 broadcast.
    pub kind: u8,
    /// To whom.
    pub destination: u16,
    /// Addresses.
    pub aps: Aps,
    /// The host's tag.
    pub tag: u16,
    /// The message, when the policy wants it back.
    pub message: &'a [u8],
}

impl Sent<'_> {
    /// Its body in a version's layout.
    pub fn body(&self, version: u8) -> Vec<u8> {
        if version < NEW_LAYOUT {
            let out = self.aps.put(Writer::new().u8(self.kind).u16(self.destination));
            let out = out.u8(self.tag.to_le_bytes()[0]).u8(self.status.byte());
            return out.counted(self.message).done();
        }
        let out = Writer::new().u32(self.status.word()).u8(self.kind).u16(self.destination);
        self.aps.put(out).u16(self.tag).counted(self.message).done()
    }
}

/// A message the host wants sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// 0 direct, 3 multicast, 6 broadcast.
    pub kind: u8,
    /// To whom.
    pub destination: u16,
    /// Addresses.
    pub aps: Aps,
    /// The host's tag.
    pub tag: u16,
    /// The message.
    pub message: Vec<u8>,
}

impl Outgoing {
    /// sendUnicast.
    ///
    /// # Errors
    /// The command is too short.
    pub fn unicast(version: u8, r: &mut Reader<'_>) -> Result<Self, Short> {
        let (kind, destination, aps) = (r.u8()?, r.u16()?, Aps::read(r)?);
        let tag = tag(version, r)?;
        Ok(Self { kind, destination, aps, tag, message: r.counted()?.to_vec() })
    }

    /// sendBroadcast.
    ///
    /// # Errors
    /// The command is too short.
    pub fn broadcast(version: u8, r: &mut Reader<'_>) -> Result<Self, Short> {
        let new = version >= NEW_LAYOUT;
        if new {
            r.u16()?; // alias
        }
        let destination = r.u16()?;
        if new {
            r.u8()?; // the alias's sequence number
        }
        let aps = Aps::read(r)?;
        r.u8()?; // radius
        let tag = tag(version, r)?;
        Ok(Self { kind: 6, destination, aps, tag, message: r.counted()?.to_vec() })
    }

    /// sendMulticast.
    ///
    /// # Errors
    /// The command is too short.
    pub fn multicast(version: u8, r: &mut Reader<'_>) -> Result<Self, Short> {
        let aps = Aps::read(r)?;
        r.u8()?; // hops
        if version < NEW_LAYOUT {
            r.u8()?; // radius of those that are no members
        } else {
            r.take(5)?; // broadcast address, alias, the alias's sequence number
        }
        let tag = tag(version, r)?;
        Ok(Self { kind: 3, destination: aps.group, aps, tag, message: r.counted()?.to_vec() })
    }
}

fn tag(version: u8, r: &mut Reader<'_>) -> Result<u16, Short> {
    if version < NEW_LAYOUT { r.u8().map(u16::from) } else { r.u16() }
}
