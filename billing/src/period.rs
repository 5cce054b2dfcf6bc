//! Billing periods: what people write, and which window it is. A month lies in a time zone; a custom period is two
//! instants. The clock is an argument.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use metering::{Window, WindowLength};

/// Window lengths to suggest to somebody whose zone does not go with the hour, the longest first.
const SUGGESTED: [(u64, &str); 5] = [(1800, "30m"), (900, "15m"), (600, "10m"), (300, "5m"), (60, "1m")];

/// The longest piece of input that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why something is no period that can be billed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// It is no month.
    #[error("{shown:?} is no month; write year and month, such as 2026-10")]
    NoMonth {
        /// What it is, cut.
        shown: String,
    },
    /// It is no instant.
    #[error(
        "{shown:?} is no point in time; write 2026-10-01, 2026-10-01T12:00 (in {zone}) or 2026-10-01T12:00:00Z"
    )]
    NoInstant {
        /// What it is, cut.
        shown: String,
        /// The zone in which a local time would be read.
        zone: String,
    },
    /// There is no such local time, or there are two: the clock is changed then.
    #[error(
        "{local} is not one point in time in {zone}, because the clock is changed then; write it with an offset, \
         such as {local}+01:00"
    )]
    Ambiguous {
        /// The local time.
        local: DateTime,
        /// The zone.
        zone: String,
    },
    /// It ends before it starts.
    #[error("a period must end after it starts, not from {from} to {to}")]
    Empty {
        /// Its start.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
    },
    /// It is not over.
    #[error("the period ends at {end}, which is still to come (it is {now}); bill it when it is over")]
    NotOver {
        /// Its end.
        end: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// It begins or ends within a usage window.
    #[error(
        "{at} (in {zone}) is not on a border of the usage windows of {seconds} s, so usage cannot be cut there; \
         set metering.window = \"{suggestion}\""
    )]
    NotAligned {
        /// The instant.
        at: Timestamp,
        /// The zone.
        zone: String,
        /// The windows' length.
        seconds: u32,
        /// A length that would do.
        suggestion: String,
    },
}

/// The month `text` (`2026-10`) in `zone`: from midnight of its first day to midnight of the next month's.
///
/// # Errors
/// It is no month.
pub fn month(text: &str, zone: &TimeZone) -> Result<Window, PeriodError> {
    let no_month = || PeriodError::NoMonth { shown: cut(text) };
    let first = first_day(text).ok_or_else(no_month)?;
    let next = first.checked_add(1.month()).map_err(|_| no_month())?;
    // Where midnight does not exist, the day begins when the clock has been put forward.
    let start = first.to_zoned(zone.clone()).map_err(|_| no_month())?.timestamp();
    let end = next.to_zoned(zone.clone()).map_err(|_| no_month())?.timestamp();
    Window::new(start, end).map_err(|_| no_month())
}

/// The period from `from` to `to`, each as [`instant`] reads it.
///
/// # Errors
/// One is no instant, or `to` is not after `from`.
pub fn custom(from: &str, to: &str, zone: &TimeZone) -> Result<Window, PeriodError> {
    let (from, to) = (instant(from, zone)?, instant(to, zone)?);
    Window::new(from, to).map_err(|_| PeriodError::Empty { from, to })
}

/// A point in time: RFC 3339 with an offset, or a local date and time in `zone`, or a day, which means its begin.
///
/// # Errors
/// It is neither, or it is a local time that does not exist or exists twice.
pub fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, PeriodError> {
    let no_instant = || PeriodError::NoInstant { shown: cut(text), zone: name(zone) };
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Some(day) = day(text) {
        return Ok(day.to_zoned(zone.clone()).map_err(|_| no_instant())?.timestamp());
    }
    // jiff would also take a day without dashes.
    let local = text.get(..10).and_then(day).and_then(|_| text.parse::<DateTime>().ok());
    let local = local.ok_or_else(no_instant)?;
    zone.to_ambiguous_timestamp(local)
        .unambiguous()
        .map_err(|_| PeriodError::Ambiguous { local, zone: name(zone) })
}

/// Refuses a period that is not over at `now`.
///
/// # Errors
/// It is not.
pub fn check_over(period: Window, now: Timestamp) -> Result<(), PeriodError> {
    let end = period.end();
    if end <= now { Ok(()) } else { Err(PeriodError::NotOver { end, now }) }
}

/// Refuses a period, or `cuts` in it, at which usage windows cannot be cut: months of a zone whose offset is no
/// multiple of the window, such as India's with windows of an hour.
///
/// # Errors
/// The first instant that lies within a window, and a length that would do.
pub fn check_aligned(
    period: Window,
    cuts: &[Timestamp],
    zone: &TimeZone,
    length: WindowLength,
) -> Result<(), PeriodError> {
    let mut instants: Vec<Timestamp> = cuts.to_vec();
    instants.extend([period.start(), period.end()]);
    instants.sort_unstable();
    let Some(at) = instants.iter().copied().find(|at| !length.aligns_with(*at)) else {
        return Ok(());
    };
    let fits = |seconds: u64| {
        let length = WindowLength::new(std::time::Duration::from_secs(seconds));
        length.is_ok_and(|length| instants.iter().all(|at| length.aligns_with(*at)))
    };
    let suggestion = SUGGESTED.iter().find(|(seconds, _)| fits(*seconds));
    Err(PeriodError::NotAligned {
        at,
        zone: name(zone),
        seconds: length.seconds(),
        suggestion: suggestion.map_or("10s", |(_, text)| text).to_owned(),
    })
}

/// `2026-10`, exactly.
fn first_day(text: &str) -> Option<Date> {
    let (year, month) = text.split_once('-')?;
    day(&format!("{year}-{month}-01"))
}

/// `2026-10-01`, exactly: jiff alone would also take it without dashes, or with a time.
fn day(text: &str) -> Option<Date> {
    let shape = text.bytes().enumerate().all(|(n, byte)| match n {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    (shape && text.len() == "2026-10-01".len()).then(|| text.parse().ok()).flatten()
}

fn name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("the zone").to_owned()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    /// `month zone -> start end`
    fn check_months(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [text, place, _, start, end] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("month zone -> start end: {line}");
            };
            let window = month(text, &zone(place)).unwrap();
            assert_eq!(window.to_string(), format!("[{start}, {end})"), "{line}");
        }
    }

    #[test]
    fn a_month_in_which_the_clock_is_changed_is_an_hour_longer_or_shorter() {
        check_months(
            "
            2026-10 UTC              -> 2026-10-01T00:00:00Z 2026-11-01T00:00:00Z
            2026-10 Europe/Berlin    -> 2026-09-30T22:00:00Z 2026-10-31T23:00:00Z
            2026-03 Europe/Berlin    -> 2026-02-28T23:00:00Z 2026-03-31T22:00:00Z
            2026-02 Asia/Tokyo       -> 2026-01-31T15:00:00Z 2026-02-28T15:00:00Z
            2024-02 UTC              -> 2024-02-01T00:00:00Z 2024-03-01T00:00:00Z
            2026-12 America/New_York -> 2026-12-01T05:00:00Z 2027-01-01T05:00:00Z
            2026-10 Asia/Kolkata     -> 2026-09-30T18:30:00Z 2026-10-31T18:30:00Z
            2011-12 Pacific/Apia     -> 2011-12-01T10:00:00Z 2011-12-31T10:00:00Z
            ",
        );
    }

    #[test]
    fn what_is_no_month_is_refused_with_an_example() {
        let long = "9".repeat(10_000);
        for bad in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "2026-1",
            "26-10",
            "2026-10-01",
            "2026/10",
            "october",
            " 2026-10",
            "9999-12",
            "-2026-10",
            "2026-1\u{661}",
            &long,
        ] {
            let error = month(bad, &TimeZone::UTC).unwrap_err().to_string();
            assert!(error.contains("such as 2026-10") && error.len() < 500, "{bad}: {error}");
        }
    }

    #[test]
    fn a_local_time_that_exists_twice_or_never_is_not_guessed() {
        let berlin = zone("Europe/Berlin");
        for bad in ["2026-10-25T02:30", "2026-03-29T02:30"] {
            let error = instant(bad, &berlin).unwrap_err();
            assert!(matches!(error, PeriodError::Ambiguous { .. }), "{error}");
        }
        for (text, expected) in [
            ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30:00Z"),
            ("2026-10-01", "2026-09-30T22:00:00Z"),
            ("2026-10-01T12:00", "2026-10-01T10:00:00Z"),
            ("2026-10-01 12:00:30.5", "2026-10-01T10:00:30.5Z"),
        ] {
            assert_eq!(instant(text, &berlin).unwrap().to_string(), expected);
        }
        for bad in ["", "now", "yesterday", "12:00", "2026-10", "20261001", "2026-10-01T25:00", "1e9"] {
            assert!(matches!(instant(bad, &berlin), Err(PeriodError::NoInstant { .. })), "{bad}");
        }
    }

    #[test]
    fn a_period_that_is_empty_or_not_over_is_refused() {
        let error = custom("2026-10-02", "2026-10-02", &TimeZone::UTC).unwrap_err();
        assert!(matches!(error, PeriodError::Empty { .. }), "{error}");
        let day = custom("2026-10-01", "2026-10-02", &TimeZone::UTC).unwrap();
        assert!(check_over(day, day.end()).is_ok());
        assert!(matches!(check_over(day, day.start()), Err(PeriodError::NotOver { .. })));
    }

    #[test]
    fn a_zone_that_goes_half_an_hour_askew_is_told_which_window_it_needs() {
        for (place, length, suggestion) in [
            ("Asia/Kolkata", 3600, Some("30m")),
            ("Asia/Kathmandu", 3600, Some("15m")),
            ("Asia/Kolkata", 900, None),
            ("Europe/Berlin", 3600, None),
        ] {
            let zone = zone(place);
            let length = WindowLength::new(std::time::Duration::from_secs(length)).unwrap();
            let month = month("2026-10", &zone).unwrap();
            let error = check_aligned(month, &[], &zone, length).err();
            let suggested = error.map(|error| error.to_string());
            match (suggestion, suggested) {
                (None, None) => {}
                (Some(length), Some(error)) => {
                    assert!(error.contains(&format!("metering.window = \"{length}\"")), "{error}");
                }
                (expected, got) => panic!("{place}: {expected:?}, {got:?}"),
            }
        }
    }
}
