//! Nodes, readings and usage, to the last unit.

use anyhow::Result;
use jiff::Timestamp;
use metering::{Resource, ResourceKind, TenantId, UsageRecord, Window};
use migrations::Scope;
use serde_json::{Map, Value, json};
use usage::readings::{self, EpochReadings, RegisterReading};
use usage::{derivation, records, registry};

use crate::parts::Parts;

/// Takes a reading of everything now.
pub async fn take_reading(parts: &Parts) -> Result<Value> {
    let seq = parts.read_now().await?;
    Ok(json!({ "message": format!("Everything was read: batch {seq}."), "seq": seq }))
}

/// First and last reading of each epoch of an instance, its devices and its volumes.
pub async fn readings(parts: &Parts, instance: &str, from: Timestamp, to: Timestamp) -> Result<Value> {
    let window = Window::new(from, to)?;
    let instance = registry::find_instance(&parts.database, Scope::Provider, instance).await?;
    let epochs = readings::epochs_of(&parts.database, Scope::Provider, instance.id, window).await?;
    let volumes = registry::volumes(&parts.database, Scope::Provider).await?;
    let mut answer = Map::new();
    answer.insert("instance_id".to_owned(), json!(instance.id));
    answer.insert("name".to_owned(), json!(instance.name));
    for (key, kind) in [
        ("instance", ResourceKind::Instance),
        ("disks", ResourceKind::Disk),
        ("nics", ResourceKind::Nic),
        ("volumes", ResourceKind::Volume),
    ] {
        let rows = epochs.iter().filter(|epoch| kind_of(&epoch.resource) == kind);
        answer.insert(key.to_owned(), rows.map(|epoch| epoch_value(epoch, &volumes)).collect());
    }
    Ok(Value::Object(answer))
}

/// What a tenant used.
pub async fn show(parts: &Parts, tenant: Option<&str>, from: Timestamp, to: Timestamp) -> Result<Value> {
    let window = Window::new(from, to)?;
    let tenant_id = match tenant {
        None => TenantId::UNASSIGNED,
        Some(name) => registry::find_tenant(&parts.database, Scope::Provider, name).await?.id,
    };
    let now = Timestamp::now();
    derivation::derive_dirty(&parts.database, parts.usage, now).await?;
    let mut records = records::usage_of(&parts.database, tenant_id, &[window], parts.usage, now).await?;
    records.sort_by(|a, b| order(a).cmp(&order(b)));
    let rows: Vec<Value> = records.iter().map(record_value).collect();
    Ok(json!({ "tenant": tenant, "from": from, "to": to, "records": rows }))
}

/// By name, then as on an invoice.
fn order(record: &UsageRecord) -> (&str, usize, &Resource) {
    (&record.resource_name, record.meter.position(), &record.resource)
}

fn record_value(record: &UsageRecord) -> Value {
    let kind = kind_of(&record.resource);
    json!({
        "resource": kind.as_str(),
        "instance_id": record.resource.instance_id(),
        "name": record.resource_name,
        "device": device(record),
        "meter": record.meter,
        "quantity": record.quantity,
        "unit": record.meter.meter().unit.symbol(),
        "measured_ms": record.coverage.measured_us / 1_000,
        "estimated_ms": record.coverage.estimated_us / 1_000,
        "missing_ms": record.coverage.missing_us / 1_000,
    })
}

/// The device of an instance; a volume's own name.
fn device(record: &UsageRecord) -> Option<&str> {
    match &record.resource {
        Resource::Volume(_) => Some(&record.resource_name),
        other => other.device(),
    }
}

const fn kind_of(resource: &Resource) -> ResourceKind {
    match resource {
        Resource::Instance(_) => ResourceKind::Instance,
        Resource::Disk(..) => ResourceKind::Disk,
        Resource::Nic(..) => ResourceKind::Nic,
        Resource::Volume(_) => ResourceKind::Volume,
    }
}

fn epoch_value(epoch: &EpochReadings, volumes: &[registry::Volume]) -> Value {
    let device = match &epoch.resource {
        Resource::Volume(id) => volumes.iter().find(|volume| volume.id == *id).map(|volume| {
            if volume.pool.is_empty() {
                volume.name.clone()
            } else {
                format!("{}/{}", volume.pool, volume.name)
            }
        }),
        other => other.device().map(str::to_owned),
    };
    json!({
        "device": device,
        "epoch": epoch.epoch.id.to_string(),
        "is_off": epoch.epoch.id == metering::EpochId::NONE,
        "born_at": epoch.epoch.born_at,
        "readings": epoch.readings,
        "first": reading_value(&epoch.first),
        "last": reading_value(&epoch.last),
    })
}

fn reading_value(reading: &RegisterReading) -> Value {
    let mut value = Map::new();
    value.insert("observed_at".to_owned(), json!(reading.observed_at));
    for (name, register) in &reading.registers {
        value.insert((*name).to_owned(), json!(register));
    }
    Value::Object(value)
}
