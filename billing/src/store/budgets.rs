//! Budgets and their crossings in PostgreSQL. What is crossed is decided in [`crate::budget`].
//!
//! A removed budget keeps its row, without an amount: its revision goes on counting, so that a budget that comes
//! back is another one, and its thresholds are announced anew.

use jiff::Timestamp;
use metering::{TenantId, Window, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::invoices::StoreError;
use super::outbox::{self, Mail};
use super::quotas::read_revision;
use super::sql;
use crate::budget::{Budget, Crossing, NoteError, SetError, crossed};
use crate::money::{Currency, Money};
use crate::webhooks::{self, EventType};

/// The budget of `tenant`, if there is one that `scope` may see.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, scope: Scope, tenant: TenantId) -> Result<Option<Budget>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    read(&transaction, tenant).await
}

/// Sets the budget of `tenant` to `amount`, with tax. With `expected_revision`, only if it is at that revision
/// (0: there is none). Tenants may set their own. The amount that stands already keeps its revision; another one
/// begins anew, and what it has crossed by then is announced again.
///
/// It does not know the tenant's plan: see [`crate::budget::check_currency`].
///
/// # Errors
/// See [`SetError`]; `Changed` carries the budget as it stands.
pub async fn set(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    amount: Money,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<Budget, SetError> {
    if amount.amount() <= Decimal::ZERO {
        return Err(SetError::NotPositive { amount });
    }
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let current = expect(&transaction, tenant, expected_revision).await?;
    if let Some(current) = current.filter(|current| current.amount == amount) {
        return Ok(current);
    }
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&tenant.uuid(), &amount.amount(), &amount.currency().code(), &micros(now)];
    let row = transaction
        .query_one(sql::BUDGET_PUT, &parameters)
        .await
        .map_err(|error| not_there(error, tenant))?;
    let budget = Budget { tenant_id: tenant, amount, revision: read_revision(&row)? };
    transaction.commit().await?;
    Ok(budget)
}

/// Removes the budget of `tenant`: nothing is announced any more. `false` when there was none. Revisions as in
/// [`set`].
///
/// # Errors
/// See [`SetError`].
pub async fn remove(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<bool, SetError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    expect(&transaction, tenant, expected_revision).await?;
    let removed = transaction.execute(sql::BUDGET_REMOVE, &[&tenant.uuid(), &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < removed)
}

/// The thresholds that were crossed in the month that starts with `period`, the oldest first.
///
/// # Errors
/// The database failed.
pub async fn crossings(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    period: Window,
) -> Result<Vec<Crossing>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::CROSSING_LIST, &[&tenant.uuid(), &period.start()]).await?;
    rows.iter().map(|row| read_crossing(tenant, row)).collect()
}

/// Notes what `tenant` has `spent` in `period`, with tax, and gives the thresholds that were crossed by it: each
/// once for a month and a budget, however often and by however many this is called. A crossing and its mail in the
/// outbox are stored together or not at all.
///
/// # Errors
/// The budget is in another currency than what was spent, or the database failed. Then nothing was noted, and the
/// next call notes it.
pub async fn note(
    database: &Database,
    tenant: TenantId,
    period: Window,
    spent: Money,
    now: Timestamp,
) -> Result<Vec<Crossing>, NoteError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let row = transaction.query_opt(sql::BUDGET_LOCK, &[&tenant.uuid()]).await?;
    let Some(row) = row else {
        return Ok(Vec::new());
    };
    let Some(budget) = read_budget(tenant, &row)? else {
        return Ok(Vec::new());
    };
    let tenant_name: String = row.try_get("tenant")?;
    let percents = crossed(budget.amount, spent)?;
    let now = micros(now);
    let mut crossings = Vec::new();
    for threshold_percent in percents {
        let crossing = Crossing {
            tenant_id: tenant,
            period_start: period.start(),
            budget_revision: budget.revision,
            threshold_percent,
            amount: budget.amount,
            spent,
            crossed_at: now,
        };
        if insert(&transaction, &crossing).await? {
            let mail = mail(&crossing, &tenant_name, period);
            outbox::put(&transaction, &mail, now).await?;
            let about = about(&crossing, &tenant_name, period);
            webhooks::emit(&transaction, EventType::BudgetCrossed, tenant, &about, now).await?;
            crossings.push(crossing);
        }
    }
    if !crossings.is_empty() {
        transaction.commit().await?;
        tracing::info!(tenant = tenant_name, %spent, budget = %budget.amount, "budget thresholds crossed");
    }
    Ok(crossings)
}

/// Waits for everybody else who changes this budget, and gives it as it stands then, if it is as expected.
async fn expect(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    expected_revision: Option<u64>,
) -> Result<Option<Budget>, SetError> {
    transaction.query_one(sql::BUDGET_CHANGE_LOCK, &[&tenant.uuid()]).await?;
    let current = read(transaction, tenant).await?;
    let revision = current.map_or(0, |budget| budget.revision);
    if expected_revision.is_some_and(|expected| expected != revision) {
        return Err(SetError::Changed { current });
    }
    Ok(current)
}

async fn read(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Option<Budget>, StoreError> {
    match transaction.query_opt(sql::BUDGET_GET, &[&tenant.uuid()]).await? {
        Some(row) => read_budget(tenant, &row),
        None => Ok(None),
    }
}

/// The budget in a row of `budget`. `None`: it was removed.
fn read_budget(tenant: TenantId, row: &Row) -> Result<Option<Budget>, StoreError> {
    let (amount, currency): (Option<Decimal>, Option<&str>) =
        (row.try_get("amount")?, row.try_get("currency")?);
    let (Some(amount), Some(currency)) = (amount, currency) else {
        return Ok(None);
    };
    let amount = money(amount, currency, tenant)?;
    Ok(Some(Budget { tenant_id: tenant, amount, revision: read_revision(row)? }))
}

fn read_crossing(tenant: TenantId, row: &Row) -> Result<Crossing, StoreError> {
    let currency: &str = row.try_get("currency")?;
    let percent: i32 = row.try_get("threshold_percent")?;
    let revision: i64 = row.try_get("budget_revision")?;
    Ok(Crossing {
        tenant_id: tenant,
        period_start: row.try_get("period_start")?,
        budget_revision: revision.unsigned_abs(),
        threshold_percent: percent.unsigned_abs(),
        amount: money(row.try_get("amount")?, currency, tenant)?,
        spent: money(row.try_get("spent")?, currency, tenant)?,
        crossed_at: row.try_get("crossed_at")?,
    })
}

fn money(amount: Decimal, currency: &str, tenant: TenantId) -> Result<Money, StoreError> {
    Currency::parse(currency)
        .and_then(|currency| Money::exact(amount, currency))
        .map_err(|error| StoreError::unreadable("budget of tenant", &tenant.to_string(), &error))
}

/// Whether the threshold is new. Somebody who crosses the same one at this moment is waited for.
async fn insert(transaction: &Transaction<'_>, crossing: &Crossing) -> Result<bool, StoreError> {
    let inserted = transaction
        .execute(
            sql::CROSSING_INSERT,
            &[
                &crossing.tenant_id.uuid(),
                &crossing.period_start,
                &stored(crossing.budget_revision),
                &i32::try_from(crossing.threshold_percent).unwrap_or(i32::MAX),
                &crossing.amount.amount(),
                &crossing.spent.amount(),
                &crossing.amount.currency().code(),
                &crossing.crossed_at,
            ],
        )
        .await?;
    Ok(0 < inserted)
}

fn mail(crossing: &Crossing, tenant_name: &str, period: Window) -> Mail {
    let Crossing { tenant_id, period_start, budget_revision, threshold_percent, .. } = *crossing;
    let subject_key = format!("budget/{tenant_id}/{period_start}/{budget_revision}/{threshold_percent}");
    Mail::budget(tenant_id, subject_key, about(crossing, tenant_name, period))
}

/// The facts of a crossing, for its letter and its event.
fn about(crossing: &Crossing, tenant_name: &str, period: Window) -> Value {
    let Crossing { period_start, threshold_percent, amount, spent, .. } = *crossing;
    json!({
        "tenant": tenant_name,
        "period_start": period_start.to_string(),
        "period_end": period.end().to_string(),
        "threshold_percent": threshold_percent,
        "budget": amount.amount().to_string(),
        "spent": spent.amount().to_string(),
        "currency": amount.currency().code(),
    })
}

/// A tenant that is not there, or is another one than the scope's, is the same to whoever asks.
fn not_there(error: tokio_postgres::Error, tenant: TenantId) -> SetError {
    match error.code() {
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => SetError::NoTenant(tenant),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => SetError::NoTenant(tenant),
        _ => SetError::Store(error.into()),
    }
}

/// A revision as the table holds it: they count from 1, so none comes near the limit.
fn stored(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
