//! What a telegram measures, for rules and telemetry: its present numbers, each measure in one unit, in thousandths of it.
//!
//! Never of yesterday, of a tariff or of a part of a device, never the highest or lowest, no times and intervals: those are
//! for whoever reads the records. A value that is none, that has another unit than its measure, or that thousandths cannot
//! hold is left out, and never becomes zero.

use crate::subghz::wmbus_record::Record;
use vakt_core::device::Measurement;

/// Measurements taken of one telegram; those behind it in the telegram are left out. Meters send up to about twenty.
pub const MEASUREMENTS_MAX: usize = 32;

/// Below it a double holds each thousandth, and JSON each whole number.
const EXACT: f64 = (1i64 << 53) as f64;

/// Each measure and its unit. A name goes on behind it: `volume_backward`, `external_temperature_average`.
const UNITS: [(&str, &str); 19] = [
    ("energy", "kWh"),
    ("reactive_energy", "kvarh"),
    ("power", "kW"),
    ("volume_flow", "m3/h"),
    ("volume", "m3"),
    ("mass_flow", "kg/h"),
    ("mass", "kg"),
    ("flow_temperature", "°C"),
    ("return_temperature", "°C"),
    ("temperature_difference", "K"),
    ("external_temperature", "°C"),
    ("pressure", "bar"),
    ("relative_humidity", "%"),
    ("frequency", "Hz"),
    ("voltage", "V"),
    ("current", "A"),
    ("heat_cost_units", "HCA"),
    ("dimensionless", ""),
    ("co2", "ppm"),
];

/// The present numbers of a telegram. Of several with one name the first counts.
pub fn measured(records: &[Record]) -> Vec<Measurement> {
    let mut found: Vec<Measurement> = Vec::new();
    for record in records.iter().filter(|record| record.is_number && record.is_now(&record.vif)) {
        let Some(measurement) = measurement(record) else { continue };
        if found.len() == MEASUREMENTS_MAX {
            break;
        }
        if found.iter().all(|other| other.measure != measurement.measure) {
            found.push(measurement);
        }
    }
    found
}

fn measurement(record: &Record) -> Option<Measurement> {
    // Meters of one kind tell in units of their own, and some change between them.
    let (measure, unit, times) = match (record.name.as_str(), record.unit.as_str()) {
        (name, "MWh") => (name, "kWh", 1_000.0),
        (name, "MJ") => (name, "kWh", 1.0 / 3.6),
        (name, "GJ") => (name, "kWh", 1_000.0 / 3.6),
        (name, "Mcal") => (name, "kWh", 4.1868 / 3.6),
        (name, "MW") => (name, "kW", 1_000.0),
        (name, "MJ/h") => (name, "kW", 1.0 / 3.6),
        (name, "GJ/h") => (name, "kW", 1_000.0 / 3.6),
        (name, "m3/min") => (name, "m3/h", 60.0),
        (name, "m3/s") => (name, "m3/h", 3_600.0),
        (name, "t") => (name, "kg", 1_000.0),
        // A unit in plain text, as Elvaco's room sensors have it.
        ("plain_text_unit", "CO2") => ("co2", "ppm", 1.0),
        (name, unit) => (name, unit, 1.0),
    };
    UNITS.iter().find(|(known, of)| *of == unit && is_named(measure, known))?;
    let scaled = record.value.as_f64()? * times * 1_000.0;
    let value = scaled.round();
    let lost = value == 0.0 && scaled != 0.0;
    let (measure, unit) = (measure.to_owned(), unit.to_owned());
    (value.abs() < EXACT && !lost).then_some(Measurement { measure, value_milli: value as i64, unit })
}

fn is_named(measure: &str, known: &str) -> bool {
    measure.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
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
        assert_eq!(of("041000000000")[0].1, 0, "nothing has flown");
        assert_eq!(of("041001000000"), [], "a millionth of a cubic metre is not nothing");
        assert_eq!(of("055B0000C841")[0].1, 25_000, "a real");
        assert_eq!(of("027C03324F430001"), [("co2".to_owned(), 256_000, "ppm".to_owned())]);
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
    fn a_measure_has_one_unit_whatever_a_meter_tells_it_in() {
        // 5 kWh, 18 MJ and 0.018 GJ are one energy; 60 l/min and 3.6 m3/h one flow.
        let energy = |hex: &str| (of(hex)[0].0.clone(), of(hex)[0].1, of(hex)[0].2.clone());
        assert_eq!(energy("040605000000"), ("energy".to_owned(), 5_000, "kWh".to_owned()));
        assert_eq!(energy("040E12000000"), energy("040605000000"));
        assert_eq!(of("04FB0801000000")[0].1, 27_778, "0.1 GJ");
        assert_eq!(of("044B2C010000"), [("volume_flow".to_owned(), 1_080, "m3/h".to_owned())], "a running tap");
        assert_eq!(of("02FD580400"), [], "0.4 mA is not nothing");
    }

    #[test]
    fn of_one_name_the_first_counts_and_there_is_an_end() {
        assert_eq!(of("02658408026500000266DA00").len(), 1, "one name, two values and two scales");
        let names: String =
            (1..=6).flat_map(|n| (0..7).map(move |m| format!("0293{:02X}{m:02X}0100", 0x80 | n))).collect();
        assert_eq!(of(&names).len(), MEASUREMENTS_MAX);
    }
}
