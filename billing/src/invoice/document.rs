//! The outward form of an invoice: what is stored with it, shown, exported and sent.
//!
//! It is complete in itself, so that a document needs no database to be rendered, and it never changes once
//! issued: what becomes of the invoice afterwards (paid, void) stands in the database beside it. Nothing is
//! computed here. JSON: fields in this order, decimals as strings, base quantities as integers, instants in RFC 3339.

use std::fmt;

use jiff::Timestamp;
use metering::{InstanceId, MeterName, TenantName, VolumeId, Window};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::{Currency, Money};

/// An invoice, before it has a number and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InvoiceId(Uuid);

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceStatus {
    /// Computed, without a number; nobody owes anything.
    Draft,
    /// Numbered and final.
    Issued,
    /// Issued and paid.
    Paid,
    /// Issued and withdrawn: the number stays taken, nobody owes anything.
    Void,
}

/// An invoice as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceDocument {
    /// `INV-2026-000001`. A draft has none.
    pub number: Option<String>,
    /// Where it stood when the document was made: draft or issued.
    pub status: InvoiceStatus,
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// Who pays, as the tenant is named in the system.
    pub tenant: TenantName,
    /// Who sells.
    pub seller: Party,
    /// Who pays, as on paper.
    pub buyer: Party,
    /// The currency of every amount in it.
    pub currency: Currency,
    /// IANA name of the zone in which its dates are to be shown.
    pub time_zone: String,
    /// What it is for. Every line's period lies within.
    pub service_period: Window,
    /// When it got its number. A draft has none.
    pub issued_at: Option<Timestamp>,
    /// What it was rated by.
    pub plan: PlanRef,
    /// What is charged, in the order to show.
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines' amounts.
    pub subtotal: Money,
    /// The tax on the subtotal.
    pub tax: Tax,
    /// Subtotal and tax.
    pub total: Money,
    /// How well the usage is known: time of all resources together.
    pub completeness: Completeness,
    /// The quantities of the lines by instance (or volume), in the order to show. For each meter they add up
    /// to the meter's lines.
    pub instances: Vec<InstanceUsage>,
    /// Usage that the plan has no price for: shown, not charged.
    pub unpriced: Vec<UnpricedUsage>,
}

/// One of the two sides of an invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The name.
    pub name: String,
    /// The postal address, line by line.
    pub address: Vec<String>,
    /// The number under which the party is known to the tax office.
    pub tax_number: Option<String>,
}

/// Which prices were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// The plan's name.
    pub name: String,
    /// The day from which the applied version holds; several, joined by `", "`, if it changed within the period.
    pub version: String,
}

/// How a line is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Within the free allowance.
    Included,
    /// At the plan's price.
    Standard,
}

/// One line. `quantity x unit_price`, rounded once, is `amount`, in what is shown too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// Stable: the same usage and plan give the same keys. `standard/2026-01-01/cpu_ns/included`.
    pub key: String,
    /// What was metered.
    pub meter: MeterName,
    /// What it is called on paper.
    pub title: String,
    /// How it is priced.
    pub tier: Tier,
    /// When it was used: the part of the invoice's period for which the plan's version holds.
    pub service_period: Window,
    /// How much, in the meter's base unit, exactly. A meter's lines add up to what was metered.
    pub base_quantity: u128,
    /// The base unit: `ns`.
    pub base_unit: String,
    /// How much, in the priced unit, with 6 decimals.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// The priced unit: `CPU·h`.
    pub unit: String,
    /// The price of one unit, as the plan writes it.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// What is charged.
    pub amount: Money,
    /// How it came about: one English sentence with the figures.
    pub why: String,
    /// How well the meter's usage in this period is known. The tiers of one meter show the same.
    pub coverage: Completeness,
}

/// The tax on an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// `VAT`.
    pub name: String,
    /// As a fraction: 0.19 is 19 %.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    /// What it is computed on: the subtotal.
    pub base: Money,
    /// `base x rate`, rounded once.
    pub amount: Money,
}

/// How the time that usage covers is known, in milliseconds. Time of several resources adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Between two readings close to each other.
    pub measured_ms: u64,
    /// Between two readings further apart: exact in sum, its distribution over the time between is interpolated.
    pub estimated_ms: u64,
    /// Not known: what happened then was not read and is not charged.
    pub missing_ms: u64,
}

/// One instance's (or volume's) part of a meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceUsage {
    /// The instance. Its disks and NICs are counted with it; a volume has none.
    pub instance_id: Option<InstanceId>,
    /// The volume, if it is one.
    pub volume_id: Option<VolumeId>,
    /// What people call it (the last name in the period).
    pub name: String,
    /// What was metered.
    pub meter: MeterName,
    /// How much, in the meter's base unit, exactly.
    pub base_quantity: u128,
    /// How much, in the priced unit, with 6 decimals.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// The priced unit.
    pub unit: String,
}

/// Usage of a meter for which the plan has no rate card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpricedUsage {
    /// What was metered.
    pub meter: MeterName,
    /// What it is called on paper.
    pub title: String,
    /// When: the part of the period for which the plan has no price for it.
    pub service_period: Window,
    /// How much, in the meter's base unit, exactly.
    pub base_quantity: u128,
    /// The base unit.
    pub base_unit: String,
    /// How much, in the priced unit, with 6 decimals.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// The priced unit.
    pub unit: String,
}

impl InvoiceId {
    /// A new one, in the order of time.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Wraps an id that is known already.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The plain UUID, for SQL parameters.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl Default for InvoiceId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InvoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl InvoiceStatus {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Issued => "issued",
            Self::Paid => "paid",
            Self::Void => "void",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Issued, Self::Paid, Self::Void].into_iter().find(|status| status.as_str() == text)
    }
}

impl Tier {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Standard => "standard",
        }
    }
}

impl Completeness {
    /// Measured time as a share of all time, in thousandths, rounded down: 1000 only when nothing was estimated
    /// or missing. `None` when there was no time.
    #[must_use]
    pub fn measured_permille(self) -> Option<u64> {
        let measured = u128::from(self.measured_ms);
        let all = measured + u128::from(self.estimated_ms) + u128::from(self.missing_ms);
        let permille = (measured * 1000).checked_div(all)?;
        u64::try_from(permille).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_survives_json_to_the_last_base_unit() {
        for mut document in [InvoiceDocument::sample(), InvoiceDocument::sample_small()] {
            document.lines[0].base_quantity = u128::from(u64::MAX) * 3;
            let json = serde_json::to_string(&document).unwrap();
            let back: InvoiceDocument = serde_json::from_str(&json).unwrap();
            assert_eq!(back, document);
            assert_eq!(serde_json::to_string(&back).unwrap(), json);
        }
    }

    #[test]
    fn a_second_that_is_missing_in_a_year_is_not_rounded_away() {
        let year = Completeness { measured_ms: 365 * 86_400_000, estimated_ms: 0, missing_ms: 1_000 };
        assert_eq!(year.measured_permille(), Some(999));
        assert_eq!(Completeness::default().measured_permille(), None);
    }
}
