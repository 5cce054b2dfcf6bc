//! What comes with a batch, what became of it, and why it was not taken. It does NOT say how any of this travels.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{BatchSeq, BootId, NodeId, Notice};
use migrations::DbError;

use crate::error::UsageError;

/// What a node says besides the batch itself when it delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The number that was acknowledged before this batch; 0: none. When it is not known here, batches were lost.
    pub after: BatchSeq,
    /// The node's clocks at that moment; `None`: it did not say, and nothing is said about its clock.
    pub sent: Option<NodeClock>,
}

/// One instant on a node's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClock {
    /// By its wall clock.
    pub wall: Timestamp,
    /// Since its kernel started, suspended time included.
    pub boot: Duration,
    /// Which life of its kernel that was. `None`: it did not say; the two clocks must then agree about how long ago
    /// the batch was collected, or nothing is said about it.
    pub boot_id: Option<BootId>,
}

/// What became of a batch. Either way it is durable, and the node may forget it as far as a backup covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// Readings that count.
    pub rows: usize,
    /// Readings that cannot be true and lie in quarantine.
    pub quarantined: usize,
    /// Readings that say nothing: of an instance or volume that another node has and this one only knows.
    pub ignored: usize,
    /// It had been committed before: nothing was done now, and the three figures are 0.
    pub is_duplicate: bool,
    /// The highest number of this node's that is committed.
    pub known_until: BatchSeq,
    /// Up to here a backup covers the node's batches; 0: there is none.
    pub covered_until: BatchSeq,
    /// How far the node's wall clock was ahead when it collected the batch, at least: the time that the delivery took
    /// is taken for lateness. `None`: it cannot be told.
    pub clock_error: Option<SignedDuration>,
    /// What the node wants its operator to know. None of a batch that came again, unless it is the newest: whoever took
    /// it in the first time may have died before these were heard.
    pub notices: Vec<Notice>,
}

/// Why a batch was not taken. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// More rows than a batch may have.
    #[error("a batch of {rows} readings is too large: send at most {rows_max} at once")]
    TooLarge {
        /// How many it has.
        rows: usize,
        /// The limit.
        rows_max: usize,
    },

    /// The number cannot be stored.
    #[error("{seq} is no batch number: they count from 1")]
    BadSeq {
        /// The number.
        seq: BatchSeq,
    },

    /// The node was told that a batch is safe which is not here: this database was restored from a backup, or is
    /// another one.
    #[error(
        "batch {after} was acknowledged, but batches of this node are known up to {known_until} only; let it send \
         again what comes after {known_until}"
    )]
    Behind {
        /// What the node was told.
        after: BatchSeq,
        /// What is here.
        known_until: BatchSeq,
    },

    /// Another batch came under this number before: the node lost count, and what it sends now would be taken for
    /// a duplicate.
    #[error(
        "node {node_id} sent another batch under the number {seq} before (collected at {known}, this one at {found}): \
         its spool was lost or copied; let it continue after the highest number known (`weir node list`)"
    )]
    Reused {
        /// Whose.
        node_id: NodeId,
        /// Which number.
        seq: BatchSeq,
        /// When the known batch was collected.
        known: Timestamp,
        /// When this one was.
        found: Timestamp,
    },

    /// The database.
    #[error("the batch could not be stored")]
    Store(#[source] UsageError),
}

impl Default for Delivery {
    /// After nothing, by no clock: what comes from a file or a test.
    fn default() -> Self {
        Self { after: BatchSeq(0), sent: None }
    }
}

impl IngestError {
    /// Whether the same batch, sent again, may be taken.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(source) if source.is_transient())
    }

    /// Whether this batch will never be taken, while the next ones may be: the node keeps it aside. Anything else but
    /// [`IngestError::Behind`] is worth another try, a full disk too.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::BadSeq { .. } | Self::Reused { .. } => true,
            Self::Behind { .. } => false,
            Self::Store(source) => is_about_content(source),
        }
    }
}

impl<E: Into<UsageError>> From<E> for IngestError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// Whether the server refused the values themselves: the same batch would meet the same fate for ever.
fn is_about_content(error: &UsageError) -> bool {
    let UsageError::Database(DbError::Query(error)) = error else {
        return false;
    };
    // Class 22: data exceptions; 23: constraints.
    error.code().is_some_and(|state| state.code().starts_with("22") || state.code().starts_with("23"))
}
