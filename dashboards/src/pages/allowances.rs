//! `/allowances`: what a tenant may consume in a month of any meter or of money, how much of it is consumed, what was crossed
//! and what is done about it; for the provider, those of all tenants. It consumes, forecasts and compares nothing:
//! `billing::limits` does, from what the running month was rated with.

mod entered;
mod shown;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use billing::drafts;
use billing::limits::allowances::{self, Allowance, SetError};
use billing::limits::{Allowed, actions, overview};
use serde::Deserialize;
use usage::registry::Tenant;

use self::entered::{Entered, FormView};
use self::shown::{AllowanceView, ListedRow, Month};
use super::bill;
use super::budget;
use super::conflict::{self, ConflictPage, Difference, lead_to};
use super::figures::sentence;
use crate::auth::{Writer, query_value};
use crate::show::{Clock, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Allowances on one page of all tenants'.
const LISTED: usize = 50;

/// `templates/allowances.html`: those of one tenant.
#[derive(Template)]
#[template(path = "allowances.html")]
struct AllowancesPage {
    layout: Layout,
    is_provider: bool,
    tenant: String,
    tenant_title: String,
    month: String,
    computed_at: Option<Moment>,
    /// What may be done: whether actions can be chosen is the provider's.
    may_write: bool,
    allowances: Vec<AllowanceView>,
    new: FormView,
    draft: String,
}

/// `templates/allowances_all.html`: those of all tenants.
#[derive(Template)]
#[template(path = "allowances_all.html")]
struct AllPage {
    layout: Layout,
    rows: Vec<ListedRow>,
    is_first: bool,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    tenant: Option<String>,
    name: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/allowances").route(web::get().to(first)).route(web::head().to(first)))
        .service(
            web::resource("/tenants/{tenant}/allowances")
                .route(web::get().to(of_tenant))
                .route(web::head().to(of_tenant))
                .route(web::post().to(set)),
        );
}

/// A tenant's own, or all.
async fn first(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    viewer.must_see_money()?;
    if let Some(tenant) = &viewer.tenant {
        return html(&page(&site, &viewer, tenant, None).await?);
    }
    let after = asked.tenant.as_deref().zip(asked.name.as_deref());
    if after.is_some_and(|(tenant, name)| tenant.contains('\0') || name.contains('\0')) {
        return Err(PageError::NotFound);
    }
    let limit = i64::try_from(LISTED + 1).unwrap_or(i64::MAX);
    let mut found = overview::page(&site.database, viewer.scope(), after, limit).await?;
    let open = actions::open(&site.database, viewer.scope(), None).await?;
    let has_more = LISTED < found.len();
    found.truncate(LISTED);
    let next = found.last().filter(|_| has_more).map(|last| {
        format!("/allowances?tenant={}&name={}", query_value(&last.tenant), query_value(&last.allowance.name))
    });
    let rows = found.iter().map(|one| shown::listed(one, &open, &viewer.clock)).collect();
    html(&AllPage { layout: viewer.layout("/allowances"), rows, is_first: after.is_none(), next })
}

async fn of_tenant(
    site: web::Data<Site>,
    viewer: Viewer,
    path: web::Path<String>,
) -> Result<HttpResponse, PageError> {
    let tenant = bill::tenant(&site, &viewer, &path).await?;
    html(&page(&site, &viewer, &tenant, None).await?)
}

async fn set(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    path: web::Path<String>,
    fields: web::Form<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let tenant = bill::tenant(&site, &viewer, &path).await?;
    let entered = Entered::of(&fields)?;
    let (scope, name, revision) = (who.0.scope(), entered.name.trim(), Some(entered.revision));
    let result = match entered.is_removal {
        // PostgreSQL's text cannot hold NUL: nothing is called so.
        true if name.contains('\0') => return Err(PageError::NotFound),
        true => allowances::remove(&site.database, scope, tenant.id, name, revision, now()).await.map(|_| ()),
        false => match wanted(&site, &tenant, &entered).await? {
            Ok((allowed, thresholds)) => {
                let at = now();
                let db = &site.database;
                let set =
                    allowances::set(db, scope, tenant.id, name, allowed, thresholds, revision, at).await;
                set.map(|_| ())
            }
            Err(error) => return again(&site, &viewer, &tenant, entered, error).await,
        },
    };
    match result {
        Ok(()) => Ok(lead_to(&format!("/tenants/{}/allowances", tenant.name))),
        Err(SetError::Changed { .. }) => {
            let there = allowances::get(&site.database, scope, tenant.id, name).await?;
            conflict::answer(&conflict_page(&viewer, &tenant, &entered, there.as_ref()))
        }
        Err(SetError::Providers(_)) => {
            Err(PageError::Forbidden("Your provider has set this allowance, and changes it."))
        }
        Err(SetError::MayNotAct) => Err(PageError::Forbidden(
            "An allowance of your own tells you. What acts is your provider's to set.",
        )),
        Err(error @ (SetError::TooMany | SetError::Invalid(_))) => {
            again(&site, &viewer, &tenant, entered, sentence(&error)).await
        }
        Err(SetError::NoTenant(_)) => Err(PageError::NotFound),
        Err(SetError::Store(error)) => Err(error.into()),
    }
}

type Wanted = (Allowed, Vec<billing::limits::Threshold>);

/// What the form asks for, if it can be had.
async fn wanted(
    site: &Site,
    tenant: &Tenant,
    entered: &Entered,
) -> Result<Result<Wanted, String>, PageError> {
    let currencies = currencies(site, tenant).await?;
    Ok(entered.allowed(&currencies).and_then(|allowed| Ok((allowed, entered.thresholds()?))))
}

async fn currencies(site: &Site, tenant: &Tenant) -> Result<Vec<String>, PageError> {
    let month = bill::running_month(tenant, now()).ok_or(PageError::NotFound)?;
    let scope = migrations::Scope::Tenant(tenant.id.uuid());
    let draft = drafts::get(&site.database, scope, tenant.id, month.start()).await?;
    budget::currencies(site, tenant, draft.as_ref()).await
}

/// The page with the form as it was typed, and why it will not do.
async fn again(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
    entered: Entered,
    error: String,
) -> Result<HttpResponse, PageError> {
    let page = page(site, viewer, tenant, Some((&entered, error))).await?;
    conflict::with_status(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

async fn page(
    site: &Site,
    viewer: &Viewer,
    tenant: &Tenant,
    wrong: Option<(&Entered, String)>,
) -> Result<AllowancesPage, PageError> {
    let (scope, db) = (migrations::Scope::Tenant(tenant.id.uuid()), &site.database);
    let period = bill::running_month(tenant, now()).ok_or(PageError::NotFound)?;
    let found = allowances::list(db, scope, tenant.id).await?;
    let crossings = allowances::crossings(db, scope, tenant.id, period.start()).await?;
    let open = actions::open(db, scope, Some(tenant.id)).await?;
    let draft = drafts::get(db, scope, tenant.id, period.start()).await?;
    let currencies = budget::currencies(site, tenant, draft.as_ref()).await?;
    let clock = Clock::of_zone(&tenant.time_zone);
    let is_provider = viewer.principal.is_provider();
    let month = Month { period, draft: draft.as_ref(), crossings: &crossings, open: &open, clock: &clock };
    let form_of = |allowance: &Allowance| {
        let typed = wrong
            .as_ref()
            .filter(|(entered, _)| entered.revision != 0 && entered.name.trim() == allowance.name);
        match typed {
            Some((entered, error)) => FormView::again(entered, error, &currencies, is_provider),
            None => FormView::of(allowance, &currencies, is_provider),
        }
    };
    let views: Vec<AllowanceView> = found
        .iter()
        .map(|allowance| {
            let may_change = viewer.principal.may_write && shown::may_change(allowance, is_provider);
            AllowanceView::new(allowance, &month, may_change.then(|| form_of(allowance)))
        })
        .collect();
    let is_shown = |entered: &Entered| {
        views
            .iter()
            .any(|view| view.form.is_some() && view.name == entered.name.trim() && entered.revision != 0)
    };
    let new = match &wrong {
        Some((entered, error)) if !is_shown(entered) => {
            FormView::again(entered, error, &currencies, is_provider)
        }
        _ => FormView::empty(&currencies, is_provider),
    };
    Ok(AllowancesPage {
        layout: Layout { zone: clock.zone_name().to_owned(), ..viewer.layout("/allowances") },
        is_provider,
        tenant: tenant.name.to_string(),
        tenant_title: tenant.display_name.clone(),
        month: clock.month(period.start()),
        computed_at: draft.as_ref().map(|draft| clock.moment(draft.computed_at)),
        may_write: viewer.principal.may_write,
        allowances: views,
        new,
        draft: format!("/tenants/{}/draft", tenant.name),
    })
}

fn conflict_page(
    viewer: &Viewer,
    tenant: &Tenant,
    entered: &Entered,
    there: Option<&Allowance>,
) -> ConflictPage {
    let none = || "no such allowance".to_owned();
    let path = format!("/tenants/{}/allowances", tenant.name);
    let (mine, mine_when) = match entered.is_removal {
        true => (none(), String::new()),
        false => (entered.in_words(), entered.thresholds_in_words()),
    };
    ConflictPage {
        layout: viewer.layout("/allowances"),
        what: format!("The allowance {}", entered.name.trim()),
        rows: vec![
            Difference {
                label: "Allowed in a month",
                theirs: there.map_or_else(none, |there| shown::allowed(there.allowed)),
                mine,
            },
            Difference {
                label: "Thresholds",
                theirs: there.map_or_else(String::new, |there| shown::thresholds(&there.thresholds)),
                mine: mine_when,
            },
        ],
        action: path.clone(),
        fields: entered.fields(there.map_or(0, |there| there.revision)),
        back: path,
    }
}
