//! The spool: batches until the control plane has them for good, the tracker's memory and the node's identity.
//!
//! A look is durable when [`Spool::commit`] returns, its batch and the memory that goes with it. Batches that were
//! acknowledged stay until a backup covers them, so that a control plane that was restored is filled again. It does not
//! ship anything and does not understand readings, except to fold one batch into the next when there is no room.
//!
//! In its directory: `identity`, `memory-a` and `memory-b`, `spool/` with the log's segments, `refused/`, `lock`.

mod core;
#[cfg(test)]
mod crashes;
mod frame;
mod identity;
mod import;
mod index;
mod log;
mod peek;
mod recover;
mod refused;
mod relief;
mod slots;
mod summary;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metering::wire::WireError;
use metering::{Batch, BatchSeq, NodeId, Notice};

use self::core::Core;
use crate::shipping::Receipt;
use crate::tracker::State;

pub use self::peek::peek;
pub use self::summary::{RefusedBatch, Stock, Summary};

/// What may wait at most, in bytes as they lie in the spool: months of a large node's readings, little of its disk.
pub const MAX_BACKLOG_BYTES: u64 = 512 << 20;

/// What is kept at most after it was acknowledged, in bytes.
pub const MAX_KEPT_BYTES: u64 = 512 << 20;

/// How long it is kept at most: a weekly backup covers it by then, with a day for its failure to be noticed.
pub const MAX_KEPT_AGE: Duration = Duration::from_secs(8 * 86_400);

/// The layout of the tracker's memory. Raised when its meaning changes.
const STATE_VERSION: u32 = 1;

/// zstd's level: 1 is as good as 3 on batches to a tenth, at half the time.
const LEVEL: i32 = 1;

const LOCK_FILE: &str = "lock";

/// A handle to the spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    node_id: NodeId,
    core: Mutex<Core>,
    /// Held as long as the spool is open; the last field, so that it is let go last.
    _lock: Lock,
}

/// The lock on a directory. It is let go explicitly: a process that is being started by another thread holds a copy of
/// the file for a moment, and would hold the lock with it.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file lets go of it too.
        let _ = self.0.unlock();
    }
}

/// How much room the spool may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What waits: beyond, readings are folded together.
    pub waiting_bytes: u64,
    /// What is kept after it was acknowledged: beyond, the oldest go.
    pub kept_bytes: u64,
    /// How long that is kept.
    pub kept_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting_bytes: MAX_BACKLOG_BYTES, kept_bytes: MAX_KEPT_BYTES, kept_age: MAX_KEPT_AGE }
    }
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many batches.
    pub batches: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Why the spool cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory cannot be made or written to.
    #[error("the spool {path} cannot be opened; give the collector a directory that it may write to")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error("the spool {path} is in use; another collector runs on this directory")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// A newer release wrote it.
    #[error("the spool {path} has the form {format} of a newer release; install that release again")]
    Newer {
        /// Where.
        path: PathBuf,
        /// Its form.
        format: u32,
    },
    /// The spool of an older release cannot be taken over.
    #[error("the spool {path} of an older release cannot be taken over")]
    Old {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// The disk is full or broken, most likely.
    #[error("the spool cannot be {doing}; see to its disk")]
    Io {
        /// Read or written.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A batch cannot be written in its wire form.
    #[error("a batch cannot be spooled")]
    Batch(#[source] WireError),
    /// The tracker's memory cannot be written.
    #[error("the collector's memory cannot be spooled")]
    State(#[source] rmp_serde::encode::Error),
}

impl Spool {
    /// Opens the spool in `dir`, or begins one. Of a damaged one everything is kept that can be read; the node stays who it
    /// is, and a notice goes out with the next batch.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        Self::open_with(dir, Limits::default())
    }

    /// Opens the spool with other limits than the default ones.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open_with(dir: &Path, limits: Limits) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError::Directory { path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = Lock(File::create(dir.join(LOCK_FILE)).map_err(failed)?);
        match lock.0.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse { path: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let core = recover::open(dir, limits)?;
        let node_id = core.identity.node_id;
        let shared = Shared { path: dir.to_owned(), node_id, core: Mutex::new(core), _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Who this node is: chosen at random when the spool was begun.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.node_id
    }

    /// The tracker's memory of the last committed look; `None`: there is none, or another release wrote it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn state(&self) -> Result<Option<State>, SpoolError> {
        let memory = self.core().slots.current().map_err(reading)?;
        Ok(memory.and_then(|memory| state(memory.version, &memory.bytes)))
    }

    /// Makes a look durable: its batch under the next number, with the notices that wait, and the memory that goes with it.
    ///
    /// # Errors
    /// Nothing was committed. A notice goes out with the next batch.
    pub fn commit(&self, batch: Batch, state: &State) -> Result<BatchSeq, SpoolError> {
        let state = rmp_serde::to_vec_named(state).map_err(SpoolError::State)?;
        self.core().commit(batch, STATE_VERSION, state)
    }

    /// Something to tell the operator with the next batch. Said twice, it goes out once.
    pub fn push_notice(&self, notice: Notice) {
        self.core().push(notice);
    }

    /// The oldest batch that waits. It never changes while it is the oldest, so that delivering it twice delivers the
    /// same.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn oldest(&self) -> Result<Option<Batch>, SpoolError> {
        Ok(self.next_delivery()?.map(|(batch, _)| batch))
    }

    /// The oldest batch that waits, and the number that was acknowledged before it (0: none).
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn next_delivery(&self) -> Result<Option<(Batch, BatchSeq)>, SpoolError> {
        self.core().oldest()
    }

    /// All batches up to `seq` have been taken in, durably; no backup is known to cover them.
    ///
    /// # Errors
    /// None; what cannot be written is delivered again.
    pub fn acknowledge(&self, seq: BatchSeq) -> Result<(), SpoolError> {
        let covered_until = BatchSeq(self.core().position.covered_until);
        self.delivered(seq, Receipt { known_until: seq, covered_until })
    }

    /// The batch `seq` has been taken in, durably. Those that a backup covers are forgotten.
    ///
    /// # Errors
    /// None; what cannot be written is delivered again.
    pub fn delivered(&self, seq: BatchSeq, receipt: Receipt) -> Result<(), SpoolError> {
        self.core().acknowledge(seq.0, receipt);
        Ok(())
    }

    /// The control plane has batches up to `known_until` only: what is kept of the later ones waits again, oldest first. If
    /// some are not kept any more, a notice says so.
    ///
    /// # Errors
    /// None; what cannot be written is asked for again.
    pub fn rewind(&self, known_until: BatchSeq) -> Result<(), SpoolError> {
        self.core().rewind(known_until.0);
        Ok(())
    }

    /// The control plane refused the batch `seq` for good: it is kept aside, and the next ones go on.
    ///
    /// # Errors
    /// None.
    pub fn set_aside(&self, seq: BatchSeq, reason: &str) -> Result<(), SpoolError> {
        self.core().set_aside(seq.0, reason.to_owned());
        Ok(())
    }

    /// What waits.
    ///
    /// # Errors
    /// None.
    pub fn backlog(&self) -> Result<Backlog, SpoolError> {
        let waiting = self.core().waiting();
        Ok(Backlog { batches: waiting.batches, bytes: waiting.bytes })
    }

    /// What it holds right now.
    ///
    /// # Errors
    /// None.
    pub fn summary(&self) -> Result<Summary, SpoolError> {
        let core = self.core();
        let position = &core.position;
        let some = |seq: u64| (0 < seq).then_some(BatchSeq(seq));
        Ok(Summary {
            node_id: self.node_id(),
            path: self.shared.path.clone(),
            waiting: core.waiting(),
            kept: Core::stock(core.index.until(position.cursor)),
            refused: core.refused.list(),
            last_committed: some(position.last_look),
            acknowledged: some(position.acknowledged),
            known_until: some(position.known_until),
            covered_until: some(position.covered_until),
            dropped_until: some(position.dropped_until),
            disk_bytes: core.log.disk_bytes(),
            is_reserve_complete: core.log.has_reserve(),
            pending_notices: core.notices.len(),
        })
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state(version: u32, bytes: &[u8]) -> Option<State> {
    if version != STATE_VERSION {
        tracing::warn!(version, "the memory is of another release: all is adopted");
        return None;
    }
    rmp_serde::from_slice(bytes)
        .inspect_err(|error| tracing::error!(%error, "the memory cannot be read: all is adopted"))
        .ok()
}

fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    zstd::stream::decode_all(packed)
}

fn reading(source: io::Error) -> SpoolError {
    SpoolError::Io { doing: "read", source }
}

fn writing(source: io::Error) -> SpoolError {
    SpoolError::Io { doing: "written", source }
}
