//! Sessions: logging in, finding out whose a cookie is, logging out. It does NOT know cookies (`dashboards` does) and
//! reads no clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::micros;
use migrations::{Database, Scope};

use crate::error::AccountsError;
use crate::hashing::{BUSY_RETRY_AFTER, PASSWORDS};
use crate::password;
use crate::secret::SessionSecret;
use crate::sql;
use crate::throttle::{self, Charge, WRONG_MAX};
use crate::user::{self, Principal, User, UserId, UserName};

/// A session that nobody used for so long is over: a working day with its breaks.
pub const IDLE: SignedDuration = SignedDuration::from_hours(12);

/// A session is over after so long in any case.
pub const ABSOLUTE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How exactly it is known when a session or a token was used: a page must not cost a write.
pub(crate) const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// Why somebody may not come in.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// The name, the password, or both; or the user is disabled. Which of them is nobody's business.
    #[error("name or password is wrong")]
    Wrong,

    /// Too many wrong passwords for this name from this address, or too many log-ins at this moment.
    #[error("too many attempts to log in: try again in {} s", seconds(*retry_after))]
    TooMany {
        /// When the next attempt may succeed.
        retry_after: Duration,
    },

    /// It could not be found out.
    #[error("the log-in could not be checked")]
    Database(#[from] AccountsError),
}

impl From<migrations::DbError> for LogInError {
    fn from(error: migrations::DbError) -> Self {
        Self::Database(error.into())
    }
}

impl From<tokio_postgres::Error> for LogInError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// What [`sweep`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sessions that were over.
    pub sessions: u64,
    /// Counts of wrong passwords that hold no longer.
    pub failures: u64,
}

/// Begins a session for whoever knows the name and its password. `address` is where the request came from, as the
/// server saw it: wrong passwords are counted by name and address.
///
/// # Errors
/// Name or password is wrong, there were too many attempts, or it could not be found out.
pub async fn log_in(
    db: &Database,
    name: &str,
    password: &str,
    address: &str,
    now: Timestamp,
) -> Result<(SessionSecret, User), LogInError> {
    let now = micros(now);
    // Neither can ever be right, whoever is registered: not worth any work.
    let Some(name) = UserName::typed(name) else { return Err(LogInError::Wrong) };
    if password::MAX_BYTES < password.len() {
        return Err(LogInError::Wrong);
    }
    let place = PASSWORDS.enter().ok_or(LogInError::TooMany { retry_after: BUSY_RETRY_AFTER })?;
    let address = throttle::key(address);
    let (candidate, failures) = charge_and_look_up(db, &name, &address, now).await?;
    let stored = candidate.as_ref().map(|(_, password_hash)| password_hash.as_str());
    let is_right = password::is_right(place, password, stored).await?;
    let refused = || {
        if failures == WRONG_MAX {
            tracing::warn!(user = %name, %address, "too many wrong passwords: log-in is closed for a while");
        }
        LogInError::Wrong
    };
    match candidate {
        Some((user, password_hash)) if is_right && user.disabled_at.is_none() => {
            let secret = begin_session(db, &user, &password_hash, &address, now).await?;
            Ok((secret.ok_or_else(refused)?, user))
        }
        _ => Err(refused()),
    }
}

/// Who has this session, if it is one and not over. One query, and at most one write a minute.
///
/// # Errors
/// The database failed.
pub async fn find(db: &Database, secret: &str, now: Timestamp) -> Result<Option<Principal>, AccountsError> {
    let Some(digest) = SessionSecret::digest_of(secret) else { return Ok(None) };
    let now = micros(now);
    let (idle_since, touched_before) = (now - IDLE, now - TOUCH_INTERVAL);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::SESSION_FIND).await?;
    let row = transaction.query_opt(&statement, &[&&digest[..], &now, &idle_since, &touched_before]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get("is_to_touch")? {
        let statement = transaction.prepare_cached(sql::SESSION_TOUCH).await?;
        transaction.execute(&statement, &[&&digest[..], &now, &touched_before]).await?;
        transaction.commit().await?;
    }
    Ok(Some(Principal::new(user::from_row(&row)?, true)))
}

/// Ends a session. Whatever is no session, or none any more, is ended already.
///
/// # Errors
/// The database failed.
pub async fn log_out(db: &Database, secret: &str) -> Result<(), AccountsError> {
    let Some(digest) = SessionSecret::digest_of(secret) else { return Ok(()) };
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::SESSION_DELETE).await?;
    transaction.execute(&statement, &[&&digest[..]]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Ends all sessions of a user and says how many there were.
///
/// # Errors
/// The database failed.
pub async fn log_out_everywhere(db: &Database, user_id: UserId) -> Result<u64, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::SESSION_DELETE_OF_USER).await?;
    let ended = transaction.execute(&statement, &[&user_id.uuid()]).await?;
    transaction.commit().await?;
    Ok(ended)
}

/// Removes what is over: a job for every hour or so. Nothing depends on it but the size of the tables.
///
/// # Errors
/// The database failed.
pub async fn sweep(db: &Database, now: Timestamp) -> Result<Swept, AccountsError> {
    let now = micros(now);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::SESSION_SWEEP).await?;
    let sessions = transaction.execute(&statement, &[&now, &(now - IDLE)]).await?;
    let statement = transaction.prepare_cached(sql::FAILURE_SWEEP).await?;
    let failures = transaction.execute(&statement, &[&(now - throttle::WINDOW)]).await?;
    transaction.commit().await?;
    Ok(Swept { sessions, failures })
}

/// Counts the attempt and looks the name up: the user with its password's hash, if there is one. The same statements
/// run for every name.
async fn charge_and_look_up(
    db: &Database,
    name: &UserName,
    address: &str,
    now: Timestamp,
) -> Result<(Option<(User, String)>, i32), LogInError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let failures = match throttle::charge(&transaction, name, address, now).await? {
        Charge::Counted(failures) => failures,
        Charge::TooMany { retry_after } => return Err(LogInError::TooMany { retry_after }),
    };
    let statement = transaction.prepare_cached(sql::USER_TO_LOG_IN).await?;
    let row = transaction.query_opt(&statement, &[&name.as_str()]).await?;
    // The count must stand, whatever the row holds.
    transaction.commit().await?;
    let candidate = match row {
        Some(row) => Some((user::from_row(&row)?, row.try_get("password_hash")?)),
        None => None,
    };
    Ok((candidate, failures))
}

/// `None`: the user was disabled or got another password meanwhile.
async fn begin_session(
    db: &Database,
    user: &User,
    password_hash: &str,
    address: &str,
    now: Timestamp,
) -> Result<Option<SessionSecret>, LogInError> {
    let secret = SessionSecret::random()?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::SESSION_INSERT).await?;
    let begun = transaction
        .execute(
            &statement,
            &[&&secret.digest()[..], &user.id.uuid(), &password_hash, &now, &(now + ABSOLUTE)],
        )
        .await?;
    if begun == 0 {
        return Ok(None);
    }
    throttle::clear(&transaction, &user.name, address).await?;
    transaction.commit().await?;
    Ok(Some(secret))
}

/// Whole seconds, rounded up: whoever comes back then is let in.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(0 < duration.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use migrations::testing::{TestDatabase, database};
    use tokio::sync::{Mutex, MutexGuard};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::role::Role;
    use crate::users::{self, NewUser};

    const RIGHT: &str = "a right password";

    /// One test at a time holds the gate: two that hold half of it each would wait for ever.
    static HOLDING: Mutex<()> = Mutex::const_new(());

    /// Both places of the gate, taken until this is dropped.
    struct Held {
        _alone: MutexGuard<'static, ()>,
        _until: Vec<mpsc::Sender<()>>,
    }

    async fn hold_the_gate() -> Held {
        let alone = HOLDING.lock().await;
        let mut until = Vec::new();
        for _ in 0..2 {
            let (sender, receiver) = mpsc::channel::<()>();
            let (started, has_started) = tokio::sync::oneshot::channel();
            tokio::spawn(PASSWORDS.enter_anyway().run(move || {
                let _ = started.send(());
                let _ = receiver.recv();
            }));
            has_started.await.unwrap();
            until.push(sender);
        }
        Held { _alone: alone, _until: until }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    async fn user(db: &TestDatabase, name: &str) -> User {
        let name = UserName::new(name).unwrap();
        let new = NewUser { name, display_name: "A", role: Role::Provider, tenant: None, password: RIGHT };
        users::create(db, &new, at(0)).await.unwrap()
    }

    fn knock(
        db: &TestDatabase,
        name: &'static str,
        address: &'static str,
    ) -> JoinHandle<Result<(SessionSecret, User), LogInError>> {
        let db = db.database();
        tokio::spawn(async move { log_in(&db, name, RIGHT, address, at(1)).await })
    }

    /// Until so many attempts have been counted, and would have been answered if they did not have to wait.
    async fn counted(db: &TestDatabase, attempts: i64) {
        let owner = db.owner_client().await;
        let query = "SELECT COALESCE(sum(failures), 0)::bigint AS attempts FROM login_failure";
        while owner.query_one(query, &[]).await.unwrap().get::<_, i64>("attempts") < attempts {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    #[tokio::test]
    async fn ten_log_ins_at_once_wait_for_their_turn_at_the_hash_and_all_get_in() {
        let db = database().await;
        user(&db, "ann").await;
        let held = hold_the_gate().await;
        let all: Vec<_> = (0..10).map(|_| knock(&db, "ann", "192.0.2.1")).collect();
        counted(&db, 10).await;
        assert!(all.iter().all(|one| !one.is_finished()), "a password was checked beside the gate");
        drop(held);
        for one in all {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn an_unknown_name_waits_for_its_turn_at_the_hash_like_any_other() {
        let db = database().await;
        user(&db, "ann").await;
        let gone = user(&db, "gone").await;
        users::disable(&db, gone.id, at(0)).await.unwrap();
        let held = hold_the_gate().await;
        let all: Vec<_> = ["ann", "nobody", "gone"].map(|name| knock(&db, name, "192.0.2.1")).into();
        counted(&db, 3).await;
        assert!(
            all.iter().all(|one| !one.is_finished()),
            "somebody was answered without a look at the password"
        );
        drop(held);
        let mut wrong = 0;
        for one in all {
            wrong += usize::from(matches!(one.await.unwrap(), Err(LogInError::Wrong)));
        }
        assert_eq!(wrong, 2);
    }

    #[tokio::test]
    async fn whoever_is_disabled_or_gets_a_new_password_while_the_old_one_is_checked_stays_out() {
        for change in ["disabled_at = now()", "password_hash = '$argon2id$another'"] {
            let db = database().await;
            let ann = user(&db, "ann").await;
            let held = hold_the_gate().await;
            let late = knock(&db, "ann", "192.0.2.1");
            counted(&db, 1).await;
            let owner = db.owner_client().await;
            owner.execute(&format!("UPDATE user_account SET {change}"), &[]).await.unwrap();
            drop(held);
            assert!(matches!(late.await.unwrap(), Err(LogInError::Wrong)), "{change}");
            assert_eq!(log_out_everywhere(&db, ann.id).await.unwrap(), 0, "{change}");
        }
    }
}
