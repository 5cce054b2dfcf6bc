//! The JSON of drafts, to the last byte: it is an interface.

use billing::{DocumentKind, InvoiceDocument, LineKind, PricePlan, TaxCode, period, simulate, usage_file};

const PLAN: &str = r#"name = "small"
currency = "EUR"
time_zone = "Europe/Berlin"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.04"
included = "0.5"
[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.000065"
[[version]]
from = "2026-10-15"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.05"
"#;

const USAGE: &str = "\
resource,instance_id,name,device,meter,window_start,window_end,quantity
instance,00000000-0000-0000-0000-000000000001,web,,cpu_ns,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,1800000000001
instance,00000000-0000-0000-0000-000000000002,\"<b>\"\"db\"\"</b>\",,cpu_ns,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,900000000000
instance,00000000-0000-0000-0000-000000000001,web,,cpu_ns,2026-10-15T00:00:00Z,2026-10-15T01:00:00Z,3600000000000
volume,00000000-0000-0000-0000-000000000003,default/db,,provisioned_kib_s,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,377487360000
nic,00000000-0000-0000-0000-000000000001,web,52:54:00:00:00:01,net_rx_bytes,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,5251797
";

#[test]
fn a_simulation_gives_the_same_json_each_time() {
    let plan = PricePlan::parse("small.toml", PLAN.as_bytes()).unwrap();
    let usage = usage_file::parse("usage.csv", USAGE.as_bytes()).unwrap();
    let october = period::month("2026-10", plan.time_zone()).unwrap();
    let document = simulate(&plan, &usage, &[], october).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
    let mut reversed = usage;
    reversed.reverse();
    assert_eq!(simulate(&plan, &reversed, &[], october).unwrap(), document);
}

/// A document as earlier builds wrote it.
const BEFORE: &str = include_str!("document-earlier.json");

#[test]
fn a_document_that_an_earlier_release_stored_reads_as_it_was_meant() {
    let document: InvoiceDocument = serde_json::from_str(BEFORE).unwrap();
    assert_eq!(document.kind, DocumentKind::Invoice);
    assert_eq!(document.due_on, None);
    let kinds: Vec<LineKind> = document.lines.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [LineKind::Included, LineKind::Standard, LineKind::Standard, LineKind::Standard]);
    for line in &document.lines {
        assert!(line.meter.is_some() && line.card.is_empty() && !line.is_gross);
        assert_eq!((line.tax_code, line.tax_rate), (TaxCode::Standard, None));
    }
    assert_eq!(document.taxes.len(), 1);
    assert_eq!(document.taxes[0].base, document.subtotal);
    let total = document.subtotal.checked_add(document.tax_total().unwrap()).unwrap();
    assert_eq!(total, document.total);
    // What is written today says the same.
    let today = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(serde_json::from_str::<InvoiceDocument>(&today).unwrap(), document);
}
