//! `/tenants` and each tenant's page: what it holds and may hold, its budget, its contact. The provider changes all of it;
//! a tenant sees its own and may set its budget. It admits nothing: `billing::quota` does.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::drafts;
use billing::plans;
use billing::quota::{self, Held, Limits, Quota, SetError};
use metering::TenantId;
use serde::Deserialize;
use usage::registry::{self, RegistryError, Tenant, TenantChange, TenantCursor, TenantQuery};

use super::bill;
use super::budget::{self, Back, BudgetView};
use super::conflict::{self, ConflictPage, Difference, lead_to};
use super::figures;
use super::quota_form::{self, QuotaEntered, QuotaForm};
use crate::auth::{Writer, query_value};
use crate::show::{self, Clock};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Tenants on one page.
const SHOWN: usize = 50;

/// Characters of a cursor or a search: longer than any name.
const ASKED_MAX: usize = 200;

/// `/tenants?search=..&after=..`
#[derive(Deserialize)]
struct ListAsked {
    search: Option<String>,
    after: Option<String>,
}

/// `templates/tenants.html`
#[derive(Template)]
#[template(path = "tenants.html")]
struct ListPage {
    layout: Layout,
    search: String,
    is_first: bool,
    next: Option<String>,
    tenants: Vec<Row>,
}

struct Row {
    path: String,
    name: String,
    display_name: String,
    time_zone: String,
    plan: Option<String>,
    email: Option<String>,
    /// The running month so far, and its page.
    spent: Option<(String, String)>,
}

/// `templates/tenant.html`
#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantPage {
    layout: Layout,
    name: String,
    display_name: String,
    is_provider: bool,
    created: String,
    time_zone: String,
    held: Vec<HeldRow>,
    quota: QuotaForm,
    budget: BudgetView,
    contact: ContactForm,
}

/// One thing that is held.
struct HeldRow {
    title: &'static str,
    held: String,
    /// What may be held; `None`: unlimited.
    allowed: Option<String>,
    /// In percent.
    percent: u64,
    level: &'static str,
}

/// The contact, as it stands in the form.
struct ContactForm {
    display_name: String,
    email: String,
    address: String,
    tax_number: String,
    plan: String,
    plans: Vec<String>,
    revision: u64,
    /// Which field is wrong, and why.
    error: Option<(&'static str, String)>,
}

/// What the contact form sends.
#[derive(Clone, Deserialize)]
struct ContactEntered {
    display_name: String,
    email: String,
    address: String,
    tax_number: String,
    plan: String,
    revision: u64,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/tenants").route(web::get().to(list)).route(web::head().to(list)))
        .service(
            web::resource("/tenants/{tenant}").route(web::get().to(tenant)).route(web::head().to(tenant)),
        )
        .service(web::resource("/tenants/{tenant}/quota").route(web::post().to(set_quota)))
        .service(web::resource("/tenants/{tenant}/contact").route(web::post().to(set_contact)));
}

async fn list(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<ListAsked>,
) -> Result<HttpResponse, PageError> {
    viewer.must_be_provider()?;
    let search = asked.search.as_deref().map(str::trim).unwrap_or("");
    let after = asked.after.as_deref();
    if [search, after.unwrap_or("")].iter().any(|text| ASKED_MAX < text.chars().count()) {
        return Err(PageError::BadRequest("Search for fewer characters.".to_owned()));
    }
    let bad_place =
        |_| PageError::BadRequest("That is no place in the list of tenants. Begin at /tenants.".into());
    let after = after.map(metering::TenantName::new).transpose().map_err(bad_place)?;
    let is_first = after.is_none();
    let query = TenantQuery {
        search: Some(search).filter(|search| !search.is_empty()),
        after: after.map(|name| TenantCursor { name: name.as_str().to_owned() }),
        limit: SHOWN,
    };
    let found = registry::tenants_page(&site.database, viewer.scope(), &query).await?;
    let drafts = drafts::list(&site.database, viewer.scope(), now()).await?;
    let spent = |tenant: &Tenant| {
        let draft = drafts.iter().find(|draft| draft.tenant_id == tenant.id)?;
        Some((show::money(draft.total), format!("/tenants/{}/draft", tenant.name)))
    };
    let next = found.next.map(|next| {
        let after = format!("/tenants?after={}", query_value(&next.name));
        if search.is_empty() { after } else { format!("{after}&search={}", query_value(search)) }
    });
    html(&ListPage {
        layout: viewer.layout("/tenants"),
        search: search.to_owned(),
        is_first,
        next,
        tenants: found
            .items
            .into_iter()
            .filter(|tenant| tenant.id != TenantId::UNASSIGNED)
            .map(|tenant| Row {
                spent: spent(&tenant),
                path: format!("/tenants/{}", tenant.name),
                name: tenant.name.to_string(),
                display_name: tenant.display_name,
                time_zone: tenant.time_zone,
                plan: tenant.plan_name,
                email: tenant.email,
            })
            .collect(),
    })
}

async fn tenant(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let tenant = payer(&site, &viewer, &path).await?;
    html(&page(&site, &viewer, &tenant).await?)
}

async fn set_quota(
    site: web::Data<Site>,
    viewer: Viewer,
    _: Writer,
    path: web::Path<String>,
    entered: web::Form<QuotaEntered>,
) -> Result<HttpResponse, PageError> {
    viewer.must_be_provider()?;
    let tenant = payer(&site, &viewer, &path).await?;
    let limits = match quota_form::limits(&entered) {
        Ok(limits) => limits,
        Err(errors) => {
            let quota = QuotaForm::again(&entered, errors);
            let page = TenantPage { quota, ..page(&site, &viewer, &tenant).await? };
            return conflict::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page);
        }
    };
    match quota::set(&site.database, tenant.id, &limits, Some(entered.revision), now()).await {
        Ok(_) => Ok(lead_to(&format!("/tenants/{}#quota", tenant.name))),
        Err(SetError::Changed { current }) => {
            conflict::answer(&quota_conflict(&viewer, &tenant, &entered, &limits, &current))
        }
        // Nobody can type as much: the form allows fewer digits.
        Err(error @ SetError::TooLarge { .. }) => Err(PageError::BadRequest(format!("{error}."))),
        Err(SetError::NoTenant(_)) => Err(PageError::NotFound),
        Err(SetError::Store(error)) => Err(error.into()),
    }
}

async fn set_contact(
    site: web::Data<Site>,
    viewer: Viewer,
    _: Writer,
    path: web::Path<String>,
    entered: web::Form<ContactEntered>,
) -> Result<HttpResponse, PageError> {
    viewer.must_be_provider()?;
    let tenant = payer(&site, &viewer, &path).await?;
    let plans = plan_names(&site).await?;
    let typed = entered.into_inner().trimmed();
    let lines: Vec<String> = typed.address.lines().map(str::to_owned).collect();
    let change = TenantChange {
        display_name: &typed.display_name,
        address: &lines,
        tax_number: optional(&typed.tax_number),
        email: optional(&typed.email),
        plan_name: optional(&typed.plan),
    };
    let is_known =
        |name: &str| plans.iter().any(|plan| plan == name) || tenant.plan_name.as_deref() == Some(name);
    let error = match change.plan_name {
        Some(name) if !is_known(name) => {
            ("plan", "There is no such plan. Choose one of those offered.".to_owned())
        }
        _ => match registry::update_tenant(&site.database, tenant.id, typed.revision, &change).await {
            Ok(_) => return Ok(lead_to(&format!("/tenants/{}#contact", tenant.name))),
            Err(RegistryError::Changed { .. }) => {
                let current =
                    registry::find_tenant(&site.database, viewer.scope(), tenant.name.as_str()).await?;
                return conflict::answer(&contact_conflict(&viewer, &current, &typed));
            }
            Err(error) => refused(error)?,
        },
    };
    let contact = ContactForm { plans, error: Some(error), ..ContactForm::typed(typed) };
    let page = TenantPage { contact, ..page(&site, &viewer, &tenant).await? };
    conflict::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// A tenant that pays. What nobody pays for has usage, and nothing else that could be set.
async fn payer(site: &Site, viewer: &Viewer, name: &str) -> Result<Tenant, PageError> {
    let tenant = bill::tenant(site, viewer, name).await?;
    if tenant.id == TenantId::UNASSIGNED { Err(PageError::NotFound) } else { Ok(tenant) }
}

async fn page(site: &Site, viewer: &Viewer, tenant: &Tenant) -> Result<TenantPage, PageError> {
    let scope = viewer.scope();
    let quota = quota::get(&site.database, scope, tenant.id).await?;
    let held = quota::held(&site.database, scope, tenant.id).await?;
    let budget = budget::view(site, viewer, tenant, Back::Tenant).await?;
    let is_provider = viewer.principal.is_provider();
    let plans = if is_provider { plan_names(site).await? } else { Vec::new() };
    let clock = Clock::of_zone(&tenant.time_zone);
    Ok(TenantPage {
        layout: Layout { zone: clock.zone_name().to_owned(), ..viewer.layout("/tenants") },
        name: tenant.name.to_string(),
        display_name: tenant.display_name.clone(),
        is_provider,
        created: clock.day(tenant.created_at),
        time_zone: tenant.time_zone.clone(),
        held: held_rows(held, &quota),
        quota: QuotaForm::of(&quota),
        budget,
        contact: ContactForm { plans, ..ContactForm::of(tenant) },
    })
}

async fn plan_names(site: &Site) -> Result<Vec<String>, PageError> {
    Ok(plans::list(&site.database).await?.into_iter().map(|plan| plan.name).collect())
}

fn held_rows(held: Held, quota: &Quota) -> Vec<HeldRow> {
    let count = |figure: u64| show::whole(figure.into());
    let row = |title, held: u64, allowed: Option<u64>, shown: &dyn Fn(u64) -> String| {
        let percent =
            allowed.map_or(0, |allowed| (held.saturating_mul(100)).checked_div(allowed).unwrap_or(100));
        HeldRow {
            title,
            held: shown(held),
            allowed: allowed.map(shown),
            percent: percent.min(100),
            level: match percent {
                100.. => "bad",
                80..100 => "warn",
                _ => "",
            },
        }
    };
    vec![
        row("Instances", held.instances, quota.instances.map(u64::from), &count),
        row("vCPUs", held.vcpus, quota.vcpus.map(u64::from), &count),
        row("Memory", held.memory_kib, quota.memory_kib, &show::kib),
    ]
}

fn quota_conflict(
    viewer: &Viewer,
    tenant: &Tenant,
    entered: &QuotaEntered,
    limits: &Limits,
    current: &Quota,
) -> ConflictPage {
    let rows = quota_form::in_words(&current.limits()).into_iter().zip(quota_form::in_words(limits));
    ConflictPage {
        layout: viewer.layout("/tenants"),
        what: format!("The quota of {}", tenant.name),
        rows: rows.map(|((label, theirs), (_, mine))| Difference { label, theirs, mine }).collect(),
        action: format!("/tenants/{}/quota", tenant.name),
        fields: entered.fields(current.revision),
        back: format!("/tenants/{}#quota", tenant.name),
    }
}

fn contact_conflict(viewer: &Viewer, current: &Tenant, typed: &ContactEntered) -> ConflictPage {
    let standing = ContactForm::of(current);
    let row = |label, theirs: &str, mine: &str| {
        let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.replace('\n', ", ") };
        Difference { label, theirs: shown(theirs), mine: shown(mine) }
    };
    ConflictPage {
        layout: viewer.layout("/tenants"),
        what: format!("The contact of {}", current.name),
        rows: vec![
            row("Name on invoices", &standing.display_name, &typed.display_name),
            row("E-mail", &standing.email, &typed.email),
            row("Address", &standing.address, &typed.address),
            row("Tax number", &standing.tax_number, &typed.tax_number),
            row("Plan", &standing.plan, &typed.plan),
        ],
        action: format!("/tenants/{}/contact", current.name),
        fields: vec![
            ("display_name", typed.display_name.clone()),
            ("email", typed.email.clone()),
            ("address", typed.address.clone()),
            ("tax_number", typed.tax_number.clone()),
            ("plan", typed.plan.clone()),
            ("revision", current.revision.to_string()),
        ],
        back: format!("/tenants/{}#contact", current.name),
    }
}

/// Which field is to blame.
fn refused(error: RegistryError) -> Result<(&'static str, String), PageError> {
    let field = match &error {
        RegistryError::DisplayName { .. } => "display_name",
        RegistryError::Address => "address",
        RegistryError::TaxNumber => "tax_number",
        RegistryError::Email { .. } => "email",
        _ => return Err(error.into()),
    };
    Ok((field, figures::sentence(&error)))
}

fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

impl ContactForm {
    fn of(tenant: &Tenant) -> Self {
        Self {
            display_name: tenant.display_name.clone(),
            email: tenant.email.clone().unwrap_or_default(),
            address: tenant.address.join("\n"),
            tax_number: tenant.tax_number.clone().unwrap_or_default(),
            plan: tenant.plan_name.clone().unwrap_or_default(),
            plans: Vec::new(),
            revision: tenant.revision,
            error: None,
        }
    }

    fn typed(typed: ContactEntered) -> Self {
        let ContactEntered { display_name, email, address, tax_number, plan, revision } = typed;
        Self { display_name, email, address, tax_number, plan, plans: Vec::new(), revision, error: None }
    }

    /// What is wrong with a field.
    fn error_of(&self, field: &str) -> Option<&str> {
        self.error.as_ref().filter(|(wrong, _)| *wrong == field).map(|(_, sentence)| sentence.as_str())
    }

    /// The address for people, in lines.
    fn address_lines(&self) -> impl Iterator<Item = &str> {
        self.address.lines()
    }
}

impl ContactEntered {
    /// Without what nobody types on purpose: blanks around, empty lines at the end, the browser's CRs.
    fn trimmed(self) -> Self {
        let lines: Vec<&str> = self.address.lines().map(str::trim).collect();
        Self {
            display_name: self.display_name.trim().to_owned(),
            email: self.email.trim().to_owned(),
            address: lines.join("\n").trim().to_owned(),
            tax_number: self.tax_number.trim().to_owned(),
            plan: self.plan.trim().to_owned(),
            revision: self.revision,
        }
    }
}
