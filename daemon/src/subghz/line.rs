//! What serial receivers say, cut into frames: lines of `rtl_wmbus`, lines of a CUL stick, packets of an iM871A or an
//! AMB8465 stick.
//!
//! Bytes go in as they come, in any portions; frames and counted faults come out. Memory is bounded whatever arrives:
//! noise, a wrong baud rate, a line without end. A receiver's own "this one is bad" is believed. This file never opens
//! a frame: it only knows where one begins and ends.
//!
//! Formats: rtl_wmbus README (`MODE;CRC_OK;3OUTOF6OK;time;rssi;rssi;id;0xHEX`, CRCs off, L adjusted); culfw `rf_mbus`
//! (`b` or `bY`, the frame with its CRCs, LQI and RSSI when started with X21); packets stand in `packet`.

use crate::subghz::packet;
use crate::subghz::packet::Answer;
use crate::subghz::packet::Taken;
use crate::subghz::wmbus_link::FrameKind;
use crate::subghz::wmbus_link::MAX_FRAME;
use crate::subghz::wmbus_link::length_a;
use crate::subghz::wmbus_link::length_b;

/// Characters of a line: the longest frame in hex and what stands before it. A longer line loses all of itself.
pub const MAX_LINE: usize = 2 * MAX_FRAME + 128;

/// A stick's answers that nobody has taken; it gives one to each question, and later ones are lost.
const ANSWERS_MAX: usize = 8;

/// Which receiver is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Lines of rtl_wmbus.
    RtlWmbus,
    /// Lines of a CUL, nanoCUL or MaxCUL with culfw or a-culfw.
    Cul,
    /// Packets of an IMST iM871A.
    Im871a,
    /// Packets of an AMBER (Würth) AMB8465, AMB8665 or Metis stick.
    Amber8465,
}

/// A frame as a receiver gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The form of `bytes`.
    pub kind: FrameKind,
    /// The frame.
    pub bytes: Vec<u8>,
    /// Signal strength, where the receiver tells it in dBm.
    pub rssi_dbm: Option<i16>,
    /// Whether every check up to here was made: block CRCs by the receiver, and a checksum or a line's own form on the
    /// way from it. Frames with CRCs are checked when they are opened.
    pub vouched: bool,
}

/// Why something heard was no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A line longer than [`MAX_LINE`].
    TooLong,
    /// Something else than a frame: a receiver's own message, noise, a wrong baud rate.
    NotAFrame,
    /// The receiver itself says that CRC or symbols were wrong.
    FlaggedBad,
    /// Not hexadecimal, or half a byte.
    BadHex,
    /// Not as long as its own L field says.
    BadLength,
    /// The checksum between stick and host is wrong.
    BadChecksum,
    /// A packet that was begun and never ended.
    HalfPacket,
    /// A telegram before the stick has said in which form it gives them.
    NotSetUp,
}

/// A frame or a fault.
pub type Heard = Result<Caught, Fault>;

/// Cuts one receiver's bytes into frames.
#[derive(Debug, Clone)]
pub struct Framer {
    source: Source,
    buffer: Vec<u8>,
    /// The rest of a too long line, or a run of noise between packets, is being passed over; it is counted once.
    skipping: bool,
    answers: Vec<Answer>,
}

impl Framer {
    /// A framer that has heard nothing yet.
    pub fn new(source: Source) -> Self {
        Self { source, buffer: Vec::new(), skipping: false, answers: Vec::new() }
    }

    /// Takes bytes, gives all that is complete now: never more items in all than bytes were fed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for byte in bytes {
            match self.source {
                Source::Im871a | Source::Amber8465 => self.packet_byte(*byte, &mut heard),
                Source::RtlWmbus | Source::Cul => heard.extend(self.line_byte(*byte)),
            }
        }
        heard
    }

    /// What a stick has answered since this was asked last.
    pub fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Nothing came for a while, longer than a packet takes: what was begun will not be completed. Without this, half
    /// a packet would swallow the beginning of the next. Lines end themselves and are left alone.
    pub fn silence(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        while packet::start(self.source).is_some() && !self.buffer.is_empty() {
            heard.push(Err(Fault::HalfPacket));
            self.skip_to_start(1);
            self.packets(&mut heard);
        }
        heard
    }

    /// Bytes held back; never more than a line or a packet.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn line_byte(&mut self, byte: u8) -> Option<Heard> {
        if byte != b'\n' {
            if !self.skipping {
                self.buffer.push(byte);
            }
            let full = self.buffer.len() > MAX_LINE;
            if full {
                self.buffer.clear();
                self.skipping = true;
            }
            return full.then_some(Err(Fault::TooLong));
        }
        let line = std::mem::take(&mut self.buffer);
        if std::mem::take(&mut self.skipping) {
            return None; // counted when it became too long
        }
        let Ok(line) = std::str::from_utf8(&line) else {
            return Some(Err(Fault::NotAFrame));
        };
        let line = line.trim_end_matches('\r');
        match self.source {
            _ if line.is_empty() => None,
            Source::RtlWmbus => Some(rtl_wmbus(line)),
            _ => Some(cul(line)),
        }
    }

    fn packet_byte(&mut self, byte: u8, heard: &mut Vec<Heard>) {
        if self.buffer.is_empty() && packet::start(self.source) != Some(byte) {
            if !std::mem::replace(&mut self.skipping, true) {
                heard.push(Err(Fault::NotAFrame));
            }
            return;
        }
        self.skipping = false;
        self.buffer.push(byte);
        self.packets(heard);
    }

    /// Gives what the buffer holds complete; after a fault begins again at the next start byte within it.
    fn packets(&mut self, heard: &mut Vec<Heard>) {
        while let Some((taken, used)) = packet::take(self.source, &self.buffer) {
            match taken {
                Taken::Heard(frame) => heard.push(frame),
                Taken::Answer(answer) if self.answers.len() < ANSWERS_MAX => self.answers.push(answer),
                Taken::Answer(_) => {}
            }
            self.skip_to_start(used);
        }
    }

    fn skip_to_start(&mut self, used: usize) {
        let rest = &self.buffer[used.min(self.buffer.len())..];
        let start = rest.iter().position(|b| packet::start(self.source) == Some(*b)).unwrap_or(rest.len());
        self.buffer.drain(..used + start);
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, Fault> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Fault::BadHex);
    }
    let nibble = |b: u8| char::from(b).to_digit(16).map_or(0, |d| d as u8);
    Ok(text.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect())
}

/// `T1;1;1;2019-04-03 19:00:42.000;97;148;88888888;0x6e44…`, with the algorithm's name in front under -v. Its signal
/// strength is in no unit and is not passed on.
fn rtl_wmbus(line: &str) -> Heard {
    let line = line.strip_prefix("rla;").or_else(|| line.strip_prefix("t2a;")).unwrap_or(line);
    let fields: Vec<&str> = line.split(';').collect();
    let [mode, crc_ok, symbols_ok, _time, _rssi, _now, _id, datagram] = fields[..] else {
        return Err(Fault::NotAFrame);
    };
    if !matches!(mode, "T1" | "C1" | "S1") {
        return Err(Fault::NotAFrame);
    }
    if (crc_ok, symbols_ok) != ("1", "1") {
        return Err(Fault::FlaggedBad);
    }
    let bytes = unhex(datagram.strip_prefix("0x").ok_or(Fault::NotAFrame)?)?;
    match bytes.first() {
        Some(l) if bytes.len() == usize::from(*l) + 1 => {
            Ok(Caught { kind: FrameKind::NoCrc, bytes, rssi_dbm: None, vouched: true })
        }
        _ => Err(Fault::BadLength),
    }
}

/// `b2E44…` in format A, `bY2E44…` in format B, both with their CRCs; two more bytes are LQI and RSSI.
fn cul(line: &str) -> Heard {
    let (kind, text) = match line.strip_prefix("bY") {
        Some(text) => (FrameKind::B, text),
        None => (FrameKind::A, line.strip_prefix('b').ok_or(Fault::NotAFrame)?),
    };
    let mut bytes = unhex(text)?;
    let l = *bytes.first().ok_or(Fault::BadLength)?;
    let whole = if kind == FrameKind::B { length_b(l) } else { length_a(l) };
    let rssi_dbm = match bytes.len().checked_sub(whole) {
        Some(0) => None,
        Some(2) => Some(chip_dbm(bytes[whole + 1])),
        _ => return Err(Fault::BadLength),
    };
    bytes.truncate(whole);
    Ok(Caught { kind, bytes, rssi_dbm, vouched: false })
}

/// Half decibels in two's complement, offset 74: CC1101 data sheet SWRS061, 17.3; AMBER's manual (AMB8426-M 2.4, 7.9)
/// has the same for its own chip.
pub(crate) fn chip_dbm(raw: u8) -> i16 {
    i16::from(raw as i8) / 2 - 74
}
