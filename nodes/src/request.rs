//! The node's end: a key that never leaves it, and the request for a certificate. It does NOT store or send them.

use rcgen::{CertificateParams, KeyPair};

use crate::error::NodesError;

/// A key that no certificate speaks of yet.
pub struct NewKey(KeyPair);

impl NewKey {
    /// A new one: ECDSA on P-256.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate() -> Result<Self, NodesError> {
        KeyPair::generate().map(Self).map_err(|e| failed("made", e))
    }

    /// What is sent: the public key, signed by the private one, in DER.
    ///
    /// # Errors
    /// None in practice.
    pub fn request(&self) -> Result<Vec<u8>, NodesError> {
        let params = CertificateParams::default();
        let request = params.serialize_request(&self.0).map_err(|e| failed("used", e))?;
        Ok(request.der().to_vec())
    }

    /// The private key, for the node's disk.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }
}

fn failed(doing: &'static str, source: rcgen::Error) -> NodesError {
    NodesError::Certificate { what: "node's key", doing, source }
}
