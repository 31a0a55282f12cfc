//! What an EnOcean transceiver is told and asked, and what it answers and tells of itself.
//!
//! Only what the hub uses: nothing here writes a base id, a key or a security table of the transceiver, whose memory
//! for them wears out and can be read back by whoever takes it. Source: EnOcean Serial Protocol 3, V1.47, 2.2, 2.4, 2.5.

use crate::subghz::esp3::Packet;
use crate::subghz::esp3::PacketType;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;

/// A command, and with it how its answer is to be read: an answer does not say what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// CO_WR_SLEEP: deep sleep, in units of 10 ms, 24 bits; 0 is as long as it can.
    Sleep {
        /// How long, in 10 ms.
        period_10ms: u32,
    },
    /// CO_WR_RESET.
    Reset,
    /// CO_RD_VERSION.
    ReadVersion,
    /// CO_RD_IDBASE.
    ReadBaseId,
    /// CO_WR_REPEATER.
    WriteRepeater(Repeater),
    /// CO_RD_REPEATER.
    ReadRepeater,
    /// CO_RD_DUTYCYCLE_LIMIT.
    ReadDutyCycle,
}

/// Whether the transceiver repeats what it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeater {
    /// Not at all.
    Off,
    /// What was not repeated before.
    Level1,
    /// What was repeated once, too.
    Level2,
    /// What its filters choose, to the given level.
    Filtered(u8),
}

impl Command {
    /// The packet that is sent.
    pub fn packet(self) -> Packet {
        let data = match self {
            Self::Sleep { period_10ms } => {
                let [_, rest @ ..] = period_10ms.min(0x00FF_FFFF).to_be_bytes();
                [&[0x01, 0x00], &rest[..]].concat()
            }
            Self::Reset => vec![0x02],
            Self::ReadVersion => vec![0x03],
            Self::ReadBaseId => vec![0x08],
            Self::WriteRepeater(repeater) => {
                let (enable, level) = match repeater {
                    Repeater::Off => (0, 0),
                    Repeater::Level1 => (1, 1),
                    Repeater::Level2 => (1, 2),
                    Repeater::Filtered(level) => (2, level.clamp(1, 2)),
                };
                vec![0x09, enable, level]
            }
            Self::ReadRepeater => vec![0x0A],
            Self::ReadDutyCycle => vec![0x23],
        };
        Packet { packet_type: PacketType::CommonCommand, data, optional: Vec::new() }
    }

    /// What a response says to this command.
    ///
    /// # Errors
    /// `bad_frame` for another packet, `not_supported` or `bad_record` where the transceiver declined, `bad_length`
    /// where its answer is not as long as this command's is, `bad_record` for values outside the specification.
    pub fn answer(self, packet: &Packet) -> Result<Answer, Refused> {
        let response = Response::parse(packet)?;
        if response.code != ReturnCode::Ok {
            let kind = if response.code == ReturnCode::NotSupported { Reason::NotSupported } else { Reason::BadRecord };
            let text = format!("the transceiver declined command {:02X}: {:?}", self.packet().data[0], response.code);
            return Err(Refused::new(kind, 0, text));
        }
        match (self, &*response.data) {
            (Self::Sleep { .. } | Self::Reset | Self::WriteRepeater(_), []) => Ok(Answer::Done),
            (Self::ReadVersion, data) if data.len() == 32 => {
                let word = |at: usize| [data[at], data[at + 1], data[at + 2], data[at + 3]];
                let name = data[16..].iter().take_while(|byte| **byte != 0);
                let description = name.map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' });
                let chip_id = u32::from_be_bytes(word(8));
                Ok(Answer::Version { app: word(0), api: word(4), chip_id, description: description.collect() })
            }
            (Self::ReadBaseId, &[a, b, c, d]) => {
                let writes_left = response.optional.first().copied();
                Ok(Answer::BaseId { base_id: u32::from_be_bytes([a, b, c, d]), writes_left })
            }
            (Self::ReadRepeater, &[enable, level]) => match (enable, level) {
                (0, 0) => Ok(Answer::Repeater(Repeater::Off)),
                (1, 1) => Ok(Answer::Repeater(Repeater::Level1)),
                (1, 2) => Ok(Answer::Repeater(Repeater::Level2)),
                (2, 1 | 2) => Ok(Answer::Repeater(Repeater::Filtered(level))),
                _ => {
                    Err(Refused::new(Reason::BadRecord, 1, format!("repeater {enable:02X} {level:02X} is not listed")))
                }
            },
            (Self::ReadDutyCycle, &[available, slots, p0, p1, l0, l1, after]) => Ok(Answer::DutyCycle {
                available_percent: available,
                slots,
                slot_s: u16::from_be_bytes([p0, p1]),
                slot_left_s: u16::from_be_bytes([l0, l1]),
                after_percent: after,
            }),
            (_, data) => {
                let text = format!("{} bytes of answer to command {:02X}", data.len(), self.packet().data[0]);
                Err(Refused::new(Reason::BadLength, 1, text))
            }
        }
    }
}

/// What a transceiver answers to a command that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// What it is.
    Version {
        /// Application: main, beta, alpha, build.
        app: [u8; 4],
        /// Interface, likewise.
        api: [u8; 4],
        /// Its own lasting id.
        chip_id: u32,
        /// In words, e.g. `GATEWAYCTRL`.
        description: String,
    },
    /// The first of the 128 ids it may send under.
    BaseId {
        /// The id.
        base_id: u32,
        /// How often it can still be changed, where it says; 255 is for ever.
        writes_left: Option<u8>,
    },
    /// What it repeats.
    Repeater(Repeater),
    /// How much it may still send.
    DutyCycle {
        /// Of the hour's 1 %, in per cent.
        available_percent: u8,
        /// Slots of an hour.
        slots: u8,
        /// Length of a slot, in seconds.
        slot_s: u16,
        /// What is left of this slot, in seconds.
        slot_left_s: u16,
        /// In per cent, once this slot has ended.
        after_percent: u8,
    },
}

/// How a command or a telegram to send was taken (ESP3, 2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnCode {
    /// 0: taken.
    Ok,
    /// 1: an error.
    Error,
    /// 2: this transceiver cannot.
    NotSupported,
    /// 3: a parameter is wrong.
    WrongParameter,
    /// 4: not allowed.
    OperationDenied,
    /// 5: the duty cycle is used up.
    LockSet,
    /// 6: longer than its buffer.
    BufferTooSmall,
    /// 7: no buffer is free.
    NoFreeBuffer,
    /// Any other.
    Other(u8),
}

/// The answer to a command or to a telegram that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How it was taken.
    pub code: ReturnCode,
    /// What follows the code.
    pub data: Vec<u8>,
    /// The optional data.
    pub optional: Vec<u8>,
}

impl Response {
    /// From a packet.
    ///
    /// # Errors
    /// `bad_frame` for a packet that is no response.
    pub fn parse(packet: &Packet) -> Result<Self, Refused> {
        let (PacketType::Response, [code, data @ ..]) = (packet.packet_type, &*packet.data) else {
            return Err(other_than("response", packet));
        };
        let code = match code {
            0 => ReturnCode::Ok,
            1 => ReturnCode::Error,
            2 => ReturnCode::NotSupported,
            3 => ReturnCode::WrongParameter,
            4 => ReturnCode::OperationDenied,
            5 => ReturnCode::LockSet,
            6 => ReturnCode::BufferTooSmall,
            7 => ReturnCode::NoFreeBuffer,
            other => ReturnCode::Other(*other),
        };
        Ok(Self { code, data: data.to_vec(), optional: packet.optional.clone() })
    }
}

/// What a transceiver tells unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has started; by which cause (ESP3, table 17). Whatever it was set to is as after its start.
    Ready {
        /// 0 supply, 1 reset pin, 2 watchdog, 3 timer, 4 and 5 parity, 6 memory, 7 and 8 wake-up pins.
        cause: u8,
    },
    /// Its duty cycle is used up, or there is some again.
    DutyCycleLimit {
        /// Nothing is sent any more.
        reached: bool,
    },
    /// A telegram was not sent, or not acknowledged.
    TransmitFailed {
        /// 0 the channel was never free, 1 no acknowledgement.
        cause: u8,
    },
    /// One that the hub has no use for.
    Other {
        /// Its code.
        code: u8,
    },
}

impl Event {
    /// From a packet.
    ///
    /// # Errors
    /// `bad_frame` for a packet that is no event, `bad_record` for a duty cycle that is neither reached nor released.
    pub fn parse(packet: &Packet) -> Result<Self, Refused> {
        if packet.packet_type != PacketType::Event {
            return Err(other_than("event", packet));
        }
        Ok(match *packet.data {
            [4, cause, ..] => Self::Ready { cause },
            [6, reached @ (0 | 1), ..] => Self::DutyCycleLimit { reached: reached == 1 },
            [6, other, ..] => {
                let text = format!("duty cycle cause {other:02X}: 00 is released, 01 reached");
                return Err(Refused::new(Reason::BadRecord, 1, text));
            }
            [7, cause, ..] => Self::TransmitFailed { cause },
            [code, ..] => Self::Other { code },
            [] => return Err(other_than("event", packet)),
        })
    }
}

fn other_than(wanted: &str, packet: &Packet) -> Refused {
    let text = format!("a packet of type {:02X} is no {wanted}", packet.packet_type.byte());
    Refused::new(Reason::BadFrame, 4, text)
}
