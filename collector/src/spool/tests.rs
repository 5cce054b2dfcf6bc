//! A backlog that grows too long, and contents that another release or a fault wrote.

use jiff::Timestamp;
use metering::{BootId, DiskReading, DiskRegisters, Epoch, EpochId, InstanceFacts, InstanceId, Readings};

use super::*;

/// One look at a disk in its `life`-th attachment; a fact with every look.
fn batch(spool: &Spool, life: u8, write_bytes: u64) -> Batch {
    let instance_id = InstanceId::from_uuid(Uuid::from_u128(7));
    let observed_at = Timestamp::from_second(1_790_000_000 + i64::try_from(write_bytes).unwrap()).unwrap();
    let disk = DiskReading {
        instance_id,
        target: "vda".into(),
        source: "x".repeat(200),
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
        }],
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}

#[test]
fn a_backlog_over_its_limit_is_thinned_and_keeps_the_end_of_each_life_and_every_fact() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open_with_limit(dir.path(), 8_192).unwrap();
    let state = State::new(Uuid::nil());
    let lives = [(1, 30), (2, 71), (3, 100)];
    let mut oldest = None;
    for n in 1..=100 {
        let (life, _) = *lives.iter().find(|(_, last)| n <= *last).unwrap();
        spool.commit(batch(&spool, life, n), &state).unwrap();
        let first = spool.oldest().unwrap().unwrap();
        assert_eq!(*oldest.get_or_insert(first.clone()), first, "the one under way never changes");
        // One batch is more than the limit once every second is gone; a fold keeps all facts.
        assert!(spool.backlog().unwrap().bytes <= 24_576);
    }
    let (mut last, mut facts, mut seqs) = (std::collections::BTreeMap::new(), 0, Vec::new());
    while let Some(batch) = spool.oldest().unwrap() {
        seqs.push(batch.seq);
        facts += batch.instances.len();
        for disk in batch.readings.disks {
            last.insert(disk.epoch.id, disk.registers.write_bytes);
        }
        spool.acknowledge(batch.seq).unwrap();
    }
    assert!(seqs.len() < 60 && seqs.is_sorted(), "{seqs:?}");
    assert_eq!(seqs.last(), Some(&BatchSeq(100)));
    assert_eq!(facts, 100);
    for (life, end) in lives {
        assert_eq!(last[&EpochId::of(&[&[life]])], end);
    }
    assert_eq!(spool.backlog().unwrap(), Backlog::default());
}

#[test]
fn a_batch_that_cannot_be_decoded_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let state = State::new(Uuid::nil());
    spool.commit(batch(&spool, 1, 1), &state).unwrap();
    spool.commit(batch(&spool, 1, 2), &state).unwrap();
    spool
        .write(|batches, _| {
            batches.insert(1, b"rubbish".as_slice())?;
            Ok(())
        })
        .unwrap();
    assert_eq!(spool.oldest().unwrap().unwrap().seq, BatchSeq(2));
}

#[test]
fn a_memory_of_another_release_is_not_misread_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    spool.commit(batch(&spool, 1, 1), &State::new(Uuid::nil())).unwrap();
    spool
        .write(|_, numbers| {
            numbers.insert(STATE_VERSION_KEY, STATE_VERSION + 1)?;
            Ok(())
        })
        .unwrap();
    assert_eq!(spool.state().unwrap(), None);
    assert_eq!(spool.commit(batch(&spool, 1, 2), &State::new(Uuid::nil())).unwrap(), BatchSeq(2));
}
