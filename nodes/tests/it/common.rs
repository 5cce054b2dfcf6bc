//! What the tests have in common: an authority, tokens, and a clock that the test holds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::NodeId;
use migrations::Database;
use nodes::NodesError;
use nodes::access::{AccessError, Knock, Purpose, Visitor};
use nodes::authority::{Authority, Issued};
use nodes::certificates::{self, Joining};
use nodes::request::NewKey;
use nodes::token::JoinToken;
use nodes::tokens::{self, NewToken};
use uuid::Uuid;

/// Of certificates.
pub const LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Of a run that reads every minute.
pub const LEASE: Duration = Duration::from_secs(180);

/// So many seconds after the test began.
pub fn second(seconds: i64) -> Timestamp {
    "2026-11-22T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

/// An authority in a directory of its own.
pub fn authority() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), second(0)).unwrap();
    (dir, authority)
}

pub fn node(n: u128) -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(n))
}

pub async fn token(db: &Database, authority: &Authority, name: Option<&str>) -> JoinToken {
    let new = NewToken { node_name: name.map(str::to_owned), life: tokens::LIFE };
    tokens::create(db, &new, authority.hash(), second(0)).await.unwrap().0
}

/// A node that comes with a token.
pub fn joining(token: &JoinToken, n: u128, name: &str) -> Joining {
    Joining {
        secret: token.expose_secret(),
        node_id: node(n),
        name: name.to_owned(),
        request: NewKey::generate().unwrap().request().unwrap(),
        release: "0.1.0".to_owned(),
    }
}

pub async fn join_at(
    db: &Database,
    authority: &Authority,
    joining: &Joining,
    at: i64,
) -> Result<Issued, NodesError> {
    certificates::join(db, authority, joining, LIFE, second(at)).await
}

/// A node that has joined.
pub async fn joined(db: &Database, authority: &Authority, n: u128, name: &str) -> Issued {
    let token = token(db, authority, None).await;
    join_at(db, authority, &joining(&token, n, name), 1).await.unwrap()
}

pub async fn knock(db: &Database, issued: &Issued, run: u128, at: i64) -> Result<Visitor, AccessError> {
    knock_for(db, issued, run, at, Purpose::Deliver).await
}

pub async fn knock_for(
    db: &Database,
    issued: &Issued,
    run: u128,
    at: i64,
    purpose: Purpose,
) -> Result<Visitor, AccessError> {
    let knock =
        Knock { fingerprint: issued.fingerprint, run_id: Uuid::from_u128(run), lease: LEASE, purpose };
    nodes::access::knock(db, &knock, second(at)).await
}
