//! The slope of a series by Theil and Sen, with an interval in which the true slope lies.
//!
//! The slope is the median of the slopes of all pairs of points, so that up to 29 % of wild points do not move it far.
//! The interval is Sen's (Sen 1968; Gilbert 1987, 16.5): ranks among those slopes, from the variance of the Mann-Kendall
//! statistic, corrected for ties. It assumes that the points are independent of each other; days of one node are less
//! so, and the interval is then narrower than it should be. It knows neither dates nor limits.

/// How many standard deviations make a two-sided interval of 90 %.
const Z_90: f64 = 1.644_853_626_951_472_7;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slopes {
    /// The median.
    pub likely: f64,
    /// The lower end of the interval.
    pub slow: f64,
    /// The upper end of the interval.
    pub fast: f64,
}

/// The slopes of `points`, whose x are different and ascending; `None` for fewer than two.
pub(super) fn slopes(points: &[(f64, f64)]) -> Option<Slopes> {
    let mut all = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (at, (x, y)) in points.iter().enumerate() {
        all.extend(points[at + 1..].iter().map(|(later, value)| (value - y) / (later - x)));
    }
    let likely = median(&mut all)?;
    let pairs = count(all.len());
    let reach = Z_90 * variance(points).sqrt();
    // Counted from one, as in the books: the M1-th and the (M2 + 1)-th of the ordered slopes.
    let slow = at_rank(&mut all, (pairs - reach) / 2.0)?;
    let fast = at_rank(&mut all, (pairs + reach) / 2.0 + 1.0)?;
    Some(Slopes { likely, slow: slow.min(likely), fast: fast.max(likely) })
}

/// The median, or `None` of nothing. The values are left in another order.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    at_rank(values, (count(values.len()) + 1.0) / 2.0)
}

/// The value at a rank counted from one; between two ranks, what lies between their values.
fn at_rank(values: &mut [f64], rank: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let place = rank.clamp(1.0, count(values.len())) - 1.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to an index of the slice"
    )]
    let below = place.floor() as usize;
    // A selection: to sort thousands of slopes for three of them is most of the time of a page.
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    let part = place.fract();
    Some(if part == 0.0 { low } else { low + part * (high - low) })
}

/// The variance of the Mann-Kendall statistic, less what equal values take from it.
fn variance(points: &[(f64, f64)]) -> f64 {
    let term = |n: usize| count(n) * (count(n) - 1.0) * (2.0 * count(n) + 5.0);
    let mut values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|equal| term(equal.len())).sum();
    ((term(points.len()) - ties) / 18.0).max(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "a count of pairs of days, far below 2^52")]
const fn count(of: usize) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(points: &[(f64, f64)], likely: f64, slow: f64, fast: f64) {
        let found = slopes(points).expect("there are two points or more");
        let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
        assert!(
            near(found.likely, likely) && near(found.slow, slow) && near(found.fast, fast),
            "{found:?}, expected {likely} in {slow} to {fast}"
        );
    }

    #[test]
    fn a_line_has_one_slope() {
        check(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)], 2.0, 2.0, 2.0);
    }

    #[test]
    fn what_does_not_change_has_no_slope() {
        check(&[(0.0, 5.0), (1.0, 5.0), (2.0, 5.0), (7.0, 5.0)], 0.0, 0.0, 0.0);
    }

    /// Ten days worked by hand: 45 pairs; S has the variance 10 x 9 x 25 / 18 = 125, less nothing for ties;
    /// 1.6449 x 11.1803 = 18.390, so the ranks are 13.305 and 32.695 of 45.
    #[test]
    fn the_interval_is_that_of_the_ranks() {
        let values = [3.0, 7.0, 5.0, 12.0, 9.0, 16.0, 11.0, 20.0, 18.0, 15.0];
        let points: Vec<(f64, f64)> = (0..10).map(f64::from).zip(values).collect();
        let mut all: Vec<f64> = Vec::new();
        for (i, a) in points.iter().enumerate() {
            all.extend(points[i + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
        }
        all.sort_by(f64::total_cmp);
        let between = |rank: usize, part: f64| all[rank - 1] + part * (all[rank] - all[rank - 1]);
        check(&points, all[22], between(13, 0.305), between(32, 0.695));
    }

    #[test]
    fn one_point_has_no_slope() {
        assert_eq!(slopes(&[(0.0, 1.0)]), None);
        assert_eq!(slopes(&[]), None);
        assert_eq!(median(&mut []), None);
    }
}
