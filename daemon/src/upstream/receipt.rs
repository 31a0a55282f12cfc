//! The centre's receipt: a compact JWS (RFC 7515) signed with Ed25519 (RFC 8037) by a key the hub has listed.
//!
//! Only what passes here marks an event delivered, so everything that is not exactly that is refused with its name.
//! Whether the hub has sent what is claimed is the outbox's question; this file never trusts a word before its
//! signature.

use crate::upstream::jws::Audience;
use crate::upstream::jws::Jws;
use crate::upstream::jws::NotSigned;
use crate::upstream::topic;
use schemars::JsonSchema;
use serde::Deserialize;
use vakt_core::device::GatewayId;
use vakt_core::event::EventId;
use vakt_core::port::ListedKey;
use vakt_core::port::MediaReceipt;

/// Longest receipt read, in bytes: it is kept as evidence for each delivery. A centre with more to list signs several.
pub const RECEIPT_MAX: usize = 16 * 1024;
/// The role of a key that may sign receipts; no other may.
pub const SIGNS: &str = "arc";

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
    /// Not signed by the centre.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
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

/// What a receipt's signature covers.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ReceiptPayload {
    /// The epoch it is about.
    epoch: Option<u64>,
    /// The centre durably holds every seq up to and including this one, of all classes.
    upto: Option<u64>,
    /// And these above it.
    #[serde(default)]
    seqs: Vec<u64>,
    /// And these, by name: alarms that left before they had a seq.
    #[serde(default)]
    ids: Vec<EventId>,
    /// The gateway it is for; a receipt for another is refused.
    aud: Option<Audience>,
    /// A medium it is about instead.
    media: Option<String>,
    /// Its bytes that the centre durably holds, each from the first up to and without the last.
    #[serde(default)]
    have: Vec<(u64, u64)>,
}

/// What the centre has signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// Events.
    Events(Claim),
    /// Bytes of a medium.
    Media(MediaReceipt),
}

/// Reads what came on the ack topic.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(text: &[u8], retained: bool, keys: &[ListedKey], gateway: &GatewayId) -> Result<Signed, Refused> {
    if retained {
        return Err(Refused::Retained);
    }
    if text.len() > RECEIPT_MAX {
        return Err(Refused::TooLarge);
    }
    let jws = Jws::read(text)?;
    let kid = jws.kid().ok_or(NotSigned::UnknownKey)?;
    jws.verify(kid, keys.iter().filter(|key| key.role == SIGNS))?;

    let body: ReceiptPayload = serde_json::from_slice(jws.payload()).map_err(|_| Refused::BadPayload)?;
    if body.aud.is_some_and(|aud| !aud.names(gateway)) {
        return Err(Refused::OtherGateway);
    }
    match (body.epoch, body.upto) {
        (Some(epoch), Some(upto)) => Ok(Signed::Events(Claim {
            epoch,
            upto,
            seqs: body.seqs,
            ids: body.ids,
            jws: String::from_utf8_lossy(text).into_owned(),
        })),
        _ => medium(body.media, body.have).map(Signed::Media).ok_or(Refused::BadPayload),
    }
}

fn medium(media: Option<String>, have: Vec<(u64, u64)>) -> Option<MediaReceipt> {
    let media = media.filter(|media| topic::is_media(media))?;
    let whole = have.iter().all(|(from, to)| from < to);
    let in_order = have.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    (whole && in_order).then_some(MediaReceipt { media, have })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::Ed25519KeyPair;
    use ring::signature::KeyPair;

    const SEED: [u8; 32] = [7; 32];

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap()
    }

    fn keys() -> Vec<ListedKey> {
        vec![ListedKey {
            kid: "arc-1".into(),
            role: SIGNS.into(),
            ed25519: pair().public_key().as_ref().try_into().unwrap(),
        }]
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

    fn read(text: &str) -> Result<Signed, Refused> {
        verify(text.as_bytes(), false, &keys(), &gateway())
    }

    fn events(text: &str) -> Claim {
        let Ok(Signed::Events(claim)) = read(text) else { panic!("it is no receipt for events: {:?}", read(text)) };
        claim
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
        let claim = events(&text);
        assert_eq!(claim, Claim { epoch: 42, upto: 7, seqs: vec![], ids: vec![], jws: text });
        let id = EventId::mint(1, [2; 10]);
        let whole = format!(
            r#"{{"iss":"arc","aud":["x","hub-1"],"epoch":1,"upto":0,"seqs":[9,11],"ids":["{id}"],"later":{{"a":[1]}}}}"#
        );
        let claim = events(&signed(r#"{"typ":"JWT","kid":"arc-1","alg":"EdDSA"}"#, &whole));
        assert_eq!((claim.seqs, claim.ids), (vec![9, 11], vec![id]));
        let media = |have: &str| read(&signed(HEADER, &format!(r#"{{"aud":"hub-1","media":"m1","have":{have}}}"#)));
        let have = vec![(0, 9), (9, 12)];
        assert_eq!(media("[[0,9],[9,12]]"), Ok(Signed::Media(MediaReceipt { media: "m1".to_owned(), have })));
        for wrong in ["[[9,9]]", "[[9,0]]", "[[0,9],[8,12]]", "[[-1,9]]", "[[0]]", "9"] {
            assert_eq!(media(wrong), Err(Refused::BadPayload), "{wrong}");
        }
        let aimed_at_others = r##"{"aud":"hub-1","media":"a/#","have":[[0,9]]}"##;
        assert_eq!(read(&signed(HEADER, aimed_at_others)), Err(Refused::BadPayload));
    }

    #[test]
    fn everything_that_is_not_one_is_refused_by_name() {
        let good = signed(HEADER, PAYLOAD);
        let (front, signature) = good.rsplit_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode([1u8; 64]);
        let table: Vec<(String, Refused)> = vec![
            (String::new(), NotSigned::NotThreeParts.into()),
            ("hello".into(), NotSigned::NotThreeParts.into()),
            (front.to_owned(), NotSigned::NotThreeParts.into()),
            (format!("{good}.x"), NotSigned::NotThreeParts.into()),
            (format!("{front}."), NotSigned::BadSignature.into()),
            (format!("{front}=.{signature}"), NotSigned::BadBase64.into()),
            (format!("{front}.{signature}="), NotSigned::BadBase64.into()),
            (format!("{front}.!{signature}"), NotSigned::BadBase64.into()),
            (format!("{good}\n"), NotSigned::BadBase64.into()),
            (format!("{front}.{other}"), NotSigned::BadSignature.into()),
            (
                format!("{}.{signature}", front.replace("eyJlcG9jaCI6NDIs", "eyJlcG9jaCI6NDMs")),
                NotSigned::BadSignature.into(),
            ),
            (signed("[]", PAYLOAD), NotSigned::BadHeader.into()),
            (signed(r#"{"kid":"arc-1"}"#, PAYLOAD), NotSigned::BadHeader.into()),
            (signed(r#"{"alg":"EdDSA","alg":"none","kid":"arc-1"}"#, PAYLOAD), NotSigned::BadHeader.into()),
            (signed(r#"{"alg":"none","kid":"arc-1"}"#, PAYLOAD), NotSigned::NotEddsa.into()),
            (signed(r#"{"alg":"HS256","kid":"arc-1"}"#, PAYLOAD), NotSigned::NotEddsa.into()),
            (signed(r#"{"alg":"eddsa","kid":"arc-1"}"#, PAYLOAD), NotSigned::NotEddsa.into()),
            (
                signed(r#"{"alg":"EdDSA","kid":"arc-1","crit":["b64"],"b64":false}"#, PAYLOAD),
                NotSigned::Critical.into(),
            ),
            (signed(r#"{"alg":"EdDSA"}"#, PAYLOAD), NotSigned::UnknownKey.into()),
            (signed(r#"{"alg":"EdDSA","kid":"arc-2"}"#, PAYLOAD), NotSigned::UnknownKey.into()),
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
        assert_eq!(verify(good.as_bytes(), false, &[], &gateway()), Err(NotSigned::UnknownKey.into()));
        assert_eq!(verify(&[0xff, b'.', b'.'], false, &keys(), &gateway()), Err(NotSigned::NotThreeParts.into()));
    }

    #[test]
    fn the_unsigned_receipt_of_every_book_is_refused() {
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(PAYLOAD));
        assert_eq!(read(&none), Err(NotSigned::NotEddsa.into()));
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
    fn a_key_of_another_role_signs_no_receipt() {
        for role in ["maker", "hub", "owner", "arc_operator", ""] {
            let key = ListedKey { role: role.into(), ..keys().remove(0) };
            let refused = verify(signed(HEADER, PAYLOAD).as_bytes(), false, &[key], &gateway());
            assert_eq!(refused, Err(NotSigned::UnknownKey.into()), "{role}");
        }
    }
}
