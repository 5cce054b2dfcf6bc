//! Dimensions of instances: seen by whoever holds them, said by the provider. Those of volumes are the command line's alone.

use actix_web::HttpResponse;
use actix_web::http::Method;
use jiff::Timestamp;
use metering::{InstanceId, Resource};
use usage::dimensions::{self, DimensionError, NewDimension};
use usage::registry;
use uuid::Uuid;

use crate::api::call::Call;
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag};
use crate::api::problem::{Kind, Problem};
use crate::api::wire::dimensions::{DimensionBody, NewDimensionBody};

pub fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/instances/{id}/dimensions",
            "listDimensions",
            Tag::Usage,
            "Dimensions of an instance",
            list,
        )
        .saying("Of itself, its disks and its NICs: what was ever said, the latest first. Prices may be for some alone.")
        .lists::<DimensionBody>("What was said."),
        Operation::new(
            Method::PUT,
            "/v1/instances/{id}/dimensions/{name}",
            "setDimension",
            Tag::Usage,
            "Say a dimension of an instance",
            set,
        )
        .saying(
            "It holds from the next usage window on; what was used before keeps its own. Saying the same again changes \
             nothing.",
        )
        .access(Access::Provider)
        .takes::<NewDimensionBody>()
        .answers::<DimensionBody>("What was said.")
        .refuses(&[Kind::Unprocessable]),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let instance = Resource::Instance(find(&call).await?);
    let history = dimensions::history(call.db(), call.scope()?, &instance).await?;
    Ok(call.list(history.iter().map(DimensionBody::from)))
}

async fn set(call: Call) -> Result<HttpResponse, Problem> {
    let asked: NewDimensionBody = call.body()?;
    let instance = find(&call).await?;
    let resource = match asked.device {
        None => Resource::Instance(instance),
        // A NIC is called by its address.
        Some(device) if device.contains(':') => Resource::Nic(instance, device),
        Some(device) => Resource::Disk(instance, device),
    };
    let new = NewDimension {
        resource: &resource,
        name: call.path("name"),
        value: asked.value.as_deref(),
        author: call.who()?.user.name.as_str(),
    };
    let said = dimensions::set(call.db(), &new, call.parts.usage.window, Timestamp::now()).await?;
    Ok(call.ok(&DimensionBody::from(&said)))
}

/// The instance that the path names, if it is the caller's.
async fn find(call: &Call) -> Result<InstanceId, Problem> {
    let id: Uuid = call.id("id", "instance")?;
    let found = registry::find_instance(call.db(), call.scope()?, &id.to_string()).await?;
    let own = call.who()?.tenant_id();
    // A tenant also sees rows of what it held once.
    if own.is_some() && found.tenant_id != own { Err(Problem::not_found("instance")) } else { Ok(found.id) }
}

impl From<DimensionError> for Problem {
    fn from(error: DimensionError) -> Self {
        match error {
            DimensionError::Usage(source) => source.into(),
            other => Self::new(Kind::Unprocessable, other.to_string()),
        }
    }
}
