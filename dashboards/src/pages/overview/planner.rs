//! The planner's overview: how full each node is and what it says about the time to come, in the words of
//! `reports::capacity`. No money.

use actix_web::HttpResponse;
use askama::Template;
use reports::capacity::{self, NodeView, ResourceView};
use usage::registry;

use super::provider::behind;
use super::{Count, count};
use crate::show::Moment;
use crate::site::{Layout, PageError, Site, Viewer, html, now};

/// `templates/overview_planner.html`
#[derive(Template)]
#[template(path = "overview_planner.html")]
struct PlannerOverview {
    layout: Layout,
    as_of: Moment,
    instances: Count,
    nodes: Vec<NodeRow>,
    behind: Vec<String>,
    warnings: Vec<String>,
}

/// A node.
struct NodeRow {
    name: String,
    /// `56 vCPUs of 32 cores, 175 %` and the like.
    cpu: String,
    memory: String,
    storage: String,
    summary: String,
}

pub(super) async fn overview(site: &Site, viewer: &Viewer) -> Result<HttpResponse, PageError> {
    let now = now();
    let known = registry::nodes(&site.database, viewer.scope()).await?;
    let view = capacity::view(&usage::capacity::nodes(&site.database).await?, now);
    let mut warnings = site.live.warnings();
    warnings.extend(view.warnings);
    html(&PlannerOverview {
        layout: viewer.layout("/"),
        as_of: viewer.clock.moment_with_zone(now),
        instances: count(&site.database, viewer.scope()).await?,
        behind: behind(site, &known, &[], now),
        warnings,
        nodes: view.nodes.into_iter().map(row).collect(),
    })
}

fn row(node: NodeView) -> NodeRow {
    NodeRow {
        cpu: allocated(&node.cpu),
        memory: allocated(&node.memory),
        storage: allocated(&node.storage),
        name: node.name,
        summary: node.summary,
    }
}

fn allocated(resource: &ResourceView) -> String {
    let share = &resource.allocated;
    format!("{} of {}, {}", share.amount.text, resource.physical.text, share.percent_text)
}
