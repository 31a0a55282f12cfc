//! EZSP: what the hub asks of a Zigbee stick (Silicon Labs UG100), in the layouts of EZSP 13 and of 14 to 19.
//!
//! Commands here, answers in `ezsp_answer`. It knows no order of events; that is `start`'s and the host's work.

use crate::zigbee::eui64::Eui64;
use crate::zigbee::ezsp_status::Layout;

/// The versions this host speaks. Older sticks are refused: their layouts differ, and their stacks are out of support.
pub const VERSIONS: std::ops::RangeInclusive<u8> = 13..=19;

/// Frame ids (UG100, chapter "Frames"); answers and callbacks included.
pub mod frame {
    #![allow(missing_docs)] // UG100's own names
    pub const VERSION: u16 = 0x0000;
    pub const ADD_ENDPOINT: u16 = 0x0002;
    pub const SET_CONCENTRATOR: u16 = 0x0010;
    pub const SET_MANUFACTURER_CODE: u16 = 0x0015;
    pub const NETWORK_INIT: u16 = 0x0017;
    pub const STACK_STATUS: u16 = 0x0019;
    pub const START_SCAN: u16 = 0x001A;
    pub const SCAN_COMPLETE: u16 = 0x001C;
    pub const FORM_NETWORK: u16 = 0x001E;
    pub const LEAVE_NETWORK: u16 = 0x0020;
    pub const PERMIT_JOINING: u16 = 0x0022;
    pub const TRUST_CENTER_JOIN: u16 = 0x0024;
    pub const GET_EUI64: u16 = 0x0026;
    pub const GET_NETWORK_PARAMETERS: u16 = 0x0028;
    pub const SEND_UNICAST: u16 = 0x0034;
    pub const SEND_BROADCAST: u16 = 0x0036;
    pub const MESSAGE_SENT: u16 = 0x003F;
    pub const INCOMING_MESSAGE: u16 = 0x0045;
    pub const ENERGY_SCAN_RESULT: u16 = 0x0048;
    pub const SET_CONFIGURATION_VALUE: u16 = 0x0053;
    pub const SET_POLICY: u16 = 0x0055;
    pub const INVALID_COMMAND: u16 = 0x0058;
    pub const SET_SOURCE_ROUTE_DISCOVERY_MODE: u16 = 0x005A;
    pub const LOOKUP_NODE_ID: u16 = 0x0060;
    pub const LOOKUP_EUI64: u16 = 0x0061;
    pub const READ_AND_CLEAR_COUNTERS: u16 = 0x0065;
    pub const SET_INITIAL_SECURITY_STATE: u16 = 0x0068;
    pub const CLEAR_TRANSIENT_LINK_KEYS: u16 = 0x006B;
    pub const SET_EXTENDED_TIMEOUT: u16 = 0x007E;
    pub const GET_VALUE: u16 = 0x00AA;
    pub const REMOVE_DEVICE: u16 = 0x00A8;
    pub const IMPORT_TRANSIENT_KEY: u16 = 0x0111;
    pub const EXPORT_KEY: u16 = 0x0114;
    pub const GET_NETWORK_KEY_INFO: u16 = 0x0116;
    pub const NOP: u16 = 0x0005;
}

/// A 128-bit key. It does not print itself.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Key(pub [u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(withheld)")
    }
}

/// A network, as far as it is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Its long name.
    pub extended_pan: [u8; 8],
    /// Its short one.
    pub pan: u16,
    /// dBm.
    pub tx_power: i8,
    /// 11 to 26.
    pub channel: u8,
}

/// What stands around a message on its way (EmberApsFrame).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aps {
    /// Its profile; 0104 is Home Automation, 0000 the device objects.
    pub profile: u16,
    /// Its cluster.
    pub cluster: u16,
    /// From this endpoint.
    pub source: u8,
    /// To this one.
    pub destination: u8,
    /// Option bits; see [`APS_RELIABLE`].
    pub options: u16,
    /// The group, where it is a group's message.
    pub group: u16,
    /// The stick's number of it.
    pub sequence: u8,
}

/// Retry until acknowledged, find the route, find the address.
pub const APS_RELIABLE: u16 = 0x1140;

/// APS option: the message is encrypted on the link key of the two, not only with the network's (UG100, EmberApsOption).
pub const APS_ENCRYPTED: u16 = 0x0020;

/// One of the hub's own endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub number: u8,
    /// Its profile.
    pub profile: u16,
    /// What it is in that profile.
    pub device: u16,
    /// Clusters it serves.
    pub inputs: &'static [u16],
    /// Clusters it uses.
    pub outputs: &'static [u16],
}

/// Which key is meant (sl_zb_sec_man_key_type_t).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// The network's.
    Network = 1,
}

/// What the hub asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // UG100's own names; the fields are its parameters
pub enum Command {
    Version { desired: u8 },
    SetConfiguration { id: u8, value: u16 },
    SetPolicy { id: u8, decision: u8 },
    AddEndpoint(Endpoint),
    SetConcentrator { max_hops: u8 },
    SetSourceRouteDiscovery { mode: u8 },
    NetworkInit,
    EnergyScan { channel: u8, duration: u8 },
    FormNetwork(Parameters),
    LeaveNetwork,
    SetInitialSecurity { bits: u16, link_key: Key, network_key: Key },
    GetEui64,
    GetNetworkParameters,
    ExportKey(KeyType),
    ImportTransientKey { device: Eui64, key: Key },
    ClearTransientKeys,
    PermitJoining { seconds: u8 },
    RemoveDevice { nwk: u16, device: Eui64 },
    SetExtendedTimeout { device: Eui64 },
    LookupEui64(u16),
    ReadAndClearCounters,
    Unicast { nwk: u16, aps: Aps, tag: u8, message: Vec<u8> },
    Broadcast { to: u16, aps: Aps, radius: u8, message: Vec<u8> },
}

impl Command {
    /// Its frame id.
    pub fn id(&self) -> u16 {
        match self {
            Self::Version { .. } => frame::VERSION,
            Self::SetConfiguration { .. } => frame::SET_CONFIGURATION_VALUE,
            Self::SetPolicy { .. } => frame::SET_POLICY,
            Self::AddEndpoint(_) => frame::ADD_ENDPOINT,
            Self::SetConcentrator { .. } => frame::SET_CONCENTRATOR,
            Self::SetSourceRouteDiscovery { .. } => frame::SET_SOURCE_ROUTE_DISCOVERY_MODE,
            Self::NetworkInit => frame::NETWORK_INIT,
            Self::EnergyScan { .. } => frame::START_SCAN,
            Self::FormNetwork(_) => frame::FORM_NETWORK,
            Self::LeaveNetwork => frame::LEAVE_NETWORK,
            Self::SetInitialSecurity { .. } => frame::SET_INITIAL_SECURITY_STATE,
            Self::GetEui64 => frame::GET_EUI64,
            Self::GetNetworkParameters => frame::GET_NETWORK_PARAMETERS,
            Self::ExportKey(_) => frame::EXPORT_KEY,
            Self::ImportTransientKey { .. } => frame::IMPORT_TRANSIENT_KEY,
            Self::ClearTransientKeys => frame::CLEAR_TRANSIENT_LINK_KEYS,
            Self::PermitJoining { .. } => frame::PERMIT_JOINING,
            Self::RemoveDevice { .. } => frame::REMOVE_DEVICE,
            Self::SetExtendedTimeout { .. } => frame::SET_EXTENDED_TIMEOUT,
            Self::LookupEui64(_) => frame::LOOKUP_EUI64,
            Self::ReadAndClearCounters => frame::READ_AND_CLEAR_COUNTERS,
            Self::Unicast { .. } => frame::SEND_UNICAST,
            Self::Broadcast { .. } => frame::SEND_BROADCAST,
        }
    }

    /// The whole frame. The first `version` of a connection has the short header that every version understands.
    pub fn encode(&self, layout: Layout, sequence: u8, first: bool) -> Vec<u8> {
        let [low, high] = self.id().to_le_bytes();
        let mut out = if first { vec![sequence, 0x00, low] } else { vec![sequence, 0x00, 0x01, low, high] };
        self.parameters(layout, &mut out);
        out
    }

    fn parameters(&self, layout: Layout, out: &mut Vec<u8>) {
        match self {
            Self::Version { desired } => out.push(*desired),
            Self::GetEui64 | Self::GetNetworkParameters | Self::ClearTransientKeys | Self::ReadAndClearCounters => {}
            Self::SetConfiguration { id, value } => {
                out.push(*id);
                out.extend(value.to_le_bytes());
            }
            Self::SetPolicy { id, decision } => out.extend([*id, *decision]),
            Self::AddEndpoint(endpoint) => add_endpoint(endpoint, out),
            Self::SetConcentrator { max_hops } => set_concentrator(*max_hops, out),
            Self::SetSourceRouteDiscovery { mode } => out.push(*mode),
            Self::NetworkInit => out.extend([0, 0]),
            Self::EnergyScan { channel, duration } => {
                out.push(0); // energy, not beacons
                out.extend(1u32.checked_shl((*channel).into()).unwrap_or(0).to_le_bytes());
                out.push(*duration);
            }
            Self::FormNetwork(parameters) => form_network(parameters, out),
            Self::LeaveNetwork => out.extend((layout == Layout::New).then_some(0)),
            Self::SetInitialSecurity { bits, link_key, network_key } => {
                out.extend(bits.to_le_bytes());
                out.extend(link_key.0);
                out.extend(network_key.0);
                out.push(0); // the key's sequence number: the first
                out.extend([0; 8]); // the trust centre is this stick
            }
            Self::ExportKey(key) => {
                out.push(*key as u8);
                // index, derived type (2), address (8), network, flags, algorithm (4): none of them matters here
                out.extend([0; 17]);
            }
            Self::ImportTransientKey { device, key } => {
                out.extend(device.bytes());
                out.extend(key.0);
                out.push(0);
            }
            Self::PermitJoining { seconds } => out.push(*seconds),
            Self::RemoveDevice { nwk, device } => {
                out.extend(nwk.to_le_bytes());
                out.extend(device.bytes());
                out.extend(device.bytes());
            }
            Self::SetExtendedTimeout { device } => {
                out.extend(device.bytes());
                out.push(1);
            }
            Self::LookupEui64(nwk) => out.extend(nwk.to_le_bytes()),
            Self::Unicast { nwk, aps, tag, message } => {
                out.push(0); // direct, not by a table
                out.extend(nwk.to_le_bytes());
                aps.write(out);
                out.push(*tag);
                out.extend((layout == Layout::New).then_some(0));
                contents(message, out);
            }
            Self::Broadcast { to, aps, radius, message } => broadcast(layout, *to, aps, *radius, message, out),
        }
    }
}

fn broadcast(layout: Layout, to: u16, aps: &Aps, radius: u8, message: &[u8], out: &mut Vec<u8>) {
    let new = layout == Layout::New;
    if new {
        out.extend([0, 0]); // no alias
    }
    out.extend(to.to_le_bytes());
    out.extend(new.then_some(0)); // the alias's sequence number
    aps.write(out);
    out.extend([radius, 0]);
    out.extend(new.then_some(0)); // the tag's second byte
    contents(message, out);
}

impl Aps {
    /// Bytes of it.
    pub const LENGTH: usize = 11;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.profile.to_le_bytes());
        out.extend(self.cluster.to_le_bytes());
        out.extend([self.source, self.destination]);
        out.extend(self.options.to_le_bytes());
        out.extend(self.group.to_le_bytes());
        out.push(self.sequence);
    }
}

fn contents(message: &[u8], out: &mut Vec<u8>) {
    debug_assert!(message.len() <= MESSAGE_MAX, "the hub's own messages are short");
    out.push(message.len() as u8);
    out.extend(message);
}

/// The longest message the hub sends: what fits without fragments (maximum APS payload, secured).
pub const MESSAGE_MAX: usize = 74;

fn add_endpoint(endpoint: &Endpoint, out: &mut Vec<u8>) {
    out.push(endpoint.number);
    out.extend(endpoint.profile.to_le_bytes());
    out.extend(endpoint.device.to_le_bytes());
    out.push(0); // device version
    out.extend([endpoint.inputs.len() as u8, endpoint.outputs.len() as u8]);
    for cluster in endpoint.inputs.iter().chain(endpoint.outputs) {
        out.extend(cluster.to_le_bytes());
    }
}

fn set_concentrator(max_hops: u8, out: &mut Vec<u8>) {
    /// It has memory for the routes that come in.
    const HIGH_RAM: u16 = 0xFFF9;
    /// Seconds between two route requests, least and most (both peers keep to about these).
    const BETWEEN_S: (u16, u16) = (10, 60);
    out.push(1);
    out.extend(HIGH_RAM.to_le_bytes());
    out.extend(BETWEEN_S.0.to_le_bytes());
    out.extend(BETWEEN_S.1.to_le_bytes());
    out.extend([3, 1, max_hops]); // route errors and failed deliveries that set off another one
}

fn form_network(parameters: &Parameters, out: &mut Vec<u8>) {
    out.extend(parameters.extended_pan);
    out.extend(parameters.pan.to_le_bytes());
    out.extend(parameters.tx_power.to_le_bytes());
    out.push(parameters.channel);
    out.push(0); // join method: association
    out.extend([0, 0, 0]); // network manager: the coordinator; update id
    out.extend((1u32 << parameters.channel).to_le_bytes());
}
