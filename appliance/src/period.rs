//! From the period that was asked for to a window: one way for `weir rate` and for invoices.

use anyhow::Result;
use billing::period;
use jiff::tz::TimeZone;
use metering::Window;

use crate::control::request::PeriodRequest;

/// The window of `asked` in `zone`.
///
/// # Errors
/// It is none; the error shows how to write one.
pub fn window(asked: &PeriodRequest, zone: &TimeZone) -> Result<Window> {
    Ok(match asked {
        PeriodRequest::Month(month) => period::month(month, zone)?,
        PeriodRequest::Span { from, to } => period::custom(from, to, zone)?,
    })
}
