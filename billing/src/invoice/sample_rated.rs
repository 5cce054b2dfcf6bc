//! Two more invoices to look at: one that rating itself made, with tiers, an allowance, a fee, a discount and two tax rates,
//! and the credit note that takes it back. The same each time; no database.

use jiff::Timestamp;
use metering::{Coverage, Dimensions, InstanceId, MeterName, Resource, TenantName, UsageRecord, VolumeId};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::document::{DocumentKind, DocumentRef, InvoiceDocument, InvoiceId, InvoiceStatus, Party, TaxCode};
use super::draft::{Bill, Buyer};
use super::sample::{instant, window};
use crate::plan::{PricePlan, TaxClass};
use crate::tax::{TaxRate, Taxation};

const PLAN: &str = r#"name = "business"
currency = "EUR"
time_zone = "Europe/Berlin"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "cpu_ns"
included = "50"
graduated = [
  { up_to = "100", unit_price = "0.05" },
  { up_to = "500", unit_price = "0.04" },
  { unit_price = "0.03" },
]
[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.0001"
tax_class = "reduced"
[[version.fee]]
name = "support"
title = "Support"
amount = "19.00"
every = "period"
[[version.discount]]
name = "partner"
title = "Partner discount"
percentage = "10 %"
"#;

impl InvoiceDocument {
    /// One with tiers, an allowance, a fee, a discount and two tax rates, as rating made it.
    #[must_use]
    pub fn sample_rated() -> Self {
        let plan = PricePlan::parse("sample.toml", PLAN.as_bytes()).expect("the plan above is right");
        let period = window("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
        let party = |name: &str, country: &str, number: &str| Party {
            name: name.to_owned(),
            address: vec!["1 Weir Lane".to_owned(), "12345 Riverside".to_owned()],
            country: Some(country.to_owned()),
            tax_number: Some(number.to_owned()),
        };
        let rate = |percent: i64| {
            let rate = Decimal::new(percent, 2);
            let always = Timestamp::UNIX_EPOCH;
            vec![(
                always,
                TaxRate {
                    name: "VAT".to_owned(),
                    code: TaxCode::Standard,
                    rate,
                    in_prices: rate,
                    reason: None,
                },
            )]
        };
        let reduced = TaxClass("reduced".to_owned());
        let bill = Bill {
            invoice_id: InvoiceId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0043)),
            seller: &party("Sample Cloud Provider", "DE", "DE000000000"),
            buyer: Buyer {
                tenant: TenantName::new("sample-tenant").expect("the name keeps the rule"),
                party: party("Sample Tenant", "DE", "DE111111111"),
                time_zone: "Europe/Berlin".to_owned(),
            },
            plan: &plan,
            usage: &usage(),
            samples: &[],
            period,
            exchange: None,
            taxation: &Taxation::by_class(vec![(TaxClass::standard(), rate(19)), (reduced, rate(7))]),
        };
        let mut document = bill.draft().expect("what is above can be rated");
        document.number = Some("INV-2026-000043".to_owned());
        document.status = InvoiceStatus::Issued;
        document.issued_at = Some(instant("2026-11-02T09:00:00Z"));
        document.due_on = Some(super::draft::due_on(instant("2026-11-02T09:00:00Z"), "Europe/Berlin", 14));
        document
    }

    /// The credit note that takes [`InvoiceDocument::sample_rated`] back: its amounts are what is given back.
    #[must_use]
    pub fn sample_credit_note() -> Self {
        let invoice = Self::sample_rated();
        Self {
            number: Some("CN-2026-000001".to_owned()),
            kind: DocumentKind::CreditNote,
            corrects: Some(DocumentRef {
                number: invoice.number.clone().unwrap_or_default(),
                invoice_id: invoice.invoice_id,
                issued_at: invoice.issued_at,
            }),
            reason: Some("A reading came late.".to_owned()),
            invoice_id: InvoiceId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0044)),
            issued_at: Some(instant("2026-11-10T09:00:00Z")),
            due_on: None,
            ..invoice
        }
    }
}

/// 650 CPU hours of an instance, and a volume of 100 GiB, in an hour of the month.
fn usage() -> Vec<UsageRecord> {
    let window = window("2026-10-05T10:00:00Z", "2026-10-05T11:00:00Z");
    let record = |resource, name: &str, meter: &str, units: u64| {
        let meter = MeterName::parse(meter).expect("the catalog has it");
        UsageRecord {
            resource,
            resource_name: name.to_owned(),
            meter,
            window,
            quantity: units * meter.meter().priced_unit.base_units,
            coverage: Coverage { measured_us: window.microseconds().unsigned_abs(), ..Coverage::default() },
            dimensions: Dimensions::default(),
        }
    };
    vec![
        record(Resource::Instance(InstanceId::from_uuid(Uuid::from_u128(1))), "web-1", "cpu_ns", 650),
        record(
            Resource::Volume(VolumeId::from_uuid(Uuid::from_u128(2))),
            "default/web-1.qcow2",
            "provisioned_kib_s",
            74_400,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rated_sample_is_what_a_person_works_out() {
        let document = InvoiceDocument::sample_rated();
        let amounts: Vec<String> =
            document.lines.iter().map(|line| line.amount.amount().to_string()).collect();
        // 50 free; 100 x 0.05, 400 x 0.04, 100 x 0.03; 74,400 x 0.0001; support; 10 % of 43.00 and of 7.44.
        assert_eq!(amounts, ["0.00", "5.00", "16.00", "3.00", "7.44", "19.00", "-4.30", "-0.74"]);
        assert_eq!(document.subtotal.to_string(), "45.40 EUR");
        // 19 % of 38.70 and 7 % of 6.70.
        assert_eq!(document.total.to_string(), "53.22 EUR");
        assert_eq!(InvoiceDocument::sample_credit_note().total, document.total);
    }
}
