//! Invoices: their outward form, drafts of them, issuing, and what becomes of them. Reading them back is [`crate::invoices`].

pub mod compare;
pub mod correct;
pub mod document;
pub mod draft;
pub mod issue;
pub mod lifecycle;
pub mod sample;
mod sample_rated;
pub mod series;
