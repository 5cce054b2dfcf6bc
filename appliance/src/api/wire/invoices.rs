//! Invoices, as lists and as documents.

use billing::invoice::compare::{Difference, LineChange, Side};
use billing::invoices::{Invoice, InvoiceSummary};
use billing::{DocumentKind, DocumentRef, InvoiceDocument, InvoiceStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Coverage, Money, Period};

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InvoiceStatus)]
pub enum StatusName {
    /// Computed, without a number.
    Draft,
    /// Numbered and final.
    Issued,
    /// Issued and paid.
    Paid,
    /// Issued and withdrawn.
    Void,
}

/// What kind of document it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DocumentKind)]
pub enum KindName {
    /// An invoice.
    Invoice,
    /// It takes an invoice back: its amounts are what is given back.
    CreditNote,
    /// An invoice in the place of one that was taken back.
    CorrectedInvoice,
}

/// An invoice in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvoiceSummary)]
pub struct SummaryBody {
    /// Its number.
    #[schema(example = "INV-2026-000042")]
    pub number: String,
    /// Its id.
    pub invoice_id: Uuid,
    /// Who pays, by name.
    pub tenant: String,
    /// Where it stands.
    pub status: StatusName,
    /// What kind of document it is.
    pub kind: KindName,
    /// What it is for.
    pub service_period: Period,
    /// What is to be paid, with tax; of a credit note, what is given back.
    pub total: Money,
    /// When it got its number.
    pub issued_at: Timestamp,
    /// From when on it is overdue, if it is not paid by then; null: a credit note, or an invoice of an old release.
    pub due_at: Option<Timestamp>,
    /// Whether it is not paid and should be.
    pub is_overdue: bool,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// The number of what it takes back or takes the place of.
    #[schema(example = "INV-2026-000007")]
    pub corrects: Option<String>,
    /// The number of what stands in its place.
    pub replaced_by: Option<String>,
    /// When it was paid or withdrawn.
    pub settled_at: Option<Timestamp>,
}

/// An invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Invoice)]
pub struct InvoiceBody {
    /// Its number; null: a draft.
    #[schema(example = "INV-2026-000042")]
    pub number: Option<String>,
    /// Its id.
    pub invoice_id: Uuid,
    /// Where it stands.
    pub status: StatusName,
    /// What kind of document it is.
    pub kind: KindName,
    /// What it takes back or takes the place of.
    pub corrects: Option<CorrectsBody>,
    /// Why it corrects.
    pub reason: Option<String>,
    /// The number of what stands in its place; null: nothing does, or it is a draft.
    pub replaced_by: Option<String>,
    /// Who pays, by name.
    pub tenant: String,
    /// Who sells.
    pub seller: PartyBody,
    /// Who pays, as on paper.
    pub buyer: PartyBody,
    /// The currency of every amount in it.
    #[schema(example = "EUR")]
    pub currency: String,
    /// The IANA zone in which its dates are to be shown.
    pub time_zone: String,
    /// What it is for.
    pub service_period: Period,
    /// When it got its number; null: a draft.
    pub issued_at: Option<Timestamp>,
    /// The last day on which it can be paid in time, in its time zone.
    pub due_on: Option<jiff::civil::Date>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// Sentences that the law or the provider wants on it.
    pub notes: Vec<String>,
    /// What it was rated by.
    pub plan: PlanBody,
    /// What is charged.
    pub lines: Vec<LineBody>,
    /// The sum of the lines.
    pub subtotal: Money,
    /// The taxes, by code and rate.
    pub taxes: Vec<TaxBody>,
    /// What is to be paid.
    pub total: Money,
    /// How well the usage is known.
    pub completeness: Coverage,
    /// The quantities of the lines by instance and volume.
    pub resources: Vec<ResourceQuantity>,
    /// What the plan has no price for: shown, not charged.
    pub unpriced: Vec<UnpricedBody>,
}

/// A document that another one corrects.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Corrects)]
pub struct CorrectsBody {
    /// Its number.
    #[schema(example = "INV-2026-000007")]
    pub number: String,
    /// Its id.
    pub invoice_id: Uuid,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
}

/// What an issued invoice would be now, beside what it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Rerating)]
pub struct RerateBody {
    /// The invoice.
    #[schema(example = "INV-2026-000007")]
    pub number: String,
    /// Whether anything that costs differs.
    pub is_changed: bool,
    /// The lines that differ, by their keys.
    pub lines: Vec<ChangeBody>,
    /// What is to be paid.
    pub total_before: Money,
    /// What would be.
    pub total_after: Money,
}

/// A line that differs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LineChange)]
pub struct ChangeBody {
    /// The line's key.
    #[schema(example = "standard/2026-01-01/cpu_ns/standard")]
    pub key: String,
    /// What it is called on paper.
    pub title: String,
    /// The priced unit.
    pub unit: String,
    /// As it is; null: there is no such line.
    pub before: Option<SideBody>,
    /// As it would be; null: there would be none.
    pub after: Option<SideBody>,
}

/// One side of a line that differs.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LineSide)]
pub struct SideBody {
    /// How much, in the priced unit: a decimal number.
    pub quantity: String,
    /// The price of one unit.
    pub unit_price: String,
    /// What is charged.
    pub amount: Money,
}

/// A correction that is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRequest {
    /// Why: it stands on both documents.
    #[schema(min_length = 1, max_length = 400, example = "Readings of node n2 came in late.")]
    pub reason: String,
}

/// What came of a correction.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Correction)]
pub struct CorrectionBody {
    /// What takes the original back.
    pub credit_note: InvoiceBody,
    /// What stands in its place; null: nothing is left to charge.
    pub corrected: Option<InvoiceBody>,
}

/// Why something is withdrawn.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {
    /// Why, in 1 to 400 characters.
    #[schema(min_length = 1, max_length = 400, example = "Issued to the wrong tenant.")]
    pub reason: String,
}

/// One of the two sides of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Party)]
pub struct PartyBody {
    /// The name.
    pub name: String,
    /// The postal address, line by line.
    pub address: Vec<String>,
    /// The number under which the tax office knows it.
    pub tax_number: Option<String>,
}

/// Which prices were applied.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
pub struct PlanBody {
    /// The plan's name.
    pub name: String,
    /// The day from which the applied version holds; several, if it changed within the period.
    pub version: String,
}

/// A line of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvoiceLine)]
pub struct LineBody {
    /// Its place on the invoice, from 1.
    pub n: usize,
    /// Stable: the same usage and plan give the same keys.
    pub key: String,
    /// The rate card, fee, commitment or discount, by its name in the plan.
    pub card: String,
    /// What was metered; null: fees and discounts are not metered.
    #[schema(example = "cpu_ns")]
    pub meter: Option<String>,
    /// What it is called on paper.
    pub title: String,
    /// What kind of line it is.
    #[schema(example = "standard")]
    pub kind: String,
    /// To which usage it applies, such as `network: internet`; empty: to all.
    pub dimensions: std::collections::BTreeMap<String, String>,
    /// The hours for which the price holds.
    pub band: Option<String>,
    /// Where its tier begins, in the priced unit; null: the price has no tiers.
    pub tier_from: Option<String>,
    /// Where its tier ends, excluded; null: it has no end.
    pub tier_to: Option<String>,
    /// When it was used.
    pub service_period: Period,
    /// How much, in the base unit, exactly: a whole number.
    #[schema(pattern = "^[0-9]+$")]
    pub base_quantity: String,
    /// The base unit.
    #[schema(example = "ns")]
    pub base_unit: String,
    /// How much, in the priced unit: a decimal number.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$")]
    pub quantity: String,
    /// The priced unit.
    #[schema(example = "CPU·h")]
    pub unit: String,
    /// The price of one unit, in the plan's currency: a decimal number, negative on lines that take something off.
    #[schema(pattern = r"^-?[0-9]+(\.[0-9]+)?$")]
    pub unit_price: String,
    /// How the plan's currency became the invoice's; null: they are the same.
    pub conversion: Option<ConversionBody>,
    /// What is charged, before tax.
    pub amount: Money,
    /// How it is taxed: a code of EN 16931.
    #[schema(example = "S")]
    pub tax_code: String,
    /// How it came about, in one sentence.
    pub why: String,
    /// How well the usage is known.
    pub coverage: Coverage,
}

/// The rate at which prices became amounts of another currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Conversion)]
pub struct ConversionBody {
    /// The currency of the prices.
    #[schema(example = "EUR")]
    pub from: String,
    /// How much of the invoice's currency one of it is.
    #[schema(example = "1.0862")]
    pub rate: String,
    /// The day from which the rate holds.
    pub valid_from: jiff::civil::Date,
    /// Who published it.
    pub source: String,
}

/// The tax on the lines of one code and rate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Tax)]
pub struct TaxBody {
    /// Its name.
    #[schema(example = "VAT")]
    pub name: String,
    /// How it is taxed: a code of EN 16931.
    #[schema(example = "S")]
    pub code: String,
    /// Why nothing is due, if so.
    pub reason: Option<String>,
    /// As a fraction: 0.19 is 19 %.
    #[schema(example = "0.19")]
    pub rate: String,
    /// What it is computed on.
    pub base: Money,
    /// The tax.
    pub amount: Money,
}

/// One instance's (or volume's) part of a meter.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResourceQuantity {
    /// The instance; its disks and NICs are counted with it. Null: a volume.
    pub instance_id: Option<Uuid>,
    /// The volume, if it is one.
    pub volume_id: Option<Uuid>,
    /// What people call it.
    pub name: String,
    /// What was metered.
    pub meter: String,
    /// How much, in the base unit, exactly: a whole number.
    #[schema(pattern = "^[0-9]+$")]
    pub base_quantity: String,
    /// The base unit.
    pub base_unit: String,
    /// How much, in the priced unit: a decimal number.
    pub quantity: String,
    /// The priced unit.
    pub unit: String,
}

/// Usage that the plan has no price for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Unpriced)]
pub struct UnpricedBody {
    /// What was metered.
    pub meter: String,
    /// What it is called on paper.
    pub title: String,
    /// When.
    pub service_period: Period,
    /// How much, in the base unit, exactly: a whole number.
    #[schema(pattern = "^[0-9]+$")]
    pub base_quantity: String,
    /// The base unit.
    pub base_unit: String,
    /// How much, in the priced unit: a decimal number.
    pub quantity: String,
    /// The priced unit.
    pub unit: String,
}

impl From<InvoiceStatus> for StatusName {
    fn from(status: InvoiceStatus) -> Self {
        match status {
            InvoiceStatus::Draft => Self::Draft,
            InvoiceStatus::Issued => Self::Issued,
            InvoiceStatus::Paid => Self::Paid,
            InvoiceStatus::Void => Self::Void,
        }
    }
}

impl From<DocumentKind> for KindName {
    fn from(kind: DocumentKind) -> Self {
        match kind {
            DocumentKind::Invoice => Self::Invoice,
            DocumentKind::CreditNote => Self::CreditNote,
            DocumentKind::CorrectedInvoice => Self::CorrectedInvoice,
        }
    }
}

impl From<&DocumentRef> for CorrectsBody {
    fn from(corrected: &DocumentRef) -> Self {
        Self {
            number: corrected.number.clone(),
            invoice_id: corrected.invoice_id.uuid(),
            issued_at: corrected.issued_at,
        }
    }
}

impl RerateBody {
    /// What differs from the invoice of that number.
    #[must_use]
    pub fn new(number: &str, difference: &Difference) -> Self {
        Self {
            number: number.to_owned(),
            is_changed: !difference.is_none(),
            lines: difference.lines.iter().map(ChangeBody::from).collect(),
            total_before: difference.total_before.into(),
            total_after: difference.total_after.into(),
        }
    }
}

impl From<&LineChange> for ChangeBody {
    fn from(change: &LineChange) -> Self {
        Self {
            key: change.key.clone(),
            title: change.title.clone(),
            unit: change.unit.clone(),
            before: change.before.as_ref().map(SideBody::from),
            after: change.after.as_ref().map(SideBody::from),
        }
    }
}

impl From<&Side> for SideBody {
    fn from(side: &Side) -> Self {
        Self {
            quantity: side.quantity.to_string(),
            unit_price: side.unit_price.to_string(),
            amount: side.amount.into(),
        }
    }
}

impl SummaryBody {
    /// As it stands at `now`.
    #[must_use]
    pub fn new(invoice: &InvoiceSummary, now: Timestamp) -> Self {
        Self {
            number: invoice.number.clone(),
            invoice_id: invoice.invoice_id.uuid(),
            tenant: invoice.tenant.to_string(),
            status: invoice.status.into(),
            kind: invoice.kind.into(),
            service_period: invoice.service_period.into(),
            total: invoice.total.into(),
            issued_at: invoice.issued_at,
            due_at: invoice.due_at,
            is_overdue: invoice.is_overdue(now),
            sent_at: invoice.sent_at,
            corrects: invoice.corrects.clone(),
            replaced_by: invoice.replaced_by.clone(),
            settled_at: invoice.settled_at,
        }
    }
}

impl InvoiceBody {
    /// An issued invoice, as it stands now.
    #[must_use]
    pub fn of(invoice: &Invoice) -> Self {
        Self {
            replaced_by: invoice.replaced_by.clone(),
            sent_at: invoice.sent_at,
            ..Self::new(&invoice.document, invoice.status)
        }
    }

    /// A document, with where the invoice stands now.
    #[must_use]
    pub fn new(document: &InvoiceDocument, status: InvoiceStatus) -> Self {
        Self {
            number: document.number.clone(),
            invoice_id: document.invoice_id.uuid(),
            status: status.into(),
            kind: document.kind.into(),
            corrects: document.corrects.as_ref().map(CorrectsBody::from),
            reason: document.reason.clone(),
            replaced_by: None,
            tenant: document.tenant.to_string(),
            seller: (&document.seller).into(),
            buyer: (&document.buyer).into(),
            currency: document.currency.code().to_owned(),
            time_zone: document.time_zone.clone(),
            service_period: document.service_period.into(),
            issued_at: document.issued_at,
            due_on: document.due_on,
            sent_at: None,
            notes: document.notes.clone(),
            plan: PlanBody { name: document.plan.name.clone(), version: document.plan.version.clone() },
            lines: document.lines.iter().enumerate().map(|(at, line)| LineBody::new(at + 1, line)).collect(),
            subtotal: document.subtotal.into(),
            taxes: document.taxes.iter().map(TaxBody::from).collect(),
            total: document.total.into(),
            completeness: document.completeness.into(),
            resources: document.instances.iter().map(ResourceQuantity::from).collect(),
            unpriced: document.unpriced.iter().map(UnpricedBody::from).collect(),
        }
    }
}

impl From<&billing::Conversion> for ConversionBody {
    fn from(conversion: &billing::Conversion) -> Self {
        Self {
            from: conversion.from.code().to_owned(),
            rate: conversion.rate.to_string(),
            valid_from: conversion.valid_from,
            source: conversion.source.clone(),
        }
    }
}

impl From<&billing::Tax> for TaxBody {
    fn from(tax: &billing::Tax) -> Self {
        Self {
            name: tax.name.clone(),
            code: tax.code.as_str().to_owned(),
            rate: tax.rate.to_string(),
            reason: tax.reason.clone(),
            base: tax.base.into(),
            amount: tax.amount.into(),
        }
    }
}

impl LineBody {
    /// The line at place `n`.
    #[must_use]
    pub fn new(n: usize, line: &billing::InvoiceLine) -> Self {
        Self {
            n,
            key: line.key.clone(),
            card: line.card.clone(),
            meter: line.meter.map(|meter| meter.as_str().to_owned()),
            title: line.title.clone(),
            kind: line.kind.as_str().to_owned(),
            dimensions: line.dimensions.clone(),
            band: line.band.clone(),
            tier_from: line.bounds.map(|bounds| bounds.from.to_string()),
            tier_to: line.bounds.and_then(|bounds| bounds.to).map(|to| to.to_string()),
            service_period: line.service_period.into(),
            base_quantity: line.base_quantity.to_string(),
            base_unit: line.base_unit.clone(),
            quantity: line.quantity.to_string(),
            unit: line.unit.clone(),
            unit_price: line.unit_price.to_string(),
            conversion: line.conversion.as_ref().map(ConversionBody::from),
            amount: line.amount.into(),
            tax_code: line.tax_code.as_str().to_owned(),
            why: line.why.clone(),
            coverage: line.coverage.into(),
        }
    }
}

impl From<&billing::Party> for PartyBody {
    fn from(party: &billing::Party) -> Self {
        Self {
            name: party.name.clone(),
            address: party.address.clone(),
            tax_number: party.tax_number.clone(),
        }
    }
}

impl From<&billing::InstanceUsage> for ResourceQuantity {
    fn from(usage: &billing::InstanceUsage) -> Self {
        Self {
            instance_id: usage.instance_id.map(metering::InstanceId::uuid),
            volume_id: usage.volume_id.map(metering::VolumeId::uuid),
            name: usage.name.clone(),
            meter: usage.meter.as_str().to_owned(),
            base_quantity: usage.base_quantity.to_string(),
            base_unit: usage.meter.meter().unit.symbol().to_owned(),
            quantity: usage.quantity.to_string(),
            unit: usage.unit.clone(),
        }
    }
}

impl From<&billing::UnpricedUsage> for UnpricedBody {
    fn from(usage: &billing::UnpricedUsage) -> Self {
        Self {
            meter: usage.meter.as_str().to_owned(),
            title: usage.title.clone(),
            service_period: usage.service_period.into(),
            base_quantity: usage.base_quantity.to_string(),
            base_unit: usage.base_unit.clone(),
            quantity: usage.quantity.to_string(),
            unit: usage.unit.clone(),
        }
    }
}
