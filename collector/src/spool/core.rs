//! What the spool knows and does under its lock: commits, deliveries, and how far they have come.
//!
//! A commit is two flushes: the memory of the look into its slot, then its batch into the log. How far delivery has come
//! is written without a flush: what is lost of it by a power cut is delivered again, which changes nothing.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use metering::wire;
use metering::{Batch, BatchSeq, Notice, NoticeKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(test)]
use super::crashes;
use super::frame::{self, Kind};
use super::identity::{Identity, NUMBERS_STEP};
use super::index::{Entry, Index};
use super::log::{Log, Place, is_full};
use super::refused::Refused;
use super::slots::{Memory, Slots};
use super::summary::{RefusedBatch, Stock};
use super::{LEVEL, Limits, SpoolError, reading, unpack, writing};
use crate::shipping::Receipt;

/// Notices that wait for a batch to go out with. More would say the same again.
const NOTICES_MAX: usize = 64;

/// How far delivery has come. Written into each segment's beginning and whenever it moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Counts the positions: the highest counts.
    pub turn: u64,
    /// Who this node is, for the case that the identity's file is lost.
    pub node_id: Uuid,
    /// The next batch's number.
    pub next_seq: u64,
    /// The last look that became durable; after damage the next number is not the one after it.
    pub last_look: u64,
    /// Nothing up to here waits.
    pub cursor: u64,
    /// The last number that the control plane acknowledged.
    pub acknowledged: u64,
    /// What it said last that it has.
    pub known_until: u64,
    /// What a backup covers.
    pub covered_until: u64,
    /// The highest number that was acknowledged and is not kept any more.
    pub dropped_until: u64,
    /// What is missing up to here was told.
    pub told_until: u64,
    /// The operator was told that readings were folded.
    pub is_thinned: bool,
    /// The operator was told that the disk is full or fails.
    pub is_failing: bool,
}

/// Everything behind the spool's lock.
pub struct Core {
    pub dir: PathBuf,
    pub identity: Identity,
    pub log: Log,
    pub slots: Slots,
    pub index: Index,
    pub position: Position,
    pub refused: Refused,
    pub notices: Vec<Notice>,
    pub limits: Limits,
    /// From which segment on thinning goes on: it halves everything before it halves anything twice.
    pub thin_from: u64,
}

impl Core {
    /// Makes a look durable. Nothing has changed after an error, but that a notice waits.
    pub fn commit(&mut self, mut batch: Batch, version: u32, state: Vec<u8>) -> Result<BatchSeq, SpoolError> {
        self.set_numbers_aside();
        let seq = self.position.next_seq;
        batch.seq = BatchSeq(seq);
        batch.notices.extend(self.notices.iter().cloned());
        let bytes = wire::encode(&batch).map_err(SpoolError::Batch)?;
        let at = batch.collected_at.as_microsecond();
        let frame = pack(&bytes, 0, seq, at).map_err(writing)?;
        let memory = Memory { seq, version, bytes: state };
        let written = self.write_memory(&memory).and_then(|()| self.append_durably(&frame));
        let place = match written {
            Ok(place) => place,
            Err(error) => {
                self.report_failure(&error);
                return Err(writing(error));
            }
        };
        #[cfg(test)]
        crashes::point();
        self.slots.turn();
        self.add(place, &frame);
        self.position.next_seq = seq + 1;
        self.position.last_look = seq;
        self.notices.clear();
        self.keep_house();
        Ok(BatchSeq(seq))
    }

    /// The oldest batch that waits, in its wire form.
    fn oldest_bytes(&mut self) -> Option<(u64, Result<Vec<u8>, io::Error>)> {
        let refused = &self.refused;
        let (seq, entry) = self
            .index
            .after(self.position.cursor)
            .find(|(seq, _)| !refused.contains(*seq))
            .map(|(seq, entry)| (seq, *entry))?;
        Some((seq, self.read(&entry)))
    }

    /// The oldest batch that waits, and the number that was acknowledged before it.
    pub fn oldest(&mut self) -> Result<Option<(Batch, BatchSeq)>, SpoolError> {
        while let Some((seq, bytes)) = self.oldest_bytes() {
            match bytes {
                Ok(bytes) => match wire::decode(&bytes) {
                    Ok(batch) => return Ok(Some((batch, BatchSeq(self.position.acknowledged)))),
                    Err(error) => self.set_aside(seq, format!("this release cannot read it: {error}")),
                },
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(seq, "a batch that waited is damaged and lost");
                    self.notify(NoticeKind::SpoolDamaged, false, format!("batch {seq} is damaged and lost"));
                    self.index.remove(seq);
                    self.position.told_until = self.position.told_until.max(seq);
                }
                Err(error) => return Err(reading(error)),
            }
        }
        Ok(None)
    }

    /// A batch of the log in its wire form.
    pub fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let bytes = self.log.read_at(entry.place, entry.head.frame_bytes())?;
        match frame::decode(&bytes) {
            Some((head, packed)) if head == entry.head => unpack(packed),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is damaged")),
        }
    }

    /// All batches up to `seq` were taken in, durably.
    pub fn acknowledge(&mut self, seq: u64, receipt: Receipt) {
        let position = &mut self.position;
        position.cursor = position.cursor.max(seq);
        position.acknowledged = position.acknowledged.max(seq);
        position.known_until = receipt.known_until.0;
        position.covered_until = receipt.covered_until.0;
        if position.is_thinned && self.index.after(position.cursor).next().is_none() {
            position.is_thinned = false;
            self.notify(NoticeKind::SpoolThinned, true, "everything that waited is delivered".to_owned());
        }
        self.write_position();
        self.drop_covered();
    }

    /// The control plane lost what it had above `known_until`: what is still kept of it waits again.
    pub fn rewind(&mut self, known_until: u64) {
        let position = &mut self.position;
        let before = position.cursor;
        position.cursor = position.cursor.min(known_until);
        position.acknowledged = position.acknowledged.min(known_until);
        position.known_until = known_until;
        position.covered_until = position.covered_until.min(known_until);
        let dropped_until = position.dropped_until;
        let again = self.index.until(before).filter(|(seq, _)| known_until < *seq).count();
        tracing::warn!(
            known_until,
            again,
            "the control plane was restored from a backup: what is kept is sent again"
        );
        if known_until < dropped_until {
            let first = known_until + 1;
            self.notify(
                NoticeKind::RefillIncomplete,
                false,
                format!(
                    "the control plane has batches up to {known_until}; numbers {first} to {dropped_until} are not \
                     all kept on this node any more"
                ),
            );
        }
        self.write_position();
    }

    /// The control plane will never take this batch: it is kept aside, and the next one goes on.
    pub fn set_aside(&mut self, seq: u64, reason: String) {
        tracing::error!(seq, reason, "a batch is refused for good; it is kept aside");
        let bytes = self.index.get(seq).copied().and_then(|entry| self.read(&entry).ok()).unwrap_or_default();
        let batch = RefusedBatch { seq: BatchSeq(seq), at: Timestamp::now(), reason: reason.clone() };
        self.refused.add(batch, &bytes);
        self.position.cursor = self.position.cursor.max(seq);
        self.notify(NoticeKind::BatchRefused, false, format!("batch {seq}: {reason}"));
        self.write_position();
    }

    /// Something to tell the operator with the next batch.
    pub fn notify(&mut self, kind: NoticeKind, is_over: bool, detail: String) {
        self.push(Notice { kind, instance_id: None, device: None, is_over, detail });
    }

    /// The same, ready made.
    pub fn push(&mut self, notice: Notice) {
        if !self.notices.contains(&notice) && self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }

    /// What waits, or what is kept.
    pub fn stock<'a>(entries: impl Iterator<Item = (u64, &'a Entry)>) -> Stock {
        let mut stock = Stock::default();
        for (seq, entry) in entries {
            stock.batches += 1;
            stock.bytes += entry.head.frame_bytes() as u64;
            stock.first = stock.first.or(Some(BatchSeq(seq)));
            stock.last = Some(BatchSeq(seq));
            let at = Timestamp::from_microsecond(entry.head.at).ok();
            stock.oldest_at = stock.oldest_at.into_iter().chain(at).min();
        }
        stock
    }

    /// What waits.
    pub fn waiting(&self) -> Stock {
        let refused = |(seq, _): &(u64, &Entry)| !self.refused.contains(*seq);
        Self::stock(self.index.after(self.position.cursor).filter(refused))
    }

    /// Writes the memory of the look that is being committed; on a full disk room is made first.
    fn write_memory(&mut self, memory: &Memory) -> io::Result<()> {
        loop {
            match self.slots.write(memory) {
                Err(error) if is_full(&error) && self.free_some() => {}
                other => return other,
            }
        }
    }

    /// Appends and flushes. A segment that fails is left for another one, once; on a full disk room is made first.
    pub fn append_durably(&mut self, frame: &[u8]) -> io::Result<Place> {
        let mut may_fail = true;
        loop {
            let error = match self.append(frame).and_then(|place| self.log.sync().map(|()| place)) {
                Ok(place) => return Ok(place),
                Err(error) => error,
            };
            if is_full(&error) {
                if !self.free_some() {
                    return Err(error);
                }
            } else if std::mem::take(&mut may_fail) {
                tracing::error!(%error, "the spool's file failed; another one is begun");
            } else {
                return Err(error);
            }
        }
    }

    /// Appends, in another segment if need be.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<Place> {
        if !self.log.has_room(frame.len()) {
            let position = self.position_frame()?;
            self.log.roll(position.len() + frame.len())?;
            if let Some(id) = self.log.active_id() {
                self.index.add_segment(id);
            }
            self.log.append(&position)?;
        }
        self.log.append(frame)
    }

    /// Knows of a frame that was appended.
    pub fn add(&mut self, place: Place, frame: &[u8]) {
        if let Some((head, _)) = frame::decode(frame) {
            self.index.add(Entry { place, head });
        }
    }

    /// Writes how far delivery has come. If it cannot be written, something is delivered again after a restart.
    pub fn write_position(&mut self) {
        let written = self.position_frame().and_then(|frame| self.append(&frame));
        if let Err(error) = written {
            tracing::warn!(%error, "how far delivery has come cannot be written");
        }
    }

    fn position_frame(&mut self) -> io::Result<Vec<u8>> {
        self.position.turn += 1;
        let bytes = rmp_serde::to_vec_named(&self.position).map_err(io::Error::other)?;
        frame::encode(Kind::POSITION, 0, self.position.turn, 0, &bytes)
            .ok_or_else(|| io::Error::other("a position is larger than a frame"))
    }

    /// Sees to it that the identity names a number above all that are used.
    fn set_numbers_aside(&mut self) {
        if self.position.next_seq < self.identity.numbers_below {
            return;
        }
        let wider = Identity { numbers_below: self.position.next_seq + NUMBERS_STEP, ..self.identity };
        match wider.write(&self.dir) {
            Ok(()) => self.identity = wider,
            // Needed only if the whole log is lost; it is tried again at the next look.
            Err(error) => tracing::warn!(%error, "the node's identity cannot be written"),
        }
    }

    fn report_failure(&mut self, error: &io::Error) {
        self.position.is_failing = true;
        self.notify(NoticeKind::SpoolFailing, false, format!("a look could not be written: {error}"));
    }
}

/// A batch's frame.
pub fn pack(wire: &[u8], revision: u32, seq: u64, at: i64) -> io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(wire, LEVEL)?;
    frame::encode(Kind::BATCH, revision, seq, at, &packed)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the batch is larger than a frame"))
}

impl Drop for Core {
    fn drop(&mut self) {
        self.log.seal();
    }
}
