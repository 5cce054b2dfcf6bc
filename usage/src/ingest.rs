//! Readings in, exactly once. One batch is one transaction: its line in the ledger, facts, readings, gaps and the
//! windows that it makes dirty are committed together, and only then may the node forget it.
//!
//! It does NOT decode bytes (`metering::wire`), authenticate nodes or derive usage.

mod clock;
mod copy;
mod delivery;
mod facts;
mod folded;
mod heads;
mod judge;
mod known;
pub(crate) mod marks;
mod order;
mod partitions;
mod payload;
mod rates;
mod screen;

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, BatchSeq, WindowLength};
use migrations::{Database, DbError, Scope, Transaction};
use tokio_postgres::error::SqlState;

use crate::error::{UsageError, unsigned};
use clock::ClockError;
use judge::Judge;
use known::Known;
use partitions::Partitions;
use screen::Screened;

pub use clock::CLOCK_ERROR_MAX;
pub use delivery::{Delivery, IngestError, Ingested, NodeClock};
pub use judge::OWNER_SILENCE;
pub(crate) use payload::restore;
pub use rates::RateLimits;

/// The earliest instant that is metered, in seconds since 1970: the beginning of 2020. Anything earlier is a clock
/// that was never set.
pub const EARLIEST: i64 = 1_577_836_800;

/// How far ahead of the control plane's clock a reading may be: hosts without time synchronisation drift by seconds a
/// day, so minutes mean a clock that is wrong.
pub const FUTURE_MAX: Duration = Duration::from_secs(300);

/// The longest name of a device, in bytes: libvirt's targets and MAC addresses have at most 17, and the name must fit
/// a key of a B-tree (2,704 bytes).
pub const DEVICE_MAX: usize = 255;

/// How batches are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestSettings {
    /// The length of usage windows (`metering.window`).
    pub window: WindowLength,
    /// Readings in one batch at most. A batch is held in memory and in one transaction.
    pub rows_max: usize,
    /// Days that one batch may touch: each may need new partitions. The latest ones are taken.
    pub days_max: usize,
    /// What a device can do in a second.
    pub rates: RateLimits,
}

impl IngestSettings {
    /// With the usual limits: 100,000 rows are about 20 MB and a second's work; 62 days are two months offline.
    #[must_use]
    pub const fn new(window: WindowLength) -> Self {
        Self { window, rows_max: 100_000, days_max: 62, rates: RateLimits::DEFAULT }
    }
}

/// Takes batches in. Its only state is which days are known to have partitions; several may work beside each other.
#[derive(Debug)]
pub struct Ingestor {
    db: Database,
    settings: IngestSettings,
    partitions: Partitions,
}

impl Ingestor {
    /// On a migrated database.
    #[must_use]
    pub fn new(db: Database, settings: IngestSettings) -> Self {
        Self { db, settings, partitions: Partitions::default() }
    }

    /// Takes one batch in. When this has returned `Ok`, the batch is durable. `received_at`: when the request began to
    /// arrive, by the control plane's clock.
    ///
    /// # Errors
    /// See [`IngestError`]; nothing of the batch was stored.
    pub async fn ingest(
        &self,
        batch: &Batch,
        delivery: &Delivery,
        received_at: Timestamp,
    ) -> Result<Ingested, IngestError> {
        let rows = batch.readings.len();
        if self.settings.rows_max < rows {
            return Err(IngestError::TooLarge { rows, rows_max: self.settings.rows_max });
        }
        let received_at = metering::micros(received_at);
        let arrival = Arrival { batch, received_at, clock: clock::measure(batch, delivery, received_at) };
        let screened = screen::screen(batch, received_at, arrival.clock, self.settings.days_max);
        self.partitions.ensure(&self.db, &screened).await?;
        match self.store(&arrival, delivery, &screened).await {
            Err(IngestError::Store(error)) if is_without_partition(&error) => {
                // Somebody dropped old partitions since they were found.
                self.partitions.forget();
                self.partitions.ensure(&self.db, &screened).await?;
                self.store(&arrival, delivery, &screened).await
            }
            outcome => outcome,
        }
    }

    async fn store(
        &self,
        arrival: &Arrival<'_>,
        delivery: &Delivery,
        screened: &Screened<'_>,
    ) -> Result<Ingested, IngestError> {
        let Arrival { batch, received_at, clock } = *arrival;
        let mut session = self.db.session().await?;
        let transaction = session.begin(Scope::Provider).await?;
        let (known_until, covered_until) = node_marks(&transaction, batch).await?;
        if known_until < delivery.after {
            return Err(IngestError::Behind { after: delivery.after, known_until });
        }
        let mut ingested = Ingested {
            rows: 0,
            quarantined: 0,
            ignored: 0,
            is_duplicate: true,
            known_until: known_until.max(batch.seq),
            covered_until,
            clock_error: clock.at_collection,
            notices: Vec::new(),
        };
        if !enter(&transaction, batch, received_at).await? {
            // Whoever took the newest batch in may have died before its notices were heard; those of older ones are history.
            if batch.seq == known_until {
                ingested.notices.clone_from(&batch.notices);
            }
            return Ok(ingested);
        }
        let newest = facts::write_node(&transaction, arrival, screened).await?;
        let known = known::lock(&transaction, batch, screened).await?;
        let processors = batch.readings.node.as_ref().map(|node| node.cpus);
        let node_id = batch.node_id.uuid();
        // What lies in quarantine because of its clock keeps its instants: they are put right when it is released.
        let is_ordered = newest == batch.seq && clock.beyond().is_none();
        let upright = if is_ordered { order::upright(batch, &known) } else { Cow::Borrowed(batch) };
        let mut judged = match &upright {
            Cow::Borrowed(_) => screened.clone(),
            Cow::Owned(upright) => screen::screen(upright, received_at, clock, self.settings.days_max),
        };
        Judge::new(node_id, &known, &self.settings.rates, batch.collected_boot, processors)
            .judge(&mut judged);
        write(&transaction, arrival, &judged, &known, self.settings.window).await?;
        screen::write(&transaction, arrival, &judged).await?;
        transaction.commit().await?;
        ingested.is_duplicate = false;
        (ingested.quarantined, ingested.ignored) = (judged.refused.len(), judged.ignored);
        ingested.rows = batch.readings.len() - ingested.quarantined - ingested.ignored;
        ingested.notices.clone_from(&batch.notices);
        Ok(ingested)
    }
}

/// Writes the readings that count, and what follows from them.
async fn write(
    transaction: &Transaction<'_>,
    arrival: &Arrival<'_>,
    judged: &Screened<'_>,
    known: &Known,
    window: WindowLength,
) -> Result<(), UsageError> {
    let Arrival { batch, received_at, .. } = *arrival;
    let mut marks = marks::Marks::new(window);
    facts::write(transaction, arrival, judged, known, &mut marks).await?;
    copy::write(transaction, batch.node_id, batch.boot_id, judged, received_at).await?;
    heads::write(transaction, judged, &known.heads, &mut marks).await?;
    marks::write(transaction, &marks).await
}

/// Why the readings of a batch cannot all be stored, by what each of them says itself; `None`: they can.
pub(crate) fn why_not_storable(batch: &Batch, now: Timestamp) -> Option<String> {
    let refused = screen::screen(batch, now, ClockError::default(), 1).refused;
    refused.into_iter().next().map(|refused| refused.reason)
}

/// Takes readings in that were refused before, within the caller's transaction: they are not judged again.
pub(crate) async fn take_in_released(
    db: &Database,
    transaction: &Transaction<'_>,
    batch: &Batch,
    settings: IngestSettings,
    now: Timestamp,
) -> Result<(), UsageError> {
    let received_at = metering::micros(now);
    let mut released = screen::screen(batch, received_at, ClockError::default(), usize::MAX);
    Partitions::default().ensure(db, &released).await?;
    let known = known::lock(transaction, batch, &released).await?;
    // What became of an instance since then is not told anew by what another node read of it.
    let elsewhere = known.instances.iter().filter(|(_, known)| known.node_id != batch.node_id.uuid());
    released.farewells.extend(elsewhere.map(|(id, known)| (*id, known.held_since)));
    let arrival = Arrival { batch, received_at, clock: ClockError::default() };
    write(transaction, &arrival, &released, &known, settings.window).await
}

/// A batch and the circumstances of its arrival.
#[derive(Clone, Copy, Debug)]
struct Arrival<'a> {
    batch: &'a Batch,
    received_at: Timestamp,
    clock: ClockError,
}

/// How far the node's batches are known, and how far a backup has them.
async fn node_marks(
    transaction: &Transaction<'_>,
    batch: &Batch,
) -> Result<(BatchSeq, BatchSeq), IngestError> {
    let statement = transaction.prepare_cached(sql!("node_marks")).await?;
    let Some(row) = transaction.query_opt(&statement, &[&batch.node_id.uuid()]).await? else {
        return Ok((BatchSeq(0), BatchSeq(0)));
    };
    let seq = |column| Ok::<_, UsageError>(BatchSeq(unsigned("node", column, row.try_get(column)?)?));
    Ok((seq("last_seq")?, seq("covered_seq")?))
}

/// `text` as PostgreSQL can store it: it cannot hold NUL.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// An instant as PostgreSQL can store it: its calendar begins later than jiff's.
fn storable(at: Timestamp) -> Timestamp {
    metering::micros(at).max(Timestamp::UNIX_EPOCH)
}

/// Writes the batch's line into the ledger; false when it was there before.
async fn enter(
    transaction: &Transaction<'_>,
    batch: &Batch,
    received_at: Timestamp,
) -> Result<bool, IngestError> {
    let seq = i64::try_from(batch.seq.0).map_err(|_| IngestError::BadSeq { seq: batch.seq })?;
    let rows = i64::try_from(batch.readings.len()).unwrap_or(i64::MAX);
    let (node_id, collected_at) = (batch.node_id.uuid(), storable(batch.collected_at));
    let statement = transaction.prepare_cached(sql!("add_batch")).await?;
    let added =
        transaction.execute(&statement, &[&node_id, &seq, &collected_at, &received_at, &rows]).await?;
    if added == 1 {
        return Ok(true);
    }
    let statement = transaction.prepare_cached(sql!("known_batch")).await?;
    let known = transaction.query_one(&statement, &[&node_id, &seq]).await?;
    let known_at: Timestamp = known.try_get("collected_at")?;
    let known_rows: i64 = known.try_get("rows")?;
    if known_at == collected_at && known_rows == rows {
        return Ok(false);
    }
    if known_at == collected_at && folded::is_known(transaction, batch, seq).await? {
        tracing::info!(node = %batch.node_id, seq = %batch.seq, known_rows, rows, "a batch came again in another form; all of it is known");
        return Ok(false);
    }
    Err(IngestError::Reused { node_id: batch.node_id, seq: batch.seq, known: known_at, found: collected_at })
}

/// Whether a reading found no partition. PostgreSQL has no code of its own for that.
fn is_without_partition(error: &UsageError) -> bool {
    let UsageError::Database(DbError::Query(error)) = error else {
        return false;
    };
    error
        .as_db_error()
        .is_some_and(|error| *error.code() == SqlState::CHECK_VIOLATION && error.constraint().is_none())
}
