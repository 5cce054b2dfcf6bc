//! The nodes as their operator sees them: listed, drained, removed. It does NOT place instances (`appliance` does) or
//! look at what they use (`usage`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{NodeId, micros};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;

use crate::certificates::clean;
use crate::error::{NodesError, shown};
use crate::sql;

/// A node that was heard so recently works: it is not removed without force while instances run on it.
pub const AT_WORK: Duration = Duration::from_secs(300);
/// The longest name: as a host's.
const NAME_MAX: usize = 63;

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// It is metered, but nothing new is placed on it.
    Draining,
    /// It was removed.
    Removed,
}

impl State {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "draining" => Self::Draining,
            "removed" => Self::Removed,
            _ => Self::Active,
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub node_id: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it takes part.
    pub state: State,
    /// When it joined; `None`: the control plane's own.
    pub joined_at: Option<Timestamp>,
    /// When it was removed.
    pub removed_at: Option<Timestamp>,
    /// The release of Weir on it.
    pub release: Option<String>,
    /// When it was last heard, by the control plane's clock.
    pub last_heard_at: Option<Timestamp>,
    /// The latest instant that it reported, by its own.
    pub last_observed_at: Option<Timestamp>,
    /// Its latest batch.
    pub last_seq: u64,
    /// Batches that a backup covers.
    pub covered_seq: u64,
    /// How far its wall clock is ahead of the control plane's.
    pub clock_error: Option<SignedDuration>,
    /// When that was measured.
    pub clock_error_at: Option<Timestamp>,
    /// Batches that wait on it, as it said when it was last heard.
    pub backlog_batches: Option<u64>,
    /// When its certificate ends.
    pub certificate_expires_at: Option<Timestamp>,
    /// Instances on it whose process exists.
    pub running: u64,
    /// All instances on it.
    pub instances: u64,
}

/// What a node says beside its readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The release of Weir on it.
    pub release: Option<String>,
    /// Batches that wait on it.
    pub backlog_batches: Option<u64>,
}

/// Checks a name for a node.
///
/// # Errors
/// It is none.
pub fn check_name(name: &str) -> Result<(), NodesError> {
    let is_letter = |c: char| c.is_ascii_alphanumeric();
    let is_name = name.len() <= NAME_MAX
        && name.starts_with(is_letter)
        && name.chars().all(|c| is_letter(c) || matches!(c, '-' | '_' | '.'));
    if is_name { Ok(()) } else { Err(NodesError::Name { shown: shown(name) }) }
}

/// The nodes, by name.
///
/// # Errors
/// The database fails.
pub async fn list(db: &Database, with_removed: bool) -> Result<Vec<Node>, NodesError> {
    query(db, with_removed, None).await
}

/// One node, by name or id.
///
/// # Errors
/// There is none, or several have the name, or the database fails.
pub async fn show(db: &Database, asked: &str) -> Result<Node, NodesError> {
    let mut found = query(db, true, Some(asked)).await?;
    match (found.len(), found.pop()) {
        (1, Some(node)) => Ok(node),
        (0, _) => Err(NodesError::NoNode { asked: shown(asked) }),
        _ => Err(NodesError::Ambiguous { asked: shown(asked) }),
    }
}

/// Lets nothing new be placed on a node, or lets it again.
///
/// # Errors
/// There is no such node, or the database fails.
pub async fn drain(db: &Database, asked: &str, drains: bool) -> Result<Node, NodesError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let node_id = find(&transaction, asked).await?;
    let state = if drains { State::Draining } else { State::Active };
    let statement = transaction.prepare_cached(sql::NODE_SET_STATE).await?;
    if transaction.execute(&statement, &[&node_id.uuid(), &state.as_str()]).await? == 0 {
        return Err(NodesError::NoNode { asked: shown(asked) });
    }
    transaction.commit().await?;
    show(db, &node_id.to_string()).await
}

/// Removes a node and revokes its certificates at once. What was metered stays.
///
/// # Errors
/// There is no such node, it is the control plane's own, it works and has running instances (unless `forced`), or the
/// database fails.
pub async fn remove(db: &Database, asked: &str, forced: bool, now: Timestamp) -> Result<Node, NodesError> {
    let now = micros(now);
    let node = show(db, asked).await?;
    let since = now.checked_sub(AT_WORK).unwrap_or(Timestamp::UNIX_EPOCH);
    // The control plane's own is heard by its readings.
    let heard_at = node.last_heard_at.max(node.last_observed_at).filter(|at| since < *at);
    match heard_at {
        Some(_) if node.joined_at.is_none() => return Err(NodesError::Own { name: node.name }),
        Some(heard_at) if !forced && 0 < node.running => {
            return Err(NodesError::Busy { name: node.name, heard_at, running: node.running });
        }
        _ => {}
    }
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let node_id = find(&transaction, &node.node_id.to_string()).await?;
    let statement = transaction.prepare_cached(sql::NODE_REMOVE).await?;
    transaction.execute(&statement, &[&node_id.uuid(), &now]).await?;
    let statement = transaction.prepare_cached(sql::CERTIFICATES_REVOKE).await?;
    transaction.execute(&statement, &[&node_id.uuid(), &now, &"the node was removed"]).await?;
    transaction.commit().await?;
    show(db, &node_id.to_string()).await
}

/// Remembers that a node was heard.
///
/// # Errors
/// The database fails.
pub async fn heard(db: &Database, node_id: NodeId, heard: &Heard, now: Timestamp) -> Result<(), NodesError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::NODE_HEARD).await?;
    let backlog = heard.backlog_batches.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let release = heard.release.as_deref().map(clean);
    transaction.execute(&statement, &[&node_id.uuid(), &micros(now), &release, &backlog]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn find(transaction: &Transaction<'_>, asked: &str) -> Result<NodeId, NodesError> {
    let statement = transaction.prepare_cached(sql::NODE_FIND).await?;
    let rows = transaction.query(&statement, &[&asked]).await?;
    match rows.as_slice() {
        [row] => Ok(NodeId::from_uuid(row.try_get("node_id")?)),
        [] => Err(NodesError::NoNode { asked: shown(asked) }),
        _ => Err(NodesError::Ambiguous { asked: shown(asked) }),
    }
}

async fn query(db: &Database, with_removed: bool, asked: Option<&str>) -> Result<Vec<Node>, NodesError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::NODE_LIST).await?;
    transaction.query(&statement, &[&with_removed, &asked]).await?.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Node, NodesError> {
    let count = |column| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
    let clock_error: Option<i64> = row.try_get("clock_error_us")?;
    let backlog: Option<i64> = row.try_get("backlog_batches")?;
    Ok(Node {
        node_id: NodeId::from_uuid(row.try_get("node_id")?),
        name: row.try_get("name")?,
        state: State::parse(row.try_get("state")?),
        joined_at: row.try_get("joined_at")?,
        removed_at: row.try_get("removed_at")?,
        release: row.try_get("release")?,
        last_heard_at: row.try_get("last_heard_at")?,
        last_observed_at: row.try_get("last_observed_at")?,
        last_seq: count("last_seq")?,
        covered_seq: count("covered_seq")?,
        clock_error: clock_error.map(SignedDuration::from_micros),
        clock_error_at: row.try_get("clock_error_at")?,
        backlog_batches: backlog.map(i64::unsigned_abs),
        certificate_expires_at: row.try_get("certificate_expires_at")?,
        running: count("running")?,
        instances: count("known")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_are_names_and_what_breaks_a_terminal_or_a_path_is_not() {
        for good in ["node-1", "kvm01.example.org", "a", "N_2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["", "-a", "a b", "a/b", "..", "é", "a\n", "\u{1b}[31m", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
