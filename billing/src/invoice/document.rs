//! The outward form of an invoice: what is stored with it, shown, exported and sent.
//!
//! It is complete in itself, so that a document needs no database to be rendered, and it never changes once
//! issued: what becomes of the invoice afterwards (paid, void) stands in the database beside it. Nothing is
//! computed here. JSON: fields in this order, decimals as strings, base quantities as integers, instants in RFC 3339.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{InstanceId, MeterName, TenantName, VolumeId, Window};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::money::{Currency, Money, MoneyError};

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
    /// What kind of document it is.
    #[serde(default)]
    pub kind: DocumentKind,
    /// The document that it takes back or takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<DocumentRef>,
    /// Why, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// The last day on which it can be paid in time, in its time zone. A draft, a credit note and documents of earlier builds
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<Date>,
    /// Sentences that the law or the provider wants on the document, such as "Reverse charge".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What it was rated by.
    pub plan: PlanRef,
    /// What is charged, in the order to show.
    pub lines: Vec<InvoiceLine>,
    /// The sum of the lines' amounts.
    pub subtotal: Money,
    /// The tax, by code and rate: at least one entry. (Earlier builds wrote one object, `tax`.)
    #[serde(alias = "tax", deserialize_with = "one_or_more")]
    pub taxes: Vec<Tax>,
    /// Subtotal and taxes.
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
    /// The country, by ISO 3166-1 alpha-2: `DE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
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

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Within a free allowance, at the price 0.
    Included,
    /// Within a commitment, at its price.
    Committed,
    /// What is paid of a commitment without having been used.
    Shortfall,
    /// At the plan's price for each unit.
    Standard,
    /// In a tier of a graduated price.
    Graduated,
    /// In the tier of a volume price.
    Volume,
    /// Something fixed: a flat price, or what a tier costs at once.
    Flat,
    /// Whole blocks.
    Package,
    /// The percentile of a rate.
    Percentile,
    /// A recurring fee.
    Fee,
    /// A fee that is charged once.
    OneTime,
    /// A part of other amounts.
    Percentage,
    /// What a card or the invoice costs at least is more than its lines: the difference.
    Minimum,
    /// What it costs at most is less: the (negative) difference.
    Maximum,
    /// A discount (negative).
    Discount,
    /// What a trial makes free (negative).
    Trial,
    /// What a sponsor bears (negative).
    Sponsored,
}

/// What kind of document it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// An invoice (UNTDID 1001: 380).
    #[default]
    Invoice,
    /// It takes an invoice back: its amounts are what is given back (381).
    CreditNote,
    /// An invoice in the place of one that was taken back (384).
    CorrectedInvoice,
}

/// How something is taxed: the codes of EN 16931 (UNTDID 5305, a subset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaxCode {
    /// At the standard or a reduced rate.
    #[default]
    #[serde(rename = "S")]
    Standard,
    /// At the rate 0.
    #[serde(rename = "Z")]
    ZeroRated,
    /// Exempt, for a reason.
    #[serde(rename = "E")]
    Exempt,
    /// The buyer owes the tax.
    #[serde(rename = "AE")]
    ReverseCharge,
    /// Outside the scope of the tax.
    #[serde(rename = "O")]
    OutsideScope,
}

/// A document that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRef {
    /// Its number.
    pub number: String,
    /// Its identity.
    pub invoice_id: InvoiceId,
    /// When it was issued; `None` while it is a draft that comes with this one.
    pub issued_at: Option<Timestamp>,
}

/// The rate at which prices became amounts of another currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The plan's currency, in which the line's unit price is written.
    pub from: Currency,
    /// How much of the invoice's currency one of it is.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    /// The day from which the rate holds.
    pub valid_from: Date,
    /// Who published it, as the provider wrote.
    pub source: String,
}

/// The tier that a line is about: `from <= quantity < to`, in the line's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierBounds {
    /// From here.
    #[serde(with = "rust_decimal::serde::str")]
    pub from: Decimal,
    /// Up to here, excluded; `None`: without an end.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub to: Option<Decimal>,
}

/// One line. `quantity x unit_price`, rounded once, is `amount`, in what is shown too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// Stable: the same usage and plan give the same keys. `standard/2026-01-01/cpu_ns/included`.
    pub key: String,
    /// The rate card, fee, commitment or discount, by its name in the plan. Empty in documents of earlier builds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub card: String,
    /// What was metered; fees and discounts have no meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterName>,
    /// What it is called on paper.
    pub title: String,
    /// What kind of line it is. (Earlier builds called it `tier`.)
    #[serde(alias = "tier")]
    pub kind: LineKind,
    /// To which usage the card applies, such as `network: internet`. Empty: to all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// The hours for which the price holds, by their name in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<String>,
    /// The tier, of a graduated or volume price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<TierBounds>,
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
    /// The price of one unit, as the plan writes it and in its currency; negative on lines that take something off.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// How the plan's currency became the invoice's, if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// Whether the unit price contains the tax: the amount is then quantity x price / (1 + tax rate, or `tax_in_price`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gross: bool,
    /// What is charged, before tax; negative on lines that take something off.
    pub amount: Money,
    /// How it is taxed.
    #[serde(default)]
    pub tax_code: TaxCode,
    /// At which rate, as a fraction. Absent in documents of earlier builds, which have one rate for all.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rust_decimal::serde::str_option")]
    pub tax_rate: Option<Decimal>,
    /// Of a gross price, the tax in it that the buyer does not owe, as a fraction: the seller's own.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rust_decimal::serde::str_option")]
    pub tax_in_price: Option<Decimal>,
    /// How it came about: one English sentence with the figures.
    pub why: String,
    /// How well the meter's usage in this period is known. The tiers of one meter show the same.
    pub coverage: Completeness,
}

/// The tax on the lines of one code and rate (the VAT breakdown of EN 16931, BG-23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// `VAT`.
    pub name: String,
    /// How it is taxed.
    #[serde(default)]
    pub code: TaxCode,
    /// As a fraction: 0.19 is 19 %.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    /// Why no tax is due, if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is computed on: the sum of the lines of this code and rate.
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

impl LineKind {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Committed => "committed",
            Self::Shortfall => "shortfall",
            Self::Standard => "standard",
            Self::Graduated => "graduated",
            Self::Volume => "volume",
            Self::Flat => "flat",
            Self::Package => "package",
            Self::Percentile => "percentile",
            Self::Fee => "fee",
            Self::OneTime => "one_time",
            Self::Percentage => "percentage",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Discount => "discount",
            Self::Trial => "trial",
            Self::Sponsored => "sponsored",
        }
    }
}

impl TaxCode {
    /// The code of UNTDID 5305.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "S",
            Self::ZeroRated => "Z",
            Self::Exempt => "E",
            Self::ReverseCharge => "AE",
            Self::OutsideScope => "O",
        }
    }
}

impl InvoiceDocument {
    /// All taxes together.
    ///
    /// # Errors
    /// They are in several currencies or too large, which no document that was rated is.
    pub fn tax_total(&self) -> Result<Money, MoneyError> {
        Money::sum(self.currency, self.taxes.iter().map(|tax| tax.amount))
    }
}

/// One tax, as it was written once, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tax>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(Tax),
        More(Vec<Tax>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(tax) => vec![tax],
        Written::More(taxes) => taxes,
    })
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
