//! From base units to the priced unit: an exact rational, rounded once. Within rating a quantity is a whole number
//! of micro-units (10^-6 of the priced unit), so that adding and subtracting cannot round.

use metering::{MeterName, catalog};
use rust_decimal::Decimal;

use super::RatingError;
use super::gather::position;
use super::shares::Share;

/// Decimals of a quantity. 10^-6 GiB is 1 KiB and 10^-6 h is 3.6 ms: finer than anybody reads, and still exact
/// in what is shown.
pub const QUANTITY_SCALE: u32 = 6;

/// 10^[`QUANTITY_SCALE`].
const MICRO: u128 = 1_000_000;

/// One priced unit in micro-units.
pub(super) const ONE: i128 = 1_000_000;

/// What a `Decimal` holds: 96 bits.
pub(super) const MAX_MICRO_UNITS: i128 = (1 << 96) - 1;

/// How base units of a meter become its priced unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) meter: MeterName,
    /// Base units for one priced unit.
    pub(super) base_units: u128,
}

impl Scale {
    pub(super) fn of(meter: MeterName) -> Self {
        Self { meter, base_units: catalog()[position(meter)].priced_unit.base_units.into() }
    }

    /// `base_quantity` in micro-units of the priced unit, rounded half to even: the rule that favours neither side
    /// over many meters. (A quantity is no amount: amounts are rounded half away from zero.)
    pub(super) fn units(self, base_quantity: u128) -> Result<i128, RatingError> {
        let exact = scaled(base_quantity, MICRO, self.base_units).ok_or_else(|| self.too_large())?;
        let units =
            i128::try_from(half_even(exact, self.base_units)).ok().filter(|units| *units <= MAX_MICRO_UNITS);
        units.ok_or_else(|| self.too_large())
    }

    /// How many base units `micro_units` are, rounded half to even.
    pub(super) fn base_units(self, micro_units: i128) -> Result<u128, RatingError> {
        let exact = scaled(micro_units.unsigned_abs(), self.base_units, MICRO);
        exact.map(|exact| half_even(exact, MICRO)).ok_or_else(|| self.too_large())
    }

    /// Whether `base_quantity` is `micro_units` without any rounding.
    pub(super) fn is_exact(self, base_quantity: u128, micro_units: i128) -> bool {
        base_quantity.checked_mul(MICRO) == micro_units.unsigned_abs().checked_mul(self.base_units)
    }

    pub(super) const fn too_large(self) -> RatingError {
        RatingError::TooLarge { meter: self.meter }
    }
}

/// Micro-units as a decimal with all its decimals.
#[inline]
pub(super) fn decimal(micro_units: i128) -> Decimal {
    if let Ok(micro_units) = i64::try_from(micro_units) {
        return Decimal::new(micro_units, QUANTITY_SCALE);
    }
    Decimal::try_from_i128_with_scale(micro_units, QUANTITY_SCALE)
        .expect("all quantities are checked against MAX_MICRO_UNITS, and parts of them are smaller")
}

/// A decimal of at most [`QUANTITY_SCALE`] decimals as micro-units; what is finer is cut off.
#[inline]
pub(crate) fn from_decimal(value: Decimal) -> i128 {
    let scale = value.scale();
    if scale <= QUANTITY_SCALE {
        const POWERS: [i64; 7] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
        // At most 28 digits and six more: within 38.
        // Most are of 64 bits, whose product needs one instruction.
        let power = POWERS[(QUANTITY_SCALE - scale) as usize];
        match i64::try_from(value.mantissa()) {
            Ok(mantissa) => i128::from(mantissa) * i128::from(power),
            Err(_) => value.mantissa() * i128::from(power),
        }
    } else {
        value.mantissa() / 10_i128.pow(scale - QUANTITY_SCALE)
    }
}

/// Spreads `total` micro-units over what the holders contributed by the largest remainder: each part gets its share rounded
/// down, and what is left goes, one by one, to the parts that lost most (of equals, to the earlier one). So the shares are
/// within one micro-unit of the truth and add up to `total`, which is [`Scale::units`] of the sum.
pub(super) fn apportion(scale: Scale, parts: &[Share], total: i128) -> Result<Vec<i128>, RatingError> {
    if parts.len() == 1 {
        return Ok(vec![total]);
    }
    let mut shares = Vec::with_capacity(parts.len());
    let mut remainders = Vec::with_capacity(parts.len());
    let mut left = total;
    for (number, part) in parts.iter().enumerate() {
        let exact = scaled(part.base_quantity, MICRO, scale.base_units);
        let (units, remainder) = exact.ok_or_else(|| scale.too_large())?;
        let units = i128::try_from(units).map_err(|_| scale.too_large())?;
        shares.push(units);
        remainders.push((remainder, number));
        left -= units;
    }
    hand_out(&mut remainders, left, |number| shares[number] += 1);
    Ok(shares)
}

/// Spreads `total` over `weights`, in whole numbers and in proportion, by the largest remainder. Parts without weight get
/// nothing, and none gets more than its weight if `total` is not more than all of them. `None` beyond 38 digits.
pub(super) fn spread(total: i128, weights: &[i128]) -> Option<Vec<i128>> {
    let all: i128 = weights.iter().map(|weight| (*weight).max(0)).sum();
    if all == 0 {
        return Some(vec![0; weights.len()]);
    }
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    let mut left = total;
    for (number, weight) in weights.iter().enumerate() {
        let scaled = (*weight).max(0).checked_mul(total)?;
        parts.push(scaled / all);
        remainders.push(((scaled % all).unsigned_abs(), number));
        left -= scaled / all;
    }
    hand_out(&mut remainders, left, |number| parts[number] += 1);
    Some(parts)
}

/// One to each of those with the largest remainders, of equals to the earlier, as long as something is left.
fn hand_out(remainders: &mut [(u128, usize)], left: i128, mut give: impl FnMut(usize)) {
    remainders.sort_unstable_by(|(a, m), (b, n)| b.cmp(a).then(m.cmp(n)));
    let left = usize::try_from(left).unwrap_or(0);
    for (_, number) in remainders.iter().take(left) {
        give(*number);
    }
}

/// `value x factor / divisor`: what is whole, and the remainder. `None` when the product needs more than 128 bits.
#[inline]
fn scaled(value: u128, factor: u128, divisor: u128) -> Option<(u128, u128)> {
    // Division of 64 bits is several times as fast, and many products fit. Of the others most stay within 64 bits when they are
    // divided first and what remains is scaled then.
    if let (Ok(value), Ok(narrow), Ok(divisor)) =
        (u64::try_from(value), u64::try_from(factor), u64::try_from(divisor))
    {
        if let Some(product) = value.checked_mul(narrow) {
            return Some(((product / divisor).into(), (product % divisor).into()));
        }
        if let Some(rest) = (value % divisor).checked_mul(narrow) {
            let whole = u128::from(value / divisor) * factor + u128::from(rest / divisor);
            return Some((whole, (rest % divisor).into()));
        }
    }
    let product = value.checked_mul(factor)?;
    Some((product / divisor, product % divisor))
}

/// To the nearest, and a half to the even side.
pub(super) fn divide_half_even(value: u128, divisor: u128) -> u128 {
    // Division of 64 bits is several times as fast, and many figures fit.
    if let (Ok(value), Ok(divisor)) = (u64::try_from(value), u64::try_from(divisor)) {
        return half_even((u128::from(value / divisor), u128::from(value % divisor)), divisor.into());
    }
    half_even((value / divisor, value % divisor), divisor)
}

/// What a division by `divisor` left, to the nearest, and a half to the even side.
#[inline]
fn half_even((quotient, remainder): (u128, u128), divisor: u128) -> u128 {
    // `remainder < divisor`, so the subtraction cannot underflow, and nothing is doubled that could overflow.
    let up = match remainder.cmp(&(divisor - remainder)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + u128::from(up)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rating::shares::Holder;

    fn scale(name: &str) -> Scale {
        Scale::of(MeterName::parse(name).unwrap())
    }

    /// `meter | base units | quantity`
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [name, base, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("three columns a line: {line}");
            };
            let units = scale(name).units(base.parse().unwrap()).unwrap();
            assert_eq!(decimal(units).to_string(), expected, "{line}");
        }
    }

    #[test]
    fn half_a_millionth_goes_to_the_even_side() {
        check(
            "
            disk_read_ops | 0             | 0.000000
            disk_read_ops | 1             | 0.001000
            disk_read_ops | 1234567       | 1234.567000
            running_ms    | 3600000       | 1.000000
            running_ms    | 1             | 0.000000
            running_ms    | 2             | 0.000001
            cpu_ns        | 1800000       | 0.000000
            cpu_ns        | 1800001       | 0.000001
            cpu_ns        | 5400000       | 0.000002
            cpu_ns        | 9000000       | 0.000002
            net_rx_bytes  | 1073741824    | 1.000000
            net_rx_bytes  | 5251797       | 0.004891
            net_rx_bytes  | 18446744073709551615 | 17179869184.000000
            ",
        );
    }

    #[test]
    fn more_than_a_decimal_holds_is_an_error_and_no_panic() {
        for base in [u128::MAX, u128::MAX / MICRO, 1 << 120] {
            assert!(scale("disk_read_ops").units(base).is_err());
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_within_a_millionth_of_the_truth(
            parts in proptest::collection::vec(0_u64..10_000_000_000_000, 1..40),
        ) {
            let cpu = scale("cpu_ns");
            let holder = Holder::Instance(metering::InstanceId::from_uuid(uuid::Uuid::nil()));
            let part = |part| Share { holder, base_quantity: u128::from(part) };
            let shares: Vec<Share> = parts.into_iter().map(part).collect();
            let total = cpu.units(shares.iter().map(|share| share.base_quantity).sum()).unwrap();
            let units = apportion(cpu, &shares, total).unwrap();
            prop_assert_eq!(units.iter().sum::<i128>(), total);
            for (Share { base_quantity, .. }, units) in shares.into_iter().zip(units) {
                let floor = (base_quantity * MICRO / 3_600_000_000_000) as i128;
                prop_assert!((floor..=floor + 1).contains(&units));
                prop_assert!(0 < base_quantity || units == 0, "nothing used, yet {units} shown");
            }
        }

        #[test]
        fn coins_are_spread_without_loss_and_nobody_is_given_more_than_there_is(
            weights in proptest::collection::vec(0_i128..10_000, 1..20), share in 0_i128..=1000,
        ) {
            let total = weights.iter().sum::<i128>() * share / 1000;
            let parts = spread(total, &weights).unwrap();
            prop_assert_eq!(parts.iter().sum::<i128>(), total);
            prop_assert!(parts.iter().zip(&weights).all(|(part, weight)| 0 <= *part && part <= weight));
        }

        #[test]
        fn the_short_way_to_divide_is_the_long_way(value in any::<u64>(), factor in 1_u64.., divisor in 1_u64..) {
            let product = u128::from(value) * u128::from(factor);
            let divisor = u128::from(divisor);
            let long = (product / divisor, product % divisor);
            prop_assert_eq!(scaled(value.into(), factor.into(), divisor), Some(long));
            // Small divisors leave remainders small enough for the short way.
            let small = divisor % 1_000_000 + 1;
            prop_assert_eq!(scaled(value.into(), factor.into(), small), Some((product / small, product % small)));
            // Small values, whose product is short.
            let (low, product) = (u128::from(value >> 40), u128::from(value >> 40) * u128::from(factor >> 40));
            prop_assert_eq!(scaled(low, (factor >> 40).into(), divisor), Some((product / divisor, product % divisor)));
        }

        #[test]
        fn an_allowance_in_base_units_is_never_more_than_the_usage(used in 1_u64.., free in 0_i128..1_000_000_000_000) {
            let scale = scale("net_tx_bytes");
            let units = scale.units(used.into()).unwrap();
            if free < units {
                prop_assert!(scale.base_units(free).unwrap() <= u128::from(used));
            }
        }
    }
}
