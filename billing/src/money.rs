//! Money: an amount in a currency, never finer than the currency's smallest coin and never a float.
//!
//! It does not convert currencies and does not know prices, which are finer than coins: a price is a plain
//! decimal until it is multiplied with a quantity and rounded, once, by [`HALF_AWAY_FROM_ZERO`].

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// How an amount becomes whole coins: to the nearest, and a half away from zero, as people round by hand and
/// as tax authorities expect. Applied once for each line and once for the tax.
pub const HALF_AWAY_FROM_ZERO: RoundingStrategy = RoundingStrategy::MidpointAwayFromZero;

/// A currency of ISO 4217 in which one can pay: one that has an exponent (gold and test codes have none).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

/// An amount, a whole number of the currency's smallest coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawMoney", into = "RawMoney")]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

/// Why something is no money, or two amounts could not be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// There is no such currency.
    #[error(
        "{shown:?} is no currency of ISO 4217 that one can pay in: write three capital letters, such as \"EUR\""
    )]
    UnknownCurrency {
        /// At most the first 80 characters of it.
        shown: String,
    },
    /// The two are in different currencies.
    #[error("amounts in {left} and {right} cannot be added")]
    MixedCurrencies {
        /// One.
        left: Currency,
        /// The other.
        right: Currency,
    },
    /// The amount is finer than the smallest coin.
    #[error("{amount} is finer than the smallest coin of {currency}")]
    TooFine {
        /// The amount.
        amount: Decimal,
        /// The currency.
        currency: Currency,
    },
    /// The amount has more than the 28 digits that a decimal holds.
    #[error("the amount in {currency} is too large: it needs more than 28 digits")]
    TooLarge {
        /// The currency.
        currency: Currency,
    },
}

impl Currency {
    /// The euro.
    pub const EUR: Currency = Currency(iso_currency::Currency::EUR);

    /// The currency of that code.
    ///
    /// # Errors
    /// There is none, or it has no coins.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency { shown: code.chars().take(80).collect() })
    }

    /// The three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Its name in English.
    #[must_use]
    pub fn name(self) -> String {
        self.0.name().to_owned()
    }

    /// Its usual sign, such as `€`.
    #[must_use]
    pub fn symbol(self) -> String {
        self.0.symbol().to_string()
    }

    /// How many decimals its smallest coin has: 0 for JPY, 2 for EUR, 3 for BHD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        self.0.exponent().map(u32::from).expect("only currencies with an exponent become a Currency")
    }
}

impl Money {
    /// Nothing, in `currency`.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::new(0, currency.exponent()), currency }
    }

    /// Exactly `amount`.
    ///
    /// # Errors
    /// It is finer than the smallest coin, or too large to be written with the currency's decimals.
    pub fn exact(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let money = Self::rounded(amount, currency)?;
        if money.amount == amount { Ok(money) } else { Err(MoneyError::TooFine { amount, currency }) }
    }

    /// `amount` rounded to whole coins by [`HALF_AWAY_FROM_ZERO`].
    ///
    /// # Errors
    /// It is too large to be written with the currency's decimals.
    pub fn rounded(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let exponent = currency.exponent();
        let mut amount = amount.round_dp_with_strategy(exponent, HALF_AWAY_FROM_ZERO);
        // Always all decimals of the currency: 2 euros are "2.00".
        amount.rescale(exponent);
        if amount.scale() == exponent {
            Ok(Self { amount, currency })
        } else {
            Err(MoneyError::TooLarge { currency })
        }
    }

    /// So many of the smallest coins; `None` when they need more than 28 digits.
    pub(crate) fn from_coins(coins: i128, currency: Currency) -> Option<Self> {
        let amount = Decimal::try_from_i128_with_scale(coins, currency.exponent()).ok()?;
        Some(Self { amount, currency })
    }

    /// How many of the smallest coins it is.
    pub(crate) const fn coins(self) -> i128 {
        // Every way to make one brings the amount to the currency's decimals.
        self.amount.mantissa()
    }

    /// The amount, with all decimals of the currency.
    #[must_use]
    pub const fn amount(self) -> Decimal {
        self.amount
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.amount.is_zero()
    }

    /// Both together.
    ///
    /// # Errors
    /// They are in different currencies, or the sum is too large.
    pub fn checked_add(self, other: Money) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies { left: self.currency, right: other.currency });
        }
        let too_large = MoneyError::TooLarge { currency: self.currency };
        let amount = self.amount.checked_add(other.amount).ok_or(too_large)?;
        Self::exact(amount, self.currency)
    }

    /// All of `parts` together.
    ///
    /// # Errors
    /// One is not in `currency`, or the sum is too large.
    pub fn sum(currency: Currency, parts: impl IntoIterator<Item = Money>) -> Result<Self, MoneyError> {
        parts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

impl fmt::Display for Money {
    /// `12.30 EUR`, without grouping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// The outward form: `{"amount": "12.30", "currency": "EUR"}`.
#[derive(Serialize, Deserialize)]
struct RawMoney {
    #[serde(with = "rust_decimal::serde::str")]
    amount: Decimal,
    currency: Currency,
}

impl TryFrom<RawMoney> for Money {
    type Error = MoneyError;

    fn try_from(raw: RawMoney) -> Result<Self, Self::Error> {
        Self::exact(raw.amount, raw.currency)
    }
}

impl From<Money> for RawMoney {
    fn from(money: Money) -> Self {
        Self { amount: money.amount, currency: money.currency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [exact, code, expected] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("three words a line: {line}");
            };
            let currency = Currency::parse(code).unwrap();
            let money = Money::rounded(exact.parse().unwrap(), currency).unwrap();
            assert_eq!(money.to_string(), format!("{expected} {code}"), "{line}");
        }
    }

    #[test]
    fn a_yen_has_no_cents_and_a_dinar_has_a_thousand_fils() {
        check(
            "
            0.4       JPY  0
            0.5       JPY  1
            1234.5    JPY  1235
            0.004     EUR  0.00
            0.005     EUR  0.01
            0.0049999 EUR  0.00
            2         EUR  2.00
            -0.005    EUR  -0.01
            -0.0049   EUR  0.00
            0.0005    BHD  0.001
            1.2344    BHD  1.234
            2.5       CLP  3
            ",
        );
    }

    #[test]
    fn euros_and_yen_are_never_added() {
        let euro = Money::rounded(Decimal::ONE, Currency::EUR).unwrap();
        let yen = Money::rounded(Decimal::ONE, Currency::parse("JPY").unwrap()).unwrap();
        let error = euro.checked_add(yen).unwrap_err();
        assert_eq!(error.to_string(), "amounts in EUR and JPY cannot be added");
        assert!(Money::sum(Currency::EUR, [euro, yen]).is_err());
    }

    #[test]
    fn gold_test_codes_and_noise_are_no_currency() {
        for code in ["XAU", "XTS", "XXX", "eur", "EURO", "", "€", "'; DROP", &"E".repeat(10_000)] {
            let error = Currency::parse(code).unwrap_err().to_string();
            assert!(error.len() < 400, "{error}");
        }
    }

    #[test]
    fn an_amount_that_no_coin_can_pay_is_refused() {
        let error = Money::exact("0.001".parse().unwrap(), Currency::EUR).unwrap_err();
        assert!(matches!(error, MoneyError::TooFine { .. }), "{error}");
        let error = Money::rounded(Decimal::MAX, Currency::EUR).unwrap_err();
        assert!(matches!(error, MoneyError::TooLarge { .. }), "{error}");
        assert!(Money::sum(Currency::EUR, []).unwrap().is_zero());
    }
}
