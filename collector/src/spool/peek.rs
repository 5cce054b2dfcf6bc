//! Looking at a spool's directory without opening it: nothing is made, mended, locked or written. Each part is read by
//! itself, so that damage to one hides no other.
//!
//! Beside a running collector it would see half-written ends; ask the collector instead.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use metering::{BatchSeq, NodeId};

use super::core::{Core, Position};
use super::frame::{self, Kind};
use super::identity::{Found, Identity};
use super::index::{Entry, Index};
use super::log::Place;
use super::recover::{LOG_DIR, REFUSED_DIR};
use super::refused;
use super::slots::{self, Memory};
use super::summary::{RefusedBatch, Stock, Summary};
use crate::tracker::State;

/// What could be read, and what could not.
#[derive(Debug, Default)]
pub struct Peek {
    /// No collector has worked on it yet.
    pub is_unused: bool,
    /// What the log and the files beside it hold. `None`: nobody knows whose they are.
    pub summary: Option<Summary>,
    /// The tracker's memory, and of which look it is.
    pub memory: Option<(BatchSeq, State)>,
    /// What is wrong with the log, the identity and what was refused, for people.
    pub damage: Vec<String>,
    /// What is wrong with the memory, for people.
    pub memory_damage: Vec<String>,
}

/// What the log's segments hold.
#[derive(Default)]
struct Log {
    index: Index,
    position: Option<Position>,
    bytes: u64,
    has_reserve: bool,
}

/// Looks at the spool in `dir`.
#[must_use]
pub fn peek(dir: &Path) -> Peek {
    let mut found = Peek::default();
    if !dir.join(LOG_DIR).exists() && matches!(Identity::read(dir), Ok(Found::Nothing)) {
        found.is_unused = true;
        return found;
    }
    let identity = identity(dir, &mut found.damage);
    let log = log(&dir.join(LOG_DIR), &mut found.damage);
    let refused = refused(&dir.join(REFUSED_DIR), &mut found.damage);
    let last_look = log.position.as_ref().map_or(0, |position| position.last_look);
    let last_look = last_look.max(log.index.last().unwrap_or(0));
    found.memory = memory(dir, last_look, &mut found.memory_damage);
    let known = log.position.as_ref().map(|position| NodeId::from_uuid(position.node_id));
    found.summary = identity.or(known).map(|node_id| summary(dir, node_id, log, refused, last_look));
    found
}

fn identity(dir: &Path, damage: &mut Vec<String>) -> Option<NodeId> {
    match Identity::read(dir) {
        Ok(Found::Identity(identity)) => return Some(identity.node_id),
        Ok(Found::Nothing) => {}
        Ok(Found::Damaged) => damage.push("the file identity is damaged".to_owned()),
        Ok(Found::Newer(format)) => damage.push(format!("it has the form {format} of a newer release")),
        Err(error) => damage.push(format!("the file identity cannot be read: {error}")),
    }
    None
}

fn log(dir: &Path, damage: &mut Vec<String>) -> Log {
    let mut log = Log::default();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            damage.push(format!("the log {} cannot be read: {error}", dir.display()));
            return log;
        }
    };
    let mut segments = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        log.bytes += entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
        log.has_reserve |= path.file_name().is_some_and(|name| name == super::log::RESERVE);
        let is_segment = path.extension().is_some_and(|suffix| suffix == super::log::SUFFIX);
        let id = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
        segments.extend(id.filter(|_| is_segment).map(|id| (id, path)));
    }
    segments.sort_unstable();
    for (id, path) in segments {
        match std::fs::read(&path) {
            Ok(bytes) => log.take_segment(id, &bytes, damage),
            Err(error) => damage.push(format!("segment {id:x} cannot be read: {error}")),
        }
    }
    log
}

impl Log {
    fn take_segment(&mut self, id: u64, bytes: &[u8], damage: &mut Vec<String>) {
        let scan = frame::scan(bytes);
        for (offset, head) in &scan.frames {
            match head.kind {
                Kind::BATCH => {
                    let place = Place { segment: id, offset: *offset as u64 };
                    self.index.add(Entry { place, head: *head });
                }
                Kind::POSITION => self.take_position(&bytes[*offset..]),
                _ => {}
            }
        }
        if 0 < scan.damaged {
            damage.push(format!("segment {id:x} holds {} bytes that are no frames", scan.damaged));
        }
    }

    fn take_position(&mut self, bytes: &[u8]) {
        let position =
            frame::decode(bytes).and_then(|(_, payload)| rmp_serde::from_slice::<Position>(payload).ok());
        let Some(position) = position else { return };
        if self.position.as_ref().is_none_or(|known| known.turn < position.turn) {
            self.position = Some(position);
        }
    }
}

fn refused(dir: &Path, damage: &mut Vec<String>) -> Vec<RefusedBatch> {
    match refused::list(dir) {
        Ok(batches) => batches,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            damage.push(format!("what was refused ({}) cannot be read: {error}", dir.display()));
            Vec::new()
        }
    }
}

/// The memory of the last look, or a later one: an older one is of no use.
fn memory(dir: &Path, last_look: u64, damage: &mut Vec<String>) -> Option<(BatchSeq, State)> {
    let mut best: Option<Memory> = None;
    for name in slots::NAMES {
        match slots::read(&dir.join(name)) {
            Ok(Some(memory)) if last_look <= memory.seq => {
                let rank = |memory: &Memory| (memory.seq == last_look, memory.seq);
                if best.as_ref().is_none_or(|best| rank(best) < rank(&memory)) {
                    best = Some(memory);
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => damage.push(format!("the file {name} cannot be read: {error}")),
        }
    }
    let Some(memory) = best else {
        if 0 < last_look {
            damage.push(format!("the memory of look {last_look} is gone: all instances are adopted anew"));
        }
        return None;
    };
    let state = super::state(memory.version, &memory.bytes);
    if state.is_none() {
        damage
            .push("the memory is of another release, or damaged: all instances are adopted anew".to_owned());
    }
    state.map(|state| (BatchSeq(memory.seq), state))
}

fn summary(dir: &Path, node_id: NodeId, log: Log, refused: Vec<RefusedBatch>, last_look: u64) -> Summary {
    let position = log.position.unwrap_or_default();
    let some = |seq: u64| (0 < seq).then_some(BatchSeq(seq));
    let is_refused = |seq: u64| refused.iter().any(|batch| batch.seq.0 == seq);
    let waiting: Stock = Core::stock(log.index.after(position.cursor).filter(|(seq, _)| !is_refused(*seq)));
    Summary {
        node_id,
        path: dir.to_owned(),
        waiting,
        kept: Core::stock(log.index.until(position.cursor)),
        refused,
        last_committed: some(last_look),
        acknowledged: some(position.acknowledged),
        known_until: some(position.known_until),
        covered_until: some(position.covered_until),
        dropped_until: some(position.dropped_until),
        disk_bytes: log.bytes,
        is_reserve_complete: log.has_reserve,
        pending_notices: 0,
    }
}
