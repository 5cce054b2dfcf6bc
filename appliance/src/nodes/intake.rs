//! A batch into the database, and what it tells of its node to whom it concerns; the same for the control plane's own
//! node and for others. What is in it is screened by `usage`; who sent it was by [`super::handlers`].

use ::nodes::alerts::{self, AlertError};
use collector::{Receipt, SinkError};
use jiff::Timestamp;
use metering::Batch;
use tracing::{debug, error, warn};
use usage::{Delivery, IngestError};

use crate::causes::chain;
use crate::parts::Parts;

/// Takes a batch in. When this has returned, it is durable.
///
/// # Errors
/// As the sink of the node should see it.
pub async fn take_in(
    parts: &Parts,
    batch: &Batch,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<Receipt, SinkError> {
    let (node, seq) = (&batch.node_name, batch.seq);
    let ingested = match parts.ingestor.ingest(batch, delivery, now).await {
        Ok(ingested) => ingested,
        Err(IngestError::Behind { known_until, .. }) => return Err(SinkError::Behind { known_until }),
        Err(error) if error.is_final() => return Err(SinkError::Refused { reason: chain(&error) }),
        Err(error) => return Err(SinkError::Away(Box::new(error))),
    };
    if ingested.is_duplicate {
        debug!(node, %seq, "a batch came again");
    } else {
        let (rows, quarantined, ignored) = (ingested.rows, ingested.quarantined, ingested.ignored);
        debug!(node, %seq, rows, ignored, "a batch was stored");
        if 0 < quarantined {
            warn!(node, %seq, quarantined, "readings that cannot be true lie in quarantine");
        }
        parts.ingested.notify_one();
    }
    if !ingested.notices.is_empty()
        && let Err(failure) =
            alerts::from_notices(&parts.database, batch.node_id, &ingested.notices, now).await
    {
        error!(node, "what a node wants its operator to know was not kept: {}", chain(&failure));
        // The database went away: the batch comes again, as a duplicate, with its notices. Any other failure would come again
        // too, and the batch is in.
        if let AlertError::Database(_) = failure {
            return Err(SinkError::Away(Box::new(failure)));
        }
    }
    Ok(Receipt { known_until: ingested.known_until, covered_until: ingested.covered_until })
}
