//! Alerts: looking for what is wrong with nodes, and writing the mails that the limits kept back. What is wrong is decided
//! in [`nodes::alerts::watch`].

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nodes::alerts::watch::{self, Watch};
use nodes::alerts::{self, Alert, AlertError, Kind};
use tokio::sync::watch::Receiver;
use tracing::error;

use super::housekeeping::goes_on;
use crate::parts::Parts;

/// Looked for so often: a quarter of the time after which a node counts as silent at the soonest.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Month-to-date amounts that are older are told: three times what they may be, so that a billing run of a few minutes is not.
const MONTHS_OLD: SignedDuration = SignedDuration::from_secs(180);
/// The subject of that: it is one for all tenants.
const MONTHS: &str = "month-to-date";

/// Looks until `stop` turns true.
pub async fn look(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    let listening_since = Timestamp::now();
    loop {
        let now = Timestamp::now();
        let watch = Watch {
            reading_interval: parts.config.collector.reading_interval.0,
            certificate_life: parts.config.nodes.certificate_life.0,
            listening_since,
            own: parts.node_id().await,
            authority_ends_at: parts.door.as_ref().and_then(|door| door.authority.ends_at()),
        };
        if let Err(failure) = watch::look(&parts.database, &watch, now).await {
            error!("the nodes were not looked after: {:#}", anyhow::Error::from(failure));
        }
        if let Err(failure) = look_at_months(&parts, now).await {
            error!("it was not looked how old month-to-date amounts are: {:#}", anyhow::Error::from(failure));
        }
        match alerts::announce_kept_back(&parts.database, now).await {
            Ok(0) => {}
            Ok(_) => parts.mail_due.notify_one(),
            Err(failure) => error!("alerts were not announced: {:#}", anyhow::Error::from(failure)),
        }
        if let Err(failure) = alerts::sweep(&parts.database, now).await {
            error!("alerts of long ago were not cleared away: {:#}", anyhow::Error::from(failure));
        }
        if !goes_on(&mut stop, LOOK_INTERVAL).await {
            return;
        }
    }
}

async fn look_at_months(parts: &Parts, now: Timestamp) -> Result<(), AlertError> {
    let age = parts.freshness.oldest().map_or(SignedDuration::ZERO, |oldest| now.duration_since(oldest));
    if age < MONTHS_OLD {
        return alerts::end(&parts.database, Kind::MonthToDateOld, MONTHS, now).await.map(drop);
    }
    let alert = Alert {
        kind: Kind::MonthToDateOld,
        subject: MONTHS.to_owned(),
        title: Kind::MonthToDateOld.title().to_owned(),
        detail: format!(
            "the oldest month-to-date amount was rated {} s ago; it should be a minute at most",
            age.as_secs()
        ),
        node_id: None,
        instance_id: None,
    };
    if alerts::raise(&parts.database, &alert, now).await? {
        parts.mail_due.notify_one();
    }
    Ok(())
}
