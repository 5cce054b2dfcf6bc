//! Carrying out what allowances say: stopping, suspending or throttling the instances of a tenant that has reached one, keeping it
//! so, and resuming or setting back when it is over. What is to be done is decided by [`billing::limits`]; how an instance is
//! stopped is compute's business, and throttling is [`throttling`]'s.
//!
//! It acts on this machine's instances alone: Weir makes and starts instances here and nowhere else, so there is no way to a
//! further node's libvirt that could stop one there. Those nodes are metered, and their usage counts.

pub mod throttling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use billing::limits::Action;
use billing::limits::actions::{self, Open, ToUndo};
use billing::limits::throttled;
use compute::Instance;
use jiff::Timestamp;
use metering::{InstanceId, InstanceState, TenantId};
use migrations::Scope;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::instances::Owners;
use crate::parts::Parts;

/// How long a guest may take to shut down before its process is ended.
const GRACE: Duration = Duration::from_secs(30);
/// Instances that are stopped at once: each waits for its guest, which costs nothing here.
const AT_ONCE: usize = 16;

/// Does what is to be done, once. Whatever fails is done by the next pass.
///
/// # Errors
/// libvirt or the database does not answer.
pub async fn pass(parts: &Arc<Parts>, now: Timestamp) -> anyhow::Result<()> {
    actions::end_over(&parts.database, now).await?;
    let open = actions::open(&parts.database, Scope::Provider, None).await?;
    let to_undo = actions::to_undo(&parts.database).await?;
    let bound = throttled::list(&parts.database).await?;
    if open.is_empty() && to_undo.is_empty() && bound.is_empty() {
        return Ok(());
    }
    let here = parts.compute().await?.list().await?;
    let owners = Owners::of_these(parts, &here).await?;
    let to_throttle: BTreeSet<TenantId> = open
        .iter()
        .filter(|action| action.threshold.action == Action::Throttle)
        .map(|action| action.tenant_id)
        .collect();
    let strongest = strongest(open);
    throttling::pass(parts, &to_throttle, bound, &here, &owners).await;
    undo(parts, &to_undo, &strongest, &here, now).await?;
    let mut tasks = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for instance in here {
        let Some(action) = owners.of(&instance).and_then(|(tenant, _)| strongest.get(&tenant)) else {
            continue;
        };
        if is_due(action.threshold.action, instance.state) {
            let (parts, action, places) = (Arc::clone(parts), action.clone(), Arc::clone(&places));
            tasks.spawn(async move {
                // It is closed by nobody.
                let _place = places.acquire().await;
                if let Err(failure) = act(&parts, &action, &instance).await {
                    warn!(instance = %instance.name, allowance = action.allowance, "an allowance was reached, and the instance was not acted on: {failure:#}");
                }
            });
        }
    }
    tasks.join_all().await;
    Ok(())
}

/// The strongest action of each tenant that keeps instances from running; of equals, the one that holds longest.
fn strongest(open: Vec<Open>) -> BTreeMap<TenantId, Open> {
    let mut strongest: BTreeMap<TenantId, Open> = BTreeMap::new();
    for action in open.into_iter().filter(|action| action.threshold.action.holds_back()) {
        let rank = |action: &Open| (action.threshold.action, action.until);
        match strongest.get(&action.tenant_id) {
            Some(other) if rank(&action) <= rank(other) => {}
            _ => drop(strongest.insert(action.tenant_id, action)),
        }
    }
    strongest
}

/// Whether an instance in that state is still to be acted on.
fn is_due(action: Action, state: InstanceState) -> bool {
    match action {
        Action::Notify | Action::Throttle => false,
        Action::Suspend | Action::Stop => state == InstanceState::Running,
    }
}

async fn act(parts: &Parts, action: &Open, instance: &Instance) -> anyhow::Result<()> {
    let (id, what) = (instance.instance_id, action.threshold.action);
    // First the note: what is not noted would never be resumed.
    actions::done(&parts.database, action, id, Timestamp::now()).await?;
    match what {
        Action::Notify | Action::Throttle => return Ok(()),
        Action::Suspend => parts.compute().await?.pause(&id.into()).await?,
        Action::Stop => crate::instances::stop(parts, &id.into(), GRACE).await?,
    };
    info!(instance = %instance.name, allowance = action.allowance, action = what.as_str(), "an allowance was reached");
    Ok(())
}

/// Resumes what was suspended, unless something else holds its tenant. What was stopped may be started again from now on, by
/// whoever wants it: its memory is gone, and nobody asked for it to run.
async fn undo(
    parts: &Parts,
    to_undo: &[ToUndo],
    in_force: &BTreeMap<TenantId, Open>,
    here: &[Instance],
    now: Timestamp,
) -> anyhow::Result<()> {
    let states: HashMap<InstanceId, InstanceState> =
        here.iter().map(|instance| (instance.instance_id, instance.state)).collect();
    for what in to_undo {
        if what.action == Action::Suspend {
            if in_force.contains_key(&what.tenant_id) {
                continue;
            }
            if states.get(&what.instance_id) == Some(&InstanceState::Paused) {
                if let Err(failure) = parts.compute().await?.start_instance(&what.instance_id.into()).await {
                    warn!(instance = %what.instance_id, "it was suspended because of an allowance and is not resumed: {failure}");
                    continue;
                }
                info!(instance = %what.instance_id, "resumed: no allowance holds it any more");
            }
        }
        actions::undone(&parts.database, what, now).await?;
    }
    Ok(())
}
