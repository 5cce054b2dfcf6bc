//! What is done now and then: rating the running months, counting what tenants hold, summing up the nodes' days, and
//! clearing away sessions that have ended. Each failure is logged and tried again the next time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::api::idempotency;
use crate::parts::Parts;
use crate::{enforcement, instances, spending};

/// Running months are rated so often: what a page shows is at most a minute old, and a round leaves some of it over.
const RATE_INTERVAL: Duration = Duration::from_secs(50);
/// ... or this, where readings come more often than once a minute: a fifth of a demo.
const RATE_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// What tenants hold is counted so often, to see what somebody made or removed without Weir.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// Whoever starts an instance by other means although an allowance holds it has it for so long.
const ENFORCE_INTERVAL: Duration = Duration::from_secs(5);
/// Days of nodes are summed up so often: the capacity page shows today, too.
const ROLL_UP_INTERVAL: Duration = Duration::from_secs(600);
/// Ended sessions are cleared away so often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);

/// Rates the running months until `stop` turns true. From start to start, so that what a page shows is no older than a minute
/// however long a round takes; where it takes more than half of the interval, a pause as long follows, as far as the minute allows.
pub async fn rate(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    let interval = parts.config.collector.reading_interval.0.clamp(RATE_INTERVAL_MIN, RATE_INTERVAL);
    loop {
        let begun = Instant::now();
        let rated = spending::rate_running_months(&parts);
        if let Some(Err(failure)) = unless_stopped(&stop, rated).await {
            error!("the running months were not rated: {failure:#}");
        }
        let pause = pause_after(begun.elapsed(), interval);
        if !goes_on(&mut stop, pause).await {
            return;
        }
    }
}

/// How long the next round waits when the last one took `took`.
fn pause_after(took: Duration, interval: Duration) -> Duration {
    (took * 2).clamp(interval, RATE_INTERVAL.max(interval)).saturating_sub(took)
}

/// Counts what tenants hold until `stop` turns true.
pub async fn count(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(failure) = instances::count(&parts).await {
            // libvirt may be away: what was counted before stands.
            warn!("what tenants hold was not counted: {failure:#}");
        }
        if !goes_on(&mut stop, COUNT_INTERVAL).await {
            return;
        }
    }
}

/// Carries out what allowances say until `stop` turns true.
pub async fn enforce(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(failure) = enforcement::pass(&parts, Timestamp::now()).await {
            warn!("what allowances say was not carried out: {failure:#}");
        }
        if !goes_on(&mut stop, ENFORCE_INTERVAL).await {
            return;
        }
    }
}

/// Sums up the nodes' days until `stop` turns true.
pub async fn roll_up(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(failure) = usage::capacity::roll_up(&parts.database, Timestamp::now()).await {
            error!("the nodes' days were not summed up: {:#}", anyhow::Error::from(failure));
        }
        if !goes_on(&mut stop, ROLL_UP_INTERVAL).await {
            return;
        }
    }
}

/// Clears sessions, and answers to requests that nobody will repeat, away until `stop` turns true.
pub async fn sweep(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    loop {
        if let Err(failure) = accounts::sessions::sweep(&parts.database, Timestamp::now()).await {
            error!("ended sessions were not cleared away: {:#}", anyhow::Error::from(failure));
        }
        if let Err(failure) = idempotency::sweep(&parts.database, Timestamp::now()).await {
            error!("old idempotency keys were not cleared away: {:#}", anyhow::Error::from(failure));
        }
        if !goes_on(&mut stop, SWEEP_INTERVAL).await {
            return;
        }
    }
}

/// Works through many tenants, or gives up what is left when Weir is being stopped: each tenant is a transaction of its own, and
/// is looked at again after the next start. `None`: it was given up.
pub(super) async fn unless_stopped<T>(
    stop: &watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut stop = stop.clone();
    tokio::select! {
        done = work => Some(done),
        _ = stop.wait_for(|stop| *stop) => None,
    }
}

/// Waits for the next turn. `false`: there is none, Weir is being stopped.
pub(super) async fn goes_on(stop: &mut watch::Receiver<bool>, interval: Duration) -> bool {
    if *stop.borrow_and_update() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        _ = stop.changed() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_begin_once_a_minute_however_long_they_take_and_never_work_all_the_time_while_that_can_be_helped()
     {
        let seconds = Duration::from_secs;
        // Took, interval, pause.
        for (took, interval, pause) in [
            (0, 50, 50),
            (10, 50, 40),
            (49, 50, 1),
            (50, 50, 0),
            (300, 50, 0),
            (2, 5, 3),
            (4, 5, 4),
            (20, 5, 20),
            (30, 5, 20),
            (60, 5, 0),
        ] {
            assert_eq!(
                pause_after(seconds(took), seconds(interval)),
                seconds(pause),
                "{took} s of {interval} s"
            );
        }
    }
}
