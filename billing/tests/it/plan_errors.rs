//! Plan files that are wrong, and what people are told: file, line, column, what, and how to mend it.

use billing::PricePlan;

const GOOD: &str = r#"name = "standard"
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
included = "10"
"#;

/// Each case takes one thing in the good plan and puts another in its place.
const CASES: &[(&str, &str, &str)] = &[
    ("an unknown key at the top", "name =", "colour = \"red\"\nname ="),
    ("a key with a slip", "time_zone =", "timezone ="),
    ("an unknown key of a card", "included =", "colour ="),
    ("a slip in a card", "included =", "incldued ="),
    ("no name", "name = \"standard\"\n", ""),
    ("a name with a slash", "\"standard\"", "\"stan/dard\""),
    ("a name of markup", "\"standard\"", "\"<b>\\n\\\"x\\\"\""),
    ("no currency", "currency = \"EUR\"\n", ""),
    ("an unknown currency", "\"EUR\"", "\"EURO\""),
    ("a currency in small letters", "\"EUR\"", "\"eur\""),
    ("a currency that nobody pays in", "\"EUR\"", "\"XAU\""),
    ("an unknown zone", "Europe/Berlin", "Europe/Bielefeld"),
    ("a tax in per cent", "\"0.19\"", "\"19\""),
    ("a negative tax", "\"0.19\"", "\"-0.19\""),
    ("a tax of nothing but a name", "rate = \"0.19\"\n", ""),
    (
        "no versions",
        "[[version]]\nfrom = \"2026-01-01\"\n\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.04\"\nincluded = \"10\"\n",
        "",
    ),
    ("one version that is no list", "[[version]]\n", "[version]\n"),
    ("no start", "from = \"2026-01-01\"\n", ""),
    ("a start that is no day", "2026-01-01", "2026-02-30"),
    ("a start with a time", "2026-01-01", "2026-01-01T00:00:00"),
    (
        "a version without cards",
        "[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.04\"\nincluded = \"10\"\n",
        "",
    ),
    ("an unknown meter", "\"cpu_ns\"", "\"cpu_seconds\""),
    ("a meter with a slip", "\"cpu_ns\"", "\"cpu_n\""),
    ("a price that is a float", "\"0.04\"", "0.04"),
    ("a price that is a bare number", "\"0.04\"", "4"),
    ("a price that is a list", "\"0.04\"", "[\"0.04\"]"),
    ("a negative price", "\"0.04\"", "\"-0.04\""),
    ("a price with a comma", "\"0.04\"", "\"0,04\""),
    ("a price with thirteen decimals", "\"0.04\"", "\"0.0000000000001\""),
    ("a huge price", "\"0.04\"", "\"100000000000000000000000000000000000\""),
    ("a price in words", "\"0.04\"", "\"four cents\""),
    ("no price", "unit_price = \"0.04\"\n", ""),
    ("a negative allowance", "\"10\"", "\"-10\""),
    ("an allowance with seven decimals", "\"10\"", "\"0.0000001\""),
    ("the same key twice", "unit_price = \"0.04\"", "unit_price = \"0.04\"\nunit_price = \"0.05\""),
    ("a quote that is not closed", "\"0.04\"", "\"0.04"),
    ("a key in the wrong place", "meter = \"cpu_ns\"", "meter = \"cpu_ns\"\nfrom = \"2026-02-01\""),
];

const LATER: &str = r#"
[[version]]
from = "FROM"

[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.05"
"#;

fn errors(bytes: &[u8]) -> String {
    PricePlan::parse("plan.toml", bytes).unwrap_err().to_string()
}

#[test]
fn every_slip_is_told_with_its_place_and_its_remedy() {
    assert!(PricePlan::parse("plan.toml", GOOD.as_bytes()).is_ok());
    let mut told = String::new();
    let mut add = |title: &str, text: &str| {
        told += &format!("# {title}\n{}\n\n", errors(text.as_bytes()));
    };
    for (title, old, new) in CASES {
        assert!(GOOD.contains(old), "{title}");
        add(title, &GOOD.replacen(old, new, 1));
    }
    add("two versions on one day", &(GOOD.to_owned() + &LATER.replace("FROM", "2026-01-01")));
    add("versions out of order", &(GOOD.to_owned() + &LATER.replace("FROM", "2025-12-31")));
    let card = "[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.05\"\n";
    add("two cards for one meter", &(GOOD.to_owned() + card));
    add("nothing at all", "");
    let all_at_once =
        GOOD.replace("\"EUR\"", "\"EURO\"").replace("\"0.04\"", "0.04").replace("cpu_ns", "cpu");
    add("several at once", &all_at_once);
    insta::assert_snapshot!(told.trim_end());
}

#[test]
fn a_plan_without_a_tax_of_its_own_leaves_it_to_the_tax_table() {
    let text = GOOD.replace("[tax]\nname = \"VAT\"\nrate = \"0.19\"\n", "");
    let plan = PricePlan::parse("plan.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.tax(), None);
}

#[test]
fn the_plans_that_come_with_the_program_are_right() {
    for (file, bytes) in [
        ("demo.toml", &include_bytes!("../../plans/demo.toml")[..]),
        ("standard.toml", include_bytes!("../../plans/standard.toml")),
    ] {
        let plan = PricePlan::parse(file, bytes).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(format!("{}.toml", plan.name()), file);
        let cards = plan.versions()[0].rate_cards();
        assert_eq!(cards.len(), metering::catalog().len(), "{file} prices every meter");
        assert_eq!(plan.source().as_bytes(), bytes);
    }
}

#[test]
fn a_file_that_is_no_text_or_no_plan_is_refused_in_one_line() {
    let latin = [b"name = \"standard\"\n# caf\xe9\n", GOOD.as_bytes()].concat();
    let large = GOOD.to_owned() + &"#".repeat(billing::plan::MAX_PLAN_BYTES);
    for (bytes, expected) in [
        (&latin[..], "plan.toml:2:1: the file is not UTF-8"),
        (large.as_bytes(), "a plan has at most 1 MiB"),
        (b"\0", "plan.toml:1:1:"),
        (b"{\"name\": \"standard\"}", "plan.toml:1:"),
    ] {
        let error = errors(bytes);
        assert!(error.contains(expected), "{error}");
        assert!(error.len() < 2_000, "{error}");
    }
}

#[test]
fn a_file_made_to_exhaust_the_reader_is_refused_in_peace() {
    let deep = format!("name = {}", "[".repeat(500_000));
    let deep_tables = format!("name = {}", "{a=".repeat(300_000));
    let dotted = format!("{} = 1", vec!["a"; 400_000].join("."));
    let many = "x = 1\n".repeat(150_000);
    let keys: String = (0..80_000).map(|n| format!("k{n} = 1\n")).collect();
    let long_name = GOOD.replace("\"standard\"", &format!("\"{}\"", "😀".repeat(10_000)));
    for text in [deep, deep_tables, dotted, many, keys, long_name] {
        let error = errors(text.as_bytes());
        assert!(error.len() < 100_000, "{}", error.len());
    }
}

#[test]
fn versions_of_one_day_apart_are_fine_and_hold_from_midnight_of_the_zone() {
    let text = GOOD.to_owned() + &LATER.replace("FROM", "2026-10-25");
    let plan = PricePlan::parse("plan.toml", text.as_bytes()).unwrap();
    let starts: Vec<String> = plan.versions().iter().map(|v| v.starts_at().to_string()).collect();
    assert_eq!(starts, ["2025-12-31T23:00:00Z", "2026-10-24T22:00:00Z"]);
    let bare = GOOD.replace("\"2026-01-01\"", "2026-01-01");
    assert!(PricePlan::parse("plan.toml", bare.as_bytes()).is_ok(), "a date of TOML's own");
}

/// More keys than anybody reads about, as a generator that went wrong would write them.
const MANY: usize = 50_000;

#[test]
fn fifty_thousand_unknown_keys_are_told_by_the_first_hundred_and_a_count() {
    let keys: String = (0..MANY).map(|n| format!("key{n} = 1\n")).collect();
    let errors = PricePlan::parse("many.toml", (keys + GOOD).as_bytes()).unwrap_err();
    let lines: Vec<usize> = errors.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, (1..=100).collect::<Vec<_>>(), "in the order of the file");
    assert!(
        errors.problems().iter().all(|problem| problem.what.starts_with("the plan has no key \"key")),
        "{errors}"
    );
    assert!(errors.to_string().ends_with("many.toml: and 49900 more problems"), "{errors}");
}

#[test]
fn a_key_of_half_a_megabyte_is_named_by_its_beginning() {
    let text = format!("{} = 1\n{GOOD}", "x".repeat(500_000));
    let errors = PricePlan::parse("long.toml", text.as_bytes()).unwrap_err();
    assert!(errors.to_string().len() < 1_000, "{}", errors.to_string().len());
    assert!(errors.problems()[0].what.ends_with("x\"..."), "{errors}");
}
