//! What a telegram measures, for rules and telemetry: its present numbers, in thousandths of their unit.
//!
//! Never of yesterday, of a tariff or of a part of a device, never the highest or lowest: those are for whoever reads the
//! records. A value that is none, or that thousandths cannot hold, is left out and never becomes zero.

use crate::subghz::wmbus_record::Record;
use vakt_core::device::Measurement;

/// Measurements taken of one telegram; those behind it in the telegram are left out. Meters send up to about twenty.
pub const MEASUREMENTS_MAX: usize = 32;

/// The present numbers of a telegram. Of several with one name the first counts.
pub fn measured(records: &[Record]) -> Vec<Measurement> {
    let mut found: Vec<Measurement> = Vec::new();
    for record in records.iter().filter(|record| record.is_number && record.is_now(&record.vif)) {
        let Some(value_milli) = milli(record) else { continue };
        if found.len() == MEASUREMENTS_MAX {
            break;
        }
        if found.iter().all(|other| other.measure != record.name) {
            let (measure, unit) = (record.name.clone(), record.unit.clone());
            found.push(Measurement { measure, value_milli, unit });
        }
    }
    found
}

/// Rounded to the nearest thousandth.
fn milli(record: &Record) -> Option<i64> {
    /// Below it a double holds each thousandth.
    const EXACT: f64 = (1i64 << 53) as f64;
    if let Some(whole) = record.value.as_i64() {
        return whole.checked_mul(1_000);
    }
    let scaled = (record.value.as_f64()? * 1_000.0).round();
    (scaled.abs() < EXACT).then_some(scaled as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subghz::wmbus_record::records;

    fn of(hex: &str) -> Vec<(String, i64, String)> {
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        let found = measured(&records(&bytes, 0).unwrap());
        found.into_iter().map(|value| (value.measure, value.value_milli, value.unit)).collect()
    }

    #[test]
    fn what_is_now_is_measured_in_thousandths() {
        assert_eq!(of("02658408"), [("external_temperature".to_owned(), 21_800, "°C".to_owned())]);
        assert_eq!(of("0265FBFF")[0].1, -50, "below zero");
        assert_eq!(of("0413D2040000"), [("volume".to_owned(), 1_234, "m3".to_owned())]);
        assert_eq!(of("041001000000")[0].1, 0, "a millionth of a cubic metre is no thousandth");
        assert_eq!(of("055B0000C841")[0].1, 25_000, "a real");
    }

    #[test]
    fn what_is_past_an_extreme_a_bit_or_nothing_is_not() {
        for hex in
            ["42658408", "12658408", "8210658408", "8240658408", "01FD1711", "02FD1B1111", "0C13FAFFFFFF", "0013"]
        {
            assert_eq!(of(hex), [], "{hex}");
        }
        assert_eq!(of("07039C9C9C9C9C9C9C70"), [], "more than thousandths can count");
    }

    #[test]
    fn of_one_name_the_first_counts_and_there_is_an_end() {
        assert_eq!(of("02658408026500000266DA00").len(), 1, "one name, two values and two scales");
        let names: String =
            (1..=6).flat_map(|n| (0..7).map(move |m| format!("0293{:02X}{m:02X}0100", 0x80 | n))).collect();
        assert_eq!(of(&names).len(), MEASUREMENTS_MAX);
    }
}
