//! The plan that holds for somebody: as it was applied, with the tenant's own terms worked in. It rates nothing.

use metering::TenantId;
use migrations::{Database, Scope};

use super::invoices::StoreError;
use super::{plans, terms};
use crate::invoice::correct;
use crate::invoice::document::InvoiceId;
use crate::plan::PricePlan;
use crate::terms::TenantTerms;

/// The plan of that name as it holds now for `tenant`, whom `scope` may see. `None`: there is none of that name.
///
/// # Errors
/// The database failed, or plan and terms do not go together for this version of the program.
pub async fn of_tenant(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    plan_name: &str,
) -> Result<Option<PricePlan>, StoreError> {
    let Some(plan) = plans::get(database, plan_name).await? else { return Ok(None) };
    match terms::get(database, scope, tenant).await? {
        Some(stored) => with_terms(plan, &stored.terms).map(Some),
        None => Ok(Some(plan)),
    }
}

/// The plan by which an issued invoice was rated. `None`: there is no such invoice.
///
/// # Errors
/// As [`of_tenant`].
pub async fn of_invoice(database: &Database, invoice: InvoiceId) -> Result<Option<PricePlan>, StoreError> {
    let Some(rated_by) = correct::rated_by(database, invoice).await? else { return Ok(None) };
    let name = &rated_by.plan_name;
    let plan = PricePlan::parse(&format!("plan {name}"), rated_by.plan_text.as_bytes())
        .map_err(|error| StoreError::unreadable("plan", name, &error))?;
    let Some(text) = rated_by.terms_text else { return Ok(Some(plan)) };
    let terms = TenantTerms::parse("terms", text.as_bytes())
        .map_err(|error| StoreError::unreadable("terms of invoice", &invoice.to_string(), &error))?;
    with_terms(plan, &terms).map(Some)
}

fn with_terms(plan: PricePlan, terms: &TenantTerms) -> Result<PricePlan, StoreError> {
    plan.for_tenant(terms).map_err(|error| StoreError::unreadable("plan", plan.name(), &error))
}
