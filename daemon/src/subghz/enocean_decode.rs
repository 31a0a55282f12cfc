//! One ESP3 packet as text in, one JSON line out: what `vaktd decode esp3` prints (contract, `vaktd`). Pure; keys go in,
//! nothing of them comes out, nor of those a secure teach-in carries.

use crate::subghz::decode::ErrorLine;
use crate::subghz::decode::ReportView;
use crate::subghz::decode::from_hex;
use crate::subghz::decode::json;
use crate::subghz::decode::parse_key;
use crate::subghz::eep;
use crate::subghz::eep::Message;
use crate::subghz::eep::Said;
use crate::subghz::enocean::in_clear;
use crate::subghz::enocean::is_secure;
use crate::subghz::enocean_security::Key;
use crate::subghz::enocean_security::open_by_key;
use crate::subghz::enocean_teach::Part;
use crate::subghz::enocean_teach::Request;
use crate::subghz::enocean_teach::TeachIn;
use crate::subghz::erp1::BROADCAST;
use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::esp3::Packet;
use crate::subghz::esp3::PacketType;
use crate::subghz::esp3_command::Event;
use crate::subghz::esp3_command::Response;
use crate::subghz::refused::Refused;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use vakt_core::device::Authenticated;
use vakt_core::device::Eep;

/// A decoded packet, as the contract writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decoded {
    /// `{"type","data_length","optional_length"}`, of other packets than telegrams also what they say.
    packet: Value,
    /// The telegram in it; `null` where it holds none.
    radio: Option<RadioView>,
    /// What it teaches; absent where it is no teach-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    teach_in: Option<Value>,
    /// `secure` where it came secured; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<&'static str>,
    /// What was in it, where the key opened it: `{"slf","rlc","rorg","payload"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<Value>,
    /// `crc`, or `mac` where a key was given and the telegram's code holds. Never `mac_counter`: with what would its
    /// rolling code be compared?
    authenticated: Authenticated,
    /// What it measures and says besides: `{"name","value","unit"}`; empty without a profile.
    values: Vec<Value>,
    /// What it means for the alarm system; `null` without a profile, and where it says nothing of that.
    report: Option<ReportView>,
    /// What it says under another kind, e.g. vibration beside a contact; absent where it says nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    also: Option<ReportView>,
}

/// A telegram as the contract writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct RadioView {
    rorg: String,
    sender: String,
    device: String,
    status: String,
    /// How many repeaters it came through.
    repeated: u8,
    t21: bool,
    nu: bool,
    /// In hex; absent of a secure teach-in, which carries a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// Whom it is for; `null` where it is for everybody or the transceiver does not tell.
    destination: Option<String>,
    subtelegrams: Option<u8>,
    rssi_dbm: Option<i16>,
    security_level: Option<u8>,
}

/// Decodes one packet from hexadecimal text. `eep` is the profile of the device that sent it, `key` its key.
///
/// # Errors
/// Why it was refused.
pub fn decode(eep: Option<Eep>, key: Option<&Key>, hex: &str) -> Result<Decoded, Refused> {
    let packet = Packet::parse(&from_hex(hex)?)?;
    let mut decoded = Decoded {
        packet: packet_view(&packet)?,
        radio: None,
        teach_in: None,
        encrypted: None,
        opened: None,
        authenticated: Authenticated::Crc,
        values: Vec::new(),
        report: None,
        also: None,
    };
    if packet.packet_type != PacketType::RadioErp1 {
        return Ok(decoded);
    }
    let telegram = Telegram::of(&packet)?;
    decoded.radio = Some(radio(&telegram));
    // Offsets are told in the telegram's own bytes below here, and in the packet's above.
    let in_packet = |refused: Refused| Refused { at: refused.at + 6, ..refused };
    if !is_secure(telegram.rorg) {
        decoded.read(eep, &in_clear(&telegram).map_err(in_packet)?).map_err(in_packet)?;
        return Ok(decoded);
    }
    decoded.encrypted = Some("secure");
    if let Some(key) = key {
        let (slf, opened) = open_by_key(key, &telegram).map_err(in_packet)?;
        decoded.authenticated = opened.authenticated;
        let rlc = format!("{:06X}", opened.rlc);
        let (slf, rorg) = (format!("{:02X}", slf.byte), format!("{:02X}", opened.rorg));
        decoded.opened = Some(json!({"slf": slf, "rlc": rlc, "rorg": rorg, "payload": to_hex(&opened.payload)}));
        decoded.read(eep, &opened.message(&telegram)).map_err(in_packet)?;
    }
    Ok(decoded)
}

/// Decodes one line of a batch, `HEX` or `KEY HEX`, and says whether the packet was good. Always one line, without its
/// end.
pub fn decode_line(eep: Option<Eep>, key: Option<&Key>, line: &str) -> (String, bool) {
    let line = line.trim();
    let result = match line.split_once(char::is_whitespace).map(|(key, hex)| (key, hex.trim())) {
        Some((own, hex)) => parse_key(own).and_then(|own| decode(eep, Some(&Key::new(own)), hex)),
        None => decode(eep, key, line),
    };
    match result {
        Ok(decoded) => (json(&decoded), true),
        Err(error) => (json(&ErrorLine { error }), false),
    }
}

impl Decoded {
    /// What a message in clear teaches or says.
    fn read(&mut self, eep: Option<Eep>, message: &Message<'_>) -> Result<(), Refused> {
        self.teach_in = TeachIn::read(message.rorg, message.payload)?.map(|teach_in| teach_in_view(&teach_in));
        let Some(eep) = eep else { return Ok(()) };
        // A teach-in of another type says what a device is, and is no word of the profile that was asked for.
        if self.teach_in.is_some() && message.rorg != eep.rorg {
            return Ok(());
        }
        let Said { report, also, values, words } = eep::understand(eep, message)?;
        let measured =
            values.iter().map(|value| json!({"name": value.measure, "value": value.value(), "unit": value.unit}));
        let said = words.iter().map(|(name, value)| json!({"name": name, "value": value, "unit": ""}));
        self.values = measured.chain(said).collect();
        self.report = report.map(ReportView::from);
        self.also = also.map(ReportView::from);
        Ok(())
    }
}

fn packet_view(packet: &Packet) -> Result<Value, Refused> {
    let mut view = json!({
        "type": packet.packet_type.name(),
        "data_length": packet.data.len(),
        "optional_length": packet.optional.len(),
    });
    match packet.packet_type {
        PacketType::RadioErp1 => {}
        PacketType::Response => {
            let response = Response::parse(packet)?;
            view["return_code"] = json!(packet.data[0]);
            view["data"] = json!(to_hex(&response.data));
        }
        PacketType::Event => {
            (view["event"], view["cause"]) = match Event::parse(packet)? {
                Event::Ready { cause } => (json!("ready"), json!(cause)),
                Event::DutyCycleLimit { reached } => (json!("duty_cycle_limit"), json!(u8::from(reached))),
                Event::TransmitFailed { cause } => (json!("transmit_failed"), json!(cause)),
                Event::Other { code } => (json!(code), Value::Null),
            }
        }
        PacketType::CommonCommand => view["command"] = json!(packet.data[0]),
        PacketType::RadioSubTel | PacketType::Other(_) => {}
    }
    Ok(view)
}

fn radio(telegram: &Telegram) -> RadioView {
    let received = telegram.received;
    let secret = telegram.rorg == rorg::SEC_TEACH_IN;
    let destination = received.map(|received| received.destination).filter(|id| *id != BROADCAST);
    RadioView {
        rorg: format!("{:02X}", telegram.rorg),
        sender: format!("{:08X}", telegram.sender),
        device: telegram.device().to_string(),
        status: format!("{:02X}", telegram.status.0),
        repeated: telegram.status.repeated(),
        t21: telegram.status.t21(),
        nu: telegram.status.nu(),
        payload: (!secret).then(|| to_hex(&telegram.payload)),
        destination: destination.map(|id| format!("{id:08X}")),
        subtelegrams: received.map(|received| received.subtelegrams),
        rssi_dbm: telegram.rssi_dbm(),
        security_level: received.map(|received| received.security_level),
    }
}

fn teach_in_view(teach_in: &TeachIn) -> Value {
    match teach_in {
        TeachIn::OneBs => json!({"kind": "1bs"}),
        TeachIn::FourBs { profile: None } => json!({"kind": "4bs"}),
        TeachIn::FourBs { profile: Some((eep, manufacturer)) } => {
            json!({"kind": "4bs", "eep": eep.to_string(), "manufacturer": format!("{manufacturer:03X}")})
        }
        TeachIn::Ute(ute) => json!({
            "kind": "ute",
            "eep": ute.eep.to_string(),
            "manufacturer": format!("{:03X}", ute.manufacturer),
            "channel": ute.channel,
            "bidirectional": ute.bidirectional,
            "response_expected": ute.response_expected,
            "request": match ute.request {
                Request::Teach => "teach",
                Request::Forget => "forget",
                Request::Either => "either",
            },
        }),
        TeachIn::Secure(part @ Part::First { count, pre_shared, ptm, slf, .. }) => json!({
            "kind": "secure",
            "index": 0,
            "count": count,
            "pre_shared": pre_shared,
            "ptm": ptm,
            "slf": format!("{:02X}", slf.byte),
            "rlc": part.rlc().map(|rlc| format!("{rlc:0width$X}", width = 2 * slf.rolling_bytes())),
        }),
        TeachIn::Secure(Part::Next { index, .. }) => json!({"kind": "secure", "index": index}),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
