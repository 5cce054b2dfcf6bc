//! A bill as pages show it: an issued invoice, or the draft of the running month. It finds it in the tenant's own scope, so
//! that another tenant's number is nothing, and computes nothing that is on it.

use billing::invoices::StoreError;
use billing::{InvoiceDocument, InvoiceStatus, PricePlan, drafts, effective, invoices, period};
use jiff::Timestamp;
use metering::Window;
use migrations::Scope;
use usage::registry::{self, Tenant};

use super::figures;
use crate::show::Clock;
use crate::site::{PageError, Site, Viewer, now};

/// Which bill an address names.
pub(crate) enum Which<'a> {
    /// The invoice of that number.
    Number(&'a str),
    /// The running month.
    Draft,
}

/// A bill that was found.
pub(crate) struct Bill {
    /// Who pays.
    pub tenant: Tenant,
    /// What stands on it; its status is the present one.
    pub document: InvoiceDocument,
    /// Where its pages begin: `/tenants/acme/invoices/INV-2026-000001` or `/tenants/acme/draft`.
    pub path: String,
    /// How it stands now: `issued`, `overdue`, `paid`; see [`figures::standing`].
    pub state: &'static str,
    /// The number of what stands in its place.
    pub replaced_by: Option<String>,
    /// Up to when it knows: when it was issued or computed.
    pub as_of: Timestamp,
    /// The zone of its dates.
    pub clock: Clock,
}

impl Bill {
    /// The scope in which everything about it is looked up.
    pub(crate) fn scope(&self) -> Scope {
        Scope::Tenant(self.tenant.id.uuid())
    }

    /// Whether nobody owes it yet.
    pub(crate) fn is_draft(&self) -> bool {
        self.document.status == InvoiceStatus::Draft
    }

    /// How it is called: its number, or the month.
    pub(crate) fn name(&self) -> String {
        match &self.document.number {
            Some(number) => number.clone(),
            None => format!("{} so far", self.period()),
        }
    }

    /// Its period in words.
    pub(crate) fn period(&self) -> String {
        figures::period(self.document.service_period, self.clock.zone())
    }
}

/// The tenant of that name, if it is the asker's to see.
pub(crate) async fn tenant(site: &Site, viewer: &Viewer, name: &str) -> Result<Tenant, PageError> {
    viewer.must_see_money()?;
    Ok(registry::find_tenant(&site.database, viewer.scope(), name).await?)
}

/// The bill, if there is one and it is the asker's to see. `None`: the running month has no draft yet.
pub(crate) async fn find(
    site: &Site,
    viewer: &Viewer,
    tenant_name: &str,
    which: &Which<'_>,
) -> Result<Option<Bill>, PageError> {
    let tenant = tenant(site, viewer, tenant_name).await?;
    let scope = Scope::Tenant(tenant.id.uuid());
    let (document, path, as_of, state, replaced_by) = match which {
        Which::Number(number) => {
            let found = invoices::find(&site.database, scope, number).await?.ok_or(PageError::NotFound)?;
            let state = figures::standing(found.status, found.is_overdue(now()));
            let document = InvoiceDocument { status: found.status, ..found.document };
            let path = format!("/tenants/{}/invoices/{number}", tenant.name);
            let as_of = document.issued_at.unwrap_or(document.service_period.end());
            (document, path, as_of, state, found.replaced_by)
        }
        Which::Draft => {
            let month = running_month(&tenant, now()).ok_or(PageError::NotFound)?;
            let Some(draft) = drafts::get(&site.database, scope, tenant.id, month.start()).await? else {
                return Ok(None);
            };
            let path = format!("/tenants/{}/draft", tenant.name);
            (draft.document, path, draft.computed_at, "draft", None)
        }
    };
    let clock = Clock::of_zone(&document.time_zone);
    Ok(Some(Bill { tenant, document, path, state, replaced_by, as_of, clock }))
}

/// The plan that it was rated by. `None`: it cannot be read any more; what the document says is left.
pub(crate) async fn plan(site: &Site, bill: &Bill) -> Result<Option<PricePlan>, PageError> {
    let name = &bill.document.plan.name;
    let found = match bill.is_draft() {
        true => effective::of_tenant(&site.database, bill.scope(), bill.tenant.id, name).await,
        false => effective::of_invoice(&site.database, bill.document.invoice_id).await,
    };
    match found {
        Err(StoreError::Unreadable { what, name, why }) => {
            tracing::warn!("the stored {what} {name} cannot be read: {why}");
            Ok(None)
        }
        found => Ok(found?),
    }
}

/// The tenant's month that contains `now`.
pub(crate) fn running_month(tenant: &Tenant, now: Timestamp) -> Option<Window> {
    let clock = Clock::of_zone(&tenant.time_zone);
    period::month(&clock.month_key(now), clock.zone()).ok()
}
