//! One frame between a stick and its host as text in, one JSON line out: what `vaktd decode ezsp` prints. Pure. Keys that
//! cross the line are not repeated.

use crate::zigbee::ash_frame::BadFrame;
use crate::zigbee::ash_frame::Deframer;
use crate::zigbee::ash_frame::FLAG;
use crate::zigbee::ash_frame::Frame;
use crate::zigbee::bytes::Reader;
use crate::zigbee::bytes::from_hex;
use crate::zigbee::decode;
use crate::zigbee::ezsp::frame;
use crate::zigbee::ezsp_answer::Answer;
use crate::zigbee::ezsp_answer::Callback;
use crate::zigbee::ezsp_answer::Header;
use crate::zigbee::ezsp_answer::Incoming;
use crate::zigbee::ezsp_status::Layout;
use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;
use crate::zigbee::start::PROFILE_HA;
use crate::zigbee::zcl_json::code;
use crate::zigbee::zcl_json::plain;
use serde_json::Value as Json;
use serde_json::json;

/// Names of UG100, for the frames this host knows.
const NAMES: [(u16, &str); 35] = [
    (frame::VERSION, "version"),
    (frame::ADD_ENDPOINT, "addEndpoint"),
    (frame::NOP, "nop"),
    (frame::SET_CONCENTRATOR, "setConcentrator"),
    (frame::SET_MANUFACTURER_CODE, "setManufacturerCode"),
    (frame::NETWORK_INIT, "networkInit"),
    (frame::STACK_STATUS, "stackStatusHandler"),
    (frame::START_SCAN, "startScan"),
    (frame::SCAN_COMPLETE, "scanCompleteHandler"),
    (frame::ENERGY_SCAN_RESULT, "energyScanResultHandler"),
    (frame::FORM_NETWORK, "formNetwork"),
    (frame::LEAVE_NETWORK, "leaveNetwork"),
    (frame::PERMIT_JOINING, "permitJoining"),
    (frame::TRUST_CENTER_JOIN, "trustCenterJoinHandler"),
    (frame::GET_EUI64, "getEui64"),
    (frame::GET_NETWORK_PARAMETERS, "getNetworkParameters"),
    (frame::SEND_UNICAST, "sendUnicast"),
    (frame::SEND_BROADCAST, "sendBroadcast"),
    (frame::MESSAGE_SENT, "messageSentHandler"),
    (frame::INCOMING_MESSAGE, "incomingMessageHandler"),
    (frame::SET_CONFIGURATION_VALUE, "setConfigurationValue"),
    (frame::SET_POLICY, "setPolicy"),
    (frame::INVALID_COMMAND, "invalidCommand"),
    (frame::SET_SOURCE_ROUTE_DISCOVERY_MODE, "setSourceRouteDiscoveryMode"),
    (frame::LOOKUP_NODE_ID, "lookupNodeIdByEui64"),
    (frame::LOOKUP_EUI64, "lookupEui64ByNodeId"),
    (frame::READ_AND_CLEAR_COUNTERS, "readAndClearCounters"),
    (frame::SET_INITIAL_SECURITY_STATE, "setInitialSecurityState"),
    (frame::CLEAR_TRANSIENT_LINK_KEYS, "clearTransientLinkKeys"),
    (frame::SET_EXTENDED_TIMEOUT, "setExtendedTimeout"),
    (frame::GET_VALUE, "getValue"),
    (frame::REMOVE_DEVICE, "removeDevice"),
    (frame::IMPORT_TRANSIENT_KEY, "importTransientKey"),
    (frame::EXPORT_KEY, "exportKey"),
    (frame::GET_NETWORK_KEY_INFO, "getNetworkKeyInfo"),
];
/// Frames whose parameters hold a key.
const WITH_KEYS: [u16; 3] = [frame::SET_INITIAL_SECURITY_STATE, frame::IMPORT_TRANSIENT_KEY, frame::EXPORT_KEY];

/// Decodes a frame: a whole ASH frame where it ends with its flag, else the EZSP frame that one carries.
///
/// # Errors
/// Why it was refused.
pub fn decode(version: u8, hex: &str) -> Result<Json, Refused> {
    let bytes = from_hex(hex)?;
    let layout = Layout::of(version);
    if bytes.last() != Some(&FLAG) {
        return ezsp(layout, &bytes);
    }
    let mut deframer = Deframer::default();
    let mut read = bytes.iter().filter_map(|byte| deframer.push(*byte));
    let ash = match read.next() {
        Some(Ok(frame)) => frame,
        Some(Err(bad)) => return Err(refused(bad, bytes.len())),
        None => return Err(Refused::new(Reason::TooShort, 0, "nothing but flags")),
    };
    if read.next().is_some() {
        return Err(Refused::new(Reason::BadValue, 0, "more than one ASH frame: give them one by one"));
    }
    Ok(match ash {
        Frame::Data { number, again, ack, data } => {
            let mut decoded = ezsp(layout, &data)?;
            decoded["ash"] = json!({"frame": "data", "number": number, "again": again, "ack": ack});
            decoded
        }
        Frame::Ack { ack, not_ready } => only(json!({"frame": "ack", "ack": ack, "not_ready": not_ready})),
        Frame::Nak { ack } => only(json!({"frame": "nak", "ack": ack})),
        Frame::Rst => only(json!({"frame": "rst"})),
        Frame::RstAck { version, code } => {
            let reason = crate::zigbee::ash::reset_name(code);
            only(json!({"frame": "rstack", "version": version, "code": code, "reason": reason}))
        }
        Frame::Error { version, code } => {
            let reason = crate::zigbee::ash::reset_name(code);
            only(json!({"frame": "error", "version": version, "code": code, "reason": reason}))
        }
    })
}

/// Decodes one line of a batch and says whether the frame was good. Always one line, without its end.
pub fn decode_line(version: u8, hex: &str) -> (String, bool) {
    match decode(version, hex.trim()) {
        Ok(decoded) => (decoded.to_string(), true),
        Err(refused) => (json!({"error": refused}).to_string(), false),
    }
}

fn only(ash: Json) -> Json {
    json!({"ash": ash, "ezsp": null, "report": null})
}

fn refused(bad: BadFrame, length: usize) -> Refused {
    let reason = match bad {
        BadFrame::Short { .. } => Reason::TooShort,
        BadFrame::Long => Reason::TooLong,
        BadFrame::Crc { .. } => Reason::BadCrc,
        BadFrame::Control(_) | BadFrame::Lost => Reason::BadValue,
    };
    Refused::new(reason, length.saturating_sub(1), bad.to_string())
}

fn ezsp(layout: Layout, bytes: &[u8]) -> Result<Json, Refused> {
    // The third byte is the frame format, 1, but in the first exchange of a connection, where it is the frame id: 0.
    let first = bytes.get(2) == Some(&0);
    let mut reader = Reader::new(bytes)?;
    let header = Header::parse(&mut reader, first)?;
    let name = NAMES.iter().find(|(id, _)| *id == header.id).map(|(_, name)| *name);
    let mut view = json!({
        "sequence": header.sequence,
        "direction": if header.response { "from_stick" } else { "to_stick" },
        "callback": header.callback,
        "overflow": header.overflow,
        "frame": code(header.id),
        "name": name,
    });
    let at = reader.at();
    let mut report = Json::Null;
    if header.response && header.callback {
        match Callback::parse(header.id, layout, &mut reader)? {
            Callback::Network(status) => view["status"] = status.to_string().into(),
            Callback::Incoming(incoming) => report = message(&incoming, &mut view),
            Callback::Sent { nwk, tag, status } => {
                view["sent"] = json!({"nwk": code(nwk), "tag": tag, "status": status.to_string()});
            }
            Callback::Energy { channel, rssi_dbm } => {
                view["energy"] = json!({"channel": channel, "rssi_dbm": rssi_dbm});
            }
            Callback::Scanned(status) => view["status"] = status.to_string().into(),
            Callback::Joined(joined) => {
                view["joined"] = json!({"nwk": code(joined.nwk), "device": joined.device.device(None),
                    "update": format!("{:?}", joined.update), "denied": joined.denied, "parent": code(joined.parent)});
            }
            Callback::Other(_) => {}
        }
    } else if header.response && header.id != frame::INVALID_COMMAND && name.is_some() {
        match Answer::parse(header.id, layout, &mut reader) {
            Ok(answer) => view["answer"] = self::answer(&answer),
            Err(refused) if refused.kind == Reason::NotSupported && !WITH_KEYS.contains(&header.id) => {
                view["parameters"] = plain(&bytes[at..]).into();
            }
            Err(refused) if refused.kind == Reason::NotSupported => {}
            Err(refused) => return Err(refused),
        }
    } else if name.is_some() && !WITH_KEYS.contains(&header.id) {
        view["parameters"] = plain(&bytes[at..]).into();
    }
    Ok(json!({"ezsp": view, "report": report}))
}

/// A message's surroundings and, where it is one this hub reads, what it says.
fn message(incoming: &Incoming, view: &mut Json) -> Json {
    let aps = incoming.aps;
    view["message"] = json!({
        "broadcast": incoming.broadcast, "nwk": code(incoming.nwk), "profile": code(aps.profile),
        "cluster": code(aps.cluster), "source": aps.source, "destination": aps.destination, "aps": aps.sequence,
        "lqi": incoming.lqi, "rssi_dbm": incoming.rssi_dbm,
    });
    if !decode::WITH_CODES.contains(&aps.cluster) {
        view["message"]["payload"] = plain(&incoming.message).into();
    }
    if aps.profile != PROFILE_HA {
        return Json::Null;
    }
    let Ok(zcl) = decode::decode(aps.cluster, None, &plain(&incoming.message)) else { return Json::Null };
    let zcl = serde_json::to_value(zcl).expect("a decoded frame has a JSON form");
    let report = zcl["report"].clone();
    view["zcl"] = zcl;
    report
}

fn answer(answer: &Answer) -> Json {
    match answer {
        Answer::Version { protocol, stack } => json!({"protocol": protocol, "stack": code(*stack)}),
        Answer::Status(status) => json!({"status": status.to_string()}),
        Answer::Eui64(device) => json!({"device": device.device(None)}),
        Answer::NodeId(nwk) => json!({"nwk": nwk.map(code)}),
        Answer::Parameters { status, parameters } => json!({"status": status.to_string(),
            "pan": code(parameters.pan), "channel": parameters.channel, "tx_power_dbm": parameters.tx_power}),
        Answer::KeyInfo { status, frame_counter } => {
            json!({"status": status.to_string(), "frame_counter": frame_counter})
        }
        Answer::Key { status, .. } => json!({"status": status.to_string(), "key": "withheld"}),
        Answer::Sent { status, sequence } => json!({"status": status.to_string(), "aps": sequence}),
        Answer::Counters(counters) => json!({"counters": counters}),
        Answer::Nothing => json!({}),
    }
}
