//! Backups and refused readings, by the command line.

use anyhow::{Result, bail};
use jiff::Timestamp;
use metering::{BatchSeq, NodeId};
use serde_json::{Value, json};
use usage::backups::{self, Covered};
use usage::{IngestSettings, quarantine};

use crate::control::request::{BackupRequest, QuarantineRequest};
use crate::parts::Parts;

/// Some screens.
const LISTED: u32 = 200;

/// Does what is asked of backups.
pub async fn backup(parts: &Parts, request: BackupRequest) -> Result<Value> {
    let db = &parts.database;
    match request {
        BackupRequest::Note { covers_to, note } => {
            let covered = backups::note(db, covers_to, &note, Timestamp::now()).await?;
            Ok(json!({
                "message": "Noted. Nodes hear with their next batch what they may forget.",
                "nodes": covered.iter().map(node).collect::<Vec<_>>(),
            }))
        }
        BackupRequest::List {} => {
            let rows: Vec<Value> = backups::list(db, LISTED)
                .await?
                .iter()
                .map(|backup| {
                    json!({
                        "backup_id": backup.id.to_string(),
                        "covers_to": backup.covers_to,
                        "noted_at": backup.noted_at,
                        "note": backup.note,
                    })
                })
                .collect();
            let covered = backups::covered(db).await?;
            Ok(json!({ "backups": rows, "nodes": covered.iter().map(node).collect::<Vec<_>>() }))
        }
    }
}

/// Does what is asked of refused readings.
pub async fn quarantined(parts: &Parts, request: QuarantineRequest) -> Result<Value> {
    let db = &parts.database;
    match request {
        QuarantineRequest::List {} => {
            let nodes = backups::covered(db).await?;
            let rows: Vec<Value> = quarantine::list(db, LISTED)
                .await?
                .iter()
                .map(|row| {
                    let name = nodes.iter().find(|node| node.node_id == row.node_id);
                    json!({
                        "quarantine_id": row.id.to_string(),
                        "node_id": row.node_id.to_string(),
                        "node": name.map_or_else(|| row.node_id.to_string(), |node| node.node_name.clone()),
                        "batch": row.seq.0,
                        "received_at": row.received_at,
                        "kind": row.kind,
                        "reason": row.reason,
                        "clock_error_ms": row.clock_error.map(|error| i64::try_from(error.as_millis()).ok()),
                        "reading": row.payload,
                    })
                })
                .collect();
            Ok(json!({ "rows": rows }))
        }
        QuarantineRequest::Release { node, batch } => {
            let node_id = find(&backups::covered(db).await?, &node)?;
            let settings = IngestSettings::new(parts.usage.window);
            let released =
                quarantine::release(db, settings, node_id, BatchSeq(batch), Timestamp::now()).await?;
            parts.ingested.notify_one();
            let rows: Vec<Value> = released
                .kept
                .iter()
                .map(|row| {
                    json!({
                        "quarantine_id": row.id.to_string(),
                        "kind": row.kind,
                        "why": row.why,
                        "remedy": row.remedy,
                        "reading": row.payload,
                    })
                })
                .collect();
            Ok(json!({
                "message": format!("{} readings count now, {} stay.", released.rows, rows.len()),
                "released": released.rows,
                "kept": rows.len(),
                "rows": rows,
            }))
        }
    }
}

fn node(covered: &Covered) -> Value {
    json!({
        "node_id": covered.node_id.to_string(),
        "node": covered.node_name,
        "covered_until": covered.covered_until.0,
        "known_until": covered.known_until.0,
    })
}

/// The node of that name or id.
fn find(nodes: &[Covered], asked: &str) -> Result<NodeId> {
    let mut found = nodes.iter().filter(|node| node.node_name == asked || node.node_id.to_string() == asked);
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node.node_id),
        (Some(_), Some(_)) => bail!("several nodes are called {asked:?}; give the id (weir node list)"),
        (None, _) => bail!("there is no node {asked:?}; see weir node list"),
    }
}
