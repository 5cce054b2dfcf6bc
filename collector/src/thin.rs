//! Folding one batch into the next: what makes a full spool smaller without losing quantity.
//!
//! Registers are absolute, so a reading may go when a later one of the same life stays. What may not go: the
//! last reading of a life, facts, gaps, notices. They move into the next batch with their own instants.

use std::collections::HashSet;

use metering::InstanceState;
use metering::wire;

/// `newer` with all of `older` that it does not replace; `None`: one of them cannot be decoded.
pub fn fold(older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
    let older = wire::decode(older).ok()?;
    let mut newer = wire::decode(newer).ok()?;
    fold_readings(older.readings, &mut newer.readings);
    newer.gaps.splice(0..0, older.gaps);
    let said: Vec<_> = older.notices.into_iter().filter(|notice| !newer.notices.contains(notice)).collect();
    newer.notices.splice(0..0, said);
    fold_facts(older.instances, &mut newer.instances, |facts| facts.instance_id);
    fold_facts(older.volumes, &mut newer.volumes, |facts| facts.volume_id);
    wire::encode(&newer).ok()
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
