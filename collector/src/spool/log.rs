//! The files of the log: segments that are only ever appended to, and the reserve that keeps a place free on a full disk.
//!
//! A segment whose write or flush failed is never written again: what the kernel thinks of its pages cannot be trusted
//! after that (a second fsync may succeed and have written nothing). What the frames mean is not known here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

#[cfg(test)]
use super::crashes;

/// What a segment is made for. Small, so that what is covered goes soon and thinning needs little room; large, so that a
/// file is made seldom: this one holds three hours of a node with 50 instances.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// Of a segment's file.
pub const SUFFIX: &str = "log";
/// The file that keeps a segment's blocks free.
pub const RESERVE: &str = "reserve";
const DAMAGED_SUFFIX: &str = "damaged";
/// Damaged segments that are kept for a person to look at.
const DAMAGED_MAX: usize = 8;

/// The segments' directory and the segment that is written to.
pub struct Log {
    dir: PathBuf,
    next_id: u64,
    active: Option<Active>,
}

struct Active {
    id: u64,
    file: File,
    /// What was written, synced or not.
    length: u64,
    /// What of it is durable for certain.
    synced: u64,
    /// Blocks that it owns.
    room: u64,
}

/// Where some bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which segment.
    pub segment: u64,
    /// From which byte.
    pub offset: u64,
}

impl Log {
    /// The log in `dir`, which is made. Gives the numbers of its segments, lowest first.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<u64>)> {
        std::fs::create_dir_all(dir)?;
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
            if let (Some(id), true) = (id, path.extension().is_some_and(|suffix| suffix == SUFFIX)) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let next_id = ids.last().map_or(1, |last| last + 1);
        Ok((Self { dir: dir.to_owned(), next_id, active: None }, ids))
    }

    /// The segment that is written to.
    pub fn active_id(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.id)
    }

    /// Whether `bytes` more go into the segment that is written to.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.active.as_ref().is_some_and(|active| active.length + bytes as u64 <= active.room)
    }

    /// Begins another segment, with blocks for at least `bytes`. On a full disk it takes the reserve.
    pub fn roll(&mut self, bytes: usize) -> io::Result<()> {
        self.sync()?;
        self.seal();
        #[cfg(test)]
        crashes::point();
        let room = SEGMENT_BYTES.max(bytes as u64);
        let id = self.next_id;
        let path = self.path(id);
        let file = match self.create(&path, room) {
            Err(error) if is_full(&error) && room == SEGMENT_BYTES => {
                let reserve = self.dir.join(RESERVE);
                std::fs::rename(&reserve, &path).map_err(|_| error)?;
                OpenOptions::new().read(true).write(true).open(&path)?
            }
            other => other?,
        };
        #[cfg(test)]
        crashes::point();
        self.sync_dir()?;
        self.next_id += 1;
        self.active = Some(Active { id, file, length: 0, synced: 0, room });
        Ok(())
    }

    /// Appends, not yet durably. After an error the segment is given up.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no segment is open"));
        };
        let place = Place { segment: active.id, offset: active.length };
        match write_all_at(&active.file, bytes, active.length) {
            Ok(()) => {
                active.length += bytes.len() as u64;
                Ok(place)
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Makes everything that was appended durable. After an error the segment is given up.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        if active.synced == active.length {
            return Ok(());
        }
        match sync_data(&active.file) {
            Ok(()) => {
                active.synced = active.length;
                Ok(())
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    /// Ends the segment that is written to, and gives back the blocks that it did not need.
    pub fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            #[cfg(test)]
            crashes::point();
            // Only room would be lost.
            let _ = active.file.set_len(active.length);
        }
    }

    /// A segment's bytes; zeros where the disk does not give them.
    pub fn read(&self, id: u64) -> io::Result<Vec<u8>> {
        const PAGE: usize = 4_096;
        let path = self.path(id);
        std::fs::read(&path).or_else(|error| {
            tracing::error!(%error, segment = id, "a segment cannot be read as a whole");
            let file = File::open(&path)?;
            let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
            for (n, page) in bytes.chunks_mut(PAGE).enumerate() {
                if file.read_exact_at(page, (n * PAGE) as u64).is_err() {
                    page.fill(0);
                }
            }
            Ok(bytes)
        })
    }

    /// A piece of a segment.
    pub fn read_at(&self, place: Place, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(self.path(place.segment))?.read_exact_at(&mut bytes, place.offset)?;
        Ok(bytes)
    }

    /// Cuts a torn end off a segment that nobody writes to.
    pub fn cut(&self, id: u64, length: usize) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(id))?.set_len(length as u64)
    }

    /// Forgets a segment.
    pub fn remove(&self, id: u64) -> io::Result<()> {
        #[cfg(test)]
        crashes::point();
        std::fs::remove_file(self.path(id))?;
        #[cfg(test)]
        crashes::point();
        Ok(())
    }

    /// Renames a segment, so that a person can look at it and nobody reads it again. The oldest such files go.
    pub fn put_aside(&self, id: u64) -> io::Result<()> {
        std::fs::rename(self.path(id), self.path(id).with_extension(DAMAGED_SUFFIX))?;
        let entries = std::fs::read_dir(&self.dir)?.flatten().map(|entry| entry.path());
        let mut aside: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|suffix| suffix == DAMAGED_SUFFIX)).collect();
        aside.sort_unstable();
        let surplus = aside.len().saturating_sub(DAMAGED_MAX);
        aside.into_iter().take(surplus).try_for_each(std::fs::remove_file)
    }

    /// Makes names durable.
    pub fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// Whether the reserve is there.
    pub fn has_reserve(&self) -> bool {
        self.dir.join(RESERVE).exists()
    }

    /// Makes the reserve, unless it is there.
    pub fn make_reserve(&self) -> io::Result<()> {
        let path = self.dir.join(RESERVE);
        if path.exists() {
            return Ok(());
        }
        self.create(&path, SEGMENT_BYTES)?;
        #[cfg(test)]
        crashes::point();
        self.sync_dir()
    }

    /// What its disk has left for it.
    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.dir).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// What the log takes of its disk.
    pub fn disk_bytes(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return 0;
        };
        entries
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.blocks() * 512)
            .sum()
    }

    fn path(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:016x}.{SUFFIX}"))
    }

    /// A new file that owns its blocks; none is left behind when there are too few.
    fn create(&self, path: &Path, room: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        own_blocks(&file, room).inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })?;
        Ok(file)
    }

    fn give_up(&mut self) {
        if let Some(active) = self.active.take() {
            // What is not certainly durable must not be found again; if this fails too, the checksums and the
            // next segment's frames decide.
            let _ = active.file.set_len(active.synced);
        }
    }
}

/// Gives a file blocks up to `room` without changing its length, where the file system can. One that has them is left alone:
/// even a fallocate that changes nothing makes the next flush wait for the file system's journal.
pub fn own_blocks(file: &File, room: u64) -> io::Result<()> {
    if room <= file.metadata()?.blocks() * 512 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, room) {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is no room (on the disk, or in the quota).
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    faults::strike()?;
    #[cfg(test)]
    crashes::torn(|part| file.write_all_at(&bytes[..part(bytes.len())], offset));
    file.write_all_at(bytes, offset)?;
    #[cfg(test)]
    crashes::point();
    Ok(())
}

fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    faults::strike()?;
    file.sync_data()?;
    #[cfg(test)]
    crashes::point();
    Ok(())
}

/// Failures on demand, for this module's users' tests.
#[cfg(test)]
pub mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static IN: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The write or flush after `calls` further ones of this thread fails with EIO.
    pub fn fail_after(calls: u32) {
        IN.set(Some(calls));
    }

    /// Whether one that was asked for has not struck yet.
    pub fn is_pending() -> bool {
        IN.take().is_some()
    }

    pub(super) fn strike() -> io::Result<()> {
        match IN.get() {
            Some(0) => {
                IN.set(None);
                Err(io::Error::from_raw_os_error(5))
            }
            left => {
                IN.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}
