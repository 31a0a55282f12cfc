//! What a stick answers: one byte of two older families up to EZSP 13, one 32-bit family from 14 on.
//!
//! Numbers from the headers' public copies: EmberStatus, EzspStatus and sl_status_t.

/// A stick's answer or a change of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name in the tables")]
pub enum Status {
    Ok,
    Fail,
    BadArgument,
    NotFound,
    InvalidCall,
    IndexOutOfRange,
    TableFull,
    EntryErased,
    NotJoined,
    NetworkUp,
    NetworkDown,
    NetworkOpened,
    NetworkClosed,
    DeliveryFailed,
    /// Each time it listened before it sent, the channel was busy.
    AirBusy,
    /// It is scanning.
    Scanning,
    MessageTooLong,
    MaxMessages,
    SecurityNotSet,
    /// EzspStatus ERROR_INVALID_VALUE.
    InvalidValue,
    /// EzspStatus ERROR_INVALID_ID.
    InvalidId,
    /// EzspStatus ERROR_INVALID_CALL.
    InvalidEzspCall,
}

impl Status {
    /// The byte of EZSP 13 and older.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ok => 0x00,
            Self::Fail => 0x01,
            Self::BadArgument => 0x02,
            Self::NotFound => 0x03,
            Self::InvalidCall => 0x70,
            Self::IndexOutOfRange => 0xB1,
            Self::TableFull => 0xB4,
            Self::EntryErased => 0xB6,
            Self::NotJoined => 0x93,
            Self::NetworkUp => 0x90,
            Self::NetworkDown => 0x91,
            Self::NetworkOpened => 0x9C,
            Self::NetworkClosed => 0x9D,
            Self::DeliveryFailed => 0x66,
            Self::AirBusy => 0x8D,
            Self::Scanning => 0x3D,
            Self::MessageTooLong => 0x74,
            Self::MaxMessages => 0x72,
            Self::SecurityNotSet => 0xA8,
            Self::InvalidValue => 0x36,
            Self::InvalidId => 0x37,
            Self::InvalidEzspCall => 0x38,
        }
    }

    /// The word of EZSP 14 and newer, and of the key commands of all.
    pub fn word(self) -> u32 {
        match self {
            Self::Ok => 0x0000,
            Self::Fail => 0x0001,
            Self::InvalidCall => 0x0002,
            Self::TableFull => 0x001C,
            Self::BadArgument | Self::InvalidValue | Self::InvalidId | Self::InvalidEzspCall => 0x0021,
            Self::IndexOutOfRange => 0x0027,
            Self::NotFound | Self::EntryErased => 0x002D,
            Self::MessageTooLong => 0x0038,
            Self::AirBusy => 0x004C,
            Self::Scanning => 0x004D,
            Self::NetworkUp => 0x0015,
            Self::NetworkDown => 0x0016,
            Self::NotJoined => 0x0017,
            Self::DeliveryFailed => 0x0C02,
            Self::MaxMessages => 0x0C03,
            Self::SecurityNotSet => 0x0C0B,
            Self::NetworkOpened => 0x0C18,
            Self::NetworkClosed => 0x0C19,
        }
    }
}
