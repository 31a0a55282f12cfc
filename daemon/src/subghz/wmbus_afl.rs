//! The authentication and fragmentation layer (AFL, EN 13757-7, clause 6; OMS vol. 2, 9.2 and annex N): what proves a
//! message of security mode 7.
//!
//! It reads the layer and keeps what its code was made over; whether the code is right only the key can tell, in
//! `wmbus_crypto`. A message in several fragments, or one whose code is missing or too short to prove anything, is
//! refused by name.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_tpl::Reader;
use crate::subghz::wmbus_tpl::key_selection;

/// Fragmentation control: which fields follow, in the order of their reading (EN 13757-7, 6.3.2). Bits 0 to 7 number
/// the fragment, 0 is a message in one.
mod control {
    pub const FRAGMENT: u16 = 0x00FF;
    pub const KEY: u16 = 0x0200;
    pub const MAC: u16 = 0x0400;
    pub const COUNTER: u16 = 0x0800;
    pub const LENGTH: u16 = 0x1000;
    pub const MESSAGE: u16 = 0x2000;
    pub const MORE: u16 = 0x4000;
    /// Not given a meaning: what they would change nobody knows.
    pub const RESERVED: u16 = 0x8100;
}

/// A message's counter and authentication code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Afl {
    /// The message counter (MCR): a device never sends one twice.
    pub counter: u32,
    /// The code as it was sent, 8, 12 or 16 bytes.
    pub mac: Vec<u8>,
    /// Where `mac` stands in the frame without CRCs.
    pub mac_at: usize,
    /// What the code is made over: message control, key information, counter and length where they are there, then
    /// all from the next CI field to the end.
    pub proven: Vec<u8>,
}

impl Afl {
    /// Reads the layer from its CI field (90) on.
    ///
    /// # Errors
    /// `too_short`, `bad_length` where its length is not its fields' or not the message's, `not_supported`.
    pub(crate) fn read(at: &mut Reader) -> Result<Self, Refused> {
        let [_ci, length, low, high] = at.array("the authentication and fragmentation layer (AFL)")?;
        let (begin, fields) = (at.place() - 2, u16::from_le_bytes([low, high]));
        if fields & (control::MORE | control::FRAGMENT) != 0 {
            return Err(at.unsupported("a message in several fragments (AFL)".into()));
        }
        if fields & control::RESERVED != 0 {
            return Err(at.unsupported(format!("fragmentation control {fields:04X}: its reserved bits are set (AFL)")));
        }
        const NEEDED: u16 = control::MESSAGE | control::COUNTER | control::MAC;
        if fields & NEEDED != NEEDED {
            return Err(at.unsupported("an AFL without counter or authentication code proves nothing".into()));
        }
        let message = at.byte("the AFL's message control")?;
        let mut proven = vec![message];
        if fields & control::KEY != 0 {
            let mut key = at.clone();
            key_selection(&mut key)?;
            proven.extend_from_slice(at.take(2, "the AFL's key information")?);
        }
        let counter: [u8; 4] = at.array("the AFL's message counter")?;
        proven.extend_from_slice(&counter);
        let mac_at = at.place();
        let mac = at.take(mac_length(message, at)?, "the AFL's authentication code")?.to_vec();
        let mut told = None;
        if fields & control::LENGTH != 0 {
            let length: [u8; 2] = at.array("the AFL's message length")?;
            proven.extend_from_slice(&length);
            told = Some(usize::from(u16::from_le_bytes(length)));
        }
        let (own, message) = (at.place() - begin, at.rest());
        if own != usize::from(length) {
            let text = format!("the AFL says {length} bytes, its fields have {own}");
            return Err(Refused::new(Reason::BadLength, begin - 1, text));
        }
        if let Some(told) = told.filter(|told| *told != message.len()) {
            let text = format!("the AFL says a message of {told} bytes, {} are there", message.len());
            return Err(Refused::new(Reason::BadLength, at.place(), text));
        }
        proven.extend_from_slice(message);
        Ok(Self { counter: u32::from_le_bytes(counter), mac, mac_at, proven })
    }
}

/// Bytes of the code, by the authentication type in message control (EN 13757-7, table 6). Its high half repeats which
/// fields are there, which fragmentation control has said.
fn mac_length(message: u8, at: &Reader) -> Result<usize, Refused> {
    match message & 0x0F {
        5 => Ok(8),
        6 => Ok(12),
        7 => Ok(16),
        short @ (3 | 4) => {
            let bytes = if short == 3 { 2 } else { 4 };
            Err(at.unsupported(format!("an authentication code of {bytes} bytes: one that long can be guessed")))
        }
        other => Err(at.unsupported(format!("authentication type {other}: this receiver does AES-CMAC (5, 6, 7)"))),
    }
}
