//! The usage of any period, as invoices are rated from it: a few statements for a tenant, however many pieces the period is
//! cut into, however long the tenant has been metered.
//!
//! Whole local days come from the sums that derivation keeps beside the records (in one transaction with them, so that
//! the two are equal at every instant), whole windows beside them from the windows in the same rows (or from the records
//! of a day whose row has none), and what is cut within a window is derived from the readings. Adjacent pieces add up to what was read, wherever they are cut. Resources with something of
//! their own (a dimension that changes, usage that is excluded) are added up record by record.
//!
//! It does NOT derive dirty windows: call [`crate::derivation::derive_dirty`] first where the latest readings must be
//! in. It is right as long as all records in the period are of the present window length.

mod hours;
pub(crate) mod spans;

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{Coverage, Dimensions, MeterName, Resource, TenantId, UsageRecord, Window, catalog};
use migrations::{Database, Scope, Session, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::corrections::effects::Effects;
use crate::dimensions::timeline::Timeline;
use crate::error::{UsageError, unsigned};
use crate::settings::UsageSettings;
use crate::{corrections, derivation, dimensions, records};
use spans::{Span, Spans, layers};

/// What a tenant used in each of `pieces` (the period cut where prices change), one record for each resource, meter,
/// piece and set of dimensions: the piece, or the part of it with these dimensions, is the record's window. By resource,
/// meter and piece. Resources that used nothing and were not watched are left out. What is excluded counts nothing, and
/// what is added counts ([`crate::corrections`]). For [`TenantId::UNASSIGNED`] it is what nobody pays for yet, which is
/// for the provider's eyes.
///
/// # Errors
/// The database fails.
pub async fn usage_of_period(
    db: &Database,
    tenant_id: TenantId,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    gather(db, tenant_id, Asked { source: Source::Days, ..Asked::of(pieces) }, settings, now).await
}

/// The same of one meter, as it was recorded: without corrections.
pub(crate) async fn recorded_of_period(
    db: &Database,
    tenant_id: TenantId,
    meter: MeterName,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    let asked = Asked { meter: Some(meter), is_corrected: false, ..Asked::of(pieces) };
    gather(db, tenant_id, asked, settings, now).await
}

/// The same figures without the sums by day, from the records alone: the proof that both agree.
///
/// # Errors
/// The database fails.
pub async fn usage_by_records(
    db: &Database,
    tenant_id: TenantId,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    gather(db, tenant_id, Asked { source: Source::Records, ..Asked::of(pieces) }, settings, now).await
}

/// Where whole days and windows are taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Days,
    Records,
}

/// What is gathered.
#[derive(Clone, Copy)]
struct Asked<'a> {
    pieces: &'a [Window],
    source: Source,
    /// `None`: all of them.
    meter: Option<MeterName>,
    is_corrected: bool,
}

impl<'a> Asked<'a> {
    const fn of(pieces: &'a [Window]) -> Self {
        Self { pieces, source: Source::Days, meter: None, is_corrected: true }
    }

    fn meters(&self) -> Vec<&'static str> {
        match self.meter {
            Some(meter) => vec![meter.as_str()],
            None => catalog().iter().map(|meter| meter.name.as_str()).collect(),
        }
    }
}

async fn gather(
    db: &Database,
    tenant: TenantId,
    asked: Asked<'_>,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    let pieces = asked.pieces;
    let Some(period) = hull(pieces) else { return Ok(Vec::new()) };
    // Nobody's rows can be seen by the provider alone.
    let scope = if tenant == TenantId::UNASSIGNED { Scope::Provider } else { Scope::Tenant(tenant.uuid()) };
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let zone = zone_of(&transaction, tenant).await?;
    let days_of = zone.as_ref().filter(|_| asked.source == Source::Days);
    let mut spans = Spans::of(pieces, settings.window, days_of);
    if let Some(zone) = days_of
        && !are_same_days(&transaction, zone, &spans).await?
    {
        spans = Spans::of(pieces, settings.window, None);
    }
    let effects = match asked.is_corrected {
        true => corrections::effects(&transaction, tenant, period).await?,
        false => Effects::default(),
    };
    let mut gathered = Gathered {
        asked,
        timeline: dimensions::timeline(&transaction, tenant, period).await?,
        effects,
        steps: BTreeMap::new(),
        sums: BTreeMap::new(),
    };
    let special = gathered.special(period);
    for layer in layers(&spans.days) {
        add_days(&transaction, tenant, &layer, &special, &mut gathered).await?;
    }
    for layer in layers(&spans.windows) {
        add_windows(&transaction, tenant, &layer, zone.as_ref(), &special, &mut gathered).await?;
    }
    if !special.is_empty() {
        let whole = Spans::of(pieces, settings.window, None).windows;
        for_each_record(&transaction, tenant, &whole, &special, |found| gathered.add_one(found)).await?;
    }
    gathered.add_what_was_added();
    if spans.edges.is_empty() {
        return gathered.named(&transaction).await;
    }
    transaction.commit().await?;
    add_edges(&mut session, tenant, &spans.edges, settings, now, &mut gathered).await?;
    let transaction = session.begin(scope).await?;
    gathered.named(&transaction).await
}

/// What was found so far.
struct Gathered<'a> {
    asked: Asked<'a>,
    timeline: Timeline,
    effects: Effects,
    /// What the timeline says of a resource, once it was asked.
    steps: BTreeMap<Resource, Vec<(Timestamp, Dimensions)>>,
    sums: BTreeMap<Place, Sum>,
}

/// Resource, place of the meter on an invoice, number of the piece, and where the part of it with the same dimensions
/// begins.
type Place = (Resource, usize, usize, Timestamp);

struct Sum {
    meter: MeterName,
    window: Window,
    dimensions: Dimensions,
    quantity: u64,
    coverage: Coverage,
}

impl Gathered<'_> {
    /// The instances and volumes whose records have to be looked at one by one.
    fn special(&self, period: Window) -> Vec<Uuid> {
        let mut special = self.timeline.changing(period.start(), period.end());
        special.extend(self.effects.excluding());
        special.sort_unstable();
        special.dedup();
        special
    }

    /// Adds usage of the part of a piece that begins at or holds `at`.
    fn add(
        &mut self,
        resource: Resource,
        meter: MeterName,
        (piece, at): (usize, Timestamp),
        quantity: u64,
        coverage: Coverage,
    ) {
        let (window, dimensions) = self.part(&resource, self.asked.pieces[piece], at);
        let place = (resource, meter.position(), piece, window.start());
        let fresh = || Sum { meter, window, dimensions, quantity: 0, coverage: Coverage::default() };
        let sum = self.sums.entry(place).or_insert_with(fresh);
        sum.quantity = sum.quantity.saturating_add(quantity);
        sum.coverage.measured_us += coverage.measured_us;
        sum.coverage.estimated_us += coverage.estimated_us;
        sum.coverage.missing_us += coverage.missing_us;
    }

    /// Adds a record or what was derived like one, unless it is excluded: then it counts nothing, and its time stays known.
    fn add_one(&mut self, found: Found) {
        let Found { piece, resource, meter, at, quantity, coverage } = found;
        if self.asked.meter.is_some_and(|asked| asked != meter) {
            return;
        }
        let is_excluded = self.effects.excluded_by(&resource, meter, at).is_some();
        self.add(resource, meter, (piece, at), if is_excluded { 0 } else { quantity }, coverage);
    }

    fn add_what_was_added(&mut self) {
        let effects = self.effects.clone();
        for effect in effects.adding() {
            for (n, piece) in self.asked.pieces.iter().enumerate() {
                let mut rest = piece.intersection(effect.window);
                // Part by part, as dimensions change.
                while let Some(window) = rest {
                    let (part, _) = self.part(&effect.resource, *piece, window.start());
                    let within = window.intersection(part).unwrap_or(window);
                    let quantity = effect.added_in(within);
                    if 0 < quantity {
                        let at = (n, window.start());
                        self.add(effect.resource.clone(), effect.meter, at, quantity, Coverage::default());
                    }
                    rest = Window::new(within.end(), window.end()).ok();
                }
            }
        }
    }

    /// The part of a piece, around `at`, in which a resource has the same dimensions.
    fn part(&mut self, resource: &Resource, piece: Window, at: Timestamp) -> (Window, Dimensions) {
        if !self.steps.contains_key(resource) {
            let steps = self.timeline.steps(resource);
            self.steps.insert(resource.clone(), steps);
        }
        let steps = self.steps.get(resource).map_or(&[][..], Vec::as_slice);
        let next = steps.partition_point(|(from, _)| *from <= at);
        let holding = next.checked_sub(1).and_then(|n| steps.get(n));
        let start = holding.map_or(piece.start(), |(from, _)| piece.start().max(*from));
        let end = steps.get(next).map_or(piece.end(), |(from, _)| piece.end().min(*from));
        let dimensions = holding.map(|(_, dimensions)| dimensions.clone()).unwrap_or_default();
        (Window::new(start, end).unwrap_or(piece), dimensions)
    }

    /// As records, with the names that the transaction's scope may see.
    async fn named(self, transaction: &Transaction<'_>) -> Result<Vec<UsageRecord>, UsageError> {
        let names = records::names(transaction, self.sums.keys().map(|(resource, ..)| resource)).await?;
        let record = |((resource, ..), sum): (Place, Sum)| UsageRecord {
            resource_name: records::name_of(&names, &resource),
            resource,
            meter: sum.meter,
            window: sum.window,
            quantity: sum.quantity,
            coverage: sum.coverage,
            dimensions: sum.dimensions,
        };
        Ok(self.sums.into_iter().map(record).collect())
    }
}

/// From the first start to the last end.
fn hull(pieces: &[Window]) -> Option<Window> {
    let start = pieces.iter().map(|piece| piece.start()).min()?;
    Window::new(start, pieces.iter().map(|piece| piece.end()).max()?).ok()
}

/// The zone of the tenant's days; `None` where this machine does not know it.
async fn zone_of(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Option<TimeZone>, UsageError> {
    let statement = transaction.prepare_cached(sql!("close_zone")).await?;
    let Some(row) = transaction.query_opt(&statement, &[&tenant.uuid()]).await? else { return Ok(None) };
    Ok(TimeZone::get(row.try_get("time_zone")?).ok())
}

/// Whether PostgreSQL's days begin when this machine's do: their time zones may be of different releases.
async fn are_same_days(
    transaction: &Transaction<'_>,
    zone: &TimeZone,
    spans: &Spans,
) -> Result<bool, UsageError> {
    let Some(name) = zone.iana_name() else { return Ok(false) };
    let (days, instants) = spans.borders(zone);
    let statement = transaction.prepare_cached(sql!("close_same_days")).await?;
    let row = transaction.query_one(&statement, &[&name, &days, &instants]).await?;
    Ok(days.len() == 2 * spans.days.len() && row.try_get("is_same")?)
}

async fn add_days(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    spans: &[Span<Date>],
    special: &[Uuid],
    gathered: &mut Gathered<'_>,
) -> Result<(), UsageError> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let (starts, ends): (Vec<Date>, Vec<Date>) = spans.iter().map(|span| (span.from, span.to)).unzip();
    let statement = transaction.prepare_cached(sql!("close_days")).await?;
    let params: [&(dyn ToSql + Sync); 7] =
        [&tenant.uuid(), &starts, &ends, &first.from, &last.to, &special, &gathered.asked.meters()];
    for row in &transaction.query(&statement, &params).await? {
        add_sum(row, spans, gathered)?;
    }
    Ok(())
}

async fn add_windows(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    spans: &[Span<Timestamp>],
    zone: Option<&TimeZone>,
    special: &[Uuid],
    gathered: &mut Gathered<'_>,
) -> Result<(), UsageError> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    // A day more on both sides: whichever zone the days are of, all that are touched are among them.
    let day = |at: Timestamp| at.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC)).date();
    let (from, to) = (day(first.from), day(last.to));
    let (from, to) = (from.yesterday().unwrap_or(from), to.tomorrow().unwrap_or(to));
    if gathered.asked.source == Source::Days {
        return hours::add(transaction, tenant, spans, (from, to), special, gathered).await;
    }
    let (starts, ends): (Vec<Timestamp>, Vec<Timestamp>) =
        spans.iter().map(|span| (span.from, span.to)).unzip();
    let statement = transaction.prepare_cached(sql!("close_windows")).await?;
    let params: [&(dyn ToSql + Sync); 8] =
        [&tenant.uuid(), &starts, &ends, &first.from, &last.to, &from, &to, &special];
    for row in &transaction.query(&statement, &params).await? {
        add_sum(row, spans, gathered)?;
    }
    Ok(())
}

/// Adds what a statement summed in one of the spans that it was given, which it counts from 1.
fn add_sum<T>(row: &Row, spans: &[Span<T>], gathered: &mut Gathered<'_>) -> Result<(), UsageError> {
    let part: i32 = row.try_get("part")?;
    let span = usize::try_from(part).ok().and_then(|part| spans.get(part.checked_sub(1)?));
    let Some(span) = span else {
        return Err(UsageError::Corrupt { table: "usage_day", column: "part", value: part.to_string() });
    };
    let at = (span.piece, gathered.asked.pieces[span.piece].start());
    let (quantity, coverage) = figures(row)?;
    gathered.add(records::resource(row)?, records::meter(row)?, at, quantity, coverage);
    Ok(())
}

/// A record, and which piece it is in.
pub(crate) struct Found {
    pub(crate) piece: usize,
    pub(crate) resource: Resource,
    pub(crate) meter: MeterName,
    pub(crate) at: Timestamp,
    pub(crate) quantity: u64,
    pub(crate) coverage: Coverage,
}

/// The records of some resources, one by one, as they come from the database: they are many, and not held.
pub(crate) async fn for_each_record(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    spans: &[Span<Timestamp>],
    resources: &[Uuid],
    mut found: impl FnMut(Found),
) -> Result<(), UsageError> {
    let (Some(start), Some(end)) =
        (spans.iter().map(|span| span.from).min(), spans.iter().map(|span| span.to).max())
    else {
        return Ok(());
    };
    let statement = transaction.prepare_cached(sql!("close_records")).await?;
    let tenant = tenant.uuid();
    let params: [&(dyn ToSql + Sync); 4] = [&tenant, &resources, &start, &end];
    let mut rows = std::pin::pin!(transaction.query_raw(&statement, params).await?);
    while let Some(row) = rows.try_next().await? {
        let window = derivation::window_of(&row)?;
        let (quantity, coverage) = figures(&row)?;
        for span in spans.iter().filter(|span| span.from <= window.start() && window.end() <= span.to) {
            let (resource, meter) = (records::resource(&row)?, records::meter(&row)?);
            found(Found { piece: span.piece, resource, meter, at: window.start(), quantity, coverage });
        }
    }
    Ok(())
}

/// The readings next to an edge may be another tenant's: what is derived from them is not.
async fn add_edges(
    session: &mut Session,
    tenant: TenantId,
    spans: &[Span<Timestamp>],
    settings: UsageSettings,
    now: Timestamp,
    gathered: &mut Gathered<'_>,
) -> Result<(), UsageError> {
    let transaction = session.begin(Scope::Provider).await?;
    for span in spans {
        let Ok(edge) = Window::new(span.from, span.to) else { continue };
        for found in records::derived(&transaction, tenant, &[edge], settings, now).await? {
            let derivation::Piece { resource, meter, quantity, coverage, .. } = found;
            let at = found.window.start();
            gathered.add_one(Found { piece: span.piece, resource, meter, at, quantity, coverage });
        }
    }
    Ok(transaction.commit().await?)
}

fn figures(row: &Row) -> Result<(u64, Coverage), UsageError> {
    Ok((figure(row, "quantity")?, coverage(row)?))
}

fn coverage(row: &Row) -> Result<Coverage, UsageError> {
    Ok(Coverage {
        measured_us: figure(row, "measured_us")?,
        estimated_us: figure(row, "estimated_us")?,
        missing_us: figure(row, "missing_us")?,
    })
}

fn figure(row: &Row, column: &'static str) -> Result<u64, UsageError> {
    unsigned("usage_record", column, row.try_get(column)?)
}
