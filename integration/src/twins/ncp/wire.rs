//! ASH on the line: stuffing, CRC, the random-looking mask over data, and the six kinds of frame (Silicon Labs UG101).
//!
//! It keeps no state of a conversation; that is `ash`.

/// Ends a frame.
pub const FLAG: u8 = 0x7E;
const ESCAPE: u8 = 0x7D;
const XON: u8 = 0x11;
const XOFF: u8 = 0x13;
const SUBSTITUTE: u8 = 0x18;
const CANCEL: u8 = 0x1A;
const FLIP: u8 = 0x20;

/// The shortest and longest data field a stick takes, bytes (UG101: 3 to 128; EmberZNet 7 builds take 220).
pub const DATA_BYTES: std::ops::RangeInclusive<usize> = 3..=220;

/// The most of one unfinished frame that is kept, bytes; a longer one is noise and is thrown away up to its flag.
const FRAME_MOST: usize = 256;

/// A frame without its CRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An EZSP frame, already unmasked.
    Data {
        /// Its number, 0 to 7.
        number: u8,
        /// It was sent before.
        again: bool,
        /// The number expected next from the other side.
        ack: u8,
        /// The EZSP frame.
        payload: Vec<u8>,
    },
    /// All before `ack` have come.
    Ack {
        /// The number expected next.
        ack: u8,
        /// The host asks for no callbacks.
        not_ready: bool,
    },
    /// All before `ack` have come, what came next was bad.
    Nak {
        /// The number expected next.
        ack: u8,
        /// The host asks for no callbacks.
        not_ready: bool,
    },
    /// The host wants a reset.
    Rst,
    /// The stick has been reset.
    RstAck {
        /// Why.
        code: u8,
    },
    /// The stick has given up.
    Error {
        /// Why.
        code: u8,
    },
}

/// Why a frame was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Its CRC is another.
    Crc,
    /// Its control byte means nothing.
    Control,
    /// Too short or too long for its kind.
    Length,
}

/// CRC-CCITT, polynomial 0x1021, all ones at the start, high byte first on the line.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |mut register, byte| {
        register ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            register = if register & 0x8000 == 0 { register << 1 } else { register << 1 ^ 0x1021 };
        }
        register
    })
}

/// Puts the mask on a data field, or takes it off.
pub fn mask(data: &mut [u8]) {
    let mut register = 0x42u8;
    for byte in data {
        *byte ^= register;
        register = if register & 1 == 0 { register >> 1 } else { register >> 1 ^ 0xB8 };
    }
}

/// The frame as it goes over the line, flag included.
pub fn encode(frame: &Frame) -> Vec<u8> {
    let mut bytes = match frame {
        Frame::Data { number, again, ack, payload } => {
            let mut bytes = vec![number << 4 | u8::from(*again) << 3 | ack];
            bytes.extend_from_slice(payload);
            mask(&mut bytes[1..]);
            bytes
        }
        Frame::Ack { ack, not_ready } => vec![0x80 | u8::from(*not_ready) << 3 | ack],
        Frame::Nak { ack, not_ready } => vec![0xA0 | u8::from(*not_ready) << 3 | ack],
        Frame::Rst => vec![0xC0],
        Frame::RstAck { code } => vec![0xC1, 2, *code],
        Frame::Error { code } => vec![0xC2, 2, *code],
    };
    bytes.extend(crc(&bytes).to_be_bytes());
    let mut out = Vec::with_capacity(bytes.len() + 8);
    // Around a reset the other side may hold half a frame; CANCEL takes it away.
    if matches!(frame, Frame::Rst | Frame::RstAck { .. }) {
        out.push(CANCEL);
    }
    for byte in bytes {
        if matches!(byte, FLAG | ESCAPE | XON | XOFF | SUBSTITUTE | CANCEL) {
            out.extend([ESCAPE, byte ^ FLIP]);
        } else {
            out.push(byte);
        }
    }
    out.push(FLAG);
    out
}

/// The frame between two flags, escapes already undone.
///
/// # Errors
/// It is no frame.
pub fn decode(bytes: &[u8]) -> Result<Frame, Bad> {
    let (body, check) = bytes.split_last_chunk::<2>().ok_or(Bad::Length)?;
    let (control, data) = body.split_first().ok_or(Bad::Length)?;
    if crc(body) != u16::from_be_bytes(*check) {
        return Err(Bad::Crc);
    }
    let (ack, not_ready) = (control & 7, control & 8 != 0);
    match (control, data) {
        (0x00..=0x7F, data) if DATA_BYTES.contains(&data.len()) => {
            let mut payload = data.to_vec();
            mask(&mut payload);
            Ok(Frame::Data { number: control >> 4, again: not_ready, ack, payload })
        }
        (0x80..=0x9F, []) => Ok(Frame::Ack { ack, not_ready }),
        (0xA0..=0xBF, []) => Ok(Frame::Nak { ack, not_ready }),
        (0xC0, []) => Ok(Frame::Rst),
        (0xC1, [_, code]) => Ok(Frame::RstAck { code: *code }),
        (0xC2, [_, code]) => Ok(Frame::Error { code: *code }),
        (0x00..=0xC2, _) => Err(Bad::Length),
        _ => Err(Bad::Control),
    }
}

/// What the line gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole frame, good or bad.
    Frame(Result<Frame, Bad>),
    /// The other side may be written to again.
    Go,
    /// The other side asks for silence.
    Stop,
}

/// Cuts a stream into frames.
#[derive(Debug, Default)]
pub struct Cutter {
    kept: Vec<u8>,
    escaped: bool,
    /// What comes up to the next flag is not a frame.
    spoilt: bool,
}

impl Cutter {
    /// Takes one byte.
    pub fn byte(&mut self, byte: u8) -> Option<Event> {
        match byte {
            FLAG => {
                let spoilt = std::mem::take(&mut self.spoilt);
                let escaped = std::mem::take(&mut self.escaped);
                let kept = std::mem::take(&mut self.kept);
                if kept.is_empty() && !escaped || spoilt {
                    return None;
                }
                return Some(Event::Frame(if escaped { Err(Bad::Length) } else { decode(&kept) }));
            }
            CANCEL => *self = Self::default(),
            SUBSTITUTE => self.spoilt = true,
            XON => return Some(Event::Go),
            XOFF => return Some(Event::Stop),
            ESCAPE => self.escaped = true,
            _ if self.kept.len() >= FRAME_MOST => self.spoilt = true,
            _ if std::mem::take(&mut self.escaped) => self.kept.push(byte ^ FLIP),
            _ => self.kept.push(byte),
        }
        None
    }
}
