//! What changes between two plans, in words.

use billing::PricePlan;
use billing::plan::diff::diff;

const OLD: &str = r#"name = "standard"
currency = "EUR"
time_zone = "UTC"
[tax]
name = "VAT"
rate = "0.19"
[[version]]
from = "2026-01-01"
[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.04"
included = "10"
[[version.rate_card]]
meter = "net_tx_bytes"
graduated = [{ up_to = "100", unit_price = "0.02", flat = "1" }, { unit_price = "0.01" }]
[[version.fee]]
name = "support"
percentage = "2.5"
fixed = "1"
"#;

/// Makes the old plan a new one by putting one text in the place of another.
fn check(old: &str, new: &str, expected: &[&str]) {
    let parse =
        |text: &str| PricePlan::parse("p.toml", text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert!(OLD.contains(old), "{old}");
    let told = diff(&parse(OLD), &parse(&OLD.replacen(old, new, 1)));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(told, expected, "{old} -> {new}");
}

#[test]
fn the_same_prices_in_other_words_are_no_change() {
    check("name = \"standard\"", "# A comment.\nname = \"standard\"", &[]);
    check("unit_price = \"0.04\"", "name = \"cpu_ns\"\nunit_price = \"0.04\"", &[]);
}

#[test]
fn each_change_is_told_once() {
    let version = "\n[[version]]\nfrom = \"2026-11-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.05\"\nincluded = \"10\"\n";
    for (old, new, expected) in [
        ("\"EUR\"", "\"USD\"", &["currency: EUR -> USD"][..]),
        ("[tax]\nname = \"VAT\"\nrate = \"0.19\"\n", "", &["tax: removed; it was VAT 19 %"]),
        (
            "unit_price = \"0.04\"",
            "unit_price = \"0.05\"",
            &["from 2026-01-01: card cpu_ns: 0.04 per CPU·h, 10 included -> 0.05 per CPU·h, 10 included"],
        ),
        (
            "up_to = \"100\"",
            "up_to = \"200\"",
            &[
                "from 2026-01-01: card net_tx_bytes: graduated by GiB: 0.02 and 1 up to 100, 0.01 beyond -> graduated by GiB: 0.02 and 1 up to 200, 0.01 beyond",
            ],
        ),
        (
            "[[version.fee]]\nname = \"support\"\npercentage = \"2.5\"\nfixed = \"1\"\n",
            "[[version.discount]]\nname = \"loyal\"\npercentage = \"10\"\n",
            &[
                "from 2026-01-01: discount loyal: new: 10 % of everything",
                "from 2026-01-01: fee support: removed; it was 2.5 % of everything before and 1, called \"support\"",
            ],
        ),
        (
            "fixed = \"1\"\n",
            &format!("fixed = \"1\"\n{version}"),
            &[
                "from 2026-11-01: card cpu_ns: 0.04 per CPU·h, 10 included -> 0.05 per CPU·h, 10 included",
                "from 2026-11-01: card net_tx_bytes: removed; it was graduated by GiB: 0.02 and 1 up to 100, 0.01 beyond",
                "from 2026-11-01: fee support: removed; it was 2.5 % of everything before and 1, called \"support\"",
            ],
        ),
    ] {
        check(old, new, expected);
    }
}
