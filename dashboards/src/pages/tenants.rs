//! `/tenants` and each tenant's page: what it holds and may hold, its budget, its contact. The provider changes all of it;
//! a tenant sees its own and may set its budget. It admits nothing: `billing::quota` does.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::account::assignments::{self, Asked, AssignError, Assigned, Assignment};
use billing::account::fit::{self, Misfit};
use billing::drafts;
use billing::plans;
use billing::quota::{self, Held, Limits, Quota, SetError};
use jiff::ToSpan;
use jiff::civil::Date;
use metering::TenantId;
use migrations::Scope;
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

/// Months from which another plan may hold, before and after the running one: the API takes any.
const MONTHS_OFFERED: std::ops::RangeInclusive<i32> = -1..=3;

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
    /// From when on another plan may hold: day and words.
    months: Vec<(String, String)>,
    /// The one that is chosen.
    plan_from: String,
    /// What was said about the plan, for people.
    said: Vec<String>,
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
    #[serde(default)]
    plan_from: Option<String>,
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
    };
    let is_known =
        |name: &str| plans.iter().any(|plan| plan == name) || tenant.plan_name.as_deref() == Some(name);
    let error = match optional(&typed.plan) {
        Some(name) if !is_known(name) => {
            ("plan", "There is no such plan. Choose one of those offered.".to_owned())
        }
        _ => match put_contact(&site, &viewer, &tenant, (&typed, &change)).await? {
            Put::Done => return Ok(lead_to(&format!("/tenants/{}#contact", tenant.name))),
            Put::Changed => {
                let current =
                    registry::find_tenant(&site.database, viewer.scope(), tenant.name.as_str()).await?;
                return conflict::answer(&contact_conflict(&viewer, &current, &typed));
            }
            Put::Refused(field, sentence) => (field, sentence),
        },
    };
    let page = page(&site, &viewer, &tenant).await?;
    let (months, said) = (page.contact.months.clone(), page.contact.said.clone());
    let contact = ContactForm { plans, months, said, error: Some(error), ..ContactForm::typed(typed) };
    let page = TenantPage { contact, ..page };
    conflict::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// What became of a contact.
enum Put {
    Done,
    /// Somebody else changed it meanwhile.
    Changed,
    /// Which field is wrong, and why.
    Refused(&'static str, String),
}

/// Changes the contact, and from when on which plan bills the tenant, all or nothing.
async fn put_contact(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
    (typed, change): (&ContactEntered, &TenantChange<'_>),
) -> Result<Put, PageError> {
    let Ok(from) = typed.plan_from.as_deref().and_then(optional).map(str::parse::<Date>).transpose() else {
        return Ok(Put::Refused("plan_from", "Choose one of the months offered.".to_owned()));
    };
    let mut session = site.database.session().await.map_err(RegistryError::from)?;
    let transaction = session.begin(Scope::Provider).await.map_err(RegistryError::from)?;
    match registry::update_tenant_within(&transaction, tenant.id, typed.revision, change).await {
        Ok(_) => {}
        Err(RegistryError::Changed { .. }) => return Ok(Put::Changed),
        Err(error) => {
            let (field, sentence) = refused(error)?;
            return Ok(Put::Refused(field, sentence));
        }
    }
    let plan = optional(&typed.plan);
    let standing = assignments::get(&site.database, viewer.scope(), tenant.id).await?;
    let day = from.unwrap_or_else(|| Clock::of_zone(&tenant.time_zone).date(now()));
    // A contact that is saved says nothing about the plan that it shows.
    if standing.on(day) != plan {
        let asked = Asked { plan, from, by: viewer.principal.user.name.as_str() };
        let assigned = match assignments::assign(&transaction, tenant.id, asked, now()).await {
            Ok(assigned) => assigned,
            Err(AssignError::Store(error)) => return Err(error.into()),
            Err(error) => return Ok(Put::Refused("plan_from", figures::sentence(&error))),
        };
        if let Some(sentence) = misfit(site, tenant, plan, &assigned).await? {
            return Ok(Put::Refused("plan", sentence));
        }
    }
    transaction.commit().await.map_err(RegistryError::from)?;
    Ok(Put::Done)
}

/// Why the plan that was assigned does not go with the tenant, if so.
async fn misfit(
    site: &Site,
    tenant: &Tenant,
    plan: Option<&str>,
    assigned: &Assigned,
) -> Result<Option<String>, PageError> {
    let Some(plan) = plan else { return Ok(None) };
    // One that bills the tenant already may be gone from the list; it stays.
    let Some(plan) = plans::get(&site.database, plan).await? else { return Ok(None) };
    match fit::check(&site.database, tenant.id, &assigned.zone, &plan, assigned.from).await {
        Ok(()) => Ok(None),
        Err(Misfit::Store(error)) => Err(error.into()),
        Err(error) => Ok(Some(figures::sentence(&error))),
    }
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
    let words = assignments::get(&site.database, scope, tenant.id).await?;
    let months = plan_months(clock.date(now()));
    let said = words.all().iter().map(|word| plan_word(word, &clock)).collect();
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
        contact: ContactForm { plans, months, said, ..ContactForm::of(tenant) },
    })
}

/// The months from which another plan may be chosen to hold.
fn plan_months(today: Date) -> Vec<(String, String)> {
    let running = today.first_of_month();
    let month = |months: i32| running.checked_add(months.months()).ok();
    let named = |day: Date| (day.to_string(), day.strftime("%B %Y").to_string());
    MONTHS_OFFERED.filter_map(month).map(named).collect()
}

/// `standard from 1 December 2026 on, said on 3 November 2026 by admin`
fn plan_word(word: &Assignment, clock: &Clock) -> String {
    let plan = word.plan.as_deref().unwrap_or("no plan");
    let from = match word.from {
        Some(day) => format!("from {} on", day.strftime("%-d %B %Y")),
        None => "for all time".to_owned(),
    };
    let by = word.recorded_by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("{plan} {from}, said on {}{by}", clock.day(word.recorded_at))
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
            ("plan_from", typed.plan_from.clone().unwrap_or_default()),
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
            months: Vec::new(),
            plan_from: String::new(),
            said: Vec::new(),
            revision: tenant.revision,
            error: None,
        }
    }

    fn typed(typed: ContactEntered) -> Self {
        let ContactEntered { display_name, email, address, tax_number, plan, plan_from, revision } = typed;
        let plan_from = plan_from.unwrap_or_default();
        let (plans, months, said) = (Vec::new(), Vec::new(), Vec::new());
        let (error, address) = (None, address);
        Self {
            display_name,
            email,
            address,
            tax_number,
            plan,
            plans,
            months,
            plan_from,
            said,
            revision,
            error,
        }
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
            plan_from: self.plan_from.map(|day| day.trim().to_owned()),
            revision: self.revision,
        }
    }
}
