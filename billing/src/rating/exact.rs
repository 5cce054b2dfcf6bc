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

/// A power of ten by which figures of 63 bits are divided by multiplying, which takes a third of the time: `n / divisor` is
/// `(n x factor) >> (63 + shift)`, where `factor` is `2^(63 + shift) / divisor`, rounded up. With `shift = log2(divisor)`, that
/// rounded up, too, the error is too small to reach the next whole number, and `factor` has 64 bits (Granlund and Montgomery,
/// 1994).
#[derive(Clone, Copy)]
struct Power {
    divisor: u64,
    factor: u64,
    shift: u32,
}

/// The powers of ten that 63 bits hold.
const POWERS: [Power; 19] = {
    let mut powers = [Power::new(1); 19];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = Power::new(powers[n - 1].divisor * 10);
        n += 1;
    }
    powers
};

impl Power {
    const fn new(divisor: u64) -> Self {
        let shift = divisor.next_power_of_two().trailing_zeros();
        let factor = (1_u128 << (63 + shift)).div_ceil(divisor as u128);
        Self { divisor, factor: factor as u64, shift }
    }

    /// `value / divisor`, to the nearest, and a half upwards. The value has at most 63 bits.
    #[inline]
    const fn divide(&self, value: u64) -> u64 {
        // Doubled, it is the upper half of the product that is shifted.
        let high = (((value << 1) as u128 * self.factor as u128) >> 64) as u64;
        let quotient = high >> self.shift;
        let remainder = value - quotient * self.divisor;
        // The remainder is less than the divisor, so the subtraction cannot underflow.
        quotient + (self.divisor - remainder <= remainder) as u64
    }
}

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

    /// [`Exact::of_units`] and [`Exact::to_coins`] of figures of 63 bits, as most are; `None`: of others.
    #[inline]
    pub(super) fn short_coins(units: i128, unit_price: &Decimal, exponent: u32) -> Option<i128> {
        let price = unit_price.unpack();
        if price.hi != 0 {
            return None;
        }
        let mantissa = u64::from(price.lo) | u64::from(price.mid) << 32;
        let product =
            u64::try_from(units).ok()?.checked_mul(mantissa).filter(|product| *product < 1 << 63)?;
        let power = POWERS.get((QUANTITY_SCALE + price.scale).wrapping_sub(exponent) as usize)?;
        let coins = i128::from(power.divide(product));
        Some(if price.negative { -coins } else { coins })
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
        if let Ok(mantissa) = i64::try_from(self.mantissa)
            && i64::MIN < mantissa
            && let Some(power) = POWERS.get(self.scale.wrapping_sub(exponent) as usize)
        {
            let coins = i128::from(power.divide(mantissa.unsigned_abs()));
            return Some(if mantissa < 0 { -coins } else { coins });
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
    let (quotient, remainder) = (value / divisor, value % divisor);
    let remainder = remainder.abs();
    if remainder < divisor - remainder { quotient } else { quotient + value.signum() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn at_every_border_the_short_way_to_coins_is_the_long_way() {
        for scale in 0..=18 {
            let divisor = 10_u64.pow(scale);
            for whole in [0, 1, 2, 9, 10, (1_u64 << 63) / divisor / 2, ((1_u64 << 63) - 1) / divisor] {
                for value in
                    [0, 1, divisor / 2, divisor / 2 + 1, divisor - 1].map(|rest| whole * divisor + rest)
                {
                    for value in
                        [value.saturating_sub(1), value, (1 << 63) - 1].map(|value| value.min((1 << 63) - 1))
                    {
                        let long = divide_half_away(value.into(), divisor.into());
                        assert_eq!(
                            i128::from(POWERS[scale as usize].divide(value)),
                            long,
                            "{value} / {divisor}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_short_way_to_coins_is_the_long_way(value in any::<i64>(), bits in 0_u32..64, scale in 0_u32..=18) {
            let mantissa = i128::from(value >> bits);
            let exact = Exact { mantissa, scale };
            prop_assert_eq!(exact.to_coins(0), exact.to_coins_of_any_length(0));
            prop_assert_eq!(exact.to_coins(2), exact.to_coins_of_any_length(2));
        }

        #[test]
        fn an_amount_of_short_figures_is_that_of_long_ones(
            units in any::<i64>(), bits in 0_u32..64, price in any::<i64>(), cut in 0_u32..64, scale in 0_u32..=12,
        ) {
            let (units, price) = (i128::from(units >> bits), Decimal::new(price >> cut, scale));
            if let Some(coins) = Exact::short_coins(units, &price, 2) {
                let exact = Exact::of_units(units, &price).unwrap();
                prop_assert_eq!(Some(coins), exact.to_coins_of_any_length(2));
            }
        }
    }
}
