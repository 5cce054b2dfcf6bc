//! Whether a plan goes with a tenant that it is to bill: with the tenant's own terms, and with the currency of the month that runs.
//! Asked before a plan is assigned and before a plan that is assigned changes, by everybody who does either.
//!
//! It does NOT know which plan a tenant has when: see [`super::assignments`].

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{TenantId, TenantName, Window};
use migrations::{Database, Scope};

use crate::money::{Currency, Money};
use crate::plan::PricePlan;
use crate::store::invoices::StoreError;
use crate::store::{drafts, terms};
use crate::terms::TermsError;

/// Why a plan does not go with a tenant.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// With its own terms.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// With the month that runs: a draft has one currency.
    #[error(
        "plan {plan} is in {}, and the running period of {tenant} ({period}) has come to {total} so far; a period has one currency. \
         Change it from the next month on, or let the tenant go on paying in {1}: weir tenant set-billing {tenant} --currency {1}",
        .currency, .total.currency()
    )]
    Currency {
        /// The plan's name.
        plan: String,
        /// The plan's currency.
        currency: Currency,
        /// Whose month it is.
        tenant: TenantName,
        /// The month.
        period: Window,
        /// What it has come to.
        total: Money,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses a plan for a tenant, from the day `from` of its zone on.
///
/// # Errors
/// It does not go with the tenant's terms or with [the running month](check_currency), or the database failed.
pub async fn check(
    database: &Database,
    tenant: TenantId,
    zone: &TimeZone,
    plan: &PricePlan,
    from: Date,
) -> Result<(), Misfit> {
    if let Some(stored) = terms::get(database, Scope::Provider, tenant).await? {
        plan.for_tenant(&stored.terms)?;
    }
    check_currency(database, tenant, zone, plan, from).await
}

/// Refuses a plan that is to take over from another one, from the day `from` of the tenant's zone on, in the middle of a period that
/// runs in another currency. Periods that began before that day have a plan of their own.
///
/// # Errors
/// It is so, or the database failed; the error says what to do instead.
pub async fn check_currency(
    database: &Database,
    tenant: TenantId,
    zone: &TimeZone,
    plan: &PricePlan,
    from: Date,
) -> Result<(), Misfit> {
    let currencies = super::get(database, Scope::Provider, tenant).await?.currencies;
    let running = drafts::list(database, Scope::Tenant(tenant.uuid()), Timestamp::now()).await?;
    let differs = |draft: &drafts::DraftSummary| {
        let first = draft.period.start().to_zoned(zone.clone()).date();
        // What has come to nothing yet has no currency.
        let is_something = !draft.total.is_zero() || !draft.subtotal.is_zero();
        from <= first
            && is_something
            && draft.total.currency() != currencies.on(first).unwrap_or(plan.currency())
    };
    match running.into_iter().find(differs) {
        None => Ok(()),
        Some(draft) => Err(Misfit::Currency {
            plan: plan.name().to_owned(),
            currency: plan.currency(),
            tenant: draft.tenant,
            period: draft.period,
            total: draft.total,
        }),
    }
}
