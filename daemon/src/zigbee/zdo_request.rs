//! What an alarm coordinator asks and orders of devices through Zigbee Device Objects (05-3474, chapter 2.4.3). It only
//! writes; the answers are read in `zdo`.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::zdo::cluster;

/// A question or an order to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Which short address has this device?
    NwkAddress(Eui64),
    /// Which device has this short address?
    IeeeAddress(u16),
    /// What kind of node is it?
    NodeDescriptor(u16),
    /// Which endpoints has it?
    ActiveEndpoints(u16),
    /// What does this endpoint do?
    SimpleDescriptor(u16, u8),
    /// Send this cluster's reports to that endpoint.
    Bind(Binding),
    /// Let others join through it for so many seconds; 0 closes, 255 would be for ever and is never sent.
    PermitJoining(u8),
}

/// Whose reports go where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Who reports.
    pub source: Eui64,
    /// From which endpoint.
    pub source_endpoint: u8,
    /// Of which cluster.
    pub cluster: u16,
    /// To whom.
    pub target: Eui64,
    /// To which endpoint.
    pub target_endpoint: u8,
}

impl Request {
    /// The cluster it is sent on; the answer comes on this with `zdo::RESPONSE` set.
    pub fn cluster(&self) -> u16 {
        match self {
            Self::NwkAddress(_) => cluster::NWK_ADDRESS,
            Self::IeeeAddress(_) => cluster::IEEE_ADDRESS,
            Self::NodeDescriptor(_) => cluster::NODE_DESCRIPTOR,
            Self::ActiveEndpoints(_) => cluster::ACTIVE_ENDPOINTS,
            Self::SimpleDescriptor(..) => cluster::SIMPLE_DESCRIPTOR,
            Self::Bind(_) => cluster::BIND,
            Self::PermitJoining(_) => cluster::PERMIT_JOINING,
        }
    }

    /// The message of this transaction.
    pub fn message(&self, tsn: u8) -> Vec<u8> {
        /// One device, not the list of those below it.
        const SINGLE: u8 = 0;
        let mut out = vec![tsn];
        match *self {
            Self::NwkAddress(device) => {
                out.extend(device.bytes());
                out.extend([SINGLE, 0]);
            }
            Self::IeeeAddress(nwk) => {
                out.extend(nwk.to_le_bytes());
                out.extend([SINGLE, 0]);
            }
            Self::NodeDescriptor(nwk) | Self::ActiveEndpoints(nwk) => out.extend(nwk.to_le_bytes()),
            Self::SimpleDescriptor(nwk, endpoint) => {
                out.extend(nwk.to_le_bytes());
                out.push(endpoint);
            }
            Self::Bind(binding) => {
                /// The target is a device and an endpoint, not a group.
                const TO_ENDPOINT: u8 = 3;
                out.extend(binding.source.bytes());
                out.push(binding.source_endpoint);
                out.extend(binding.cluster.to_le_bytes());
                out.push(TO_ENDPOINT);
                out.extend(binding.target.bytes());
                out.push(binding.target_endpoint);
            }
            // The last byte asks for the trust centre's significance, which the standard fixes at 1.
            Self::PermitJoining(seconds) => out.extend([seconds, 1]),
        }
        out
    }
}
