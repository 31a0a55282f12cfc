//! Wireless M-Bus as a radio chip delivers it behind the sync word: line codes, and how long a frame is as soon as its
//! length field is there. T1 is coded 3 of 6, C1 says which format follows and is not coded, S1 is Manchester coded.
//!
//! It never repairs: a symbol that the code does not have ends the frame. EN 13757-4, 5.4 and 6.4; that C1 puts 54CD or
//! 543D behind the same sync word is in radio868.md, section 3, with real FIFO dumps.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_link::length_a;
use crate::subghz::wmbus_link::length_b;

/// Behind the sync word of C1: a frame in format A follows.
pub(crate) const C1_A: [u8; 2] = [0x54, 0xCD];
/// Behind the sync word of C1: a frame in format B follows. Neither of the two can begin a T1 frame: 010101 is no symbol.
pub(crate) const C1_B: [u8; 2] = [0x54, 0x3D];
/// Least L field in format A: C, M and A are 9 bytes.
const L_MIN_A: u8 = 9;
/// Least L field in format B: the same, one byte more and a CRC.
const L_MIN_B: u8 = 12;
/// L fields in format B that leave a third block without data.
const L_NONE_B: [u8; 2] = [128, 129];

/// The line code of a chip's bytes. C1 is told from T1 by what it begins with, S1 by the sync word it came behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Behind 543D: T1 or C1.
    T,
    /// Behind 7696: S1.
    S,
}

/// How many of the chip's bytes the frame takes that `bytes` begin: `None` while too few are there to tell.
///
/// # Errors
/// No frame begins so: a symbol that is none, or a length that no frame has.
pub fn whole(code: Code, bytes: &[u8]) -> Result<Option<usize>, Refused> {
    match (code, bytes) {
        (Code::T, [a, b, ..]) if [*a, *b] == C1_A => {
            bytes.get(2).map(|l| Ok(2 + length_a(at_least(*l, L_MIN_A)?))).transpose()
        }
        (Code::T, [a, b, ..]) if [*a, *b] == C1_B => {
            bytes.get(2).map(|l| Ok(2 + length_b(possible_b(*l)?))).transpose()
        }
        (Code::T, _) => coded(bytes, 12, three_of_six),
        (Code::S, _) => coded(bytes, 16, manchester),
    }
}

type Decoder = fn(&[u8], usize) -> Result<Vec<u8>, Refused>;

/// The same for a frame in format A of which each byte takes so many chips. All that is there must be in the code.
fn coded(bytes: &[u8], chips_each: usize, decode: Decoder) -> Result<Option<usize>, Refused> {
    let there = bytes.len() * 8 / chips_each;
    let Some(l) = decode(bytes, there.min(1))?.first().copied() else {
        return Ok(None);
    };
    let length = length_a(at_least(l, L_MIN_A)?);
    decode(bytes, there.min(length))?;
    Ok(Some((length * chips_each).div_ceil(8)))
}

fn at_least(l: u8, least: u8) -> Result<u8, Refused> {
    if l >= least {
        return Ok(l);
    }
    Err(Refused::new(Reason::BadLength, 0, format!("L = {l}: no frame has less than {least}")))
}

fn possible_b(l: u8) -> Result<u8, Refused> {
    if L_NONE_B.contains(&l) {
        return Err(Refused::new(Reason::BadLength, 0, format!("L = {l} leaves a third block without data")));
    }
    at_least(l, L_MIN_B)
}

/// The 3-of-6 symbols of EN 13757-4, table 10: index is the nibble.
const THREE_OF_SIX: [u8; 16] = [22, 13, 14, 11, 28, 25, 26, 19, 44, 37, 38, 35, 52, 49, 50, 41];

/// The first `wanted` bytes of a stream of 3-of-6 symbols, high nibble first.
///
/// # Errors
/// Six chips that are no symbol, or too few of them.
pub(crate) fn three_of_six(chips: &[u8], wanted: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::with_capacity(wanted);
    for n in 0..wanted {
        let mut byte = 0;
        for half in 0..2 {
            let bit = (2 * n + half) * 6;
            let pair = [chips.get(bit / 8).copied(), chips.get(bit / 8 + 1).copied()];
            // Six chips that end with a byte need no second one.
            let (high, low) = match pair {
                [Some(high), Some(low)] => (high, low),
                [Some(high), None] if bit % 8 <= 2 => (high, 0),
                _ => return Err(ended(n, wanted)),
            };
            let six = (u16::from_be_bytes([high, low]) >> (10 - bit % 8)) as u8 & 0x3F;
            let Some(nibble) = THREE_OF_SIX.iter().position(|s| *s == six) else {
                return Err(Refused::new(Reason::BadSymbol, n, format!("chips {six:06b} are no 3-of-6 symbol")));
            };
            byte = byte << 4 | nibble as u8;
        }
        bytes.push(byte);
    }
    Ok(bytes)
}

/// The first `wanted` bytes of a Manchester coded stream: chips 10 are a 0, 01 are a 1 (EN 13757-4, 5.4).
///
/// # Errors
/// Two chips that are alike, or too few of them.
pub(crate) fn manchester(chips: &[u8], wanted: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::with_capacity(wanted);
    for n in 0..wanted {
        let Some(&[high, low]) = chips.get(2 * n..2 * n + 2) else {
            return Err(ended(n, wanted));
        };
        let pairs = u16::from_be_bytes([high, low]);
        let mut byte = 0;
        for at in (0..16).step_by(2).rev() {
            let pair = pairs >> at & 3;
            if !matches!(pair, 0b01 | 0b10) {
                let text = format!("chips {pair:02b} are no Manchester symbol");
                return Err(Refused::new(Reason::BadSymbol, n, text));
            }
            byte = byte << 1 | u8::from(pair == 0b01);
        }
        bytes.push(byte);
    }
    Ok(bytes)
}

fn ended(n: usize, wanted: usize) -> Refused {
    Refused::new(Reason::TooShort, n, format!("the symbols end in byte {n} of {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_with_the_length_field_and_not_before() {
        // L = 29, C = 44 begins 3A 57 1C (radio868.md, section 3); format A of L = 41 has 48 bytes, 72 in the FIFO.
        assert_eq!(whole(Code::T, &[]), Ok(None));
        assert_eq!(whole(Code::T, &[0x3A]), Ok(None));
        assert_eq!(whole(Code::T, &[0x3A, 0x57]), Ok(Some(72)));
        assert_eq!(whole(Code::T, &[0x3A, 0x57, 0x1C]), Ok(Some(72)));
        assert_eq!(whole(Code::T, &[0x54]), Ok(None));
        assert_eq!(whole(Code::T, &[0x54, 0xCD]), Ok(None));
        assert_eq!(whole(Code::T, &[0x54, 0xCD, 0x36]), Ok(Some(65)));
        assert_eq!(whole(Code::T, &[0x54, 0x3D, 0x2C]), Ok(Some(47)));
        // The longest: 290 bytes, 435 of them in T1 and 580 in S1 (FF is eight times 01).
        assert_eq!(whole(Code::T, &[0b1010_0110, 0b1001_0000]), Ok(Some(435)));
        assert_eq!(whole(Code::S, &[0x55, 0x55]), Ok(Some(580)));
    }

    #[test]
    fn noise_is_refused_with_its_first_bytes() {
        for noise in [[0x00, 0x00], [0xFF, 0xFF], [0x54, 0x00], [0x37, 0xFF], [0xAA, 0xAA]] {
            assert_eq!(whole(Code::T, &noise).unwrap_err().kind, Reason::BadSymbol, "{noise:02X?}");
        }
        assert_eq!(whole(Code::S, &[0xAB, 0xAA]).unwrap_err().kind, Reason::BadSymbol);
        // In the code, and no frame: L = 8 (A), 11, 128 and 129 (B), 0 (S1).
        for bytes in [[0x54, 0xCD, 8], [0x54, 0x3D, 11], [0x54, 0x3D, 128], [0x54, 0x3D, 129]] {
            assert_eq!(whole(Code::T, &bytes).unwrap_err().kind, Reason::BadLength, "{bytes:02X?}");
        }
        assert_eq!(whole(Code::S, &[0xAA, 0xAA]).unwrap_err().kind, Reason::BadLength);
    }

    #[test]
    fn a_symbol_that_is_none_is_found_where_it_is() {
        // fifo-366-ok of the vectors, whose bytes 5 to 7 are those that fifo-366-bad had wrong.
        let good = [0x37, 0x47, 0x1C, 0x58, 0xD5, 0x9A, 0xB0, 0xD2];
        assert_eq!(whole(Code::T, &good), Ok(Some(53)));
        let mut bad = good;
        bad[6] = 0x3B;
        assert_eq!(whole(Code::T, &bad).unwrap_err().kind, Reason::BadSymbol);
    }

    #[test]
    fn manchester_is_as_the_sync_word_of_s1_has_it() {
        // The sync word ends 10 01 01 10: 0 1 1 0 (EN 13757-4, table 4). 1C is 10 10 10 01 01 01 10 10.
        assert_eq!(manchester(&[0x96, 0x96, 0xA9, 0x5A], 2), Ok(vec![0x66, 0x1C]));
        assert_eq!(manchester(&[0x96, 0x96, 0xA9], 2).unwrap_err().kind, Reason::TooShort);
        assert_eq!(manchester(&[0x96, 0x97], 1).unwrap_err().kind, Reason::BadSymbol);
    }
}
