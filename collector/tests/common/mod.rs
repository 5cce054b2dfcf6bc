//! Looks that can be told from each other, and a process that commits them until it is killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use collector::tracker::State;
use collector::{Receipt, Spool};
use jiff::Timestamp;
use metering::{
    Batch, BatchSeq, BootId, DiskReading, DiskRegisters, Epoch, EpochId, InstanceFacts, InstanceId,
};
use metering::{NodeReading, Readings};
use testbed::faults::Random;
use uuid::Uuid;

pub const CHILD: &str = "WEIR_TEST_SPOOL_CHILD";

/// Between two looks. The tests commit some 15,000 of them, and what was acknowledged is kept for 8 days.
const SECONDS_APART: i64 = 10;

/// The `n`-th look: one disk in its only life and `size` bytes that do not compress.
pub fn look(spool: &Spool, n: u64, size: usize) -> Batch {
    let seconds = SECONDS_APART * i64::try_from(n).unwrap();
    let observed_at = Timestamp::from_second(1_790_000_000 + seconds).unwrap();
    let disk = DiskReading {
        instance_id: InstanceId::from_uuid(Uuid::from_u128(7)),
        target: "vda".into(),
        source: noise(n, size),
        observed_at,
        epoch: Epoch { id: EpochId::of(&[b"life"]), born_at: Some(observed_at) },
        registers: DiskRegisters { write_bytes: n, ..DiskRegisters::default() },
    };
    let node = NodeReading { observed_at, rx_bytes: n, ..NodeReading::default() };
    Batch {
        node_id: spool.node_id(),
        seq: BatchSeq(0),
        node_name: "node".into(),
        boot_id: BootId::from_uuid(Uuid::nil()),
        collected_at: observed_at,
        collected_boot: None,
        readings: Readings { disks: vec![disk], node: Some(node), ..Readings::default() },
        gaps: Vec::new(),
        instances: vec![InstanceFacts {
            instance_id: InstanceId::from_uuid(Uuid::from_u128(u128::from(n))),
            name: format!("look-{n}"),
            tenant_label: None,
            makeup: metering::Makeup::default(),
        }],
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}

/// Which look a batch is, after all that is in it was compared.
pub fn number_of(spool: &Spool, batch: &Batch, size: usize) -> u64 {
    let n = batch.readings.node.as_ref().unwrap().rx_bytes;
    let expected = Batch { seq: batch.seq, notices: batch.notices.clone(), ..look(spool, n, size) };
    assert_eq!(*batch, expected, "look {n} is not what it was");
    n
}

/// A memory that can be told from others.
pub fn state(n: u64) -> State {
    State { epochs: n, ..State::new(Uuid::from_u128(1)) }
}

/// Commits the looks `from..=to`.
pub fn fill(spool: &Spool, looks: std::ops::RangeInclusive<u64>, size: usize) {
    for n in looks {
        spool.commit(look(spool, n, size), &state(n)).unwrap_or_else(|error| panic!("look {n}: {error:?}"));
    }
}

/// Takes everything that waits; a backup covers it up to `covered_until`.
pub fn deliver(spool: &Spool, covered_until: u64) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(batch) = spool.oldest().unwrap() {
        let receipt = Receipt { known_until: batch.seq, covered_until: BatchSeq(covered_until) };
        spool.delivered(batch.seq, receipt).unwrap();
        batches.push(batch);
    }
    batches
}

fn noise(seed: u64, length: usize) -> String {
    let mut random = Random::new(seed);
    (0..length).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect()
}

/// The body of the process that is killed: commits for ever, says each number only after its commit, and acknowledges now
/// and then.
pub fn child(size: usize) {
    let Ok(dir) = std::env::var(CHILD) else {
        return;
    };
    let spool = Spool::open(Path::new(&dir)).unwrap();
    let first = spool.state().unwrap().map_or(0, |state| state.epochs) + 1;
    for n in first.. {
        let seq = spool.commit(look(&spool, n, size), &state(n)).unwrap();
        println!("\ncommitted {} {n}", seq.0);
        std::io::stdout().flush().unwrap();
        if n % 5 == 0
            && let Some(oldest) = spool.oldest().unwrap()
        {
            spool.acknowledge(oldest.seq).unwrap();
        }
    }
}

/// Starts the test `name` of this program as that process.
pub fn start_child(name: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The numbers that a process says it committed.
pub fn told(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output.lines().map_while(Result::ok).filter_map(|line| {
        let mut words = line.strip_prefix("committed ")?.split(' ');
        let (seq, n): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        assert_eq!(seq, n, "numbers have no holes and are used once");
        Some(seq)
    })
}
