//! Where every batch lies, and what each segment holds: in memory, rebuilt from the log at each start.
//!
//! 48 bytes a batch, at most twice that, in pieces of some pages: a node of a tree for each few batches, made between what a
//! look allocates and frees again, would keep a page of the heap each. Bounded by what may wait and be kept.

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

/// So many numbers lie in one piece: 12 KiB when all of them are there.
const PIECE: u64 = 256;

/// The batches and the segments.
#[derive(Debug, Default)]
pub struct Index {
    /// By number divided by [`PIECE`]; in each piece lowest number first, and none is empty.
    pieces: BTreeMap<u64, Vec<Entry>>,
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
        if self.get(entry.head.seq).is_some_and(|known| rank(&entry) < rank(known)) {
            return;
        }
        let segment = self.segments.entry(entry.place.segment).or_default();
        segment.bytes += entry.head.frame_bytes() as u64;
        let piece = self.pieces.entry(entry.head.seq / PIECE).or_default();
        match piece.binary_search_by_key(&entry.head.seq, |known| known.head.seq) {
            Ok(at) => {
                let replaced = std::mem::replace(&mut piece[at], entry);
                self.take_off(&replaced);
            }
            Err(at) => piece.insert(at, entry),
        }
    }

    /// Forgets a batch.
    pub fn remove(&mut self, seq: u64) {
        if let Some(entry) = self.get(seq).copied() {
            self.take_off(&entry);
            self.keep(|entry| entry.head.seq != seq);
        }
    }

    /// Forgets a segment and whatever is still in it.
    pub fn remove_segment(&mut self, id: u64) {
        self.segments.remove(&id);
        self.keep(|entry| entry.place.segment != id);
    }

    /// A batch.
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        let piece = self.pieces.get(&(seq / PIECE))?;
        let at = piece.binary_search_by_key(&seq, |entry| entry.head.seq).ok()?;
        piece.get(at)
    }

    /// The batches with numbers above `seq`, lowest first.
    pub fn after(&self, seq: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        let entries = self.pieces.range(seq / PIECE..).flat_map(|(_, piece)| piece);
        entries.filter(move |entry| seq < entry.head.seq).map(|entry| (entry.head.seq, entry))
    }

    /// The batches with numbers up to `seq`, lowest first.
    pub fn until(&self, seq: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        let entries = self.pieces.range(..=seq / PIECE).flat_map(|(_, piece)| piece);
        entries.filter(move |entry| entry.head.seq <= seq).map(|entry| (entry.head.seq, entry))
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        self.pieces.last_key_value()?.1.last().map(|entry| entry.head.seq)
    }

    /// Whether a batch that was made is not there, though it was neither dropped nor refused nor folded into the next one,
    /// and nobody was told.
    pub fn is_missing(&self, seq: u64, position: &Position, refused: &Refused) -> bool {
        let is_folded = || self.after(seq).next().is_some_and(|(_, next)| 0 < next.head.revision);
        position.dropped_until.max(position.told_until) < seq
            && self.get(seq).is_none()
            && !refused.contains(seq)
            && !is_folded()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (u64, &Segment)> {
        self.segments.iter().map(|(id, segment)| (*id, segment))
    }

    /// The batches of a segment that count, lowest first.
    pub fn in_segment(&self, id: u64) -> Vec<(u64, Entry)> {
        let entries = self.pieces.values().flatten();
        entries.filter(|entry| entry.place.segment == id).map(|entry| (entry.head.seq, *entry)).collect()
    }

    /// Forgets all other batches, and gives back the room that they had.
    fn keep(&mut self, is_kept: impl Fn(&Entry) -> bool) {
        self.pieces.retain(|_, piece| {
            let before = piece.len();
            piece.retain(&is_kept);
            if piece.len() < before {
                piece.shrink_to_fit();
            }
            !piece.is_empty()
        });
    }

    fn take_off(&mut self, entry: &Entry) {
        if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
            segment.bytes = segment.bytes.saturating_sub(entry.head.frame_bytes() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Kind;
    use super::*;

    fn entry(seq: u64, segment: u64, revision: u32) -> Entry {
        let head = Head { kind: Kind::BATCH, revision, seq, at: 0, length: 60 };
        Entry { place: Place { segment, offset: 0 }, head }
    }

    fn numbers<'a>(entries: impl Iterator<Item = (u64, &'a Entry)>) -> Vec<u64> {
        entries.map(|(seq, _)| seq).collect()
    }

    #[test]
    fn batches_are_found_by_number_however_they_came_and_of_two_the_later_revision_counts() {
        let mut index = Index::default();
        for seq in [513, 255, 256, 7, 1_000_000_000_000, 257, 8] {
            index.add(entry(seq, 1 + seq / 256, 0));
        }
        index.add(entry(256, 9, 1));
        index.add(entry(256, 2, 0));
        assert_eq!(index.get(256), Some(&entry(256, 9, 1)));
        assert_eq!(numbers(index.after(255)), [256, 257, 513, 1_000_000_000_000]);
        assert_eq!(numbers(index.after(255).rev()), [1_000_000_000_000, 513, 257, 256]);
        assert_eq!(numbers(index.until(256)), [7, 8, 255, 256]);
        assert_eq!(numbers(index.until(6)), []);
        assert_eq!(index.last(), Some(1_000_000_000_000));
        index.remove_segment(1);
        index.remove(513);
        index.remove(513);
        assert_eq!(numbers(index.after(0)), [256, 257, 1_000_000_000_000]);
        let bytes: Vec<u64> = index.segments().map(|(_, segment)| segment.bytes).collect();
        assert_eq!(bytes, [100, 0, 100, 100], "segments 2, 3, 9 and the last one");
    }

    #[test]
    fn a_busy_hours_batches_take_what_they_take_and_leave_nothing_when_they_are_gone() {
        let room = |index: &Index| index.pieces.values().map(Vec::capacity).sum::<usize>();
        let mut index = Index::default();
        for hour in 0..24 {
            for n in 1..=3_600 {
                let seq = hour * 3_600 + n;
                index.add(entry(seq, 1 + seq / 200, 0));
            }
            assert!(room(&index) <= 2 * 3_600 + 2 * 256, "{}", room(&index));
            let segments: Vec<u64> = index.segments().map(|(id, _)| id).collect();
            segments.into_iter().for_each(|id| index.remove_segment(id));
            assert_eq!((index.pieces.len(), index.segments.len()), (0, 0));
        }
    }
}
