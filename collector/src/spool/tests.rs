//! A backlog that grows too long, copies that are kept, a control plane that was restored, a file that fails, contents that
//! another release or a fault wrote.

use jiff::Timestamp;
use metering::{
    BootId, DiskReading, DiskRegisters, Epoch, EpochId, InstanceFacts, InstanceId, NoticeKind, Readings,
};
use uuid::Uuid;

use super::log::{SEGMENT_BYTES, faults};
use super::*;

/// Bytes that do not compress, so that a few hundred batches fill segments.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    };
    (0..length).map(|_| next()).collect()
}

/// One look at a disk in its `life`-th attachment; a fact with every look.
pub fn batch(spool: &Spool, life: u8, write_bytes: u64, size: usize) -> Batch {
    let instance_id = InstanceId::from_uuid(Uuid::from_u128(7));
    let observed_at =
        Timestamp::from_second(1_790_000_000 + 60 * i64::try_from(write_bytes).unwrap()).unwrap();
    let disk = DiskReading {
        instance_id,
        target: "vda".into(),
        source: noise(write_bytes, size),
        observed_at,
        epoch: Epoch { id: EpochId::of(&[&[life]]), born_at: Some(observed_at) },
        registers: DiskRegisters { write_bytes, ..DiskRegisters::default() },
    };
    Batch {
        node_id: spool.node_id(),
        seq: BatchSeq(0),
        node_name: "node".into(),
        boot_id: BootId::from_uuid(Uuid::nil()),
        collected_at: observed_at,
        collected_boot: None,
        readings: Readings { disks: vec![disk], ..Readings::default() },
        gaps: Vec::new(),
        instances: vec![InstanceFacts {
            instance_id: InstanceId::from_uuid(Uuid::from_u128(u128::from(write_bytes))),
            name: "web".into(),
            tenant_label: None,
            makeup: metering::Makeup::default(),
        }],
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}

pub fn state(n: u64) -> State {
    State { epochs: n, ..State::new(Uuid::nil()) }
}

fn fill(spool: &Spool, looks: std::ops::RangeInclusive<u64>, size: usize) {
    for n in looks {
        spool.commit(batch(spool, 1, n, size), &state(n)).unwrap();
    }
}

fn deliver(spool: &Spool, covered_until: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(batch) = spool.oldest().unwrap() {
        seqs.push(batch.seq.0);
        let receipt = Receipt { known_until: batch.seq, covered_until: BatchSeq(covered_until) };
        spool.delivered(batch.seq, receipt).unwrap();
    }
    seqs
}

pub fn small(waiting_bytes: u64, kept_bytes: u64) -> Limits {
    Limits { waiting_bytes, kept_bytes, ..Limits::default() }
}

/// The notices that go out with the next batch.
fn told(spool: &Spool) -> Vec<(NoticeKind, bool)> {
    spool.core().notices.iter().map(|notice| (notice.kind, notice.is_over)).collect()
}

#[test]
fn a_backlog_over_its_limit_is_thinned_and_keeps_the_end_of_each_life_and_every_fact() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 3 * SEGMENT_BYTES;
    let spool = Spool::open_with(dir.path(), small(limit, 0)).unwrap();
    let lives = [(1, 130), (2, 271), (3, 400)];
    let (mut oldest, mut notices) = (None, Vec::new());
    for n in 1..=400 {
        let (life, _) = *lives.iter().find(|(_, last)| n <= *last).unwrap();
        notices.extend(told(&spool));
        spool.commit(batch(&spool, life, n, 30_000), &state(n)).unwrap();
        let first = spool.oldest().unwrap().unwrap();
        assert_eq!(*oldest.get_or_insert(first.clone()), first, "the one under way never changes");
        assert!(spool.backlog().unwrap().bytes <= limit + SEGMENT_BYTES, "look {n}");
    }
    assert_eq!(notices, [(NoticeKind::SpoolThinned, false)], "told once");
    drop(spool);
    let spool = Spool::open_with(dir.path(), small(limit, 0)).unwrap();
    let (mut last, mut facts, mut seqs) = (std::collections::BTreeMap::new(), 0, Vec::new());
    while let Some(batch) = spool.oldest().unwrap() {
        seqs.push(batch.seq);
        facts += batch.instances.len();
        for disk in batch.readings.disks {
            last.insert(disk.epoch.id, disk.registers.write_bytes);
        }
        spool.acknowledge(batch.seq).unwrap();
    }
    assert!(seqs.len() < 250 && seqs.is_sorted(), "{seqs:?}");
    assert_eq!(seqs.last(), Some(&BatchSeq(400)));
    assert_eq!(facts, 400);
    for (life, end) in lives {
        assert_eq!(last[&EpochId::of(&[&[life]])], end);
    }
    assert_eq!(spool.backlog().unwrap(), Backlog::default());
    assert_eq!(told(&spool), [(NoticeKind::SpoolThinned, true)]);
}

#[test]
fn what_is_acknowledged_stays_until_a_backup_covers_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=100, 30_000);
    assert_eq!(deliver(&spool, 0).len(), 100);
    assert_eq!(spool.summary().unwrap().kept.batches, 100);
    fill(&spool, 101..=101, 10);
    deliver(&spool, 100);
    let summary = spool.summary().unwrap();
    assert!(summary.kept.batches < 40, "whole segments that are covered go: {summary:?}");
    assert_eq!(summary.covered_until, Some(BatchSeq(100)));
    assert_eq!(summary.dropped_until.unwrap().next(), summary.kept.first.unwrap());
}

#[test]
fn copies_over_their_limit_or_their_age_go_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open_with(dir.path(), small(MAX_BACKLOG_BYTES, 2 * SEGMENT_BYTES)).unwrap();
    fill(&spool, 1..=200, 30_000);
    deliver(&spool, 0);
    fill(&spool, 201..=201, 10);
    let kept = spool.summary().unwrap().kept;
    assert!(kept.bytes <= 3 * SEGMENT_BYTES && kept.last == Some(BatchSeq(200)), "{kept:?}");
    drop(spool);
    let limits = Limits { kept_age: Duration::from_secs(3_600), ..Limits::default() };
    let spool = Spool::open_with(dir.path(), limits).unwrap();
    fill(&spool, 1_000..=1_003, 10);
    assert!(spool.summary().unwrap().kept.batches < kept.batches);
}

#[test]
fn a_control_plane_that_was_restored_is_filled_again_and_told_what_is_not_kept_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=100, 30_000);
    deliver(&spool, 70);
    spool.rewind(BatchSeq(90)).unwrap();
    assert!(told(&spool).is_empty());
    let (first, after) = spool.next_delivery().unwrap().unwrap();
    assert_eq!((first.seq.0, after.0), (91, 90));
    assert_eq!(deliver(&spool, 70), (91..=100).collect::<Vec<_>>());
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    assert!(spool.oldest().unwrap().is_none(), "how far delivery had come was kept");
    spool.rewind(BatchSeq(5)).unwrap();
    assert_eq!(told(&spool), [(NoticeKind::RefillIncomplete, false)]);
    let again = deliver(&spool, 5);
    assert!(
        again.first().is_some_and(|first| 5 < *first && *first <= 71) && again.last() == Some(&100),
        "{again:?}"
    );
}

#[test]
fn a_batch_that_was_refused_is_not_sent_again_after_a_restore_or_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=3, 10);
    spool.acknowledge(BatchSeq(1)).unwrap();
    spool.set_aside(BatchSeq(2), "no\nway").unwrap();
    let (next, after) = spool.next_delivery().unwrap().unwrap();
    assert_eq!((next.seq.0, after.0), (3, 1));
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    spool.rewind(BatchSeq(0)).unwrap();
    assert_eq!(deliver(&spool, 0), [1, 3]);
    let refused = spool.summary().unwrap().refused;
    assert_eq!((refused[0].seq, refused[0].reason.as_str()), (BatchSeq(2), "no way"));
}

#[test]
fn refused_batches_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=130, 10);
    for seq in 1..=120 {
        spool.set_aside(BatchSeq(seq), "no").unwrap();
    }
    let refused = spool.summary().unwrap().refused;
    assert_eq!((refused.len(), refused[0].seq), (refused::REFUSED_MAX, BatchSeq(21)));
    assert_eq!(std::fs::read_dir(dir.path().join("refused")).unwrap().count(), refused::REFUSED_MAX);
}

#[test]
fn a_write_or_flush_that_fails_once_costs_nothing_and_its_file_is_never_flushed_again() {
    for calls in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        fill(&spool, 1..=2, 10);
        let segment = spool.core().log.active_id();
        faults::fail_after(calls);
        let committed = spool.commit(batch(&spool, 1, 3, 10), &state(3));
        assert!(!faults::is_pending() || 1 < calls, "the fault struck in the log");
        assert_eq!(committed.unwrap(), BatchSeq(3), "another segment took it");
        assert!(1 < calls || segment < spool.core().log.active_id());
        fill(&spool, 4..=4, 10);
        drop(spool);
        let spool = Spool::open(dir.path()).unwrap();
        assert!(told(&spool).is_empty(), "{:?}", spool.core().notices);
        assert_eq!(spool.state().unwrap().unwrap().epochs, 4);
        assert_eq!(deliver(&spool, 0), [1, 2, 3, 4]);
    }
}

#[test]
fn a_batch_that_cannot_be_decoded_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=2, 10);
    {
        let mut core = spool.core();
        let frame = core::pack(b"rubbish", 1, 1, 0).unwrap();
        let place = core.append_durably(&frame).unwrap();
        core.add(place, &frame);
    }
    assert_eq!(spool.oldest().unwrap().unwrap().seq, BatchSeq(2));
    assert_eq!(spool.summary().unwrap().refused.len(), 1);
}

#[test]
fn a_memory_of_another_release_is_not_misread_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let bytes = rmp_serde::to_vec_named(&state(1)).unwrap();
    spool.core().commit(batch(&spool, 1, 1, 10), STATE_VERSION + 1, bytes).unwrap();
    assert_eq!(spool.state().unwrap(), None);
    assert_eq!(spool.commit(batch(&spool, 1, 2, 10), &state(2)).unwrap(), BatchSeq(2));
}

#[test]
fn a_notice_goes_out_with_one_batch_and_only_when_that_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let notice = Notice {
        kind: NoticeKind::ClockStepped,
        instance_id: None,
        device: None,
        is_over: false,
        detail: "by an hour".to_owned(),
    };
    spool.push_notice(notice.clone());
    spool.push_notice(notice.clone());
    fill(&spool, 1..=2, 10);
    assert_eq!(spool.oldest().unwrap().unwrap().notices, [notice]);
    spool.acknowledge(BatchSeq(1)).unwrap();
    assert!(spool.oldest().unwrap().unwrap().notices.is_empty());
}

#[test]
fn a_first_look_that_was_cut_off_before_its_batch_is_as_if_nobody_had_looked() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let bytes = rmp_serde::to_vec_named(&state(1)).unwrap();
    {
        let core = spool.core();
        let identity = identity::Identity { numbers_below: 10_001, ..core.identity };
        identity.write(dir.path()).unwrap();
        core.slots.write(&slots::Memory { seq: 1, version: STATE_VERSION, bytes }).unwrap();
    }
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.state().unwrap(), None);
    assert!(told(&spool).is_empty());
    fill(&spool, 1..=1, 10);
    assert_eq!(
        spool.oldest().unwrap().unwrap().seq,
        BatchSeq(10_001),
        "perhaps the log is gone: no number twice"
    );
}
