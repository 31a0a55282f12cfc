//! The claim code, by which the first owner proves that the hub is his: nine drawn symbols, 45 bits, and one that checks
//! them, written `XXXXX-XXXXX` for a label, a telephone or a QR code.
//!
//! It draws, reads and writes; it keeps none, and `Debug` shows none.

use std::fmt;

/// Crockford's base 32: no I, L, O and U, so that none is taken for another and no word comes of it.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of a code, the check symbol last. Nine of them are drawn: at three tries in 90 s nobody meets one of 2^45.
const SYMBOLS: usize = 10;
/// x^5 + x^2 + 1: the field of 32 elements in which a code is checked.
const FIELD: u8 = 0b10_0101;

/// A claim code that is well formed; whether it is this hub's is another matter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClaimCode([u8; SYMBOLS]);

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Why a text is no claim code. What was typed is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClaimCode {
    /// Too few or too many.
    #[error("a claim code has {SYMBOLS} digits and letters, as XXXXX-XXXXX; this one has {0}")]
    Length(usize),
    /// No digit, and no letter of the alphabet; which one, counted from 1.
    #[error("a claim code has digits and letters without U and without marks; look at the {0}. of them")]
    Symbol(usize),
    /// All of them can be, and together they cannot.
    #[error("a digit or letter of this claim code is wrong, or two have changed places: compare it once more")]
    Check,
}

/// Each symbol's weight is another power of x, so one wrong symbol shows, and so do any two that have changed places.
fn sum(values: impl Iterator<Item = u8>) -> u8 {
    values.fold(0, |sum, value| times_x(sum) ^ value)
}

fn times_x(value: u8) -> u8 {
    let shifted = value << 1;
    if shifted > 31 { shifted ^ FIELD } else { shifted }
}

impl ClaimCode {
    /// A code of random bytes.
    pub fn draw(entropy: &[u8; 32]) -> Self {
        // 256 is eight times 32: no symbol is likelier than another.
        let mut values: [u8; SYMBOLS] = std::array::from_fn(|at| entropy[at] % 32);
        values[SYMBOLS - 1] = times_x(sum(values[..SYMBOLS - 1].iter().copied()));
        Self(values)
    }

    /// Reads what somebody typed: lower case, spaces, dashes or none of them, O for 0, I and L for 1.
    ///
    /// # Errors
    /// It is no claim code.
    pub fn read(text: &str) -> Result<Self, BadClaimCode> {
        let between = |c: &char| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
        let typed: Vec<char> = text.chars().filter(between).collect();
        let mut values = [0; SYMBOLS];
        if typed.len() != SYMBOLS {
            return Err(BadClaimCode::Length(typed.len()));
        }
        for ((value, typed), at) in values.iter_mut().zip(typed).zip(1..) {
            let symbol = match typed.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let found = ALPHABET.iter().position(|known| char::from(*known) == symbol);
            *value = found.and_then(|value| u8::try_from(value).ok()).ok_or(BadClaimCode::Symbol(at))?;
        }
        if sum(values.into_iter()) == 0 { Ok(Self(values)) } else { Err(BadClaimCode::Check) }
    }

    /// As it is shown, once, to whoever drew it.
    pub fn shown(&self) -> String {
        let symbol = |value: &u8| char::from(ALPHABET[usize::from(*value)]);
        let (left, right) = self.0.split_at(SYMBOLS / 2);
        left.iter().map(symbol).chain(['-']).chain(right.iter().map(symbol)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that meets what must not be falls here
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    fn code(seed: u8) -> ClaimCode {
        ClaimCode::draw(&std::array::from_fn(|at| seed.wrapping_mul(29).wrapping_add(at as u8).wrapping_mul(53)))
    }

    /// 5.1: ten thousand from the system's entropy; each another, and each symbol as often as chance has it.
    #[test]
    fn s8_ten_thousand_codes_are_all_different_and_no_symbol_is_favoured() {
        let codes: BTreeSet<ClaimCode> =
            (0..10_000).map(|_| ClaimCode::draw(&crate::secrets::io::random().unwrap())).collect();
        assert_eq!(codes.len(), 10_000);
        for place in 0..SYMBOLS {
            let mut met = BTreeMap::<u8, u32>::new();
            codes.iter().for_each(|code| *met.entry(code.0[place]).or_default() += 1);
            // 312 of each are expected, 17 the deviation: beyond eight of them in one of 10^13 runs.
            assert!(met.len() == 32 && met.values().all(|count| (170..=455).contains(count)), "{place}: {met:?}");
        }
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = ClaimCode::read("01K7G-MXTBZ").unwrap();
        assert_eq!(code.shown(), "01K7G-MXTBZ");
        assert_eq!(format!("{code:?}"), "(hidden)");
        let dash = "0lk7g\u{2013}mxtbz";
        for written in ["01K7GMXTBZ", "01K7G MXTBZ", " oik7g-mxtbz\n", "O-L-K-7-G-M-X-T-B-Z", dash, "0i K7 Gm Xt Bz"] {
            assert_eq!(ClaimCode::read(written).as_ref(), Ok(&code), "{written}");
        }
        let wrong = [
            ("", BadClaimCode::Length(0)),
            ("01K7G-MXTB", BadClaimCode::Length(9)),
            ("01K7G-MXTBZ0", BadClaimCode::Length(11)),
            ("U1K7G-MXTBZ", BadClaimCode::Symbol(1)),
            ("01K7G-MXT!Z", BadClaimCode::Symbol(9)),
            ("01K7G-MXT\u{e6}Z", BadClaimCode::Symbol(9)),
            ("01K7G-MXTBY", BadClaimCode::Check),
        ];
        for (written, why) in wrong {
            assert_eq!(ClaimCode::read(written), Err(why), "{written}");
            assert!(written.is_empty() || !why.to_string().contains(written), "{why}");
        }
    }

    #[test]
    fn one_wrong_symbol_and_two_that_changed_places_are_always_found() {
        for seed in 0..=255 {
            let right = code(seed);
            assert_eq!(ClaimCode::read(&right.shown()), Ok(right.clone()));
            for place in 0..SYMBOLS {
                for value in (0..32).filter(|value| *value != right.0[place]) {
                    let mut wrong = right.clone();
                    wrong.0[place] = value;
                    assert_eq!(ClaimCode::read(&wrong.shown()), Err(BadClaimCode::Check));
                }
                for other in (0..place).filter(|other| right.0[*other] != right.0[place]) {
                    let mut wrong = right.clone();
                    wrong.0.swap(place, other);
                    assert_eq!(ClaimCode::read(&wrong.shown()), Err(BadClaimCode::Check));
                }
            }
        }
    }
}
