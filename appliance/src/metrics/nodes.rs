//! Nodes and alerts as the control plane knows them. It reads nothing by itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::NodeId;
use nodes::alerts::Kind;
use nodes::registry::Node;

use super::family::{Family, Value};

/// Open alerts by kind. Kinds without any are 0, so that a rule on them has something to look at.
#[must_use]
pub fn alerts(counts: &[(String, u64)]) -> Vec<Family> {
    let mut open: BTreeMap<&str, u64> = Kind::all().map(|kind| (kind.as_str(), 0)).collect();
    open.extend(counts.iter().map(|(kind, count)| (kind.as_str(), *count)));
    let mut family = Family::gauge("weir_alerts", "Open alerts");
    for (kind, count) in open {
        family.add(vec![("kind", kind.to_owned())], Value::Whole(count));
    }
    vec![family]
}

/// How the nodes are doing. `own`: the control plane's own node, with the batches that wait in its spool.
#[must_use]
pub fn nodes(nodes: &[Node], own: Option<(NodeId, u64)>) -> Vec<Family> {
    let mut clock = Family::gauge(
        "weir_node_clock_error_seconds",
        "The node's wall clock minus the control plane's, when it last delivered",
    );
    let mut heard =
        Family::gauge("weir_node_last_heard_timestamp_seconds", "When the node was last heard, since 1970");
    let mut backlog = Family::gauge("weir_node_backlog_batches", "Batches of readings that wait on the node");
    let mut certificate = Family::gauge(
        "weir_node_certificate_expiry_timestamp_seconds",
        "When the node's certificate ends, since 1970",
    );
    for node in nodes {
        let own = own.filter(|(node_id, _)| *node_id == node.node_id);
        let labels = || vec![("node", node.name.clone())];
        // The own node has the control plane's clock.
        let error = node.clock_error.map(|error| error.as_secs_f64()).or(own.map(|_| 0.0));
        let heard_at = node.last_heard_at.or(node.last_observed_at.filter(|_| own.is_some()));
        let waiting = own.map(|(_, batches)| batches).or(node.backlog_batches);
        for (family, value) in [
            (&mut clock, error.map(Value::Real)),
            (&mut heard, heard_at.map(|at| Value::Real(seconds(at)))),
            (&mut backlog, waiting.map(Value::Whole)),
            (&mut certificate, node.certificate_expires_at.map(|at| Value::Real(seconds(at)))),
        ] {
            if let Some(value) = value {
                family.add(labels(), value);
            }
        }
    }
    vec![clock, heard, backlog, certificate]
}

/// What the nodes' port refused.
#[must_use]
pub fn port(refused: u64) -> Vec<Family> {
    let help = "Connections to the nodes' port that were refused: too many handshakes from one address were under way";
    vec![Family::counter("weir_node_handshakes_refused", help).with(Value::Whole(refused))]
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
