//! Usage records out of readings: takes what is marked dirty, derives it, writes what changed. One transaction for
//! each resource, so that one that cannot be derived does not hold up the others.
//!
//! It does NOT know how `C(end) - C(start)` is computed (`metering::derive`) or when to run (the appliance does).

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use metering::{Coverage, MeterName, Resource, Window, catalog};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::UsageError;
use crate::ingest::marks::MarkKind;
use crate::load;
use crate::ownership::{self, Ownership};
use crate::settings::UsageSettings;

/// Resources that are looked up at once.
const RESOURCES_MAX: i64 = 500;

/// Marks of one resource that are looked at in one transaction.
const MARKS_MAX: i64 = 400;

/// Windows of one resource that are derived in one transaction, unless one mark alone has more: ingest of the same
/// resource waits for it.
const WINDOWS_MAX: usize = 1_000;

/// Resources that are derived beside each other. The time goes into round trips, and the pool has other users.
const PARALLEL: usize = 4;

/// Heads that are looked at in one transaction of [`mark_overdue`].
const OVERDUE_MAX: i64 = 1_000;

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Resources (an instance with its devices, or a volume) of which something was derived.
    pub resources: usize,
    /// Windows that were derived.
    pub windows: usize,
    /// Usage records that were written or removed because they changed.
    pub records_changed: u64,
    /// Resources that could not be derived: logged, and still marked.
    pub failed: usize,
}

/// Usage of one meter in one piece of a window, with who pays for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) tenant: Uuid,
    pub(crate) resource: Resource,
    pub(crate) meter: MeterName,
    pub(crate) window: Window,
    pub(crate) quantity: u64,
    pub(crate) coverage: Coverage,
}

/// Derives everything that is marked dirty when it is called. Windows that are still open are derived as far as they
/// are known. Safe beside ingest and beside itself.
///
/// # Errors
/// The marks cannot be read. What cannot be derived is counted and logged instead.
pub async fn derive_dirty(
    db: &Database,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Derived, UsageError> {
    let mut sum = Derived::default();
    let mut after = (String::new(), Uuid::nil());
    loop {
        let resources = dirty_resources(db, &after).await?;
        let Some(last) = resources.last() else {
            return Ok(sum);
        };
        after = (last.0.as_str().to_owned(), last.1);
        let outcomes: Vec<_> = stream::iter(resources)
            .map(|(kind, resource)| async move {
                (kind, resource, derive_resource(db, kind, resource, settings, now).await)
            })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        for (kind, resource, outcome) in outcomes {
            match outcome {
                Ok(derived) => sum.add(derived),
                Err(error) => {
                    sum.failed += 1;
                    let reason = chain(&error);
                    tracing::error!(kind = kind.as_str(), %resource, reason, "usage was not derived");
                }
            }
        }
    }
}

/// Marks the closed windows of resources that have fallen silent, so that their time is recorded as missing. Returns how
/// many resources there were.
///
/// # Errors
/// The database fails.
pub async fn mark_overdue(db: &Database, settings: UsageSettings, now: Timestamp) -> Result<u64, UsageError> {
    let mut marked = 0;
    let tolerance = jiff::SignedDuration::try_from(settings.tolerance).unwrap_or(jiff::SignedDuration::MAX);
    let silent_since = now.saturating_sub(tolerance).unwrap_or(now);
    let closed = settings.window.window_of(now).start();
    loop {
        let mut session = db.session().await?;
        let transaction = session.begin(Scope::Provider).await?;
        let statement = transaction.prepare_cached(sql!("take_overdue")).await?;
        let rows = transaction.query(&statement, &[&silent_since, &closed, &OVERDUE_MAX]).await?;
        let mut marks = crate::ingest::marks::Marks::new(settings.window);
        for row in &rows {
            let kind: String = row.try_get("kind")?;
            let (starts, resource) = (row.try_get("starts")?, row.try_get("resource")?);
            marks.add(MarkKind::parse(&kind)?, resource, starts, closed);
        }
        crate::ingest::marks::write(&transaction, &marks).await?;
        transaction.commit().await?;
        marked += rows.len() as u64;
        if rows.is_empty() {
            return Ok(marked);
        }
    }
}

/// The usage of a resource and its devices in `windows`, by meter and payer. Pieces in which nothing is known and
/// nothing was used are left out.
pub(crate) fn pieces(
    series: &load::Series,
    ownership: &Ownership,
    windows: &[Window],
    settings: UsageSettings,
    known_until: Timestamp,
) -> Vec<Piece> {
    let parts = ownership.split(windows);
    let mut pieces = Vec::new();
    for (resource, points) in series {
        let kind = load::kind_of(resource);
        let registers = load::registers(kind);
        for usage in metering::derive(points, &parts, settings.tolerance, known_until) {
            let coverage = fitted(usage.coverage, usage.window);
            let tenant = ownership.at(usage.window.start()).uuid();
            for meter in catalog().iter().filter(|meter| meter.resource == kind) {
                let Some(n) = registers.iter().position(|name| *name == meter.register) else {
                    continue;
                };
                let quantity = usage.quantities[n];
                if quantity == 0 && coverage == Coverage::default() {
                    continue;
                }
                let (resource, meter, window) = (resource.clone(), meter.id(), usage.window);
                pieces.push(Piece { tenant, resource, meter, window, quantity, coverage });
            }
        }
    }
    pieces
}

impl Derived {
    fn add(&mut self, other: Derived) {
        let Derived { resources, windows, records_changed, failed } = other;
        self.resources += resources;
        self.windows += windows;
        self.records_changed += records_changed;
        self.failed += failed;
    }
}

/// A coverage that fits its window. Registers that rise in no time are given a microsecond that belongs to others too.
fn fitted(mut coverage: Coverage, window: Window) -> Coverage {
    let length = window.microseconds().unsigned_abs();
    let sum = coverage.measured_us + coverage.estimated_us + coverage.missing_us;
    let mut excess = sum.saturating_sub(length);
    for time in [&mut coverage.measured_us, &mut coverage.estimated_us, &mut coverage.missing_us] {
        let cut = excess.min(*time);
        *time -= cut;
        excess -= cut;
    }
    coverage
}

async fn dirty_resources(db: &Database, after: &(String, Uuid)) -> Result<Vec<(MarkKind, Uuid)>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql!("dirty_resources")).await?;
    let rows = transaction.query(&statement, &[&after.0, &after.1, &RESOURCES_MAX]).await?;
    rows.iter().map(|row| Ok((MarkKind::parse(row.try_get("kind")?)?, row.try_get("resource")?))).collect()
}

/// Derives all marks of one resource, in as many transactions as it takes.
async fn derive_resource(
    db: &Database,
    kind: MarkKind,
    resource: Uuid,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Derived, UsageError> {
    let mut sum = Derived::default();
    let mut session = db.session().await?;
    loop {
        let transaction = session.begin(Scope::Provider).await?;
        let marks = take_marks(&transaction, kind, resource, settings).await?;
        if marks.is_empty() {
            return Ok(sum);
        }
        let windows = windows_of(&transaction, kind, resource, &marks, settings).await?;
        let span = Window::new(windows[0].start(), windows[windows.len() - 1].end());
        let Ok(span) = span else { return Ok(sum) };
        let series = load::load(&transaction, kind, resource, span, settings.tolerance).await?;
        let ownership = ownership::ownership_of(&transaction, kind, resource).await?;
        let pieces = pieces(&series, &ownership, &windows, settings, now);
        sum.records_changed += write(&transaction, resource, &windows, &pieces, now).await?;
        transaction.commit().await?;
        sum.resources = 1;
        sum.windows += windows.len();
    }
}

/// Takes marks of a resource off the list; none when somebody else works on it. What is marked again meanwhile waits
/// for this transaction and is a new mark then.
async fn take_marks(
    transaction: &Transaction<'_>,
    kind: MarkKind,
    resource: Uuid,
    settings: UsageSettings,
) -> Result<Vec<Window>, UsageError> {
    // Marks may overlap: without this, two could derive the same window, and the older view be written last.
    let statement = transaction.prepare_cached(sql!("lock_resource")).await?;
    if !transaction.query_one(&statement, &[&resource]).await?.try_get::<_, bool>("is_locked")? {
        return Ok(Vec::new());
    }
    let statement = transaction.prepare_cached(sql!("lock_marks")).await?;
    let rows = transaction.query(&statement, &[&kind.as_str(), &resource, &MARKS_MAX]).await?;
    let mut marks: Vec<Window> = Vec::new();
    let mut windows = 0;
    for row in &rows {
        let mark = window_of(row)?;
        windows += settings.window.windows_touching(mark).count();
        if !marks.is_empty() && WINDOWS_MAX < windows {
            break;
        }
        marks.push(mark);
    }
    let starts: Vec<Timestamp> = marks.iter().map(|mark| mark.start()).collect();
    let statement = transaction.prepare_cached(sql!("remove_marks")).await?;
    transaction.execute(&statement, &[&kind.as_str(), &resource, &starts]).await?;
    Ok(marks)
}

/// The windows to derive: those that the marks touch, and those that touch older records of another window length.
/// Not empty, disjoint, in order.
async fn windows_of(
    transaction: &Transaction<'_>,
    kind: MarkKind,
    resource: Uuid,
    marks: &[Window],
    settings: UsageSettings,
) -> Result<Vec<Window>, UsageError> {
    let touching = |spans: &[Window]| {
        let mut windows: Vec<Window> =
            spans.iter().flat_map(|span| settings.window.windows_touching(*span)).collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    };
    let mut windows = touching(marks);
    let statement = transaction.prepare_cached(sql!("records_across")).await?;
    loop {
        let (starts, ends) = bounds(&windows);
        let rows = transaction.query(&statement, &[&kind.as_str(), &resource, &starts, &ends]).await?;
        if rows.is_empty() {
            return Ok(windows);
        }
        let mut spans = windows.clone();
        for row in &rows {
            spans.push(window_of(row)?);
        }
        let wider = touching(&spans);
        if wider.len() == windows.len() {
            return Ok(windows);
        }
        windows = wider;
    }
}

/// Makes the records of `windows` be `pieces`, and the days that this changes their sums. Returns how many records
/// changed.
async fn write(
    transaction: &Transaction<'_>,
    resource: Uuid,
    windows: &[Window],
    pieces: &[Piece],
    now: Timestamp,
) -> Result<u64, UsageError> {
    let tenants: Vec<Uuid> = pieces.iter().map(|piece| piece.tenant).collect();
    let kinds: Vec<&str> = pieces.iter().map(|piece| load::kind_of(&piece.resource).as_str()).collect();
    let devices: Vec<&str> = pieces.iter().map(|piece| piece.resource.device().unwrap_or("")).collect();
    let meters: Vec<&str> = pieces.iter().map(|piece| piece.meter.as_str()).collect();
    let starts: Vec<Timestamp> = pieces.iter().map(|piece| piece.window.start()).collect();
    let ends: Vec<Timestamp> = pieces.iter().map(|piece| piece.window.end()).collect();
    let (window_starts, window_ends) = bounds(windows);
    let statement = transaction.prepare_cached(sql!("remove_usage")).await?;
    let mut changed = transaction
        .query(
            &statement,
            &[&resource, &window_starts, &window_ends, &tenants, &devices, &meters, &starts, &ends],
        )
        .await?;
    let quantities = bigints("quantity", pieces.iter().map(|piece| piece.quantity))?;
    let measured = bigints("measured_us", pieces.iter().map(|piece| piece.coverage.measured_us))?;
    let estimated = bigints("estimated_us", pieces.iter().map(|piece| piece.coverage.estimated_us))?;
    let missing = bigints("missing_us", pieces.iter().map(|piece| piece.coverage.missing_us))?;
    let statement = transaction.prepare_cached(sql!("put_usage")).await?;
    let put = transaction
        .query(
            &statement,
            &[
                &resource,
                &now,
                &tenants,
                &kinds,
                &devices,
                &meters,
                &starts,
                &ends,
                &quantities,
                &measured,
                &estimated,
                &missing,
            ],
        )
        .await?;
    changed.extend(put);
    sum_days(transaction, resource, &changed).await?;
    Ok(changed.len() as u64)
}

/// Sums the days of a resource again to which these rows of usage records belong: what a day's page shows is what its
/// records say, at every instant.
async fn sum_days(transaction: &Transaction<'_>, resource: Uuid, changed: &[Row]) -> Result<(), UsageError> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut touched: Vec<(Uuid, Timestamp)> = Vec::with_capacity(changed.len());
    for row in changed {
        touched.push((row.try_get("tenant_id")?, row.try_get("window_start")?));
    }
    touched.sort_unstable();
    touched.dedup();
    let (tenants, starts): (Vec<Uuid>, Vec<Timestamp>) = touched.into_iter().unzip();
    let statement = transaction.prepare_cached(sql!("sum_days")).await?;
    transaction.execute(&statement, &[&resource, &tenants, &starts]).await?;
    Ok(())
}

fn bounds(windows: &[Window]) -> (Vec<Timestamp>, Vec<Timestamp>) {
    windows.iter().map(|window| (window.start(), window.end())).unzip()
}

fn bigints(column: &'static str, values: impl Iterator<Item = u64>) -> Result<Vec<i64>, UsageError> {
    let too_large =
        |value: u64| UsageError::Corrupt { table: "usage_record", column, value: value.to_string() };
    values.map(|value| i64::try_from(value).map_err(|_| too_large(value))).collect()
}

pub(crate) fn window_of(row: &Row) -> Result<Window, UsageError> {
    let start: Timestamp = row.try_get("window_start")?;
    let end: Timestamp = row.try_get("window_end")?;
    Window::new(start, end).map_err(|error| UsageError::Corrupt {
        table: "dirty_window",
        column: "window_end",
        value: error.to_string(),
    })
}

/// An error with its sources, for one line of the log.
fn chain(error: &UsageError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
