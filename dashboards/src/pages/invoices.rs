//! Invoices: the list, and each as a document. What a document looks like is `reports`'.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::{InvoiceDocument, invoices};
use migrations::Scope;
use usage::registry;

use crate::routes::DOCUMENT_SECURITY_POLICY;
use crate::show::{self, Moment};
use crate::site::{Layout, NO_STORE, PageError, Site, Viewer, html, html_body};

/// `templates/invoices.html`
#[derive(Template)]
#[template(path = "invoices.html")]
struct InvoicesPage {
    layout: Layout,
    invoices: Vec<InvoiceRow>,
}

/// An invoice of the list.
struct InvoiceRow {
    number: String,
    path: String,
    tenant: String,
    from: Moment,
    to: Moment,
    status: &'static str,
    total: String,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/invoices").route(web::get().to(list)).route(web::head().to(list)))
        .service(
            web::resource("/tenants/{tenant}/invoices/{document}")
                .route(web::get().to(document))
                .route(web::head().to(document)),
        );
}

async fn list(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let found = invoices::list(&site.database, viewer.scope(), invoices::MAX_LISTED).await?;
    let rows = found
        .into_iter()
        .map(|invoice| InvoiceRow {
            path: format!("/tenants/{}/invoices/{}", invoice.tenant, invoice.number),
            number: invoice.number,
            tenant: invoice.tenant.to_string(),
            from: viewer.clock.moment(invoice.service_period.start()),
            to: viewer.clock.moment(invoice.service_period.end()),
            status: invoice.status.as_str(),
            total: show::money(invoice.total),
        })
        .collect();
    html(&InvoicesPage { layout: viewer.layout("/invoices"), invoices: rows })
}

/// One invoice: `NUMBER` as a page, `NUMBER.pdf`, `NUMBER.json`. Looked up in the tenant's own scope.
async fn document(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let (tenant, document) = path.into_inner();
    let tenant = registry::find_tenant(&site.database, viewer.scope(), &tenant).await?;
    let (number, form) = document.rsplit_once('.').unwrap_or((document.as_str(), "html"));
    let scope = Scope::Tenant(tenant.id.uuid());
    let found = invoices::find(&site.database, scope, number).await?.ok_or(PageError::NotFound)?;
    let invoice = InvoiceDocument { status: found.status, ..found.document };
    let mut answer = match form {
        "html" => html_body(reports::invoice_html(&invoice)?),
        "json" => HttpResponse::Ok().content_type("application/json").body(reports::invoice_json(&invoice)?),
        "pdf" => {
            let name = format!("inline; filename=\"{number}.pdf\"");
            let bytes = web::block(move || reports::invoice_pdf(&invoice)).await??;
            let mut answer = HttpResponse::Ok();
            answer.content_type("application/pdf").insert_header((header::CONTENT_DISPOSITION, name));
            answer.body(bytes)
        }
        _ => return Err(PageError::NotFound),
    };
    let policy = header::HeaderValue::from_static(DOCUMENT_SECURITY_POLICY);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static(NO_STORE));
    Ok(answer)
}
