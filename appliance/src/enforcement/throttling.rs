//! Keeping the instances of throttled tenants within the bounds of `[throttle]`, and setting them back when it is over.
//!
//! What was before is noted in the database before anything is set, so that any later process can set it back. Bounds hold for a
//! guest's process: one that was started anew is bound again when Weir starts it, or at the next look, seconds later. It decides
//! about no tenant, and meters nothing: registers count on as they did.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use billing::limits::throttled::{self, Throttled};
use billing::limits::{Action, actions};
use compute::{ComputeError, Instance, Throttle};
use jiff::Timestamp;
use metering::{InstanceState, TenantId};
use migrations::Scope;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::AT_ONCE;
use crate::instances::Owners;
use crate::parts::Parts;

/// Bounds what is to be bound and releases what is not any more. What fails is logged, and done by the next pass.
pub async fn pass(
    parts: &Arc<Parts>,
    tenants: &BTreeSet<TenantId>,
    bound: Vec<Throttled>,
    here: &[Instance],
    owners: &Owners,
) {
    let mut bound: HashMap<_, _> = bound.into_iter().map(|one| (one.instance_id, one)).collect();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for instance in here {
        let tenant = owners.of(instance).map(|(tenant, _)| tenant).filter(|tenant| tenants.contains(tenant));
        // One that is off keeps its note: it is bound again when it starts.
        let Some(tenant) = tenant else { continue };
        let known = bound.remove(&instance.instance_id);
        if is_executed(instance.state) {
            let (parts, instance, places) = (Arc::clone(parts), instance.clone(), Arc::clone(&places));
            tasks.spawn(async move {
                // It is closed by nobody.
                let _place = places.acquire().await;
                throttle(&parts, &instance, tenant, known).await;
            });
        }
    }
    for known in bound.into_values() {
        let (parts, places) = (Arc::clone(parts), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await;
            release(&parts, &known).await;
        });
    }
    tasks.join_all().await;
}

/// Bounds an instance that has just begun to run, if its tenant is throttled.
pub async fn begun(parts: &Parts, instance: &Instance, owners: &Owners) {
    if let Some((tenant, _)) = owners.of(instance) {
        throttle_if_due(parts, instance, tenant).await;
    }
}

/// The same where it is known whose it is.
pub async fn throttle_if_due(parts: &Parts, instance: &Instance, tenant: TenantId) {
    let open = match actions::open(&parts.database, Scope::Provider, Some(tenant)).await {
        Ok(open) => open,
        Err(error) => {
            return warn!(instance = %instance.name, "it is bound at the next look, if at all: {:#}", anyhow::Error::from(error));
        }
    };
    if open.iter().all(|action| action.threshold.action != Action::Throttle) {
        return;
    }
    match throttled::list(&parts.database).await {
        Ok(bound) => {
            let known = bound.into_iter().find(|one| one.instance_id == instance.instance_id);
            throttle(parts, instance, tenant, known).await;
        }
        Err(error) => {
            warn!(instance = %instance.name, "it is bound at the next look: {:#}", anyhow::Error::from(error));
        }
    }
}

const fn is_executed(state: InstanceState) -> bool {
    matches!(state, InstanceState::Running | InstanceState::Paused)
}

async fn throttle(parts: &Parts, instance: &Instance, tenant: TenantId, known: Option<Throttled>) {
    if let Err(failure) = try_throttle(parts, instance, tenant, known).await {
        warn!(instance = %instance.name, "it is to be throttled and is not: {failure:#}");
    }
}

async fn try_throttle(
    parts: &Parts,
    instance: &Instance,
    tenant: TenantId,
    known: Option<Throttled>,
) -> anyhow::Result<()> {
    let (id, who) = (instance.instance_id, instance.instance_id.into());
    let before = known.as_ref().map_or_else(Throttle::default, |known| read(instance, known));
    let bounds = parts.config.throttle.bounds();
    let Some(plan) = parts.compute().await?.plan_throttle(&who, bounds, &before).await? else {
        return Ok(());
    };
    let text = serde_json::to_string(&plan)?;
    let noted = known.as_ref().map(|known| known.notices.clone()).unwrap_or_default();
    // First the note: what is not noted is never set back.
    if known.as_ref().is_none_or(|known| known.bounds != text || known.tenant_id != tenant) {
        throttled::put(&parts.database, (id, tenant), &text, &noted, Timestamp::now()).await?;
    }
    let notices = parts.compute().await?.throttle(&who, &plan).await?;
    if known.is_none() {
        info!(instance = %instance.name, "throttled: its tenant has reached an allowance");
    }
    if notices != noted {
        for notice in &notices {
            warn!(instance = %instance.name, "{notice}");
        }
        throttled::put(&parts.database, (id, tenant), &text, &notices, Timestamp::now()).await?;
    }
    Ok(())
}

/// What was noted of it. A note that cannot be read is of another version's making: what is found is taken for what was before.
fn read(instance: &Instance, known: &Throttled) -> Throttle {
    serde_json::from_str(&known.bounds).unwrap_or_else(|error| {
        warn!(instance = %instance.name, "what it was bound by before cannot be read: {error}");
        Throttle::default()
    })
}

async fn release(parts: &Parts, known: &Throttled) {
    let id = known.instance_id;
    match try_release(parts, known).await {
        Ok(()) => info!(instance = %id, "its rates are as before: no allowance throttles it any more"),
        Err(failure) => warn!(instance = %id, "it is throttled and is to be released: {failure:#}"),
    }
}

async fn try_release(parts: &Parts, known: &Throttled) -> anyhow::Result<()> {
    let id = known.instance_id;
    let plan: Throttle = serde_json::from_str(&known.bounds)?;
    match parts.compute().await?.release(&id.into(), &plan).await {
        Ok(notices) => {
            // What this host could not bound needs no setting back.
            for notice in notices {
                warn!(instance = %id, "{notice}");
            }
        }
        // It is gone.
        Err(ComputeError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    throttled::remove(&parts.database, id).await?;
    Ok(())
}
