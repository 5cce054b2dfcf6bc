//! Folding one batch into the next: what makes a full spool smaller without losing quantity.
//!
//! Registers are absolute, so a reading may go when a later one of the same life stays. What may not go: the
//! last reading of a life, facts, gaps, notices. They move into the next batch with their own instants.

use std::collections::HashSet;

use metering::wire;
use metering::{Batch, InstanceState};

/// More than this between the wall clocks of two batches is no drift: one of them may be wrong.
const CLOCK_STEP_MIN_US: u128 = 2_000_000;

/// `newer` with all of `older` that it does not replace; `None`: one of them cannot be decoded, or they are not of one clock. A
/// batch is judged by the clock by which it was collected, so what is true must not move into one that was collected by a wrong
/// clock, nor the other way round.
pub fn fold(older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
    let older = wire::decode(older).ok()?;
    let mut newer = wire::decode(newer).ok()?;
    if !are_of_one_clock(&older, &newer) {
        return None;
    }
    fold_readings(older.readings, &mut newer.readings);
    newer.gaps.splice(0..0, older.gaps);
    let said: Vec<_> = older.notices.into_iter().filter(|notice| !newer.notices.contains(notice)).collect();
    newer.notices.splice(0..0, said);
    fold_facts(older.instances, &mut newer.instances, |facts| facts.instance_id);
    fold_facts(older.volumes, &mut newer.volumes, |facts| facts.volume_id);
    wire::encode(&newer).ok()
}

/// Whether the wall clock was not set between two batches, as far as they say; the kernel's clock tells.
fn are_of_one_clock(older: &Batch, newer: &Batch) -> bool {
    let (Some(before), Some(after)) = (older.collected_boot, newer.collected_boot) else {
        return true;
    };
    let by_wall =
        i128::from(newer.collected_at.as_microsecond()) - i128::from(older.collected_at.as_microsecond());
    let us = |since_boot: std::time::Duration| i128::try_from(since_boot.as_micros()).unwrap_or(i128::MAX);
    let step = (by_wall - us(after).saturating_sub(us(before))).unsigned_abs();
    older.boot_id == newer.boot_id && step < CLOCK_STEP_MIN_US
}

fn fold_readings(older: metering::Readings, newer: &mut metering::Readings) {
    // At rest, what counts is that it was seen to be off: it ends the life before.
    fold_kind(older.instances, &mut newer.instances, |reading| {
        let is_last = reading.state == InstanceState::Gone;
        (reading.instance_id, reading.epoch.id, is_last)
    });
    fold_kind(older.disks, &mut newer.disks, |reading| {
        (reading.instance_id, reading.target.clone(), reading.epoch.id)
    });
    fold_kind(older.nics, &mut newer.nics, |reading| {
        (reading.instance_id, reading.mac.clone(), reading.epoch.id)
    });
    fold_kind(older.volumes, &mut newer.volumes, |reading| {
        (reading.volume_id, reading.epoch.id, reading.exists)
    });
    newer.node = newer.node.take().or(older.node);
}

/// Puts those of `older` in front whose key `newer` does not have: they stay in order of time.
fn fold_kind<T, K: Eq + std::hash::Hash>(older: Vec<T>, newer: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let replaced: HashSet<K> = newer.iter().map(&key).collect();
    let kept = older.into_iter().filter(|reading| !replaced.contains(&key(reading)));
    newer.splice(0..0, kept);
}

fn fold_facts<T, K: Eq>(older: Vec<T>, newer: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let kept: Vec<T> =
        older.into_iter().filter(|facts| !newer.iter().any(|other| key(other) == key(facts))).collect();
    newer.splice(0..0, kept);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use metering::{BatchSeq, BootId, Gap, GapReason, NodeId, Readings, Window};
    use uuid::Uuid;

    use super::*;

    /// A batch with a gap, collected so many seconds after the kernel's start, by a wall clock that was off by `error`.
    fn batch(boot: u128, second: u64, error: i64) -> Vec<u8> {
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        let wall = i64::try_from(second).unwrap() + error;
        let gap = Gap {
            instance_id: None,
            device: None,
            span: Window::new(at(wall), at(wall + 1)).unwrap(),
            reason: GapReason::HypervisorAway,
            detail: String::new(),
        };
        wire::encode(&Batch {
            node_id: NodeId::from_uuid(Uuid::nil()),
            seq: BatchSeq(second),
            node_name: String::new(),
            boot_id: BootId::from_uuid(Uuid::from_u128(boot)),
            collected_at: at(wall),
            collected_boot: Some(Duration::from_secs(second)),
            readings: Readings::default(),
            gaps: vec![gap],
            instances: Vec::new(),
            volumes: Vec::new(),
            notices: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn what_was_collected_by_a_wrong_clock_is_not_folded_into_what_was_collected_by_a_right_one() {
        let folds = |older: &[u8], newer: &[u8]| {
            fold(older, newer).map(|wire| wire::decode(&wire).unwrap().gaps.len())
        };
        assert_eq!(folds(&batch(1, 10, 0), &batch(1, 70, 0)), Some(2));
        assert_eq!(folds(&batch(1, 10, 1), &batch(1, 70, 0)), Some(2), "it drifts");
        for error in [30, -30, 7_200, -7_200] {
            assert_eq!(folds(&batch(1, 10, error), &batch(1, 70, 0)), None, "{error}");
            assert_eq!(folds(&batch(1, 10, 0), &batch(1, 70, error)), None, "{error}");
            assert_eq!(folds(&batch(1, 10, error), &batch(1, 70, error)), Some(2), "{error}");
        }
        assert_eq!(folds(&batch(1, 10, 0), &batch(2, 70, 0)), None, "another life of the kernel");
    }
}
