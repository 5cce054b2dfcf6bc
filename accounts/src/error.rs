//! What can go wrong with accounts. The texts are for the person who asked; none of them repeats a secret. Refused
//! log-ins are [`crate::sessions::LogInError`].

use migrations::DbError;

use crate::password;
use crate::tokens;
use crate::user::{InvalidUserName, LABEL_MAX};

/// Why something about users, sessions or tokens was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The name breaks the rule for names.
    #[error(transparent)]
    Name(#[from] InvalidUserName),

    /// The name is taken.
    #[error("there is a user {name} already: choose another name")]
    UserExists {
        /// The name.
        name: String,
    },

    /// The display name cannot be shown.
    #[error(
        "a display name has 1 to {max} characters, without control characters or marks of writing direction",
        max = LABEL_MAX
    )]
    DisplayName,

    /// The name of a token cannot be shown.
    #[error(
        "a token's name has 1 to {max} characters, without control characters or marks of writing direction",
        max = tokens::NAME_MAX
    )]
    TokenName,

    /// Too short to withstand guessing.
    #[error("a password has at least {min} characters, this one has {found}: a few words in a row are easy to keep", min = password::MIN_CHARACTERS)]
    PasswordTooShort {
        /// Its length, in characters.
        found: usize,
    },

    /// Longer than what is hashed.
    #[error("a password has at most {max} bytes, this one has {found}: use a shorter one", max = password::MAX_BYTES)]
    PasswordTooLong {
        /// Its length, in bytes.
        found: usize,
    },

    /// The first password that anybody would try.
    #[error("the password is the user's name: choose another one")]
    PasswordIsName,

    /// A tenant's user without a tenant.
    #[error("a user with the role tenant belongs to a tenant: say which")]
    TenantMissing,

    /// A tenant for a user of the provider's.
    #[error("only users with the role tenant belong to a tenant: leave the tenant away or choose that role")]
    TenantUnwanted,

    /// No such tenant.
    #[error("there is no such tenant: `weir tenant list` shows those that there are")]
    NoTenant,

    /// No such user, or one that is disabled and would have to be enabled first.
    #[error("there is no such user, or it is disabled: `weir user list` shows those that there are")]
    NoUser,

    /// The token would be dead already.
    #[error("the token would expire at {at}, which is not in the future: choose a later time")]
    ExpiresInThePast {
        /// When.
        at: jiff::Timestamp,
    },

    /// One user holds too many tokens.
    #[error("this user has {max} tokens in force, more are not allowed: revoke one that is no longer used", max = tokens::LIVE_MAX)]
    TooManyTokens,

    /// The system gave no random bytes.
    #[error("the system has no random bytes to give")]
    Random(#[source] getrandom::Error),

    /// A password could not be hashed. Never a wrong one.
    #[error("the password could not be hashed: {why}")]
    Hashing {
        /// Why.
        why: String,
    },

    /// A row holds what this version of the program cannot read.
    #[error("the stored user {user} cannot be read: its {column} is not one that this version knows")]
    Unreadable {
        /// Whose.
        user: String,
        /// Which column.
        column: &'static str,
    },

    /// The database failed.
    #[error("the database could not do it")]
    Database(#[from] DbError),
}

impl From<tokio_postgres::Error> for AccountsError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}
