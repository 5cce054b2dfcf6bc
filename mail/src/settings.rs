//! Which server takes our mail, and how: checked once, when Weir starts, so that a slip is told then and not with the
//! first mail. It reads the CA file and opens no connection.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, TlsParameters};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Plain at first, then STARTTLS before anything else; without it no mail. Usual on port 587.
    #[default]
    Required,
    /// From the first byte. Usual on port 465.
    Implicit,
    /// Not at all. For a relay on this machine.
    None,
}

/// What the operator says about the server.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// Its name (which its certificate must carry) or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// A PEM file with further authorities to trust, beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Who logs in; together with the password or not at all.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The sender: `Weir <weir@example.org>` or `weir@example.org`.
    pub from: String,
    /// The longest that connecting, and then each mail, may take.
    pub timeout: Duration,
}

/// How long to wait between attempts: about twice as long after each, never outside of these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The shortest wait.
    pub shortest: Duration,
    /// The longest wait.
    pub longest: Duration,
}

/// Settings that were checked, ready to connect.
#[derive(Clone)]
pub struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Protection,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) username: String,
    pub(crate) from: Mailbox,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
}

#[derive(Clone)]
pub(crate) enum Protection {
    Required(TlsParameters),
    Implicit(TlsParameters),
    None,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// There is no host.
    #[error("the mail server has no name: set its host")]
    NoHost,
    /// The sender is no address.
    #[error("the sender {from:?} is no e-mail address: write it as `Weir <weir@example.org>`")]
    From {
        /// What was given.
        from: String,
    },
    /// Only one of the two was given.
    #[error("user name and password of the mail server belong together: set both or neither")]
    HalfCredentials,
    /// The password would be read by everybody on the way.
    #[error("the password would go to {host} unprotected: use TLS, or leave user name and password out")]
    PasswordInClear {
        /// Where.
        host: String,
    },
    /// No time at all.
    #[error("the mail server's time limit is 0: allow it some seconds")]
    NoTime,
    /// The CA file cannot be read.
    #[error("the file of certificate authorities {} cannot be read", path.display())]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing usable in it.
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error(
        "TLS cannot be set up; are certificate authorities installed (Debian: ca-certificates) or a CA file set?"
    )]
    Tls(#[source] lettre::transport::smtp::Error),
}

impl Default for Retry {
    /// One minute: greylisting servers ask for some minutes. One hour: who mends a server wants to see the mail the
    /// same morning.
    fn default() -> Self {
        Self { shortest: Duration::from_secs(60), longest: Duration::from_secs(3600) }
    }
}

impl fmt::Debug for SmtpSettings {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("username", &self.username)
            .field("has_password", &self.password.is_some())
            .field("from", &self.from)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Checks the settings and reads the CA file.
    ///
    /// # Errors
    /// The first setting that cannot work.
    pub fn new(settings: &SmtpSettings) -> Result<Self, SettingsError> {
        let host = settings.host.trim();
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SettingsError::NoHost);
        }
        if settings.timeout.is_zero() {
            return Err(SettingsError::NoTime);
        }
        let credentials = credentials(settings)?;
        if settings.tls == Tls::None && credentials.is_some() && !is_loopback(host) {
            return Err(SettingsError::PasswordInClear { host: host.to_owned() });
        }
        let tls = match settings.tls {
            Tls::Required => Protection::Required(tls_parameters(settings, host)?),
            Tls::Implicit => Protection::Implicit(tls_parameters(settings, host)?),
            Tls::None => Protection::None,
        };
        Ok(Self {
            host: host.to_owned(),
            port: settings.port,
            tls,
            credentials,
            username: settings.username.clone().unwrap_or_default(),
            from: sender(&settings.from)?,
            timeout: settings.timeout,
            retry: Retry::default(),
        })
    }

    /// The same with other waits between attempts.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

fn credentials(settings: &SmtpSettings) -> Result<Option<Credentials>, SettingsError> {
    match (&settings.username, &settings.password) {
        (Some(name), Some(password)) => Ok(Some(Credentials::new(name.clone(), password.clone()))),
        (None, None) => Ok(None),
        _ => Err(SettingsError::HalfCredentials),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn sender(from: &str) -> Result<Mailbox, SettingsError> {
    let error = || SettingsError::From { from: from.chars().take(200).collect() };
    if from.chars().any(char::is_control) {
        return Err(error());
    }
    from.trim().parse().map_err(|_| error())
}

fn tls_parameters(settings: &SmtpSettings, host: &str) -> Result<TlsParameters, SettingsError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = &settings.ca_file {
        let pem =
            std::fs::read(path).map_err(|source| SettingsError::CaFile { path: path.clone(), source })?;
        let nothing = || SettingsError::NoCertificate { path: path.clone() };
        // lettre takes a file without any certificate for an empty list.
        if !pem.windows(PEM_HEAD.len()).any(|window| window == PEM_HEAD) {
            return Err(nothing());
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| nothing())?);
    }
    builder.build().map_err(SettingsError::Tls)
}

const PEM_HEAD: &[u8] = b"-----BEGIN CERTIFICATE-----";
