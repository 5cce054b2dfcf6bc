//! Join tokens as the control plane keeps them: made, listed, revoked. Only the hash of a token's secret is stored. It
//! does NOT redeem them ([`crate::certificates::join`]).

use std::time::Duration;

use jiff::Timestamp;
use metering::micros;
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::authority::later;
use crate::error::{NodesError, shown};
use crate::registry::check_name;
use crate::sql;
use crate::token::JoinToken;

/// How long a token lives unless its maker says otherwise: long enough to log in to a machine and install Weir.
pub const LIFE: Duration = Duration::from_secs(3_600);
/// ... and at most: what lies around longer is found by somebody else.
pub const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// ... and at least: shorter and nobody can type it in time.
pub const LIFE_MIN: Duration = Duration::from_secs(60);
/// The most that a list holds.
pub const LISTED_MAX: i64 = 200;
/// Tokens that nobody used are forgotten after this time: until then the list tells what became of them.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A token to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The only name that a node may join under with it; `None`: any.
    pub node_name: Option<String>,
    /// How long it lives.
    pub life: Duration,
}

/// A token as its maker sees it later: without its secret, which nobody has any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub token_id: Uuid,
    /// The name that it is bound to.
    pub node_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When a node joined with it.
    pub used_at: Option<Timestamp>,
    /// Which.
    pub used_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// In one word: "open", "used", "revoked" or "expired".
    #[must_use]
    pub fn state(&self, now: Timestamp) -> &'static str {
        match self {
            Self { used_at: Some(_), .. } => "used",
            Self { revoked_at: Some(_), .. } => "revoked",
            _ if self.expires_at <= now => "expired",
            _ => "open",
        }
    }
}

/// Makes a token. Its text is in the answer and nowhere else.
///
/// # Errors
/// Its life or the name is refused, or the database fails.
pub async fn create(
    db: &Database,
    new: &NewToken,
    authority: [u8; 32],
    now: Timestamp,
) -> Result<(JoinToken, Token), NodesError> {
    if new.life < LIFE_MIN || LIFE_MAX < new.life {
        return Err(NodesError::TokenLife);
    }
    if let Some(name) = &new.node_name {
        check_name(name)?;
    }
    let secret = JoinToken::generate(authority)?;
    let now = micros(now);
    let token = Token {
        token_id: Uuid::now_v7(),
        node_name: new.node_name.clone(),
        created_at: now,
        expires_at: later(now, new.life),
        used_at: None,
        used_by: None,
        revoked_at: None,
    };
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let forgotten = now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
    let statement = transaction.prepare_cached(sql::TOKEN_SWEEP).await?;
    transaction.execute(&statement, &[&forgotten]).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_ADD).await?;
    let digest = secret.digest();
    let (hash, name) = (digest.as_slice(), &token.node_name);
    transaction
        .execute(&statement, &[&token.token_id, &hash, name, &token.created_at, &token.expires_at])
        .await?;
    transaction.commit().await?;
    Ok((secret, token))
}

/// The tokens, the latest first.
///
/// # Errors
/// The database fails.
pub async fn list(db: &Database) -> Result<Vec<Token>, NodesError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_LIST).await?;
    let mut tokens = Vec::new();
    for row in transaction.query(&statement, &[&LISTED_MAX]).await? {
        tokens.push(Token {
            token_id: row.try_get("token_id")?,
            node_name: row.try_get("node_name")?,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            used_at: row.try_get("used_at")?,
            used_by: row.try_get("used_by")?,
            revoked_at: row.try_get("revoked_at")?,
        });
    }
    Ok(tokens)
}

/// Revokes a token that was not used.
///
/// # Errors
/// There is none with that id, or the database fails.
pub async fn revoke(db: &Database, token_id: &str, now: Timestamp) -> Result<(), NodesError> {
    let unknown = || NodesError::NoSuchToken { asked: shown(token_id) };
    let token_id: Uuid = token_id.parse().map_err(|_| unknown())?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_REVOKE).await?;
    if transaction.execute(&statement, &[&token_id, &micros(now)]).await? == 0 {
        return Err(unknown());
    }
    transaction.commit().await?;
    Ok(())
}
