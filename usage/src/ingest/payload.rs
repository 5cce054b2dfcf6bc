//! A reading as it lies in quarantine, and back: for people to look at, and to be released. It does NOT judge.

use jiff::{SignedDuration, Timestamp};
use metering::{
    DiskReading, DiskRegisters, Epoch, EpochId, InstanceId, InstanceReading, InstanceRegisters,
    InstanceState, NicReading, NicRegisters, NodeReading, Readings, VolumeId, VolumeReading, VolumeRegisters,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::clean;

pub(super) fn of_instance(reading: &InstanceReading) -> Value {
    let r = reading.registers;
    json!({
        "instance_id": reading.instance_id.to_string(), "observed_at": reading.observed_at.to_string(),
        "epoch": of_epoch(reading.epoch), "state": reading.state.as_str(), "vcpus": reading.vcpus,
        "memory_kib": reading.memory_kib, "cpu_ns": r.cpu_ns, "running_ms": r.running_ms,
        "vcpu_ms": r.vcpu_ms, "memory_kib_s": r.memory_kib_s,
    })
}

pub(super) fn of_disk(reading: &DiskReading) -> Value {
    let r = reading.registers;
    json!({
        "instance_id": reading.instance_id.to_string(), "observed_at": reading.observed_at.to_string(),
        "epoch": of_epoch(reading.epoch), "target": clean(&reading.target), "source": clean(&reading.source),
        "read_bytes": r.read_bytes, "write_bytes": r.write_bytes, "read_ops": r.read_ops,
        "write_ops": r.write_ops, "flush_ops": r.flush_ops,
    })
}

pub(super) fn of_nic(reading: &NicReading) -> Value {
    let r = reading.registers;
    json!({
        "instance_id": reading.instance_id.to_string(), "observed_at": reading.observed_at.to_string(),
        "epoch": of_epoch(reading.epoch), "mac": clean(&reading.mac), "rx_bytes": r.rx_bytes,
        "tx_bytes": r.tx_bytes, "rx_packets": r.rx_packets, "tx_packets": r.tx_packets,
    })
}

pub(super) fn of_volume(reading: &VolumeReading) -> Value {
    json!({
        "volume_id": reading.volume_id.to_string(), "observed_at": reading.observed_at.to_string(),
        "epoch": of_epoch(reading.epoch), "exists": reading.exists, "capacity_bytes": reading.capacity_bytes,
        "provisioned_kib_s": reading.registers.provisioned_kib_s,
    })
}

pub(super) fn of_node(reading: &NodeReading, figures: &[u64]) -> Value {
    json!({ "observed_at": reading.observed_at.to_string(), "cpus": reading.cpus, "figures": figures })
}

fn of_epoch(epoch: Epoch) -> Value {
    json!({ "id": epoch.id.as_i64(), "born_at": epoch.born_at.map(|at| at.to_string()) })
}

/// Adds to `readings` what a payload holds, dated back by `error`. False: it is of a kind that is not released (a node's
/// own), or no payload.
pub(crate) fn restore(kind: &str, payload: &Value, error: SignedDuration, readings: &mut Readings) -> bool {
    let row = Fields { payload, error };
    let restored = match kind {
        "instance" => row.instance().map(|reading| readings.instances.push(reading)),
        "disk" => row.disk().map(|reading| readings.disks.push(reading)),
        "nic" => row.nic().map(|reading| readings.nics.push(reading)),
        "volume" => row.volume().map(|reading| readings.volumes.push(reading)),
        _ => None,
    };
    restored.is_some()
}

struct Fields<'a> {
    payload: &'a Value,
    error: SignedDuration,
}

impl Fields<'_> {
    fn instance(&self) -> Option<InstanceReading> {
        Some(InstanceReading {
            instance_id: InstanceId::from_uuid(self.id("instance_id")?),
            observed_at: self.instant(self.payload.get("observed_at")?)?,
            epoch: self.epoch()?,
            state: InstanceState::parse(self.text("state")?)?,
            vcpus: u32::try_from(self.figure("vcpus")?).ok()?,
            memory_kib: self.figure("memory_kib")?,
            registers: InstanceRegisters {
                cpu_ns: self.figure("cpu_ns")?,
                running_ms: self.figure("running_ms")?,
                vcpu_ms: self.figure("vcpu_ms")?,
                memory_kib_s: self.figure("memory_kib_s")?,
            },
        })
    }

    fn disk(&self) -> Option<DiskReading> {
        Some(DiskReading {
            instance_id: InstanceId::from_uuid(self.id("instance_id")?),
            target: self.text("target")?.to_owned(),
            source: self.text("source")?.to_owned(),
            observed_at: self.instant(self.payload.get("observed_at")?)?,
            epoch: self.epoch()?,
            registers: DiskRegisters {
                read_bytes: self.figure("read_bytes")?,
                write_bytes: self.figure("write_bytes")?,
                read_ops: self.figure("read_ops")?,
                write_ops: self.figure("write_ops")?,
                flush_ops: self.figure("flush_ops")?,
            },
        })
    }

    fn nic(&self) -> Option<NicReading> {
        Some(NicReading {
            instance_id: InstanceId::from_uuid(self.id("instance_id")?),
            mac: self.text("mac")?.to_owned(),
            observed_at: self.instant(self.payload.get("observed_at")?)?,
            epoch: self.epoch()?,
            registers: NicRegisters {
                rx_bytes: self.figure("rx_bytes")?,
                tx_bytes: self.figure("tx_bytes")?,
                rx_packets: self.figure("rx_packets")?,
                tx_packets: self.figure("tx_packets")?,
            },
        })
    }

    fn volume(&self) -> Option<VolumeReading> {
        Some(VolumeReading {
            volume_id: VolumeId::from_uuid(self.id("volume_id")?),
            observed_at: self.instant(self.payload.get("observed_at")?)?,
            epoch: self.epoch()?,
            exists: self.payload.get("exists")?.as_bool()?,
            capacity_bytes: self.figure("capacity_bytes")?,
            registers: VolumeRegisters { provisioned_kib_s: self.figure("provisioned_kib_s")? },
        })
    }

    fn epoch(&self) -> Option<Epoch> {
        let epoch = self.payload.get("epoch")?;
        let born_at = match epoch.get("born_at")? {
            Value::Null => None,
            born_at => Some(self.instant(born_at)?),
        };
        Some(Epoch { id: EpochId::from_i64(epoch.get("id")?.as_i64()?), born_at })
    }

    /// An instant, dated back.
    fn instant(&self, value: &Value) -> Option<Timestamp> {
        let at: Timestamp = value.as_str()?.parse().ok()?;
        at.checked_sub(self.error).ok()
    }

    fn id(&self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name)?.as_str()
    }

    fn figure(&self, name: &str) -> Option<u64> {
        self.payload.get(name)?.as_u64()
    }
}
