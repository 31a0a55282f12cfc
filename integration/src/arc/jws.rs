//! Compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037), and the centre's key file.
//!
//! Randomness is an argument: a seed comes from the caller. It never accepts an algorithm other than EdDSA and
//! never trusts a header for anything but naming the key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::ED25519;
use ring::signature::Ed25519KeyPair;
use ring::signature::KeyPair;
use ring::signature::UnparsedPublicKey;
use serde_json::Value;
use serde_json::json;
use thiserror::Error;

/// The 16 bytes that come before the seed in an Ed25519 PKCS#8 v1 key (RFC 8410, section 7).
const PKCS8_V1_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Bytes of an Ed25519 seed (RFC 8032).
pub const SEED_BYTES: usize = 32;

/// Why a key or a signed text was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JwsError {
    /// The key file holds no Ed25519 key.
    #[error("reading an Ed25519 key: {0}; right would be a PKCS#8 PEM or DER file, or 32 raw bytes of seed")]
    Key(String),
    /// Not three base64url parts with a JSON header and payload.
    #[error("reading a compact JWS: {0}; right would be header.payload.signature in base64url without padding")]
    Form(String),
    /// The header asks for something else than EdDSA.
    #[error("checking a compact JWS: its alg is {0}; only EdDSA is taken")]
    Algorithm(String),
    /// The signature does not match the key.
    #[error("checking a compact JWS: the signature is not by this key over these bytes")]
    Signature,
}

/// A private key with its name.
pub struct Signer {
    kid: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// A key from its seed.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    pub fn from_seed(kid: &str, seed: &[u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are an Ed25519 seed");
        Self { kid: kid.to_owned(), pair }
    }

    /// A key from the bytes of its file: PKCS#8 as PEM or DER, or the raw seed.
    ///
    /// # Errors
    /// The bytes are none of these.
    pub fn from_file_bytes(kid: &str, bytes: &[u8]) -> Result<Self, JwsError> {
        if let Ok(seed) = <&[u8; SEED_BYTES]>::try_from(bytes) {
            return Ok(Self::from_seed(kid, seed));
        }
        let der = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN PRIVATE KEY-----") => pem_body(text)?,
            _ => bytes.to_vec(),
        };
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|rejected| JwsError::Key(rejected.to_string()))?;
        Ok(Self { kid: kid.to_owned(), pair })
    }

    /// The name the hub lists this key under.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as base64url, the way the hub's configuration wants it.
    pub fn public_key_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public_key())
    }

    /// Signs `payload` as a compact JWS.
    pub fn sign(&self, payload: &Value) -> String {
        let input = signing_input(&json!({"alg": "EdDSA", "kid": self.kid}), payload);
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

/// `header.payload`, the bytes a signature is over.
pub fn signing_input(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(payload))
}

/// Checks a compact JWS against a public key and returns its header and payload.
///
/// # Errors
/// Its form, its algorithm or its signature is wrong.
pub fn verify(text: &str, public_key: &[u8]) -> Result<(Value, Value), JwsError> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return Err(JwsError::Form(format!("it has {} parts", parts.len())));
    };
    let head = json_part("header", header)?;
    if head.get("alg").and_then(Value::as_str) != Some("EdDSA") {
        return Err(JwsError::Algorithm(head.get("alg").map_or_else(|| "missing".to_owned(), Value::to_string)));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|e| JwsError::Form(format!("the signature: {e}")))?;
    let signed = &text[..header.len() + 1 + payload.len()];
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature)?;
    Ok((head, json_part("payload", payload)?))
}

/// A key file's text for a seed: PKCS#8 v1 in PEM, which every common tool reads.
pub fn key_file_text(seed: &[u8; SEED_BYTES]) -> String {
    let mut der = PKCS8_V1_PREFIX.to_vec();
    der.extend_from_slice(seed);
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

fn pem_body(text: &str) -> Result<Vec<u8>, JwsError> {
    let body: String = text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).map_err(|e| JwsError::Key(format!("its PEM body: {e}")))
}

fn json_part(name: &str, part: &str) -> Result<Value, JwsError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|e| JwsError::Form(format!("the {name}: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|e| JwsError::Form(format!("the {name}: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_rfc_8037_signs_the_text_of_rfc_8037() {
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let signer = Signer::from_file_bytes("k", &seed).unwrap();
        assert_eq!(signer.public_key_text(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let rfc = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                   hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        // That payload is not JSON, so a right signature is followed by a form error; a wrong one never gets there.
        assert!(matches!(verify(rfc, signer.public_key()), Err(JwsError::Form(_))));
        assert_eq!(verify(&rfc.replace("hgyY", "hgyZ"), signer.public_key()), Err(JwsError::Signature));
    }

    #[test]
    fn a_key_file_reads_back_in_all_three_forms() {
        let seed = [7u8; SEED_BYTES];
        let pem = key_file_text(&seed);
        let der = pem_body(&pem).unwrap();
        let names = [pem.as_bytes(), der.as_slice(), seed.as_slice()]
            .map(|bytes| Signer::from_file_bytes("k", bytes).unwrap().public_key_text());
        assert_eq!(names[0], names[1]);
        assert_eq!(names[1], names[2]);
        assert!(matches!(Signer::from_file_bytes("k", b"not a key"), Err(JwsError::Key(_))));
    }

    #[test]
    fn another_algorithm_another_key_and_a_changed_payload_are_refused() {
        let (ours, other) = (Signer::from_seed("a", &[1; 32]), Signer::from_seed("a", &[2; 32]));
        let good = ours.sign(&json!({"upto": 3}));
        let (header, payload) = verify(&good, ours.public_key()).unwrap();
        assert_eq!(header["kid"], "a");
        assert_eq!(payload["upto"], 3);
        assert_eq!(verify(&good, other.public_key()), Err(JwsError::Signature));
        let none = format!("{}.", signing_input(&json!({"alg": "none"}), &json!({"upto": 3})));
        assert!(matches!(verify(&none, ours.public_key()), Err(JwsError::Algorithm(_))));
        let signature = good.rsplit('.').next().unwrap();
        let changed = signing_input(&json!({"alg": "EdDSA", "kid": "a"}), &json!({"upto": 4}));
        assert_eq!(verify(&format!("{changed}.{signature}"), ours.public_key()), Err(JwsError::Signature));
    }
}
