//! The spool through kill -9, damage, a full backlog and a second opener.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use collector::tracker::State;
use collector::{Spool, SpoolError};
use jiff::Timestamp;
use metering::{Batch, BatchSeq, BootId, NodeReading, Readings};
use uuid::Uuid;

const CHILD: &str = "WEIR_TEST_SPOOL_CHILD";

fn batch(spool: &Spool, n: u64) -> Batch {
    let node = NodeReading {
        observed_at: Timestamp::from_second(1_790_000_000).unwrap(),
        rx_bytes: n,
        ..NodeReading::default()
    };
    Batch {
        node_id: spool.node_id(),
        seq: BatchSeq(0),
        node_name: "node".into(),
        boot_id: BootId::from_uuid(Uuid::nil()),
        collected_at: node.observed_at,
        collected_boot: None,
        readings: Readings { node: Some(node), ..Readings::default() },
        gaps: Vec::new(),
        instances: Vec::new(),
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}

/// A memory that can be told from others.
fn state(n: u64) -> State {
    State { epochs: n, ..State::new(Uuid::from_u128(1)) }
}

/// The process that is killed: commits for ever, and says each number only after its commit.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let spool = Spool::open(Path::new(&dir)).unwrap();
    let first = spool.state().unwrap().map_or(0, |state| state.epochs) + 1;
    for n in first.. {
        let seq = spool.commit(batch(&spool, n), &state(n)).unwrap();
        println!("\ncommitted {} {n}", seq.0);
        std::io::stdout().flush().unwrap();
    }
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_kill_at_any_moment_loses_no_batch_that_was_told_and_never_parts_batch_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut node_id = None;
    let mut told = 0;
    for round in 1..=8_u64 {
        let mut child = start_child(dir.path());
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut committed = output.lines().map_while(Result::ok).filter_map(|line| {
            let mut words = line.strip_prefix("committed ")?.split(' ');
            let (seq, n): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            assert_eq!(seq, n, "numbers have no holes and are used once");
            Some(seq)
        });
        told = committed.nth(usize::try_from(round).unwrap() * 3).unwrap();
        child.kill().unwrap();
        told = committed.last().unwrap_or(told);
        child.wait().unwrap();

        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!(*node_id.get_or_insert(spool.node_id()), spool.node_id());
        let durable = spool.state().unwrap().unwrap().epochs;
        assert!(told <= durable && durable <= told + 1, "told {told}, durable {durable}");
        assert_eq!(spool.backlog().unwrap().batches, durable);
    }
    let spool = Spool::open(dir.path()).unwrap();
    for n in 1..=told {
        let oldest = spool.oldest().unwrap().unwrap();
        assert_eq!(oldest.seq, BatchSeq(n));
        assert_eq!(oldest.readings.node.unwrap().rx_bytes, n);
        spool.acknowledge(oldest.seq).unwrap();
    }
}

#[test]
fn a_damaged_file_is_put_aside_and_a_new_one_begun() {
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.fill(0xA5),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(10),
        |bytes| bytes.splice(0..9, *b"something").for_each(drop),
        |bytes| bytes[4_096..].fill(0x5A),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let before = spool.node_id();
        for look in 1..20 {
            spool.commit(batch(&spool, look), &state(look)).unwrap();
        }
        drop(spool);
        let file = dir.path().join("spool.redb");
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();

        let spool = Spool::open(dir.path()).unwrap_or_else(|error| panic!("damage {n}: {error:?}"));
        assert_ne!(spool.node_id(), before, "damage {n}: numbers begin anew, so it is another node");
        assert!(spool.state().unwrap().is_none(), "damage {n}");
        assert_eq!(spool.commit(batch(&spool, 1), &state(1)).unwrap(), BatchSeq(1));
        let aside = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = aside.filter(|name| name.to_string_lossy().contains("damaged"));
        assert_eq!(aside.count(), 1, "damage {n}");
    }
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
fn what_was_acknowledged_is_forgotten_and_its_number_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    for n in 1..=3 {
        spool.commit(batch(&spool, n), &state(n)).unwrap();
    }
    spool.acknowledge(BatchSeq(2)).unwrap();
    spool.acknowledge(BatchSeq(2)).unwrap();
    assert_eq!(spool.oldest().unwrap().unwrap().seq, BatchSeq(3));
    spool.acknowledge(BatchSeq(3)).unwrap();
    assert_eq!(spool.backlog().unwrap(), Default::default());
    drop(spool);
    let spool = Spool::open(dir.path()).unwrap();
    assert!(spool.oldest().unwrap().is_none());
    assert_eq!(spool.commit(batch(&spool, 4), &state(4)).unwrap(), BatchSeq(4));
}

/// A file system of 2 MiB that goes with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=2m", "none"];
        let done = Command::new("mount").args(arguments).arg(dir.path()).status().unwrap();
        assert!(done.success(), "run as root: the test mounts a small file system");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_disk_that_was_full_is_written_again_without_a_restart_once_there_is_room() {
    let disk = SmallDisk::mount();
    let spool = Spool::open(disk.0.path()).unwrap();
    spool.commit(batch(&spool, 1), &state(1)).unwrap();
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![1; 4 << 20]);
    let mut n = 1;
    while spool.commit(batch(&spool, n + 1), &state(n + 1)).is_ok() {
        n += 1;
        assert!(n < 10_000, "the disk never became full");
    }
    assert!(spool.commit(batch(&spool, n + 1), &state(n + 1)).is_err());
    std::fs::remove_file(&filler).unwrap();
    let seq = (0..3).find_map(|_| spool.commit(batch(&spool, n + 1), &state(n + 1)).ok());
    assert_eq!(seq, Some(BatchSeq(n + 1)), "nothing that failed has used a number");
    assert_eq!(spool.state().unwrap().unwrap().epochs, n + 1);
    for n in 1..=n + 1 {
        let oldest = spool.oldest().unwrap().unwrap();
        assert_eq!((oldest.seq, oldest.readings.node.unwrap().rx_bytes), (BatchSeq(n), n));
        spool.acknowledge(oldest.seq).unwrap();
    }
}
