//! An invoice in one of its forms: which renderer, and what the bytes are. The rendering is `reports`'.

use anyhow::Result;
use billing::InvoiceDocument;

use crate::cli::args::DocumentFormat;

/// A document's bytes and what they are.
///
/// # Errors
/// It cannot be rendered.
pub fn render(invoice: &InvoiceDocument, format: DocumentFormat) -> Result<(Vec<u8>, &'static str)> {
    Ok(match format {
        DocumentFormat::Pdf => (reports::invoice_pdf(invoice)?, "application/pdf"),
        DocumentFormat::Html => (reports::invoice_html(invoice)?.into_bytes(), "text/html; charset=utf-8"),
        DocumentFormat::Json => (reports::invoice_json(invoice)?.into_bytes(), "application/json"),
    })
}
