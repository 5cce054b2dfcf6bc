//! Views as PDF, through typst.
//!
//! It does not decide what is shown (the views do) nor where (`templates/*.typ` do). It looks up no system font and
//! reads no clock, so the same view makes the same bytes on every machine.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;
use typst::foundations::{Bytes, Datetime, Dict, IntoValue, Smart};
use typst_as_lib::typst_kit_options::TypstKitFontOptions;
use typst_as_lib::{TypstEngine, TypstTemplateMainFile};
use typst_pdf::{PdfOptions, Timestamp as PdfTimestamp};

use crate::ReportError;

/// Colours and type, which all documents share.
static LOOK: &str = include_str!("../templates/look.typ");

/// A kind of document. Its fonts are parsed once per process.
pub(crate) struct Template(LazyLock<TypstEngine<TypstTemplateMainFile>>);

/// The template of invoices.
pub(crate) static INVOICE: Template =
    Template(LazyLock::new(|| engine("invoice.typ", include_str!("../templates/invoice.typ"))));

/// The template of statements of account.
pub(crate) static STATEMENT: Template =
    Template(LazyLock::new(|| engine("statement.typ", include_str!("../templates/statement.typ"))));

/// The template of capacity.
pub(crate) static CAPACITY: Template =
    Template(LazyLock::new(|| engine("capacity.typ", include_str!("../templates/capacity.typ"))));

/// What a PDF says of itself.
pub(crate) struct About {
    /// Stable name of the document, of which its identifier is made.
    pub identity: String,
    /// Its date. It is taken from the document and not from a clock.
    pub dated: Option<Timestamp>,
}

/// Typesets `view`, which the template finds as `sys.inputs.view`.
pub(crate) fn render(
    template: &Template,
    view: &impl Serialize,
    about: About,
) -> Result<Vec<u8>, ReportError> {
    let mut inputs = Dict::new();
    let view = serde_json::to_vec(view).map_err(ReportError::Json)?;
    inputs.insert("view".into(), Bytes::new(view).into_value());
    let compiled = template.0.compile_with_input(inputs).output;
    let document = compiled.map_err(|error| ReportError::Typeset(error.to_string()))?;
    let options = PdfOptions {
        ident: Smart::Custom(about.identity),
        creator: Smart::Custom(Some("Weir".to_owned())),
        timestamp: about.dated.and_then(created),
        ..PdfOptions::default()
    };
    typst_pdf::pdf(&document, &options).map_err(|errors| ReportError::Typeset(format!("{errors:?}")))
}

fn engine(path: &'static str, template: &'static str) -> TypstEngine<TypstTemplateMainFile> {
    let fonts = TypstKitFontOptions::new().include_system_fonts(false).include_embedded_fonts(true);
    TypstEngine::builder()
        .main_file((path, template))
        .with_static_source_file_resolver([("look.typ", LOOK)])
        .search_fonts_with(fonts)
        .build()
}

fn created(at: Timestamp) -> Option<PdfTimestamp> {
    let at = Offset::UTC.to_datetime(at);
    let part = |value: i8| u8::try_from(value).ok();
    let datetime = Datetime::from_ymd_hms(
        i32::from(at.year()),
        part(at.month())?,
        part(at.day())?,
        part(at.hour())?,
        part(at.minute())?,
        part(at.second())?,
    )?;
    Some(PdfTimestamp::new_utc(datetime))
}
