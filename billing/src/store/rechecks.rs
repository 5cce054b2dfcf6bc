//! Late usage: which issued invoices would be others now, because what they were made of has changed since. A fingerprint of
//! the tenant's sums by day tells whether it is worth rating again; the result of that is kept here.
//!
//! It does NOT rate (whoever calls [`put`] did) and corrects nothing.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window, micros};
use migrations::{Database, Scope};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::invoice_sql as sql;
use super::invoices::{StoreError, read_window};
use crate::invoice::document::InvoiceId;
use crate::money::{Currency, Money};

/// The most invoices that one list holds.
pub const LISTED_MAX: u32 = 1_000;

/// An invoice that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who pays.
    pub tenant_id: TenantId,
    /// Its number.
    pub number: String,
    /// What it is for.
    pub service_period: Window,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// An invoice that would be another one now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who pays.
    pub tenant_id: TenantId,
    /// Who pays, by name.
    pub tenant: TenantName,
    /// Its number.
    pub number: String,
    /// What it is for.
    pub service_period: Window,
    /// What it says.
    pub total: Money,
    /// What it would say, in the same currency.
    pub total_now: Money,
    /// When that was seen last.
    pub checked_at: Timestamp,
}

/// What was found when an invoice was rated again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// [`digest`], taken before the usage was read.
    pub usage_digest: String,
    /// What it would be now, if it is another.
    pub total_now: Option<Decimal>,
    /// Why it could not be rated again.
    pub failure: Option<String>,
}

/// The invoices that stand, of periods that ended within `[from, to)`, from behind `after` on.
///
/// # Errors
/// The database failed.
pub async fn standing(
    database: &Database,
    (from, to): (Timestamp, Timestamp),
    after: Option<InvoiceId>,
    limit: u32,
) -> Result<Vec<Standing>, StoreError> {
    let after = after.map_or(Uuid::nil(), InvoiceId::uuid);
    let limit = i64::from(limit.clamp(1, LISTED_MAX));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::IN_FORCE, &[&micros(from), &micros(to), &after, &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                invoice_id: InvoiceId::from_uuid(row.try_get("invoice_id")?),
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                number: row.try_get("number")?,
                service_period: read_window(row)?,
                issued_at: row.try_get("issued_at")?,
            })
        })
        .collect()
}

/// A fingerprint of what a tenant used on the local days of `period`: another one whenever a day's sum is another one.
///
/// # Errors
/// The database failed.
pub async fn digest(database: &Database, tenant: TenantId, period: Window) -> Result<String, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row =
        transaction.query_one(sql::USAGE_DIGEST, &[&tenant.uuid(), &period.start(), &period.end()]).await?;
    Ok(row.try_get("digest")?)
}

/// What was found the last time.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, invoice: InvoiceId) -> Result<Option<Recheck>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let Some(row) = transaction.query_opt(sql::RECHECK_GET, &[&invoice.uuid()]).await? else {
        return Ok(None);
    };
    Ok(Some(Recheck {
        usage_digest: row.try_get("usage_digest")?,
        total_now: row.try_get("total_now")?,
        failure: row.try_get("failure")?,
    }))
}

/// Keeps what was found.
///
/// # Errors
/// The database failed.
pub async fn put(
    database: &Database,
    (invoice, tenant): (InvoiceId, TenantId),
    found: &Recheck,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failure = found.failure.as_ref().map(|why| why.replace('\0', "\u{fffd}"));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&invoice.uuid(), &tenant.uuid(), &micros(now), &found.usage_digest, &found.total_now, &failure];
    transaction.execute(sql::RECHECK_PUT, &parameters).await?;
    transaction.commit().await?;
    Ok(())
}

/// The invoices that would be others now, the newest first; at most `limit` and never more than [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn late(database: &Database, limit: u32) -> Result<Vec<Late>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::LATE, &[&i64::from(limit.clamp(1, LISTED_MAX))]).await?;
    rows.iter()
        .map(|row| {
            let number: String = row.try_get("number")?;
            let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("invoice", &number, why);
            let currency = Currency::parse(row.try_get("currency")?).map_err(|error| unreadable(&error))?;
            let money = |column: &str| -> Result<Money, StoreError> {
                let amount: Decimal = row.try_get(column)?;
                Money::exact(amount, currency).map_err(|error| unreadable(&error))
            };
            Ok(Late {
                invoice_id: InvoiceId::from_uuid(row.try_get("invoice_id")?),
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                tenant: TenantName::new(row.try_get::<_, &str>("tenant")?)
                    .map_err(|error| unreadable(&error))?,
                service_period: read_window(row)?,
                total: money("total")?,
                total_now: money("total_now")?,
                checked_at: row.try_get("checked_at")?,
                number: number.clone(),
            })
        })
        .collect()
}
