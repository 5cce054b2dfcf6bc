//! The provider's overview: what the running month comes to, by currency and by tenant, and whether metering works. Amounts
//! in different currencies are never added.

use actix_web::HttpResponse;
use askama::Template;
use billing::drafts::{self, DraftSummary};
use billing::{Currency, Money};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use usage::registry::{self, Node};

use super::{Clocks, Count, InvoiceRow, count, last_invoices};
use crate::show::{self, Moment};
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// Tenants shown here; all of them are at `/tenants`.
const TENANTS_MAX: usize = 20;
/// A draft is rated each minute; one that is older than some of them is behind.
const DRAFT_AGE_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Readings come each minute by default and at least each hour. Later than a few minutes is worth a look, no alarm.
const READING_AGE_MAX: SignedDuration = SignedDuration::from_mins(5);

/// `templates/overview_provider.html`
#[derive(Template)]
#[template(path = "overview_provider.html")]
struct ProviderOverview {
    layout: Layout,
    as_of: Moment,
    totals: Vec<Total>,
    tenants: String,
    instances: Count,
    nodes: String,
    behind: Vec<String>,
    warnings: Vec<String>,
    drafts: Vec<DraftRow>,
    /// How many tenants are not shown.
    more: usize,
    invoices: Vec<InvoiceRow>,
}

/// The running month of all tenants in one currency.
struct Total {
    currency: &'static str,
    amount: String,
    tenants: usize,
}

/// The running month of one tenant.
struct DraftRow {
    tenant: String,
    /// `November 2026`, in the tenant's zone.
    month: String,
    zone: String,
    total: String,
    computed_at: Moment,
    is_late: bool,
}

pub(super) async fn overview(site: &Site, viewer: &Viewer) -> Result<HttpResponse, PageError> {
    let (database, scope, now) = (&site.database, viewer.scope(), now());
    let mut found = drafts::list(database, scope, now).await?;
    let nodes = registry::nodes(database, scope).await?;
    let tenants = registry::tenants(database, scope).await?;
    let totals = totals(&found);
    let behind = behind(site, &nodes, &found, now);
    // The largest first within each currency; currencies are not compared.
    found.sort_by(|a, b| {
        let by_amount = b.total.amount().cmp(&a.total.amount());
        a.total.currency().code().cmp(b.total.currency().code()).then(by_amount)
    });
    let clocks = Clocks::of(&tenants);
    let more = found.len().saturating_sub(TENANTS_MAX);
    let rows = found.into_iter().take(TENANTS_MAX).map(|draft| DraftRow {
        tenant: draft.tenant.to_string(),
        month: clocks.of_tenant(draft.tenant_id).span(draft.period),
        zone: clocks.of_tenant(draft.tenant_id).zone_name().to_owned(),
        total: show::money(draft.total),
        is_late: DRAFT_AGE_MAX <= now.duration_since(draft.computed_at),
        computed_at: viewer.clock.moment(draft.computed_at),
    });
    html(&ProviderOverview {
        layout: viewer.layout("/"),
        as_of: viewer.clock.moment_with_zone(now),
        totals,
        tenants: show::whole(
            tenants.iter().filter(|tenant| tenant.id != TenantId::UNASSIGNED).count() as u128
        ),
        instances: count(database, scope).await?,
        nodes: show::whole(nodes.len() as u128),
        behind,
        warnings: site.live.warnings(),
        drafts: rows.collect(),
        more,
        invoices: last_invoices(site, viewer, &clocks).await?,
    })
}

/// What each currency comes to, in the order of their codes.
fn totals(drafts: &[DraftSummary]) -> Vec<Total> {
    let mut sums: Vec<(Currency, Option<Money>, usize)> = Vec::new();
    for draft in drafts {
        let currency = draft.total.currency();
        match sums.iter_mut().find(|(known, ..)| *known == currency) {
            None => sums.push((currency, Some(draft.total), 1)),
            Some((_, sum, tenants)) => {
                *sum = sum.and_then(|sum| sum.checked_add(draft.total).ok());
                *tenants += 1;
            }
        }
    }
    sums.sort_by_key(|(currency, ..)| currency.code());
    let shown = sums.into_iter().map(|(currency, sum, tenants)| Total {
        currency: currency.code(),
        amount: sum.map_or_else(|| "too large to show".to_owned(), show::money),
        tenants,
    });
    shown.collect()
}

/// What is later than it should be, in sentences.
pub(super) fn behind(site: &Site, nodes: &[Node], drafts: &[DraftSummary], now: Timestamp) -> Vec<String> {
    let mut late = Vec::new();
    for node in nodes {
        match node.last_observed_at.map(|at| now.duration_since(at)) {
            None => late.push(format!("{} has never reported.", node.name)),
            Some(age) if READING_AGE_MAX <= age => {
                late.push(format!("{}: the last reading is {} old.", node.name, show::age(age)));
            }
            Some(_) => {}
        }
    }
    let old = drafts.iter().filter(|draft| DRAFT_AGE_MAX <= now.duration_since(draft.computed_at)).count();
    if old > 0 {
        late.push(format!("{old} of {} running months were not rated within 5 min.", drafts.len()));
    }
    match site.live.waiting_batches() {
        0 => {}
        1 => late.push("1 batch of readings waits to be taken in.".to_owned()),
        waiting => {
            late.push(format!("{} batches of readings wait to be taken in.", show::whole(waiting.into())))
        }
    }
    late
}
