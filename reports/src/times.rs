//! Instants, durations and completeness in words.
//!
//! It reads no clock. What is uncertain is never made to look smaller: measured time is rounded down.

use billing::Completeness;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `at` in `zone`: `2026-10-01 00:00 CEST`, with seconds and their fraction where there are any.
#[must_use]
pub fn instant(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let whole_minute = zoned.second() == 0 && zoned.subsec_nanosecond() == 0;
    let format = if whole_minute { "%Y-%m-%d %H:%M %Z" } else { "%Y-%m-%d %H:%M:%S%.f %Z" };
    zoned.strftime(format).to_string()
}

/// When something was done: to the second, which is finer than anybody asks. JSON has the instant itself.
#[must_use]
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    instant(Timestamp::from_second(at.as_second()).unwrap_or(at), zone)
}

/// `745 h 12 min 3.5 s`, exactly.
pub(crate) fn duration(ms: u128) -> String {
    let (hours, minutes, seconds, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let mut parts = Vec::new();
    if hours > 0 {
        parts.push(format!("{} h", crate::figures::whole(hours).text));
    }
    if minutes > 0 {
        parts.push(format!("{minutes} min"));
    }
    if seconds > 0 || rest > 0 || parts.is_empty() {
        parts.push(format!("{seconds}{fraction} s"));
    }
    parts.join(" ")
}

/// `98.7 % measured, 1.3 % estimated, none missing`; `None` when there was no time at all.
pub(crate) fn completeness(known: Completeness) -> Option<String> {
    let measured = known.measured_permille()?;
    let rest = 1_000 - measured;
    let missing = match (known.estimated_ms, known.missing_ms) {
        (_, 0) => 0,
        (0, _) => rest,
        _ => missing_permille(known).min(rest),
    };
    let parts = [
        share(known.measured_ms, measured, "measured"),
        share(known.estimated_ms, rest - missing, "estimated"),
        share(known.missing_ms, missing, "missing"),
    ];
    Some(parts.join(", "))
}

/// The time that `completeness` speaks of.
pub(crate) fn known_ms(known: Completeness) -> u128 {
    u128::from(known.measured_ms) + u128::from(known.estimated_ms) + u128::from(known.missing_ms)
}

/// Whether nothing was estimated or missing.
pub(crate) const fn is_complete(known: Completeness) -> bool {
    known.estimated_ms == 0 && known.missing_ms == 0
}

/// Missing time in thousandths, rounded up.
fn missing_permille(known: Completeness) -> u64 {
    let permille = (u128::from(known.missing_ms) * 1_000).div_ceil(known_ms(known).max(1));
    u64::try_from(permille).unwrap_or(1_000)
}

fn share(ms: u64, permille: u64, word: &str) -> String {
    match (ms, permille) {
        (0, _) => format!("none {word}"),
        (_, 0) => format!("less than 0.1 % {word}"),
        _ if permille.is_multiple_of(10) => format!("{} % {word}", permille / 10),
        _ => format!("{}.{} % {word}", permille / 10, permille % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_known(measured_ms: u64, estimated_ms: u64, missing_ms: u64, expected: Option<&str>) {
        let known = Completeness { measured_ms, estimated_ms, missing_ms };
        assert_eq!(completeness(known).as_deref(), expected);
    }

    #[test]
    fn what_is_not_measured_is_never_rounded_away() {
        check_known(0, 0, 0, None);
        check_known(1_000, 0, 0, Some("100 % measured, none estimated, none missing"));
        check_known(987, 13, 0, Some("98.7 % measured, 1.3 % estimated, none missing"));
        check_known(999_999, 0, 1, Some("99.9 % measured, none estimated, 0.1 % missing"));
        check_known(9_995, 4, 1, Some("99.9 % measured, less than 0.1 % estimated, 0.1 % missing"));
        check_known(1, 1_000_000, 0, Some("less than 0.1 % measured, 100 % estimated, none missing"));
        check_known(0, 0, 5, Some("none measured, none estimated, 100 % missing"));
        check_known(u64::MAX, u64::MAX, u64::MAX, Some("33.3 % measured, 33.3 % estimated, 33.4 % missing"));
    }

    #[test]
    fn an_instant_names_its_zone_and_the_hour_that_comes_twice() {
        let zone = TimeZone::get("Europe/Berlin").expect("tzdata is installed");
        let shown = |text: &str| instant(text.parse().expect("RFC 3339"), &zone);
        assert_eq!(shown("2026-09-30T22:00:00Z"), "2026-10-01 00:00 CEST");
        assert_eq!(shown("2026-10-25T00:30:00Z"), "2026-10-25 02:30 CEST");
        assert_eq!(shown("2026-10-25T01:30:00Z"), "2026-10-25 02:30 CET");
        assert_eq!(shown("2026-10-25T01:30:05.25Z"), "2026-10-25 02:30:05.25 CET");
    }

    #[test]
    fn durations_are_exact() {
        let table = [
            (0, "0 s"),
            (1, "0.001 s"),
            (61_500, "1 min 1.5 s"),
            (3_600_000, "1 h"),
            (4_470_123_000, "1,241 h 42 min 3 s"),
        ];
        for (ms, expected) in table {
            assert_eq!(duration(ms), expected);
        }
    }
}
