//! Bytes in order, least significant first, as everything above the Zigbee radio writes them: read within bounds or
//! refused with what was missing. It interprets nothing.

use crate::zigbee::refused::Reason;
use crate::zigbee::refused::Refused;

/// Longest message taken, in bytes. A stick passes 255 at most and a detector's word has about 10; what is longer is
/// refused whole, and its sender is not heard.
pub const MAX_MESSAGE: usize = 1024;

/// Reads a message from its front; every refusal says at which byte.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    ///
    /// # Errors
    /// `too_long` beyond [`MAX_MESSAGE`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, Refused> {
        if bytes.len() > MAX_MESSAGE {
            let text = format!("{} bytes: a message has {MAX_MESSAGE} at most", bytes.len());
            return Err(Refused::new(Reason::TooLong, MAX_MESSAGE, text));
        }
        Ok(Self { bytes, at: 0 })
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes; `what` names them in the refusal.
    ///
    /// # Errors
    /// `too_short`; nothing is taken then.
    pub fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Refused> {
        let left = self.left();
        if count > left {
            let text = format!("{what} needs {count} bytes, {left} are left");
            return Err(Refused::new(Reason::TooShort, self.at, text));
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// An unsigned number of `width` bytes, 8 at most.
    ///
    /// # Errors
    /// `too_short`.
    pub fn number(&mut self, width: usize, what: &str) -> Result<u64, Refused> {
        debug_assert!(width <= 8, "no number is wider");
        Ok(self.take(width, what)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// One byte.
    ///
    /// # Errors
    /// `too_short`.
    pub fn u8(&mut self, what: &str) -> Result<u8, Refused> {
        Ok(self.take(1, what)?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// `too_short`.
    pub fn u16(&mut self, what: &str) -> Result<u16, Refused> {
        let taken = self.take(2, what)?;
        Ok(u16::from_le_bytes([taken[0], taken[1]]))
    }
}

/// Bytes from hexadecimal text, either case, nothing between.
///
/// # Errors
/// `bad_hex` at the first wrong byte, `too_long` beyond [`MAX_MESSAGE`], `too_short` for nothing.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Refused> {
    if text.len() > 2 * MAX_MESSAGE {
        let text = format!("more than {MAX_MESSAGE} bytes: no message is that long");
        return Err(Refused::new(Reason::TooLong, MAX_MESSAGE, text));
    }
    if text.is_empty() {
        return Err(Refused::new(Reason::TooShort, 0, "no bytes"));
    }
    let digit = |at: usize, byte: u8| {
        let found = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        found.ok_or_else(|| Refused::new(Reason::BadHex, at, "a character that is no hex digit"))
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for (at, pair) in text.as_bytes().chunks(2).enumerate() {
        let &[high, low] = pair else {
            digit(at, pair[0])?;
            return Err(Refused::new(Reason::BadHex, at, "an odd number of hex digits"));
        };
        bytes.push(digit(at, high)? << 4 | digit(at, low)?);
    }
    Ok(bytes)
}
