//! The routes: find the data in the right scope, fill the page's struct, or say clearly why not.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpResponse, Resource, web};
use askama::Template;
use billing::{InvoiceDocument, invoices};
use jiff::Timestamp;
use metering::{InstanceState, TenantId};
use migrations::{Database, Scope};
use usage::registry::{self, RegistryError};

use crate::pages::{ErrorPage, InstanceRow, InvoiceRow, InvoicesPage, NodeRow, StatusPage, VERSION};

/// The style sheet, part of the program.
const STYLE: &str = include_str!("../static/weir.css");
/// Nothing from elsewhere, no script, nothing embedded. Styles of documents are inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What only the running process knows.
pub trait Live: Send + Sync {
    /// Batches of readings that are not in the database yet.
    fn waiting_batches(&self) -> u64;
    /// What an operator should see at once, in sentences.
    fn warnings(&self) -> Vec<String>;
}

/// What the routes work on.
struct Site {
    database: Database,
    live: Arc<dyn Live>,
}

/// Headers that every answer carries.
#[must_use]
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
}

/// Adds the routes to an application.
pub fn configure(database: Database, live: Arc<dyn Live>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(Site { database, live }))
            .service(page("/").route(web::get().to(status)).route(web::head().to(status)))
            .service(page("/invoices").route(web::get().to(invoice_list)).route(web::head().to(invoice_list)))
            .service(
                page("/tenants/{tenant}/invoices/{document}")
                    .route(web::get().to(invoice))
                    .route(web::head().to(invoice)),
            )
            .service(page("/static/weir.css").route(web::get().to(style)).route(web::head().to(style)))
            .service(page("/healthz").route(web::get().to(healthz)).route(web::head().to(healthz)))
            .service(page("/readyz").route(web::get().to(readyz)).route(web::head().to(readyz)))
            .service(page("/version").route(web::get().to(version)).route(web::head().to(version)))
            .default_service(web::to(nowhere));
    }
}

/// A page: it is read, and nothing else (405).
fn page(path: &str) -> Resource {
    web::resource(path)
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("there is no such page")]
    NotFound,
    #[error("the tenants and instances could not be read")]
    Registry(#[from] RegistryError),
    #[error("the invoices could not be read")]
    Invoices(#[from] invoices::StoreError),
    #[error("the document could not be made")]
    Report(#[from] reports::ReportError),
    #[error("the page could not be made")]
    Page(#[from] askama::Error),
    #[error("the work was interrupted")]
    Interrupted(#[from] actix_web::error::BlockingError),
}

impl actix_web::ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Registry(_) | Self::Invoices(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Report(_) | Self::Page(_) | Self::Interrupted(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let (heading, sentence) = match self {
            Self::NotFound => ("Not found", "There is nothing at this address, or it is not yours to see."),
            Self::Registry(_) | Self::Invoices(_) => {
                ("The database does not answer", "Readings are kept meanwhile. Try again in a moment.")
            }
            Self::Report(_) | Self::Page(_) | Self::Interrupted(_) => {
                ("That did not work", "The page could not be made. The log of weir up says why.")
            }
        };
        if status != StatusCode::NOT_FOUND {
            let source = std::error::Error::source(self).map(ToString::to_string).unwrap_or_default();
            tracing::error!(source, "{self}");
        }
        let page = ErrorPage { here: "", version: VERSION, heading, sentence: sentence.to_owned() };
        let body = page.render().unwrap_or_else(|_| heading.to_owned());
        HttpResponse::build(status).content_type("text/html; charset=utf-8").body(body)
    }
}

async fn status(site: web::Data<Site>) -> Result<HttpResponse, PageError> {
    let nodes = registry::nodes(&site.database, Scope::Provider).await?;
    let tenants = registry::tenants(&site.database, Scope::Provider).await?;
    let mut instances = registry::instances(&site.database, Scope::Provider).await?;
    instances.retain(|instance| instance.gone_at.is_none());
    let page = StatusPage {
        here: "status",
        version: VERSION,
        running: instances.iter().filter(|instance| instance.state == InstanceState::Running).count(),
        tenants: tenants.iter().filter(|tenant| tenant.id != TenantId::UNASSIGNED).count(),
        waiting: site.live.waiting_batches(),
        warnings: site.live.warnings(),
        nodes: nodes
            .into_iter()
            .map(|node| NodeRow {
                name: node.name,
                last_observed_at: node.last_observed_at.map_or_else(|| "never".to_owned(), shown),
                last_seq: node.last_seq,
            })
            .collect(),
        instances: instances
            .into_iter()
            .map(|instance| InstanceRow {
                instance_id: instance.id.to_string(),
                name: instance.name,
                tenant: instance.tenant_name.map(String::from),
                state: instance.state.as_str(),
                node: instance.node_name.unwrap_or_default(),
                last_observed_at: shown(instance.last_seen_at),
            })
            .collect(),
    };
    html(page.render()?)
}

async fn invoice_list(site: web::Data<Site>) -> Result<HttpResponse, PageError> {
    let found = invoices::list(&site.database, Scope::Provider, invoices::MAX_LISTED).await?;
    let rows = found
        .into_iter()
        .map(|invoice| InvoiceRow {
            path: format!("/tenants/{}/invoices/{}", invoice.tenant, invoice.number),
            number: invoice.number,
            tenant: invoice.tenant.to_string(),
            from: shown(invoice.service_period.start()),
            to: shown(invoice.service_period.end()),
            status: format!("{:?}", invoice.status).to_lowercase(),
            total: invoice.total.to_string(),
        })
        .collect();
    html(InvoicesPage { here: "invoices", version: VERSION, invoices: rows }.render()?)
}

/// One invoice: `NUMBER` as a page, `NUMBER.pdf`, `NUMBER.json`. Looked up in the tenant's own scope.
async fn invoice(
    site: web::Data<Site>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let (tenant, document) = path.into_inner();
    let tenant = match registry::find_tenant(&site.database, Scope::Provider, &tenant).await {
        Err(RegistryError::NoTenant { .. }) => return Err(PageError::NotFound),
        found => found?,
    };
    let (number, form) = document.rsplit_once('.').unwrap_or((document.as_str(), "html"));
    let scope = Scope::Tenant(tenant.id.uuid());
    let found = invoices::find(&site.database, scope, number).await?.ok_or(PageError::NotFound)?;
    let invoice = InvoiceDocument { status: found.status, ..found.document };
    match form {
        "html" => html(reports::invoice_html(&invoice)?),
        "json" => {
            Ok(HttpResponse::Ok().content_type("application/json").body(reports::invoice_json(&invoice)?))
        }
        "pdf" => {
            let name = format!("inline; filename=\"{number}.pdf\"");
            let bytes = web::block(move || reports::invoice_pdf(&invoice)).await??;
            let mut answer = HttpResponse::Ok();
            answer.content_type("application/pdf");
            answer.insert_header((header::CONTENT_DISPOSITION, name));
            Ok(answer.body(bytes))
        }
        _ => Err(PageError::NotFound),
    }
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(STYLE)
}

/// Whether the process lives.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// Whether it can do its work: the database answers.
async fn readyz(site: web::Data<Site>) -> HttpResponse {
    match site.database.storage_profile().await {
        Ok(_) => HttpResponse::Ok().body("ready\n"),
        Err(_) => HttpResponse::ServiceUnavailable().body("the database does not answer\n"),
    }
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(format!("{{\"version\":\"{VERSION}\"}}\n"))
}

async fn nowhere() -> Result<HttpResponse, PageError> {
    Err(PageError::NotFound)
}

fn html(body: String) -> Result<HttpResponse, PageError> {
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(body))
}

/// An instant for people, in UTC to the second.
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
