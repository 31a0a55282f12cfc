//! One ASH frame: control byte, randomised data, CRC, byte stuffing (Silicon Labs UG101, section 2 and 4).
//!
//! It knows nothing of sequence or time, and it never guesses: a frame whose CRC, length or control byte is wrong is no
//! frame.

/// Ends each frame; between frames it says nothing.
pub const FLAG: u8 = 0x7E;
/// What was received since the last flag is void.
pub const CANCEL: u8 = 0x1A;
const ESCAPE: u8 = 0x7D;
/// Whoever was told to be silent may speak again.
pub const XON: u8 = 0x11;
const XOFF: u8 = 0x13;
/// The UART lost a byte here (framing or overrun): the frame around it is void.
const SUBSTITUTE: u8 = 0x18;
const FLIP: u8 = 0x20;

/// Bytes of an EZSP frame that fit into one ASH frame. EmberZNet takes 128 of the host and sends up to 220.
pub const DATA_MAX: usize = 220;
/// Bytes of a frame before stuffing; longer ones are line noise, the sender loses them.
const FRAME_MAX: usize = 1 + DATA_MAX + 2;

/// A frame number, modulo 8.
pub type Number = u8;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Carries an EZSP frame.
    Data {
        /// Its number.
        number: Number,
        /// It was sent before.
        again: bool,
        /// The next number its sender waits for: all before it have arrived.
        ack: Number,
        /// The EZSP frame, not randomised.
        data: Vec<u8>,
    },
    /// All before this number have arrived.
    Ack {
        /// The next number waited for.
        ack: Number,
        /// Its sender takes no callbacks for the moment.
        not_ready: bool,
    },
    /// Something was damaged or missing: send again from this number on.
    Nak {
        /// The next number waited for.
        ack: Number,
    },
    /// The host resets the NCP.
    Rst,
    /// The NCP was reset.
    RstAck {
        /// ASH version; 2.
        version: u8,
        /// Why it was reset.
        code: u8,
    },
    /// The NCP has given up and waits for RST.
    Error {
        /// ASH version; 2.
        version: u8,
        /// Why.
        code: u8,
    },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The check does not fit.
    #[error("the CRC does not fit: the frame says {said:#06x}, its bytes give {found:#06x}")]
    Crc {
        /// What it says.
        said: u16,
        /// What its bytes give.
        found: u16,
    },
    /// Too short for any frame, or for its kind.
    #[error("{found} bytes are too few for this frame")]
    Short {
        /// Bytes between the flags.
        found: usize,
    },
    /// Too long.
    #[error("more than {FRAME_MAX} bytes without a flag")]
    Long,
    /// No such control byte.
    #[error("no frame begins with {0:#04x}")]
    Control(u8),
    /// The UART says that it lost a byte.
    #[error("the serial port lost a byte")]
    Lost,
}

/// CRC-16/CCITT, initially all ones (UG101, 2.3).
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 }
            },
        )
    })
}

/// Exclusive-or with the sequence that keeps reserved bytes rare (UG101, 4.3); its own inverse.
pub fn randomise(data: &mut [u8]) {
    let mut random = 0x42u8;
    for byte in data {
        *byte ^= random;
        random = if random & 1 == 0 { random >> 1 } else { (random >> 1) ^ 0xB8 };
    }
}

impl Frame {
    /// As bytes on the line, with the closing flag.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = match self {
            Frame::Data { number, again, ack, data } => {
                let mut bytes = vec![number << 4 | u8::from(*again) << 3 | ack];
                bytes.extend_from_slice(data);
                randomise(&mut bytes[1..]);
                bytes
            }
            Frame::Ack { ack, not_ready } => vec![0x80 | u8::from(*not_ready) << 3 | ack],
            Frame::Nak { ack } => vec![0xA0 | ack],
            Frame::Rst => vec![0xC0],
            Frame::RstAck { version, code } => vec![0xC1, *version, *code],
            Frame::Error { version, code } => vec![0xC2, *version, *code],
        };
        let check = crc(&bytes);
        bytes.extend(check.to_be_bytes());
        let mut stuffed = Vec::with_capacity(bytes.len() + 8);
        for byte in bytes {
            if matches!(byte, FLAG | ESCAPE | XON | XOFF | SUBSTITUTE | CANCEL) {
                stuffed.extend([ESCAPE, byte ^ FLIP]);
            } else {
                stuffed.push(byte);
            }
        }
        stuffed.push(FLAG);
        stuffed
    }

    /// From the bytes between two flags, the stuffing undone.
    ///
    /// # Errors
    /// Why they are no frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadFrame> {
        let Some((body, check)) = bytes.split_last_chunk::<2>().filter(|(body, _)| !body.is_empty()) else {
            return Err(BadFrame::Short { found: bytes.len() });
        };
        let (said, found) = (u16::from_be_bytes(*check), crc(body));
        if said != found {
            return Err(BadFrame::Crc { said, found });
        }
        let short = BadFrame::Short { found: bytes.len() };
        let (control, ack) = (body[0], body[0] & 7);
        match (control, &body[1..]) {
            (0x00..=0x7F, data) if data.len() >= 3 => {
                let mut data = data.to_vec();
                randomise(&mut data);
                Ok(Frame::Data { number: control >> 4, again: control & 8 != 0, ack, data })
            }
            (0x80..=0x9F, []) => Ok(Frame::Ack { ack, not_ready: control & 8 != 0 }),
            (0xA0..=0xBF, []) => Ok(Frame::Nak { ack }),
            (0xC0, []) => Ok(Frame::Rst),
            (0xC1, &[version, code]) => Ok(Frame::RstAck { version, code }),
            (0xC2, &[version, code]) => Ok(Frame::Error { version, code }),
            (0x00..=0x7F | 0xC1 | 0xC2, _) => Err(short),
            _ => Err(BadFrame::Control(control)),
        }
    }
}

/// Cuts what a serial port says into frames.
#[derive(Debug, Default)]
pub struct Deframer {
    bytes: Vec<u8>,
    escaped: bool,
    void: Option<BadFrame>,
}

impl Deframer {
    /// Takes one byte; `Some` at the end of a frame, good or bad.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame, BadFrame>> {
        match byte {
            FLAG => return self.end(),
            CANCEL => *self = Self::default(),
            SUBSTITUTE => self.void = Some(BadFrame::Lost),
            XON | XOFF => {}
            ESCAPE => self.escaped = true,
            _ if self.bytes.len() == FRAME_MAX => self.void = self.void.or(Some(BadFrame::Long)),
            _ => self.bytes.push(if std::mem::take(&mut self.escaped) { byte ^ FLIP } else { byte }),
        }
        None
    }

    fn end(&mut self) -> Option<Result<Frame, BadFrame>> {
        let ended = std::mem::take(self);
        match (ended.void, ended.bytes.as_slice()) {
            (Some(bad), _) => Some(Err(bad)),
            (None, []) => None,
            (None, bytes) => Some(Frame::decode(bytes)),
        }
    }
}
