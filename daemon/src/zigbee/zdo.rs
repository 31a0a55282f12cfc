//! Zigbee Device Objects (05-3474, chapter 2.4): who joined, what it is, whom it talks to. The answers to the hub's
//! questions (`zdo_request`) and the two things devices tell it unasked. Fields that newer devices append are passed
//! over, as the standard asks. It decides nothing about trust: an announcement is a claim.

use crate::zigbee::bytes::Reader;
use crate::zigbee::eui64::Eui64;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;

/// Cluster ids of requests; an answer's has the highest bit set ([`RESPONSE`]).
pub mod cluster {
    #![allow(missing_docs)] // the standard's own names
    pub const NWK_ADDRESS: u16 = 0x0000;
    pub const IEEE_ADDRESS: u16 = 0x0001;
    pub const NODE_DESCRIPTOR: u16 = 0x0002;
    pub const SIMPLE_DESCRIPTOR: u16 = 0x0004;
    pub const ACTIVE_ENDPOINTS: u16 = 0x0005;
    pub const MATCH_DESCRIPTOR: u16 = 0x0006;
    pub const DEVICE_ANNOUNCE: u16 = 0x0013;
    pub const BIND: u16 = 0x0021;
    pub const UNBIND: u16 = 0x0022;
    pub const LQI: u16 = 0x0031;
    pub const LEAVE: u16 = 0x0034;
    pub const PERMIT_JOINING: u16 = 0x0036;
}

/// Set in the cluster id of every answer.
pub const RESPONSE: u16 = 0x8000;

/// A status of the standard, or any other: all are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(pub u8);

impl Status {
    /// Done.
    pub const SUCCESS: Self = Self(0x00);

    /// Its name in the standard (05-3474, 2.4.5); `unknown` for codes it does not have.
    pub fn name(self) -> &'static str {
        match self.0 {
            0x00 => "success",
            0x80 => "invalid_request_type",
            0x81 => "device_not_found",
            0x82 => "invalid_endpoint",
            0x83 => "not_active",
            0x84 => "not_supported",
            0x85 => "timeout",
            0x86 => "no_match",
            0x88 => "no_entry",
            0x89 => "no_descriptor",
            0x8A => "insufficient_space",
            0x8B => "not_permitted",
            0x8C => "table_full",
            0x8D => "not_authorized",
            0x8E => "device_binding_table_full",
            0x8F => "invalid_index",
            0x90 => "frame_too_large",
            0x91 => "bad_key_negotiation_method",
            0x92 => "temporary_failure",
            0xC1 => "network_invalid_parameter",
            0xC2 => "network_invalid_request",
            0xC3 => "network_not_permitted",
            0xC4 => "network_startup_failure",
            0xC8 => "network_unknown_device",
            0xD0 => "network_route_discovery_failed",
            0xD1 => "network_route_error",
            _ => "unknown",
        }
    }
}

/// What a radio says it can do (05-3474, table 3-62).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(pub u8);

impl Capability {
    /// It passes others' messages on.
    pub fn router(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// It runs on mains.
    pub fn mains(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Its receiver is off most of the time: it has to fetch what is sent to it.
    pub fn sleepy(self) -> bool {
        self.0 & 0x08 == 0
    }
}

/// What a node is (05-3474, 2.3.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeDescriptor {
    /// Its short address.
    pub nwk: u16,
    /// 0 coordinator, 1 router, 2 end device.
    pub logical_type: u8,
    /// What its radio can do.
    pub capability: Capability,
    /// Who made it.
    pub manufacturer: u16,
    /// The longest message it takes in one piece, in bytes.
    pub max_buffer: u8,
    /// What it serves for others; the highest seven bits are the revision of the standard it keeps.
    pub server_mask: u16,
}

/// What an endpoint does (05-3474, 2.3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimpleDescriptor {
    /// The endpoint, 1 to 254.
    pub endpoint: u8,
    /// Its profile; 0104 is Home Automation.
    pub profile: u16,
    /// Its device id in the profile.
    pub device: u16,
    /// Clusters it serves.
    pub inputs: Vec<u16>,
    /// Clusters it uses.
    pub outputs: Vec<u16>,
}

/// One neighbour of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Its own address.
    pub device: Eui64,
    /// Its short address.
    pub nwk: u16,
    /// 0 coordinator, 1 router, 2 end device, 3 unknown.
    pub logical_type: u8,
    /// 0 parent, 1 child, 2 sibling, 3 none of these, 4 former child.
    pub relationship: u8,
    /// How far it stands from the coordinator.
    pub depth: u8,
    /// How well it is heard, 0 to 255.
    pub lqi: u8,
}

/// What a device says, asked or unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is there, anew or again.
    Announce {
        /// Its short address from now on.
        nwk: u16,
        /// Who it is.
        device: Eui64,
        /// What its radio can do.
        capability: Capability,
    },
    /// The address that was asked for, of either kind.
    Address(Result<(Eui64, u16), Status>),
    /// What kind of node it is.
    NodeDescriptor(Result<NodeDescriptor, Status>),
    /// What an endpoint does.
    SimpleDescriptor(Result<SimpleDescriptor, Status>),
    /// Its endpoints.
    ActiveEndpoints(Result<Vec<u8>, Status>),
    /// What became of an order; the request's cluster says which.
    Done(u16, Status),
    /// A part of its neighbours.
    Lqi(Result<Lqi, Status>),
}

/// A part of a node's table of neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lqi {
    /// How many there are in all.
    pub total: u8,
    /// Which is the first of these.
    pub start: u8,
    /// These.
    pub neighbours: Vec<Neighbour>,
}

impl Heard {
    /// Reads what came on one of the clusters above: its transaction number, and what it says.
    ///
    /// # Errors
    /// `too_short`; `not_supported` for other clusters.
    pub fn parse(cluster: u16, bytes: &[u8]) -> Result<(u8, Self), Refused> {
        let reader = &mut Reader::new(bytes)?;
        let tsn = reader.u8("the transaction number")?;
        let heard = match cluster {
            cluster::DEVICE_ANNOUNCE => Self::Announce {
                nwk: reader.u16("a short address")?,
                device: Eui64::parse(reader)?,
                capability: Capability(reader.u8("the capability")?),
            },
            answer if answer & RESPONSE != 0 => Self::answer(answer & !RESPONSE, reader)?,
            other => return Err(unknown(other)),
        };
        Ok((tsn, heard))
    }

    fn answer(request: u16, reader: &mut Reader) -> Result<Self, Refused> {
        let status = Status(reader.u8("a status")?);
        let good = status == Status::SUCCESS;
        Ok(match request {
            cluster::NWK_ADDRESS | cluster::IEEE_ADDRESS => {
                Self::Address(if good { Ok((Eui64::parse(reader)?, nwk(reader)?)) } else { Err(status) })
            }
            cluster::NODE_DESCRIPTOR => {
                Self::NodeDescriptor(if good { Ok(node_descriptor(reader)?) } else { Err(status) })
            }
            cluster::SIMPLE_DESCRIPTOR => {
                Self::SimpleDescriptor(if good { Ok(simple_descriptor(reader)?) } else { Err(status) })
            }
            cluster::ACTIVE_ENDPOINTS => {
                Self::ActiveEndpoints(if good { Ok(active_endpoints(reader)?) } else { Err(status) })
            }
            cluster::BIND | cluster::UNBIND | cluster::LEAVE | cluster::PERMIT_JOINING => Self::Done(request, status),
            cluster::LQI => Self::Lqi(if good { Ok(lqi(reader)?) } else { Err(status) }),
            other => return Err(unknown(other | RESPONSE)),
        })
    }
}

fn unknown(cluster: u16) -> Refused {
    Refused::new(Reason::NotSupported, 0, format!("ZDO cluster 0x{cluster:04x} is none that this receiver reads"))
}

fn nwk(reader: &mut Reader) -> Result<u16, Refused> {
    reader.u16("a short address")
}

fn node_descriptor(reader: &mut Reader) -> Result<NodeDescriptor, Refused> {
    let nwk = nwk(reader)?;
    let logical_type = reader.u8("the logical type")? & 7;
    reader.u8("the frequency band")?;
    let capability = Capability(reader.u8("the capability")?);
    let manufacturer = reader.u16("the manufacturer code")?;
    let max_buffer = reader.u8("the buffer size")?;
    reader.u16("the incoming size")?;
    let server_mask = reader.u16("the server mask")?;
    reader.u16("the outgoing size")?;
    reader.u8("the descriptor capability")?;
    Ok(NodeDescriptor { nwk, logical_type, capability, manufacturer, max_buffer, server_mask })
}

fn simple_descriptor(reader: &mut Reader) -> Result<SimpleDescriptor, Refused> {
    nwk(reader)?;
    reader.u8("the descriptor's length")?;
    let endpoint = reader.u8("the endpoint")?;
    let profile = reader.u16("the profile")?;
    let device = reader.u16("the device id")?;
    reader.u8("the device version")?;
    Ok(SimpleDescriptor { endpoint, profile, device, inputs: clusters(reader)?, outputs: clusters(reader)? })
}

fn active_endpoints(reader: &mut Reader) -> Result<Vec<u8>, Refused> {
    nwk(reader)?;
    let count = reader.u8("the number of endpoints")?;
    Ok(reader.take(usize::from(count), "the endpoints")?.to_vec())
}

fn clusters(reader: &mut Reader) -> Result<Vec<u16>, Refused> {
    let count = reader.u8("the number of clusters")?;
    (0..count).map(|_| reader.u16("a cluster")).collect()
}

fn lqi(reader: &mut Reader) -> Result<Lqi, Refused> {
    let total = reader.u8("the number of neighbours")?;
    let start = reader.u8("the first neighbour")?;
    let count = reader.u8("the number of neighbours here")?;
    Ok(Lqi { total, start, neighbours: (0..count).map(|_| neighbour(reader)).collect::<Result<_, _>>()? })
}

fn neighbour(reader: &mut Reader) -> Result<Neighbour, Refused> {
    reader.take(8, "the extended PAN id")?;
    let device = Eui64::parse(reader)?;
    let nwk = nwk(reader)?;
    let flags = reader.u8("the neighbour's type")?;
    reader.u8("whether it permits joining")?;
    let depth = reader.u8("the depth")?;
    let lqi = reader.u8("the link quality")?;
    Ok(Neighbour { device, nwk, logical_type: flags & 3, relationship: flags >> 4 & 7, depth, lqi })
}
