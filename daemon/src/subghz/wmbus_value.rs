//! The data types of EN 13757-3, annex A: whole numbers, BCD, dates and texts, as JSON values without rounding.
//!
//! A measured value is a whole number and a power of ten, and stays so until it is written: 218 × 10⁻¹ is written 21.8.
//! A number that JSON readers could not hold exactly is written as text. What is not valid is `null`, never zero.

use serde_json::Value;

/// `whole` × 10^`power` as a JSON number where that is exact (whole up to 64 bits, or at most 15 digits with a decimal
/// point), else as its decimal text.
pub fn decimal(whole: i64, power: i32) -> Value {
    let (mut whole, mut power) = (whole, power);
    while power < 0 && whole % 10 == 0 && whole != 0 {
        (whole, power) = (whole / 10, power + 1);
    }
    if whole == 0 {
        return 0.into();
    }
    if power >= 0 {
        let scaled = u32::try_from(power).ok().and_then(|p| 10i64.checked_pow(p)).and_then(|t| whole.checked_mul(t));
        return scaled.map_or_else(|| Value::from(format!("{whole}e{power}")), Value::from);
    }
    let text = point(whole, power.unsigned_abs() as usize);
    let exact = whole.unsigned_abs() < 10u64.pow(15) && power > -15;
    match text.parse::<f64>() {
        Ok(number) if exact => number.into(),
        _ => text.into(),
    }
}

fn point(whole: i64, places: usize) -> String {
    let digits = format!("{:0>width$}", whole.unsigned_abs(), width = places + 1);
    let (front, back) = digits.split_at(digits.len() - places);
    format!("{}{front}.{back}", if whole < 0 { "-" } else { "" })
}

/// Up to 8 bytes, low byte first, without sign.
pub fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().rev().take(8).fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Up to 8 bytes, low byte first, two's complement.
pub fn signed(bytes: &[u8]) -> i64 {
    let spare = 64 - 8 * bytes.len().clamp(1, 8);
    (unsigned(bytes) << spare) as i64 >> spare
}

/// BCD, low byte first; an F in the highest digit means minus (type A). `None` when a digit is none.
pub fn bcd(bytes: &[u8]) -> Option<i64> {
    let digits = bcd_digits(bytes);
    let (negative, digits) = match digits.strip_prefix('F') {
        Some(rest) => (true, rest),
        None => (false, digits.as_str()),
    };
    let whole: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if negative { -whole } else { whole })
}

/// All digits of low-byte-first bytes, leading zeros kept: for numbers that are names.
pub fn bcd_digits(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|b| format!("{b:02X}")).collect()
}

/// Text, sent last character first, in ISO 8859-1; control characters cannot reach a terminal.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().rev().map(|b| char::from(*b)).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A day of the calendar, or `null` where the numbers are none.
pub fn calendar(year: u16, month: u16, day: u16) -> Value {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u16::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if (1..=days).contains(&day) { format!("{year:04}-{month:02}-{day:02}").into() } else { Value::Null }
}

/// A date (type G). Year 127 means every year and is written `--`, as ISO 8601 does with a year left out.
pub fn date(bytes: [u8; 2]) -> Value {
    let [low, high] = bytes;
    let (day, month) = (low & 0x1F, high & 0x0F);
    let year = u16::from(low >> 5 | (high & 0xF0) >> 1);
    match year {
        0..=99 => calendar(2000 + year, month.into(), day.into()),
        // 2000 was a leap year: every day that any year has is one.
        127 => match calendar(2000, month.into(), day.into()) {
            Value::String(text) => text.replacen("2000", "-", 1).into(),
            other => other,
        },
        _ => Value::Null,
    }
}

/// A date with minutes (type F, 4 bytes), or with seconds (type I, 6 bytes), in the device's own time; a time of day
/// (type J, 3 bytes).
pub fn date_time(bytes: &[u8]) -> Value {
    match *bytes {
        [minute, hour, low, high] if minute & 0x80 == 0 => clock(0, minute, hour, low, high, (hour >> 5) & 3, false),
        [second, minute, hour, low, high, _week] if minute & 0x80 == 0 => {
            clock(second, minute, hour, low, high, 0, true)
        }
        [second, minute, hour] if second & 0x3F < 60 && minute & 0x3F < 60 && hour & 0x1F < 24 => {
            format!("{:02}:{:02}:{:02}", hour & 0x1F, minute & 0x3F, second & 0x3F).into()
        }
        _ => Value::Null,
    }
}

fn clock(second: u8, minute: u8, hour: u8, low: u8, high: u8, hundred: u8, seconds: bool) -> Value {
    let (second, minute, hour) = (second & 0x3F, minute & 0x3F, hour & 0x1F);
    let (day, month) = (low & 0x1F, high & 0x0F);
    let two = u16::from(low >> 5 | (high & 0xF0) >> 1);
    // Years without the hundred-year bits of newer devices: 0 to 80 are this century (EN 13757-3, type F).
    let year = if hundred == 0 && two <= 80 { 2000 + two } else { 1900 + 100 * u16::from(hundred) + two };
    match calendar(year, month.into(), day.into()) {
        Value::String(_) if second > 59 || minute > 59 || hour > 23 || two > 99 => Value::Null,
        Value::String(day) if seconds => format!("{day}T{hour:02}:{minute:02}:{second:02}").into(),
        Value::String(day) => format!("{day}T{hour:02}:{minute:02}").into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_they_were_measured() {
        assert_eq!(decimal(218, -1).to_string(), "21.8");
        assert_eq!(decimal(4300, -2).to_string(), "43");
        assert_eq!(decimal(-1573, -2).to_string(), "-15.73");
        assert_eq!(decimal(-5, -3).to_string(), "-0.005");
        assert_eq!(decimal(2_850_427, -2).to_string(), "28504.27");
        assert_eq!(decimal(7, 3), json!(7000));
        assert_eq!(decimal(0, -3), json!(0));
        assert_eq!(decimal(1_234_567_890_123_456, -3), json!("1234567890123.456"), "more digits than a double holds");
        assert_eq!(decimal(i64::MAX, 3), json!("9223372036854775807e3"));
        assert_eq!(decimal(i64::MIN, -1), json!("-922337203685477580.8"));
    }

    #[test]
    fn every_number_of_fifteen_digits_keeps_its_text() {
        for whole in [1i64, 9, 101, 123_456_789_012_345, 999_999_999_999_999, 900_000_000_000_001] {
            for power in -14..0 {
                let value = decimal(whole, power);
                let Value::Number(number) = &value else { panic!("{whole}e{power} became {value}") };
                let right: f64 = point(whole, power.unsigned_abs() as usize).parse().unwrap();
                assert_eq!(number.as_f64().unwrap().to_bits(), right.to_bits());
            }
        }
    }

    #[test]
    fn bcd_is_refused_when_a_digit_is_none() {
        assert_eq!(bcd(&[0x47, 0x11]), Some(1147));
        assert_eq!(bcd(&[0x23, 0xF1]), Some(-123));
        assert_eq!(bcd(&[0xFF, 0xFF]), None);
        assert_eq!(bcd(&[0x1A]), None);
        assert_eq!(bcd_digits(&[0x07, 0x01, 0x01]), "010107");
    }

    #[test]
    fn signs_follow_the_width() {
        assert_eq!(signed(&[0xFF]), -1);
        assert_eq!(signed(&[0xDB, 0xF9]), -1573);
        assert_eq!(signed(&[0xFF, 0xFF, 0x7F]), 0x7F_FFFF);
        assert_eq!(signed(&[0; 8]), 0);
        assert_eq!(unsigned(&[0xF0]), 240);
    }

    #[test]
    fn dates_that_are_none_are_null() {
        assert_eq!(date([0xD8, 0x25]), json!("2022-05-24"));
        assert_eq!(date([0x01, 0x01]), json!("2000-01-01"));
        assert_eq!(date([0xE1, 0xF1]), json!("--01-01"));
        assert_eq!(date([0xFF, 0xFF]), Value::Null);
        assert_eq!(date([0x00, 0x00]), Value::Null);
        assert_eq!(date_time(&[0x2A, 0x06, 0xD8, 0x25]), json!("2022-05-24T06:42"));
        assert_eq!(date_time(&[0x35, 0x12, 0x2E, 0xFB, 0x2B, 0x00]), json!("2023-11-27T14:18:53"));
        assert_eq!(date_time(&[0xAA, 0x06, 0xD8, 0x25]), Value::Null, "the device says its clock is invalid");
        assert_eq!(date_time(&[0x01, 0x02, 0x03]), json!("03:02:01"));
    }
}
