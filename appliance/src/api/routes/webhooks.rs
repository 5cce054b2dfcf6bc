//! Webhook endpoints: a tenant's own, or the provider's. What is sent and how is `hooks`' business.

use actix_web::HttpResponse;
use actix_web::http::Method;
use billing::webhooks::EventType;
use hooks::HookError;
use hooks::deliveries::{self, Replay};
use hooks::endpoints::{self, Endpoint, EndpointId, FORMER_SECRET_LIFE, Wanted};
use jiff::Timestamp;
use metering::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{query_tenant, tenant};
use crate::api::call::{Call, cut};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, text};
use crate::api::problem::{Kind, Problem};
use crate::api::revision;
use crate::api::wire::webhooks::{
    DeliveryBody, NewWebhook, ReplayBody, ReplayRequest, TestBody, WebhookBody, WebhookChange, WebhookMade,
};

const ALL: &str = "/v1/webhooks";
const ONE: &str = "/v1/webhooks/{webhook_id}";

/// The last delivery of a page.
#[derive(Serialize, Deserialize)]
struct After(Timestamp, Uuid);

pub fn operations() -> Vec<Operation> {
    [of_endpoints(), of_events()].concat()
}

fn of_endpoints() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, ALL, "listWebhooks", Tag::Webhooks, "Webhook endpoints", list)
            .saying("A tenant's user sees its own; the provider all.")
            .access(Access::Money)
            .query(text("tenant", "Only this tenant's, by name or id."))
            .lists::<WebhookBody>("By owner, the oldest first.")
            .refuses(&[Kind::NotFound]),
        Operation::new(Method::POST, ALL, "createWebhook", Tag::Webhooks, "Add a webhook endpoint", create)
            .saying(
                "Events are sent as Standard Webhooks 1.0 says, until it answers 2xx, for up to three days.",
            )
            .access(Access::Money)
            .takes::<NewWebhook>()
            .creates::<WebhookMade>("The endpoint, with its secret, which is shown this once.")
            .once()
            .versioned()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::GET, ONE, "getWebhook", Tag::Webhooks, "A webhook endpoint", get)
            .access(Access::Money)
            .answers::<WebhookBody>("The endpoint.")
            .versioned(),
        Operation::new(Method::PUT, ONE, "changeWebhook", Tag::Webhooks, "Change a webhook endpoint", change)
            .access(Access::Money)
            .takes::<WebhookChange>()
            .answers::<WebhookBody>("As it is now.")
            .versioned()
            .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::DELETE,
            ONE,
            "removeWebhook",
            Tag::Webhooks,
            "Remove a webhook endpoint",
            remove,
        )
        .access(Access::Money)
        .versioned(),
        Operation::new(
            Method::POST,
            "/v1/webhooks/{webhook_id}/rotate",
            "rotateWebhook",
            Tag::Webhooks,
            "Give an endpoint a new secret",
            rotate,
        )
        .access(Access::Money)
        .saying("For a day both secrets sign, so that the receiver can change over.")
        .answers::<WebhookMade>("The endpoint, with its new secret, which is shown this once.")
        .once()
        .refuses(&[Kind::Stale]),
    ]
}

fn of_events() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::POST,
            "/v1/webhooks/{webhook_id}/test",
            "testWebhook",
            Tag::Webhooks,
            "Send a test event to an endpoint",
            test,
        )
        .access(Access::Money)
        .answers::<TestBody>("The event."),
        Operation::new(
            Method::POST,
            "/v1/webhooks/{webhook_id}/replay",
            "replayWebhook",
            Tag::Webhooks,
            "Send events again",
            replay,
        )
        .access(Access::Money)
        .saying("Under the ids that they had. Events are kept for 30 days.")
        .takes::<ReplayRequest>()
        .answers::<ReplayBody>("How many will be sent.")
        .once(),
        Operation::new(
            Method::GET,
            "/v1/webhooks/{webhook_id}/deliveries",
            "listDeliveries",
            Tag::Webhooks,
            "What was sent to an endpoint",
            list_deliveries,
        )
        .saying("The youngest first.")
        .access(Access::Money)
        .pages::<DeliveryBody>(),
    ]
}

async fn list(call: Call) -> Result<HttpResponse, Problem> {
    let owner = query_tenant(&call).await?.map(|tenant| tenant.id);
    let found = endpoints::list(call.db(), call.scope()?, owner).await?;
    Ok(call.list(found.iter().map(WebhookBody::from)))
}

async fn create(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewWebhook = call.body()?;
    check_types(new.types.as_deref())?;
    let owner = owner_to_be(&call, new.tenant.as_deref()).await?;
    let wanted = Wanted {
        url: &new.url,
        description: &new.description,
        types: new.types.as_deref(),
        is_enabled: true,
    };
    let (id, guard) = (EndpointId::from_uuid(call.thing_id()), call.parts.config.webhooks.guard());
    let added = endpoints::add(call.db(), call.scope()?, guard, id, owner, &wanted, Timestamp::now()).await?;
    let mut answer = call.created(format!("{ALL}/{id}"), &made(&added));
    let (name, value) = revision::etag(added.revision);
    answer.headers_mut().insert(name, value);
    Ok(answer)
}

async fn get(call: Call) -> Result<HttpResponse, Problem> {
    let found = endpoints::get(call.db(), call.scope()?, id(&call)?).await?;
    Ok(call.versioned(found.revision, &WebhookBody::from(&found)))
}

async fn change(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let asked: WebhookChange = call.body()?;
    check_types(asked.types.as_deref())?;
    let wanted = Wanted {
        url: &asked.url,
        description: &asked.description,
        types: asked.types.as_deref(),
        is_enabled: asked.enabled,
    };
    let (guard, now) = (call.parts.config.webhooks.guard(), Timestamp::now());
    let (scope, id) = (call.scope()?, id(&call)?);
    let found = endpoints::change(call.db(), scope, guard, id, expected.revision(), &wanted, now).await?;
    Ok(call.versioned(found.revision, &WebhookBody::from(&found)))
}

async fn remove(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let (scope, now) = (call.scope()?, Timestamp::now());
    match endpoints::remove(call.db(), scope, id(&call)?, expected.revision(), now).await? {
        true => Ok(call.done()),
        false => Err(HookError::NoEndpoint.into()),
    }
}

async fn rotate(call: Call) -> Result<HttpResponse, Problem> {
    let (scope, id) = (call.scope()?, id(&call)?);
    let there = endpoints::get(call.db(), scope, id).await?;
    // Done by an earlier attempt with this key: twice would end the secret that the receiver still has.
    if rotated_at(&there).is_some_and(|rotated| begun_at(&call).is_some_and(|begun| begun <= rotated)) {
        return Ok(call.ok(&made(&there)));
    }
    let found = endpoints::rotate(call.db(), scope, id, Some(there.revision), Timestamp::now()).await?;
    Ok(call.ok(&made(&found)))
}

async fn test(call: Call) -> Result<HttpResponse, Problem> {
    let event_id = deliveries::test(call.db(), call.scope()?, id(&call)?, Timestamp::now()).await?;
    Ok(call.ok(&TestBody { event_id }))
}

async fn replay(call: Call) -> Result<HttpResponse, Problem> {
    let asked: ReplayRequest = call.body()?;
    let what = match (asked.event_id, asked.since) {
        (Some(event), None) => Replay::Event(event),
        (None, Some(since)) => Replay::Since(since),
        _ => {
            let detail = "say what to send again: either event_id or since";
            return Err(Problem::new(Kind::Unprocessable, detail));
        }
    };
    let ordered = deliveries::replay(call.db(), call.scope()?, id(&call)?, what, Timestamp::now()).await?;
    Ok(call.ok(&ReplayBody { ordered }))
}

async fn list_deliveries(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("deliveries")?;
    let after = paging.after::<After>()?.map(|After(at, id)| (at, id));
    // One more than is shown tells whether there are more.
    let mut found =
        deliveries::page(call.db(), call.scope()?, id(&call)?, after, paging.limit.saturating_add(1)).await?;
    let has_more = (paging.limit as usize) < found.len();
    found.truncate(paging.limit as usize);
    let next = found.last().filter(|_| has_more).map(|last| After(last.created_at, last.id));
    Ok(paging.answer(found.iter().map(DeliveryBody::from).collect(), next.as_ref()))
}

fn id(call: &Call) -> Result<EndpointId, Problem> {
    call.id("webhook_id", "webhook endpoint")
}

/// When the endpoint got its secret, if it had another one until then.
fn rotated_at(endpoint: &Endpoint) -> Option<Timestamp> {
    endpoint.former_secret_until?.checked_sub(FORMER_SECRET_LIFE).ok()
}

/// When the request was first sent, to the millisecond: its id tells (RFC 9562, section 5.7).
fn begun_at(call: &Call) -> Option<Timestamp> {
    let (seconds, nanoseconds) = call.thing_id().get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

fn made(endpoint: &Endpoint) -> WebhookMade {
    WebhookMade { secret: endpoint.secret(), webhook: endpoint.into() }
}

/// Whose it will be: a tenant's user's own tenant, or the one that the provider names, or the provider.
async fn owner_to_be(call: &Call, asked: Option<&str>) -> Result<TenantId, Problem> {
    let unprocessable = |detail: &str| Problem::new(Kind::Unprocessable, detail);
    let own = call.who()?.tenant_id();
    let Some(asked) = asked else { return Ok(own.unwrap_or(TenantId::UNASSIGNED)) };
    match tenant(call, asked).await {
        Ok(found) if found.id != TenantId::UNASSIGNED => Ok(found.id),
        Err(problem) if problem.kind() != Kind::NotFound => Err(problem),
        _ => Err(unprocessable("there is no such tenant; GET /v1/tenants lists them")),
    }
}

/// Refuses types that there are not.
pub fn check_types(types: Option<&[String]>) -> Result<(), Problem> {
    let unknown = types.unwrap_or_default().iter().find(|name| EventType::parse(name).is_none());
    let Some(unknown) = unknown else { return Ok(()) };
    let known: Vec<&str> = EventType::ALL.iter().map(|event| event.as_str()).collect();
    let detail = format!("there is no type of events {:?}; it is one of: {}", cut(unknown), known.join(", "));
    Err(Problem::new(Kind::Unprocessable, detail))
}

impl From<HookError> for Problem {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Url(_) | HookError::Invalid(_) => Self::new(Kind::Unprocessable, error.to_string()),
            HookError::TooMany(_) => Self::new(Kind::Conflict, error.to_string()),
            HookError::NoEndpoint => Self::not_found("webhook endpoint"),
            HookError::NoEvent => Self::new(Kind::NotFound, error.to_string()),
            HookError::Changed { current } => revision::stale(Some(current)),
            HookError::Random(_) | HookError::BadSecret => Self::internal(&error),
            HookError::Database(_) => Self::unavailable("the database", &error),
        }
    }
}
