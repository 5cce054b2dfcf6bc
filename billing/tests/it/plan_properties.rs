//! Plans of any shape: what is printed is read as the same plan, and no quantity falls between two tiers.

use billing::PricePlan;
use billing::plan::{PriceModel, PriceTier};
use proptest::prelude::*;
use rust_decimal::Decimal;

/// A decimal as a plan may have it.
fn decimal(most: i64, decimals: u32) -> impl Strategy<Value = Decimal> {
    (0..=most, 0..=decimals).prop_map(|(digits, scale)| Decimal::new(digits, scale))
}

fn tiers() -> impl Strategy<Value = Vec<(Option<Decimal>, Decimal, Decimal)>> {
    let tier = (decimal(1_000_000, 6), decimal(1_000_000, 12), decimal(1_000, 2));
    prop::collection::vec(tier, 1..12).prop_map(|tiers| {
        let mut end = Decimal::ZERO;
        let last = tiers.len() - 1;
        tiers
            .into_iter()
            .enumerate()
            .map(|(n, (width, price, flat))| {
                end += width + Decimal::new(1, 6);
                ((n < last).then_some(end), price, flat)
            })
            .collect()
    })
}

fn tiers_text(tiers: &[(Option<Decimal>, Decimal, Decimal)]) -> String {
    let tiers = tiers.iter().map(|(to, price, flat)| {
        let to = to.map_or_else(String::new, |to| format!("up_to = \"{to}\", "));
        format!("{{ {to}unit_price = \"{price}\", flat = \"{flat}\" }}")
    });
    format!("[{}]", tiers.collect::<Vec<_>>().join(", "))
}

fn price() -> impl Strategy<Value = String> {
    prop_oneof![
        decimal(1_000_000, 12).prop_map(|price| format!("unit_price = \"{price}\"")),
        decimal(1_000_000, 2).prop_map(|price| format!("flat = \"{price}\"")),
        tiers().prop_map(|tiers| format!("graduated = {}", tiers_text(&tiers))),
        tiers().prop_map(|tiers| format!("volume = {}", tiers_text(&tiers))),
        (1..10_000_u32, decimal(1_000, 4))
            .prop_map(|(size, price)| format!("package = {{ size = \"{size}\", price = \"{price}\" }}")),
        (0..24_i8, 0..24_i8, decimal(100, 4)).prop_map(|(from, to, price)| format!(
            "unit_price = \"1\"\ntime_of_use = [{{ name = \"b\", days = [\"mon\", \"sun\"], from = \"{from:02}:00\", to = \"{to:02}:00\", unit_price = \"{price}\" }}]"
        )),
    ]
}

/// Price, allowance, whether for each instance, maximum, title.
fn card() -> impl Strategy<Value = (String, Option<Decimal>, bool, Option<Decimal>, Option<String>)> {
    let maximum = prop::option::of(decimal(1_000, 2));
    let included = prop::option::of(decimal(1_000, 6));
    (price(), included, any::<bool>(), maximum, prop::option::of("[^\\p{C}]{1,40}"))
}

/// What may stand in a version beside its two cards, in the order in which TOML wants it.
fn version() -> impl Strategy<Value = String> {
    let extras = prop::collection::vec(0..7_usize, 0..7);
    (prop::option::of(decimal(1_000, 2)), card(), card(), extras).prop_map(|(minimum, one, two, extras)| {
        let mut text = minimum.map_or_else(String::new, |minimum| format!("minimum = \"{minimum}\"\n"));
        for (name, (price, included, per_instance, maximum, title)) in [("one", one), ("two", two)] {
            let only = if name == "one" { "only = { network = [\"internet\", \"a \\\"b\\\"\"] }\n" } else { "" };
            text += &format!("[[version.rate_card]]\nname = \"{name}\"\nmeter = \"net_tx_bytes\"\n{only}");
            if let Some(title) = title {
                text += &format!("title = {}\n", serde_json::Value::from(title));
            }
            if let Some(included) = included {
                text += &format!("included = \"{included}\"\n");
                text += if per_instance { "included_per = \"instance\"\n" } else { "" };
            }
            if let Some(maximum) = maximum {
                text += &format!("maximum = \"{maximum}\"\n");
            }
            text += &format!("{price}\n");
        }
        for (n, extra) in extras.into_iter().enumerate() {
            text += &match extra {
                0 => format!("[[version.pool]]\nname = \"x{n}\"\ncards = [\"one\", \"two\"]\nincluded = \"{n}.5\"\n"),
                1 => format!("[[version.fee]]\nname = \"x{n}\"\namount = \"-{n}.5\"\nallow_negative = true\nper = \"instance\"\n"),
                2 => format!("[[version.fee]]\nname = \"x{n}\"\namount = \"1\"\nevery = \"once\"\non = \"2026-01-0{}\"\n", n + 1),
                3 => format!("[[version.fee]]\nname = \"x{n}\"\npercentage = \"0.{n}5 %\"\nof = [\"two\"]\nfixed = \"1\"\nmaximum = \"2\"\n"),
                4 => format!("[[version.discount]]\nname = \"x{n}\"\npercentage = \"{}\"\nof = [\"one\"]\n", n + 1),
                5 => format!("[[version.discount]]\nname = \"x{n}\"\namount = \"{}\"\n", n + 1),
                _ => format!("[[version.fee]]\nname = \"x{n}\"\namount = \"1\"\nprorated = false\ntax_class = \"reduced\"\n"),
            };
        }
        text
    })
}

fn tier_of(tiers: &[PriceTier], quantity: Decimal) -> usize {
    tiers.iter().filter(|tier| tier.from <= quantity && tier.to.is_none_or(|to| quantity < to)).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_that_is_printed_is_read_as_the_same_plan(version in version(), is_gross in any::<bool>()) {
        let prices = if is_gross { "gross" } else { "net" };
        let text = format!(
            "name = \"p\"\ncurrency = \"JPY\"\ntime_zone = \"Asia/Tokyo\"\nprices = \"{prices}\"\n[[version]]\nfrom = \"2026-01-01\"\n{version}"
        );
        let plan = PricePlan::parse("plan.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let printed = plan.to_toml();
        let again = PricePlan::parse("printed.toml", printed.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        prop_assert_eq!(again.versions(), plan.versions());
        prop_assert_eq!(again.prices(), plan.prices());
        prop_assert_eq!(again.to_toml(), printed);
    }

    #[test]
    fn every_quantity_falls_into_exactly_one_tier(written in tiers(), quantity in decimal(i64::MAX, 18)) {
        let text = format!(
            "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[[version]]\nfrom = \"2026-01-01\"\n\
             [[version.rate_card]]\nmeter = \"cpu_ns\"\nvolume = {}\n",
            tiers_text(&written)
        );
        let plan = PricePlan::parse("plan.toml", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let PriceModel::Volume { tiers } = &plan.versions()[0].rate_cards()[0].price else { panic!() };
        prop_assert_eq!(tier_of(tiers, quantity), 1);
        for border in tiers.iter().filter_map(|tier| tier.to) {
            for near in [border, border - Decimal::new(1, 12), border + Decimal::new(1, 12)] {
                prop_assert_eq!(tier_of(tiers, near), 1);
            }
        }
    }
}
