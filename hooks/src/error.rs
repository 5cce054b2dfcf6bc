//! What can go wrong with endpoints and deliveries. What receivers do is no error: it is written down.

use migrations::DbError;

use crate::guard::UrlError;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The address cannot be an endpoint's.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A text is too long, or there is none where one is needed.
    #[error("{0}")]
    Invalid(String),
    /// There are as many as there may be.
    #[error("there are {0} endpoints already, which is the most; remove one that is not needed")]
    TooMany(i64),
    /// There is no such endpoint, or none that the caller may see.
    #[error("there is no such webhook endpoint")]
    NoEndpoint,
    /// There is no such event, or none that the endpoint may hear of.
    #[error(
        "there is no such event for this endpoint; events are kept for {} days",
        crate::deliveries::KEPT_DAYS
    )]
    NoEvent,
    /// Somebody else changed it since it was read.
    #[error(
        "the endpoint was changed meanwhile: it is at revision {current} now; read it again and decide anew"
    )]
    Changed {
        /// Its revision now.
        current: u64,
    },
    /// The machine gives no random bytes.
    #[error("no secret can be made: the machine gives no random bytes")]
    Random(#[source] getrandom::Error),
    /// A row holds what this version cannot read.
    #[error("a stored webhook secret cannot be read; rotate it: weir webhook rotate")]
    BadSecret,
    /// The database failed.
    #[error("the database could not do it")]
    Database(#[from] DbError),
}

impl From<tokio_postgres::Error> for HookError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}
