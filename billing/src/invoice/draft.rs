//! From a rating to the document of an invoice that has no number yet. Pure, like rating.

use metering::{TenantName, UsageRecord, Window};
use uuid::Uuid;

use super::document::{DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus, Party, PlanRef};
use crate::plan::PricePlan;
use crate::rating::{RatedLine, RatingError, RatingInput, rate};
use crate::tax::Taxation;

/// The name under which a simulation stands in the place of a tenant.
const SIMULATION: &str = "simulation";

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buyer {
    /// The tenant.
    pub tenant: TenantName,
    /// As on paper.
    pub party: Party,
    /// IANA name of the zone in which the tenant's dates are shown.
    pub time_zone: String,
}

/// The draft of an invoice of `period`.
///
/// # Errors
/// The usage cannot be rated; see [`rate`].
pub fn draft(
    invoice_id: InvoiceId,
    seller: &Party,
    buyer: Buyer,
    plan: &PricePlan,
    usage: &[UsageRecord],
    period: Window,
) -> Result<InvoiceDocument, RatingError> {
    let taxation = plan.tax().map_or_else(|| Taxation::by_class(Vec::new()), Taxation::fixed);
    let input = RatingInput { plan, usage, samples: &[], period, exchange: None, taxation: &taxation };
    let rating = rate(&input)?;
    let versions: Vec<String> = rating.versions.iter().map(ToString::to_string).collect();
    Ok(InvoiceDocument {
        number: None,
        kind: DocumentKind::Invoice,
        corrects: None,
        reason: None,
        status: InvoiceStatus::Draft,
        invoice_id,
        tenant: buyer.tenant,
        seller: seller.clone(),
        buyer: buyer.party,
        currency: plan.currency(),
        time_zone: buyer.time_zone,
        service_period: period,
        issued_at: None,
        due_on: None,
        notes: Vec::new(),
        plan: PlanRef { name: plan.name().to_owned(), version: versions.join(", ") },
        lines: rating.lines.into_iter().map(RatedLine::into_invoice_line).collect(),
        subtotal: rating.subtotal,
        taxes: rating.taxes,
        total: rating.total,
        completeness: rating.completeness,
        instances: rating.instances,
        unpriced: rating.unpriced,
    })
}

/// What `usage` would cost under `plan`: a draft for nobody, the same each time.
///
/// # Errors
/// The usage cannot be rated; see [`rate`].
pub fn simulate(
    plan: &PricePlan,
    usage: &[UsageRecord],
    period: Window,
) -> Result<InvoiceDocument, RatingError> {
    let nobody = Party { name: SIMULATION.to_owned(), ..Party::default() };
    let buyer = Buyer {
        tenant: TenantName::new(SIMULATION).expect("the name keeps the rule"),
        party: nobody.clone(),
        time_zone: plan.time_zone_name().to_owned(),
    };
    draft(InvoiceId::from_uuid(Uuid::nil()), &nobody, buyer, plan, usage, period)
}
