//! The operations, by what they are about, each beside the function that carries it out.

mod accounts;
mod alerts;
mod allowances;
mod api;
mod books;
mod capacity;
mod corrections;
mod dimensions;
mod instances;
mod invoices;
mod limits;
mod mail;
mod runs;
mod tenants;
mod usage;
mod webhooks;
mod why;

use ::usage::UsageError;
use ::usage::registry::{self, RegistryError, Tenant};
use billing::invoices::StoreError;
use metering::TenantId;

use super::call::Call;
use super::operation::Operation;
use super::problem::{Kind, Problem};
use super::revision;

/// All operations.
#[must_use]
pub fn operations() -> Vec<Operation> {
    [
        accounts::operations(),
        tenants::operations(),
        limits::operations(),
        allowances::operations(),
        instances::operations(),
        usage::operations(),
        corrections::operations(),
        dimensions::operations(),
        invoices::operations(),
        runs::operations(),
        books::operations(),
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
