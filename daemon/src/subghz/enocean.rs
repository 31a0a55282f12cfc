//! One EnOcean device's telegram, from what a transceiver heard to what it means: security, then profile.
//!
//! A device that was taught securely is heard in no other way, and one that was not is not heard securely: whoever speaks
//! differently is somebody else. What a telegram teaches is `enocean_teach.rs`'s, and says nothing of any state.

use crate::subghz::eep;
use crate::subghz::eep::Message;
use crate::subghz::eep::Said;
use crate::subghz::enocean_security;
use crate::subghz::enocean_security::Link;
use crate::subghz::erp1::Telegram;
use crate::subghz::erp1::rorg;
use crate::subghz::refused::Reason;
use crate::subghz::refused::Refused;
use vakt_core::device::Authenticated;
use vakt_core::device::Eep;

/// A device as it was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its profile.
    pub eep: Eep,
    /// How it speaks securely, and the lowest rolling code that is still accepted of it.
    pub secure: Option<(Link, u64)>,
}

/// What was understood of a telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Understood {
    /// What it says, or why its profile has no meaning for it.
    pub said: Result<Said, Refused>,
    /// Of a secure device, the lowest rolling code that is accepted from now on. It is kept before, or with, whatever
    /// the telegram does, also where it says nothing or has no meaning: it was the device's.
    pub next: Option<u64>,
}

/// What a telegram of a known device says. A secure teach-in (RORG 35) is none of its words: see `enocean_teach.rs`.
///
/// # Errors
/// Whatever is not proved to be the device's own: `no_key` or `not_encrypted` where it does not speak as it was let in,
/// else as [`enocean_security::open`].
pub fn understand(telegram: &Telegram, device: &Device) -> Result<Understood, Refused> {
    match &device.secure {
        None if is_secure(telegram.rorg) => {
            let text =
                format!("{} speaks securely (RORG {:02X}) and has no key here", telegram.device(), telegram.rorg);
            Err(Refused::new(Reason::NoKey, 0, text))
        }
        None => Ok(Understood { said: eep::understand(device.eep, &in_clear(telegram)?), next: None }),
        Some((link, next)) => {
            let opened = enocean_security::open(link, *next, telegram)?;
            let said = eep::understand(device.eep, &opened.message(telegram));
            Ok(Understood { said, next: Some(opened.next) })
        }
    }
}

/// Whether a telegram of that type is a secure one.
pub(crate) fn is_secure(rorg: u8) -> bool {
    matches!(rorg, rorg::SEC | rorg::SEC_ENCAPS | rorg::SEC_CHAINED)
}

/// A telegram that was not secured, as a profile reads it.
///
/// # Errors
/// `not_encrypted` for the type that only an opened telegram has.
pub(crate) fn in_clear(telegram: &Telegram) -> Result<Message<'_>, Refused> {
    if telegram.rorg == rorg::SEC_DECRYPTED {
        let text = "RORG 32 is what a secure telegram becomes when it is opened: from the air nobody sends it";
        return Err(Refused::new(Reason::NotEncrypted, 0, text));
    }
    Ok(message(telegram, telegram.rorg, &telegram.payload, Authenticated::Crc))
}

fn message<'a>(telegram: &Telegram, rorg: u8, payload: &'a [u8], authenticated: Authenticated) -> Message<'a> {
    let (device, nu, rssi_dbm) = (telegram.device(), telegram.status.nu(), telegram.rssi_dbm());
    Message { device, rorg, payload, nu, authenticated, rssi_dbm }
}

impl enocean_security::Opened {
    /// What was in it, as a profile reads it.
    pub(crate) fn message(&self, telegram: &Telegram) -> Message<'_> {
        message(telegram, self.rorg, &self.payload, self.authenticated)
    }
}
