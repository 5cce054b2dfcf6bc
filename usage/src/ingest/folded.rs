//! A batch that comes again under its number in another form than it had.
//!
//! A node that was cut from power in its catch-up has forgotten the last acknowledgements, and may fold what it takes for
//! waiting: readings of acknowledged batches move into a later one that is acknowledged, too. Nothing of that is news, whether
//! those readings were stored, lie in quarantine, or said nothing because another node had what they are of. Whether it is
//! so is asked of what is kept, not believed. It does NOT store anything.

use jiff::Timestamp;
use metering::Batch;
use migrations::Transaction;
use uuid::Uuid;

use super::{CLOCK_ERROR_MAX, storable};
use crate::error::{UsageError, unsigned};

/// A reading that was put in order (`order`) is stored at most twice the bound of wrong clocks later than it says.
const LATER_MAX_S: i64 = 2 * CLOCK_ERROR_MAX.as_secs().cast_signed();

/// Rows by column, as the statement takes them.
#[derive(Default)]
struct Rows {
    ids: Vec<Uuid>,
    devices: Vec<String>,
    epochs: Vec<i64>,
    instants: Vec<Timestamp>,
}

impl Rows {
    fn add(&mut self, id: Uuid, device: &str, epoch: metering::Epoch, at: Timestamp) {
        self.ids.push(id);
        self.devices.push(device.replace('\0', "\u{FFFD}"));
        self.epochs.push(epoch.id.as_i64());
        self.instants.push(storable(at));
    }
}

/// Whether the readings of the batch, whose number is `seq`, were all dealt with.
pub(super) async fn is_known(
    transaction: &Transaction<'_>,
    batch: &Batch,
    seq: i64,
) -> Result<bool, UsageError> {
    let [mut instances, mut disks, mut nics, mut volumes] = std::array::from_fn(|_| Rows::default());
    for one in &batch.readings.instances {
        instances.add(one.instance_id.uuid(), "", one.epoch, one.observed_at);
    }
    for one in &batch.readings.disks {
        disks.add(one.instance_id.uuid(), &one.target, one.epoch, one.observed_at);
    }
    for one in &batch.readings.nics {
        nics.add(one.instance_id.uuid(), &one.mac, one.epoch, one.observed_at);
    }
    for one in &batch.readings.volumes {
        volumes.add(one.volume_id.uuid(), "", one.epoch, one.observed_at);
    }
    let statement = transaction.prepare_cached(sql!("uncovered_readings")).await?;
    let row = transaction
        .query_one(
            &statement,
            &[
                &batch.node_id.uuid(),
                &LATER_MAX_S,
                &seq,
                &instances.ids,
                &instances.epochs,
                &instances.instants,
                &disks.ids,
                &disks.devices,
                &disks.epochs,
                &disks.instants,
                &nics.ids,
                &nics.devices,
                &nics.epochs,
                &nics.instants,
                &volumes.ids,
                &volumes.epochs,
                &volumes.instants,
            ],
        )
        .await?;
    Ok(unsigned("a reading table", "uncovered", row.try_get("uncovered")?)? == 0)
}
