//! Whole documents against the rules of EN 16931-1 about totals and categories of VAT. What takes something off is a document
//! level allowance there (BG-20), because an item's price is never negative (BR-27); everything else is an invoice line (BG-25).
//!
//! The numbers in brackets are the standard's: BT-131 is the net amount of a line, BT-116 and BT-117 the base and the tax of a
//! category. What the standard cannot say at all is not tested: amounts of three decimals (BR-DEC) and lines that were exchanged.

use std::collections::{BTreeMap, BTreeSet};

use billing::{DocumentKind, InvoiceDocument, InvoiceLine, InvoiceStatus, TaxCode};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::cases::Case;

/// What of the rules a document breaks: `BR-CO-10: why`.
pub fn faults(document: &InvoiceDocument) -> Vec<String> {
    let mut faults = Vec::new();
    totals(document, &mut faults);
    categories(document, &mut faults);
    for line in &document.lines {
        of_line(line, &mut faults);
    }
    references(document, &mut faults);
    faults
}

fn expect(faults: &mut Vec<String>, rule: &str, is: Decimal, should_be: Decimal) {
    if is != should_be {
        faults.push(format!("{rule}: is {is}, should be {should_be}"));
    }
}

fn demand(faults: &mut Vec<String>, rule: &str, holds: bool) {
    if !holds {
        faults.push(rule.to_owned());
    }
}

/// Whether it takes something off.
fn is_allowance(line: &InvoiceLine) -> bool {
    line.unit_price.is_sign_negative() && !line.unit_price.is_zero()
}

fn totals(document: &InvoiceDocument, faults: &mut Vec<String>) {
    let (allowances, lines): (Vec<_>, Vec<_>) = document.lines.iter().partition(|line| is_allowance(line));
    let net: Decimal = lines.iter().map(|line| line.amount.amount()).sum(); // BT-106 = sum of BT-131: BR-CO-10
    let off: Decimal = allowances.iter().map(|line| -line.amount.amount()).sum(); // BT-107 = sum of BT-92: BR-CO-11
    // There are no document level charges: BT-108 is 0 (BR-CO-12).
    expect(faults, "BR-CO-13 (BT-109 = BT-106 - BT-107 + BT-108)", document.subtotal.amount(), net - off);
    let tax: Decimal = document.taxes.iter().map(|tax| tax.amount.amount()).sum();
    expect(faults, "BR-CO-14 (BT-110 = sum of BT-117)", document.tax_total().unwrap().amount(), tax);
    expect(
        faults,
        "BR-CO-15 (BT-112 = BT-109 + BT-110)",
        document.total.amount(),
        document.subtotal.amount() + tax,
    );
    // Nothing is prepaid or rounded on the document: BT-115 = BT-112 (BR-CO-16), and the document says one total only.
    demand(faults, "BR-CO-18 (a category of VAT at least)", !document.taxes.is_empty());
    let currencies: Vec<_> = document
        .lines
        .iter()
        .map(|line| line.amount.currency())
        .chain(document.taxes.iter().flat_map(|tax| [tax.base.currency(), tax.amount.currency()]))
        .chain([document.subtotal.currency(), document.total.currency()])
        .collect();
    demand(faults, "BR-05 (one currency)", currencies.iter().all(|one| *one == document.currency));
}

fn categories(document: &InvoiceDocument, faults: &mut Vec<String>) {
    let exponent = document.currency.exponent();
    let mut sums = BTreeMap::<(&str, Decimal), Decimal>::new();
    for line in &document.lines {
        let rate = line.tax_rate.unwrap_or_default().normalize();
        *sums.entry((line.tax_code.as_str(), rate)).or_default() += line.amount.amount();
    }
    for tax in &document.taxes {
        let (code, rate) = (tax.code.as_str(), tax.rate.normalize());
        let base = sums.remove(&(code, rate)).unwrap_or_default();
        expect(faults, &format!("BR-{code}-08 (BT-116)"), tax.base.amount(), base);
        let exact = tax.base.amount() * tax.rate;
        let due = exact.round_dp_with_strategy(exponent, RoundingStrategy::MidpointAwayFromZero);
        expect(faults, "BR-CO-17 (BT-117 = BT-116 x BT-119)", tax.amount.amount(), due);
        let has_reason = tax.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
        match tax.code {
            TaxCode::Standard => {
                demand(faults, "BR-S-05 (a rate above 0)", !tax.rate.is_zero());
                demand(faults, "BR-S-10 (no reason)", !has_reason);
            }
            TaxCode::ZeroRated => {
                demand(faults, "BR-Z-05 (the rate 0)", tax.rate.is_zero());
                demand(faults, "BR-Z-09 (no tax)", tax.amount.is_zero());
                demand(faults, "BR-Z-10 (no reason)", !has_reason);
            }
            TaxCode::Exempt | TaxCode::ReverseCharge | TaxCode::OutsideScope => {
                demand(faults, &format!("BR-{code}-05 (the rate 0)"), tax.rate.is_zero());
                demand(faults, &format!("BR-{code}-09 (no tax)"), tax.amount.is_zero());
                demand(faults, &format!("BR-{code}-10 (a reason)"), has_reason);
                let noted = tax.reason.as_ref().is_some_and(|reason| document.notes.contains(reason));
                demand(faults, "the reason stands on the document", noted);
            }
        }
    }
    demand(faults, &format!("BR-CO-04, BR-S-01 and the like: no category for {sums:?}"), sums.is_empty());
    let codes: Vec<&str> = document.taxes.iter().map(|tax| tax.code.as_str()).collect();
    let once = |code: &&str| *code == "S" || codes.iter().filter(|other| *other == code).count() == 1;
    demand(faults, "BR-Z-01, BR-E-01, BR-AE-01, BR-O-01 (one breakdown)", codes.iter().all(once));
    let rates: BTreeSet<_> =
        document.taxes.iter().map(|tax| (tax.code.as_str(), tax.rate.normalize())).collect();
    demand(faults, "BR-S-08 (one breakdown for each rate)", rates.len() == document.taxes.len());
    demand(faults, "BR-O-11, BR-O-12 (nothing beside O)", !codes.contains(&"O") || codes.len() == 1);
}

fn of_line(line: &InvoiceLine, faults: &mut Vec<String>) {
    demand(faults, "BR-25, BR-33 (a name, or a reason)", !line.title.trim().is_empty());
    demand(faults, "BR-23 (a unit)", !line.unit.is_empty());
    demand(faults, "BR-CO-04 (a rate)", line.tax_rate.is_some());
    let scale = line.amount.amount().scale();
    demand(faults, "BR-DEC (decimals of the currency)", scale <= line.amount.currency().exponent());
    if is_allowance(line) {
        demand(faults, "BR-31 (an allowance is no charge)", line.amount.amount() <= Decimal::ZERO);
    } else {
        demand(faults, "BR-27 (no negative price)", Decimal::ZERO <= line.unit_price);
        demand(faults, "a quantity is not negative", Decimal::ZERO <= line.quantity);
    }
    if line.conversion.is_none() {
        // The item's net price (BT-146) is what is left of a gross one (BT-148).
        let within = line.tax_in_price.or(line.tax_rate).unwrap_or_default();
        let divisor = if line.is_gross { Decimal::ONE + within } else { Decimal::ONE };
        let exact = line.quantity * line.unit_price / divisor;
        let due = exact.round_dp_with_strategy(
            line.amount.currency().exponent(),
            RoundingStrategy::MidpointAwayFromZero,
        );
        expect(faults, &format!("{}: BT-131 = BT-129 x BT-146", line.key), line.amount.amount(), due);
    }
}

/// What a correction names, and when something is due.
fn references(document: &InvoiceDocument, faults: &mut Vec<String>) {
    let is_correction = document.kind != DocumentKind::Invoice;
    let named = document.corrects.as_ref().is_some_and(|corrected| !corrected.number.is_empty());
    demand(faults, "BR-55 (a preceding invoice has a number)", named == is_correction);
    if document.status == InvoiceStatus::Issued {
        demand(
            faults,
            "BR-02, BR-03 (a number and a day)",
            document.number.is_some() && document.issued_at.is_some(),
        );
        let is_owed = document.kind != DocumentKind::CreditNote && Decimal::ZERO < document.total.amount();
        demand(faults, "BR-CO-25 (a day on which it is due)", !is_owed || document.due_on.is_some());
    }
}

const TWO_CLASSES: &str = r#"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.0333"

[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.0107"
tax_class = "reduced"

[[version.discount]]
name = "promo"
percentage = "12.5"

[[version.discount]]
name = "coupon"
amount = "1.00"
"#;

const BOUNDED: &str = r#"
[[version]]
from = "2026-01-01"
maximum = "3.00"

[[version.rate_card]]
meter = "cpu_ns"
graduated = [{ up_to = "10", unit_price = "0.05", flat = "1.00" }, { unit_price = "0.03" }]
included = "5"
minimum = "2.00"

[[version.fee]]
name = "base"
amount = "4.99"

[[version.fee]]
name = "share"
percentage = "3.3"
"#;

const SPONSORED: &str = r#"
[[version]]
from = "2026-01-01"
sponsor = "the research council"

[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.0333"
"#;

const USED: &str = "web cpu_ns 2026-10-05 77.7\nweb provisioned_kib_s 2026-10-06 133.3\n";

/// Each case: what it shows, the plan, the taxes or who buys.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    ("two rates and discounts over both", TWO_CLASSES, "tax standard S 0.19\ntax reduced S 0.07\n"),
    (
        "a rate that changes within the month",
        TWO_CLASSES,
        "tax standard S 0.19\ntax reduced S 0.07\ntax reduced S 0.05 from 2026-10-06\n",
    ),
    ("standard and zero rated", TWO_CLASSES, "tax standard S 0.19\ntax reduced Z 0\n"),
    ("standard and exempt", TWO_CLASSES, "tax standard S 0.19\ntax reduced E 0\n"),
    ("both classes exempt, one category", TWO_CLASSES, "tax standard E 0\ntax reduced E 0\n"),
    ("reverse charge", TWO_CLASSES, "buyer AT reverse_charge\n"),
    ("exempt", TWO_CLASSES, "buyer AT exempt\n"),
    ("outside the scope", TWO_CLASSES, "buyer US outside_scope\n"),
    ("a minimum, a maximum, fees and an allowance", BOUNDED, ""),
    ("a maximum beside reverse charge", BOUNDED, "buyer AT reverse_charge\n"),
    ("a sponsor, so nothing is due", SPONSORED, ""),
    ("a tax that rounds up at a half", SPONSORED, "tax standard S 0.5\n"),
    ("yen", TWO_CLASSES, "exchange JPY 161.25\ntax standard S 0.10\ntax reduced S 0.08\n"),
];

#[test]
fn no_document_breaks_a_rule_of_en_16931_about_its_totals_and_categories() {
    for prices in ["net", "gross"] {
        for (shows, plan, whom) in DOCUMENTS {
            let plan = format!("prices = \"{prices}\"\n{plan}");
            let document = Case::new(&plan, &format!("{whom}{USED}")).document();
            assert_eq!(faults(&document), Vec::<String>::new(), "{prices}: {shows}");
        }
    }
    let empty = Case::new(BOUNDED, "").document();
    assert_eq!(faults(&empty), Vec::<String>::new(), "nothing was used");
}

/// What makes a right document wrong.
type Breach<'a> = &'a dyn Fn(&mut InvoiceDocument);

#[test]
fn every_rule_notices_when_a_document_breaks_it() {
    let good = Case::new(TWO_CLASSES, &format!("tax standard S 0.19\ntax reduced E 0\n{USED}")).document();
    let coin =
        |document: &InvoiceDocument| billing::Money::exact(Decimal::new(1, 2), document.currency).unwrap();
    let broken: &[(&str, Breach)] = &[
        ("BR-CO-13", &|d| d.subtotal = d.subtotal.checked_add(coin(d)).unwrap()),
        ("BR-CO-15", &|d| d.total = d.total.checked_add(coin(d)).unwrap()),
        ("BR-CO-17", &|d| d.taxes[0].amount = d.taxes[0].amount.checked_add(coin(d)).unwrap()),
        ("BR-CO-18", &|d| d.taxes.clear()),
        ("BR-S-08", &|d| d.taxes[0].base = d.taxes[0].base.checked_add(coin(d)).unwrap()),
        ("BR-E-08", &|d| d.taxes[1].base = d.taxes[1].base.checked_add(coin(d)).unwrap()),
        ("BR-CO-04", &|d| drop(d.taxes.remove(1))),
        ("BR-E-10", &|d| d.taxes[1].reason = None),
        ("BR-S-10", &|d| d.taxes[0].reason = Some("a law".to_owned())),
        ("BR-E-01", &|d| d.taxes.push(d.taxes[1].clone())),
        ("BR-O-11", &|d| d.taxes[1].code = TaxCode::OutsideScope),
        ("BR-25", &|d| d.lines[0].title.clear()),
        ("BR-27", &|d| {
            d.lines[0].quantity = -d.lines[0].quantity;
            d.lines[0].amount = coin(d);
        }),
        ("BR-55", &|d| d.kind = DocumentKind::CreditNote),
        ("BR-CO-25", &|d| {
            d.status = InvoiceStatus::Issued;
            d.number = Some("INV-1".to_owned());
            d.issued_at = Some(crate::common::november());
        }),
    ];
    assert_eq!(faults(&good), Vec::<String>::new());
    for (rule, breaks) in broken {
        let mut document = good.clone();
        breaks(&mut document);
        let found = faults(&document);
        let notices =
            |fault: &String| fault.contains(rule) || (*rule == "BR-27" && fault.contains("quantity"));
        assert!(found.iter().any(notices), "{rule}: {found:?}");
    }
}
