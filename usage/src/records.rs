//! Usage of any period: whole windows come from the usage records, the edges of a period that is cut within a window are
//! derived from the readings on the spot. Adjacent periods therefore add up to what was read, wherever they are cut.
//!
//! It does NOT derive dirty windows: call [`crate::derivation::derive_dirty`] first where the latest readings must be
//! in. It is right as long as all records in the period are of the present window length.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{Coverage, MeterName, Resource, ResourceKind, TenantId, UsageRecord, Window, WindowLength};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::derivation::{self, Piece};
use crate::error::{UsageError, unsigned};
use crate::ingest::marks::MarkKind;
use crate::load;
use crate::ownership;
use crate::settings::UsageSettings;

/// Sums by resource, place of the meter on an invoice, and number of the piece.
type Sums = BTreeMap<(Resource, usize, usize), (MeterName, u64, Coverage)>;

/// What a tenant used in each of `pieces`, by resource and meter: in this order, a piece's window as the record's.
/// Resources that used nothing and were not watched are left out. For [`TenantId::UNASSIGNED`] it is what nobody pays
/// for yet, which is for the provider's eyes.
///
/// # Errors
/// The database fails.
pub async fn usage_of(
    db: &Database,
    tenant_id: TenantId,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    gather(db, tenant_id, pieces, None, settings, now).await
}

/// The same figures, faster: pieces that consist of whole days of the tenant's `zone` are taken from the sums by day, which
/// derivation keeps equal to the records. For what is shown while a month runs; invoices are rated from the records.
///
/// # Errors
/// The database fails.
pub async fn usage_by_days(
    db: &Database,
    tenant_id: TenantId,
    zone: &TimeZone,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    gather(db, tenant_id, pieces, Some(zone), settings, now).await
}

async fn gather(
    db: &Database,
    tenant_id: TenantId,
    pieces: &[Window],
    zone: Option<&TimeZone>,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    // Nobody's rows can be seen by the provider alone.
    let scope =
        if tenant_id == TenantId::UNASSIGNED { Scope::Provider } else { Scope::Tenant(tenant_id.uuid()) };
    let mut session = db.session().await?;
    let mut sums = Sums::new();
    let transaction = session.begin(scope).await?;
    for (n, piece) in pieces.iter().enumerate() {
        let rows =
            match (zone.and_then(|zone| whole_days(*piece, zone)), whole_windows(*piece, settings.window)) {
                (Some((from, to)), _) => {
                    let statement = transaction.prepare_cached(sql!("usage_of_days")).await?;
                    transaction.query(&statement, &[&tenant_id.uuid(), &from, &to]).await?
                }
                (None, Some(whole)) => {
                    let statement = transaction.prepare_cached(sql!("usage_of")).await?;
                    transaction.query(&statement, &[&tenant_id.uuid(), &whole.start(), &whole.end()]).await?
                }
                (None, None) => continue,
            };
        add_rows(&rows, n, &mut sums)?;
    }
    transaction.commit().await?;
    // The readings next to an edge may be another tenant's: what is derived from them is not.
    let transaction = session.begin(Scope::Provider).await?;
    for (n, piece) in pieces.iter().enumerate() {
        if zone.is_some_and(|zone| whole_days(*piece, zone).is_some()) {
            continue;
        }
        for edge in edges(*piece, settings.window) {
            add_edge(&transaction, tenant_id, edge, n, &mut sums, settings, now).await?;
        }
    }
    transaction.commit().await?;
    let transaction = session.begin(scope).await?;
    let names = names(&transaction, sums.keys().map(|(resource, ..)| resource)).await?;
    transaction.commit().await?;
    Ok(sums
        .into_iter()
        .map(|((resource, _, n), (meter, quantity, coverage))| {
            let resource_name = name_of(&names, &resource);
            UsageRecord {
                resource,
                resource_name,
                meter,
                window: pieces[n],
                quantity,
                coverage,
                dimensions: metering::Dimensions::default(),
            }
        })
        .collect())
}

/// What nobody pays for yet.
///
/// # Errors
/// The database fails.
pub async fn unassigned(
    db: &Database,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    usage_of(db, TenantId::UNASSIGNED, pieces, settings, now).await
}

/// The days of `zone` that a piece consists of, the last excluded; `None` when it begins or ends within one.
fn whole_days(piece: Window, zone: &TimeZone) -> Option<(Date, Date)> {
    let midnight = |at: Timestamp| {
        let day = at.to_zoned(zone.clone()).date();
        (day.to_zoned(zone.clone()).ok()?.timestamp() == at).then_some(day)
    };
    Some((midnight(piece.start())?, midnight(piece.end())?))
}

/// The part of a piece that consists of whole usage windows.
pub(crate) fn whole_windows(piece: Window, length: WindowLength) -> Option<Window> {
    let first = length.window_of(piece.start());
    let start = if first.start() == piece.start() { first.start() } else { first.end() };
    Window::new(start, length.window_of(piece.end()).start()).ok()
}

/// The parts of a piece that do not.
pub(crate) fn edges(piece: Window, length: WindowLength) -> Vec<Window> {
    match whole_windows(piece, length) {
        None => vec![piece],
        Some(whole) => [Window::new(piece.start(), whole.start()), Window::new(whole.end(), piece.end())]
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn add_rows(rows: &[Row], n: usize, sums: &mut Sums) -> Result<(), UsageError> {
    for row in rows {
        let (resource, meter) = (resource(row)?, meter(row)?);
        let figure = |column| unsigned("usage_record", column, row.try_get(column)?);
        let coverage = Coverage {
            measured_us: figure("measured_us")?,
            estimated_us: figure("estimated_us")?,
            missing_us: figure("missing_us")?,
        };
        add(sums, resource, meter, n, figure("quantity")?, coverage);
    }
    Ok(())
}

async fn add_edge(
    transaction: &Transaction<'_>,
    tenant_id: TenantId,
    edge: Window,
    n: usize,
    sums: &mut Sums,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<(), UsageError> {
    for piece in edge_pieces(transaction, tenant_id, edge, settings, now).await? {
        add(sums, piece.resource, piece.meter, n, piece.quantity, piece.coverage);
    }
    Ok(())
}

/// What a tenant used in a window that is not whole, from the readings themselves. In the provider's scope: the readings
/// beside the window may be another tenant's.
pub(crate) async fn edge_pieces(
    transaction: &Transaction<'_>,
    tenant_id: TenantId,
    edge: Window,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<Piece>, UsageError> {
    derived(transaction, tenant_id, &[edge], settings, now).await
}

/// What a tenant used in `windows` (in order, disjoint), from the readings themselves. In the provider's scope.
pub(crate) async fn derived(
    transaction: &Transaction<'_>,
    tenant_id: TenantId,
    windows: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<Piece>, UsageError> {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else { return Ok(Vec::new()) };
    let Ok(span) = Window::new(first.start(), last.end()) else { return Ok(Vec::new()) };
    let text =
        if tenant_id == TenantId::UNASSIGNED { sql!("unassigned_within") } else { sql!("held_within") };
    let statement = transaction.prepare_cached(text).await?;
    let rows = transaction.query(&statement, &[&tenant_id.uuid(), &span.start(), &span.end()]).await?;
    let mut found = Vec::new();
    for row in rows {
        let kind = MarkKind::parse(row.try_get("kind")?)?;
        let id: Uuid = row.try_get("resource")?;
        let series = load::load(transaction, kind, id, span, settings.tolerance).await?;
        let ownership = ownership::ownership_of(transaction, kind, id).await?;
        let pieces = derivation::pieces(&series, &ownership, windows, settings, now);
        found.extend(pieces.into_iter().filter(|piece| piece.tenant == tenant_id.uuid()));
    }
    Ok(found)
}

fn add(sums: &mut Sums, resource: Resource, meter: MeterName, n: usize, quantity: u64, coverage: Coverage) {
    let fresh = (meter, 0, Coverage::default());
    let (_, sum, times) = sums.entry((resource, meter.position(), n)).or_insert(fresh);
    *sum = sum.saturating_add(quantity);
    times.measured_us += coverage.measured_us;
    times.estimated_us += coverage.estimated_us;
    times.missing_us += coverage.missing_us;
}

/// The names of resources that the transaction's scope may see.
pub(crate) async fn names<'a>(
    transaction: &Transaction<'_>,
    resources: impl Iterator<Item = &'a Resource>,
) -> Result<BTreeMap<Uuid, String>, UsageError> {
    let mut ids: Vec<Uuid> = resources.map(load::uuid_of).collect();
    ids.sort_unstable();
    ids.dedup();
    let statement = transaction.prepare_cached(sql!("names")).await?;
    let mut names = BTreeMap::new();
    for row in transaction.query(&statement, &[&ids]).await? {
        names.insert(row.try_get("resource")?, row.try_get("name")?);
    }
    Ok(names)
}

/// The name of a resource, or its id where no name is known.
pub(crate) fn name_of(names: &BTreeMap<Uuid, String>, resource: &Resource) -> String {
    let id = load::uuid_of(resource);
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

pub(crate) fn resource(row: &Row) -> Result<Resource, UsageError> {
    let kind: String = row.try_get("kind")?;
    let Some(kind) = ResourceKind::parse(&kind) else {
        return Err(UsageError::Corrupt { table: "usage_record", column: "kind", value: kind });
    };
    Ok(load::resource_of(kind, row.try_get("resource")?, row.try_get("device")?))
}

pub(crate) fn meter(row: &Row) -> Result<MeterName, UsageError> {
    let meter: String = row.try_get("meter")?;
    MeterName::parse(&meter).map_err(|_| UsageError::Corrupt {
        table: "usage_record",
        column: "meter",
        value: meter,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(start: &str, end: &str, whole: Option<(&str, &str)>, edges_expected: usize) {
        let piece = Window::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
        let expected =
            whole.map(|(start, end)| Window::new(start.parse().unwrap(), end.parse().unwrap()).unwrap());
        assert_eq!(whole_windows(piece, WindowLength::HOUR), expected);
        let edges = edges(piece, WindowLength::HOUR);
        assert_eq!(edges.len(), edges_expected);
        let parts: i64 = edges.iter().chain(expected.iter()).map(|part| part.microseconds()).sum();
        assert_eq!(parts, piece.microseconds(), "nothing is left out or counted twice");
    }

    #[test]
    fn a_period_is_its_whole_windows_and_its_edges() {
        let (h1, h2) = ("2026-10-01T01:00:00Z", "2026-10-01T02:00:00Z");
        check(h1, h2, Some((h1, h2)), 0);
        check("2026-10-01T00:30:00Z", h2, Some((h1, h2)), 1);
        check("2026-10-01T00:30:00Z", "2026-10-01T02:00:01Z", Some((h1, h2)), 2);
        check("2026-10-01T01:10:00Z", "2026-10-01T01:20:00Z", None, 1);
        check("2026-10-01T01:10:00Z", "2026-10-01T02:20:00Z", None, 1);
        check("2026-10-01T01:10:00Z", h2, None, 1);
    }
}
