//! Billing runs, and looking for late usage: see [`crate::billing_run`] and [`crate::rerating`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch::Receiver;
use tracing::error;

use super::housekeeping::{goes_on, unless_stopped};
use crate::parts::Parts;
use crate::{billing_run, rerating};

/// Whether a grace period is over, or a failed tenant is due again, is looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Issued invoices are looked at so often: late usage is no hurry.
const LATE_INTERVAL: Duration = Duration::from_secs(600);

/// Works off billing runs until `stop` turns true: those that were asked for at once, and those that a start finds.
pub async fn run(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    while !*stop.borrow_and_update() {
        if let Err(failure) = billing_run::schedule(&parts, Timestamp::now()).await {
            error!("no billing run was scheduled: {failure:#}");
        }
        if let Err(failure) = billing_run::work_off(&parts, &stop).await {
            error!("a billing run stopped and goes on later: {failure:#}");
        }
        tokio::select! {
            () = parts.billing_due.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            _ = stop.changed() => return,
        }
    }
}

/// Looks for late usage until `stop` turns true.
pub async fn look_for_late_usage(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    loop {
        if !goes_on(&mut stop, LATE_INTERVAL).await {
            return;
        }
        let looked = rerating::look_for_late_usage(&parts, Timestamp::now());
        if let Some(Err(failure)) = unless_stopped(&stop, looked).await {
            error!("issued invoices were not looked at: {failure:#}");
        }
    }
}
