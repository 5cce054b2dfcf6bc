//! Webhook endpoints, by the command line.

use anyhow::{Context, Result, bail};
use billing::webhooks::EventType;
use hooks::deliveries::{self, Replay, State};
use hooks::endpoints::{self, Endpoint, EndpointId, Wanted};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

use crate::control::request::WebhookRequest;
use crate::parts::Parts;

/// Does what is asked of webhook endpoints.
pub async fn value(parts: &Parts, request: WebhookRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        WebhookRequest::List { tenant } => {
            let owner = owner(parts, tenant.as_deref()).await?;
            let found = endpoints::list(db, Scope::Provider, owner).await?;
            Ok(json!({ "webhooks": found.iter().map(shown).collect::<Vec<_>>() }))
        }
        WebhookRequest::Add { url, tenant, types, description } => {
            let owner = owner(parts, tenant.as_deref()).await?.unwrap_or(TenantId::UNASSIGNED);
            add(parts, owner, &url, &types, &description, now).await
        }
        WebhookRequest::Enable { endpoint, is_enabled } => {
            let found = endpoints::get(db, Scope::Provider, id(&endpoint)?).await?;
            let wanted = Wanted {
                url: &found.url,
                description: &found.description,
                types: found.types.as_deref(),
                is_enabled,
            };
            let (guard, revision) = (parts.config.webhooks.guard(), Some(found.revision));
            endpoints::change(db, Scope::Provider, guard, found.id, revision, &wanted, now).await?;
            let done =
                if is_enabled { "Events are sent to it again." } else { "Nothing is sent to it for now." };
            Ok(json!({ "message": done }))
        }
        WebhookRequest::Rotate { endpoint } => {
            let rotated = endpoints::rotate(db, Scope::Provider, id(&endpoint)?, None, now).await?;
            Ok(with_secret(&rotated, "For a day both secrets sign."))
        }
        WebhookRequest::Remove { endpoint } => {
            if !endpoints::remove(db, Scope::Provider, id(&endpoint)?, None, now).await? {
                bail!("there is no such webhook endpoint; weir webhook list shows them");
            }
            Ok(json!({ "message": "The endpoint was removed." }))
        }
        WebhookRequest::Test { endpoint } => {
            let event = deliveries::test(db, Scope::Provider, id(&endpoint)?, now).await?;
            let message = format!("A test event is on its way; see: weir webhook deliveries {endpoint}");
            Ok(json!({ "message": message, "event_id": event }))
        }
        WebhookRequest::Deliveries { endpoint, limit } => {
            let found = deliveries::page(db, Scope::Provider, id(&endpoint)?, None, limit).await?;
            Ok(json!({ "deliveries": found.iter().map(delivery).collect::<Vec<_>>() }))
        }
        WebhookRequest::Replay { endpoint, event, since } => {
            let what = match (event, since) {
                (Some(event), None) => Replay::Event(event),
                (None, Some(since)) => Replay::Since(since),
                _ => bail!("say what to send again: either --event or --since"),
            };
            let ordered = deliveries::replay(db, Scope::Provider, id(&endpoint)?, what, now).await?;
            Ok(json!({ "message": format!("{ordered} event(s) will be sent again."), "ordered": ordered }))
        }
    }
}

async fn add(
    parts: &Parts,
    owner: TenantId,
    url: &str,
    types: &[String],
    description: &str,
    now: Timestamp,
) -> Result<Value> {
    if let Some(unknown) = types.iter().find(|name| EventType::parse(name).is_none()) {
        let known: Vec<&str> = EventType::ALL.iter().map(|event| event.as_str()).collect();
        bail!("there is no type of events {unknown:?}; it is one of: {}", known.join(", "));
    }
    let types = (!types.is_empty()).then_some(types);
    let wanted = Wanted { url, description, types, is_enabled: true };
    let (id, guard) = (EndpointId::from_uuid(uuid::Uuid::now_v7()), parts.config.webhooks.guard());
    let added = endpoints::add(&parts.database, Scope::Provider, guard, id, owner, &wanted, now).await?;
    Ok(with_secret(&added, "Keep the secret: it is not shown again."))
}

async fn owner(parts: &Parts, tenant: Option<&str>) -> Result<Option<TenantId>> {
    let Some(name) = tenant else { return Ok(None) };
    Ok(Some(registry::find_tenant(&parts.database, Scope::Provider, name).await?.id))
}

fn id(text: &str) -> Result<EndpointId> {
    text.parse().with_context(|| format!("{text:?} is no id of an endpoint; weir webhook list shows them"))
}

fn with_secret(endpoint: &Endpoint, more: &str) -> Value {
    let secret = endpoint.secret();
    let message = format!("endpoint: {}\nsecret:   {secret}\n{more}", endpoint.id);
    json!({ "message": message, "webhook_id": endpoint.id.to_string(), "secret": secret })
}

fn shown(endpoint: &Endpoint) -> Value {
    let is_providers = endpoint.tenant_id == TenantId::UNASSIGNED;
    let state = match (&endpoint.disabled, endpoint.failing_since) {
        (Some((_, because)), _) => format!("disabled: {because}"),
        (None, Some(since)) => format!("failing since {since:.0}"),
        (None, None) => "enabled".to_owned(),
    };
    json!({
        "webhook_id": endpoint.id.to_string(),
        "tenant": (!is_providers).then_some(&endpoint.tenant),
        "url": endpoint.url,
        "types": endpoint.types.as_ref().map_or_else(|| "all".to_owned(), |types| types.join(", ")),
        "description": endpoint.description,
        "state": state,
        "revision": endpoint.revision,
    })
}

fn delivery(delivery: &deliveries::Delivery) -> Value {
    let (state, at) = match delivery.state {
        State::Waiting(at) => ("waiting", at),
        State::Delivered(at) => ("delivered", at),
        State::Failed(at) => ("failed", at),
    };
    json!({
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "type": delivery.event_type,
        "created_at": delivery.created_at,
        "state": state,
        "at": at,
        "attempts": delivery.attempts,
        "status": delivery.last_status,
        "answer": delivery.last_answer,
        "error": delivery.last_error,
    })
}
