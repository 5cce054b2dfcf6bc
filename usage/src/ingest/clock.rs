//! How wrong a node's wall clock is, told by its other clock: the time since its kernel started cannot be set. Pure.
//! It does NOT decide what becomes of a batch whose clock was wrong ([`super::screen`]).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::Batch;

use super::delivery::Delivery;

/// How far a node's wall clock may be off before its readings are put into quarantine: one reading interval. Less than
/// that puts usage into the window beside its own at most once a window; a node with time synchronisation is off by
/// milliseconds. It must be longer than a delivery may take, which looks like lateness.
pub const CLOCK_ERROR_MAX: Duration = Duration::from_secs(60);

/// By how much the two clocks may disagree about a length of time and still count as not having been set.
const STEP_MIN_US: i128 = 1_000_000;

/// How far a node's wall clock is ahead of the control plane's; behind: less than zero. By as much as the delivery
/// took, both are too low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClockError {
    /// When the batch was collected.
    pub(super) at_collection: Option<SignedDuration>,
    /// When it was sent.
    pub(super) at_delivery: Option<SignedDuration>,
}

impl ClockError {
    /// When the batch was collected, if that is beyond what is borne.
    pub(super) fn beyond(self) -> Option<SignedDuration> {
        self.at_collection.filter(|error| CLOCK_ERROR_MAX < error.unsigned_abs())
    }
}

/// Measures a node's clock by a delivery.
pub(super) fn measure(batch: &Batch, delivery: &Delivery, received_at: Timestamp) -> ClockError {
    let Some(sent) = delivery.sent else {
        return ClockError::default();
    };
    let us = |at: Timestamp| i128::from(at.as_microsecond());
    let at_delivery = us(sent.wall) - us(received_at);
    let age = batch.collected_boot.and_then(|collected| {
        let age = i128::try_from(sent.boot.checked_sub(collected)?.as_micros()).ok()?;
        let is_same_boot = match sent.boot_id {
            Some(boot_id) => boot_id == batch.boot_id,
            None => (us(sent.wall) - us(batch.collected_at) - age).abs() < STEP_MIN_US,
        };
        is_same_boot.then_some(age)
    });
    let at_collection = age.map(|age| us(batch.collected_at) - (us(received_at) - age));
    ClockError { at_collection: at_collection.and_then(duration), at_delivery: duration(at_delivery) }
}

fn duration(us: i128) -> Option<SignedDuration> {
    i64::try_from(us).ok().map(SignedDuration::from_micros)
}

#[cfg(test)]
mod tests {
    use metering::{BatchSeq, BootId, NodeId, Readings};
    use uuid::Uuid;

    use super::*;
    use crate::ingest::NodeClock;

    const BOOT: BootId = BootId::from_uuid(Uuid::from_u128(1));
    const OTHER_BOOT: BootId = BootId::from_uuid(Uuid::from_u128(2));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    /// Seconds: collected at (wall, boot), sent at (wall, boot), received at; the errors at collection and delivery.
    fn check(
        collected: (i64, u64),
        sent: (i64, u64, Option<BootId>),
        received: i64,
        expected: (Option<i64>, i64),
    ) {
        let batch = Batch {
            node_id: NodeId::from_uuid(Uuid::nil()),
            seq: BatchSeq(1),
            node_name: String::new(),
            boot_id: BOOT,
            collected_at: at(collected.0),
            collected_boot: Some(Duration::from_secs(collected.1)),
            readings: Readings::default(),
            gaps: Vec::new(),
            instances: Vec::new(),
            volumes: Vec::new(),
            notices: Vec::new(),
        };
        let clock = NodeClock { wall: at(sent.0), boot: Duration::from_secs(sent.1), boot_id: sent.2 };
        let error = measure(&batch, &Delivery { after: BatchSeq(0), sent: Some(clock) }, at(received));
        assert_eq!(error.at_collection.map(|error| error.as_secs()), expected.0);
        assert_eq!(error.at_delivery.map(|error| error.as_secs()), Some(expected.1));
    }

    #[test]
    fn a_week_in_the_spool_is_no_clock_error_and_a_clock_set_meanwhile_is_told_from_one_that_still_is_wrong()
    {
        let week = 7 * 86_400;
        check((0, 100), (week, 100 + week as u64, Some(BOOT)), week, (Some(0), 0));
        // Two hours ahead then, right now.
        check((7_200, 100), (60, 160, Some(BOOT)), 60, (Some(7_200), 0));
        // A year ahead still.
        let year = 31_536_000;
        check((year, 100), (year + 60, 160, Some(BOOT)), 60, (Some(year), year));
        // The delivery took 10 s: that looks like lateness.
        check((0, 100), (60, 160, Some(BOOT)), 70, (Some(-10), -10));
    }

    #[test]
    fn what_was_collected_before_a_reboot_is_not_judged_by_the_clock_of_another_boot() {
        check((0, 100), (1_000, 500, Some(OTHER_BOOT)), 1_000, (None, 0));
        check((0, 100), (1_000, 50, None), 1_000, (None, 0));
        check((0, 100), (1_000, 500, None), 1_000, (None, 0));
        check((3_600, 100), (3_660, 160, None), 60, (Some(3_600), 3_600));
    }

    #[test]
    fn clocks_at_the_ends_of_time_are_measured_or_not_but_nothing_breaks() {
        for wall in [Timestamp::MIN, Timestamp::MAX] {
            let mut batch = Batch {
                node_id: NodeId::from_uuid(Uuid::nil()),
                seq: BatchSeq(1),
                node_name: String::new(),
                boot_id: BOOT,
                collected_at: wall,
                collected_boot: Some(Duration::MAX),
                readings: Readings::default(),
                gaps: Vec::new(),
                instances: Vec::new(),
                volumes: Vec::new(),
                notices: Vec::new(),
            };
            let clock = NodeClock { wall, boot: Duration::MAX, boot_id: Some(BOOT) };
            let delivery = Delivery { after: BatchSeq(0), sent: Some(clock) };
            assert!(measure(&batch, &delivery, at(0)).beyond().is_some());
            batch.collected_boot = Some(Duration::ZERO);
            assert_eq!(measure(&batch, &delivery, at(0)).beyond(), None);
        }
    }
}
