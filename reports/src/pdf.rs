//! An invoice's view as PDF, through typst.
//!
//! It does not decide what is shown (`view` does) nor where (`templates/invoice.typ` does). It looks up no
//! system font and reads no clock, so the same view makes the same bytes on every machine.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::Offset;
use typst::foundations::{Bytes, Datetime, Dict, IntoValue, Smart};
use typst_as_lib::typst_kit_options::TypstKitFontOptions;
use typst_as_lib::{TypstEngine, TypstTemplateMainFile};
use typst_pdf::{PdfOptions, Timestamp as PdfTimestamp};

use crate::ReportError;
use crate::view::InvoiceView;

static TEMPLATE: &str = include_str!("../templates/invoice.typ");

/// Fonts are parsed once per process.
static ENGINE: LazyLock<TypstEngine<TypstTemplateMainFile>> = LazyLock::new(|| {
    let fonts = TypstKitFontOptions::new().include_system_fonts(false).include_embedded_fonts(true);
    TypstEngine::builder().main_file(TEMPLATE).search_fonts_with(fonts).build()
});

/// Typesets `view`.
pub(crate) fn render(view: &InvoiceView) -> Result<Vec<u8>, ReportError> {
    let mut inputs = Dict::new();
    inputs.insert(
        "invoice".into(),
        Bytes::new(serde_json::to_vec(view).map_err(ReportError::Json)?).into_value(),
    );
    let document =
        ENGINE.compile_with_input(inputs).output.map_err(|error| ReportError::Typeset(error.to_string()))?;
    let options = PdfOptions {
        ident: Smart::Custom(view.identity.clone()),
        creator: Smart::Custom(Some("Weir".to_owned())),
        timestamp: view.issued_at.and_then(created),
        ..PdfOptions::default()
    };
    typst_pdf::pdf(&document, &options).map_err(|errors| ReportError::Typeset(format!("{errors:?}")))
}

/// The document's date. It is taken from the invoice and not from a clock.
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
