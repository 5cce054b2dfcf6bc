//! Charts written as SVG.
//!
//! Widths are percentages and heights are pixels, so that text keeps its size at any width; lines are drawn in a
//! stretched picture of their own with strokes that do not stretch. It decides nothing about what is shown.

use std::fmt::Write;

use super::plot::{Axis, Plot, Tick};
use super::{Bar, TrendChart};
use crate::text::shown;

/// Size of all text, in pixels.
pub const TEXT_PX: u32 = 12;

/// Height of the chart.
const HEIGHT: f64 = 190.0;
/// Top of what is drawn; the unit stands above.
const TOP: f64 = 28.0;
/// Height of what is drawn; labels stand below.
const DRAWN: f64 = 134.0;
/// Width of what is drawn, in percent; figures stand to the right.
const WIDTH: f64 = 86.0;
/// Most labels under the bars: they must not touch on a screen 360 px wide.
const LABELS_MAX: usize = 4;
/// Longest title, unit, label and tooltip.
const TEXT_MAX: usize = 160;
/// Longest label below a chart.
const LABEL_MAX: usize = 12;

const QUIET: &str = "var(--quiet, currentColor)";
const RULE: &str = "var(--rule, currentColor)";
const ACCENT: &str = "var(--accent, currentColor)";
const WARN: &str = "var(--warn, currentColor)";

pub(super) fn bars(title: &str, unit: &str, bars: &[Bar<'_>]) -> String {
    let known: Vec<Option<f64>> =
        bars.iter().map(|bar| bar.value.filter(|value| value.is_finite() && *value >= 0.0)).collect();
    let axis = Axis::up_to(known.iter().flatten().copied().fold(0.0, f64::max));
    let mut svg = opened(title, &bars_in_words(unit, bars, &known));
    caption(&mut svg, unit);
    rows(&mut svg, &axis.ticks);
    let slot = WIDTH / count(bars.len());
    let room = if bars.len() > 1 { slot * 0.22 } else { slot * 0.6 };
    for (at, (bar, value)) in bars.iter().zip(&known).enumerate() {
        let left = slot * count(at);
        let _ = write!(svg, "<g><title>{}</title>", escaped(bar.tooltip, TEXT_MAX));
        let all = format!(r#"x="{}%" y="{TOP}" width="{}%" height="{DRAWN}""#, short(left), short(slot));
        let _ = write!(svg, r#"<rect {all} fill="none" pointer-events="all"/>"#);
        if let Some(value) = value.filter(|value| *value > 0.0) {
            // What is not nothing is seen.
            let height = (value / axis.top * DRAWN).max(1.0);
            let x = short(left + room / 2.0);
            let (y, width) = (short(TOP + DRAWN - height), short(slot - room));
            let _ = write!(
                svg,
                r#"<rect x="{x}%" y="{y}" width="{width}%" height="{}" fill="{ACCENT}" pointer-events="none"/>"#,
                short(height)
            );
        }
        svg.push_str("</g>");
    }
    let labels = spread(bars.len()).into_iter().map(|at| {
        let middle = (count(at) + 0.5) / count(bars.len());
        Tick { at: middle, text: shown(bars[at].label, LABEL_MAX) }
    });
    below(&mut svg, &labels.collect::<Vec<_>>());
    svg.push_str("</svg>");
    svg
}

pub(super) fn trend(chart: &TrendChart<'_>, plot: &Plot) -> String {
    let mut svg = opened(chart.title, &trend_in_words(chart));
    let limit = plot.limit.map(|_| " · dashed: full").unwrap_or_default();
    let range = if plot.range.is_empty() { "" } else { " · shaded: range of the trend" };
    caption(&mut svg, &format!("{}{limit}{range}", shown(chart.unit, LABEL_MAX)));
    rows(&mut svg, &plot.rows);
    let _ = write!(
        svg,
        r#"<svg y="{TOP}" width="{WIDTH}%" height="{DRAWN}" viewBox="0 0 1000 1000" preserveAspectRatio="none" overflow="visible" fill="none" stroke-width="2" stroke-linejoin="round" stroke-linecap="round">"#
    );
    let stroke = |svg: &mut String, path: String, of: &str| {
        let _ = write!(svg, r#"<path d="{path}" vector-effect="non-scaling-stroke" {of}/>"#);
    };
    if !plot.range.is_empty() {
        let _ = write!(svg, r#"<path d="{}Z" fill="{ACCENT}" fill-opacity="0.18"/>"#, path(&plot.range));
    }
    if let Some(now) = plot.now {
        let line = format!("M{0} 0V1000", short(now * 1000.0));
        stroke(&mut svg, line, &format!(r#"stroke="{QUIET}" stroke-width="1" stroke-dasharray="1 4""#));
    }
    if let Some(limit) = plot.limit {
        let line = format!("M0 {}H1000", short(1000.0 - limit * 1000.0));
        stroke(&mut svg, line, &format!(r#"stroke="{WARN}" stroke-width="1.5" stroke-dasharray="6 4""#));
    }
    if !plot.likely.is_empty() {
        stroke(&mut svg, path(&plot.likely), &format!(r#"stroke="{ACCENT}" stroke-dasharray="2 5""#));
    }
    for part in &plot.past {
        // A line of no length with round ends is a dot.
        let dot = if part.len() == 1 { "h0" } else { "" };
        stroke(&mut svg, format!("{}{dot}", path(part)), &format!(r#"stroke="{ACCENT}""#));
    }
    svg.push_str("</svg>");
    below(&mut svg, &plot.dates);
    svg.push_str("</svg>");
    svg
}

fn opened(title: &str, description: &str) -> String {
    format!(
        r#"<svg class="chart" role="img" width="100%" height="{HEIGHT}" font-family="inherit" font-size="{TEXT_PX}" fill="currentColor"><title>{}</title><desc>{}</desc>"#,
        escaped(title, TEXT_MAX),
        escaped(description, 4 * TEXT_MAX),
    )
}

fn caption(svg: &mut String, text: &str) {
    let _ = write!(svg, r#"<text x="0" y="14" fill="{QUIET}">{}</text>"#, escaped(text, TEXT_MAX));
}

/// Lines across, each with its figure to the right.
fn rows(svg: &mut String, ticks: &[Tick]) {
    for tick in ticks {
        let y = short(TOP + DRAWN * (1.0 - tick.at));
        let _ = write!(
            svg,
            r#"<line x1="0" x2="{WIDTH}%" y1="{y}" y2="{y}" stroke="{RULE}" stroke-width="1"/><text x="{WIDTH}%" dx="6" y="{y}" dy="4" fill="{QUIET}">{}</text>"#,
            escaped(&tick.text, LABEL_MAX)
        );
    }
}

/// Labels under the chart; those at its ends do not leave it.
fn below(svg: &mut String, ticks: &[Tick]) {
    for tick in ticks {
        let anchor = match tick.at {
            at if at < 0.15 => "start",
            at if at > 0.85 => "end",
            _ => "middle",
        };
        let place = match anchor {
            "start" => tick.at.min(0.02),
            "end" => tick.at.max(0.98),
            _ => tick.at,
        };
        let _ = write!(
            svg,
            r#"<text x="{}%" y="{}" text-anchor="{anchor}" fill="{QUIET}">{}</text>"#,
            short(place * WIDTH),
            HEIGHT - 8.0,
            escaped(&tick.text, LABEL_MAX),
        );
    }
}

/// Which of so many bars have a label: the first, the last and some between, evenly.
fn spread(bars: usize) -> Vec<usize> {
    let labels = bars.min(LABELS_MAX);
    match labels {
        0 | 1 => (0..labels).collect(),
        _ => (0..labels).map(|at| at * (bars - 1) / (labels - 1)).collect(),
    }
}

fn bars_in_words(unit: &str, bars: &[Bar<'_>], known: &[Option<f64>]) -> String {
    let highest = bars.iter().zip(known).filter_map(|(bar, value)| value.map(|value| (bar, value)));
    let highest = highest.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(bar, _)| bar.tooltip);
    let (first, last) = (bars.first().map_or("", |bar| bar.label), bars.last().map_or("", |bar| bar.label));
    let mut words = format!("Bars in {unit}: {}, {first} to {last}.", bars.len());
    let unknown = known.iter().filter(|value| value.is_none()).count();
    if unknown > 0 {
        let _ = write!(words, " Not known: {unknown}.");
    }
    if let Some(highest) = highest {
        let _ = write!(words, " Highest: {highest}.");
    }
    words
}

fn trend_in_words(chart: &TrendChart<'_>) -> String {
    let figure = |value: f64| {
        rust_decimal::Decimal::from_f64_retain(value)
            .map_or_else(|| "?".to_owned(), |value| crate::figures::grouped(value.round_dp(2), 0))
    };
    let unit = chart.unit;
    let mut words = String::new();
    let ends =
        [chart.points.iter().min_by_key(|(day, _)| *day), chart.points.iter().max_by_key(|(day, _)| *day)];
    if let [Some((first, from)), Some((last, to))] = ends {
        let _ = write!(words, "{} {unit} on {first}, {} {unit} on {last}.", figure(*from), figure(*to));
    }
    if let Some(limit) = chart.limit {
        let _ = write!(words, " Full at {} {unit}.", figure(limit));
    }
    if let Some(forecast) = chart.forecast {
        let _ = write!(words, " {}", forecast.sentence());
    }
    words
}

fn path(places: &[[f64; 2]]) -> String {
    let mut path = String::new();
    for (at, [x, y]) in places.iter().enumerate() {
        let to = if at == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{to}{} {}", short(x * 1000.0), short(1000.0 - y * 1000.0));
    }
    path
}

/// At most two decimals.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A foreign text in one line of at most `limit` characters, as text of the picture.
fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for character in shown(text, limit).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "a count of bars")]
const fn count(of: usize) -> f64 {
    of as f64
}
