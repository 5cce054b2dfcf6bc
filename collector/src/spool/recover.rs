//! Opening: what lies in the directory becomes the spool again, whatever happened to it.
//!
//! Every frame that is whole is kept. A torn end is what a power cut leaves and no damage; anything else that is missing is,
//! and is told. After damage the numbers go on above all that were ever used, so that no new batch is taken for an old one.

use std::io;
use std::path::Path;

use metering::{NodeId, NoticeKind};
use uuid::Uuid;

use super::core::{Core, Position};
use super::frame::{self, Kind};
use super::identity::{Found, Identity, NUMBERS_STEP};
use super::import::Old;
use super::index::{Entry, Index};
use super::log::{Log, Place};
use super::refused::Refused;
use super::slots::{Memory, Slots};
use super::{Limits, SpoolError, reading, writing};

/// Where the log's segments lie.
pub const LOG_DIR: &str = "spool";
/// Where refused batches lie.
pub const REFUSED_DIR: &str = "refused";

/// What was found in the log.
#[derive(Default)]
struct Findings {
    index: Index,
    position: Option<Position>,
    /// Segments with damage in their middle, to be written anew.
    broken: Vec<u64>,
    /// Looks that had become durable before something else was written.
    looks: Vec<u64>,
    /// What is wrong, for people.
    damage: Vec<String>,
}

/// The spool in `dir`.
pub fn open(dir: &Path, limits: Limits) -> Result<Core, SpoolError> {
    let found = Identity::read(dir).map_err(reading)?;
    if let Found::Newer(format) = found {
        return Err(SpoolError::Newer { path: dir.to_owned(), format });
    }
    let old = Old::open(dir)?;
    let (log, ids) = Log::open(&dir.join(LOG_DIR)).map_err(writing)?;
    let mut findings = read_log(&log, &ids).map_err(reading)?;
    let (slots, memories) = Slots::open(dir).map_err(writing)?;
    let identity = identify(dir, found, old.as_ref(), &mut findings).map_err(writing)?;
    let mut position = findings.position.take().unwrap_or_default();
    let has_position = position.turn != 0;
    position.node_id = identity.node_id.uuid();
    position.last_look = position.last_look.max(findings.index.last().unwrap_or(0));
    // Numbers were set aside, and there is no batch: the log is gone, or the very first look never became durable.
    if !has_position && position.last_look == 0 && old.is_none() {
        position.next_seq = identity.numbers_below;
    }
    let highest = memories.iter().flatten().map(|memory| memory.seq).max().unwrap_or(0);
    // The look that was being committed at the end, if its number is not the one after the last: numbers were set aside for it.
    let begun =
        if has_position { position.next_seq } else { identity.numbers_below.saturating_sub(NUMBERS_STEP) };
    if position.last_look + 1 < highest && highest != begun {
        findings.damage.push(format!("the batches after {} up to {highest} are gone", position.last_look));
    }
    let refused = Refused::open(&dir.join(REFUSED_DIR)).map_err(writing)?;
    let missing = findings.looks.iter().filter(|look| findings.index.is_missing(**look, &position, &refused));
    if let Some(look) = missing.max() {
        findings.damage.push(format!("batches up to {look} are missing"));
    }
    let mut core = Core {
        dir: dir.to_owned(),
        identity,
        log,
        slots,
        index: findings.index,
        position,
        refused,
        notices: Vec::new(),
        limits,
        thin_from: 0,
    };
    core.choose_memory(&memories, &mut findings.damage);
    core.number_on(highest, !findings.damage.is_empty());
    if let Some(old) = old {
        old.move_into(&mut core)?;
    }
    core.mend(&findings.broken);
    if !findings.damage.is_empty() {
        let detail = findings.damage.join("; ");
        tracing::error!(spool = %dir.display(), detail, "the spool is damaged; what can be read is kept");
        core.notify(NoticeKind::SpoolDamaged, false, detail);
    }
    Ok(core)
}

impl Core {
    /// The memory that goes with the last look. A younger one than the last batch's is of a look that did not become
    /// durable, or whose batch is lost: going on from it counts nothing twice. An older one would.
    fn choose_memory(&mut self, memories: &[Option<Memory>; 2], damage: &mut Vec<String>) {
        let last = self.position.last_look;
        // Before the first look there is no memory, unless batches are known to be gone.
        let may_be_later = 0 < last || !damage.is_empty();
        let rank = |memory: &Memory| match memory.seq {
            seq if seq == last && 0 < last => Some((1, 0)),
            seq if last < seq && may_be_later => Some((0, seq)),
            _ => None,
        };
        let best =
            memories.iter().enumerate().filter_map(|(n, memory)| Some((rank(memory.as_ref()?)?, n))).max();
        let Some(((exact, _), n)) = best else {
            if 0 < last {
                damage.push("the memory of the last look is gone: all instances are adopted anew".to_owned());
            }
            return;
        };
        if exact == 0 && 0 < last {
            damage.push("the memory of the last look is gone: a later one is used".to_owned());
        }
        self.slots.set_current(n);
    }

    fn number_on(&mut self, highest: u64, is_damaged: bool) {
        let position = &mut self.position;
        position.next_seq = position.next_seq.max(position.last_look + 1).max(1);
        if is_damaged {
            position.told_until = highest.max(position.last_look);
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            position.next_seq = position.next_seq.max(highest + 1).max(self.identity.numbers_below).max(now);
        }
    }

    /// Writes what is whole of the damaged segments anew and puts them aside. If that fails now, the next start tries again.
    fn mend(&mut self, broken: &[u64]) {
        for id in broken {
            let mended = (|| {
                for (seq, entry) in self.index.in_segment(*id) {
                    if let Some(moved) = self.move_batch(seq, &entry, None)? {
                        self.log.sync()?;
                        self.index.add(moved);
                    }
                }
                self.write_position();
                self.log.sync()?;
                self.log.put_aside(*id)?;
                self.index.remove_segment(*id);
                Ok::<_, io::Error>(())
            })();
            if let Err(error) = mended {
                tracing::error!(%error, segment = id, "a damaged segment cannot be written anew");
            }
        }
    }
}

/// Reads all segments; cuts torn ends off.
fn read_log(log: &Log, ids: &[u64]) -> io::Result<Findings> {
    let mut findings = Findings::default();
    for id in ids {
        let bytes = log.read(*id)?;
        let scan = frame::scan(&bytes);
        let is_last = Some(id) == ids.last();
        if scan.frames.is_empty() && is_last {
            log.remove(*id)?;
            continue;
        }
        findings.index.add_segment(*id);
        for (offset, head) in &scan.frames {
            match head.kind {
                Kind::BATCH => {
                    let place = Place { segment: *id, offset: *offset as u64 };
                    findings.index.add(Entry { place, head: *head });
                }
                Kind::POSITION => findings.take_position(&bytes[*offset..]),
                _ => {}
            }
        }
        // A segment is whole before the next one is begun, so that only the last one may be torn.
        let torn = if is_last { 0 } else { bytes.len() - scan.end };
        if 0 < scan.damaged + torn || scan.frames.is_empty() {
            findings.broken.push(*id);
            let lost = scan.damaged + torn;
            findings.damage.push(format!("segment {id:x} holds {lost} bytes that are no frames"));
        } else if is_last {
            log.cut(*id, scan.end)?;
        }
    }
    Ok(findings)
}

impl Findings {
    fn take_position(&mut self, bytes: &[u8]) {
        let Some((_, payload)) = frame::decode(bytes) else { return };
        let Ok(position) = rmp_serde::from_slice::<Position>(payload) else { return };
        self.looks.push(position.last_look);
        if self.position.as_ref().is_none_or(|known| known.turn < position.turn) {
            self.position = Some(position);
        }
    }
}

/// Who this node is: as its file says, else as the log says, else as the spool of an older release says, else a new one.
fn identify(dir: &Path, found: Found, old: Option<&Old>, findings: &mut Findings) -> io::Result<Identity> {
    if let Found::Identity(identity) = found {
        return Ok(identity);
    }
    let known = findings.position.as_ref().map(|position| (position.node_id, position.next_seq));
    if known.is_some() || found == Found::Damaged {
        findings.damage.push("the node's identity was gone".to_owned());
    }
    let (node_id, numbers_below) = match (known, old) {
        (Some((uuid, next_seq)), _) => (NodeId::from_uuid(uuid), next_seq),
        (None, Some(old)) => (old.node_id(), 0),
        (None, None) => (NodeId::from_uuid(Uuid::new_v4()), 0),
    };
    let identity = Identity { node_id, numbers_below };
    identity.write(dir)?;
    Ok(identity)
}
