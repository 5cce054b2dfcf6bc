//! Where the parts of a chart stand, in fractions of its width and height: computed once, drawn by SVG and by typst.
//!
//! It draws nothing. Zero is always at the bottom: a chart that begins elsewhere makes small growth look large.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use crate::capacity::{Forecast, Line, Trend, Verdict};
use crate::figures::grouped;

/// Least days shown after the last one when there is a trend.
const AHEAD_MIN: f64 = 14.0;
/// Most days shown after the last one, as a multiple of those before it: the past must stay readable.
const AHEAD_MAX: f64 = 1.5;
/// Share of the width below which a date between the first and the last would touch them.
const DATES_APART: f64 = 0.33;

/// So many days after a date with its year, another date needs a year, too.
const YEAR_FROM_DAYS: f64 = 300.0;

/// A place: from the left and from the bottom, 0 to 1.
type Place = [f64; 2];

/// A chart of days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Plot {
    /// Lines of figures, from left to right, with their ends.
    pub rows: Vec<Tick>,
    /// Dates under the chart.
    pub dates: Vec<Tick>,
    /// The figures, broken where days are missing. One place alone is a dot.
    pub past: Vec<Vec<Place>>,
    /// The last day, where the forecast begins.
    pub now: Option<f64>,
    /// The likely line from there on.
    pub likely: Vec<Place>,
    /// The outline of the range in which it lies.
    pub range: Vec<Place>,
    /// Where it is full.
    pub limit: Option<f64>,
}

/// A figure or a date at an axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Tick {
    pub at: f64,
    pub text: String,
}

/// The axis of figures: from zero to a round figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub top: f64,
    pub ticks: Vec<Tick>,
}

impl Axis {
    /// The axis on which `highest` has room, with two to five steps.
    pub(crate) fn up_to(highest: f64) -> Self {
        let highest = if highest.is_finite() && highest > 1e-9 { highest.min(1e18) } else { 1.0 };
        let power = 10_f64.powf((highest / 4.0).log10().floor());
        let fits = |step: &f64| highest <= step * 4.0 * (1.0 + 1e-9);
        let step = [1.0, 2.0, 2.5, 5.0].map(|of| of * power).into_iter().find(fits).unwrap_or(10.0 * power);
        let steps = (highest / step - 1e-9).ceil().max(1.0);
        let top = step * steps;
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= steps {
            ticks.push(Tick { at: rounded(at / steps), text: figure(at * step) });
            at += 1.0;
        }
        Self { top, ticks }
    }
}

impl Plot {
    /// A chart of `points`; `None` if there is none that is a number.
    pub(crate) fn of(
        points: &[(Date, f64)],
        limit: Option<f64>,
        forecast: Option<&Forecast>,
    ) -> Option<Self> {
        let sound = |value: &f64| value.is_finite() && *value >= 0.0;
        let mut points: Vec<_> = points.iter().copied().filter(|(_, value)| sound(value)).collect();
        points.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        points.dedup_by_key(|(day, _)| *day);
        let (first, last) = (points.first()?.0, points.last()?.0);
        let limit = limit.filter(|limit| limit.is_finite() && *limit > 0.0);
        // What is full has no way to go.
        let drawn = |forecast: &&Forecast| forecast.to == Some(last) && forecast.verdict != Verdict::Full;
        let trend = forecast.filter(drawn).and_then(|forecast| forecast.trend);
        let axis = Axis::up_to(points.iter().map(|(_, value)| *value).chain(limit).fold(0.0, f64::max));
        let span = days(first, last);
        let ahead = trend.map_or(0.0, |_| ahead(span, forecast));
        let width = (span + ahead).max(1.0);
        let place = |x: f64, y: f64| [rounded(x / width), rounded((y / axis.top).clamp(0.0, 1.0))];
        let drawn = |line: Line| outline(line, ahead, limit.unwrap_or(axis.top), |x, y| place(span + x, y));
        Some(Self {
            past: broken(&points)
                .map(|part| part.iter().map(|(day, y)| place(days(first, *day), *y)).collect())
                .collect(),
            now: trend.map(|_| rounded(span / width)),
            likely: trend.map(|trend| drawn(trend.likely)).unwrap_or_default(),
            range: trend
                .map(|Trend { slow, fast, .. }| between(drawn(slow), drawn(fast)))
                .unwrap_or_default(),
            limit: limit.map(|limit| rounded(limit / axis.top)),
            dates: dates(first, last, ahead, width),
            rows: axis.ticks,
        })
    }
}

/// Days after the last one that are shown: until it is full and a little more, if that is near enough.
fn ahead(span: f64, forecast: Option<&Forecast>) -> f64 {
    let full = forecast.and_then(|forecast| forecast.full_on.zip(forecast.to));
    let full = full.map_or(0.0, |(full_on, to)| days(to, full_on) * 1.15);
    let most = (span * AHEAD_MAX).max(AHEAD_MIN);
    let wanted = if full > 0.0 && full <= most { full } else { span / 2.0 };
    wanted.clamp(AHEAD_MIN, most).ceil()
}

/// The corners of a line which goes no higher than what is full and no lower than nothing.
fn outline(line: Line, ahead: f64, full: f64, place: impl Fn(f64, f64) -> Place) -> Vec<Place> {
    let mut corners = vec![0.0, ahead];
    for bound in [0.0, full] {
        let at = (bound - line.level) / line.slope_per_day;
        if at.is_finite() && 0.0 < at && at < ahead {
            corners.push(at);
        }
    }
    corners.sort_by(f64::total_cmp);
    corners.into_iter().map(|x| place(x, line.after(x).clamp(0.0, full))).collect()
}

/// There along the one line, back along the other.
fn between(low: Vec<Place>, high: Vec<Place>) -> Vec<Place> {
    high.into_iter().chain(low.into_iter().rev()).collect()
}

/// The points in parts in which each day follows the one before.
fn broken(points: &[(Date, f64)]) -> impl Iterator<Item = &[(Date, f64)]> {
    points.chunk_by(|(a, _), (b, _)| a.tomorrow().is_ok_and(|next| next == *b))
}

/// The first day, the last one and the end of what is shown, as far as they have room.
fn dates(first: Date, last: Date, ahead: f64, width: f64) -> Vec<Tick> {
    #[expect(clippy::cast_possible_truncation, reason = "at most a few hundred days")]
    let end = last.checked_add((ahead as i64).days()).unwrap_or(last);
    let at = |day: Date| rounded(days(first, day) / width);
    let written = |day: Date, with_year: bool| {
        let format = if with_year { "%-d %b %Y" } else { "%-d %b" };
        Tick { at: at(day), text: day.strftime(format).to_string() }
    };
    let far = |day: Date| days(first, day) > YEAR_FROM_DAYS;
    let mut ticks = vec![written(first, true)];
    if ahead > 0.0 && DATES_APART <= at(last) && at(last) <= 1.0 - DATES_APART && !far(last) {
        ticks.push(written(last, false));
    }
    if first < end {
        ticks.push(written(end, far(end)));
    }
    ticks
}

fn days(from: Date, to: Date) -> f64 {
    f64::from(from.until(to).map_or(0, |span| span.get_days()))
}

/// Four decimals are a tenth of a pixel.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// A round figure as it is written: grouped, without error of arithmetic.
fn figure(value: f64) -> String {
    rust_decimal::Decimal::from_f64_retain(value)
        .map_or_else(|| format!("{value:e}"), |value| grouped(value.round_dp(9), 0))
}
