//! When to look: in time, when asked, when something happened, and again after a failure.
//!
//! Pure: the clock is given. What a look asks for and what becomes of it is the runner's.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Moment;

/// While the hypervisor is away it is tried again after 1 s, 2 s, ..., at most this: soon enough to lose little,
/// seldom enough to cost nothing.
const MAX_RETRY: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Events come in groups (a guest that starts tells three times); one look answers those of this long.
const COALESCE: Duration = Duration::from_millis(20);

/// After a look that events brought about the next such look waits this long: an instance that starts and dies in a
/// loop must not make the node do nothing but look.
const EVENT_REST: Duration = Duration::from_secs(1);

/// The same rest when something may end at once. A process that is paused to be moved or saved lives on for longer.
const ENDING_REST: Duration = Duration::from_millis(50);

/// Why a look is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time has come.
    Due,
    /// Somebody waits for it.
    Asked,
    /// Something happened.
    Event,
    /// To see whether the hypervisor is back.
    Retry,
}

/// What is to be done when.
#[derive(Debug)]
pub struct Agenda {
    interval: Duration,
    due: Timestamp,
    /// Times are since boot.
    event_at: Option<Duration>,
    rest_until: Duration,
    retry: Option<(u32, Duration)>,
}

impl Agenda {
    /// The first look is due at once.
    pub fn new(now: Moment, interval: Duration) -> Self {
        Self { interval, due: now.wall, event_at: None, rest_until: Duration::ZERO, retry: None }
    }

    /// How long there is nothing to do.
    pub fn wait(&self, now: Moment) -> Duration {
        let mut wait = until(now.wall, self.due).min(self.interval);
        if let Some((_, at)) = self.retry {
            wait = wait.min(at.saturating_sub(now.boot));
        }
        if let (Some(at), None) = (self.event_at, self.retry) {
            wait = wait.min(at.saturating_sub(now.boot));
        }
        wait
    }

    /// Something happened that a look should see soon.
    pub fn something_happened(&mut self, now: Moment) {
        let soon = (now.boot + COALESCE).max(self.rest_until);
        self.event_at = Some(self.event_at.map_or(soon, |at| at.min(soon)));
    }

    /// Something is paused, as before a migration or a save: its process, and with it what only the hypervisor counts, may
    /// be gone in a moment.
    pub fn something_may_end(&mut self, now: Moment) {
        let rest_until = self.rest_until.saturating_sub(EVENT_REST - ENDING_REST);
        let soon = (now.boot + COALESCE).max(rest_until);
        self.event_at = Some(self.event_at.map_or(soon, |at| at.min(soon)));
    }

    /// What to do now; `None`: wait.
    pub fn due(&self, now: Moment, is_asked: bool) -> Option<Why> {
        let has_come = |at: Duration| at <= now.boot;
        if is_asked {
            Some(Why::Asked)
        } else if self.due <= now.wall || self.interval < until(now.wall, self.due) {
            // Its time has come, or the wall clock was set back by more than an interval.
            Some(Why::Due)
        } else if self.event_at.is_some_and(has_come) && self.retry.is_none() {
            Some(Why::Event)
        } else if self.retry.is_some_and(|(_, at)| has_come(at)) {
            Some(Why::Retry)
        } else {
            None
        }
    }

    /// A look was taken. `is_end_pending`: a run has ended that the hypervisor still shows; it is looked at again soon.
    pub fn looked(&mut self, now: Moment, why: Why, is_read: bool, is_end_pending: bool) {
        if why == Why::Due {
            self.due = next_aligned(now.wall, self.interval);
        }
        if is_read {
            self.retry = None;
            self.rest_until = now.boot + EVENT_REST;
            self.event_at = is_end_pending.then_some(self.rest_until);
        } else {
            let tries = match (why, self.retry) {
                (Why::Retry, Some((tries, _))) => (tries + 1).min(8),
                _ => 0,
            };
            let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(tries)).min(MAX_RETRY);
            self.retry = Some((tries, now.boot + wait));
        }
    }
}

/// The first multiple of `interval` of the wall clock after `now`.
fn next_aligned(now: Timestamp, interval: Duration) -> Timestamp {
    let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let next = now.as_microsecond().div_euclid(interval_us).saturating_add(1).saturating_mul(interval_us);
    Timestamp::from_microsecond(next).unwrap_or(Timestamp::MAX)
}

/// The time from `now` to `due`, zero when it has passed.
fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Moment {
        Moment {
            wall: Timestamp::from_millisecond(1_790_000_040_000 + ms).unwrap(),
            boot: Duration::from_millis(u64::try_from(1_000_000 + ms).unwrap()),
        }
    }

    fn started() -> Agenda {
        let mut agenda = Agenda::new(at(0), Duration::from_secs(60));
        assert_eq!(agenda.due(at(0), false), Some(Why::Due), "the first look is due at once");
        agenda.looked(at(5), Why::Due, true, false);
        assert_eq!(agenda.due(at(6), false), None);
        agenda
    }

    #[test]
    fn several_events_bring_about_one_look_and_a_storm_of_them_one_a_second() {
        let mut agenda = started();
        for ms in [2_000, 2_001, 2_015] {
            agenda.something_happened(at(ms));
        }
        assert_eq!(agenda.due(at(2_019), false), None);
        assert_eq!(agenda.wait(at(2_000)), COALESCE);
        assert_eq!(agenda.due(at(2_020), false), Some(Why::Event));
        agenda.looked(at(2_030), Why::Event, true, false);
        agenda.something_happened(at(2_040));
        assert_eq!(agenda.due(at(3_000), false), None);
        assert_eq!(agenda.due(at(3_030), false), Some(Why::Event));
    }

    #[test]
    fn neither_events_nor_those_who_ask_put_off_the_look_on_the_full_minute() {
        let mut agenda = started();
        assert_eq!(agenda.due(at(30_000), true), Some(Why::Asked));
        agenda.looked(at(30_010), Why::Asked, true, false);
        assert_eq!(agenda.wait(at(59_000)), Duration::from_secs(1));
        agenda.something_happened(at(59_999));
        assert_eq!(agenda.due(at(60_000), false), Some(Why::Due));
        agenda.looked(at(60_010), Why::Due, true, false);
        assert_eq!(agenda.due(at(60_030), false), None, "that look saw what had happened");
    }

    #[test]
    fn a_run_that_ended_is_looked_at_again_until_the_hypervisor_says_so_too() {
        let mut agenda = started();
        agenda.something_happened(at(2_000));
        agenda.looked(at(2_030), Why::Event, true, true);
        assert_eq!(agenda.due(at(3_030), false), Some(Why::Event));
    }

    #[test]
    fn a_hypervisor_that_is_away_is_tried_ever_less_often_and_events_do_not_hasten_it() {
        let mut agenda = started();
        agenda.looked(at(1_000), Why::Event, false, false);
        agenda.something_happened(at(1_001));
        assert_eq!(agenda.due(at(1_500), false), None);
        assert_eq!(agenda.due(at(2_000), false), Some(Why::Retry));
        agenda.looked(at(2_000), Why::Retry, false, false);
        assert_eq!(agenda.due(at(3_999), false), None);
        assert_eq!(agenda.due(at(4_000), false), Some(Why::Retry));
        agenda.looked(at(4_000), Why::Retry, true, false);
        assert_eq!(agenda.wait(at(4_000)), Duration::from_secs(56));
    }

    #[test]
    fn a_wall_clock_that_was_set_back_does_not_stop_the_looks() {
        let agenda = started();
        let back = Moment { wall: at(-900_000).wall, boot: at(1_000).boot };
        assert_eq!(agenda.due(back, false), Some(Why::Due));
        assert!(agenda.wait(back) <= Duration::from_secs(60));
    }

    #[test]
    fn looks_lie_on_the_full_minute_wherever_the_collector_was_started() {
        for (now, next) in [
            ("2026-11-21T10:00:00.000001Z", "2026-11-21T10:01:00Z"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z"),
            ("2026-11-21T10:00:59.999999Z", "2026-11-21T10:01:00Z"),
            ("1969-12-31T23:59:30Z", "1970-01-01T00:00:00Z"),
        ] {
            let found = next_aligned(now.parse().unwrap(), Duration::from_secs(60));
            assert_eq!(found, next.parse::<Timestamp>().unwrap(), "{now}");
        }
    }
}
