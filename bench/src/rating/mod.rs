//! Rating on one core, beside a bare multiply-and-add of the same decimals.

mod work;

use std::time::Duration;

use crate::report::{REPEATS, Report};

/// Of each of the two, in each round: enough for the fourth digit.
const LENGTH: Duration = Duration::from_secs(1);

/// Quantities a second, each with a line in four tiers: pricing alone, and rating as a whole of a tenant with one instance, where
/// lines are most of the work, and with twenty, where gathering is.
pub fn measure(report: &mut Report) {
    for instances in [1, 20] {
        let work = work::Work::new(instances);
        let rounds: Vec<_> = (0..REPEATS).map(|_| work.round(LENGTH)).collect();
        let per_second = |ns: fn(&work::Round) -> f64| -> Vec<f64> {
            rounds.iter().map(|round| 1e9 / ns(round)).collect()
        };
        let bare = per_second(|round| round.bare_ns);
        let of = format!("{} lines in four tiers, {instances} instances", work.lines());
        let beside = "four multiply-and-adds of the same decimals, rounded once";
        let priced = per_second(|round| round.priced_ns);
        report.add(format!("pricing, {of}"), "quantities/s", &priced, &bare, beside);
        let rated = per_second(|round| round.rated_ns);
        report.add(format!("rating, {of}"), "quantities/s", &rated, &bare, beside);
        let walked = per_second(|round| round.walked_ns);
        let beside = "the tiers walked in decimals, four multiply-and-adds, rounded once (goal 0.4 at least)";
        report.add(format!("pricing, {of}"), "quantities/s", &priced, &walked, beside);
        report.add(format!("rating, {of}"), "quantities/s", &rated, &walked, beside);
        let added = per_second(|round| round.added_ns);
        let beside = "the same, with the usage records added up before";
        report.add(format!("rating, {of}"), "quantities/s", &rated, &added, beside);
    }
}
