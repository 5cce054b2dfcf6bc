//! `/`: what each role comes for first. Tenants: the running month in money and quantities. The provider: what all tenants
//! owe so far, and whether metering works. Planners: instances and nodes, and no money.

mod pace;
mod planner;
mod provider;
mod tenant;

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use metering::TenantId;
use migrations::{Database, Scope};
use usage::registry::{self, Tenant};

use crate::show::{self, Clock};
use crate::site::{PageError, Site, Viewer};

/// How many of the last invoices are shown.
const LAST_INVOICES: u32 = 5;

/// How many instances there are, and how many of them run.
struct Count {
    all: String,
    running: String,
}

/// The clocks of tenants: their months are shown as theirs.
struct Clocks(HashMap<TenantId, Clock>);

/// An invoice of the short list.
struct InvoiceRow {
    number: String,
    path: String,
    tenant: String,
    month: String,
    status: &'static str,
    total: String,
}

impl Clocks {
    fn of<'a>(tenants: impl IntoIterator<Item = &'a Tenant>) -> Self {
        Self(tenants.into_iter().map(|tenant| (tenant.id, Clock::of_zone(&tenant.time_zone))).collect())
    }

    /// UTC for a tenant that nobody knows.
    fn of_tenant(&self, tenant: TenantId) -> Clock {
        self.0.get(&tenant).cloned().unwrap_or_else(Clock::utc)
    }
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/").route(web::get().to(overview)).route(web::head().to(overview)));
}

async fn overview(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    match (&viewer.tenant, viewer.principal.is_planner()) {
        (Some(tenant), _) => tenant::overview(&site, &viewer, tenant).await,
        (None, false) => provider::overview(&site, &viewer).await,
        (None, true) => planner::overview(&site, &viewer).await,
    }
}

async fn count(database: &Database, scope: Scope) -> Result<Count, PageError> {
    let count = registry::count_instances(database, scope).await?;
    Ok(Count { all: show::whole(count.there.into()), running: show::whole(count.running.into()) })
}

/// The invoices that were issued last, as far as the viewer sees them.
async fn last_invoices(site: &Site, viewer: &Viewer, clocks: &Clocks) -> Result<Vec<InvoiceRow>, PageError> {
    let found = billing::invoices::list(&site.database, viewer.scope(), LAST_INVOICES).await?;
    let rows = found.into_iter().map(|invoice| InvoiceRow {
        path: format!("/tenants/{}/invoices/{}", invoice.tenant, invoice.number),
        number: invoice.number,
        tenant: invoice.tenant.to_string(),
        month: clocks.of_tenant(invoice.tenant_id).span(invoice.service_period),
        status: invoice.status.as_str(),
        total: show::money(invoice.total),
    });
    Ok(rows.collect())
}
