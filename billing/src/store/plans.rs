//! Plans that were applied: kept word for word, every revision, the latest of a name in force. It checks nothing:
//! a [`PricePlan`] is valid.

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope};

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
    transaction.query_one(sql::PLAN_LOCK, &[]).await?;
    let latest = transaction.query_opt(sql::PLAN_LATEST, &[&plan.name()]).await?;
    let mut revision = 0;
    if let Some(row) = latest {
        revision = row.try_get("revision")?;
        if row.try_get::<_, &str>("content")? == plan.source() {
            return Ok(Applied::Unchanged { revision });
        }
    }
    revision += 1;
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
    PricePlan::parse(&format!("plan {name}"), content.as_bytes())
        .map(Some)
        .map_err(|error| StoreError::unreadable("plan", name, &error))
}
