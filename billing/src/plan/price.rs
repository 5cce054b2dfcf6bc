//! How a price is written: exactly one of six keys, tiers that leave no hole, and hours with a price of their own.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::{Time, Weekday};
use rust_decimal::Decimal;

use super::fields::{PRICE, QUANTITY, choice, decimal, decimal_if_any, name, positive};
use super::number::Limits;
use super::problem::{Problems, shown};
use super::reader::{At, List, Table, texts_of};
use super::{CardName, MAX_BANDS, MAX_TIERS, PriceModel, PriceTier, TimeBand};

/// The keys of which a card has exactly one.
pub(super) const KEYS: [&str; 6] = ["unit_price", "flat", "graduated", "volume", "package", "percentile"];

const TIER: &str = "[{ up_to = \"100\", unit_price = \"0.02\" }, { unit_price = \"0.01\" }]";
const BAND: &str = "[{ name = \"night\", from = \"22:00\", to = \"06:00\", unit_price = \"0.01\" }]";
const PACKAGE: &str = "{ size = \"100\", price = \"5.00\" }";
const PERCENTILE: &str = "{ percent = 95, interval = \"5m\", unit_price = \"2.00\" }";

/// The lengths that an interval of a percentile may have. Readings come once a minute, and an hour is a usage window.
const INTERVALS: [(&str, u32); 7] =
    [("5m", 300), ("1m", 60), ("10m", 600), ("15m", 900), ("20m", 1_200), ("30m", 1_800), ("1h", 3_600)];

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// The one price of `table`.
pub(super) fn price(table: &Table<'_>, is_signed: bool, problems: &mut Problems<'_>) -> Option<PriceModel> {
    let limits = PRICE.negative_if(is_signed);
    let mut there = KEYS.iter().filter_map(|key| Some((*key, table.optional(key)?)));
    let Some((key, first)) = there.next() else {
        let what = format!("{} has no price", table.title);
        let mend = format!("add unit_price = {}, or one of {}", PRICE.example, KEYS[1..].join(", "));
        problems.add(&table.span, what, mend);
        return None;
    };
    if let Some((other, value)) = there.next() {
        let line = problems.line_of(&first.span());
        let what = format!("`{other}` is a second price beside `{key}` in line {line}");
        problems.add(&value.span(), what, "keep one of the two".to_owned());
        return None;
    }
    match key {
        "unit_price" => {
            let at = decimal(table, key, &limits, problems)?;
            Some(PriceModel::PerUnit { unit_price: at.value })
        }
        "flat" => Some(PriceModel::Flat { amount: decimal(table, key, &limits, problems)?.value }),
        "graduated" => Some(PriceModel::Graduated { tiers: tiers(table, key, &limits, problems)? }),
        "volume" => Some(PriceModel::Volume { tiers: tiers(table, key, &limits, problems)? }),
        "package" => package(table, &limits, problems),
        _ => percentile(table, &limits, problems),
    }
}

/// Prices at certain hours; perhaps none.
pub(super) fn time_of_use(
    table: &Table<'_>,
    is_signed: bool,
    problems: &mut Problems<'_>,
) -> Option<Vec<TimeBand>> {
    let list = List { key: "time_of_use", title: "a time band", example: BAND, most: MAX_BANDS };
    let tables = table.tables_if_any(&list, problems)?;
    let mut names = BTreeMap::<CardName, Range<usize>>::new();
    let bands: Vec<_> = tables.iter().map(|table| band(table, is_signed, &mut names, problems)).collect();
    bands.into_iter().collect()
}

fn package(table: &Table<'_>, limits: &Limits, problems: &mut Problems<'_>) -> Option<PriceModel> {
    let table = table.table("package", "`package`", PACKAGE, problems)?;
    table.only(&["size", "price"], problems);
    let size = positive(&table, "size", &QUANTITY, problems);
    let price = decimal(&table, "price", limits, problems);
    Some(PriceModel::Package { size: size?, price: price?.value })
}

fn percentile(table: &Table<'_>, limits: &Limits, problems: &mut Problems<'_>) -> Option<PriceModel> {
    let table = table.table("percentile", "`percentile`", PERCENTILE, problems)?;
    table.only(&["percent", "interval", "unit_price"], problems);
    let percent = table.whole("percent", "95", problems).and_then(|at| {
        if (1..=100).contains(&at.value) {
            return Some(at.value);
        }
        let what = format!("there is no percentile {}", at.value);
        problems.add(&at.span, what, "write 1 to 100, such as percent = 95".to_owned());
        None
    });
    let interval_s = choice(&table, "interval", &INTERVALS, problems);
    let unit_price = decimal(&table, "unit_price", limits, problems);
    Some(PriceModel::Percentile { percent: percent?, interval_s: interval_s?, unit_price: unit_price?.value })
}

/// A tier as it is written; `from` is optional, and so is the end.
struct Written {
    from: Option<At<Decimal>>,
    to: Option<At<Decimal>>,
    unit_price: Decimal,
    flat: Decimal,
}

fn tiers(
    table: &Table<'_>,
    key: &str,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<Vec<PriceTier>> {
    let list = List { key, title: "a tier", example: TIER, most: MAX_TIERS };
    let tables = table.tables_if_any(&list, problems)?;
    if tables.is_empty() {
        let span = table.optional(key).map_or(table.span.clone(), toml::Spanned::span);
        problems.add(&span, format!("`{key}` has no tiers"), format!("write {key} = {TIER}"));
        return None;
    }
    let written: Vec<_> = tables.iter().map(|table| tier(table, limits, problems)).collect();
    let written: Vec<Written> = written.into_iter().collect::<Option<_>>()?;
    let mut tiers: Vec<PriceTier> = Vec::with_capacity(written.len());
    let mut is_right = true;
    for (n, tier) in written.into_iter().enumerate() {
        let before = n.checked_sub(1).map(|n| (&tables[n], &tiers[n]));
        let is_last = n + 1 == tables.len();
        is_right &= fits(&tables[n], &tier, before, is_last, problems);
        let from = tier.from.map(|at| at.value).or(before.and_then(|(_, tier)| tier.to)).unwrap_or_default();
        let Written { to, unit_price, flat, .. } = tier;
        let to = to.map(|at| at.value);
        let end = to.map_or(i128::MAX, crate::rating::micro_units);
        tiers.push(PriceTier { from, to, unit_price, flat, end });
    }
    is_right.then_some(tiers)
}

fn tier(table: &Table<'_>, limits: &Limits, problems: &mut Problems<'_>) -> Option<Written> {
    table.only(&["up_to", "from", "to", "unit_price", "flat"], problems);
    let from = decimal_if_any(table, "from", &QUANTITY, problems);
    let up_to = decimal_if_any(table, "up_to", &QUANTITY, problems);
    let to = decimal_if_any(table, "to", &QUANTITY, problems);
    let unit_price = decimal(table, "unit_price", limits, problems);
    let flat = decimal_if_any(table, "flat", limits, problems);
    let (up_to, to) = (up_to?, to?);
    if let (Some(_), Some(to)) = (&up_to, &to) {
        let what = "the tier has both `up_to` and `to`".to_owned();
        problems.add(&to.span, what, "keep one of them: they mean the same".to_owned());
        return None;
    }
    Some(Written {
        from: from?,
        to: up_to.or(to),
        unit_price: unit_price?.value,
        flat: flat?.map_or(Decimal::ZERO, |at| at.value),
    })
}

/// Whether a tier begins where the one before it ends, and ends after it begins.
fn fits(
    table: &Table<'_>,
    tier: &Written,
    before: Option<(&Table<'_>, &PriceTier)>,
    is_last: bool,
    problems: &mut Problems<'_>,
) -> bool {
    let line = before.map_or(0, |(table, _)| problems.line_of(&table.span));
    let end = match before {
        None => Some(Decimal::ZERO),
        Some((_, tier)) => tier.to,
    };
    let begin = tier.from.as_ref().map(|at| at.value).or(end).unwrap_or_default();
    let mut found: Vec<(&Range<usize>, String, String)> = Vec::new();
    if let (Some(from), Some(end)) = (&tier.from, end)
        && from.value != end
    {
        let what = match (before, from.value < end) {
            (None, _) => format!("the first tier begins at {begin}: below it there is no price"),
            (_, true) => {
                format!("the tier begins at {begin}, within the one of line {line}, which ends at {end}")
            }
            (_, false) => {
                format!(
                    "the tier begins at {begin}, and the one of line {line} ends at {end}: between them there is no price"
                )
            }
        };
        found.push((&from.span, what, format!("write from = \"{end}\", or leave `from` out")));
    }
    match (&tier.to, is_last) {
        (Some(to), _) if to.value <= begin => {
            let what = match before {
                None => format!("the tier ends at {}, which is not above 0", to.value),
                Some(_) => {
                    format!(
                        "the tier ends at {}, not above {begin}, where the one of line {line} ends",
                        to.value
                    )
                }
            };
            let mend = "put the tiers in order, each up to more than the one before it";
            found.push((&to.span, what, mend.to_owned()));
        }
        (Some(to), true) => {
            let what = format!("the last tier ends at {}: beyond it there is no price", to.value);
            let mend = "remove its end, or add a tier without one: { unit_price = \"0.01\" }";
            found.push((&to.span, what, mend.to_owned()));
        }
        (None, false) => {
            let what = "the tier has no end, and another one follows it".to_owned();
            found.push((&table.span, what, "add up_to = \"100\", or remove what follows".to_owned()));
        }
        _ => {}
    }
    let is_right = found.is_empty();
    for (span, what, mend) in found {
        problems.add(span, what, mend);
    }
    is_right
}

fn band(
    table: &Table<'_>,
    is_signed: bool,
    names: &mut BTreeMap<CardName, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<TimeBand> {
    table.only(&["name", "days", "from", "to", "unit_price"], problems);
    let name = name(table, "name", problems).and_then(|at| {
        let Some(other) = names.insert(at.value.clone(), at.span.clone()) else { return Some(at.value) };
        let other = problems.line_of(&other);
        let what = format!("the band of line {other} is called {} too", at.value);
        problems.add(&at.span, what, "give each band a name of its own".to_owned());
        None
    });
    let days = days(table, problems);
    let from = hour(table, "from", "\"22:00\"", problems);
    let to = hour(table, "to", "\"06:00\"", problems);
    let unit_price = decimal(table, "unit_price", &PRICE.negative_if(is_signed), problems);
    Some(TimeBand { name: name?, days: days?, from: from?, to: to?, unit_price: unit_price?.value })
}

fn days(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Vec<Weekday>> {
    let Some(value) = table.optional("days") else {
        return Some(DAYS.iter().map(|(_, day)| *day).collect());
    };
    let texts = texts_of("days", value, DAYS.len(), "[\"sat\", \"sun\"]", problems)?;
    let mut is_right = true;
    for at in &texts {
        if !DAYS.iter().any(|(name, _)| *name == at.value) {
            let what = format!("{} is no day of the week", shown(at.value));
            problems.add(&at.span, what, "write mon, tue, wed, thu, fri, sat or sun".to_owned());
            is_right = false;
        }
    }
    let is_meant = |name: &str| texts.iter().any(|at| at.value == name);
    let days = DAYS.iter().filter(|(name, _)| is_meant(name)).map(|(_, day)| *day).collect();
    is_right.then_some(days)
}

/// A whole hour: usage comes by the hour, and what is within one is not known.
fn hour(table: &Table<'_>, key: &str, example: &str, problems: &mut Problems<'_>) -> Option<Time> {
    let at = table.text(key, example, problems)?;
    let parts = at.value.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
    let digits =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i8>().ok()).flatten();
    let parts = parts.and_then(|(hour, minute)| Some((digits(hour)?, digits(minute)?)));
    let (what, mend) = match parts {
        Some((24, 0)) => (format!("`{key}` is the next day's midnight"), format!("write {key} = \"00:00\"")),
        Some((hour @ 0..24, 0)) => return Time::new(hour, 0, 0, 0).ok(),
        Some((0..24, minute)) if minute < 60 => (
            format!("{} is no whole hour, and usage is known by the hour", shown(at.value)),
            "let bands begin and end at whole hours".to_owned(),
        ),
        _ => (format!("{} is no time of day", shown(at.value)), format!("write {key} = {example}")),
    };
    problems.add(&at.span, what, mend);
    None
}
