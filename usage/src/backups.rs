//! Which batches a backup of this database has: what it has, nodes may forget. Anybody's tool makes the backup; here it is
//! only noted. It does NOT make backups or restore them: after a restore the nodes send again what is missing, by
//! themselves ([`crate::IngestError::Behind`]).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{BatchSeq, NodeId};
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::error::{UsageError, unsigned};

/// A batch received this long before a backup began was committed by then. Nothing but a lock can hold a transaction up
/// for minutes, and one that stands idle is ended after five (`migrations::Database`).
pub const COMMIT_MARGIN: Duration = Duration::from_secs(600);

/// A backup that somebody made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What it is called here.
    pub id: Uuid,
    /// Everything committed before this is in it.
    pub covers_to: Timestamp,
    /// When it was noted.
    pub noted_at: Timestamp,
    /// What the operator wrote about it.
    pub note: String,
}

/// Up to which batch a node's are covered by some backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Whose.
    pub node_id: NodeId,
    /// What people call it.
    pub node_name: String,
    /// The highest number up to which all are covered; 0: none.
    pub covered_until: BatchSeq,
    /// The highest number that is known.
    pub known_until: BatchSeq,
}

/// Why a backup was not noted.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It has not happened yet.
    #[error(
        "no backup can cover what is committed until {covers_to}: it is {now} now; give the instant at which the \
         backup began"
    )]
    Future {
        /// What was said.
        covers_to: Timestamp,
        /// The control plane's time.
        now: Timestamp,
    },
    /// The database.
    #[error("the backup could not be noted")]
    Store(#[source] UsageError),
}

impl<E: Into<UsageError>> From<E> for BackupError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// Notes a backup that has everything committed before `covers_to`, the instant at which it began. Nodes hear with their
/// next batch what they may forget. A backup that was noted is taken for one that can be restored: of several, the nodes
/// keep what the latest has not.
///
/// # Errors
/// See [`BackupError`].
pub async fn note(
    db: &Database,
    covers_to: Timestamp,
    note: &str,
    now: Timestamp,
) -> Result<Vec<Covered>, BackupError> {
    let (covers_to, now) = (metering::micros(covers_to), metering::micros(now));
    if now < covers_to {
        return Err(BackupError::Future { covers_to, now });
    }
    let margin = SignedDuration::try_from(COMMIT_MARGIN).unwrap_or(SignedDuration::MAX);
    let received_before = covers_to.saturating_sub(margin).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("add_backup")).await?;
    transaction
        .execute(&statement, &[&Uuid::new_v4(), &covers_to, &now, &note.replace('\0', "\u{FFFD}")])
        .await?;
    let statement = transaction.prepare_cached(sql!("cover_batches")).await?;
    transaction.execute(&statement, &[&received_before]).await?;
    transaction.commit().await?;
    Ok(covered(db).await?)
}

/// The latest backups, newest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: &Database, limit: u32) -> Result<Vec<Backup>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("backups")).await?;
    let rows = transaction.query(&statement, &[&i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Backup {
                id: row.try_get("backup_id")?,
                covers_to: row.try_get("covers_to")?,
                noted_at: row.try_get("noted_at")?,
                note: row.try_get("note")?,
            })
        })
        .collect()
}

/// How far each node's batches are covered.
///
/// # Errors
/// The database fails.
pub async fn covered(db: &Database) -> Result<Vec<Covered>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("covered")).await?;
    let rows = transaction.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            let seq = |column| Ok::<_, UsageError>(BatchSeq(unsigned("node", column, row.try_get(column)?)?));
            Ok(Covered {
                node_id: NodeId::from_uuid(row.try_get("node_id")?),
                node_name: row.try_get("name")?,
                covered_until: seq("covered_seq")?,
                known_until: seq("last_seq")?,
            })
        })
        .collect()
}
