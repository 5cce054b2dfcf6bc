//! Which run of a collector may deliver: a node's disk can be copied, and its certificate with it, so every start of a
//! collector draws a run id, and one run at a time is listened to. Pure; [`crate::access`] keeps it in the database.
//!
//! A run is let go when nothing was heard of it for its lease. One that comes earlier has to wait: it may be the same node
//! after a restart. When the first run is heard again well after that, both are alive: the second one is a copy.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

/// A lease is at least this long: connections break for seconds.
pub const LEASE_MIN: Duration = Duration::from_secs(3);
/// ... and at most: a node that was restarted should not have to wait longer.
pub const LEASE_MAX: Duration = Duration::from_secs(600);
/// Reading intervals in a lease: a node is heard once in each; one may be lost.
pub const LEASE_INTERVALS: u32 = 3;
/// What a killed run still had on the way is here within this time; what comes later was sent by a run that lives.
pub const ON_THE_WAY: Duration = Duration::from_secs(2);

/// What is known of a node's runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The run that may deliver, and until when nobody else may.
    pub holder: Option<(Uuid, Timestamp)>,
    /// The latest other run that came meanwhile, and when.
    pub rival: Option<(Uuid, Timestamp)>,
}

/// What becomes of a run that knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that may.
    Same,
    /// It is, and the rival is a copy.
    SameAndRivalIsCopy(Uuid),
    /// It takes over: there was none, or the old one is silent for its lease.
    TakesOver,
    /// Another one may still be alive: come again then.
    Waits(Timestamp),
}

/// The lease of a run that reads every `interval`.
#[must_use]
pub fn lease(interval: Duration) -> Duration {
    interval.saturating_mul(LEASE_INTERVALS).clamp(LEASE_MIN, LEASE_MAX)
}

/// Judges a run that is not barred.
#[must_use]
pub fn judge(runs: &Runs, run_id: Uuid, now: Timestamp) -> Verdict {
    match (runs.holder, runs.rival) {
        (Some((holder, _)), Some((rival, came_at)))
            if holder == run_id && crate::authority::later(came_at, ON_THE_WAY) < now =>
        {
            Verdict::SameAndRivalIsCopy(rival)
        }
        (Some((holder, _)), _) if holder == run_id => Verdict::Same,
        (Some((_, until)), _) if now < until => Verdict::Waits(until),
        _ => Verdict::TakesOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn run(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn check(
        holder: Option<(u128, i64)>,
        rival: Option<(u128, i64)>,
        (knocks, now): (u128, i64),
        expected: Verdict,
    ) {
        let runs = Runs {
            holder: holder.map(|(n, until)| (run(n), at(until))),
            rival: rival.map(|(n, came)| (run(n), at(came))),
        };
        assert_eq!(judge(&runs, run(knocks), at(now)), expected, "{runs:?}, {knocks} at {now}");
    }

    #[test]
    fn the_first_run_delivers_and_goes_on_doing_so_however_long_it_was_away() {
        check(None, None, (1, 0), Verdict::TakesOver);
        check(Some((1, 10)), None, (1, 5), Verdict::Same);
        check(Some((1, 10)), None, (1, 5_000), Verdict::Same);
    }

    #[test]
    fn a_restart_waits_for_the_lease_and_no_longer() {
        check(Some((1, 10)), None, (2, 5), Verdict::Waits(at(10)));
        check(Some((1, 10)), Some((2, 5)), (2, 9), Verdict::Waits(at(10)));
        check(Some((1, 10)), Some((2, 5)), (2, 10), Verdict::TakesOver);
    }

    #[test]
    fn a_run_that_is_heard_after_another_tried_proves_a_copy_but_not_its_own_last_words() {
        check(Some((1, 10)), Some((2, 5)), (1, 6), Verdict::Same);
        check(Some((1, 10)), Some((2, 5)), (1, 7), Verdict::Same);
        check(Some((1, 10)), Some((2, 5)), (1, 8), Verdict::SameAndRivalIsCopy(run(2)));
    }

    #[test]
    fn a_copy_that_took_over_during_a_silence_meets_the_original_as_its_rival() {
        check(Some((2, 20)), None, (1, 15), Verdict::Waits(at(20)));
        check(Some((2, 20)), Some((1, 15)), (2, 19), Verdict::SameAndRivalIsCopy(run(1)));
    }

    #[test]
    fn leases_follow_the_reading_interval_within_bounds() {
        assert_eq!(lease(Duration::from_secs(1)), LEASE_MIN);
        assert_eq!(lease(Duration::from_secs(60)), Duration::from_secs(180));
        assert_eq!(lease(Duration::MAX), LEASE_MAX);
    }
}
