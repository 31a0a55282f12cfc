//! Measurements as people and scripts take them away: JSON Lines and CSV, in the order of their times.
//!
//! No event is here, and nothing here is evidence.

use crate::journal::export::Format;
use crate::journal::export::csv;
use serde_json::json;
use vakt_core::device::Measurement;
use vakt_core::stamp::rfc3339;

/// The columns of the CSV form, in order.
pub const COLUMNS: [&str; 6] = ["at", "clock", "device", "measure", "value", "unit"];

/// One measurement of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it was heard, in ms since 1970.
    pub at_ms: i64,
    /// Whether the hub's clock was trusted then.
    pub trusted: bool,
    /// Which device.
    pub device: String,
    /// What was measured.
    pub value: Measurement,
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only from this time on, in ms since 1970.
    pub since_ms: Option<i64>,
    /// Only of this device.
    pub device: Option<String>,
    /// Only of this measure.
    pub measure: Option<String>,
}

/// The header line of a form, if it has one.
pub fn header(format: Format) -> Option<String> {
    (format == Format::Csv).then(|| COLUMNS.join(","))
}

/// One measurement as a line, without its end.
pub fn line(format: Format, row: &Row) -> String {
    let value = json!({
        "at": rfc3339(row.at_ms), "clock": if row.trusted { "trusted" } else { "untrusted" }, "device": row.device,
        "measure": row.value.measure, "value": row.value.value(), "unit": row.value.unit,
    });
    match format {
        Format::Jsonl => value.to_string(),
        Format::Csv => csv(&value, &COLUMNS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_as_a_line_of_either_form() {
        let value = Measurement { measure: "temperature".to_owned(), value_milli: -1_573, unit: "°C".to_owned() };
        let mut row = Row { at_ms: 1_795_210_740_007, trusted: true, device: "wm-cellar".to_owned(), value };
        let golden = concat!(
            r#"{"at":"2026-11-20T21:39:00.007Z","clock":"trusted","device":"wm-cellar","measure":"temperature","#,
            r#""unit":"°C","value":-1.573}"#
        );
        assert_eq!(line(Format::Jsonl, &row), golden);
        // What a number is is no formula, however it begins; a unit that somebody else wrote may be one.
        row.value.unit = "=1+1".to_owned();
        assert_eq!(line(Format::Csv, &row), "2026-11-20T21:39:00.007Z,trusted,wm-cellar,temperature,-1.573,'=1+1");
        assert_eq!(header(Format::Csv).as_deref(), Some("at,clock,device,measure,value,unit"));
        assert_eq!(header(Format::Jsonl), None);
    }
}
