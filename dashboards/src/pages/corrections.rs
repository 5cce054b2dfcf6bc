//! `/usage/corrections`: what the provider corrected of the usage that was recorded, and the forms by which it does; a tenant
//! reads those of its own. It corrects nothing itself: `usage::corrections` checks and keeps them.

mod entered;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use metering::{Resource, TenantId};
use migrations::Scope;
use serde::Deserialize;
use usage::corrections::{self, Correction, CorrectionError};
use usage::registry;
use usage::why;
use uuid::Uuid;

use self::entered::{Entered, FormView};
use super::conflict::{lead_to, with_status};
use super::figures::sentence;
use super::why::corrections::{span, words};
use crate::auth::{Writer, query_value};
use crate::show::{self, Clock, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Where the page is.
const PATH: &str = "/usage/corrections";
/// Corrections on one page.
const SHOWN: usize = 50;
/// Letters of a reason.
const REASON_MAX: usize = corrections::REASON_MAX;

/// `templates/corrections.html`
#[derive(Template)]
#[template(path = "corrections.html")]
struct CorrectionsPage {
    layout: Layout,
    is_provider: bool,
    may_write: bool,
    /// Whose, where one was asked for.
    tenant: Option<String>,
    rows: Vec<Row>,
    is_first: bool,
    next: Option<String>,
    form: FormView,
    /// What is wrong with a withdrawal, and of which correction.
    wrong: Option<(Uuid, String)>,
    /// The reason for it as it was typed.
    wrong_reason: String,
}

struct Row {
    id: Uuid,
    /// A fresh identity for its withdrawal: sent twice it is one.
    withdrawal: Uuid,
    what: &'static str,
    level: &'static str,
    tenant: Option<String>,
    resource: String,
    device: Option<String>,
    meter: String,
    window: String,
    added: Option<String>,
    unit: &'static str,
    reason: String,
    author: String,
    at: Moment,
    withdrawn: Option<Withdrawn>,
}

struct Withdrawn {
    reason: String,
    author: String,
    at: Moment,
}

#[derive(Deserialize)]
struct Asked {
    tenant: Option<String>,
    after: Option<Uuid>,
    /// What the form is to be about.
    resource: Option<String>,
    meter: Option<String>,
    window: Option<String>,
}

#[derive(Deserialize)]
struct Withdrawal {
    id: Uuid,
    reason: String,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(PATH)
                .route(web::get().to(list))
                .route(web::head().to(list))
                .route(web::post().to(make)),
        )
        .service(web::resource("/usage/corrections/{id}/withdrawal").route(web::post().to(withdraw)));
}

async fn list(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let window = site.settings.usage.window;
    let (resource, meter) = (asked.resource.as_deref(), asked.meter.as_deref());
    let form = FormView::about(resource, meter, asked.window.as_deref(), &viewer.clock, window, now());
    html(&page(&site, &viewer, &asked, form).await?)
}

async fn make(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    entered: web::Form<Entered>,
) -> Result<HttpResponse, PageError> {
    viewer.must_be_provider()?;
    let author = who.0.user.name.to_string();
    let again = async |error: String| {
        let form = FormView::again(&entered, error);
        with_status(StatusCode::UNPROCESSABLE_ENTITY, &page(&site, &viewer, &Asked::nothing(), form).await?)
    };
    let wanted = match entered.read(&viewer.clock) {
        Ok(wanted) => wanted,
        Err(error) => return again(error).await,
    };
    let new = corrections::NewCorrection {
        id: entered.id,
        resource: &wanted.resource,
        meter: wanted.meter,
        window: wanted.window,
        action: wanted.action,
        reason: &entered.reason,
        author: &author,
    };
    match corrections::correct(&site.database, &new, site.settings.usage, now()).await {
        Ok(_) => Ok(lead_to(PATH)),
        Err(CorrectionError::Usage(error)) => Err(error.into()),
        Err(error) => again(sentence(&error)).await,
    }
}

async fn withdraw(
    site: web::Data<Site>,
    viewer: Viewer,
    who: Writer,
    path: web::Path<Uuid>,
    asked: web::Form<Withdrawal>,
) -> Result<HttpResponse, PageError> {
    viewer.must_be_provider()?;
    let author = who.0.user.name.to_string();
    let said = (asked.id, asked.reason.as_str(), author.as_str());
    let error = match corrections::withdraw(&site.database, *path, said, now()).await {
        Ok(_) => return Ok(lead_to(PATH)),
        Err(CorrectionError::NoCorrection(_)) => return Err(PageError::NotFound),
        Err(CorrectionError::Usage(error)) => return Err(error.into()),
        Err(error) => error,
    };
    let window = site.settings.usage.window;
    let form = FormView::about(None, None, None, &viewer.clock, window, now());
    let mut page = page(&site, &viewer, &Asked::nothing(), form).await?;
    page.wrong = Some((*path, sentence(&error)));
    page.wrong_reason.clone_from(&asked.reason);
    let status = match error {
        CorrectionError::Withdrawn(_) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    with_status(status, &page)
}

async fn page(
    site: &Site,
    viewer: &Viewer,
    asked: &Asked,
    form: FormView,
) -> Result<CorrectionsPage, PageError> {
    viewer.must_see_money()?;
    let (db, scope) = (&site.database, viewer.scope());
    let tenant = match (&viewer.tenant, asked.tenant.as_deref().filter(|name| !name.is_empty())) {
        (Some(own), _) => Some(own.clone()),
        (None, Some(name)) => Some(registry::find_tenant(db, scope, name).await?),
        (None, None) => None,
    };
    let limit = i64::try_from(SHOWN + 1).unwrap_or(i64::MAX);
    let id = tenant.as_ref().map(|tenant| tenant.id);
    let found = corrections::list(db, scope, id, None, asked.after, limit).await;
    let mut found = found.map_err(|error| match error {
        CorrectionError::Usage(error) => PageError::from(error),
        error => PageError::failed(error),
    })?;
    let has_more = SHOWN < found.len();
    found.truncate(SHOWN);
    let asked_for = tenant.as_ref().filter(|_| viewer.tenant.is_none()).map(|tenant| tenant.name.to_string());
    let next = found.last().filter(|_| has_more).map(|last| {
        let tenant = asked_for.as_ref().map(|name| format!("&tenant={}", query_value(name)));
        format!("{PATH}?after={}{}", last.id, tenant.unwrap_or_default())
    });
    let names = why::names_of(db, scope, found.iter().map(|one| &one.resource)).await?;
    let tenants = match viewer.tenant.is_none() {
        true => names_of_tenants(db, scope).await?,
        false => BTreeMap::new(),
    };
    Ok(CorrectionsPage {
        layout: viewer.layout("/usage"),
        is_provider: viewer.principal.is_provider(),
        may_write: viewer.principal.is_provider() && viewer.principal.may_write,
        tenant: asked_for,
        rows: found.iter().map(|one| row(one, &names, &tenants, &viewer.clock)).collect(),
        is_first: asked.after.is_none(),
        next,
        form,
        wrong: None,
        wrong_reason: String::new(),
    })
}

async fn names_of_tenants(
    db: &migrations::Database,
    scope: Scope,
) -> Result<BTreeMap<TenantId, String>, PageError> {
    let tenants = registry::tenants(db, scope).await?;
    Ok(tenants.into_iter().map(|tenant| (tenant.id, tenant.name.to_string())).collect())
}

fn row(
    correction: &Correction,
    names: &BTreeMap<Resource, String>,
    tenants: &BTreeMap<TenantId, String>,
    clock: &Clock,
) -> Row {
    let (what, level) = words(correction.action);
    let meter = correction.meter.meter();
    Row {
        id: correction.id,
        withdrawal: Uuid::now_v7(),
        what,
        level: if correction.withdrawn.is_some() { "gone" } else { level },
        tenant: tenants.get(&correction.tenant_id).cloned(),
        resource: names.get(&correction.resource).cloned().unwrap_or_default(),
        device: correction.resource.device().map(str::to_owned),
        meter: meter.title.clone(),
        window: span(correction.window, clock),
        added: match correction.action {
            corrections::Action::Add(quantity) => Some(format!("+{}", show::whole(quantity.into()))),
            _ => None,
        },
        unit: meter.unit.symbol(),
        reason: correction.reason.clone(),
        author: correction.author.clone(),
        at: clock.moment(correction.recorded_at),
        withdrawn: correction.withdrawn.as_ref().map(|withdrawn| Withdrawn {
            reason: withdrawn.reason.clone(),
            author: withdrawn.author.clone(),
            at: clock.moment(withdrawn.recorded_at),
        }),
    }
}

impl Asked {
    const fn nothing() -> Self {
        Self { tenant: None, after: None, resource: None, meter: None, window: None }
    }
}

impl CorrectionsPage {
    /// What is wrong with the withdrawal of one.
    fn wrong_with(&self, id: &Uuid) -> Option<&str> {
        self.wrong.as_ref().filter(|(wrong, _)| wrong == id).map(|(_, error)| error.as_str())
    }
}
