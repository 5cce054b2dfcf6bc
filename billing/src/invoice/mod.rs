//! Invoices: their outward form, drafts of them, and issuing. Reading them back is [`crate::invoices`].

pub mod document;
pub mod draft;
pub mod issue;
pub mod sample;
