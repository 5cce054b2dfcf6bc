//! Invoices, as lists and as documents.

use billing::invoices::InvoiceSummary;
use billing::{InvoiceDocument, InvoiceStatus};
use jiff::Timestamp;
use serde::Serialize;
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
    /// What it is for.
    pub service_period: Period,
    /// What is to be paid, with tax.
    pub total: Money,
    /// When it got its number.
    pub issued_at: Timestamp,
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

impl From<&InvoiceSummary> for SummaryBody {
    fn from(invoice: &InvoiceSummary) -> Self {
        Self {
            number: invoice.number.clone(),
            invoice_id: invoice.invoice_id.uuid(),
            tenant: invoice.tenant.to_string(),
            status: invoice.status.into(),
            service_period: invoice.service_period.into(),
            total: invoice.total.into(),
            issued_at: invoice.issued_at,
            settled_at: invoice.settled_at,
        }
    }
}

impl InvoiceBody {
    /// A document, with where the invoice stands now.
    #[must_use]
    pub fn new(document: &InvoiceDocument, status: InvoiceStatus) -> Self {
        Self {
            number: document.number.clone(),
            invoice_id: document.invoice_id.uuid(),
            status: status.into(),
            tenant: document.tenant.to_string(),
            seller: (&document.seller).into(),
            buyer: (&document.buyer).into(),
            currency: document.currency.code().to_owned(),
            time_zone: document.time_zone.clone(),
            service_period: document.service_period.into(),
            issued_at: document.issued_at,
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
