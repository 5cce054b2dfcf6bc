//! Usage by day, for pages and lists: sums that derivation keeps beside the records ([`crate::derivation`]). A day is a
//! local one of the tenant who pays. It does NOT cut days: periods that begin within one are for [`crate::records`], and
//! so are invoices.

use std::collections::BTreeMap;

use jiff::civil::Date;
use metering::{Coverage, MeterName, Resource, TenantId, TenantName};
use migrations::{Database, Scope};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{UsageError, unsigned};
use crate::records;

/// Which days of whose usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayQuery {
    /// Who paid; `None`: all that the scope may see.
    pub tenant: Option<TenantId>,
    /// One instance with its devices, or one volume; `None`: all.
    pub resource: Option<Uuid>,
    /// The first day.
    pub from: Date,
    /// The day after the last.
    pub to: Date,
}

/// What was used in one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// The day, in the zone of whoever paid.
    pub day: Date,
    /// Of what.
    pub meter: MeterName,
    /// How much, in the meter's base unit.
    pub quantity: u128,
    /// How well it is known.
    pub coverage: Coverage,
}

/// What one resource used in some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceDays {
    /// Which.
    pub resource: Resource,
    /// Its name: of a device, that of its instance.
    pub name: String,
    /// How much, in the meter's base unit.
    pub quantity: u128,
    /// How well it is known.
    pub coverage: Coverage,
}

/// What one tenant used in some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDays {
    /// Who pays; [`TenantId::UNASSIGNED`] for what nobody does.
    pub tenant_id: TenantId,
    /// Their name.
    pub tenant_name: TenantName,
    /// Of what.
    pub meter: MeterName,
    /// How much, in the meter's base unit.
    pub quantity: u128,
    /// How well it is known.
    pub coverage: Coverage,
}

/// Usage by day and meter: in the order of days, then of an invoice. Days and meters of which
/// nothing is recorded are left out; one of which all that is recorded is missing time is there, with a quantity of zero.
///
/// # Errors
/// The database fails.
pub async fn by_day(db: &Database, scope: Scope, query: &DayQuery) -> Result<Vec<DayUsage>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let tenant = query.tenant.map(TenantId::uuid);
    let rows = match query.resource {
        None => {
            let statement = transaction.prepare_cached(sql!("days")).await?;
            transaction.query(&statement, &[&tenant, &query.from, &query.to]).await?
        }
        Some(resource) => {
            let statement = transaction.prepare_cached(sql!("days_of_resource")).await?;
            transaction.query(&statement, &[&tenant, &query.from, &query.to, &resource]).await?
        }
    };
    let mut days = Vec::with_capacity(rows.len());
    for row in &rows {
        days.push(DayUsage {
            day: row.try_get("day")?,
            meter: records::meter(row)?,
            quantity: quantity(row)?,
            coverage: coverage(row)?,
        });
    }
    days.sort_unstable_by_key(|day| (day.day, day.meter.position()));
    Ok(days)
}

/// Usage of one meter by resource: the largest first.
///
/// # Errors
/// The database fails.
pub async fn by_resource(
    db: &Database,
    scope: Scope,
    query: &DayQuery,
    meter: MeterName,
) -> Result<Vec<ResourceDays>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("days_by_resource")).await?;
    let tenant = query.tenant.map(TenantId::uuid);
    let rows = transaction
        .query(&statement, &[&tenant, &query.from, &query.to, &meter.as_str(), &query.resource])
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((records::resource(row)?, quantity(row)?, coverage(row)?));
    }
    let names = records::names(&transaction, found.iter().map(|(resource, ..)| resource)).await?;
    let mut days: Vec<ResourceDays> = found
        .into_iter()
        .map(|(resource, quantity, coverage)| {
            let name = records::name_of(&names, &resource);
            ResourceDays { resource, name, quantity, coverage }
        })
        .collect();
    days.sort_by(|a, b| b.quantity.cmp(&a.quantity).then_with(|| a.name.cmp(&b.name)));
    Ok(days)
}

/// Usage of each tenant that `scope` may see, by name, then in the order of an invoice. Days are each tenant's own.
///
/// # Errors
/// The database fails.
pub async fn by_tenant(
    db: &Database,
    scope: Scope,
    from: Date,
    to: Date,
) -> Result<Vec<TenantDays>, UsageError> {
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let statement = transaction.prepare_cached(sql!("days_by_tenant")).await?;
    let mut days: BTreeMap<(String, usize), TenantDays> = BTreeMap::new();
    for row in &transaction.query(&statement, &[&from, &to]).await? {
        let name: String = row.try_get("name")?;
        let corrupt =
            |_| UsageError::Corrupt { table: "tenant", column: "name", value: crate::registry::shown(&name) };
        let usage = TenantDays {
            tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
            tenant_name: TenantName::new(&name).map_err(corrupt)?,
            meter: records::meter(row)?,
            quantity: quantity(row)?,
            coverage: coverage(row)?,
        };
        days.insert((name, usage.meter.position()), usage);
    }
    Ok(days.into_values().collect())
}

/// A sum of whole numbers, which PostgreSQL keeps as a decimal without limit.
pub(crate) fn quantity(row: &Row) -> Result<u128, UsageError> {
    let text: String = row.try_get("quantity")?;
    text.parse().map_err(|_| UsageError::Corrupt { table: "usage_day", column: "quantity", value: text })
}

pub(crate) fn coverage(row: &Row) -> Result<Coverage, UsageError> {
    let time = |column| unsigned("usage_day", column, row.try_get(column)?);
    Ok(Coverage {
        measured_us: time("measured_us")?,
        estimated_us: time("estimated_us")?,
        missing_us: time("missing_us")?,
    })
}
