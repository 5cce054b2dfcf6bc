//! Instances, their disks and NICs: the tenant's wishes on their way to compute, and whose everything is.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use billing::{InvoiceStatus, invoices};
use compute::{Boot, ByteSize, InstanceRef, InstanceSpec};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

use super::tenants;
use crate::control::request::{InstanceCreate, Request};
use crate::parts::Parts;

/// Does what is asked of instances.
pub async fn value(parts: &Parts, request: Request) -> Result<Value> {
    match request {
        Request::InstanceCreate(asked) => create(parts, asked).await,
        Request::InstanceStart { instance } => {
            let started = crate::instances::start(parts, &reference(&instance)).await?;
            Ok(acted(&started, "started"))
        }
        Request::InstanceStop { instance, grace_seconds } => {
            let grace = Duration::from_secs(grace_seconds);
            let stopped = crate::instances::stop(parts, &reference(&instance), grace).await?;
            Ok(acted(&stopped, "stopped"))
        }
        Request::InstanceDelete { instance } => {
            let deleted = crate::instances::delete(parts, &reference(&instance)).await?;
            Ok(acted(&deleted, "deleted"))
        }
        Request::InstanceList { tenant } => list(parts, tenant.as_deref()).await,
        Request::InstanceAssign { instance, tenant, since } => assign(parts, &instance, &tenant, since).await,
        other => device(parts, other).await,
    }
}

/// Does what is asked of an instance's devices.
async fn device(parts: &Parts, request: Request) -> Result<Value> {
    match request {
        Request::DiskAdd { instance, size } => {
            let size = size.parse::<ByteSize>()?;
            let disk = parts.compute().await?.add_disk(&reference(&instance), size).await?;
            with_message(&disk, format!("Disk {} was plugged in.", disk.target))
        }
        Request::DiskRemove { instance, target } => {
            let instance = parts.compute().await?.remove_disk(&reference(&instance), &target).await?;
            Ok(acted(&instance, "now without that disk"))
        }
        Request::NicAdd { instance, network } => {
            let nic = parts.compute().await?.add_nic(&reference(&instance), &network).await?;
            let message =
                format!("NIC {} was plugged in.", nic.mac.as_deref().unwrap_or("without an address"));
            with_message(&nic, message)
        }
        Request::NicRemove { instance, mac } => {
            let instance = parts.compute().await?.remove_nic(&reference(&instance), &mac).await?;
            Ok(acted(&instance, "now without that NIC"))
        }
        _ => bail!("this request is not about instances"),
    }
}

async fn create(parts: &Parts, asked: InstanceCreate) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, &asked.tenant).await?;
    if tenant.id == TenantId::UNASSIGNED {
        bail!("an instance must belong to a tenant; name one with --tenant");
    }
    let spec = InstanceSpec {
        instance_id: None,
        name: asked.name,
        tenant: tenant.name.clone(),
        vcpus: asked.vcpus,
        memory: asked.memory.parse::<ByteSize>()?,
        boot: boot(asked.image, asked.kernel, asked.initrd, asked.cmdline)?,
        disk: asked.disk.map(|size| size.parse::<ByteSize>()).transpose()?,
        network: asked.network,
        start: asked.start,
    };
    // It is the tenant's from its first reading on: the collector finds the name in its metadata.
    let made = crate::instances::create(parts, &tenant, spec).await?;
    with_message(&made, format!("Instance {} was made for {}.", made.name, tenant.name))
}

/// What an instance boots from. Exactly one of image and kernel: the command line sees to it, and so do we.
fn boot(
    image: Option<PathBuf>,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    cmdline: String,
) -> Result<Boot> {
    match (image, kernel, initrd) {
        (Some(image), None, None) => Ok(Boot::Image(image)),
        (None, Some(kernel), Some(initrd)) => Ok(Boot::Kernel { kernel, initrd, cmdline }),
        _ => bail!("say what to boot: --image FILE, or --kernel FILE with --initrd FILE"),
    }
}

async fn list(parts: &Parts, tenant: Option<&str>) -> Result<Value> {
    let instances = registry::instances(&parts.database, tenants::scope_of(parts, tenant).await?).await?;
    // What libvirt knows now, where it answers: a list must not fail because libvirt is away.
    let here = match parts.compute().await {
        Ok(compute) => compute.list().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let mut rows: Vec<Value> = instances
        .iter()
        .filter(|instance| instance.gone_at.is_none())
        .map(|instance| {
            let live = here.iter().find(|live| live.instance_id == instance.id);
            json!({
                "instance_id": instance.id,
                "name": instance.name,
                "tenant": instance.tenant_name,
                "tenant_label": instance.tenant_label,
                // Shown only where it is not what holds.
                "claims": instance.tenant_label.as_deref().filter(|label| instance.tenant_name.as_ref().map(|name| name.as_str()) != Some(*label)),
                "state": live.map_or(instance.state, |live| live.state).as_str(),
                "node": instance.node_name,
                "last_observed_at": instance.last_seen_at,
                "vcpus": live.map(|live| live.vcpus),
                "memory_kib": live.map(|live| live.memory_kib),
                "disks": live.map(|live| &live.disks),
                "nics": live.map(|live| &live.nics),
            })
        })
        .collect();
    // What was made a moment ago has no reading in the database yet.
    let is_new = |live: &&compute::Instance| instances.iter().all(|known| known.id != live.instance_id);
    let is_asked = |live: &&compute::Instance| {
        tenant.is_none_or(|name| live.tenant.as_ref().is_some_and(|t| t.as_str() == name))
    };
    for live in here.iter().filter(is_new).filter(is_asked) {
        rows.push(json!({
            "instance_id": live.instance_id,
            "name": live.name,
            "tenant": live.tenant,
            "tenant_label": live.tenant,
            "state": live.state.as_str(),
            "node": parts.node_name,
            "vcpus": live.vcpus,
            "memory_kib": live.memory_kib,
            "disks": live.disks,
            "nics": live.nics,
        }));
    }
    Ok(json!({ "instances": rows }))
}

async fn assign(parts: &Parts, instance: &str, tenant: &str, since: Option<Timestamp>) -> Result<Value> {
    let instance = registry::find_instance(&parts.database, Scope::Provider, instance).await?;
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    if tenant.id == TenantId::UNASSIGNED {
        bail!("an instance cannot be given back to nobody; name the tenant that it belongs to");
    }
    let from = since.unwrap_or(instance.first_seen_at).max(instance.first_seen_at);
    if Timestamp::now() < from {
        bail!("--since {from} is still to come; assign the instance when it changes hands");
    }
    if let Some(holder) = instance.tenant_id.filter(|holder| *holder != tenant.id)
        && let Some(last) = last_invoice_after(parts, holder, from).await?
    {
        let end = last.service_period.end();
        bail!(
            "{} bills {} for the time up to {end}, this instance included; assign it from then on (--since {end}), or void that invoice first",
            last.number,
            last.tenant
        );
    }
    registry::assign(&parts.database, instance.id, tenant.id, since, parts.usage).await?;
    parts.ingested.notify_one();
    let mut message = format!("Instance {} belongs to {} since {from}.", instance.name, tenant.name);
    if let Some(last) = last_invoice_after(parts, tenant.id, from).await? {
        let (number, end) = (&last.number, last.service_period.end());
        message.push_str(&format!(
            "\nnote: {number} is issued already; what it used before {end} is on no invoice"
        ));
    }
    Ok(json!({ "message": message }))
}

/// The tenant's invoice that reaches furthest beyond `from`, unless it was withdrawn.
async fn last_invoice_after(
    parts: &Parts,
    tenant: TenantId,
    from: Timestamp,
) -> Result<Option<invoices::InvoiceSummary>> {
    let issued = invoices::list(&parts.database, Scope::Tenant(tenant.uuid()), invoices::MAX_LISTED).await?;
    Ok(issued
        .into_iter()
        .filter(|invoice| invoice.status != InvoiceStatus::Void && from < invoice.service_period.end())
        .max_by_key(|invoice| invoice.service_period.end()))
}

fn reference(text: &str) -> InstanceRef {
    match text.parse() {
        Ok(reference) => reference,
    }
}

fn acted(instance: &compute::Instance, what: &str) -> Value {
    let mut message = format!("Instance {} is {what}.", instance.name);
    for warning in &instance.warnings {
        message.push_str("\nnote: ");
        message.push_str(warning);
    }
    let mut value = serde_json::to_value(instance).unwrap_or_default();
    value["message"] = Value::String(message);
    value
}

fn with_message(thing: &impl serde::Serialize, message: String) -> Result<Value> {
    let mut value = serde_json::to_value(thing).context("the answer cannot be written as JSON")?;
    value["message"] = Value::String(message);
    Ok(value)
}
