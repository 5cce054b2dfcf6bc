//! Alerts, by the command line.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use nodes::alerts::{self, Entry, Kind};
use serde_json::{Value, json};

use crate::control::request::AlertRequest;
use crate::parts::Parts;

/// With those that are over: some screens. The API has the same.
const LISTED: u32 = 200;

/// Does what is asked of alerts.
pub async fn value(parts: &Parts, request: AlertRequest) -> Result<Value> {
    let db = &parts.database;
    match request {
        AlertRequest::List { all } => {
            let entries = if all { alerts::list(db, LISTED).await? } else { alerts::open(db).await? };
            let rows: Vec<Value> = entries.iter().map(row).collect();
            Ok(json!({ "alerts": rows }))
        }
        AlertRequest::End { alert_id } => {
            let id = alert_id
                .parse()
                .with_context(|| format!("{alert_id:?} is no alert's id; see weir alert list"))?;
            if !alerts::end_by_id(db, id, Timestamp::now()).await? {
                bail!("there is no such alert that is open; see weir alert list");
            }
            Ok(json!({ "message": "The alert is over. It comes back if its reason does." }))
        }
    }
}

fn row(entry: &Entry) -> Value {
    let instance_id = entry.instance_id.map(|id| id.to_string());
    json!({
        "alert_id": entry.alert_id.to_string(),
        "kind": entry.kind,
        "title": entry.title,
        "subject": entry.subject,
        "node_id": entry.node_id.map(|id| id.to_string()),
        "node": entry.node_name,
        "instance": entry.instance_name.clone().or_else(|| instance_id.clone()),
        "instance_id": instance_id,
        "detail": entry.detail,
        "since": whole_seconds(entry.raised_at),
        "raised_at": entry.raised_at,
        "seen_at": entry.seen_at,
        "times": entry.times,
        "ended_at": entry.ended_at,
        "state": match entry.ended_at {
            None => "open".to_owned(),
            Some(at) => format!("over {}", whole_seconds(at)),
        },
        "mailed_at": entry.mailed_at,
        "meaning": entry.kind().map(Kind::meaning),
        "remedy": entry.kind().map(Kind::remedy),
    })
}

fn whole_seconds(at: Timestamp) -> String {
    format!("{at:.0}")
}
