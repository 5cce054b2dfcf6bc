//! Webhook endpoints, and what was sent to them.

use hooks::deliveries::{Delivery, State};
use hooks::endpoints::Endpoint;
use jiff::Timestamp;
use metering::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where events are sent to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookBody {
    /// Its id.
    pub webhook_id: Uuid,
    /// Whose it is, by name; null: the provider's, which hears of all tenants.
    pub tenant: Option<String>,
    /// Its address.
    #[schema(example = "https://books.example.com/weir")]
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// The types of events that it wants; null: all.
    #[schema(example = json!(["invoice.issued", "payment.recorded"]))]
    pub types: Option<Vec<String>>,
    /// Whether anything is sent to it.
    pub enabled: bool,
    /// Why nothing is.
    pub disabled_because: Option<String>,
    /// Nothing was taken by it since then; null: the last attempt was taken, or there was none.
    pub failing_since: Option<Timestamp>,
    /// Until when a former secret signs, too.
    pub former_secret_until: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Counts the changes. The ETag.
    pub revision: u64,
}

/// An endpoint with its secret, which is shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookMade {
    /// What verifies the signatures of Standard Webhooks.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    pub secret: String,
    /// The endpoint.
    pub webhook: WebhookBody,
}

/// An endpoint to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Its address: https, and public.
    #[schema(min_length = 8, max_length = 2000, example = "https://books.example.com/weir")]
    pub url: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub description: String,
    /// The types of events that it wants; left out or null: all.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 32)]
    pub types: Option<Vec<String>>,
    /// Whose it is, for the provider; left out: the provider's own, which hears of all tenants.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub tenant: Option<String>,
}

/// What an endpoint is to be: all of it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Its address.
    #[schema(min_length = 8, max_length = 2000, example = "https://books.example.com/weir")]
    pub url: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub description: String,
    /// The types of events that it wants; left out or null: all.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 32)]
    pub types: Option<Vec<String>>,
    /// Whether anything is sent to it. One that failed for too long is enabled again so.
    pub enabled: bool,
}

/// One event on its way to one endpoint.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryBody {
    /// Its id.
    pub delivery_id: Uuid,
    /// The event's id: the receiver sees it as `webhook-id`.
    pub event_id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "invoice.issued")]
    pub event_type: String,
    /// Since when it is due.
    pub created_at: Timestamp,
    /// `waiting`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    pub state: String,
    /// When it will be tried again.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was taken, or given up.
    pub ended_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// The status of the last answer; null: there was none.
    pub last_status: Option<u16>,
    /// The beginning of the last answer, at most 1 KiB.
    pub last_answer: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// What to send again: one event, or all since an instant.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// One event.
    #[serde(default)]
    pub event_id: Option<Uuid>,
    /// All events since then that the endpoint wants: the oldest 10,000.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

/// How many events will be sent again.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayBody {
    /// So many.
    pub ordered: u64,
}

/// A test event.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WebhookTest)]
pub struct TestBody {
    /// Its id; see the deliveries for what became of it.
    pub event_id: Uuid,
}

impl From<&Endpoint> for WebhookBody {
    fn from(endpoint: &Endpoint) -> Self {
        let is_providers = endpoint.tenant_id == TenantId::UNASSIGNED;
        Self {
            webhook_id: endpoint.id.uuid(),
            tenant: (!is_providers).then(|| endpoint.tenant.to_string()),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            types: endpoint.types.clone(),
            enabled: endpoint.disabled.is_none(),
            disabled_because: endpoint.disabled.as_ref().map(|(_, because)| because.clone()),
            failing_since: endpoint.failing_since,
            former_secret_until: endpoint.former_secret_until,
            created_at: endpoint.created_at,
            revision: endpoint.revision,
        }
    }
}

impl From<&Delivery> for DeliveryBody {
    fn from(delivery: &Delivery) -> Self {
        let (state, next_attempt_at, ended_at) = match delivery.state {
            State::Waiting(at) => ("waiting", Some(at), None),
            State::Delivered(at) => ("delivered", None, Some(at)),
            State::Failed(at) => ("failed", None, Some(at)),
        };
        Self {
            delivery_id: delivery.id,
            event_id: delivery.event_id,
            event_type: delivery.event_type.clone(),
            created_at: delivery.created_at,
            state: state.to_owned(),
            next_attempt_at,
            ended_at,
            attempts: delivery.attempts,
            last_status: delivery.last_status,
            last_answer: delivery.last_answer.clone(),
            last_error: delivery.last_error.clone(),
        }
    }
}
