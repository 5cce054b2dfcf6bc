//! Charts as those who read the markup see them.

use jiff::ToSpan;
use jiff::civil::{Date, date};

use super::plot::Axis;
use super::*;
use crate::capacity::{Verdict, forecast};

fn points(days: i64, start: f64, slope: f64) -> Vec<(Date, f64)> {
    let first = date(2026, 10, 1);
    (0..days)
        .map(|at| (first + at.days(), start + slope * f64::from(i32::try_from(at).expect("small"))))
        .collect()
}

fn check_axis(highest: f64, figures: &[&str]) {
    let axis = Axis::up_to(highest);
    let texts: Vec<&str> = axis.ticks.iter().map(|tick| tick.text.as_str()).collect();
    assert_eq!(texts, figures, "up to {highest}");
    assert!(axis.top >= highest || highest.is_nan(), "{highest} has no room");
}

#[test]
fn axes_begin_at_zero_and_have_round_figures() {
    check_axis(0.0, &["0", "0.25", "0.5", "0.75", "1"]);
    check_axis(f64::NAN, &["0", "0.25", "0.5", "0.75", "1"]);
    check_axis(1.0, &["0", "0.25", "0.5", "0.75", "1"]);
    check_axis(64.0, &["0", "20", "40", "60", "80"]);
    check_axis(0.3, &["0", "0.1", "0.2", "0.3"]);
    check_axis(7.0, &["0", "2", "4", "6", "8"]);
    check_axis(1_900.0, &["0", "500", "1,000", "1,500", "2,000"]);
}

#[test]
fn a_chart_is_a_picture_with_a_name_and_no_script_and_no_foreign_colour() {
    let points = points(30, 10.0, 1.0);
    let forecast = forecast(&points, 64.0);
    let chart = TrendChart {
        title: "Memory",
        unit: "GiB",
        points: &points,
        limit: Some(64.0),
        forecast: Some(&forecast),
    };
    let bar = Bar { label: "1 Oct", value: Some(3.5), tooltip: "1 October: 3.5 GiB·h" };
    for svg in [trend(&chart), bars("Memory by day", "GiB·h", &[bar; 30])] {
        assert!(svg.starts_with("<svg class=\"chart\" role=\"img\"") && svg.ends_with("</svg>"));
        assert!(svg.contains("<title>Memory"));
        assert!(svg.contains("<desc>"));
        for foreign in ["<script", "style=", "<style", "#", "http", "NaN", "inf"] {
            assert!(!svg.contains(foreign), "{foreign} in {svg}");
        }
        let size = format!("font-size=\"{TEXT_PX}\"");
        assert_eq!((svg.matches("font-size").count(), svg.matches(&size).count()), (1, 1));
    }
    assert!(
        trend(&chart)
            .contains("10 GiB on 2026-10-01, 39 GiB on 2026-10-30. Full at 64 GiB. Full in about 25 days")
    );
}

#[test]
fn names_that_are_markup_stay_names() {
    let hostile = "</title><script>alert(1)</script> \u{202e}\" onload='x' &amp;";
    let svg = bars(hostile, hostile, &[Bar { label: hostile, value: Some(1.0), tooltip: hostile }]);
    assert!(!svg.contains("<script") && !svg.contains('\u{202e}') && !svg.contains("onload='"));
    assert!(svg.contains("&lt;/title&gt;&lt;script&gt;"));
}

#[test]
fn an_unknown_day_is_no_bar_and_a_small_one_is_seen() {
    let bar = |value| Bar { label: "", value, tooltip: "" };
    let drawn = |values: &[Option<f64>]| {
        let all: Vec<Bar<'_>> = values.iter().map(|value| bar(*value)).collect();
        bars("", "GiB", &all).matches("fill=\"var(--accent").count()
    };
    assert_eq!(drawn(&[Some(1e6), Some(1e-6), Some(0.0), None, Some(f64::NAN), Some(-1.0)]), 2);
    assert!(bars("", "GiB", &[bar(None), bar(Some(1.0))]).contains("Not known: 1."));
    assert_eq!(bars("", "", &[]), "");
}

#[test]
fn missing_days_break_the_line() {
    let mut with_gap = points(10, 10.0, 1.0);
    with_gap.remove(5);
    with_gap.remove(7);
    let plot = Plot::of(&with_gap, None, None).expect("there are points");
    let lengths: Vec<usize> = plot.past.iter().map(Vec::len).collect();
    assert_eq!(lengths, [5, 2, 1]);
    assert_eq!(Plot::of(&[(date(2026, 1, 1), f64::NAN)], None, None), None);
}

#[test]
fn the_forecast_stays_within_the_chart_and_below_what_is_full() {
    for slope in [-2.0, -0.1, 0.0, 0.1, 1.0, 5.0, 400.0] {
        let mut points = points(20, 50.0, slope);
        for (at, point) in points.iter_mut().enumerate() {
            point.1 = (point.1 + if at % 3 == 0 { 4.0 } else { 0.0 }).max(0.0);
        }
        let found = forecast(&points, 100.0);
        let plot = Plot::of(&points, Some(100.0), Some(&found)).expect("there are points");
        let limit = plot.limit.expect("it was given");
        for [x, y] in plot.likely.iter().chain(&plot.range).chain(plot.past.iter().flatten()) {
            assert!((0.0..=1.0).contains(x) && (0.0..=1.0).contains(y), "{slope}: {x} {y}");
        }
        assert!(plot.likely.iter().chain(&plot.range).all(|[_, y]| *y <= limit), "{slope}");
        assert!(plot.now.is_none_or(|now| now >= 0.39), "{slope}: the past has too little room");
        assert_eq!(
            plot.now.is_none(),
            found.verdict == Verdict::Full,
            "{slope}: what is full has no way to go"
        );
    }
}
