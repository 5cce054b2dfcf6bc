//! The spool on disks that lose their power, fail and are full.

mod common;

use std::time::{Duration, Instant};

use collector::Spool;
use common::{deliver, fill, look, number_of, start_child, state, told};
use metering::{BatchSeq, NoticeKind};
use testbed::faults::{FailingDisk, FullDisk, PowerCut, Random};

/// A look of a node with some ten instances, as it lies in the spool.
const SIZE: usize = 3_000;

#[test]
fn child_that_commits_until_the_power_is_cut() {
    common::child(SIZE);
}

/// Compares everything above `verified` with what was told, and lets it be covered. Gives the last look that is durable.
fn verify(spool: &Spool, verified: u64, told: u64) -> u64 {
    let durable = spool.state().unwrap().map_or(0, |state| state.epochs);
    assert!(told <= durable, "look {told} was told and is gone; the last one is {durable}");
    spool.rewind(BatchSeq(verified)).unwrap();
    let numbers: Vec<u64> =
        deliver(spool, durable).iter().map(|batch| number_of(spool, batch, SIZE)).collect();
    assert_eq!(numbers, (verified + 1..=durable).collect::<Vec<_>>());
    durable
}

#[test]
fn a_power_cut_at_any_moment_loses_no_look_that_was_told() {
    let mut random = Random::new(testbed::seed());
    let mut disk = PowerCut::new(48).unwrap();
    let (mut verified, mut looks) = (0, 0);
    for _ in 0..testbed::rounds(12, 1_000) {
        let mut child = start_child("child_that_commits_until_the_power_is_cut", &disk.path());
        let mut numbers = told(&mut child);
        let first = numbers.next().unwrap();
        let counting = std::thread::spawn(move || numbers.last());
        std::thread::sleep(Duration::from_millis(random.below(150)));
        disk.cut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let last = counting.join().unwrap().unwrap_or(first);
        disk.restore().unwrap();
        let spool = Spool::open(&disk.path()).unwrap();
        assert_eq!(spool.summary().unwrap().pending_notices, 0, "a torn end is no damage");
        looks += last - verified;
        verified = verify(&spool, verified, last);
    }
    println!("{looks} looks were told and are there");
}

#[test]
fn a_disk_that_fails_loses_no_look_that_was_told_and_is_written_again_when_it_works() {
    let mut random = Random::new(testbed::seed());
    let mut disk = FailingDisk::new(48).unwrap();
    let (mut told, mut verified) = (0, 0);
    for _ in 0..testbed::rounds(4, 100) {
        let spool = Spool::open(&disk.path()).unwrap();
        let next = spool.state().unwrap().map_or(0, |state| state.epochs) + 1;
        let good = next + random.below(20);
        fill(&spool, next..=good, SIZE);
        told = told.max(good);
        disk.fail().unwrap();
        for n in good + 1..good + 4 {
            assert!(spool.commit(look(&spool, n, SIZE), &state(n)).is_err(), "nothing can be durable now");
        }
        disk.heal().unwrap();
        drop(spool);
        disk.remount().unwrap();
        let spool = Spool::open(&disk.path()).unwrap();
        verified = verify(&spool, verified, told);
    }
}

/// More looks than a full disk holds: none is refused, resolution goes, quantity does not.
fn check_full(disk: &FullDisk) {
    let spool = Spool::open(&disk.path()).unwrap();
    let size = 30_000;
    fill(&spool, 1..=300, size);
    for batch in 1..=100 {
        spool.acknowledge(BatchSeq(batch)).unwrap();
    }
    disk.fill().unwrap();
    let mut seen = Vec::new();
    for n in 301..=1_500 {
        let committed = spool.commit(look(&spool, n, size), &state(n));
        assert!(committed.is_ok(), "look {n}: {committed:?}");
        if n == 400 {
            let kept = spool.summary().unwrap().kept.batches;
            assert!(kept < 45, "copies go first, but for a segment in which others wait: {kept}");
        }
    }
    disk.free().unwrap();
    let begin = Instant::now();
    let mut n = 1_500;
    while !spool.summary().unwrap().is_reserve_complete || n < 1_503 {
        n += 1;
        fill(&spool, n..=n, size);
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not recover");
    }
    drop(spool);
    let spool = Spool::open(&disk.path()).unwrap();
    assert_eq!(spool.state().unwrap().unwrap().epochs, n);
    let (mut facts, mut last) = (Vec::new(), 0);
    let batches = deliver(&spool, n);
    for batch in &batches {
        seen.extend(batch.notices.iter().map(|notice| (notice.kind, notice.is_over)));
        facts.extend(batch.instances.iter().map(|facts| facts.instance_id.uuid().as_u128()));
        let register = batch.readings.disks.last().unwrap().registers.write_bytes;
        assert!(last < register, "the register goes up from batch to batch");
        last = register;
    }
    assert!(batches.len() < 1_400, "resolution went: {}", batches.len());
    assert_eq!(last, n, "the last absolute figure is there");
    facts.sort_unstable();
    assert_eq!(facts, (101..=u128::from(n)).collect::<Vec<_>>(), "nothing that may not be folded went");
    for told in [
        (NoticeKind::SpoolFailing, false),
        (NoticeKind::SpoolThinned, false),
        (NoticeKind::SpoolFailing, true),
    ] {
        assert!(seen.contains(&told), "{told:?} was not told: {seen:?}");
    }
}

#[test]
fn a_full_tmpfs_costs_copies_then_resolution_and_never_a_look() {
    check_full(&FullDisk::tmpfs(32).unwrap());
}

#[test]
fn a_full_ext4_costs_copies_then_resolution_and_never_a_look() {
    check_full(&FullDisk::ext4(32).unwrap());
}

#[test]
fn a_disk_that_was_full_before_the_first_look_takes_looks_once_there_is_room() {
    let disk = FullDisk::tmpfs(8).unwrap();
    let spool = Spool::open(&disk.path()).unwrap();
    disk.fill().unwrap();
    for _ in 0..3 {
        assert!(
            spool.commit(look(&spool, 1, SIZE), &state(1)).is_err(),
            "there is nothing that could be freed"
        );
    }
    assert_eq!(spool.state().unwrap(), None, "the memory stays at the last look that is durable");
    disk.free().unwrap();
    let seq = spool.commit(look(&spool, 1, SIZE), &state(1)).unwrap();
    assert_eq!(seq, BatchSeq(1), "nothing that failed has used a number");
    fill(&spool, 2..=3, SIZE);
    let notices: Vec<_> = deliver(&spool, 0).into_iter().flat_map(|batch| batch.notices).collect();
    let told: Vec<_> = notices.iter().map(|notice| (notice.kind, notice.is_over)).collect();
    assert_eq!(told, [(NoticeKind::SpoolFailing, false), (NoticeKind::SpoolFailing, true)]);
}
