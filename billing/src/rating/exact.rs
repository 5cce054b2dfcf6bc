//! The product of two decimals, without loss. `Decimal`'s own multiplication rounds silently when the result needs
//! more than 28 digits, which would be a second rounding; here it is an error instead.

use std::fmt;

use rust_decimal::Decimal;

use super::quantity::QUANTITY_SCALE;
use crate::money::{Currency, Money};

/// `mantissa x 10^-scale`, up to 38 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    mantissa: i128,
    scale: u32,
}

/// The powers of ten that 64 bits hold.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

impl Exact {
    /// `None` when it needs more than 38 digits.
    #[inline]
    pub(super) fn product(a: Decimal, b: Decimal) -> Option<Self> {
        let (x, y) = (a.mantissa(), b.mantissa());
        // Two factors of 64 bits cannot overflow, and most are.
        let mantissa = match (i64::try_from(x), i64::try_from(y)) {
            (Ok(x), Ok(y)) => i128::from(x) * i128::from(y),
            _ => x.checked_mul(y)?,
        };
        Some(Self { mantissa, scale: a.scale() + b.scale() })
    }

    /// The product of a quantity in millionths and its price.
    #[inline]
    pub(super) fn of_units(units: i128, unit_price: &Decimal) -> Option<Self> {
        let price = unit_price.mantissa();
        let mantissa = match (i64::try_from(units), i64::try_from(price)) {
            (Ok(units), Ok(price)) => i128::from(units) * i128::from(price),
            _ => units.checked_mul(price)?,
        };
        Some(Self { mantissa, scale: QUANTITY_SCALE + unit_price.scale() })
    }

    /// Rounded to the currency's coins, half away from zero (`money::HALF_AWAY_FROM_ZERO`, on 38 digits). `None`
    /// when that needs more than 28 digits.
    pub(super) fn to_money(self, currency: Currency) -> Option<Money> {
        self.to_coins(currency.exponent()).and_then(|coins| Money::from_coins(coins, currency))
    }

    /// The coins of a currency with so many decimals, rounded as by [`Exact::to_money`]. `None` when they need more than 38
    /// digits.
    #[inline]
    pub(super) fn to_coins(self, exponent: u32) -> Option<i128> {
        // Prices times quantities have rarely more digits.
        if let (Ok(mantissa), true) = (i64::try_from(self.mantissa), exponent <= self.scale)
            && let Some(divisor) = POWERS.get((self.scale - exponent) as usize)
        {
            return Some(divide_half_away_short(mantissa, *divisor).into());
        }
        self.to_coins_of_any_length(exponent)
    }

    fn to_coins_of_any_length(self, exponent: u32) -> Option<i128> {
        let coins = if self.scale <= exponent {
            self.mantissa.checked_mul(10_i128.checked_pow(exponent - self.scale)?)?
        } else {
            match 10_i128.checked_pow(self.scale - exponent) {
                Some(divisor) => divide_half_away(self.mantissa, divisor),
                // A divisor of 39 digits: no mantissa reaches half of it.
                None => 0,
            }
        };
        Some(coins)
    }

    /// The mantissa and how many of its digits stand after the point.
    pub(super) const fn parts(self) -> (i128, u32) {
        (self.mantissa, self.scale)
    }

    /// The product with one more decimal; `None` when it needs more than 38 digits.
    pub(super) fn times(self, factor: Decimal) -> Option<Self> {
        let mantissa = self.mantissa.checked_mul(factor.mantissa())?;
        Some(Self { mantissa, scale: self.scale + factor.scale() })
    }

    /// Whether it is the same number as `amount`.
    pub(super) fn is(self, amount: Decimal) -> bool {
        let (a, b) = (self.trimmed(), amount.normalize());
        a.mantissa == b.mantissa() && (a.mantissa == 0 || a.scale == b.scale())
    }

    fn trimmed(mut self) -> Self {
        while 0 < self.scale && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl fmt::Display for Exact {
    /// All digits, without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mantissa, scale } = self.trimmed();
        let scale = scale as usize;
        let digits = format!("{:0>width$}", mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if mantissa < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// To the nearest, and a half away from zero.
pub(super) fn divide_half_away(value: i128, divisor: i128) -> i128 {
    // Division of 64 bits is several times as fast, and most amounts fit.
    if let (Ok(value), Ok(divisor)) = (i64::try_from(value), i64::try_from(divisor)) {
        return divide_half_away_short(value, divisor).into();
    }
    let (quotient, remainder) = (value / divisor, value % divisor);
    let remainder = remainder.abs();
    if remainder < divisor - remainder { quotient } else { quotient + value.signum() }
}

/// The same of figures of 64 bits. The divisor is more than nothing.
#[inline]
fn divide_half_away_short(value: i64, divisor: i64) -> i64 {
    let (quotient, remainder) = (value / divisor, (value % divisor).abs());
    // With a divisor of 1 nothing remains; else the quotient is at most half of what 64 bits hold.
    let up = divisor - remainder <= remainder;
    quotient + if up { value.signum() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a x b = product ~ rounded currency`
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [a, _, b, _, product, _, rounded, code] = line.split_whitespace().collect::<Vec<_>>()[..]
            else {
                panic!("a x b = product ~ rounded currency: {line}");
            };
            let exact = Exact::product(a.parse().unwrap(), b.parse().unwrap()).unwrap();
            assert_eq!(exact.to_string(), product, "{line}");
            let money = exact.to_money(Currency::parse(code).unwrap()).unwrap();
            assert_eq!(money.amount().to_string(), rounded, "{line}");
        }
    }

    #[test]
    fn a_product_of_more_than_28_digits_is_not_rounded_twice() {
        check(
            "
            12.345678 x 0.04 = 0.49382712 ~ 0.49 EUR
            0.125000 x 0.04 = 0.005 ~ 0.01 EUR
            0.124999 x 0.04 = 0.00499996 ~ 0.00 EUR
            -0.125 x 0.04 = -0.005 ~ -0.01 EUR
            0.500000 x 1 = 0.5 ~ 1 JPY
            0.0005 x 1 = 0.0005 ~ 0.001 BHD
            7.000000 x 2.00 = 14 ~ 14.00 EUR
            0 x 0.000000000001 = 0 ~ 0.00 EUR
            12345678901.999999 x 0.999999999999 = 12345678901.987653321098000001 ~ 12345678901.99 EUR
            1234567890123.456789 x 1234567.000000000001 = 1524156776406045678.859930890123456789 ~ 1524156776406045678.86 EUR
            ",
        );
    }

    #[test]
    fn an_amount_beyond_all_digits_is_an_error_and_no_panic() {
        assert_eq!(Exact::product(Decimal::MAX, Decimal::MAX), None);
        let huge = Exact::product(Decimal::MAX, Decimal::ONE).unwrap();
        assert_eq!(huge.to_money(Currency::EUR), None);
        let tiny = Exact::product(Decimal::new(1, 28), Decimal::new(1, 28)).unwrap();
        assert!(tiny.to_money(Currency::EUR).unwrap().is_zero());
    }
}
