//! `/status`: whether metering works. Tenants see that their own readings come in; nodes are the provider's.

use actix_web::{HttpResponse, web};
use askama::Template;
use usage::registry;

use crate::show::{self, Moment};
use crate::site::{Layout, PageError, Site, VERSION, Viewer, html, now};

/// `templates/status.html`
#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    layout: Layout,
    version: &'static str,
    as_of: Moment,
    /// Whether the viewer sees nodes at all.
    sees_nodes: bool,
    nodes: Vec<NodeRow>,
    /// Batches of readings that are not in the database yet.
    waiting: String,
    warnings: Vec<String>,
}

/// A node.
struct NodeRow {
    name: String,
    last_observed_at: Option<Moment>,
    last_seq: String,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/status").route(web::get().to(status)).route(web::head().to(status)));
}

async fn status(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    let sees_nodes = viewer.must_see_nodes().is_ok();
    let nodes = match sees_nodes {
        true => registry::nodes(&site.database, viewer.scope()).await?,
        false => Vec::new(),
    };
    html(&StatusPage {
        layout: viewer.layout("/status"),
        version: VERSION,
        as_of: viewer.clock.moment_with_zone(now()),
        sees_nodes,
        nodes: nodes
            .into_iter()
            .map(|node| NodeRow {
                name: node.name,
                last_observed_at: node.last_observed_at.map(|at| viewer.clock.moment(at)),
                last_seq: show::whole(node.last_seq.into()),
            })
            .collect(),
        waiting: show::whole(site.live.waiting_batches().into()),
        // They name paths and sockets of the provider's machines.
        warnings: if sees_nodes { site.live.warnings() } else { Vec::new() },
    })
}
