//! The Grafana dashboard against what is served: every expression is answered by a real Prometheus with at least one series,
//! and every metric in it is one that Weir serves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::prometheus::Prometheus;

const DASHBOARD: &str = include_str!("../../../dashboards/grafana/weir.json");
const PREFIXES: [&str; 2] = ["libvirt_", "weir_"];
/// Rates need two scrapes, money a rated month.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks everything that the dashboard asks. `served` is the text form of the figures.
pub fn every_panel_is_answered(prometheus: &Prometheus, served: &str) {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert_eq!(
        (dashboard["uid"].as_str(), dashboard["title"].as_str()),
        (Some("weir-overview"), Some("Weir"))
    );
    let names: BTreeSet<&str> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        check_panel(panel);
        let targets = panel["targets"].as_array().unwrap();
        expressions.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(20 < expressions.len());
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["definition"].as_str() else { continue };
        let (selector, label) = query["label_values(".len()..].rsplit_once(", ").unwrap();
        expressions.push(format!("count by ({}) ({selector})", label.trim_end_matches(')')));
    }
    for expression in expressions {
        let unknown: Vec<_> = metrics_in(&expression).filter(|name| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "{expression}: {unknown:?} is not served");
        is_answered(prometheus, &expression);
    }
}

/// Everybody knows what a panel shows, in which unit, from which Prometheus.
fn check_panel(panel: &Value) {
    let title = panel["title"].as_str().unwrap();
    assert!(!title.is_empty() && !panel["description"].as_str().unwrap().is_empty(), "{title}");
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    assert!(panel["type"] == "table" || panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
}

fn is_answered(prometheus: &Prometheus, expression: &str) {
    // As Grafana fills it in, with everything chosen.
    let filled = expression
        .replace("$__rate_interval", "1m")
        .replace("$job", ".*")
        .replace("$node", ".*")
        .replace("$domain", ".*");
    assert!(!filled.contains('$'), "{expression}");
    let begun = Instant::now();
    while prometheus.query(&filled).as_array().is_none_or(Vec::is_empty) {
        assert!(begun.elapsed() < PATIENCE, "{expression} gives nothing");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
}
