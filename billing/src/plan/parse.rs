//! From the text of a plan to a [`PricePlan`], or to everything that is wrong with it. It opens no
//! plan file; the zone's rules come from the system's time zone database.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use toml::de::DeTable;

use super::check::{Finding, Whole, check};
use super::cuts::midnight;
use super::fields::{DAY, TAX_RATE, choice, day, decimal};
use super::problem::{PlanErrors, Problems, shown};
use super::reader::{At, List, Table};
use super::version::{Read, version};
use super::{MAX_NAME, MAX_PLAN_BYTES, MAX_VERSIONS, PlanVersion, PricePlan, Prices, TaxRule};
use crate::money::Currency;

/// The longest name of a tax: it has to fit into a line of the invoice.
const MAX_TAX_NAME: usize = 40;

/// Keys of a `[[version]]`.
const VERSION_KEYS: [&str; 10] =
    ["from", "rate_card", "pool", "commitment", "fee", "discount", "minimum", "maximum", "trial", "sponsor"];

/// See [`PricePlan::parse`].
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<PricePlan, PlanErrors> {
    with_root(file, bytes, "the plan", plan)
}

/// Reads the TOML of `bytes`, and `read` what it says. `title` is what the file is called in messages.
pub(super) fn with_root<T>(
    file: &str,
    bytes: &[u8],
    title: &'static str,
    read: impl FnOnce(&Table<'_>, &str, &mut Problems<'_>) -> Option<T>,
) -> Result<T, PlanErrors> {
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
    let root = Table { table: root.get_ref(), span: 0..0, title };
    let found = read(&root, source, &mut problems);
    problems.finish(file)?;
    found.ok_or_else(|| {
        let what = format!("{title} is incomplete");
        PlanErrors::of_file(file, 1, what, "compare it with the examples")
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
    root.only(&["name", "currency", "time_zone", "prices", "tax", "version"], problems);
    let name = root.text("name", "\"standard\"", problems).and_then(|at| plan_name(&at, problems));
    let currency = root.text("currency", "\"EUR\"", problems).and_then(|at| currency(&at, problems));
    let zone = root.text("time_zone", "\"Europe/Berlin\"", problems).and_then(|at| time_zone(&at, problems));
    let prices = choice(root, "prices", &[("net", Prices::Net), ("gross", Prices::Gross)], problems);
    let example = "[tax] with name = \"VAT\" and rate = \"0.19\"";
    let tax = root.table_if_any("tax", "[tax]", example, problems).and_then(|table| match table {
        None => Some(None),
        Some(table) => tax(&table, problems).map(Some),
    });
    let example = "[[version]] with from = \"2026-01-01\"";
    let list = List { key: "version", title: "[[version]]", example, most: MAX_VERSIONS };
    let tables = root.tables(&list, problems);
    // Without a zone the rest is still checked, in UTC.
    let (zone_name, zone) = zone.unzip();
    let for_checks = zone.clone().unwrap_or(TimeZone::UTC);
    let versions = versions(&tables, &for_checks, problems);
    Some(PricePlan {
        name: name?,
        currency: currency?,
        zone_name: zone_name?,
        zone: zone?,
        prices: prices?,
        tax: tax?,
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
    let mut read = Vec::with_capacity(tables.len());
    let mut before: Option<At<Date>> = None;
    let mut is_whole = !tables.is_empty();
    for table in tables {
        table.only(&VERSION_KEYS, problems);
        let from = from(table, zone, problems);
        let version = version(table, problems);
        is_whole &= version.is_whole && from.is_some();
        let Some((At { value, span }, starts_at)) = from else { continue };
        is_whole &= check_follows(before.as_ref(), value, &span, problems);
        before = Some(At { value, span });
        read.push((value, starts_at, version));
    }
    let ends: Vec<_> = read.iter().skip(1).map(|(from, ..)| Some(*from)).chain([None]).collect();
    for ((from, _, version), until) in read.iter().zip(ends) {
        // Versions that are out of order have their problem already.
        let until = until.filter(|until| from < until);
        let whole = Whole {
            terms: &version.terms,
            from: *from,
            until,
            named: &version.named,
            has_unnamed: version.has_unnamed,
        };
        for finding in check(&whole) {
            add(finding, version, problems);
            is_whole = false;
        }
    }
    let versions = read.into_iter().map(|(from, starts_at, Read { mut terms, .. })| {
        terms.rate_cards.sort_by_key(|card| card.meter.position());
        PlanVersion { from, starts_at, terms }
    });
    is_whole.then(|| versions.collect())
}

/// Puts a finding where it belongs in the file.
fn add(finding: Finding, version: &Read<'_>, problems: &mut Problems<'_>) {
    let Finding { part, key, what: (what, other), mend } = finding;
    let other = other.map(|(part, then)| {
        format!("the card of line {}{then}", problems.line_of(&version.place(part, "name")))
    });
    problems.add(&version.place(part, key), what + &other.unwrap_or_default(), mend);
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
    let at = day(table, "from", problems)?;
    let starts_at = midnight(at.value, zone);
    if starts_at.is_none() {
        let what = format!("{} is no day that has an instant", at.value);
        problems.add(&at.span, what, format!("write year, month and day: from = {DAY}"));
    }
    Some((at, starts_at?))
}
