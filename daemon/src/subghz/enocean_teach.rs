//! What an EnOcean device says when it is taught: who it is, which profile it has where it tells, and its key where it
//! speaks securely. Also the answer that a universal teach-in waits for.
//!
//! Nothing is let in here: a teach-in counts only while somebody has opened the door for it (30 s by the specification),
//! and who decides that is the caller. Switches (F6) have no teach-in telegram: they are learnt by being pressed, and a
//! contact of one byte (D5) says that it teaches but not what it is. Keys are handed on and never shown.
//!
//! Source: EnOcean Equipment Profiles 2.6.7, 3.1 to 3.3, 3.6; Security of EnOcean Radio Networks V1.8, 4.2, 4.4.1.2.

use crate::subghz::eep::is_teach_in;
use crate::subghz::enocean_security::Key;
use crate::subghz::enocean_security::Link;
use crate::subghz::enocean_security::Slf;
use crate::subghz::enocean_security::vaes;
use crate::subghz::erp1::Status;
use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::esp3::Packet;
use crate::subghz::esp3::crc8;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use std::fmt;
use vakt_core::device::Eep;

/// Devices whose secure teach-in is begun and not ended. One more, and the oldest has to begin again.
pub const UNFINISHED_MAX: usize = 4;

/// A teach-in telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeachIn {
    /// One byte: it says no more than that.
    OneBs,
    /// Four bytes.
    FourBs {
        /// What it is and who made it, where it tells (variations 2 and 3).
        profile: Option<(Eep, u16)>,
    },
    /// Universal.
    Ute(Ute),
    /// A part of a secure one.
    Secure(Part),
}

impl TeachIn {
    /// What a payload of that type teaches; `None` where it is data.
    ///
    /// # Errors
    /// `bad_length`, `bad_record`, `not_supported`: it would teach, but not in a way that can be followed.
    pub fn read(rorg: u8, payload: &[u8]) -> Result<Option<Self>, Refused> {
        Ok(Some(match (rorg, payload) {
            (rorg::ONE_BS, [_]) if is_teach_in(rorg, payload) => Self::OneBs,
            (rorg::FOUR_BS, [db3, db2, db1, db0]) if is_teach_in(rorg, payload) => {
                if db0 & 0x10 != 0 {
                    let text = "a response to a four-byte teach-in, not a device's own";
                    return Err(Refused::new(Reason::BadRecord, 4, text));
                }
                Self::FourBs { profile: (db0 & 0x80 != 0).then(|| four_bytes([*db3, *db2, *db1])) }
            }
            (rorg::UTE, _) => Self::Ute(Ute::read(payload)?),
            (rorg::SEC_TEACH_IN, _) => Self::Secure(Part::read(payload)?),
            _ => return Ok(None),
        }))
    }
}

/// FUNC (6 bits), TYPE (7), maker (11).
fn four_bytes([db3, db2, db1]: [u8; 3]) -> (Eep, u16) {
    let variant = (db3 & 0x03) << 5 | db2 >> 3;
    (Eep::new(rorg::FOUR_BS, db3 >> 2, variant), u16::from(db2 & 0x07) << 8 | u16::from(db1))
}

/// What a universal teach-in asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To be taught.
    Teach,
    /// To be forgotten.
    Forget,
    /// Either: to be taught if it is unknown.
    Either,
}

/// A universal teach-in query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ute {
    /// What it is.
    pub eep: Eep,
    /// Who made it, 11 bits.
    pub manufacturer: u16,
    /// Its channel; 255 for all it has.
    pub channel: u8,
    /// It can be spoken to.
    pub bidirectional: bool,
    /// It waits for an answer, 700 ms at most.
    pub response_expected: bool,
    /// What it asks for.
    pub request: Request,
}

/// What becomes of a universal teach-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not now: nobody has opened the door.
    Refused,
    /// It is known now.
    Taught,
    /// It is forgotten.
    Forgotten,
    /// Its profile is not known here.
    NotSupported,
}

impl Ute {
    fn read(payload: &[u8]) -> Result<Self, Refused> {
        let [control, channel, maker_low, maker_high, variant, func, rorg] = *payload else {
            let text = format!("{} bytes of payload: a universal teach-in has 7", payload.len());
            return Err(Refused::new(Reason::BadLength, 1, text));
        };
        let bad = |text: String| Err(Refused::new(Reason::BadRecord, 1, text));
        if control & 0x0F != 0 {
            return bad(format!("command {:X} of a universal teach-in: a query is 0", control & 0x0F));
        }
        let request = match control >> 4 & 0b11 {
            0 => Request::Teach,
            1 => Request::Forget,
            2 => Request::Either,
            _ => return bad("request 3 of a universal teach-in is not defined".to_owned()),
        };
        Ok(Self {
            eep: Eep::new(rorg, func, variant),
            manufacturer: u16::from(maker_high & 0x07) << 8 | u16::from(maker_low),
            channel,
            bidirectional: control & 0x80 != 0,
            response_expected: control & 0x40 == 0,
            request,
        })
    }

    /// The packet that answers `device`, from the hub's own id; `None` where it waits for none. To be sent within
    /// 500 ms.
    pub fn answer(&self, device: u32, own_id: u32, outcome: Outcome) -> Option<Packet> {
        let code = match outcome {
            Outcome::Refused => 0,
            Outcome::Taught => 1,
            Outcome::Forgotten => 2,
            Outcome::NotSupported => 3,
        };
        let control = u8::from(self.bidirectional) << 7 | code << 4 | 1;
        let [maker_high, maker_low] = self.manufacturer.to_be_bytes();
        let Eep { rorg, func, variant } = self.eep;
        let payload = vec![control, self.channel, maker_low, maker_high, variant, func, rorg];
        let telegram = Telegram { rorg: rorg::UTE, payload, sender: own_id, status: Status(0), received: None };
        self.response_expected.then(|| telegram.packet(device))
    }
}

/// A part of a secure teach-in. What it carries is key material: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// The first, or the only one.
    First {
        /// How many parts there are, 1 to 3.
        count: u8,
        /// What follows is encrypted with the key on the device's label.
        pre_shared: bool,
        /// A switch; else any device.
        ptm: bool,
        /// Of a switch which rocker, of another device whether it wants to be taught in its turn.
        info: u8,
        /// How it will speak.
        slf: Slf,
        /// Rolling code and the beginning of the key.
        rest: Vec<u8>,
    },
    /// One that follows.
    Next {
        /// Which, from 1.
        index: u8,
        /// More of the key.
        rest: Vec<u8>,
    },
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First { count, slf, .. } => write!(f, "First({count} parts, SLF {:02X}, key hidden)", slf.byte),
            Self::Next { index, .. } => write!(f, "Next({index}, key hidden)"),
        }
    }
}

impl Part {
    fn read(payload: &[u8]) -> Result<Self, Refused> {
        let short = |at: usize| {
            let text = format!("{} bytes of payload: a secure teach-in has its kind, its level, code and key", at - 1);
            Err(Refused::new(Reason::TooShort, at, text))
        };
        let [kind, ref rest @ ..] = *payload else { return short(1) };
        let index = kind >> 6;
        if index > 0 {
            return Ok(Self::Next { index, rest: rest.to_vec() });
        }
        let [slf, ref rest @ ..] = *rest else { return short(2) };
        let count = kind >> 4 & 0b11;
        if count == 0 {
            return Err(Refused::new(Reason::BadRecord, 1, "a secure teach-in of no parts"));
        }
        let slf = Slf::parse(slf)?;
        let (pre_shared, ptm) = (kind & 0x08 != 0, kind & 0x04 != 0);
        Ok(Self::First { count, pre_shared, ptm, info: kind & 0b11, slf, rest: rest.to_vec() })
    }

    /// The rolling code, where it is told in clear.
    pub fn rlc(&self) -> Option<u64> {
        match self {
            Self::First { pre_shared: false, slf, rest, .. } => rest.get(..slf.rolling_bytes()).map(number),
            _ => None,
        }
    }
}

/// A secure device that has said all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taught {
    /// How it is heard.
    pub link: Link,
    /// The lowest rolling code that is accepted of it.
    pub next: u64,
    /// Of a switch which rocker, of another device 1 where it wants to be taught in its turn.
    pub info: u8,
}

/// Puts the parts of secure teach-ins together, each device's by itself. To be dropped when the door closes.
#[derive(Debug, Clone, Default)]
pub struct Gathering {
    begun: Vec<(u32, Vec<Part>)>,
}

impl Gathering {
    /// Takes a part; gives the device once nothing is missing. A first part begins anew, another than the next is
    /// passed over. `psk` is the key on the device's label.
    ///
    /// # Errors
    /// `no_key` where the label's key is needed, `bad_length` where the parts do not make a rolling code and a key; the
    /// device has to begin again.
    pub fn take(&mut self, sender: u32, part: Part, psk: Option<&Key>) -> Result<Option<Taught>, Refused> {
        match part {
            Part::First { .. } => {
                self.begun.retain(|(other, _)| *other != sender);
                if self.begun.len() == UNFINISHED_MAX {
                    self.begun.remove(0);
                }
                self.begun.push((sender, vec![part]));
            }
            Part::Next { index, .. } => {
                let begun = self.begun.iter_mut().find(|(other, _)| *other == sender);
                match begun.filter(|(_, parts)| parts.len() == usize::from(index)) {
                    Some((_, parts)) => parts.push(part),
                    None => return Ok(None),
                }
            }
        }
        let whole =
            |parts: &[Part]| matches!(parts, [Part::First { count, .. }, ..] if parts.len() >= usize::from(*count));
        let Some(at) = self.begun.iter().position(|(other, parts)| *other == sender && whole(parts)) else {
            return Ok(None);
        };
        taught(&self.begun.remove(at).1, psk).map(Some)
    }
}

/// Rolling code and key out of all parts, decrypted where they came so (4.2.2: VAES under a rolling code of zeros).
fn taught(parts: &[Part], psk: Option<&Key>) -> Result<Taught, Refused> {
    let mut secret = Vec::new();
    let mut first = None;
    for part in parts {
        match part {
            Part::First { pre_shared, ptm, info, slf, rest, .. } => {
                first = Some((*pre_shared, *ptm, *info, *slf));
                secret.extend(rest);
            }
            Part::Next { rest, .. } => secret.extend(rest),
        }
    }
    let (pre_shared, ptm, info, slf) = first.expect("a gathering begins with a first part");
    if pre_shared {
        let text = "its teach-in is encrypted: the key on its label is needed";
        let psk = psk.ok_or_else(|| Refused::new(Reason::NoKey, 1, text))?;
        vaes(psk, &[], &mut secret);
    }
    let due = slf.rolling_bytes() + 16;
    let key = secret.get(slf.rolling_bytes()..).and_then(|key| <[u8; 16]>::try_from(key).ok());
    let Some(key) = key else {
        let text = format!("{} bytes of rolling code and key: its level has {due}", secret.len());
        return Err(Refused::new(Reason::BadLength, 2, text));
    };
    let next = number(&secret[..slf.rolling_bytes()]);
    Ok(Taught { link: Link { key: Key::new(key), slf, ptm }, next, info })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The key on a device's label: 16 bytes and the checksum that is printed with it (4.2.2.1).
///
/// # Errors
/// `bad_key`; the text never repeats the key.
pub fn label_key(bytes: &[u8]) -> Result<Key, Refused> {
    let bad = |text: String| Refused::new(Reason::BadKey, 0, text);
    let (key, sum) = bytes.split_last_chunk::<1>().ok_or_else(|| bad("no bytes".to_owned()))?;
    let key = <[u8; 16]>::try_from(key)
        .map_err(|_| bad(format!("a label's key is 34 hex digits, this has {}", 2 * bytes.len())))?;
    if crc8(&key) != sum[0] {
        return Err(bad("the label's checksum does not hold: a digit is wrong".to_owned()));
    }
    Ok(Key::new(key))
}
