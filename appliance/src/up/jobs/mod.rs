//! What runs by itself while Weir is up: shipping readings into the database, deriving usage from them, and what the
//! modules below do.

mod alerts;
mod billing;
mod books;
mod dimensions;
mod housekeeping;
mod mail;
mod webhooks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::mail::Smtp;
use collector::{Parcel, Receipt, Sink, SinkError};
use jiff::Timestamp;
use metering::BootId;
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;
use tracing::{error, warn};
use usage::{Delivery, NodeClock, derivation};

use crate::nodes::intake;
use crate::parts::Parts;

/// Usage is derived at most this often: readings come every second at the most, and people look less often.
const DERIVE_PAUSE: Duration = Duration::from_secs(2);
/// ... and at least this often.
const DERIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Who has fallen silent is looked for this often at most: all heads are read for it, and a window's silence is minutes old when
/// the window ends.
const SILENT_INTERVAL: Duration = DERIVE_INTERVAL;
/// How long a stop waits for readings that are still on their way; they are safe in the spool.
const DRAIN_MAX: Duration = Duration::from_secs(5);
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// The jobs.
pub struct Jobs {
    spool: Option<collector::Spool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Starts them; they end when `stop` turns true.
    pub async fn start(parts: &Arc<Parts>, smtp: Option<Smtp>, stop: &Receiver<bool>) -> Self {
        let mut tasks = vec![
            tokio::spawn(derive(Arc::clone(parts), stop.clone())),
            tokio::spawn(housekeeping::rate(Arc::clone(parts), stop.clone())),
            tokio::spawn(housekeeping::count(Arc::clone(parts), stop.clone())),
            tokio::spawn(housekeeping::enforce(Arc::clone(parts), stop.clone())),
            tokio::spawn(housekeeping::roll_up(Arc::clone(parts), stop.clone())),
            tokio::spawn(housekeeping::sweep(Arc::clone(parts), stop.clone())),
            tokio::spawn(dimensions::apply(Arc::clone(parts), stop.clone())),
            tokio::spawn(alerts::look(Arc::clone(parts), stop.clone())),
            tokio::spawn(books::dun(Arc::clone(parts), stop.clone())),
            tokio::spawn(books::watch_wallets(Arc::clone(parts), stop.clone())),
            tokio::spawn(billing::run(Arc::clone(parts), stop.clone())),
            tokio::spawn(billing::look_for_late_usage(Arc::clone(parts), stop.clone())),
            tokio::spawn(mail::deliver(Arc::clone(parts), smtp, stop.clone())),
            tokio::spawn(webhooks::deliver(Arc::clone(parts), stop.clone())),
        ];
        let source = parts.spool().await;
        let spool = source.as_ref().map(|(spool, _)| spool.clone());
        if let Some((spool, wake)) = source {
            let sink = Ingest { parts: Arc::clone(parts), boot_id: boot_id() };
            tasks.push(tokio::spawn(collector::ship(spool, wake, sink, stop.clone())));
        }
        Self { spool, tasks }
    }

    /// Waits a little until the spool is empty.
    pub async fn drain(&self) {
        let Some(spool) = &self.spool else { return };
        let empty = async {
            while spool.backlog().is_ok_and(|backlog| 0 < backlog.batches) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, empty).await.is_err() {
            warn!("readings are left in the spool; they will be stored at the next start");
        }
    }

    /// Waits for their ends.
    pub async fn stop(self) {
        for task in self.tasks {
            if let Err(error) = task.await {
                error!("a job failed: {error}");
            }
        }
    }
}

/// The collector's sink: the database.
struct Ingest {
    parts: Arc<Parts>,
    boot_id: Option<BootId>,
}

/// The life of this machine's kernel, if it tells.
fn boot_id() -> Option<BootId> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().parse().ok()
}

impl Sink for Ingest {
    async fn deliver(&self, parcel: Parcel) -> Result<Receipt, SinkError> {
        let (wall, boot) = (parcel.now.wall, parcel.now.boot);
        let sent = Some(NodeClock { wall, boot, boot_id: self.boot_id });
        let delivery = Delivery { after: parcel.after, sent };
        intake::take_in(&self.parts, &parcel.batch, &delivery, Timestamp::now()).await
    }
}

/// Derives usage whenever readings have come in, and now and then.
async fn derive(parts: Arc<Parts>, mut stop: Receiver<bool>) {
    let mut silent_at: Option<Instant> = None;
    while !*stop.borrow_and_update() {
        tokio::select! {
            () = parts.ingested.notified() => {}
            () = tokio::time::sleep(DERIVE_INTERVAL) => {}
            _ = stop.changed() => return,
        }
        let is_silence_due = silent_at.is_none_or(|looked_at| SILENT_INTERVAL <= looked_at.elapsed());
        if is_silence_due {
            silent_at = Some(Instant::now());
        }
        if let Err(failure) = derive_once(&parts, is_silence_due).await {
            error!("usage was not derived: {:#}", anyhow::Error::from(failure));
        }
        tokio::select! {
            () = tokio::time::sleep(DERIVE_PAUSE) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn derive_once(parts: &Parts, is_silence_due: bool) -> Result<(), usage::UsageError> {
    let now = Timestamp::now();
    if is_silence_due {
        derivation::mark_overdue(&parts.database, parts.usage, now).await?;
    }
    derivation::derive_dirty(&parts.database, parts.usage, now).await?;
    Ok(())
}
