//! API tokens: secrets for programs, each with a name, on behalf of a user. It does NOT know HTTP headers.

use std::fmt;

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::AccountsError;
use crate::secret::TokenSecret;
use crate::sessions::TOUCH_INTERVAL;
use crate::sql;
use crate::user::{self, Principal, UserId};

/// The longest name of a token, in characters: one line of a list.
pub const NAME_MAX: usize = 100;

/// How many tokens in force one user may have: more than anybody keeps track of.
pub const LIVE_MAX: i64 = 100;

/// The most tokens that one list holds: those in force, and the latest of the dead.
pub const LISTED_MAX: u32 = 1_000;

/// A token's identity, which is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(Uuid);

/// A token as its owner sees it in a list: without its secret, which nobody has any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What its owner called it.
    pub name: String,
    /// The first characters of its secret, to tell it from others.
    pub prefix: String,
    /// Whether it may change anything. A planner's never may, whatever it says here.
    pub may_write: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; `None`: not.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// On whose behalf.
    pub user_id: UserId,
    /// What its owner calls it: 1 to 100 characters.
    pub name: &'a str,
    /// Whether it may change anything.
    pub may_write: bool,
    /// When it ends by itself; `None`: not.
    pub expires_at: Option<Timestamp>,
}

impl TokenId {
    /// Wraps an id that is known already.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The plain UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for TokenId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Token {
    /// Whether it opens anything at `now` (as far as its user is not disabled).
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// Makes a token. Its secret is in the answer and nowhere else.
///
/// # Errors
/// There is no such user or it is disabled; the name or the time is refused; the user has too many; or the database
/// fails.
pub async fn create(
    db: &Database,
    new: &NewToken<'_>,
    now: Timestamp,
) -> Result<(TokenSecret, Token), AccountsError> {
    let (now, expires_at) = (micros(now), new.expires_at.map(micros));
    if !user::is_label(new.name, NAME_MAX) {
        return Err(AccountsError::TokenName);
    }
    if let Some(at) = expires_at.filter(|at| *at <= now) {
        return Err(AccountsError::ExpiresInThePast { at });
    }
    let secret = TokenSecret::random()?;
    let token = Token {
        id: TokenId(Uuid::now_v7()),
        name: new.name.to_owned(),
        prefix: secret.shown(),
        may_write: new.may_write,
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let user_id = new.user_id.uuid();
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_LOCK).await?;
    transaction.query_opt(&statement, &[&user_id]).await?.ok_or(AccountsError::NoUser)?;
    let statement = transaction.prepare_cached(sql::TOKEN_COUNT).await?;
    if LIVE_MAX <= transaction.query_one(&statement, &[&user_id, &now]).await?.try_get("live")? {
        return Err(AccountsError::TooManyTokens);
    }
    let statement = transaction.prepare_cached(sql::TOKEN_INSERT).await?;
    transaction
        .execute(
            &statement,
            &[
                &token.id.0,
                &user_id,
                &token.name,
                &token.prefix,
                &&secret.digest()[..],
                &token.may_write,
                &token.created_at,
                &token.expires_at,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok((secret, token))
}

/// The tokens of a user, the newest first, dead ones too, at most [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn list(db: &Database, user_id: UserId) -> Result<Vec<Token>, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_LIST).await?;
    let rows = transaction.query(&statement, &[&user_id.uuid(), &i64::from(LISTED_MAX)]).await?;
    rows.iter().map(from_row).collect()
}

/// Ends a token of that user's at once. `false`: the user has no such token, or it was revoked already.
///
/// # Errors
/// The database failed.
pub async fn revoke(
    db: &Database,
    user_id: UserId,
    token_id: TokenId,
    now: Timestamp,
) -> Result<bool, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_REVOKE).await?;
    let revoked = transaction.execute(&statement, &[&token_id.0, &user_id.uuid(), &micros(now)]).await?;
    transaction.commit().await?;
    Ok(0 < revoked)
}

/// On whose behalf a program asks, if this is a token in force. One query, and at most one write a minute.
///
/// # Errors
/// The database failed.
pub async fn authenticate(
    db: &Database,
    secret: &str,
    now: Timestamp,
) -> Result<Option<Principal>, AccountsError> {
    let Some(digest) = TokenSecret::digest_of(secret) else { return Ok(None) };
    let now = micros(now);
    let touched_before = now - TOUCH_INTERVAL;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_FIND).await?;
    let row = transaction.query_opt(&statement, &[&&digest[..], &now, &touched_before]).await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get("is_to_touch")? {
        let statement = transaction.prepare_cached(sql::TOKEN_TOUCH).await?;
        transaction.execute(&statement, &[&&digest[..], &now, &touched_before]).await?;
        transaction.commit().await?;
    }
    Ok(Some(Principal::new(user::from_row(&row)?, row.try_get("may_write")?)))
}

fn from_row(row: &Row) -> Result<Token, AccountsError> {
    Ok(Token {
        id: TokenId(row.try_get("token_id")?),
        name: row.try_get("name")?,
        prefix: row.try_get("prefix")?,
        may_write: row.try_get("may_write")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
