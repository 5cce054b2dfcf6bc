//! Making and deleting instances within their tenant's quota: one way for the command line and the API.
//!
//! Admission is billing's (a locked transaction), making is compute's; the order and what happens when one of the two
//! fails in between are this module's. What is asked for is checked by compute.

use std::collections::HashMap;

use billing::quota::{self, Ask, Existing, QuotaError};
use compute::{ComputeError, Instance, InstanceRef, InstanceSpec};
use jiff::Timestamp;
use metering::{InstanceId, TenantId};
use migrations::Scope;
use nodes::NodesError;
use nodes::registry::State;
use tracing::{debug, warn};
use usage::registry::{self, Tenant};

use crate::parts::Parts;

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
    /// What tenants hold could not be found out.
    #[error("what the tenants hold could not be counted")]
    Counting(#[source] anyhow::Error),
}

/// Makes an instance of `tenant`, if its quota allows. `spec.tenant` is that tenant.
///
/// # Errors
/// See [`InstanceError`]; then nothing is held for it.
pub async fn create(
    parts: &Parts,
    tenant: &Tenant,
    mut spec: InstanceSpec,
) -> Result<Instance, InstanceError> {
    check_place(parts).await?;
    let id = *spec.instance_id.get_or_insert_with(|| InstanceId::from_uuid(uuid::Uuid::new_v4()));
    let ask = Ask { vcpus: spec.vcpus, memory_kib: spec.memory.kib() };
    match quota::admit(&parts.database, tenant.id, id, ask, Timestamp::now()).await {
        // Perhaps something was deleted by other means a moment ago: count again before saying no.
        Err(QuotaError::Exceeded { .. }) => {
            count(parts).await.map_err(InstanceError::Counting)?;
            quota::admit(&parts.database, tenant.id, id, ask, Timestamp::now()).await?;
        }
        admitted => admitted?,
    }
    let made = match parts.compute().await {
        Ok(compute) => match compute.create(spec).await {
            // The same request again, of which somebody died before it could be answered.
            Err(error) => compute.find(&id.into()).await.map_err(|_| InstanceError::Compute(error)),
            made => Ok(made?),
        },
        Err(_) => Err(InstanceError::Stopping),
    };
    let noted = match &made {
        Ok(_) => quota::confirm(&parts.database, id, Timestamp::now()).await,
        Err(_) => quota::release(&parts.database, id).await,
    };
    if let Err(error) = noted {
        // The next count puts it right.
        warn!(instance = %id, "what the tenant holds was not noted: {:#}", anyhow::Error::from(error));
    }
    made
}

/// Deletes an instance and frees what it held.
///
/// # Errors
/// See [`InstanceError`].
pub async fn delete(parts: &Parts, who: &InstanceRef) -> Result<Instance, InstanceError> {
    let compute = parts.compute().await.map_err(|_| InstanceError::Stopping)?;
    let deleted = compute.delete(who).await?;
    if let Err(error) = quota::release(&parts.database, deleted.instance_id).await {
        warn!(instance = %deleted.instance_id, "what it held was not freed: {:#}", anyhow::Error::from(error));
    }
    Ok(deleted)
}

/// Counts what every tenant holds anew, by what the hypervisor has.
///
/// # Errors
/// libvirt or the database does not answer; then what was counted before stands.
pub async fn count(parts: &Parts) -> anyhow::Result<()> {
    let seen_at = Timestamp::now();
    let here = parts.compute().await?.list().await?;
    let owners: HashMap<InstanceId, TenantId> = registry::instances(&parts.database, Scope::Provider)
        .await?
        .into_iter()
        .filter_map(|instance| Some((instance.id, instance.tenant_id?)))
        .collect();
    let by_name: HashMap<String, TenantId> = registry::tenants(&parts.database, Scope::Provider)
        .await?
        .into_iter()
        .map(|tenant| (tenant.name.to_string(), tenant.id))
        .collect();
    let owner = |instance: &Instance| {
        let labelled = instance.tenant.as_ref().and_then(|name| by_name.get(name.as_str()));
        owners.get(&instance.instance_id).or(labelled).copied().filter(|id| *id != TenantId::UNASSIGNED)
    };
    let existing: Vec<Existing> = here
        .iter()
        .filter_map(|instance| {
            Some(Existing {
                instance_id: instance.instance_id,
                tenant_id: owner(instance)?,
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
