//! The books' jobs: letters about what is overdue, once a day, and prepaid wallets, which stop their tenants' instances when
//! nothing was left for longer than the grace. What is due is decided in [`billing::books`].

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use billing::books::wallet::ToStop;
use billing::books::{dunning, wallet};
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, InstanceState};
use migrations::Scope;
use tokio::sync::watch::Receiver;
use tracing::{error, warn};
use usage::registry;

use super::housekeeping::goes_on;
use crate::parts::Parts;

/// Wallets are looked at so often: the running month, which they are compared with, is rated once a minute.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Letters are looked for so often. Each goes out once, so a restart orders none twice.
const DUNNING_INTERVAL: Duration = Duration::from_secs(24 * 3_600);
/// How long a guest may take to shut down before it is switched off.
const STOP_GRACE: Duration = Duration::from_secs(60);

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
    loop {
        if let Err(failure) = look(&parts, Timestamp::now()).await {
            error!("prepaid wallets were not looked at: {failure:#}");
        }
        if !goes_on(&mut stop, LOOK_INTERVAL).await {
            return;
        }
    }
}

async fn look(parts: &Parts, now: Timestamp) -> Result<()> {
    wallet::expire(&parts.database, now).await?;
    let grace = SignedDuration::try_from(parts.config.billing.wallet_grace.0)?;
    let to_stop = wallet::check(&parts.database, grace, now).await?;
    for tenant in &to_stop {
        // Whom this fails for, it is tried for again the next time.
        if let Err(failure) = stop_instances(parts, tenant).await {
            error!(
                tenant = tenant.tenant,
                "its wallet is empty, but its instances were not stopped: {failure:#}"
            );
        }
    }
    parts.mail_due.notify_one();
    Ok(())
}

/// Stops what a tenant runs here, and notes it when nothing of it runs any more.
async fn stop_instances(parts: &Parts, tenant: &ToStop) -> Result<()> {
    let compute = parts.compute().await?;
    let theirs: Vec<InstanceId> = registry::instances(&parts.database, Scope::Provider)
        .await?
        .into_iter()
        .filter(|instance| instance.tenant_id == Some(tenant.tenant_id) && instance.gone_at.is_none())
        .map(|instance| instance.id)
        .collect();
    let mut stopped = Vec::new();
    for instance in compute.list().await? {
        if !theirs.contains(&instance.instance_id) || instance.state != InstanceState::Running {
            continue;
        }
        compute.stop(&instance.instance_id.into(), STOP_GRACE).await?;
        warn!(instance = instance.name, tenant = tenant.tenant, "stopped: the tenant's wallet is empty");
        stopped.push(instance.name);
    }
    wallet::stopped(&parts.database, tenant.tenant_id, &stopped, Timestamp::now()).await?;
    Ok(())
}
