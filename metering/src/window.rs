//! Windows: half-open pieces of time. The one type for intervals; `<` and `<=` only.
//!
//! It knows no calendar: months in a tenant's time zone are billing's business. Instants are whole
//! microseconds since the Unix epoch, which is what PostgreSQL's `timestamptz` holds.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `[start, end)`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bounds", into = "Bounds")]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

/// Why two instants are no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a window must end after it starts, not from {start} to {end}")]
pub struct EmptyWindow {
    start: Timestamp,
    end: Timestamp,
}

/// How long usage windows are: a whole number of seconds that divides a day, so that windows align with
/// midnight UTC and with every zone whose offset is a multiple of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowLength(u32);

/// Why a window length was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a usage window of {0:?} is not possible: it must be whole seconds from 10s to 1h that divide a day, such as 1m, 15m or 1h"
)]
pub struct BadWindowLength(pub Duration);

/// Seconds in a day of UTC (jiff and PostgreSQL both leave leap seconds out).
const DAY_SECONDS: u32 = 86_400;

/// `at` without what is finer than a microsecond, which the database would drop.
#[must_use]
pub fn micros(at: Timestamp) -> Timestamp {
    // Every instant that jiff can hold fits when it is rounded towards the Unix epoch.
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

impl Window {
    /// `[start, end)`, both cut to microseconds.
    ///
    /// # Errors
    /// `end` is not after `start`.
    pub fn new(start: Timestamp, end: Timestamp) -> Result<Self, EmptyWindow> {
        let (start, end) = (micros(start), micros(end));
        if start < end { Ok(Self { start, end }) } else { Err(EmptyWindow { start, end }) }
    }

    /// The first instant that belongs to it.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant that does not belong to it any more.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Whether `at` belongs to it.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// How long it is, in microseconds.
    #[must_use]
    pub fn microseconds(self) -> i64 {
        self.end.as_microsecond() - self.start.as_microsecond()
    }

    /// What both have in common.
    #[must_use]
    pub fn intersection(self, other: Window) -> Option<Window> {
        Window::new(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// The pieces of it between the instants of `cuts` (in any order; those outside are left out). The
    /// pieces are adjacent and together are the window.
    #[must_use]
    pub fn split_at(self, cuts: &[Timestamp]) -> Vec<Window> {
        let mut edges: Vec<Timestamp> =
            cuts.iter().map(|cut| micros(*cut)).filter(|cut| self.start < *cut && *cut < self.end).collect();
        edges.sort_unstable();
        edges.dedup();
        edges.push(self.end);
        let mut start = self.start;
        edges
            .into_iter()
            .map(|end| {
                let piece = Window { start, end };
                start = end;
                piece
            })
            .collect()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

impl WindowLength {
    /// One hour, the default.
    pub const HOUR: WindowLength = WindowLength(3_600);

    /// Checks a length.
    ///
    /// # Errors
    /// It is not whole seconds between 10 s (shorter ones make more usage records than readings) and 1 h
    /// (longer ones would not align with most time zones), or does not divide a day.
    pub fn new(length: Duration) -> Result<Self, BadWindowLength> {
        let seconds = u32::try_from(length.as_secs()).map_err(|_| BadWindowLength(length))?;
        let whole = length.subsec_nanos() == 0;
        if whole && (10..=3_600).contains(&seconds) && DAY_SECONDS.is_multiple_of(seconds) {
            Ok(Self(seconds))
        } else {
            Err(BadWindowLength(length))
        }
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The window that contains `at`.
    #[must_use]
    pub fn window_of(self, at: Timestamp) -> Window {
        let length = i64::from(self.0) * 1_000_000;
        let start = at.as_microsecond().div_euclid(length) * length;
        let instant = |us| Timestamp::from_microsecond(us).unwrap_or(at);
        Window { start: instant(start), end: instant(start + length) }
    }

    /// Whether windows of this length begin exactly at `at`: a period may be closed there without cutting
    /// a window.
    #[must_use]
    pub fn aligns_with(self, at: Timestamp) -> bool {
        self.window_of(at).start == at
    }

    /// The windows that touch `span`, whole, in order.
    pub fn windows_touching(self, span: Window) -> impl Iterator<Item = Window> {
        let mut next = self.window_of(span.start);
        std::iter::from_fn(move || {
            let window = next;
            if span.end <= window.start {
                return None;
            }
            next = self.window_of(window.end);
            Some(window)
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Bounds {
    start: Timestamp,
    end: Timestamp,
}

impl TryFrom<Bounds> for Window {
    type Error = EmptyWindow;

    fn try_from(bounds: Bounds) -> Result<Self, Self::Error> {
        Self::new(bounds.start, bounds.end)
    }
}

impl From<Window> for Bounds {
    fn from(window: Window) -> Self {
        Self { start: window.start, end: window.end }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_microsecond(us).unwrap()
    }

    #[test]
    fn an_instant_on_a_border_belongs_to_the_later_window_only() {
        let hour = WindowLength::HOUR;
        let noon: Timestamp = "2026-10-25T12:00:00Z".parse().unwrap();
        let before = hour.window_of(noon - Duration::from_micros(1));
        let after = hour.window_of(noon);
        assert_eq!(before.end(), after.start());
        assert!(!before.contains(noon) && after.contains(noon));
    }

    #[test]
    fn lengths_that_would_drift_over_midnight_are_refused() {
        for (seconds, fine) in [
            (0, false),
            (9, false),
            (10, true),
            (60, true),
            (420, false),
            (900, true),
            (3_600, true),
            (7_200, false),
        ] {
            assert_eq!(WindowLength::new(Duration::from_secs(seconds)).is_ok(), fine, "{seconds} s");
        }
        assert!(WindowLength::new(Duration::from_millis(60_500)).is_err());
    }

    proptest! {
        #[test]
        fn splitting_a_window_leaves_no_hole_and_no_overlap(
            start in -1_000_000_i64..1_000_000, length in 1_i64..1_000_000,
            cuts in proptest::collection::vec(-2_000_000_i64..2_000_000, 0..8),
        ) {
            let whole = Window::new(at(start), at(start + length)).unwrap();
            let cuts: Vec<_> = cuts.into_iter().map(at).collect();
            let pieces = whole.split_at(&cuts);
            prop_assert_eq!(pieces[0].start(), whole.start());
            prop_assert_eq!(pieces[pieces.len() - 1].end(), whole.end());
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].end(), pair[1].start());
            }
        }

        #[test]
        fn windows_touching_a_span_cover_it(start in -9_000_000_000_i64..9_000_000_000, length in 1_i64..90_000_000_000) {
            let span = Window::new(at(start), at(start + length)).unwrap();
            let windows: Vec<_> = WindowLength::HOUR.windows_touching(span).collect();
            prop_assert!(windows[0].contains(span.start()));
            let last = windows[windows.len() - 1];
            prop_assert!(last.start() < span.end() && span.end() <= last.end());
        }
    }
}
