//! The form of what lies in the log: frames that can be told from everything else, each with two checksums.
//!
//! A reader that meets rubbish goes on to the next frame that is whole. Nothing here touches a file or knows what a
//! batch is.

/// Begins every frame. Four bytes that compressed batches hold by chance once in 4 GiB; the checksums decide then.
const MAGIC: [u8; 4] = *b"WrF1";

/// The bytes before a payload.
pub const HEAD_BYTES: usize = 40;

/// No frame is larger: the reading of a hundred thousand instances. A length beyond is damage.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// What a frame holds. Numbers that this release does not know are skipped: a newer one wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A batch in its wire form, compressed.
    pub const BATCH: Kind = Kind(1);
    /// How far delivery has come.
    pub const POSITION: Kind = Kind(2);
    /// The tracker's memory, compressed.
    pub const MEMORY: Kind = Kind(3);
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the payload is.
    pub kind: Kind,
    /// Of two frames with one number the higher one counts: it was folded.
    pub revision: u32,
    /// The batch's number, or the position's turn.
    pub seq: u64,
    /// When the batch was put together, in microseconds since the Unix epoch.
    pub at: i64,
    /// The payload's length.
    pub length: u32,
}

impl Head {
    /// The bytes of the whole frame.
    pub const fn frame_bytes(&self) -> usize {
        HEAD_BYTES + self.length as usize
    }
}

/// What a piece of a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The frames that are whole, with their offsets.
    pub frames: Vec<(usize, Head)>,
    /// Bytes between them that are none.
    pub damaged: usize,
    /// Where the last whole frame ends. What follows is torn, or nothing.
    pub end: usize,
}

/// A frame's bytes. `None`: the payload is too large.
pub fn encode(kind: Kind, revision: u32, seq: u64, at: i64, payload: &[u8]) -> Option<Vec<u8>> {
    if MAX_PAYLOAD_BYTES < payload.len() {
        return None;
    }
    let length = u32::try_from(payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[kind.0, 0, 0, 0]);
    bytes.extend_from_slice(&revision.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&at.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let head_sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&head_sum.to_le_bytes());
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// The frame at the beginning of `bytes`, if it is whole.
pub fn decode(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (head, payload_sum) = head(bytes)?;
    let payload = bytes.get(HEAD_BYTES..head.frame_bytes())?;
    (crc32fast::hash(payload) == payload_sum).then_some((head, payload))
}

/// All frames of `bytes` that are whole.
pub fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while let Some((skipped, head)) = next(&bytes[at..]) {
        scan.damaged += skipped;
        at += skipped;
        scan.frames.push((at, head));
        at += head.frame_bytes();
        scan.end = at;
    }
    scan
}

/// The next whole frame and how many bytes before it are none.
fn next(bytes: &[u8]) -> Option<(usize, Head)> {
    let mut at = 0;
    while at + HEAD_BYTES <= bytes.len() {
        if let Some((head, _)) = decode(&bytes[at..]) {
            return Some((at, head));
        }
        let rest = &bytes[at + 1..];
        at += 1 + rest.windows(MAGIC.len()).position(|window| window == MAGIC)?;
    }
    None
}

fn head(bytes: &[u8]) -> Option<(Head, u32)> {
    let head = bytes.get(..HEAD_BYTES)?;
    let (summed, sum) = head.split_at(HEAD_BYTES - 4);
    if head[..4] != MAGIC || crc32fast::hash(summed).to_le_bytes() != *sum {
        return None;
    }
    let four = |from: usize| head[from..from + 4].try_into().map(u32::from_le_bytes).ok();
    let eight = |from: usize| head[from..from + 8].try_into().map(u64::from_le_bytes).ok();
    let length = four(12)?;
    if MAX_PAYLOAD_BYTES < length as usize {
        return None;
    }
    let at = i64::from_le_bytes(head[24..32].try_into().ok()?);
    let parsed = Head { kind: Kind(head[4]), revision: four(8)?, seq: eight(16)?, at, length };
    Some((parsed, four(32)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(frames: u64) -> Vec<u8> {
        (0..frames)
            .flat_map(|n| encode(Kind::BATCH, 0, n, 0, format!("payload {n}").as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn a_frame_comes_back_as_it_went_in() {
        let bytes = encode(Kind::POSITION, 3, u64::MAX, i64::MIN, b"abc").unwrap();
        let (head, payload) = decode(&bytes).unwrap();
        assert_eq!(head, Head { kind: Kind::POSITION, revision: 3, seq: u64::MAX, at: i64::MIN, length: 3 });
        assert_eq!(payload, b"abc");
    }

    #[test]
    fn a_log_that_is_cut_at_any_byte_keeps_every_frame_before_the_cut() {
        let bytes = log(5);
        let ends: Vec<usize> = scan(&bytes).frames.iter().map(|(at, head)| at + head.frame_bytes()).collect();
        for length in 0..=bytes.len() {
            let scan = scan(&bytes[..length]);
            assert_eq!(scan.frames.len(), ends.iter().filter(|end| **end <= length).count());
            assert_eq!(scan.damaged, 0, "a torn end is no damage");
        }
    }

    proptest! {
        #[test]
        fn bits_that_flip_cost_the_frames_that_they_lie_in_and_no_other(
            flips in proptest::collection::vec((0_usize..485, 0_u8..8), 1..6),
        ) {
            let mut bytes = log(10);
            let whole = scan(&bytes).frames;
            for (position, bit) in &flips {
                let position = position % bytes.len();
                bytes[position] ^= 1 << bit;
            }
            let found = scan(&bytes).frames;
            for (at, head) in whole {
                let range = at..at + head.frame_bytes();
                let is_hit = flips.iter().any(|(position, _)| range.contains(&(position % bytes.len())));
                prop_assert!(is_hit || found.contains(&(at, head)));
            }
        }

        #[test]
        fn rubbish_is_no_frame_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(scan(&bytes).frames.is_empty());
        }
    }
}
