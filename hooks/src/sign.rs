//! Secrets and signatures, as Standard Webhooks 1.0 says (symmetric: HMAC-SHA256). Pure, but for the random bytes of a new
//! secret. It does NOT know which secret is whose.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::error::HookError;

/// What secrets begin with, so that people and scanners know them.
const PREFIX: &str = "whsec_";
/// Bytes of a secret: the specification allows 24 to 64; as many as the hash has.
const SECRET_BYTES: usize = 32;

/// An endpoint's secret. It is shown by [`Secret::expose`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// The machine gives no random bytes.
    pub fn random() -> Result<Self, HookError> {
        let mut bytes = vec![0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(HookError::Random)?;
        Ok(Self(bytes))
    }

    /// The one that is written so. `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// As it is given to whoever verifies: `whsec_...`.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// `v1,...` over `id.timestamp.body`. `timestamp` in seconds since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_openssl_makes() {
        // printf 'evt.1700000000.{"a":1}' | openssl dgst -sha256 -mac HMAC -macopt key:abcdefghijklmnopqrstuvwx -binary | base64
        let secret = Secret::parse("whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4").unwrap();
        let signature = secret.sign("evt", 1_700_000_000, "{\"a\":1}");
        assert_eq!(signature, "v1,6noyPJWXHRzv/Za0k9UKDao8xmc2bhBswK3tAnjQGvw=");
    }

    #[test]
    fn a_secret_is_read_back_and_never_shown_by_accident() {
        let secret = Secret::random().unwrap();
        assert_eq!(Secret::parse(&secret.expose()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_ne!(secret, Secret::random().unwrap());
        for odd in ["", "whsec_", "whsec_AAAA", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4", "whsec_@@@@"] {
            assert!(Secret::parse(odd).is_none(), "{odd}");
        }
    }
}
