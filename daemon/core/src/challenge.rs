//! A challenge: the hub's word that somebody has heard from it within the last minute, on its own clock that cannot lie.
//!
//! Nothing is stored: a challenge says when it was made and is sealed with a key that lives as long as the process
//! (HMAC-SHA-256, RFC 2104, the first 16 bytes). So one of an earlier run is worth nothing, and a flood costs no memory.

use crate::canonical::hex;
use crate::stamp::Stamp;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// How old a challenge may be when it comes back, in ms (contract, "Warrants").
pub const FRESH_MS: u64 = 60_000;

/// Why a nonce does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// This hub, in this run, made no such challenge.
    Foreign,
    /// It did, too long ago.
    Old,
}

/// Makes challenges and knows its own again.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenges {
    key: [u8; 32],
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenges(hidden)")
    }
}

impl Challenges {
    /// From 32 bytes of entropy, new in each run.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A challenge made now: 48 hex digits.
    pub fn mint(&self, now: Stamp) -> String {
        let made = now.mono_ms.to_be_bytes();
        hex(&[&made[..], &self.seal(made)[..]].concat())
    }

    fn seal(&self, made: [u8; 8]) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&made);
        let sum: [u8; 32] = mac.finalize().into_bytes().into();
        std::array::from_fn(|i| sum[i])
    }

    /// How old a challenge is, in ms.
    ///
    /// # Errors
    /// It is none of ours, or too old.
    pub fn age_ms(&self, text: &str, now: Stamp) -> Result<u64, Stale> {
        let wellformed = text.len() == 48 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let made = u64::from_str_radix(text.get(..16).filter(|_| wellformed).ok_or(Stale::Foreign)?, 16)
            .map_err(|_| Stale::Foreign)?;
        let ours = hex(&self.seal(made.to_be_bytes()));
        // Every digit is compared, so that the time it takes tells nothing.
        let differ = ours.bytes().zip(text.bytes().skip(16)).fold(0, |sum, (a, b)| sum | (a ^ b));
        let age = now.mono_ms.checked_sub(made).filter(|_| differ == 0).ok_or(Stale::Foreign)?;
        if age <= FRESH_MS { Ok(age) } else { Err(Stale::Old) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_for_a_minute_and_only_where_it_was_made() {
        let at = |mono_ms| Stamp { boot: 1, mono_ms, wall_ms: 0, trusted: false };
        let ours = Challenges::new([1; 32]);
        let nonce = ours.mint(at(1_000));
        assert_eq!(nonce.len(), 48);
        assert_eq!(ours.age_ms(&nonce, at(61_000)), Ok(60_000));
        assert_eq!(ours.age_ms(&nonce, at(61_001)), Err(Stale::Old));
        assert_eq!(ours.age_ms(&nonce, at(999)), Err(Stale::Foreign), "not made yet");
        assert_eq!(Challenges::new([2; 32]).age_ms(&nonce, at(1_000)), Err(Stale::Foreign));
        assert!(!format!("{ours:?}").contains("1, 1"), "the key is not shown");
        let mut forged = nonce.clone();
        forged.replace_range(0..16, "00000000000003e9");
        for bad in
            ["", "zz", &nonce[..47], &nonce.to_uppercase(), &forged, "+0000000000003e8", "åååååååååååååååååååååååå"]
        {
            assert_eq!(ours.age_ms(bad, at(1_001)), Err(Stale::Foreign), "{bad}");
        }
    }
}
