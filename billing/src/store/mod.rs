//! Plans, invoices, drafts, quotas and budgets in PostgreSQL, and every SQL statement of this crate.

pub mod budgets;
pub mod drafts;
pub mod effective;
pub mod empty_periods;
pub mod exchange_rates;
pub mod invoice_page;
pub mod invoice_sql;
pub(crate) mod invoice_write;
pub mod invoices;
pub(crate) mod outbox;
pub mod plans;
pub mod quotas;
pub mod rechecks;
pub mod revisions;
pub mod runs;
pub mod sql;
pub mod tax_tables;
pub mod terms;
pub mod waiting;

/// For errors with a variant `Store(StoreError)`: how a failure of the database becomes one, and whether it passes.
macro_rules! fails_like_the_store {
    ($($error:ty),+) => {$(
        impl $error {
            /// Whether the same call may succeed when it is made again: the connection was lost, or the server
            /// restarts.
            #[must_use]
            pub fn is_transient(&self) -> bool {
                matches!(self, Self::Store(error) if error.is_transient())
            }
        }

        impl From<migrations::DbError> for $error {
            fn from(error: migrations::DbError) -> Self {
                Self::Store(error.into())
            }
        }

        impl From<tokio_postgres::Error> for $error {
            fn from(error: tokio_postgres::Error) -> Self {
                Self::Store(error.into())
            }
        }
    )+};
}

fails_like_the_store!(
    crate::account::SetError,
    exchange_rates::LoadError,
    plans::ReplaceError,
    crate::books::dunning::HoldError,
    crate::books::payments::PaymentError,
    crate::books::statement::StatementError,
    crate::budget::NoteError,
    crate::budget::SetError,
    crate::invoice::correct::CorrectError,
    crate::invoice::issue::IssueError,
    crate::invoice::lifecycle::StepError,
    crate::limits::allowances::SetError,
    crate::quota::QuotaError,
    crate::quota::SetError
);
