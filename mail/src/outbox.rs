//! The outbox: mail that is due, from the row that announces it to the row that says who took it.
//!
//! It writes no letters and opens no connection but the database's. Rows are made by whoever has a reason, in the
//! reason's own transaction (`billing`, `nodes`); here only test mails are made. Nothing is ever deleted.

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, DbError, Scope, UNASSIGNED_TENANT};
use serde_json::Value;
use uuid::Uuid;

use crate::sql;

/// What a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An invoice, with its PDF.
    Invoice,
    /// A budget was crossed.
    Budget,
    /// An invoice is overdue.
    Dunning,
    /// A prepaid wallet is low or empty.
    Wallet,
    /// An allowance was crossed.
    Allowance,
    /// Something that the operator should see.
    Alert,
    /// Somebody wants to know whether mail works.
    Test,
}

/// Where a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It will be tried, the next time at this instant.
    Waiting {
        /// Not before then.
        next_attempt_at: Timestamp,
    },
    /// A server has taken it.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// The server will never take it, and only [`retry`] tries again; or it is about an alert and became stale first.
    Refused {
        /// When it said so.
        at: Timestamp,
    },
}

/// One mail, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity; the Message-ID is made of it.
    pub mail_id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// What it is about: `invoice/INV-2026-000042`. Unique.
    pub subject_key: String,
    /// Whom it concerns; the unassigned tenant for the operator alone.
    pub tenant_id: TenantId,
    /// The tenant's name.
    pub tenant_name: String,
    /// When its reason arose.
    pub created_at: Timestamp,
    /// How often it was offered to a server, or would have been had the server answered.
    pub attempts: u32,
    /// Why the last attempt failed, for people.
    pub last_error: Option<String>,
    /// To whom it went, or who was refused; of a test mail, to whom it is to go.
    pub recipient: Option<String>,
    /// Where it stands.
    pub state: State,
}

/// How much has not been taken by a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Mails that will be tried.
    pub waiting: u64,
    /// Those of them that failed at least once.
    pub failing: u64,
    /// Mails that the server will never take.
    pub refused: u64,
    /// When the oldest mail that will be tried was made.
    pub oldest_created_at: Option<Timestamp>,
}

/// The outbox could not be read or written. Nothing is lost: the mail is taken again when its lease ends.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// No connection.
    #[error("the mail outbox cannot be reached")]
    Database(#[from] DbError),
    /// A statement failed.
    #[error("the mail outbox cannot be read or written")]
    Query(#[from] tokio_postgres::Error),
    /// A row says what this version does not know.
    #[error("the mail outbox holds a mail of the unknown kind {0:?}; was it written by a newer version?")]
    UnknownKind(String),
}

/// A mail that is the caller's to deliver until `leased_until`.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub mail_id: Uuid,
    pub kind: Kind,
    pub tenant_id: TenantId,
    pub about: Value,
    pub created_at: Timestamp,
    pub attempts: u32,
    pub leased_until: Timestamp,
}

impl Kind {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Budget => "budget",
            Self::Allowance => "allowance",
            Self::Alert => "alert",
            Self::Dunning => "dunning",
            Self::Wallet => "wallet",
            Self::Test => "test",
        }
    }

    fn parse(text: &str) -> Result<Self, MailError> {
        [Self::Invoice, Self::Budget, Self::Allowance, Self::Alert, Self::Dunning, Self::Wallet, Self::Test]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| MailError::UnknownKind(text.to_owned()))
    }
}

/// The youngest `limit` mails, sent or not.
///
/// # Errors
/// The database cannot be read.
pub async fn list(db: &Database, limit: u32) -> Result<Vec<Entry>, MailError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::LIST, &[&i64::from(limit)]).await?;
    rows.iter().map(entry).collect()
}

/// Makes a mail due now, also one that was refused. `false`: there is none, or it was sent.
///
/// # Errors
/// The database cannot be written.
pub async fn retry(db: &Database, mail_id: Uuid, now: Timestamp) -> Result<bool, MailError> {
    let changed = execute(db, sql::RETRY, &[&mail_id, &micros(now)]).await?;
    Ok(0 < changed)
}

/// Puts a test mail to `recipient` into the outbox and returns its id.
///
/// # Errors
/// The database cannot be written.
pub async fn put_test(db: &Database, recipient: &str, now: Timestamp) -> Result<Uuid, MailError> {
    let mail_id = Uuid::new_v4();
    let about = serde_json::json!({ "recipient": recipient });
    let key = format!("test/{mail_id}");
    execute(db, sql::PUT_TEST, &[&mail_id, &key, &UNASSIGNED_TENANT, &about, &micros(now)]).await?;
    Ok(mail_id)
}

/// How much has not been taken by a server.
///
/// # Errors
/// The database cannot be read.
pub async fn waiting(db: &Database) -> Result<Waiting, MailError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction.query_one(sql::WAITING, &[]).await?;
    Ok(Waiting {
        waiting: row.try_get::<_, i64>("waiting")?.unsigned_abs(),
        failing: row.try_get::<_, i64>("failing")?.unsigned_abs(),
        refused: row.try_get::<_, i64>("refused")?.unsigned_abs(),
        oldest_created_at: row.try_get("oldest_created_at")?,
    })
}

/// Gives up mails about alerts that are over, or that were made before `oldest`: news of yesterday wakes nobody up. Returns how
/// many.
pub(crate) async fn drop_stale(db: &Database, oldest: Timestamp, now: Timestamp) -> Result<u64, MailError> {
    execute(db, sql::DROP_STALE, &[&micros(now), &micros(oldest)]).await
}

/// Takes the mail that has been due longest at `due_at` and that nobody holds at `now`, until `leased_until`.
pub(crate) async fn take(
    db: &Database,
    due_at: Timestamp,
    now: Timestamp,
    leased_until: Timestamp,
) -> Result<Option<Taken>, MailError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row =
        transaction.query_opt(sql::TAKE, &[&micros(due_at), &micros(now), &micros(leased_until)]).await?;
    let taken = row.as_ref().map(taken).transpose()?;
    transaction.commit().await?;
    Ok(taken)
}

/// The server has taken it.
pub(crate) async fn record_sent(
    db: &Database,
    mail: &Taken,
    recipient: &str,
    at: Timestamp,
) -> Result<(), MailError> {
    execute(db, sql::RECORD_SENT, &[&mail.mail_id, &micros(at), &recipient]).await.map(drop)
}

/// The server will never take it.
pub(crate) async fn record_refused(
    db: &Database,
    mail: &Taken,
    recipient: &str,
    why: &str,
    at: Timestamp,
) -> Result<(), MailError> {
    let lease = mail.leased_until;
    execute(db, sql::RECORD_REFUSED, &[&mail.mail_id, &lease, &micros(at), &recipient, &why]).await.map(drop)
}

/// It is to be tried again at `next`. `tried`: whether a server was (to be) asked.
pub(crate) async fn record_deferred(
    db: &Database,
    mail: &Taken,
    tried: bool,
    why: &str,
    next: Timestamp,
) -> Result<(), MailError> {
    let (lease, attempts) = (mail.leased_until, i32::from(tried));
    execute(db, sql::RECORD_DEFERRED, &[&mail.mail_id, &lease, &micros(next), &attempts, &why])
        .await
        .map(drop)
}

async fn execute(
    db: &Database,
    statement: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<u64, MailError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let changed = transaction.execute(statement, params).await?;
    transaction.commit().await?;
    Ok(changed)
}

fn taken(row: &tokio_postgres::Row) -> Result<Taken, MailError> {
    Ok(Taken {
        mail_id: row.try_get("mail_id")?,
        kind: Kind::parse(row.try_get("kind")?)?,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        about: row.try_get("about")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        leased_until: row.try_get("leased_until")?,
    })
}

fn entry(row: &tokio_postgres::Row) -> Result<Entry, MailError> {
    let (sent_at, refused_at) = (row.try_get("sent_at")?, row.try_get("refused_at")?);
    let state = match (sent_at, refused_at) {
        (Some(at), _) => State::Sent { at },
        (None, Some(at)) => State::Refused { at },
        (None, None) => State::Waiting { next_attempt_at: row.try_get("next_attempt_at")? },
    };
    Ok(Entry {
        mail_id: row.try_get("mail_id")?,
        kind: Kind::parse(row.try_get("kind")?)?,
        subject_key: row.try_get("subject_key")?,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant_name: row.try_get("tenant_name")?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get::<_, i32>("attempts")?.unsigned_abs(),
        last_error: row.try_get("last_error")?,
        recipient: row.try_get("recipient")?,
        state,
    })
}
