//! What a batch tells about nodes, instances and volumes besides their registers. Newer facts win, whatever the order
//! in which they come. It does NOT decide who pays, beyond what a label claims ([`crate::ownership::adopt`]).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, BatchSeq, Epoch, InstanceFacts, InstanceReading, VolumeFacts, VolumeReading};
use migrations::Transaction;
use uuid::Uuid;

use super::known::{self, Known, KnownInstance, KnownVolume};
use super::marks::Marks;
use super::screen::Screened;
use super::{Arrival, EARLIEST, clean, storable};
use crate::error::{UsageError, unsigned};
use crate::ownership;

/// What a batch tells about an instance.
#[derive(Debug)]
struct Seen<'a> {
    /// When its usage began, as far as this batch knows.
    first: Timestamp,
    /// Its first reading.
    first_read: Option<Timestamp>,
    /// Its latest reading.
    last: Option<&'a InstanceReading>,
    facts: Option<&'a InstanceFacts>,
}

/// What a batch tells about a volume.
#[derive(Debug)]
struct SeenVolume<'a> {
    first: Timestamp,
    /// Its first reading.
    first_read: Option<Timestamp>,
    /// Its latest reading.
    last: Option<&'a VolumeReading>,
    facts: Option<&'a VolumeFacts>,
}

/// Writes a batch's facts, and marks the usage of what thereby changed hands.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    arrival: &Arrival<'_>,
    screened: &Screened<'_>,
    known: &Known,
    marks: &mut Marks,
) -> Result<(), UsageError> {
    let Arrival { batch, received_at, .. } = *arrival;
    // A clock that is wrong must not make a beginning that is wrong.
    let earliest = Timestamp::from_second(EARLIEST).unwrap_or(Timestamp::UNIX_EPOCH);
    let facts_at = storable(batch.collected_at).clamp(earliest, received_at.max(earliest));
    let instances = seen_instances(batch, screened, facts_at);
    write_instances(transaction, batch, &instances, screened, known, facts_at).await?;
    write_nics(transaction, &instances, facts_at).await?;
    let volumes = seen_volumes(batch, screened, facts_at);
    write_volumes(transaction, batch, &volumes, known, facts_at).await?;
    let labelled: Vec<Uuid> = batch.instances.iter().map(|facts| facts.instance_id.uuid()).collect();
    let described: Vec<Uuid> = batch.volumes.iter().map(|facts| facts.volume_id.uuid()).collect();
    if labelled.is_empty() && described.is_empty() {
        return Ok(());
    }
    ownership::adopt(transaction, &labelled, &described, marks).await
}

/// The first instant at which a reading may show usage. A register that rose at the very instant of its birth is
/// counted in the microsecond before (`metering::derive`).
pub(super) fn begins(observed_at: Timestamp, epoch: Epoch) -> Timestamp {
    let just_before = observed_at.saturating_sub(Duration::from_micros(1)).unwrap_or(observed_at);
    epoch.born_at.map_or(just_before, |born_at| born_at.min(just_before))
}

/// Writes what a batch tells about its node. Gives the newest batch that is known of it, this one included.
pub(super) async fn write_node(
    transaction: &Transaction<'_>,
    arrival: &Arrival<'_>,
    screened: &Screened<'_>,
) -> Result<BatchSeq, UsageError> {
    let Arrival { batch, received_at, clock } = arrival;
    let clock_error_us = clock.at_delivery.and_then(|error| i64::try_from(error.as_micros()).ok());
    let last_observed_at = (screened.instances.iter().map(|r| r.observed_at))
        .chain(screened.volumes.iter().map(|r| r.observed_at))
        .chain(screened.node.map(|r| r.observed_at))
        .max();
    let seq = i64::try_from(batch.seq.0).unwrap_or(i64::MAX);
    let statement = transaction.prepare_cached(sql!("put_node")).await?;
    let row = transaction
        .query_one(
            &statement,
            &[
                &batch.node_id.uuid(),
                &clean(&batch.node_name),
                &batch.boot_id.uuid(),
                &last_observed_at,
                &seq,
                received_at,
                &clock_error_us,
            ],
        )
        .await?;
    Ok(BatchSeq(unsigned("node", "last_seq", row.try_get("last_seq")?)?))
}

fn seen_instances<'a>(
    batch: &'a Batch,
    screened: &Screened<'a>,
    facts_at: Timestamp,
) -> BTreeMap<Uuid, Seen<'a>> {
    let mut seen: BTreeMap<Uuid, Seen<'a>> = BTreeMap::new();
    let mut touch = |id: Uuid, first: Timestamp, last: Option<&'a InstanceReading>| {
        let known = seen.entry(id).or_insert(Seen { first, first_read: None, last, facts: None });
        known.first = known.first.min(first);
        let read = last.map(|last| last.observed_at);
        known.first_read = known.first_read.into_iter().chain(read).min();
        known.last = match (known.last, last) {
            (Some(known), Some(last)) if last.observed_at < known.observed_at => Some(known),
            (known, last) => last.or(known),
        };
    };
    for r in &screened.instances {
        // What the node that had it before tells is history.
        let is_now = !screened.farewells.contains_key(&r.instance_id.uuid());
        touch(r.instance_id.uuid(), begins(r.observed_at, r.epoch), is_now.then_some(*r));
    }
    for r in &screened.disks {
        touch(r.instance_id.uuid(), begins(r.observed_at, r.epoch), None);
    }
    for r in &screened.nics {
        touch(r.instance_id.uuid(), begins(r.observed_at, r.epoch), None);
    }
    // What was not read begins when it was described.
    let described = batch.instances.iter().map(|facts| facts.instance_id);
    for id in described.chain(batch.volumes.iter().filter_map(|facts| facts.instance_id)) {
        seen.entry(id.uuid()).or_insert(Seen { first: facts_at, first_read: None, last: None, facts: None });
    }
    for facts in batch.instances.iter().filter(|facts| !screened.foreign.contains(&facts.instance_id.uuid()))
    {
        if let Some(known) = seen.get_mut(&facts.instance_id.uuid()) {
            known.facts = Some(facts);
        }
    }
    seen
}

async fn write_instances(
    transaction: &Transaction<'_>,
    batch: &Batch,
    seen: &BTreeMap<Uuid, Seen<'_>>,
    screened: &Screened<'_>,
    known: &Known,
    facts_at: Timestamp,
) -> Result<(), UsageError> {
    if seen.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = seen.keys().copied().collect();
    let node_id = batch.node_id.uuid();
    let firsts: Vec<Timestamp> = seen.values().map(|s| s.first).collect();
    let first_read: Vec<Option<Timestamp>> = seen.values().map(|s| s.first_read).collect();
    let held_since: Vec<Option<Timestamp>> =
        seen.keys().map(|id| screened.farewells.get(id).copied().flatten()).collect();
    let beginnings = |known: &BTreeMap<Uuid, KnownInstance>| -> BTreeMap<Uuid, Timestamp> {
        known.iter().map(|(id, known)| (*id, known.first_seen_at)).collect()
    };
    let mut began = beginnings(&known.instances);
    if ids.iter().any(|id| !began.contains_key(id)) {
        let statement = transaction.prepare_cached(sql!("add_instances")).await?;
        transaction.execute(&statement, &[&ids, &node_id, &firsts]).await?;
        began = beginnings(&known::lock_instances(transaction, ids.iter().copied()).await?);
    }
    let lasts: Vec<Option<&InstanceReading>> = seen.values().map(|s| s.last).collect();
    let seen_at: Vec<Option<Timestamp>> = lasts.iter().map(|r| r.map(|r| r.observed_at)).collect();
    let states: Vec<Option<&str>> = lasts.iter().map(|r| r.map(|r| r.state.as_str())).collect();
    let epochs: Vec<Option<i64>> = lasts.iter().map(|r| r.map(|r| r.epoch.id.as_i64())).collect();
    let births: Vec<Option<Timestamp>> = lasts.iter().map(|r| r.and_then(|r| r.epoch.born_at)).collect();
    let figures = |figure: fn(&InstanceReading) -> u64| -> Vec<Option<i64>> {
        // Screening has refused what does not fit.
        lasts.iter().map(|r| r.map(|r| i64::try_from(figure(r)).unwrap_or(i64::MAX))).collect()
    };
    let names: Vec<Option<String>> = seen.values().map(|s| s.facts.map(|f| clean(&f.name))).collect();
    let labels: Vec<Option<String>> =
        seen.values().map(|s| s.facts.and_then(|f| f.tenant_label.as_deref().map(clean))).collect();
    let images: Vec<Option<String>> =
        seen.values().map(|s| s.facts.and_then(|f| f.makeup.image.as_deref().map(clean))).collect();
    let statement = transaction.prepare_cached(sql!("put_instances")).await?;
    transaction
        .execute(
            &statement,
            &[
                &ids,
                &node_id,
                &firsts,
                &seen_at,
                &states,
                &names,
                &labels,
                &facts_at,
                &epochs,
                &births,
                &figures(|r| u64::from(r.vcpus)),
                &figures(|r| r.memory_kib),
                &figures(|r| r.registers.cpu_ns),
                &figures(|r| r.registers.running_ms),
                &figures(|r| r.registers.vcpu_ms),
                &figures(|r| r.registers.memory_kib_s),
                &first_read,
                &held_since,
                &images,
            ],
        )
        .await?;
    let firsts = seen.iter().map(|(id, seen)| (*id, seen.first));
    move_owners(transaction, sql!("move_instance_owners"), &began, firsts).await
}

/// Where the NICs of described instances are plugged in.
async fn write_nics(
    transaction: &Transaction<'_>,
    seen: &BTreeMap<Uuid, Seen<'_>>,
    facts_at: Timestamp,
) -> Result<(), UsageError> {
    let described: Vec<(Uuid, &InstanceFacts)> =
        seen.iter().filter_map(|(id, seen)| Some((*id, seen.facts?))).collect();
    if described.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = described.iter().map(|(id, _)| *id).collect();
    let (mut owners, mut macs, mut networks) = (Vec::new(), Vec::new(), Vec::new());
    for (id, facts) in described {
        for (mac, network) in &facts.makeup.networks {
            owners.push(id);
            macs.push(clean(mac));
            networks.push(clean(network));
        }
    }
    let statement = transaction.prepare_cached(sql!("put_instance_nics")).await?;
    transaction.execute(&statement, &[&ids, &facts_at, &owners, &macs, &networks]).await?;
    Ok(())
}

fn seen_volumes<'a>(
    batch: &'a Batch,
    screened: &'a Screened<'a>,
    facts_at: Timestamp,
) -> BTreeMap<Uuid, SeenVolume<'a>> {
    let mut seen: BTreeMap<Uuid, SeenVolume<'a>> = BTreeMap::new();
    for r in &screened.volumes {
        let (first, last) = (begins(r.observed_at, r.epoch), Some(r.as_ref()));
        let known = seen.entry(r.volume_id.uuid()).or_insert(SeenVolume {
            first,
            first_read: None,
            last,
            facts: None,
        });
        known.first = known.first.min(first);
        known.first_read = known.first_read.into_iter().chain([r.observed_at]).min();
        if known.last.is_none_or(|known| known.observed_at <= r.observed_at) {
            known.last = last;
        }
    }
    for facts in &batch.volumes {
        let fresh = SeenVolume { first: facts_at, first_read: None, last: None, facts: None };
        seen.entry(facts.volume_id.uuid()).or_insert(fresh).facts = Some(facts);
    }
    seen
}

async fn write_volumes(
    transaction: &Transaction<'_>,
    batch: &Batch,
    seen: &BTreeMap<Uuid, SeenVolume<'_>>,
    known: &Known,
    facts_at: Timestamp,
) -> Result<(), UsageError> {
    if seen.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = seen.keys().copied().collect();
    let firsts: Vec<Timestamp> = seen.values().map(|s| s.first).collect();
    let beginnings = |known: &BTreeMap<Uuid, KnownVolume>| -> BTreeMap<Uuid, Timestamp> {
        known.iter().map(|(id, known)| (*id, known.first_seen_at)).collect()
    };
    let mut began = beginnings(&known.volumes);
    if ids.iter().any(|id| !began.contains_key(id)) {
        let statement = transaction.prepare_cached(sql!("add_volumes")).await?;
        transaction.execute(&statement, &[&ids, &firsts]).await?;
        began = beginnings(&known::lock_volumes(transaction, ids.iter().copied()).await?);
    }
    let described: Vec<(&Uuid, &VolumeFacts)> =
        seen.iter().filter_map(|(id, s)| s.facts.map(|facts| (id, facts))).collect();
    if !described.is_empty() {
        let ids: Vec<Uuid> = described.iter().map(|(id, _)| **id).collect();
        let pools: Vec<String> = described.iter().map(|(_, f)| clean(&f.pool)).collect();
        let names: Vec<String> = described.iter().map(|(_, f)| clean(&f.name)).collect();
        let instances: Vec<Option<Uuid>> =
            described.iter().map(|(_, f)| f.instance_id.map(metering::InstanceId::uuid)).collect();
        let statement = transaction.prepare_cached(sql!("put_volume_facts")).await?;
        transaction.execute(&statement, &[&ids, &pools, &names, &instances, &facts_at]).await?;
    }
    let lasts: Vec<Option<&VolumeReading>> = seen.values().map(|s| s.last).collect();
    let seen_at: Vec<Option<Timestamp>> = lasts.iter().map(|r| r.map(|r| r.observed_at)).collect();
    let first_read: Vec<Option<Timestamp>> = seen.values().map(|s| s.first_read).collect();
    let present: Vec<Option<bool>> = lasts.iter().map(|r| r.map(|r| r.exists)).collect();
    let capacities: Vec<Option<i64>> =
        lasts.iter().map(|r| r.map(|r| i64::try_from(r.capacity_bytes).unwrap_or(i64::MAX))).collect();
    let statement = transaction.prepare_cached(sql!("put_volumes")).await?;
    let node_id = batch.node_id.uuid();
    transaction
        .execute(&statement, &[&ids, &firsts, &seen_at, &present, &capacities, &node_id, &first_read])
        .await?;
    tracing::trace!(node = %batch.node_id, volumes = ids.len(), "volumes written");
    let firsts = seen.iter().map(|(id, seen)| (*id, seen.first));
    move_owners(transaction, sql!("move_volume_owners"), &began, firsts).await
}

/// Lets whoever held a resource from its beginning hold it from the beginning that is known now.
async fn move_owners(
    transaction: &Transaction<'_>,
    text: &str,
    began: &BTreeMap<Uuid, Timestamp>,
    firsts: impl Iterator<Item = (Uuid, Timestamp)>,
) -> Result<(), UsageError> {
    let (mut ids, mut was, mut is) = (Vec::new(), Vec::new(), Vec::new());
    for (id, first) in firsts {
        if let Some(began) = began.get(&id).filter(|began| first < **began) {
            ids.push(id);
            was.push(*began);
            is.push(first);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let statement = transaction.prepare_cached(text).await?;
    transaction.execute(&statement, &[&ids, &was, &is]).await?;
    Ok(())
}
