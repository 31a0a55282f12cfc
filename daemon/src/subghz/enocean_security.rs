//! EnOcean's secure mode: a telegram is believed when its code (CMAC) holds under the device's key and its rolling code
//! was never used before.
//!
//! The rolling code is the receiver's to remember: what is opened comes with the next code to be accepted, and the caller
//! keeps that together with the event, or an old telegram opens a door tomorrow. Keys go in and nothing of them comes
//! out: not by `Debug`, not in an error. Telegrams without a code, without a rolling code, or under AES-CBC (which no
//! current specification has) are refused: they would prove nothing.
//!
//! Source: Security of EnOcean Radio Networks V1.8, 4.1 to 4.3, and V3.02 for codes of 32 bits (3.5), for the nibble of
//! a switch (A.4.2) and for what is deprecated. Both name the bits of the level format alike.

use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use aes::Aes128;
use aes::cipher::BlockCipherEncrypt;
use aes::cipher::KeyInit;
use cmac::Cmac;
use cmac::Mac;
use std::fmt;
use vakt_core::device::Authenticated;

/// How far an implicit rolling code is looked for (4.3.7). A device that was sent away for longer has to teach again;
/// and whoever floods the hub with false telegrams makes it compute so many codes for each.
pub const WINDOW: u64 = 128;
/// What the rolling code is mixed into (4.3.5).
const PUBLIC_KEY: [u8; 16] =
    [0x34, 0x10, 0xDE, 0x8F, 0x1A, 0xBA, 0x3E, 0xFF, 0x9F, 0x5A, 0x11, 0x71, 0x72, 0xEA, 0xCA, 0xBD];

/// A device's key, or a pre-shared one.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// From its bytes.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes: for the store of keys alone.
    pub fn reveal(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

/// How long a rolling code is, and how much of it a telegram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rolling {
    /// 16 bits, found by trying. Deprecated; comes round after 65,536 telegrams, and so never proves that one is new.
    Implicit16,
    /// 16 bits, told. Deprecated.
    Explicit16,
    /// 24 bits, found by trying.
    Implicit24,
    /// 24 bits, told.
    Explicit24,
    /// 32 bits, the low 24 told.
    Explicit32Low24,
    /// 32 bits, told.
    Explicit32,
}

impl Rolling {
    /// Bytes of the code itself.
    fn width(self) -> usize {
        match self {
            Self::Implicit16 | Self::Explicit16 => 2,
            Self::Implicit24 | Self::Explicit24 => 3,
            Self::Explicit32Low24 | Self::Explicit32 => 4,
        }
    }

    /// Bytes of it in each telegram.
    fn told(self) -> usize {
        match self {
            Self::Implicit16 | Self::Implicit24 => 0,
            Self::Explicit16 => 2,
            Self::Explicit24 | Self::Explicit32Low24 => 3,
            Self::Explicit32 => 4,
        }
    }

    /// How many codes there are.
    fn codes(self) -> u64 {
        1 << (8 * self.width())
    }
}

/// How a device's telegrams are secured: its security level format, SLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slf {
    /// The byte as it was told.
    pub byte: u8,
    /// Its rolling code.
    pub rolling: Rolling,
    /// Bytes of its CMAC, 3 or 4.
    pub mac_bytes: usize,
    /// Whether data is encrypted (VAES), or only authenticated.
    pub encrypted: bool,
}

impl Slf {
    /// Whether its telegrams say their whole rolling code: then nothing has to be known of it beforehand.
    pub fn tells_all(self) -> bool {
        self.rolling.told() == self.rolling.width()
    }

    /// From the byte of a teach-in.
    ///
    /// # Errors
    /// `not_supported` for what would prove nothing, or is not defined.
    pub fn parse(byte: u8) -> Result<Self, Refused> {
        let refused = |what: &str| {
            let text = format!("security level {byte:02X} {what}");
            Err(Refused::new(Reason::NotSupported, 2, text))
        };
        let rolling = match byte >> 5 {
            0b010 => Rolling::Implicit16,
            0b011 => Rolling::Explicit16,
            0b100 => Rolling::Implicit24,
            0b101 => Rolling::Explicit24,
            0b110 => Rolling::Explicit32Low24,
            0b111 => Rolling::Explicit32,
            _ => return refused("has no rolling code: its telegrams could be played again"),
        };
        let mac_bytes = match byte >> 3 & 0b11 {
            0b01 => 3,
            0b10 => 4,
            _ => return refused("has no code of authentication: anybody could write its telegrams"),
        };
        let encrypted = match byte & 0b111 {
            0 => false,
            3 => true,
            _ => return refused("has another encryption than VAES"),
        };
        Ok(Self { byte, rolling, mac_bytes, encrypted })
    }

    /// Bytes of the rolling code, as a teach-in carries it.
    pub(crate) fn rolling_bytes(&self) -> usize {
        self.rolling.width()
    }
}

/// What is needed to hear a secure device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its key.
    pub key: Key,
    /// How its telegrams are secured.
    pub slf: Slf,
    /// It is a switch whose data is a nibble (teach-in type PTM).
    pub ptm: bool,
}

impl Link {
    /// As it is kept among the secrets: the level's byte, whether it is a switch, the key.
    pub fn kept(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        (bytes[0], bytes[1]) = (self.slf.byte, u8::from(self.ptm));
        bytes[2..].copy_from_slice(self.key.reveal());
        bytes
    }

    /// From what was kept; `None` where that is something else.
    pub fn read(kept: &[u8]) -> Option<Self> {
        let [slf, ptm @ (0 | 1), key @ ..] = kept else { return None };
        let key = Key::new(key.try_into().ok()?);
        Some(Self { key, slf: Slf::parse(*slf).ok()?, ptm: *ptm == 1 })
    }
}

/// A telegram that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Type of what was in it; [`rorg::SEC_DECRYPTED`] where the telegram does not tell.
    pub rorg: u8,
    /// What was in it.
    pub payload: Vec<u8>,
    /// Its rolling code.
    pub rlc: u64,
    /// The lowest rolling code that is accepted from now on: to be kept with what the telegram did.
    pub next: u64,
    /// `mac_counter`, or `mac` where the rolling code comes round.
    pub authenticated: Authenticated,
}

/// Opens a telegram. `next` is the lowest rolling code that is still accepted: that of the teach-in, and afterwards what
/// the last [`Opened`] said.
///
/// # Errors
/// `not_encrypted` for a telegram in clear, `not_supported` for a part of a longer message, `too_short`, `replayed` where
/// the told code was used before, `wrong_key` where the CMAC holds under none of the codes that are accepted.
pub fn open(link: &Link, next: u64, telegram: &Telegram) -> Result<Opened, Refused> {
    let parts = Parts::of(telegram, link.slf)?;
    for rlc in candidates(link.slf.rolling, next, parts.told) {
        if parts.holds(link, rlc) {
            let (rorg, payload) = parts.decrypt(link, rlc)?;
            let rolling = link.slf.rolling;
            let (next, authenticated) = match rolling {
                Rolling::Implicit16 => ((rlc + 1) % rolling.codes(), Authenticated::Mac),
                _ => (rlc + 1, Authenticated::MacCounter),
            };
            return Ok(Opened { rorg, payload, rlc, next, authenticated });
        }
    }
    if used(link.slf.rolling, next, parts.told).is_some_and(|rlc| parts.holds(link, rlc)) {
        let text = format!("its rolling code was used before: a copy, or played again; the next is {next:X} or higher");
        return Err(Refused::new(Reason::Replayed, 1, text));
    }
    let text = match link.slf.rolling.told() {
        0 => format!("the CMAC holds under none of {WINDOW} rolling codes: another key, or it must teach again"),
        _ => "the CMAC does not hold: another key, or not the device's telegram".to_owned(),
    };
    Err(Refused::new(Reason::WrongKey, 1 + parts.data.len(), text))
}

/// Opens a telegram of a device of which only the key is known, under any of the ways that tell the rolling code. Whether
/// that code was used before nobody knows here, so what is opened is `mac` at best.
///
/// # Errors
/// As [`open`]; `wrong_key` also for every telegram whose rolling code is not told.
pub fn open_by_key(key: &Key, telegram: &Telegram) -> Result<(Slf, Opened), Refused> {
    // 24 bits and 32 under 3 or 4 bytes of code, and the deprecated 16; all with VAES.
    const TOLD: [u8; 8] = [0xAB, 0xB3, 0xF3, 0xEB, 0xCB, 0xD3, 0x6B, 0x73];
    let not_secure = Parts::of(telegram, Slf::parse(TOLD[0])?).err().filter(|why| why.kind != Reason::TooShort);
    if let Some(refused) = not_secure {
        return Err(refused);
    }
    for slf in TOLD.into_iter().filter_map(|byte| Slf::parse(byte).ok()) {
        let ptm = telegram.rorg == rorg::SEC && telegram.payload.first().is_some_and(|byte| *byte < 0x10);
        let Ok(one_byte) = Parts::of(telegram, slf).map(|parts| parts.data.len() == 1) else { continue };
        let link = Link { key: key.clone(), slf, ptm: ptm && one_byte };
        if let Ok(opened) = open(&link, 0, telegram) {
            return Ok((slf, Opened { authenticated: Authenticated::Mac, ..opened }));
        }
    }
    let text = "no CMAC holds under this key with a rolling code that is told: another key, or an implicit rolling \
                code, which must be known from the teach-in";
    Err(Refused::new(Reason::WrongKey, 1, text))
}

/// The rolling codes a telegram may have.
fn candidates(rolling: Rolling, next: u64, told: Option<u64>) -> Vec<u64> {
    let codes = rolling.codes();
    let Some(told) = told else {
        let window = next..next.saturating_add(WINDOW);
        return match rolling {
            Rolling::Implicit16 => window.map(|rlc| rlc % codes).collect(),
            _ => window.filter(|rlc| *rlc < codes).collect(),
        };
    };
    let rlc = match rolling {
        Rolling::Explicit32Low24 => {
            // The high byte is not told: it is the lowest under which this code is new.
            let same = next & !0x00FF_FFFF | told;
            if same >= next { same } else { same.saturating_add(1 << 24) }
        }
        _ => told,
    };
    // One that was used is `used`'s: only its own code tells a copy from another key.
    (next..codes).contains(&rlc).then_some(rlc).into_iter().collect()
}

/// A rolling code that is used up and that a telegram refused may have had: so that a copy is not taken for a wrong key.
fn used(rolling: Rolling, next: u64, told: Option<u64>) -> Option<u64> {
    match (rolling, told) {
        (Rolling::Implicit16, None) => Some(next.wrapping_sub(1) % rolling.codes()),
        (_, None) => next.checked_sub(1),
        (Rolling::Explicit32Low24, Some(told)) => Some(next & !0x00FF_FFFF | told).filter(|rlc| *rlc < next),
        (_, Some(told)) => Some(told).filter(|rlc| *rlc < next),
    }
}

/// A secure telegram's fields.
struct Parts<'a> {
    rorg: u8,
    data: &'a [u8],
    told: Option<u64>,
    mac: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(telegram: &'a Telegram, slf: Slf) -> Result<Self, Refused> {
        let refused = |kind, text: String| Err(Refused::new(kind, 0, text));
        match telegram.rorg {
            rorg::SEC | rorg::SEC_ENCAPS => {}
            rorg::SEC_CHAINED => {
                return refused(Reason::NotSupported, "part of a secure message longer than a telegram".to_owned());
            }
            other => {
                return refused(Reason::NotEncrypted, format!("RORG {other:02X} is in clear, and a key was given"));
            }
        }
        // A telegram that carries its own type has a byte of data behind it.
        let least = if telegram.rorg == rorg::SEC { 1 } else { 2 };
        let told_bytes = slf.rolling.told();
        let payload = &telegram.payload;
        let Some(length) = payload.len().checked_sub(told_bytes + slf.mac_bytes).filter(|length| *length >= least)
        else {
            let text =
                format!("{} bytes: data, {told_bytes} of rolling code, {} of CMAC", payload.len(), slf.mac_bytes);
            return refused(Reason::TooShort, text);
        };
        let (data, rest) = payload.split_at(length);
        let (told, mac) = rest.split_at(told_bytes);
        let number = told.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(Self { rorg: telegram.rorg, data, told: (told_bytes > 0).then_some(number), mac })
    }

    /// The CMAC is over type, data as it came, and the whole rolling code (4.3.8).
    fn holds(&self, link: &Link, rlc: u64) -> bool {
        let mut mac = Cmac::<Aes128>::new(&link.key.0.into());
        mac.update(&[self.rorg]);
        mac.update(self.data);
        mac.update(&rolling_bytes(link.slf.rolling, rlc));
        mac.verify_truncated_left(self.mac).is_ok()
    }

    fn decrypt(&self, link: &Link, rlc: u64) -> Result<(u8, Vec<u8>), Refused> {
        let mut data = self.data.to_vec();
        if link.slf.encrypted {
            vaes(&link.key, &rolling_bytes(link.slf.rolling, rlc), &mut data);
        }
        if self.rorg == rorg::SEC {
            if link.ptm {
                data.iter_mut().for_each(|byte| *byte &= 0x0F);
            }
            return Ok((rorg::SEC_DECRYPTED, data));
        }
        let inner = data.remove(0); // `of` saw at least two bytes
        if matches!(inner, rorg::SEC..=rorg::SEC_TEACH_IN) {
            let text = format!("a secure telegram holds RORG {inner:02X}, which is secure itself");
            return Err(Refused::new(Reason::BadRecord, 1, text));
        }
        Ok((inner, data))
    }
}

fn rolling_bytes(rolling: Rolling, rlc: u64) -> Vec<u8> {
    rlc.to_be_bytes()[8 - rolling.width()..].to_vec()
}

/// VAES (4.3.3): the stream is the same for both directions. Each block of it is the cipher of the public key, the rolling
/// code and the block before.
pub(crate) fn vaes(key: &Key, rolling_code: &[u8], data: &mut [u8]) {
    let cipher = Aes128::new(&key.0.into());
    let mut start = PUBLIC_KEY;
    start.iter_mut().zip(rolling_code).for_each(|(byte, rolling)| *byte ^= rolling);
    let mut before = [0; 16];
    for chunk in data.chunks_mut(16) {
        let mut block: [u8; 16] = std::array::from_fn(|n| start[n] ^ before[n]);
        cipher.encrypt_block((&mut block).into());
        before = block;
        chunk.iter_mut().zip(block).for_each(|(byte, stream)| *byte ^= stream);
    }
}
