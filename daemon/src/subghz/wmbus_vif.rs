//! What a record's value is: the VIF tables of EN 13757-3, 6.3 to 6.4.6, as name, unit and power of ten.
//!
//! A code that is not listed gets the name `unknown` and no scale: its raw number is passed on, its meaning is not
//! guessed.

/// How the bytes of a value are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A measured number, signed.
    Number,
    /// A count or a set of bits, without sign.
    Bits,
    /// A number that is a name: leading zeros count.
    Digits,
    /// A date or a date with time, by its size.
    Date,
}

/// What a VIF says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Snake case, English.
    pub name: String,
    /// As written on a display; empty for pure numbers.
    pub unit: String,
    /// The value counts in 10^power of the unit.
    pub power: i32,
    /// How its bytes are read.
    pub form: Form,
}

fn number(name: &str, unit: &str, power: i32) -> Meaning {
    Meaning { name: name.into(), unit: unit.into(), power, form: Form::Number }
}

fn form(name: &str, form: Form) -> Meaning {
    Meaning { name: name.into(), unit: String::new(), power: 0, form }
}

fn time(name: &str, code: u8) -> Meaning {
    number(name, ["s", "min", "h", "d"][usize::from(code & 3)], 0)
}

/// The meaning of a chain of VIF and VIFEs; `plain` is the text of a plain-text VIF (7C, FC).
pub fn meaning(chain: &[u8], plain: Option<&str>) -> Meaning {
    let (mut meaning, qualifiers) = match *chain {
        [0xFB, vife, ref rest @ ..] => (extension_fb(vife & 0x7F), rest),
        [0xFD, vife, ref rest @ ..] => (extension_fd(vife & 0x7F), rest),
        [0xEF, ref rest @ ..] => (form("unknown", Form::Bits), rest),
        [0x7F | 0xFF, ..] => return form("manufacturer_specific", Form::Bits),
        [0x7C | 0xFC, ref rest @ ..] => {
            (Meaning { unit: plain.unwrap_or_default().into(), ..form("plain_text_unit", Form::Number) }, rest)
        }
        [vif, ref rest @ ..] => (primary(vif & 0x7F), rest),
        [] => return form("unknown", Form::Bits),
    };
    for (n, vife) in qualifiers.iter().enumerate() {
        match vife & 0x7F {
            // Everything behind is the maker's own and changes no number.
            0x7F => break,
            code => qualify(&mut meaning, code, n),
        }
    }
    meaning
}

fn primary(vif: u8) -> Meaning {
    let n = |mask: u8| i32::from(vif & mask);
    match vif {
        0x00..=0x07 => number("energy", "kWh", n(7) - 6),
        0x08..=0x0F => number("energy", "MJ", n(7) - 6),
        0x10..=0x17 => number("volume", "m3", n(7) - 6),
        0x18..=0x1F => number("mass", "kg", n(7) - 3),
        0x20..=0x23 => time("on_time", vif),
        0x24..=0x27 => time("operating_time", vif),
        0x28..=0x2F => number("power", "kW", n(7) - 6),
        0x30..=0x37 => number("power", "MJ/h", n(7) - 6),
        0x38..=0x3F => number("volume_flow", "m3/h", n(7) - 6),
        0x40..=0x47 => number("volume_flow", "m3/min", n(7) - 7),
        0x48..=0x4F => number("volume_flow", "m3/s", n(7) - 9),
        0x50..=0x57 => number("mass_flow", "kg/h", n(7) - 3),
        0x58..=0x5B => number("flow_temperature", "°C", n(3) - 3),
        0x5C..=0x5F => number("return_temperature", "°C", n(3) - 3),
        0x60..=0x63 => number("temperature_difference", "K", n(3) - 3),
        0x64..=0x67 => number("external_temperature", "°C", n(3) - 3),
        0x68..=0x6B => number("pressure", "bar", n(3) - 3),
        0x6C => form("date", Form::Date),
        0x6D => form("date_time", Form::Date),
        0x6E => number("heat_cost_units", "HCA", 0),
        0x70..=0x73 => time("averaging_duration", vif),
        0x74..=0x77 => time("actuality_duration", vif),
        0x78 => form("fabrication_number", Form::Digits),
        0x79 => form("identification", Form::Digits),
        0x7A => form("bus_address", Form::Bits),
        0x7E => form("any_value", Form::Bits),
        _ => form("unknown", Form::Bits),
    }
}

fn extension_fb(vife: u8) -> Meaning {
    let n = |mask: u8| i32::from(vife & mask);
    match vife {
        0x00..=0x01 => number("energy", "MWh", n(1) - 1),
        0x02..=0x03 => number("reactive_energy", "kvarh", n(1)),
        0x08..=0x09 => number("energy", "GJ", n(1) - 1),
        0x0C..=0x0F => number("energy", "Mcal", n(3) - 1),
        0x10..=0x11 => number("volume", "m3", n(1) + 2),
        0x18..=0x19 => number("mass", "t", n(1) + 2),
        0x1A..=0x1B => number("relative_humidity", "%", n(1) - 1),
        0x28..=0x29 => number("power", "MW", n(1) - 1),
        0x2B => number("power_phase", "°", -1),
        0x2C..=0x2F => number("frequency", "Hz", n(3) - 3),
        0x30..=0x31 => number("power", "GJ/h", n(1) - 1),
        0x74..=0x77 => number("cold_warm_temperature_limit", "°C", n(3) - 3),
        0x78..=0x7F => number("maximum_power_count", "W", n(7) - 3),
        _ => form("unknown", Form::Bits),
    }
}

fn extension_fd(vife: u8) -> Meaning {
    let n = |mask: u8| i32::from(vife & mask);
    match vife {
        0x08 => form("access_number", Form::Bits),
        0x09 => form("device_type", Form::Bits),
        0x0A => form("manufacturer", Form::Digits),
        0x0B => form("parameter_set", Form::Digits),
        0x0C => form("model_version", Form::Digits),
        0x0D => form("hardware_version", Form::Digits),
        0x0E => form("firmware_version", Form::Digits),
        0x0F => form("software_version", Form::Digits),
        0x10 => form("customer_location", Form::Digits),
        0x11 => form("customer", Form::Digits),
        0x17 => form("error_flags", Form::Bits),
        0x18 => form("error_mask", Form::Bits),
        0x1A => form("digital_output", Form::Bits),
        0x1B => form("digital_input", Form::Bits),
        0x1C => number("baud_rate", "Bd", 0),
        0x24..=0x27 => time("storage_interval", vife),
        0x28 => number("storage_interval", "month", 0),
        0x29 => number("storage_interval", "a", 0),
        0x2C..=0x2F => time("duration_since_readout", vife),
        0x31..=0x33 => time("duration_of_tariff", vife),
        0x34..=0x37 => time("period_of_tariff", vife),
        0x3A => number("dimensionless", "", 0),
        0x40..=0x4F => number("voltage", "V", n(15) - 9),
        0x50..=0x5F => number("current", "A", n(15) - 12),
        0x60 => form("reset_counter", Form::Bits),
        0x61 => form("cumulation_counter", Form::Bits),
        0x66 => form("state_of_parameter", Form::Bits),
        0x67 => form("special_supplier_information", Form::Bits),
        0x68..=0x6B => number("duration_since_cumulation", ["h", "d", "month", "a"][usize::from(vife & 3)], 0),
        0x6C..=0x6F => number("battery_operating_time", ["h", "d", "month", "a"][usize::from(vife & 3)], 0),
        0x70 => form("battery_change", Form::Date),
        0x71 => number("signal_level", "dBm", 0),
        0x74 => number("remaining_battery_life", "d", 0),
        _ => form("unknown", Form::Bits),
    }
}

/// A combinable VIFE (EN 13757-3, table 15) changes a meaning; one that is not listed is shown by its code.
fn qualify(meaning: &mut Meaning, code: u8, n: usize) {
    const PER: [&str; 7] = ["/s", "/min", "/h", "/d", "/week", "/month", "/a"];
    match code {
        0x12 => meaning.name.push_str("_average"),
        0x13 => meaning.name.push_str("_inverse_compact_profile"),
        0x1D => {} // content as the standard has it for this device type: the name stays
        0x20..=0x26 => meaning.unit.push_str(PER[usize::from(code - 0x20)]),
        0x3A => meaning.name.push_str("_uncorrected"),
        0x3B => meaning.name.push_str("_forward"),
        0x3C => meaning.name.push_str("_backward"),
        0x40 => meaning.name.push_str("_lower_limit"),
        0x48 => meaning.name.push_str("_upper_limit"),
        0x70..=0x77 => meaning.power += i32::from(code & 7) - 6,
        0x7D => meaning.power += 3,
        0x7E => meaning.name.push_str("_future"),
        // Both turn a value into a date: when a limit was first or last crossed.
        0x39 => {
            meaning.form = Form::Date;
            meaning.unit.clear();
            meaning.power = 0;
            meaning.name.push_str("_start");
        }
        0x42 | 0x43 | 0x46 | 0x47 | 0x4A | 0x4B | 0x4E | 0x4F | 0x6A | 0x6B | 0x6E | 0x6F => {
            meaning.form = Form::Date;
            meaning.unit.clear();
            meaning.power = 0;
            meaning.name.push_str(if code & 4 == 0 { "_first" } else { "_last" });
            meaning.name.push_str(if code & 1 == 0 { "_begin" } else { "_end" });
        }
        _ if n < 10 => meaning.name.push_str(&format!("_vife_{code:02x}")),
        _ => {}
    }
}
