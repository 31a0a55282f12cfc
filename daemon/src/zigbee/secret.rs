//! Bytes that open doors: codes and tags. They are held, compared and sent; no Debug, error or log ever shows them.

use serde::Deserialize;
use serde::Serialize;

/// A code, as the lock takes it: digits as text, or a tag's number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes, for the one message that carries them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// The length is withheld too: it halves the work of whoever guesses.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(withheld)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_never_shown() {
        let shown = format!("{:?} {:#?}", Some(Secret::new(*b"4711")), vec![Secret::new(*b"4711")]);
        assert!(!shown.contains("4711") && !shown.contains("52"), "{shown}");
    }
}
