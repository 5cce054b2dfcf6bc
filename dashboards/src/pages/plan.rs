//! `/plan`: what a tenant pays for, as its plan and its own terms say today, in words and tables; and from when on they will say
//! something else. It prices nothing: rating reads the same plan.

mod words;

use actix_web::{HttpResponse, web};
use askama::Template;
use billing::account::assignments;
use billing::plan::{Prices, VersionTerms};
use billing::{PricePlan, drafts, effective, plans};
use jiff::Timestamp;
use usage::registry::Tenant;

use self::words::{Charge, PriceCard};
use super::bill;
use super::conflict::lead_to;
use crate::show::Clock;
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// `templates/plan.html`
#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    layout: Layout,
    is_provider: bool,
    tenant: String,
    tenant_title: String,
    /// `None`: there is no plan, or none that holds today.
    plan: Option<PlanView>,
    /// Its name, where there is one that cannot be shown.
    named: Option<String>,
    /// Which plans follow: `reserved from 1 December 2026 on`.
    next: Vec<String>,
}

/// The plan as it holds today.
struct PlanView {
    name: String,
    currency: String,
    zone: String,
    tax: String,
    since: String,
    /// Whether terms of the tenant's own change it.
    has_terms: bool,
    cards: Vec<PriceCard>,
    others: Vec<Charge>,
    /// The days from which other prices hold.
    later: Vec<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/plan").route(web::get().to(own)).route(web::head().to(own))).service(
        web::resource("/tenants/{tenant}/plan").route(web::get().to(show)).route(web::head().to(show)),
    );
}

async fn own(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    match &viewer.tenant {
        Some(tenant) => page(&site, &viewer, tenant).await,
        None => {
            viewer.must_see_money()?;
            Ok(lead_to("/tenants"))
        }
    }
}

async fn show(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let tenant = bill::tenant(&site, &viewer, &path).await?;
    page(&site, &viewer, &tenant).await
}

async fn page(site: &Site, viewer: &Viewer, tenant: &Tenant) -> Result<HttpResponse, PageError> {
    let scope = migrations::Scope::Tenant(tenant.id.uuid());
    // Who is given no plan by name is rated by the one that the running month says.
    let named = match (&tenant.plan_name, bill::running_month(tenant, now())) {
        (None, Some(month)) => {
            let draft = drafts::get(&site.database, scope, tenant.id, month.start()).await?;
            draft.map(|draft| draft.document.plan.name)
        }
        (named, _) => named.clone(),
    };
    let plan = match &named {
        Some(name) => effective::of_tenant(&site.database, scope, tenant.id, name).await?,
        None => None,
    };
    let base = match &named {
        Some(name) => plans::get(&site.database, name).await?,
        None => None,
    };
    let words = assignments::get(&site.database, scope, tenant.id).await?;
    let today = Clock::of_zone(&tenant.time_zone).date(now());
    let follows =
        words.changes().into_iter().filter(|(day, _)| today < *day).map(|(day, plan)| {
            format!("{} from {} on", plan.unwrap_or("no plan"), day.strftime("%-d %B %Y"))
        });
    html(&PlanPage {
        next: follows.collect(),
        layout: viewer.layout(if viewer.tenant.is_some() { "/account" } else { "/tenants" }),
        is_provider: viewer.principal.is_provider(),
        tenant: tenant.name.to_string(),
        tenant_title: tenant.display_name.clone(),
        plan: plan.as_ref().zip(base.as_ref()).and_then(|(plan, base)| view(plan, base, now())),
        named,
    })
}

fn view(plan: &PricePlan, base: &PricePlan, now: Timestamp) -> Option<PlanView> {
    let version = plan.version_at(now)?;
    let terms = version.terms();
    let nothing = VersionTerms::default();
    let of_all = base.version_at(now).map_or(&nothing, |version| version.terms());
    let currency = plan.currency();
    let is_own = |card: &billing::RateCard| of_all.rate_cards.iter().all(|other| other != card);
    let cards = terms.rate_cards.iter().map(|card| words::card(card, currency, is_own(card)));
    let later = plan.versions().iter().filter(|version| now < version.starts_at());
    Some(PlanView {
        name: plan.name().to_owned(),
        currency: currency.code().to_owned(),
        zone: plan.time_zone_name().to_owned(),
        tax: tax(plan),
        since: version.from().strftime("%-d %B %Y").to_string(),
        has_terms: terms != of_all,
        cards: cards.collect(),
        others: words::others(terms, of_all, currency),
        later: later.map(|version| version.from().strftime("%-d %B %Y").to_string()).collect(),
    })
}

/// Whether tax comes on top.
fn tax(plan: &PricePlan) -> String {
    let within = matches!(plan.prices(), Prices::Gross);
    let way = if within { "Prices contain" } else { "To all prices is added" };
    match plan.tax() {
        Some(tax) => format!("{way} {} of {}.", tax.name, words::percent(tax.rate)),
        None => format!("{way} the tax of your country."),
    }
}
