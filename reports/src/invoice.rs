//! An invoice as a document: PDF, HTML and JSON with the same figures.
//!
//! It computes nothing that is billed and stores nothing.

use askama::Template;
use billing::InvoiceDocument;

use crate::pdf::{self, About};
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
    #[error("the document could not be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The page could not be filled in.
    #[error("the invoice's page could not be filled in")]
    Html(#[source] askama::Error),
    /// typst refused, which is a fault of the template and not of the document.
    #[error("the document could not be typeset: {0}")]
    Typeset(String),
}

/// The page, with the same view as the PDF.
#[derive(Template)]
#[template(path = "invoice.html")]
struct Page<'a> {
    doc: &'a InvoiceView,
    line_link: Option<LineLink<'a>>,
}

/// Where the line of an index (from 0, in the order of [`InvoiceDocument::lines`]) is explained.
pub type LineLink<'a> = &'a dyn Fn(usize) -> String;

impl Page<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass by reference")]
    /// The address to which a line's title leads; one that could run a script leads nowhere.
    fn link(&self, line: &usize) -> Option<String> {
        let address = self.line_link?(*line);
        is_address_here(&address).then_some(address)
    }
}

/// The invoice on A4. The same document makes the same bytes.
///
/// # Errors
/// The time zone is not known, or typst fails.
pub fn invoice_pdf(document: &InvoiceDocument) -> Result<Vec<u8>, ReportError> {
    let view = InvoiceView::of(document)?;
    let about = About { identity: view.identity.clone(), dated: view.issued_at };
    pdf::render(&pdf::INVOICE, &view, about)
}

/// The invoice as one page that needs nothing else: no script, no font, no picture.
///
/// # Errors
/// The time zone is not known.
pub fn invoice_html(document: &InvoiceDocument) -> Result<String, ReportError> {
    invoice_html_with(document, None)
}

/// The same page, in which each line's title leads to where the line is explained.
///
/// The links are paths of the house that shows the page (`/tenants/..`): what does not begin with one `/` is left out.
///
/// # Errors
/// The time zone is not known.
pub fn invoice_html_with(
    document: &InvoiceDocument,
    line_link: Option<LineLink<'_>>,
) -> Result<String, ReportError> {
    let doc = &InvoiceView::of(document)?;
    Page { doc, line_link }.render().map_err(ReportError::Html)
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

/// A path on the same host: neither `javascript:..` nor `//elsewhere/..`.
fn is_address_here(address: &str) -> bool {
    address.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']))
}
