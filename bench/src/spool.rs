//! The spool against a bare append and flush of the same bytes, against what it was before (redb), and the size of a week.

#[path = "../../collector/tests/common/fleet.rs"]
mod fleet;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use collector::Spool;
use metering::{Batch, wire};
use redb::{Database, TableDefinition};

use crate::report::{REPEATS, Report};

/// A node of medium size, each instance with a disk, a NIC and a volume.
const INSTANCES: u64 = 50;
/// Looks of a repeat: seconds of flushes.
const LOOKS: u64 = 200;
/// Looks of a week, one a minute.
const WEEK: u64 = 7 * 1_440;

const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
const BLOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("blobs");

/// A look as it is committed.
struct Look {
    batch: Batch,
    state: collector::tracker::State,
}

/// Measures it in a temporary directory.
///
/// # Errors
/// The disk fails.
pub fn measure(report: &mut Report) -> Result<()> {
    let looks = looks(LOOKS);
    let readings: usize = looks.iter().map(|look| readings(&look.batch)).sum();
    let (mut spool, mut bare, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        for (into, write) in [
            (&mut bare, append as fn(&Path, &[Look]) -> Result<()>),
            (&mut spool, commit),
            (&mut before, redb_commit),
        ] {
            let dir = tempfile::tempdir()?;
            let begin = Instant::now();
            write(dir.path(), &looks)?;
            into.push(begin.elapsed().as_secs_f64());
        }
    }
    let limit = "one append and fdatasync of the same bytes";
    let speed = |seconds: &[f64]| seconds.iter().map(|seconds| readings as f64 / seconds).collect::<Vec<_>>();
    report.add("spool, readings made durable".to_owned(), "readings/s", &speed(&spool), &speed(&bare), limit);
    report.add("redb in its place".to_owned(), "readings/s", &speed(&before), &speed(&bare), limit);
    let each =
        |seconds: &[f64]| seconds.iter().map(|seconds| seconds * 1e3 / LOOKS as f64).collect::<Vec<_>>();
    report.add("spool, a look's commit".to_owned(), "ms", &each(&spool), &each(&bare), limit);
    report.add("redb in its place, a look's commit".to_owned(), "ms", &each(&before), &each(&bare), limit);
    week(report)
}

/// The size of a week that nobody fetched.
fn week(report: &mut Report) -> Result<()> {
    // No flush reaches a disk: the size is the same.
    let dir = tempfile::tempdir_in("/dev/shm").context("the size of a week is measured in /dev/shm")?;
    let spool = Spool::open(dir.path())?;
    let mut state = fleet::memory();
    let mut bytes = 0;
    for n in 1..=WEEK {
        let batch = fleet::look(spool.node_id(), &mut state, n, INSTANCES);
        bytes += wire::encode(&batch)?.len();
        spool.commit(batch, &state)?;
    }
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let size = [mib(spool.summary()?.disk_bytes as f64)];
    report.add(
        format!("spool, 7 days of {INSTANCES} instances"),
        "MiB",
        &size,
        &[mib(bytes as f64)],
        "the batches as they are sent",
    );
    Ok(())
}

fn looks(count: u64) -> Vec<Look> {
    let node_id = metering::NodeId::from_uuid(uuid::Uuid::from_u128(1));
    let mut state = fleet::memory();
    let look = |n| {
        let batch = fleet::look(node_id, &mut state, n, INSTANCES);
        Look { batch, state: state.clone() }
    };
    (1..=count).map(look).collect()
}

fn readings(batch: &Batch) -> usize {
    let readings = &batch.readings;
    readings.instances.len() + readings.disks.len() + readings.nics.len() + readings.volumes.len() + 1
}

fn commit(dir: &Path, looks: &[Look]) -> Result<()> {
    let spool = Spool::open(dir)?;
    for look in looks {
        spool.commit(look.batch.clone(), &look.state)?;
    }
    Ok(())
}

fn append(dir: &Path, looks: &[Look]) -> Result<()> {
    let mut file = File::create(dir.join("bare"))?;
    for look in looks {
        let mut bytes = wire::encode(&look.batch)?;
        bytes.extend(rmp_serde::to_vec_named(&look.state)?);
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    Ok(())
}

/// A look as the spool wrote it until 2026-11-21: one transaction of redb.
fn redb_commit(dir: &Path, looks: &[Look]) -> Result<()> {
    let database = Database::builder().set_cache_size(8 << 20).create(dir.join("spool.redb"))?;
    for (seq, look) in looks.iter().enumerate() {
        let (batch, state) = (wire::encode(&look.batch)?, rmp_serde::to_vec_named(&look.state)?);
        let transaction = database.begin_write()?;
        transaction.open_table(BATCHES)?.insert(seq as u64, batch.as_slice())?;
        transaction.open_table(BLOBS)?.insert("state", state.as_slice())?;
        transaction.commit()?;
    }
    Ok(())
}
