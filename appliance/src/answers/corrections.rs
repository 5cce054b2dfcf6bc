//! Corrections of usage and dimensions, by the command line.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use metering::{MeterName, Resource, ResourceKind, VolumeId, Window};
use migrations::Scope;
use serde_json::{Value, json};
use usage::corrections::{self, Action, Correction, NewCorrection};
use usage::dimensions::{self, DimensionChange, NewDimension};
use usage::registry;
use uuid::Uuid;

use crate::control::request::{CorrectionRequest, DimensionRequest};
use crate::parts::Parts;

/// Who acts, where nobody has logged in.
const AUTHOR: &str = "command line";

/// Does what is asked of corrections.
pub async fn value(parts: &Parts, request: CorrectionRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        CorrectionRequest::Make { resource, device, meter, from, to, action, quantity, reason } => {
            let meter = MeterName::parse(&meter)?;
            let resource = find(parts, meter.meter().resource, &resource, device).await?;
            let action = match (action.as_str(), quantity) {
                ("annotate", None) => Action::Annotate,
                ("exclude", None) => Action::Exclude,
                ("add", Some(quantity)) => Action::Add(quantity),
                _ => bail!(
                    "{action:?} is no action, or does not go with a quantity; see weir usage correct --help"
                ),
            };
            let window = Window::new(from, to)?;
            let (id, reason) = (Uuid::now_v7(), reason.as_str());
            let new =
                NewCorrection { id, resource: &resource, meter, window, action, reason, author: AUTHOR };
            let made = corrections::correct(db, &new, parts.usage, now).await?;
            let mut answer = correction_value(&made);
            answer["message"] = json!(format!(
                "Correction {} was made. It counts in what is rated from now on; an invoice that was issued does not \
                 change by itself.",
                made.id
            ));
            Ok(answer)
        }
        CorrectionRequest::List { tenant } => {
            let tenant = match tenant {
                None => None,
                Some(name) => Some(registry::find_tenant(db, Scope::Provider, &name).await?.id),
            };
            let found =
                corrections::list(db, Scope::Provider, tenant, None, None, corrections::LIST_MAX).await?;
            Ok(json!({ "corrections": found.iter().map(correction_value).collect::<Vec<_>>() }))
        }
        CorrectionRequest::Withdraw { correction_id, reason } => {
            let id = correction_id
                .parse()
                .with_context(|| format!("{correction_id:?} is no id; see weir usage correct list"))?;
            let withdrawn = corrections::withdraw(db, id, (Uuid::now_v7(), &reason, AUTHOR), now).await?;
            let mut answer = correction_value(&withdrawn);
            answer["message"] = json!(format!("Correction {id} does not hold any more."));
            Ok(answer)
        }
    }
}

/// Does what is asked of dimensions.
pub async fn dimensions(parts: &Parts, request: DimensionRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        DimensionRequest::Set { kind, resource, device, name, value } => {
            let kind = kind_of(&kind, device.as_deref())?;
            let found = find(parts, kind, &resource, device).await?;
            let new = NewDimension { resource: &found, name: &name, value: value.as_deref(), author: AUTHOR };
            let change = dimensions::set(db, &new, parts.usage.window, now).await?;
            let mut answer = change_value(&change);
            answer["message"] = json!(match &change.value {
                Some(value) => format!("{resource}: {name} is {value} from {} on.", change.valid_from),
                None => format!("{resource}: {name} has no value of its own from {} on.", change.valid_from),
            });
            Ok(answer)
        }
        DimensionRequest::List { kind, resource } => {
            let found = find(parts, kind_of(&kind, None)?, &resource, None).await?;
            let history = dimensions::history(db, Scope::Provider, &found).await?;
            Ok(json!({ "dimensions": history.iter().map(change_value).collect::<Vec<_>>() }))
        }
    }
}

/// A device is a NIC if it is called like one.
fn kind_of(word: &str, device: Option<&str>) -> Result<ResourceKind> {
    match (word, device) {
        ("volume", None) => Ok(ResourceKind::Volume),
        ("volume", Some(_)) => bail!("a volume has no devices; leave --device out"),
        ("instance", None) => Ok(ResourceKind::Instance),
        ("instance", Some(device)) if device.contains(':') => Ok(ResourceKind::Nic),
        ("instance", Some(_)) => Ok(ResourceKind::Disk),
        _ => bail!("{word:?} has no dimensions; say instance or volume"),
    }
}

/// The resource of that name.
async fn find(parts: &Parts, kind: ResourceKind, name: &str, device: Option<String>) -> Result<Resource> {
    if kind == ResourceKind::Volume {
        let volumes = registry::volumes(&parts.database, Scope::Provider).await?;
        let is_it = |volume: &&registry::Volume| {
            volume.id.to_string() == name
                || volume.name == name
                || format!("{}/{}", volume.pool, volume.name) == name
        };
        let mut found: Vec<VolumeId> = volumes.iter().filter(is_it).map(|volume| volume.id).collect();
        return match (found.pop(), found.is_empty(), device) {
            (Some(id), true, None) => Ok(Resource::Volume(id)),
            (_, _, Some(_)) => bail!("a volume has no devices; leave --device out"),
            (None, ..) => bail!("there is no volume {name:?}; write it as pool/name or by its id"),
            _ => bail!("several volumes are called {name:?}; write it as pool/name or by its id"),
        };
    }
    let id = registry::find_instance(&parts.database, Scope::Provider, name).await?.id;
    match (kind, device) {
        (ResourceKind::Disk, Some(device)) => Ok(Resource::Disk(id, device)),
        (ResourceKind::Nic, Some(device)) => Ok(Resource::Nic(id, device)),
        (ResourceKind::Disk | ResourceKind::Nic, None) => {
            bail!("that meter is one of {}s; name it with --device", kind.as_str())
        }
        (_, Some(_)) => bail!("that meter is the instance's own; leave --device out"),
        (_, None) => Ok(Resource::Instance(id)),
    }
}

fn correction_value(correction: &Correction) -> Value {
    let quantity = match correction.action {
        Action::Add(quantity) => Some(quantity),
        Action::Annotate | Action::Exclude => None,
    };
    json!({
        "correction_id": correction.id,
        "tenant_id": correction.tenant_id,
        "resource_id": id_of(&correction.resource),
        "device": correction.resource.device(),
        "meter": correction.meter,
        "from": correction.window.start(),
        "to": correction.window.end(),
        "action": correction.action.as_str(),
        "quantity": quantity,
        "reason": correction.reason,
        "author": correction.author,
        "recorded_at": correction.recorded_at,
        "withdrawn_at": correction.withdrawn.as_ref().map(|withdrawn| withdrawn.recorded_at),
        "withdrawn_by": correction.withdrawn.as_ref().map(|withdrawn| &withdrawn.author),
        "withdrawn_because": correction.withdrawn.as_ref().map(|withdrawn| &withdrawn.reason),
    })
}

fn change_value(change: &DimensionChange) -> Value {
    json!({
        "resource_id": id_of(&change.resource),
        "device": change.resource.device(),
        "name": change.name,
        "value": change.value,
        "valid_from": change.valid_from,
        "is_rule": change.is_rule,
        "author": change.author,
        "recorded_at": change.recorded_at,
    })
}

fn id_of(resource: &Resource) -> Uuid {
    match resource {
        Resource::Volume(id) => id.uuid(),
        Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => id.uuid(),
    }
}
