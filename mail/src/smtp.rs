//! One conversation with the mail server, and what its answers mean for a mail: again, never, or not now for any mail.
//!
//! It speaks through lettre's connection, step by step, because what a refusal means depends on the step; every step
//! stands under a time limit. It keeps no connection between passes and knows no database.

use std::error::Error as StdError;
use std::time::Duration;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tokio::time::timeout;

use crate::message::Addressed;
use crate::settings::{Protection, Smtp};
use crate::text::one_line;

/// Saying goodbye is polite; waiting for the answer is not worth more.
const QUIT_LIMIT: Duration = Duration::from_secs(2);
/// A server that answered a moment ago answers this at once, or a new conversation is cheaper.
const RESET_LIMIT: Duration = Duration::from_secs(5);
/// As much of a server's reply as a person reads.
const REPLY_MAX: usize = 300;
/// Service not available, closing transmission channel (RFC 5321, 4.2.3).
const CLOSING: u16 = 421;
/// Replies that speak of the session and not of the mail: log in first, better mechanism, wrong password, encrypt first.
const SESSION_REPLIES: [u16; 5] = [523, 530, 534, 535, 538];

/// Why a mail was not taken, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub verdict: Verdict,
    /// For people: what, where, how to mend it.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This mail, later; the conversation can go on with another.
    Later,
    /// This mail, never; the conversation can go on with another.
    Never,
    /// Any mail, later: the conversation is over.
    Over,
}

/// An open conversation, past TLS and log-in.
pub(crate) struct Line<'a> {
    smtp: &'a Smtp,
    connection: AsyncSmtpConnection,
    is_over: bool,
}

/// The step of a mail at which something went wrong.
#[derive(Clone, Copy)]
enum Step {
    Sender,
    Recipient,
    Content,
}

impl<'a> Line<'a> {
    /// Connects, encrypts and logs in.
    pub(crate) async fn open(smtp: &'a Smtp) -> Result<Self, Fault> {
        match timeout(smtp.timeout, connect(smtp)).await {
            Ok(connection) => Ok(Self { smtp, connection: connection?, is_over: false }),
            Err(_) => Err(too_slow(smtp, "did not let us in")),
        }
    }

    /// Hands one mail over. `Ok` only after the server said that it has it.
    pub(crate) async fn send(&mut self, mail: &Addressed) -> Result<(), Fault> {
        let parameters = self.parameters(mail)?;
        let fault = match timeout(self.smtp.timeout, self.offer(mail, parameters)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err((step, error))) => judge(self.smtp, step, &error),
            Err(_) => too_slow(self.smtp, "did not take the mail"),
        };
        self.is_over = fault.verdict == Verdict::Over || !self.reset().await;
        Err(fault)
    }

    /// Whether nothing more can be said: the server broke off, or its last answer did not come.
    pub(crate) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Says goodbye. For a conversation that is not over.
    pub(crate) async fn close(mut self) {
        // Whatever it answers: the mails are recorded.
        let _ = timeout(QUIT_LIMIT, self.connection.quit()).await;
    }

    /// Makes the server forget a mail that it did not take. `false`: it cannot be talked to any more.
    async fn reset(&mut self) -> bool {
        matches!(timeout(RESET_LIMIT, self.connection.command(Rset)).await, Ok(Ok(_)))
    }

    fn parameters(&self, mail: &Addressed) -> Result<Vec<MailParameter>, Fault> {
        if mail.recipient.is_ascii() && self.smtp.from.email.to_string().is_ascii() {
            return Ok(Vec::new());
        }
        if self.connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Ok(vec![MailParameter::SmtpUtfEight]);
        }
        let text = format!(
            "{} has no SMTPUTF8, so it cannot take mail from or to an address that is not ASCII: use another \
             address or server",
            name(self.smtp)
        );
        Err(Fault { verdict: Verdict::Later, text })
    }

    async fn offer(
        &mut self,
        mail: &Addressed,
        parameters: Vec<MailParameter>,
    ) -> Result<(), (Step, SmtpError)> {
        let connection = &mut self.connection;
        let from = Mail::new(mail.envelope.from().cloned(), parameters);
        connection.command(from).await.map_err(|error| (Step::Sender, error))?;
        for to in mail.envelope.to() {
            let to = Rcpt::new(to.clone(), Vec::new());
            connection.command(to).await.map_err(|error| (Step::Recipient, error))?;
        }
        connection.command(Data).await.map_err(|error| (Step::Content, error))?;
        connection.message(&mail.bytes).await.map_err(|error| (Step::Content, error))?;
        Ok(())
    }
}

async fn connect(smtp: &Smtp) -> Result<AsyncSmtpConnection, Fault> {
    let hello = ClientId::default();
    let implicit = match &smtp.tls {
        Protection::Implicit(parameters) => Some(parameters.clone()),
        Protection::Required(_) | Protection::None => None,
    };
    let server = (smtp.host.as_str(), smtp.port);
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(server, Some(smtp.timeout), &hello, implicit, None)
            .await
            .map_err(|error| no_connection(smtp, &error))?;
    if let Protection::Required(parameters) = &smtp.tls {
        if !connection.can_starttls() {
            connection.abort().await;
            return Err(over(format!(
                "{} offers no STARTTLS, so nothing was sent: check the port and the server, or set tls to \
                 \"implicit\" (usual on port 465) or, for a relay on this machine, \"none\"",
                name(smtp)
            )));
        }
        connection.starttls(parameters.clone(), &hello).await.map_err(|error| no_connection(smtp, &error))?;
    }
    if let Some(credentials) = &smtp.credentials {
        connection
            .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
            .await
            .map_err(|error| not_logged_in(smtp, &error))?;
    }
    Ok(connection)
}

fn judge(smtp: &Smtp, step: Step, error: &SmtpError) -> Fault {
    let Some(code) = error.status().map(u16::from) else {
        return over(format!("{} broke off: {}", name(smtp), reason(error)));
    };
    let reply = reply(code, error);
    let from = &smtp.from.email;
    match (step, code) {
        (_, CLOSING) => over(format!("{} is closing: {reply}", name(smtp))),
        (_, code) if SESSION_REPLIES.contains(&code) => over(format!(
            "{} wants a protected or logged-in connection: {reply}; check tls, user name and password",
            name(smtp)
        )),
        (Step::Sender, 500..) => over(format!(
            "{} does not take mail from {from}: {reply}; check the sender and what the user may send as",
            name(smtp)
        )),
        (Step::Recipient, 500..) => never(format!("{} refused the recipient: {reply}", name(smtp))),
        (Step::Content, 500..) => never(format!("{} refused the mail: {reply}", name(smtp))),
        _ => Fault { verdict: Verdict::Later, text: format!("{} asks for patience: {reply}", name(smtp)) },
    }
}

fn no_connection(smtp: &Smtp, error: &SmtpError) -> Fault {
    let server = name(smtp);
    if let Some(tls) = tls_error(error) {
        return over(format!(
            "{server} cannot be trusted: {}; {}",
            one_line(&tls.to_string(), REPLY_MAX),
            remedy(tls)
        ));
    }
    match error.status() {
        Some(code) => over(format!("{server} does not serve us: {}", reply(code.into(), error))),
        None => over(format!(
            "no connection to {server}: {}; check host, port and whether the server runs",
            reason(error)
        )),
    }
}

fn not_logged_in(smtp: &Smtp, error: &SmtpError) -> Fault {
    let (server, user) = (name(smtp), one_line(&smtp.username, 80));
    match error.status().map(u16::from) {
        Some(code) if (500..).contains(&code) => over(format!(
            "{server} does not let the user {user} in: {}; check user name and password",
            reply(code, error)
        )),
        Some(code) => over(format!("{server} cannot log us in now: {}", reply(code, error))),
        None if error.is_client() => over(format!(
            "{server} offers no way to log in that we know (PLAIN, LOGIN): leave user name and password out, or \
             check port and tls"
        )),
        None => over(format!("{server} broke off while we logged in: {}", reason(error))),
    }
}

fn remedy(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "its certificate is not signed by an authority known here: set ca_file to the authority's certificate"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "its certificate is for another name: set host to the name in the certificate"
        }
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired: renew it, and check the clocks of both machines"
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS here: check port and tls (465 is usually \"implicit\", 587 STARTTLS)"
        }
        _ => "check its certificate and ca_file",
    }
}

/// The TLS error in the chain. An `io::Error` shows what it wraps only to those who ask it.
fn tls_error(error: &SmtpError) -> Option<&rustls::Error> {
    let mut current: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = current {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        current = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// `550 5.1.1 no such user`, in one line.
fn reply(code: u16, error: &SmtpError) -> String {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    one_line(&format!("{code} {said}"), REPLY_MAX)
}

/// The innermost that can be said without a reply.
fn reason(error: &SmtpError) -> String {
    let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    one_line(&said, REPLY_MAX)
}

fn too_slow(smtp: &Smtp, what: &str) -> Fault {
    let seconds = smtp.timeout.as_secs_f32();
    over(format!("{} {what} within {seconds} s; is it overloaded, or the network slow?", name(smtp)))
}

fn name(smtp: &Smtp) -> String {
    format!("the mail server {}:{}", one_line(&smtp.host, 255), smtp.port)
}

fn over(text: String) -> Fault {
    Fault { verdict: Verdict::Over, text }
}

fn never(text: String) -> Fault {
    Fault { verdict: Verdict::Never, text }
}
