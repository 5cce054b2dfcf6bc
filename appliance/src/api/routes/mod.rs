//! The operations, by what they are about, each beside the function that carries it out.

mod accounts;
mod alerts;
mod allowances;
mod api;
mod books;
mod capacity;
mod corrections;
mod dimensions;
mod dunning;
mod instances;
mod invoices;
mod limits;
mod mail;
mod prices;
mod revisions;
mod runs;
mod tables;
mod tenants;
mod usage;
mod waiting;
mod webhooks;
mod why;

use ::usage::UsageError;
use ::usage::registry::{self, RegistryError, Tenant};
use billing::invoices::StoreError;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use metering::TenantId;
use migrations::DbError;

use super::call::Call;
use super::operation::Operation;
use super::problem::{Kind, Problem};
use super::revision;
use crate::control::request::PeriodRequest;
use crate::period;

/// The longest period that is rated in one request: a year with room to spare. What it costs to answer grows with it.
const PERIOD_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

/// All operations.
#[must_use]
pub fn operations() -> Vec<Operation> {
    [
        accounts::operations(),
        tenants::operations(),
        prices::operations(),
        revisions::operations(),
        tables::operations(),
        limits::operations(),
        allowances::operations(),
        instances::operations(),
        usage::operations(),
        corrections::operations(),
        dimensions::operations(),
        invoices::operations(),
        runs::operations(),
        waiting::operations(),
        books::operations(),
        dunning::operations(),
        why::operations(),
        capacity::operations(),
        alerts::operations(),
        mail::operations(),
        webhooks::operations(),
        api::operations(),
    ]
    .concat()
}

/// The tenant of that name or id, if the caller may see it.
async fn tenant(call: &Call, asked: &str) -> Result<Tenant, Problem> {
    Ok(registry::find_tenant(call.db(), call.scope()?, asked).await?)
}

/// The tenant that the path names. [`TenantId::UNASSIGNED`] is none: it has no quota, no budget and no address.
async fn path_tenant(call: &Call) -> Result<Tenant, Problem> {
    let found = tenant(call, call.path("tenant")).await?;
    if found.id == TenantId::UNASSIGNED { Err(Problem::not_found("tenant")) } else { Ok(found) }
}

/// The tenant that the query names, if it names one.
async fn query_tenant(call: &Call) -> Result<Option<Tenant>, Problem> {
    match call.text("tenant") {
        None => Ok(None),
        Some(asked) => tenant(call, asked).await.map(Some),
    }
}

/// What hindered something that the command line does the same way: what is not the database's fault is the caller's to mend,
/// and of that kind.
fn of_answer(error: anyhow::Error, kind: Kind) -> Problem {
    let error = match error.downcast::<RegistryError>() {
        Ok(registry) => return registry.into(),
        Err(other) => other,
    };
    let error = match error.downcast::<StoreError>() {
        Ok(store) => return store.into(),
        Err(other) => other,
    };
    for cause in error.chain() {
        if cause.is::<StoreError>() || cause.is::<UsageError>() || cause.is::<DbError>() {
            return Problem::unavailable("the database", cause);
        }
    }
    Problem::new(kind, format!("{error:#}"))
}

/// The period that was asked for: a month, or from and to.
fn asked_period(month: Option<&str>, from: Option<&str>, to: Option<&str>) -> Result<PeriodRequest, Problem> {
    let asked = match (month, from, to) {
        (Some(month), None, None) => PeriodRequest::Month(month.to_owned()),
        (None, Some(from), Some(to)) => PeriodRequest::Span { from: from.to_owned(), to: to.to_owned() },
        _ => {
            let detail = "say which time: either period, such as 2026-10, or both from and to";
            return Err(Problem::new(Kind::Unprocessable, detail));
        }
    };
    // What is no period in any zone is said before anything is looked for.
    let window =
        period::window(&asked, &TimeZone::UTC).map_err(|error| of_answer(error, Kind::Unprocessable))?;
    if PERIOD_MAX < window.start().duration_until(window.end()) {
        let detail =
            format!("a period has at most {} days; ask for less at once", PERIOD_MAX.as_hours() / 24);
        return Err(Problem::new(Kind::Unprocessable, detail));
    }
    Ok(asked)
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::NoTenant { .. } => Self::not_found("tenant"),
            RegistryError::NoInstance { .. } => Self::not_found("instance"),
            RegistryError::TenantExists { .. } | RegistryError::Ambiguous { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            RegistryError::Changed { revision } => revision::stale(Some(*revision)),
            RegistryError::Store(source) => of_store(source, &error),
            _ => Self::new(Kind::Unprocessable, error.to_string()),
        }
    }
}

impl From<UsageError> for Problem {
    fn from(error: UsageError) -> Self {
        of_store(&error, &error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(_) => Self::unavailable("the database", &error),
            StoreError::Unreadable { .. } => Self::internal(&error),
        }
    }
}

fn of_store(source: &UsageError, error: &(dyn std::error::Error + 'static)) -> Problem {
    match source {
        UsageError::Corrupt { .. } => Problem::internal(error),
        _ => Problem::unavailable("the database", error),
    }
}
