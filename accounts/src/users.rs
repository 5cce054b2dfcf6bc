//! Users in the database: creating, finding, listing, new passwords, disabling. It does NOT decide who may do so: the
//! caller does. Users are never deleted, so that it can always be said who somebody was.

use std::fmt;

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::error::AccountsError;
use crate::password;
use crate::role::Role;
use crate::sql;
use crate::user::{self, LABEL_MAX, User, UserId, UserName};

/// The most users that one list holds: far more than a provider has, little enough to hold in memory.
pub const LISTED_MAX: u32 = 10_000;

/// A user to be.
#[derive(Clone)]
pub struct NewUser<'a> {
    /// The name under which it logs in.
    pub name: UserName,
    /// Its name on pages: 1 to 200 characters.
    pub display_name: &'a str,
    /// What it may do.
    pub role: Role,
    /// Whose user it is: for [`Role::Tenant`], and only then.
    pub tenant: Option<TenantId>,
    /// Its password, in clear; see [`password::check_new`].
    pub password: &'a str,
}

impl fmt::Debug for NewUser<'_> {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser")
            .field("name", &self.name)
            .field("display_name", &self.display_name)
            .field("role", &self.role)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// Creates a user.
///
/// # Errors
/// The name is taken; the display name, the password or the tenant is refused; or the database fails.
pub async fn create(db: &Database, new: &NewUser<'_>, now: Timestamp) -> Result<User, AccountsError> {
    if !user::is_label(new.display_name, LABEL_MAX) {
        return Err(AccountsError::DisplayName);
    }
    let tenant_id = match (new.role, new.tenant) {
        (Role::Tenant, None) => return Err(AccountsError::TenantMissing),
        (Role::Tenant, Some(TenantId::UNASSIGNED)) => return Err(AccountsError::NoTenant),
        (Role::Tenant, Some(tenant_id)) => tenant_id,
        (Role::Provider | Role::Planner, None) => TenantId::UNASSIGNED,
        (Role::Provider | Role::Planner, Some(_)) => return Err(AccountsError::TenantUnwanted),
    };
    password::check_new(&new.name, new.password)?;
    let password_hash = password::hash(new.password).await?;
    let user_id = Uuid::now_v7();
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_INSERT).await?;
    let inserted = transaction
        .execute(
            &statement,
            &[
                &user_id,
                &new.name.as_str(),
                &new.display_name,
                &new.role.as_str(),
                &tenant_id.uuid(),
                &password_hash,
                &micros(now),
            ],
        )
        .await;
    match inserted.as_ref().map_err(tokio_postgres::Error::code) {
        Err(Some(&SqlState::UNIQUE_VIOLATION)) => {
            return Err(AccountsError::UserExists { name: new.name.to_string() });
        }
        Err(Some(&SqlState::FOREIGN_KEY_VIOLATION)) => return Err(AccountsError::NoTenant),
        _ => inserted?,
    };
    let statement = transaction.prepare_cached(sql::USER_GET).await?;
    let created = user::from_row(&transaction.query_one(&statement, &[&user_id]).await?)?;
    transaction.commit().await?;
    tracing::info!(user = %created.name, role = %created.role, "user created");
    Ok(created)
}

/// The user of that name.
///
/// # Errors
/// The database failed.
pub async fn find(db: &Database, name: &str) -> Result<Option<User>, AccountsError> {
    // Whatever is no name is nobody's.
    let Ok(name) = UserName::new(name) else { return Ok(None) };
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_FIND).await?;
    let row = transaction.query_opt(&statement, &[&name.as_str()]).await?;
    row.as_ref().map(user::from_row).transpose()
}

/// The user of that id.
///
/// # Errors
/// The database failed.
pub async fn get(db: &Database, user_id: UserId) -> Result<Option<User>, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_GET).await?;
    let row = transaction.query_opt(&statement, &[&user_id.uuid()]).await?;
    row.as_ref().map(user::from_row).transpose()
}

/// All users by name, disabled ones too, at most [`LISTED_MAX`].
///
/// # Errors
/// The database failed.
pub async fn list(db: &Database) -> Result<Vec<User>, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_LIST).await?;
    let rows = transaction.query(&statement, &[&i64::from(LISTED_MAX)]).await?;
    rows.iter().map(user::from_row).collect()
}

/// Whether there is any user yet: without one, nobody can log in.
///
/// # Errors
/// The database failed.
pub async fn any_exist(db: &Database) -> Result<bool, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_ANY).await?;
    Ok(transaction.query_one(&statement, &[]).await?.try_get("any_exist")?)
}

/// Gives a user a new password. All its sessions end, and wrong passwords are forgotten. API tokens stay: they are
/// other secrets, each of which can be revoked.
///
/// # Errors
/// There is no such user, the password is refused, or the database fails.
pub async fn set_password(
    db: &Database,
    user_id: UserId,
    password: &str,
    now: Timestamp,
) -> Result<(), AccountsError> {
    let user = get(db, user_id).await?.ok_or(AccountsError::NoUser)?;
    password::check_new(&user.name, password)?;
    let password_hash = password::hash(password).await?;
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    // First the password, then the sessions: see session_insert.sql.
    let statement = transaction.prepare_cached(sql::USER_SET_PASSWORD).await?;
    transaction
        .query_opt(&statement, &[&user_id.uuid(), &password_hash, &micros(now)])
        .await?
        .ok_or(AccountsError::NoUser)?;
    let statement = transaction.prepare_cached(sql::SESSION_DELETE_OF_USER).await?;
    transaction.execute(&statement, &[&user_id.uuid()]).await?;
    let statement = transaction.prepare_cached(sql::FAILURE_CLEAR_NAME).await?;
    transaction.execute(&statement, &[&user.name.as_str()]).await?;
    transaction.commit().await?;
    tracing::info!(user = %user.name, "password changed, sessions ended");
    Ok(())
}

/// Shuts a user out at once: sessions end, API tokens are revoked. `false`: there is no such user, or it is disabled
/// already.
///
/// # Errors
/// The database failed.
pub async fn disable(db: &Database, user_id: UserId, now: Timestamp) -> Result<bool, AccountsError> {
    let now = micros(now);
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_DISABLE).await?;
    if transaction.execute(&statement, &[&user_id.uuid(), &now]).await? == 0 {
        return Ok(false);
    }
    let statement = transaction.prepare_cached(sql::SESSION_DELETE_OF_USER).await?;
    transaction.execute(&statement, &[&user_id.uuid()]).await?;
    let statement = transaction.prepare_cached(sql::TOKEN_REVOKE_OF_USER).await?;
    transaction.execute(&statement, &[&user_id.uuid(), &now]).await?;
    transaction.commit().await?;
    tracing::info!(%user_id, "user disabled, sessions and tokens ended");
    Ok(true)
}

/// Lets a disabled user log in again, with its old password and without its old tokens. `false`: there is no such
/// user, or it is not disabled.
///
/// # Errors
/// The database failed.
pub async fn enable(db: &Database, user_id: UserId) -> Result<bool, AccountsError> {
    let mut session = db.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let statement = transaction.prepare_cached(sql::USER_ENABLE).await?;
    let enabled = transaction.execute(&statement, &[&user_id.uuid()]).await?;
    transaction.commit().await?;
    Ok(0 < enabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_in_debug_output() {
        let new = NewUser {
            name: UserName::new("ann").unwrap(),
            display_name: "Ann",
            role: Role::Provider,
            tenant: None,
            password: "open sesame, please",
        };
        assert!(!format!("{new:?}").contains("sesame"));
    }
}
