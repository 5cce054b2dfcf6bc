//! What has no number yet and waits for somebody: drafts of months that are over, what is to be looked at, what is to be
//! issued, each beside what the tenant was invoiced for the month before. Drafts of months that run are in `store::drafts`.

use jiff::Timestamp;
use metering::{TenantId, TenantName, Window};
use migrations::{Database, Scope};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::invoice_sql;
use super::invoices::{StoreError, read_window};
use crate::invoice::compare::Difference;
use crate::invoice::document::{InvoiceDocument, InvoiceId};
use crate::invoice::lifecycle::{Stage, read_document};
use crate::money::{Currency, Money};

/// The most that one list holds: their documents are held in memory.
pub const WAITING_MAX: u32 = 500;

/// Which ones, and how many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingQuery {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only those behind this one: period's start and tenant of the last one of the list before.
    pub after: Option<(Timestamp, TenantId)>,
    /// How many at most, from 1 to [`WAITING_MAX`]; what lies outside is brought inside.
    pub limit: u32,
}

/// An invoice without a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who will pay.
    pub tenant_id: TenantId,
    /// Who will pay, by name.
    pub tenant: TenantName,
    /// IANA name of the tenant's zone.
    pub time_zone: String,
    /// Where it stands.
    pub stage: Stage,
    /// What it is for.
    pub service_period: Window,
    /// What will be to pay, with tax.
    pub total: Money,
    /// Until when late readings flow in by themselves.
    pub cutoff_at: Option<Timestamp>,
    /// When it was rated.
    pub rated_at: Option<Timestamp>,
    /// The document.
    pub document: InvoiceDocument,
    /// What the tenant was invoiced for the time right before.
    pub before: Option<Before>,
}

/// The invoice before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// Its number.
    pub number: String,
    /// What was to be paid, with tax.
    pub total: Money,
    /// What differs, line by line.
    pub difference: Difference,
}

/// What waits, by period and tenant.
///
/// # Errors
/// The database failed.
pub async fn waiting(database: &Database, query: &WaitingQuery) -> Result<Vec<Waiting>, StoreError> {
    let (start, tenant) = query.after.unwrap_or((Timestamp::UNIX_EPOCH, TenantId::from_uuid(Uuid::nil())));
    let limit = i64::from(query.limit.clamp(1, WAITING_MAX));
    let only = query.tenant.map(TenantId::uuid);
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(invoice_sql::WAITING, &[&only, &start, &tenant.uuid(), &limit]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &tokio_postgres::Row) -> Result<Waiting, StoreError> {
    let invoice_id = InvoiceId::from_uuid(row.try_get("invoice_id")?);
    let shown = invoice_id.to_string();
    let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("invoice", &shown, why);
    let money = |amount: Decimal, currency: &str| {
        let currency = Currency::parse(currency).map_err(|error| unreadable(&error))?;
        Money::exact(amount, currency).map_err(|error| unreadable(&error))
    };
    let status: &str = row.try_get("status")?;
    let document = read_document(row, invoice_id)?;
    let before = match row.try_get::<_, Option<String>>("before_number")? {
        None => None,
        Some(number) => {
            let json: &str = row.try_get("before_document")?;
            let earlier: InvoiceDocument = serde_json::from_str(json)
                .map_err(|error| StoreError::unreadable("invoice", &number, &error))?;
            let total = money(row.try_get("before_total")?, row.try_get("before_currency")?)?;
            let difference = Difference::between(&earlier, &document);
            Some(Before { number, total, difference })
        }
    };
    Ok(Waiting {
        invoice_id,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: TenantName::new(row.try_get::<_, &str>("tenant")?).map_err(|error| unreadable(&error))?,
        time_zone: row.try_get("time_zone")?,
        stage: Stage::parse(status).ok_or_else(|| unreadable(&"its status is not known"))?,
        service_period: read_window(row)?,
        total: money(row.try_get("total")?, row.try_get("currency")?)?,
        cutoff_at: row.try_get("cutoff_at")?,
        rated_at: row.try_get("rated_at")?,
        document,
        before,
    })
}
