//! `/metrics`: what Prometheus scrapes. Figures of this node come from the collector's last look, in memory, so that a
//! scrape neither asks libvirt nor waits for it; figures of the control plane come from the database, and are left out
//! while it does not answer.

mod exporter;
mod family;
mod nodes;
mod own;

use ::nodes::{alerts, registry};
use accounts::Principal;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use billing::drafts;
use dashboards::auth::{SignedIn, problem};
use jiff::Timestamp;
use mail::outbox;
use migrations::Scope;
use tracing::{error, warn};

use self::family::{Family, Form};
use self::own::Process;
use crate::parts::Parts;

/// Adds `/metrics` for those who show a token (or a session) of the provider's or a planner's.
pub fn configure(config: &mut web::ServiceConfig) {
    let read = web::get().to(for_signed_in);
    config.service(web::resource("/metrics").route(read).route(web::head().to(for_signed_in)));
}

/// Adds `/metrics` for everybody who reaches the listener, without amounts of money.
pub fn configure_open(config: &mut web::ServiceConfig) {
    let read = web::get().to(for_everybody);
    config.service(web::resource("/metrics").route(read).route(web::head().to(for_everybody)));
}

async fn for_signed_in(
    request: HttpRequest,
    parts: web::Data<Parts>,
    who: Result<SignedIn, <SignedIn as FromRequest>::Error>,
) -> HttpResponse {
    let who = match who {
        Ok(who) => who,
        Err(refusal) => return refused(&refusal.error_response()),
    };
    let Principal { user, .. } = &who.0;
    if user.tenant_id.is_some() {
        // Other tenants' instances are in there.
        return problem(
            StatusCode::FORBIDDEN,
            "these figures are of all tenants: use a token of the provider's or a planner's",
        );
    }
    answer(&request, families(&parts, who.0.sees_money()).await)
}

/// Whoever reads this is a program: it cannot do anything with the way to the log-in.
fn refused(refusal: &HttpResponse) -> HttpResponse {
    match refusal.status() {
        status if status.is_redirection() || status == StatusCode::UNAUTHORIZED => {
            let sentence = "show an API token of the provider's or a planner's: Authorization: Bearer weir_…";
            let mut answer = problem(StatusCode::UNAUTHORIZED, sentence);
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        status => problem(status, status.canonical_reason().unwrap_or("refused")),
    }
}

async fn for_everybody(request: HttpRequest, parts: web::Data<Parts>) -> HttpResponse {
    answer(&request, families(&parts, false).await)
}

async fn families(parts: &Parts, with_money: bool) -> Vec<Family> {
    let now = Timestamp::now();
    let mail = outbox::waiting(&parts.database).await;
    if let Err(failure) = &mail {
        warn!("metrics without the database's: {:#}", anyhow::anyhow!("{failure}"));
    }
    let process = Process {
        collector: parts.collector_status().await,
        is_database_up: mail.is_ok(),
        mail: mail.ok().map(|mail| (mail.waiting, mail.refused)),
        rated_since: parts.freshness.oldest(),
    };
    let mut families = own::process(&process, now);
    families.extend(of_nodes(parts, process.collector.as_ref()).await);
    if let Some(look) = parts.last_look().await {
        let names = look.instances.iter().map(|facts| (facts.instance_id, facts.name.clone())).collect();
        families.extend(exporter::families(&look.readings, &names));
        families.extend(own::readings(&look.readings, &names, &look.node_name));
    }
    if with_money && let Ok(drafts) = drafts::list(&parts.database, Scope::Provider, now).await {
        families.extend(own::money(&drafts));
    }
    families
}

/// Nodes and alerts, as far as the database answers.
async fn of_nodes(parts: &Parts, collector: Option<&collector::Status>) -> Vec<Family> {
    let mut families = Vec::new();
    if let Ok(counts) = alerts::counts(&parts.database).await {
        families.extend(nodes::alerts(&counts));
    }
    if let Some(door) = &parts.door {
        families.extend(nodes::port(door.handshakes.refused()));
    }
    let waiting = collector.map_or(0, |status| status.backlog.batches);
    let own = parts.node_id().await.map(|node_id| (node_id, waiting));
    if let Ok(listed) = registry::list(&parts.database, false).await {
        families.extend(nodes::nodes(&listed, own));
    }
    families
}

fn answer(request: &HttpRequest, families: Vec<Family>) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let form = Form::asked(accept.unwrap_or_default());
    match family::write(families, form) {
        Ok(text) => HttpResponse::Ok()
            .content_type(form.content_type())
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text),
        Err(failure) => {
            error!("the metrics could not be written: {failure}");
            HttpResponse::InternalServerError().finish()
        }
    }
}
