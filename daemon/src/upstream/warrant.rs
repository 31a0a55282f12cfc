//! A warrant (contract, "Warrants"): a compact JWS on the command topic, read into what the core judges.
//!
//! It checks the form, the signature, the audience and the retain mark, and names what is wrong. Whether the order may
//! be, now and by this key, is the core's question; nothing here looks at a role, a clock or a nonce.

use crate::upstream::jws::Audience;
use crate::upstream::jws::Jws;
use crate::upstream::jws::NotSigned;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde::de;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::fmt;
use vakt_core::canonical::sha256;
use vakt_core::device::GatewayId;
use vakt_core::event::EventId;
use vakt_core::port::ListedKey;
use vakt_core::warrant::Digest;
use vakt_core::warrant::Ground;
use vakt_core::warrant::Order;
use vakt_core::warrant::Role;
use vakt_core::warrant::TEXT_MAX;
use vakt_core::warrant::Warrant;

/// Longest warrant read, in bytes: an order with its reasons is a few hundred.
pub const WARRANT_MAX: usize = 16 * 1024;
/// Longest `jti`, in characters: it is part of a topic.
pub const JTI_MAX: usize = 64;

/// Why something on the command topic is no warrant. The text form is for ever: it stands in events and replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// A broker's memory orders nothing.
    #[error("retained")]
    Retained,
    /// Longer than `WARRANT_MAX`.
    #[error("too_large")]
    TooLarge,
    /// Not signed by a listed key.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The payload is not the JSON object it must be.
    #[error("bad_payload")]
    BadPayload,
    /// `aud` does not name this gateway.
    #[error("other_gateway")]
    OtherGateway,
    /// `jti` is not 1 to `JTI_MAX` of `A-Za-z0-9._-`.
    #[error("bad_jti")]
    BadJti,
    /// No such `cmd`.
    #[error("unknown_command")]
    UnknownCommand,
    /// `args` do not fit the command.
    #[error("bad_args")]
    BadArgs,
    /// Rightly signed, but more wait for the core than it takes: to be sent again.
    #[error("busy")]
    Busy,
}

/// A refusal, and what its sender can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Refused,
    /// What it calls itself, where that can be read and could be part of a topic. Of an unsigned one: its own claim.
    pub jti: Option<String>,
    /// Whether a listed key had signed it, for this gateway.
    pub signed: bool,
    /// What exactly, where it is signed.
    pub text: Option<String>,
}

/// The claims of a warrant.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "Vakt warrant, version 1")]
struct Claims {
    /// Who issues it.
    #[schemars(length(max = 128))]
    iss: String,
    /// The key that signs it, as in the JWS header; where both name one they must agree.
    #[schemars(length(max = 128))]
    kid: Option<String>,
    /// The person who orders, an opaque id.
    #[schemars(length(max = 128))]
    sub: String,
    /// The gateway it is for.
    #[schemars(required)]
    aud: Option<Audience>,
    /// Signed at, whole seconds since 1970.
    iat: i64,
    /// Worth nothing after, whole seconds since 1970: at most 60 s later where something is opened or fired.
    exp: i64,
    /// Its own name, used once.
    #[schemars(required, with = "String", regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    jti: Option<String>,
    /// In whose name.
    role: Role,
    #[schemars(skip)]
    cmd: String,
    #[schemars(skip)]
    args: Option<Args>,
    /// The incident it is for: the id of the event that opened it.
    incident: Option<EventId>,
    /// Why.
    ground: Option<Ground>,
    /// A challenge of the gateway, at most 60 s old: needed where something is opened or fired.
    #[schemars(length(max = 128))]
    nonce: Option<String>,
}

/// An object with no name twice: two readers must not see two orders in one text.
struct Args(Map<String, Value>);

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Args;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of arguments")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut from: A) -> Result<Args, A::Error> {
                let mut args = Map::new();
                while let Some((name, value)) = from.next_entry::<String, Value>()? {
                    if args.contains_key(&name) {
                        return Err(de::Error::custom(format!("args has {name} twice")));
                    }
                    args.insert(name, value);
                }
                Ok(Args(args))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// What is wrong, and how much of it may be believed.
struct Fault {
    why: Refused,
    signed: bool,
    text: Option<String>,
}

impl<T: Into<Refused>> From<T> for Fault {
    fn from(why: T) -> Self {
        Self { why: why.into(), signed: false, text: None }
    }
}

fn wrong(why: Refused, text: impl Into<String>) -> Fault {
    let mut text: String = text.into();
    while text.len() > TEXT_MAX {
        text.pop(); // by characters: what a reader quotes of the order may be anything
    }
    Fault { why, signed: true, text: Some(text) }
}

/// Reads what came on the command topic.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(text: &[u8], retained: bool, keys: &[ListedKey], gateway: &GatewayId) -> Result<Warrant, Refusal> {
    judge(text, retained, keys, gateway).map_err(|Fault { why, signed, text: said }| {
        let jti = if text.len() <= WARRANT_MAX { claimed_jti(text) } else { None };
        Refusal { why, jti, signed, text: said }
    })
}

fn judge(text: &[u8], retained: bool, keys: &[ListedKey], gateway: &GatewayId) -> Result<Warrant, Fault> {
    if retained {
        return Err(Refused::Retained.into());
    }
    if text.len() > WARRANT_MAX {
        return Err(Refused::TooLarge.into());
    }
    let jws = Jws::read(text)?;
    let kid = key_name(&jws)?;
    jws.verify(&kid, keys.iter())?;

    let claims = serde_json::from_slice::<Claims>(jws.payload());
    let claims = claims.map_err(|e| wrong(Refused::BadPayload, e.to_string()))?;
    if !claims.aud.is_some_and(|aud| aud.names(gateway)) {
        return Err(Refused::OtherGateway.into());
    }
    let jti = claims.jti.filter(|jti| well_named(jti));
    let jti = jti.ok_or_else(|| wrong(Refused::BadJti, "jti: 1 to 64 of A-Z a-z 0-9 . _ -"))?;
    let (kid_again, nonce) = (claims.kid.as_ref(), claims.nonce.as_ref());
    for (name, text) in [("iss", Some(&claims.iss)), ("kid", kid_again), ("sub", Some(&claims.sub)), ("nonce", nonce)] {
        if text.is_some_and(|text| text.len() > TEXT_MAX) {
            return Err(wrong(Refused::BadPayload, format!("{name} is longer than {TEXT_MAX} bytes")));
        }
    }
    Ok(Warrant {
        jti,
        digest: Digest(sha256(&[text])),
        kid,
        issuer: claims.iss,
        person: claims.sub,
        role: claims.role,
        issued_s: claims.iat,
        expires_s: claims.exp,
        nonce: claims.nonce,
        incident: claims.incident,
        ground: claims.ground,
        order: order(&claims.cmd, claims.args.map(|args| args.0).unwrap_or_default())?,
    })
}

/// The key's name: the header's, else the claims'. They must not differ, so that no reader can take the one for the
/// other. Nothing is believed by it: it only says which key the signature must be of.
fn key_name(jws: &Jws<'_>) -> Result<String, NotSigned> {
    #[derive(Deserialize)]
    struct Named {
        kid: Option<String>,
    }
    let claimed = serde_json::from_slice::<Named>(jws.payload()).ok().and_then(|named| named.kid);
    match (jws.kid(), claimed) {
        (Some(kid), Some(claimed)) if kid != claimed => Err(NotSigned::UnknownKey),
        (Some(kid), _) => Ok(kid.to_owned()),
        (None, claimed) => claimed.ok_or(NotSigned::UnknownKey),
    }
}

fn order(cmd: &str, args: Map<String, Value>) -> Result<Order, Fault> {
    if !COMMANDS.contains(&cmd) {
        return Err(wrong(Refused::UnknownCommand, "there is no such cmd"));
    }
    let long = |value: &Value| value.as_str().is_some_and(|text| text.len() > TEXT_MAX);
    if let Some((name, _)) = args.iter().find(|(_, value)| long(value)) {
        return Err(wrong(Refused::BadArgs, format!("{name} is longer than {TEXT_MAX} bytes")));
    }
    serde_json::from_value(json!({"cmd": cmd, "args": args})).map_err(|e| wrong(Refused::BadArgs, e.to_string()))
}

/// Every `cmd` of the contract; a test holds it against the schema of `Order`.
const COMMANDS: [&str; 38] = [
    "arm",
    "disarm",
    "bypass",
    "lock",
    "unlock",
    "siren_stop",
    "sos",
    "battery_change",
    "view",
    "user_set",
    "user_block",
    "credential_block",
    "consent",
    "export",
    "erase",
    "key_add",
    "self_test",
    "test_mode",
    "cancel",
    "incident_verify",
    "incident_note",
    "incident_close",
    "emergency_unlock",
    "fog_fire",
    "image",
    "clip",
    "stream",
    "audio",
    "camera_close",
    "voice_start",
    "voice_stop",
    "service_state",
    "config_set",
    "update",
    "visit_ticket",
    "device_add",
    "device_assign",
    "device_remove",
];

/// What something refused calls itself, so that its sender hears of the refusal: from a JWS's payload, or from bare JSON.
fn claimed_jti(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        jti: String,
    }
    let payload = text.split(|byte| *byte == b'.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let named: Named = serde_json::from_slice(payload.as_deref().unwrap_or(text)).ok()?;
    Some(named.jti).filter(|jti| well_named(jti))
}

fn well_named(jti: &str) -> bool {
    let well = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=JTI_MAX).contains(&jti.len()) && jti.bytes().all(well)
}

/// The JSON Schema of the claims.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let mut orders = Order::json_schema(&mut generator).to_value();
    let mut schema = generator.into_root_schema_for::<Claims>().to_value();
    for order in orders["oneOf"].as_array_mut().into_iter().flatten() {
        // `cmd` and `args` stand beside the other claims, and `args` may be left out where nothing in it must be.
        if let Some(order) = order.as_object_mut() {
            order.remove("additionalProperties");
            order.remove("type");
        }
        if order["properties"]["args"]["required"].is_null() {
            order["required"] = json!(["cmd"]);
        }
    }
    schema["oneOf"] = orders["oneOf"].take();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::signature::Ed25519KeyPair;
    use ring::signature::KeyPair;
    use std::collections::BTreeSet;
    use vakt_core::event::ArmMode;

    const HEADER: &str = r#"{"alg":"EdDSA","kid":"app-1"}"#;

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn keys() -> Vec<ListedKey> {
        let ed25519 = pair().public_key().as_ref().try_into().unwrap();
        vec![ListedKey { kid: "app-1".into(), role: "owner".into(), ed25519 }]
    }

    fn gateway() -> GatewayId {
        GatewayId::new("hub-1").unwrap()
    }

    fn signed(header: &str, payload: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = pair().sign(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Good claims, with these changed; `null` takes one away.
    fn claims(changed: Value) -> String {
        let mut claims = json!({
            "iss": "app", "sub": "anna", "aud": "hub-1", "iat": 100, "exp": 160, "jti": "w-1", "role": "owner",
            "cmd": "arm", "args": {"mode": "away"},
        });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims.to_string()
    }

    fn take(text: &str) -> Result<Warrant, Refusal> {
        read(text.as_bytes(), false, &keys(), &gateway())
    }

    fn why(text: &str) -> (Refused, Option<String>, bool) {
        let refusal = take(text).unwrap_err();
        assert_eq!(refusal.text.is_some(), refusal.signed, "words for who signed it, and for nobody else");
        (refusal.why, refusal.jti, refusal.signed)
    }

    #[test]
    fn a_warrant_is_read_whole() {
        let text = signed(HEADER, &claims(json!({})));
        let order = Order::Arm { area: None, mode: ArmMode::Away };
        let warrant = Warrant {
            jti: "w-1".into(),
            digest: Digest(sha256(&[text.as_bytes()])),
            kid: "app-1".into(),
            issuer: "app".into(),
            person: "anna".into(),
            role: Role::Owner,
            issued_s: 100,
            expires_s: 160,
            nonce: None,
            incident: None,
            ground: None,
            order,
        };
        assert_eq!(take(&text), Ok(warrant));
        let id = EventId::mint(1, [2; 10]);
        let whole = claims(json!({
            "kid": "app-1", "aud": ["x", "hub-1"], "jti": "A.b_c-9", "role": "arc_operator", "cmd": "fog_fire",
            "args": {"contacts": 2}, "incident": id, "ground": "signals_and_picture", "nonce": "00", "later": {"a": [1]},
        }));
        let warrant = take(&signed(r#"{"typ":"JWT","alg":"EdDSA"}"#, &whole)).unwrap();
        assert_eq!((warrant.kid.as_str(), warrant.nonce.as_deref()), ("app-1", Some("00")), "the claims name the key");
        assert_eq!((warrant.incident, warrant.ground), (Some(id), Some(Ground::SignalsAndPicture)));
        assert_eq!(warrant.order, Order::FogFire { device: None, contacts: 2 });
    }

    #[test]
    fn what_needs_no_arguments_needs_no_args() {
        for args in [json!(null), json!({})] {
            for (cmd, order) in [
                ("cancel", Order::Cancel {}),
                ("siren_stop", Order::SirenStop { area: None }),
                ("unlock", Order::Unlock { device: None }),
                ("sos", Order::Sos { area: None, silent: false }),
            ] {
                assert_eq!(take(&signed(HEADER, &claims(json!({"cmd": cmd, "args": args})))).unwrap().order, order);
            }
        }
    }

    #[test]
    fn what_is_not_signed_by_a_listed_key_is_refused_and_its_claimed_name_is_known() {
        let good = signed(HEADER, &claims(json!({})));
        let (front, signature) = good.rsplit_once('.').unwrap();
        let (header, payload) = front.split_once('.').unwrap();
        let by = |header: &str| signed(header, &claims(json!({})));
        let other_kid = signed(HEADER, &claims(json!({"kid": "app-2"})));
        let table: Vec<(String, NotSigned)> = vec![
            (front.to_owned(), NotSigned::NotThreeParts),
            (claims(json!({})), NotSigned::NotThreeParts),
            (format!("{good}.x"), NotSigned::NotThreeParts),
            (format!("{front}."), NotSigned::BadSignature),
            (format!("{front}.{signature}="), NotSigned::BadBase64),
            (format!("!{header}.{payload}.{signature}"), NotSigned::BadBase64),
            (by("[]"), NotSigned::BadHeader),
            (by(r#"{"alg":"none"}"#), NotSigned::NotEddsa),
            (by(r#"{"alg":"HS256","kid":"app-1"}"#), NotSigned::NotEddsa),
            (by(r#"{"alg":"EdDSA","kid":"app-1","crit":["b64"]}"#), NotSigned::Critical),
            (by(r#"{"alg":"EdDSA","kid":"app-9"}"#), NotSigned::UnknownKey),
            (by(r#"{"alg":"EdDSA"}"#), NotSigned::UnknownKey),
            (other_kid, NotSigned::UnknownKey),
            (format!("{front}.{}", URL_SAFE_NO_PAD.encode([1; 64])), NotSigned::BadSignature),
        ];
        for (text, name) in table {
            assert_eq!(why(&text), (name.into(), Some("w-1".to_owned()), false), "{text}");
        }
        for text in ["", "hello", "a.b.c", "{}", r#"{"jti":"a/b"}"#] {
            assert_eq!(take(text).unwrap_err().jti, None, "{text}");
        }
    }

    #[test]
    fn what_is_signed_and_no_warrant_is_refused_by_name() {
        let long = "x".repeat(TEXT_MAX + 1);
        let table: Vec<(Value, Refused, Option<&str>)> = vec![
            (json!({"jti": null}), Refused::BadJti, None),
            (json!({"jti": ""}), Refused::BadJti, None),
            (json!({"jti": "a/b"}), Refused::BadJti, None),
            (json!({"jti": "+"}), Refused::BadJti, None),
            (json!({"jti": "å"}), Refused::BadJti, None),
            (json!({"jti": "x".repeat(65)}), Refused::BadJti, None),
            (json!({"jti": 7}), Refused::BadPayload, None),
            (json!({"role": "king"}), Refused::BadPayload, Some("w-1")),
            (json!({"sub": null}), Refused::BadPayload, Some("w-1")),
            (json!({"sub": long}), Refused::BadPayload, Some("w-1")),
            (json!({"nonce": long}), Refused::BadPayload, Some("w-1")),
            (json!({"exp": 160.5}), Refused::BadPayload, Some("w-1")),
            (json!({"exp": "160"}), Refused::BadPayload, Some("w-1")),
            (json!({"incident": "7"}), Refused::BadPayload, Some("w-1")),
            (json!({"ground": "because"}), Refused::BadPayload, Some("w-1")),
            (json!({"args": [1]}), Refused::BadPayload, Some("w-1")),
            (json!({"cmd": "fly"}), Refused::UnknownCommand, Some("w-1")),
            (json!({"cmd": "Arm"}), Refused::UnknownCommand, Some("w-1")),
            (json!({"args": {}}), Refused::BadArgs, Some("w-1")),
            (json!({"args": {"mode": "away", "force": true}}), Refused::BadArgs, Some("w-1")),
            (json!({"args": {"mode": "gone"}}), Refused::BadArgs, Some("w-1")),
            (json!({"cmd": "cancel", "args": {"all": true}}), Refused::BadArgs, Some("w-1")),
            (json!({"cmd": "consent", "args": {"minutes": -1}}), Refused::BadArgs, Some("w-1")),
            (json!({"cmd": "incident_note", "args": {"text": long}}), Refused::BadArgs, Some("w-1")),
            (json!({"cmd": "lock", "args": {"device": "no such id"}}), Refused::BadArgs, Some("w-1")),
        ];
        for (changed, name, jti) in table {
            let (refused, named, signed) = why(&signed(HEADER, &claims(changed.clone())));
            assert_eq!((refused, named.as_deref(), signed), (name, jti, true), "{changed}");
        }
        for (twice, name) in [(r#""exp":160"#, "exp"), (r#""mode":"away""#, "mode")] {
            let doubled = claims(json!({})).replace(twice, &format!("{twice},{twice}"));
            assert_eq!(why(&signed(HEADER, &doubled)).0, Refused::BadPayload, "two values of {name}");
        }
        for aud in [json!("hub-2"), json!(["hub-2"]), json!([]), json!("HUB-1"), json!(null)] {
            let refused = why(&signed(HEADER, &claims(json!({"aud": aud}))));
            assert_eq!(refused, (Refused::OtherGateway, Some("w-1".to_owned()), false));
        }
    }

    #[test]
    fn a_brokers_memory_and_a_flood_order_nothing() {
        let good = signed(HEADER, &claims(json!({})));
        let retained = read(good.as_bytes(), true, &keys(), &gateway()).unwrap_err();
        assert_eq!((retained.why, retained.jti.as_deref()), (Refused::Retained, Some("w-1")));
        let large = signed(HEADER, &claims(json!({"x": "x".repeat(WARRANT_MAX)})));
        assert_eq!(why(&large), (Refused::TooLarge, None, false), "it is not looked into");
        assert_eq!(read(large.as_bytes(), true, &keys(), &gateway()).unwrap_err().jti, None);
        let wordy = signed(HEADER, &claims(json!({"cmd": "arm", "args": {"å".repeat(TEXT_MAX): 1}})));
        assert!(take(&wordy).unwrap_err().text.is_some_and(|text| text.len() <= TEXT_MAX));
    }

    #[test]
    fn the_commands_are_those_of_the_core() {
        let order = schemars::schema_for!(Order).to_value();
        let known = order["oneOf"].as_array().unwrap().iter().map(|order| order["properties"]["cmd"]["const"].clone());
        let known: BTreeSet<String> = known.map(|cmd| cmd.as_str().unwrap().to_owned()).collect();
        assert_eq!(known, COMMANDS.iter().map(|cmd| (*cmd).to_owned()).collect());
    }

    #[test]
    fn the_schema_knows_every_command_beside_the_claims() {
        let schema = schema();
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), COMMANDS.len());
        let required: Vec<&str> = schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(required, ["iss", "sub", "aud", "iat", "exp", "jti", "role"]);
        let of = |cmd: &str| {
            let orders = schema["oneOf"].as_array().unwrap();
            orders.iter().find(|order| order["properties"]["cmd"]["const"] == cmd).unwrap().clone()
        };
        assert_eq!(of("arm")["required"], json!(["cmd", "args"]));
        assert_eq!(of("cancel")["required"], json!(["cmd"]));
        assert_eq!(of("arm")["properties"]["args"]["additionalProperties"], json!(false));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_never_accepted() {
        let good = signed(HEADER, &claims(json!({}))).into_bytes();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(&bad, false, &keys(), &gateway()).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_pass(bytes in proptest::collection::vec(any::<u8>(), 0..400), retained: bool) {
            prop_assert!(read(&bytes, retained, &keys(), &gateway()).is_err());
        }

        #[test]
        fn no_signed_claims_make_it_panic(
            cmd in prop_oneof![Just("arm".to_owned()), Just("user_set".to_owned()), ".*"],
            args in prop_oneof!["\\{\"[a-z]{1,6}\":[0-9]{1,3}\\}", ".*"],
            jti in ".{0,80}",
        ) {
            let payload = claims(json!({"cmd": cmd, "jti": jti})).replace(r#"{"mode":"away"}"#, &args);
            if let Ok(warrant) = take(&signed(HEADER, &payload)) {
                prop_assert!(well_named(&warrant.jti) && COMMANDS.contains(&warrant.order.name()));
            }
        }
    }
}
