//! Why a frame was refused: one closed list of reasons for the link, the headers, the cipher and the records, so that
//! a technician can count them. It never carries key material, and never stands for "closed" or "OK".

use serde::Serialize;

/// The reason, as the contract's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not hexadecimal text, or an odd number of digits.
    BadHex,
    /// The key is not 32 hexadecimal digits.
    BadKey,
    /// The bytes end before the frame does.
    TooShort,
    /// More bytes than any frame can have.
    TooLong,
    /// A length field disagrees with what is there.
    BadLength,
    /// A block's CRC, or a wired frame's checksum, is wrong.
    BadCrc,
    /// Six chips that are no 3-of-6 symbol.
    BadSymbol,
    /// A wired frame's start or stop byte is missing.
    BadFrame,
    /// The key does not fit: no 2F 2F after decryption, a payload CRC that is wrong under AES-CTR (wM-Bus), or a CMAC that
    /// does not hold (EnOcean).
    WrongKey,
    /// The authentication code of mode 7 is not this message's: it was changed on the way.
    BadMac,
    /// A message counter that is not above the last one: the message was heard before.
    Replayed,
    /// A device with a key spoke in clear, or one that proves its messages sent one that proves nothing: not its word.
    NotEncrypted,
    /// Encrypted, and no key is known for this device.
    NoKey,
    /// A part of the standards this receiver does not do; the text says which.
    NotSupported,
    /// A data record that cannot be read.
    BadRecord,
    /// A telegram of a type that the device's profile does not have.
    WrongProfile,
}

/// A refused frame: what was wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{} at byte {at}: {text}", self.word())]
pub struct Refused {
    /// The reason.
    pub kind: Reason,
    /// Byte offset. Hex, length, CRC and symbol faults count in the input as given (a FIFO's symbols: in the decoded
    /// frame); faults of headers and records count in the frame without its block CRCs, from the L field.
    pub at: usize,
    /// In words, for a person.
    pub text: String,
}

impl Refused {
    /// A refusal of `kind` at byte `at`.
    pub fn new(kind: Reason, at: usize, text: impl Into<String>) -> Self {
        Self { kind, at, text: text.into() }
    }

    /// The reason as the contract spells it, e.g. `bad_crc`.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Reason::BadHex => "bad_hex",
            Reason::BadKey => "bad_key",
            Reason::TooShort => "too_short",
            Reason::TooLong => "too_long",
            Reason::BadLength => "bad_length",
            Reason::BadCrc => "bad_crc",
            Reason::BadSymbol => "bad_symbol",
            Reason::BadFrame => "bad_frame",
            Reason::WrongKey => "wrong_key",
            Reason::BadMac => "bad_mac",
            Reason::Replayed => "replayed",
            Reason::NotEncrypted => "not_encrypted",
            Reason::NoKey => "no_key",
            Reason::NotSupported => "not_supported",
            Reason::BadRecord => "bad_record",
            Reason::WrongProfile => "wrong_profile",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_serde_writes() {
        use Reason::*;
        for kind in [
            BadHex,
            BadKey,
            TooShort,
            TooLong,
            BadLength,
            BadCrc,
            BadSymbol,
            BadFrame,
            WrongKey,
            BadMac,
            Replayed,
            NotEncrypted,
            NoKey,
            NotSupported,
            BadRecord,
            WrongProfile,
        ] {
            let refused = Refused::new(kind, 3, "why");
            let json = serde_json::to_value(&refused).unwrap();
            assert_eq!(json["kind"], refused.word());
            assert!(refused.to_string().contains("at byte 3: why"));
        }
    }
}
