//! Billing runs: which tenants are to be billed for a month, who has been, and what went wrong. Tenants are taken one by one
//! with `FOR UPDATE SKIP LOCKED`: any number of workers share a run, and whoever dies gives back what it had.
//!
//! It does NOT rate or issue: whoever takes a tenant does, and says what became of it.

use jiff::Timestamp;
use metering::{TenantId, TenantName, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::invoice_sql as sql;
use super::invoices::StoreError;
use crate::invoice::document::InvoiceId;
use crate::money::{Currency, Money};

/// The most runs or items that one list holds.
pub const LISTED_MAX: u32 = 1_000;
/// Unfinished runs that are looked at at once: one for each month that somebody is closing.
const OPEN_MAX: i64 = 100;

/// How far a run is to bring each invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Somebody is to look at it.
    Review,
    /// It is to be issued later.
    Approved,
    /// It is issued.
    Issued,
}

/// Who started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOrigin {
    /// Somebody.
    Operator,
    /// Weir itself, when a grace period was over: one for each month.
    Automatic,
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its identity. Of an automatic one, the one that is there already counts.
    pub run_id: Uuid,
    /// The month, `2026-10`, in each tenant's zone.
    pub period: String,
    /// How far.
    pub goal: Goal,
    /// By whom.
    pub origin: RunOrigin,
    /// The grace period is not waited for.
    pub before_cutoff: bool,
    /// Who asked, as the audit trail names it.
    pub asked_by: String,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its identity.
    pub run_id: Uuid,
    /// The month.
    pub period: String,
    /// How far.
    pub goal: Goal,
    /// By whom.
    pub origin: RunOrigin,
    /// The grace period is not waited for.
    pub before_cutoff: bool,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When the last tenant was through.
    pub finished_at: Option<Timestamp>,
    /// How many tenants.
    pub tenants: i64,
    /// ... of which wait,
    pub waiting: i64,
    /// ... have their invoice,
    pub done: i64,
    /// ... used nothing that has a price,
    pub nothing: i64,
    /// ... could not be billed.
    pub failed: i64,
}

/// Where a tenant of a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// Nobody has begun, or whoever did was lost.
    Waiting,
    /// It has its invoice.
    Done,
    /// It used nothing that has a price.
    Nothing,
    /// It could not be billed.
    Failed,
}

/// A tenant of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The tenant.
    pub tenant_id: TenantId,
    /// By name.
    pub tenant: TenantName,
    /// Where it stands.
    pub state: ItemState,
    /// Why there is nothing, or what went wrong.
    pub detail: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Since when it stands there.
    pub changed_at: Timestamp,
    /// Its invoice.
    pub invoice_id: Option<InvoiceId>,
    /// ... its number, if it has one,
    pub number: Option<String>,
    /// ... where it stands: `review`,
    pub status: Option<String>,
    /// ... and what is to be paid.
    pub total: Option<Money>,
}

/// What became of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It has its invoice.
    Done(InvoiceId),
    /// It used nothing that has a price; why, in a sentence.
    Nothing(String),
    /// It could not be billed; why, and when to try again by itself.
    Failed(String, Option<Timestamp>),
}

/// Writes down a run of `tenants`. Of an automatic one there is one for each month: further tenants join it.
///
/// # Errors
/// The database failed.
pub async fn create(
    database: &Database,
    new: &NewRun,
    tenants: &[TenantId],
    now: Timestamp,
) -> Result<Uuid, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let now = micros(now);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] = [
        &new.run_id,
        &new.period,
        &new.goal.as_str(),
        &new.origin.as_str(),
        &new.before_cutoff,
        &new.asked_by,
        &now,
    ];
    let row = transaction.query_one(sql::RUN_INSERT, &parameters).await?;
    let run: Uuid = row.try_get("run_id")?;
    let tenants: Vec<Uuid> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    transaction.execute(sql::RUN_ADD, &[&run, &tenants, &now]).await?;
    transaction.commit().await?;
    Ok(run)
}

/// Those of `tenants` that the automatic run of a month does not know yet.
///
/// # Errors
/// The database failed.
pub async fn missing(
    database: &Database,
    period: &str,
    tenants: &[TenantId],
) -> Result<Vec<TenantId>, StoreError> {
    let tenants: Vec<Uuid> = tenants.iter().map(|tenant| tenant.uuid()).collect();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::RUN_MISSING, &[&period, &tenants]).await?;
    rows.iter().map(|row| Ok(TenantId::from_uuid(row.try_get("tenant_id")?))).collect()
}

/// The runs that are not finished, the oldest first.
///
/// # Errors
/// The database failed.
pub async fn open(database: &Database) -> Result<Vec<Uuid>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::RUN_OPEN, &[&OPEN_MAX]).await?;
    rows.iter().map(|row| Ok(row.try_get("run_id")?)).collect()
}

/// Takes the next tenant of a run and how often it was tried. It is the caller's until `transaction` ends.
///
/// # Errors
/// The database failed.
pub async fn take(
    transaction: &Transaction<'_>,
    run: Uuid,
    now: Timestamp,
) -> Result<Option<(TenantId, i32)>, StoreError> {
    let row = transaction.query_opt(sql::RUN_TAKE, &[&run, &micros(now)]).await?;
    row.map(|row| Ok((TenantId::from_uuid(row.try_get("tenant_id")?), row.try_get("attempts")?))).transpose()
}

/// Writes down what became of a tenant that was taken, in the transaction that took it.
///
/// # Errors
/// The database failed.
pub async fn record(
    transaction: &Transaction<'_>,
    run: Uuid,
    tenant: TenantId,
    became: &Became,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (state, invoice, detail, retry_at) = match became {
        Became::Done(invoice) => ("done", Some(invoice.uuid()), None, None),
        Became::Nothing(why) => ("nothing", None, Some(clean(why)), None),
        Became::Failed(why, retry_at) => ("failed", None, Some(clean(why)), retry_at.map(micros)),
    };
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [&run, &tenant.uuid(), &state, &invoice, &detail, &retry_at, &micros(now)];
    transaction.execute(sql::RUN_RECORD, &parameters).await?;
    Ok(())
}

/// Notes that a run is finished, if it is.
///
/// # Errors
/// The database failed.
pub async fn finish(database: &Database, run: Uuid, now: Timestamp) -> Result<bool, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let finished = transaction.execute(sql::RUN_FINISH, &[&run, &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < finished)
}

/// One run.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, run: Uuid) -> Result<Option<Run>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction.query_opt(sql::RUN_GET, &[&run]).await?;
    row.as_ref().map(read).transpose()
}

/// The runs, the newest first, from behind `after` on; at most `limit` and never more than [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn list(
    database: &Database,
    after: Option<(Timestamp, Uuid)>,
    limit: u32,
) -> Result<Vec<Run>, StoreError> {
    let (at, id) = (after.map(|(at, _)| at), after.map(|(_, id)| id));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let limit = i64::from(limit.clamp(1, LISTED_MAX));
    let rows = transaction.query(sql::RUN_LIST, &[&at, &id, &limit]).await?;
    rows.iter().map(read).collect()
}

/// The tenants of a run, by their ids, from behind `after` on; at most `limit` and never more than [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn items(
    database: &Database,
    run: Uuid,
    only: Option<ItemState>,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Item>, StoreError> {
    let (after, only) = (after.map(TenantId::uuid), only.map(ItemState::as_str));
    let limit = i64::from(limit.clamp(1, LISTED_MAX));
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::RUN_ITEMS, &[&run, &after, &only, &limit]).await?;
    rows.iter().map(read_item).collect()
}

impl Goal {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Approved => "approved",
            Self::Issued => "issued",
        }
    }

    /// The goal of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Review, Self::Approved, Self::Issued].into_iter().find(|goal| goal.as_str() == text)
    }
}

impl RunOrigin {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Automatic => "automatic",
        }
    }
}

impl ItemState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Done, Self::Nothing, Self::Failed];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

/// PostgreSQL's text cannot hold NUL, which a message may quote.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn read(row: &Row) -> Result<Run, StoreError> {
    let run_id: Uuid = row.try_get("run_id")?;
    let unreadable = |what: &str| StoreError::unreadable("billing run", &run_id.to_string(), &what);
    let (goal, origin): (&str, &str) = (row.try_get("goal")?, row.try_get("origin")?);
    Ok(Run {
        run_id,
        period: row.try_get("period")?,
        goal: Goal::parse(goal).ok_or_else(|| unreadable(goal))?,
        origin: [RunOrigin::Operator, RunOrigin::Automatic]
            .into_iter()
            .find(|known| known.as_str() == origin)
            .ok_or_else(|| unreadable(origin))?,
        before_cutoff: row.try_get("before_cutoff")?,
        asked_by: row.try_get("asked_by")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        tenants: row.try_get("tenants")?,
        waiting: row.try_get("waiting")?,
        done: row.try_get("done")?,
        nothing: row.try_get("nothing")?,
        failed: row.try_get("failed")?,
    })
}

fn read_item(row: &Row) -> Result<Item, StoreError> {
    let name: &str = row.try_get("tenant")?;
    let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("billing run of tenant", name, why);
    let state: &str = row.try_get("state")?;
    let total =
        match (row.try_get::<_, Option<Decimal>>("total")?, row.try_get::<_, Option<&str>>("currency")?) {
            (Some(amount), Some(currency)) => {
                let currency = Currency::parse(currency).map_err(|error| unreadable(&error))?;
                Some(Money::exact(amount, currency).map_err(|error| unreadable(&error))?)
            }
            _ => None,
        };
    Ok(Item {
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: TenantName::new(name).map_err(|error| unreadable(&error))?,
        state: ItemState::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| unreadable(&state))?,
        detail: row.try_get("detail")?,
        attempts: row.try_get("attempts")?,
        changed_at: row.try_get("changed_at")?,
        invoice_id: row.try_get::<_, Option<Uuid>>("invoice_id")?.map(InvoiceId::from_uuid),
        number: row.try_get("number")?,
        status: row.try_get("status")?,
        total,
    })
}
