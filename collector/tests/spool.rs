//! The spool through kill -9, damage, an older release's file, a second opener.

mod common;

use std::path::Path;

use collector::{Spool, SpoolError};
use common::{deliver, fill, look, number_of, start_child, state, told};
use metering::{BatchSeq, NoticeKind};
use testbed::faults::Random;

#[test]
fn child_that_commits_until_it_is_killed() {
    common::child(10);
}

#[test]
fn a_kill_at_any_moment_loses_no_batch_that_was_told_and_never_parts_batch_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node_id, mut last) = (None, 0);
    for round in 1..=u64::from(testbed::rounds(8, 200)) {
        let mut child = start_child("child_that_commits_until_it_is_killed", dir.path());
        let mut numbers = told(&mut child);
        last = numbers.nth(usize::try_from(round % 50).unwrap() * 3).unwrap();
        child.kill().unwrap();
        last = numbers.last().unwrap_or(last);
        child.wait().unwrap();

        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(*node_id.get_or_insert(spool.node_id()), spool.node_id());
        let durable = spool.state().unwrap().unwrap().epochs;
        assert!(last <= durable && durable <= last + 1, "told {last}, durable {durable}");
        assert_eq!(spool.summary().unwrap().last_committed, Some(BatchSeq(durable)));
        assert_eq!(spool.summary().unwrap().pending_notices, 0, "a kill is no damage");
    }
    let spool = Spool::open(dir.path()).unwrap();
    spool.rewind(BatchSeq(0)).unwrap();
    let all: Vec<u64> = deliver(&spool, 0).iter().map(|batch| number_of(&spool, batch, 10)).collect();
    assert!(last <= *all.last().unwrap());
    assert_eq!(all, (1..=*all.last().unwrap()).collect::<Vec<_>>());
}

/// A file of the spool, damaged in one way or another.
fn damage(random: &mut Random, file: &Path) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    let length = bytes.len() as u64;
    let at = usize::try_from(random.below(length)).unwrap();
    let what = match random.below(6) {
        0 => {
            let flips = 1 + random.below(20);
            for _ in 0..flips {
                let at = usize::try_from(random.below(length)).unwrap();
                bytes[at] ^= 1 << random.below(8);
            }
            format!("{flips} bits flipped")
        }
        1 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        2 => {
            let page = at / 4_096 * 4_096;
            let end = (page + 4_096).min(bytes.len());
            bytes[page..end].fill(0);
            format!("page at {page} zeroed")
        }
        3 => {
            bytes.fill(0xA5);
            "overwritten".to_owned()
        }
        4 => {
            bytes.splice(at..at, *b"something");
            format!("something put in at {at}")
        }
        _ => {
            bytes.clear();
            "emptied".to_owned()
        }
    };
    std::fs::write(file, bytes).unwrap();
    format!("{}: {what}", file.display())
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = ["identity", "memory-a", "memory-b"].map(|name| dir.join(name)).into();
    let segments = std::fs::read_dir(dir.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    files.extend(segments.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")));
    files.retain(|path| std::fs::metadata(path).is_ok_and(|metadata| 0 < metadata.len()));
    files.sort();
    files
}

/// Some looks, a restart in their middle, then a damage; what is whole is read, and work goes on as the same node.
fn check_damage(random: &mut Random, round: u32) {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let node_id = spool.node_id();
    fill(&spool, 1..=15, 300);
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 16..=30, 300);
    drop(spool);
    let files = files(dir.path());
    let file = &files[usize::try_from(random.below(files.len() as u64)).unwrap()];
    let what = format!("round {round}, {}", damage(random, file));

    let spool = Spool::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(spool.node_id(), node_id, "{what}: its certificate is bound to its id");
    let batches = deliver(&spool, 0);
    let numbers: Vec<u64> = batches.iter().map(|batch| number_of(&spool, batch, 300)).collect();
    assert!(numbers.is_sorted(), "{what}");
    let is_segment = file.extension().is_some();
    assert!(is_segment || numbers.len() == 30, "{what}: no batch lies there");
    let others = if file == files.last().unwrap() { 1..=15 } else { 16..=30 };
    assert!(others.clone().all(|n| numbers.contains(&n)), "{what}: lost more than it hit: {numbers:?}");
    let memory = spool.state().unwrap().map(|state| state.epochs);
    assert!(
        memory.is_none_or(|n| n == 30 || numbers.last().is_none_or(|last| *last <= n)),
        "{what}: {memory:?}"
    );
    let next = spool.commit(look(&spool, 31, 300), &state(31)).unwrap();
    // The end of the last batch cannot be told from one that was cut off: it is as if nobody had looked.
    let is_cut_off = next == BatchSeq(30) && numbers == (1..=29).collect::<Vec<_>>() && memory == Some(29);
    assert!(30 < next.0 || is_cut_off, "{what}: number {next} was used before");
    let first = spool.oldest().unwrap().unwrap();
    let is_told = first.notices.iter().any(|notice| notice.kind == NoticeKind::SpoolDamaged);
    assert!(is_told || is_cut_off || numbers.len() == 30, "{what}: lost batches and said nothing");
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(spool.summary().unwrap().pending_notices, 0, "{what}: told again at each start");
    assert_eq!(spool.state().unwrap().unwrap().epochs, 31, "{what}");
    let after = spool.commit(look(&spool, 32, 300), &state(32)).unwrap();
    assert_eq!(after, next.next(), "{what}");
}

#[test]
fn damage_costs_what_it_hit_and_no_more_and_the_node_stays_who_it_is() {
    let mut random = Random::new(testbed::seed());
    for round in 0..testbed::rounds(60, 1_000) {
        check_damage(&mut random, round);
    }
}

#[test]
fn a_log_that_is_gone_altogether_does_not_make_the_node_another_one_and_no_number_is_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let node_id = spool.node_id();
    fill(&spool, 1..=3, 10);
    drop(spool);
    std::fs::remove_dir_all(dir.path().join("spool")).unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.node_id(), node_id);
    assert!(3 < spool.commit(look(&spool, 4, 10), &state(4)).unwrap().0);
    assert_eq!(spool.oldest().unwrap().unwrap().notices[0].kind, NoticeKind::SpoolDamaged);
}

#[test]
fn the_spool_of_the_release_before_is_taken_over_whole() {
    let dir = tempfile::tempdir().unwrap();
    let packed: &[u8] = include_bytes!("fixtures/spool-8dacb37.redb.zst");
    let file = dir.path().join("spool.redb");
    std::fs::write(&file, zstd::stream::decode_all(packed).unwrap()).unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.node_id().to_string(), "a5bdae0b-64dd-418d-b70e-e83970e19eb3");
    assert!(file.is_dir(), "the release before cannot begin another node here");
    assert_eq!(spool.state().unwrap().unwrap().epochs, 12);
    assert_eq!(spool.summary().unwrap().pending_notices, 0);
    let (first, after) = spool.next_delivery().unwrap().unwrap();
    assert_eq!((first.seq.0, after.0), (4, 3), "three were acknowledged");
    let registers = |batch: &metering::Batch| batch.readings.disks[0].registers.write_bytes;
    let batches = deliver(&spool, 0);
    assert_eq!(batches.iter().map(registers).collect::<Vec<_>>(), (4..=12).collect::<Vec<_>>());
    assert_eq!(spool.commit(look(&spool, 13, 10), &state(13)).unwrap(), BatchSeq(13));
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(deliver(&spool, 0).len(), 1, "it is taken over once");
}

#[test]
fn a_spool_of_a_newer_release_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=3, 10);
    drop(spool);
    let body = format!("2 {} 10001 and more", uuid::Uuid::nil());
    let sum = crc32fast::hash(body.as_bytes());
    std::fs::write(dir.path().join("identity"), format!("weir-node {body} {sum:08x}\n")).unwrap();
    let error = Spool::open(dir.path()).err().unwrap();
    assert!(matches!(error, SpoolError::Newer { format: 2, .. }), "{error:?}");
}

#[test]
fn a_second_collector_on_the_same_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Spool::open(dir.path()).unwrap();
    let error = Spool::open(dir.path()).err().unwrap();
    assert!(matches!(error, SpoolError::InUse { .. }));
    assert!(error.to_string().contains("another collector"), "{error}");
}

#[test]
fn a_directory_that_is_a_file_is_told_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Spool::open(file.path()).err().unwrap();
    assert!(matches!(error, SpoolError::Directory { .. }), "{error:?}");
}

#[test]
fn what_was_acknowledged_is_not_sent_again_and_its_number_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    fill(&spool, 1..=3, 10);
    spool.acknowledge(BatchSeq(2)).unwrap();
    spool.acknowledge(BatchSeq(2)).unwrap();
    assert_eq!(spool.oldest().unwrap().unwrap().seq, BatchSeq(3));
    spool.acknowledge(BatchSeq(3)).unwrap();
    assert_eq!(spool.backlog().unwrap(), Default::default());
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    assert!(spool.oldest().unwrap().is_none());
    assert_eq!(spool.commit(look(&spool, 4, 10), &state(4)).unwrap(), BatchSeq(4));
}
