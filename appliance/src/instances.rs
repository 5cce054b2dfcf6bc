//! Making and deleting instances within their tenant's quota: one way for the command line and the API.
//!
//! Admission is billing's (a locked transaction), making is compute's; the order and what happens when one of the two
//! fails in between are this module's. What is asked for is checked by compute.

use std::collections::HashMap;
use std::time::Duration;

use billing::books::wallet::HoldError;
use billing::limits::actions;
use billing::quota::{self, Ask, Breach, Existing, QuotaError};
use billing::webhooks::{self, EventType};
use compute::{ComputeError, Instance, InstanceRef, InstanceSpec};
use jiff::Timestamp;
use metering::{InstanceId, InstanceState, TenantId};
use migrations::Scope;
use nodes::NodesError;
use nodes::registry::State;
use serde_json::json;
use tracing::{debug, warn};
use usage::registry::{self, Tenant};

use crate::enforcement::throttling;
use crate::parts::Parts;
use crate::prepaid::{self, Running, Shape};

/// Why an instance was not made or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The quota, or the database that holds it.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// What was asked for cannot be had, or libvirt failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The only node that instances are placed on takes nothing new.
    #[error("no node takes new instances now: {node} is being drained (weir node drain {node} --undo)")]
    Draining {
        /// Which.
        node: String,
    },
    /// Whether the node takes new instances is not known.
    #[error("it cannot be looked up now where the instance may be placed")]
    Placing(#[source] NodesError),
    /// Nothing is begun any more.
    #[error("Weir is being stopped")]
    Stopping,
    /// Its tenant has consumed all that it may this month, and the provider has said what follows.
    #[error(
        "{tenant} has reached its allowance {allowance:?}, so nothing of it runs until {until:.0}; it runs again when the provider raises or removes the allowance (weir allowance list {tenant})"
    )]
    Limited {
        /// Whose.
        tenant: String,
        /// Which allowance.
        allowance: String,
        /// The end of the month.
        until: Timestamp,
    },
    /// The limits are not known.
    #[error("it cannot be looked up now whether the instance may run")]
    Limits(#[source] billing::store::invoices::StoreError),
    /// The tenant is prepaid, and its wallet does not cover the instance.
    #[error(transparent)]
    Wallet(#[from] HoldError),
    /// The tenant is prepaid, and nobody knows what the instance costs.
    #[error(
        "tenant {tenant} is prepaid and has no price plan, so it is not known what the instance costs; give it one first (weir tenant set-plan {tenant} PLAN)"
    )]
    NoPrice {
        /// Whose.
        tenant: String,
    },
    /// What the instance costs could not be computed.
    #[error("it cannot be computed now what the instance of a prepaid tenant costs")]
    Pricing(#[source] anyhow::Error),
    /// What tenants hold could not be found out.
    #[error("what the tenants hold could not be counted")]
    Counting(#[source] anyhow::Error),
}

/// Makes an instance of `tenant`, if its quota and, where it is prepaid, its wallet allow. `spec.tenant` is that tenant.
///
/// # Errors
/// See [`InstanceError`]; then nothing is held for it.
pub async fn create(
    parts: &Parts,
    tenant: &Tenant,
    mut spec: InstanceSpec,
) -> Result<Instance, InstanceError> {
    check_place(parts).await?;
    if spec.start {
        check_may_run(parts, tenant.id, tenant.name.as_str()).await?;
    }
    let id = *spec.instance_id.get_or_insert_with(|| InstanceId::from_uuid(uuid::Uuid::new_v4()));
    let ask = Ask { vcpus: spec.vcpus, memory_kib: spec.memory.kib() };
    match quota::admit(&parts.database, tenant.id, id, ask, Timestamp::now()).await {
        // Perhaps something was deleted by other means a moment ago: count again before saying no.
        Err(QuotaError::Exceeded { .. }) => {
            count(parts).await.map_err(InstanceError::Counting)?;
            let admitted = quota::admit(&parts.database, tenant.id, id, ask, Timestamp::now()).await;
            if let Err(QuotaError::Exceeded { breaches, .. }) = &admitted {
                tell_refusal(parts, tenant, breaches).await;
            }
            admitted?;
        }
        admitted => admitted?,
    }
    if let Err(refused) = prepaid::reserve(parts, tenant, id, shape(&spec), Timestamp::now()).await {
        free(parts, id).await;
        return Err(refused);
    }
    let made = match parts.compute().await {
        Ok(compute) => match compute.create(spec).await {
            // The same request again, of which somebody died before it could be answered.
            Err(error) => compute.find(&id.into()).await.map_err(|_| InstanceError::Compute(error)),
            made => Ok(made?),
        },
        Err(_) => Err(InstanceError::Stopping),
    };
    match &made {
        // The next count puts it right.
        Ok(made) => {
            if made.state == InstanceState::Running {
                throttling::throttle_if_due(parts, made, tenant.id).await;
            }
            if let Err(error) = quota::confirm(&parts.database, id, Timestamp::now()).await {
                warn!(instance = %id, "what the tenant holds was not noted: {:#}", anyhow::Error::from(error));
            }
        }
        Err(_) => {
            prepaid::release(parts, id).await;
            free(parts, id).await;
        }
    }
    made
}

/// What an instance that is to be made holds from the first moment on.
fn shape(spec: &InstanceSpec) -> Shape {
    let running = spec.start.then_some(Running { vcpus: spec.vcpus, memory_kib: spec.memory.kib() });
    Shape { running, disk_kib: spec.disk.map_or(0, compute::ByteSize::kib) }
}

/// Frees what an instance that is not there held of the quota.
async fn free(parts: &Parts, id: InstanceId) {
    if let Err(error) = quota::release(&parts.database, id).await {
        // The next count puts it right.
        warn!(instance = %id, "what it held was not freed: {:#}", anyhow::Error::from(error));
    }
}

/// Tells whoever wants to hear of it that a tenant asked for more than its quota.
async fn tell_refusal(parts: &Parts, tenant: &Tenant, breaches: &[Breach]) {
    let breaches: Vec<_> = breaches
        .iter()
        .map(|breach| json!({ "what": breach.what.as_str(), "used": breach.used, "asked": breach.asked, "allowed": breach.allowed }))
        .collect();
    let data = json!({ "tenant": tenant.name, "breaches": breaches });
    let told =
        webhooks::tell(&parts.database, EventType::QuotaRefused, tenant.id, &data, Timestamp::now()).await;
    if let Err(error) = told {
        warn!(tenant = %tenant.name, "a refusal was not told: {:#}", anyhow::Error::from(error));
    }
}

/// Starts or resumes an instance, unless an allowance of its tenant was reached and says otherwise, or the tenant is prepaid and
/// its wallet does not cover the first hour.
///
/// # Errors
/// See [`InstanceError`].
pub async fn start(parts: &Parts, who: &InstanceRef) -> Result<Instance, InstanceError> {
    let compute = parts.compute().await.map_err(|_| InstanceError::Stopping)?;
    let found = compute.find(who).await?;
    let owners =
        Owners::of_these(parts, std::slice::from_ref(&found)).await.map_err(InstanceError::Counting)?;
    if let Some((id, name)) = owners.of(&found) {
        check_may_run(parts, id, name).await?;
        if found.state != InstanceState::Running
            && let Some(tenant) = prepaid::payer(parts, id).await?
        {
            let running = Some(Running { vcpus: found.vcpus, memory_kib: found.memory_kib });
            // Its disks are held whether or not it runs.
            let shape = Shape { running, disk_kib: 0 };
            prepaid::reserve(parts, &tenant, found.instance_id, shape, Timestamp::now()).await?;
        }
    }
    match compute.start_instance(&found.instance_id.into()).await {
        Ok(started) => {
            // Compute is let go of before it is asked for again: somebody may be waiting to stop it.
            drop(compute);
            throttling::begun(parts, &started, &owners).await;
            Ok(started)
        }
        Err(error) => {
            prepaid::release(parts, found.instance_id).await;
            Err(error.into())
        }
    }
}

/// Stops an instance and gives back what is reserved for it.
///
/// # Errors
/// See [`compute::Compute::stop`].
pub async fn stop(parts: &Parts, who: &InstanceRef, grace: Duration) -> Result<Instance, InstanceError> {
    let compute = parts.compute().await.map_err(|_| InstanceError::Stopping)?;
    let stopped = compute.stop(who, grace).await?;
    prepaid::release(parts, stopped.instance_id).await;
    Ok(stopped)
}

/// Refuses what would run although an allowance was reached that stops or suspends.
async fn check_may_run(parts: &Parts, tenant: TenantId, name: &str) -> Result<(), InstanceError> {
    let open = actions::open(&parts.database, Scope::Provider, Some(tenant)).await;
    let open = open.map_err(InstanceError::Limits)?;
    match open.iter().find(|action| action.threshold.action.holds_back()) {
        None => Ok(()),
        Some(action) => Err(InstanceError::Limited {
            tenant: name.to_owned(),
            allowance: action.allowance.clone(),
            until: action.until,
        }),
    }
}

/// Who pays for some instances.
pub struct Owners {
    by_instance: HashMap<InstanceId, TenantId>,
    by_name: HashMap<String, TenantId>,
    names: HashMap<TenantId, String>,
}

impl Owners {
    /// Of these, which are those of this machine: what other nodes have may be a hundred times as many.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn of_these(parts: &Parts, instances: &[Instance]) -> anyhow::Result<Self> {
        let ids: Vec<InstanceId> = instances.iter().map(|instance| instance.instance_id).collect();
        let by_instance = registry::holders(&parts.database, Scope::Provider, &ids).await?;
        let tenants = match ids.is_empty() {
            true => Vec::new(),
            false => registry::tenants(&parts.database, Scope::Provider).await?,
        };
        let names: HashMap<TenantId, String> =
            tenants.into_iter().map(|tenant| (tenant.id, tenant.name.to_string())).collect();
        let by_name = names.iter().map(|(id, name)| (name.clone(), *id)).collect();
        Ok(Self { by_instance, by_name, names })
    }

    /// Who pays for an instance, by what is on record, or by what its metadata claims while it is not. `None`: nobody yet.
    pub fn of(&self, instance: &Instance) -> Option<(TenantId, &str)> {
        let labelled = instance.tenant.as_ref().and_then(|name| self.by_name.get(name.as_str()));
        let id = self.by_instance.get(&instance.instance_id).or(labelled).copied()?;
        let name = self.names.get(&id)?;
        (id != TenantId::UNASSIGNED).then_some((id, name))
    }
}

/// Deletes an instance and frees what it held.
///
/// # Errors
/// See [`InstanceError`].
pub async fn delete(parts: &Parts, who: &InstanceRef) -> Result<Instance, InstanceError> {
    let compute = parts.compute().await.map_err(|_| InstanceError::Stopping)?;
    let deleted = compute.delete(who).await?;
    free(parts, deleted.instance_id).await;
    prepaid::release(parts, deleted.instance_id).await;
    Ok(deleted)
}

/// Counts what every tenant holds anew, by what the hypervisor has.
///
/// # Errors
/// libvirt or the database does not answer; then what was counted before stands.
pub async fn count(parts: &Parts) -> anyhow::Result<()> {
    let seen_at = Timestamp::now();
    let here = parts.compute().await?.list().await?;
    let owners = Owners::of_these(parts, &here).await?;
    let existing: Vec<Existing> = here
        .iter()
        .filter_map(|instance| {
            Some(Existing {
                instance_id: instance.instance_id,
                tenant_id: owners.of(instance)?.0,
                vcpus: instance.vcpus,
                memory_kib: instance.memory_kib,
            })
        })
        .collect();
    let reconciled = quota::reconcile(&parts.database, &existing, seen_at, Timestamp::now()).await?;
    debug!(?reconciled, "counted what tenants hold");
    Ok(())
}

/// Whether this machine's node takes new instances: it is the only one that any are placed on.
async fn check_place(parts: &Parts) -> Result<(), InstanceError> {
    let Some(node_id) = parts.node_id().await else { return Ok(()) };
    match nodes::registry::show(&parts.database, &node_id.to_string()).await {
        Ok(node) if node.state == State::Draining => Err(InstanceError::Draining { node: node.name }),
        // It has not reported yet: nobody can have drained it.
        Ok(_) | Err(NodesError::NoNode { .. }) => Ok(()),
        Err(error) => Err(InstanceError::Placing(error)),
    }
}
