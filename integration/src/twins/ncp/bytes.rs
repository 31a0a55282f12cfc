//! Little-endian reading and writing, as EZSP, ZDO and ZCL want it.

use std::fmt;

/// The command was shorter than its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short;

/// An IEEE address. On the wire its lowest byte comes first; written out, its highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Eui64(pub u64);

impl Eui64 {
    /// All ones: "any device" in the transient key table, "unset" in tokens.
    pub const ANY: Self = Self(u64::MAX);
    /// All zeroes.
    pub const BLANK: Self = Self(0);
}

impl fmt::Display for Eui64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Reads from the front.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `count` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    /// One byte.
    ///
    /// # Errors
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u16(&mut self) -> Result<u16, Short> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u32(&mut self) -> Result<u32, Short> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// An address.
    ///
    /// # Errors
    /// There are fewer than eight bytes.
    pub fn eui(&mut self) -> Result<Eui64, Short> {
        Ok(Eui64(u64::from_le_bytes(self.array()?)))
    }

    /// Bytes behind their count.
    ///
    /// # Errors
    /// There are fewer than the count says.
    pub fn counted(&mut self) -> Result<&'a [u8], Short> {
        let count = self.u8()?;
        self.take(usize::from(count))
    }

    /// Words, `count` of them.
    ///
    /// # Errors
    /// There are fewer.
    pub fn words(&mut self, count: u8) -> Result<Vec<u16>, Short> {
        (0..count).map(|_| self.u16()).collect()
    }
}

/// Writes at the end; each call gives the writer back, so that a frame reads like its table.
#[derive(Debug, Default, Clone)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Two bytes.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Four bytes.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// An address.
    #[must_use]
    pub fn eui(self, value: Eui64) -> Self {
        self.bytes(&value.0.to_le_bytes())
    }

    /// Bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes behind their count; what does not fit into 255 is cut.
    #[must_use]
    pub fn counted(self, bytes: &[u8]) -> Self {
        let count = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(count).bytes(&bytes[..usize::from(count)])
    }

    /// Words as they are.
    #[must_use]
    pub fn words(self, words: &[u16]) -> Self {
        words.iter().fold(self, |out, word| out.u16(*word))
    }

    /// The bytes.
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// SplitMix64: the one source of chance in the twin, so that a seed says everything.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// True in `probability` (0 to 1) of all cases; asks for no number where there is no doubt.
    pub fn hits(&mut self, probability: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are taken, which an f64 holds")]
        let fraction = |number: u64| (number >> 11) as f64 / (1u64 << 53) as f64;
        probability > 0.0 && fraction(self.draw()) < probability
    }
}
