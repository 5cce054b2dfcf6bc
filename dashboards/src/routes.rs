//! Which pages there are, what every answer carries, and the probes. It does NOT listen: the appliance does.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse, web};
use migrations::Database;

use crate::auth::Form;
use crate::settings::Portal;
use crate::site::{Live, PageError, Site, VERSION};
use crate::{assets, auth, pages};

/// Everything comes from here, and nothing is inline. Documents, whose styles are, say so themselves
/// ([`DOCUMENT_SECURITY_POLICY`]).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// For a document: its styles are inline, so that it can be saved as one file. It has no script and no form.
pub(crate) const DOCUMENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
     form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Forms of the portal are a few lines; more is an attack or a mistake.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What a program is told about a path that is none.
const NOWHERE: &str = "There is nothing at this address.";

/// Headers that every answer carries unless it says otherwise.
#[must_use]
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "same-origin"))
        .add((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .add((HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .add((HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"))
}

/// Adds the routes to an application. Routes of others (the API) are registered before: what nobody knows is not found
/// here.
pub fn configure(
    database: Database,
    live: Arc<dyn Live>,
    settings: Portal,
) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(Site { database, live, settings }))
            .app_data(web::QueryConfig::default().error_handler(|error, request| bad(request, &error)))
            .app_data(
                web::FormConfig::default()
                    .limit(FORM_BYTES_MAX)
                    .error_handler(|error, request| bad(request, &error)),
            )
            .app_data(web::PathConfig::default().error_handler(|error, request| {
                tracing::debug!("a path that cannot be read: {error}");
                match Form::of(request) {
                    Form::Problem => auth::problem_error(StatusCode::NOT_FOUND, NOWHERE),
                    Form::Page { .. } => PageError::NotFound.into(),
                }
            }))
            .configure(assets::routes)
            .configure(pages::routes)
            .service(open("/healthz", healthz))
            .service(web::resource("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
            .service(open("/version", version))
            .default_service(web::to(nowhere));
    }
}

/// A probe: read, by anybody.
fn open(path: &str, handler: fn() -> std::future::Ready<HttpResponse>) -> actix_web::Resource {
    web::resource(path).route(web::get().to(handler)).route(web::head().to(handler))
}

/// A query or a form that cannot be read.
fn bad(request: &HttpRequest, error: &dyn std::fmt::Display) -> actix_web::Error {
    let sentence =
        format!("Its parameters cannot be read ({error}). Go back and try again from the page itself.");
    match Form::of(request) {
        Form::Problem => auth::problem_error(StatusCode::BAD_REQUEST, &sentence),
        Form::Page { .. } => PageError::BadRequest(sentence).into(),
    }
}

/// Whether the process lives.
fn healthz() -> std::future::Ready<HttpResponse> {
    std::future::ready(HttpResponse::Ok().body("ok\n"))
}

/// Whether it can do its work: the database answers.
async fn readyz(site: web::Data<Site>) -> HttpResponse {
    match site.database.storage_profile().await {
        Ok(_) => HttpResponse::Ok().body("ready\n"),
        Err(_) => HttpResponse::ServiceUnavailable().body("the database does not answer\n"),
    }
}

fn version() -> std::future::Ready<HttpResponse> {
    let body = format!("{{\"version\":\"{VERSION}\"}}\n");
    std::future::ready(HttpResponse::Ok().content_type("application/json").body(body))
}

async fn nowhere(request: HttpRequest) -> Result<HttpResponse, PageError> {
    match Form::of(&request) {
        Form::Problem => Ok(auth::problem(StatusCode::NOT_FOUND, NOWHERE)),
        Form::Page { .. } => Err(PageError::NotFound),
    }
}
