//! What a month will come to if it goes on as it did so far. Pure arithmetic on decimals; it does NOT know usage, and it
//! gives no figure where there is too little to stand on.

use billing::{InvoiceDocument, LineKind, Money};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// Less than this says nothing about a month: a day has its night, and two make a rhythm.
const ELAPSED_MIN: SignedDuration = SignedDuration::from_hours(48);

/// What a month will come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Less than two days have gone by: no forecast.
    TooEarly,
    /// About that much.
    About(Money),
    /// That much or more: with free allowances money begins late, and then grows faster than it did on average.
    AtLeast(Money),
}

/// The draft's total, carried on to the end of its period at the pace since `begun_at` (the period's start, or later for a
/// tenant that came later), as of `as_of`.
pub(super) fn of(draft: &InvoiceDocument, begun_at: Timestamp, as_of: Timestamp) -> Pace {
    let period = draft.service_period;
    let begin = begun_at.max(period.start());
    if as_of.duration_since(begin) < ELAPSED_MIN {
        return Pace::TooEarly;
    }
    let us = |from: Timestamp, to: Timestamp| {
        Decimal::from(to.as_microsecond().saturating_sub(from.as_microsecond()))
    };
    let factor = us(begin, period.end()).checked_div(us(begin, as_of.min(period.end())));
    let carried = factor.and_then(|factor| draft.total.amount().checked_mul(factor));
    match carried.map(|amount| Money::rounded(amount, draft.currency)) {
        Some(Ok(money)) if draft.lines.iter().any(|line| line.kind == LineKind::Included) => {
            Pace::AtLeast(money)
        }
        Some(Ok(money)) => Pace::About(money),
        _ => Pace::TooEarly,
    }
}

#[cfg(test)]
mod tests {
    use billing::Currency;
    use metering::Window;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn draft(total: &str) -> InvoiceDocument {
        let euros = Money::exact(total.parse().unwrap(), Currency::EUR).unwrap();
        InvoiceDocument {
            service_period: Window::new(at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")).unwrap(),
            lines: Vec::new(),
            subtotal: euros,
            total: euros,
            ..InvoiceDocument::sample_small()
        }
    }

    fn check(total: &str, begun_at: &str, as_of: &str, expected: &str) {
        let shown = match of(&draft(total), at(begun_at), at(as_of)) {
            Pace::TooEarly => "too early".to_owned(),
            Pace::About(money) => format!("about {money}"),
            Pace::AtLeast(money) => format!("at least {money}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_month_that_is_half_over_comes_to_twice_as_much() {
        check("50.00", "2026-01-01T00:00:00Z", "2026-11-16T00:00:00Z", "about 100.00 EUR");
    }

    #[test]
    fn a_tenant_who_came_late_is_not_carried_on_at_the_pace_of_days_before() {
        check("10.00", "2026-11-21T00:00:00Z", "2026-11-26T00:00:00Z", "about 20.00 EUR");
    }

    #[test]
    fn one_morning_is_no_month() {
        check("10.00", "2026-01-01T00:00:00Z", "2026-11-01T08:00:00Z", "too early");
        check("10.00", "2026-11-29T12:00:00Z", "2026-11-30T12:00:00Z", "too early");
    }

    #[test]
    fn a_month_that_is_over_comes_to_what_it_came_to() {
        check("10.00", "2026-01-01T00:00:00Z", "2026-12-03T00:00:00Z", "about 10.00 EUR");
    }
}
