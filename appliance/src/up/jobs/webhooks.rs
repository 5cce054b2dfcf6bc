//! Delivering events to webhook endpoints, alerts about endpoints that were disabled because they failed, and clearing away
//! old events.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hooks::{Passed, Sender, deliver_due, deliveries, endpoints};
use jiff::Timestamp;
use nodes::alerts::{self, Alert, Kind};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error};

use super::housekeeping::goes_on;
use crate::parts::Parts;

/// What is due is looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Endpoints that were disabled are looked for so often.
const LOOK_AFTER: Duration = Duration::from_secs(30);
/// Old events are cleared away so often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);

/// Delivers until `stop` turns true.
pub async fn deliver(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    let sender = match Sender::new(parts.config.webhooks.guard()) {
        Ok(sender) => sender,
        Err(failure) => {
            error!("no events will be sent to webhook endpoints: {:#}", anyhow::Error::from(failure));
            return;
        }
    };
    let (mut looked_after, mut swept) = (None, None);
    loop {
        match deliver_due(&parts.database, &sender, Timestamp::now).await {
            Ok(passed) if passed != Passed::default() => debug!(?passed, "webhooks"),
            Ok(_) => {}
            Err(failure) => error!("events were not delivered: {:#}", anyhow::Error::from(failure)),
        }
        if is_due(&mut looked_after, LOOK_AFTER)
            && let Err(failure) = look_after(&parts, Timestamp::now()).await
        {
            error!("webhook endpoints were not looked after: {failure:#}");
        }
        if is_due(&mut swept, SWEEP_INTERVAL)
            && let Err(failure) = deliveries::sweep(&parts.database, Timestamp::now()).await
        {
            error!("old events were not cleared away: {:#}", anyhow::Error::from(failure));
        }
        if !goes_on(&mut stop, LOOK).await {
            return;
        }
    }
}

/// Raises an alert for each endpoint that was disabled because it failed, and ends those of the others.
async fn look_after(parts: &Parts, now: Timestamp) -> anyhow::Result<()> {
    let disabled = endpoints::disabled_by_failures(&parts.database).await?;
    let open = alerts::open(&parts.database).await?;
    let open: HashSet<&str> = open
        .iter()
        .filter(|entry| entry.kind == Kind::WebhookDisabled.as_str())
        .map(|entry| entry.subject.as_str())
        .collect();
    let mut wrong = HashSet::new();
    for endpoint in disabled {
        let subject = format!("webhook/{}", endpoint.id);
        if !open.contains(subject.as_str()) {
            let because = endpoint.disabled.as_ref().map_or("", |(_, because)| because);
            let alert = Alert {
                kind: Kind::WebhookDisabled,
                subject: subject.clone(),
                title: Kind::WebhookDisabled.title().to_owned(),
                detail: format!("{} of {}: {because}", endpoint.url, endpoint.tenant),
                node_id: None,
                instance_id: None,
            };
            alerts::raise(&parts.database, &alert, now).await?;
            parts.mail_due.notify_one();
        }
        wrong.insert(subject);
    }
    for subject in open.into_iter().filter(|subject| !wrong.contains(*subject)) {
        alerts::end(&parts.database, Kind::WebhookDisabled, subject, now).await?;
    }
    Ok(())
}

fn is_due(last: &mut Option<Instant>, interval: Duration) -> bool {
    let is_due = last.is_none_or(|last| interval <= last.elapsed());
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
