//! The centre's receipt: a compact JWS (RFC 7515) signed with Ed25519 (RFC 8037) by a key the hub has listed.
//!
//! Only what passes here marks an event delivered, so everything that is not exactly that is refused with its name.
//! Whether the hub has sent what is claimed is the outbox's question; this file never trusts a word before its
//! signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::ED25519;
use ring::signature::UnparsedPublicKey;
use serde::Deserialize;
use std::collections::BTreeMap;
use vakt_core::device::GatewayId;
use vakt_core::event::EventId;
use vakt_core::port::CentreKey;
use vakt_core::port::UpstreamNote;

/// Longest receipt read, in bytes: it is kept as evidence for each delivery. A centre with more to list signs several.
pub const RECEIPT_MAX: usize = 16 * 1024;
/// Between two notes about the same refusal, in milliseconds; those between are counted.
pub const REFUSAL_EVERY_MS: u64 = 60_000;

/// What the centre claims to hold, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of this epoch.
    pub epoch: u64,
    /// Every seq up to this one, of all classes.
    pub upto: u64,
    /// And these.
    pub seqs: Vec<u64>,
    /// And these, by name.
    pub ids: Vec<EventId>,
    /// The signed text itself.
    pub jws: String,
}

/// Why something on the ack topic is no receipt. The text form is for ever: it stands in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It would be played to us again and again.
    #[error("retained")]
    Retained,
    /// Longer than `RECEIPT_MAX`.
    #[error("too_large")]
    TooLarge,
    /// Not `header.payload.signature`.
    #[error("not_three_parts")]
    NotThreeParts,
    /// A part is not base64url without padding.
    #[error("bad_base64")]
    BadBase64,
    /// The header is not the JSON object it must be.
    #[error("bad_header")]
    BadHeader,
    /// `alg` is not `EdDSA`.
    #[error("not_eddsa")]
    NotEddsa,
    /// `crit` asks for something we do not know (RFC 7515, 4.1.11).
    #[error("critical_extension")]
    Critical,
    /// No listed key has that name.
    #[error("unknown_key")]
    UnknownKey,
    /// The signature is not that key's over this text.
    #[error("bad_signature")]
    BadSignature,
    /// The payload is not the JSON object it must be.
    #[error("bad_payload")]
    BadPayload,
    /// `aud` names somebody else.
    #[error("other_gateway")]
    OtherGateway,
    /// An epoch this hub has never had: another gateway's receipt.
    #[error("foreign_epoch")]
    ForeignEpoch,
    /// It claims events this hub has not sent.
    #[error("from_the_future")]
    FromTheFuture,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Body {
    epoch: Option<u64>,
    upto: Option<u64>,
    #[serde(default)]
    seqs: Vec<u64>,
    #[serde(default)]
    ids: Vec<EventId>,
    aud: Option<Audience>,
    media: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Reads what came on the ack topic. `Ok(None)`: signed and valid, but not about events (a medium's receipt).
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(text: &[u8], retained: bool, keys: &[CentreKey], gateway: &GatewayId) -> Result<Option<Claim>, Refused> {
    if retained {
        return Err(Refused::Retained);
    }
    if text.len() > RECEIPT_MAX {
        return Err(Refused::TooLarge);
    }
    let text = std::str::from_utf8(text).map_err(|_| Refused::NotThreeParts)?;
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    let [header, payload, signature] = parts[..] else { return Err(Refused::NotThreeParts) };
    let header_json = URL_SAFE_NO_PAD.decode(header).map_err(|_| Refused::BadBase64)?;
    let payload_json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refused::BadBase64)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::BadBase64)?;

    let head: Header = serde_json::from_slice(&header_json).map_err(|_| Refused::BadHeader)?;
    if head.alg != "EdDSA" {
        return Err(Refused::NotEddsa);
    }
    if head.crit.is_some() {
        return Err(Refused::Critical);
    }
    let kid = head.kid.ok_or(Refused::UnknownKey)?;
    let signed = &text.as_bytes()[..header.len() + 1 + payload.len()];
    let mut named = keys.iter().filter(|key| key.kid == kid).peekable();
    if named.peek().is_none() {
        return Err(Refused::UnknownKey);
    }
    if !named.any(|key| UnparsedPublicKey::new(&ED25519, key.ed25519).verify(signed, &signature).is_ok()) {
        return Err(Refused::BadSignature);
    }

    let body: Body = serde_json::from_slice(&payload_json).map_err(|_| Refused::BadPayload)?;
    let ours = match &body.aud {
        None => true,
        Some(Audience::One(name)) => name == gateway.as_str(),
        Some(Audience::Several(names)) => names.iter().any(|name| name == gateway.as_str()),
    };
    if !ours {
        return Err(Refused::OtherGateway);
    }
    match (body.epoch, body.upto) {
        (Some(epoch), Some(upto)) => {
            Ok(Some(Claim { epoch, upto, seqs: body.seqs, ids: body.ids, jws: text.to_owned() }))
        }
        _ if body.media.is_some() => Ok(None),
        _ => Err(Refused::BadPayload),
    }
}

/// Counts refusals, so that a flood of rubbish is a few notes and not a flood of events.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    seen: BTreeMap<Refused, (u64, Option<u64>)>,
}

impl Refusals {
    /// One more, at `now_ms`: the note about it, unless the last one is too young.
    pub fn count(&mut self, refused: Refused, now_ms: u64) -> Option<UpstreamNote> {
        let (count, told) = self.seen.entry(refused).or_default();
        *count += 1;
        if told.is_some_and(|at| now_ms < at + REFUSAL_EVERY_MS) {
            return None;
        }
        *told = Some(now_ms);
        Some(UpstreamNote::RefusedReceipt { reason: refused.to_string(), count: std::mem::take(count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::Ed25519KeyPair;
    use ring::signature::KeyPair;

    const SEED: [u8; 32] = [7; 32];

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap()
    }

    fn keys() -> Vec<CentreKey> {
        vec![CentreKey { kid: "arc-1".into(), ed25519: pair().public_key().as_ref().try_into().unwrap() }]
    }

    fn gateway() -> GatewayId {
        GatewayId::new("hub-1").unwrap()
    }

    fn signed(header: &str, payload: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = pair().sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    const HEADER: &str = r#"{"alg":"EdDSA","kid":"arc-1"}"#;
    const PAYLOAD: &str = r#"{"epoch":42,"upto":7}"#;

    fn read(text: &str) -> Result<Option<Claim>, Refused> {
        verify(text.as_bytes(), false, &keys(), &gateway())
    }

    #[test]
    fn a_receipt_of_a_listed_key_is_read_and_kept_as_evidence() {
        let text = signed(HEADER, PAYLOAD);
        // golden: Ed25519 is deterministic, so the bytes of this receipt are fixed
        let golden = concat!(
            "eyJhbGciOiJFZERTQSIsImtpZCI6ImFyYy0xIn0.eyJlcG9jaCI6NDIsInVwdG8iOjd9.",
            "y423QNuYEFEpW7rcKCtElE__UHbPGICmr4vgk1D_VNY7mXEUlpRQyM6IsotIfb_I-C4c9HdL7j2YWZ72fDK-DA"
        );
        assert_eq!(text, golden);
        let claim = read(&text).unwrap().unwrap();
        assert_eq!(claim, Claim { epoch: 42, upto: 7, seqs: vec![], ids: vec![], jws: text });
        let id = EventId::mint(1, [2; 10]);
        let whole = format!(
            r#"{{"iss":"arc","aud":["x","hub-1"],"epoch":1,"upto":0,"seqs":[9,11],"ids":["{id}"],"later":{{"a":[1]}}}}"#
        );
        let claim = read(&signed(r#"{"typ":"JWT","kid":"arc-1","alg":"EdDSA"}"#, &whole)).unwrap().unwrap();
        assert_eq!((claim.seqs, claim.ids), (vec![9, 11], vec![id]));
        assert_eq!(read(&signed(HEADER, r#"{"aud":"hub-1","media":"m1","have":[[0,9]]}"#)), Ok(None));
    }

    #[test]
    fn everything_that_is_not_one_is_refused_by_name() {
        let good = signed(HEADER, PAYLOAD);
        let (front, signature) = good.rsplit_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode([1u8; 64]);
        let table: Vec<(String, Refused)> = vec![
            (String::new(), Refused::NotThreeParts),
            ("hello".into(), Refused::NotThreeParts),
            (front.to_owned(), Refused::NotThreeParts),
            (format!("{good}.x"), Refused::NotThreeParts),
            (format!("{front}."), Refused::BadSignature),
            (format!("{front}=.{signature}"), Refused::BadBase64),
            (format!("{front}.{signature}="), Refused::BadBase64),
            (format!("{front}.!{signature}"), Refused::BadBase64),
            (format!("{good}\n"), Refused::BadBase64),
            (format!("{front}.{other}"), Refused::BadSignature),
            (format!("{}.{signature}", front.replace("eyJlcG9jaCI6NDIs", "eyJlcG9jaCI6NDMs")), Refused::BadSignature),
            (signed("[]", PAYLOAD), Refused::BadHeader),
            (signed(r#"{"kid":"arc-1"}"#, PAYLOAD), Refused::BadHeader),
            (signed(r#"{"alg":"EdDSA","alg":"none","kid":"arc-1"}"#, PAYLOAD), Refused::BadHeader),
            (signed(r#"{"alg":"none","kid":"arc-1"}"#, PAYLOAD), Refused::NotEddsa),
            (signed(r#"{"alg":"HS256","kid":"arc-1"}"#, PAYLOAD), Refused::NotEddsa),
            (signed(r#"{"alg":"eddsa","kid":"arc-1"}"#, PAYLOAD), Refused::NotEddsa),
            (signed(r#"{"alg":"EdDSA","kid":"arc-1","crit":["b64"],"b64":false}"#, PAYLOAD), Refused::Critical),
            (signed(r#"{"alg":"EdDSA"}"#, PAYLOAD), Refused::UnknownKey),
            (signed(r#"{"alg":"EdDSA","kid":"arc-2"}"#, PAYLOAD), Refused::UnknownKey),
            (signed(HEADER, "{}"), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":-1}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":7.5}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":"7"}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":7,"upto":8}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":7,"ids":["7"]}"#), Refused::BadPayload),
            (signed(HEADER, r#"{"epoch":42,"upto":7,"aud":"hub-2"}"#), Refused::OtherGateway),
            (signed(HEADER, r#"{"epoch":42,"upto":7,"aud":["hub-2"]}"#), Refused::OtherGateway),
            (signed(HEADER, r#"{"epoch":42,"upto":7,"aud":[]}"#), Refused::OtherGateway),
            (
                signed(HEADER, &format!(r#"{{"epoch":42,"upto":7,"x":"{}"}}"#, "x".repeat(RECEIPT_MAX))),
                Refused::TooLarge,
            ),
        ];
        for (text, why) in table {
            assert_eq!(read(&text), Err(why), "{text}");
        }
        assert_eq!(verify(good.as_bytes(), true, &keys(), &gateway()), Err(Refused::Retained));
        assert_eq!(verify(good.as_bytes(), false, &[], &gateway()), Err(Refused::UnknownKey));
        assert_eq!(verify(&[0xff, b'.', b'.'], false, &keys(), &gateway()), Err(Refused::NotThreeParts));
    }

    #[test]
    fn the_unsigned_receipt_of_every_book_is_refused() {
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(PAYLOAD));
        assert_eq!(read(&none), Err(Refused::NotEddsa));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_never_accepted() {
        let good = signed(HEADER, PAYLOAD).into_bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(verify(&bad, false, &keys(), &gateway()).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_flood_of_rubbish_is_a_note_a_minute_with_its_count() {
        let mut refusals = Refusals::default();
        let note = |reason: &str, count| UpstreamNote::RefusedReceipt { reason: reason.into(), count };
        assert_eq!(refusals.count(Refused::BadSignature, 0), Some(note("bad_signature", 1)));
        for at in 1..1_000 {
            assert_eq!(refusals.count(Refused::BadSignature, at), None);
        }
        assert_eq!(refusals.count(Refused::FromTheFuture, 5), Some(note("from_the_future", 1)));
        assert_eq!(refusals.count(Refused::BadSignature, REFUSAL_EVERY_MS), Some(note("bad_signature", 1_000)));
    }
}
