//! Rating against an independent, naive second implementation in plain integers, over generated plans and usage.

use std::collections::BTreeMap;

use billing::{LineKind, PricePlan, Rating};
use jiff::{SignedDuration, Timestamp};
use metering::{Coverage, MeterName, UsageRecord, Window, catalog};
use proptest::prelude::*;

use crate::common::{october, plan, rate, record};

/// Where prices may change, as hours of October.
const VERSIONS: [(&str, i64); 3] = [("2026-01-01", i64::MIN), ("2026-10-11", 240), ("2026-10-21", 480)];

/// A price of 12 decimals and an allowance of 6, as whole numbers; by meter, for each version.
type Cards = Vec<BTreeMap<usize, (i128, i128)>>;

/// (instance, meter, hour, quantity)
type Used = (usize, usize, i64, u64);

/// (meter, version, tier) and (base quantity, micro-units, coins)
type Lines = BTreeMap<(usize, usize, &'static str), (u128, i128, i128)>;

fn decimal(value: i128, decimals: usize) -> String {
    let digits = format!("{value:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    format!("{whole}.{fraction}")
}

fn plan_of(currency: &str, cards: &Cards) -> PricePlan {
    let mut text = format!("currency {currency}\n");
    for (cards, (from, _)) in cards.iter().zip(VERSIONS) {
        text += &format!("version {from}\n");
        for (meter, (price, included)) in cards {
            let name = &catalog()[*meter].name;
            text += &format!("{name} {} included {}\n", decimal(*price, 12), decimal(*included, 6));
        }
    }
    plan(&text)
}

fn records(used: &[Used]) -> Vec<UsageRecord> {
    used.iter()
        .map(|(instance, meter, hour, quantity)| {
            let start: Timestamp = october().start() + SignedDuration::from_hours(*hour);
            let window = Window::new(start, start + SignedDuration::from_hours(1)).unwrap();
            record(&format!("i{instance}"), catalog()[*meter].id(), window, *quantity)
        })
        .collect()
}

/// What the lines should be, worked out one meter after the other from the definition.
fn oracle(exponent: u32, cards: &Cards, used: &[Used]) -> Lines {
    let mut lines = Lines::new();
    for meter in 0..catalog().len() {
        let to_the_unit = i128::from(catalog()[meter].priced_unit.base_units);
        let mut granted = 0;
        for (version, cards) in cards.iter().enumerate() {
            let Some((price, included)) = cards.get(&meter) else {
                continue;
            };
            let mine = used
                .iter()
                .filter(|(_, m, hour, _)| *m == meter && version_of(*hour, cards_len(cards)) == version);
            let base: i128 = mine.map(|(.., quantity)| i128::from(*quantity)).sum();
            if base == 0 {
                continue;
            }
            let units = nearest(base * 1_000_000, to_the_unit, Tie::Even);
            let left = (included - granted).max(0);
            let free = left.min(units);
            granted += free;
            let free_base =
                if free == units { base } else { nearest(free * to_the_unit, 1_000_000, Tie::Even) };
            let coins = nearest((units - free) * price, 10_i128.pow(18 - exponent), Tie::Away);
            if 0 < left {
                lines.insert((meter, version, "included"), (free_base as u128, free, 0));
            }
            if free < units || left == 0 {
                let standard_base = if left == 0 { base } else { base - free_base };
                lines.insert((meter, version, "standard"), (standard_base as u128, units - free, coins));
            }
        }
    }
    return lines;

    // All versions of a generated plan are always there.
    fn cards_len<T>(_: T) -> usize {
        VERSIONS.len()
    }
}

fn version_of(hour: i64, versions: usize) -> usize {
    (0..versions).rev().find(|n| VERSIONS[*n].1 <= hour).unwrap()
}

enum Tie {
    Even,
    Away,
}

/// The nearest whole number to `a / b`, both not negative, found by comparing doubles.
fn nearest(a: i128, b: i128, tie: Tie) -> i128 {
    let down = a / b;
    let twice = 2 * (a - down * b);
    match (twice.cmp(&b), tie) {
        (std::cmp::Ordering::Less, _) => down,
        (std::cmp::Ordering::Greater, _) | (_, Tie::Away) => down + 1,
        (_, Tie::Even) => down + down % 2,
    }
}

fn lines_of(rating: &Rating) -> Lines {
    rating
        .lines()
        .map(|line| {
            let key = line.key();
            let from = key.split('/').nth(1).unwrap();
            let version = VERSIONS.iter().position(|(start, _)| *start == from).unwrap();
            let key = (line.meter.unwrap().position(), version, line.kind.as_str());
            (key, (line.base_quantity, line.quantity.mantissa(), line.amount.amount().mantissa()))
        })
        .collect()
}

fn cards() -> impl Strategy<Value = Cards> {
    let price =
        prop_oneof![Just(0), 0_i128..10_000_000_000_000, (0_i128..10_000).prop_map(|p| p * 1_000_000_000)];
    let included = prop_oneof![3 => Just(0), 2 => 0_i128..100_000_000, 1 => 0_i128..100];
    let version = proptest::collection::btree_map(0..catalog().len(), (price, included), 1..catalog().len());
    proptest::collection::vec(version, 3)
}

fn used() -> impl Strategy<Value = Vec<Used>> {
    // From a single unit to far beyond a month, each magnitude as likely as the other.
    let quantity = (0_u32..50, any::<u64>()).prop_map(|(bits, noise)| noise % (1 << bits).max(1));
    proptest::collection::vec((0_usize..5, 0..catalog().len(), 0_i64..744, quantity), 0..60)
}

fn currency() -> impl Strategy<Value = (&'static str, u32)> {
    prop_oneof![Just(("EUR", 2)), Just(("JPY", 0)), Just(("BHD", 3))]
}

proptest! {
    #[test]
    fn a_second_naive_implementation_arrives_at_the_same_lines(
        (code, exponent) in currency(), cards in cards(), used in used(),
    ) {
        let (plan, records) = (plan_of(code, &cards), records(&used));
        let rating = rate(&plan, &records, october()).unwrap();
        prop_assert_eq!(lines_of(&rating), oracle(exponent, &cards, &used));
    }

    #[test]
    fn everything_that_is_shown_adds_up((code, _) in currency(), cards in cards(), used in used()) {
        let records = records(&used);
        let plan = plan_of(code, &cards);
        let rating = rate(&plan, &records, october()).unwrap();
        let mut sum = rust_decimal::Decimal::ZERO;
        for line in rating.lines() {
            let amount = (line.quantity * line.unit_price).round_dp_with_strategy(
                line.amount.currency().exponent(),
                rust_decimal::RoundingStrategy::MidpointAwayFromZero,
            );
            prop_assert_eq!(amount, line.amount.amount(), "{}", line.why());
            prop_assert!(line.kind == LineKind::Standard || line.amount.is_zero());
            sum += amount;
        }
        prop_assert_eq!(sum, rating.subtotal.amount());
        prop_assert_eq!(sum + rating.taxes[0].amount.amount(), rating.total.amount());

        let (instances, unpriced_rows) = (rating.instances().unwrap(), rating.unpriced());
        for meter in catalog() {
            let id: MeterName = meter.id();
            let lines = rating.lines().filter(|line| line.meter == Some(id));
            let (base, shown) = lines.fold((0, 0), |(base, shown), line| {
                (base + line.base_quantity, shown + line.quantity.mantissa())
            });
            let rows = instances.iter().filter(|row| row.meter == id);
            let by_instance = rows.fold((0, 0), |(base, shown), row| {
                (base + row.base_quantity, shown + row.quantity.mantissa())
            });
            prop_assert_eq!((base, shown), by_instance, "{}", id);
            let unpriced = unpriced_rows.iter().filter(|usage| usage.meter == id);
            let unpriced: u128 = unpriced.map(|usage| usage.base_quantity).sum();
            let metered: u128 = records.iter().filter(|r| r.meter == id).map(|r| u128::from(r.quantity)).sum();
            prop_assert_eq!(base + unpriced, metered, "{}", id);
        }
    }

    #[test]
    fn cutting_and_shuffling_usage_changes_nothing(cards in cards(), used in used(), share in 0_u64..=100) {
        let plan = plan_of("EUR", &cards);
        let whole = records(&used);
        let mut pieces: Vec<UsageRecord> = whole.iter().flat_map(|record| halves(record, share)).collect();
        pieces.reverse();
        let shown = |usage: &[UsageRecord]| {
            let rating = rate(&plan, usage, october()).unwrap();
            let lines: Vec<_> = rating.lines().map(|line| line.into_invoice_line()).collect();
            (lines, rating.taxes.clone(), rating.total, rating.instances().unwrap(), rating.unpriced(), rating.completeness())
        };
        prop_assert_eq!(shown(&pieces), shown(&whole));
        prop_assert_eq!(shown(&whole), shown(&whole));
    }
}

/// The same usage in two records of half an hour, `share` per cent of it in the first.
fn halves(record: &UsageRecord, share: u64) -> [UsageRecord; 2] {
    let middle = record.window.start() + SignedDuration::from_mins(30);
    let coverage = Coverage { measured_us: record.coverage.measured_us / 2, ..Coverage::default() };
    let first = record.quantity / 100 * share;
    let part = |start, end, quantity| UsageRecord {
        window: Window::new(start, end).unwrap(),
        quantity,
        coverage,
        ..record.clone()
    };
    [part(record.window.start(), middle, first), part(middle, record.window.end(), record.quantity - first)]
}
