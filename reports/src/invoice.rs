//! An invoice as a document: PDF, HTML and JSON with the same figures.
//!
//! It computes nothing that is billed and stores nothing.

use askama::Template;
use billing::InvoiceDocument;

use crate::pdf;
use crate::view::InvoiceView;

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The tenant's time zone is not known here.
    #[error(
        "the time zone {name:?} is not in this machine's database: correct the tenant's zone, or install tzdata"
    )]
    TimeZone {
        /// At most the first 80 characters of it.
        name: String,
        /// What the database said.
        #[source]
        source: jiff::Error,
    },
    /// The document is no JSON.
    #[error("the invoice could not be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The page could not be filled in.
    #[error("the invoice's page could not be filled in")]
    Html(#[source] askama::Error),
    /// typst refused, which is a fault of the template and not of the invoice.
    #[error("the invoice could not be typeset: {0}")]
    Typeset(String),
}

/// The page, with the same view as the PDF.
#[derive(Template)]
#[template(path = "invoice.html")]
struct Page<'a> {
    doc: &'a InvoiceView,
}

/// The invoice on A4. The same document makes the same bytes.
///
/// # Errors
/// The time zone is not known, or typst fails.
pub fn invoice_pdf(document: &InvoiceDocument) -> Result<Vec<u8>, ReportError> {
    pdf::render(&InvoiceView::of(document)?)
}

/// The invoice as one page that needs nothing else: no script, no font, no picture.
///
/// # Errors
/// The time zone is not known.
pub fn invoice_html(document: &InvoiceDocument) -> Result<String, ReportError> {
    let doc = &InvoiceView::of(document)?;
    Page { doc }.render().map_err(ReportError::Html)
}

/// The invoice as JSON, whole and unshortened, indented, its fields in the order of [`InvoiceDocument`].
///
/// # Errors
/// It could not be written, which no known document brings about.
pub fn invoice_json(document: &InvoiceDocument) -> Result<String, ReportError> {
    let mut json = serde_json::to_string_pretty(document).map_err(ReportError::Json)?;
    json.push('\n');
    Ok(json)
}
