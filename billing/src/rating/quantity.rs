//! From base units to the priced unit: an exact rational, rounded once. Within rating a quantity is a whole number
//! of micro-units (10^-6 of the priced unit), so that adding and subtracting cannot round.

use metering::MeterName;
use rust_decimal::Decimal;

use super::RatingError;

/// Decimals of a quantity. 10^-6 GiB is 1 KiB and 10^-6 h is 3.6 ms: finer than anybody reads, and still exact
/// in what is shown.
pub const QUANTITY_SCALE: u32 = 6;

/// 10^[`QUANTITY_SCALE`].
const MICRO: u128 = 1_000_000;

/// What a `Decimal` holds: 96 bits.
pub(super) const MAX_MICRO_UNITS: i128 = (1 << 96) - 1;

/// `base_quantity` in micro-units of the priced unit, rounded half to even: the rule that favours neither side
/// over many meters. (A quantity is no amount: amounts are rounded half away from zero.)
pub(super) fn micro_units(base_quantity: u128, meter: MeterName) -> Result<i128, RatingError> {
    let divisor = u128::from(meter.meter().priced_unit.base_units);
    let too_large = RatingError::TooLarge { meter };
    let scaled = base_quantity.checked_mul(MICRO).ok_or(too_large.clone())?;
    let rounded = divide_half_even(scaled, divisor);
    i128::try_from(rounded).ok().filter(|units| *units <= MAX_MICRO_UNITS).ok_or(too_large)
}

/// How many base units `micro_units` are, rounded half to even.
pub(super) fn base_units(micro_units: i128, meter: MeterName) -> Result<u128, RatingError> {
    let factor = u128::from(meter.meter().priced_unit.base_units);
    micro_units
        .unsigned_abs()
        .checked_mul(factor)
        .map(|scaled| divide_half_even(scaled, MICRO))
        .ok_or(RatingError::TooLarge { meter })
}

/// Whether `base_quantity` is `micro_units` without any rounding.
pub(super) fn is_exact(base_quantity: u128, micro_units: i128, meter: MeterName) -> bool {
    let factor = u128::from(meter.meter().priced_unit.base_units);
    base_quantity.checked_mul(MICRO) == micro_units.unsigned_abs().checked_mul(factor)
}

/// Micro-units as a decimal with all its decimals.
pub(super) fn decimal(micro_units: i128) -> Decimal {
    Decimal::try_from_i128_with_scale(micro_units, QUANTITY_SCALE)
        .expect("all quantities are checked against MAX_MICRO_UNITS, and parts of them are smaller")
}

/// A decimal of at most [`QUANTITY_SCALE`] decimals as micro-units; what is finer is cut off.
pub(super) fn from_decimal(value: Decimal) -> i128 {
    let scale = value.scale();
    if scale <= QUANTITY_SCALE {
        // At most 28 digits and six more: within 38.
        value.mantissa() * 10_i128.pow(QUANTITY_SCALE - scale)
    } else {
        value.mantissa() / 10_i128.pow(scale - QUANTITY_SCALE)
    }
}

/// Spreads `total` micro-units over `parts` base units by the largest remainder: each part gets its share rounded
/// down, and what is left goes, one by one, to the parts that lost most (of equals, to the earlier one). So the
/// shares are within one micro-unit of the truth and add up to `total`, which is [`micro_units`] of the sum.
pub(super) fn apportion(meter: MeterName, parts: &[u128], total: i128) -> Result<Vec<i128>, RatingError> {
    let divisor = u128::from(meter.meter().priced_unit.base_units);
    let too_large = || RatingError::TooLarge { meter };
    let mut shares = Vec::with_capacity(parts.len());
    let mut remainders = Vec::with_capacity(parts.len());
    let mut left = total;
    for (number, part) in parts.iter().enumerate() {
        let scaled = part.checked_mul(MICRO).ok_or_else(too_large)?;
        let share = i128::try_from(scaled / divisor).map_err(|_| too_large())?;
        shares.push(share);
        remainders.push((scaled % divisor, number));
        left -= share;
    }
    remainders.sort_unstable_by(|(a, m), (b, n)| b.cmp(a).then(m.cmp(n)));
    let left = usize::try_from(left).unwrap_or(0);
    for (_, number) in remainders.into_iter().take(left) {
        shares[number] += 1;
    }
    Ok(shares)
}

fn divide_half_even(value: u128, divisor: u128) -> u128 {
    let (quotient, remainder) = (value / divisor, value % divisor);
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

    fn meter(name: &str) -> MeterName {
        MeterName::parse(name).unwrap()
    }

    /// `meter | base units | quantity`
    fn check(table: &str) {
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let [name, base, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("three columns a line: {line}");
            };
            let units = micro_units(base.parse().unwrap(), meter(name)).unwrap();
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
            assert!(micro_units(base, meter("disk_read_ops")).is_err());
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_within_a_millionth_of_the_truth(
            parts in proptest::collection::vec(0_u64..10_000_000_000_000, 1..40),
        ) {
            let cpu = meter("cpu_ns");
            let parts: Vec<u128> = parts.into_iter().map(u128::from).collect();
            let total = micro_units(parts.iter().sum(), cpu).unwrap();
            let shares = apportion(cpu, &parts, total).unwrap();
            prop_assert_eq!(shares.iter().sum::<i128>(), total);
            for (part, share) in parts.iter().zip(&shares) {
                let floor = (part * MICRO / 3_600_000_000_000) as i128;
                prop_assert!((floor..=floor + 1).contains(share));
                prop_assert!(0 < *part || *share == 0, "nothing used, yet {share} shown");
            }
        }

        #[test]
        fn an_allowance_in_base_units_is_never_more_than_the_usage(used in 1_u64.., free in 0_i128..1_000_000_000_000) {
            let meter = meter("net_tx_bytes");
            let units = micro_units(used.into(), meter).unwrap();
            if free < units {
                prop_assert!(base_units(free, meter).unwrap() <= u128::from(used));
            }
        }
    }
}
