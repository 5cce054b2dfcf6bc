//! What was refused row by row: to look at, and to take in after all. It does NOT judge anew whether a rate is possible
//! or whose an instance is: a release is the provider's decision. A row that could not even be stored stays.

use jiff::{SignedDuration, Timestamp};
use metering::{Batch, BatchSeq, BootId, NodeId, Readings};
use migrations::{Database, DbError, Scope, Transaction};
use serde_json::Value;
use uuid::Uuid;

use crate::error::UsageError;
use crate::ingest::{self, IngestSettings};

/// A refused row.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// Which.
    pub id: Uuid,
    /// Whose.
    pub node_id: NodeId,
    /// In which batch it came.
    pub seq: BatchSeq,
    /// When.
    pub received_at: Timestamp,
    /// Of what kind of resource.
    pub kind: String,
    /// Why it was refused.
    pub reason: String,
    /// How far the node's clock was ahead, if that was the reason.
    pub clock_error: Option<SignedDuration>,
    /// The reading.
    pub payload: Value,
}

/// What a release did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Released {
    /// Rows that count now.
    pub rows: usize,
    /// Rows that stay: they cannot be stored, or they are of a kind that no usage comes from.
    pub kept: Vec<Kept>,
}

/// A row that stays in quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Which.
    pub id: Uuid,
    /// Of what kind of resource.
    pub kind: String,
    /// The reading.
    pub payload: Value,
    /// Why it stays.
    pub why: String,
    /// What can be done.
    pub remedy: String,
}

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Nothing of that batch lies in quarantine.
    #[error(
        "nothing of batch {seq} of node {node_id} lies in quarantine (`weir quarantine list` shows what does)"
    )]
    Nothing {
        /// Whose.
        node_id: NodeId,
        /// Which batch.
        seq: BatchSeq,
    },
    /// The database.
    #[error("the rows could not be released")]
    Store(#[source] UsageError),
}

impl<E: Into<UsageError>> From<E> for ReleaseError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// The latest rows that lie in quarantine, newest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: &Database, limit: u32) -> Result<Vec<Quarantined>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("quarantined")).await?;
    let rows = transaction.query(&statement, &[&i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            let seq: i64 = row.try_get("seq")?;
            let error: Option<i64> = row.try_get("clock_error_us")?;
            Ok(Quarantined {
                id: row.try_get("quarantine_id")?,
                node_id: NodeId::from_uuid(row.try_get("node_id")?),
                seq: BatchSeq(seq.unsigned_abs()),
                received_at: row.try_get("received_at")?,
                kind: row.try_get("kind")?,
                reason: row.try_get("reason")?,
                clock_error: error.map(SignedDuration::from_micros),
                payload: row.try_get("payload")?,
            })
        })
        .collect()
}

/// Takes the refused rows of a batch in, each once: those read by a wrong clock dated back by what it was wrong, the
/// others as they are. A register that fell stands still in what is derived from it.
///
/// # Errors
/// See [`ReleaseError`]; nothing was released.
pub async fn release(
    db: &Database,
    settings: IngestSettings,
    node_id: NodeId,
    seq: BatchSeq,
    now: Timestamp,
) -> Result<Released, ReleaseError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let number = i64::try_from(seq.0).map_err(|_| ReleaseError::Nothing { node_id, seq })?;
    let statement = transaction.prepare_cached(sql!("lock_quarantined")).await?;
    let rows = transaction.query(&statement, &[&node_id.uuid(), &number]).await?;
    if rows.is_empty() {
        return Err(ReleaseError::Nothing { node_id, seq });
    }
    let (mut readings, mut released, mut kept) = (Readings::default(), Vec::new(), Vec::new());
    for row in &rows {
        let error: Option<i64> = row.try_get("clock_error_us")?;
        let error = SignedDuration::from_micros(error.unwrap_or(0));
        let (id, kind, payload): (Uuid, String, Value) =
            (row.try_get("quarantine_id")?, row.try_get("kind")?, row.try_get("payload")?);
        let mut one = Readings::default();
        let obstacle = if ingest::restore(&kind, &payload, error, &mut one) {
            // What cannot be stored now either stays: each row is asked by itself, so that one does not keep the others.
            obstacle(&batch(node_id, seq, one.clone()), now)
        } else {
            Some(unreadable(&kind))
        };
        match obstacle {
            Some((why, remedy)) => kept.push(Kept { id, kind, payload, why, remedy }),
            None => {
                released.push(id);
                readings.instances.extend(one.instances);
                readings.disks.extend(one.disks);
                readings.nics.extend(one.nics);
                readings.volumes.extend(one.volumes);
            }
        }
    }
    let batch = batch(node_id, seq, readings);
    let outcome = Released { rows: released.len(), kept };
    ingest::take_in_released(db, &transaction, &batch, settings, now).await?;
    mark(&transaction, &released, now).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// What a provider can do when a reading can never be taken in.
const BY_HAND: &str = "it can never be taken in; its life's later readings bring its quantity. If there is none and the usage \
                       is owed: weir usage correct add NAME --meter METER --from T --to T --reason TEXT";

/// Why a reading cannot be stored now, and what can be done; `None`: it can.
fn obstacle(batch: &Batch, now: Timestamp) -> Option<(String, String)> {
    let why = ingest::why_not_storable(batch, now)?;
    let readings = &batch.readings;
    let instants = (readings.instances.iter().map(|one| one.observed_at))
        .chain(readings.disks.iter().map(|one| one.observed_at))
        .chain(readings.nics.iter().map(|one| one.observed_at))
        .chain(readings.volumes.iter().map(|one| one.observed_at));
    let remedy = match instants.max().filter(|at| now < *at) {
        Some(at) => format!("release the batch again after {at}, when its instant has come"),
        None => BY_HAND.to_owned(),
    };
    Some((why, remedy))
}

/// The same of a row that is no reading of something that is metered.
fn unreadable(kind: &str) -> (String, String) {
    if kind == "node" {
        let why = "it is of the node itself, from which no usage comes";
        return (why.to_owned(), "nothing is to be done: no usage rests on it".to_owned());
    }
    let why = "what was stored of it is no whole reading: a field is missing, or is not what it should be";
    (why.to_owned(), BY_HAND.to_owned())
}

async fn mark(transaction: &Transaction<'_>, released: &[Uuid], now: Timestamp) -> Result<(), DbError> {
    let statement = transaction.prepare_cached(sql!("mark_released")).await?;
    transaction.execute(&statement, &[&released, &metering::micros(now)]).await?;
    Ok(())
}

fn batch(node_id: NodeId, seq: BatchSeq, readings: Readings) -> Batch {
    Batch {
        node_id,
        seq,
        node_name: String::new(),
        boot_id: BootId::from_uuid(Uuid::nil()),
        collected_at: Timestamp::UNIX_EPOCH,
        collected_boot: None,
        readings,
        gaps: Vec::new(),
        instances: Vec::new(),
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}
