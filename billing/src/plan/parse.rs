//! From the text of a plan to a [`PricePlan`], or to everything that is wrong with it. It opens no
//! plan file; the zone's rules come from the system's time zone database.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{MeterName, catalog};
use rust_decimal::Decimal;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::number::{self, Limits};
use super::problem::{PlanErrors, Problems, shown};
use super::reader::{At, Table, closest, text_of};
use super::{
    AmountBounds, CardName, Included, MAX_INCLUDED_DECIMALS, MAX_PLAN_BYTES, MAX_PRICE_DECIMALS, MAX_WHOLE_DIGITS, Per,
    PlanVersion, PriceModel, PricePlan, Prices, RateCard, TaxClass, TaxRule, VersionTerms,
};
use crate::money::Currency;

/// The longest name of a plan: it is part of every line's key.
const MAX_NAME: usize = 63;

/// The longest name of a tax: it has to fit into a line of the invoice.
const MAX_TAX_NAME: usize = 40;

const PRICE: Limits = Limits {
    what: "a price",
    decimals: MAX_PRICE_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"0.04\"",
};

const INCLUDED: Limits = Limits {
    what: "an allowance",
    decimals: MAX_INCLUDED_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"10\"",
};

const TAX_RATE: Limits = Limits {
    what: "a tax rate",
    decimals: MAX_INCLUDED_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"0.19\"",
};

/// See [`PricePlan::parse`].
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<PricePlan, PlanErrors> {
    let source = text(file, bytes)?;
    let (root, broken) = DeTable::parse_recoverable(source);
    let mut problems = Problems::new(source);
    for error in &broken {
        let what = error.message().trim_end_matches('.').replace('\n', ", ");
        let mend = "write the file as TOML (https://toml.io)".to_owned();
        problems.add(&error.span().unwrap_or(0..0), what, mend);
    }
    // What stands behind broken syntax is a guess, and so would be its problems.
    problems.finish(file)?;

    let mut problems = Problems::new(source);
    let root = Table { table: root.get_ref(), span: 0..0, title: "the plan" };
    let plan = plan(&root, source, &mut problems);
    problems.finish(file)?;
    plan.ok_or_else(|| {
        PlanErrors::of_file(file, 1, "the plan is incomplete".to_owned(), "compare it with the examples")
    })
}

fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, PlanErrors> {
    if MAX_PLAN_BYTES < bytes.len() {
        let what = format!("the file has {} bytes", bytes.len());
        return Err(PlanErrors::of_file(file, 1, what, "a plan has at most 1 MiB"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let what = "the file is not UTF-8 from this line on".to_owned();
        PlanErrors::of_file(file, line, what, "save it as UTF-8")
    })
}

/// `None` only when a problem was noted.
fn plan(root: &Table<'_>, source: &str, problems: &mut Problems<'_>) -> Option<PricePlan> {
    root.only(&["name", "currency", "time_zone", "tax", "version"], problems);
    let name = root.text("name", "\"standard\"", problems).and_then(|at| plan_name(&at, problems));
    let currency = root.text("currency", "\"EUR\"", problems).and_then(|at| currency(&at, problems));
    let zone = root.text("time_zone", "\"Europe/Berlin\"", problems).and_then(|at| time_zone(&at, problems));
    let tax = root
        .table(
            "tax",
            "[tax]",
            "[tax] with name = \"VAT\" and rate = \"0.19\" (\"0\" if none is due)",
            problems,
        )
        .and_then(|table| tax(&table, problems));
    let tables = root.tables("version", "[[version]]", "[[version]] with from = \"2026-01-01\"", problems);
    // Without a zone the rest is still checked, in UTC.
    let (zone_name, zone) = zone.unzip();
    let for_checks = zone.clone().unwrap_or(TimeZone::UTC);
    let versions = versions(&tables, &for_checks, problems);
    Some(PricePlan {
        name: name?,
        currency: currency?,
        zone_name: zone_name?,
        zone: zone?,
        prices: Prices::Net,
        tax: Some(tax?),
        versions: versions?,
        source: source.to_owned(),
    })
}

fn plan_name(at: &At<&str>, problems: &mut Problems<'_>) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fine = !at.value.is_empty()
        && at.value.len() <= MAX_NAME
        && !at.value.starts_with('-')
        && at.value.chars().all(allowed);
    if fine {
        return Some(at.value.to_owned());
    }
    let what = format!("{} is no name for a plan", shown(at.value));
    let mend = format!("write 1 to {MAX_NAME} of a-z, 0-9 and '-', not beginning with '-'");
    problems.add(&at.span, what, mend);
    None
}

fn currency(at: &At<&str>, problems: &mut Problems<'_>) -> Option<Currency> {
    Currency::parse(at.value)
        .map_err(|_| {
            let what = format!("{} is no currency of ISO 4217 that one can pay in", shown(at.value));
            let upper = at.value.to_ascii_uppercase();
            let mend = match Currency::parse(&upper) {
                Ok(_) => format!("did you mean {upper:?}?"),
                Err(_) => "write its three capital letters, such as \"EUR\"".to_owned(),
            };
            problems.add(&at.span, what, mend);
        })
        .ok()
}

fn time_zone(at: &At<&str>, problems: &mut Problems<'_>) -> Option<(String, TimeZone)> {
    // jiff takes names in any case and POSIX rules too; on an invoice stands the name that everybody knows.
    let zone = TimeZone::get(at.value).ok();
    let found = zone.and_then(|zone| Some((zone.iana_name()?.to_owned(), zone)));
    if found.is_none() {
        let what = format!("{} is no time zone", shown(at.value));
        let mend = "write its IANA name, such as \"Europe/Berlin\" or \"UTC\"".to_owned();
        problems.add(&at.span, what, mend);
    }
    found
}

fn tax(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<TaxRule> {
    table.only(&["name", "rate"], problems);
    let name = table.text("name", "\"VAT\"", problems);
    let rate = decimal(table, "rate", &TAX_RATE, problems);
    let name = name.and_then(|at| {
        let length = at.value.chars().count();
        if (1..=MAX_TAX_NAME).contains(&length) && !at.value.contains(char::is_control) {
            return Some(at.value.to_owned());
        }
        let what = format!("{} is no name for a tax", shown(at.value));
        problems.add(&at.span, what, format!("write 1 to {MAX_TAX_NAME} characters on one line"));
        None
    });
    let rate = rate.and_then(|at| {
        if at.value <= Decimal::ONE {
            return Some(at.value);
        }
        let what = format!("a tax rate of {} would be more than the whole amount", at.value);
        problems.add(&at.span, what, "write a fraction from 0 to 1: \"0.19\" is 19 %".to_owned());
        None
    });
    Some(TaxRule { name: name?, rate: rate? })
}

fn versions(tables: &[Table<'_>], zone: &TimeZone, problems: &mut Problems<'_>) -> Option<Vec<PlanVersion>> {
    let mut versions = Vec::with_capacity(tables.len());
    let mut before: Option<At<Date>> = None;
    for table in tables {
        table.only(&["from", "rate_card"], problems);
        let from = from(table, zone, problems);
        let cards = rate_cards(table, problems);
        let Some((At { value, span }, starts_at)) = from else {
            continue;
        };
        let follows = check_follows(before.as_ref(), value, &span, problems);
        before = Some(At { value, span });
        if let (true, Some(rate_cards)) = (follows, cards) {
            let terms = VersionTerms { rate_cards, ..VersionTerms::default() };
            versions.push(PlanVersion { from: value, starts_at, terms });
        }
    }
    (!versions.is_empty() && versions.len() == tables.len()).then_some(versions)
}

fn check_follows(
    before: Option<&At<Date>>,
    from: Date,
    span: &Range<usize>,
    problems: &mut Problems<'_>,
) -> bool {
    let Some(before) = before else { return true };
    let line = problems.line_of(&before.span);
    if before.value == from {
        let what = format!("the version of line {line} starts on {from} too");
        let mend = "give each version a day of its own, or remove one".to_owned();
        problems.add(span, what, mend);
    } else if from < before.value {
        let what =
            format!("this version starts on {from}, before the version of line {line} ({})", before.value);
        problems.add(span, what, "put the versions in the order of their starts".to_owned());
    }
    before.value < from
}

/// The day, and the instant at which it begins.
fn from(table: &Table<'_>, zone: &TimeZone, problems: &mut Problems<'_>) -> Option<(At<Date>, Timestamp)> {
    let example = "\"2026-01-01\"";
    let value = table.required("from", example, problems)?;
    let at = match value.get_ref() {
        // TOML's own dates say the same without quotes.
        DeValue::Datetime(date) => At { value: date.to_string(), span: value.span() },
        _ => {
            let at = text_of("from", value, example, problems)?;
            At { value: at.value.to_owned(), span: at.span }
        }
    };
    // jiff would also take a date with a time and drop the time.
    let day = (at.value.len() == "2026-01-01".len()).then(|| at.value.parse::<Date>().ok()).flatten();
    let start = day.and_then(|day| Some((day, day.to_zoned(zone.clone()).ok()?.timestamp())));
    let Some((day, starts_at)) = start else {
        let what = format!("{} is no day", shown(&at.value));
        problems.add(&at.span, what, format!("write year, month and day: from = {example}"));
        return None;
    };
    let span = at.span;
    Some((At { value: day, span }, starts_at))
}

fn rate_cards(version: &Table<'_>, problems: &mut Problems<'_>) -> Option<Vec<RateCard>> {
    let example = "[[version.rate_card]] with meter = \"cpu_ns\" and unit_price = \"0.04\"";
    let tables = version.tables("rate_card", "[[version.rate_card]]", example, problems);
    let mut seen: Vec<At<MeterName>> = Vec::new();
    let mut cards = Vec::new();
    for table in &tables {
        table.only(&["meter", "unit_price", "included"], problems);
        let meter = table.text("meter", "\"cpu_ns\"", problems).and_then(|at| meter(&at, problems));
        let unit_price = decimal(table, "unit_price", &PRICE, problems);
        let included = match table.optional("included") {
            Some(value) => decimal_of("included", value, &INCLUDED, problems).map(|at| at.value),
            None => Some(Decimal::ZERO),
        };
        let Some(meter) = meter else { continue };
        if let Some(other) = seen.iter().find(|other| other.value == meter.value) {
            let line = problems.line_of(&other.span);
            let what = format!("{} has a card in this version already, in line {line}", meter.value);
            problems.add(&meter.span, what, "remove one of the two".to_owned());
            continue;
        }
        if let (Some(unit_price), Some(included)) = (unit_price, included) {
            cards.push(RateCard {
                name: CardName(meter.value.as_str().to_owned()),
                title: None,
                meter: meter.value,
                only: BTreeMap::new(),
                included: Included { quantity: included, per: Per::Tenant },
                price: PriceModel::PerUnit { unit_price: unit_price.value },
                time_of_use: Vec::new(),
                bounds: AmountBounds::default(),
                tax_class: TaxClass::standard(),
            });
        }
        seen.push(meter);
    }
    cards.sort_by_key(|card| card.meter.position());
    (!cards.is_empty() && cards.len() == tables.len()).then_some(cards)
}

fn meter(at: &At<&str>, problems: &mut Problems<'_>) -> Option<At<MeterName>> {
    if let Ok(value) = MeterName::parse(at.value) {
        let span = at.span.clone();
        return Some(At { value, span });
    }
    let names: Vec<&str> = catalog().iter().map(|meter| meter.name.as_str()).collect();
    let mend = match closest(at.value, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the meters are {}", names.join(", ")),
    };
    problems.add(&at.span, format!("there is no meter {}", shown(at.value)), mend);
    None
}

fn decimal(
    table: &Table<'_>,
    key: &str,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<At<Decimal>> {
    let value = table.required(key, limits.example, problems)?;
    decimal_of(key, value, limits, problems)
}

fn decimal_of<'a>(
    key: &str,
    value: &'a Spanned<DeValue<'a>>,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<At<Decimal>> {
    let at = text_of(key, value, limits.example, problems)?;
    match number::parse(at.value, limits) {
        Ok(value) => Some(At { value, span: at.span }),
        Err((what, mend)) => {
            problems.add(&at.span, format!("`{key}`: {what}"), mend);
            None
        }
    }
}
