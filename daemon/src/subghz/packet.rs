//! The packets of sticks that speak in binary: where one begins and ends, its checksum, and whether it is a telegram or
//! an answer to the hub.
//!
//! It never opens a telegram, and believes no answer without a checksum. Formats: IMST WMBus HCI specification 1.6
//! (iM871A); AMBER's manuals of the AMB8426-M and AMB8465-M (command mode: FF, command, length, data, XOR of all), with
//! captures of wmbusmeters #440, #933 and #1559 for what a telegram looks like with signal strength attached.

use crate::subghz::line::Caught;
use crate::subghz::line::Fault;
use crate::subghz::line::Heard;
use crate::subghz::line::Source;
use crate::subghz::line::chip_dbm;
use crate::subghz::wmbus_link::FIRST_BLOCK;
use crate::subghz::wmbus_link::FrameKind;

/// What a stick answers to a question of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer's own number: an iM871A's message, an AMB8465's command with its top bit set.
    pub number: u8,
    /// What it says.
    pub content: Vec<u8>,
}

/// A packet, or what was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A telegram or a fault.
    Heard(Heard),
    /// An answer.
    Answer(Answer),
}

impl From<Fault> for Taken {
    fn from(fault: Fault) -> Self {
        Self::Heard(Err(fault))
    }
}

/// The byte a packet begins with; `None` for receivers that speak in lines.
pub(crate) fn start(source: Source) -> Option<u8> {
    match source {
        Source::Im871a => Some(IM871A),
        Source::Amber8465 => Some(AMBER),
        Source::RtlWmbus | Source::Cul => None,
    }
}

/// The packet a buffer begins with, if it is complete or wrong, and how many bytes are spent. After a wrong start one
/// byte is, so that a packet within what looked like one is found.
pub(crate) fn take(source: Source, buffer: &[u8]) -> Option<(Taken, usize)> {
    match source {
        Source::Im871a => im871a(buffer),
        Source::Amber8465 => amber(buffer),
        Source::RtlWmbus | Source::Cul => None,
    }
}

const IM871A: u8 = 0xA5;
/// Endpoints of an iM871A, in the low half of the second byte.
const DEVICE_MANAGEMENT: u8 = 1;
const RADIO_LINK: u8 = 2;
/// A radio message came in.
const RADIO_MESSAGE: u8 = 3;
/// What follows the payload, by the control bits in the high half of the second byte. Bit 10 is reserved.
const HAS_TIME: u8 = 0x20;
const HAS_RSSI: u8 = 0x40;
const HAS_CRC: u8 = 0x80;

/// A5, control and endpoint, message, length, payload, then time (4), RSSI (1) and CRC (2) where the control bits say so.
fn im871a(buffer: &[u8]) -> Option<(Taken, usize)> {
    let control = *buffer.get(1)?;
    let endpoint = control & 0x0F;
    if control & 0x10 != 0 || !(1..=4).contains(&endpoint) {
        return Some((Fault::NotAFrame.into(), 1));
    }
    let length = *buffer.get(3)?;
    let has = |bit: u8, size: usize| if control & bit != 0 { size } else { 0 };
    let payload = 4 + usize::from(length);
    let rssi_at = payload + has(HAS_TIME, 4);
    let crc_at = rssi_at + has(HAS_RSSI, 1);
    let whole = crc_at + has(HAS_CRC, 2);
    let packet = buffer.get(..whole)?;
    let sealed = control & HAS_CRC != 0;
    if sealed && crc16_x25(&packet[1..crc_at]).to_le_bytes() != packet[crc_at..] {
        return Some((Fault::BadChecksum.into(), 1));
    }
    if endpoint == DEVICE_MANAGEMENT && sealed {
        let answer = Answer { number: packet[2], content: packet[4..payload].to_vec() };
        return Some((Taken::Answer(answer), whole));
    }
    if endpoint != RADIO_LINK || packet[2] != RADIO_MESSAGE {
        return Some((Fault::NotAFrame.into(), if sealed { whole } else { 1 }));
    }
    // The packet's length is the frame's L field, which the stick takes off.
    let bytes = [&[length], &packet[4..payload]].concat();
    let rssi_dbm = (control & HAS_RSSI != 0).then(|| im871a_dbm(packet[rssi_at]));
    Some((Taken::Heard(Ok(Caught { kind: FrameKind::NoCrc, bytes, rssi_dbm, vouched: sealed })), whole))
}

/// The stick's radio (Si1002, figure 7-3): 45 is -100 dBm, 205 is -20 dBm, straight between, 0 dBm at the top.
fn im871a_dbm(raw: u8) -> i16 {
    ((i16::from(raw) - 45) / 2 - 100).min(0)
}

/// CRC-16/X-25, as the HCI has it over everything after the start byte, low byte first.
fn crc16_x25(bytes: &[u8]) -> u16 {
    let sum = bytes.iter().fold(0xFFFFu16, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |s, _| if s & 1 == 0 { s >> 1 } else { s >> 1 ^ 0x8408 })
    });
    !sum
}

const AMBER: u8 = 0xFF;
/// A telegram came in.
const DATA_INDICATION: u8 = 0x03;
/// Set in the command byte of answers.
const CONFIRMATION: u8 = 0x80;
/// The last command there is (`CMD_GET_AES_DEV`).
const LAST_COMMAND: u8 = 0x52;

/// FF, command, length, data, checksum, which has eight bits: of packets that lost a byte one in 256 passes. A telegram's data ends with its signal strength: the hub sets the stick up so and
/// hears none before (`stick`).
fn amber(buffer: &[u8]) -> Option<(Taken, usize)> {
    let command = *buffer.get(1)?;
    let is_answer = (CONFIRMATION..=CONFIRMATION | LAST_COMMAND).contains(&command);
    if command != DATA_INDICATION && !is_answer {
        return Some((Fault::NotAFrame.into(), 1));
    }
    let length = *buffer.get(2)?;
    let whole = 3 + usize::from(length) + 1;
    let packet = buffer.get(..whole)?;
    if checksum(packet) != 0 {
        return Some((Fault::BadChecksum.into(), 1));
    }
    let data = &packet[3..whole - 1];
    if is_answer {
        return Some((Taken::Answer(Answer { number: command, content: data.to_vec() }), whole));
    }
    let frame = match data.split_last() {
        Some((rssi, frame)) if frame.len() >= FIRST_BLOCK => {
            let bytes = [&[length - 1], frame].concat();
            Ok(Caught { kind: FrameKind::NoCrc, bytes, rssi_dbm: Some(chip_dbm(*rssi)), vouched: true })
        }
        _ => Err(Fault::BadLength),
    };
    Some((Taken::Heard(frame), whole))
}

/// XOR of all bytes: of a packet with its checksum it is 0.
pub(crate) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}
