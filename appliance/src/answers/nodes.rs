//! Nodes: listed, drained, removed; and the tokens that let them join.

use std::time::Duration;

use ::nodes::alerts::watch;
use ::nodes::registry::{self, Node, State};
use ::nodes::tokens::{self, NewToken, Token};
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::control::request::NodeRequest;
use crate::parts::Parts;

/// Does what is asked of nodes.
///
/// # Errors
/// What is wrong, and how to mend it.
pub async fn value(parts: &Parts, request: NodeRequest) -> Result<Value> {
    let db = &parts.database;
    match request {
        NodeRequest::List { with_removed } => {
            let nodes = registry::list(db, with_removed).await?;
            let rows: Vec<Value> = nodes.iter().map(|node| listed(parts, node)).collect();
            Ok(json!({ "nodes": rows }))
        }
        NodeRequest::Show { node } => Ok(row(parts, &registry::show(db, &node).await?)),
        NodeRequest::Drain { node, undo } => drain(parts, &node, undo).await,
        NodeRequest::Remove { node, force } => remove(parts, &node, force).await,
        NodeRequest::TokenCreate { node, life } => create_token(parts, node, &life).await,
        NodeRequest::TokenList {} => {
            let now = Timestamp::now();
            let rows: Vec<Value> =
                tokens::list(db).await?.iter().map(|token| token_row(token, now)).collect();
            Ok(json!({ "tokens": rows }))
        }
        NodeRequest::TokenRevoke { token_id } => {
            tokens::revoke(db, &token_id, Timestamp::now()).await?;
            Ok(json!({ "message": "The token lets nobody join any more." }))
        }
    }
}

async fn drain(parts: &Parts, asked: &str, undo: bool) -> Result<Value> {
    let node = registry::drain(&parts.database, asked, !undo).await?;
    let message = match (undo, node.running) {
        (true, _) => format!("Instances are placed on {} again.", node.name),
        (false, 0) => format!("{} takes nothing new, and nothing runs on it: it can be removed.", node.name),
        (false, running) => format!(
            "{} takes nothing new. {running} instances still run on it; move or stop them, then look again: \
             weir node show {0}",
            node.name
        ),
    };
    Ok(json!({ "message": message, "node": row(parts, &node) }))
}

async fn remove(parts: &Parts, asked: &str, force: bool) -> Result<Value> {
    let node = registry::remove(&parts.database, asked, force, Timestamp::now()).await?;
    let mut message = format!("{} is removed; nothing is taken from it any more. ", node.name);
    message.push_str(&match node.backlog_batches {
        Some(0) => "When it was last heard, nothing waited on it.".to_owned(),
        Some(count) => format!(
            "When it was last heard, {count} batches waited on it: they stay in its spool; to have them, let it join again \
             with a new token."
        ),
        None => "What it has not delivered stays in its spool; to have it, let it join again with a new token."
            .to_owned(),
    });
    Ok(json!({ "message": message, "node": row(parts, &node) }))
}

async fn create_token(parts: &Parts, node_name: Option<String>, life: &str) -> Result<Value> {
    let door = parts.door.as_ref().context(
        "no node is let in: say where to listen, [nodes] listen = \"0.0.0.0:9443\" in the configuration or \
         --nodes-listen 0.0.0.0:9443, and start Weir again",
    )?;
    let parsed: Option<Duration> =
        life.parse::<SignedDuration>().ok().and_then(|life| Duration::try_from(life).ok());
    let life = parsed.with_context(|| format!("{life:?} is no length of time; write it like 30m or 1h"))?;
    let new = NewToken { node_name, life };
    let (secret, token) =
        tokens::create(&parts.database, &new, door.authority.hash(), Timestamp::now()).await?;
    let secret = secret.expose();
    let mut command = door.command(&secret);
    if let Some(name) = &token.node_name {
        command.push_str(" --name ");
        command.push_str(name);
    }
    let message = format!(
        "On the new node, before {}, once:\n\n  {command}\n\nNobody can see the token again.",
        token.expires_at
    );
    Ok(json!({
        "message": message,
        "token_id": token.token_id,
        "token": secret,
        "command": command,
        "url": door.url,
        "expires_at": token.expires_at,
    }))
}

/// The same, with what the table shows.
fn listed(parts: &Parts, node: &Node) -> Value {
    let mut value = row(parts, node);
    let silent = if value["is_silent"] == true { ", silent" } else { "" };
    value["shown_state"] = json!(format!("{}{silent}", node.state.as_str()));
    value
}

/// A node as `--json` prints it.
fn row(parts: &Parts, node: &Node) -> Value {
    let is_silent = is_silent(parts, node, Timestamp::now());
    json!({
        "is_silent": is_silent,
        "node_id": node.node_id,
        "name": node.name,
        "state": node.state.as_str(),
        "joined_at": node.joined_at,
        "removed_at": node.removed_at,
        "release": node.release,
        "last_heard_at": node.last_heard_at,
        "last_observed_at": node.last_observed_at,
        "last_seq": node.last_seq,
        "covered_seq": node.covered_seq,
        "clock_ahead_ms": node.clock_error.map(|error| error.as_millis()),
        "clock_measured_at": node.clock_error_at,
        "batches_waiting": node.backlog_batches,
        "certificate_expires_at": node.certificate_expires_at,
        "instances": node.instances,
        "running": node.running,
    })
}

/// Whether it should have been heard by now. A node that was removed should not.
fn is_silent(parts: &Parts, node: &Node, now: Timestamp) -> bool {
    let bound = watch::silent_after(parts.config.collector.reading_interval.0);
    let heard_at = node.last_heard_at.or(node.joined_at);
    node.state != State::Removed
        && node.joined_at.is_some()
        && heard_at.is_some_and(|at| {
            now.duration_since(at) > SignedDuration::try_from(bound).unwrap_or(SignedDuration::MAX)
        })
}

fn token_row(token: &Token, now: Timestamp) -> Value {
    json!({
        "token_id": token.token_id,
        "node": token.node_name,
        "state": token.state(now),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
        "used_by": token.used_by,
        "revoked_at": token.revoked_at,
    })
}
