//! What the tests have in common: a database with a tenant, users, and a clock that the test holds.

use accounts::sessions::LogInError;
use accounts::users::{self, NewUser};
use accounts::{Role, SessionSecret, User, UserName, sessions};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::testing::TestDatabase;
use uuid::Uuid;

pub const RIGHT: &str = "a right password";
pub const WRONG: &str = "a wrong password";
pub const HERE: &str = "192.0.2.1";
pub const ELSEWHERE: &str = "198.51.100.1";

/// So many minutes after the test began.
pub fn minute(minutes: i64) -> Timestamp {
    second(minutes * 60)
}

/// So many seconds after the test began.
pub fn second(seconds: i64) -> Timestamp {
    "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub async fn tenant(db: &TestDatabase, name: &str) -> TenantId {
    let id = Uuid::new_v4();
    let owner = db.owner_client().await;
    let insert = "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, $2)";
    owner.execute(insert, &[&id, &name]).await.unwrap();
    TenantId::from_uuid(id)
}

pub fn new_user(name: &str, role: Role, tenant: Option<TenantId>) -> NewUser<'_> {
    NewUser { name: UserName::new(name).unwrap(), display_name: name, role, tenant, password: RIGHT }
}

/// A user of the provider's with the password [`RIGHT`].
pub async fn user(db: &TestDatabase, name: &str) -> User {
    users::create(db, &new_user(name, Role::Provider, None), minute(0)).await.unwrap()
}

/// A session of that user's.
pub async fn log_in(db: &TestDatabase, name: &str, now: Timestamp) -> SessionSecret {
    sessions::log_in(db, name, RIGHT, HERE, now).await.unwrap().0
}

/// What came of an attempt, in a word.
pub async fn attempt(db: &TestDatabase, name: &str, password: &str, address: &str, now: Timestamp) -> String {
    match sessions::log_in(db, name, password, address, now).await {
        Ok((_, user)) => user.name.to_string(),
        Err(LogInError::Wrong) => "wrong".to_owned(),
        Err(LogInError::TooMany { retry_after }) => format!("in {} s", retry_after.as_secs()),
        Err(LogInError::Database(error)) => panic!("{error:?}"),
    }
}

pub async fn is_in(db: &TestDatabase, secret: &SessionSecret, now: Timestamp) -> bool {
    sessions::find(db, secret.expose(), now).await.unwrap().is_some()
}

/// Everything that the tables of this crate hold, as text.
pub async fn everything_stored(db: &TestDatabase) -> String {
    let owner = db.owner_client().await;
    let mut stored = String::new();
    for table in ["user_account", "user_session", "api_token", "login_failure"] {
        for row in owner.query(&format!("SELECT t::text AS content FROM {table} t"), &[]).await.unwrap() {
            stored.push_str(row.get("content"));
            stored.push('\n');
        }
    }
    stored
}
