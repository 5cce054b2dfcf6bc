//! Room: what goes when the spool is over its limits or its disk is full, and in which order.
//!
//! First what a backup covers, then what was acknowledged, oldest first, then resolution: of what waits, every second batch
//! is folded into the next one. Quantity never goes, because registers are absolute.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use metering::NoticeKind;

use super::core::{Core, pack};
use super::frame;
use super::index::Entry;
use super::log::{SEGMENT_BYTES, is_full};
use crate::thin;

/// Segments that are thinned after one look at most, so that a look waits for a part of the backlog and not for all of it.
const THIN_AT_ONCE: usize = 16;

/// Segments that go at once because of their age: a wall clock that is a year ahead for an hour must not cost a week of
/// copies.
const AGED_AT_ONCE: usize = 2;

/// A disk with this much free is not full any more; less is soon gone again.
const ROOM_BYTES: u64 = 4 * SEGMENT_BYTES;

impl Core {
    /// After each look: the limits are kept, the reserve is there again.
    pub fn keep_house(&mut self) {
        self.drop_over_limits();
        let mut left = THIN_AT_ONCE;
        while 0 < left && self.limits.waiting_bytes < self.waiting().bytes {
            left -= 1;
            match self.thin_one() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the spool is over its limit and cannot be thinned");
                    break;
                }
            }
        }
        self.see_to_reserve();
    }

    /// Drops the segments that a backup covers.
    pub fn drop_covered(&mut self) {
        let until = self.position.covered_until.min(self.position.cursor);
        while let Some(id) = self.oldest_segment_until(until) {
            if !self.drop_segment(id) {
                break;
            }
        }
    }

    /// Frees a segment's worth at least: a full disk. False: there is nothing to free.
    pub fn free_some(&mut self) -> bool {
        if let Some(id) = self.oldest_segment_until(self.position.cursor) {
            return self.drop_segment(id);
        }
        self.thin_one().unwrap_or_else(|error| {
            tracing::error!(%error, "the spool's disk is full and the spool cannot be thinned");
            false
        })
    }

    fn drop_over_limits(&mut self) {
        while let Some(id) = self.oldest_segment_until(self.position.cursor) {
            if self.kept_bytes() <= self.limits.kept_bytes || !self.drop_segment(id) {
                break;
            }
        }
        let newest = self.index.segments().map(|(_, segment)| segment.newest_at).max().unwrap_or(0);
        let oldest =
            newest.saturating_sub(i64::try_from(self.limits.kept_age.as_micros()).unwrap_or(i64::MAX));
        for _ in 0..AGED_AT_ONCE {
            let Some(id) = self.oldest_segment_until(self.position.cursor) else { break };
            let is_aged =
                self.index.segments().any(|(other, segment)| other == id && segment.newest_at < oldest);
            if !is_aged || !self.drop_segment(id) {
                break;
            }
        }
    }

    /// The reserve is made again as soon as there is room; if there is none, room is made. The operator is told when the
    /// disk is full, and when there is room again.
    fn see_to_reserve(&mut self) {
        let mut result = self.log.make_reserve();
        if let Err(error) = &result
            && !self.position.is_failing
        {
            tracing::error!(%error, "the spool's disk is full; copies go, then readings are folded, until there is room");
            self.position.is_failing = true;
            self.notify(NoticeKind::SpoolFailing, false, format!("the spool's disk is full: {error}"));
        }
        for _ in 0..THIN_AT_ONCE {
            match &result {
                Err(error) if is_full(error) && self.free_some() => result = self.log.make_reserve(),
                _ => break,
            }
        }
        if result.is_ok() && self.position.is_failing && ROOM_BYTES <= self.log.free_bytes() {
            self.position.is_failing = false;
            self.notify(
                NoticeKind::SpoolFailing,
                true,
                "the spool's disk works and has room again".to_owned(),
            );
        }
    }

    fn kept_bytes(&self) -> u64 {
        let cursor = self.position.cursor;
        self.index
            .segments()
            .filter(|(_, segment)| segment.max_seq <= cursor)
            .map(|(_, segment)| segment.bytes)
            .sum()
    }

    /// The oldest segment, not the one that is written to, in which nothing is above `until`.
    fn oldest_segment_until(&self, until: u64) -> Option<u64> {
        let active = self.log.active_id();
        let mut segments = self.index.segments().filter(|(id, _)| Some(*id) != active);
        segments.find(|(_, segment)| segment.max_seq <= until).map(|(id, _)| id)
    }

    /// Drops a segment of batches that do not wait. What is known of them is made durable before.
    fn drop_segment(&mut self, id: u64) -> bool {
        let inside = self.index.in_segment(id);
        if let Some((last, _)) = inside.last() {
            self.position.dropped_until = self.position.dropped_until.max(*last);
        }
        self.remove_segment(id)
            .inspect_err(|error| tracing::warn!(%error, "a segment cannot be dropped"))
            .is_ok()
    }

    /// Removes a segment whose batches lie elsewhere or are given up. How far delivery has come becomes durable before, in
    /// the segment that is written to; if none can be begun (a full disk), the youngest segment stays, which says it too.
    fn remove_segment(&mut self, id: u64) -> io::Result<()> {
        self.write_position();
        self.log.sync()?;
        let youngest = self.index.segments().map(|(other, _)| other).max();
        if self.log.active_id().is_none() && youngest == Some(id) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.log.remove(id)?;
        self.index.remove_segment(id);
        Ok(())
    }

    /// Folds every second batch of one segment into the next one. False: there is none left in which that is possible.
    fn thin_one(&mut self) -> io::Result<bool> {
        if self.index.segments().count() < 2 {
            self.log.seal();
        }
        let active = self.log.active_id();
        let ids: Vec<u64> =
            self.index.segments().map(|(id, _)| id).filter(|id| Some(*id) != active).collect();
        let (before, after): (Vec<u64>, Vec<u64>) = ids.into_iter().partition(|id| *id < self.thin_from);
        for id in after.into_iter().chain(before) {
            let pairs = self.foldable(id);
            if pairs.is_empty() || !self.fold_segment(id, &pairs)? {
                continue;
            }
            self.thin_from = id + 1;
            return Ok(true);
        }
        Ok(false)
    }

    /// The neighbours in a segment that may be folded. The oldest batch of all may be on its way and stays as it is.
    fn foldable(&self, id: u64) -> Vec<(u64, u64)> {
        let cursor = self.position.cursor;
        let oldest = self.index.after(cursor).map(|(seq, _)| seq).find(|seq| !self.refused.contains(*seq));
        let may = |seq: u64| cursor < seq && Some(seq) != oldest && !self.refused.contains(seq);
        let waiting: Vec<u64> =
            self.index.in_segment(id).into_iter().map(|(seq, _)| seq).filter(|seq| may(*seq)).collect();
        let mut pairs = Vec::new();
        let mut rest = waiting.as_slice();
        while let [older, newer, tail @ ..] = rest {
            if self.index.after(*older).next().map(|(seq, _)| seq) == Some(*newer) {
                pairs.push((*older, *newer));
                rest = tail;
            } else {
                rest = &rest[1..];
            }
        }
        pairs
    }

    /// Writes a segment's batches anew, folded, and removes it. Acknowledged ones in it go. False: nothing of it could be folded
    /// or can go, and it stays as it is.
    fn fold_segment(&mut self, id: u64, pairs: &[(u64, u64)]) -> io::Result<bool> {
        let (mut folded, mut gone) = (BTreeMap::new(), BTreeSet::new());
        for (older, newer) in pairs {
            if let Some(wire) = self.folded(*older, *newer) {
                gone.insert(*older);
                folded.insert(*newer, wire);
            }
        }
        let entries = self.index.in_segment(id);
        if gone.is_empty() && entries.iter().all(|(seq, _)| self.position.cursor < *seq) {
            return Ok(false);
        }
        let (mut moved, mut dropped_until) = (Vec::new(), self.position.dropped_until);
        for (seq, entry) in entries {
            if seq <= self.position.cursor {
                dropped_until = dropped_until.max(seq);
            } else if !gone.contains(&seq) {
                moved.extend(self.move_batch(seq, &entry, folded.remove(&seq))?);
            }
        }
        self.log.sync()?;
        for entry in moved {
            self.index.add(entry);
        }
        self.position.dropped_until = dropped_until;
        if !self.position.is_thinned && !gone.is_empty() {
            self.position.is_thinned = true;
            let detail = "too much waits for delivery: readings are folded together, at lower resolution";
            self.notify(NoticeKind::SpoolThinned, false, detail.to_owned());
        }
        tracing::warn!(segment = id, folded = gone.len(), "every second batch was folded into the next one");
        self.remove_segment(id).map(|()| true)
    }

    /// Appends a batch anew, as it is or as `wire`. `None`: it cannot be read.
    pub fn move_batch(
        &mut self,
        seq: u64,
        entry: &Entry,
        wire: Option<Vec<u8>>,
    ) -> io::Result<Option<Entry>> {
        let wire = match wire.map_or_else(|| self.read(entry), Ok) {
            Ok(wire) => wire,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.notify(NoticeKind::SpoolDamaged, false, format!("batch {seq} is damaged and lost"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let frame = pack(&wire, entry.head.revision.saturating_add(1), seq, entry.head.at)?;
        let place = self.append(&frame)?;
        Ok(frame::decode(&frame).map(|(head, _)| Entry { place, head }))
    }

    fn folded(&self, older: u64, newer: u64) -> Option<Vec<u8>> {
        let wire = |seq| self.read(self.index.get(seq)?).ok();
        thin::fold(&wire(older)?, &wire(newer)?)
    }
}
