//! What an instance of a prepaid tenant costs at first, reserved in its wallet when it is admitted.
//!
//! The amount is what the running month's bill grows by ([`FIRST_HOURS`] of what the instance holds: running time, vCPUs, memory
//! and its first disk): allowances, tiers, the tenant's own terms, exchange and tax are in it as on the invoice. What an
//! instance will move (traffic, disk operations, processor time) is not known at that time and not in it. The reserving
//! itself, and that many at once never reserve more than there is, is [`billing::books::wallet`]'s.

use anyhow::Context as _;
use billing::account::{self, BillingMode};
use billing::books::wallet::{self, FIRST_HOURS};
use jiff::{SignedDuration, Timestamp};
use metering::{
    Coverage, Dimensions, InstanceId, MeterName, NodeId, Resource, TenantId, UsageRecord, VolumeId, Window,
};
use migrations::Scope;
use tracing::warn;
use usage::registry::Tenant;

use crate::control::request::PeriodRequest;
use crate::instances::InstanceError;
use crate::invoicing::{self, Tables};
use crate::parts::Parts;
use crate::spending;

/// What an instance holds as soon as it is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// While it runs; none for one that is made and not started.
    pub running: Option<Running>,
    /// The size of its first disk; 0: it is there already, or as large as its image.
    pub disk_kib: u64,
}

/// What a running instance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory_kib: u64,
}

/// Reserves what the first hours of `instance` cost, if its tenant is prepaid.
///
/// # Errors
/// There is too little in the wallet, or what the instance costs cannot be told; then nothing is reserved.
pub async fn reserve(
    parts: &Parts,
    tenant: &Tenant,
    instance: InstanceId,
    shape: Shape,
    now: Timestamp,
) -> Result<(), InstanceError> {
    let account = account::get(&parts.database, Scope::Provider, tenant.id).await;
    if account.map_err(InstanceError::Limits)?.terms.mode != BillingMode::Prepaid {
        return Ok(());
    }
    if tenant.plan_name.is_none() {
        return Err(InstanceError::NoPrice { tenant: tenant.name.to_string() });
    }
    let amount = first_hours(parts, tenant, instance, shape, now).await.map_err(InstanceError::Pricing)?;
    wallet::hold(&parts.database, tenant.id, instance, amount, now).await?;
    Ok(())
}

/// Gives back what is reserved for an instance: it was not made, was stopped, or is gone. A failure is logged: what is reserved
/// ends by itself.
pub async fn release(parts: &Parts, instance: InstanceId) {
    if let Err(error) = wallet::release(&parts.database, instance, Timestamp::now()).await {
        warn!(%instance, "what was reserved for it stays so for up to an hour: {:#}", anyhow::Error::from(error));
    }
}

/// What the bill of the running month grows by.
async fn first_hours(
    parts: &Parts,
    tenant: &Tenant,
    instance: InstanceId,
    shape: Shape,
    now: Timestamp,
) -> anyhow::Result<billing::Money> {
    let tables = Tables::read(parts).await?;
    let month = spending::month_of(tenant, now)?;
    let mut bill = invoicing::gather(parts, &tables, tenant.clone(), &PeriodRequest::Month(month)).await?;
    let before = invoicing::preview(&bill)?.total;
    // A window, so that it lies between two changes of prices.
    bill.uses(held(instance, shape, parts.usage.window.window_of(now)));
    let after = invoicing::preview(&bill)?.total;
    let more = after.amount().checked_sub(before.amount()).context("what it costs is too large")?;
    // With a volume price, more can cost less: then nothing is reserved.
    Ok(billing::Money::exact(more.max(rust_decimal::Decimal::ZERO), after.currency())?)
}

/// What is held in the first hours, as usage of `window`.
fn held(instance: InstanceId, shape: Shape, window: Window) -> Vec<UsageRecord> {
    let span = SignedDuration::from_hours(FIRST_HOURS);
    let (seconds, ms) = (span.as_secs().unsigned_abs(), span.as_millis().unsigned_abs());
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    let of = Resource::Instance(instance);
    let mut figures = Vec::new();
    if let Some(running) = shape.running {
        figures.push((of.clone(), "running_ms", ms));
        figures.push((of.clone(), "vcpu_ms", ms.saturating_mul(running.vcpus.into())));
        figures.push((of, "memory_kib_s", seconds.saturating_mul(running.memory_kib)));
    }
    if 0 < shape.disk_kib {
        let volume = VolumeId::of(NodeId::from_uuid(uuid::Uuid::nil()), "", &instance.to_string());
        let held = seconds.saturating_mul(shape.disk_kib);
        figures.push((Resource::Volume(volume), "provisioned_kib_s", held));
    }
    let record = |(resource, meter, quantity): (Resource, &str, u64)| {
        Some(UsageRecord {
            resource,
            resource_name: instance.to_string(),
            meter: MeterName::parse(meter).ok()?,
            window,
            quantity,
            coverage: Coverage::default(),
            dimensions: Dimensions::default(),
        })
    };
    figures.into_iter().filter_map(record).collect()
}

/// Whom an instance is started for, as its billing knows it.
///
/// # Errors
/// The database does not answer.
pub async fn payer(parts: &Parts, tenant: TenantId) -> Result<Option<Tenant>, InstanceError> {
    match usage::registry::find_tenant(&parts.database, Scope::Provider, &tenant.to_string()).await {
        Ok(found) => Ok(Some(found)),
        Err(usage::registry::RegistryError::NoTenant { .. }) => Ok(None),
        Err(error) => Err(InstanceError::Counting(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_what_is_held_is_in_the_catalogs_units() {
        let id = InstanceId::from_uuid(uuid::Uuid::from_u128(7));
        let window = metering::WindowLength::HOUR.window_of("2026-11-22T09:30:00Z".parse().unwrap());
        let running = Running { vcpus: 2, memory_kib: 1 << 20 };
        let check = |shape: Shape, expected: &[(&str, u64)]| {
            let records = held(id, shape, window);
            let found: Vec<(String, u64)> =
                records.iter().map(|record| (record.meter.to_string(), record.quantity)).collect();
            let expected: Vec<(String, u64)> =
                expected.iter().map(|(meter, quantity)| ((*meter).to_owned(), *quantity)).collect();
            assert_eq!(found, expected, "{shape:?}");
        };
        check(Shape::default(), &[]);
        check(Shape { running: None, disk_kib: 1 << 20 }, &[("provisioned_kib_s", 3_774_873_600)]);
        check(
            Shape { running: Some(running), disk_kib: 0 },
            &[("running_ms", 3_600_000), ("vcpu_ms", 7_200_000), ("memory_kib_s", 3_774_873_600)],
        );
    }
}
