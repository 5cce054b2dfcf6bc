//! One pass over what is due: take, send, write down what came of it. When to try again and when to give up is decided by
//! pure functions. It does NOT loop, and reads no clock but through `clock`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use migrations::Database;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::deliveries::{self, Outcome, Taken, Verdict};
use crate::error::HookError;
use crate::sender::Sender;

/// Endpoints that are spoken to at once: some that are slow must not hold up the others.
const AT_ONCE: usize = 8;
/// A lease outlives an attempt by so much: writing down what came of it.
const LEASE_MORE: Duration = Duration::from_secs(30);
/// The first wait after a failure, how much longer each is than the one before, and the longest.
const WAIT_FIRST: Duration = Duration::from_secs(5);
const WAIT_FACTOR: u32 = 4;
const WAIT_MAX: Duration = Duration::from_secs(6 * 3_600);
/// After so long a delivery is given up.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);
/// An endpoint that failed is left alone for as long as its delivery waits, but for no longer than this: other events may
/// get through.
const REST_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Deliveries that receivers took.
    pub delivered: u64,
    /// Those that will be tried again.
    pub deferred: u64,
    /// Those that were given up.
    pub given_up: u64,
}

/// Delivers all that is due, some at once, until nothing is. `clock` tells the time.
///
/// # Errors
/// The database failed; what was sent meanwhile and not written down is sent again when its lease ends.
pub async fn deliver_due(
    db: &Database,
    sender: &Sender,
    clock: fn() -> Timestamp,
) -> Result<Passed, HookError> {
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (db, sender) = (db.clone(), sender.clone());
        workers.spawn(async move { work(&db, &sender, clock).await });
    }
    let mut passed = Passed::default();
    let mut failure = None;
    while let Some(done) = workers.join_next().await {
        match done {
            Ok(Ok(more)) => {
                passed.delivered += more.delivered;
                passed.deferred += more.deferred;
                passed.given_up += more.given_up;
            }
            Ok(Err(error)) => failure = Some(error),
            Err(error) => tracing::error!("a delivery of webhooks broke off: {error}"),
        }
    }
    failure.map_or(Ok(passed), Err)
}

/// How long to wait after the `attempts`-th failure. `dice` spreads it by up to a fifth either way, so that what failed
/// together does not come back together.
#[must_use]
pub fn backoff(attempts: u32, dice: u8) -> Duration {
    let wait = (1..attempts).fold(WAIT_FIRST, |wait, _| wait.saturating_mul(WAIT_FACTOR).min(WAIT_MAX));
    wait * (80 * 255 + 40 * u32::from(dice)) / (100 * 255)
}

async fn work(db: &Database, sender: &Sender, clock: fn() -> Timestamp) -> Result<Passed, HookError> {
    let mut passed = Passed::default();
    let lease = SignedDuration::try_from(sender.timeout() + LEASE_MORE).unwrap_or(GIVE_UP_AFTER);
    loop {
        let now = clock();
        let until = now.checked_add(lease).unwrap_or(Timestamp::MAX);
        let Some(taken) = deliveries::take(db, now, until).await? else { return Ok(passed) };
        let sent = sender.send(&taken, now.as_second()).await;
        let [dice, ..] = *Uuid::new_v4().as_bytes();
        let now = clock();
        let wait = backoff(taken.attempts, dice).max(sent.retry_after.unwrap_or_default());
        let verdict = judge(&taken, &sent.outcome, wait, now);
        match &verdict {
            Verdict::Delivered => passed.delivered += 1,
            Verdict::Again { .. } => passed.deferred += 1,
            Verdict::GivenUp { disable } => {
                passed.given_up += 1;
                if let Some(because) = disable {
                    tracing::warn!(endpoint = %taken.endpoint_id, because, "a webhook endpoint was disabled");
                }
            }
        }
        if !deliveries::record(db, &taken, &sent.outcome, &verdict, now).await? {
            tracing::warn!(delivery = %taken.delivery_id, "the lease of a webhook's delivery ended before its answer came");
        }
    }
}

/// What follows from an attempt.
fn judge(taken: &Taken, outcome: &Outcome, wait: Duration, now: Timestamp) -> Verdict {
    match outcome.status {
        Some(200..=299) => return Verdict::Delivered,
        Some(410) => {
            let because = "the receiver answered 410 Gone: it wants no more events".to_owned();
            return Verdict::GivenUp { disable: Some(because) };
        }
        _ => {}
    }
    let since = |then: Timestamp| now.duration_since(then);
    if since(taken.created_at) < GIVE_UP_AFTER {
        let wait = SignedDuration::try_from(wait).unwrap_or(GIVE_UP_AFTER);
        let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        let rest_until = now.checked_add(wait.min(REST_MAX)).unwrap_or(Timestamp::MAX);
        return Verdict::Again { at, rest_until };
    }
    let is_dead = taken.failing_since.is_some_and(|then| GIVE_UP_AFTER <= since(then));
    let why = outcome.error.as_deref().unwrap_or("it failed");
    Verdict::GivenUp {
        disable: is_dead
            .then(|| format!("nothing got through for {} hours: {why}", GIVE_UP_AFTER.as_hours())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_fourfold_up_to_six_hours_and_never_meet() {
        for (attempts, least, most) in [
            (0, 4, 6),
            (1, 4, 6),
            (2, 16, 24),
            (3, 64, 96),
            (6, 4_096, 6_144),
            (9, 17_280, 25_920),
            (u32::MAX, 17_280, 25_920),
        ] {
            let attempts = attempts.min(40);
            assert_eq!(backoff(attempts, 0), Duration::from_secs(least), "{attempts}");
            assert_eq!(backoff(attempts, 255), Duration::from_secs(most), "{attempts}");
        }
    }

    #[test]
    fn an_endpoint_is_disabled_when_nothing_got_through_and_not_for_one_event_that_it_hates() {
        let taken = |failing_since: Option<&str>| Taken {
            delivery_id: Uuid::nil(),
            event_id: Uuid::nil(),
            endpoint_id: Uuid::nil(),
            created_at: at("2026-10-01T00:00:00Z"),
            attempts: 20,
            leased_until: at("2026-10-04T00:00:00Z"),
            url: String::new(),
            secrets: Vec::new(),
            failing_since: failing_since.map(at),
            payload: String::new(),
        };
        let check = |failing_since, status, now: &str, expected: &str| {
            let outcome = Outcome { status, ..Outcome::default() };
            let verdict = judge(&taken(failing_since), &outcome, Duration::from_secs(60), at(now));
            let shown = match verdict {
                Verdict::Delivered => "delivered",
                Verdict::Again { .. } => "again",
                Verdict::GivenUp { disable: None } => "given up",
                Verdict::GivenUp { disable: Some(_) } => "disabled",
            };
            assert_eq!(shown, expected, "{failing_since:?} {status:?} {now}");
        };
        let (early, late) = ("2026-10-03T23:59:59Z", "2026-10-04T00:00:00Z");
        check(None, Some(204), late, "delivered");
        check(None, Some(410), early, "disabled");
        check(Some("2026-10-01T00:00:00Z"), Some(500), early, "again");
        check(Some("2026-10-01T00:00:00Z"), Some(302), early, "again");
        check(Some("2026-10-01T00:00:00Z"), None, late, "disabled");
        // Others got through yesterday.
        check(Some("2026-10-03T00:00:00Z"), Some(400), late, "given up");
        check(None, Some(400), late, "given up");
    }
}
