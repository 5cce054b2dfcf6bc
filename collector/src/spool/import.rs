//! The spool of releases before 2026-11-22: one redb file, moved into the log at the first start.
//!
//! A directory is left in its place, so that such a release refuses to start here instead of beginning another node.

use std::path::{Path, PathBuf};

use metering::{BatchSeq, NodeId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use uuid::Uuid;

use super::core::{Core, pack};
use super::slots::Memory;
use super::summary::RefusedBatch;
use super::{SpoolError, writing};

const FILE: &str = "spool.redb";
const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
const REJECTED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rejected");
const BLOBS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("blobs");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

const NOTE: &str = "The readings of this node lie in ../spool now, in the form of a newer release.\n\
    An older release cannot read them: install the newer one again.\n";

/// The old file.
pub struct Old {
    path: PathBuf,
    database: Database,
    node_id: NodeId,
}

impl Old {
    /// The old file in `dir`, if there is one. A damaged one is put aside: its release gave no means to read on.
    pub fn open(dir: &Path) -> Result<Option<Self>, SpoolError> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        // redb promises an error for a damaged file; should it panic all the same, that must not be a crash at each start.
        let opened = std::panic::catch_unwind(|| open_checked(&path));
        let error = match opened {
            Ok(Ok((database, node_id))) => return Ok(Some(Self { path, database, node_id })),
            Ok(Err(redb::Error::DatabaseAlreadyOpen)) => return Err(SpoolError::InUse { path }),
            Ok(Err(redb::Error::Io(source))) if source.kind() != std::io::ErrorKind::InvalidData => {
                return Err(SpoolError::Directory { path, source });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "reading it panicked".to_owned(),
        };
        let aside = path.with_extension(format!("redb.damaged-{}", jiff::Timestamp::now().as_millisecond()));
        tracing::error!(spool = %path.display(), kept_as = %aside.display(), error, "the old spool is damaged");
        std::fs::rename(&path, &aside).map_err(|source| SpoolError::Directory { path, source })?;
        Ok(None)
    }

    /// Whose it is.
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Moves everything into the log, and leaves a directory in the file's place.
    pub fn move_into(self, core: &mut Core) -> Result<(), SpoolError> {
        self.copy_into(core)?;
        let Self { path, database, .. } = self;
        drop(database);
        std::fs::remove_file(&path).and_then(|()| std::fs::create_dir(&path)).map_err(writing)?;
        std::fs::write(path.join("README"), NOTE).map_err(writing)
    }

    fn copy_into(&self, core: &mut Core) -> Result<(), SpoolError> {
        let reading =
            |error: redb::Error| SpoolError::Old { path: self.path.clone(), source: Box::new(error) };
        let transaction = self.database.begin_read().map_err(|error| reading(error.into()))?;
        let numbers = transaction.open_table(NUMBERS).map_err(|error| reading(error.into()))?;
        let number =
            |key| -> Result<u64, redb::Error> { Ok(numbers.get(key)?.map_or(0, |value| value.value())) };
        let next_seq = number("next_seq").map_err(reading)?.max(1);
        let version = number("state_version").map_err(reading)?;
        let batches = transaction.open_table(BATCHES).map_err(|error| reading(error.into()))?;
        let rejected = transaction.open_table(REJECTED).map_err(|error| reading(error.into()))?;
        let blobs = transaction.open_table(BLOBS).map_err(|error| reading(error.into()))?;
        let entries = |table: &redb::ReadOnlyTable<u64, &'static [u8]>| -> Result<Vec<u64>, redb::Error> {
            table.iter()?.map(|entry| Ok(entry?.0.value())).collect()
        };
        let waiting = entries(&batches).map_err(reading)?;
        // All before the first that waits was acknowledged and forgotten.
        let cursor = waiting.first().copied().unwrap_or(next_seq).saturating_sub(1);
        for seq in &waiting {
            let bytes = batches.get(*seq).map_err(|error| reading(error.into()))?;
            let bytes = bytes.map(|bytes| bytes.value().to_vec()).unwrap_or_default();
            let at = metering::wire::decode(&bytes).map_or(0, |batch| batch.collected_at.as_microsecond());
            let frame = pack(&bytes, 0, *seq, at).map_err(writing)?;
            let place = core.append(&frame).map_err(writing)?;
            core.add(place, &frame);
        }
        for seq in entries(&rejected).map_err(reading)? {
            let bytes = rejected.get(seq).map_err(|error| reading(error.into()))?;
            let reason = "the release before could not read it".to_owned();
            let refused = RefusedBatch { seq: BatchSeq(seq), at: jiff::Timestamp::now(), reason };
            core.refused
                .add(refused, bytes.map(|bytes| bytes.value().to_vec()).unwrap_or_default().as_slice());
        }
        let position = &mut core.position;
        position.cursor = position.cursor.max(cursor);
        position.acknowledged = position.acknowledged.max(cursor);
        position.dropped_until = position.dropped_until.max(cursor);
        position.next_seq = position.next_seq.max(next_seq);
        position.last_look = position.last_look.max(next_seq - 1);
        core.write_position();
        let state =
            blobs.get("state").map_err(|error| reading(error.into()))?.map(|blob| blob.value().to_vec());
        let memory = state.map(|bytes| Memory {
            seq: next_seq - 1,
            version: u32::try_from(version).unwrap_or(0),
            bytes,
        });
        if let Some(memory) = &memory {
            core.slots.write(memory).map_err(writing)?;
            core.slots.turn();
        }
        core.log.sync().map_err(writing)?;
        tracing::info!(batches = waiting.len(), "the spool of the release before was taken over");
        Ok(())
    }
}

fn open_checked(path: &Path) -> Result<(Database, NodeId), redb::Error> {
    let database = Database::builder().set_check_integrity_on_open(true).open(path)?;
    let node_id = {
        let transaction = database.begin_read()?;
        let blobs = transaction.open_table(BLOBS)?;
        let id = blobs.get("node_id")?.and_then(|id| Uuid::from_slice(id.value()).ok());
        id.ok_or_else(|| redb::Error::Corrupted("it holds no node id".to_owned()))?
    };
    Ok((database, NodeId::from_uuid(node_id)))
}
