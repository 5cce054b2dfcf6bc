//! `/invoices`, one invoice and its documents, and the draft of the running month. It computes no money: what it shows
//! stands in the `InvoiceDocument`. The documents themselves are made by `reports`.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::invoices::{self, InvoiceCursor, InvoiceQuery, InvoiceSummary};
use billing::{DocumentKind, InvoiceLine, InvoiceStatus, Party, Tax};
use serde::Deserialize;
use usage::registry::{self, Tenant};

use super::bill::{self, Bill, Which};
use super::figures::{self, Known};
use crate::routes::DOCUMENT_SECURITY_POLICY;
use crate::show::{self, Clock};
use crate::site::{Layout, NO_STORE, PageError, Site, Viewer, html, html_body, now};

/// Invoices on one page.
const SHOWN: u32 = 50;

/// What the address of the list says.
#[derive(Deserialize)]
pub(crate) struct ListAsked {
    status: Option<String>,
    tenant: Option<String>,
    after: Option<String>,
}

/// `/invoices`
#[derive(Template)]
#[template(path = "invoices.html")]
struct ListPage {
    layout: Layout,
    shows_tenant: bool,
    /// The tenant that was chosen, and the others.
    tenants: Option<Vec<Choice>>,
    filters: Vec<Filter>,
    is_filtered: bool,
    is_first: bool,
    newest: String,
    older: Option<String>,
    /// The running month of a single tenant.
    draft: Option<String>,
    invoices: Vec<Row>,
}

struct Choice {
    name: String,
    display_name: String,
    is_chosen: bool,
}

struct Filter {
    title: &'static str,
    path: String,
    is_chosen: bool,
}

struct Row {
    number: String,
    path: String,
    tenant: String,
    tenant_path: String,
    period: String,
    issued: String,
    /// `Credit note`; nothing for an invoice.
    kind: Option<&'static str>,
    status: &'static str,
    total: String,
    currency: &'static str,
}

/// One bill in the frame.
#[derive(Template)]
#[template(path = "invoice.html")]
struct InvoicePage {
    layout: Layout,
    name: String,
    path: String,
    is_draft: bool,
    /// `Invoice`, `Credit note`.
    title: &'static str,
    status: &'static str,
    /// The number of what stands in its place.
    replaced_by: Option<String>,
    remarks: Vec<String>,
    period: String,
    as_of: String,
    facts: Vec<(&'static str, String)>,
    seller: PartyView,
    buyer: PartyView,
    currency: &'static str,
    lines: Vec<LineView>,
    subtotal: String,
    /// `VAT 19 % on 120.00`, and how much it is.
    taxes: Vec<(String, String)>,
    total: String,
    known: Known,
    unpriced: Vec<UnpricedView>,
}

/// The running month before its first draft.
#[derive(Template)]
#[template(path = "draft_empty.html")]
struct NoDraftPage {
    layout: Layout,
    tenant: String,
}

struct PartyView {
    name: String,
    address: Vec<String>,
    tax_number: Option<String>,
}

struct LineView {
    title: String,
    /// What tells it from others of the same title; may be empty.
    label: String,
    notes: Vec<String>,
    quantity: String,
    unit: String,
    unit_price: String,
    amount: String,
    why: String,
}

struct UnpricedView {
    title: String,
    period: Option<String>,
    quantity: String,
    unit: String,
    base: String,
    base_unit: String,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/invoices").route(web::get().to(list)).route(web::head().to(list)))
        .service(
            web::resource("/tenants/{tenant}/invoices/{document}")
                .route(web::get().to(invoice))
                .route(web::head().to(invoice)),
        )
        .service(
            web::resource("/tenants/{tenant}/draft").route(web::get().to(draft)).route(web::head().to(draft)),
        );
}

/// `/invoices`
async fn list(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<ListAsked>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    let kept = Kept::parse(asked.status.as_deref().unwrap_or(""))?;
    let after = match asked.after.as_deref() {
        Some(text) => Some(text.parse::<InvoiceCursor>().map_err(|error| refused(&error))?),
        None => None,
    };
    let is_first = after.is_none();
    let tenant = match (&viewer.tenant, asked.tenant.as_deref().filter(|name| !name.is_empty())) {
        (Some(own), _) => Some(own.clone()),
        (None, Some(name)) => Some(registry::find_tenant(&site.database, viewer.scope(), name).await?),
        (None, None) => None,
    };
    let query = kept.query(tenant.as_ref(), after);
    let found = invoices::page(&site.database, viewer.scope(), &query).await?;
    let all = match &viewer.tenant {
        Some(own) => vec![own.clone()],
        None => registry::tenants(&site.database, viewer.scope()).await?,
    };
    let shows_tenant = viewer.tenant.is_none();
    let chosen = tenant.as_ref().filter(|_| shows_tenant).map(|tenant| tenant.name.as_str());
    let newest = list_path(kept, chosen);
    html(&ListPage {
        layout: viewer.layout("/invoices"),
        shows_tenant,
        filters: filters(kept, chosen),
        is_filtered: kept != ALL || chosen.is_some(),
        is_first,
        older: found.next.as_ref().map(|cursor| with(&newest, "after", &cursor.to_string())),
        newest,
        draft: tenant.as_ref().map(|tenant| format!("/tenants/{}/draft", tenant.name)),
        invoices: found.items.into_iter().map(|invoice| row(invoice, &all)).collect(),
        tenants: shows_tenant.then(|| choices(&all, chosen)),
    })
}

/// One invoice: `NUMBER` in the frame, `NUMBER.html`, `NUMBER.pdf`, `NUMBER.json` as documents.
async fn invoice(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let (tenant, document) = path.into_inner();
    let (number, form) = document.rsplit_once('.').unwrap_or((document.as_str(), ""));
    let bill =
        bill::find(&site, &viewer, &tenant, &Which::Number(number)).await?.ok_or(PageError::NotFound)?;
    match form {
        "" => html(&page(viewer.layout("/invoices"), &bill)),
        "html" => {
            let mut answer = html_body(reports::invoice_html(&bill.document)?);
            let policy = header::HeaderValue::from_static(DOCUMENT_SECURITY_POLICY);
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            Ok(answer)
        }
        "json" => Ok(document_answer("application/json").body(reports::invoice_json(&bill.document)?)),
        "pdf" => {
            let name = format!("inline; filename=\"{number}.pdf\"");
            let document = bill.document;
            let bytes = web::block(move || reports::invoice_pdf(&document)).await??;
            let mut answer = document_answer("application/pdf");
            answer.insert_header((header::CONTENT_DISPOSITION, name));
            Ok(answer.body(bytes))
        }
        _ => Err(PageError::NotFound),
    }
}

/// `/tenants/{tenant}/draft`: what the invoice of the running month would be now.
async fn draft(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let layout = viewer.layout("/invoices");
    match bill::find(&site, &viewer, &path, &Which::Draft).await? {
        Some(bill) => html(&page(layout, &bill)),
        None => html(&NoDraftPage { layout, tenant: path.into_inner() }),
    }
}

fn document_answer(kind: &'static str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type(kind).insert_header((header::CACHE_CONTROL, NO_STORE));
    answer
}

fn refused(error: &dyn std::fmt::Display) -> PageError {
    PageError::BadRequest(format!("{error}."))
}

/// Which documents the list shows: how an address says it, and how the page does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kept(&'static str, &'static str);

const ALL: Kept = Kept("", "All");
const OVERDUE: Kept = Kept("overdue", "Overdue");
const CREDIT_NOTES: Kept = Kept("credit-notes", "Credit notes");
const KEPT: [Kept; 6] =
    [ALL, Kept("issued", "Issued"), OVERDUE, Kept("paid", "Paid"), Kept("void", "Void"), CREDIT_NOTES];

impl Kept {
    fn parse(text: &str) -> Result<Self, PageError> {
        KEPT.into_iter().find(|kept| kept.0 == text).ok_or_else(|| {
            refused(&"there is no such status: write issued, overdue, paid, void or credit-notes")
        })
    }

    fn query(self, tenant: Option<&Tenant>, after: Option<InvoiceCursor>) -> InvoiceQuery {
        InvoiceQuery {
            tenant: tenant.map(|tenant| tenant.id),
            status: InvoiceStatus::parse(self.0),
            overdue_at: (self == OVERDUE).then(now),
            kind: (self == CREDIT_NOTES).then_some(DocumentKind::CreditNote),
            after,
            limit: SHOWN,
        }
    }
}

fn filters(chosen: Kept, tenant: Option<&str>) -> Vec<Filter> {
    KEPT.map(|kept| Filter { title: kept.1, path: list_path(kept, tenant), is_chosen: kept == chosen }).into()
}

fn row(invoice: InvoiceSummary, tenants: &[Tenant]) -> Row {
    let tenant = tenants.iter().find(|tenant| tenant.id == invoice.tenant_id);
    let clock = tenant.map_or_else(Clock::utc, |tenant| Clock::of_zone(&tenant.time_zone));
    let standing = figures::standing(invoice.status, invoice.is_overdue(now()));
    Row {
        path: format!("/tenants/{}/invoices/{}", invoice.tenant, invoice.number),
        number: invoice.number,
        tenant_path: format!("/tenants/{}", invoice.tenant),
        tenant: invoice.tenant.to_string(),
        period: figures::period(invoice.service_period, clock.zone()),
        issued: clock.date(invoice.issued_at).to_string(),
        kind: (invoice.kind != DocumentKind::Invoice).then(|| reports::document_title(invoice.kind)),
        status: standing,
        total: figures::amount(invoice.total),
        currency: invoice.total.currency().code(),
    }
}

fn list_path(kept: Kept, tenant: Option<&str>) -> String {
    let mut path = "/invoices".to_owned();
    if kept != ALL {
        path = with(&path, "status", kept.0);
    }
    if let Some(tenant) = tenant {
        path = with(&path, "tenant", tenant);
    }
    path
}

/// Adds to an address what is safe in it as it is: names, states and cursors of our own.
fn with(path: &str, name: &str, value: &str) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    format!("{path}{mark}{name}={value}")
}

fn choices(all: &[Tenant], chosen: Option<&str>) -> Vec<Choice> {
    all.iter()
        .map(|tenant| Choice {
            name: tenant.name.to_string(),
            display_name: tenant.display_name.clone(),
            is_chosen: Some(tenant.name.as_str()) == chosen,
        })
        .collect()
}

fn page(layout: Layout, bill: &Bill) -> InvoicePage {
    let document = &bill.document;
    InvoicePage {
        layout: Layout { zone: bill.clock.zone_name().to_owned(), ..layout },
        name: bill.name(),
        path: bill.path.clone(),
        is_draft: bill.is_draft(),
        title: reports::document_title(document.kind),
        status: bill.state,
        replaced_by: bill.replaced_by.clone(),
        remarks: reports::remarks(document),
        period: bill.period(),
        as_of: figures::moment(bill.as_of, bill.clock.zone()),
        facts: facts(bill),
        seller: party(&document.seller),
        buyer: party(&document.buyer),
        currency: document.currency.code(),
        lines: document.lines.iter().enumerate().map(|(n, line)| line_view(bill, n + 1, line)).collect(),
        subtotal: figures::amount(document.subtotal),
        taxes: document.taxes.iter().map(tax_view).collect(),
        total: figures::amount(document.total),
        known: figures::known_of(document.completeness),
        unpriced: document
            .unpriced
            .iter()
            .map(|usage| UnpricedView {
                title: usage.title.clone(),
                period: (usage.service_period != document.service_period)
                    .then(|| figures::period(usage.service_period, bill.clock.zone())),
                quantity: reports::figures::grouped(usage.quantity, 0),
                unit: usage.unit.clone(),
                base: show::whole(usage.base_quantity),
                base_unit: usage.base_unit.clone(),
            })
            .collect(),
    }
}

fn facts(bill: &Bill) -> Vec<(&'static str, String)> {
    let document = &bill.document;
    let mut facts = vec![("Service period", bill.period())];
    match document.issued_at {
        Some(at) => facts.push(("Issued", figures::moment(at, bill.clock.zone()))),
        None => facts.push(("Computed", figures::moment(bill.as_of, bill.clock.zone()))),
    }
    facts.extend(document.due_on.map(|day| ("To be paid by", day.to_string())));
    facts.extend(document.corrects.as_ref().map(|other| (corrects(document.kind), other.number.clone())));
    facts.push(("Plan", format!("{}, prices of {}", document.plan.name, document.plan.version)));
    facts.push(("Time zone", document.time_zone.clone()));
    facts.extend(reports::exchange_rate(document).map(|rate| ("Exchange rate", rate)));
    facts
}

const fn corrects(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::CreditNote => "Takes back",
        DocumentKind::Invoice | DocumentKind::CorrectedInvoice => "In place of",
    }
}

fn party(party: &Party) -> PartyView {
    let name = if party.name.is_empty() { "Not named yet".to_owned() } else { party.name.clone() };
    let mut address = party.address.clone();
    address.extend(party.country.clone());
    PartyView { name, address, tax_number: party.tax_number.clone() }
}

/// `VAT 19 % on 120.00`, and how much it is.
fn tax_view(tax: &Tax) -> (String, String) {
    let percent = reports::figures::grouped(tax.rate * rust_decimal::Decimal::ONE_HUNDRED, 0);
    (format!("{} {percent} % on {}", tax.name, figures::amount(tax.base)), figures::amount(tax.amount))
}

fn line_view(bill: &Bill, n: usize, line: &InvoiceLine) -> LineView {
    let document = &bill.document;
    let mut notes = Vec::new();
    if line.service_period != document.service_period {
        notes.push(figures::period(line.service_period, bill.clock.zone()));
    }
    let is_complete = line.coverage.estimated_ms == 0 && line.coverage.missing_ms == 0;
    if !is_complete && line.coverage != document.completeness {
        notes.push(figures::known_of(line.coverage).text);
    }
    LineView {
        title: line.title.clone(),
        label: reports::line_label(line),
        notes,
        quantity: reports::figures::grouped(line.quantity, 0),
        unit: line.unit.clone(),
        unit_price: reports::figures::grouped(line.unit_price, document.currency.exponent()),
        amount: figures::amount(line.amount),
        why: format!("{}/lines/{n}", bill.path),
    }
}
