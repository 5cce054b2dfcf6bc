//! The plans that come with the program, each with usage and the invoice that it makes, next to it in `plans/`.

use billing::account::currencies::Currencies;
use billing::account::{AccountTerms, BillingAccount};
use billing::country::Country;
use billing::tax::TaxTable;
use billing::{
    Bill, Buyer, Currency, InvoiceDocument, InvoiceId, Party, PricePlan, Taxation, exchange, period,
    usage_file,
};
use metering::{TenantId, TenantName};
use uuid::Uuid;

fn read(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/plans/{file}", env!("CARGO_MANIFEST_DIR")))
        .unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn plan(name: &str) -> PricePlan {
    let file = format!("{name}.toml");
    let plan = PricePlan::parse(&file, &read(&file)).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.name(), name);
    plan
}

/// The invoice of October 2026, for a tenant of `country` that pays in `currency`.
fn october(name: &str, country: Option<&str>, currency: Option<&str>) -> InvoiceDocument {
    let plan = plan(name);
    let usage =
        usage_file::parse("usage.csv", &read(&format!("{name}.usage.csv"))).unwrap_or_else(|e| panic!("{e}"));
    let samples = usage_file::samples(&usage, &plan);
    let period = period::month("2026-10", plan.time_zone()).unwrap();
    let terms = AccountTerms {
        country: country.map(|code| Country::parse(code).unwrap()),
        ..AccountTerms::default()
    };
    let account = BillingAccount {
        tenant_id: TenantId::UNASSIGNED,
        terms,
        currencies: Currencies::default(),
        tax_number: None,
        revision: 0,
    };
    let table = TaxTable::parse("taxes.toml", &read("reseller.taxes.toml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let taxation = Taxation::resolve(Some(&table), &plan, &account, period, plan.time_zone()).unwrap();
    let rates =
        exchange::parse("rates.csv", &read("reseller.rates.csv")).unwrap_or_else(|errors| panic!("{errors}"));
    let rate = currency.map(|code| {
        let to = Currency::parse(code).unwrap();
        rates.iter().filter(|rate| rate.to == to).max_by_key(|rate| rate.valid_from).unwrap()
    });
    let nobody = Party { name: "nobody".to_owned(), ..Party::default() };
    let bill = Bill {
        invoice_id: InvoiceId::from_uuid(Uuid::nil()),
        seller: &nobody,
        buyer: Buyer {
            tenant: TenantName::new("nobody").unwrap(),
            party: nobody.clone(),
            time_zone: plan.time_zone_name().to_owned(),
        },
        plan: &plan,
        usage: &usage,
        samples: &samples,
        period,
        exchange: rate,
        taxation: &taxation,
    };
    bill.draft().unwrap()
}

/// One line for each of the invoice's: key, quantity, price, amount.
fn table(draft: &InvoiceDocument) -> String {
    let width = draft.lines.iter().map(|line| line.key.len()).max().unwrap_or(0);
    let mut text = String::new();
    for line in &draft.lines {
        let priced = format!("{} {} x {}", line.quantity, line.unit, line.unit_price);
        text += &format!("{:width$}  {priced:>32}  = {}\n", line.key, line.amount);
    }
    for tax in &draft.taxes {
        text += &format!("{} {} of {}: {}\n", tax.name, tax.rate, tax.base, tax.amount);
    }
    assert!(draft.unpriced.is_empty(), "every meter of the example has a price: {:?}", draft.unpriced);
    text + &format!("{} in all\n", draft.total)
}

#[test]
fn each_plan_that_comes_with_the_program_is_right_and_has_usage_and_an_invoice_beside_it() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).unwrap();
    let files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let plans = files.iter().filter_map(|file| file.strip_suffix(".toml")).filter(|name| !name.contains('.'));
    // The demo's usage is what real guests do.
    for name in plans.filter(|name| *name != "demo") {
        plan(name);
        assert!(
            files.contains(&format!("{name}.usage.csv")) && files.contains(&format!("{name}.snap")),
            "{name}"
        );
    }
    plan("demo");
}

/// Keeps the table next to the plan.
fn check(name: &str, draft: &InvoiceDocument) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../plans");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, table(draft)));
}

#[test]
fn a_host_of_virtual_servers_bills_sizes_addresses_and_packages_of_traffic_gross() {
    check("vps-host", &october("vps-host", None, None));
}

#[test]
fn a_private_cloud_shows_what_it_costs_and_its_sponsor_bears_it() {
    let draft = october("private-cloud", None, None);
    assert!(draft.total.is_zero() && draft.lines.iter().any(|line| !line.amount.is_zero()));
    check("private-cloud", &draft);
}

#[test]
fn a_reseller_bills_by_volume_reserved_and_discounted_in_the_customers_currency_and_country() {
    check("reseller", &october("reseller", None, None));
    check("reseller-france-in-yen", &october("reseller", Some("FR"), Some("JPY")));
}

#[test]
fn a_university_lets_research_run_for_free_and_shows_it() {
    let draft = october("university", None, None);
    let research = draft.lines.iter().filter(|line| line.card.starts_with("research"));
    assert!(research.clone().all(|line| line.amount.is_zero()) && research.count() == 2);
    check("university", &draft);
}

#[test]
fn the_standard_plan_has_cheap_nights_and_traffic_that_gets_cheaper() {
    check("standard", &october("standard", None, None));
}
