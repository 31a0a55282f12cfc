//! ESP3, the serial line of EnOcean transceivers: bytes in any portions, whole packets and counted faults out.
//!
//! Sans-IO like `line.rs`. Memory is bounded whatever arrives, and a packet that fails a check is searched for the next
//! start within it: 55 is a byte like any other in the data, so a false start must not swallow what follows. This file
//! never opens a packet's data, and never passes on one of which a check failed.
//!
//! Source: EnOcean Serial Protocol 3, V1.47, 1.5 to 1.6 (framing, CRC8 in 3.3). A packet is 55, data length (2),
//! optional length, type, CRC8 of these four, data, optional data, CRC8 of both; a gap of 100 ms ends it.

use crate::subghz::line::Fault;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;

/// First byte of a packet.
pub const SYNC: u8 = 0x55;
/// Bytes before the data.
const HEADER: usize = 6;
/// Longest data taken, in bytes: a remote management message (ESP3, 2.8) has as many, a radio telegram some twenty. Of
/// a longer packet nothing is heard; the field could claim 65,535, and its bytes would not be told from noise.
pub const MAX_DATA: usize = 512;
/// Longest packet: the optional data's length is one byte.
pub const MAX_PACKET: usize = HEADER + MAX_DATA + 255 + 1;

/// What a packet is, by its type byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketType {
    /// 1: a radio telegram of protocol 1, sent or heard.
    RadioErp1,
    /// 2: the answer to a command or to a telegram that was sent.
    Response,
    /// 3: a telegram with each of its subtelegrams.
    RadioSubTel,
    /// 4: the transceiver tells something of itself.
    Event,
    /// 5: a command.
    CommonCommand,
    /// Any other; its checks are the same.
    Other(u8),
}

impl PacketType {
    /// From the type byte.
    pub fn of(byte: u8) -> Self {
        match byte {
            1 => Self::RadioErp1,
            2 => Self::Response,
            3 => Self::RadioSubTel,
            4 => Self::Event,
            5 => Self::CommonCommand,
            other => Self::Other(other),
        }
    }

    /// The type byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::RadioErp1 => 1,
            Self::Response => 2,
            Self::RadioSubTel => 3,
            Self::Event => 4,
            Self::CommonCommand => 5,
            Self::Other(byte) => byte,
        }
    }

    /// As the specification names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RadioErp1 => "radio_erp1",
            Self::Response => "response",
            Self::RadioSubTel => "radio_sub_tel",
            Self::Event => "event",
            Self::CommonCommand => "common_command",
            Self::Other(0x06) => "smart_ack_command",
            Self::Other(0x07) => "remote_man_command",
            Self::Other(0x09) => "radio_message",
            Self::Other(0x0A) => "radio_erp2",
            Self::Other(0x10) => "radio_802_15_4",
            Self::Other(0x11) => "command_2_4",
            Self::Other(_) => "unknown",
        }
    }
}

/// A packet whose both checks passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is.
    pub packet_type: PacketType,
    /// Its data, never empty.
    pub data: Vec<u8>,
    /// Its optional data; 255 bytes at most.
    pub optional: Vec<u8>,
}

impl Packet {
    /// The bytes on the line. Data and optional data must be within their limits: what is cut off is not sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        debug_assert!((1..=MAX_DATA).contains(&self.data.len()), "who builds a packet keeps to the limit");
        let data = &self.data[..self.data.len().min(MAX_DATA)];
        let optional = &self.optional[..self.optional.len().min(255)];
        let [high, low] = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
        let length = u8::try_from(optional.len()).unwrap_or(u8::MAX);
        let header = [high, low, length, self.packet_type.byte()];
        let body = [data, optional].concat();
        [&[SYNC], &header[..], &[crc8(&header)], &body, &[crc8(&body)]].concat()
    }

    /// The one packet these bytes are.
    ///
    /// # Errors
    /// `bad_frame` without its start, `too_short`, `too_long`, `bad_length`, `bad_crc`, each with what would be right.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.first() != Some(&SYNC) {
            return Err(not_a_packet(bytes));
        }
        let Some(header) = bytes.get(1..HEADER) else {
            let text = format!("{} bytes: a packet's header alone has {HEADER}", bytes.len());
            return Err(Refused::new(Reason::TooShort, bytes.len(), text));
        };
        let found = crc8(&header[..4]);
        if found != header[4] {
            let text = format!("header CRC8 is {:02X}, its bytes have {found:02X}", header[4]);
            return Err(Refused::new(Reason::BadCrc, HEADER - 1, text));
        }
        let (data_length, optional_length) = lengths(header);
        if data_length == 0 {
            return Err(Refused::new(Reason::BadLength, 1, "a packet without data: at least one byte is due"));
        }
        if data_length > MAX_DATA {
            let text = format!("{data_length} bytes of data: {MAX_DATA} at most are taken");
            return Err(Refused::new(Reason::TooLong, 1, text));
        }
        let whole = HEADER + data_length + optional_length + 1;
        if bytes.len() != whole {
            let kind = if bytes.len() < whole { Reason::TooShort } else { Reason::BadLength };
            let text = format!("{} bytes where the header says {whole}", bytes.len());
            return Err(Refused::new(kind, bytes.len().min(whole), text));
        }
        let body = &bytes[HEADER..whole - 1];
        let found = crc8(body);
        if found != bytes[whole - 1] {
            let text = format!("data CRC8 is {:02X}, its bytes have {found:02X}", bytes[whole - 1]);
            return Err(Refused::new(Reason::BadCrc, whole - 1, text));
        }
        let (data, optional) = body.split_at(data_length);
        let packet_type = PacketType::of(header[3]);
        Ok(Self { packet_type, data: data.to_vec(), optional: optional.to_vec() })
    }
}

/// Why bytes are no packet; a bare radio telegram, as logs of other programs have them, is named as such.
fn not_a_packet(bytes: &[u8]) -> Refused {
    const TELEGRAMS: [u8; 10] = [0xF6, 0xD5, 0xA5, 0xD2, 0xD4, 0xD1, 0x30, 0x31, 0x32, 0x35];
    let found = bytes.first().copied().unwrap_or_default();
    let bare = TELEGRAMS.contains(&found) && bytes.len() >= 7;
    let text = if bare {
        format!("an ESP3 packet begins with 55; this looks like a bare radio telegram of RORG {found:02X}")
    } else {
        format!("an ESP3 packet begins with 55, this with {found:02X}")
    };
    Refused::new(Reason::BadFrame, 0, text)
}

/// Length of data and of optional data, by the four header bytes.
fn lengths(header: &[u8]) -> (usize, usize) {
    (usize::from(u16::from_be_bytes([header[0], header[1]])), usize::from(header[2]))
}

/// A packet or a fault.
pub type Heard = Result<Packet, Fault>;

/// Cuts a transceiver's bytes into packets.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    /// Begins with a start byte, if anything is in it; shorter than [`MAX_PACKET`].
    buffer: Vec<u8>,
    /// A run of noise between packets is being passed over; it is counted once.
    skipping: bool,
}

impl Framer {
    /// Takes bytes, gives all that is complete now: never more items in all than bytes were fed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for byte in bytes {
            if self.buffer.is_empty() && *byte != SYNC {
                if !std::mem::replace(&mut self.skipping, true) {
                    heard.push(Err(Fault::NotAFrame));
                }
                continue;
            }
            self.skipping = false;
            self.buffer.push(*byte);
            self.packets(&mut heard);
        }
        heard
    }

    /// Nothing came for 100 ms (ESP3, 1.6.4): what was begun will not be completed. What lies whole behind a false
    /// start is found now.
    pub fn silence(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        while !self.buffer.is_empty() {
            heard.push(Err(Fault::HalfPacket));
            self.skip_to_start(1);
            self.packets(&mut heard);
        }
        heard
    }

    /// Bytes held back; less than [`MAX_PACKET`].
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Gives what the buffer holds complete; after a fault begins again at the next start byte within it.
    fn packets(&mut self, heard: &mut Vec<Heard>) {
        while let Some((result, used)) = first(&self.buffer) {
            heard.push(result);
            self.skip_to_start(used);
        }
    }

    fn skip_to_start(&mut self, used: usize) {
        let rest = &self.buffer[used.min(self.buffer.len())..];
        let start = rest.iter().position(|byte| *byte == SYNC).unwrap_or(rest.len());
        self.buffer.drain(..used + start);
    }
}

/// The packet a buffer begins with, if it is complete or wrong, and how many of its bytes are done with.
fn first(buffer: &[u8]) -> Option<(Heard, usize)> {
    let header = buffer.get(1..HEADER)?;
    if crc8(&header[..4]) != header[4] {
        return Some((Err(Fault::BadChecksum), 1));
    }
    let (data_length, optional_length) = lengths(header);
    if !(1..=MAX_DATA).contains(&data_length) {
        return Some((Err(Fault::BadLength), 1));
    }
    let whole = HEADER + data_length + optional_length + 1;
    let packet = buffer.get(..whole)?;
    Some(match Packet::parse(packet) {
        Ok(packet) => (Ok(packet), whole),
        Err(_) => (Err(Fault::BadChecksum), 1), // all else is checked above
    })
}

/// CRC8 with x8 + x2 + x + 1, from zero: of headers, of data, and of a pre-shared key on its label.
pub fn crc8(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum, byte| (0..8).fold(sum ^ byte, |s: u8, _| if s & 0x80 == 0 { s << 1 } else { s << 1 ^ 7 }))
}
