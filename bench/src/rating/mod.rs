//! Rating on one core, beside a bare multiply-and-add of the same decimals.

mod work;

use std::time::Duration;

use crate::report::{REPEATS, Report};

/// Of each of the two, in each round: enough for the fourth digit.
const LENGTH: Duration = Duration::from_secs(1);

/// Quantities a second, each with a line in four tiers: of a tenant with one instance, where lines are most of the work, and with twenty, where gathering is.
pub fn measure(report: &mut Report) {
    for instances in [1, 20] {
        let work = work::Work::new(instances);
        let rounds: Vec<_> = (0..REPEATS).map(|_| work.round(LENGTH)).collect();
        let per_second = |ns: f64| 1e9 / ns;
        let rated: Vec<f64> = rounds.iter().map(|round| per_second(round.rated_ns)).collect();
        let bare: Vec<f64> = rounds.iter().map(|round| per_second(round.bare_ns)).collect();
        let name = format!("rating, {} lines in four tiers, {instances} instances", work.lines());
        report.add(name, "quantities/s", &rated, &bare, "four multiply-and-adds of the same decimals, rounded once");
    }
}
