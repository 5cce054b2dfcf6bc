//! Plans and invoices in PostgreSQL, and every SQL statement of this crate.

pub mod invoices;
pub mod plans;
pub mod sql;
