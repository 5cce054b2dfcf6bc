//! Keeps the readings of one node in the order in which they were taken, when its wall clock was set back. Pure. It does NOT
//! tell whether a clock was wrong ([`super::clock`] does), nor whether a reading can be true ([`super::judge`] does).
//!
//! A clock that is wrong by less than [`CLOCK_ERROR_MAX`] is believed. When it is then set right, what was read before lies in
//! the future of what is read now, and its registers stand lower: by their instants they would fall, and a life that ends now
//! has no later reading that could make up for one that is refused. But a node sends its oldest batch first, so what the newest
//! one says was read last. It is dated just behind what is known: at most as late as the clock was wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{Batch, Epoch, EpochId, ResourceKind};
use uuid::Uuid;

use super::known::{Head, Key, Known};
use super::partitions::day_of;
use super::{CLOCK_ERROR_MAX, FUTURE_MAX};

/// Between two readings of which the clock cannot tell which came first.
const STEP: Duration = Duration::from_micros(1);

/// How far what is known may lie in the future: as far as it was believed when it came, and as far as the clock may be behind.
const SET_BACK_MAX: Duration = FUTURE_MAX.saturating_add(CLOCK_ERROR_MAX);

/// The newest batch of its node, with readings that seem to have been taken before what is known dated behind it.
pub(super) fn upright<'a>(batch: &'a Batch, known: &Known) -> Cow<'a, Batch> {
    let Some(latest) = known.heads.values().map(|head| head.last).max() else {
        return Cow::Borrowed(batch);
    };
    let readings = &batch.readings;
    let is_late = (readings.instances.iter().map(|r| r.observed_at))
        .chain(readings.disks.iter().map(|r| r.observed_at))
        .chain(readings.nics.iter().map(|r| r.observed_at))
        .chain(readings.volumes.iter().map(|r| r.observed_at))
        .any(|at| at < latest);
    if !is_late {
        return Cow::Borrowed(batch);
    }
    let mut dating = Dating { node_id: batch.node_id.uuid(), known, last: BTreeMap::new() };
    let mut upright = batch.clone();
    let readings = &mut upright.readings;
    for r in &mut readings.instances {
        let key = (r.instance_id.uuid(), ResourceKind::Instance.as_str(), String::new());
        r.observed_at = dating.date(key, r.observed_at, r.epoch);
    }
    for r in &mut readings.disks {
        let key = (r.instance_id.uuid(), ResourceKind::Disk.as_str(), r.target.clone());
        r.observed_at = dating.date(key, r.observed_at, r.epoch);
    }
    for r in &mut readings.nics {
        let key = (r.instance_id.uuid(), ResourceKind::Nic.as_str(), r.mac.clone());
        r.observed_at = dating.date(key, r.observed_at, r.epoch);
    }
    for r in &mut readings.volumes {
        let key = (r.volume_id.uuid(), ResourceKind::Volume.as_str(), String::new());
        r.observed_at = dating.date(key, r.observed_at, r.epoch);
    }
    if dating.last.is_empty() { Cow::Borrowed(batch) } else { Cow::Owned(upright) }
}

/// Dating the readings of a batch one after the other.
struct Dating<'a> {
    node_id: Uuid,
    known: &'a Known,
    /// Where each of those has come to that were late.
    last: BTreeMap<Key, Timestamp>,
}

impl Dating<'_> {
    fn date(&mut self, key: Key, at: Timestamp, epoch: Epoch) -> Timestamp {
        let head = || self.known.heads.get(&key).filter(|head| self.is_behind(&key, head, at, epoch));
        let Some(floor) = self.last.get(&key).copied().or_else(|| head().map(|head| head.last)) else {
            return at;
        };
        let dated = if floor < at { at } else { floor.saturating_add(STEP).unwrap_or(floor) };
        self.last.insert(key, dated);
        dated
    }

    /// Whether a reading was taken after the last known one though its instant says otherwise.
    fn is_behind(&self, key: &Key, head: &Head, at: Timestamp, epoch: Epoch) -> bool {
        let set_back_max = SignedDuration::try_from(SET_BACK_MAX).unwrap_or(SignedDuration::MAX);
        let next = head.last.saturating_add(STEP).unwrap_or(head.last);
        at < head.last
            && head.last.duration_since(at) <= set_back_max
            // Its day has a partition.
            && day_of(next) == day_of(head.last)
            && (self.is_same_life(head, epoch) || self.is_of_this_node_alone(key))
    }

    /// An epoch is one node's.
    fn is_same_life(&self, head: &Head, epoch: Epoch) -> bool {
        epoch.id != EpochId::NONE && head.stand.is_some_and(|stand| stand.epoch == epoch.id)
    }

    /// Whether nobody else has told of it: two nodes' clocks say nothing of each other's order.
    fn is_of_this_node_alone(&self, (id, kind, _): &Key) -> bool {
        if *kind == ResourceKind::Volume.as_str() {
            let volume = self.known.volumes.get(id);
            return volume.is_some_and(|v| v.node_id == Some(self.node_id) && v.moved_at.is_none());
        }
        let instance = self.known.instances.get(id);
        instance.is_some_and(|i| i.node_id == self.node_id && i.former.is_none())
    }
}

#[cfg(test)]
mod tests {
    use metering::{BatchSeq, BootId, InstanceId, InstanceState, NicReading, NicRegisters, NodeId, Readings};

    use super::super::known::KnownInstance;
    use super::super::rates::Stand;
    use super::*;

    const INSTANCE: Uuid = Uuid::from_u128(7);
    const NODE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    /// A NIC that was last read at 100 s in life 1, of an instance that `owner` has and `former` had; then readings at these
    /// seconds in these lives by [`NODE`]. Gives the microseconds since second 100 by which they are dated.
    fn dated(owner: Uuid, former: Option<Uuid>, readings: &[(i64, i64)]) -> Vec<i64> {
        let epoch = |id| Epoch { id: EpochId::from_i64(id), born_at: None };
        let instance = KnownInstance {
            first_seen_at: at(0),
            last_seen_at: at(100),
            node_id: owner,
            state: InstanceState::Running,
            vcpus: 1,
            memory_kib: 1,
            former,
            held_since: Some(at(0)),
            is_orphan: false,
        };
        let stand = Stand { at: at(100), epoch: epoch(1).id, registers: [9; 4] };
        let head = Head { first: at(0), last: at(100), stand: Some(stand) };
        let mut known = Known::default();
        known.instances.insert(INSTANCE, instance);
        known.heads.insert((INSTANCE, ResourceKind::Nic.as_str(), "a".to_owned()), head);
        let nic = |(second, life): &(i64, i64)| NicReading {
            instance_id: InstanceId::from_uuid(INSTANCE),
            mac: "a".to_owned(),
            observed_at: at(*second),
            epoch: epoch(*life),
            registers: NicRegisters::default(),
        };
        let batch = Batch {
            node_id: NodeId::from_uuid(NODE),
            seq: BatchSeq(2),
            node_name: String::new(),
            boot_id: BootId::from_uuid(Uuid::nil()),
            collected_at: at(0),
            collected_boot: None,
            readings: Readings { nics: readings.iter().map(nic).collect(), ..Readings::default() },
            gaps: Vec::new(),
            instances: Vec::new(),
            volumes: Vec::new(),
            notices: Vec::new(),
        };
        let upright = upright(&batch, &known);
        upright
            .readings
            .nics
            .iter()
            .map(|r| r.observed_at.as_microsecond() - at(100).as_microsecond())
            .collect()
    }

    #[test]
    fn what_comes_in_order_keeps_its_instants() {
        assert_eq!(dated(NODE, None, &[(101, 1), (103, 1), (102, 2)]), [1_000_000, 3_000_000, 2_000_000]);
    }

    #[test]
    fn what_was_read_after_the_clock_was_set_back_follows_what_is_known_one_after_the_other() {
        assert_eq!(dated(NODE, None, &[(70, 1), (71, 1), (72, 2), (130, 2)]), [1, 2, 3, 30_000_000]);
    }

    #[test]
    fn a_clock_that_was_never_believed_is_left_to_the_judge() {
        assert_eq!(dated(NODE, None, &[(100 - 7_200, 1)]), [-7_200_000_000]);
    }

    #[test]
    fn the_clocks_of_two_nodes_are_not_compared() {
        // Life 1 is this node's, so its order is known; another life of what moved may have been beside it.
        assert_eq!(dated(OTHER, None, &[(90, 1)]), [1]);
        assert_eq!(dated(OTHER, None, &[(90, 2)]), [-10_000_000]);
        assert_eq!(dated(NODE, Some(OTHER), &[(90, 2)]), [-10_000_000]);
    }
}
