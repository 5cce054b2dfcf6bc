//! Allowances and their crossings in PostgreSQL. What is crossed is decided in [`super`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{MeterName, TenantId, UsageRecord, Window, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{ALLOWANCES_MAX, Action, Allowed, Basis, Consumed, Invalid, Threshold, sql};
use crate::money::{Currency, Money};
use crate::store::invoices::StoreError;
use crate::store::outbox::{self, Mail};
use crate::webhooks::{self, EventType};

/// Crossings that one list holds.
const CROSSINGS_MAX: i64 = 1_000;
/// The longest name, as the table has it.
const NAME_MAX: usize = 63;

/// Whose an allowance is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The tenant's own: it notifies.
    Tenant,
    /// The provider's: it may act.
    Provider,
}

/// What a tenant may consume in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// What it is called, among the tenant's.
    pub name: String,
    /// Who may change it.
    pub owner: Owner,
    /// How much.
    pub allowed: Allowed,
    /// What is done when, by basis and percentage.
    pub thresholds: Vec<Threshold>,
    /// Grows with each change and never comes back.
    pub revision: u64,
    /// When it was set.
    pub changed_at: Timestamp,
}

/// A threshold that was crossed: once for each month and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Of which allowance.
    pub name: String,
    /// The start of the month.
    pub period_start: Timestamp,
    /// Of the allowance.
    pub revision: u64,
    /// Which.
    pub threshold: Threshold,
    /// What was consumed then, or will have been, in `unit`.
    pub consumed: Decimal,
    /// What was allowed then, in `unit`.
    pub allowed: Decimal,
    /// A currency, or a meter's priced unit.
    pub unit: String,
    /// When it was noted.
    pub crossed_at: Timestamp,
}

/// Why an allowance was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It is none.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Somebody else changed it since it was read. Nothing was changed.
    #[error(
        "the allowance was changed meanwhile: it is at revision {current} now; read it again and decide anew"
    )]
    Changed {
        /// Its revision; 0: there is none.
        current: u64,
    },
    /// A tenant wants to change what the provider has set, or to have it act.
    #[error("{0} is the provider's to change; set one of your own under another name, which notifies")]
    Providers(String),
    /// A tenant's allowance would act.
    #[error("a tenant's own allowance notifies; throttle, suspend and stop are the provider's to set")]
    MayNotAct,
    /// There are as many as there may be.
    #[error(
        "there are {ALLOWANCES_MAX} allowances already, which is the most; remove one that is not needed"
    )]
    TooMany,
    /// There is no such tenant, or none that the caller may see.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a tenant consumed in a month so far.
#[derive(Clone, Copy, Debug)]
pub struct MonthToDate<'a> {
    /// The month.
    pub period: Window,
    /// With tax.
    pub spent: Money,
    /// All usage of the month, in whatever pieces.
    pub usage: &'a [UsageRecord],
}

/// The allowances of `tenant` that `scope` may see, by name.
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database, scope: Scope, tenant: TenantId) -> Result<Vec<Allowance>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let limit = i64::try_from(ALLOWANCES_MAX).unwrap_or(i64::MAX);
    let rows = transaction.query(sql::ALLOWANCE_LIST, &[&tenant.uuid(), &limit]).await?;
    rows.iter().map(read).collect()
}

/// One allowance, if there is one that `scope` may see.
///
/// # Errors
/// The database failed.
pub async fn get(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Allowance>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    Ok(current(&transaction, tenant, name).await?.0)
}

/// Sets an allowance of `tenant`. With `expected_revision`, only if it is at that revision (0: there is none). In the
/// scope of a tenant it is the tenant's own, and notifies; what the provider has set is not the tenant's to change. What
/// stands already keeps its revision; anything else begins anew, and what it has crossed by then is announced again.
///
/// It does not know the tenant's plan: see [`super::check_currency`].
///
/// # Errors
/// See [`SetError`].
#[expect(clippy::too_many_arguments, reason = "what, whose, as whom, from which state, and when")]
pub async fn set(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    name: &str,
    allowed: Allowed,
    thresholds: Vec<Threshold>,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<Allowance, SetError> {
    let (name, allowed, thresholds) = (check_name(name)?, allowed.check()?, super::thresholds(thresholds)?);
    let owner = if scope == Scope::Provider { Owner::Provider } else { Owner::Tenant };
    if owner == Owner::Tenant && thresholds.iter().any(|threshold| threshold.action != Action::Notify) {
        return Err(SetError::MayNotAct);
    }
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let there = expect(&transaction, tenant, name, owner, expected_revision).await?;
    if let Some(there) = there
        && (there.owner, there.allowed, &there.thresholds) == (owner, allowed, &thresholds)
    {
        return Ok(there);
    }
    let limit = i64::try_from(ALLOWANCES_MAX).unwrap_or(i64::MAX);
    let all = transaction.query(sql::ALLOWANCE_LIST, &[&tenant.uuid(), &limit]).await?;
    let is_new = all.iter().all(|row| row.try_get::<_, &str>("name").ok() != Some(name));
    if is_new && ALLOWANCES_MAX <= all.len() {
        return Err(SetError::TooMany);
    }
    let revision = put(&transaction, tenant, name, owner, allowed, &thresholds, now).await?;
    transaction.commit().await?;
    Ok(Allowance { name: name.to_owned(), owner, allowed, thresholds, revision, changed_at: micros(now) })
}

/// Removes an allowance: nothing is announced any more, and what was done about it ends. `false`: there was none.
///
/// # Errors
/// See [`SetError`].
pub async fn remove(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    name: &str,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<bool, SetError> {
    let owner = if scope == Scope::Provider { Owner::Provider } else { Owner::Tenant };
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    expect(&transaction, tenant, name, owner, expected_revision).await?;
    let removed = transaction.execute(sql::ALLOWANCE_REMOVE, &[&tenant.uuid(), &name, &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < removed)
}

/// The thresholds that were crossed in the month that starts at `period_start`, the oldest first.
///
/// # Errors
/// The database failed.
pub async fn crossings(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    period_start: Timestamp,
) -> Result<Vec<Crossing>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows =
        transaction.query(sql::CROSSING_LIST, &[&tenant.uuid(), &period_start, &CROSSINGS_MAX]).await?;
    rows.iter().map(read_crossing).collect()
}

/// Compares what `tenant` consumed with its allowances and gives the thresholds that were crossed by it: each once for a
/// month and a revision, however often and by however many this is called. A crossing, its mail, its event and what is
/// to be done about it are stored together or not at all. What is not reached any more (a forecast fell, usage was corrected)
/// is not done any more, and is done again when it is reached again; that is announced no second time. What was done under an
/// allowance that was changed since ends, after the new one was compared. In a month that is over nothing is done any more.
///
/// # Errors
/// The database failed. Then nothing was noted, and the next call notes it.
pub async fn note(
    database: &Database,
    tenant: TenantId,
    month: &MonthToDate<'_>,
    now: Timestamp,
) -> Result<Vec<Crossing>, StoreError> {
    let now = micros(now);
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let rows = transaction.query(sql::ALLOWANCE_LOCK, &[&tenant.uuid()]).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let row = transaction.query_one(sql::TENANT_NAME, &[&tenant.uuid()]).await?;
    let tenant_name: String = row.try_get("name")?;
    let sums = sums(month.usage);
    let mut crossings = Vec::new();
    for row in &rows {
        let allowance = read(row)?;
        let Some(consumed) = consumed(&allowance, month.spent, &sums) else {
            tracing::warn!(
                tenant = tenant_name,
                allowance = allowance.name,
                "{} cannot be compared with {}",
                allowance.allowed,
                month.spent
            );
            continue;
        };
        for crossing in crossed(&allowance, consumed, month.period, now) {
            let is_new = insert(&transaction, tenant, &crossing).await?;
            act(&transaction, tenant, &crossing, month.period).await?;
            if is_new {
                announce(&transaction, tenant, &tenant_name, &crossing, month.period).await?;
                crossings.push(crossing);
            }
        }
        end_fallen(&transaction, tenant, (&allowance, consumed), month.period, now).await?;
    }
    transaction.execute(sql::ACTION_END_STALE, &[&tenant.uuid(), &now]).await?;
    transaction.commit().await?;
    Ok(crossings)
}

/// The thresholds that are reached, crossed before or not.
fn crossed(allowance: &Allowance, consumed: Consumed, period: Window, now: Timestamp) -> Vec<Crossing> {
    allowance
        .thresholds
        .iter()
        .filter_map(|threshold| Some((*threshold, threshold.figure(consumed, period, now)?)))
        .filter(|(threshold, figure)| figure.reaches(allowance.allowed, threshold.percent))
        .map(|(threshold, figure)| Crossing {
            name: allowance.name.clone(),
            period_start: period.start(),
            revision: allowance.revision,
            threshold,
            consumed: figure.figure(allowance.allowed),
            allowed: allowance.allowed.figure(),
            unit: allowance.allowed.unit(),
            crossed_at: now,
        })
        .collect()
}

/// What was consumed of what is allowed. `None`: it is in another currency.
fn consumed(allowance: &Allowance, spent: Money, sums: &BTreeMap<MeterName, u128>) -> Option<Consumed> {
    match allowance.allowed {
        Allowed::Money(money) if money.currency() != spent.currency() => None,
        Allowed::Money(_) => Some(Consumed::money(spent)),
        Allowed::Quantity(meter, _) => Some(Consumed::base_units(sums.get(&meter).copied().unwrap_or(0))),
    }
}

fn sums(usage: &[UsageRecord]) -> BTreeMap<MeterName, u128> {
    let mut sums = BTreeMap::new();
    for record in usage {
        let sum: &mut u128 = sums.entry(record.meter).or_default();
        *sum = sum.saturating_add(record.quantity.into());
    }
    sums
}

/// Tells of a crossing, by mail and as an event.
async fn announce(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    tenant_name: &str,
    crossing: &Crossing,
    period: Window,
) -> Result<(), StoreError> {
    let Crossing { name, period_start, revision, threshold, crossed_at, .. } = crossing;
    let about = json!({
        "tenant": tenant_name,
        "allowance": name,
        "period_start": period_start.to_string(),
        "period_end": period.end().to_string(),
        "basis": threshold.basis.as_str(),
        "threshold_percent": threshold.percent,
        "action": threshold.action.as_str(),
        "allowed": crossing.allowed.to_string(),
        "consumed": crossing.consumed.to_string(),
        "unit": crossing.unit,
    });
    let (basis, percent) = (threshold.basis.as_str(), threshold.percent);
    let key = format!("allowance/{tenant}/{name}/{period_start}/{revision}/{basis}/{percent}");
    outbox::put(transaction, &Mail::allowance(tenant, key, about.clone()), *crossed_at).await?;
    webhooks::emit(transaction, EventType::AllowanceCrossed, tenant, &about, *crossed_at).await
}

/// Says what is to be done about a threshold that is reached, unless it is done already.
async fn act(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    crossing: &Crossing,
    period: Window,
) -> Result<(), StoreError> {
    let Crossing { name, period_start, revision, threshold, crossed_at, .. } = crossing;
    if threshold.action == Action::Notify || period.end() <= *crossed_at {
        return Ok(());
    }
    let (basis, percent) = (threshold.basis.as_str(), threshold.percent);
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &Uuid::now_v7(),
        &tenant.uuid(),
        name,
        &stored(*revision),
        &basis,
        &i32::try_from(percent).unwrap_or(i32::MAX),
        &threshold.action.as_str(),
        period_start,
        &period.end(),
        crossed_at,
    ];
    transaction.execute(sql::ACTION_INSERT, &parameters).await?;
    Ok(())
}

/// Ends what was done about thresholds that are not reached any more.
async fn end_fallen(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    (allowance, consumed): (&Allowance, Consumed),
    period: Window,
    now: Timestamp,
) -> Result<(), StoreError> {
    for threshold in allowance.thresholds.iter().filter(|threshold| threshold.action != Action::Notify) {
        let Some(figure) = threshold.figure(consumed, period, now) else { continue };
        if figure.reaches(allowance.allowed, threshold.over_below()) {
            continue;
        }
        let parameters: [&(dyn ToSql + Sync); 7] = [
            &tenant.uuid(),
            &allowance.name,
            &stored(allowance.revision),
            &period.start(),
            &threshold.basis.as_str(),
            &i32::try_from(threshold.percent).unwrap_or(i32::MAX),
            &now,
        ];
        transaction.execute(sql::ACTION_END_FALLEN, &parameters).await?;
    }
    Ok(())
}

/// Whether the threshold is new. Somebody who crosses the same one at this moment is waited for.
async fn insert(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    crossing: &Crossing,
) -> Result<bool, StoreError> {
    let threshold = crossing.threshold;
    let inserted = transaction
        .execute(
            sql::CROSSING_INSERT,
            &[
                &tenant.uuid(),
                &crossing.name,
                &stored(crossing.revision),
                &crossing.period_start,
                &threshold.basis.as_str(),
                &i32::try_from(threshold.percent).unwrap_or(i32::MAX),
                &threshold.action.as_str(),
                &crossing.consumed,
                &crossing.allowed,
                &crossing.unit,
                &crossing.crossed_at,
            ],
        )
        .await?;
    Ok(0 < inserted)
}

/// Waits for everybody else who changes this tenant's allowances, and gives this one as it stands then, if it is as
/// expected and the caller's to change.
async fn expect(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &str,
    owner: Owner,
    expected_revision: Option<u64>,
) -> Result<Option<Allowance>, SetError> {
    transaction.query_one(sql::ALLOWANCE_CHANGE_LOCK, &[&tenant.uuid()]).await.map_err(StoreError::from)?;
    let (there, last_owner) = current(transaction, tenant, name).await?;
    if owner == Owner::Tenant && last_owner == Some(Owner::Provider) {
        return Err(SetError::Providers(name.to_owned()));
    }
    let revision = there.as_ref().map_or(0, |there| there.revision);
    if expected_revision.is_some_and(|expected| expected != revision) {
        return Err(SetError::Changed { current: revision });
    }
    Ok(there)
}

async fn put(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &str,
    owner: Owner,
    allowed: Allowed,
    thresholds: &[Threshold],
    now: Timestamp,
) -> Result<u64, SetError> {
    let (meter, quantity, amount, currency) = match allowed {
        Allowed::Money(money) => (None, None, Some(money.amount()), Some(money.currency().code())),
        Allowed::Quantity(meter, quantity) => (Some(meter.to_string()), Some(quantity), None, None),
    };
    let thresholds: Vec<String> = thresholds.iter().map(write_threshold).collect();
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &tenant.uuid(),
        &name,
        &owner.as_str(),
        &meter,
        &quantity,
        &amount,
        &currency,
        &thresholds,
        &micros(now),
    ];
    let row = transaction.query_one(sql::ALLOWANCE_PUT, &parameters).await.map_err(|error| {
        // A tenant that is not there, or is another one than the scope's, is the same to whoever asks.
        match error.code() {
            Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => SetError::NoTenant(tenant),
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => SetError::NoTenant(tenant),
            _ => SetError::Store(error.into()),
        }
    })?;
    Ok(row.try_get::<_, i64>("revision")?.unsigned_abs())
}

/// The allowance, and whose the name was last, removed or not.
async fn current(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    name: &str,
) -> Result<(Option<Allowance>, Option<Owner>), StoreError> {
    let Some(row) = transaction.query_opt(sql::ALLOWANCE_GET, &[&tenant.uuid(), &name]).await? else {
        return Ok((None, None));
    };
    let found = read(&row)?;
    let owner = found.owner;
    let is_removed: bool = row.try_get("is_removed")?;
    Ok(((!is_removed).then_some(found), Some(owner)))
}

pub(super) fn read(row: &Row) -> Result<Allowance, StoreError> {
    let name: String = row.try_get("name")?;
    let unreadable = |why: &dyn std::fmt::Display| StoreError::unreadable("allowance", &name, why);
    let amount: Option<Decimal> = row.try_get("amount")?;
    let allowed = match (amount, row.try_get::<_, Option<&str>>("meter")?) {
        (Some(amount), _) => {
            let currency = Currency::parse(row.try_get("currency")?).map_err(|error| unreadable(&error))?;
            Allowed::Money(Money::exact(amount, currency).map_err(|error| unreadable(&error))?)
        }
        (None, Some(meter)) => {
            let meter = MeterName::parse(meter).map_err(|error| unreadable(&error))?;
            Allowed::Quantity(meter, row.try_get("quantity")?)
        }
        (None, None) => return Err(unreadable(&"it limits nothing")),
    };
    let thresholds: Vec<&str> = row.try_get("thresholds")?;
    let thresholds = thresholds.into_iter().map(read_threshold).collect::<Option<_>>();
    Ok(Allowance {
        owner: if row.try_get::<_, &str>("owner")? == "provider" { Owner::Provider } else { Owner::Tenant },
        allowed,
        thresholds: thresholds.ok_or_else(|| unreadable(&"a threshold is none"))?,
        revision: row.try_get::<_, i64>("revision")?.unsigned_abs(),
        changed_at: row.try_get("changed_at")?,
        name,
    })
}

fn read_crossing(row: &Row) -> Result<Crossing, StoreError> {
    let name: String = row.try_get("name")?;
    let basis = Basis::parse(row.try_get("basis")?);
    let action = Action::parse(row.try_get("action")?);
    let (Some(basis), Ok(action)) = (basis, action) else {
        return Err(StoreError::unreadable("crossing of allowance", &name, &"its threshold is none"));
    };
    Ok(Crossing {
        period_start: row.try_get("period_start")?,
        revision: row.try_get::<_, i64>("revision")?.unsigned_abs(),
        threshold: Threshold { basis, percent: row.try_get::<_, i32>("percent")?.unsigned_abs(), action },
        consumed: row.try_get("consumed")?,
        allowed: row.try_get("allowed")?,
        unit: row.try_get("unit")?,
        crossed_at: row.try_get("crossed_at")?,
        name,
    })
}

/// `actual/100/stop`
fn write_threshold(threshold: &Threshold) -> String {
    format!("{}/{}/{}", threshold.basis.as_str(), threshold.percent, threshold.action.as_str())
}

fn read_threshold(text: &str) -> Option<Threshold> {
    let mut parts = text.split('/');
    let (basis, percent, action) = (parts.next()?, parts.next()?, parts.next()?);
    let action = Action::parse(action).ok()?;
    Some(Threshold { basis: Basis::parse(basis)?, percent: percent.parse().ok()?, action })
}

fn check_name(name: &str) -> Result<&str, Invalid> {
    let letter_or_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(letter_or_digit)
        && name.chars().all(|c| letter_or_digit(c) || c == '-');
    if is_name { Ok(name) } else { Err(Invalid::Name(name.chars().take(80).collect())) }
}

/// A revision as the table holds it: they count from 1, so none comes near the limit.
fn stored(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

impl Owner {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Provider => "provider",
        }
    }
}
