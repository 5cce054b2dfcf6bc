//! A process that dies at a chosen step of its work on the spool: after, before and in the middle of each write, flush, rename
//! and unlink of commits, deliveries, thinning and recovery. Whatever the step, nothing is lost and nothing comes twice.
//!
//! A process' death leaves what was written; what a power cut leaves is `tests/disks.rs`' matter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use metering::{BatchSeq, NoticeKind, wire};

use super::log::SEGMENT_BYTES;
use super::tests::{batch, small, state};
use super::{Receipt, Spool};

/// Steps until the end; 0: there is none.
static LEFT: AtomicU32 = AtomicU32::new(0);

/// `DIRECTORY STEP`: this program works until that step.
const CHILD: &str = "WEIR_TEST_CRASH_CHILD";
const ENTRY: &str = "spool::crashes::child_that_works_until_it_crashes";
/// Looks, and their size: the log grows over several segments and over its limit.
const LOOKS: u64 = 60;
const LOOK_BYTES: usize = 60_000;
/// Crashes in the short run.
const ROUNDS: u32 = 12;
/// More steps than the work has.
const STEPS_MAX: u32 = 5_000;

/// A step: the chosen one is the last.
pub fn point() {
    if is_last() {
        std::process::abort();
    }
}

/// The two steps before a write: nothing of it is written, or half of it.
pub fn torn<E>(write: impl FnOnce(fn(usize) -> usize) -> Result<(), E>) {
    point();
    if is_last() {
        // It dies either way.
        let _ = write(|length| length / 2);
        std::process::abort();
    }
}

fn is_last() -> bool {
    LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) == Ok(1)
}

/// What the control plane has, one file for each batch; one that comes again is the same.
fn take(shelf: &Path, seq: u64, bytes: &[u8]) -> io::Result<()> {
    let path = shelf.join(seq.to_string());
    match std::fs::read(&path) {
        Ok(before) => assert_eq!(before, bytes, "batch {seq} came again, and was another one"),
        Err(_) => {
            std::fs::write(path.with_extension("new"), bytes)?;
            std::fs::rename(path.with_extension("new"), path)?;
        }
    }
    Ok(())
}

/// Delivers what is older than look `until`, of which a backup covers a part; every eleventh is refused.
fn deliver(spool: &Spool, shelf: &Path, until: u64) {
    while let Some(batch) = spool.oldest().unwrap().filter(|batch| batch.seq.0 < until) {
        if batch.seq.0 % 11 == 0 {
            spool.set_aside(batch.seq, "no").unwrap();
            continue;
        }
        take(shelf, batch.seq.0, &wire::encode(&batch).unwrap()).unwrap();
        let covered_until = BatchSeq(batch.seq.0.saturating_sub(20));
        spool.delivered(batch.seq, Receipt { known_until: batch.seq, covered_until }).unwrap();
    }
}

/// Goes on where the process before died: looks, and a delivery now and then.
fn work(dir: &Path) {
    let spool = Spool::open_with(&dir.join("state"), small(2 * SEGMENT_BYTES, SEGMENT_BYTES)).unwrap();
    let first = spool.state().unwrap().map_or(0, |state| state.epochs) + 1;
    for n in first..=LOOKS {
        spool.commit(batch(&spool, 1, n, LOOK_BYTES), &state(n)).unwrap();
        if n % 50 == 0 {
            deliver(&spool, &dir.join("shelf"), n.saturating_sub(5));
        }
    }
    deliver(&spool, &dir.join("shelf"), u64::MAX);
}

#[test]
fn child_that_works_until_it_crashes() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let (dir, step) = what.rsplit_once(' ').unwrap();
    LEFT.store(step.parse().unwrap(), Ordering::Relaxed);
    work(Path::new(dir));
    println!("\nsteps left {}", LEFT.load(Ordering::Relaxed));
}

/// Runs a process up to the step given; the steps that it did not need, or `None` when it crashed.
fn run(dir: &Path, step: u32) -> Option<u32> {
    let program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", ENTRY, "--nocapture"])
        .env(CHILD, format!("{} {step}", dir.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&program.stdout);
    let left = said.lines().find_map(|line| line.strip_prefix("steps left ")?.parse().ok());
    let error = String::from_utf8_lossy(&program.stderr);
    assert!(left.is_some() || !error.contains("panicked"), "step {step}: {error}");
    left
}

/// Dies at each of the steps given, one process after the other, and then works to the end.
fn check(steps: &[u32]) -> u32 {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("shelf")).unwrap();
    for step in steps {
        run(dir.path(), *step);
    }
    let used = STEPS_MAX - run(dir.path(), STEPS_MAX).unwrap_or_else(|| panic!("{steps:?}: it never ends"));
    // What was folded may also come as it was, when the process died before the old segment was gone: a fact is a fact, and a
    // register at one instant has one value.
    let (mut facts, mut registers) = (BTreeSet::new(), BTreeMap::new());
    let wires = |place: &str| {
        let files = std::fs::read_dir(dir.path().join(place)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_none_or(|suffix| suffix != "new")).collect::<Vec<_>>()
    };
    for path in wires("shelf").into_iter().chain(wires("state/refused")) {
        let bytes = std::fs::read(&path).unwrap();
        // What was refused stands behind a line that says why.
        let skip = if path.extension().is_some() {
            bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1
        } else {
            0
        };
        let batch = wire::decode(&bytes[skip..]).unwrap();
        facts.extend(batch.instances.iter().map(|facts| facts.instance_id.uuid().as_u128()));
        for disk in &batch.readings.disks {
            let before = registers.insert(disk.observed_at, disk.registers.write_bytes);
            assert!(before.is_none_or(|before| before == disk.registers.write_bytes), "{steps:?}: {disk:?}");
        }
        let damage = batch.notices.iter().find(|notice| notice.kind == NoticeKind::SpoolDamaged);
        assert_eq!(damage, None, "{steps:?}: a crash is no damage");
    }
    assert_eq!(facts, (1..=u128::from(LOOKS)).collect(), "{steps:?}: each look");
    assert_eq!(
        registers.last_key_value().map(|(_, last)| *last),
        Some(LOOKS),
        "{steps:?}: all of the quantity"
    );
    assert!(registers.values().is_sorted(), "{steps:?}: {registers:?}");
    used
}

#[test]
fn a_crash_at_any_step_of_the_work_on_the_spool_loses_nothing_and_doubles_nothing() {
    let steps = check(&[]);
    // Again and again before anything was durable, and before the first look was.
    for early in [[8, 6, 6], [10, 10, 10], [14, 12, 12]] {
        check(&early);
    }
    // All of them in the long run, evenly spread otherwise, and others each time; then one in the recovery or soon after it.
    let is_long = std::env::var_os("WEIR_CHAOS").is_some_and(|value| value == "1");
    let stride = if is_long { 1 } else { steps / ROUNDS };
    let drawn = uuid::Uuid::new_v4().as_u128();
    let (offset, second) = ((drawn % u128::from(stride)) as u32, (drawn >> 64) as u32);
    for first in (1 + offset..=steps).step_by(stride as usize) {
        check(&[first, 1 + (second.wrapping_add(first * 7)) % 40]);
    }
    println!("{steps} steps, every {stride}th, from {offset}");
}
