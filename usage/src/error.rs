//! What can go wrong between usage and its database. It does NOT cover what a person asked for wrongly
//! ([`crate::registry::RegistryError`]) or what a node sent wrongly ([`crate::IngestError`]).

use migrations::DbError;

/// A failure that is nobody's input. Displays are fragments without their source; log the chain.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The database, or the way to it.
    #[error("the database did not do its part")]
    Database(#[source] DbError),

    /// A row holds what this release cannot have written.
    #[error("{column} of {table} cannot be {value}: the row was not written by this release of Weir")]
    Corrupt {
        /// In which table or view.
        table: &'static str,
        /// In which column.
        column: &'static str,
        /// What was found.
        value: String,
    },
}

impl UsageError {
    /// Whether the same work, done again, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(source) if source.is_transient())
    }
}

impl From<DbError> for UsageError {
    fn from(source: DbError) -> Self {
        Self::Database(source)
    }
}

impl From<tokio_postgres::Error> for UsageError {
    fn from(source: tokio_postgres::Error) -> Self {
        Self::Database(DbError::Query(source))
    }
}

/// A whole number that the schema keeps at zero or above.
pub(crate) fn unsigned(table: &'static str, column: &'static str, value: i64) -> Result<u64, UsageError> {
    u64::try_from(value).map_err(|_| UsageError::Corrupt { table, column, value: value.to_string() })
}
