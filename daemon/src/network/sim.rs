//! Whether a locked SIM card may be given its PIN. One try and no second: three wrong ones lock a card for good, and a hub in
//! a cupboard has nobody to look at it. A PUK is never touched. The PIN itself is written nowhere.

use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use serde::Deserialize;
use serde::Serialize;
use sha2::Sha256;
use vakt_core::canonical::hex;
use vakt_core::port::Modem;
use vakt_core::port::SimLock;

/// The longest PIN file that is read, in bytes.
pub const PIN_FILE_MAX: u64 = 64;

/// So many tries must be left before ours: a wrong one then leaves one to whoever comes.
const TRIES_MIN: u32 = 2;

/// So many tries are remembered, over all cards and PINs. With more, the oldest goes: that card may be given that PIN once
/// more, as long as two tries are left.
const TRIES_KEPT: usize = 16;

/// A try that has been made, or was about to be when the hub fell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// At which card, where it said.
    pub iccid: Option<String>,
    /// With which PIN: its mark by the hub's own key. A PIN has four digits, so anything without a key is the PIN itself.
    pub mark: String,
}

/// What is to be done about a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none, or nobody says.
    Open,
    /// The PIN is to be given, once this try is on disk.
    Try(Tried),
    /// It stays, and why.
    Locked(&'static str),
}

/// The PIN as its file has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Pin {
    /// No file is configured.
    None,
    /// It cannot be read.
    Unreadable,
    /// What stands in it is no PIN.
    Malformed,
    /// Four to eight digits (TS 102 221, 9.5.1).
    Digits(String),
}

impl Pin {
    /// Takes a file's text.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let right = (4..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if right { Pin::Digits(text.to_owned()) } else { Pin::Malformed }
    }
}

impl std::fmt::Debug for Pin {
    /// The digits never stand in a log, whoever writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Pin::None => "None",
            Pin::Unreadable => "Unreadable",
            Pin::Malformed => "Malformed",
            Pin::Digits(_) => "Digits(..)",
        })
    }
}

/// Takes down a try.
pub fn remember(tries: &mut Vec<Tried>, tried: Tried) {
    tries.retain(|known| *known != tried);
    tries.push(tried);
    tries.drain(..tries.len().saturating_sub(TRIES_KEPT));
}

/// Forgets the tries at the card that is seen open: they did it no harm, and it may be given its PIN when it is locked again.
/// `taken`: the PIN that a card has just said yes to; that is how one is known that does not say who it is while it is locked.
/// Whether there was anything to forget.
pub fn forgive(tries: &mut Vec<Tried>, open: &Modem, taken: Option<&Tried>) -> bool {
    let before = tries.len();
    if open.lock == SimLock::None {
        tries.retain(|tried| match &tried.iccid {
            Some(iccid) => open.iccid.as_ref() != Some(iccid),
            None => taken != Some(tried),
        });
    }
    tries.len() != before
}

/// Judges a lock.
pub fn judge(modem: &Modem, pin: &Pin, tries: &[Tried], key: &[u8]) -> Verdict {
    let digits = match (modem.lock, pin) {
        (SimLock::Unknown | SimLock::None, _) => return Verdict::Open,
        (SimLock::Puk, _) => return Verdict::Locked("puk"),
        (SimLock::Other, _) => return Verdict::Locked("other_code"),
        (SimLock::Pin, Pin::None) => return Verdict::Locked("no_pin_file"),
        (SimLock::Pin, Pin::Unreadable) => return Verdict::Locked("pin_file_unreadable"),
        (SimLock::Pin, Pin::Malformed) => return Verdict::Locked("pin_file_malformed"),
        (SimLock::Pin, Pin::Digits(digits)) => digits,
    };
    let now = Tried { iccid: modem.iccid.clone(), mark: mark(digits, key) };
    // Where a card has not said who it is, it is the one that was tried.
    let same = |tried: &Tried| {
        let other = tried.iccid.as_ref().zip(now.iccid.as_ref()).is_some_and(|(then, now)| then != now);
        tried.mark == now.mark && !other
    };
    if tries.iter().any(same) {
        return Verdict::Locked("pin_refused");
    }
    match modem.pin_retries {
        Some(left) if left >= TRIES_MIN => Verdict::Try(now),
        Some(_) => Verdict::Locked("last_try"),
        None => Verdict::Locked("tries_unknown"),
    }
}

fn mark(digits: &str, key: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(b"vakt sim pin");
    mac.update(digits.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = &[7; 32];

    fn locked(retries: Option<u32>, iccid: Option<&str>) -> Modem {
        Modem { lock: SimLock::Pin, pin_retries: retries, iccid: iccid.map(str::to_owned), ..Modem::default() }
    }

    fn pin(text: &str) -> Pin {
        Pin::of(text)
    }

    #[test]
    fn one_try_and_no_second() {
        let modem = locked(Some(3), Some("8946"));
        let Verdict::Try(tried) = judge(&modem, &pin("1234\n"), &[], KEY) else { panic!("the first is made") };
        assert!(!format!("{tried:?}{:?}", pin("1234")).contains("1234"), "the PIN is written nowhere");
        let again = |modem: &Modem, digits: &str| judge(modem, &pin(digits), std::slice::from_ref(&tried), KEY);
        assert_eq!(again(&modem, "1234"), Verdict::Locked("pin_refused"));
        assert_eq!(again(&locked(Some(3), None), "1234"), Verdict::Locked("pin_refused"), "a card that does not say");
        assert!(matches!(again(&modem, "4321"), Verdict::Try(_)), "another PIN was put in the file");
        assert!(matches!(again(&locked(Some(3), Some("8947")), "1234"), Verdict::Try(_)), "another card");
    }

    #[test]
    fn the_last_try_is_somebodys_who_looks() {
        for (retries, why) in [(Some(1), "last_try"), (Some(0), "last_try"), (None, "tries_unknown")] {
            assert_eq!(judge(&locked(retries, None), &pin("1234"), &[], KEY), Verdict::Locked(why));
        }
        assert!(matches!(judge(&locked(Some(2), None), &pin("1234"), &[], KEY), Verdict::Try(_)));
    }

    /// What is remembered of a PIN that was tried at a card.
    fn tried(iccid: Option<&str>, digits: &str) -> Tried {
        let verdict = judge(&locked(Some(3), iccid), &pin(digits), &[], KEY);
        let Verdict::Try(tried) = verdict else { panic!("it is tried, not {verdict:?}") };
        tried
    }

    #[test]
    fn a_card_seen_open_is_forgiven_and_no_other() {
        let (ours, other, nameless) = (tried(Some("8946"), "1234"), tried(Some("8947"), "1234"), tried(None, "4321"));
        let open = |iccid: Option<&str>| Modem { lock: SimLock::None, ..locked(None, iccid) };
        let mut tries = vec![ours.clone(), other.clone(), nameless.clone()];
        assert!(!forgive(&mut tries, &open(None), None), "it does not say who it is");
        assert!(!forgive(&mut tries, &open(Some("8948")), None));
        assert!(!forgive(&mut tries, &locked(Some(3), Some("8946")), Some(&ours)), "it is not open");
        assert!(!forgive(&mut tries, &open(Some("8948")), Some(&ours)), "nor is it this one");
        assert!(forgive(&mut tries, &open(Some("8946")), None));
        assert_eq!(tries, [other.clone(), nameless.clone()]);
        assert!(forgive(&mut tries, &open(Some("8948")), Some(&nameless)), "it has just said yes, and now who it is");
        assert_eq!(tries, [other]);
    }

    #[test]
    fn several_cards_are_remembered_and_the_oldest_try_goes() {
        let mut tries = Vec::new();
        for iccid in 0..=TRIES_KEPT {
            remember(&mut tries, tried(Some(&iccid.to_string()), "1234"));
        }
        assert_eq!(tries.len(), TRIES_KEPT);
        let again = |iccid| judge(&locked(Some(3), Some(iccid)), &pin("1234"), &tries, KEY);
        assert_eq!(again("1"), Verdict::Locked("pin_refused"));
        assert!(matches!(again("0"), Verdict::Try(_)), "the oldest");
        let newest = tries[TRIES_KEPT - 1].clone();
        remember(&mut tries, tried(Some("1"), "1234"));
        assert_eq!((tries.len(), &tries[TRIES_KEPT - 2]), (TRIES_KEPT, &newest), "one try stands there once");
    }

    #[test]
    fn a_puk_is_never_touched_and_what_is_no_pin_is_not_tried() {
        let puk = Modem { lock: SimLock::Puk, pin_retries: Some(3), ..Modem::default() };
        assert_eq!(judge(&puk, &pin("1234"), &[], KEY), Verdict::Locked("puk"));
        for wrong in ["", "123", "123456789", "12a4", "1234 5678"] {
            assert_eq!(pin(wrong), Pin::Malformed, "{wrong}");
        }
        let modem = locked(Some(3), None);
        assert_eq!(judge(&modem, &Pin::Malformed, &[], KEY), Verdict::Locked("pin_file_malformed"));
        assert_eq!(judge(&modem, &Pin::None, &[], KEY), Verdict::Locked("no_pin_file"));
        assert_eq!(judge(&Modem::default(), &pin("1234"), &[], KEY), Verdict::Open);
    }
}
