//! The spool: batches that wait for delivery, the tracker's memory and the node's identity, in one file.
//!
//! A look is one transaction: its batch, the memory that goes with it and the next number are durable
//! together or not at all. It does not ship anything and does not understand readings, except to fold one
//! batch into the next when the backlog grows too long.

mod summary;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use metering::wire::{self, WireError};
use metering::{Batch, BatchSeq, NodeId};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use uuid::Uuid;

use crate::thin;
use crate::tracker::State;

pub use self::summary::{RefusedBatch, Stock, Summary};

/// What may wait at most, in bytes of batches: days of readings of a large node, little of its disk.
pub const MAX_BACKLOG_BYTES: u64 = 512 * 1024 * 1024;

/// redb's page cache. A look touches few pages; the default of 1 GiB belongs to the guests.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The layout of the tracker's memory in the file. Raised when its meaning changes.
const STATE_VERSION: u64 = 1;

const FILE: &str = "spool.redb";
const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
/// Batches that cannot be decoded, kept for a person to look at.
const REJECTED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rejected");
const BLOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("blobs");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const NODE_ID: &str = "node_id";
const STATE: &str = "state";
const STATE_VERSION_KEY: &str = "state_version";
const NEXT_SEQ: &str = "next_seq";
const BACKLOG_BYTES: &str = "backlog_bytes";

/// A handle to the spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// `None` while the file could not be opened again after an I/O error.
    database: RwLock<Option<Database>>,
    node_id: NodeId,
    max_backlog_bytes: u64,
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
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the spool {path} is in use; another collector runs on this directory")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// A transaction failed; the disk is full or broken, most likely.
    #[error("the spool cannot be {doing}")]
    Database {
        /// Read or written.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// A batch cannot be written in its wire form.
    #[error("a batch cannot be spooled")]
    Batch(#[source] WireError),
    /// The tracker's memory cannot be written.
    #[error("the collector's memory cannot be spooled")]
    State(#[source] rmp_serde::encode::Error),
}

impl Spool {
    /// Opens the spool in `dir`, or begins one. A file that is damaged is put aside and a new one begun: this
    /// is a new node then, and all that exists is adopted.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub fn open(dir: &Path) -> Result<Self, SpoolError> {
        Self::open_with_limit(dir, MAX_BACKLOG_BYTES)
    }

    pub(crate) fn open_with_limit(dir: &Path, max_backlog_bytes: u64) -> Result<Self, SpoolError> {
        let path = dir.join(FILE);
        std::fs::create_dir_all(dir)
            .map_err(|source| SpoolError::Directory { path: path.clone(), source })?;
        let (database, node_id) = match open_file(&path) {
            Ok(opened) => opened,
            Err(OpenError::Damaged(reason)) => {
                put_aside(&path, &reason)?;
                open_file(&path).map_err(|error| error.into_spool_error(&path))?
            }
            Err(error) => return Err(error.into_spool_error(&path)),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                database: RwLock::new(Some(database)),
                node_id,
                max_backlog_bytes,
            }),
        })
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
        let read = |database: &Database| -> Result<Option<State>, redb::Error> {
            let transaction = database.begin_read()?;
            let version = transaction.open_table(NUMBERS)?.get(STATE_VERSION_KEY)?;
            let blob = transaction.open_table(BLOBS)?.get(STATE)?;
            let (Some(version), Some(blob)) = (version, blob) else {
                return Ok(None);
            };
            if version.value() != STATE_VERSION {
                tracing::warn!(version = version.value(), "the memory is of another release: all is adopted");
                return Ok(None);
            }
            let state = rmp_serde::from_slice(blob.value())
                .inspect_err(|error| tracing::error!(%error, "the memory cannot be read: all is adopted"));
            Ok(state.ok())
        };
        self.with(read).map_err(reading)
    }

    /// Makes a look durable: its batch under the next number, and the memory that goes with it. When the
    /// backlog is over its limit, it is thinned.
    ///
    /// # Errors
    /// Nothing was committed.
    pub fn commit(&self, mut batch: Batch, state: &State) -> Result<BatchSeq, SpoolError> {
        let state = rmp_serde::to_vec_named(state).map_err(SpoolError::State)?;
        let mut encoded = Ok(());
        let (seq, is_over) = self
            .with(|database| {
                let transaction = database.begin_write()?;
                let mut numbers = transaction.open_table(NUMBERS)?;
                batch.seq = BatchSeq(number(&numbers, NEXT_SEQ)?.max(1));
                let bytes = match wire::encode(&batch) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        encoded = Err(SpoolError::Batch(error));
                        return Ok((batch.seq, false));
                    }
                };
                transaction.open_table(BATCHES)?.insert(batch.seq.0, bytes.as_slice())?;
                transaction.open_table(BLOBS)?.insert(STATE, state.as_slice())?;
                let backlog = number(&numbers, BACKLOG_BYTES)? + bytes.len() as u64;
                for (key, value) in [
                    (STATE_VERSION_KEY, STATE_VERSION),
                    (NEXT_SEQ, batch.seq.next().0),
                    (BACKLOG_BYTES, backlog),
                ] {
                    numbers.insert(key, value)?;
                }
                drop(numbers);
                transaction.commit()?;
                Ok((batch.seq, self.shared.max_backlog_bytes < backlog))
            })
            .map_err(writing)?;
        encoded?;
        if is_over && let Err(error) = self.thin() {
            // The look is durable; the next one tries again.
            tracing::error!(error = ?error, "the spool is over its limit and cannot be thinned");
        }
        Ok(seq)
    }

    /// The oldest batch that waits. It never changes while it is the oldest, so that delivering it twice
    /// delivers the same.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn oldest(&self) -> Result<Option<Batch>, SpoolError> {
        loop {
            let first = |database: &Database| -> Result<Option<(u64, Vec<u8>)>, redb::Error> {
                let transaction = database.begin_read()?;
                let batches = transaction.open_table(BATCHES)?;
                let first = batches.first()?;
                Ok(first.map(|(seq, bytes)| (seq.value(), bytes.value().to_vec())))
            };
            let Some((seq, bytes)) = self.with(first).map_err(reading)? else {
                return Ok(None);
            };
            match wire::decode(&bytes) {
                Ok(batch) => return Ok(Some(batch)),
                Err(error) => {
                    tracing::error!(seq, %error, "a batch cannot be decoded; it is kept aside");
                    self.reject(seq, &bytes)?;
                }
            }
        }
    }

    /// Forgets all batches up to `seq`: they have been taken in, durably.
    ///
    /// # Errors
    /// The file cannot be written; the batches stay and are delivered again.
    pub fn acknowledge(&self, seq: BatchSeq) -> Result<(), SpoolError> {
        self.write(|batches, numbers| {
            let mut freed = 0;
            batches.retain_in(..=seq.0, |_, bytes| {
                freed += bytes.len() as u64;
                false
            })?;
            let backlog = number(numbers, BACKLOG_BYTES)?;
            numbers.insert(BACKLOG_BYTES, backlog.saturating_sub(freed))?;
            Ok(())
        })
    }

    /// What waits.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn backlog(&self) -> Result<Backlog, SpoolError> {
        let read = |database: &Database| -> Result<Backlog, redb::Error> {
            use redb::ReadableTableMetadata;
            let transaction = database.begin_read()?;
            Ok(Backlog {
                batches: transaction.open_table(BATCHES)?.len()?,
                bytes: number(&transaction.open_table(NUMBERS)?, BACKLOG_BYTES)?,
            })
        };
        self.with(read).map_err(reading)
    }

    /// What it holds right now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn summary(&self) -> Result<Summary, SpoolError> {
        let backlog = self.backlog()?;
        let first = self.oldest()?.map(|batch| (batch.seq, batch.collected_at));
        let next = |database: &Database| number(&database.begin_read()?.open_table(NUMBERS)?, NEXT_SEQ);
        let last = self.with(next).map_err(reading)?.checked_sub(1).filter(|last| 0 < *last).map(BatchSeq);
        Ok(Summary {
            node_id: self.node_id(),
            path: self.shared.path.clone(),
            waiting: Stock {
                batches: backlog.batches,
                bytes: backlog.bytes,
                first: first.map(|(seq, _)| seq),
                last: last.filter(|_| first.is_some()),
                oldest_at: first.map(|(_, at)| at),
            },
            kept: Stock::default(),
            refused: Vec::new(),
            last_committed: last,
            acknowledged: None,
            known_until: None,
            covered_until: None,
            dropped_until: None,
            disk_bytes: std::fs::metadata(&self.shared.path).map_or(0, |metadata| metadata.len()),
            is_reserve_complete: false,
            pending_notices: 0,
        })
    }

    fn reject(&self, seq: u64, bytes: &[u8]) -> Result<(), SpoolError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(REJECTED)?.insert(seq, bytes)?;
            Ok(transaction.commit()?)
        })
        .map_err(writing)?;
        self.acknowledge(BatchSeq(seq))
    }

    /// Removes every second batch, each folded into the one after it. The oldest may be on its way and stays
    /// as it is.
    fn thin(&self) -> Result<(), SpoolError> {
        self.write(|batches, numbers| {
            let all: Vec<u64> =
                batches.iter()?.map(|entry| entry.map(|(seq, _)| seq.value())).collect::<Result<_, _>>()?;
            for pair in all.get(1..).unwrap_or_default().chunks_exact(2) {
                let (older, newer) = (take(batches, pair[0])?, take(batches, pair[1])?);
                let folded = thin::fold(&older, &newer).unwrap_or(newer);
                batches.insert(pair[1], folded.as_slice())?;
            }
            let mut backlog = 0;
            for entry in batches.iter()? {
                backlog += entry?.1.value().len() as u64;
            }
            numbers.insert(BACKLOG_BYTES, backlog)?;
            tracing::warn!(
                before = all.len(),
                bytes = backlog,
                "the spool was over its limit: every second batch was folded into the next one"
            );
            Ok(())
        })
    }

    fn write(
        &self,
        work: impl FnOnce(
            &mut redb::Table<'_, u64, &'static [u8]>,
            &mut redb::Table<'_, &'static str, u64>,
        ) -> Result<(), redb::Error>,
    ) -> Result<(), SpoolError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            work(&mut transaction.open_table(BATCHES)?, &mut transaction.open_table(NUMBERS)?)?;
            Ok(transaction.commit()?)
        })
        .map_err(writing)
    }

    /// Works on the file. redb refuses everything after an I/O error (a full disk, say) until the file is opened
    /// again, so that is done here: the work that failed has failed, the next may succeed.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let shared = &*self.shared;
        if shared.database.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.reopen()?;
        }
        let result = {
            let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
            match database.as_ref() {
                Some(database) => work(database),
                None => Err(redb::Error::PreviousIo),
            }
        };
        if let Err(redb::Error::Io(_) | redb::Error::PreviousIo) = &result {
            // Its own failure is told by the next work.
            let _ = self.reopen();
        }
        result
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let mut database = self.shared.database.write().unwrap_or_else(PoisonError::into_inner);
        // redb allows one opener, so the old one goes first.
        *database = None;
        let reopened = Database::builder().set_cache_size(CACHE_BYTES).open(&self.shared.path)?;
        *database = Some(reopened);
        Ok(())
    }
}

enum OpenError {
    InUse,
    Damaged(String),
    Io(std::io::Error),
    Other(Box<redb::Error>),
}

impl OpenError {
    fn into_spool_error(self, path: &Path) -> SpoolError {
        let path = path.to_owned();
        match self {
            Self::InUse => SpoolError::InUse { path },
            Self::Io(source) => SpoolError::Directory { path, source },
            Self::Damaged(reason) => SpoolError::Directory { path, source: std::io::Error::other(reason) },
            Self::Other(source) => SpoolError::Database { doing: "opened", source },
        }
    }
}

impl From<redb::Error> for OpenError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            // What redb says of a file that is none of its own, is cut short or has a broken page.
            redb::Error::Corrupted(reason) => Self::Damaged(reason),
            redb::Error::UpgradeRequired(version) => {
                Self::Damaged(format!("its format {version} is of another age"))
            }
            redb::Error::Io(error) => match error.kind() {
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
                    Self::Damaged(error.to_string())
                }
                _ => Self::Io(error),
            },
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)) => Self::Damaged(error.to_string()),
            error => Self::Other(Box::new(error)),
        }
    }
}

/// Opens a file and reads who the node is, or chooses it. All tables exist afterwards.
fn open_file(path: &Path) -> Result<(Database, NodeId), OpenError> {
    // redb promises an error for a damaged file when it checks every page; should it panic all the same, that
    // must not become a crash at each start.
    std::panic::catch_unwind(|| open_checked(path))
        .unwrap_or_else(|_| Err(OpenError::Damaged("reading it panicked".to_owned())))
}

fn open_checked(path: &Path) -> Result<(Database, NodeId), OpenError> {
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error: DatabaseError| OpenError::from(redb::Error::from(error)))?;
    let identify = || -> Result<Option<NodeId>, redb::Error> {
        let transaction = database.begin_write()?;
        let node_id = {
            transaction.open_table(BATCHES)?;
            transaction.open_table(REJECTED)?;
            transaction.open_table(NUMBERS)?;
            let mut blobs = transaction.open_table(BLOBS)?;
            let known = blobs.get(NODE_ID)?.map(|id| Uuid::from_slice(id.value()));
            match known {
                Some(id) => id.ok(),
                None => {
                    let id = Uuid::new_v4();
                    blobs.insert(NODE_ID, id.as_bytes().as_slice())?;
                    Some(id)
                }
            }
        };
        transaction.commit()?;
        Ok(node_id.map(NodeId::from_uuid))
    };
    match identify()? {
        Some(node_id) => Ok((database, node_id)),
        None => Err(OpenError::Damaged("it holds no node id".to_owned())),
    }
}

/// Renames a damaged file, so that a person can look at it and the collector can go on.
fn put_aside(path: &Path, reason: &str) -> Result<(), SpoolError> {
    let now = jiff::Timestamp::now().as_millisecond();
    let aside = path.with_extension(format!("redb.damaged-{now}"));
    tracing::error!(
        spool = %path.display(), kept_as = %aside.display(), reason,
        "the spool is damaged: it is put aside, and this node begins anew under another id"
    );
    std::fs::rename(path, &aside).map_err(|source| SpoolError::Directory { path: path.to_owned(), source })
}

fn take(batches: &mut redb::Table<'_, u64, &'static [u8]>, seq: u64) -> Result<Vec<u8>, redb::Error> {
    let bytes = batches.remove(seq)?;
    Ok(bytes.map(|bytes| bytes.value().to_vec()).unwrap_or_default())
}

fn number(numbers: &impl ReadableTable<&'static str, u64>, key: &'static str) -> Result<u64, redb::Error> {
    Ok(numbers.get(key)?.map_or(0, |value| value.value()))
}

fn reading(error: impl Into<redb::Error>) -> SpoolError {
    SpoolError::Database { doing: "read", source: Box::new(error.into()) }
}

fn writing(error: impl Into<redb::Error>) -> SpoolError {
    SpoolError::Database { doing: "written", source: Box::new(error.into()) }
}
