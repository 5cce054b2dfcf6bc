//! What the spool holds right now, for people who look into a node. It changes nothing.

use std::path::PathBuf;

use jiff::Timestamp;
use metering::{BatchSeq, NodeId};

/// Everything that the spool can tell without being changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Who this node is.
    pub node_id: NodeId,
    /// Where the spool lies.
    pub path: PathBuf,
    /// What waits for delivery.
    pub waiting: Stock,
    /// What was acknowledged and stays until a backup of the control plane covers it.
    pub kept: Stock,
    /// What was refused for good, oldest first.
    pub refused: Vec<RefusedBatch>,
    /// The last look that became durable.
    pub last_committed: Option<BatchSeq>,
    /// The last batch that was acknowledged.
    pub acknowledged: Option<BatchSeq>,
    /// What the control plane said last that it has.
    pub known_until: Option<BatchSeq>,
    /// Up to here a backup of the control plane covers the batches.
    pub covered_until: Option<BatchSeq>,
    /// The highest number whose batch was acknowledged and is not kept any more.
    pub dropped_until: Option<BatchSeq>,
    /// What the spool takes of its disk, reserves included, in bytes.
    pub disk_bytes: u64,
    /// Whether its reserve against a full disk is in place.
    pub is_reserve_complete: bool,
    /// Notices that go out with the next batch.
    pub pending_notices: usize,
}

/// Some batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// How many.
    pub batches: u64,
    /// Their bytes as they lie in the spool.
    pub bytes: u64,
    /// The lowest number.
    pub first: Option<BatchSeq>,
    /// The highest number.
    pub last: Option<BatchSeq>,
    /// When the oldest was put together, by the node's wall clock.
    pub oldest_at: Option<Timestamp>,
}

/// A batch that the control plane will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBatch {
    /// Its number.
    pub seq: BatchSeq,
    /// When it was refused, by the node's wall clock.
    pub at: Timestamp,
    /// Why, as the control plane said.
    pub reason: String,
}
