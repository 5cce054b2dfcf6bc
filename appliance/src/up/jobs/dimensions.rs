//! Gives resources the dimensions that the configuration's rules say.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch::Receiver;
use tracing::{error, info};
use usage::dimensions::{Rule, apply_rules};

use crate::parts::Parts;

/// New resources are to have theirs within their first usage window or the one after.
const INTERVAL: Duration = Duration::from_secs(60);

/// Applies the rules until `stop` turns true.
pub async fn apply(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    let rules: anyhow::Result<Vec<Rule>> =
        parts.config.metering.dimensions.iter().map(|rule| rule.rule()).collect();
    let rules = match rules {
        Ok(rules) => rules,
        // The configuration was checked when it was read.
        Err(failure) => return error!("the rules for dimensions are not right: {failure:#}"),
    };
    while !*stop.borrow_and_update() {
        match apply_rules(&parts.database, &rules, parts.usage.window, Timestamp::now()).await {
            Ok(0) => {}
            Ok(changed) => info!(changed, "dimensions were given by rules"),
            Err(failure) => error!("dimensions were not given: {:#}", anyhow::Error::from(failure)),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.changed() => return,
        }
    }
}
