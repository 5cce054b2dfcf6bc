//! Invoices: what they look like to the outside.

pub mod document;
pub mod sample;
