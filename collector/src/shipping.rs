//! Shipping: the oldest batch to the sink, again and again until it is taken in, then the next.
//!
//! In order, one at a time. A sink that fails is waited for; nothing is dropped here.

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
    let mut failures = 0;
    while !*stop.borrow_and_update() {
        let wait = match ship_one(&spool, &sink).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => {
                failures = 0;
                None
            }
            Err(error) => {
                failures += 1;
                let wait = backoff(failures, jitter());
                let error = chain(&error);
                tracing::warn!(error, failures, ?wait, "a batch waits in the spool");
                Some(wait)
            }
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
    #[error("a worker of the runtime failed")]
    Worker(#[source] tokio::task::JoinError),
}

/// Delivers the oldest batch. False: none waits.
async fn ship_one(spool: &Spool, sink: &impl Sink) -> Result<bool, ShipError> {
    let oldest = blocking(spool, |spool| spool.oldest()).await?;
    let Some(batch) = oldest else {
        return Ok(false);
    };
    let seq = batch.seq;
    let after = BatchSeq(seq.0.saturating_sub(1));
    let parcel = Parcel { batch, after, now: SystemClock.now() };
    sink.deliver(parcel).await.map_err(ShipError::Sink)?;
    blocking(spool, move |spool| spool.acknowledge(seq)).await?;
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
    full - full * u32::from(jitter) / 512
}

fn jitter() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;
    use metering::{BootId, Readings};
    use uuid::Uuid;

    use super::*;
    use crate::tracker::State;

    /// Refuses the first deliveries, then takes everything; keeps what it was given.
    struct Shaky {
        refusals: Mutex<u32>,
        seen: Arc<Mutex<Vec<(u64, bool)>>>,
        all_taken: watch::Sender<bool>,
    }

    impl Sink for Shaky {
        async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
            let batch = parcel.batch;
            let mut refusals = self.refusals.lock().unwrap();
            let is_taken = *refusals == 0;
            *refusals = refusals.saturating_sub(1);
            self.seen.lock().unwrap().push((batch.seq.0, is_taken));
            if !is_taken {
                return Err(SinkError::Away("the other side is away".into()));
            }
            if batch.seq == BatchSeq(3) {
                self.all_taken.send_replace(true);
            }
            Ok(Receipt { known_until: batch.seq, covered_until: BatchSeq(0) })
        }
    }

    fn commit(spool: &Spool) {
        let batch = Batch {
            node_id: spool.node_id(),
            seq: BatchSeq(0),
            node_name: "node".into(),
            boot_id: BootId::from_uuid(Uuid::nil()),
            collected_at: Timestamp::UNIX_EPOCH,
            collected_boot: None,
            readings: Readings::default(),
            gaps: Vec::new(),
            instances: Vec::new(),
            volumes: Vec::new(),
            notices: Vec::new(),
        };
        spool.commit(batch, &State::new(Uuid::nil())).unwrap();
    }

    #[tokio::test]
    async fn batches_arrive_in_order_and_again_until_they_are_taken_and_a_new_one_wakes_the_loop() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        commit(&spool);
        commit(&spool);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let sink = Shaky { refusals: Mutex::new(2), seen: Arc::clone(&seen), all_taken: stop };
        let wake = Arc::new(Notify::new());
        let shipping = tokio::spawn(ship(spool.clone(), Arc::clone(&wake), sink, stopped));
        while seen.lock().unwrap().len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        commit(&spool);
        wake.notify_one();
        shipping.await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [(1, false), (1, false), (1, true), (2, true), (3, true)]);
        assert_eq!(spool.backlog().unwrap().batches, 0);
    }

    #[test]
    fn a_sink_that_stays_away_is_asked_ever_less_often_but_never_given_up() {
        assert_eq!(backoff(1, 0), FIRST_WAIT);
        assert_eq!(backoff(3, 0), FIRST_WAIT * 4);
        assert_eq!(backoff(u32::MAX, 0), MAX_WAIT);
        assert!(MAX_WAIT / 2 <= backoff(u32::MAX, 255));
    }
}
