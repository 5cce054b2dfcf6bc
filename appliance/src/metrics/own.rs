//! Weir's own figures, `weir_…`: the registers that the exporters have no name for, the node, and whether Weir keeps up.
//! Base units, as Prometheus wants them: seconds and bytes. It reads nothing by itself.

use billing::drafts::DraftSummary;
use jiff::Timestamp;
use metering::{NodeReading, Readings};

use super::exporter::Names;
use super::family::{Family, Labels, Value};

/// What the process knows of itself.
pub struct Process {
    /// The collector's state; `None` when this node is not metered.
    pub collector: Option<collector::Status>,
    /// Whether the database answers.
    pub is_database_up: bool,
    /// Mail that waits, and mail that was refused.
    pub mail: Option<(u64, u64)>,
    /// Since when the running months of all tenants were rated; `None`: there is nobody to rate.
    pub rated_since: Option<Timestamp>,
}

/// Registers of what is held, by instance and volume, and the node.
#[must_use]
pub fn readings(readings: &Readings, names: &Names, node: &str) -> Vec<Family> {
    let mut running =
        Family::counter("weir_instance_running_seconds", "Time that the instance was seen to run");
    let mut vcpu = Family::counter("weir_instance_vcpu_seconds", "vCPUs held times the time they were held");
    let mut memory =
        Family::counter("weir_instance_memory_byte_seconds", "Memory held times the time it was held");
    for reading in &readings.instances {
        let name =
            names.get(&reading.instance_id).cloned().unwrap_or_else(|| reading.instance_id.to_string());
        let labels: Labels = vec![("instance_name", name), ("uuid", reading.instance_id.to_string())];
        running.add(labels.clone(), Value::Real(thousandth(reading.registers.running_ms)));
        vcpu.add(labels.clone(), Value::Real(thousandth(reading.registers.vcpu_ms)));
        memory.add(labels, Value::Whole(reading.registers.memory_kib_s.saturating_mul(1_024)));
    }
    let mut storage =
        Family::counter("weir_volume_provisioned_byte_seconds", "Size of the volume times its age");
    let mut capacity =
        Family::gauge("weir_volume_capacity_bytes", "Size of the volume, as the guest sees it");
    for reading in readings.volumes.iter().filter(|reading| reading.exists) {
        let labels: Labels = vec![("uuid", reading.volume_id.to_string())];
        storage.add(labels.clone(), Value::Whole(reading.registers.provisioned_kib_s.saturating_mul(1_024)));
        capacity.add(labels, Value::Whole(reading.capacity_bytes));
    }
    let mut families = vec![running, vcpu, memory, storage, capacity];
    families.extend(readings.node.iter().flat_map(|reading| of_node(reading, node)));
    families
}

fn of_node(reading: &NodeReading, node: &str) -> Vec<Family> {
    let bytes = |kib: u64| Value::Whole(kib.saturating_mul(1_024));
    let figures = [
        (Family::gauge("weir_node_cpus", "Processors of the node"), Value::Whole(u64::from(reading.cpus))),
        (
            Family::counter(
                "weir_node_cpu_busy_seconds",
                "Time that the node's processors were busy, since boot",
            ),
            Value::Real(thousandth(reading.cpu_busy_ms)),
        ),
        (Family::gauge("weir_node_memory_bytes", "Memory of the node"), bytes(reading.memory_total_kib)),
        (Family::gauge("weir_node_memory_used_bytes", "Memory in use"), bytes(reading.memory_used_kib)),
        (
            Family::gauge("weir_node_storage_bytes", "Size of the file systems that hold volumes"),
            bytes(reading.storage_total_kib),
        ),
        (Family::gauge("weir_node_storage_used_bytes", "Used part of them"), bytes(reading.storage_used_kib)),
        (
            Family::counter("weir_node_receive_bytes", "Bytes received by physical interfaces"),
            Value::Whole(reading.rx_bytes),
        ),
        (
            Family::counter("weir_node_transmit_bytes", "Bytes sent by physical interfaces"),
            Value::Whole(reading.tx_bytes),
        ),
    ];
    figures
        .into_iter()
        .map(|(mut family, value)| {
            family.add(vec![("node", node.to_owned())], value);
            family
        })
        .collect()
}

/// Whether Weir keeps up.
#[must_use]
pub fn process(process: &Process, now: Timestamp) -> Vec<Family> {
    let mut build = Family::gauge("weir_build_info", "The version that runs; always 1");
    build.add(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], Value::Whole(1));
    let yes = |is: bool| Value::Whole(u64::from(is));
    let mut families = vec![
        build,
        Family::gauge("weir_database_up", "Whether the database answers").with(yes(process.is_database_up)),
    ];
    if let Some((waiting, refused)) = process.mail {
        families.push(
            Family::gauge("weir_mail_waiting", "Mails that wait to be sent").with(Value::Whole(waiting)),
        );
        families.push(
            Family::gauge("weir_mail_refused", "Mails that the server refused").with(Value::Whole(refused)),
        );
    }
    if let Some(since) = process.rated_since {
        let age = now.duration_since(since).as_secs_f64().max(0.0);
        families.push(
            Family::gauge("weir_month_to_date_age_seconds", "Age of the oldest month-to-date amount")
                .with(Value::Real(age)),
        );
    }
    let Some(collector) = &process.collector else { return families };
    families.push(
        Family::gauge("libvirt_up", "Whether the last look could read libvirt")
            .with(yes(collector.is_connected)),
    );
    families.push(
        Family::gauge("weir_spool_batches", "Batches of readings that are not in the database yet")
            .with(Value::Whole(collector.backlog.batches)),
    );
    if let Some(at) = collector.last_observed_at {
        let age = now.duration_since(at).as_secs_f64().max(0.0);
        families.push(
            Family::gauge("weir_collector_look_age_seconds", "Age of the readings shown here")
                .with(Value::Real(age)),
        );
    }
    families
}

/// What each tenant owes for the running month so far. For the provider's eyes.
#[must_use]
pub fn money(drafts: &[DraftSummary]) -> Vec<Family> {
    let mut amount = Family::gauge(
        "weir_tenant_month_to_date_amount",
        "What the invoice of the running month would be, with tax",
    );
    for draft in drafts {
        let labels =
            vec![("tenant", draft.tenant.to_string()), ("currency", draft.total.currency().to_string())];
        // For charts: an amount of money is exact in the portal, the API and the documents.
        amount.add(labels, Value::Real(draft.total.amount().to_string().parse().unwrap_or(f64::NAN)));
    }
    vec![amount]
}

fn thousandth(ms: u64) -> f64 {
    ms as f64 / 1e3
}
