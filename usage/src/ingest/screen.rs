//! Tells readings that may be true from those that cannot, each by itself, and keeps the latter with the reason. It does
//! NOT compare a reading with the one before it ([`super::judge`] does).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use metering::{
    Batch, DiskReading, Epoch, Gap, InstanceReading, NicReading, NodeReading, VolumeReading, Window,
};
use migrations::Transaction;
use serde_json::Value;
use uuid::Uuid;

use super::clock::{CLOCK_ERROR_MAX, ClockError};
use super::partitions::day_of;
use super::{Arrival, DEVICE_MAX, EARLIEST, FUTURE_MAX, clean, payload, storable};
use crate::error::UsageError;

/// A batch's readings that may be true, and the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Screened<'a> {
    pub(super) instances: Vec<&'a InstanceReading>,
    pub(super) disks: Vec<&'a DiskReading>,
    pub(super) nics: Vec<&'a NicReading>,
    pub(super) volumes: Vec<Cow<'a, VolumeReading>>,
    pub(super) node: Option<&'a NodeReading>,
    pub(super) gaps: Vec<&'a Gap>,
    pub(super) refused: Vec<Refused>,
    /// Readings of what another node has and this one only knows: they say nothing.
    pub(super) ignored: usize,
    /// Instances of which some were ignored: what this node says of them besides is no news either.
    pub(super) foreign: BTreeSet<Uuid>,
    /// Instances of which the node that had them before tells the rest, and since when another one has them.
    pub(super) farewells: BTreeMap<Uuid, Option<Timestamp>>,
    /// From when to when anything may lie; `None` only by default.
    pub(super) bounds: Option<Window>,
}

/// A row that cannot be true.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    kind: &'static str,
    pub(super) reason: String,
    payload: Value,
}

impl Screened<'_> {
    /// Which tables are needed on which days.
    pub(super) fn days(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let mut days = BTreeSet::new();
        days.extend(self.instances.iter().map(|r| ("instance_reading", day_of(r.observed_at))));
        days.extend(self.disks.iter().map(|r| ("disk_reading", day_of(r.observed_at))));
        days.extend(self.nics.iter().map(|r| ("nic_reading", day_of(r.observed_at))));
        days.extend(self.volumes.iter().map(|r| ("volume_reading", day_of(r.observed_at))));
        days.extend(self.node.iter().map(|r| ("node_reading", day_of(r.observed_at))));
        days.into_iter()
    }

    pub(super) fn refuse_instance(&mut self, reason: String, reading: &InstanceReading) {
        self.refuse("instance", reason, payload::of_instance(reading));
    }

    pub(super) fn refuse_disk(&mut self, reason: String, reading: &DiskReading) {
        self.refuse("disk", reason, payload::of_disk(reading));
    }

    pub(super) fn refuse_nic(&mut self, reason: String, reading: &NicReading) {
        self.refuse("nic", reason, payload::of_nic(reading));
    }

    pub(super) fn refuse_volume(&mut self, reason: String, reading: &VolumeReading) {
        self.refuse("volume", reason, payload::of_volume(reading));
    }

    fn refuse(&mut self, kind: &'static str, reason: String, payload: Value) {
        self.refused.push(Refused { kind, reason, payload });
    }
}

/// Sorts a batch's rows.
pub(super) fn screen<'a>(
    batch: &'a Batch,
    received_at: Timestamp,
    clock: ClockError,
    days_max: usize,
) -> Screened<'a> {
    let readings = &batch.readings;
    let rules = Rules { clock, ..Rules::new(batch, received_at, days_max) };
    let bounds = Window::new(rules.earliest, rules.latest).ok();
    let mut screened = Screened { bounds, ..Screened::default() };
    for reading in &readings.instances {
        match rules.fault_of_instance(reading) {
            None => screened.instances.push(reading),
            Some(reason) => screened.refuse_instance(reason, reading),
        }
    }
    for reading in &readings.disks {
        let r = reading.registers;
        let registers = [r.read_bytes, r.write_bytes, r.read_ops, r.write_ops, r.flush_ops];
        match rules.fault(reading.observed_at, reading.epoch, &registers, &[&reading.target, &reading.source])
        {
            None => screened.disks.push(reading),
            Some(reason) => screened.refuse_disk(reason, reading),
        }
    }
    for reading in &readings.nics {
        let r = reading.registers;
        let registers = [r.rx_bytes, r.tx_bytes, r.rx_packets, r.tx_packets];
        match rules.fault(reading.observed_at, reading.epoch, &registers, &[&reading.mac]) {
            None => screened.nics.push(reading),
            Some(reason) => screened.refuse_nic(reason, reading),
        }
    }
    for reading in &readings.volumes {
        let registers = [reading.capacity_bytes, reading.registers.provisioned_kib_s];
        match rules.fault(reading.observed_at, reading.epoch, &registers, &[]) {
            None => screened.volumes.push(Cow::Borrowed(reading)),
            Some(reason) => screened.refuse_volume(reason, reading),
        }
    }
    if let Some(reading) = &readings.node {
        match rules.fault(reading.observed_at, Epoch::NONE, &node_figures(reading), &[]) {
            None => screened.node = Some(reading),
            Some(reason) => {
                screened.refuse("node", reason, payload::of_node(reading, &node_figures(reading)));
            }
        }
    }
    // A gap that lies outside of what is metered says nothing.
    screened.gaps.extend(
        batch.gaps.iter().filter(|gap| rules.earliest < gap.span.end() && gap.span.start() < rules.latest),
    );
    screened
}

/// Writes down what was refused, and the gaps.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    arrival: &Arrival<'_>,
    screened: &Screened<'_>,
) -> Result<(), UsageError> {
    let Arrival { batch, received_at, clock } = *arrival;
    // The number was stored in the ledger, so it fits.
    let (node_id, seq) = (batch.node_id.uuid(), i64::try_from(batch.seq.0).unwrap_or(i64::MAX));
    if !screened.refused.is_empty() {
        let kinds: Vec<&str> = screened.refused.iter().map(|r| r.kind).collect();
        let reasons: Vec<&str> = screened.refused.iter().map(|r| r.reason.as_str()).collect();
        let payloads: Vec<&Value> = screened.refused.iter().map(|r| &r.payload).collect();
        let error_us = clock.beyond().and_then(|error| i64::try_from(error.as_micros()).ok());
        let statement = transaction.prepare_cached(sql!("add_quarantine")).await?;
        transaction
            .execute(&statement, &[&node_id, &seq, &received_at, &kinds, &reasons, &payloads, &error_us])
            .await?;
        tracing::warn!(node = %batch.node_id, seq = %batch.seq, rows = screened.refused.len(),
            reason = %screened.refused[0].reason, "readings that cannot be true were put into quarantine");
    }
    if !screened.gaps.is_empty() {
        let gaps = &screened.gaps;
        let instances: Vec<_> =
            gaps.iter().map(|gap| gap.instance_id.map(metering::InstanceId::uuid)).collect();
        let devices: Vec<_> = gaps.iter().map(|gap| gap.device.as_deref().map(clean)).collect();
        let starts: Vec<_> = gaps.iter().map(|gap| storable(gap.span.start())).collect();
        let ends: Vec<_> = gaps.iter().map(|gap| storable(gap.span.end())).collect();
        let reasons: Vec<_> = gaps.iter().map(|gap| gap.reason.as_str()).collect();
        let details: Vec<_> = gaps.iter().map(|gap| clean(&gap.detail)).collect();
        let statement = transaction.prepare_cached(sql!("add_gaps")).await?;
        transaction
            .execute(&statement, &[&node_id, &seq, &instances, &devices, &starts, &ends, &reasons, &details])
            .await?;
    }
    Ok(())
}

/// What a reading of this batch must keep to.
struct Rules {
    earliest: Timestamp,
    latest: Timestamp,
    first_day: i64,
    days_max: usize,
    clock: ClockError,
}

impl Rules {
    fn new(batch: &Batch, received_at: Timestamp, days_max: usize) -> Self {
        let earliest = Timestamp::from_second(EARLIEST).unwrap_or(Timestamp::UNIX_EPOCH);
        let latest = received_at
            .checked_add(SignedDuration::try_from(FUTURE_MAX).unwrap_or_default())
            .unwrap_or(Timestamp::MAX);
        let readings = &batch.readings;
        let days: BTreeSet<i64> = readings
            .instances
            .iter()
            .map(|r| r.observed_at)
            .chain(readings.disks.iter().map(|r| r.observed_at))
            .chain(readings.nics.iter().map(|r| r.observed_at))
            .chain(readings.volumes.iter().map(|r| r.observed_at))
            .filter(|at| earliest <= *at && *at <= latest)
            .map(day_of)
            .collect();
        let first_day = days.iter().rev().nth(days_max.saturating_sub(1)).copied().unwrap_or(i64::MIN);
        Self { earliest, latest, first_day, days_max, clock: ClockError::default() }
    }

    fn fault_of_instance(&self, reading: &InstanceReading) -> Option<String> {
        let r = reading.registers;
        let figures = [r.cpu_ns, r.running_ms, r.vcpu_ms, r.memory_kib_s, reading.memory_kib];
        self.fault(reading.observed_at, reading.epoch, &figures, &[])
    }

    /// Why a reading cannot be true, or cannot be stored.
    fn fault(&self, observed_at: Timestamp, epoch: Epoch, figures: &[u64], texts: &[&str]) -> Option<String> {
        if let Some(error) = self.clock.beyond() {
            let side = if error.is_positive() { "ahead" } else { "behind" };
            return Some(format!(
                "the node's clock was {}.{:06} s {side} when this was read, more than {} s",
                error.unsigned_abs().as_secs(),
                error.unsigned_abs().subsec_micros(),
                CLOCK_ERROR_MAX.as_secs()
            ));
        }
        if self.latest < observed_at {
            return Some(format!(
                "observed more than {} s after it was received: the node's clock is ahead",
                FUTURE_MAX.as_secs()
            ));
        }
        if observed_at < self.earliest || epoch.born_at.is_some_and(|born_at| born_at < self.earliest) {
            return Some("observed or born before 2020: the node's clock was not set".to_owned());
        }
        if day_of(observed_at) < self.first_day {
            return Some(format!(
                "its batch touches more than {} days, this is an earlier one",
                self.days_max
            ));
        }
        if epoch.id.as_i64() < 0 {
            return Some("negative epoch".to_owned());
        }
        if figures.iter().any(|figure| i64::try_from(*figure).is_err()) {
            return Some("a register above 2^63 - 1".to_owned());
        }
        if texts.first().is_some_and(|device| DEVICE_MAX < device.len()) {
            return Some(format!("the device's name is longer than {DEVICE_MAX} bytes"));
        }
        if texts.iter().any(|text| text.contains('\0')) {
            return Some("a name that contains NUL".to_owned());
        }
        None
    }
}

fn node_figures(reading: &NodeReading) -> [u64; 7] {
    [
        reading.cpu_busy_ms,
        reading.memory_total_kib,
        reading.memory_used_kib,
        reading.storage_total_kib,
        reading.storage_used_kib,
        reading.rx_bytes,
        reading.tx_bytes,
    ]
}
