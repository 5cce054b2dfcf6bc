//! The capacity view on paper: the same texts, and places for bars and charts.
//!
//! `templates/capacity.typ` decides where things stand and how they look.

use serde::Serialize;

use super::view::{CapacityView, FillsFirst, ForecastView, NodeView, ResourceView};
use super::{Share, Verdict};
use crate::ReportError;
use crate::charts::Plot;
use crate::pdf::{self, About};
use crate::text::shown_or;

/// Longest name of a node: one row.
const NAME_MAX: usize = 40;
/// Most warnings on the first page; the rest is counted.
const WARNINGS_MAX: usize = 12;

/// Capacity on A4: a table of all nodes, then each node with its bars and trends. The same view makes the same bytes.
///
/// # Errors
/// typst fails, which no known view brings about.
pub fn capacity_pdf(view: &CapacityView) -> Result<Vec<u8>, ReportError> {
    let about = About { identity: format!("capacity/{}", view.as_of), dated: Some(view.as_of) };
    pdf::render(&pdf::CAPACITY, &Paper::of(view), about)
}

#[derive(Serialize)]
struct Paper {
    as_of: String,
    warnings: Vec<String>,
    method: &'static str,
    rows: Vec<Row>,
    nodes: Vec<Node>,
}

/// A row of the table of all nodes.
#[derive(Serialize)]
struct Row {
    name: String,
    is_total: bool,
    /// CPU used, vCPUs per core, memory allocated and used, storage allocated and used.
    figures: [Cell; 6],
    first: String,
    first_when: String,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    is_high: bool,
}

#[derive(Serialize)]
struct Node {
    name: String,
    is_silent: bool,
    facts: String,
    summary: String,
    resources: [Resource; 3],
}

#[derive(Serialize)]
struct Resource {
    title: &'static str,
    physical: String,
    bars: Vec<PaperBar>,
    chart: Option<Chart>,
    sentences: Vec<Sentence>,
}

/// A bar: `whole` of the width is what there is, `filled` is coloured, `over` more than there is.
#[derive(Serialize)]
struct PaperBar {
    label: String,
    amount: String,
    percent: String,
    whole: f64,
    filled: f64,
    over: f64,
    /// More than there is is how CPUs are shared out, and trouble elsewhere.
    is_over_normal: bool,
}

#[derive(Serialize)]
struct Chart {
    title: String,
    plot: Plot,
}

#[derive(Serialize)]
struct Sentence {
    what: &'static str,
    text: String,
}

impl Paper {
    fn of(view: &CapacityView) -> Self {
        // One node alone is its own total.
        let total = view.total.as_ref().filter(|_| view.nodes.len() != 1);
        let mut warnings: Vec<String> = view.warnings.iter().take(WARNINGS_MAX).cloned().collect();
        let more = view.warnings.len() - warnings.len();
        if more > 0 {
            warnings.push(format!("And {more} more: see the page of capacity."));
        }
        let all = || total.into_iter().chain(&view.nodes);
        Self {
            as_of: view.as_of_text.clone(),
            warnings,
            method: view.method,
            rows: all().map(row).collect(),
            nodes: all().map(node).collect(),
        }
    }
}

fn row(node: &NodeView) -> Row {
    let dash = || "\u{2013}".to_owned();
    let percent = |share: Option<&Share>| Cell {
        text: share.map_or_else(dash, |share| share.percent_text.clone()),
        is_high: share.and_then(|share| share.percent).is_some_and(|percent| percent >= 90.0),
    };
    let ratio = node.cpu.overcommit.as_ref().map_or_else(dash, |ratio| super::amounts::short(ratio.value));
    let (first, first_when) = match &node.fills_first {
        Some(first) => (first.what.to_owned(), when(first)),
        None if node.is_silent => ("silent".to_owned(), String::new()),
        None => (dash(), String::new()),
    };
    Row {
        name: name(node),
        is_total: node.node_id.is_none(),
        figures: [
            percent(node.cpu.used.as_ref()),
            Cell { text: ratio, is_high: false },
            percent(Some(&node.memory.allocated)),
            percent(node.memory.used.as_ref()),
            percent(Some(&node.storage.allocated)),
            percent(node.storage.used.as_ref()),
        ],
        first,
        first_when,
    }
}

fn when(first: &FillsFirst) -> String {
    match (first.full_on, first.days) {
        (None, _) => "full".to_owned(),
        (Some(_), 1) => "1 day".to_owned(),
        (Some(_), days) => format!("{} days", crate::figures::whole(u128::from(days)).text),
    }
}

fn node(node: &NodeView) -> Node {
    Node {
        name: name(node),
        is_silent: node.is_silent,
        facts: node.stands_on.clone(),
        summary: node.summary.clone(),
        resources: [&node.cpu, &node.memory, &node.storage].map(resource),
    }
}

fn name(node: &NodeView) -> String {
    shown_or(&node.name, NAME_MAX, "(no name)")
}

fn resource(of: &ResourceView) -> Resource {
    let shares = [("Allocated", Some(&of.allocated)), ("Used", of.used.as_ref())];
    let known = shares.into_iter().filter_map(|(label, share)| Some((label, share?)));
    let parts: Vec<(&str, &Share, f64)> =
        known.map(|(label, share)| (label, share, share.percent.unwrap_or(0.0).max(0.0) / 100.0)).collect();
    // Both bars have one scale, on which the longer has room.
    let scale = parts.iter().map(|(_, _, part)| *part).fold(1.0, f64::max);
    let bars = parts.iter().map(|(label, share, part)| {
        let is_cpu_allocated = *label == "Allocated" && of.overcommit.is_some();
        let percent = match &of.overcommit {
            Some(ratio) if is_cpu_allocated => format!("{} per core", super::amounts::short(ratio.value)),
            _ => share.percent_text.clone(),
        };
        let when = if *label == "Used" { format!(", {}", of.used_when) } else { String::new() };
        PaperBar {
            label: format!("{label}{when}"),
            amount: share.amount.text.clone(),
            percent,
            whole: rounded(1.0 / scale),
            filled: rounded(part.min(1.0) / scale),
            over: rounded((part - 1.0).max(0.0) / scale),
            is_over_normal: is_cpu_allocated,
        }
    });
    Resource {
        title: of.title,
        physical: of.physical.text.clone(),
        bars: bars.collect(),
        chart: most_pressing(&of.forecasts).and_then(chart),
        sentences: of
            .forecasts
            .iter()
            .map(|forecast| Sentence { what: forecast.what, text: forecast.sentence.clone() })
            .collect(),
    }
}

/// The forecast that has a chart: what is full first, else the first one with days.
fn most_pressing(forecasts: &[ForecastView]) -> Option<&ForecastView> {
    forecasts.iter().filter(|of| !of.points.is_empty()).min_by_key(|of| match of.forecast.verdict {
        Verdict::Full => 0,
        _ => of.forecast.days_until_full.and_then(|days| days.likely).unwrap_or(u32::MAX),
    })
}

fn chart(of: &ForecastView) -> Option<Chart> {
    let limit = (of.forecast.limit > 0.0).then_some(of.forecast.limit);
    let plot = Plot::of(&of.points, limit, Some(&of.forecast))?;
    Some(Chart { title: format!("{}, {}", of.what, of.unit.as_str()), plot })
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
