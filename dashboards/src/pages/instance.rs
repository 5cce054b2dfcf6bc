//! `/instances/{id}`: one instance, its facts, its charts with a table behind each, its registers. The charts' data is
//! JSON of its own (`chart.json`), so that no name ever stands in a script.

mod chart;
mod registers;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, InstanceState};
use serde::Deserialize;
use usage::charts;
use usage::registry::{self, Instance};

use self::chart::{ChartJson, Figure, Range};
use self::registers::RegisterTable;
use crate::show::{self, Moment};
use crate::site::{Layout, NO_STORE, PageError, Site, Viewer, html, now};

/// Steps of a chart: about one for each four pixels of a wide one.
const CHART_STEPS: usize = 240;
/// Rows of the table behind it: what can still be read.
const TABLE_STEPS: usize = 60;

/// `?range=1h`
#[derive(Deserialize)]
struct Asked {
    range: Option<String>,
}

/// `templates/instance.html`
#[derive(Template)]
#[template(path = "instance.html")]
struct InstancePage {
    layout: Layout,
    id: InstanceId,
    name: String,
    state: &'static str,
    tenant: Option<String>,
    /// What its metadata claims, where nobody was assigned.
    tenant_label: Option<String>,
    sees_tenants: bool,
    node: Option<String>,
    vcpus: Option<String>,
    memory: Option<String>,
    first_seen_at: Moment,
    last_seen_at: Moment,
    gone_at: Option<Moment>,
    range: &'static str,
    ranges: Vec<RangeChoice>,
    figures: Vec<Figure>,
    registers: Vec<RegisterTable>,
}

/// A range to choose.
struct RangeChoice {
    word: &'static str,
    is_chosen: bool,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/instances/{id}").route(web::get().to(instance)).route(web::head().to(instance)),
        )
        .service(web::resource("/instances/{id}/chart.json").route(web::get().to(chart_json)));
}

async fn instance(
    site: web::Data<Site>,
    viewer: Viewer,
    id: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let range = Range::parse(asked.range.as_deref())?;
    let instance = find(&site, &viewer, &id).await?;
    let (from, to) = range.until(now());
    let database = &site.database;
    let chart = chart_of(&site, &viewer, instance.id, (from, to), TABLE_STEPS).await?;
    let registers = registers::of(database, &viewer, &instance).await?;
    let figures = chart::figures(&chart, &viewer.clock);
    html(&page(&viewer, instance, range, figures, registers))
}

fn page(
    viewer: &Viewer,
    instance: Instance,
    range: Range,
    figures: Vec<Figure>,
    registers: Vec<RegisterTable>,
) -> InstancePage {
    let is_there = instance.state != InstanceState::Gone;
    InstancePage {
        layout: viewer.layout("/instances"),
        id: instance.id,
        name: instance.name,
        state: instance.state.as_str(),
        tenant_label: instance.tenant_label.filter(|_| instance.tenant_name.is_none()),
        tenant: instance.tenant_name.map(String::from),
        sees_tenants: viewer.tenant.is_none(),
        node: instance.node_name,
        vcpus: instance.vcpus.filter(|_| is_there).map(|vcpus| vcpus.to_string()),
        memory: instance.memory_kib.filter(|_| is_there).map(show::kib),
        first_seen_at: viewer.clock.moment_with_zone(instance.first_seen_at),
        last_seen_at: viewer.clock.moment_with_zone(instance.last_seen_at),
        gone_at: instance.gone_at.map(|at| viewer.clock.moment_with_zone(at)),
        range: range.word(),
        ranges: Range::ALL
            .iter()
            .map(|known| RangeChoice { word: known.word(), is_chosen: *known == range })
            .collect(),
        figures,
        registers,
    }
}

async fn chart_json(
    site: web::Data<Site>,
    viewer: Viewer,
    id: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let range = Range::parse(asked.range.as_deref())?;
    let instance = find(&site, &viewer, &id).await?;
    let (from, to) = range.until(now());
    let chart = chart_of(&site, &viewer, instance.id, (from, to), CHART_STEPS).await?;
    let json = ChartJson::new(&chart, range, (from, to), viewer.clock.zone_name());
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, NO_STORE)).json(json))
}

/// The chart between two instants. Its last step is still running: it is known until now, and no further.
async fn chart_of(
    site: &Site,
    viewer: &Viewer,
    id: InstanceId,
    (from, to): (Timestamp, Timestamp),
    steps: usize,
) -> Result<charts::Chart, PageError> {
    let mut chart = charts::of_instance(&site.database, viewer.scope(), id, from, to, steps).await?;
    for at in &mut chart.at {
        *at = (*at).min(to);
    }
    Ok(chart)
}

/// The instance of that id; names are not unique, so they lead nowhere here.
async fn find(site: &Site, viewer: &Viewer, id: &str) -> Result<Instance, PageError> {
    let id: InstanceId = id.parse().map_err(|_| PageError::NotFound)?;
    Ok(registry::find_instance(&site.database, viewer.scope(), &id.to_string()).await?)
}

/// The instants that a range ends and begins at.
fn back(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}
