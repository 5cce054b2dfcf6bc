//! The running month of each tenant, as the invoice would be now: kept so that pages need not rate. It does NOT rate
//! (whoever calls [`put`] did), and a draft is never what somebody owes.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window, micros};
use migrations::{Database, Scope};
use rust_decimal::Decimal;

use super::invoices::{StoreError, read_window};
use super::sql;
use crate::invoice::document::InvoiceDocument;
use crate::money::{Currency, Money};

/// What the invoice of a month would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The document, without a number.
    pub document: InvoiceDocument,
    /// When it was rated.
    pub computed_at: Timestamp,
}

/// One line of a list of drafts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftSummary {
    /// Who would pay, by name.
    pub tenant: TenantName,
    /// Who would pay.
    pub tenant_id: TenantId,
    /// The month.
    pub period: Window,
    /// What would be to pay, with tax.
    pub total: Money,
    /// The same without tax.
    pub subtotal: Money,
    /// When it was rated.
    pub computed_at: Timestamp,
}

/// Keeps `document` as the draft of `tenant` for the document's period, in the place of an older one. One that was
/// rated earlier than what is there changes nothing.
///
/// # Errors
/// The database failed.
pub async fn put(
    database: &Database,
    tenant: TenantId,
    document: &InvoiceDocument,
    now: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(document)
        .map_err(|error| StoreError::unreadable("draft of tenant", document.tenant.as_str(), &error))?;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction
        .execute(
            sql::DRAFT_PUT,
            &[
                &tenant.uuid(),
                &document.service_period.start(),
                &document.service_period.end(),
                &micros(now),
                &document.currency.code(),
                &document.subtotal.amount(),
                &document.total.amount(),
                &json,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// The draft of `tenant` for the period that starts at `period_start`, if there is one that `scope` may see.
///
/// # Errors
/// The database failed, or the stored document cannot be read by this version of the program.
pub async fn get(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    period_start: Timestamp,
) -> Result<Option<Draft>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let row = transaction.query_opt(sql::DRAFT_GET, &[&tenant.uuid(), &micros(period_start)]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let document = serde_json::from_str(row.try_get("document")?)
        .map_err(|error| StoreError::unreadable("draft of tenant", &tenant.to_string(), &error))?;
    Ok(Some(Draft { document, computed_at: row.try_get("computed_at")? }))
}

/// The drafts of the periods that run at `now`, one for each tenant that `scope` may see, by name.
///
/// # Errors
/// The database failed.
pub async fn list(
    database: &Database,
    scope: Scope,
    now: Timestamp,
) -> Result<Vec<DraftSummary>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::DRAFT_LIST, &[&micros(now)]).await?;
    rows.iter()
        .map(|row| {
            let name: &str = row.try_get("tenant")?;
            let unreadable =
                |error: &dyn std::fmt::Display| StoreError::unreadable("draft of tenant", name, error);
            let currency = Currency::parse(row.try_get("currency")?).map_err(|error| unreadable(&error))?;
            let money = |column: &str| -> Result<Money, StoreError> {
                let amount: Decimal = row.try_get(column)?;
                Money::exact(amount, currency).map_err(|error| unreadable(&error))
            };
            Ok(DraftSummary {
                tenant: TenantName::new(name).map_err(|error| unreadable(&error))?,
                tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
                period: read_window(row)?,
                total: money("total")?,
                subtotal: money("subtotal")?,
                computed_at: row.try_get("computed_at")?,
            })
        })
        .collect()
}
