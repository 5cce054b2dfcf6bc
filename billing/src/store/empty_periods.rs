//! Periods that were closed without an invoice, because nothing was used that has a price: readings that come in late, or usage
//! that is corrected into them, must not be lost. What they would come to now is kept here.
//!
//! It does NOT rate (whoever calls [`put`] did) and invoices nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{TenantId, TenantName, Window, micros};
use migrations::{Database, Scope};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::invoices::{StoreError, read_window};
use super::rechecks::LISTED_MAX;
use super::{invoice_sql as sql, sql as page_sql};
use crate::money::{Currency, Money};

/// A period that was closed with nothing, and that no invoice shares time with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyPeriod {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by name.
    pub tenant: TenantName,
    /// Which.
    pub period: Window,
}

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmptyCursor(Uuid, String);

/// One that would come to something now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatePeriod {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by name.
    pub tenant: TenantName,
    /// Which.
    pub period: Window,
    /// What it would come to, with tax.
    pub total_now: Money,
    /// When that was seen last.
    pub checked_at: Timestamp,
}

/// What was found when a period was rated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmptyRecheck {
    /// `rechecks::digest`, taken before the usage was read.
    pub usage_digest: String,
    /// What it would come to now, with tax; `None`: still nothing.
    pub total_now: Option<Money>,
    /// Why it could not be rated.
    pub failure: Option<String>,
}

/// The periods that ended at `since` or later and were closed with nothing, from behind `after` on: so many as `limit` that no
/// invoice stands for, or fewer, and where the next page begins. No cursor: that was all.
///
/// # Errors
/// The database failed.
pub async fn closed(
    database: &Database,
    since: Timestamp,
    after: &EmptyCursor,
    limit: u32,
) -> Result<(Vec<EmptyPeriod>, Option<EmptyCursor>), StoreError> {
    let first_month = since.to_zoned(TimeZone::UTC).date().strftime("%Y-%m").to_string();
    let limit = i64::from(limit.clamp(1, LISTED_MAX));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&first_month, &micros(since), &after.0, &after.1, &limit];
    let rows = transaction.query(sql::EMPTY_CLOSED, &parameters).await?;
    let mut periods = Vec::new();
    for row in &rows {
        let one = read(row)?;
        let shared: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&one.tenant_id.uuid(), &one.period.start(), &one.period.end()];
        let is_invoiced = !transaction.query(page_sql::INVOICE_OVERLAPPING, &shared).await?.is_empty();
        // Several runs, or a run and a correction, may have closed the same period.
        if !is_invoiced && !periods.contains(&one) {
            periods.push(one);
        }
    }
    let last = rows.last().map(|row| Ok(EmptyCursor(row.try_get("tenant_id")?, row.try_get("key")?)));
    Ok((periods, last.transpose().map_err(|error: tokio_postgres::Error| StoreError::from(error))?))
}

/// What was found the last time.
///
/// # Errors
/// The database failed.
pub async fn get(
    database: &Database,
    tenant: TenantId,
    period: Window,
) -> Result<Option<EmptyRecheck>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row =
        transaction.query_opt(sql::EMPTY_GET, &[&tenant.uuid(), &period.start(), &period.end()]).await?;
    let Some(row) = row else { return Ok(None) };
    let total = row.try_get::<_, Option<Decimal>>("total_now")?;
    Ok(Some(EmptyRecheck {
        usage_digest: row.try_get("usage_digest")?,
        total_now: total.map(|_| read_total(&row, &tenant.to_string())).transpose()?,
        failure: row.try_get("failure")?,
    }))
}

/// Keeps what was found.
///
/// # Errors
/// The database failed.
pub async fn put(
    database: &Database,
    (tenant, period): (TenantId, Window),
    found: &EmptyRecheck,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failure = found.failure.as_ref().map(|why| why.replace('\0', "\u{fffd}"));
    let (currency, total) = found.total_now.map(|total| (total.currency().code(), total.amount())).unzip();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &tenant.uuid(),
        &period.start(),
        &period.end(),
        &micros(now),
        &found.usage_digest,
        &currency,
        &total,
        &failure,
    ];
    transaction.execute(sql::EMPTY_PUT, &parameters).await?;
    transaction.commit().await?;
    Ok(())
}

/// The periods that would come to something now, the newest first; at most `limit` and never more than [`LISTED_MAX`].
/// `invoiced`: those for which there is an invoice by now.
///
/// # Errors
/// The database failed.
pub async fn late(database: &Database, invoiced: bool, limit: u32) -> Result<Vec<LatePeriod>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let limit = i64::from(limit.clamp(1, LISTED_MAX));
    let rows = transaction.query(sql::EMPTY_LATE, &[&limit, &invoiced]).await?;
    rows.iter()
        .map(|row| {
            let name: &str = row.try_get("tenant")?;
            Ok(LatePeriod {
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                tenant: read_name(name)?,
                period: read_window(row)?,
                total_now: read_total(row, name)?,
                checked_at: row.try_get("checked_at")?,
            })
        })
        .collect()
}

fn read(row: &Row) -> Result<EmptyPeriod, StoreError> {
    let name: &str = row.try_get("tenant")?;
    let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("period of tenant", name, why);
    let period = match row.try_get::<_, Option<&str>>("month")? {
        None => read_window(row)?,
        Some(month) => {
            let zone = TimeZone::get(row.try_get("time_zone")?).map_err(|error| unreadable(&error))?;
            crate::period::month(month, &zone).map_err(|error| unreadable(&error))?
        }
    };
    Ok(EmptyPeriod {
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: read_name(name)?,
        period,
    })
}

fn read_name(name: &str) -> Result<TenantName, StoreError> {
    TenantName::new(name).map_err(|error| StoreError::unreadable("tenant", name, &error))
}

fn read_total(row: &Row, of: &str) -> Result<Money, StoreError> {
    let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("period of tenant", of, why);
    let currency = Currency::parse(row.try_get("currency")?).map_err(|error| unreadable(&error))?;
    Money::exact(row.try_get("total_now")?, currency).map_err(|error| unreadable(&error))
}
