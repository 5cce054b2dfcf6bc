//! Two invoices to look at, for tests and previews of what renders them: one crowded, one tiny. They need no
//! database and are the same each time. It is not a fixture of rating: the figures are made up, though every
//! line's `quantity x unit_price` is its amount.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{InstanceId, MeterName, TenantName, VolumeId, Window, catalog};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::document::{
    Completeness, DocumentKind, InstanceUsage, InvoiceDocument, InvoiceId, InvoiceLine, InvoiceStatus,
    LineKind, Party, PlanRef, Tax, TaxCode, UnpricedUsage,
};
use crate::money::{Currency, Money};

/// Instances of the crowded sample: a name that is short, one that is long, one that tries to be markup, one
/// that is not Latin.
const NAMES: [&str; 14] = [
    "web-1",
    "web-2",
    "web-3",
    "db-primary",
    "db-replica",
    "cache",
    "build-agent-01.eu-central.internal.example.org",
    "build-agent-02.eu-central.internal.example.org",
    "mail",
    "<b>\"quoted\" & 'odd'</b>",
    "日本語サーバー",
    "vpn",
    "monitoring",
    "backup",
];

impl InvoiceDocument {
    /// A crowded one: every meter, two versions of the plan, allowances, many instances, some time missing.
    #[must_use]
    pub fn sample() -> Self {
        let period = window("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
        let pieces = period.split_at(&[instant("2026-10-14T22:00:00Z")]);
        let mut lines = Vec::new();
        for (position, meter) in catalog().iter().enumerate() {
            for (piece, version) in pieces.iter().zip(["2026-01-01", "2026-10-15"]) {
                let seed = 7 + position as u64 * 31 + piece.microseconds().unsigned_abs() % 97;
                let price = Decimal::new(35 + position as i64 * 2, 4);
                if position % 3 == 0 {
                    let quantity = Decimal::new(10_000_000, 6);
                    lines.push(line(
                        meter.id(),
                        version,
                        *piece,
                        LineKind::Included,
                        quantity,
                        Decimal::ZERO,
                    ));
                }
                let quantity = Decimal::new((seed * 1_234_567) as i64, 6);
                lines.push(line(meter.id(), version, *piece, LineKind::Standard, quantity, price));
            }
        }
        let instances = NAMES
            .iter()
            .enumerate()
            .flat_map(|(n, name)| (0..4).map(move |m| share(n, name, catalog()[m].id())))
            .chain([volume_share()])
            .collect();
        assemble(Some("INV-2026-000042"), period, "2026-01-01, 2026-10-15", lines, instances)
    }

    /// A tiny one: a draft with one line of a minute.
    #[must_use]
    pub fn sample_small() -> Self {
        let period = window("2026-11-21T12:00:00Z", "2026-11-21T12:01:00Z");
        let meter = catalog()[0].id();
        let quantity = Decimal::new(16_667, 6);
        let lines = vec![line(meter, "2026-01-01", period, LineKind::Standard, quantity, Decimal::new(6, 1))];
        let mut document = assemble(None, period, "2026-01-01", lines, vec![share(0, NAMES[0], meter)]);
        document.completeness.missing_ms = 0;
        document.unpriced.clear();
        document
    }
}

fn assemble(
    number: Option<&str>,
    service_period: Window,
    version: &str,
    lines: Vec<InvoiceLine>,
    instances: Vec<InstanceUsage>,
) -> InvoiceDocument {
    let subtotal = Money::sum(Currency::EUR, lines.iter().map(|line| line.amount)).unwrap_or(nothing());
    let rate = Decimal::new(19, 2);
    let tax = Money::rounded(subtotal.amount() * rate, Currency::EUR).unwrap_or(nothing());
    let unpriced = &catalog()[2];
    InvoiceDocument {
        number: number.map(str::to_owned),
        kind: DocumentKind::Invoice,
        corrects: None,
        reason: None,
        status: number.map_or(InvoiceStatus::Draft, |_| InvoiceStatus::Issued),
        invoice_id: InvoiceId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0042)),
        tenant: TenantName::new("sample-tenant").expect("the name keeps the rule"),
        seller: Party {
            name: "Sample Cloud Provider".to_owned(),
            address: vec!["1 Weir Lane".to_owned(), "12345 Riverside".to_owned()],
            country: Some("DE".to_owned()),
            tax_number: Some("DE000000000".to_owned()),
        },
        buyer: Party {
            name: "Sample Tenant & Sons <\"quoted\">".to_owned(),
            address: vec!["2 Mill Street".to_owned(), "54321 Downstream".to_owned()],
            country: Some("DE".to_owned()),
            tax_number: None,
        },
        currency: Currency::EUR,
        time_zone: "Europe/Berlin".to_owned(),
        service_period,
        issued_at: number.map(|_| service_period.end()),
        due_on: None,
        notes: Vec::new(),
        plan: PlanRef { name: "standard".to_owned(), version: version.to_owned() },
        lines,
        subtotal,
        taxes: vec![Tax {
            name: "VAT".to_owned(),
            code: TaxCode::Standard,
            rate,
            reason: None,
            base: subtotal,
            amount: tax,
        }],
        total: subtotal.checked_add(tax).unwrap_or(subtotal),
        completeness: coverage(service_period),
        instances,
        unpriced: vec![UnpricedUsage {
            meter: unpriced.id(),
            title: unpriced.title.clone(),
            service_period,
            base_quantity: 36_000_000_000,
            base_unit: unpriced.unit.symbol().to_owned(),
            quantity: Decimal::new(10_000, 6),
            unit: unpriced.priced_unit.symbol.clone(),
        }],
    }
}

fn line(
    name: MeterName,
    version: &str,
    service_period: Window,
    kind: LineKind,
    quantity: Decimal,
    unit_price: Decimal,
) -> InvoiceLine {
    let meter = name.meter();
    let unit = meter.priced_unit.symbol.clone();
    let amount = Money::rounded(quantity * unit_price, Currency::EUR).unwrap_or(nothing());
    InvoiceLine {
        key: format!("standard/{version}/{name}/{}", kind.as_str()),
        card: name.as_str().to_owned(),
        meter: Some(name),
        title: meter.title.clone(),
        kind,
        dimensions: BTreeMap::new(),
        band: None,
        bounds: None,
        service_period,
        base_quantity: base_quantity(name, quantity),
        base_unit: meter.unit.symbol().to_owned(),
        quantity,
        why: format!("{quantity} {unit} at {unit_price} EUR each are {amount}."),
        unit,
        unit_price,
        conversion: None,
        is_gross: false,
        amount,
        tax_code: TaxCode::Standard,
        tax_rate: Some(Decimal::new(19, 2)),
        tax_in_price: None,
        coverage: coverage(service_period),
    }
}

fn share(n: usize, name: &str, meter: MeterName) -> InstanceUsage {
    let quantity = Decimal::new(16_667 * (n as i64 + 1), 6);
    InstanceUsage {
        instance_id: Some(InstanceId::from_uuid(Uuid::from_u128(n as u128 + 1))),
        volume_id: None,
        name: name.to_owned(),
        meter,
        base_quantity: base_quantity(meter, quantity),
        quantity,
        unit: meter.meter().priced_unit.symbol.clone(),
    }
}

fn volume_share() -> InstanceUsage {
    let stored = MeterName::parse("provisioned_kib_s").expect("the catalog has it");
    InstanceUsage {
        instance_id: None,
        volume_id: Some(VolumeId::from_uuid(Uuid::from_u128(0xff))),
        ..share(20, "default/db-primary.qcow2", stored)
    }
}

/// What `quantity` is in base units, cut off.
fn base_quantity(meter: MeterName, quantity: Decimal) -> u128 {
    let micro_units = quantity.mantissa().unsigned_abs();
    micro_units * u128::from(meter.meter().priced_unit.base_units) / 1_000_000
}

fn coverage(period: Window) -> Completeness {
    let all_ms = period.microseconds().unsigned_abs() / 1_000;
    Completeness { measured_ms: all_ms, estimated_ms: all_ms / 200, missing_ms: all_ms / 1_000 }
}

fn nothing() -> Money {
    Money::zero(Currency::EUR)
}

pub(super) fn window(start: &str, end: &str) -> Window {
    Window::new(instant(start), instant(end)).expect("the sample's periods are not empty")
}

pub(super) fn instant(text: &str) -> Timestamp {
    text.parse().expect("the sample's instants are RFC 3339")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_that_does_not_add_up_would_teach_wrong_documents() {
        for document in [InvoiceDocument::sample(), InvoiceDocument::sample_small()] {
            for line in &document.lines {
                let amount = Money::rounded(line.quantity * line.unit_price, document.currency).unwrap();
                assert_eq!(amount, line.amount, "{}", line.key);
            }
            let sum = Money::sum(document.currency, document.lines.iter().map(|line| line.amount)).unwrap();
            assert_eq!(sum, document.subtotal);
            assert_eq!(sum.checked_add(document.tax_total().unwrap()).unwrap(), document.total);
        }
    }
}
