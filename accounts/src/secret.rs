//! The random secrets of sessions and API tokens: made, written, read back and digested. They have no Display, and
//! Debug does not show them: only `expose()` does. It does NOT store anything.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::AccountsError;

/// What API tokens begin with, so that people and scanners of source code recognise them.
pub const TOKEN_PREFIX: &str = "weir_";

/// 256 bits: nobody guesses one, so that a plain SHA-256 of it is safe to store and quick to look up.
const RANDOM_BYTES: usize = 32;

/// How many characters after [`TOKEN_PREFIX`] are kept, to tell tokens apart. The rest has 220 bits.
const SHOWN_LENGTH: usize = 6;

/// What a browser's cookie holds. Shown once: the database has a digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSecret(String);

/// An API token: `weir_` and 43 characters. Shown once: the database has a digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

/// What is stored instead of a secret.
pub(crate) type SecretDigest = [u8; 32];

impl SessionSecret {
    pub(crate) fn random() -> Result<Self, AccountsError> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random()?)))
    }

    pub(crate) fn digest(&self) -> SecretDigest {
        Sha256::digest(&self.0).into()
    }

    /// The digest of what somebody sent; `None`: it is no session's secret at all.
    pub(crate) fn digest_of(sent: &str) -> Option<SecretDigest> {
        is_random(sent).then(|| Sha256::digest(sent).into())
    }

    /// The secret, for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TokenSecret {
    pub(crate) fn random() -> Result<Self, AccountsError> {
        Ok(Self(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random()?))))
    }

    pub(crate) fn digest(&self) -> SecretDigest {
        Sha256::digest(&self.0).into()
    }

    /// The digest of what somebody sent; `None`: it is no token at all.
    pub(crate) fn digest_of(sent: &str) -> Option<SecretDigest> {
        is_random(sent.strip_prefix(TOKEN_PREFIX)?).then(|| Sha256::digest(sent).into())
    }

    /// Its first characters, which are no secret.
    pub(crate) fn shown(&self) -> String {
        self.0.chars().take(TOKEN_PREFIX.len() + SHOWN_LENGTH).collect()
    }

    /// The secret, to be shown to its owner once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

fn random() -> Result<[u8; RANDOM_BYTES], AccountsError> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(AccountsError::Random)?;
    Ok(bytes)
}

/// Whether `text` is what [`random`] may have given: spares the database whatever else is sent.
fn is_random(text: &str) -> bool {
    let mut bytes = [0; RANDOM_BYTES];
    // 43 characters: decoding more would need a larger buffer, and fails.
    URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).is_ok_and(|length| length == RANDOM_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_in_debug_output() {
        let (session, token) = (SessionSecret::random().unwrap(), TokenSecret::random().unwrap());
        let shown = format!("{session:?} {token:?} {:?}", Some((&session, &token)));
        assert!(!shown.contains(&session.expose()[..4]) && !shown.contains(&token.expose()[5..9]), "{shown}");
    }

    #[test]
    fn secrets_have_the_promised_form_and_are_read_back() {
        let (session, token) = (SessionSecret::random().unwrap(), TokenSecret::random().unwrap());
        assert_eq!((session.expose().len(), token.expose().len()), (43, 48));
        assert!(token.expose().starts_with(&token.shown()) && token.shown().len() == 11);
        assert_eq!(SessionSecret::digest_of(session.expose()), Some(session.digest()));
        assert_eq!(TokenSecret::digest_of(token.expose()), Some(token.digest()));
        assert_ne!(SessionSecret::random().unwrap(), session);
    }

    #[test]
    fn what_is_no_secret_does_not_even_reach_the_database() {
        let token = TokenSecret::random().unwrap();
        let long = "A".repeat(10_000_000);
        let padded = format!("{}=", "A".repeat(43));
        for bad in [
            "",
            "weir_",
            "\0",
            "weir_\0",
            "<script>",
            &"A".repeat(42),
            &"A".repeat(44),
            &padded,
            &long,
            &"é".repeat(21),
        ] {
            assert_eq!(SessionSecret::digest_of(bad), None);
            assert_eq!(TokenSecret::digest_of(bad), None);
            assert_eq!(TokenSecret::digest_of(&format!("weir_{bad}")), None);
        }
        // Each is good for its own use only.
        assert_eq!(SessionSecret::digest_of(token.expose()), None);
        assert_eq!(TokenSecret::digest_of(&token.expose()[5..]), None);
        assert_eq!(TokenSecret::digest_of(&token.expose().to_uppercase()), None);
    }
}
