//! From a rating to the document of an invoice that has no number yet. Pure, like rating.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use metering::{Sample, TenantName, UsageRecord, Window};
use uuid::Uuid;

use super::document::{DocumentKind, InvoiceDocument, InvoiceId, InvoiceStatus, Party, PlanRef, Tax};
use crate::exchange::ExchangeRate;
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

/// All that the document of an invoice is made of.
#[derive(Clone, Debug)]
pub struct Bill<'a> {
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who sells.
    pub seller: &'a Party,
    /// Who pays.
    pub buyer: Buyer,
    /// The plan, with the tenant's own terms worked in.
    pub plan: &'a PricePlan,
    /// What was used; see [`RatingInput::usage`].
    pub usage: &'a [UsageRecord],
    /// What was used in each interval; see [`RatingInput::samples`].
    pub samples: &'a [Sample],
    /// What is billed.
    pub period: Window,
    /// How the plan's currency becomes the invoice's; `None`: they are the same.
    pub exchange: Option<&'a ExchangeRate>,
    /// The taxes.
    pub taxation: &'a Taxation,
}

impl Bill<'_> {
    /// The draft of the invoice. It has no day on which it is due: that is known when it is issued ([`due_on`]).
    ///
    /// # Errors
    /// The usage cannot be rated; see [`rate`].
    pub fn draft(self) -> Result<InvoiceDocument, RatingError> {
        let Self { plan, usage, samples, period, exchange, taxation, .. } = self;
        let rating = rate(&RatingInput { plan, usage, samples, period, exchange, taxation })?;
        let (instances, unpriced, completeness) =
            (rating.instances()?, rating.unpriced(), rating.completeness());
        let versions: Vec<String> = rating.versions().iter().map(ToString::to_string).collect();
        Ok(InvoiceDocument {
            number: None,
            kind: DocumentKind::Invoice,
            corrects: None,
            reason: None,
            status: InvoiceStatus::Draft,
            invoice_id: self.invoice_id,
            tenant: self.buyer.tenant,
            seller: self.seller.clone(),
            buyer: self.buyer.party,
            currency: rating.subtotal.currency(),
            time_zone: self.buyer.time_zone,
            service_period: period,
            issued_at: None,
            due_on: None,
            notes: notes(&rating.taxes),
            plan: PlanRef { name: plan.name().to_owned(), version: versions.join(", ") },
            lines: rating.lines().map(RatedLine::into_invoice_line).collect(),
            subtotal: rating.subtotal,
            taxes: rating.taxes,
            total: rating.total,
            completeness,
            instances,
            unpriced,
        })
    }
}

/// The last day on which an invoice can be paid in time, by the calendar of its zone (of UTC, where the zone is unknown).
#[must_use]
pub fn due_on(issued_at: Timestamp, time_zone: &str, payment_days: u16) -> Date {
    let zone = jiff::tz::TimeZone::get(time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let day = issued_at.to_zoned(zone).date();
    day.saturating_add(i32::from(payment_days).days())
}

/// The draft of an invoice in the plan's currency and with the plan's own tax.
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
    let taxation = own_taxation(plan);
    let bill = Bill {
        invoice_id,
        seller,
        buyer,
        plan,
        usage,
        samples: &[],
        period,
        exchange: None,
        taxation: &taxation,
    };
    bill.draft()
}

/// What `usage` would cost under `plan` and its own tax: a draft for nobody, the same each time.
///
/// # Errors
/// The usage cannot be rated; see [`rate`].
pub fn simulate(
    plan: &PricePlan,
    usage: &[UsageRecord],
    samples: &[Sample],
    period: Window,
) -> Result<InvoiceDocument, RatingError> {
    let nobody = Party { name: SIMULATION.to_owned(), ..Party::default() };
    let buyer = Buyer {
        tenant: TenantName::new(SIMULATION).expect("the name keeps the rule"),
        party: nobody.clone(),
        time_zone: plan.time_zone_name().to_owned(),
    };
    let taxation = own_taxation(plan);
    let bill = Bill {
        invoice_id: InvoiceId::from_uuid(Uuid::nil()),
        seller: &nobody,
        buyer,
        plan,
        usage,
        samples,
        period,
        exchange: None,
        taxation: &taxation,
    };
    bill.draft()
}

/// What the plan itself says about taxes; a plan that says nothing has no rate for anything.
fn own_taxation(plan: &PricePlan) -> Taxation {
    plan.tax().map_or_else(|| Taxation::by_class(Vec::new()), Taxation::fixed)
}

/// Why no tax is due stands on the document (EN 16931: BT-120).
fn notes(taxes: &[Tax]) -> Vec<String> {
    let mut notes: Vec<String> = taxes.iter().filter_map(|tax| tax.reason.clone()).collect();
    notes.dedup();
    notes
}
