//! `[mail]`: the server that takes Weir's mail, and who is told when a tenant has no address. It connects to nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Text;

/// The port for submission with STARTTLS (RFC 6409) and the one with TLS from the first byte (RFC 8314).
const SUBMISSION_PORT: u16 = 587;
const IMPLICIT_TLS_PORT: u16 = 465;
/// A server that takes longer for one mail is taken for hung (RFC 5321, 4.5.3.2 asks for minutes; a mail of ours is small).
const TIMEOUT: Duration = Duration::from_secs(60);

/// `[mail]`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// The SMTP server. Without one, mail waits in the outbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port; without one, 587, or 465 with `tls = "implicit"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is kept from listeners.
    pub tls: Tls,
    /// A further authority to trust, as PEM: for servers with a certificate of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Who Weir is to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The file that holds the password, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The sender, such as `Billing <billing@example.com>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who gets what is for a tenant without an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// How long one mail may take.
    pub timeout: Text<Duration>,
}

/// How the connection is kept from listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// STARTTLS, or nothing is sent.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Nothing: for a server on this machine.
    None,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            tls: Tls::Starttls,
            ca_file: None,
            username: None,
            password_file: None,
            from: None,
            operator: None,
            timeout: Text(TIMEOUT),
        }
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("host", &self.host).field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mail {
    /// What is wrong, with its key.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(operator) = self.operator.as_deref().filter(|text| mail::check_recipient(text).is_err()) {
            bail!("mail.operator {operator:?} is no e-mail address; write one such as \"ops@example.com\"");
        }
        if self.host.is_none() {
            return Ok(());
        }
        if self.from.is_none() {
            bail!(
                "mail.host is set, but mail.from is not; write who sends, such as \"Billing <billing@example.com>\""
            );
        }
        if self.username.is_some() != self.password_file.is_some() {
            bail!("mail.username and mail.password_file go together; set both or neither");
        }
        if self.tls == Tls::None && self.password_file.is_some() {
            bail!(
                "mail.tls is \"none\", which would show the password to listeners; use \"starttls\" or \"implicit\""
            );
        }
        if self.timeout.0 < Duration::from_secs(1) || Duration::from_secs(600) < self.timeout.0 {
            bail!("mail.timeout is {:?}; it must be from 1s to 10m", self.timeout.0);
        }
        Ok(())
    }

    /// For the mail crate, with the password read. `None`: no server is set.
    ///
    /// # Errors
    /// The password's file cannot be read.
    pub fn smtp(&self) -> Result<Option<mail::SmtpSettings>> {
        use anyhow::Context;
        let (Some(host), Some(from)) = (&self.host, &self.from) else { return Ok(None) };
        let password = match &self.password_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("mail.password_file {} cannot be read", path.display()))?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        let usual = if self.tls == Tls::Implicit { IMPLICIT_TLS_PORT } else { SUBMISSION_PORT };
        Ok(Some(mail::SmtpSettings {
            host: host.clone(),
            port: self.port.unwrap_or(usual),
            tls: match self.tls {
                Tls::Starttls => mail::Tls::Required,
                Tls::Implicit => mail::Tls::Implicit,
                Tls::None => mail::Tls::None,
            },
            ca_file: self.ca_file.clone(),
            username: self.username.clone(),
            password,
            from: from.clone(),
            timeout: self.timeout.0,
        }))
    }
}
