//! The books' jobs: letters about what is overdue, once a day, and prepaid wallets, which stop their tenants' instances when
//! nothing was left for longer than the grace. What is due is decided in [`billing::books`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use billing::books::wallet::ToStop;
use billing::books::{dunning, wallet};
use compute::Instance;
use jiff::{SignedDuration, Timestamp};
use metering::InstanceState;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::housekeeping::goes_on;
use crate::instances::{self, Owners};
use crate::parts::Parts;

/// Wallets are looked at so often, or as often as readings come: the running month, which they are compared with, is rated once
/// a minute.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// ... and no more often than this.
const LOOK_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Letters are looked for so often. Each goes out once, so a restart orders none twice.
const DUNNING_INTERVAL: Duration = Duration::from_secs(24 * 3_600);
/// How long a guest may take to shut down before it is switched off.
const STOP_GRACE: Duration = Duration::from_secs(60);
/// Guests that are stopped at once: each is waited for, which costs nothing here.
const STOPS_AT_ONCE: usize = 16;

/// Orders letters until `stop` turns true.
pub async fn dun(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    loop {
        match parts.config.billing.levels() {
            Ok(levels) => match dunning::run(&parts.database, &levels, Timestamp::now()).await {
                Ok(round) => {
                    for (invoice, why) in &round.failed {
                        error!(%invoice, "no letter could be ordered about an overdue invoice: {why}");
                    }
                    if !round.ordered.is_empty() {
                        parts.mail_due.notify_one();
                    }
                }
                Err(failure) => {
                    error!("overdue invoices were not looked at: {:#}", anyhow::Error::from(failure));
                }
            },
            // It was checked at the start.
            Err(failure) => error!("no letters go out: {failure:#}"),
        }
        if !goes_on(&mut stop, DUNNING_INTERVAL).await {
            return;
        }
    }
}

/// Looks at prepaid wallets until `stop` turns true.
pub async fn watch_wallets(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    let interval = parts.config.collector.reading_interval.0.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL);
    loop {
        if let Err(failure) = look(&parts, Timestamp::now()).await {
            error!("prepaid wallets were not looked at: {failure:#}");
        }
        if !goes_on(&mut stop, interval).await {
            return;
        }
    }
}

async fn look(parts: &Arc<Parts>, now: Timestamp) -> Result<()> {
    wallet::expire(&parts.database, now).await?;
    let grace = SignedDuration::try_from(parts.config.billing.wallet_grace.0)?;
    let to_stop = wallet::check(&parts.database, grace, now).await?;
    if !to_stop.is_empty() {
        stop_all(parts, &to_stop).await?;
    }
    parts.mail_due.notify_one();
    Ok(())
}

/// Stops what these tenants run here. Who starts something by other means has it until the next look.
async fn stop_all(parts: &Arc<Parts>, tenants: &[ToStop]) -> Result<()> {
    let here = parts.compute().await?.list().await?;
    let owners = Owners::of_these(parts, &here).await?;
    for tenant in tenants {
        let theirs = |instance: &&Instance| {
            // A paused one still holds its memory.
            matches!(instance.state, InstanceState::Running | InstanceState::Paused)
                && owners.of(instance).is_some_and(|(owner, _)| owner == tenant.tenant_id)
        };
        let running: Vec<Instance> = here.iter().filter(theirs).cloned().collect();
        let wanted = running.len();
        let stopped = stop_instances(parts, tenant, running).await;
        // Whom this fails for, it is tried for again the next time; then it is told.
        if stopped.len() == wanted {
            wallet::stopped(&parts.database, tenant.tenant_id, &stopped, Timestamp::now()).await?;
        }
    }
    Ok(())
}

/// Stops instances, some at once, and says which are.
async fn stop_instances(parts: &Arc<Parts>, tenant: &ToStop, running: Vec<Instance>) -> Vec<String> {
    let places = Arc::new(Semaphore::new(STOPS_AT_ONCE));
    let mut tasks = JoinSet::new();
    for instance in running {
        let (parts, places, name) = (Arc::clone(parts), Arc::clone(&places), tenant.tenant.clone());
        tasks.spawn(async move {
            // It is closed by nobody.
            let _place = places.acquire().await;
            match instances::stop(&parts, &instance.instance_id.into(), STOP_GRACE).await {
                Ok(_) => {
                    warn!(instance = instance.name, tenant = name, "stopped: the tenant's wallet is empty");
                    Some(instance.name)
                }
                Err(failure) => {
                    let why = anyhow::Error::from(failure);
                    error!(
                        instance = instance.name,
                        tenant = name,
                        "the tenant's wallet is empty, but this was not stopped: {why:#}"
                    );
                    None
                }
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
