//! The texts of plans, terms and tax tables that were in force.

use anyhow::{Context, Result, bail};
use billing::store::revisions::{self, Of};
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry;

use super::tenants::no_plan;
use crate::control::request::{RevisionRequest, RevisionsOf};
use crate::parts::Parts;

/// Texts of a list: more than anybody has; the API gives all, page by page.
const LISTED_MAX: u32 = 1_000;

/// Lists them, or gives one.
pub async fn value(parts: &Parts, request: RevisionRequest) -> Result<Value> {
    let of = match request.of {
        RevisionsOf::Plan(name) => Of::Plan(name),
        RevisionsOf::Terms(tenant) => {
            Of::Terms(registry::find_tenant(&parts.database, Scope::Provider, &tenant).await?.id)
        }
        RevisionsOf::TaxTable => Of::TaxTable,
    };
    let Some(asked) = request.revision else {
        let found = revisions::list(&parts.database, Scope::Provider, &of, i32::MAX, LISTED_MAX).await?;
        if let (true, Of::Plan(name)) = (found.is_empty(), &of) {
            bail!(no_plan(name));
        }
        let shown = found.iter().map(|one| json!({ "revision": one.revision, "applied_at": one.applied_at }));
        return Ok(json!({ "revisions": shown.collect::<Vec<_>>() }));
    };
    let found = revisions::find(&parts.database, Scope::Provider, &of, asked).await?;
    let (found, text) =
        found.with_context(|| format!("there is no revision {asked}; without --show all are listed"))?;
    Ok(json!({ "message": text, "revision": found.revision, "applied_at": found.applied_at, "text": text }))
}
