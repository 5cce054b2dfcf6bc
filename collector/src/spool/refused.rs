//! Batches that the control plane refused for good: one file each, for a person to look at, bounded.
//!
//! They are evidence, not a queue: nothing sends them again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use metering::BatchSeq;

use super::identity::write_atomically;
use super::summary::RefusedBatch;

/// So many are kept; the oldest go first. A hundred are enough to see what is wrong, and some megabytes.
pub const REFUSED_MAX: usize = 100;

const SUFFIX: &str = "batch";

/// The refused ones.
pub struct Refused {
    dir: PathBuf,
    batches: BTreeMap<u64, RefusedBatch>,
}

impl Refused {
    /// Those in `dir`, which is made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), batches: read(dir)? })
    }

    /// Whether this number was refused.
    pub fn contains(&self, seq: u64) -> bool {
        self.batches.contains_key(&seq)
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<RefusedBatch> {
        self.batches.values().cloned().collect()
    }

    /// Keeps a batch's wire bytes aside, behind a line that says when and why.
    pub fn add(&mut self, batch: RefusedBatch, wire: &[u8]) {
        let seq = batch.seq.0;
        while REFUSED_MAX <= self.batches.len() {
            let Some((oldest, _)) = self.batches.pop_first() else { break };
            tracing::error!(oldest, "too many batches were refused: the oldest is dropped");
            let _ = std::fs::remove_file(self.dir.join(format!("{oldest}.{SUFFIX}")));
        }
        let reason: String = batch.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut bytes = format!("{} {reason}\n", batch.at).into_bytes();
        bytes.extend_from_slice(wire);
        if let Err(error) = write_atomically(&self.dir, &format!("{seq}.{SUFFIX}"), &bytes) {
            tracing::error!(seq, %error, "a refused batch cannot be put aside");
        }
        self.batches.insert(seq, batch);
    }
}

/// Those in `dir`, oldest first, without touching it.
pub fn list(dir: &Path) -> io::Result<Vec<RefusedBatch>> {
    Ok(read(dir)?.into_values().collect())
}

fn read(dir: &Path) -> io::Result<BTreeMap<u64, RefusedBatch>> {
    let mut batches = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let seq = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(seq), true) = (seq, path.extension().is_some_and(|suffix| suffix == SUFFIX)) {
            batches.insert(seq, described(seq, &std::fs::read(&path)?));
        }
    }
    Ok(batches)
}

fn described(seq: u64, bytes: &[u8]) -> RefusedBatch {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let (at, reason) = line.split_once(' ').unwrap_or_default();
    RefusedBatch {
        seq: BatchSeq(seq),
        at: at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
        reason: reason.to_owned(),
    }
}
