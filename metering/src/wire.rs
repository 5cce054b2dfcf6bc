//! The form in which a batch lies in a spool and travels to the control plane: MessagePack with field
//! names, behind a schema number.
//!
//! These structs are not the domain's: [`encode`] and [`decode`] convert, and `decode` checks. A field may
//! be added here with a default; a changed meaning needs a new schema number.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::batch::{Batch, BatchSeq, Gap, GapReason, InstanceFacts, Makeup, Notice, NoticeKind, VolumeFacts};
use crate::id::{BootId, EpochId, InstanceId, NodeId, VolumeId};
use crate::reading::{
    DiskReading, DiskRegisters, Epoch, InstanceReading, InstanceRegisters, InstanceState, NicReading,
    NicRegisters, NodeReading, Readings, VolumeReading, VolumeRegisters,
};
use crate::window::Window;

/// The schema that [`encode`] writes.
///
/// 1: issue 2. 2: `collected_boot_us`, `notices`, the gap reason `ended_unread`. Batches of schema 1 are still read, for spools
/// that were filled before an upgrade.
pub const SCHEMA: u16 = 2;

/// Why bytes are no batch.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not MessagePack, cut short, or of another shape.
    #[error("the bytes are no batch")]
    Malformed(#[source] rmp_serde::decode::Error),
    /// Written by a newer release.
    #[error("the batch has schema {found}, this release reads up to {SCHEMA}")]
    Schema {
        /// What the bytes say.
        found: u16,
    },
    /// A field holds what it cannot hold.
    #[error("{field} cannot be {value}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// Could not be written; only memory could be the reason.
    #[error("the batch cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
}

/// The bytes of a batch.
///
/// # Errors
/// None in practice; the encoder's own are passed on.
pub fn encode(batch: &Batch) -> Result<Vec<u8>, WireError> {
    rmp_serde::to_vec_named(&WireBatch::from(batch)).map_err(WireError::Encode)
}

/// The batch of some bytes, checked.
///
/// # Errors
/// See [`WireError`].
pub fn decode(bytes: &[u8]) -> Result<Batch, WireError> {
    let head: WireHead = rmp_serde::from_slice(bytes).map_err(WireError::Malformed)?;
    if head.schema == 0 || SCHEMA < head.schema {
        return Err(WireError::Schema { found: head.schema });
    }
    let wire: WireBatch = rmp_serde::from_slice(bytes).map_err(WireError::Malformed)?;
    wire.try_into()
}

#[derive(Deserialize)]
struct WireHead {
    schema: u16,
}

#[derive(Serialize, Deserialize)]
struct WireBatch {
    schema: u16,
    node_id: Uuid,
    seq: u64,
    node_name: String,
    boot_id: Uuid,
    collected_at: i64,
    #[serde(default)]
    collected_boot_us: Option<u64>,
    instances: Vec<WireInstance>,
    disks: Vec<WireDevice>,
    nics: Vec<WireDevice>,
    volumes: Vec<WireVolume>,
    node: Option<WireNode>,
    gaps: Vec<WireGap>,
    instance_facts: Vec<(Uuid, String, Option<String>)>,
    volume_facts: Vec<(Uuid, String, String, Option<Uuid>)>,
    /// One for each of `instance_facts`, in their order; absent in batches of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    makeups: Vec<Makeup>,
    #[serde(default)]
    notices: Vec<WireNotice>,
}

#[derive(Serialize, Deserialize)]
struct WireNotice {
    kind: String,
    instance: Option<Uuid>,
    device: Option<String>,
    is_over: bool,
    detail: String,
}

/// Instants are microseconds since the Unix epoch. An epoch is its number and its birth.
#[derive(Serialize, Deserialize)]
struct WireInstance {
    id: Uuid,
    at: i64,
    epoch: i64,
    born: Option<i64>,
    state: String,
    vcpus: u32,
    memory_kib: u64,
    registers: [u64; 4],
}

/// A disk or a NIC; `source` is a disk's.
#[derive(Serialize, Deserialize)]
struct WireDevice {
    id: Uuid,
    device: String,
    #[serde(default)]
    source: String,
    at: i64,
    epoch: i64,
    born: Option<i64>,
    registers: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireVolume {
    id: Uuid,
    at: i64,
    epoch: i64,
    born: Option<i64>,
    exists: bool,
    capacity_bytes: u64,
    provisioned_kib_s: u64,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    at: i64,
    cpus: u32,
    figures: [u64; 7],
}

#[derive(Serialize, Deserialize)]
struct WireGap {
    instance: Option<Uuid>,
    device: Option<String>,
    from: i64,
    to: i64,
    reason: String,
    detail: String,
}

impl From<&Batch> for WireBatch {
    fn from(batch: &Batch) -> Self {
        let readings = &batch.readings;
        Self {
            schema: SCHEMA,
            node_id: batch.node_id.uuid(),
            seq: batch.seq.0,
            node_name: batch.node_name.clone(),
            boot_id: batch.boot_id.uuid(),
            collected_at: batch.collected_at.as_microsecond(),
            collected_boot_us: batch.collected_boot.map(micros_of),
            instances: readings.instances.iter().map(WireInstance::from).collect(),
            disks: readings.disks.iter().map(WireDevice::from).collect(),
            nics: readings.nics.iter().map(WireDevice::from).collect(),
            volumes: readings.volumes.iter().map(WireVolume::from).collect(),
            node: readings.node.as_ref().map(WireNode::from),
            gaps: batch.gaps.iter().map(WireGap::from).collect(),
            instance_facts: batch
                .instances
                .iter()
                .map(|facts| (facts.instance_id.uuid(), facts.name.clone(), facts.tenant_label.clone()))
                .collect(),
            makeups: batch.instances.iter().map(|facts| facts.makeup.clone()).collect(),
            volume_facts: batch
                .volumes
                .iter()
                .map(|facts| {
                    let instance = facts.instance_id.map(InstanceId::uuid);
                    (facts.volume_id.uuid(), facts.pool.clone(), facts.name.clone(), instance)
                })
                .collect(),
            notices: batch.notices.iter().map(WireNotice::from).collect(),
        }
    }
}

impl TryFrom<WireBatch> for Batch {
    type Error = WireError;

    fn try_from(wire: WireBatch) -> Result<Self, WireError> {
        let instance = |id| InstanceId::from_uuid(id);
        Ok(Self {
            node_id: NodeId::from_uuid(wire.node_id),
            seq: BatchSeq(wire.seq),
            node_name: wire.node_name,
            boot_id: BootId::from_uuid(wire.boot_id),
            collected_at: instant("collected_at", wire.collected_at)?,
            collected_boot: wire.collected_boot_us.map(Duration::from_micros),
            readings: Readings {
                instances: all(wire.instances)?,
                disks: all(wire.disks)?,
                nics: all(wire.nics)?,
                volumes: all(wire.volumes)?,
                node: wire.node.map(NodeReading::try_from).transpose()?,
            },
            gaps: all(wire.gaps)?,
            instances: wire
                .instance_facts
                .into_iter()
                .zip(wire.makeups.into_iter().chain(std::iter::repeat_with(Makeup::default)))
                .map(|((id, name, tenant_label), makeup)| InstanceFacts {
                    instance_id: instance(id),
                    name,
                    tenant_label,
                    makeup,
                })
                .collect(),
            volumes: wire
                .volume_facts
                .into_iter()
                .map(|(id, pool, name, owner)| VolumeFacts {
                    volume_id: VolumeId::from_uuid(id),
                    pool,
                    name,
                    instance_id: owner.map(instance),
                })
                .collect(),
            notices: all(wire.notices)?,
        })
    }
}

impl From<&InstanceReading> for WireInstance {
    fn from(reading: &InstanceReading) -> Self {
        let InstanceRegisters { cpu_ns, running_ms, vcpu_ms, memory_kib_s } = reading.registers;
        Self {
            id: reading.instance_id.uuid(),
            at: reading.observed_at.as_microsecond(),
            epoch: reading.epoch.id.as_i64(),
            born: born(reading.epoch),
            state: reading.state.as_str().to_owned(),
            vcpus: reading.vcpus,
            memory_kib: reading.memory_kib,
            registers: [cpu_ns, running_ms, vcpu_ms, memory_kib_s],
        }
    }
}

impl TryFrom<WireInstance> for InstanceReading {
    type Error = WireError;

    fn try_from(wire: WireInstance) -> Result<Self, WireError> {
        let [cpu_ns, running_ms, vcpu_ms, memory_kib_s] = checked("instance register", wire.registers)?;
        let state = InstanceState::parse(&wire.state)
            .ok_or(WireError::Value { field: "state", value: shown(&wire.state) })?;
        Ok(Self {
            instance_id: InstanceId::from_uuid(wire.id),
            observed_at: instant("observed_at", wire.at)?,
            epoch: epoch(wire.epoch, wire.born)?,
            state,
            vcpus: wire.vcpus,
            memory_kib: checked("memory_kib", [wire.memory_kib])?[0],
            registers: InstanceRegisters { cpu_ns, running_ms, vcpu_ms, memory_kib_s },
        })
    }
}

impl From<&DiskReading> for WireDevice {
    fn from(reading: &DiskReading) -> Self {
        let DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops } = reading.registers;
        Self {
            id: reading.instance_id.uuid(),
            device: reading.target.clone(),
            source: reading.source.clone(),
            at: reading.observed_at.as_microsecond(),
            epoch: reading.epoch.id.as_i64(),
            born: born(reading.epoch),
            registers: vec![read_bytes, write_bytes, read_ops, write_ops, flush_ops],
        }
    }
}

impl TryFrom<WireDevice> for DiskReading {
    type Error = WireError;

    fn try_from(wire: WireDevice) -> Result<Self, WireError> {
        let [read_bytes, write_bytes, read_ops, write_ops, flush_ops] = registers(wire.registers)?;
        Ok(Self {
            instance_id: InstanceId::from_uuid(wire.id),
            target: wire.device,
            source: wire.source,
            observed_at: instant("observed_at", wire.at)?,
            epoch: epoch(wire.epoch, wire.born)?,
            registers: DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops },
        })
    }
}

impl From<&NicReading> for WireDevice {
    fn from(reading: &NicReading) -> Self {
        let NicRegisters { rx_bytes, tx_bytes, rx_packets, tx_packets } = reading.registers;
        Self {
            id: reading.instance_id.uuid(),
            device: reading.mac.clone(),
            source: String::new(),
            at: reading.observed_at.as_microsecond(),
            epoch: reading.epoch.id.as_i64(),
            born: born(reading.epoch),
            registers: vec![rx_bytes, tx_bytes, rx_packets, tx_packets],
        }
    }
}

impl TryFrom<WireDevice> for NicReading {
    type Error = WireError;

    fn try_from(wire: WireDevice) -> Result<Self, WireError> {
        let [rx_bytes, tx_bytes, rx_packets, tx_packets] = registers(wire.registers)?;
        Ok(Self {
            instance_id: InstanceId::from_uuid(wire.id),
            mac: wire.device,
            observed_at: instant("observed_at", wire.at)?,
            epoch: epoch(wire.epoch, wire.born)?,
            registers: NicRegisters { rx_bytes, tx_bytes, rx_packets, tx_packets },
        })
    }
}

impl From<&VolumeReading> for WireVolume {
    fn from(reading: &VolumeReading) -> Self {
        Self {
            id: reading.volume_id.uuid(),
            at: reading.observed_at.as_microsecond(),
            epoch: reading.epoch.id.as_i64(),
            born: born(reading.epoch),
            exists: reading.exists,
            capacity_bytes: reading.capacity_bytes,
            provisioned_kib_s: reading.registers.provisioned_kib_s,
        }
    }
}

impl TryFrom<WireVolume> for VolumeReading {
    type Error = WireError;

    fn try_from(wire: WireVolume) -> Result<Self, WireError> {
        let [capacity_bytes, provisioned_kib_s] =
            checked("volume register", [wire.capacity_bytes, wire.provisioned_kib_s])?;
        Ok(Self {
            volume_id: VolumeId::from_uuid(wire.id),
            observed_at: instant("observed_at", wire.at)?,
            epoch: epoch(wire.epoch, wire.born)?,
            exists: wire.exists,
            capacity_bytes,
            registers: VolumeRegisters { provisioned_kib_s },
        })
    }
}

impl From<&NodeReading> for WireNode {
    fn from(reading: &NodeReading) -> Self {
        Self {
            at: reading.observed_at.as_microsecond(),
            cpus: reading.cpus,
            figures: [
                reading.cpu_busy_ms,
                reading.memory_total_kib,
                reading.memory_used_kib,
                reading.storage_total_kib,
                reading.storage_used_kib,
                reading.rx_bytes,
                reading.tx_bytes,
            ],
        }
    }
}

impl TryFrom<WireNode> for NodeReading {
    type Error = WireError;

    fn try_from(wire: WireNode) -> Result<Self, WireError> {
        let figures = checked("node figure", wire.figures)?;
        let [
            cpu_busy_ms,
            memory_total_kib,
            memory_used_kib,
            storage_total_kib,
            storage_used_kib,
            rx_bytes,
            tx_bytes,
        ] = figures;
        Ok(Self {
            observed_at: instant("observed_at", wire.at)?,
            cpus: wire.cpus,
            cpu_busy_ms,
            memory_total_kib,
            memory_used_kib,
            storage_total_kib,
            storage_used_kib,
            rx_bytes,
            tx_bytes,
        })
    }
}

impl From<&Gap> for WireGap {
    fn from(gap: &Gap) -> Self {
        Self {
            instance: gap.instance_id.map(InstanceId::uuid),
            device: gap.device.clone(),
            from: gap.span.start().as_microsecond(),
            to: gap.span.end().as_microsecond(),
            reason: gap.reason.as_str().to_owned(),
            detail: gap.detail.clone(),
        }
    }
}

impl TryFrom<WireGap> for Gap {
    type Error = WireError;

    fn try_from(wire: WireGap) -> Result<Self, WireError> {
        let span = Window::new(instant("gap", wire.from)?, instant("gap", wire.to)?)
            .map_err(|error| WireError::Value { field: "gap", value: error.to_string() })?;
        let reason = GapReason::parse(&wire.reason)
            .ok_or(WireError::Value { field: "reason", value: shown(&wire.reason) })?;
        Ok(Self {
            instance_id: wire.instance.map(InstanceId::from_uuid),
            device: wire.device,
            span,
            reason,
            detail: wire.detail,
        })
    }
}

impl From<&Notice> for WireNotice {
    fn from(notice: &Notice) -> Self {
        Self {
            kind: notice.kind.as_str().to_owned(),
            instance: notice.instance_id.map(InstanceId::uuid),
            device: notice.device.clone(),
            is_over: notice.is_over,
            detail: notice.detail.clone(),
        }
    }
}

impl TryFrom<WireNotice> for Notice {
    type Error = WireError;

    fn try_from(wire: WireNotice) -> Result<Self, WireError> {
        let kind = NoticeKind::parse(&wire.kind)
            .ok_or(WireError::Value { field: "notice", value: shown(&wire.kind) })?;
        let instance_id = wire.instance.map(InstanceId::from_uuid);
        Ok(Self { kind, instance_id, device: wire.device, is_over: wire.is_over, detail: wire.detail })
    }
}

/// Converts a list, or gives the first error.
fn all<A, B: TryFrom<A, Error = WireError>>(items: Vec<A>) -> Result<Vec<B>, WireError> {
    items.into_iter().map(B::try_from).collect()
}

fn born(epoch: Epoch) -> Option<i64> {
    epoch.born_at.map(Timestamp::as_microsecond)
}

fn epoch(id: i64, born: Option<i64>) -> Result<Epoch, WireError> {
    if id < 0 {
        return Err(WireError::Value { field: "epoch", value: id.to_string() });
    }
    Ok(Epoch { id: EpochId::from_i64(id), born_at: born.map(|us| instant("born_at", us)).transpose()? })
}

fn instant(field: &'static str, us: i64) -> Result<Timestamp, WireError> {
    Timestamp::from_microsecond(us).map_err(|_| WireError::Value { field, value: us.to_string() })
}

/// Registers of a device: the right number of them, each fit for a `bigint` column.
fn registers<const N: usize>(values: Vec<u64>) -> Result<[u64; N], WireError> {
    let found = values.len();
    let array = values
        .try_into()
        .map_err(|_| WireError::Value { field: "device registers", value: format!("{found} values") })?;
    checked("device register", array)
}

/// PostgreSQL's `bigint` ends at 2^63 - 1, and so does every true register: 9.2 EB, or 292 years of ns.
fn checked<const N: usize>(field: &'static str, values: [u64; N]) -> Result<[u64; N], WireError> {
    match values.iter().find(|value| i64::try_from(**value).is_err()) {
        Some(value) => Err(WireError::Value { field, value: value.to_string() }),
        None => Ok(values),
    }
}

/// Microseconds of a duration; half a million years are enough.
fn micros_of(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_microsecond(1_790_000_000_123_456).unwrap()
    }

    fn epoch() -> Epoch {
        Epoch { id: EpochId::of(&[b"life"]), born_at: Some(at()) }
    }

    fn instance_id() -> InstanceId {
        InstanceId::from_uuid(Uuid::from_u128(7))
    }

    fn volume_id() -> VolumeId {
        VolumeId::from_uuid(Uuid::from_u128(8))
    }

    fn readings() -> Readings {
        let (observed_at, instance_id, epoch) = (at(), instance_id(), epoch());
        let registers = InstanceRegisters { cpu_ns: 1, running_ms: 2, vcpu_ms: 3, memory_kib_s: 4 };
        let (state, vcpus, memory_kib) = (InstanceState::Paused, 2, 131_072);
        let instance =
            InstanceReading { instance_id, observed_at, epoch, state, vcpus, memory_kib, registers };
        let registers =
            DiskRegisters { read_bytes: 1, write_bytes: 2, read_ops: 3, write_ops: 4, flush_ops: 5 };
        let (target, source) = ("vda".into(), "/a \"b\"\n😀".into());
        let disk = DiskReading { instance_id, target, source, observed_at, epoch, registers };
        let registers = NicRegisters { rx_bytes: 1, tx_bytes: 2, rx_packets: 3, tx_packets: 4 };
        let mac = "52:54:00:00:00:01".into();
        let nic = NicReading { instance_id, mac, observed_at, epoch: Epoch::NONE, registers };
        let registers = VolumeRegisters { provisioned_kib_s: u64::try_from(i64::MAX).unwrap() };
        let (volume_id, exists, capacity_bytes) = (volume_id(), false, 1 << 40);
        let volume = VolumeReading { volume_id, observed_at, epoch, exists, capacity_bytes, registers };
        let node =
            NodeReading { observed_at, cpus: 2, cpu_busy_ms: 3, tx_bytes: 9, ..NodeReading::default() };
        let (disks, nics, volumes) = (vec![disk], vec![nic], vec![volume]);
        Readings { instances: vec![instance], disks, nics, volumes, node: Some(node) }
    }

    fn batch() -> Batch {
        let (instance_id, name) = (instance_id(), "web 1".into());
        let span = Window::new(at(), at() + Duration::from_secs(1)).unwrap();
        let (reason, detail) = (GapReason::InstanceBusy, "held".into());
        let (pool, volume) = ("weir".into(), "a.qcow2".into());
        Batch {
            node_id: NodeId::from_uuid(Uuid::from_u128(1)),
            seq: BatchSeq(42),
            node_name: "n1".into(),
            boot_id: BootId::from_uuid(Uuid::from_u128(2)),
            collected_at: at(),
            collected_boot: Some(Duration::from_micros(1_234_567)),
            readings: readings(),
            gaps: vec![Gap {
                instance_id: Some(instance_id),
                device: Some("vda".into()),
                span,
                reason,
                detail,
            }],
            instances: vec![InstanceFacts {
                instance_id,
                name,
                tenant_label: Some("acme".into()),
                makeup: Makeup {
                    image: Some("/images/debian-12.qcow2".into()),
                    networks: [("52:54:00:00:00:01".into(), "public".into())].into(),
                },
            }],
            volumes: vec![VolumeFacts {
                volume_id: volume_id(),
                pool,
                name: volume,
                instance_id: Some(instance_id),
            }],
            notices: vec![Notice {
                kind: NoticeKind::PathsDiffer,
                instance_id: Some(instance_id),
                device: None,
                is_over: false,
                detail: "rx_bytes: 5 and 6".into(),
            }],
        }
    }

    /// The same batch as written by the release before schema 2, byte for byte.
    const SCHEMA_1: &[u8] = include_bytes!("schema-1.msgpack");

    #[test]
    fn a_spool_that_was_filled_before_the_upgrade_is_read() {
        let mut expected = Batch { collected_boot: None, notices: Vec::new(), ..batch() };
        expected.instances[0].makeup = Makeup::default();
        assert_eq!(decode(SCHEMA_1).unwrap(), expected);
    }

    #[test]
    fn what_is_spooled_comes_back_to_the_last_digit() {
        assert_eq!(decode(&encode(&batch()).unwrap()).unwrap(), batch());
    }

    #[test]
    fn a_torn_record_is_an_error_at_every_length_and_never_a_panic() {
        let bytes = encode(&batch()).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn flipped_bits_never_panic() {
        let bytes = encode(&batch()).unwrap();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[position] ^= 1 << bit;
                let _ = decode(&broken);
            }
        }
    }

    #[test]
    fn a_batch_of_a_newer_release_is_refused_by_its_number() {
        let mut wire = WireBatch::from(&batch());
        wire.schema = SCHEMA + 1;
        let bytes = rmp_serde::to_vec_named(&wire).unwrap();
        assert!(matches!(decode(&bytes), Err(WireError::Schema { found: 3 })));
    }

    #[test]
    fn a_register_beyond_the_databases_integers_is_refused() {
        let mut wire = WireBatch::from(&batch());
        wire.volumes[0].provisioned_kib_s = 1 << 63;
        let bytes = rmp_serde::to_vec_named(&wire).unwrap();
        assert!(matches!(decode(&bytes), Err(WireError::Value { field: "volume register", .. })));
    }
}
