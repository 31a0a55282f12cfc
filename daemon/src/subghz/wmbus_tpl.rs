//! What stands between the link and the data records: the extended link layer (ELL), the authentication layer (AFL)
//! and the transport header with access number, status and security mode (EN 13757-3 and -7, OMS vol. 2).
//!
//! It names the security mode, it undoes none. What this receiver cannot check it refuses by name, never skips.

use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use crate::subghz::wmbus_link::Address;
use crate::subghz::wmbus_link::Frame;
use crate::subghz::wmbus_link::crc;

/// How the application data is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In clear.
    Clear,
    /// Mode 5: the first `blocks` × 16 bytes under AES-128-CBC; what follows is in clear.
    Mode5 {
        /// Encrypted blocks of 16 bytes.
        blocks: usize,
    },
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
    /// Whether the data begins with the two idle fillers that encrypted data begins with once it is plain.
    pub fn looks_plain(&self) -> bool {
        self.payload.starts_with(&[0x2F, 0x2F])
    }
}

/// Reads a frame's headers.
///
/// # Errors
/// `too_short` where a header is cut, `bad_crc` for an ELL payload CRC, `not_supported` with its name for the rest.
pub fn parse(frame: &Frame) -> Result<Telegram, Refused> {
    let mut at = Reader { bytes: &frame.body, pos: 0, base: frame.body_at };
    let mut ci = at.byte("the CI field")?;
    let mut access = None;
    if matches!(ci, 0x8C..=0x8F) {
        access = Some(extended_link(ci, &mut at)?);
        ci = at.byte("the CI field after the extended link layer")?;
    }
    if ci == 0x90 {
        return Err(authentication(&mut at));
    }
    let mut address = frame.address;
    let (mut status, mut security) = (None, Security::Clear);
    match ci {
        0x72 | 0x7A => {
            if ci == 0x72 {
                address = Address::from_long_header(at.array("a long header's address")?);
            }
            let [number, state, low, high] = at.array("access number, status and configuration")?;
            (access, status) = (Some(number), Some(state));
            security = mode(u16::from_le_bytes([low, high]), &at)?;
        }
        0x78 | 0xA0..=0xB7 => {}
        _ => return Err(at.unsupported(format!("CI {ci:02X}: {}", name(ci)))),
    }
    let payload_at = at.base + at.pos;
    let payload = at.rest().to_vec();
    let (link, checked) = (frame.address, frame.checked);
    Ok(Telegram { link, address, ci, access, status, security, payload, payload_at, checked })
}

struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Refused> {
        let Some(taken) = self.rest().first_chunk::<N>() else {
            let end = self.base + self.bytes.len();
            return Err(Refused::new(Reason::TooShort, end, format!("the frame ends within {what}")));
        };
        self.pos += N;
        Ok(*taken)
    }

    fn byte(&mut self, what: &str) -> Result<u8, Refused> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.pos..]
    }

    /// A refusal that points at the byte just read.
    fn unsupported(&self, text: String) -> Refused {
        Refused::new(Reason::NotSupported, self.base + self.pos.saturating_sub(1), text)
    }
}

/// Reads an ELL (EN 13757-4, 12.2): 8C short, 8D with session, 8E with target address, 8F with both. Gives its access
/// number.
fn extended_link(ci: u8, at: &mut Reader) -> Result<u8, Refused> {
    let [_communication, access] = at.array("the extended link layer")?;
    if matches!(ci, 0x8E | 0x8F) {
        let _target: [u8; 8] = at.array("the extended link layer's address")?;
    }
    if matches!(ci, 0x8D | 0x8F) {
        let session = u32::from_le_bytes(at.array("the extended link layer's session")?);
        // Bits 29 to 31: 0 none, 1 AES-CTR. An encrypted payload's CRC can only be seen after decryption.
        if session >> 29 != 0 {
            let text = format!("extended link layer encryption (AES-CTR, session bits {})", session >> 29);
            return Err(at.unsupported(text));
        }
        // This CRC is sent low byte first, as every ELL field is.
        let told = u16::from_le_bytes(at.array("the extended link layer's payload CRC")?);
        let right = crc(at.rest());
        if told != right {
            let text = format!("the extended link layer says payload CRC {told:04X}, the bytes give {right:04X}");
            return Err(Refused::new(Reason::BadCrc, at.base + at.pos - 2, text));
        }
    }
    Ok(access)
}

/// An AFL cannot be checked yet, so its frame is refused; the text names the security mode where it can be seen.
fn authentication(at: &mut Reader) -> Refused {
    let refused = at.unsupported("authentication and fragmentation layer (AFL)".into());
    let behind = at.byte("the AFL").ok().and_then(|length| at.rest().get(usize::from(length)..));
    let config = match behind {
        Some([0x7A, _, _, low, high, ..]) => u16::from_le_bytes([*low, *high]),
        Some([0x72, rest @ ..]) if rest.len() >= 12 => u16::from_le_bytes([rest[10], rest[11]]),
        _ => return refused,
    };
    let text = format!("security mode {} (AFL with message authentication)", config >> 8 & 0x1F);
    Refused { text, ..refused }
}

/// The configuration word (EN 13757-7, 7.5): bits 8 to 12 are the mode; in mode 5 bits 4 to 7 count blocks.
fn mode(word: u16, at: &Reader) -> Result<Security, Refused> {
    let blocks = usize::from(word >> 4 & 0xF);
    match word >> 8 & 0x1F {
        0 => Ok(Security::Clear),
        5 if blocks == 0 => Ok(Security::Clear),
        5 if blocks * 16 > at.rest().len() => Err(Refused::new(
            Reason::BadLength,
            at.base + at.pos,
            format!("{blocks} encrypted blocks need {} bytes, {} are there", blocks * 16, at.rest().len()),
        )),
        5 => Ok(Security::Mode5 { blocks }),
        other => Err(at.unsupported(format!("security mode {other}: this receiver does modes 0 and 5"))),
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
