//! Where the usage of each piece of a period is taken from: whole local days from their sums, whole windows beside them
//! from the records, what is left from the readings. Pure.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{Window, WindowLength};

/// A part of piece number `piece`, from `from` to before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<T> {
    pub(crate) piece: usize,
    pub(crate) from: T,
    pub(crate) to: T,
}

/// All pieces, by where their usage is taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) days: Vec<Span<Date>>,
    pub(crate) windows: Vec<Span<Timestamp>>,
    pub(crate) edges: Vec<Span<Timestamp>>,
}

impl Spans {
    /// Takes pieces apart. `zone`: the one in whose days usage is summed; `None`: no sums are to be used.
    pub(crate) fn of(pieces: &[Window], length: WindowLength, zone: Option<&TimeZone>) -> Self {
        let mut spans = Self::default();
        for (piece, window) in pieces.iter().enumerate() {
            let span = |window: Window| Span { piece, from: window.start(), to: window.end() };
            spans.edges.extend(edges(*window, length).into_iter().map(span));
            let Some(whole) = whole_windows(*window, length) else { continue };
            let Some((days, within)) = zone.and_then(|zone| whole_days(whole, length, zone)) else {
                spans.windows.push(span(whole));
                continue;
            };
            spans.days.push(Span { piece, from: days.0, to: days.1 });
            let beside = [Window::new(whole.start(), within.start()), Window::new(within.end(), whole.end())];
            spans.windows.extend(beside.into_iter().flatten().map(span));
        }
        spans
    }

    /// The days at which spans of days begin and end, with the instants that these are in `zone`.
    pub(crate) fn borders(&self, zone: &TimeZone) -> (Vec<Date>, Vec<Timestamp>) {
        let all = self.days.iter().flat_map(|span| [span.from, span.to]);
        all.filter_map(|day| Some((day, day.to_zoned(zone.clone()).ok()?.timestamp()))).unzip()
    }
}

/// Groups of spans that are in order and disjoint, as few as it takes: pieces of a period are one.
pub(crate) fn layers<T: Ord + Copy>(spans: &[Span<T>]) -> Vec<Vec<Span<T>>> {
    let mut sorted = spans.to_vec();
    sorted.sort_by_key(|span| (span.from, span.to));
    let mut layers: Vec<Vec<Span<T>>> = Vec::new();
    for span in sorted {
        match layers.iter_mut().find(|layer| layer.last().is_none_or(|last| last.to <= span.from)) {
            Some(layer) => layer.push(span),
            None => layers.push(vec![span]),
        }
    }
    layers
}

/// The part of a piece that consists of whole usage windows.
pub(crate) fn whole_windows(piece: Window, length: WindowLength) -> Option<Window> {
    let first = length.window_of(piece.start());
    let start = if first.start() == piece.start() { first.start() } else { first.end() };
    Window::new(start, length.window_of(piece.end()).start()).ok()
}

/// The parts of a piece that do not, each within one usage window.
pub(crate) fn edges(piece: Window, length: WindowLength) -> Vec<Window> {
    match whole_windows(piece, length) {
        None => piece.split_at(&[length.window_of(piece.end()).start()]),
        Some(whole) => [Window::new(piece.start(), whole.start()), Window::new(whole.end(), piece.end())]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// The whole days of `zone` in a window, the last excluded, and what they are as a window. `None` where there are none, or
/// where a usage window reaches over midnight: it belongs to both days and is summed in one.
fn whole_days(window: Window, length: WindowLength, zone: &TimeZone) -> Option<((Date, Date), Window)> {
    let midnight = |day: Date| Some(day.to_zoned(zone.clone()).ok()?.timestamp());
    let day_of = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let mut from = day_of(window.start());
    if midnight(from)? != window.start() {
        from = from.tomorrow().ok()?;
    }
    let to = day_of(window.end());
    let days = Window::new(midnight(from)?, midnight(to)?).ok()?;
    let is_cut = !length.aligns_with(days.start()) || !length.aligns_with(days.end());
    (!is_cut && from < to && window.start() <= days.start() && days.end() <= window.end())
        .then_some(((from, to), days))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
    }

    fn check(start: &str, end: &str, whole: Option<(&str, &str)>, edges_expected: usize) {
        let piece = window(start, end);
        let expected = whole.map(|(start, end)| window(start, end));
        assert_eq!(whole_windows(piece, WindowLength::HOUR), expected);
        let edges = edges(piece, WindowLength::HOUR);
        assert_eq!(edges.len(), edges_expected);
        let parts: i64 = edges.iter().chain(expected.iter()).map(|part| part.microseconds()).sum();
        assert_eq!(parts, piece.microseconds(), "nothing is left out or counted twice");
    }

    #[test]
    fn a_period_is_its_whole_windows_and_its_edges() {
        let (h1, h2) = ("2026-10-01T01:00:00Z", "2026-10-01T02:00:00Z");
        check(h1, h2, Some((h1, h2)), 0);
        check("2026-10-01T00:30:00Z", h2, Some((h1, h2)), 1);
        check("2026-10-01T00:30:00Z", "2026-10-01T02:00:01Z", Some((h1, h2)), 2);
        check("2026-10-01T01:10:00Z", "2026-10-01T01:20:00Z", None, 1);
        check("2026-10-01T01:10:00Z", "2026-10-01T02:20:00Z", None, 2);
        check("2026-10-01T01:10:00Z", h2, None, 1);
    }

    /// `from to` of days, then how many spans of windows and edges there are beside them.
    fn check_days(zone: &str, start: &str, end: &str, days: &str, windows: usize, edges: usize) {
        let zone = TimeZone::get(zone).unwrap();
        let spans = Spans::of(&[window(start, end)], WindowLength::HOUR, Some(&zone));
        let got: Vec<String> = spans.days.iter().map(|span| format!("{} {}", span.from, span.to)).collect();
        assert_eq!(got.join(", "), days);
        assert_eq!((spans.windows.len(), spans.edges.len()), (windows, edges), "{start} {end}");
    }

    #[test]
    fn a_month_is_its_days_and_a_change_at_noon_takes_one_day_apart() {
        let berlin = "Europe/Berlin";
        // With the day on which clocks are set back.
        check_days(berlin, "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "2026-10-01 2026-11-01", 0, 0);
        check_days(berlin, "2026-09-30T22:00:00Z", "2026-10-15T10:00:00Z", "2026-10-01 2026-10-15", 1, 0);
        check_days(berlin, "2026-10-15T10:00:00Z", "2026-10-31T23:00:00Z", "2026-10-16 2026-11-01", 1, 0);
        check_days(berlin, "2026-10-15T10:30:00Z", "2026-10-20T10:30:00Z", "2026-10-16 2026-10-20", 2, 2);
        // A night: no whole day.
        check_days(berlin, "2026-10-15T20:00:00Z", "2026-10-16T04:00:00Z", "", 1, 0);
        // A zone in which an hour's window reaches over midnight.
        check_days("Asia/Kolkata", "2026-09-30T18:30:00Z", "2026-10-31T18:30:00Z", "", 1, 2);
    }

    proptest! {
        #[test]
        fn every_instant_of_a_piece_is_taken_from_one_place(
            start in 0_i64..5_000, length in 1_i64..5_000, step in 1_i64..3_601, zone in 0_usize..4,
        ) {
            let zones = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"];
            let zone = TimeZone::get(zones[zone]).unwrap();
            let at = |n: i64| Timestamp::from_second(1_790_000_000 + n * step).unwrap();
            let piece = Window::new(at(start), at(start + length)).unwrap();
            let spans = Spans::of(&[piece], WindowLength::HOUR, Some(&zone));
            let mut parts: Vec<(Timestamp, Timestamp)> =
                spans.windows.iter().chain(&spans.edges).map(|span| (span.from, span.to)).collect();
            let (_, borders) = spans.borders(&zone);
            parts.extend(borders.chunks(2).map(|pair| (pair[0], pair[1])));
            parts.sort_unstable();
            prop_assert_eq!(parts[0].0, piece.start());
            prop_assert_eq!(parts[parts.len() - 1].1, piece.end());
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].1, pair[1].0);
            }
        }

        #[test]
        fn layers_hold_every_span_once_and_none_overlaps(
            spans in proptest::collection::vec((0_u32..50, 1_u32..20), 0..12)
        ) {
            let spans: Vec<Span<u32>> = spans
                .into_iter()
                .enumerate()
                .map(|(piece, (from, length))| Span { piece, from, to: from + length })
                .collect();
            let layers = layers(&spans);
            let mut seen: Vec<usize> = layers.iter().flatten().map(|span| span.piece).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..spans.len()).collect::<Vec<_>>());
            for layer in &layers {
                for pair in layer.windows(2) {
                    prop_assert!(pair[0].to <= pair[1].from);
                }
            }
        }
    }
}
