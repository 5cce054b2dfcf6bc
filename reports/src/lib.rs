#![doc = include_str!("../README.md")]

mod figures;
mod invoice;
mod pdf;
mod text;
mod times;
mod view;

pub use invoice::{ReportError, invoice_html, invoice_json, invoice_pdf};
