#![doc = include_str!("../README.md")]

pub mod capacity;
pub mod charts;
pub mod figures;
mod invoice;
mod pdf;
mod statement;
mod text;
pub mod times;
mod view;
mod words;

pub use invoice::{LineLink, ReportError, invoice_html, invoice_html_with, invoice_json, invoice_pdf};
pub use statement::{StatementDocument, statement_pdf};
pub use words::{document_title, exchange_rate, full_title, line_label, remarks};
