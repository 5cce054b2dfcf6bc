//! TLS between node and control plane: 1.3 only, ring, both ends known to one authority.
//!
//! TLS says WHO is there; whether they may is said by [`crate::access`] at every request. That is why no verifier here
//! looks at the clock: a node's clock may be a year off and must still be able to deliver (and be told so), and whether a
//! node's certificate has expired or was revoked is the database's to say.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error,
    RootCertStore, ServerConfig, SignatureScheme,
};

use crate::authority::{Authority, fingerprint};
use crate::error::NodesError;

/// The listener's side: shows a certificate of the authority's, asks for one, and takes clients without.
///
/// # Errors
/// `names` has one that is none.
pub fn server(authority: &Arc<Authority>, names: Vec<String>) -> Result<ServerConfig, NodesError> {
    let provider = provider();
    let roots = Arc::new(roots(authority.certificate())?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| NodesError::Tls(Error::General(error.to_string())))?;
    let shown = Shown { authority: Arc::clone(authority), names, current: Mutex::new(None) };
    // The first one now: a name that cannot be in a certificate is known at the start.
    shown.certificate(Timestamp::now())?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(NodesError::Tls)?
        .with_client_cert_verifier(Arc::new(Known(verifier)))
        .with_cert_resolver(Arc::new(shown)))
}

/// A node's side before it has joined: the control plane is who shows the authority of that hash.
///
/// # Errors
/// None in practice.
pub fn joining(authority: [u8; 32]) -> Result<ClientConfig, NodesError> {
    Ok(pinning(authority)?.with_no_client_auth())
}

/// A node's side from then on. `authority`, `certificate` and `key` are PEM.
///
/// # Errors
/// One of the three is none.
pub fn client(authority: &str, certificate: &str, key: &str) -> Result<ClientConfig, NodesError> {
    let unreadable = |_| NodesError::Tls(Error::General("a certificate or key is no PEM".to_owned()));
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(unreadable)?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreadable)?;
    pinning(fingerprint(&authority))?.with_client_auth_cert(vec![certificate], key).map_err(NodesError::Tls)
}

/// Makes ring what TLS is done with wherever a program does not say, for libraries that ask. Once, at its start.
pub fn install() {
    // That somebody was first is no failure: there is one provider in this house.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The certificate of a PEM; `None`: it is none.
#[must_use]
pub fn certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// A node's side, up to what it shows of itself: it believes who shows the authority of that hash.
fn pinning(hash: [u8; 32]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, NodesError> {
    let provider = provider();
    let pinned = Pinned { hash, provider: Arc::clone(&provider) };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(NodesError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &CertificateDer<'_>) -> Result<RootCertStore, NodesError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned()).map_err(NodesError::Tls)?;
    Ok(roots)
}

/// An instant within a certificate's life, so that only its signature and its purpose count.
fn within_its_life(certificate: &CertificateDer<'_>) -> Result<UnixTime, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| bad())?;
    let begin = u64::try_from(parsed.validity().not_before.timestamp()).map_err(|_| bad())?;
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(begin)))
}

/// The listener's certificate, made anew by whoever connects after two thirds of its life.
#[derive(Debug)]
struct Shown {
    authority: Arc<Authority>,
    names: Vec<String>,
    current: Mutex<Option<(Timestamp, Arc<CertifiedKey>)>>,
}

impl Shown {
    fn certificate(&self, now: Timestamp) -> Result<Arc<CertifiedKey>, NodesError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((renew_at, key)) = &*current
            && now < *renew_at
        {
            return Ok(Arc::clone(key));
        }
        let made = self.authority.issue_server(&self.names, now)?;
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&made.key).map_err(NodesError::Tls)?;
        let key = Arc::new(CertifiedKey::new(made.chain, key));
        *current = Some((made.renew_at, Arc::clone(&key)));
        Ok(key)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(Timestamp::now())
            .inspect_err(|error| tracing::error!("no certificate for the listener of nodes: {error}"))
            .ok()
    }
}

/// Takes every certificate for clients that the authority ever signed.
#[derive(Debug)]
struct Known(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Known {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(end_entity, intermediates, within_its_life(end_entity)?)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes a server that shows the pinned authority and a certificate for servers that this one has signed. Names are
/// not compared: the authority signs for no server but the control plane, whatever address leads to it.
#[derive(Debug)]
struct Pinned {
    hash: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority =
            intermediates.iter().find(|known| fingerprint(known) == self.hash).ok_or_else(unknown)?;
        let roots = roots(authority).map_err(|_| unknown())?;
        let (now, parsed) = (within_its_life(end_entity)?, ParsedCertificate::try_from(end_entity)?);
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
