//! `/webhooks`: where events are sent, what became of each delivery, and sending again. It sends nothing: `hooks` does, when its
//! turn comes. Endpoints are added, changed and given new secrets by the API and `weir webhook`, which show a secret once.

use actix_web::{HttpResponse, web};
use askama::Template;
use hooks::HookError;
use hooks::deliveries::{self, Delivery, Replay, State};
use hooks::endpoints::{self, Endpoint, EndpointId};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use serde::Deserialize;
use uuid::Uuid;

use super::conflict::lead_to;
use crate::auth::{Writer, query_value};
use crate::show::{Clock, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Deliveries on one page.
const SHOWN: usize = 50;
/// Characters of an answer that are shown: enough to recognise it.
const ANSWER_SHOWN: usize = 200;
/// How far back "all since" reaches, in hours, and how it is called.
const SINCE: [(&str, i64, &str); 3] =
    [("hour", 1, "the last hour"), ("day", 24, "the last day"), ("week", 168, "the last week")];

/// `templates/webhooks.html`
#[derive(Template)]
#[template(path = "webhooks.html")]
struct EndpointsPage {
    layout: Layout,
    is_provider: bool,
    rows: Vec<EndpointRow>,
}

struct EndpointRow {
    path: String,
    url: String,
    description: String,
    /// Whose; nothing of the provider's own.
    tenant: Option<String>,
    wants: String,
    state: &'static str,
    level: &'static str,
    note: Option<String>,
}

/// `templates/webhook.html`
#[derive(Template)]
#[template(path = "webhook.html")]
struct EndpointPage {
    layout: Layout,
    is_provider: bool,
    may_write: bool,
    id: EndpointId,
    row: EndpointRow,
    created: Moment,
    deliveries: Vec<DeliveryRow>,
    is_first: bool,
    next: Option<String>,
    spans: [(&'static str, i64, &'static str); 3],
}

struct DeliveryRow {
    event: Uuid,
    kind: String,
    at: Moment,
    state: &'static str,
    level: &'static str,
    when: Moment,
    attempts: String,
    answer: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    after: Option<String>,
}

#[derive(Deserialize)]
struct Again {
    event: Option<Uuid>,
    since: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let post = |path: &str| web::resource(path.to_owned());
    config
        .service(web::resource("/webhooks").route(web::get().to(list)).route(web::head().to(list)))
        .service(web::resource("/webhooks/{id}").route(web::get().to(show)).route(web::head().to(show)))
        .service(post("/webhooks/{id}/replay").route(web::post().to(replay)))
        .service(post("/webhooks/{id}/test").route(web::post().to(test)));
}

async fn list(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let owner = viewer.tenant.as_ref().map(|tenant| tenant.id);
    let found = endpoints::list(&site.database, viewer.scope(), owner).await?;
    let rows = found.iter().map(|endpoint| row(endpoint, &viewer.clock)).collect();
    let is_provider = viewer.principal.is_provider();
    html(&EndpointsPage { layout: viewer.layout("/status"), is_provider, rows })
}

async fn show(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<Uuid>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let (db, scope, id) = (&site.database, viewer.scope(), EndpointId::from_uuid(*path));
    let endpoint = endpoints::get(db, scope, id).await?;
    let after = asked.after.as_deref().map(cursor).transpose()?;
    let limit = u32::try_from(SHOWN + 1).unwrap_or(u32::MAX);
    let mut found = deliveries::page(db, scope, id, after, limit).await?;
    let has_more = SHOWN < found.len();
    found.truncate(SHOWN);
    let next = found.last().filter(|_| has_more).map(|last| {
        let cursor = format!("{}/{}", last.created_at, last.id);
        format!("/webhooks/{id}?after={}", query_value(&cursor))
    });
    html(&EndpointPage {
        layout: viewer.layout("/status"),
        is_provider: viewer.principal.is_provider(),
        may_write: viewer.principal.may_write && endpoint.disabled.is_none(),
        id,
        created: viewer.clock.moment(endpoint.created_at),
        row: row(&endpoint, &viewer.clock),
        deliveries: found.iter().map(|one| delivery(one, &viewer.clock)).collect(),
        is_first: after.is_none(),
        next,
        spans: SINCE,
    })
}

/// Orders one event, or all of a time, once more.
async fn replay(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    path: web::Path<Uuid>,
    asked: web::Form<Again>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let (id, now) = (EndpointId::from_uuid(*path), now());
    let what = match (asked.event, asked.since.as_deref()) {
        (Some(event), _) => Replay::Event(event),
        (None, Some(word)) => {
            let hours = SINCE.iter().find(|(known, ..)| *known == word).map(|(_, hours, _)| *hours);
            let hours = hours.ok_or_else(|| no_choice("Choose from the list since when."))?;
            let since = now.checked_sub(SignedDuration::from_hours(hours));
            Replay::Since(since.map_err(|_| no_choice("Choose from the list since when."))?)
        }
        (None, None) => return Err(no_choice("Choose what is to be sent again.")),
    };
    deliveries::replay(&site.database, who.0.scope(), id, what, now).await?;
    Ok(lead_to(&format!("/webhooks/{id}")))
}

async fn test(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    path: web::Path<Uuid>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let id = EndpointId::from_uuid(*path);
    deliveries::test(&site.database, who.0.scope(), id, now()).await?;
    Ok(lead_to(&format!("/webhooks/{id}")))
}

fn row(endpoint: &Endpoint, clock: &Clock) -> EndpointRow {
    let (state, level, note) = match (&endpoint.disabled, endpoint.failing_since) {
        (Some((at, why)), _) => ("off", "bad", Some(format!("since {}: {why}", clock.moment(*at).shown))),
        (None, Some(since)) => {
            ("failing", "warn", Some(format!("nothing was taken since {}", clock.moment(since).shown)))
        }
        (None, None) => ("on", "good", None),
    };
    EndpointRow {
        path: format!("/webhooks/{}", endpoint.id),
        url: endpoint.url.clone(),
        description: endpoint.description.clone(),
        tenant: (endpoint.tenant_id != TenantId::UNASSIGNED).then(|| endpoint.tenant.to_string()),
        wants: endpoint.types.as_ref().map_or_else(|| "all events".to_owned(), |types| types.join(", ")),
        state,
        level,
        note,
    }
}

fn delivery(delivery: &Delivery, clock: &Clock) -> DeliveryRow {
    let (state, level, at) = match delivery.state {
        State::Waiting(at) => ("waiting until", "warn", at),
        State::Delivered(at) => ("delivered", "good", at),
        State::Failed(at) => ("given up", "bad", at),
    };
    let answer =
        delivery.last_answer.as_deref().map(|text| text.chars().take(ANSWER_SHOWN).collect::<String>());
    let status = delivery.last_status.map(|status| status.to_string());
    DeliveryRow {
        event: delivery.event_id,
        kind: delivery.event_type.clone(),
        at: clock.moment(delivery.created_at),
        state,
        level,
        when: clock.moment(at),
        attempts: match delivery.attempts {
            1 => "1 attempt".to_owned(),
            attempts => format!("{attempts} attempts"),
        },
        answer: match (status, answer.filter(|text| !text.trim().is_empty())) {
            (Some(status), Some(text)) => Some(format!("{status}: {text}")),
            (status, text) => status.or(text),
        },
        error: delivery.last_error.clone(),
    }
}

/// `INSTANT/ID`
fn cursor(text: &str) -> Result<(Timestamp, Uuid), PageError> {
    let parts = text.split_once('/').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| no_choice("That page is none. Begin with the first one."))
}

fn no_choice(sentence: &str) -> PageError {
    PageError::BadRequest(sentence.to_owned())
}

impl From<HookError> for PageError {
    fn from(error: HookError) -> Self {
        match error {
            HookError::NoEndpoint | HookError::NoEvent => Self::NotFound,
            error => Self::database(error),
        }
    }
}
