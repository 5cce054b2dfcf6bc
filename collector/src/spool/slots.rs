//! The tracker's memory in two files that are written in turn, so that one of them is always whole.
//!
//! The memory of look n is durable before batch n is. So a batch that is there has its memory, and a memory without its
//! batch is a look that never became durable. Which of the two holds is decided by the caller, who knows the batches.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

#[cfg(test)]
use super::crashes;
use super::frame::{self, Kind};
use super::log::own_blocks;

/// A slot owns its blocks in steps of this, so that a memory that grows a little fits on a full disk.
const STEP_BYTES: u64 = 256 << 10;

/// How much the memory is compressed: it is written with each look and read at a start, so that time counts more than room.
const MEMORY_LEVEL: i32 = -3;

/// The files of the two slots.
pub const NAMES: [&str; 2] = ["memory-a", "memory-b"];

/// The two slots.
pub struct Slots {
    paths: [PathBuf; 2],
    /// The slot that holds the last look, which must not be overwritten; `None`: there is none.
    current: Option<usize>,
}

/// A memory as it lies in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of which look.
    pub seq: u64,
    /// Its layout.
    pub version: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Slots {
    /// The slots in `dir` and what is whole in them.
    pub fn open(dir: &Path) -> io::Result<(Self, [Option<Memory>; 2])> {
        let paths = NAMES.map(|name| dir.join(name));
        for path in &paths {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            // Without room now, it is taken when it is written.
            let _ = own_blocks(&file, STEP_BYTES);
        }
        File::open(dir)?.sync_all()?;
        let mut memories = [None, None];
        for (path, memory) in paths.iter().zip(&mut memories) {
            *memory = read(path)?;
        }
        Ok((Self { paths, current: None }, memories))
    }

    /// Says which slot holds the last look.
    pub fn set_current(&mut self, current: usize) {
        self.current = Some(current);
    }

    /// The memory of the last look.
    pub fn current(&self) -> io::Result<Option<Memory>> {
        self.current.map_or(Ok(None), |current| read(&self.paths[current]))
    }

    /// The slot that the next look goes into.
    fn spare(&self) -> usize {
        self.current.map_or(0, |current| 1 - current)
    }

    /// Writes the memory of a look durably, beside that of the look before. It counts after [`Self::turn`] only.
    pub fn write(&self, memory: &Memory) -> io::Result<()> {
        let packed = zstd::bulk::compress(&memory.bytes, MEMORY_LEVEL)?;
        let frame = frame::encode(Kind::MEMORY, memory.version, memory.seq, 0, &packed)
            .ok_or_else(|| io::Error::other("the memory is larger than a frame"))?;
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(&self.paths[self.spare()])?;
        own_blocks(&file, (frame.len() as u64).next_multiple_of(STEP_BYTES))?;
        #[cfg(test)]
        crashes::torn(|part| file.write_all_at(&frame[..part(frame.len())], 0));
        file.write_all_at(&frame, 0)?;
        #[cfg(test)]
        crashes::point();
        file.sync_data()
    }

    /// The look that was written last is durable with its batch.
    pub fn turn(&mut self) {
        self.current = Some(self.spare());
    }
}

/// What is whole in a slot.
pub fn read(path: &Path) -> io::Result<Option<Memory>> {
    let bytes = std::fs::read(path)?;
    let Some((head, packed)) = frame::decode(&bytes) else {
        return Ok(None);
    };
    if head.kind != Kind::MEMORY {
        return Ok(None);
    }
    let unpacked = super::unpack(packed).ok();
    Ok(unpacked.map(|bytes| Memory { seq: head.seq, version: head.revision, bytes }))
}
