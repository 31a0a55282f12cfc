//! Everything wrong a centre can do to a hub, on request: what the hub must survive without losing an alarm and
//! without believing a word of it.
//!
//! Pure. Nothing here is on unless asked for.

use super::jws::Signer;
use super::jws::signing_input;
use super::receipts::Receipt;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// How far into the future a receipt from the future reaches.
pub const FUTURE: u64 = 1000;

/// A receipt that must not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// Header and payload right, signature empty.
    Unsigned,
    /// Signed by a key that is not the centre's, under the centre's kid.
    WrongKey,
    /// For another gateway.
    ForeignAud,
    /// For a thousand events that were never sent.
    Future,
    /// For an epoch that never was.
    WrongEpoch,
    /// `alg: none`.
    AlgNone,
    /// Not a JWS at all.
    Garbage,
    /// A right receipt, sent twice. This one does count, once.
    Twice,
}

/// What the centre does wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Misbehaviour {
    /// Signs for nothing.
    pub no_receipts: bool,
    /// Sends each receipt this much later, milliseconds.
    pub delay_ms: u64,
    /// Sends this in place of every receipt.
    pub forge: Option<Forgery>,
    /// Ignores every n-th arrival of an event.
    pub drop_every: Option<u64>,
    /// Echoes no beat.
    pub silent: bool,
    /// Falls over at the next event, before it is on disk.
    pub crash: bool,
}

/// The words `change` understands, for `--help` and for errors.
pub const WORDS: &str = "receipts on|off · delay MS · forge unsigned|wrong_key|foreign_aud|future|wrong_epoch|alg_none|garbage|twice|off · \
     drop N|off · silent on|off · crash · honest";

impl Misbehaviour {
    /// Applies one line of words.
    ///
    /// # Errors
    /// The line is none of `WORDS`.
    pub fn change(&mut self, line: &str) -> Result<(), String> {
        let wrong = || format!("`{line}` is not understood; right would be one of: {WORDS}");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["receipts", "on"] => self.no_receipts = false,
            ["receipts", "off"] => self.no_receipts = true,
            ["delay", ms] => self.delay_ms = ms.parse().map_err(|_| wrong())?,
            ["forge", kind] => self.forge = forgery(kind).ok_or_else(wrong)?,
            ["drop", "off"] => self.drop_every = None,
            ["drop", n] => self.drop_every = Some(n.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?),
            ["silent", "on"] => self.silent = true,
            ["silent", "off"] => self.silent = false,
            ["crash"] => self.crash = true,
            ["honest"] => *self = Self::default(),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// The texts to publish for a receipt: the right one, or what was asked for instead.
    pub fn seal(&self, receipt: &Receipt, signer: &Signer) -> Vec<String> {
        let right = signer.sign(&receipt.json());
        let Some(forgery) = self.forge else { return vec![right] };
        let changed = |change: fn(&mut Receipt)| {
            let mut receipt = receipt.clone();
            change(&mut receipt);
            signer.sign(&receipt.json())
        };
        let header = json!({"alg": "EdDSA", "kid": signer.kid()});
        vec![match forgery {
            Forgery::Unsigned => format!("{}.", signing_input(&header, &receipt.json())),
            Forgery::WrongKey => stranger(signer).sign(&receipt.json()),
            Forgery::ForeignAud => changed(|receipt| receipt.aud = "another-hub".to_owned()),
            Forgery::Future => changed(|receipt| receipt.upto += FUTURE),
            Forgery::WrongEpoch => changed(|receipt| receipt.epoch += FUTURE),
            Forgery::AlgNone => {
                format!("{}.", signing_input(&json!({"alg": "none", "kid": signer.kid()}), &receipt.json()))
            }
            Forgery::Garbage => format!("\u{0}not.a.jws {}", URL_SAFE_NO_PAD.encode(right.as_bytes())),
            Forgery::Twice => return vec![right.clone(), right],
        }]
    }
}

/// A key that nobody listed, under the same name.
pub(super) fn stranger(signer: &Signer) -> Signer {
    let mut seed = [0u8; 32];
    seed.copy_from_slice(signer.public_key());
    Signer::from_seed(signer.kid(), &seed)
}

#[allow(clippy::option_option)] // outer: understood; inner: on or off
fn forgery(word: &str) -> Option<Option<Forgery>> {
    Some(match word {
        "unsigned" => Some(Forgery::Unsigned),
        "wrong_key" => Some(Forgery::WrongKey),
        "foreign_aud" => Some(Forgery::ForeignAud),
        "future" => Some(Forgery::Future),
        "wrong_epoch" => Some(Forgery::WrongEpoch),
        "alg_none" => Some(Forgery::AlgNone),
        "garbage" => Some(Forgery::Garbage),
        "twice" => Some(Forgery::Twice),
        "off" => None,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::arc::jws::verify;

    #[test]
    fn every_forgery_is_wrong_in_exactly_its_own_way() {
        let signer = Signer::from_seed("arc-1", &[3; 32]);
        let receipt = Receipt { aud: "hub".to_owned(), epoch: 1, upto: 7, seqs: vec![], ids: vec![] };
        let seal = |word: &str| {
            let mut wrong = Misbehaviour::default();
            wrong.change(&format!("forge {word}")).unwrap();
            wrong.seal(&receipt, &signer)
        };
        for word in ["unsigned", "wrong_key", "alg_none", "garbage"] {
            assert!(verify(&seal(word)[0], signer.public_key()).is_err(), "{word} must not verify");
        }
        let payload = |word: &str| verify(&seal(word)[0], signer.public_key()).unwrap().1;
        assert_eq!(payload("foreign_aud")["aud"], "another-hub");
        assert_eq!(payload("future")["upto"], 1007);
        assert_eq!(payload("wrong_epoch")["epoch"], 1001);
        assert_eq!(seal("twice").len(), 2);
        assert_eq!(payload("off"), receipt.json());
    }

    #[test]
    fn words_that_mean_nothing_are_refused_with_the_words_that_do() {
        let mut wrong = Misbehaviour::default();
        for line in ["", "receipts maybe", "forge x", "drop 0", "delay soon", "crash now"] {
            assert!(wrong.change(line).unwrap_err().contains("receipts on|off"), "{line}");
        }
        assert_eq!(wrong, Misbehaviour::default());
    }
}
