//! Quantities, periods and completeness as pages write them: every digit, grouped in thousands, in the units of
//! invoices. It computes nothing that is billed and knows no page. What overviews round is `show`'s.

use billing::{Completeness, InvoiceStatus};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::{Coverage, MeterName, Window};
use reports::figures::grouped;
pub(crate) use reports::times::{instant, moment};
use rust_decimal::Decimal;

use crate::show::whole;

/// Decimals of a quantity: as many as rating keeps, so that a page shows what an invoice shows.
const QUANTITY_SCALE: u32 = billing::rating::QUANTITY_SCALE;

/// One quantity, in the unit that is priced and in the one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// In the priced unit, `12.5`.
    pub text: String,
    /// What it lacks on the longest figure of its column: takes room, is not seen.
    pub pad: String,
    /// The priced unit, `GiB·h`.
    pub unit: &'static str,
    /// In base units, exactly.
    pub base: String,
    /// The base unit, `KiB·s`.
    pub base_unit: &'static str,
}

/// How well something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// `98.7 % measured, 1.3 % estimated, none missing`; nothing when there was no time.
    pub text: String,
    /// One word for tables: `measured`, `1.3 % estimated`, `0.2 % missing`.
    pub short: String,
    /// Whether nothing was estimated or missing.
    pub is_complete: bool,
}

/// `base` units of `meter`, ready to show.
pub(crate) fn quantity(base: u128, meter: MeterName) -> Quantity {
    let definition = meter.meter();
    Quantity {
        text: priced(base, meter),
        pad: String::new(),
        unit: &definition.priced_unit.symbol,
        base: whole(base),
        base_unit: definition.unit.symbol(),
    }
}

/// Puts the points of a column under each other.
pub(crate) fn align<'a>(column: impl IntoIterator<Item = &'a mut Quantity>) {
    let column: Vec<&mut Quantity> = column.into_iter().collect();
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let longest = column.iter().map(|quantity| decimals(&quantity.text)).max().unwrap_or(0);
    for quantity in column {
        let missing = longest - decimals(&quantity.text);
        let point = if 0 < missing && !quantity.text.contains('.') { "." } else { "" };
        quantity.pad = format!("{point}{}", "0".repeat(missing));
    }
}

/// How an invoice stands, as pages say it: overdue is what should have been paid by now.
pub(crate) const fn standing(status: InvoiceStatus, is_overdue: bool) -> &'static str {
    if is_overdue { "overdue" } else { status.as_str() }
}

/// `base` units in the priced unit, with the decimals and the rounding of rating (half to even).
pub(crate) fn priced(base: u128, meter: MeterName) -> String {
    let units = u128::from(meter.meter().priced_unit.base_units);
    let micro = base.checked_mul(10_u128.pow(QUANTITY_SCALE)).map(|scaled| divide_half_even(scaled, units));
    let exact = micro
        .and_then(|micro| i128::try_from(micro).ok())
        .and_then(|micro| Decimal::try_from_i128_with_scale(micro, QUANTITY_SCALE).ok());
    match exact {
        Some(exact) => grouped(exact, 0),
        // More than a decimal holds: whole units are still right.
        None => whole(base / units),
    }
}

fn divide_half_even(dividend: u128, divisor: u128) -> u128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let is_up = match rest.cmp(&(divisor - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => !quotient.is_multiple_of(2),
    };
    quotient + u128::from(is_up)
}

/// What `now` is more or less than `before`, with its sign.
pub(crate) fn difference(now: u128, before: u128) -> String {
    if before <= now {
        format!("+{}", whole(now - before))
    } else {
        format!("\u{2212}{}", whole(before - now))
    }
}

/// An amount without its currency: `1,234.50`.
pub(crate) fn amount(money: billing::Money) -> String {
    grouped(money.amount(), money.currency().exponent())
}

/// How well it is known, from usage.
pub(crate) fn known(coverage: Coverage) -> Known {
    known_parts(coverage.measured_us, coverage.estimated_us, coverage.missing_us)
}

/// How well it is known, from an invoice.
pub(crate) fn known_of(completeness: Completeness) -> Known {
    known_parts(completeness.measured_ms, completeness.estimated_ms, completeness.missing_ms)
}

/// Both together.
pub(crate) fn add(one: Coverage, other: Coverage) -> Coverage {
    Coverage {
        measured_us: one.measured_us.saturating_add(other.measured_us),
        estimated_us: one.estimated_us.saturating_add(other.estimated_us),
        missing_us: one.missing_us.saturating_add(other.missing_us),
    }
}

/// A period in words: `October 2026`, `1 to 15 October 2026`, or its two instants.
pub(crate) fn period(period: Window, zone: &TimeZone) -> String {
    let (start, end) = (period.start().to_zoned(zone.clone()), period.end().to_zoned(zone.clone()));
    let is_midnight = |at: &jiff::Zoned| at.start_of_day().is_ok_and(|midnight| midnight == *at);
    if !is_midnight(&start) || !is_midnight(&end) {
        return format!("{} until {}", instant(period.start(), zone), instant(period.end(), zone));
    }
    let (first, next) = (start.date(), end.date());
    let last = next.yesterday().unwrap_or(next);
    if first.day() == 1 && next.day() == 1 && first.first_of_month() == last.first_of_month() {
        return first.strftime("%B %Y").to_string();
    }
    if first == last {
        return first.strftime("%-d %B %Y").to_string();
    }
    if first.first_of_month() == last.first_of_month() {
        return format!("{} to {}", first.day(), last.strftime("%-d %B %Y"));
    }
    format!("{} to {}", first.strftime("%-d %B %Y"), last.strftime("%-d %B %Y"))
}

/// The clock of an instant: `14:00`, with seconds where there are any.
pub(crate) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let is_whole_minute = zoned.second() == 0 && zoned.subsec_nanosecond() == 0;
    zoned.strftime(if is_whole_minute { "%H:%M" } else { "%H:%M:%S%.f" }).to_string()
}

/// A fragment, as errors are written, as a sentence.
pub(crate) fn sentence(fragment: &dyn std::fmt::Display) -> String {
    let text = fragment.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// `part` of `whole` in thousandths, at most 1000: the width of a bar.
pub(crate) fn permille(part: u128, whole: u128) -> u32 {
    if whole == 0 {
        return 0;
    }
    if whole <= part {
        return 1_000;
    }
    let permille = part.saturating_mul(1_000) / whole;
    u32::try_from(permille).unwrap_or(1_000)
}

fn known_parts(measured: u64, estimated: u64, missing: u64) -> Known {
    let all = u128::from(measured) + u128::from(estimated) + u128::from(missing);
    if all == 0 {
        return Known { text: String::new(), short: "\u{2013}".to_owned(), is_complete: true };
    }
    // Down for what was measured, up for what was not: what is uncertain is never made smaller.
    let down = u128::from(measured) * 1_000 / all;
    let up = |part: u64| (u128::from(part) * 1_000).div_ceil(all);
    let lost = up(missing).min(1_000 - down);
    let guessed = 1_000 - down - lost;
    let text = [
        share(measured, down, "measured"),
        share(estimated, guessed, "estimated"),
        share(missing, lost, "missing"),
    ];
    let mut short = Vec::new();
    if 0 < estimated {
        short.push(share(estimated, guessed, "estimated"));
    }
    if 0 < missing {
        short.push(share(missing, lost, "missing"));
    }
    let is_complete = short.is_empty();
    Known {
        text: if is_complete { "all measured".to_owned() } else { text.join(", ") },
        short: if is_complete { "measured".to_owned() } else { short.join(", ") },
        is_complete,
    }
}

fn share(part: u64, permille: u128, word: &str) -> String {
    match (part, permille) {
        (0, _) => format!("none {word}"),
        (_, 0) => format!("less than 0.1 % {word}"),
        _ if permille.is_multiple_of(10) => format!("{} % {word}", permille / 10),
        _ => format!("{}.{} % {word}", permille / 10, permille % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(name: &str) -> MeterName {
        MeterName::parse(name).unwrap()
    }

    #[test]
    fn a_quantity_is_what_an_invoice_says() {
        for (base, name, expected) in [
            (0, "cpu_ns", "0"),
            (3_600_000, "running_ms", "1"),
            (1_234_567, "running_ms", "0.342935"),
            (1_610_612_736, "net_rx_bytes", "1.5"),
            (1, "cpu_ns", "0"),
            (4_500_000_000_000_000, "running_ms", "1,250,000,000"),
            (u128::MAX, "disk_read_ops", "340,282,366,920,938,463,463,374,607,431,768,211"),
        ] {
            assert_eq!(priced(base, meter(name)), expected, "{base} {name}");
        }
    }

    #[test]
    fn the_points_of_a_column_stand_under_each_other() {
        let mut column = [360_000, 3_600_000, 4_500_000].map(|base| quantity(base, meter("running_ms")));
        align(&mut column);
        let shown = column.map(|quantity| (quantity.text, quantity.pad));
        assert_eq!(
            shown,
            [("0.1", "0"), ("1", ".00"), ("1.25", "")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_period_is_said_as_shortly_as_it_can_be() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (start, end, expected) in [
            ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "October 2026"),
            ("2026-09-30T22:00:00Z", "2026-10-15T22:00:00Z", "1 to 15 October 2026"),
            ("2026-09-30T22:00:00Z", "2026-10-01T22:00:00Z", "1 October 2026"),
            ("2026-09-29T22:00:00Z", "2026-10-01T22:00:00Z", "30 September 2026 to 1 October 2026"),
            (
                "2026-10-01T00:00:00Z",
                "2026-11-01T00:00:00Z",
                "2026-10-01 02:00 CEST until 2026-11-01 01:00 CET",
            ),
        ] {
            let window = Window::new(start.parse().unwrap(), end.parse().unwrap()).unwrap();
            assert_eq!(period(window, &zone), expected);
        }
    }

    #[test]
    fn what_is_not_measured_is_never_rounded_away() {
        let of =
            |measured_us, estimated_us, missing_us| known(Coverage { measured_us, estimated_us, missing_us });
        assert_eq!(of(10, 0, 0).text, "all measured");
        assert_eq!(of(999_999, 0, 1).text, "99.9 % measured, none estimated, 0.1 % missing");
        assert_eq!(of(999_999, 0, 1).short, "0.1 % missing");
        assert_eq!(of(9_995, 4, 1).text, "99.9 % measured, less than 0.1 % estimated, 0.1 % missing");
        assert!(!of(999_999, 1, 0).is_complete && of(0, 0, 0).is_complete);
    }

    #[test]
    fn a_bar_is_never_longer_than_its_track() {
        assert_eq!((permille(5, 10), permille(50, 10), permille(5, 0)), (500, 1_000, 0));
        assert_eq!(permille(u128::MAX, u128::MAX), 1_000);
    }
}
