//! The wireless M-Bus link layer (EN 13757-4): frame formats A and B with their block CRCs, frames whose receiver has
//! taken the CRCs off, a radio chip's bytes (`wmbus_chips` has their codes), and the wired M-Bus frame (EN 13757-2).
//!
//! A frame comes out only when every check it carries passed; one bad block refuses all of it. This file never
//! repairs, never guesses a format and never looks at data records.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_chips::C1_A;
use crate::subghz::wmbus_chips::C1_B;
use crate::subghz::wmbus_chips::manchester;
use crate::subghz::wmbus_chips::three_of_six;
use std::str::FromStr;
use vakt_core::device::DeviceId;

/// Bytes of a frame's first block: L, C, M (2), A (6).
pub const FIRST_BLOCK: usize = 10;
/// Most bytes a frame can have on air: L = 255 in format A, 256 bytes and 17 CRCs.
pub const MAX_FRAME: usize = 290;
/// Most FIFO bytes looked at: a whole T1 frame is 435, one of S1 580, the rest is noise after it and is cut off unread.
pub const MAX_FIFO: usize = 1024;

/// In which form a frame arrives. Never guessed: the port or the caller says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// From the L field, without block CRCs: the receiver checked them, or nobody did.
    NoCrc,
    /// Format A with its CRCs (modes S, T, C).
    A,
    /// Format B with its CRCs (mode C).
    B,
    /// As a radio chip gives it after the sync word 543D: 3-of-6 symbols (T1), or 54CD (C1, A), or 543D (C1, B).
    Fifo,
    /// As a radio chip gives it after the sync word 7696: format A in Manchester chips (S1).
    FifoS1,
    /// A wired M-Bus long frame: 68 L L 68 … checksum 16.
    Wired,
}

impl FrameKind {
    /// Whether a frame of this kind carries a checksum that this file verifies.
    pub fn carries_crc(self) -> bool {
        self != Self::NoCrc
    }
}

impl FromStr for FrameKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nocrc" => Ok(Self::NoCrc),
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            "fifo" => Ok(Self::Fifo),
            "fifo-s1" => Ok(Self::FifoS1),
            "wired" => Ok(Self::Wired),
            _ => Err(format!("`{text}` is not a frame kind: nocrc, a, b, fifo, fifo-s1 or wired")),
        }
    }
}

/// Who sent it: the M and A fields (EN 13757-3, 7.5; EN 13757-4, 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Three letters in 15 bits; the top bit says the address is unique within one installation only.
    pub manufacturer: u16,
    /// Eight BCD digits, kept as they are sent.
    pub id: u32,
    /// The maker's version of the device.
    pub version: u8,
    /// Device type ("medium").
    pub medium: u8,
}

impl Address {
    /// From the link layer's order: M, id, version, type.
    pub fn from_link(b: [u8; 8]) -> Self {
        Self {
            manufacturer: u16::from_le_bytes([b[0], b[1]]),
            id: u32::from_le_bytes([b[2], b[3], b[4], b[5]]),
            version: b[6],
            medium: b[7],
        }
    }

    /// From a long header's order (CI 72): id, M, version, type.
    pub fn from_long_header(b: [u8; 8]) -> Self {
        Self::from_link([b[4], b[5], b[0], b[1], b[2], b[3], b[6], b[7]])
    }

    /// The bytes in the link layer's order, as the mode 5 initialisation vector begins.
    pub fn to_link(self) -> [u8; 8] {
        let (m, i) = (self.manufacturer.to_le_bytes(), self.id.to_le_bytes());
        [m[0], m[1], i[0], i[1], i[2], i[3], self.version, self.medium]
    }

    /// `LAS` for Lansen. A code that is no three letters is written as four hex digits: such senders exist.
    pub fn maker(&self) -> String {
        let letters = [self.manufacturer >> 10 & 31, self.manufacturer >> 5 & 31, self.manufacturer & 31];
        if letters.iter().all(|l| (1..=26).contains(l)) {
            letters.iter().map(|l| char::from(b'@' + (*l as u8))).collect()
        } else {
            format!("{:04X}", self.manufacturer)
        }
    }

    /// The device's id in this system, `wm-<man>-<id>-<ver>-<type>`.
    pub fn device(&self) -> DeviceId {
        let text =
            format!("wm-{}-{:08x}-{:02x}-{:02x}", self.maker().to_lowercase(), self.id, self.version, self.medium);
        DeviceId::new(text).expect("letters, digits and dashes, 24 at most, after wm-")
    }
}

/// A frame whose checks passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The C field (function of the frame).
    pub control: u8,
    /// The sender, as the link layer names it.
    pub address: Address,
    /// The CI field and everything after it, without CRCs.
    pub body: Vec<u8>,
    /// Where `body` begins in the frame without CRCs.
    pub body_at: usize,
    /// Whether this file verified a checksum over all of it.
    pub checked: bool,
}

/// Opens a frame of the given kind.
///
/// # Errors
/// The first check that failed; see [`Reason`].
pub fn open(kind: FrameKind, bytes: &[u8]) -> Result<Frame, Refused> {
    match kind {
        FrameKind::NoCrc => from_plain(bytes.to_vec(), false),
        FrameKind::A => from_plain(strip_a(bytes)?, true),
        FrameKind::B => from_plain(strip_b(bytes)?, true),
        FrameKind::Fifo => from_fifo(bytes),
        FrameKind::FifoS1 => from_coded(bytes, manchester),
        FrameKind::Wired => from_wired(bytes),
    }
}

/// The CRC of EN 13757-4: polynomial 3D65, initial value 0, result complemented; sent high byte first. It repeats after
/// 151 bits: format A's blocks are shorter, but in format B two flips just that far apart cancel and cannot be seen.
pub fn crc(bytes: &[u8]) -> u16 {
    let sum = bytes.iter().fold(0u16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |s, _| if s & 0x8000 == 0 { s << 1 } else { s << 1 ^ 0x3D65 })
    });
    !sum
}

/// Bytes of a whole format A frame whose L field is `l`: a CRC after 10 bytes, then after every 16 begun.
pub fn length_a(l: u8) -> usize {
    let data = usize::from(l) + 1;
    data + 2 + 2 * data.saturating_sub(FIRST_BLOCK).div_ceil(16)
}

/// Bytes of a whole format B frame whose L field is `l`: L counts the CRCs.
pub fn length_b(l: u8) -> usize {
    usize::from(l) + 1
}

fn short(at: usize, text: impl Into<String>) -> Refused {
    Refused::new(Reason::TooShort, at, text)
}

fn check_length(bytes: &[u8], whole: usize, what: &str) -> Result<(), Refused> {
    let n = bytes.len();
    match n.cmp(&whole) {
        std::cmp::Ordering::Less => Err(short(n, format!("{n} bytes; L = {} asks for {whole} in {what}", bytes[0]))),
        std::cmp::Ordering::Greater => Err(Refused::new(
            Reason::BadLength,
            whole,
            format!("{n} bytes; L = {} asks for {whole} in {what}, the rest is not the frame's", bytes[0]),
        )),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

fn first(bytes: &[u8]) -> Result<u8, Refused> {
    bytes.first().copied().ok_or_else(|| short(0, "no bytes: a frame begins with its L field"))
}

fn check_crc(block: &[u8], sum: &[u8], at: usize, number: usize) -> Result<(), Refused> {
    let (told, right) = (u16::from_be_bytes([sum[0], sum[1]]), crc(block));
    if told == right {
        return Ok(());
    }
    Err(Refused::new(Reason::BadCrc, at, format!("block {number} says CRC {told:04X}, its bytes give {right:04X}")))
}

fn strip_a(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    check_length(bytes, length_a(first(bytes)?), "format A")?;
    let mut plain = Vec::with_capacity(256);
    let (mut at, mut number, mut size) = (0, 1, FIRST_BLOCK);
    while at < bytes.len() {
        let end = (at + size + 2).min(bytes.len());
        if end - at < 3 {
            return Err(Refused::new(Reason::BadLength, at, "a last block without data"));
        }
        let (block, sum) = bytes[at..end].split_at(end - at - 2);
        check_crc(block, sum, at, number)?;
        plain.extend_from_slice(block);
        (at, number, size) = (end, number + 1, 16);
    }
    Ok(plain)
}

fn strip_b(bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    /// Blocks 1 and 2 together, with their one CRC.
    const TWO_BLOCKS: usize = 128;
    check_length(bytes, length_b(first(bytes)?), "format B")?;
    if bytes.len() < FIRST_BLOCK + 3 {
        return Err(Refused::new(Reason::BadLength, 0, format!("L = {} leaves no second block", bytes[0])));
    }
    let (head, tail) = bytes.split_at(bytes.len().min(TWO_BLOCKS));
    let (block, sum) = head.split_at(head.len() - 2);
    check_crc(block, sum, 0, 2)?;
    let mut plain = block.to_vec();
    if !tail.is_empty() {
        if tail.len() < 3 {
            return Err(Refused::new(Reason::BadLength, TWO_BLOCKS, "a third block without data"));
        }
        let (block, sum) = tail.split_at(tail.len() - 2);
        check_crc(block, sum, TWO_BLOCKS, 3)?;
        plain.extend_from_slice(block);
    }
    // L counted the CRCs; without them it counts what is left, as in every other form of the frame.
    plain[0] = u8::try_from(plain.len() - 1).expect("format B without CRCs is 254 bytes at most");
    Ok(plain)
}

fn from_plain(bytes: Vec<u8>, checked: bool) -> Result<Frame, Refused> {
    check_length(&bytes, usize::from(first(&bytes)?) + 1, "a frame without CRCs")?;
    let Some(head) = bytes.first_chunk::<FIRST_BLOCK>() else {
        return Err(short(bytes.len(), format!("L = {}: a frame has at least C, M and A, 9 bytes", bytes[0])));
    };
    let address = Address::from_link(head[2..].try_into().expect("the first block has 8 bytes after L and C"));
    let control = head[1];
    Ok(Frame { control, address, body: bytes[FIRST_BLOCK..].to_vec(), body_at: FIRST_BLOCK, checked })
}

/// What stands in the chip's FIFO after the frame (noise, a repeated last byte) is not part of it and is left unread.
fn from_fifo(bytes: &[u8]) -> Result<Frame, Refused> {
    let bytes = &bytes[..bytes.len().min(MAX_FIFO)];
    let cut = |whole: usize, frame: &[u8]| frame[..whole.min(frame.len())].to_vec();
    match bytes {
        [a, b, frame @ ..] if [*a, *b] == C1_A => from_plain(strip_a(&cut(length_a(first(frame)?), frame))?, true),
        [a, b, frame @ ..] if [*a, *b] == C1_B => from_plain(strip_b(&cut(length_b(first(frame)?), frame))?, true),
        _ => from_coded(bytes, three_of_six),
    }
}

/// The same of a mode whose format A is coded.
fn from_coded(bytes: &[u8], decode: impl Fn(&[u8], usize) -> Result<Vec<u8>, Refused>) -> Result<Frame, Refused> {
    let bytes = &bytes[..bytes.len().min(MAX_FIFO)];
    let l = decode(bytes, 1)?[0];
    from_plain(strip_a(&decode(bytes, length_a(l))?)?, true)
}

/// A wired long frame. Only a long header (CI 72) names the device; a bus address alone is no identity.
fn from_wired(bytes: &[u8]) -> Result<Frame, Refused> {
    const HEAD: usize = 4; // 68 L L 68
    if bytes.len() < HEAD + 2 {
        return Err(short(bytes.len(), "a wired frame is 68 L L 68 … checksum 16"));
    }
    if bytes[0] != 0x68 || bytes[3] != 0x68 {
        return Err(Refused::new(Reason::BadFrame, 0, "a wired frame begins 68 L L 68"));
    }
    if bytes[1] != bytes[2] {
        return Err(Refused::new(Reason::BadLength, 2, format!("L is told as {} and as {}", bytes[1], bytes[2])));
    }
    let whole = HEAD + usize::from(bytes[1]) + 2;
    if bytes.len() < whole {
        return Err(short(bytes.len(), format!("{} bytes; L = {} asks for {whole}", bytes.len(), bytes[1])));
    }
    if bytes.len() > whole {
        return Err(Refused::new(Reason::BadLength, whole, format!("bytes after the frame's {whole}")));
    }
    let (content, end) = bytes[HEAD..].split_at(bytes.len() - HEAD - 2);
    let sum = content.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    if end[0] != sum {
        let text = format!("the checksum says {:02X}, the bytes give {sum:02X}", end[0]);
        return Err(Refused::new(Reason::BadCrc, whole - 2, text));
    }
    if end[1] != 0x16 {
        return Err(Refused::new(Reason::BadFrame, whole - 1, "a wired frame ends with 16"));
    }
    match content {
        [control, _bus, ci @ 0x72, rest @ ..] if rest.len() >= 12 => {
            let address = Address::from_long_header(rest[..8].try_into().expect("12 bytes were seen"));
            let body = [&[*ci], rest].concat();
            Ok(Frame { control: *control, address, body, body_at: HEAD + 2, checked: true })
        }
        [_, _, 0x72, ..] => Err(short(whole, "a long header (CI 72) has 12 bytes")),
        [_, _, ci, ..] => Err(Refused::new(
            Reason::NotSupported,
            HEAD + 2,
            format!("a wired frame with CI {ci:02X}: only a long header (CI 72) names its device"),
        )),
        _ => Err(short(whole, "a wired frame has at least C, A and CI")),
    }
}
