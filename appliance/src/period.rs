//! From the period that was asked for to a window, and a tenant's zone: one way for `weir rate` and for invoices.

use anyhow::{Context, Result, bail};
use billing::period;
use jiff::tz::TimeZone;
use metering::Window;
use usage::registry::Tenant;

use crate::cli::args::PeriodArguments;
use crate::control::request::PeriodRequest;

/// The zone in which a tenant's months begin.
///
/// # Errors
/// It is not known to this machine.
pub fn zone_of(tenant: &Tenant) -> Result<TimeZone> {
    TimeZone::get(&tenant.time_zone).context("the tenant's time zone is not known to this machine")
}

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

/// The period that was asked for.
///
/// # Errors
/// Neither a month nor both ends; clap lets neither through.
pub fn asked(arguments: &PeriodArguments) -> Result<PeriodRequest> {
    match (&arguments.period, &arguments.from, &arguments.to) {
        (Some(month), _, _) => Ok(PeriodRequest::Month(month.clone())),
        (None, Some(from), Some(to)) => Ok(PeriodRequest::Span { from: from.clone(), to: to.clone() }),
        _ => bail!("say which time: --period 2026-10, or --from and --to"),
    }
}
