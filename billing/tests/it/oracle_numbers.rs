//! The few sums that the oracle does in whole numbers: rounding, sharing out, and the rate that is not exceeded. Naive, and shared
//! with nothing that rates.

use crate::oracle_world::HOURS;

pub fn nearest_even(a: i128, b: i128) -> i128 {
    let (down, rest) = (a.div_euclid(b), a.rem_euclid(b));
    if 2 * rest < b || (2 * rest == b && down % 2 == 0) { down } else { down + 1 }
}

/// A half away from zero; of figures that are not negative.
pub fn nearest_up(a: i128, b: i128) -> i128 {
    (2 * a + b) / (2 * b)
}

/// Whole parts in proportion: each gets its share rounded down, the rest goes to the largest fractions.
pub fn share_out(total: i128, weights: &[i128]) -> Vec<i128> {
    let all: i128 = weights.iter().sum();
    if all == 0 {
        return vec![0; weights.len()];
    }
    let mut parts: Vec<i128> = weights.iter().map(|weight| total * weight / all).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|n| (-(total * weights[*n] % all), *n));
    let rest = total - parts.iter().sum::<i128>();
    order.into_iter().take(rest as usize).for_each(|n| parts[n] += 1);
    parts
}

/// The rate in bit/s that is not exceeded in `percent` of the hours, of the bytes of single hours: all hours are put in a row
/// from the lowest to the highest, those without data at 0, and the one is taken up to which so many per cent lie.
pub fn percentile(bytes: impl Iterator<Item = (i64, i128)>, percent: i128) -> i128 {
    let mut hours = vec![0; HOURS as usize];
    bytes.for_each(|(hour, bytes)| hours[hour as usize] += bytes);
    let mut rates: Vec<i128> = hours.into_iter().map(|bytes| nearest_even(bytes * 8, 3_600)).collect();
    rates.sort_unstable();
    let upto = rates.len() as i128 * percent;
    let place = upto / 100 + i128::from(upto % 100 != 0);
    rates[place as usize - 1]
}
