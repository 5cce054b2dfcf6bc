//! The authority: the key that says who is a node and who is the control plane. It lies in a directory of the control
//! plane (`authority/`: `ca.pem`, `ca.key`) and never leaves it.
//!
//! It does NOT remember what it issued ([`crate::certificates`]) or speak TLS ([`crate::tls`]).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use metering::NodeId;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::error::NodesError;

/// How long the authority itself is good for: longer than a machine lives. When it ends, all nodes join again.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// How long the listener's certificate is good for; another is made when two thirds are over.
pub const SERVER_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Certificates begin this much before they are issued, for whoever looks at them with a clock that is behind.
const BACKDATED: Duration = Duration::from_secs(300);
/// The authority begins earlier than all that it signs.
const AUTHORITY_BACKDATED: Duration = Duration::from_secs(24 * 3_600);
/// 128 bits: no serial comes twice.
const SERIAL_BYTES: usize = 16;

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A node's certificate, and what is remembered of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// For the node.
    pub pem: String,
    /// Lower case hex.
    pub serial: String,
    /// SHA-256 of the DER form.
    pub fingerprint: [u8; 32],
    /// When.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The listener's certificate with its key.
pub struct ServerCertificate {
    /// The certificate and the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// From when on another one should be made.
    pub renew_at: Timestamp,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("hash", &hex(&self.hash())).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority of a directory, or makes one there.
    ///
    /// # Errors
    /// Its files cannot be read, written or understood.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, NodesError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| file(dir, "made", e))?;
        let (key_path, certificate_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let key = match read(&key_path)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|e| certificate("authority's key", "read", e))?,
            // Another key would sign what no node believes.
            None if certificate_path.exists() => return Err(NodesError::KeyLost { path: key_path }),
            None => {
                let key = KeyPair::generate().map_err(|e| certificate("authority's key", "made", e))?;
                // The key first: a key without a certificate is given one at the next start.
                write_whole(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
                key
            }
        };
        let pem = match read(&certificate_path)? {
            Some(pem) => pem,
            None => {
                let made = authority_params(now)?.self_signed(&key);
                let pem = made.map_err(|e| certificate("authority's certificate", "made", e))?.pem();
                write_whole(&certificate_path, pem.as_bytes(), 0o644)?;
                pem
            }
        };
        let unreadable =
            |_| certificate("authority's certificate", "read", rcgen::Error::CouldNotParseCertificate);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(unreadable)?;
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|e| certificate("authority's certificate", "read", e))?;
        Ok(Self { issuer, certificate: der, pem })
    }

    /// The SHA-256 of the authority's certificate: what nodes pin.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// Until when it is good; `None`: its certificate does not say.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same as text.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a node's certificate for the key of its request. Whatever else the request asks for is not granted.
    ///
    /// # Errors
    /// The request is malformed or not signed by its key, or there are no random bytes.
    pub fn issue(
        &self,
        request: &[u8],
        node_id: NodeId,
        life: Duration,
        now: Timestamp,
    ) -> Result<Issued, NodesError> {
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(NodesError::Request)?;
        let (serial, mut params) = params(now, life)?;
        params.distinguished_name.push(DnType::CommonName, node_id.to_string());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let made = self.sign(&params, &request.public_key)?;
        Ok(Issued {
            pem: made.pem(),
            serial: hex(&serial),
            fingerprint: fingerprint(made.der()),
            issued_at: metering::micros(now),
            expires_at: metering::micros(later(now, life)),
        })
    }

    /// Issues the listener's certificate, with a new key.
    ///
    /// # Errors
    /// A name that is none, or there are no random bytes.
    pub fn issue_server(&self, names: &[String], now: Timestamp) -> Result<ServerCertificate, NodesError> {
        let (_, mut params) = params(now, SERVER_LIFE)?;
        params.distinguished_name.push(DnType::CommonName, "Weir control plane");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.as_str().try_into().map_err(|e| certificate("listener's certificate", "made", e))?,
                ),
            });
        }
        let key = KeyPair::generate().map_err(|e| certificate("listener's key", "made", e))?;
        let made = self.sign(&params, &key)?;
        Ok(ServerCertificate {
            chain: vec![made.der().clone(), self.certificate.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            renew_at: later(now, SERVER_LIFE * 2 / 3),
        })
    }

    fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Result<Certificate, NodesError> {
        params.signed_by(key, &self.issuer).map_err(|e| certificate("certificate", "made", e))
    }
}

/// The SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Writes a file so that a crash leaves the old one or the new one, never a part, and never readable by more than
/// `mode` says.
///
/// # Errors
/// The disk's.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), NodesError> {
    let failed = |error| file(path, "written", error);
    let beside = path.with_extension("new");
    // One that a crash left may have another mode.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    new.write_all(bytes).and_then(|()| new.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn authority_params(now: Timestamp) -> Result<CertificateParams, NodesError> {
    let (_, mut params) = params(now, AUTHORITY_LIFE)?;
    params.not_before =
        rcgen::date_time_ymd(1970, 1, 1) + since_1970(now).saturating_sub(AUTHORITY_BACKDATED);
    // With something of its own, so that two authorities are told apart in a log.
    let own = hex(&random::<4>()?);
    params.distinguished_name.push(DnType::CommonName, format!("Weir authority {own}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// A serial, and what all certificates have in common.
fn params(now: Timestamp, life: Duration) -> Result<([u8; SERIAL_BYTES], CertificateParams), NodesError> {
    let mut serial = random::<SERIAL_BYTES>()?;
    // A positive number without a leading zero, in every encoding of it.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let (epoch, issued) = (rcgen::date_time_ymd(1970, 1, 1), since_1970(now));
    params.not_before = epoch + issued.saturating_sub(BACKDATED);
    params.not_after = epoch + issued + life;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok((serial, params))
}

fn random<const N: usize>() -> Result<[u8; N], NodesError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NodesError::Random)?;
    Ok(bytes)
}

/// An instant as certificates have it, in whole seconds.
fn since_1970(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
}

pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn read(path: &Path) -> Result<Option<String>, NodesError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(path, "read", error)),
    }
}

fn file(path: &Path, doing: &'static str, source: std::io::Error) -> NodesError {
    NodesError::File { path: path.to_owned(), doing, source }
}

fn certificate(what: &'static str, doing: &'static str, source: rcgen::Error) -> NodesError {
    NodesError::Certificate { what, doing, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::request::NewKey;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_same_authority_is_there_after_a_restart_and_its_key_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), now()).unwrap();
        let again = Authority::open(dir.path(), now()).unwrap();
        assert_eq!(first.hash(), again.hash());
        let mode = std::fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_crash_between_key_and_certificate_leaves_an_authority_that_opens() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path(), now()).unwrap();
        std::fs::remove_file(dir.path().join("ca.pem")).unwrap();
        std::fs::write(dir.path().join("ca.new"), b"half").unwrap();
        Authority::open(dir.path(), now()).unwrap();
    }

    #[test]
    fn a_lost_key_is_told_and_no_other_one_is_put_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path(), now()).unwrap();
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        let error = Authority::open(dir.path(), now()).err().unwrap();
        assert!(
            matches!(error, NodesError::KeyLost { .. }) && error.to_string().contains("backup"),
            "{error}"
        );
        assert!(!dir.path().join("ca.key").exists());
    }

    #[test]
    fn a_request_that_asks_to_be_an_authority_gets_a_plain_node_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut wish = CertificateParams::new(vec!["control.example".to_owned()]).unwrap();
        wish.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wish.distinguished_name.push(DnType::CommonName, "somebody else");
        let request = wish.serialize_request(&key).unwrap();
        let node_id = NodeId::from_uuid(uuid::Uuid::from_u128(7));
        let issued = authority.issue(request.der(), node_id, Duration::from_secs(60), now()).unwrap();
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(!parsed.is_ca());
        assert_eq!(parsed.subject().to_string(), format!("CN={node_id}"));
        assert!(parsed.subject_alternative_name().unwrap().is_none());
        assert_eq!(parsed.validity().not_after.timestamp(), now().as_second() + 60);
        assert_eq!(parsed.raw_serial_as_string().replace(':', ""), issued.serial);
        assert_eq!(fingerprint(&der), issued.fingerprint);
    }

    #[test]
    fn a_request_that_is_garbage_or_was_signed_by_another_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), now()).unwrap();
        let node_id = NodeId::from_uuid(uuid::Uuid::from_u128(7));
        let mut request = NewKey::generate().unwrap().request().unwrap();
        let issue = |request: &[u8]| authority.issue(request, node_id, Duration::from_secs(60), now());
        assert!(issue(&request).is_ok());
        assert!(matches!(issue(b""), Err(NodesError::Request(_))));
        assert!(matches!(issue(b"-----BEGIN"), Err(NodesError::Request(_))));
        if let Some(last) = request.last_mut() {
            *last ^= 1;
        }
        assert!(matches!(issue(&request), Err(NodesError::Request(_))));
    }
}
