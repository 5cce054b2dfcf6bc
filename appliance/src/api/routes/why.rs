//! Why a line of an invoice is what it is: its resources, the windows of a resource, the readings of a window. Each step
//! adds up to the figure that it explains.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::effective;
use jiff::Timestamp;
use metering::{InstanceId, MeterName, Resource, ResourceKind, TenantId, UsagePart, VolumeId, Window};
use usage::why;
use utoipa::openapi::Required;
use uuid::Uuid;

use super::invoices;
use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, id, instant, text};
use crate::api::problem::Problem;
use crate::api::wire::usage::{
    LineCorrection, LineResource, LineResources, LineWindows, ResourceBody, WindowReadings, WindowUsage, unit,
};

/// The longest name of a device: a disk's target or a MAC.
const DEVICE_MAX: usize = 64;

/// A line, and whose it is.
struct Line {
    tenant: TenantId,
    meter: MeterName,
    /// The usage that it is a part of, or all.
    part: UsagePart,
}

pub fn operations() -> Vec<Operation> {
    let device = || text("device", "The disk or NIC of the instance, if the meter is one of disks or NICs.");
    let resource = || id("resource", "The instance or volume.").required(Required::True);
    vec![
        Operation::new(
            Method::GET,
            "/v1/invoices/{number}/lines/{n}/resources",
            "listLineResources",
            Tag::Invoices,
            "Why: the resources of a line",
            resources,
        )
        .access(Access::Money)
        .answers::<LineResources>("The resources that the line's meter adds up from."),
        Operation::new(
            Method::GET,
            "/v1/invoices/{number}/lines/{n}/windows",
            "listLineWindows",
            Tag::Invoices,
            "Why: the windows of a resource",
            windows,
        )
        .access(Access::Money)
        .query(resource())
        .query(device())
        .answers::<LineWindows>("The usage windows that the resource's part adds up from."),
        Operation::new(
            Method::GET,
            "/v1/invoices/{number}/lines/{n}/readings",
            "listWindowReadings",
            Tag::Invoices,
            "Why: the readings of a window",
            readings,
        )
        .access(Access::Money)
        .query(resource())
        .query(device())
        .query(instant("window_start", "Where the window begins.").required(Required::True))
        .answers::<WindowReadings>("The readings at the edges of the window, and what lies between them."),
    ]
}

async fn resources(call: Call) -> Result<HttpResponse, Problem> {
    let Line { tenant, meter, part } = find(&call).await?;
    let (db, settings, now) = (call.db(), call.parts.usage, Timestamp::now());
    let found = why::resources_of(db, call.scope()?, tenant, &part, settings, now).await?;
    let corrections = why::corrections_of(db, call.scope()?, tenant, &part, settings, now).await?;
    let quantity: u128 = found.iter().map(|usage| u128::from(usage.quantity)).sum();
    Ok(call.ok(&LineResources {
        meter: meter.as_str().to_owned(),
        corrected_quantity: why::corrected(quantity, &corrections).to_string(),
        corrections: corrections.iter().map(LineCorrection::from).collect(),
        period: part.period().into(),
        quantity: quantity.to_string(),
        unit: unit(meter),
        items: found.iter().map(|usage| LineResource::new(usage, meter)).collect(),
    }))
}

async fn windows(call: Call) -> Result<HttpResponse, Problem> {
    let asked = asked_resource(&call)?;
    let line = find(&call).await?;
    let resource = resource_of(&line, asked)?;
    let found = records(&call, &line, &resource).await?;
    let name = found.first().ok_or_else(nothing)?.resource_name.clone();
    let quantity: u128 = found.iter().map(|record| u128::from(record.quantity)).sum();
    Ok(call.ok(&LineWindows {
        meter: line.meter.as_str().to_owned(),
        resource: ResourceBody::new(&resource, &name),
        period: line.part.period().into(),
        quantity: quantity.to_string(),
        unit: unit(line.meter),
        items: found.iter().map(WindowUsage::from).collect(),
    }))
}

async fn readings(call: Call) -> Result<HttpResponse, Problem> {
    let asked = asked_resource(&call)?;
    call.required("window_start")?;
    let start = call.instant("window_start")?.ok_or_else(nothing)?;
    let line = find(&call).await?;
    let resource = resource_of(&line, asked)?;
    // Only windows of the line are explained, as they were rated: cut where its period is.
    let window = records(&call, &line, &resource).await?.into_iter().map(|record| record.window);
    let window: Window = window.into_iter().find(|window| window.start() == start).ok_or_else(nothing)?;
    let (db, settings, now) = (call.db(), call.parts.usage, Timestamp::now());
    let (scope, part) = (call.scope()?, &line.part);
    let explained = why::explain(db, scope, line.tenant, &resource, part, window, settings, now).await?;
    Ok(call.ok(&WindowReadings::from(explained.ok_or_else(nothing)?)))
}

async fn records(
    call: &Call,
    line: &Line,
    resource: &Resource,
) -> Result<Vec<metering::UsageRecord>, Problem> {
    let (db, settings, now) = (call.db(), call.parts.usage, Timestamp::now());
    Ok(why::windows_of(db, call.scope()?, line.tenant, resource, &line.part, settings, now).await?)
}

/// The line that the path names.
async fn find(call: &Call) -> Result<Line, Problem> {
    let invoice = invoices::find(call).await?;
    let n: usize = call.id("n", "line")?;
    let line = n.checked_sub(1).and_then(|at| invoice.document.lines.get(at).cloned());
    let line = line.ok_or_else(|| Problem::not_found("line"))?;
    // Fees and discounts are not metered: nothing lies below them.
    let meter = line.meter.ok_or_else(|| Problem::not_found("usage in this line, which is not metered,"))?;
    let plan = effective::of_invoice(call.db(), invoice.invoice_id).await?;
    let usage = invoice.document.usage_of(&line, plan.as_ref());
    let part = usage.map_or_else(|| UsagePart::whole(meter, line.service_period), |usage| usage.part);
    Ok(Line { tenant: invoice.tenant_id, meter, part })
}

/// Which resource the query names.
fn asked_resource(call: &Call) -> Result<(Uuid, Option<String>), Problem> {
    call.required("resource")?;
    let id = call.parsed("resource", "7b3b8a52-6c7e-4a52-9d2b-0b8a3c1d2e4f")?.ok_or_else(nothing)?;
    let device = call.text("device");
    if device.is_some_and(|device| DEVICE_MAX < device.chars().count()) {
        // The document sets no limit: it is a name that no device has.
        return Err(nothing());
    }
    Ok((id, device.map(str::to_owned)))
}

/// The resource of that id, of the kind that the line's meter is measured on.
fn resource_of(line: &Line, (id, device): (Uuid, Option<String>)) -> Result<Resource, Problem> {
    let instance = InstanceId::from_uuid(id);
    match (line.meter.meter().resource, device) {
        (ResourceKind::Instance, None) => Ok(Resource::Instance(instance)),
        (ResourceKind::Disk, Some(device)) => Ok(Resource::Disk(instance, device)),
        (ResourceKind::Nic, Some(device)) => Ok(Resource::Nic(instance, device)),
        (ResourceKind::Volume, None) => Ok(Resource::Volume(VolumeId::from_uuid(id))),
        _ => Err(nothing()),
    }
}

fn nothing() -> Problem {
    Problem::not_found("resource or window in this line")
}
