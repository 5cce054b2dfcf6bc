//! Plans that were applied: kept word for word, every revision, the latest of a name in force. It checks nothing:
//! a [`PricePlan`] is valid.

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope, Transaction};

use super::invoices::StoreError;
use super::sql;
use crate::money::Currency;
use crate::plan::PricePlan;

/// What [`apply`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The plan is in force now, under this revision.
    New {
        /// From 1 on, for each name.
        revision: i32,
    },
    /// Exactly this text was in force already.
    Unchanged {
        /// Its revision.
        revision: i32,
    },
}

/// Why a text did not take the place of another: prices, terms and taxes alike.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Another one is in force than the one that was to be replaced.
    #[error("revision {current} is in force, and not the one that was to be replaced")]
    Changed {
        /// Its revision; 0: there is none.
        current: i32,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A plan, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPlan {
    /// What it says.
    pub plan: PricePlan,
    /// From 1 on, for each name.
    pub revision: i32,
    /// Since when.
    pub applied_at: Timestamp,
}

/// One plan in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSummary {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: i32,
    /// Its currency.
    pub currency: Currency,
    /// Since when.
    pub applied_at: Timestamp,
}

/// Puts `plan` in force under its name. Doing it twice is doing it once.
///
/// # Errors
/// The database failed.
pub async fn apply(database: &Database, plan: &PricePlan, now: Timestamp) -> Result<Applied, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let latest = latest(&transaction, plan.name()).await?;
    put(transaction, plan, latest, now).await
}

/// Puts `plan` in force in the place of the revision `expected`; of 0: for the first time.
///
/// # Errors
/// See [`ReplaceError`].
pub async fn replace(
    database: &Database,
    plan: &PricePlan,
    expected: i32,
    now: Timestamp,
) -> Result<Applied, ReplaceError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let latest = latest(&transaction, plan.name()).await?;
    let current = latest.as_ref().map_or(0, |(revision, _)| *revision);
    if current != expected {
        return Err(ReplaceError::Changed { current });
    }
    Ok(put(transaction, plan, latest, now).await?)
}

/// The revision in force and its text, while nobody else applies plans.
async fn latest(transaction: &Transaction<'_>, name: &str) -> Result<Option<(i32, String)>, StoreError> {
    transaction.query_one(sql::PLAN_LOCK, &[]).await?;
    let row = transaction.query_opt(sql::PLAN_LATEST, &[&name]).await?;
    row.map(|row| Ok((row.try_get("revision")?, row.try_get("content")?))).transpose()
}

async fn put(
    transaction: Transaction<'_>,
    plan: &PricePlan,
    latest: Option<(i32, String)>,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let revision = match latest {
        Some((revision, content)) if content == plan.source() => return Ok(Applied::Unchanged { revision }),
        latest => latest.map_or(0, |(revision, _)| revision) + 1,
    };
    let (currency, now) = (plan.currency().code(), micros(now));
    transaction
        .execute(sql::PLAN_INSERT, &[&plan.name(), &revision, &currency, &plan.source(), &now])
        .await?;
    transaction.commit().await?;
    tracing::info!(plan = plan.name(), revision, "price plan applied");
    Ok(Applied::New { revision })
}

/// The plans in force, by name.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database) -> Result<Vec<PlanSummary>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::PLAN_LIST, &[]).await?;
    rows.iter()
        .map(|row| {
            let name: String = row.try_get("plan_name")?;
            let currency = Currency::parse(row.try_get("currency")?)
                .map_err(|error| StoreError::unreadable("plan", &name, &error))?;
            Ok(PlanSummary {
                name,
                revision: row.try_get("revision")?,
                currency,
                applied_at: row.try_get("applied_at")?,
            })
        })
        .collect()
}

/// The plan in force under `name`.
///
/// # Errors
/// The database failed, or the stored text is no plan for this version of the program.
pub async fn get(database: &Database, name: &str) -> Result<Option<PricePlan>, StoreError> {
    Ok(find(database, name).await?.map(|stored| stored.plan))
}

/// The same with its revision.
///
/// # Errors
/// As [`get`].
pub async fn find(database: &Database, name: &str) -> Result<Option<StoredPlan>, StoreError> {
    // PostgreSQL's text cannot hold NUL: nothing is stored under such a name.
    if name.contains('\0') {
        return Ok(None);
    }
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let Some(row) = transaction.query_opt(sql::PLAN_LATEST, &[&name]).await? else {
        return Ok(None);
    };
    let content: &str = row.try_get("content")?;
    let plan = PricePlan::parse(&format!("plan {name}"), content.as_bytes())
        .map_err(|error| StoreError::unreadable("plan", name, &error))?;
    Ok(Some(StoredPlan { plan, revision: row.try_get("revision")?, applied_at: row.try_get("applied_at")? }))
}
