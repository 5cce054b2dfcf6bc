//! Quotas and what is held, in PostgreSQL. What breaks a limit is decided in [`crate::quota`].
//!
//! Admissions of one tenant stand in line at its row of `tenant`: each sees what the one before it was admitted. A
//! hold is written before the instance is made, so whoever dies in between holds too much for a while, never too
//! little; [`reconcile`] mends that by what the hypervisor says.

use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, TenantId, TenantName, micros};
use migrations::{Database, DbError, Scope, Transaction};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::invoices::StoreError;
use super::sql;
use crate::quota::{Ask, Existing, Held, Limits, Quota, QuotaError, SetError, breaches};

/// How long an instance may be in the making. Copying the largest image to a slow disk takes minutes; after an
/// hour, whoever made it has died, and what it held is free again.
pub const PENDING_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What [`reconcile`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Holds that are new or other than they were.
    pub corrected: u64,
    /// Holds of what is gone.
    pub freed: u64,
}

/// The quota of `tenant`: at revision 0, without limits, when none was ever set or `scope` may not see it.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, scope: Scope, tenant: TenantId) -> Result<Quota, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    read(&transaction, tenant).await
}

/// Sets all limits of `tenant`. With `expected_revision`, only if nobody changed them since they were at that
/// revision (0: never set). The limits that stand already keep their revision. What is held stays held, however
/// low the limits are; they only refuse what is new.
///
/// # Errors
/// See [`SetError`]; `Changed` carries the quota as it stands.
pub async fn set(
    database: &Database,
    tenant: TenantId,
    limits: &Limits,
    expected_revision: Option<u64>,
    now: Timestamp,
) -> Result<Quota, SetError> {
    let memory_kib = limits
        .memory_kib
        .map(|memory_kib| i64::try_from(memory_kib).map_err(|_| SetError::TooLarge { memory_kib }))
        .transpose()?;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    if lock(&transaction, tenant).await?.is_none() {
        return Err(SetError::NoTenant(tenant));
    }
    let current = read(&transaction, tenant).await?;
    if expected_revision.is_some_and(|expected| expected != current.revision) {
        return Err(SetError::Changed { current });
    }
    if current.limits() == *limits && 0 < current.revision {
        return Ok(current);
    }
    let (instances, vcpus) = (limits.instances.map(i64::from), limits.vcpus.map(i64::from));
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&tenant.uuid(), &instances, &vcpus, &memory_kib, &micros(now)];
    let row = transaction.query_one(sql::QUOTA_PUT, &parameters).await?;
    let quota = Quota::new(tenant, *limits, read_revision(&row)?);
    transaction.commit().await?;
    Ok(quota)
}

/// What `tenant` holds, as far as `scope` may see it.
///
/// # Errors
/// The database failed.
pub async fn held(database: &Database, scope: Scope, tenant: TenantId) -> Result<Held, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    sum(&transaction, tenant).await
}

/// Admits an instance of the size `ask`, or refuses it, in one transaction: what is admitted is held from then on,
/// until [`release`], or until [`reconcile`] finds that it is not there.
///
/// Asking again for the same instance is right: after an error that may have hidden a success, and when an instance
/// is to be resized. Only what it would hold more counts.
///
/// # Errors
/// See [`QuotaError`]; [`QuotaError::is_transient`] tells whether to try again.
pub async fn admit(
    database: &Database,
    tenant: TenantId,
    instance: InstanceId,
    ask: Ask,
    now: Timestamp,
) -> Result<(), QuotaError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let name = lock(&transaction, tenant).await?.ok_or(QuotaError::NoTenant(tenant))?;
    let own = match hold_of(&transaction, instance).await? {
        Some((holder, _)) if holder != tenant => return Err(QuotaError::Taken(instance)),
        own => own.map(|(_, size)| size),
    };
    let limits = read(&transaction, tenant).await?.limits();
    let broken = breaches(&limits, sum(&transaction, tenant).await?, own, ask);
    if !broken.is_empty() {
        return Err(QuotaError::Exceeded { tenant: name, breaches: broken });
    }
    let (vcpus, memory_kib) = (i64::from(ask.vcpus), stored(ask.memory_kib));
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&instance.uuid(), &tenant.uuid(), &vcpus, &memory_kib, &micros(now)];
    let written = transaction.execute(sql::HOLD_PUT, &parameters).await?;
    // Between the look and the write, somebody of another tenant may have come with the same id.
    if written == 0 {
        return Err(QuotaError::Taken(instance));
    }
    transaction.commit().await?;
    Ok(())
}

/// Notes that the instance was made. `false` when nothing is held for it.
///
/// # Errors
/// The database failed.
pub async fn confirm(database: &Database, instance: InstanceId, now: Timestamp) -> Result<bool, StoreError> {
    change(database, sql::HOLD_CONFIRM, &[&instance.uuid(), &micros(now)]).await
}

/// Frees what the instance holds: it was deleted, or could not be made. `false` when it held nothing.
///
/// # Errors
/// The database failed.
pub async fn release(database: &Database, instance: InstanceId) -> Result<bool, StoreError> {
    change(database, sql::HOLD_RELEASE, &[&instance.uuid()]).await
}

/// Makes what is held equal to what the hypervisors have, by a look at all of them that began at `seen_at`: an
/// instance that somebody made by other means is held by its tenant, and what is gone is free. What was changed at
/// or after `seen_at` stays as it is, and what is in the making stays for [`PENDING_MAX`].
///
/// Call it only with a look that is complete: an instance that is left out is gone. A release after `seen_at` of an
/// instance that the look still saw is undone until the next look: too much is held for a moment, never too little.
///
/// # Errors
/// The database failed, or one of the tenants is not known to it.
pub async fn reconcile(
    database: &Database,
    existing: &[Existing],
    seen_at: Timestamp,
    now: Timestamp,
) -> Result<Reconciled, StoreError> {
    let column = |of: fn(&Existing) -> Uuid| existing.iter().map(of).collect::<Vec<_>>();
    let instances = column(|one| one.instance_id.uuid());
    let tenants = column(|one| one.tenant_id.uuid());
    let vcpus: Vec<i64> = existing.iter().map(|one| one.vcpus.into()).collect();
    let memory_kib: Vec<i64> = existing.iter().map(|one| stored(one.memory_kib)).collect();
    let seen_at = micros(seen_at);
    // A clock at the beginning of time has nothing that is older.
    let pending_before = micros(now.checked_sub(PENDING_MAX).unwrap_or(Timestamp::UNIX_EPOCH)).min(seen_at);

    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.query_one(sql::HOLD_RECONCILE_LOCK, &[]).await?;
    let corrected = transaction
        .execute(sql::HOLD_RECONCILE_PUT, &[&instances, &tenants, &vcpus, &memory_kib, &seen_at])
        .await?;
    let freed =
        transaction.execute(sql::HOLD_RECONCILE_DELETE, &[&instances, &seen_at, &pending_before]).await?;
    transaction.commit().await?;
    if 0 < corrected + freed {
        tracing::info!(corrected, freed, "what is held was made equal to what exists");
    }
    Ok(Reconciled { corrected, freed })
}

/// Waits for the tenant's turn and gives its name. `None`: there is no such tenant.
async fn lock(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Option<TenantName>, StoreError> {
    let Some(row) = transaction.query_opt(sql::QUOTA_LOCK, &[&tenant.uuid()]).await? else {
        return Ok(None);
    };
    let name: &str = row.try_get("name")?;
    TenantName::new(name).map(Some).map_err(|error| StoreError::unreadable("tenant", name, &error))
}

async fn read(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Quota, StoreError> {
    let Some(row) = transaction.query_opt(sql::QUOTA_GET, &[&tenant.uuid()]).await? else {
        return Ok(Quota::new(tenant, Limits::default(), 0));
    };
    let count = |column: &str| -> Result<Option<u32>, StoreError> {
        let figure: Option<i64> = row.try_get(column)?;
        // The table could hold more than the type; more than 32 bits of vCPUs is as good as unlimited.
        Ok(figure.map(|figure| u32::try_from(figure).unwrap_or(u32::MAX)))
    };
    let memory_kib: Option<i64> = row.try_get("memory_kib")?;
    let limits = Limits {
        instances: count("instances")?,
        vcpus: count("vcpus")?,
        memory_kib: memory_kib.map(i64::unsigned_abs),
    };
    Ok(Quota::new(tenant, limits, read_revision(&row)?))
}

async fn sum(transaction: &Transaction<'_>, tenant: TenantId) -> Result<Held, StoreError> {
    let row = transaction.query_one(sql::HOLD_SUM, &[&tenant.uuid()]).await?;
    let instances: i64 = row.try_get("instances")?;
    // Sums of bigint are numeric: beyond 64 bits, the most is enough to refuse anything.
    let whole = |column: &str| -> Result<u64, StoreError> {
        Ok(row.try_get::<_, Decimal>(column)?.to_u64().unwrap_or(u64::MAX))
    };
    Ok(Held { instances: instances.unsigned_abs(), vcpus: whole("vcpus")?, memory_kib: whole("memory_kib")? })
}

/// Who holds the instance, and its size. Locked, so that it is neither freed nor resized before the sum is taken.
async fn hold_of(
    transaction: &Transaction<'_>,
    instance: InstanceId,
) -> Result<Option<(TenantId, Ask)>, StoreError> {
    let Some(row) = transaction.query_opt(sql::HOLD_LOCK, &[&instance.uuid()]).await? else {
        return Ok(None);
    };
    let (vcpus, memory_kib): (i64, i64) = (row.try_get("vcpus")?, row.try_get("memory_kib")?);
    let size = Ask { vcpus: u32::try_from(vcpus).unwrap_or(u32::MAX), memory_kib: memory_kib.unsigned_abs() };
    Ok(Some((TenantId::from_uuid(row.try_get("tenant_id")?), size)))
}

/// One statement in a transaction of its own: whether it changed a row.
async fn change(
    database: &Database,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<bool, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let changed = transaction.execute(statement, parameters).await?;
    transaction.commit().await?;
    Ok(0 < changed)
}

pub(super) fn read_revision(row: &Row) -> Result<u64, DbError> {
    Ok(row.try_get::<_, i64>("revision")?.unsigned_abs())
}

/// KiB as the table holds them: 2^63 KiB are more than any machine has, and stand for everything above.
fn stored(memory_kib: u64) -> i64 {
    i64::try_from(memory_kib).unwrap_or(i64::MAX)
}
