//! Tax tables and what they mean for a tenant: named rates, changes in mid-period, and the rules of EN 16931.

use billing::account::currencies::Currencies;
use billing::account::{AccountTerms, BillingAccount, TaxTreatment};
use billing::country::Country;
use billing::plan::TaxClass;
use billing::tax::{TaxTable, Taxation};
use billing::{Currency, Money, PricePlan, TaxCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use metering::TenantId;
use uuid::Uuid;

/// Rates as published. Germany: section 12 UStG (19 and 7 %), lowered to 16 and 5 % from 1 July to 31 December 2020 by section 28
/// (1) to (3) UStG (Zweites Corona-Steuerhilfegesetz). Switzerland: article 25 MWSTG, 8.1, 2.6 and 3.8 % from 1 January 2024,
/// before that 7.7, 2.5 and 3.7 % from 1 January 2018.
const TABLE: &str = r#"
[seller]
country = "DE"
number = "DE123456789"

[[rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "0.19"
from = "2007-01-01"
until = "2020-07-01"

[[rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "0.16"
from = "2020-07-01"
until = "2021-01-01"

[[rate]]
country = "DE"
class = "standard"
name = "USt"
rate = "0.19"
from = "2021-01-01"

[[rate]]
country = "DE"
class = "reduced"
name = "USt"
rate = "0.07"
from = "1983-07-01"

[[rate]]
country = "DE"
class = "reduced"
name = "USt"
rate = "0.05"
from = "2020-07-01"

[[rate]]
country = "DE"
class = "reduced"
name = "USt"
rate = "0.07"
from = "2021-01-01"

[[rate]]
country = "CH"
class = "standard"
name = "MWST"
rate = "0.077"
from = "2018-01-01"
until = "2024-01-01"

[[rate]]
country = "CH"
class = "standard"
name = "MWST"
rate = "0.081"
from = "2024-01-01"

[[rate]]
country = "CH"
class = "reduced"
name = "MWST"
rate = "0.026"
from = "2024-01-01"

[[rate]]
country = "CH"
class = "lodging"
name = "MWST"
rate = "0.038"
from = "2024-01-01"

[[rate]]
country = "CH"
class = "export"
name = "MWST"
rate = "0"
from = "2024-01-01"

[[rate]]
country = "FR"
class = "standard"
name = "TVA"
rate = "0.20"
from = "2014-01-01"
until = "2025-01-01"
"#;

fn table() -> TaxTable {
    TaxTable::parse("taxes.toml", TABLE.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn plan(tax: &str) -> PricePlan {
    let text = format!(
        "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n{tax}\n[[version]]\nfrom = \"2000-01-01\"\n\
         [[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n"
    );
    PricePlan::parse("p.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn account(country: &str, treatment: TaxTreatment) -> BillingAccount {
    let terms = AccountTerms { country: Country::parse(country).ok(), treatment, ..AccountTerms::default() };
    let tenant_id = TenantId::from_uuid(Uuid::nil());
    BillingAccount { tenant_id, terms, currencies: Currencies::default(), tax_number: None, revision: 1 }
}

fn class(name: &str) -> TaxClass {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// What is due at local noon of a day: `S 0.19`, or why nobody knows.
fn due(country: &str, name: &str, day: &str, place: &str) -> String {
    let (table, zone) = (table(), zone(place));
    let month = billing::period::month(&day[..7], &zone).unwrap();
    let account = account(country, TaxTreatment::Taxable);
    let taxation = match Taxation::resolve(Some(&table), &plan(""), &account, month, &zone) {
        Ok(taxation) => taxation,
        Err(error) => return error.to_string(),
    };
    let noon: jiff::civil::Date = day.parse().unwrap();
    let noon = noon.at(12, 0, 0, 0).to_zoned(zone).unwrap().timestamp();
    match taxation.at(&class(name), noon) {
        Ok(rate) => format!("{} {}", rate.code.as_str(), rate.rate),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_rates_of_germany_and_switzerland_are_those_of_the_day() {
    for (country, name, day, expected) in [
        ("DE", "standard", "2020-06-30", "S 0.19"),
        ("DE", "standard", "2020-07-01", "S 0.16"),
        ("DE", "standard", "2020-12-31", "S 0.16"),
        ("DE", "standard", "2021-01-01", "S 0.19"),
        ("DE", "reduced", "2020-06-30", "S 0.07"),
        ("DE", "reduced", "2020-08-01", "S 0.05"),
        ("DE", "reduced", "2026-10-15", "S 0.07"),
        ("CH", "standard", "2023-12-31", "S 0.077"),
        ("CH", "standard", "2024-01-01", "S 0.081"),
        ("CH", "reduced", "2026-10-15", "S 0.026"),
        ("CH", "lodging", "2026-10-15", "S 0.038"),
        ("CH", "export", "2026-10-15", "Z 0"),
        // Nobody said: the seller's.
        ("", "standard", "2026-10-15", "S 0.19"),
    ] {
        assert_eq!(due(country, name, day, "Europe/Zurich"), expected, "{country} {name} {day}");
    }
    for (country, name, day, expected) in [
        ("CH", "reduced", "2020-01-01", "there is no tax rate for class \"reduced\" on 2020-01-01"),
        ("DE", "books", "2026-10-15", "there is no tax rate for class \"books\""),
        ("FR", "standard", "2025-01-02", "there is no tax rate for class \"standard\" on 2025-01-02"),
        ("AT", "standard", "2026-10-15", "no rate for Austria (AT)"),
    ] {
        let said = due(country, name, day, "Europe/Zurich");
        assert!(said.contains(expected), "{country} {name} {day}: {said}");
    }
}

#[test]
fn a_rate_that_changes_in_mid_period_cuts_it_at_the_tenants_midnight() {
    let (table, berlin) = (table(), zone("Europe/Berlin"));
    let half = billing::period::custom("2020-06-15", "2020-07-15", &berlin).unwrap();
    let account = account("DE", TaxTreatment::Taxable);
    let taxation = Taxation::resolve(Some(&table), &plan(""), &account, half, &berlin).unwrap();
    let midnight: Timestamp = "2020-06-30T22:00:00Z".parse().unwrap();
    assert_eq!(taxation.cuts(half), [midnight]);
    let rate = |at: Timestamp| taxation.at(&class("standard"), at).unwrap().rate.to_string();
    assert_eq!(rate(midnight - jiff::SignedDuration::from_micros(1)), "0.19");
    assert_eq!(rate(midnight), "0.16");
    assert_eq!(taxation.notes(), Vec::<String>::new());
}

/// What holds for a tenant of a treatment: `code rate | reason`, or the error.
fn treated(
    treatment: TaxTreatment,
    buyer: Option<&str>,
    reason: Option<&str>,
    table: Option<&TaxTable>,
    tax: &str,
) -> String {
    let mut account = account("AT", treatment);
    account.tax_number = buyer.map(str::to_owned);
    account.terms.tax_reason = reason.map(str::to_owned);
    let month = billing::period::month("2026-10", &TimeZone::UTC).unwrap();
    match Taxation::resolve(table, &plan(tax), &account, month, &TimeZone::UTC) {
        Err(error) => error.to_string(),
        Ok(taxation) => {
            let rate = taxation.at(&class("standard"), month.start()).unwrap();
            assert_eq!(taxation.notes(), rate.reason.clone().into_iter().collect::<Vec<_>>());
            format!("{} {} | {}", rate.code.as_str(), rate.rate, rate.reason.clone().unwrap_or_default())
        }
    }
}

#[test]
fn whoever_is_not_taxed_has_a_code_the_rate_0_and_a_reason_as_en_16931_wants() {
    let table = table();
    let nameless = TABLE.replace("number = \"DE123456789\"\n", "");
    let nameless = TaxTable::parse("t.toml", nameless.as_bytes()).unwrap();
    let fixed = "[tax]\nname = \"VAT\"\nrate = \"0.19\"";
    let some = Some(&table);
    // (rule, treatment, buyer's number, reason, table, the plan's tax, expected)
    use TaxTreatment::{Exempt, OutsideScope, ReverseCharge, Taxable};
    for (rule, treatment, buyer, reason, table, tax, expected) in [
        ("BR-AE-05, -10", ReverseCharge, Some("ATU12345678"), None, some, "", "AE 0 | Reverse charge"),
        ("BR-AE-05, -10", ReverseCharge, Some("ATU12345678"), None, some, fixed, "AE 0 | Reverse charge"),
        ("BR-AE-03", ReverseCharge, None, None, some, "", "reverse charge needs the tenant's tax number"),
        (
            "BR-AE-02",
            ReverseCharge,
            Some("A"),
            None,
            Some(&nameless),
            "",
            "reverse charge needs the seller's tax number",
        ),
        (
            "BR-AE-02",
            ReverseCharge,
            Some("A"),
            None,
            None,
            fixed,
            "reverse charge needs the seller's tax number",
        ),
        ("BR-E-05, -10", Exempt, None, Some("Exempt: research"), some, "", "E 0 | Exempt: research"),
        ("BR-E-10", Exempt, None, None, some, "", "needs a reason"),
        ("BR-O-05, -10", OutsideScope, None, Some("Outside: embassy"), None, "", "O 0 | Outside: embassy"),
        ("BR-O-10", OutsideScope, None, None, None, "", "needs a reason"),
        ("the plan's", Taxable, None, None, some, fixed, "S 0.19 | "),
        ("BR-Z-05", Taxable, None, None, None, "[tax]\nname = \"VAT\"\nrate = \"0\"", "Z 0 | "),
        ("nothing", Taxable, None, None, None, "", "there is no tax table"),
    ] {
        let said = treated(treatment, buyer, reason, table, tax);
        assert!(said.contains(expected), "{rule} {treatment:?}: {said}");
    }
}

/// What gross prices contain for a buyer that is not taxed, at local noon of a day: `AE 0 of 0.19`, or why nobody knows.
fn in_prices(
    treatment: TaxTreatment,
    table: Option<&TaxTable>,
    tax: &str,
    class_name: &str,
    day: &str,
) -> String {
    let gross =
        PricePlan::parse("p.toml", format!("prices = \"gross\"\n{}", plan(tax).source()).as_bytes()).unwrap();
    let mut account = account("AT", treatment);
    account.tax_number = Some("ATU12345678".to_owned());
    account.terms.tax_reason = Some("a law".to_owned());
    let berlin = zone("Europe/Berlin");
    let month = billing::period::month(&day[..7], &berlin).unwrap();
    let noon: jiff::civil::Date = day.parse().unwrap();
    let noon = noon.at(12, 0, 0, 0).to_zoned(berlin.clone()).unwrap().timestamp();
    let taxation = match Taxation::resolve(table, &gross, &account, month, &berlin) {
        Err(error) => return error.to_string(),
        Ok(taxation) => taxation,
    };
    match taxation.at(&class(class_name), noon) {
        Err(error) => error.to_string(),
        Ok(rate) => format!("{} {} of {}", rate.code.as_str(), rate.rate, rate.in_prices),
    }
}

#[test]
fn a_buyer_abroad_does_not_pay_the_sellers_tax_within_a_gross_price() {
    let table = table();
    let nowhere = TABLE.replace("[seller]\ncountry = \"DE\"", "[seller]\ncountry = \"AT\"");
    let nowhere = TaxTable::parse("t.toml", nowhere.as_bytes()).unwrap();
    let fixed = "[tax]\nname = \"VAT\"\nrate = \"0.20\"";
    let some = Some(&table);
    use TaxTreatment::{Exempt, OutsideScope, ReverseCharge};
    for (treatment, table, tax, class, day, expected) in [
        // The seller's, of the class and of the day; not the buyer's.
        (ReverseCharge, some, "", "standard", "2026-10-15", "AE 0 of 0.19"),
        (ReverseCharge, some, "", "reduced", "2026-10-15", "AE 0 of 0.07"),
        (ReverseCharge, some, "", "standard", "2020-08-15", "AE 0 of 0.16"),
        (Exempt, some, "", "standard", "2026-10-15", "E 0 of 0.19"),
        (OutsideScope, some, "", "standard", "2026-10-15", "O 0 of 0.19"),
        // What the plan says that its prices contain goes first.
        (ReverseCharge, some, fixed, "reduced", "2026-10-15", "AE 0 of 0.20"),
        (Exempt, None, fixed, "standard", "2026-10-15", "E 0 of 0.20"),
        // Nobody has said which: no guess.
        (
            Exempt,
            None,
            "",
            "standard",
            "2026-10-15",
            "gross prices, and for a tenant that is exempt the seller's own tax",
        ),
        (OutsideScope, Some(&nowhere), "", "standard", "2026-10-15", "rates of Austria in the tax table"),
        (
            ReverseCharge,
            some,
            "",
            "books",
            "2026-10-15",
            "there is no tax rate for class \"books\" on 2026-10-15",
        ),
    ] {
        let said = in_prices(treatment, table, tax, class, day);
        assert!(said.contains(expected), "{treatment:?} {class} {day}: {said}");
    }
}

#[test]
fn a_home_rate_that_changes_in_mid_month_is_taken_out_of_each_half_by_itself() {
    let (table, berlin) = (table(), zone("Europe/Berlin"));
    let half = billing::period::custom("2020-06-15", "2020-07-15", &berlin).unwrap();
    let gross =
        PricePlan::parse("p.toml", format!("prices = \"gross\"\n{}", plan("").source()).as_bytes()).unwrap();
    let mut account = account("AT", TaxTreatment::ReverseCharge);
    account.tax_number = Some("ATU12345678".to_owned());
    let taxation = Taxation::resolve(Some(&table), &gross, &account, half, &berlin).unwrap();
    let midnight: Timestamp = "2020-06-30T22:00:00Z".parse().unwrap();
    assert_eq!(taxation.cuts(half), [midnight]);
    assert_eq!(taxation.notes(), ["Reverse charge"]);
    let within = |at: Timestamp| taxation.at(&class("standard"), at).unwrap().in_prices.to_string();
    assert_eq!(within(midnight - jiff::SignedDuration::from_micros(1)), "0.19");
    assert_eq!(within(midnight), "0.16");
}

#[test]
fn tax_is_the_base_times_the_rate_rounded_once() {
    // BR-CO-17, by hand: base, rate, currency, tax.
    for (base, rate, currency, expected) in [
        ("100.00", "0.19", "EUR", "19.00"),
        ("0.03", "0.19", "EUR", "0.01"),
        ("0.02", "0.19", "EUR", "0.00"),
        ("10.50", "0.05", "EUR", "0.53"),
        ("-10.50", "0.05", "EUR", "-0.53"),
        ("123.45", "0.081", "CHF", "10.00"),
        ("123.46", "0.026", "CHF", "3.21"),
        ("105", "0.10", "JPY", "11"),
        ("104", "0.10", "JPY", "10"),
        ("1.235", "0.10", "BHD", "0.124"),
        ("99.99", "0", "EUR", "0.00"),
    ] {
        let (base, rate): (rust_decimal::Decimal, rust_decimal::Decimal) =
            (base.parse().unwrap(), rate.parse().unwrap());
        let tax = Money::rounded(base * rate, Currency::parse(currency).unwrap()).unwrap();
        assert_eq!(tax.amount().to_string(), expected, "{base} {rate} {currency}");
    }
    assert_eq!(TaxCode::ReverseCharge.as_str(), "AE");
}

#[test]
fn a_table_with_gaps_overlaps_and_slips_is_refused_with_every_line() {
    let rate = |country: &str, rate: &str, from: &str, until: &str| {
        let until = if until.is_empty() { String::new() } else { format!("until = \"{until}\"\n") };
        format!(
            "[[rate]]\ncountry = \"{country}\"\nclass = \"standard\"\nname = \"VAT\"\nrate = \"{rate}\"\nfrom = \"{from}\"\n{until}"
        )
    };
    let seller = "[seller]\ncountry = \"DE\"\n";
    let two = |a: &str, b: &str, c: &str| {
        format!("{seller}{}{}", rate("DE", "0.19", a, b), rate("DE", "0.16", c, ""))
    };
    let cases: Vec<(String, &str)> = vec![
        (
            two("2020-01-01", "2020-07-01", "2020-08-01"),
            "t.toml:9:9: nothing says what DE standard is from 2020-07-01 to 2020-08-01: a gap",
        ),
        (
            two("2020-01-01", "2020-07-01", "2020-06-01"),
            "t.toml:9:9: DE standard has two rates from 2020-06-01 to 2020-07-01: they overlap",
        ),
        (two("2020-01-01", "", "2020-01-01"), "a rate of DE standard begins on 2020-01-01 in line 8 too"),
        (two("2020-01-01", "2019-01-01", "2020-06-01"), "the rate holds until 2019-01-01"),
        (format!("{seller}{}", rate("UK", "0.2", "2020-01-01", "")), "write \"GB\""),
        (format!("{seller}{}", rate("de", "0.2", "2020-01-01", "")), "did you mean \"DE\"?"),
        (format!("{seller}{}", rate("XX", "0.2", "2020-01-01", "")), "is no country of ISO 3166"),
        (format!("{seller}{}", rate("DE", "19", "2020-01-01", "")), "more than the whole amount"),
        (format!("{seller}{}", rate("DE", "-0.1", "2020-01-01", "")), "may not be negative"),
        (format!("{seller}{}", rate("DE", "0.19", "2020-02-30", "")), "is no day"),
        (rate("DE", "0.19", "2020-01-01", ""), "lacks [seller]"),
        (seller.to_owned(), "has no [[rate]]"),
        (format!("{seller}vat = 1\n"), "[seller] has no key"),
        ("rate = 5".to_owned(), "`rate` is no list"),
        ("\u{0}".to_owned(), "t.toml:1"),
    ];
    for (text, expected) in cases {
        let errors = TaxTable::parse("t.toml", text.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
    // All of them at once, not only the first.
    let text = format!("{seller}{}{}", rate("XX", "9", "x", ""), rate("YY", "0.1", "2020-01-01", ""));
    assert_eq!(TaxTable::parse("t.toml", text.as_bytes()).unwrap_err().problems().len(), 4);
    // In whatever order they are written.
    assert!(TaxTable::parse("t.toml", two("2020-06-01", "", "2020-01-01").as_bytes()).is_ok());
}
