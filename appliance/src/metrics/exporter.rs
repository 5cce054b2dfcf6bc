//! The node's figures under the names that the libvirt exporters for Prometheus have established, so that existing
//! dashboards work: the names and labels are theirs (`libvirt_domain_…`, `domain`, `uuid`, `target_device`), the figures
//! are the collector's last look. It reads nothing by itself.

use std::collections::HashMap;

use metering::{InstanceId, InstanceState, Readings};

use super::family::{Family, Labels, Value};

/// What an instance is called, for the label `domain`.
pub type Names = HashMap<InstanceId, String>;

/// All families of the exporters that have a reading.
#[must_use]
pub fn families(readings: &Readings, names: &Names) -> Vec<Family> {
    let mut families = instances(readings, names);
    families.extend(disks(readings, names));
    families.extend(nics(readings, names));
    families
}

fn labels_of(id: InstanceId, names: &Names) -> Labels {
    let name = names.get(&id).cloned().unwrap_or_else(|| id.to_string());
    vec![("domain", name), ("uuid", id.to_string())]
}

fn instances(readings: &Readings, names: &Names) -> Vec<Family> {
    let mut cpu = Family::counter("libvirt_domain_info_cpu_time_seconds", "CPU time that the guest has used");
    let mut vcpus = Family::gauge("libvirt_domain_info_virtual_cpus", "Virtual CPUs of the guest");
    let mut memory =
        Family::gauge("libvirt_domain_info_memory_usage_bytes", "Memory that the guest holds, in bytes");
    let mut state =
        Family::gauge("libvirt_domain_info_vstate", "State of the guest, as virDomainState numbers it");
    for reading in &readings.instances {
        let labels = labels_of(reading.instance_id, names);
        cpu.add(labels.clone(), Value::Real(seconds(reading.registers.cpu_ns)));
        vcpus.add(labels.clone(), Value::Whole(u64::from(reading.vcpus)));
        memory.add(labels.clone(), Value::Whole(reading.memory_kib.saturating_mul(1_024)));
        state.add(labels, Value::Whole(state_number(reading.state)));
    }
    vec![cpu, vcpus, memory, state]
}

fn disks(readings: &Readings, names: &Names) -> Vec<Family> {
    let mut families = [
        Family::counter("libvirt_domain_block_stats_read_bytes", "Bytes that the guest read from the disk"),
        Family::counter("libvirt_domain_block_stats_write_bytes", "Bytes that the guest wrote to the disk"),
        Family::counter("libvirt_domain_block_stats_read_requests", "Read requests to the disk"),
        Family::counter("libvirt_domain_block_stats_write_requests", "Write requests to the disk"),
        Family::counter("libvirt_domain_block_stats_flush_requests", "Flush requests to the disk"),
    ];
    for reading in &readings.disks {
        let mut labels = labels_of(reading.instance_id, names);
        labels.push(("source_file", reading.source.clone()));
        labels.push(("target_device", reading.target.clone()));
        let r = reading.registers;
        let values = [r.read_bytes, r.write_bytes, r.read_ops, r.write_ops, r.flush_ops];
        for (family, value) in families.iter_mut().zip(values) {
            family.add(labels.clone(), Value::Whole(value));
        }
    }
    families.into()
}

fn nics(readings: &Readings, names: &Names) -> Vec<Family> {
    let mut families = [
        Family::counter("libvirt_domain_interface_stats_receive_bytes", "Bytes that the guest received"),
        Family::counter("libvirt_domain_interface_stats_transmit_bytes", "Bytes that the guest sent"),
        Family::counter("libvirt_domain_interface_stats_receive_packets", "Packets that the guest received"),
        Family::counter("libvirt_domain_interface_stats_transmit_packets", "Packets that the guest sent"),
    ];
    for reading in &readings.nics {
        let mut labels = labels_of(reading.instance_id, names);
        // The address, not the tap: vnetN is given to the next guest when this one is gone.
        labels.push(("mac_address", reading.mac.clone()));
        let r = reading.registers;
        for (family, value) in families.iter_mut().zip([r.rx_bytes, r.tx_bytes, r.rx_packets, r.tx_packets]) {
            family.add(labels.clone(), Value::Whole(value));
        }
    }
    families.into()
}

/// libvirt.org, virDomainState: 1 running, 3 paused, 5 shut off. What is neither is 0, no state.
const fn state_number(state: InstanceState) -> u64 {
    match state {
        InstanceState::Running => 1,
        InstanceState::Paused => 3,
        InstanceState::Stopped => 5,
        InstanceState::Gone => 0,
    }
}

/// Charts need no nanoseconds: a double holds 104 days of them exactly, and years to the microsecond.
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
