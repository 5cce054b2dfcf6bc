//! The readings that are taken around every action, so that windows of usage begin and end where the action was.
//!
//! What a reading is and how it is taken is the caller's business: here is only when, and how long to wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A boxed future, so that [`Readings`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How long an action waits for a reading. A complete reading of 200 guests takes under a second; a collector that
/// needs ten is hung, and must not keep people from stopping their instances.
pub(crate) const READING_LIMIT: Duration = Duration::from_secs(10);

/// Takes readings.
pub trait Readings: Send + Sync {
    /// Takes a complete reading now and makes it durable. The error is a sentence for the user.
    ///
    /// Called before every stop, destroy and detach, with the guest suspended where that is possible, so that nothing
    /// moves in between; while a guest shuts down or lets go of a device; and after every create, start, attach, stop,
    /// detach and delete. It may be called from several tasks at once.
    fn take(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Takes readings during one action and collects what went wrong with them.
///
/// A reading that fails or hangs never stops the action: an instance must stay stoppable while the collector is ill.
/// The registers are absolute, so what is lost is the time since the last good reading, and the warning says so.
pub(crate) struct Taker {
    readings: Arc<dyn Readings>,
    limit: Duration,
    warnings: Vec<String>,
}

impl Taker {
    pub(crate) fn new(readings: Arc<dyn Readings>, limit: Duration) -> Self {
        Self { readings, limit, warnings: Vec::new() }
    }

    /// Takes one; `when` completes "no reading ..., ", such as "before the stop".
    pub(crate) async fn take(&mut self, when: &str) {
        let why = match tokio::time::timeout(self.limit, self.readings.take()).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("the collector did not answer within {} s", self.limit.as_secs_f32()),
        };
        self.warn(format!(
            "no reading could be taken {when}, so figures since the last one may be missing: {why}"
        ));
    }

    /// Adds a warning, once.
    pub(crate) fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            tracing::warn!("{warning}");
            self.warnings.push(warning);
        }
    }

    pub(crate) fn into_warnings(self) -> Vec<String> {
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hung;

    impl Readings for Hung {
        fn take(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_collector_that_hangs_is_waited_for_only_so_long_and_reported_once() {
        let mut taker = Taker::new(Arc::new(Hung), Duration::from_millis(10));
        taker.take("before the stop").await;
        taker.take("before the stop").await;
        let warnings = taker.into_warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("did not answer"), "{warnings:?}");
    }
}
