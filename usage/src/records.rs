//! Usage of any period, and what the ways to it have in common: names, rows, and what is derived from readings on the
//! spot. How a period's usage is put together is [`crate::close`]'s.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{MeterName, Resource, ResourceKind, TenantId, UsageRecord, Window};
use migrations::{Database, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::close;
pub(crate) use crate::close::spans::{edges, whole_windows};
use crate::derivation::{self, Piece};
use crate::error::UsageError;
use crate::ingest::marks::MarkKind;
use crate::load;
use crate::ownership;
use crate::settings::UsageSettings;

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
    close::usage_of_period(db, tenant_id, pieces, settings, now).await
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
