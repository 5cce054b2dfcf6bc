//! The prepaid wallet: what was paid in advance, what of it is reserved for instances and what is spent already. Invoices are
//! taken from it when they are issued (`books::settling`); until then what the running month costs counts as spent.
//!
//! It stops nothing: [`check`] says whose instances are to be stopped, and whoever carries that out says so with [`stopped`].
//! Top-ups are payments (`books::payments`).

use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, TenantId, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::ledger::{Account, Kind, Posting, read_money};
use super::payments::{self, PaymentError};
use super::{settling, sql};
use crate::money::Money;
use crate::store::invoices::StoreError;
use crate::store::outbox::{self, Mail};
use crate::webhooks::{self, EventType};

/// Drafts of periods that ended longer ago count no more: their invoice was issued, or there was nothing to invoice.
const DRAFTS_KEPT: SignedDuration = SignedDuration::from_hours(62 * 24);

/// What is reserved when an instance is admitted: what so many hours of it cost. One: usage is derived in windows of an hour at
/// most and rated every minute, so what an instance costs stands in the running month's draft by then, and is spent instead
/// of reserved. More would keep from a tenant what it has paid for; less would admit what cannot run until anybody knows.
pub const FIRST_HOURS: i64 = 1;

/// What is reserved is released after this long: see [`FIRST_HOURS`].
pub const HELD_FOR: SignedDuration = SignedDuration::from_hours(FIRST_HOURS);

/// What a tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by name.
    pub tenant: String,
    /// Whether invoices are taken from it.
    pub is_prepaid: bool,
    /// What was paid in advance and not yet taken by an invoice.
    pub paid: Money,
    /// What of it is reserved for instances that were just admitted.
    pub held: Money,
    /// What was used and is not invoiced yet, with tax.
    pub spent: Money,
    /// When that was computed; `None`: never.
    pub computed_at: Option<Timestamp>,
    /// What is left: paid - spent. Below zero: more was used than was paid.
    pub left: Money,
    /// At or below this much left, the tenant is warned.
    pub low_balance: Option<Money>,
    /// Since when nothing is left.
    pub empty_since: Option<Timestamp>,
    /// When the tenant's instances were stopped for it.
    pub stopped_at: Option<Timestamp>,
    low_since: Option<Timestamp>,
}

/// A tenant whose instances are to be stopped: nothing is left, and the grace period is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToStop {
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose, by name.
    pub tenant: String,
    /// Since when nothing is left.
    pub empty_since: Timestamp,
}

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// There is not enough.
    #[error(
        "the prepaid wallet has {available} that is neither spent nor reserved, and the first hour of this instance costs {needed}; top it up first (weir wallet top-up), or stop what is not needed"
    )]
    TooLittle {
        /// What could be reserved.
        available: Money,
        /// What was to be.
        needed: Money,
    },
    /// What costs nothing now is not started either while nothing is left: the rest of the tenant's instances are stopped.
    #[error(
        "nothing is left in the prepaid wallet ({left}), so nothing of its tenant is started; top it up first (weir wallet top-up)"
    )]
    Empty {
        /// What is left.
        left: Money,
    },
    /// Nobody reserves less than nothing.
    #[error("{amount} cannot be reserved")]
    Negative {
        /// What was to be reserved.
        amount: Money,
    },
    /// The wallet is in another currency.
    #[error(
        "the wallet is in {wallet}, and the next hour costs {needed}; set the tenant's currency (weir tenant set-billing)"
    )]
    OtherCurrency {
        /// The wallet's.
        wallet: crate::money::Currency,
        /// What was to be reserved.
        needed: Money,
    },
    /// There is no such tenant, or the database failed.
    #[error(transparent)]
    Payment(#[from] PaymentError),
}

/// The wallet of `tenant`, if it has an account for billing and anything was ever paid or spent.
///
/// # Errors
/// The database failed.
pub async fn show(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    now: Timestamp,
) -> Result<Option<Wallet>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    Ok(read(&transaction, Some(tenant), now).await?.into_iter().next())
}

/// Reserves `amount` of a prepaid tenant's wallet for an instance that is being admitted: what its first hours cost
/// ([`FIRST_HOURS`]). What was reserved for the same instance before is released first, so asking again is right. `false`: nothing
/// is reserved, because the tenant is not prepaid or the hours cost nothing. Admissions of one tenant stand in line.
///
/// # Errors
/// See [`HoldError`]; nothing was changed then.
pub async fn hold(
    database: &Database,
    tenant: TenantId,
    instance: InstanceId,
    amount: Money,
    now: Timestamp,
) -> Result<bool, HoldError> {
    if amount.amount() < Decimal::ZERO {
        return Err(HoldError::Negative { amount });
    }
    let mut session = database.session().await.map_err(PaymentError::from)?;
    let transaction = session.begin(Scope::Provider).await.map_err(PaymentError::from)?;
    payments::lock(&transaction, tenant).await?;
    unhold(&transaction, Some(tenant), Some(instance.uuid()), None, now).await.map_err(PaymentError::from)?;
    let wallet = read(&transaction, Some(tenant), now).await.map_err(PaymentError::from)?;
    let is_free = amount.amount() == Decimal::ZERO;
    let Some(wallet) = wallet.first().filter(|wallet| wallet.is_prepaid) else {
        return if !is_free && is_prepaid(&transaction, tenant).await.map_err(PaymentError::from)? {
            Err(HoldError::TooLittle { available: Money::zero(amount.currency()), needed: amount })
        } else {
            Ok(false)
        };
    };
    if is_free && wallet.empty_since.is_some() && wallet.left.amount() <= Decimal::ZERO {
        return Err(HoldError::Empty { left: wallet.left });
    }
    if is_free {
        transaction.commit().await.map_err(PaymentError::from)?;
        return Ok(false);
    }
    if wallet.left.currency() != amount.currency() {
        return Err(HoldError::OtherCurrency { wallet: wallet.left.currency(), needed: amount });
    }
    let available = wallet.left.amount() - wallet.held.amount();
    if available < amount.amount() {
        let available = settling::exact(available, amount.currency()).map_err(PaymentError::from)?;
        return Err(HoldError::TooLittle { available, needed: amount });
    }
    Posting::new(Kind::Hold, format!("hold/{}", Uuid::now_v7()), instance.to_string())
        .moves(amount, Account::Held(instance.uuid()), Account::Wallet)
        .post(&transaction, tenant, now)
        .await
        .map_err(PaymentError::from)?;
    transaction.commit().await.map_err(PaymentError::from)?;
    Ok(true)
}

/// Releases what is reserved for an instance: it was not made, or is gone. `false`: nothing was.
///
/// # Errors
/// The database failed.
pub async fn release(database: &Database, instance: InstanceId, now: Timestamp) -> Result<bool, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let released = unhold(&transaction, None, Some(instance.uuid()), None, now).await?;
    transaction.commit().await?;
    Ok(0 < released)
}

/// Releases what was reserved longer ago than [`HELD_FOR`], and says how much there was.
///
/// # Errors
/// The database failed.
pub async fn expire(database: &Database, now: Timestamp) -> Result<usize, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let before = now.checked_sub(HELD_FOR).unwrap_or(Timestamp::UNIX_EPOCH);
    let released = unhold(&transaction, None, None, Some(before), now).await?;
    transaction.commit().await?;
    Ok(released)
}

/// Looks at every prepaid wallet: warns, once, whoever has little or nothing left, forgets the warning of whoever has paid, and
/// says whose instances are to be stopped, and kept so: nothing has been left for `grace`.
///
/// # Errors
/// The database failed.
pub async fn check(
    database: &Database,
    grace: SignedDuration,
    now: Timestamp,
) -> Result<Vec<ToStop>, StoreError> {
    let now = micros(now);
    let wallets = {
        let mut session = database.session().await?;
        let transaction = session.begin(Scope::Provider).await?;
        read(&transaction, None, now).await?
    };
    let mut to_stop = Vec::new();
    for wallet in wallets {
        let is_empty = wallet.left.amount() <= Decimal::ZERO;
        let is_low = wallet.low_balance.is_some_and(|low| wallet.left.amount() <= low.amount());
        note(database, &wallet, "empty", (is_empty, wallet.empty_since), grace, now).await?;
        // One letter says it: who has nothing has little, too.
        note(database, &wallet, "low", (is_low && !is_empty, wallet.low_since), grace, now).await?;
        let Some(empty_since) = wallet.empty_since.filter(|_| is_empty) else {
            continue;
        };
        if empty_since.checked_add(grace).is_ok_and(|over| over <= now) {
            to_stop.push(ToStop { tenant_id: wallet.tenant_id, tenant: wallet.tenant, empty_since });
        }
    }
    Ok(to_stop)
}

/// Notes that the instances of a tenant were stopped because nothing was left, and tells it by mail. `false`: it was noted before,
/// or there is something left again.
///
/// # Errors
/// The database failed.
pub async fn stopped(
    database: &Database,
    tenant: TenantId,
    instances: &[String],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let now = micros(now);
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    if transaction.execute(sql::WARNING_STOPPED, &[&tenant.uuid(), &now]).await? == 0 {
        return Ok(false);
    }
    if let Some(wallet) = read(&transaction, Some(tenant), now).await?.first() {
        let mut about = about(wallet, "stopped");
        about["instances"] = json!(instances);
        let mail = Mail::wallet(tenant, format!("wallet/{tenant}/stopped/{now}"), about);
        outbox::put(&transaction, &mail, now).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

async fn is_prepaid(transaction: &Transaction<'_>, tenant: TenantId) -> Result<bool, StoreError> {
    Ok(transaction.query_one(sql::PURSE, &[&tenant.uuid(), &"XXX"]).await?.try_get("is_prepaid")?)
}

/// Gives back what is reserved: of a tenant, for an instance, since before an instant.
async fn unhold(
    transaction: &Transaction<'_>,
    tenant: Option<TenantId>,
    instance: Option<Uuid>,
    before: Option<Timestamp>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let rows = transaction.query(sql::WALLET_HOLDS, &[&tenant.map(TenantId::uuid), &instance]).await?;
    let mut released = 0;
    for row in &rows {
        let since: Timestamp = row.try_get("since")?;
        if before.is_some_and(|before| before < since) {
            continue;
        }
        let (item, amount): (Uuid, Money) = (row.try_get("item_id")?, read_money(row, "amount")?);
        let latest: &str = row.try_get("latest")?;
        let holder = TenantId::from_uuid(row.try_get("tenant_id")?);
        // Two who release the same hold: the second finds its key taken, and is rolled back.
        Posting::new(Kind::Unhold, format!("unhold/{latest}"), item.to_string())
            .moves(amount, Account::Wallet, Account::Held(item))
            .post(transaction, holder, now)
            .await?;
        released += 1;
    }
    Ok(released)
}

/// Makes the warning of that kind stand exactly while it holds: with a mail and an event when it begins.
async fn note(
    database: &Database,
    wallet: &Wallet,
    kind: &str,
    (holds, since): (bool, Option<Timestamp>),
    grace: SignedDuration,
    now: Timestamp,
) -> Result<(), StoreError> {
    if holds == since.is_some() {
        return Ok(());
    }
    let tenant = wallet.tenant_id;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    if holds {
        // Somebody else may have noted it meanwhile: the mail is theirs.
        if transaction.execute(sql::WARNING_INSERT, &[&tenant.uuid(), &kind, &now]).await? == 0 {
            return Ok(());
        }
        let mut about = about(wallet, kind);
        about["stops_at"] = json!(now.checked_add(grace).ok().filter(|_| kind == "empty"));
        webhooks::emit(&transaction, EventType::WalletLow, tenant, &about, now).await?;
        let mail = Mail::wallet(tenant, format!("wallet/{tenant}/{kind}/{now}"), about);
        outbox::put(&transaction, &mail, now).await?;
    } else {
        transaction.execute(sql::WARNING_REMOVE, &[&tenant.uuid(), &kind]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn about(wallet: &Wallet, what: &str) -> Value {
    json!({
        "tenant": wallet.tenant,
        "what": what,
        "paid": wallet.paid.amount().to_string(),
        "spent": wallet.spent.amount().to_string(),
        "left": wallet.left.amount().to_string(),
        "currency": wallet.left.currency().code(),
    })
}

async fn read(
    transaction: &Transaction<'_>,
    tenant: Option<TenantId>,
    now: Timestamp,
) -> Result<Vec<Wallet>, StoreError> {
    let since = now.checked_sub(DRAFTS_KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
    let rows = transaction.query(sql::WALLET_STATE, &[&tenant.map(TenantId::uuid), &since]).await?;
    rows.iter().map(read_row).collect()
}

fn read_row(row: &Row) -> Result<Wallet, StoreError> {
    let (paid, spent) = (read_money(row, "paid")?, read_money(row, "spent")?);
    let currency = paid.currency();
    let low: Option<Decimal> = row.try_get("low_balance")?;
    let low = low.map(|low| Money::rounded(low, currency)).transpose();
    let mode: &str = row.try_get("mode")?;
    Ok(Wallet {
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: row.try_get("tenant")?,
        is_prepaid: mode == "prepaid",
        paid,
        held: read_money(row, "held")?,
        spent,
        computed_at: row.try_get("computed_at")?,
        left: settling::exact(paid.amount() - spent.amount(), currency)?,
        low_balance: low.map_err(|error| StoreError::unreadable("wallet of", "a tenant", &error))?,
        empty_since: row.try_get("empty_since")?,
        stopped_at: row.try_get("stopped_at")?,
        low_since: row.try_get("low_since")?,
    })
}
