//! Data records (EN 13757-3, 6): DIF, DIFEs, VIF, VIFEs and the value behind them.
//!
//! The whole payload must be readable: a record that is cut, or that no rule describes, refuses all of them, because
//! behind it nothing can be trusted to be a record. Values of unlisted meaning are passed on, unscaled, as `unknown`.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_value as value;
use crate::subghz::wmbus_vif::Form;
use crate::subghz::wmbus_vif::Meaning;
use crate::subghz::wmbus_vif::meaning;
use serde::Serialize;
use serde_json::Value;

/// DIFEs or VIFEs of one record; more is no record (EN 13757-3, 6.3.5).
const MAX_EXTENSIONS: usize = 10;
/// Longest plain-text unit taken.
const MAX_PLAIN: usize = 32;

/// When a value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Now.
    Instantaneous,
    /// The highest.
    Maximum,
    /// The lowest.
    Minimum,
    /// While an error lasted.
    AtError,
}

/// One value, as the contract writes it: `{"key","name","value","unit"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// DIF, DIFEs, VIF, VIFEs in upper-case hex, e.g. `02FD1B`.
    pub key: String,
    /// What it is, with `maximum_`, `minimum_` or `at_error_` in front where it is not the present value.
    pub name: String,
    /// A number where that is exact, text for dates, names and strings, `null` for a value that is none.
    pub value: Value,
    /// As on a display, `m3`, `kWh`, `°C`; empty for pure numbers.
    pub unit: String,
    /// VIF and VIFEs.
    #[serde(skip)]
    pub vif: Vec<u8>,
    /// When it holds.
    #[serde(skip)]
    pub function: Function,
    /// Storage number: 0 is the present value.
    #[serde(skip)]
    pub storage: u64,
    /// Tariff.
    #[serde(skip)]
    pub tariff: u32,
    /// Sub-unit of the device.
    #[serde(skip)]
    pub subunit: u32,
    /// The value as bits, where it is a binary number of at most 8 bytes.
    #[serde(skip)]
    pub bits: Option<u64>,
    /// The value is a measured number: neither a set of bits nor a name nor a date.
    #[serde(skip)]
    pub is_number: bool,
}

impl Record {
    /// A value outside any record: a maker's own payload. `key` is the CI field or the DIF in front of it.
    pub fn own(key: u8, name: &str, value: Value) -> Self {
        Self {
            key: format!("{key:02X}"),
            name: name.into(),
            value,
            unit: String::new(),
            vif: Vec::new(),
            function: Function::Instantaneous,
            storage: 0,
            tariff: 0,
            subunit: 0,
            bits: None,
            is_number: false,
        }
    }

    /// Whether this is the device's present value of `vif`.
    pub fn is_now(&self, vif: &[u8]) -> bool {
        self.vif == vif
            && self.function == Function::Instantaneous
            && (self.storage, self.tariff, self.subunit) == (0, 0, 0)
    }
}

/// Reads all records of a payload; `base` is where it begins, for the offsets of refusals.
///
/// # Errors
/// `bad_record` at the first byte that cannot be read as the standard says.
pub fn records(payload: &[u8], base: usize) -> Result<Vec<Record>, Refused> {
    let mut records = Vec::new();
    let mut at = Cursor { bytes: payload, pos: 0, base };
    while let Some(dif) = at.next() {
        match dif {
            0x2F => {}
            // 1F adds that more follows in another telegram.
            0x0F | 0x1F => {
                let own = at.rest().iter().map(|b| format!("{b:02X}")).collect::<String>();
                records.push(Record::own(dif, "manufacturer_specific", own.into()));
                break;
            }
            _ if dif & 0x0F == 0x0F => return Err(at.bad(format!("DIF {dif:02X} is reserved"))),
            _ => records.push(record(dif, &mut at)?),
        }
    }
    Ok(records)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
    base: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.pos).copied()?;
        self.pos += 1;
        Some(byte)
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Refused> {
        let Some(taken) = self.rest().get(..n) else {
            let left = self.rest().len();
            return Err(self.bad(format!("{what} needs {n} bytes, {left} are left")));
        };
        self.pos += n;
        Ok(taken)
    }

    fn byte(&mut self, what: &str) -> Result<u8, Refused> {
        self.take(1, what).map(|b| b[0])
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    fn bad(&self, text: String) -> Refused {
        Refused::new(Reason::BadRecord, self.base + self.pos, text)
    }
}

fn record(dif: u8, at: &mut Cursor) -> Result<Record, Refused> {
    let begin = at.pos - 1;
    let mut storage = u64::from(dif >> 6 & 1);
    let (mut tariff, mut subunit) = (0u32, 0u32);
    let (mut more, mut n) = (dif & 0x80 != 0, 0);
    while more {
        if n == MAX_EXTENSIONS {
            return Err(at.bad(format!("more than {MAX_EXTENSIONS} DIFEs")));
        }
        let dife = at.byte("a DIFE")?;
        storage |= u64::from(dife & 0x0F) << (1 + 4 * n);
        tariff |= u32::from(dife >> 4 & 3) << (2 * n);
        subunit |= u32::from(dife >> 6 & 1) << n;
        (more, n) = (dife & 0x80 != 0, n + 1);
    }
    let (vif, plain) = vif_chain(at)?;
    let key = at.bytes[begin..at.pos].iter().map(|b| format!("{b:02X}")).collect();
    let said = meaning(&vif, plain.as_deref());
    let (value, bits) = data(dif & 0x0F, &said, at)?;
    let (function, prefix) = match dif >> 4 & 3 {
        0 => (Function::Instantaneous, ""),
        1 => (Function::Maximum, "maximum_"),
        2 => (Function::Minimum, "minimum_"),
        _ => (Function::AtError, "at_error_"),
    };
    let name = format!("{prefix}{}", said.name);
    let is_number = said.form == Form::Number && !value.is_null();
    Ok(Record { key, name, value, unit: said.unit, vif, function, storage, tariff, subunit, bits, is_number })
}

/// VIF and VIFEs, and a plain-text VIF's unit, which stands between them with its length in front.
fn vif_chain(at: &mut Cursor) -> Result<(Vec<u8>, Option<String>), Refused> {
    let vif = at.byte("a VIF")?;
    let mut chain = vec![vif];
    let mut plain = None;
    if vif & 0x7F == 0x7C {
        let length = usize::from(at.byte("the length of a plain-text unit")?);
        if length > MAX_PLAIN {
            return Err(at.bad(format!("a plain-text unit of {length} characters, {MAX_PLAIN} are taken")));
        }
        plain = Some(value::text(at.take(length, "a plain-text unit")?));
    }
    while chain.last().is_some_and(|code| code & 0x80 != 0) {
        if chain.len() > MAX_EXTENSIONS {
            return Err(at.bad(format!("more than {MAX_EXTENSIONS} VIFEs")));
        }
        chain.push(at.byte("a VIFE")?);
    }
    Ok((chain, plain))
}

/// The value: the DIF's low four bits say how it is coded (EN 13757-3, table 4).
fn data(coding: u8, said: &Meaning, at: &mut Cursor) -> Result<(Value, Option<u64>), Refused> {
    let size = match coding {
        0 | 8 => return Ok((Value::Null, None)),
        1..=4 => usize::from(coding),
        5 => 4,
        6 => 6,
        7 => 8,
        9..=12 => usize::from(coding - 8),
        13 => return variable(said, at),
        _ => 6, // 14, BCD of 12 digits; 15 is no value and was seen before
    };
    let bytes = at.take(size, "a value")?;
    Ok(match coding {
        5 => (real(bytes, said.power), None),
        9.. => (bcd(bytes, said), None),
        _ => (binary(bytes, said), Some(value::unsigned(bytes))),
    })
}

/// IEEE 754, 32 bits (type H): the shortest decimal that gives the same 32 bits, then scaled like any number.
fn real(bytes: &[u8], power: i32) -> Value {
    let real = f32::from_le_bytes(bytes.try_into().expect("four bytes were taken"));
    let text = real.to_string();
    let (front, back) = text.split_once('.').unwrap_or((&text, ""));
    match format!("{front}{back}").parse() {
        Ok(whole) => value::decimal(whole, power - back.len() as i32),
        Err(_) => Value::Null, // infinite, no number, or beyond what a meter can have counted
    }
}

fn bcd(bytes: &[u8], said: &Meaning) -> Value {
    match said.form {
        Form::Digits => value::bcd_digits(bytes).into(),
        _ => value::bcd(bytes).map_or(Value::Null, |whole| value::decimal(whole, said.power)),
    }
}

fn binary(bytes: &[u8], said: &Meaning) -> Value {
    match (said.form, bytes) {
        (Form::Number, _) => value::decimal(value::signed(bytes), said.power),
        (Form::Bits, _) => value::unsigned(bytes).into(),
        (Form::Digits, _) => value::bcd_digits(bytes).into(),
        (Form::Date, [low, high]) => value::date([*low, *high]),
        (Form::Date, _) => value::date_time(bytes),
    }
}

/// Variable length (EN 13757-3, table 5): the first byte says what and how much.
fn variable(said: &Meaning, at: &mut Cursor) -> Result<(Value, Option<u64>), Refused> {
    let lvar = at.byte("the length of a variable value")?;
    let n = usize::from(lvar);
    let hex = |bytes: &[u8]| Value::from(value::bcd_digits(bytes));
    let value = match lvar {
        0x00..=0xBF => value::text(at.take(n, "a text")?).into(),
        0xC0..=0xC9 => bcd(at.take(n - 0xC0, "a BCD number")?, said),
        0xD0..=0xD9 => match value::bcd(at.take(n - 0xD0, "a negative BCD number")?) {
            Some(whole) => value::decimal(-whole, said.power),
            None => Value::Null,
        },
        0xE0..=0xEF => {
            let bytes = at.take(n - 0xE0, "a binary number")?;
            let bits = (1..=8).contains(&bytes.len()).then(|| value::unsigned(bytes));
            return Ok((if bits.is_some() { binary(bytes, said) } else { hex(bytes) }, bits));
        }
        0xF0..=0xF4 => hex(at.take(4 * (n - 0xEC), "a large binary number")?),
        0xF5 => hex(at.take(48, "a large binary number")?),
        0xF6 => hex(at.take(64, "a large binary number")?),
        _ => return Err(at.bad(format!("variable length {lvar:02X} is reserved"))),
    };
    Ok((value, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(hex: &str) -> Result<Vec<Record>, Refused> {
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
        records(&bytes, 0)
    }

    fn one(hex: &str) -> Record {
        let mut all = read(hex).unwrap();
        assert_eq!(all.len(), 1, "{hex}");
        all.remove(0)
    }

    #[test]
    fn a_record_says_key_name_value_and_unit() {
        let record = one("2F2F02658408");
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"key":"0265","name":"external_temperature","value":21.8,"unit":"°C"}"#
        );
        assert_eq!(one("8201FB1AA901").storage, 2);
        assert_eq!(one("8360FD31010000").tariff, 2);
        assert_eq!((one("8E40FD3A341200000000").subunit, one("8E40FD3A341200000000").value), (1, json!(1234)));
        assert_eq!(one("12658408").name, "maximum_external_temperature");
        assert_eq!(one("04933C01000000").name, "volume_backward");
    }

    #[test]
    fn texts_come_out_the_way_they_are_read() {
        assert_eq!(one("0DFD0F05302E302E34").value, json!("4.0.0"));
        let plain = one("81027C0349552301");
        assert_eq!((plain.unit.as_str(), plain.value, plain.key.as_str()), ("#UI", json!(1), "81027C03495523"));
        assert_eq!(one("027C03324F430001").unit, "CO2");
    }

    #[test]
    fn variable_lengths_reals_and_empty_values() {
        assert_eq!(one("0D13C3674523").value, json!(234.567));
        assert_eq!(one("0D13D101").value, json!(-0.001));
        assert_eq!(one("0D13E2E803").value, json!(1));
        assert_eq!(one("055B0000C841").value, json!(25));
        assert_eq!(one("055B0000C07F").value, Value::Null, "not a number");
        assert_eq!(one("0013").value, Value::Null);
        assert_eq!(one("0C13FAFFFFFF").value, Value::Null, "no digits");
        assert_eq!(one("07FF2C0102030405060708").bits, Some(0x0807_0605_0403_0201));
    }

    #[test]
    fn what_is_cut_or_reserved_refuses_everything() {
        for bad in
            ["02", "0213", "021301", "82", "02FD", "0D13", "0D13FF", "3F", "7F", "8F01", "0D7805303132", "017CFF"]
        {
            let hex = format!("0413010000 00{bad}").replace(' ', "");
            assert_eq!(read(&hex).unwrap_err().kind, Reason::BadRecord, "{bad}");
        }
        assert!(read(&"80".repeat(12)).is_err());
        assert!(read(&format!("02{}13", "FF".repeat(12))).is_err());
    }

    #[test]
    fn the_makers_own_bytes_end_the_records() {
        let all = read("01FD17000FDEAD2F").unwrap();
        assert_eq!((all[1].key.as_str(), all[1].value.clone()), ("0F", json!("DEAD2F")));
    }
}
