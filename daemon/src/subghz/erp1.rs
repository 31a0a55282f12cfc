//! The radio telegram of EnOcean (ERP1) as a transceiver passes it on: choice (RORG), payload, sender, status, and how it
//! was received. It knows nothing of what a payload means, and an id is never taken for more than a name.
//!
//! Source: EnOcean Serial Protocol 3, V1.47, 2.1 (Packet Type 1: RADIO_ERP1); EnOcean Equipment Profiles 2.6.7, 1.6.

use crate::subghz::esp3::Packet;
use crate::subghz::esp3::PacketType;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use vakt_core::device::DeviceId;

/// Telegram types.
pub mod rorg {
    /// Repeated switch: one byte, and two bits of the status.
    pub const RPS: u8 = 0xF6;
    /// One byte.
    pub const ONE_BS: u8 = 0xD5;
    /// Four bytes, DB3 first.
    pub const FOUR_BS: u8 = 0xA5;
    /// Variable length.
    pub const VLD: u8 = 0xD2;
    /// Universal teach-in.
    pub const UTE: u8 = 0xD4;
    /// Secure, without the RORG of what is in it.
    pub const SEC: u8 = 0x30;
    /// Secure, with it.
    pub const SEC_ENCAPS: u8 = 0x31;
    /// What a [`SEC`] telegram becomes when it is opened. Nothing that comes from the air is one.
    pub const SEC_DECRYPTED: u8 = 0x32;
    /// Part of a secure message that is longer than a telegram.
    pub const SEC_CHAINED: u8 = 0x33;
    /// Secure teach-in.
    pub const SEC_TEACH_IN: u8 = 0x35;

    /// Signals of a device about its own energy and addressing (D0), and what remote management says (C5 to C7): they belong
    /// to no profile and say nothing of what a detector watches.
    pub fn says_nothing(rorg: u8) -> bool {
        matches!(rorg, 0xC5..=0xC7 | 0xD0)
    }
}

/// To everybody.
pub const BROADCAST: u32 = 0xFFFF_FFFF;
/// RORG, one byte of payload, sender, status.
const SHORTEST: usize = 7;
/// Optional data of a telegram: subtelegrams, destination (4), dBm, security level.
const OPTIONAL: usize = 7;

/// A telegram's last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    /// How many repeaters it came through; the value 15 says that none may repeat it.
    pub fn repeated(self) -> u8 {
        if self.0 & 0x0F == 0x0F { 0 } else { self.0 & 0x0F }
    }

    /// RPS: a switch module of type 2.
    pub fn t21(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// RPS: a normal message; else an unassigned one.
    pub fn nu(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// On air it was protected by a CRC8; else by a sum.
    pub fn crc8(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// How a transceiver received a telegram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many subtelegrams it had heard.
    pub subtelegrams: u8,
    /// To whom; [`BROADCAST`] as a rule.
    pub destination: u32,
    /// The best subtelegram's strength in dBm; `None` in a telegram to be sent.
    pub rssi_dbm: Option<i16>,
    /// What the transceiver's own security did: 0 nothing, 2 decrypted, 3 authenticated, 4 both. The hub gives it no
    /// keys, and believes nothing on its word.
    pub security_level: u8,
}

/// A radio telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// Its type.
    pub rorg: u8,
    /// What lies between type and sender; never empty.
    pub payload: Vec<u8>,
    /// Who says to have sent it.
    pub sender: u32,
    /// Its last byte.
    pub status: Status,
    /// How it was received, where the transceiver tells.
    pub received: Option<Received>,
}

impl Telegram {
    /// From the telegram's bytes alone, without a transceiver's packet.
    ///
    /// # Errors
    /// `too_short`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() < SHORTEST {
            let text = format!("{} bytes: a telegram has a type, a payload, four bytes of id, a status", bytes.len());
            return Err(Refused::new(Reason::TooShort, bytes.len(), text));
        }
        let (rest, end) = bytes.split_at(bytes.len() - 5);
        let sender = u32::from_be_bytes([end[0], end[1], end[2], end[3]]);
        Ok(Self { rorg: rest[0], payload: rest[1..].to_vec(), sender, status: Status(end[4]), received: None })
    }

    /// From a packet that holds one.
    ///
    /// # Errors
    /// `bad_frame` for another packet, `too_short`, `bad_length` where its optional data is cut or too long.
    pub fn of(packet: &Packet) -> Result<Self, Refused> {
        if packet.packet_type != PacketType::RadioErp1 {
            let text = format!("a packet of type {:02X} holds no telegram: 01 does", packet.packet_type.byte());
            return Err(Refused::new(Reason::BadFrame, 4, text));
        }
        let telegram = Self::parse(&packet.data).map_err(|refused| Refused { at: refused.at + 6, ..refused })?;
        let received = match *packet.optional {
            [] => None,
            [subtelegrams, a, b, c, d, dbm, security_level] => Some(Received {
                subtelegrams,
                destination: u32::from_be_bytes([a, b, c, d]),
                rssi_dbm: (dbm != 0xFF).then(|| -i16::from(dbm)),
                security_level,
            }),
            _ => {
                let text =
                    format!("{} bytes of optional data: a telegram has {OPTIONAL} or none", packet.optional.len());
                return Err(Refused::new(Reason::BadLength, 3, text));
            }
        };
        Ok(Self { received, ..telegram })
    }

    /// The packet that sends it: to everybody, or to `destination`.
    pub fn packet(&self, destination: u32) -> Packet {
        let data = [&[self.rorg], &*self.payload, &self.sender.to_be_bytes(), &[self.status.0]].concat();
        // Three subtelegrams, strength and security as the specification has them for sending.
        let optional = [&[3], &destination.to_be_bytes()[..], &[0xFF, 0x00]].concat();
        Packet { packet_type: PacketType::RadioErp1, data, optional }
    }

    /// Who says to have sent it, as the hub names it.
    pub fn device(&self) -> DeviceId {
        device(self.sender)
    }

    /// Strength in dBm, where the transceiver tells.
    pub fn rssi_dbm(&self) -> Option<i16> {
        self.received.and_then(|received| received.rssi_dbm)
    }
}

/// `en-` and eight digits.
pub fn device(sender: u32) -> DeviceId {
    DeviceId::new(format!("en-{sender:08x}")).expect("hexadecimal digits behind en- are an id")
}
