//! Tenants' own terms: what they make of a plan, and when they do not go together.

use billing::plan::{FeeCharge, PriceModel};
use billing::terms::TenantTerms;
use billing::{PricePlan, plans};
use jiff::Timestamp;
use metering::TenantId;
use migrations::Scope;
use uuid::Uuid;

const PLAN: &str = r#"name = "standard"
currency = "EUR"
time_zone = "Europe/Berlin"

[[version]]
from = "2026-01-01"
minimum = "5.00"

[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.04"
included = "10"
title = "Processor"

[[version.fee]]
name = "setup"
amount = "10.00"
every = "once"
on = "2026-02-01"

[[version]]
from = "2026-07-01"

[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.05"
"#;

fn plan() -> PricePlan {
    PricePlan::parse("plan.toml", PLAN.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn terms(text: &str) -> TenantTerms {
    TenantTerms::parse("terms.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The versions of the plan for a tenant: from when, the price of cpu_ns, and names of what is beside it.
fn check(text: &str, expected: &[&str]) {
    let merged = plan().for_tenant(&terms(text)).unwrap_or_else(|error| panic!("{error}"));
    let told: Vec<String> = merged
        .versions()
        .iter()
        .map(|version| {
            let terms = version.terms();
            let card = &terms.rate_cards[0];
            let PriceModel::PerUnit { unit_price } = card.price else { panic!("{card:?}") };
            let fees = terms.fees.iter().map(|fee| fee.name.as_str());
            let commitments = terms.commitments.iter().map(|commitment| commitment.name.as_str());
            let beside: Vec<&str> =
                fees.chain(commitments).chain(terms.discounts.iter().map(|d| d.name.as_str())).collect();
            let minimum =
                terms.bounds.minimum.map_or_else(String::new, |minimum| format!(" at least {minimum}"));
            let included = card.included.quantity;
            format!("{} {unit_price} included {included}{minimum} {}", version.from(), beside.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect();
    assert_eq!(told, expected, "{text}");
    assert_eq!(merged.source(), PLAN, "an invoice refers to the text that was applied");
}

const CHEAPER: &str = "[[terms.rate_card]]\nname = \"cpu_ns\"\nunit_price = \"0.03\"\n";

#[test]
fn terms_hold_from_their_day_on_and_versions_are_cut_there() {
    let base = ["2026-01-01 0.04 included 10 at least 5.00 setup", "2026-07-01 0.05 included 0"];
    check("", &base);
    check(
        &format!("[[terms]]\nfrom = \"2026-03-01\"\n{CHEAPER}"),
        &[base[0], "2026-03-01 0.03 included 0 at least 5.00", "2026-07-01 0.03 included 0"],
    );
    // Terms that say nothing end the ones before.
    check(
        &format!("[[terms]]\nfrom = \"2026-03-01\"\n{CHEAPER}[[terms]]\nfrom = \"2026-04-01\"\n"),
        &[
            base[0],
            "2026-03-01 0.03 included 0 at least 5.00",
            "2026-04-01 0.04 included 10 at least 5.00",
            base[1],
        ],
    );
    // Before the plan there is nothing that they could change.
    check(
        &format!("[[terms]]\nfrom = \"2020-01-01\"\n{CHEAPER}"),
        &["2026-01-01 0.03 included 0 at least 5.00 setup", "2026-07-01 0.03 included 0"],
    );
    check(
        "[[terms]]\nfrom = \"2026-07-01\"\nminimum = \"1.00\"\n[[terms.discount]]\nname = \"loyal\"\npercentage = \"10\"\n\
         [[terms.commitment]]\nname = \"reserved\"\ncard = \"cpu_ns\"\nquantity = \"100\"\nunit_price = \"0.01\"\n\
         [[terms.fee]]\nname = \"phone\"\namount = \"3\"\n",
        &[base[0], "2026-07-01 0.05 included 0 at least 1.00 phone reserved loyal"],
    );
}

#[test]
fn a_fee_that_falls_due_once_falls_due_in_one_part_of_its_version() {
    for (from, part) in [("2026-01-15", 1), ("2026-02-01", 1), ("2026-02-02", 0)] {
        let merged = plan().for_tenant(&terms(&format!("[[terms]]\nfrom = \"{from}\"\n{CHEAPER}"))).unwrap();
        let due: Vec<usize> = merged
            .versions()
            .iter()
            .enumerate()
            .filter(|(_, v)| v.terms().fees.iter().any(|fee| matches!(fee.charge, FeeCharge::Once { .. })))
            .map(|(n, _)| n)
            .collect();
        assert_eq!(due, [part], "{from}");
    }
}

#[test]
fn a_card_keeps_what_it_is_about_and_takes_what_it_costs() {
    let text = "[[terms]]\nfrom = \"2026-03-01\"\n[[terms.rate_card]]\nname = \"cpu_ns\"\nvolume = [{ unit_price = \"1\" }]\nmaximum = \"9\"\n";
    let merged = plan().for_tenant(&terms(text)).unwrap();
    let card = &merged.versions()[1].terms().rate_cards[0];
    assert_eq!(card.title.as_deref(), Some("Processor"));
    assert_eq!(card.included.quantity.to_string(), "0");
    assert!(matches!(card.price, PriceModel::Volume { .. }) && card.bounds.maximum.is_some());
}

#[test]
fn terms_that_do_not_go_with_the_plan_are_told_with_their_day() {
    let from = "[[terms]]\nfrom = \"2026-03-01\"\n";
    for (text, expected) in [
        ("[[terms.rate_card]]\nname = \"gpu\"\nunit_price = \"1\"\n", "there is no card gpu"),
        ("[[terms.fee]]\nname = \"setup\"\namount = \"1\"\n", "the plan calls something setup already"),
        (
            "[[terms.discount]]\nname = \"d\"\namount = \"1\"\nof = [\"cpu\"]\n",
            "discount d: there is no card and no fee cpu",
        ),
        (
            "[[terms.commitment]]\nname = \"c\"\ncard = \"setup\"\nquantity = \"1\"\nunit_price = \"1\"\n",
            "no card",
        ),
        ("maximum = \"4.00\"\n", "the maximum of 4.00 is below the minimum of 5.00"),
        (
            "[[terms.rate_card]]\nname = \"cpu_ns\"\npercentile = { percent = 95, unit_price = \"1\" }\n",
            "card cpu_ns: a percentile",
        ),
    ] {
        let error = plan().for_tenant(&terms(&format!("{from}{text}"))).unwrap_err().to_string();
        assert!(error.contains("plan standard from 2026-03-01 on"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn slips_in_terms_are_told_with_their_place() {
    for (text, expected) in [
        ("[[term]]\n", "did you mean `terms`?"),
        ("[[terms]]\n", "lacks `from`"),
        (
            "[[terms]]\nfrom = \"2026-03-01\"\n[[terms]]\nfrom = \"2026-03-01\"\n",
            "terms.toml:4:8: these terms hold from 2026-03-01, not after those of line 2",
        ),
        (
            "[[terms]]\nfrom = \"2026-03-01\"\n[[terms.rate_card]]\nname = \"a\"\nunit_price = \"-1\"\n",
            "terms.toml:5:14: `unit_price`: a price may not be negative",
        ),
        (
            "[[terms]]\nfrom = \"2026-03-01\"\n[[terms.rate_card]]\nname = \"a\"\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n",
            "has no key \"meter\"",
        ),
        (
            "[[terms]]\nfrom = \"2026-03-01\"\n[[terms.fee]]\nname = \"a\"\namount = \"1\"\nevery = \"once\"\non = \"2026-02-28\"\n",
            "these terms hold from 2026-03-01 on",
        ),
        (
            "[[terms]]\nfrom = \"2026-03-01\"\n[terms.trial]\nuntil = \"2026-03-01\"\n",
            "the trial ends on 2026-03-01",
        ),
        ("currency = \"USD\"\n", "has no key \"currency\""),
    ] {
        let error = TenantTerms::parse("terms.toml", text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_terms_and_every_revision_stays() {
    let database = migrations::testing::database().await;
    let client = database.owner_client().await;
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let insert =
        "WITH added AS (INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, 'T') RETURNING tenant_id)
         INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at)
         SELECT tenant_id, 1, '0001-01-01', 'standard', now() FROM added";
    client.execute(insert, &[&a, &"a"]).await.unwrap();
    client.execute(insert, &[&b, &"b"]).await.unwrap();
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let tenant = TenantId::from_uuid(a);
    let cheaper = terms(&format!("[[terms]]\nfrom = \"2026-03-01\"\n{CHEAPER}"));
    let store = billing::store::terms::apply;
    assert_eq!(store(&database, tenant, &cheaper, now).await.unwrap(), plans::Applied::New { revision: 1 });
    assert_eq!(
        store(&database, tenant, &cheaper, now).await.unwrap(),
        plans::Applied::Unchanged { revision: 1 }
    );
    assert_eq!(store(&database, tenant, &terms(""), now).await.unwrap(), plans::Applied::New { revision: 2 });
    assert_eq!(store(&database, tenant, &cheaper, now).await.unwrap(), plans::Applied::New { revision: 3 });
    let seen = async |scope| billing::store::terms::get(&database, scope, tenant).await.unwrap();
    assert_eq!(seen(Scope::Tenant(a)).await.unwrap().revision, 3);
    assert_eq!(seen(Scope::Tenant(b)).await, None);
    let all = billing::store::terms::of_plan(&database, "standard").await.unwrap();
    assert_eq!(all, [("a".to_owned(), cheaper)]);
}
