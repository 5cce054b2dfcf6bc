//! Figures, instants and names as people read them on pages. It does NOT compute: whatever is shown was decided before.

use std::fmt;

use askama::filters::HtmlSafe;
use billing::Money;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::Window;
use reports::figures::{grouped, grouped_digits};
use rust_decimal::Decimal;

/// KiB in a GiB.
const GIB_IN_KIB: u64 = 1 << 20;
/// KiB in a MiB.
const MIB_IN_KIB: u64 = 1 << 10;

/// A time zone, and how instants are written in it.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    zone: TimeZone,
    name: String,
}

/// An instant on a page: for people, and for machines in `datetime`. In a template it writes its own `<time>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// `2026-11-21 14:03:00`.
    pub shown: String,
    /// RFC 3339.
    pub machine: String,
}

impl Clock {
    /// The provider's.
    pub(crate) fn utc() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }

    /// A tenant's. A zone that this machine does not know (its tzdata is older) is shown as UTC, and says so.
    pub(crate) fn of_zone(name: &str) -> Self {
        match TimeZone::get(name) {
            Ok(zone) => Self { zone, name: name.to_owned() },
            Err(_) => Self::utc(),
        }
    }

    /// The zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// `Europe/Berlin`.
    pub(crate) fn zone_name(&self) -> &str {
        &self.name
    }

    /// To the second.
    pub(crate) fn moment(&self, at: Timestamp) -> Moment {
        self.with_format(at, "%Y-%m-%d %H:%M:%S")
    }

    /// To the second, with the zone's sign: `2026-11-21 14:03:00 CET`. For a moment that stands alone.
    pub(crate) fn moment_with_zone(&self, at: Timestamp) -> Moment {
        self.with_format(at, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// `1 November 2026`.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%-d %B %Y").to_string()
    }

    /// `November 2026`.
    pub(crate) fn month(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%B %Y").to_string()
    }

    /// A period: `November 2026` where it is a month, its first and last instants where it is not.
    pub(crate) fn span(&self, span: Window) -> String {
        let (start, end) = (span.start().to_zoned(self.zone.clone()), span.end().to_zoned(self.zone.clone()));
        let is_midnight = start.time() == Time::midnight() && end.time() == Time::midnight();
        if is_midnight
            && start.day() == 1
            && start.date().checked_add(1.month()).is_ok_and(|next| next == end.date())
        {
            return self.month(span.start());
        }
        format!("{} to {}", start.strftime("%Y-%m-%d %H:%M"), end.strftime("%Y-%m-%d %H:%M"))
    }

    /// The day that it is.
    pub(crate) fn date(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// The month that it is, as billing writes months: `2026-11`.
    pub(crate) fn month_key(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m").to_string()
    }

    fn with_format(&self, at: Timestamp, format: &str) -> Moment {
        let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Moment {
            shown: whole.to_zoned(self.zone.clone()).strftime(format).to_string(),
            machine: whole.to_string(),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", self.machine, self.shown)
    }
}

/// Both texts are digits, punctuation and the names of months and zones, which this module writes.
impl HtmlSafe for Moment {}

/// `1,234.50 EUR`, with a space that does not break.
pub(crate) fn money(money: Money) -> String {
    let currency = money.currency();
    format!("{}\u{a0}{currency}", grouped(money.amount(), currency.exponent()))
}

/// The same without coins where they would pretend to a precision that a forecast has not: from a hundred on.
pub(crate) fn money_about(value: Money) -> String {
    if value.amount().abs() < Decimal::ONE_HUNDRED {
        return money(value);
    }
    format!("{}\u{a0}{}", quantity(value.amount(), 0), value.currency())
}

/// A quantity with at most `decimals` decimals, grouped, rounded half away from zero; for overviews. Documents show
/// every digit.
pub(crate) fn quantity(value: Decimal, decimals: u32) -> String {
    let rounded =
        value.round_dp_with_strategy(decimals, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    match rounded.is_zero() && !value.is_zero() {
        true => format!("< {}", Decimal::new(1, decimals)),
        false => grouped(rounded, 0),
    }
}

/// A quantity with exactly `decimals` decimals, so that the points of a column stand under each other.
pub(crate) fn quantity_in_column(value: Decimal, decimals: u32) -> String {
    let rounded =
        value.round_dp_with_strategy(decimals, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
    match rounded.is_zero() && !value.is_zero() {
        true => format!("< {}", Decimal::new(1, decimals)),
        false => grouped(rounded, decimals),
    }
}

/// A whole number, grouped.
pub(crate) fn whole(value: u128) -> String {
    grouped_digits(&value.to_string())
}

/// `2 GiB`, `512 MiB`, `7 KiB`: exact where it is whole, one decimal above that.
pub(crate) fn kib(value: u64) -> String {
    let (unit, name) = match value {
        GIB_IN_KIB.. => (GIB_IN_KIB, "GiB"),
        MIB_IN_KIB.. => (MIB_IN_KIB, "MiB"),
        _ => (1, "KiB"),
    };
    let tenths = Decimal::from(value) / Decimal::from(unit);
    format!("{}\u{a0}{name}", quantity(tenths, 1))
}

/// A rate of a chart: `1.5 MiB/s`. For pictures and the tables behind them alone.
pub(crate) fn bytes_per_second(value: f64) -> String {
    let mut units = ["B/s", "KiB/s", "MiB/s", "GiB/s"].into_iter();
    let (mut value, mut unit) = (value, units.next().unwrap_or_default());
    for larger in units {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, larger);
    }
    let decimals = if unit == "B/s" || 100.0 <= value { 0 } else { 1 };
    format!("{value:.decimals$}\u{a0}{unit}")
}

/// How long ago: `3 min`, `7 h`, `12 days`, rounded down.
pub(crate) fn age(age: SignedDuration) -> String {
    match age.as_secs() {
        seconds @ ..60 => format!("{} s", seconds.max(0)),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_and_groups() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        let table = [
            (quantity(decimal("1234567.891"), 2), "1,234,567.89"),
            (quantity(decimal("0.0004"), 3), "< 0.001"),
            (quantity(Decimal::ZERO, 3), "0"),
            (quantity(decimal("12.500"), 3), "12.5"),
            (quantity(decimal("-1234.5"), 1), "\u{2212}1,234.5"),
            (quantity_in_column(decimal("675.8"), 3), "675.800"),
            (quantity_in_column(decimal("1234.56789"), 3), "1,234.568"),
            (quantity_in_column(decimal("0.00001"), 3), "< 0.001"),
            (whole(0), "0"),
            (whole(33_554_432), "33,554,432"),
            (kib(2 << 20), "2\u{a0}GiB"),
            (kib(512 << 10), "512\u{a0}MiB"),
            (kib(1536 << 10), "1.5\u{a0}GiB"),
            (kib(7), "7\u{a0}KiB"),
        ];
        for (got, expected) in table {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn money_keeps_its_cents() {
        let euros =
            |text: &str| Money::exact(text.parse().unwrap(), billing::Currency::EUR).map(money).unwrap();
        assert_eq!(euros("1234.5"), "1,234.50\u{a0}EUR");
        assert_eq!(euros("-0.01"), "\u{2212}0.01\u{a0}EUR");
        let about =
            |text: &str| money_about(Money::exact(text.parse().unwrap(), billing::Currency::EUR).unwrap());
        assert_eq!(about("99.99"), "99.99\u{a0}EUR");
        assert_eq!(about("12229.50"), "12,230\u{a0}EUR");
    }

    #[test]
    fn an_unknown_zone_is_utc_and_says_so() {
        let clock = Clock::of_zone("Mars/Olympus");
        assert_eq!(clock.zone_name(), "UTC");
        let at = "2026-10-25T00:30:00Z".parse().unwrap();
        assert_eq!(Clock::of_zone("Europe/Berlin").moment_with_zone(at).shown, "2026-10-25 02:30:00 CEST");
    }
}
