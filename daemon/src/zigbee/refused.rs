//! Why bytes from the Zigbee side were refused: one closed list of reasons, so that a technician can count them. It
//! never carries key material, and never stands for "closed" or "OK".

use serde::Serialize;
use serde::Serializer;

/// The reason, as the contract's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not hexadecimal text, or an odd number of digits.
    BadHex,
    /// A check does not fit.
    BadCrc,
    /// The bytes end before what they promise.
    TooShort,
    /// More bytes, or deeper nesting, than this receiver takes.
    TooLong,
    /// An attribute's type code that the standard does not have: its length cannot be known.
    UnknownType,
    /// A field holds what the standard does not allow there.
    BadValue,
    /// A part of the standard this receiver does not do; the text says which.
    NotSupported,
}

impl Reason {
    /// The reason as the contract spells it, e.g. `too_short`.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadHex => "bad_hex",
            Self::BadCrc => "bad_crc",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::UnknownType => "unknown_type",
            Self::BadValue => "bad_value",
            Self::NotSupported => "not_supported",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// A refused frame: what was wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{} at byte {at}: {text}", self.kind.word())]
pub struct Refused {
    /// The reason.
    pub kind: Reason,
    /// Byte offset in the frame as given.
    pub at: usize,
    /// In words, for a person.
    pub text: String,
}

impl Refused {
    /// A refusal of `kind` at byte `at`.
    pub fn new(kind: Reason, at: usize, text: impl Into<String>) -> Self {
        Self { kind, at, text: text.into() }
    }
}
