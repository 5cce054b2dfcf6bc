//! Shipping: the oldest batch to the sink, again and again until it is taken in, then the next.
//!
//! In order, one at a time. A sink that is away is waited for, for ever; one that lost batches gets them again; a batch that it
//! refuses for good is set aside; a sink that bars this node is asked seldom. Nothing is dropped here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metering::{Batch, BatchSeq};
use tokio::sync::{Notify, watch};

use crate::chain;
use crate::clock::{Clock, Moment, SystemClock};
use crate::spool::{Spool, SpoolError};

/// The first wait after a failure, and the longest: soon enough to catch up, seldom enough not to crowd a
/// control plane that comes back.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A node that is barred asks again after this long: an operator has to act first, and will not wait for longer than this
/// to see that it helped.
const BARRED_WAIT: Duration = Duration::from_secs(600);

/// Without a notification the spool is looked at after this long all the same.
const IDLE_WAIT: Duration = Duration::from_secs(60);

/// What is handed over at once: a batch, and what the receiver needs to place it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// The batch.
    pub batch: Batch,
    /// The number that was acknowledged before it; 0: none. A receiver that does not know it has lost batches.
    pub after: BatchSeq,
    /// The node's two clocks at delivery: with [`Batch::collected_boot`] they tell how wrong its wall clock was.
    pub now: Moment,
}

/// A batch is durable at the receiver, or was already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The highest number of this node's that the receiver has. All below it that were ever sent are there too.
    pub known_until: BatchSeq,
    /// Up to here a backup of the receiver covers the batches; 0: there is none. The node may forget them.
    pub covered_until: BatchSeq,
}

/// Where batches go.
pub trait Sink: Send + Sync {
    /// Takes a batch in. It stays on the node until a backup covers it.
    fn deliver(&self, parcel: Parcel) -> impl Future<Output = Result<Receipt, SinkError>> + Send;
}

/// Why a batch was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The receiver cannot be reached or cannot store now. The same batch is tried again, for ever.
    #[error("the batch was not taken in")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The receiver does not have what it acknowledged: it was restored from a backup. The node goes back to
    /// the batch after `known_until`.
    #[error("the receiver has batches up to {known_until} only")]
    Behind {
        /// What it has.
        known_until: BatchSeq,
    },
    /// This batch will never be taken; the next ones may be. It is kept aside.
    #[error("the batch is refused: {reason}")]
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// Nothing is taken from this node as it is: it was removed, or another one uses its identity. All is held.
    #[error("this node is barred: {reason}")]
    Barred {
        /// Why, for people.
        reason: String,
    },
}

/// Ships until `stop` turns true (or its sender is gone). A delivery under way is finished first.
pub async fn ship(spool: Spool, wake: Arc<Notify>, sink: impl Sink, mut stop: watch::Receiver<bool>) {
    let mut failures = Failures::default();
    while !*stop.borrow_and_update() {
        let wait = match ship_one(&spool, &sink).await {
            Ok(is_some) => {
                failures.end();
                if is_some {
                    continue;
                }
                None
            }
            Err(error) => Some(failures.wait_after(&error)),
        };
        tokio::select! {
            changed = stop.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = wake.notified(), if wait.is_none() => {}
            () = tokio::time::sleep(wait.unwrap_or(IDLE_WAIT)) => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("the spool failed")]
    Spool(#[source] SpoolError),
    #[error("the sink failed")]
    Sink(#[source] SinkError),
    #[error("the sink took batch {seq} and says that it has batches up to {known_until} only")]
    Contradiction { seq: BatchSeq, known_until: BatchSeq },
    #[error("a worker of the runtime failed")]
    Worker(#[source] tokio::task::JoinError),
}

/// Failures in a row. They are logged ever less often: a control plane may be away for days.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    is_barred: bool,
}

impl Failures {
    fn wait_after(&mut self, error: &ShipError) -> Duration {
        let text = chain(error);
        if matches!(error, ShipError::Sink(SinkError::Barred { .. })) {
            if !self.is_barred {
                tracing::error!(error = text, "this node is barred: everything is held in the spool");
            }
            self.is_barred = true;
            return spread(BARRED_WAIT, jitter());
        }
        self.is_barred = false;
        self.count = self.count.saturating_add(1);
        let wait = backoff(self.count, jitter());
        if self.count.is_power_of_two() {
            tracing::warn!(error = text, failures = self.count, ?wait, "a batch waits in the spool");
        }
        wait
    }

    fn end(&mut self) {
        if 1 < self.count || self.is_barred {
            tracing::info!(failures = self.count, "batches are delivered again");
        }
        *self = Self::default();
    }
}

/// Delivers the oldest batch, or does what the sink's answer asks for. False: none waits.
async fn ship_one(spool: &Spool, sink: &impl Sink) -> Result<bool, ShipError> {
    let Some((batch, after)) = blocking(spool, |spool| spool.next_delivery()).await? else {
        return Ok(false);
    };
    let seq = batch.seq;
    let parcel = Parcel { batch, after, now: SystemClock.now() };
    match sink.deliver(parcel).await {
        Ok(receipt) if receipt.known_until < seq => {
            return Err(ShipError::Contradiction { seq, known_until: receipt.known_until });
        }
        Ok(receipt) => blocking(spool, move |spool| spool.delivered(seq, receipt)).await?,
        // It knows what it acknowledged: going back further would be no progress, and a wait is in order.
        Err(SinkError::Behind { known_until }) if known_until < after => {
            blocking(spool, move |spool| spool.rewind(known_until)).await?;
        }
        Err(SinkError::Refused { reason }) => {
            blocking(spool, move |spool| spool.set_aside(seq, &reason)).await?;
        }
        Err(error) => return Err(ShipError::Sink(error)),
    }
    Ok(true)
}

/// The spool waits for its disk; the runtime must not.
async fn blocking<T: Send + 'static>(
    spool: &Spool,
    work: impl FnOnce(Spool) -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, ShipError> {
    let spool = spool.clone();
    tokio::task::spawn_blocking(move || work(spool))
        .await
        .map_err(ShipError::Worker)?
        .map_err(ShipError::Spool)
}

/// Doubles with each failure; `jitter` (of 256) takes away up to half, so that nodes do not come back in step.
fn backoff(failures: u32, jitter: u8) -> Duration {
    let full =
        FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(MAX_WAIT);
    spread(full, jitter)
}

fn spread(full: Duration, jitter: u8) -> Duration {
    full - full * u32::from(jitter) / 512
}

fn jitter() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}

#[cfg(test)]
mod tests;
