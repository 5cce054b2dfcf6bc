//! Allowances: so much of a meter, or of money, in a calendar month of the tenant, with thresholds on what was consumed
//! and on what will have been by the end of the month, and what is to be done when one is crossed. The arithmetic is pure
//! and whole-numbered; rows are kept by [`allowances`] and [`actions`].
//!
//! It does NOT touch instances: a crossing leaves its mail, its event and, if it acts, a row of `limit_action` in one
//! transaction. The appliance carries that out and says so. It computes neither usage nor charges.

pub mod actions;
pub mod allowances;
pub mod overview;
pub mod sql;
pub mod throttled;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use metering::{MeterName, Window};
use rust_decimal::Decimal;

use crate::money::{Currency, Money};

/// A forecast is made from the second day of a month on: before, an hour of work would look like a month of it.
pub const FORECAST_AFTER_S: i64 = 86_400;
/// A forecast that acts does so from the eighth day of a month on, when every day of the week has been in it once: of a straight
/// line nobody knows how wrong it is, so a busy Monday must not look like a busy month.
pub const FORECAST_ACTS_AFTER_S: i64 = 7 * 86_400;
/// A forecast that has acted is over when it has fallen by so much, in percent of what is allowed: a throttled tenant consumes
/// less, so that its forecast falls because it is throttled.
pub const FORECAST_SLACK: u32 = 10;
/// The largest threshold, in percent: ten times what is allowed.
pub const PERCENT_MAX: u32 = 1_000;
/// Thresholds of one allowance.
pub const THRESHOLDS_MAX: usize = 16;
/// Allowances of one tenant: for each meter, and some of money.
pub const ALLOWANCES_MAX: usize = 32;
/// The largest quantity, in the priced unit: 10^12. The arithmetic stays within 128 bits.
const QUANTITY_MAX: i64 = 1_000_000_000_000;
/// Decimals of a quantity, as in rating.
const QUANTITY_SCALE: u32 = 6;

/// What is allowed in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Money, with tax.
    Money(Money),
    /// So much of a meter, in its priced unit.
    Quantity(MeterName, Decimal),
}

/// What a threshold looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// What was consumed so far.
    Actual,
    /// What will have been by the end of the month, if it goes on as it went so far: see [`forecast`].
    Forecast,
}

/// What is done when a threshold is crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Those concerned are told.
    Notify,
    /// The rates of instances are bounded, as the configuration says, and set back when it is over.
    Throttle,
    /// Running instances are paused, and resumed when it is over.
    Suspend,
    /// Running instances are stopped. When it is over they may be started again.
    Stop,
}

/// A part of what is allowed, and what is done when it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Threshold {
    /// Of what.
    pub basis: Basis,
    /// How much of it, in percent.
    pub percent: u32,
    /// What is done.
    pub action: Action,
}

/// Why an allowance is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is not more than nothing, too large, or finer than quantities are.
    #[error(
        "an allowance of {0} cannot be kept: it is more than 0, at most {QUANTITY_MAX}, with at most {QUANTITY_SCALE} decimals"
    )]
    Quantity(Decimal),
    /// Nobody can spend a part of nothing.
    #[error("an allowance of {0} is none: set more than nothing, or remove the allowance")]
    NotPositive(Money),
    /// A threshold is no text of one.
    #[error("{0:?} is no threshold: write it like 80, 100:stop, or forecast:100:notify")]
    Threshold(String),
    /// Nobody could be told apart from everything.
    #[error("a threshold is from 1 to {PERCENT_MAX} percent, not {0}")]
    Percent(u32),
    /// There is none, or there are too many, or one twice.
    #[error("name 1 to {THRESHOLDS_MAX} thresholds, each of a basis and percentage of its own")]
    Thresholds,
    /// A forecast would stop because of what has not been consumed.
    #[error(
        "a forecast notifies or throttles: {0} would stop a tenant because of what it has not consumed; put suspend and stop on the actual figure"
    )]
    ForecastStops(Threshold),
    /// The name is none.
    #[error(
        "{0:?} is no name of an allowance: write 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit"
    )]
    Name(String),
    /// The tenant may not see the meter.
    #[error("there is no meter {0} for tenants")]
    Meter(MeterName),
}

impl Allowed {
    /// Checks a limit before it is kept.
    ///
    /// # Errors
    /// See [`Invalid`].
    pub fn check(self) -> Result<Self, Invalid> {
        match self {
            Self::Money(money) if money.amount() <= Decimal::ZERO => Err(Invalid::NotPositive(money)),
            Self::Quantity(_, quantity)
                if quantity <= Decimal::ZERO
                    || Decimal::from(QUANTITY_MAX) < quantity
                    || QUANTITY_SCALE < quantity.normalize().scale() =>
            {
                Err(Invalid::Quantity(quantity))
            }
            Self::Quantity(meter, quantity) => Ok(Self::Quantity(meter, quantity.normalize())),
            Self::Money(_) => Ok(self),
        }
    }

    /// `EUR`, `GiB`.
    #[must_use]
    pub fn unit(self) -> String {
        match self {
            Self::Money(money) => money.currency().code().to_owned(),
            Self::Quantity(meter, _) => meter.meter().priced_unit.symbol.clone(),
        }
    }

    /// The figure, in [`Allowed::unit`].
    #[must_use]
    pub fn figure(self) -> Decimal {
        match self {
            Self::Money(money) => money.amount(),
            Self::Quantity(_, quantity) => quantity.normalize(),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Money(money) => money.fmt(f),
            Self::Quantity(meter, quantity) => {
                write!(f, "{} {} of {meter}", quantity.normalize(), meter.meter().priced_unit.symbol)
            }
        }
    }
}

/// What was consumed, as a whole number that can be compared with what is allowed: coins, or base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed(i128);

impl Consumed {
    /// Coins.
    #[must_use]
    pub fn money(money: Money) -> Self {
        Self(money.amount().mantissa())
    }

    /// Base units of a meter.
    #[must_use]
    pub fn base_units(quantity: u128) -> Self {
        Self(i128::try_from(quantity).unwrap_or(i128::MAX))
    }

    /// Whether it is `percent` of what is allowed, or more. Exact: both sides are whole numbers.
    #[must_use]
    pub fn reaches(self, allowed: Allowed, percent: u32) -> bool {
        let percent = i128::from(percent);
        match allowed {
            // Money has one scale for each currency: 97 bits and a factor of 1000 fit.
            Allowed::Money(money) => {
                money.amount().mantissa().saturating_mul(percent) <= self.0.saturating_mul(100)
            }
            // At most 10^18 x 3.6 x 10^12 x 10^3: within 128 bits.
            Allowed::Quantity(meter, quantity) => {
                let base_units = i128::from(meter.meter().priced_unit.base_units);
                let one = 10_i128.pow(quantity.scale());
                let allowed = quantity.mantissa().saturating_mul(base_units).saturating_mul(percent);
                allowed <= self.0.saturating_mul(one).saturating_mul(100)
            }
        }
    }

    /// As people read it, in the unit of what is allowed; of meters with six decimals, rounded down.
    #[must_use]
    pub fn figure(self, allowed: Allowed) -> Decimal {
        let decimal = |figure: i128, scale: u32| {
            Decimal::try_from_i128_with_scale(figure, scale).unwrap_or(Decimal::MAX).normalize()
        };
        match allowed {
            Allowed::Money(money) => {
                let scale = money.amount().scale();
                Decimal::try_from_i128_with_scale(self.0, scale).unwrap_or(Decimal::MAX)
            }
            Allowed::Quantity(meter, _) => {
                let base_units = i128::from(meter.meter().priced_unit.base_units).max(1);
                decimal(self.0.saturating_mul(10_i128.pow(QUANTITY_SCALE)) / base_units, QUANTITY_SCALE)
            }
        }
    }
}

/// What will have been consumed at the end of `period`, if it goes on as it went until `now`: consumed x length / elapsed,
/// rounded down. `None`: it is too early to say ([`FORECAST_AFTER_S`]). After the period it is what was consumed.
#[must_use]
pub fn forecast(consumed: Consumed, period: Window, now: Timestamp) -> Option<Consumed> {
    let length = period.end().duration_since(period.start()).as_secs();
    let elapsed = now.duration_since(period.start()).as_secs().min(length);
    if elapsed < FORECAST_AFTER_S.min(length) || elapsed <= 0 {
        return None;
    }
    let (length, elapsed) = (i128::from(length), i128::from(elapsed));
    // In two parts, so that no product leaves 128 bits.
    let (whole, rest) = (consumed.0 / elapsed, consumed.0 % elapsed);
    Some(Consumed(whole.saturating_mul(length).saturating_add(rest * length / elapsed)))
}

/// Checks and orders the thresholds of an allowance.
///
/// # Errors
/// See [`Invalid`].
pub fn thresholds(mut thresholds: Vec<Threshold>) -> Result<Vec<Threshold>, Invalid> {
    thresholds.sort_unstable();
    let is_twice = thresholds
        .windows(2)
        .any(|pair| (pair[0].basis, pair[0].percent) == (pair[1].basis, pair[1].percent));
    if thresholds.is_empty() || THRESHOLDS_MAX < thresholds.len() || is_twice {
        return Err(Invalid::Thresholds);
    }
    for threshold in &thresholds {
        if !(1..=PERCENT_MAX).contains(&threshold.percent) {
            return Err(Invalid::Percent(threshold.percent));
        }
        if threshold.basis == Basis::Forecast && Action::Throttle < threshold.action {
            return Err(Invalid::ForecastStops(*threshold));
        }
    }
    Ok(thresholds)
}

/// A currency that the tenant's plan does not have cannot be compared.
///
/// # Errors
/// The two differ.
pub fn check_currency(allowed: Allowed, plan: Currency) -> Result<(), crate::budget::WrongCurrency> {
    match allowed {
        Allowed::Money(money) => crate::budget::check_currency(money.currency(), plan),
        Allowed::Quantity(..) => Ok(()),
    }
}

impl Basis {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Forecast => "forecast",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Actual, Self::Forecast].into_iter().find(|basis| basis.as_str() == text)
    }
}

impl Action {
    /// Whether nothing runs while it is in force.
    #[must_use]
    pub const fn holds_back(self) -> bool {
        matches!(self, Self::Suspend | Self::Stop)
    }

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Throttle => "throttle",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "notify" => Ok(Self::Notify),
            "throttle" => Ok(Self::Throttle),
            "suspend" => Ok(Self::Suspend),
            "stop" => Ok(Self::Stop),
            _ => Err(Invalid::Threshold(text.chars().take(80).collect())),
        }
    }
}

impl Threshold {
    /// The percentage below which what was done because of it is over, while the month lasts.
    #[must_use]
    pub fn over_below(self) -> u32 {
        match self.basis {
            Basis::Actual => self.percent,
            Basis::Forecast => self.percent.saturating_sub(FORECAST_SLACK).max(1),
        }
    }

    /// What it looks at, at `now`. `None`: it is too early to say.
    #[must_use]
    pub fn figure(self, consumed: Consumed, period: Window, now: Timestamp) -> Option<Consumed> {
        let elapsed = now.duration_since(period.start()).as_secs();
        match (self.basis, self.action) {
            (Basis::Actual, _) => Some(consumed),
            (Basis::Forecast, Action::Notify) => forecast(consumed, period, now),
            (Basis::Forecast, _) if elapsed < FORECAST_ACTS_AFTER_S => None,
            (Basis::Forecast, _) => forecast(consumed, period, now),
        }
    }
}

impl fmt::Display for Threshold {
    /// `80:notify`, `forecast:100:notify`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.basis == Basis::Forecast {
            f.write_str("forecast:")?;
        }
        write!(f, "{}:{}", self.percent, self.action.as_str())
    }
}

impl FromStr for Threshold {
    type Err = Invalid;

    /// `80`, `100:stop`, `forecast:100`, `forecast:100:notify`, `actual:80:notify`
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::Threshold(text.chars().take(80).collect());
        let (basis, rest) =
            match text.split_once(':').and_then(|(word, rest)| Some((Basis::parse(word)?, rest))) {
                Some(found) => found,
                None => (Basis::Actual, text),
            };
        let (percent, action) = rest.split_once(':').unwrap_or((rest, "notify"));
        let is_number = !percent.is_empty() && percent.bytes().all(|byte| byte.is_ascii_digit());
        let percent = percent.parse().ok().filter(|_| is_number).ok_or_else(invalid)?;
        let action = match Action::parse(action) {
            Err(Invalid::Threshold(_)) => return Err(invalid()),
            action => action?,
        };
        Ok(Self { basis, percent, action })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(name: &str) -> MeterName {
        MeterName::parse(name).unwrap()
    }

    fn month() -> Window {
        Window::new("2026-11-01T00:00:00Z".parse().unwrap(), "2026-12-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_meter_reaches_its_allowance_at_the_byte_and_not_before() {
        let bytes = meter("net_tx_bytes");
        let one = u128::from(bytes.meter().priced_unit.base_units);
        let check = |quantity: &str, used: u128, percent: u32, expected: bool| {
            let allowed = Allowed::Quantity(bytes, quantity.parse().unwrap());
            assert_eq!(
                Consumed::base_units(used).reaches(allowed, percent),
                expected,
                "{used} of {quantity}"
            );
        };
        check("100", 100 * one, 100, true);
        check("100", 100 * one - 1, 100, false);
        check("100", 80 * one, 80, true);
        check("100", 80 * one - 1, 80, false);
        check("0.5", one / 2, 100, true);
        check("0.5", one / 2 - 1, 100, false);
        check("1000000000000", 1_000_000_000_000 * one, 1_000, false);
        check("1000000000000", 10_000_000_000_000 * one, 1_000, true);
        check("1000000000000.000000", u128::MAX, 1_000, true);
        check("0.000001", 0, 1, false);
    }

    #[test]
    fn money_reaches_its_allowance_at_the_coin_and_shows_its_figure() {
        let money = |text: &str| Money::exact(text.parse().unwrap(), Currency::EUR).unwrap();
        let allowed = Allowed::Money(money("0.03"));
        assert!(!Consumed::money(money("0.01")).reaches(allowed, 50));
        assert!(Consumed::money(money("0.02")).reaches(allowed, 50));
        assert_eq!(Consumed::money(money("0.02")).figure(allowed).to_string(), "0.02");
        let allowed = Allowed::Quantity(meter("vcpu_ms"), "10".parse().unwrap());
        assert_eq!(Consumed::base_units(5_400_000).figure(allowed).to_string(), "1.5");
    }

    #[test]
    fn a_forecast_goes_on_as_it_went_and_says_nothing_on_the_first_day() {
        let check = |consumed: i128, now: &str, expected: Option<i128>| {
            let forecast = forecast(Consumed(consumed), month(), now.parse().unwrap());
            assert_eq!(forecast.map(|found| found.0), expected, "{consumed} at {now}");
        };
        check(10, "2026-10-31T00:00:00Z", None);
        check(10, "2026-11-01T00:00:00Z", None);
        check(10, "2026-11-01T23:59:59Z", None);
        check(10, "2026-11-02T00:00:00Z", Some(300));
        check(10, "2026-11-16T00:00:00Z", Some(20));
        check(7, "2026-11-11T00:00:00Z", Some(21));
        // Rounded down: 100 x 30 / 29.
        check(100, "2026-11-30T00:00:00Z", Some(103));
        check(100, "2026-12-01T00:00:00Z", Some(100));
        check(100, "2027-01-01T00:00:00Z", Some(100));
        check(0, "2026-11-16T00:00:00Z", Some(0));
        check(i128::MAX, "2026-11-16T00:00:00Z", Some(i128::MAX));
    }

    #[test]
    fn a_forecast_acts_from_the_eighth_day_on_and_is_over_when_it_has_fallen_by_some() {
        let check = |text: &str, now: &str, expected: Option<i128>| {
            let threshold: Threshold = text.parse().unwrap();
            let figure = threshold.figure(Consumed(70), month(), now.parse().unwrap());
            assert_eq!(figure.map(|found| found.0), expected, "{text} at {now}");
        };
        check("forecast:100", "2026-11-07T23:59:59Z", Some(300));
        check("forecast:100:throttle", "2026-11-07T23:59:59Z", None);
        check("forecast:100:throttle", "2026-11-08T00:00:00Z", Some(300));
        check("100:throttle", "2026-11-01T00:00:00Z", Some(70));
        for (text, below) in
            [("forecast:100:throttle", 90), ("forecast:5:throttle", 1), ("100:throttle", 100), ("1:stop", 1)]
        {
            assert_eq!(text.parse::<Threshold>().unwrap().over_below(), below, "{text}");
        }
    }

    #[test]
    fn thresholds_are_read_as_they_are_written_and_odd_ones_say_how_to_mend_them() {
        for (text, written) in [
            ("80", "80:notify"),
            ("100:stop", "100:stop"),
            ("actual:100:suspend", "100:suspend"),
            ("90:throttle", "90:throttle"),
            ("forecast:120", "forecast:120:notify"),
            ("forecast:120:throttle", "forecast:120:throttle"),
            ("forecast:100:notify", "forecast:100:notify"),
        ] {
            let threshold: Threshold = text.parse().unwrap();
            assert_eq!(threshold.to_string(), written);
            assert_eq!(written.parse(), Ok(threshold));
        }
        for odd in
            ["", "x", "80:", "80:explode", "+80", "80.5", "-1", "80:stop:now", "soon:80", "99999999999"]
        {
            let error = odd.parse::<Threshold>().unwrap_err();
            assert_eq!(error, Invalid::Threshold(odd.to_owned()), "{odd}");
        }
        let check =
            |list: &str| thresholds(list.split_whitespace().map(|text| text.parse().unwrap()).collect());
        assert_eq!(check("100:stop 80").unwrap().len(), 2);
        assert_eq!(check(""), Err(Invalid::Thresholds));
        assert_eq!(check("80 80:stop"), Err(Invalid::Thresholds));
        assert_eq!(check("0"), Err(Invalid::Percent(0)));
        assert_eq!(check("1001"), Err(Invalid::Percent(1_001)));
        assert!(matches!(check("forecast:100:stop"), Err(Invalid::ForecastStops(_))));
        assert!(matches!(check("forecast:100:suspend"), Err(Invalid::ForecastStops(_))));
        assert!(check("80 forecast:80:throttle").is_ok());
        assert!(check("80 forecast:80").is_ok());
    }

    #[test]
    fn nothing_less_than_nothing_and_nothing_too_fine_is_allowed() {
        for odd in ["0", "-1", "0.0000001", "1000000000001"] {
            let allowed = Allowed::Quantity(meter("cpu_ns"), odd.parse().unwrap());
            assert!(matches!(allowed.check(), Err(Invalid::Quantity(_))), "{odd}");
        }
        let fine = Allowed::Quantity(meter("cpu_ns"), "0.50000000".parse().unwrap());
        assert!(fine.check().is_ok());
        assert!(Allowed::Money(Money::zero(Currency::EUR)).check().is_err());
    }
}
