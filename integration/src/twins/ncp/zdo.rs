//! The Zigbee Device Object: what any node answers about itself (Zigbee specification R22, §2.4).
//!
//! The same answers for the stick and for the detectors; each hands in who it is.

use super::bytes::Eui64;
use super::bytes::Reader;
use super::bytes::Short;
use super::bytes::Writer;

/// A detector tells everyone its new address.
pub const DEVICE_ANNOUNCE: u16 = 0x0013;
/// A node is asked to leave.
pub const MGMT_LEAVE: u16 = 0x0034;
/// Routers are asked to let others join.
pub const MGMT_PERMIT: u16 = 0x0036;
const BIND: u16 = 0x0021;
const UNBIND: u16 = 0x0022;

const SUCCESS: u8 = 0x00;
const INVALID_REQUEST: u8 = 0x80;
const NO_DEVICE: u8 = 0x81;
const INVALID_ENDPOINT: u8 = 0x82;
const NOT_ACTIVE: u8 = 0x83;
const NOT_SUPPORTED: u8 = 0x84;
const NO_ENTRY: u8 = 0x88;

/// The most bindings a node keeps; more are refused.
const BINDINGS_MOST: usize = 16;

/// An endpoint and its clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// 1 to 254.
    pub id: u8,
    /// Application profile.
    pub profile: u16,
    /// Device id within the profile.
    pub device: u16,
    /// Version of that device.
    pub version: u8,
    /// What it serves.
    pub inputs: Vec<u16>,
    /// What it asks others for.
    pub outputs: Vec<u16>,
}

/// A binding: reports of this cluster go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// From this endpoint.
    pub endpoint: u8,
    /// Of this cluster.
    pub cluster: u16,
    /// To this node.
    pub target: Eui64,
    /// To this endpoint.
    pub target_endpoint: u8,
}

/// What kind of node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The stick.
    Coordinator,
    /// A detector on mains power, always listening.
    Listening,
    /// A detector that sleeps.
    Sleepy,
    /// A device on mains power that passes on others' messages.
    Router,
}

impl Role {
    /// MAC capability flags, as announced.
    pub fn capability(self) -> u8 {
        match self {
            Self::Coordinator => 0x8F,
            Self::Router => 0x8E,
            Self::Listening => 0x8C,
            Self::Sleepy => 0x80,
        }
    }
}

/// Who answers.
#[derive(Debug)]
pub struct Node<'a> {
    /// Its address.
    pub eui: Eui64,
    /// Its node id.
    pub id: u16,
    /// Its role.
    pub role: Role,
    /// Manufacturer code.
    pub manufacturer: u16,
    /// Its endpoints.
    pub endpoints: &'a [Endpoint],
    /// Its bindings.
    pub bindings: &'a mut Vec<Binding>,
}

impl Node<'_> {
    /// The answer's cluster and payload; nothing to what wants no answer.
    pub fn answer(&mut self, cluster: u16, request: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut reader = Reader(request);
        let sequence = reader.u8().ok()?;
        if cluster == DEVICE_ANNOUNCE || cluster & 0x8000 != 0 {
            return None;
        }
        let out = Writer::new().u8(sequence);
        let answer = self.body(cluster, reader, out.clone());
        let body = answer.unwrap_or_else(|Short| Some(out.u8(INVALID_REQUEST).done()))?;
        Some((cluster | 0x8000, body))
    }

    fn body(&mut self, cluster: u16, mut r: Reader<'_>, out: Writer) -> Result<Option<Vec<u8>>, Short> {
        let own = |out: Writer, status| out.u8(status).u16(self.id);
        Ok(Some(match cluster {
            // Asked of everyone: only the one that is meant answers.
            0x0000 if r.eui()? != self.eui => return Ok(None),
            0x0000 => out.u8(SUCCESS).eui(self.eui).u16(self.id).done(),
            0x0001 if r.u16()? != self.id => out.u8(NO_DEVICE).eui(Eui64::ANY).u16(self.id).done(),
            0x0001 => out.u8(SUCCESS).eui(self.eui).u16(self.id).done(),
            0x0002 => own(out, SUCCESS).bytes(&self.node_descriptor()).done(),
            0x0003 => own(out, SUCCESS).bytes(&[0x00, 0x01]).done(),
            0x0004 => {
                r.u16()?;
                let wanted = r.u8()?;
                match self.endpoints.iter().find(|endpoint| endpoint.id == wanted) {
                    Some(endpoint) => own(out, SUCCESS).counted(&simple_descriptor(endpoint)).done(),
                    None if wanted == 0 => own(out, INVALID_ENDPOINT).u8(0).done(),
                    None => own(out, NOT_ACTIVE).u8(0).done(),
                }
            }
            0x0005 => own(out, SUCCESS).counted(&ids(self.endpoints)).done(),
            0x0006 => own(out, SUCCESS).counted(&self.matches(r)?).done(),
            BIND => self.bind(r, out)?,
            UNBIND => self.unbind(r, out)?,
            0x0031 if self.role == Role::Coordinator => out.u8(SUCCESS).bytes(&[0, 0, 0]).done(),
            0x0032 if self.role == Role::Coordinator => out.u8(SUCCESS).bytes(&[0, 0, 0]).done(),
            0x0033 => self.list_bindings(r, out)?,
            MGMT_LEAVE | MGMT_PERMIT => out.u8(SUCCESS).done(),
            _ => out.u8(NOT_SUPPORTED).done(),
        }))
    }

    fn node_descriptor(&self) -> Vec<u8> {
        let (logical, server) = match self.role {
            Role::Coordinator => (0x00, 0x2C01),
            Role::Router => (0x01, 0x2C00),
            Role::Listening | Role::Sleepy => (0x02, 0x2C00),
        };
        let capability = self.role.capability();
        // 2.4 GHz; 82 bytes in a buffer and in a transfer.
        let out = Writer::new().u8(logical).u8(0x40).u8(capability).u16(self.manufacturer);
        out.u8(82).u16(82).u16(server).u16(82).u8(0).done()
    }

    fn matches(&self, mut r: Reader<'_>) -> Result<Vec<u8>, Short> {
        r.u16()?;
        let profile = r.u16()?;
        let count = r.u8()?;
        let inputs = r.words(count)?;
        let count = r.u8()?;
        let outputs = r.words(count)?;
        let fits = |endpoint: &&Endpoint| {
            endpoint.profile == profile
                && (inputs.iter().any(|id| endpoint.inputs.contains(id))
                    || outputs.iter().any(|id| endpoint.outputs.contains(id)))
        };
        Ok(self.endpoints.iter().filter(fits).map(|endpoint| endpoint.id).collect())
    }

    fn bind(&mut self, mut r: Reader<'_>, out: Writer) -> Result<Vec<u8>, Short> {
        let Some(binding) = binding(&mut r)? else { return Ok(out.u8(NOT_SUPPORTED).done()) };
        if self.bindings.contains(&binding) {
            return Ok(out.u8(SUCCESS).done());
        }
        if self.bindings.len() >= BINDINGS_MOST {
            return Ok(out.u8(0x8C).done());
        }
        self.bindings.push(binding);
        Ok(out.u8(SUCCESS).done())
    }

    fn unbind(&mut self, mut r: Reader<'_>, out: Writer) -> Result<Vec<u8>, Short> {
        let Some(binding) = binding(&mut r)? else { return Ok(out.u8(NOT_SUPPORTED).done()) };
        let before = self.bindings.len();
        self.bindings.retain(|kept| *kept != binding);
        Ok(out.u8(if self.bindings.len() < before { SUCCESS } else { NO_ENTRY }).done())
    }

    fn list_bindings(&self, mut r: Reader<'_>, out: Writer) -> Result<Vec<u8>, Short> {
        /// As many as fit into one frame.
        const AT_ONCE: usize = 3;
        let start = r.u8()?;
        let some: Vec<_> = self.bindings.iter().skip(usize::from(start)).take(AT_ONCE).collect();
        let count = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let out = out.u8(SUCCESS).u8(count(self.bindings.len())).u8(start).u8(count(some.len()));
        let entry = |out: Writer, b: &&Binding| {
            out.eui(self.eui).u8(b.endpoint).u16(b.cluster).u8(3).eui(b.target).u8(b.target_endpoint)
        };
        Ok(some.iter().fold(out, entry).done())
    }
}

/// A binding to a node; `None` for one to a group.
fn binding(r: &mut Reader<'_>) -> Result<Option<Binding>, Short> {
    r.eui()?;
    let (endpoint, cluster) = (r.u8()?, r.u16()?);
    if r.u8()? != 3 {
        return Ok(None);
    }
    Ok(Some(Binding { endpoint, cluster, target: r.eui()?, target_endpoint: r.u8()? }))
}

fn ids(endpoints: &[Endpoint]) -> Vec<u8> {
    endpoints.iter().map(|endpoint| endpoint.id).collect()
}

fn simple_descriptor(endpoint: &Endpoint) -> Vec<u8> {
    let count = |list: &[u16]| u8::try_from(list.len()).unwrap_or(u8::MAX);
    let out = Writer::new().u8(endpoint.id).u16(endpoint.profile).u16(endpoint.device).u8(endpoint.version & 0x0F);
    let out = out.u8(count(&endpoint.inputs)).words(&endpoint.inputs);
    out.u8(count(&endpoint.outputs)).words(&endpoint.outputs).done()
}
