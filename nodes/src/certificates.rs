//! Who gets a certificate: a node with a token (it joins), and a node with a certificate (it renews). What was issued is
//! written down in the same transaction that spends the token.
//!
//! It does NOT decide who may deliver ([`crate::access`]).

use std::time::Duration;

use jiff::Timestamp;
use metering::{NodeId, micros};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;

use crate::access::Visitor;
use crate::authority::{Authority, Issued};
use crate::error::NodesError;
use crate::registry::check_name;
use crate::sql;
use crate::token::JoinToken;

/// How long a node's certificate is good for unless the settings say otherwise.
pub const LIFE: Duration = Duration::from_secs(24 * 3_600);
/// A node with this id that was heard so recently is at work: another one with its id is a copy.
const AT_WORK: Duration = Duration::from_secs(300);

/// What a node says when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joining {
    /// The secret of its token, as sent.
    pub secret: String,
    /// Its id, from its spool.
    pub node_id: NodeId,
    /// What it wants to be called.
    pub name: String,
    /// Its certificate request, in DER.
    pub request: Vec<u8>,
    /// The release of Weir on it.
    pub release: String,
}

/// Lets a node join: spends the token, writes the node and its certificate down, in one transaction. Of all who come with
/// the same token, one is served.
///
/// # Errors
/// The token is spent, revoked, over, or for another name; the name or the id is taken; the request is not right; or the
/// database fails. The token is not spent then.
pub async fn join(
    db: &Database,
    authority: &Authority,
    joining: &Joining,
    life: Duration,
    now: Timestamp,
) -> Result<Issued, NodesError> {
    check_name(&joining.name)?;
    let now = micros(now);
    let digest = JoinToken::digest_of(&joining.secret)?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_FIND).await?;
    let token = transaction.query_opt(&statement, &[&digest.as_slice()]).await?;
    let token = token.ok_or(NodesError::TokenUnknown)?;
    check_token(&token, &joining.name, now)?;
    admit(&transaction, joining, now).await?;
    // Signed after all that may fail, before the one commit.
    let issued = authority.issue(&joining.request, joining.node_id, life, now)?;
    let node_id = joining.node_id.uuid();
    let statement = transaction.prepare_cached(sql::NODE_JOIN).await?;
    transaction.execute(&statement, &[&node_id, &joining.name, &now, &clean(&joining.release)]).await?;
    let statement = transaction.prepare_cached(sql::CERTIFICATES_REVOKE).await?;
    transaction.execute(&statement, &[&node_id, &now, &"the node joined again"]).await?;
    add(&transaction, joining.node_id, &issued).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_USE).await?;
    let token_id: uuid::Uuid = token.try_get("token_id")?;
    transaction.execute(&statement, &[&token_id, &now, &node_id]).await?;
    transaction.commit().await?;
    Ok(issued)
}

/// Gives a node that was let in another certificate. The old one stays good for as long as it is: an answer that is lost
/// locks nobody out.
///
/// # Errors
/// The request is not right, or the database fails.
pub async fn renew(
    db: &Database,
    authority: &Authority,
    visitor: &Visitor,
    request: &[u8],
    life: Duration,
    now: Timestamp,
) -> Result<Issued, NodesError> {
    let issued = authority.issue(request, visitor.node_id, life, micros(now))?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    add(&transaction, visitor.node_id, &issued).await?;
    transaction.commit().await?;
    Ok(issued)
}

fn check_token(token: &Row, name: &str, now: Timestamp) -> Result<(), NodesError> {
    let used_at: Option<Timestamp> = token.try_get("used_at")?;
    let revoked_at: Option<Timestamp> = token.try_get("revoked_at")?;
    let expires_at: Timestamp = token.try_get("expires_at")?;
    let bound: Option<String> = token.try_get("node_name")?;
    if let Some(at) = used_at {
        return Err(refused(&format!("was used at {at}")));
    }
    if let Some(at) = revoked_at {
        return Err(refused(&format!("was revoked at {at}")));
    }
    if expires_at <= now {
        return Err(refused(&format!("expired at {expires_at}")));
    }
    match bound {
        Some(bound) if bound != name => {
            Err(refused(&format!("lets a node called {bound} join, and this one is called {name}")))
        }
        _ => Ok(()),
    }
}

/// Whether name and id are free.
async fn admit(transaction: &Transaction<'_>, joining: &Joining, now: Timestamp) -> Result<(), NodesError> {
    let statement = transaction.prepare_cached(sql::TOKEN_LOCK_NAMES).await?;
    transaction.execute(&statement, &[]).await?;
    let node_id = joining.node_id.uuid();
    let statement = transaction.prepare_cached(sql::NODE_BY_NAME).await?;
    if transaction.query_opt(&statement, &[&joining.name, &node_id]).await?.is_some() {
        return Err(NodesError::NameTaken { name: joining.name.clone() });
    }
    let statement = transaction.prepare_cached(sql::NODE_BY_ID).await?;
    let Some(known) = transaction.query_opt(&statement, &[&node_id]).await? else { return Ok(()) };
    if known.try_get::<_, Option<Timestamp>>("joined_at")?.is_none() {
        return Err(NodesError::OwnIdentity);
    }
    let since = now.checked_sub(AT_WORK).unwrap_or(Timestamp::UNIX_EPOCH);
    let heard_at: Option<Timestamp> = known.try_get("last_heard_at")?;
    match heard_at.filter(|at| since < *at) {
        Some(heard_at) if known.try_get::<_, &str>("state")? != "removed" => {
            Err(NodesError::IdentityTaken { name: known.try_get("name")?, heard_at })
        }
        _ => Ok(()),
    }
}

async fn add(transaction: &Transaction<'_>, node_id: NodeId, issued: &Issued) -> Result<(), NodesError> {
    let statement = transaction.prepare_cached(sql::CERTIFICATE_ADD).await?;
    let (fingerprint, node_id) = (issued.fingerprint.as_slice(), node_id.uuid());
    transaction
        .execute(&statement, &[&issued.serial, &node_id, &fingerprint, &issued.issued_at, &issued.expires_at])
        .await?;
    Ok(())
}

fn refused(why: &str) -> NodesError {
    NodesError::TokenRefused { why: why.to_owned() }
}

/// A release as it may be shown.
pub(crate) fn clean(text: &str) -> String {
    const RELEASE_MAX: usize = 40;
    text.chars().filter(|c| !c.is_control()).take(RELEASE_MAX).collect()
}
