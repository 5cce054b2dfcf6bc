//! Delivery: takes what is due out of the outbox, hands it to the server, writes down what came of it.
//!
//! It has no loop and no timer: whoever calls [`deliver_due`] calls again. It writes no letters ([`crate::letters`]) and
//! does not know where documents and addresses come from ([`Letters`]).

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use billing::InvoiceDocument;
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::Database;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use crate::letters::{
    self, AlertNotice, AllowanceNotice, BudgetNotice, DunningNotice, Letter, LetterError, WalletNotice,
};
use crate::message::{self, Addressed};
use crate::outbox::{self, Kind, MailError, Taken};
use crate::settings::{Retry, Smtp};
use crate::smtp::{Fault, Line, Verdict};
use crate::text::one_line;

/// Mails of one pass. The rest is due still; a pass that never ends could not be stopped in an orderly way.
const PASS_MAX: usize = 100;
/// A mail is leased for writing, connecting and sending, each of which has the server's time limit, and this, so that
/// nobody else takes it before its outcome is written down.
const LEASE_MARGIN: Duration = Duration::from_secs(60);
/// After one break the next mail gets a conversation of its own, so that a mail that breaks every conversation holds up
/// nobody. After two, the server counts as away for this pass: waiting for its time limit a hundred times helps nobody.
const BREAKS_MAX: usize = 2;
/// A mail about an alert that could not be sent for so long tells of yesterday: whoever sets a mail server up does not want a
/// month of it.
const ALERT_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// As much of an error as an operator reads.
const ERROR_MAX: usize = 500;

/// What [`Letters`] gives back.
pub type LettersFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LettersError>> + Send + 'a>>;

/// Why there is no document or address at the moment, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LettersError(pub String);

/// An issued invoice and its PDF.
#[derive(Clone, Debug)]
pub struct PrintedInvoice {
    /// What was issued.
    pub document: InvoiceDocument,
    /// How it is printed.
    pub pdf: Vec<u8>,
}

/// What letters need beside the outbox. The appliance has it.
pub trait Letters: Send + Sync {
    /// The issued invoice of that number.
    fn document<'a>(&'a self, number: &'a str) -> LettersFuture<'a, PrintedInvoice>;

    /// The address for a tenant's mail, or the operator's if the tenant has none. `None`: there is neither, and the
    /// mail waits.
    fn recipient(&self, tenant_id: TenantId) -> LettersFuture<'_, Option<String>>;

    /// Where people find the portal: `https://weir.example.org`. Without it letters have no links.
    fn portal_url(&self) -> Option<&str> {
        None
    }
}

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The server has them.
    pub sent: usize,
    /// They are tried again later.
    pub deferred: usize,
    /// The server will never take them.
    pub refused: usize,
}

/// The instant of the caller, going on: a pass takes its time.
#[derive(Clone, Copy)]
struct Clock {
    began_at: Timestamp,
    began: Instant,
}

/// One pass over the outbox.
struct Pass<'a> {
    db: &'a Database,
    smtp: &'a Smtp,
    letters: &'a dyn Letters,
    clock: Clock,
    line: State<'a>,
    /// Conversations that broke off.
    breaks: usize,
    delivered: Delivered,
}

/// The conversation with the server.
enum State<'a> {
    NotYet,
    Open(Box<Line<'a>>),
    /// There is none, and none is tried in this pass.
    Away(Fault),
}

#[derive(Deserialize)]
struct InvoiceAbout {
    number: String,
}

#[derive(Deserialize)]
struct TestAbout {
    recipient: String,
}

/// Delivers what is due at `now`, up to a hundred mails, over one connection. Call it again and again.
///
/// At least once: `sent_at` is written after the server took the mail. Whoever dies between the two sends again when the
/// lease has ended, with the same Message-ID and the same bytes. Two that deliver at once never send the same mail.
///
/// # Errors
/// The outbox cannot be read or written. A server that is away is no error: its mails are deferred.
pub async fn deliver_due(
    db: &Database,
    smtp: &Smtp,
    letters: &dyn Letters,
    now: Timestamp,
) -> Result<Delivered, MailError> {
    let clock = Clock { began_at: now, began: Instant::now() };
    let mut pass =
        Pass { db, smtp, letters, clock, line: State::NotYet, breaks: 0, delivered: Delivered::default() };
    let outcome = pass.run(now).await;
    if let State::Open(line) = pass.line {
        line.close().await;
    }
    outcome.map(|()| pass.delivered)
}

impl Clock {
    fn now(self) -> Timestamp {
        later(self.began_at, self.began.elapsed())
    }
}

impl Pass<'_> {
    async fn run(&mut self, due_at: Timestamp) -> Result<(), MailError> {
        let oldest = due_at.saturating_sub(ALERT_AGE_MAX).unwrap_or(Timestamp::MIN);
        let stale = outbox::drop_stale(self.db, oldest, self.clock.now()).await?;
        if 0 < stale {
            tracing::info!(stale, "mails about alerts that are over, or older than a day, are not sent");
        }
        for _ in 0..PASS_MAX {
            let now = self.clock.now();
            let leased_until = later(now, self.smtp.timeout * 3 + LEASE_MARGIN);
            let Some(mail) = outbox::take(self.db, due_at, now, leased_until).await? else { break };
            self.deliver(&mail).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, mail: &Taken) -> Result<(), MailError> {
        let written = match timeout(self.smtp.timeout, self.write(mail)).await {
            Ok(written) => written,
            Err(_) => Err("the letter could not be written in time; is the machine overloaded?".to_owned()),
        };
        let addressed = match written {
            Ok(addressed) => addressed,
            Err(why) => return self.not_written(mail, &why).await,
        };
        match self.send(&addressed).await {
            Ok(()) => {
                let at = self.clock.now();
                outbox::record_sent(self.db, mail, &addressed.recipient, at).await?;
                self.delivered.sent += 1;
                tracing::info!(mail_id = %mail.mail_id, kind = mail.kind.as_str(), "a mail was sent");
                Ok(())
            }
            Err(fault) => self.failed(mail, &addressed.recipient, &fault).await,
        }
    }

    async fn send(&mut self, mail: &Addressed) -> Result<(), Fault> {
        if let State::NotYet = self.line {
            match Line::open(self.smtp).await {
                Ok(line) => self.line = State::Open(Box::new(line)),
                Err(fault) => self.line = State::Away(fault),
            }
        }
        let (outcome, is_lost) = match &mut self.line {
            State::Open(line) => {
                let outcome = line.send(mail).await;
                let is_lost = line.is_over();
                (outcome, is_lost)
            }
            State::Away(fault) => return Err(fault.clone()),
            State::NotYet => unreachable!("it was opened or found away just now"),
        };
        if is_lost {
            self.breaks += 1;
            self.line = match &outcome {
                // The server, not the mail, is what breaks.
                Err(fault) if BREAKS_MAX <= self.breaks => State::Away(fault.clone()),
                _ => State::NotYet,
            };
        }
        outcome
    }

    /// There is no letter or no recipient: nothing was offered to a server.
    async fn not_written(&mut self, mail: &Taken, why: &str) -> Result<(), MailError> {
        let why = one_line(why, ERROR_MAX);
        let next = later(self.clock.now(), wait(self.smtp.retry, 1, jitter()));
        outbox::record_deferred(self.db, mail, false, &why, next).await?;
        self.delivered.deferred += 1;
        tracing::warn!(mail_id = %mail.mail_id, kind = mail.kind.as_str(), "a mail waits: {why}");
        Ok(())
    }

    async fn failed(&mut self, mail: &Taken, recipient: &str, fault: &Fault) -> Result<(), MailError> {
        let why = one_line(&fault.text, ERROR_MAX);
        let now = self.clock.now();
        if fault.verdict == Verdict::Never {
            outbox::record_refused(self.db, mail, recipient, &why, now).await?;
            self.delivered.refused += 1;
            tracing::warn!(mail_id = %mail.mail_id, kind = mail.kind.as_str(), "a mail was refused: {why}");
            return Ok(());
        }
        let next = later(now, wait(self.smtp.retry, mail.attempts.saturating_add(1), jitter()));
        outbox::record_deferred(self.db, mail, true, &why, next).await?;
        self.delivered.deferred += 1;
        tracing::warn!(mail_id = %mail.mail_id, kind = mail.kind.as_str(), next = %next, "a mail is deferred: {why}");
        Ok(())
    }

    /// The mail as it goes over the wire, or why there is none, for people.
    async fn write(&self, mail: &Taken) -> Result<Addressed, String> {
        let (letter, recipient) = self.compose(mail).await?;
        message::address(letter, mail.mail_id, &self.smtp.from, &recipient, mail.created_at)
            .map_err(|error| chain(&error))
    }

    async fn compose(&self, mail: &Taken) -> Result<(Letter, String), String> {
        let portal = self.letters.portal_url();
        let too_little = |error| chain(&LetterError::About(error));
        let told = |error: LetterError| chain(&error);
        if mail.kind == Kind::Test {
            let about = TestAbout::deserialize(&mail.about).map_err(too_little)?;
            return Ok((letters::test(mail.created_at, portal).map_err(told)?, about.recipient));
        }
        let recipient = self.letters.recipient(mail.tenant_id).await.map_err(|error| chain(&error))?;
        let recipient = recipient
            .filter(|address| !address.trim().is_empty())
            .ok_or("nobody to send it to: give the tenant an e-mail address, or set one for the operator")?;
        let letter = match mail.kind {
            Kind::Invoice => {
                let about = InvoiceAbout::deserialize(&mail.about).map_err(too_little)?;
                let printed = self.letters.document(&about.number).await.map_err(|error| chain(&error))?;
                letters::invoice(&printed.document, printed.pdf, portal)
            }
            Kind::Alert => {
                AlertNotice::from_about(&mail.about).and_then(|notice| letters::alert(&notice, portal))
            }
            Kind::Dunning => {
                DunningNotice::from_about(&mail.about).and_then(|notice| letters::dunning(&notice, portal))
            }
            Kind::Wallet => {
                WalletNotice::from_about(&mail.about).and_then(|notice| letters::wallet(&notice, portal))
            }
            Kind::Allowance => AllowanceNotice::from_about(&mail.about, mail.created_at)
                .and_then(|notice| letters::allowance(&notice, portal)),
            Kind::Budget | Kind::Test => BudgetNotice::from_about(&mail.about, mail.created_at)
                .and_then(|notice| letters::budget(&notice, portal)),
        };
        Ok((letter.map_err(told)?, recipient))
    }
}

/// How long to wait after the `attempts`th attempt: somewhere between half and all of the shortest wait doubled
/// `attempts` times, within the bounds. `jitter` is any number: mails that failed together do not come back together.
fn wait(retry: Retry, attempts: u32, jitter: u32) -> Duration {
    let longest = retry.longest.max(retry.shortest);
    let doubled = 1u32.checked_shl(attempts).and_then(|factor| retry.shortest.checked_mul(factor));
    let full = doubled.map_or(longest, |full| full.min(longest));
    let half = full / 2;
    let nanos = half.as_nanos() * u128::from(jitter) / u128::from(u32::MAX);
    (half + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))).max(retry.shortest)
}

fn jitter() -> u32 {
    Uuid::new_v4().as_fields().0
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    // The end of time is late enough.
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attempts: u32, jitter: u32, seconds: u64) {
        assert_eq!(wait(Retry::default(), attempts, jitter).as_secs(), seconds, "{attempts} {jitter}");
    }

    #[test]
    fn a_server_that_is_away_for_years_is_asked_every_hour_and_never_more_than_once_a_minute() {
        check(1, 0, 60);
        check(1, u32::MAX, 120);
        check(2, 0, 120);
        check(2, u32::MAX, 240);
        check(5, u32::MAX, 1_920);
        check(6, 0, 1_800);
        check(6, u32::MAX, 3_600);
        for attempts in [31, 32, 33, 1_000_000, u32::MAX] {
            check(attempts, u32::MAX, 3_600);
            check(attempts, 0, 1_800);
        }
    }
}
