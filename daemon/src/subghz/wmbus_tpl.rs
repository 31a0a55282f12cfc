//! What stands between the link and the data records: the extended link layer (ELL), the authentication and
//! fragmentation layer (AFL) and the transport header with access number, status and security mode (EN 13757-3, -4
//! and -7, OMS vol. 2).
//!
//! It names how the data is protected and what is needed to undo and prove it; it undoes nothing. What this receiver
//! cannot check it refuses by name, never skips.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_afl::Afl;
use crate::subghz::wmbus_link::Address;
use crate::subghz::wmbus_link::Frame;
use crate::subghz::wmbus_link::crc;

/// How the application data is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// In clear.
    Clear,
    /// Mode 5: the first `blocks` × 16 bytes under AES-128-CBC; what follows is in clear.
    Mode5 {
        /// Encrypted blocks of 16 bytes.
        blocks: usize,
    },
    /// Mode 7: as mode 5, under a key made for this one message, and all of it proven by the AFL in front.
    Mode7 {
        /// Encrypted blocks of 16 bytes; 0 is a message that is proven and not hidden.
        blocks: usize,
        /// Its counter and its authentication code.
        afl: Afl,
    },
    /// AES-CTR of the extended link layer: behind the session number everything is hidden, the headers too. `payload`
    /// begins with the two bytes of the payload CRC.
    EllCtr {
        /// The first counter block (EN 13757-4, 12.2.6).
        vector: [u8; 16],
    },
}

impl Security {
    /// As the contract writes it; `None` for data in clear.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Security::Clear => None,
            Security::Mode5 { .. } => Some("mode5"),
            Security::Mode7 { .. } => Some("mode7"),
            Security::EllCtr { .. } => Some("ell_ctr"),
        }
    }
}

/// A frame with its headers understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telegram {
    /// The sender as the link layer names it: with a radio adapter, the adapter.
    pub link: Address,
    /// Whose data this is: the long header's address where there is one, else the link's.
    pub address: Address,
    /// The CI field in front of the data.
    pub ci: u8,
    /// The access number, where a header has one.
    pub access: Option<u8>,
    /// The status byte, where a header has one.
    pub status: Option<u8>,
    /// How `payload` is protected.
    pub security: Security,
    /// The application data.
    pub payload: Vec<u8>,
    /// Where `payload` begins in the frame without CRCs.
    pub payload_at: usize,
    /// Whether a checksum over the frame was verified by the link layer.
    pub checked: bool,
}

impl Telegram {
    /// Whether the data stands here as it does once it is decrypted: behind the two idle fillers of mode 5 and 7, or
    /// behind a payload CRC that fits. Telegrams that were stored decrypted do.
    pub fn looks_plain(&self) -> bool {
        match &self.security {
            Security::EllCtr { .. } => check_payload(&self.payload, self.payload_at).is_ok(),
            _ => self.payload.starts_with(&[0x2F, 0x2F]),
        }
    }

    /// The telegram inside one whose extended link layer was encrypted; `plain` is its payload decrypted.
    ///
    /// # Errors
    /// `bad_crc` when the payload CRC does not fit, and what [`parse`] refuses.
    pub fn inside(&self, plain: &[u8]) -> Result<Self, Refused> {
        let content = check_payload(plain, self.payload_at)?;
        let mut at = Reader { bytes: content, pos: 0, base: self.payload_at + 2 };
        let inner = transport(self.link, self.checked, self.access, &mut at)?;
        // Its key was chosen by the name outside.
        if inner.address != self.address || inner.security != Security::Clear {
            let text = "another device's telegram, or another cipher, inside an encrypted extended link layer";
            return Err(Refused::new(Reason::NotSupported, self.payload_at + 2, text));
        }
        Ok(inner)
    }
}

/// Reads a frame's headers.
///
/// # Errors
/// `too_short` where a header is cut, `bad_crc` for an ELL payload CRC, `bad_length` where lengths disagree,
/// `not_supported` with its name for the rest.
pub fn parse(frame: &Frame) -> Result<Telegram, Refused> {
    let mut at = Reader { bytes: &frame.body, pos: 0, base: frame.body_at };
    let (address, checked) = (frame.address, frame.checked);
    let ci = at.peek("the CI field")?;
    if !matches!(ci, 0x8C..=0x8F) {
        return transport(address, checked, None, &mut at);
    }
    let (access, vector) = extended_link(address, &mut at)?;
    let Some(vector) = vector else {
        return transport(address, checked, Some(access), &mut at);
    };
    // The shortest there is: a payload CRC and a CI field.
    let [_, _, _] = at.clone().array("the encrypted payload")?;
    let (payload_at, payload) = (at.base + at.pos, at.rest().to_vec());
    let (access, security) = (Some(access), Security::EllCtr { vector });
    Ok(Telegram { link: address, address, ci, access, status: None, security, payload, payload_at, checked })
}

/// Reads what follows the link layers: an AFL where there is one, and the transport header.
fn transport(link: Address, checked: bool, access: Option<u8>, at: &mut Reader) -> Result<Telegram, Refused> {
    let afl = match at.peek("the CI field after the link layer")? {
        0x90 => Some(Afl::read(at)?),
        _ => None,
    };
    let ci = at.byte("the CI field")?;
    let mut address = link;
    let (mut access, mut status, mut security) = (access, None, Security::Clear);
    match ci {
        0x72 | 0x7A => {
            if ci == 0x72 {
                address = Address::from_long_header(at.array("a long header's address")?);
            }
            let [number, state, low, high] = at.array("access number, status and configuration")?;
            (access, status) = (Some(number), Some(state));
            security = mode(u16::from_le_bytes([low, high]), afl, at)?;
        }
        0x78 | 0xA0..=0xB7 if afl.is_some() => {
            return Err(at.unsupported(format!("CI {ci:02X} behind an AFL: nothing says which keys prove it")));
        }
        0x78 | 0xA0..=0xB7 => {}
        _ => return Err(at.unsupported(format!("CI {ci:02X}: {}", name(ci)))),
    }
    let (payload_at, payload) = (at.base + at.pos, at.rest().to_vec());
    Ok(Telegram { link, address, ci, access, status, security, payload, payload_at, checked })
}

/// A frame's bytes behind the link layer, read in order.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    /// Where `bytes` begins in the frame without CRCs.
    base: usize,
}

impl<'a> Reader<'a> {
    /// The place of the next byte in the frame without CRCs.
    pub(crate) fn place(&self) -> usize {
        self.base + self.pos
    }

    fn peek(&self, what: &str) -> Result<u8, Refused> {
        self.clone().byte(what)
    }

    pub(crate) fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Refused> {
        let taken = self.rest().get(..n).ok_or_else(|| self.short(what))?;
        self.pos += n;
        Ok(taken)
    }

    fn short(&self, what: &str) -> Refused {
        Refused::new(Reason::TooShort, self.base + self.bytes.len(), format!("the frame ends within {what}"))
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Refused> {
        let taken = *self.rest().first_chunk::<N>().ok_or_else(|| self.short(what))?;
        self.pos += N;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self, what: &str) -> Result<u8, Refused> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    /// A refusal that points at the byte just read.
    pub(crate) fn unsupported(&self, text: String) -> Refused {
        Refused::new(Reason::NotSupported, self.base + self.pos.saturating_sub(1), text)
    }
}

/// Reads an ELL (EN 13757-4, 12.2): 8C short, 8D with session, 8E with target address, 8F with both. Gives its access
/// number and, where the rest is encrypted, the first counter block.
fn extended_link(sender: Address, at: &mut Reader) -> Result<(u8, Option<[u8; 16]>), Refused> {
    /// Of the communication control field a repeater may set these on the way: hop count and repeated access.
    const ON_THE_WAY: u8 = 0x10 | 0x02;
    let [ci, communication, access] = at.array("the extended link layer")?;
    if matches!(ci, 0x8E | 0x8F) {
        let _target: [u8; 8] = at.array("the extended link layer's address")?;
    }
    if matches!(ci, 0x8C | 0x8E) {
        return Ok((access, None));
    }
    let session: [u8; 4] = at.array("the extended link layer's session")?;
    // Bits 29 to 31.
    match session[3] >> 5 {
        0 => {
            check_payload(at.rest(), at.place())?;
            let _crc: [u8; 2] = at.array("the extended link layer's payload CRC")?;
            Ok((access, None))
        }
        1 => {
            // M, A, CC, the session number, the frame number and the block counter: one frame, counted from 0.
            let mut vector = [0; 16];
            vector[..8].copy_from_slice(&sender.to_link());
            vector[8] = communication & !ON_THE_WAY;
            vector[9..13].copy_from_slice(&session);
            Ok((access, Some(vector)))
        }
        other => Err(at.unsupported(format!("extended link layer encryption {other}: this receiver does AES-CTR (1)"))),
    }
}

/// What the extended link layer carries behind its payload CRC, which is sent low byte first, as every ELL field is.
fn check_payload(bytes: &[u8], at: usize) -> Result<&[u8], Refused> {
    let Some((told, content)) = bytes.split_first_chunk::<2>() else {
        let text = "the frame ends within the extended link layer's payload CRC";
        return Err(Refused::new(Reason::TooShort, at + bytes.len(), text));
    };
    let (told, right) = (u16::from_le_bytes(*told), crc(content));
    if told == right {
        return Ok(content);
    }
    let text = format!("the extended link layer says payload CRC {told:04X}, the bytes give {right:04X}");
    Err(Refused::new(Reason::BadCrc, at, text))
}

/// The configuration word (EN 13757-7, 7.5): bits 8 to 12 are the mode; in modes 5 and 7 bits 4 to 7 count blocks. An
/// AFL and mode 7 need each other: it has the counter the keys are made of, and mode 7 alone says how.
fn mode(word: u16, afl: Option<Afl>, at: &mut Reader) -> Result<Security, Refused> {
    let blocks = usize::from(word >> 4 & 0xF);
    let security = match (word >> 8 & 0x1F, afl) {
        (0, None) => Security::Clear,
        (5, None) if blocks == 0 => Security::Clear,
        (5, None) => Security::Mode5 { blocks },
        (7, Some(afl)) => {
            key_selection(at)?;
            Security::Mode7 { blocks, afl }
        }
        (7, None) => return Err(at.unsupported("security mode 7 without an AFL: nothing proves it".into())),
        (mode @ (0 | 5), Some(_)) => {
            return Err(at.unsupported(format!("security mode {mode} behind an AFL: nothing says which keys prove it")));
        }
        (other, _) => {
            return Err(at.unsupported(format!("security mode {other}: this receiver does modes 0, 5 and 7")));
        }
    };
    if security != Security::Clear && blocks * 16 > at.rest().len() {
        let text = format!("{blocks} encrypted blocks need {} bytes, {} are there", blocks * 16, at.rest().len());
        return Err(Refused::new(Reason::BadLength, at.place(), text));
    }
    Ok(security)
}

/// The configuration field's extension in mode 7 (EN 13757-7, 7.6): which key, and how the message's own are made of it.
pub(crate) fn key_selection(at: &mut Reader) -> Result<(), Refused> {
    let extension = at.byte("the configuration field's extension")?;
    let (derivation, key) = (extension >> 4 & 3, extension & 0xF);
    match (derivation, key) {
        (1, 0) => Ok(()),
        (1, _) => Err(at.unsupported(format!("key {key}: this receiver knows a device's own key (0)"))),
        _ => Err(at.unsupported(format!("key derivation {derivation}: this receiver does KDF A (1)"))),
    }
}

fn name(ci: u8) -> &'static str {
    match ci {
        0x50..=0x65 => "a command to a meter, not its word",
        0x69..=0x6B => "a format frame, which carries no values",
        0x6E..=0x70 => "an application error",
        0x71 | 0x74 | 0x75 => "an alarm protocol frame",
        0x73 | 0x76 | 0x77 => "the fixed data structure of old meters",
        0x79 | 0x7B => "a compact frame, which needs the full frame's format",
        0x80..=0x83 | 0x8A | 0x8B => "a transport or network frame without data",
        0x84..=0x86 => "an extended link layer of another length",
        _ => "no data frame this receiver knows",
    }
}
