//! Rows as people and scripts take them away: JSON Lines (the payload as sent) and CSV.
//!
//! CSV cells that a spreadsheet would run as a formula are disarmed with a leading quote mark.

use serde_json::Value;
use vakt_core::event::Class;

/// The columns of the CSV form, in order.
pub const COLUMNS: [&str; 18] = [
    "epoch", "seq", "at", "clock", "class", "type", "area", "zone", "device", "incident", "user", "method", "service",
    "sia", "cid", "detail", "id", "hash",
];

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, the payload as sent.
    Jsonl,
    /// Comma separated, with a header line.
    Csv,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this class.
    pub class: Option<Class>,
    /// Only from this time on, in ms since 1970.
    pub since_ms: Option<i64>,
}

/// The header line of a form, if it has one.
pub fn header(format: Format) -> Option<String> {
    (format == Format::Csv).then(|| COLUMNS.join(","))
}

/// One event as a line, without its end.
pub fn line(format: Format, wire: &[u8]) -> String {
    match format {
        Format::Jsonl => String::from_utf8_lossy(wire).into_owned(),
        Format::Csv => csv(&serde_json::from_slice(wire).unwrap_or(Value::Null), &COLUMNS),
    }
}

/// The members of an object in these columns, comma separated.
pub fn csv(value: &Value, columns: &[&str]) -> String {
    columns.iter().map(|column| cell(&value[*column])).collect::<Vec<_>>().join(",")
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        // a number is what it is, also one below zero
        Value::Number(number) => return number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(cid) if cid.contains_key("q") => format!("{}-{}", cid["q"], cid["code"]),
        other => other.to_string(),
    };
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        assert_eq!(cell(&Value::String("a,\"b\"".into())), "\"a,\"\"b\"\"\"");
        assert_eq!(cell(&Value::String("=1+1".into())), "'=1+1");
        assert_eq!(cell(&serde_json::json!({"q": 1, "code": 130})), "1-130");
        assert_eq!(header(Format::Csv).map(|h| h.split(',').count()), Some(COLUMNS.len()));
    }
}
