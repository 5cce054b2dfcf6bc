//! Where every batch lies, and what each segment holds: in memory, rebuilt from the log at each start.
//!
//! Some 130 bytes a batch (measured); a week of looks each minute is 1.3 MB. Bounded by what may wait and be kept.

use std::collections::BTreeMap;

use super::core::Position;
use super::frame::Head;
use super::log::Place;
use super::refused::Refused;

/// A batch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Its frame's head.
    pub head: Head,
}

/// A segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The highest number whose batch is or was in it.
    pub max_seq: u64,
    /// Bytes of batches in it that count.
    pub bytes: u64,
    /// When its newest batch was put together.
    pub newest_at: i64,
}

/// The batches and the segments.
#[derive(Debug, Default)]
pub struct Index {
    batches: BTreeMap<u64, Entry>,
    segments: BTreeMap<u64, Segment>,
}

impl Index {
    /// Knows of a segment.
    pub fn add_segment(&mut self, id: u64) {
        self.segments.entry(id).or_default();
    }

    /// Knows of a batch. Of two with one number the higher revision counts, then the younger segment.
    pub fn add(&mut self, entry: Entry) {
        let segment = self.segments.entry(entry.place.segment).or_default();
        segment.max_seq = segment.max_seq.max(entry.head.seq);
        segment.newest_at = segment.newest_at.max(entry.head.at);
        let rank = |entry: &Entry| (entry.head.revision, entry.place.segment, entry.place.offset);
        if self.batches.get(&entry.head.seq).is_some_and(|known| rank(&entry) < rank(known)) {
            return;
        }
        segment.bytes += entry.head.frame_bytes() as u64;
        if let Some(replaced) = self.batches.insert(entry.head.seq, entry) {
            self.take_off(&replaced);
        }
    }

    /// Forgets a batch.
    pub fn remove(&mut self, seq: u64) {
        if let Some(entry) = self.batches.remove(&seq) {
            self.take_off(&entry);
        }
    }

    /// Forgets a segment and whatever is still in it.
    pub fn remove_segment(&mut self, id: u64) {
        self.segments.remove(&id);
        self.batches.retain(|_, entry| entry.place.segment != id);
    }

    /// A batch.
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.batches.get(&seq)
    }

    /// The batches with numbers above `seq`, lowest first.
    pub fn after(&self, seq: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        let from = (std::ops::Bound::Excluded(seq), std::ops::Bound::Unbounded);
        self.batches.range(from).map(|(seq, entry)| (*seq, entry))
    }

    /// The batches with numbers up to `seq`, lowest first.
    pub fn until(&self, seq: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.batches.range(..=seq).map(|(seq, entry)| (*seq, entry))
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.batches.last_key_value().map(|(seq, _)| *seq)
    }

    /// Whether a batch that was made is not there, though it was neither dropped nor refused nor folded into the next one,
    /// and nobody was told.
    pub fn is_missing(&self, seq: u64, position: &Position, refused: &Refused) -> bool {
        let is_folded = || self.after(seq).next().is_some_and(|(_, next)| 0 < next.head.revision);
        position.dropped_until.max(position.told_until) < seq
            && !self.batches.contains_key(&seq)
            && !refused.contains(seq)
            && !is_folded()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (u64, &Segment)> {
        self.segments.iter().map(|(id, segment)| (*id, segment))
    }

    /// The batches of a segment that count, lowest first.
    pub fn in_segment(&self, id: u64) -> Vec<(u64, Entry)> {
        let inside = |(_, entry): &(&u64, &Entry)| entry.place.segment == id;
        self.batches.iter().filter(inside).map(|(seq, entry)| (*seq, *entry)).collect()
    }

    fn take_off(&mut self, entry: &Entry) {
        if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
            segment.bytes = segment.bytes.saturating_sub(entry.head.frame_bytes() as u64);
        }
    }
}
