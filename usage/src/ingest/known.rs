//! What is known of that which a batch is about: who has it, and where its registers were last read. It is locked here,
//! in the order that all transactions keep. It does NOT judge ([`super::judge`]).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use metering::{Batch, EpochId, InstanceState, ResourceKind};
use migrations::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rates::Stand;
use super::screen::Screened;
use crate::error::{UsageError, unsigned};

/// A resource or device, in the order in which its heads are locked.
pub(super) type Key = (Uuid, &'static str, String);

/// What is known of an instance.
#[derive(Clone, Debug)]
pub(super) struct KnownInstance {
    pub(super) first_seen_at: Timestamp,
    pub(super) last_seen_at: Timestamp,
    pub(super) node_id: Uuid,
    pub(super) state: InstanceState,
    pub(super) vcpus: u64,
    pub(super) memory_kib: u64,
    /// Who had it before.
    pub(super) former: Option<Uuid>,
    /// The first reading by `node_id`.
    pub(super) held_since: Option<Timestamp>,
    /// Its node was removed.
    pub(super) is_orphan: bool,
}

/// What is known of a volume.
#[derive(Clone, Debug)]
pub(super) struct KnownVolume {
    pub(super) first_seen_at: Timestamp,
    pub(super) last_observed_at: Option<Timestamp>,
    pub(super) node_id: Option<Uuid>,
    pub(super) capacity_bytes: u64,
    pub(super) is_gone: bool,
    pub(super) moved_at: Option<Timestamp>,
    pub(super) is_orphan: bool,
}

/// The last reading of a resource or device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// `None`: it was written by an earlier release.
    pub(super) stand: Option<Stand>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) instances: BTreeMap<Uuid, KnownInstance>,
    pub(super) volumes: BTreeMap<Uuid, KnownVolume>,
    pub(super) heads: BTreeMap<Key, Head>,
}

/// Locks what a batch is about, as far as it exists, and reads what is known of it.
pub(super) async fn lock(
    transaction: &Transaction<'_>,
    batch: &Batch,
    screened: &Screened<'_>,
) -> Result<Known, UsageError> {
    let instances: BTreeSet<Uuid> = (screened.instances.iter().map(|r| r.instance_id))
        .chain(screened.disks.iter().map(|r| r.instance_id))
        .chain(screened.nics.iter().map(|r| r.instance_id))
        .chain(batch.instances.iter().map(|facts| facts.instance_id))
        .chain(batch.volumes.iter().filter_map(|facts| facts.instance_id))
        .map(metering::InstanceId::uuid)
        .collect();
    let volumes: BTreeSet<Uuid> = (screened.volumes.iter().map(|r| r.volume_id))
        .chain(batch.volumes.iter().map(|facts| facts.volume_id))
        .map(metering::VolumeId::uuid)
        .collect();
    let gaps = screened.gaps.iter().filter_map(|gap| gap.instance_id).map(metering::InstanceId::uuid);
    let resources: BTreeSet<Uuid> = instances.iter().chain(&volumes).copied().chain(gaps).collect();
    let mut known = Known {
        instances: lock_instances(transaction, instances).await?,
        volumes: lock_volumes(transaction, volumes).await?,
        heads: heads(transaction, resources).await?,
    };
    for (id, instance) in &mut known.instances {
        let head = known.heads.get(&(*id, ResourceKind::Instance.as_str(), String::new()));
        instance.held_since = instance.held_since.or(head.map(|head| head.first));
    }
    Ok(known)
}

/// Locks instances in order.
pub(super) async fn lock_instances(
    transaction: &Transaction<'_>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, KnownInstance>, UsageError> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let statement = transaction.prepare_cached(sql!("lock_instances")).await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get("instance_id")?, instance(row)?))).collect()
}

/// Locks volumes in order.
pub(super) async fn lock_volumes(
    transaction: &Transaction<'_>,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, KnownVolume>, UsageError> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let statement = transaction.prepare_cached(sql!("lock_volumes")).await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get("volume_id")?, volume(row)?))).collect()
}

fn instance(row: &Row) -> Result<KnownInstance, UsageError> {
    let state: String = row.try_get("state")?;
    let state = InstanceState::parse(&state).ok_or(UsageError::Corrupt {
        table: "instance",
        column: "state",
        value: state,
    })?;
    let figure = |column| {
        let value: Option<i64> = row.try_get(column)?;
        unsigned("instance", column, value.unwrap_or(0))
    };
    Ok(KnownInstance {
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        node_id: row.try_get("node_id")?,
        state,
        vcpus: figure("last_vcpus")?,
        memory_kib: figure("last_memory_kib")?,
        former: row.try_get("former_node_id")?,
        held_since: row.try_get("moved_at")?,
        is_orphan: row.try_get("is_orphan")?,
    })
}

fn volume(row: &Row) -> Result<KnownVolume, UsageError> {
    let capacity: Option<i64> = row.try_get("capacity_bytes")?;
    Ok(KnownVolume {
        first_seen_at: row.try_get("first_seen_at")?,
        last_observed_at: row.try_get("last_observed_at")?,
        node_id: row.try_get("node_id")?,
        capacity_bytes: unsigned("volume", "capacity_bytes", capacity.unwrap_or(0))?,
        is_gone: row.try_get::<_, Option<Timestamp>>("gone_at")?.is_some(),
        moved_at: row.try_get("moved_at")?,
        is_orphan: row.try_get("is_orphan")?,
    })
}

async fn heads(
    transaction: &Transaction<'_>,
    resources: BTreeSet<Uuid>,
) -> Result<BTreeMap<Key, Head>, UsageError> {
    let resources: Vec<Uuid> = resources.into_iter().collect();
    let mut heads = BTreeMap::new();
    if resources.is_empty() {
        return Ok(heads);
    }
    let statement = transaction.prepare_cached(sql!("heads")).await?;
    for row in transaction.query(&statement, &[&resources]).await? {
        let Some(kind) = ResourceKind::parse(row.try_get("kind")?) else {
            continue;
        };
        let last = row.try_get("last_observed_at")?;
        let epoch: Option<i64> = row.try_get("last_epoch")?;
        let mut registers = [0; 4];
        for (register, column) in
            registers.iter_mut().zip(["register_1", "register_2", "register_3", "register_4"])
        {
            *register = unsigned("reading_head", column, row.try_get(column)?)?;
        }
        let stand = epoch.map(|id| Stand { at: last, epoch: EpochId::from_i64(id), registers });
        let key = (row.try_get("resource")?, kind.as_str(), row.try_get("device")?);
        heads.insert(key, Head { first: row.try_get("first_observed_at")?, last, stand });
    }
    Ok(heads)
}
