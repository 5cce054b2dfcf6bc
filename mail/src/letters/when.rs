//! Months and days as people write them. It reads no clock.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use metering::Window;

/// Milliseconds of a day without a change of clocks.
const DAY_MS: i128 = 86_400_000;

/// `October 2026`; `5 to 18 October 2026`-like dates for anything that is no month, with times if they matter.
pub(super) fn period(period: Window, zone: &TimeZone) -> String {
    let (start, end) =
        (period.start().to_zoned(zone.clone()).datetime(), period.end().to_zoned(zone.clone()).datetime());
    if start.time() != Time::midnight() || end.time() != Time::midnight() {
        let until = if start.date() == end.date() { "%H:%M" } else { "%-d %B %Y %H:%M" };
        return format!("{} to {}", start.strftime("%-d %B %Y %H:%M"), end.strftime(until));
    }
    let (first, after) = (start.date(), end.date());
    if first.day() == 1 && first.checked_add(1.month()).is_ok_and(|next| next == after) {
        return first.strftime("%B %Y").to_string();
    }
    let last = after.yesterday().unwrap_or(after);
    if first == last { day(first) } else { format!("{} to {}", day(first), day(last)) }
}

/// `5 October 2026`.
pub(super) fn day(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

/// The period's name where no zone is told: the month in which its middle lies, if it is as long as a month. That is
/// right in every zone.
pub(super) fn month_or_days(window: Window) -> String {
    let middle = window.start().as_millisecond().midpoint(window.end().as_millisecond());
    if (28..=31).contains(&days(window))
        && let Ok(middle) = Timestamp::from_millisecond(middle)
    {
        return middle.strftime("%B %Y").to_string();
    }
    format!("{} (UTC)", period(window, &TimeZone::UTC))
}

/// How many days the period has, to the nearest: clocks may change within.
pub(super) fn days(window: Window) -> i128 {
    let ms = i128::from(window.end().as_millisecond()) - i128::from(window.start().as_millisecond());
    ((ms + DAY_MS / 2) / DAY_MS).max(1)
}

/// Which day of the period it is at `at`, from 1; `None` before it and after it.
pub(super) fn day_number(window: Window, at: Timestamp) -> Option<i128> {
    if !window.contains(at) {
        return None;
    }
    let ms = i128::from(at.as_millisecond()) - i128::from(window.start().as_millisecond());
    Some((ms / DAY_MS + 1).min(days(window)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window::new(start.parse().expect("RFC 3339"), end.parse().expect("RFC 3339")).expect("start < end")
    }

    fn check(start: &str, end: &str, in_berlin: &str, anywhere: &str) {
        let zone = TimeZone::get("Europe/Berlin").expect("tzdata is installed");
        let window = window(start, end);
        assert_eq!(period(window, &zone), in_berlin);
        assert_eq!(month_or_days(window), anywhere);
    }

    #[test]
    fn october_in_berlin_is_october_also_where_nobody_told_the_zone() {
        check("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "October 2026", "October 2026");
        check("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "February 2026", "February 2026");
        check(
            "2026-10-04T22:00:00Z",
            "2026-10-18T22:00:00Z",
            "5 October 2026 to 18 October 2026",
            "4 October 2026 22:00 to 18 October 2026 22:00 (UTC)",
        );
        check(
            "2026-10-05T10:00:00Z",
            "2026-10-05T11:30:00Z",
            "5 October 2026 12:00 to 13:30",
            "5 October 2026 10:00 to 11:30 (UTC)",
        );
    }

    #[test]
    fn the_last_day_is_no_day_too_many_when_clocks_change() {
        let october = window("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
        assert_eq!(days(october), 31);
        let day = |at: &str| day_number(october, at.parse().expect("RFC 3339"));
        assert_eq!(day("2026-09-30T21:59:59Z"), None);
        assert_eq!(day("2026-09-30T22:00:00Z"), Some(1));
        assert_eq!(day("2026-10-31T22:30:00Z"), Some(31));
        assert_eq!(day("2026-10-31T23:00:00Z"), None);
    }
}
