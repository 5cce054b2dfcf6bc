//! Every way to write a price: what a plan says is what is in it, and what is wrong is told with place and remedy.

use billing::PricePlan;
use billing::plan::{FeeCharge, Off, Per, PriceModel, Prices, Unused};
use jiff::Timestamp;
use metering::{MeterName, Window};

/// One of everything.
const ALL: &str = r#"name = "everything"
currency = "EUR"
time_zone = "Europe/Berlin"
prices = "gross"

[[version]]
from = "2026-01-01"
minimum = "5.00"
maximum = "10000.00"
sponsor = "Department of Physics"

[version.trial]
title = "First month free"
until = "2026-02-01"
credit = "100.00"

[[version.rate_card]]
name = "internet"
title = "Traffic to the internet"
meter = "net_tx_bytes"
only = { network = ["internet"], node_class = "large" }
included = "1024"
included_per = "instance"
graduated = [
  { up_to = "100", unit_price = "0.02", flat = "1" },
  { up_to = "1000.5", unit_price = "0.01" },
  { unit_price = "0.005" },
]
minimum = "1.00"
maximum = "100.00"
tax_class = "reduced"

[[version.rate_card]]
name = "internal"
meter = "net_tx_bytes"
package = { size = "100", price = "0.50" }

[[version.rate_card]]
meter = "net_rx_bytes"
percentile = { percent = 95, interval = "5m", unit_price = "2.00" }

[[version.rate_card]]
meter = "cpu_ns"
unit_price = "0.04"

[[version.rate_card.time_of_use]]
name = "night"
from = "22:00"
to = "06:00"
unit_price = "0.02"

[[version.rate_card.time_of_use]]
name = "weekend"
days = ["sat", "sun"]
from = "06:00"
to = "22:00"
unit_price = "0.03"

[[version.rate_card]]
meter = "running_ms"
flat = "3.00"

[[version.rate_card]]
meter = "vcpu_ms"
allow_negative = true
volume = [
  { from = "0", to = "720", unit_price = "0.01" },
  { from = "720", unit_price = "-0.001" },
]

[[version.rate_card]]
meter = "memory_kib_s"
unit_price = "0.002"

[[version.rate_card]]
meter = "provisioned_kib_s"
unit_price = "0.0001"

[[version.pool]]
name = "gib-hours"
cards = ["memory_kib_s", "provisioned_kib_s"]
included = "720"

[[version.commitment]]
name = "reserved"
card = "memory_kib_s"
quantity = "1440"
unit_price = "0.001"
unused = "lost"

[[version.fee]]
name = "server"
title = "Basic fee"
amount = "4.90"
per = "instance"
prorated = false

[[version.fee]]
name = "setup"
amount = "10.00"
every = "once"
on = 2026-01-15

[[version.fee]]
name = "support"
percentage = "2.5"
of = ["cpu_ns", "server"]
fixed = "1.00"
minimum = "2.00"
maximum = "50.00"

[[version.discount]]
name = "loyal"
percentage = "10"
of = ["cpu_ns", "support"]

[[version.discount]]
name = "voucher"
amount = "5.00"
"#;

/// Each takes one thing in the plan and puts another in its place.
const CASES: &[(&str, &str, &str)] = &[
    ("prices that are neither net nor gross", "\"gross\"", "\"brutto\""),
    ("a maximum below the minimum", "\"10000.00\"", "\"4.99\""),
    ("no sponsor", "\"Department of Physics\"", "\" \""),
    ("a trial that is over before it begins", "until = \"2026-02-01\"", "until = \"2026-01-01\""),
    ("a trial with a slip", "credit =", "credits ="),
    ("a hole between tiers", "{ up_to = \"1000.5\",", "{ from = \"100.1\", up_to = \"1000.5\","),
    ("tiers that overlap", "{ up_to = \"1000.5\",", "{ from = \"99\", up_to = \"1000.5\","),
    ("tiers that do not begin at 0", "{ from = \"0\",", "{ from = \"1\","),
    ("tiers out of order", "\"1000.5\"", "\"100\""),
    ("a last tier with an end", "  { unit_price = \"0.005\" },\n", ""),
    ("an end in the middle", "up_to = \"1000.5\", ", ""),
    ("both ways to end a tier", "up_to = \"1000.5\"", "up_to = \"1000.5\", to = \"1000.5\""),
    ("a tier without a price", "{ unit_price = \"0.005\" }", "{}"),
    ("a tier that is no table", "{ unit_price = \"0.005\" }", "\"0.005\""),
    ("a tier with a slip", "flat = \"1\"", "flatt = \"1\""),
    (
        "no tiers",
        "[\n  { from = \"0\", to = \"720\", unit_price = \"0.01\" },\n  { from = \"720\", unit_price = \"-0.001\" },\n]",
        "[]",
    ),
    ("a border of tiers beyond all quantities", "\"1000.5\"", "\"99999999999\""),
    ("a border of tiers finer than quantities", "\"1000.5\"", "\"1000.0000005\""),
    ("two prices at once", "package =", "unit_price = \"1\"\npackage ="),
    ("no price", "flat = \"3.00\"\n", ""),
    ("a negative price without the flag", "allow_negative = true\n", ""),
    ("a flag in quotes", "allow_negative = true", "allow_negative = \"yes\""),
    ("a package of nothing", "size = \"100\"", "size = \"0\""),
    ("a package with a slip", "size = \"100\"", "sizes = \"100\""),
    ("a percentile beyond all", "percent = 95", "percent = 101"),
    ("a percentile in quotes", "percent = 95", "percent = \"95\""),
    (
        "a percentile of what is no rate",
        "unit_price = \"0.002\"",
        "percentile = { percent = 95, unit_price = \"1\" }",
    ),
    ("an interval that nobody measures", "\"5m\"", "\"7m\""),
    (
        "a percentile of a part of the meter",
        "meter = \"net_rx_bytes\"",
        "meter = \"net_rx_bytes\"\nonly = { network = \"internet\" }",
    ),
    (
        "a percentile with an allowance",
        "meter = \"net_rx_bytes\"",
        "meter = \"net_rx_bytes\"\nincluded = \"1\"",
    ),
    ("an unknown dimension's spelling", "network = [", "Network = ["),
    ("a dimension without values", "[\"internet\"]", "[]"),
    ("a value twice", "[\"internet\"]", "[\"internet\", \"internet\"]"),
    ("no dimension at all", "{ network = [\"internet\"], node_class = \"large\" }", "{}"),
    ("a card that no usage reaches", "only = { network = [\"internet\"], node_class = \"large\" }\n", ""),
    ("an allowance for nobody", "included_per = \"instance\"", "included_per = \"volume\""),
    ("an allowance per instance of nothing", "included = \"1024\"\n", ""),
    ("a tax class with a space", "\"reduced\"", "\"much reduced\""),
    ("a title of two lines", "\"Basic fee\"", "\"Basic\\nfee\""),
    (
        "bands that overlap",
        "days = [\"sat\", \"sun\"]\nfrom = \"06:00\"",
        "days = [\"sat\", \"sun\"]\nfrom = \"05:00\"",
    ),
    ("two bands of one name", "name = \"weekend\"", "name = \"night\""),
    ("a band that ends in mid-hour", "to = \"22:00\"", "to = \"21:30\""),
    ("a band until the end of the day", "to = \"22:00\"", "to = \"24:00\""),
    ("a band that begins at no time", "from = \"22:00\"", "from = \"25:00\""),
    ("a band on no day", "[\"sat\", \"sun\"]", "[]"),
    ("a band on a day of another calendar", "\"sat\"", "\"saturday\""),
    (
        "bands beside tiers",
        "meter = \"cpu_ns\"\nunit_price = \"0.04\"",
        "meter = \"cpu_ns\"\nvolume = [{ unit_price = \"0.04\" }]",
    ),
    ("two cards of one name", "name = \"internal\"", "name = \"internet\""),
    ("a fee that is called like a card", "name = \"server\"", "name = \"internet\""),
    ("a name with a slash", "name = \"server\"", "name = \"server/1\""),
    ("a pool of an unknown card", "cards = [\"memory_kib_s\",", "cards = [\"memory_kib\","),
    ("a pool of two units", "cards = [\"memory_kib_s\",", "cards = [\"cpu_ns\","),
    ("a pool without cards", "cards = [\"memory_kib_s\", \"provisioned_kib_s\"]\n", ""),
    ("a pool without an allowance", "included = \"720\"\n", ""),
    ("a pool over a rate", "cards = [\"memory_kib_s\", \"provisioned_kib_s\"]", "cards = [\"net_rx_bytes\"]"),
    ("a commitment to an unknown card", "card = \"memory_kib_s\"", "card = \"disk\""),
    ("a commitment to a fee", "card = \"memory_kib_s\"", "card = \"server\""),
    ("a commitment to what has no price for a unit", "card = \"memory_kib_s\"", "card = \"running_ms\""),
    ("a commitment to nothing", "quantity = \"1440\"", "quantity = \"0.000\""),
    ("an unknown fate of what is unused", "\"lost\"", "\"loss\""),
    ("a fee of two kinds", "percentage = \"2.5\"", "percentage = \"2.5\"\namount = \"1.00\""),
    ("a fee of no kind", "percentage = \"2.5\"\n", ""),
    ("a fee once in a while", "\"once\"", "\"week\""),
    ("a fee on no day", "on = 2026-01-15\n", ""),
    ("a fee before the version", "on = 2026-01-15", "on = 2025-12-31"),
    ("a fee on a day in each period", "every = \"once\"\n", ""),
    ("a fee of a part of one instance", "percentage = \"2.5\"", "percentage = \"2.5\"\nper = \"instance\""),
    ("a fee of more than all", "percentage = \"2.5\"", "percentage = \"250\""),
    ("a fee that is a fraction or a percentage", "percentage = \"2.5\"", "percentage = \"0.025\""),
    ("a fee of nothing", "percentage = \"2.5\"", "percentage = \"0.0\""),
    ("a fee of a fee that comes later", "of = [\"cpu_ns\", \"server\"]", "of = [\"cpu_ns\", \"support\"]"),
    ("a fee of a slip", "of = [\"cpu_ns\", \"server\"]", "of = [\"cpu_ns\", \"serve\"]"),
    ("a discount as a fraction of a slip", "of = [\"cpu_ns\", \"support\"]", "of = [\"cpu_ns\", \"suport\"]"),
    ("a discount on a discount", "of = [\"cpu_ns\", \"support\"]", "of = [\"loyal\"]"),
    ("a discount of more than all", "percentage = \"10\"", "percentage = \"101\""),
    ("a discount of nothing", "amount = \"5.00\"", "amount = \"0.00\""),
    ("a discount without its size", "amount = \"5.00\"\n", ""),
    ("a negative fee", "amount = \"4.90\"", "amount = \"-4.90\""),
];

fn parse(text: &str) -> PricePlan {
    PricePlan::parse("plan.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    PricePlan::parse("plan.toml", text.as_bytes())
        .map_or_else(|errors| errors.to_string(), |_| "(it is right)".to_owned())
}

#[test]
fn what_is_written_is_what_is_in_it() {
    let plan = parse(ALL);
    assert_eq!(plan.prices(), Prices::Gross);
    let terms = plan.versions()[0].terms();
    let names: Vec<&str> = terms.rate_cards.iter().map(|card| card.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "running_ms",
            "vcpu_ms",
            "cpu_ns",
            "memory_kib_s",
            "provisioned_kib_s",
            "net_rx_bytes",
            "internet",
            "internal"
        ],
        "in the order of the catalog, then of the plan"
    );
    let internet = &terms.rate_cards[6];
    assert_eq!(internet.included.per, Per::Instance);
    assert!(internet.only["node_class"].contains("large"));
    assert_eq!(internet.tax_class.as_str(), "reduced");
    let PriceModel::Graduated { tiers } = &internet.price else { panic!("{internet:?}") };
    let borders: Vec<_> = tiers.iter().map(|t| (t.from.to_string(), t.to.map(|to| to.to_string()))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        borders,
        [("0".to_owned(), some("100")), ("100".to_owned(), some("1000.5")), ("1000.5".to_owned(), None)]
    );
    assert_eq!(terms.commitments[0].unused, Unused::Lost);
    assert!(matches!(
        &terms.fees[0].charge,
        FeeCharge::Recurring { per: Per::Instance, is_prorated: false, .. }
    ));
    assert!(matches!(&terms.fees[1].charge, FeeCharge::Once { on, .. } if on.to_string() == "2026-01-15"));
    assert!(
        matches!(&terms.fees[2].charge, FeeCharge::Percentage { fraction, .. } if fraction.to_string() == "0.025")
    );
    assert!(matches!(&terms.discounts[0].off, Off::Fraction(f) if f.to_string() == "0.1"));
    assert_eq!(terms.sponsor.as_deref(), Some("Department of Physics"));
    assert_eq!(terms.trial.as_ref().unwrap().title, "First month free");
}

#[test]
fn every_slip_in_a_price_is_told_with_its_place_and_its_remedy() {
    let mut told = String::new();
    let mut add = |title: &str, text: &str| told += &format!("# {title}\n{}\n\n", errors(text));
    for (title, old, new) in CASES {
        assert!(ALL.contains(old), "{title}");
        add(title, &ALL.replacen(old, new, 1));
    }
    let cards = |only: &[&str]| {
        only.iter().enumerate().fold(ALL.to_owned(), |text, (n, only)| {
            text + &format!(
                "\n[[version.rate_card]]\nname = \"card{n}\"\nmeter = \"disk_read_ops\"\nunit_price = \"1\"\nonly = {only}\n"
            )
        })
    };
    let together = ["{ a = \"1\" }", "{ a = \"2\", b = \"1\" }", "{ a = [\"1\", \"2\"], b = \"1\" }"];
    add("cards that together leave nothing to a later one", &cards(&together));
    let version = "\n[[version]]\nfrom = \"2026-01-20\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n";
    add("a trial that outlives its version", &(ALL.to_owned() + version));
    let tiers: String = (1..=100).map(|n| format!("{{ up_to = \"{n}\", unit_price = \"1\" }},")).collect();
    add(
        "more tiers than anybody reads",
        &ALL.replace("flat = \"3.00\"", &format!("volume = [{tiers} {{ unit_price = \"1\" }}]")),
    );
    insta::assert_snapshot!(told.trim_end());
}

#[test]
fn cards_that_are_narrower_or_beside_each_other_are_fine() {
    for only in ["{ a = \"1\" }", "{ a = \"1\", b = [\"1\", \"2\"] }", "{ b = \"3\" }"] {
        let card = |name: &str, only: &str| {
            format!(
                "\n[[version.rate_card]]\nname = \"{name}\"\nmeter = \"disk_read_ops\"\nunit_price = \"1\"\nonly = {only}\n"
            )
        };
        parse(&(ALL.to_owned() + &card("one", "{ a = \"2\" }") + &card("two", only)));
    }
}

/// The cuts of a day, by the hour in UTC, of a plan whose only band is `band`.
fn cuts(band: &str, start: &str, end: &str) -> Vec<String> {
    let head = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"Europe/Berlin\"\n[[version]]\nfrom = \"2026-01-01\"\n";
    let card = "[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n";
    let plan =
        parse(&format!("{head}{card}time_of_use = [{{ name = \"b\", unit_price = \"2\", {band} }}]\n"));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let period = Window::new(at(start), at(end)).unwrap();
    let cuts = plan.cuts(period);
    let card = plan.versions()[0].rate_card(MeterName::parse("cpu_ns").unwrap()).unwrap();
    // Between two cuts the band holds everywhere or nowhere.
    for piece in period.split_at(&cuts) {
        let holds = |at| plan.band_at(card, at).is_some();
        let mut at = piece.start();
        while at < piece.end() {
            assert_eq!(holds(at), holds(piece.start()), "{at} in {piece}");
            at += jiff::SignedDuration::from_mins(15);
        }
    }
    cuts.iter().map(ToString::to_string).collect()
}

#[test]
fn a_night_begins_and_ends_by_the_clocks_of_the_zone_also_when_they_change() {
    let night = "from = \"22:00\", to = \"06:00\"";
    for (what, band, start, end, expected) in [
        (
            "a plain day",
            night,
            "2026-06-01T00:00:00Z",
            "2026-06-02T00:00:00Z",
            &["2026-06-01T04:00:00Z", "2026-06-01T20:00:00Z"][..],
        ),
        (
            "clocks go forward",
            night,
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            &["2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"],
        ),
        (
            "clocks go back",
            night,
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            &["2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"],
        ),
        (
            "an hour that is skipped",
            "from = \"02:00\", to = \"03:00\"",
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            &["2026-03-29T01:00:00Z"],
        ),
        (
            "an hour that comes twice",
            "from = \"02:00\", to = \"03:00\"",
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            &["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
        ),
        (
            "all of Saturday",
            "days = [\"sat\"], from = \"00:00\", to = \"00:00\"",
            "2026-06-01T00:00:00Z",
            "2026-06-08T00:00:00Z",
            &["2026-06-05T22:00:00Z", "2026-06-06T22:00:00Z"],
        ),
        (
            "Sunday's night ends on Monday",
            "days = [\"sun\"], from = \"22:00\", to = \"06:00\"",
            "2026-06-01T00:00:00Z",
            "2026-06-02T00:00:00Z",
            &["2026-06-01T04:00:00Z"],
        ),
    ] {
        assert_eq!(cuts(band, start, end), expected, "{what}");
    }
}

#[test]
fn a_version_is_cut_where_its_trial_ends() {
    let plan = parse(ALL);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let period = Window::new(at("2026-01-31T22:30:00Z"), at("2026-02-01T01:00:00Z")).unwrap();
    assert_eq!(plan.cuts(period), [at("2026-01-31T23:00:00Z")]);
}
