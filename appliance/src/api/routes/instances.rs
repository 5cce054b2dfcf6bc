//! Instances: lists, charts, and what tenants do with their own.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::books::wallet::HoldError;
use billing::quota::QuotaError;
use compute::{Boot, ByteSize, ComputeError, ErrorKind, InstanceRef, InstanceSpec};
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, InstanceState, TenantId};
use serde::{Deserialize, Serialize};
use usage::charts;
use usage::registry::{self, InstanceCursor, InstanceQuery, RegistryError, Tenant};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::query_tenant;
use crate::api::call::{Call, cut};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, instant, one_of, parameter, text};
use crate::api::problem::{Breach, Kind, Problem};
use crate::api::wire::instances::{ChartBody, ImageBody, InstanceBody, NewInstance, StopRequest};
use crate::instances::{self, InstanceError};

/// How long a guest may take to shut down, unless said otherwise.
const GRACE_DEFAULT: u64 = 30;
/// The longest: proxies give up on an answer after about a minute.
const GRACE_MAX: u64 = 60;
/// The network that tenants may choose: libvirt's own, behind NAT. Others may be the provider's business.
const TENANT_NETWORK: &str = "default";
/// How far a chart goes back, unless said otherwise.
const CHART_SPAN: SignedDuration = SignedDuration::from_hours(1);
/// Points of a chart, unless said otherwise.
const CHART_POINTS: u32 = 300;
/// The most memory and disk, in MiB, that the document allows; compute has limits of its own.
const MEMORY_MIB_MAX: u64 = 4_194_304;
const DISK_MIB_MAX: u64 = 67_108_864;

/// Why an instance is not started; all but the first are why it is not stopped.
const START_REFUSALS: [Kind; 3] = [Kind::WalletTooLow, Kind::Conflict, Kind::Unprocessable];

const STATES: [(&str, InstanceState); 4] = [
    ("running", InstanceState::Running),
    ("paused", InstanceState::Paused),
    ("stopped", InstanceState::Stopped),
    ("gone", InstanceState::Gone),
];

/// The last instance of a page.
#[derive(Serialize, Deserialize)]
struct After(String, InstanceId);

pub fn operations() -> Vec<Operation> {
    let acts = |path: &'static str, id: &'static str, summary: &'static str, start: bool| {
        let method = Method::POST;
        match start {
            true => Operation::new(method, path, id, Tag::Instances, summary, start_it),
            false => Operation::new(method, path, id, Tag::Instances, summary, stop_it),
        }
        .answers::<InstanceBody>("The instance as it is now.")
        .refuses(if start { &START_REFUSALS } else { &START_REFUSALS[1..] })
    };
    vec![
        Operation::new(Method::GET, "/v1/instances", "listInstances", Tag::Instances, "Instances", list)
            .saying("By name. Those that are gone are left out, unless they are asked for.")
            .query(text("tenant", "Only this tenant's, by name or id."))
            .query(one_of("state", &STATES.map(|(word, _)| word), "Only those in this state."))
            .query(text("search", "Part of a name, or an id."))
            .pages::<InstanceBody>()
            .refuses(&[Kind::NotFound]),
        Operation::new(
            Method::POST,
            "/v1/instances",
            "createInstance",
            Tag::Instances,
            "Make an instance",
            create,
        )
        .saying("It must fit into the tenant's quota. Of a prepaid tenant's wallet what its first hour costs is reserved.")
        .takes::<NewInstance>()
        .creates::<InstanceBody>("The instance.")
        .once()
        .refuses(&[Kind::WalletTooLow, Kind::QuotaExceeded, Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::GET, "/v1/instances/{id}", "getInstance", Tag::Instances, "An instance", get)
            .answers::<InstanceBody>("The instance."),
        Operation::new(
            Method::DELETE,
            "/v1/instances/{id}",
            "deleteInstance",
            Tag::Instances,
            "Delete an instance",
            delete,
        )
        .saying("It must be stopped, and made by Weir. Its volumes go with it; what it used stays on record.")
        .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        acts("/v1/instances/{id}/start", "startInstance", "Start an instance", true),
        acts("/v1/instances/{id}/stop", "stopInstance", "Stop an instance", false).may_take::<StopRequest>(),
        Operation::new(
            Method::GET,
            "/v1/instances/{id}/chart",
            "getChart",
            Tag::Instances,
            "How fast it uses what",
            chart,
        )
        .query(instant("from", "The beginning; an hour before `to`, if it is left out."))
        .query(instant("to", "The end; now, if it is left out."))
        .query(parameter("points", points_schema(), "How many points at most; 300, if it is left out."))
        .answers::<ChartBody>("The curves.")
        .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            "/v1/images",
            "listImages",
            Tag::Instances,
            "What instances may boot from",
            images,
        )
        .access(Access::Everyone)
        .lists::<ImageBody>("By name."),
    ]
}

fn points_schema() -> utoipa::openapi::Object {
    let max = u32::try_from(charts::POINTS_MAX).unwrap_or(u32::MAX);
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(max)).build()
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("instances")?;
    let after = paging.after::<After>()?;
    let query = InstanceQuery {
        state: call.one_of("state", &STATES)?,
        search: call.text("search"),
        after: after.map(|After(name, id)| InstanceCursor { name, id }),
        limit: paging.limit as usize,
        tenant: query_tenant(&call).await?.map(|tenant| tenant.id),
    };
    let page = registry::instances_page(call.db(), call.scope()?, &query).await?;
    let next = page.next.map(|next| After(next.name, next.id));
    Ok(paging.answer(page.items.iter().map(InstanceBody::from).collect(), next.as_ref()))
}

async fn create(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewInstance = call.body()?;
    let tenant = owner_to_be(&call, new.tenant.as_deref()).await?;
    let id = InstanceId::from_uuid(call.thing_id());
    let spec = InstanceSpec { instance_id: Some(id), ..spec(&call, new, &tenant)? };
    let (parts, boot) = (Arc::clone(&call.parts), spec.boot.clone());
    // In a task of its own: a caller that hangs up leaves nothing half made, and nothing held for it.
    let made = tokio::spawn(async move { instances::create(&parts, &tenant, spec).await }).await;
    let made = made.map_err(|error| Problem::internal(&error))?.map_err(|error| refusal(error, &boot))?;
    Ok(call.created(format!("/v1/instances/{}", made.instance_id), &InstanceBody::from(&made)))
}

/// Why an instance was not made. What is wrong with an image's files is the provider's to mend, and their paths are not
/// for tenants.
fn refusal(error: InstanceError, boot: &Boot) -> Problem {
    let files: Vec<String> = match boot {
        Boot::Image(file) => vec![file.display().to_string()],
        Boot::Kernel { kernel, initrd, .. } => {
            vec![kernel.display().to_string(), initrd.display().to_string()]
        }
    };
    match &error {
        InstanceError::Compute(ComputeError::Invalid(why)) if files.iter().any(|file| why.contains(file)) => {
            Problem::unavailable("the image", &error)
        }
        _ => error.into(),
    }
}

/// Who will pay: a tenant's user's own tenant, or the one that the provider names.
async fn owner_to_be(call: &Call, asked: Option<&str>) -> Result<Tenant, Problem> {
    let unprocessable = |detail: &str| Problem::new(Kind::Unprocessable, detail);
    let own = call.who()?.tenant_id().map(|id| id.to_string());
    let Some(asked) = asked.or(own.as_deref()) else {
        return Err(unprocessable("say for which tenant: tenant must be given"));
    };
    match registry::find_tenant(call.db(), call.scope()?, asked).await {
        Ok(tenant) if tenant.id != TenantId::UNASSIGNED => Ok(tenant),
        Ok(_) | Err(RegistryError::NoTenant { .. }) => {
            Err(unprocessable("there is no such tenant; GET /v1/tenants lists them"))
        }
        Err(error) => Err(error.into()),
    }
}

fn spec(call: &Call, new: NewInstance, tenant: &Tenant) -> Result<InstanceSpec, Problem> {
    let images = &call.parts.config.compute.images;
    let boot = images.get(&new.image).and_then(crate::config::Image::boot).ok_or_else(|| {
        let detail = format!("there is no image {:?}; GET /v1/images lists them", cut(&new.image));
        Problem::new(Kind::Unprocessable, detail)
    })?;
    if MEMORY_MIB_MAX < new.memory_mib || new.disk_mib.is_some_and(|disk| DISK_MIB_MAX < disk) {
        let detail = format!("memory_mib is {MEMORY_MIB_MAX} and disk_mib {DISK_MIB_MAX} at most");
        return Err(Problem::new(Kind::Unprocessable, detail));
    }
    let is_own = call.who()?.tenant_id().is_some();
    if is_own && new.network.as_deref().is_some_and(|network| network != TENANT_NETWORK) {
        let detail = format!("network is {TENANT_NETWORK:?}, or left out");
        return Err(Problem::new(Kind::Unprocessable, detail));
    }
    Ok(InstanceSpec {
        instance_id: None,
        name: new.name,
        tenant: tenant.name.clone(),
        vcpus: new.vcpus,
        memory: ByteSize::from_mib(new.memory_mib),
        boot,
        disk: new.disk_mib.map(ByteSize::from_mib),
        network: new.network,
        start: new.start,
    })
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let found = find(&call).await?;
    Ok(call.ok(&found))
}

async fn start_it(call: Call) -> Result<HttpResponse, Problem> {
    let who = reference(&call)?;
    let before = find(&call).await?;
    let started = instances::start(&call.parts, &who).await?;
    Ok(call.ok(&acted(before, &started)))
}

async fn stop_it(call: Call) -> Result<HttpResponse, Problem> {
    let asked: StopRequest = call.body_or_default()?;
    let grace = asked.grace_seconds.unwrap_or(GRACE_DEFAULT);
    if GRACE_MAX < grace {
        return Err(Problem::new(Kind::InvalidBody, format!("grace_seconds is {GRACE_MAX} at most")));
    }
    let who = reference(&call)?;
    let before = find(&call).await?;
    let stopped = instances::stop(&call.parts, &who, Duration::from_secs(grace)).await?;
    Ok(call.ok(&acted(before, &stopped)))
}

async fn delete(call: Call) -> Result<HttpResponse, Problem> {
    let who = reference(&call)?;
    find(&call).await?;
    let parts = Arc::clone(&call.parts);
    let deleted = tokio::spawn(async move { instances::delete(&parts, &who).await }).await;
    deleted.map_err(|error| Problem::internal(&error))??;
    Ok(call.done())
}

async fn chart(call: Call) -> Result<HttpResponse, Problem> {
    let id = instance_id(&call)?;
    let to = call.instant("to")?.unwrap_or_else(Timestamp::now);
    let from = match call.instant("from")? {
        Some(from) => from,
        None => to.checked_sub(CHART_SPAN).unwrap_or(Timestamp::MIN),
    };
    if to <= from {
        return Err(Problem::new(Kind::Unprocessable, "to must be after from").at("query", "to"));
    }
    let points: u32 = call.parsed("points", "300")?.unwrap_or(CHART_POINTS);
    if points == 0 || charts::POINTS_MAX < points as usize {
        return Err(Problem::query("points", format!("points is a number from 1 to {}", charts::POINTS_MAX)));
    }
    find(&call).await?;
    let chart = charts::of_instance(call.db(), call.scope()?, id, from, to, points as usize).await?;
    Ok(call.ok(&ChartBody::from(chart)))
}

async fn images(call: Call) -> Result<HttpResponse, Problem> {
    let images = &call.parts.config.compute.images;
    Ok(call.list(images.iter().map(|(name, image)| ImageBody {
        name: name.clone(),
        description: image.description.clone(),
        kind: if image.file.is_some() { "disk" } else { "kernel" }.to_owned(),
    })))
}

fn instance_id(call: &Call) -> Result<InstanceId, Problem> {
    call.id("id", "instance")
}

fn reference(call: &Call) -> Result<InstanceRef, Problem> {
    instance_id(call).map(InstanceRef::Id)
}

/// The instance that the path names, if it is the caller's now. One that was just made is known to the hypervisor before
/// its first reading is stored.
async fn find(call: &Call) -> Result<InstanceBody, Problem> {
    let (id, who) = (instance_id(call)?, call.who()?);
    let not_found = || Problem::not_found("instance");
    let live = match call.parts.compute().await {
        Ok(compute) => compute.find(&InstanceRef::Id(id)).await.ok(),
        Err(_) => None,
    };
    match registry::find_instance(call.db(), call.scope()?, &id.to_string()).await {
        Ok(known) => {
            // A tenant also sees rows of what it held once; what it may do ends with its turn.
            if who.tenant_id().is_some() && known.tenant_id != who.tenant_id() {
                return Err(not_found());
            }
            let stored = InstanceBody::from(&known);
            Ok(live.as_ref().map_or_else(|| stored.clone(), |live| acted(stored.clone(), live)))
        }
        Err(RegistryError::NoInstance { .. }) => {
            let live = live.ok_or_else(not_found)?;
            // It may be known, and another tenant's: then its metadata says nothing.
            let known =
                registry::find_instance(call.db(), migrations::Scope::Provider, &id.to_string()).await;
            let is_own = match &who.user.tenant_name {
                None => true,
                Some(own) => known.is_err() && live.tenant.as_ref() == Some(own),
            };
            if is_own { Ok(InstanceBody::from(&live)) } else { Err(not_found()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// What is stored of an instance, with what the hypervisor says now.
fn acted(stored: InstanceBody, live: &compute::Instance) -> InstanceBody {
    let now = InstanceBody::from(live);
    InstanceBody {
        name: now.name,
        state: now.state,
        vcpus: now.vcpus,
        memory_kib: now.memory_kib,
        notes: now.notes,
        ..stored
    }
}

impl From<InstanceError> for Problem {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::Quota(QuotaError::Exceeded { ref breaches, .. }) => {
                let shown = breaches.iter().map(|breach| Breach {
                    what: breach.what.as_str().to_owned(),
                    used: breach.used,
                    asked: breach.asked,
                    allowed: breach.allowed,
                });
                Self::new(Kind::QuotaExceeded, error.to_string()).with_breaches(shown.collect())
            }
            InstanceError::Quota(QuotaError::Store(source)) => source.into(),
            InstanceError::Quota(other) => Self::new(Kind::Conflict, other.to_string()),
            InstanceError::Compute(error) => error.into(),
            // A tenant need not know nodes by name.
            InstanceError::Draining { .. } => {
                Self::new(Kind::Unavailable, "no node takes new instances now; ask the provider")
            }
            InstanceError::Placing(source) => Self::unavailable("the database", &source),
            InstanceError::Limited { .. } => Self::new(Kind::Conflict, error.to_string()),
            InstanceError::Limits(source) => source.into(),
            InstanceError::Wallet(error) => error.into(),
            InstanceError::NoPrice { .. } => Self::new(
                Kind::Conflict,
                "the tenant is prepaid and has no prices yet, so nothing can be started; ask the provider",
            ),
            InstanceError::Pricing(source) => Self::unavailable("the price of the instance", source.as_ref()),
            InstanceError::Stopping => Self::new(Kind::Unavailable, "Weir is being stopped"),
            InstanceError::Counting(source) => Self::unavailable("the hypervisor", source.as_ref()),
        }
    }
}

impl From<HoldError> for Problem {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::TooLittle { available, needed } => Self::new(
                Kind::WalletTooLow,
                format!(
                    "the wallet has {available} that is neither spent nor reserved, and the first hour costs {needed}"
                ),
            ),
            HoldError::Empty { left } => {
                Self::new(Kind::WalletTooLow, format!("nothing is left in the wallet ({left})"))
            }
            HoldError::Negative { .. } | HoldError::OtherCurrency { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            HoldError::Payment(source) => source.into(),
        }
    }
}

impl From<ComputeError> for Problem {
    fn from(error: ComputeError) -> Self {
        match (error.kind(), &error) {
            // Paths of the node are not for tenants, and the image is the provider's to mend.
            (_, ComputeError::Image { .. }) => Self::unavailable("the image", &error),
            (ErrorKind::Invalid, _) => Self::new(Kind::Unprocessable, error.to_string()),
            (ErrorKind::NotFound, _) => Self::not_found("instance"),
            (ErrorKind::Conflict, _) => Self::new(Kind::Conflict, error.to_string()),
            (ErrorKind::Unavailable, _) => Self::unavailable("the hypervisor", &error),
            (ErrorKind::Internal, _) => Self::internal(&error),
        }
    }
}
