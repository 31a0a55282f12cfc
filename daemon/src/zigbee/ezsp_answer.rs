//! What a stick answers, and what it says unasked, in both layouts. A frame that is cut is refused and said to be; an
//! answer that cannot be read is never "ok", and a message that cannot be read is never a message.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp::Aps;
use crate::zigbee::ezsp::Key;
use crate::zigbee::ezsp::Parameters;
use crate::zigbee::ezsp::frame;
use crate::zigbee::ezsp_status::Layout;
use crate::zigbee::ezsp_status::Status;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;

/// What stands before every frame's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The command's number; a callback has the last one's.
    pub sequence: u8,
    /// From the stick.
    pub response: bool,
    /// Unasked.
    pub callback: bool,
    /// The stick has no room: callbacks may have been lost.
    pub overflow: bool,
    /// Its frame id.
    pub id: u16,
}

impl Header {
    /// Reads a header, short (the answer to a connection's first `version`) or long.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for another frame format.
    pub fn parse(reader: &mut Reader<'_>, first: bool) -> Result<Self, Refused> {
        /// Bits of the low control byte (UG100, 3.1): response, callback pending or asynchronous, overflow, truncated.
        const RESPONSE: u8 = 0x80;
        const CALLBACK: u8 = 0x18;
        const TRUNCATED: u8 = 0x02;
        const OVERFLOW: u8 = 0x01;
        let sequence = reader.u8("the sequence number")?;
        let low = reader.u8("the frame control")?;
        let id = if first {
            u16::from(reader.u8("the frame id")?)
        } else {
            let format = reader.u8("the frame format")?;
            if format & 3 != 1 {
                let text = format!("frame format {} instead of 1", format & 3);
                return Err(Refused::new(Reason::NotSupported, 2, text));
            }
            reader.u16("the frame id")?
        };
        if low & TRUNCATED != 0 {
            return Err(Refused::new(Reason::TooShort, 1, "the stick says that it cut this frame short"));
        }
        Ok(Self {
            sequence,
            response: low & RESPONSE != 0,
            callback: low & CALLBACK != 0,
            overflow: low & OVERFLOW != 0,
            id,
        })
    }
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // UG100's own names
pub enum Answer {
    Version { protocol: u8, stack: u16 },
    Status(Status),
    Eui64(Eui64),
    NodeId(Option<u16>),
    Parameters { status: Status, parameters: Parameters },
    KeyInfo { status: Status, frame_counter: u32 },
    Key { status: Status, key: Key },
    Sent { status: Status, sequence: u8 },
    Counters(Vec<u16>),
    Nothing,
}

/// What a stick says unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// How its network is.
    Network(Status),
    /// A message came.
    Incoming(Incoming),
    /// What became of a message of ours.
    Sent {
        /// To whom.
        nwk: u16,
        /// The hub's mark on it.
        tag: u8,
        /// Whether it was acknowledged.
        status: Status,
    },
    /// The loudest that an energy scan met on a channel.
    Energy {
        /// 11 to 26.
        channel: u8,
        /// How loud, dBm.
        rssi_dbm: i8,
    },
    /// A scan is over, or has failed on a channel; "ok" is over.
    Scanned(Status),
    /// A device wants in, is in again, or left.
    Joined(Joined),
    /// Another one, which this host has no use for.
    Other(u16),
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// It was sent to several.
    pub broadcast: bool,
    /// What stands around it.
    pub aps: Aps,
    /// From whom.
    pub nwk: u16,
    /// From whom, for good; the older layout does not say.
    pub device: Option<Eui64>,
    /// How well its last hop was heard, 0 to 255.
    pub lqi: u8,
    /// How loud, dBm.
    pub rssi_dbm: i8,
    /// The message.
    pub message: Vec<u8>,
}

/// What a device did (EmberDeviceUpdate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It is back, with the network's key.
    SecuredRejoin,
    /// It joins for the first time.
    Join,
    /// It left.
    Left,
    /// It is back and asks for the network's key.
    UnsecuredRejoin,
    /// Something else.
    Other(u8),
}

/// A device at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Its short address from now on.
    pub nwk: u16,
    /// Who it is.
    pub device: Eui64,
    /// What it did.
    pub update: Update,
    /// Whether the stick sent it away.
    pub denied: bool,
    /// Through whom.
    pub parent: u16,
}

impl Answer {
    /// Reads the parameters of the answer to a command with this frame id.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for commands this host never sends.
    pub fn parse(id: u16, layout: Layout, reader: &mut Reader<'_>) -> Result<Self, Refused> {
        Ok(match id {
            frame::VERSION => {
                let protocol = reader.u8("the protocol version")?;
                reader.u8("the stack type")?;
                Self::Version { protocol, stack: reader.u16("the stack version")? }
            }
            frame::SET_CONFIGURATION_VALUE
            | frame::SET_POLICY
            | frame::ADD_ENDPOINT
            | frame::SET_CONCENTRATOR
            | frame::NETWORK_INIT
            | frame::FORM_NETWORK
            | frame::LEAVE_NETWORK
            | frame::SET_INITIAL_SECURITY_STATE
            | frame::PERMIT_JOINING
            | frame::REMOVE_DEVICE => Self::Status(status(layout, reader)?),
            frame::IMPORT_TRANSIENT_KEY => Self::Status(status(Layout::New, reader)?),
            // The older layout too has a long status here, and only here: EmberZNet 7's own dispatcher (em260,
            // command-handlers-networking) appends 32 bits. Hosts that read one byte get the same "ok".
            frame::START_SCAN if reader.left() >= 4 => Self::Status(status(Layout::New, reader)?),
            frame::START_SCAN => Self::Status(status(layout, reader)?),
            frame::NOP
            | frame::SET_MANUFACTURER_CODE
            | frame::SET_EXTENDED_TIMEOUT
            | frame::SET_SOURCE_ROUTE_DISCOVERY_MODE
            | frame::CLEAR_TRANSIENT_LINK_KEYS => Self::Nothing,
            frame::GET_EUI64 => Self::Eui64(Eui64::parse(reader)?),
            frame::LOOKUP_EUI64 => match status(layout, reader)? {
                Status::Ok => Self::Eui64(Eui64::parse(reader)?),
                other => Self::Status(other),
            },
            frame::LOOKUP_NODE_ID => {
                let known = layout == Layout::Old || status(layout, reader)? == Status::Ok;
                let nwk = reader.u16("a short address")?;
                Self::NodeId((known && nwk < NWK_NONE).then_some(nwk))
            }
            frame::GET_NETWORK_PARAMETERS => {
                let status = status(layout, reader)?;
                reader.u8("the node type")?;
                Self::Parameters { status, parameters: parameters(reader)? }
            }
            frame::GET_NETWORK_KEY_INFO => {
                let status = status(Layout::New, reader)?;
                reader.take(4, "which keys are set")?;
                Self::KeyInfo { status, frame_counter: number32(reader, "the frame counter")? }
            }
            frame::EXPORT_KEY if layout == Layout::Old => {
                let key = key(reader)?;
                Self::Key { status: status(Layout::New, reader)?, key }
            }
            frame::EXPORT_KEY => Self::Key { status: status(layout, reader)?, key: key(reader)? },
            frame::SEND_UNICAST | frame::SEND_BROADCAST => {
                Self::Sent { status: status(layout, reader)?, sequence: reader.u8("the APS sequence number")? }
            }
            frame::READ_AND_CLEAR_COUNTERS => {
                let count = reader.left() / 2;
                Self::Counters((0..count).map(|_| reader.u16("a counter")).collect::<Result<_, _>>()?)
            }
            other => {
                let text = format!("frame 0x{other:04x} answers nothing that this host asks");
                return Err(Refused::new(Reason::NotSupported, 0, text));
            }
        })
    }
}

/// Short addresses from here on name nobody: broadcasts, and "unknown".
pub const NWK_NONE: u16 = 0xFFF8;

impl Callback {
    /// Reads the parameters of a callback with this frame id.
    ///
    /// # Errors
    /// `too_short`, `bad_value`.
    pub fn parse(id: u16, layout: Layout, reader: &mut Reader<'_>) -> Result<Self, Refused> {
        Ok(match id {
            frame::STACK_STATUS => Self::Network(status(layout, reader)?),
            frame::INCOMING_MESSAGE => Self::Incoming(incoming(layout, reader)?),
            frame::MESSAGE_SENT => sent(layout, reader)?,
            frame::TRUST_CENTER_JOIN => Self::Joined(joined(reader)?),
            frame::ENERGY_SCAN_RESULT => {
                let channel = reader.u8("the channel")?;
                Self::Energy { channel, rssi_dbm: reader.u8("the RSSI")?.cast_signed() }
            }
            frame::SCAN_COMPLETE => {
                reader.u8("the channel that failed")?;
                Self::Scanned(status(layout, reader)?)
            }
            other => Self::Other(other),
        })
    }
}

fn incoming(layout: Layout, reader: &mut Reader<'_>) -> Result<Incoming, Refused> {
    let kind = reader.u8("the kind of message")?;
    let aps = aps(reader)?;
    let (nwk, device, lqi, rssi) = match layout {
        Layout::Old => {
            let (lqi, rssi) = (reader.u8("the LQI")?, reader.u8("the RSSI")?);
            let nwk = reader.u16("the sender")?;
            reader.take(2, "the table indices")?;
            (nwk, None, lqi, rssi)
        }
        Layout::New => {
            let (nwk, device) = (reader.u16("the sender")?, Eui64::parse(reader)?);
            reader.take(2, "the table indices")?;
            let (lqi, rssi) = (reader.u8("the LQI")?, reader.u8("the RSSI")?);
            reader.take(4, "the time stamp")?;
            // The stick does not always know it, and says so by all zeros or all ones.
            (nwk, Some(device).filter(|device| !matches!(device.0, 0 | u64::MAX)), lqi, rssi)
        }
    };
    let length = usize::from(reader.u8("the message's length")?);
    let message = reader.take(length, "the message")?.to_vec();
    let broadcast = !matches!(kind, 0 | 1);
    Ok(Incoming { broadcast, aps, nwk, device, lqi, rssi_dbm: rssi.cast_signed(), message })
}

fn sent(layout: Layout, reader: &mut Reader<'_>) -> Result<Callback, Refused> {
    let new = match layout {
        Layout::New => Some(status(layout, reader)?),
        Layout::Old => None,
    };
    reader.u8("the kind of message")?;
    let nwk = reader.u16("the receiver")?;
    aps(reader)?;
    let tag = reader.u8("the tag")?;
    let status = match new {
        Some(status) => {
            reader.u8("the tag's second byte")?;
            status
        }
        None => status(layout, reader)?,
    };
    Ok(Callback::Sent { nwk, tag, status })
}

fn joined(reader: &mut Reader<'_>) -> Result<Joined, Refused> {
    /// EmberJoinDecision: denied.
    const DENY: u8 = 2;
    Ok(Joined {
        nwk: reader.u16("a short address")?,
        device: Eui64::parse(reader)?,
        update: match reader.u8("what it did")? {
            0 | 4 => Update::SecuredRejoin,
            1 | 5 => Update::Join,
            2 => Update::Left,
            3 | 7 => Update::UnsecuredRejoin,
            other => Update::Other(other),
        },
        denied: reader.u8("what was decided")? == DENY,
        parent: reader.u16("the parent")?,
    })
}

fn status(layout: Layout, reader: &mut Reader<'_>) -> Result<Status, Refused> {
    let number = match layout {
        Layout::Old => u32::from(reader.u8("a status")?),
        Layout::New => number32(reader, "a status")?,
    };
    Ok(Status::new(layout, number))
}

fn number32(reader: &mut Reader<'_>, what: &str) -> Result<u32, Refused> {
    Ok(reader.number(4, what)? as u32)
}

fn key(reader: &mut Reader<'_>) -> Result<Key, Refused> {
    let bytes = reader.take(16, "a key")?;
    Ok(Key(bytes.try_into().expect("sixteen bytes were taken")))
}

fn aps(reader: &mut Reader<'_>) -> Result<Aps, Refused> {
    Ok(Aps {
        profile: reader.u16("the profile")?,
        cluster: reader.u16("the cluster")?,
        source: reader.u8("the source endpoint")?,
        destination: reader.u8("the destination endpoint")?,
        options: reader.u16("the APS options")?,
        group: reader.u16("the group")?,
        sequence: reader.u8("the APS sequence number")?,
    })
}

fn parameters(reader: &mut Reader<'_>) -> Result<Parameters, Refused> {
    let extended_pan = reader.take(8, "the extended PAN id")?.try_into().expect("eight bytes were taken");
    let pan = reader.u16("the PAN id")?;
    let tx_power = reader.u8("the power")?.cast_signed();
    let channel = reader.u8("the channel")?;
    reader.take(8, "the rest of the parameters")?;
    Ok(Parameters { extended_pan, pan, tx_power, channel })
}
