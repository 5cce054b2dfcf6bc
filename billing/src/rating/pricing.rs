//! From a price to an amount of the invoice: quantity x unit price, x the exchange rate if the invoice is in another
//! currency, / (1 + the tax in it) if prices contain one; rounded once, here and nowhere else. It knows no cards.

use rust_decimal::Decimal;

use super::exact::Exact;
use crate::exchange::ExchangeRate;
use crate::money::{Currency, Money};
use crate::tax::TaxRate;

/// What stands between a price of the plan and an amount of the invoice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pricing<'a> {
    pub(super) currency: Currency,
    /// How many decimals its smallest coin has: looking it up takes as long as a multiplication.
    pub(super) exponent: u32,
    pub(super) exchange: Option<&'a ExchangeRate>,
    /// Whether prices contain the tax.
    pub(super) is_gross: bool,
}

impl<'a> Pricing<'a> {
    /// Into `currency`, by `exchange` if that is not the prices' own.
    pub(super) fn new(currency: Currency, exchange: Option<&'a ExchangeRate>, is_gross: bool) -> Self {
        Self { currency, exponent: currency.exponent(), exchange, is_gross }
    }

    /// The amount, rounded once, half away from zero (`money::HALF_AWAY_FROM_ZERO`). `None` when figures are beyond 38
    /// digits.
    pub(super) fn amount(&self, quantity: Decimal, unit_price: Decimal, tax: &TaxRate) -> Option<Money> {
        Money::from_coins(self.coins(Exact::product(quantity, unit_price)?, tax)?, self.currency)
    }

    /// The same in coins, of a quantity in millionths.
    #[inline]
    pub(super) fn amount_of(&self, units: i128, unit_price: &Decimal, tax: &TaxRate) -> Option<i128> {
        let short = || Exact::short_coins(units, unit_price, self.exponent);
        match (self.exchange.is_none() && !self.is_gross).then(short).flatten() {
            Some(coins) => Some(coins),
            None => self.long_amount_of(units, unit_price, tax),
        }
    }

    #[inline(never)]
    fn long_amount_of(&self, units: i128, unit_price: &Decimal, tax: &TaxRate) -> Option<i128> {
        self.coins(Exact::of_units(units, unit_price)?, tax)
    }

    fn coins(&self, product: Exact, tax: &TaxRate) -> Option<i128> {
        let coins = if self.exchange.is_none() && !self.is_gross {
            product.to_coins(self.exponent)?
        } else {
            self.exchanged(product, tax)?
        };
        // What money can hold.
        (coins.unsigned_abs() < 1 << 96).then_some(coins)
    }

    fn exchanged(&self, product: Exact, tax: &TaxRate) -> Option<i128> {
        let rate = self.exchange.map_or(Decimal::ONE, |exchange| exchange.rate);
        let divisor = if self.is_gross { Decimal::ONE.checked_add(tax.in_prices)? } else { Decimal::ONE };
        self.converted(product, rate, divisor)
    }

    /// What an amount of the plan that already is net comes to.
    pub(super) fn net(&self, amount: Decimal) -> Option<Money> {
        let product = Exact::product(amount, Decimal::ONE)?;
        let rate = self.exchange.map_or(Decimal::ONE, |exchange| exchange.rate);
        Money::from_coins(self.converted(product, rate, Decimal::ONE)?, self.currency)
    }

    fn converted(&self, product: Exact, rate: Decimal, divisor: Decimal) -> Option<i128> {
        let (mantissa, scale) = product.parts();
        let mut above = Wide::product(mantissa.unsigned_abs(), rate.mantissa().unsigned_abs());
        let mut below = divisor.mantissa().unsigned_abs();
        // coins = product x rate / divisor x 10^exponent, with all powers of ten on one side.
        let (down, up) = (scale + rate.scale(), self.exponent + divisor.scale());
        if up <= down {
            below = below.checked_mul(10_u128.checked_pow(down - up)?)?;
        } else {
            above = above.times(10_u128.checked_pow(up - down)?)?;
        }
        let coins = i128::try_from(above.divided_half_up(below)?).ok()?;
        Some(if mantissa < 0 { -coins } else { coins })
    }
}

/// A whole number of up to 256 bits: the product of three decimals is longer than 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide {
    high: u128,
    low: u128,
}

impl Wide {
    /// By hand, in halves of 64 bits.
    const fn product(a: u128, b: u128) -> Self {
        const HALF: u128 = (1 << 64) - 1;
        let (a1, a0, b1, b0) = (a >> 64, a & HALF, b >> 64, b & HALF);
        let low = a0 * b0;
        // Each summand is below 2^128 - 2^65, so these additions cannot overflow.
        let middle = a1 * b0 + (low >> 64);
        let cross = a0 * b1 + (middle & HALF);
        Self { high: a1 * b1 + (middle >> 64) + (cross >> 64), low: (cross << 64) | (low & HALF) }
    }

    /// `None` beyond 256 bits.
    fn times(self, factor: u128) -> Option<Self> {
        let low = Self::product(self.low, factor);
        let high = self.high.checked_mul(factor)?.checked_add(low.high)?;
        Some(Self { high, low: low.low })
    }

    /// To the nearest, a half upwards. `None` when the quotient needs more than 128 bits, or the divisor more than 127.
    fn divided_half_up(self, divisor: u128) -> Option<u128> {
        if divisor == 0 || divisor > u128::MAX / 2 || divisor <= self.high {
            return None;
        }
        let (mut quotient, mut remainder) = (self.low, self.high);
        if remainder == 0 {
            (quotient, remainder) = (self.low / divisor, self.low % divisor);
        } else {
            // Long division, bit by bit: the remainder stays below the divisor, hence below 2^127.
            for _ in 0..u128::BITS {
                remainder = (remainder << 1) | (quotient >> 127);
                quotient <<= 1;
                if divisor <= remainder {
                    remainder -= divisor;
                    quotient |= 1;
                }
            }
        }
        if remainder < divisor - remainder { Some(quotient) } else { quotient.checked_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::invoice::document::TaxCode;

    /// `quantity x price [* rate] [/ tax] -> amount`
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [quantity, price, rate, tax, amount, code] = line.split_whitespace().collect::<Vec<_>>()[..]
            else {
                panic!("quantity price rate tax amount currency: {line}");
            };
            let currency = Currency::parse(code).unwrap();
            let exchange = (rate != "-").then(|| ExchangeRate {
                from: Currency::EUR,
                to: currency,
                rate: rate.parse().unwrap(),
                valid_from: jiff::civil::date(2026, 1, 1),
                source: "test".to_owned(),
            });
            let is_gross = tax != "-";
            let rate = if is_gross { tax.parse().unwrap() } else { Decimal::ZERO };
            let name = "VAT".to_owned();
            let tax = TaxRate { name, code: TaxCode::Standard, rate, in_prices: rate, reason: None };
            let pricing = Pricing::new(currency, exchange.as_ref(), is_gross);
            let money = pricing.amount(quantity.parse().unwrap(), price.parse().unwrap(), &tax).unwrap();
            assert_eq!(money.to_string(), format!("{amount} {code}"), "{line}");
        }
    }

    #[test]
    fn a_rate_and_a_tax_within_the_price_do_not_round_twice() {
        check(
            "
            2.345678       0.04            -         -    0.09        EUR
            1.000000       1.19            -         0.19 1.00        EUR
            1.000000       10              -         0.19 8.40        EUR
            1.000000       10              160.5     0.10 1459        JPY
            1.000000       0.01            0.5       -    0.01        USD
            3.000000       0.333333333333  1.087654  0.21 0.90        USD
            1.000000       0.125           0.4093    -    0.051       BHD
            1234567.123456 0.000000000065  1.087654  -    0.00        USD
            ",
        );
    }

    #[test]
    fn figures_of_more_than_38_digits_are_multiplied_and_divided_without_loss() {
        let wide = Wide::product(u128::MAX, u128::MAX);
        assert_eq!(wide, Wide { high: u128::MAX - 1, low: 1 });
        assert_eq!(wide.divided_half_up(7), None);
        assert_eq!(Wide { high: 0, low: 7 }.divided_half_up(2), Some(4));
        assert_eq!(Wide { high: 0, low: 7 }.divided_half_up(0), None);
    }

    proptest! {
        #[test]
        fn dividing_a_product_by_one_factor_gives_the_other(a in any::<u128>(), b in 1_u128..(1 << 127), rest in any::<u128>()) {
            let mut wide = Wide::product(a, b);
            // Less than half of the divisor more changes nothing.
            let rest = rest % b.div_ceil(2);
            let (low, carry) = wide.low.overflowing_add(rest);
            wide = Wide { high: wide.high + u128::from(carry), low };
            prop_assert_eq!(wide.divided_half_up(b), Some(a));
        }
    }
}
