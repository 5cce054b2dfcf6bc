//! `/status`: whether metering works. Tenants see that their own readings come in; nodes and alerts are the provider's and
//! its planners'.

use actix_web::{HttpResponse, web};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use metering::NodeId;
use nodes::alerts::watch::CLOCK_ERROR_MAX;
use nodes::alerts::{self, Entry, Kind};
use nodes::registry::{self, Node, State};

use crate::show::{self, Clock, Moment};
use crate::site::{Layout, PageError, Site, VERSION, Viewer, html, now};

/// Alerts that the page shows: more are no news. The command line and the API have all.
const ALERTS_SHOWN: usize = 50;

/// `templates/status.html`
#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    layout: Layout,
    version: &'static str,
    as_of: Moment,
    /// Whether the viewer sees nodes and alerts at all.
    sees_nodes: bool,
    sees_webhooks: bool,
    nodes: Vec<NodeRow>,
    alerts: Vec<AlertCard>,
    /// Open alerts, shown or not.
    open: String,
    /// Those that are not shown.
    more: usize,
    /// Batches of readings that are not in the database yet.
    waiting: String,
    warnings: Vec<String>,
}

/// A node.
struct NodeRow {
    name: String,
    /// How it is doing, and the colour of that.
    state: &'static str,
    tone: &'static str,
    last_heard_at: Option<Moment>,
    last_observed_at: Option<Moment>,
    clock: Option<Figure>,
    backlog: Option<String>,
    certificate: Certificate,
    instances: String,
}

/// A figure, and whether it should be seen.
struct Figure {
    shown: String,
    is_bad: bool,
}

/// A node's certificate.
enum Certificate {
    /// The control plane's own node needs none.
    Unneeded,
    /// It has none that holds.
    Missing,
    /// It ends then; whether that is too soon.
    Ends(Moment, bool),
}

/// An open alert.
struct AlertCard {
    title: String,
    node: Option<String>,
    instance: Option<Instance>,
    detail: String,
    since: Moment,
    age: String,
    times: Option<String>,
    meaning: Option<&'static str>,
    remedy: Option<&'static str>,
}

/// An instance that an alert is about.
struct Instance {
    name: String,
    /// `None`: it is not known here.
    path: Option<String>,
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/status").route(web::get().to(status)).route(web::head().to(status)));
}

async fn status(site: web::Data<Site>, viewer: Viewer) -> Result<HttpResponse, PageError> {
    let (now, sees_nodes) = (now(), viewer.must_see_nodes().is_ok());
    let (nodes, open) = match sees_nodes {
        true => (registry::list(&site.database, false).await?, alerts::open(&site.database).await?),
        false => (Vec::new(), Vec::new()),
    };
    let waiting = site.live.waiting_batches();
    let own = site.live.own_node().map(|node_id| (node_id, waiting));
    let row = |node: Node| node_row(node, &open, own, &viewer.clock, now);
    html(&StatusPage {
        layout: viewer.layout("/status"),
        version: VERSION,
        as_of: viewer.clock.moment_with_zone(now),
        sees_nodes,
        sees_webhooks: viewer.principal.sees_money(),
        nodes: nodes.into_iter().map(row).collect(),
        alerts: open.iter().take(ALERTS_SHOWN).map(|entry| card(entry, &viewer.clock, now)).collect(),
        open: show::whole(open.len() as u128),
        more: open.len().saturating_sub(ALERTS_SHOWN),
        waiting: show::whole(waiting.into()),
        // They name paths and sockets of the provider's machines.
        warnings: if sees_nodes { site.live.warnings() } else { Vec::new() },
    })
}

fn node_row(
    node: Node,
    open: &[Entry],
    own: Option<(NodeId, u64)>,
    clock: &Clock,
    now: Timestamp,
) -> NodeRow {
    let own = own.filter(|(node_id, _)| *node_id == node.node_id);
    let is_of_node = |entry: &&Entry| entry.node_id == Some(node.node_id);
    let has = |kind: Kind| open.iter().filter(is_of_node).any(|entry| entry.kind() == Some(kind));
    let (state, tone) = match node.state {
        _ if has(Kind::NodeSilent) => ("silent", "bad"),
        State::Removed => ("removed", "void"),
        State::Draining => ("draining", "warn"),
        State::Active if open.iter().any(|entry| is_of_node(&entry)) => ("active", "warn"),
        State::Active => ("active", "good"),
    };
    let ends_soon = has(Kind::CertificateEnding);
    let heard_at = node.last_heard_at.or(node.last_observed_at.filter(|_| own.is_some()));
    let waiting = own.map(|(_, batches)| batches).or(node.backlog_batches);
    NodeRow {
        name: node.name,
        state,
        tone,
        last_heard_at: heard_at.map(|at| clock.moment(at)),
        last_observed_at: node.last_observed_at.map(|at| clock.moment(at)),
        clock: node
            .clock_error
            .map(|error| Figure { shown: clock_error(error), is_bad: CLOCK_ERROR_MAX < error.abs() }),
        backlog: waiting.map(|batches| show::whole(batches.into())),
        certificate: match node.certificate_expires_at {
            _ if node.joined_at.is_none() => Certificate::Unneeded,
            None => Certificate::Missing,
            Some(at) => Certificate::Ends(clock.moment(at), at <= now || ends_soon),
        },
        instances: show::whole(node.instances.into()),
    }
}

/// `+12 ms`, `−7,231 s`: ahead of the control plane's, or behind it.
fn clock_error(error: SignedDuration) -> String {
    let sign = if error.is_negative() { '\u{2212}' } else { '+' };
    let size = error.unsigned_abs();
    match size.as_secs() {
        0..10 => format!("{sign}{}\u{a0}ms", show::whole(size.as_millis())),
        seconds => format!("{sign}{}\u{a0}s", show::whole(seconds.into())),
    }
}

fn card(entry: &Entry, clock: &Clock, now: Timestamp) -> AlertCard {
    let instance = entry.instance_id.map(|id| match &entry.instance_name {
        Some(name) => Instance { name: name.clone(), path: Some(format!("/instances/{id}")) },
        None => Instance { name: id.to_string(), path: None },
    });
    AlertCard {
        title: entry.title.clone(),
        node: entry.node_name.clone(),
        instance,
        detail: entry.detail.clone(),
        since: clock.moment(entry.raised_at),
        age: show::age(now.duration_since(entry.raised_at)),
        times: (1 < entry.times).then(|| show::whole(entry.times.into())),
        meaning: entry.kind().map(Kind::meaning),
        remedy: entry.kind().map(Kind::remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind_by_so_much() {
        for (micros, shown) in [
            (0, "+0\u{a0}ms"),
            (12_400, "+12\u{a0}ms"),
            (-9_999_999, "\u{2212}9,999\u{a0}ms"),
            (7_231_000_000, "+7,231\u{a0}s"),
            (i64::MIN, "\u{2212}9,223,372,036,854\u{a0}s"),
        ] {
            assert_eq!(clock_error(SignedDuration::from_micros(micros)), shown);
        }
    }
}
