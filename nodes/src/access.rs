//! Whether a node may speak, asked at every request and not only when it connects: is its certificate in force, is it
//! still a node, is it the run that is listened to. It does NOT issue anything or read what the node brings.

use std::time::Duration;

use jiff::Timestamp;
use metering::{NodeId, micros};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::authority::later;
use crate::error::NodesError;
use crate::runs::{self, Runs, Verdict};
use crate::sql;

/// A node that was away until its certificate had expired may still renew it for so long, by the same key, and do nothing
/// else. As long as a spool holds, and some weeks for whoever has to notice.
pub const RENEWAL_GRACE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a node wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To deliver readings.
    Deliver,
    /// Another certificate.
    Renew,
}

/// A knock at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knock {
    /// Of the certificate that it came with, whose key it has proven to hold.
    pub fingerprint: [u8; 32],
    /// The collector's run.
    pub run_id: Uuid,
    /// How long the run may be silent before another one is let in.
    pub lease: Duration,
    /// What for.
    pub purpose: Purpose,
}

/// Who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Which node.
    pub node_id: NodeId,
    /// What it is called here, whatever it calls itself.
    pub name: String,
    /// When the certificate that it came with ends.
    pub expires_at: Timestamp,
    /// It has just proven that this other run is a copy of it, which was barred.
    pub copy: Option<Uuid>,
}

/// Why a node is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The authority's signature, but nobody remembers it: a database from before it was issued.
    #[error("this certificate is not known here; let the node join again with a new token")]
    Unknown,
    /// Removed, or its certificate replaced.
    #[error("this certificate was revoked: {because}; let the node join again with a new token")]
    Revoked {
        /// Whose it was.
        node_id: NodeId,
        /// Why.
        because: String,
    },
    /// It has to be renewed first.
    #[error("this certificate expired at {at}: renew it")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// Too late to renew it.
    #[error(
        "this certificate expired at {at}, too long ago to renew it; let the node join again with a new token"
    )]
    LongExpired {
        /// When.
        at: Timestamp,
    },
    /// Another run may be alive.
    #[error("another collector delivers as this node; after a restart this passes within {} s", retry_in.as_secs().max(1))]
    Waits {
        /// When it is let in, if that one stays silent.
        retry_in: Duration,
    },
    /// A copy.
    #[error(
        "another collector delivers as node {name} and is alive: this one runs on a copy of its data directory"
    )]
    Barred {
        /// Whose identity.
        node_id: NodeId,
        /// Its name.
        name: String,
    },
    /// The database.
    #[error("it cannot be looked up now who this is")]
    Store(#[source] NodesError),
}

impl<E: Into<NodesError>> From<E> for AccessError {
    fn from(source: E) -> Self {
        Self::Store(source.into())
    }
}

/// Lets a node in, or not, and remembers that it was there.
///
/// # Errors
/// See [`AccessError`].
pub async fn knock(db: &Database, knock: &Knock, now: Timestamp) -> Result<Visitor, AccessError> {
    let now = micros(now);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::RUN_KNOCK).await.map_err(NodesError::from)?;
    let row = transaction
        .query_opt(&statement, &[&knock.fingerprint.as_slice(), &knock.run_id])
        .await
        .map_err(NodesError::from)?;
    let known = Known::read(&row.ok_or(AccessError::Unknown)?)?;
    known.check(knock.purpose, now)?;
    let verdict = runs::judge(&known.runs, knock.run_id, now);
    note(&transaction, knock, &known, verdict, now).await?;
    transaction.commit().await.map_err(NodesError::from)?;
    match verdict {
        Verdict::Waits(until) => {
            let retry_in = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
            Err(AccessError::Waits { retry_in })
        }
        Verdict::SameAndRivalIsCopy(copy) => Ok(known.visitor(Some(copy))),
        Verdict::Same | Verdict::TakesOver => Ok(known.visitor(None)),
    }
}

/// A run says that it ends: the next one need not wait.
///
/// # Errors
/// The database fails.
pub async fn leave(db: &Database, node_id: NodeId, run_id: Uuid) -> Result<(), NodesError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::RUN_END).await?;
    transaction.execute(&statement, &[&node_id.uuid(), &run_id]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn note(
    transaction: &Transaction<'_>,
    knock: &Knock,
    known: &Known,
    verdict: Verdict,
    now: Timestamp,
) -> Result<(), NodesError> {
    let node_id = known.node_id.uuid();
    let lease_us = i64::try_from(knock.lease.as_micros()).unwrap_or(i64::MAX).max(1);
    match verdict {
        Verdict::Same | Verdict::SameAndRivalIsCopy(_) => {
            let statement = transaction.prepare_cached(sql::RUN_HEARD).await?;
            transaction.execute(&statement, &[&node_id, &now, &lease_us]).await?;
        }
        Verdict::TakesOver => {
            let statement = transaction.prepare_cached(sql::RUN_TAKE_OVER).await?;
            transaction.execute(&statement, &[&node_id, &now, &lease_us, &knock.run_id]).await?;
        }
        Verdict::Waits(_) => {
            // The first try counts: whoever is heard after it was alive beside it.
            if known.runs.rival.is_none_or(|(rival, _)| rival != knock.run_id) {
                let statement = transaction.prepare_cached(sql::RUN_RIVAL).await?;
                transaction.execute(&statement, &[&node_id, &knock.run_id, &now]).await?;
            }
        }
    }
    if let Verdict::SameAndRivalIsCopy(copy) = verdict {
        let statement = transaction.prepare_cached(sql::RUN_BAR).await?;
        transaction.execute(&statement, &[&node_id, &copy, &now]).await?;
    }
    Ok(())
}

/// What is known of who knocks.
struct Known {
    node_id: NodeId,
    name: String,
    expires_at: Timestamp,
    revoked_because: Option<String>,
    is_removed: bool,
    is_barred: bool,
    runs: Runs,
}

impl Known {
    fn read(row: &Row) -> Result<Self, NodesError> {
        let heard_at: Option<Timestamp> = row.try_get("last_heard_at")?;
        let lease_us: Option<i64> = row.try_get("run_lease_us")?;
        let lease = Duration::from_micros(lease_us.unwrap_or(0).unsigned_abs());
        let run_id: Option<Uuid> = row.try_get("run_id")?;
        let rival_id: Option<Uuid> = row.try_get("rival_run_id")?;
        Ok(Self {
            node_id: NodeId::from_uuid(row.try_get("node_id")?),
            name: row.try_get("name")?,
            expires_at: row.try_get("expires_at")?,
            revoked_because: row.try_get("revoked_because")?,
            is_removed: row.try_get::<_, &str>("state")? == "removed",
            is_barred: row.try_get("is_barred")?,
            runs: Runs {
                holder: run_id.zip(heard_at).map(|(run, heard_at)| (run, later(heard_at, lease))),
                rival: rival_id.zip(row.try_get("rival_at")?),
            },
        })
    }

    fn check(&self, purpose: Purpose, now: Timestamp) -> Result<(), AccessError> {
        let node_id = self.node_id;
        if let Some(because) = &self.revoked_because {
            return Err(AccessError::Revoked { node_id, because: because.clone() });
        }
        if self.is_removed {
            return Err(AccessError::Revoked { node_id, because: "the node was removed".to_owned() });
        }
        if self.is_barred {
            return Err(AccessError::Barred { node_id, name: self.name.clone() });
        }
        if self.expires_at <= now {
            if later(self.expires_at, RENEWAL_GRACE) <= now {
                return Err(AccessError::LongExpired { at: self.expires_at });
            }
            if purpose == Purpose::Deliver {
                return Err(AccessError::Expired { at: self.expires_at });
            }
        }
        Ok(())
    }

    fn visitor(self, copy: Option<Uuid>) -> Visitor {
        Visitor { node_id: self.node_id, name: self.name, expires_at: self.expires_at, copy }
    }
}
