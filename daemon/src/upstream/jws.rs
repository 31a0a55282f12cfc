//! A compact JWS (RFC 7515) signed with Ed25519 (RFC 8037) by a listed key: what a receipt and a warrant have in common.
//!
//! It takes no other algorithm and believes nothing of a header but the key's name. What the payload says is its
//! caller's question, after the signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::ED25519;
use ring::signature::UnparsedPublicKey;
use serde::Deserialize;
use vakt_core::device::GatewayId;
use vakt_core::port::ListedKey;

/// Why a text is not signed by a listed key. The text form is for ever: it stands in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotSigned {
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
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// A text of the right form whose signature has still to be checked.
#[derive(Debug, Clone)]
pub struct Jws<'a> {
    kid: Option<String>,
    payload: Vec<u8>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    /// The first thing that is wrong with its form or its header.
    pub fn read(text: &'a [u8]) -> Result<Self, NotSigned> {
        let text = std::str::from_utf8(text).map_err(|_| NotSigned::NotThreeParts)?;
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [header, payload, signature] = parts[..] else { return Err(NotSigned::NotThreeParts) };
        let signed = &text.as_bytes()[..header.len() + 1 + payload.len()];
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| NotSigned::BadBase64)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NotSigned::BadBase64)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotSigned::BadBase64)?;
        let head: Header = serde_json::from_slice(&header).map_err(|_| NotSigned::BadHeader)?;
        if head.alg != "EdDSA" {
            return Err(NotSigned::NotEddsa);
        }
        if head.crit.is_some() {
            return Err(NotSigned::Critical);
        }
        Ok(Self { kid: head.kid, payload, signed, signature })
    }

    /// The key's name in the header.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The payload; worth nothing before `verify`.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature against the listed keys of that name.
    ///
    /// # Errors
    /// None has it, or it is not theirs.
    pub fn verify<'k>(&self, kid: &str, keys: impl Iterator<Item = &'k ListedKey>) -> Result<(), NotSigned> {
        let mut named = keys.filter(|key| key.kid == kid).peekable();
        if named.peek().is_none() {
            return Err(NotSigned::UnknownKey);
        }
        let theirs = |key: &ListedKey| {
            UnparsedPublicKey::new(&ED25519, key.ed25519).verify(self.signed, &self.signature).is_ok()
        };
        if named.any(theirs) { Ok(()) } else { Err(NotSigned::BadSignature) }
    }
}

/// The claim `aud`: one name or several (RFC 7519, 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    /// Whether it names this gateway.
    pub fn names(&self, gateway: &GatewayId) -> bool {
        match self {
            Audience::One(name) => name == gateway.as_str(),
            Audience::Several(names) => names.iter().any(|name| name == gateway.as_str()),
        }
    }
}
