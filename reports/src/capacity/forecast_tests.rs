//! What forecasts must say, in tables and in laws.

use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;

const FIRST: Date = date(2026, 10, 1);

fn day(at: usize) -> Date {
    FIRST.checked_add(i64::try_from(at).expect("a small number").days()).expect("a day of our time")
}

/// A figure each day from the first of October on; NaN is a day without one.
fn daily(values: &[f64]) -> Vec<(Date, f64)> {
    values.iter().enumerate().map(|(at, value)| (day(at), *value)).collect()
}

fn line(days: usize, start: f64, slope: f64) -> Vec<(Date, f64)> {
    (0..days).map(|at| (day(at), start + slope * f64::from(u32::try_from(at).expect("small")))).collect()
}

fn check(points: &[(Date, f64)], limit: f64, verdict: Verdict, sentence: &str) {
    let found = forecast(points, limit);
    assert_eq!((found.verdict, found.sentence().as_str()), (verdict, sentence), "{found:?}");
}

#[test]
fn a_verdict_is_given_for_every_kind_of_past() {
    use Verdict::*;
    let gap = f64::NAN;
    check(&[], 100.0, NotEnoughData, "No forecast yet: 0 of 7 complete days.");
    check(&line(6, 10.0, 1.0), 100.0, NotEnoughData, "No forecast yet: 6 of 7 complete days.");
    check(&line(7, 10.0, 1.0), 100.0, In, "Full in about 84 days, on 30 December 2026.");
    check(&line(30, 10.0, 0.0), 100.0, NotGrowing, "Not growing.");
    check(&line(30, 90.0, -1.0), 100.0, NotGrowing, "Not growing.");
    check(&line(30, 71.0, 1.0), 100.0, Full, "Full.");
    check(&line(1, 100.0, 0.0), 100.0, Full, "Full.");
    check(&line(10, 10.0, 10.0), 100.0, Full, "Full.");
    check(&line(10, 10.0, 9.9), 100.0, In, "Full in about 1 day, on 11 October 2026.");
    check(&line(30, 10.0, 0.01), 100.0, BeyondHorizon, "Full in more than 5 years.");
    check(&line(30, 10.0, 1.0), 0.0, NotEnoughData, "No forecast: its size is not known.");
    check(&line(30, 10.0, 1.0), gap, NotEnoughData, "No forecast: its size is not known.");
    let gaps = [10.0, gap, 12.0, 13.0, gap, gap, 16.0, 17.0, 18.0, gap, 20.0];
    check(&daily(&gaps), 30.0, In, "Full in about 10 days, on 21 October 2026.");
    check(
        &daily(&[10.0, gap, gap, 10.0, 11.0, gap, 12.0, 12.0]),
        30.0,
        NotEnoughData,
        "No forecast yet: 5 of 7 complete days.",
    );
}

#[test]
fn an_uncertain_past_says_how_uncertain() {
    let wavy = daily(&[10.0, 13.0, 9.0, 14.0, 10.0, 15.0, 11.0, 13.0, 12.0, 14.0]);
    let found = forecast(&wavy, 30.0);
    assert!(found.range().is_some_and(|(slow, fast)| slow <= 0.0 && fast > 0.0), "{found:?}");
    assert!(found.days_until_full.is_some_and(|days| days.latest.is_none()));
    assert!(found.sentence().ends_with(", perhaps never)."), "{}", found.sentence());
    let sure = daily(&[10.0, 11.2, 11.9, 13.1, 14.0, 15.2, 15.8, 17.0, 18.1, 18.9]);
    let found = forecast(&sure, 30.0);
    assert_eq!(found.sentence(), "Full in about 12 days, on 22 October 2026 (11 to 12 days).");
    assert_eq!(found.stands_on(), "10 complete days, 2026-10-01 to 2026-10-10");
}

#[test]
fn one_wild_day_does_not_move_the_day_it_is_full() {
    let calm = line(30, 10.0, 1.0);
    let expected = forecast(&calm, 100.0).full_on.expect("it grows");
    for at in 0..29 {
        let mut wild = calm.clone();
        wild[at].1 = if at % 2 == 0 { 99_000.0 } else { 0.0 };
        let found = forecast(&wild, 100.0);
        assert_eq!(found.verdict, Verdict::In, "day {at}");
        let full_on = found.full_on.expect("it grows");
        let moved = expected.until(full_on).expect("two days").get_days();
        assert!(moved.abs() <= 1, "day {at} moves it by {moved} days");
    }
}

#[test]
fn growth_of_last_year_does_not_count() {
    let mut points = line(200, 10.0, 1.0);
    points.extend((200..300).map(|at| (day(at), 210.0)));
    let found = forecast(&points, 1_000.0);
    assert_eq!(found.verdict, Verdict::NotGrowing);
    assert_eq!((found.points_used, found.from, found.to), (90, Some(day(210)), Some(day(299))));
}

#[test]
fn days_are_counted_from_the_day_it_is_read() {
    let found = forecast(&line(7, 10.0, 1.0), 100.0);
    let read = found.clone().as_of(day(16));
    assert_eq!(read.full_on, found.full_on);
    assert_eq!(read.sentence(), "Full in about 74 days, on 30 December 2026.");
    assert_eq!(found.clone().as_of(day(3)), found, "an earlier day is no later one");
    assert_eq!(found.as_of(day(200)).sentence(), "Full about now.");
}

#[test]
fn figures_beyond_all_measure_are_no_figures() {
    let mut points = line(7, 10.0, 1.0);
    points.extend([(day(7), f64::INFINITY), (day(8), f64::MAX), (day(9), f64::MIN), (day(10), f64::NAN)]);
    let found = forecast(&points, 100.0);
    assert_eq!((found.points_used, found.verdict), (7, Verdict::In));
    let ends = [(Date::MIN, 1.0), (Date::MAX, 2.0)];
    assert_eq!(forecast(&ends, 3.0).points_used, 1, "only the last quarter counts");
    let last: Vec<_> = (0..7)
        .map(|back: i64| (Date::MAX - back.days(), 50.0 - f64::from(i32::try_from(back).expect("small"))))
        .collect();
    assert_eq!(forecast(&last, 100.0).full_on, None, "there is no day after the last");
}

/// Days and figures as they come; quarters, so that sums of them are exact.
fn pasts() -> impl Strategy<Value = Vec<(Date, f64)>> {
    let point = (0usize..80, 0i32..4_000);
    proptest::collection::vec(point, 0..60).prop_map(|points| {
        points.into_iter().map(|(at, quarters)| (day(at), f64::from(quarters) / 4.0)).collect()
    })
}

proptest! {
    #[test]
    fn a_line_is_found_exactly(days in 7usize..60, start in 0i32..100, eighths in 1i32..400, room in 1u32..1_000) {
        let slope = f64::from(eighths) / 8.0;
        let points = line(days, f64::from(start), slope);
        let last = points.last().expect("seven days or more").1;
        let found = forecast(&points, last + slope * f64::from(room));
        prop_assert_eq!(found.slope_per_day(), Some(slope));
        prop_assert_eq!(found.range(), Some((slope, slope)));
        let room = Some(room);
        prop_assert_eq!(found.days_until_full, Some(DaysUntilFull { likely: room, earliest: room, latest: room }));
    }

    #[test]
    fn the_order_of_the_points_does_not_matter(points in pasts(), seed in any::<u64>()) {
        let mut other = points.clone();
        other.sort_by_key(|(day, value)| (value.to_bits() ^ seed).rotate_left(u32::from(day.day().unsigned_abs())));
        prop_assert_eq!(forecast(&other, 1_000.0), forecast(&points, 1_000.0));
    }

    #[test]
    fn another_calendar_and_another_zero_make_no_other_trend(points in pasts(), days in 0i64..3_000, more in 0i32..1_000) {
        let more = f64::from(more);
        let moved: Vec<_> = points.iter().map(|(day, value)| (*day + days.days(), value + more)).collect();
        let (a, b) = (forecast(&points, 1_000.0), forecast(&moved, 1_000.0 + more));
        prop_assert_eq!((a.verdict, a.points_used, a.range()), (b.verdict, b.points_used, b.range()));
        prop_assert_eq!(a.full_on.map(|day| day + days.days()), b.full_on);
    }

    #[test]
    fn earliest_is_never_after_likely_nor_likely_after_latest(points in pasts(), limit in 0i32..2_000) {
        let found = forecast(&points, f64::from(limit));
        if let Some(days) = found.days_until_full {
            let or_never = |days: Option<u32>| days.unwrap_or(u32::MAX);
            prop_assert!(or_never(days.earliest) <= or_never(days.likely));
            prop_assert!(or_never(days.likely) <= or_never(days.latest));
        }
        prop_assert_eq!(found.full_on.is_some(), found.verdict == Verdict::In);
        prop_assert!(found.sentence().ends_with('.'));
    }

    #[test]
    fn no_input_brings_a_forecast_down(
        points in proptest::collection::vec((0usize..400, any::<f64>()), 0..40), limit in any::<f64>()
    ) {
        let points: Vec<_> = points.into_iter().map(|(at, value)| (day(at), value)).collect();
        let found = forecast(&points, limit);
        prop_assert!(found.trend.is_none_or(|trend| trend.likely.level.is_finite()));
    }
}
