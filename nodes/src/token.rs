//! Join tokens as text: what an operator carries to a new node. It does NOT store them ([`crate::tokens`]).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::authority::hex;
use crate::error::NodesError;

/// What tokens begin with, so that people and scanners of source code recognise them.
pub const PREFIX: &str = "weir-join-";
/// 256 bits: nobody guesses one, so that a plain SHA-256 of it is safe to store.
const SECRET_BYTES: usize = 32;
/// A SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

/// `weir-join-<secret, base64url>-<SHA-256 of the authority's certificate, hex>`: the secret opens one door once, the
/// hash says whose door it must be.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: [u8; SECRET_BYTES],
    authority: [u8; 32],
}

impl JoinToken {
    /// A new one for an authority.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate(authority: [u8; 32]) -> Result<Self, NodesError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(NodesError::Random)?;
        Ok(Self { secret, authority })
    }

    /// Reads what somebody typed.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, NodesError> {
        // From the right: base64url has '-' of its own.
        let (secret, hash) = text
            .trim()
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.rsplit_once('-'))
            .ok_or(NodesError::NoToken)?;
        Ok(Self { secret: secret_of(secret)?, authority: unhex(hash).ok_or(NodesError::NoToken)? })
    }

    /// The whole text, to be shown once.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}-{}", self.expose_secret(), hex(&self.authority))
    }

    /// The secret alone: what is sent to the control plane, once it is known to be the right one.
    #[must_use]
    pub fn expose_secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.secret)
    }

    /// Whose door: the SHA-256 of the authority's certificate.
    #[must_use]
    pub fn authority(&self) -> [u8; 32] {
        self.authority
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// The digest of a secret that was sent.
    pub(crate) fn digest_of(secret: &str) -> Result<[u8; 32], NodesError> {
        Ok(Sha256::digest(secret_of(secret)?).into())
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("authority", &hex(&self.authority)).finish_non_exhaustive()
    }
}

fn secret_of(text: &str) -> Result<[u8; SECRET_BYTES], NodesError> {
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(NodesError::NoToken)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != HASH_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_back_even_with_the_line_end_of_a_terminal() {
        let token = JoinToken::generate([7; 32]).unwrap();
        assert_eq!(JoinToken::parse(&format!(" {}\n", token.expose())).unwrap(), token);
        assert_eq!(JoinToken::digest_of(&token.expose_secret()).unwrap(), token.digest());
    }

    #[test]
    fn a_log_of_a_token_does_not_hold_its_secret() {
        let token = JoinToken::generate([7; 32]).unwrap();
        assert!(!format!("{token:?}").contains(&token.expose_secret()));
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_token_or_a_refusal(text in ".{0,200}", tail in "[-A-Za-z0-9_é]{0,150}") {
            let _ = JoinToken::parse(&text);
            let _ = JoinToken::parse(&format!("{PREFIX}{tail}"));
        }

        #[test]
        fn a_token_that_was_cut_or_changed_is_not_taken_for_another(secret in any::<[u8; 32]>(), at in 0_usize..107) {
            let token = JoinToken { secret, authority: [9; 32] };
            let text = token.expose();
            prop_assert!(JoinToken::parse(text.get(..at).unwrap_or_default()).is_err());
        }
    }
}
