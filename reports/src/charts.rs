//! Small charts as SVG to stand inside a page: bars by day, and a trend with its forecast.
//!
//! They carry no script, no style sheet, no font and no colour of their own: `--accent`, `--quiet`, `--rule`, `--ink`
//! and `--warn` of the page are used, and the text's colour where it has none, so they follow light and dark. They are
//! as wide as what they stand in while their text keeps its size ([`TEXT_PX`]). A title and a description say the same
//! to those who do not see them. What is drawn comes from `plot`, which the PDF draws, too.

mod plot;
mod svg;

use jiff::civil::Date;

use crate::capacity::Forecast;

pub(crate) use plot::Plot;
pub use svg::TEXT_PX;

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar<'a> {
    /// What stands under it; not under each bar when there are many.
    pub label: &'a str,
    /// How high it is; `None` is not known, which is not 0. What is negative or no number is not known either.
    pub value: Option<f64>,
    /// What is said of it when it is pointed at.
    pub tooltip: &'a str,
}

/// What a chart of days shows.
#[derive(Clone, Copy, Debug)]
pub struct TrendChart<'a> {
    /// What it is of: `Allocated memory`.
    pub title: &'a str,
    /// `GiB`.
    pub unit: &'a str,
    /// A figure for each day, in any order; days may be missing.
    pub points: &'a [(Date, f64)],
    /// Where it is full, in the same unit.
    pub limit: Option<f64>,
    /// What was made of the same points and the same limit.
    pub forecast: Option<&'a Forecast>,
}

/// Bars beside each other, from zero on: usage by day. Empty text when there are no bars.
#[must_use]
pub fn bars(title: &str, unit: &str, bars: &[Bar<'_>]) -> String {
    if bars.is_empty() { String::new() } else { svg::bars(title, unit, bars) }
}

/// A line of days with its limit (dashed) and the range of its forecast (shaded). Empty text when there are no points.
#[must_use]
pub fn trend(chart: &TrendChart<'_>) -> String {
    Plot::of(chart.points, chart.limit, chart.forecast)
        .map(|plot| svg::trend(chart, &plot))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "charts/tests.rs"]
mod tests;
