//! Attributes and their values as JSON, for people who read one frame. Keys are withheld.

use crate::zigbee::zcl::Status;
use crate::zigbee::zcl_global::Global;
use crate::zigbee::zcl_global::Reporting;
use crate::zigbee::zcl_value::Content;
use crate::zigbee::zcl_value::DataType;
use crate::zigbee::zcl_value::Value;
use serde_json::Value as Json;
use serde_json::json;

/// The list of a global command, one object for each attribute.
pub fn attributes(command: &Global) -> Vec<Json> {
    let failed = |failed: &[(u16, Status)]| failed.iter().map(|(id, status)| refused(*id, *status)).collect();
    match command {
        Global::Read(ids) => ids.iter().map(|id| json!({"id": code(*id)})).collect(),
        Global::ReadResponse(records) => {
            let record = |(id, result): &(u16, Result<Value, Status>)| match result {
                Ok(value) => told(*id, value),
                Err(status) => refused(*id, *status),
            };
            records.iter().map(record).collect()
        }
        Global::Write(attributes) | Global::Report(attributes) => {
            attributes.iter().map(|attribute| told(attribute.id, &attribute.value)).collect()
        }
        Global::WriteResponse(all) | Global::ConfigureReportingResponse(all) => failed(all),
        Global::ConfigureReporting(all) => all.iter().map(reporting).collect(),
        Global::DefaultResponse { .. } => Vec::new(),
    }
}

fn told(id: u16, value: &Value) -> Json {
    json!({"id": code(id), "type": value.data_type().name(), "value": shown(value)})
}

fn refused(id: u16, status: Status) -> Json {
    json!({"id": code(id), "status": status.name()})
}

fn reporting(reporting: &Reporting) -> Json {
    match reporting {
        Reporting::Send { id, data_type, min_s, max_s, change } => json!({
            "id": code(*id), "type": data_type.name(), "min_s": min_s, "max_s": max_s,
            "change": change.as_ref().map(shown),
        }),
        Reporting::Expect { id, timeout_s } => json!({"id": code(*id), "timeout_s": timeout_s}),
    }
}

/// A value as JSON: numbers as numbers, "no value" as `null`, bytes that are no text as hex.
fn shown(value: &Value) -> Json {
    let number = value.data_type().code();
    match (value.content(), number) {
        (_, 0x20..=0x27) => value.unsigned().into(),
        (_, 0x28..=0x2F) => value.signed().into(),
        (_, 0x38..=0x3A) => value.float().into(),
        (Content::Bits(bits), _) if value.data_type() == DataType::BOOL => match bits {
            0 => false.into(),
            1 => true.into(),
            _ => Json::Null,
        },
        (Content::Bits(_), 0x00 | 0xFF) => Json::Null,
        (Content::Bits(bits), _) if value.data_type() == DataType::EUI64 => format!("{bits:016x}").into(),
        (Content::Bits(bits), _) => (*bits).into(),
        (Content::Bytes(_), 0xF1) => "withheld".into(),
        (Content::Bytes(None), _) => Json::Null,
        (Content::Bytes(Some(bytes)), 0x42 | 0x44) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => plain(bytes).into(),
        },
        (Content::Bytes(Some(bytes)), _) => plain(bytes).into(),
        (Content::Many(_, values) | Content::Fields(values), _) => {
            values.as_ref().map(|values| values.iter().map(shown).collect::<Vec<_>>()).into()
        }
    }
}

/// A code as the standard writes it, e.g. `0x0500`.
pub fn code(number: u16) -> String {
    format!("0x{number:04x}")
}

/// Upper-case hex.
pub fn plain(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
