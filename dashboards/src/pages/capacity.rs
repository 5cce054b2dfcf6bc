//! `/capacity`: how full the nodes are, when they will be, and what that stands on; the same as a PDF. It computes no
//! forecast: `reports::capacity` does, once for page, PDF and API.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use askama::Template;
use metering::NodeId;
use reports::capacity::{self, CapacityView, ForecastView, NodeView, ResourceView};
use reports::charts::{self, TrendChart};
use serde::Deserialize;

use crate::show::Clock;
use crate::site::{Layout, NO_STORE, PageError, Site, Viewer, html, now};

/// Nodes whose charts stand on one page, beside those of all together: two months of them are 35 KiB each, and a page has
/// 200 KiB. With more nodes each has its charts on a page of its own.
const NODES_SHOWN: usize = 2;

/// `/capacity?node=...`
#[derive(Deserialize)]
struct Asked {
    node: Option<String>,
}

/// `templates/capacity.html`
#[derive(Template)]
#[template(path = "capacity.html")]
struct CapacityPage {
    layout: Layout,
    view: CapacityView,
    nodes: Vec<Node>,
}

/// A node, or all of them together.
struct Node {
    view: NodeView,
    anchor: String,
    /// Where its charts are.
    path: String,
    /// Whether they are on this page.
    is_shown: bool,
    last_observed_at: Option<String>,
    is_total: bool,
    resources: Vec<Resource>,
}

/// One resource with its charts.
struct Resource {
    view: ResourceView,
    allocated: Gauge,
    used: Option<Gauge>,
    trends: Vec<Trend>,
}

/// A bar. More than everything can be promised: then the bar is full, and says so.
struct Gauge {
    percent: u32,
    level: &'static str,
}

/// A figure through the days.
struct Trend {
    view: ForecastView,
    /// SVG.
    chart: String,
    rows: Vec<(String, String)>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/capacity").route(web::get().to(page)).route(web::head().to(page)))
        .service(web::resource("/capacity.pdf").route(web::get().to(pdf)).route(web::head().to(pdf)));
}

async fn page(
    site: web::Data<Site>,
    viewer: Viewer,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let view = view(&site, &viewer).await?;
    let asked = asked.into_inner().node.filter(|node| !node.is_empty());
    let asked = asked.map(|node| node.parse::<NodeId>().map_err(|_| PageError::NotFound)).transpose()?;
    if asked.is_some_and(|asked| view.nodes.iter().all(|node| node.node_id != Some(asked))) {
        return Err(PageError::NotFound);
    }
    let has_all = asked.is_none() && view.nodes.len() <= NODES_SHOWN;
    // One node is all of them.
    let total = view.total.clone().filter(|_| 1 < view.nodes.len());
    let is_shown = |view: &NodeView| has_all || view.node_id == asked;
    let nodes = total.into_iter().chain(view.nodes.iter().cloned()).map(|view| {
        let is_shown = is_shown(&view);
        node(view, is_shown)
    });
    html(&CapacityPage { layout: viewer.layout("/capacity"), nodes: nodes.collect(), view })
}

async fn pdf(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    let view = view(&site, &viewer).await?;
    let bytes = web::block(move || capacity::capacity_pdf(&view)).await??;
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/pdf").insert_header((header::CACHE_CONTROL, NO_STORE));
    answer.insert_header((header::CONTENT_DISPOSITION, "inline; filename=\"capacity.pdf\""));
    Ok(answer.body(bytes))
}

async fn view(site: &Site, viewer: &Viewer) -> Result<CapacityView, PageError> {
    viewer.must_see_nodes()?;
    let nodes = usage::capacity::nodes(&site.database).await?;
    Ok(capacity::view(&nodes, now()))
}

fn node(view: NodeView, is_shown: bool) -> Node {
    let is_total = view.node_id.is_none();
    let resources = [&view.cpu, &view.memory, &view.storage].map(|resource| Resource {
        allocated: match &resource.overcommit {
            // More vCPUs than cores are usual: the ratio is said, and what is used is what warns.
            Some(_) => Gauge { level: "", ..gauge(resource.allocated.percent) },
            None => gauge(resource.allocated.percent),
        },
        used: resource.used.as_ref().map(|used| gauge(used.percent)),
        trends: match is_shown {
            true => resource.forecasts.iter().map(|forecast| trend(resource, forecast)).collect(),
            false => Vec::new(),
        },
        view: resource.clone(),
    });
    let anchor = view.node_id.map_or_else(|| "all".to_owned(), |id| format!("node-{id}"));
    Node {
        path: match (is_shown, view.node_id) {
            (true, _) => format!("#{anchor}"),
            (false, Some(id)) => format!("/capacity?node={id}#{anchor}"),
            (false, None) => "/capacity#all".to_owned(),
        },
        anchor,
        is_shown,
        last_observed_at: view.last_observed_at.map(|at| Clock::utc().moment_with_zone(at).shown),
        is_total,
        resources: resources.into(),
        view,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 100")]
fn gauge(percent: Option<f64>) -> Gauge {
    let percent = percent.filter(|percent| percent.is_finite()).unwrap_or(0.0);
    let level = match percent {
        95.0.. => "bad",
        80.0..95.0 => "warn",
        _ => "",
    };
    Gauge { percent: percent.clamp(0.0, 100.0).floor() as u32, level }
}

fn trend(resource: &ResourceView, view: &ForecastView) -> Trend {
    let unit = view.unit.as_str();
    let chart = TrendChart {
        title: view.what,
        unit,
        points: &view.points,
        limit: Some(resource.physical.value),
        forecast: Some(&view.forecast),
    };
    Trend {
        chart: charts::trend(&chart),
        rows: view
            .points
            .iter()
            .rev()
            .map(|(day, value)| (day.to_string(), format!("{value:.1} {unit}")))
            .collect(),
        view: view.clone(),
    }
}
