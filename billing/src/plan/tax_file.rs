//! A tax table as it is written: who sells, and which rates hold in which country, for which class, from when to when. What
//! they mean for a tenant is [`crate::tax`]'s matter; it opens no file.

use std::ops::Range;

use rust_decimal::Decimal;

use super::fields::{TAX_RATE, day, decimal, is_word};
use super::parse::with_root;
use super::problem::{PlanErrors, Problems, shown};
use super::reader::{At, List, Perhaps, Table, closest, text_of};
use super::{MAX_NAME, TaxClass};
use crate::country::Country;
use crate::tax::{Seller, TableRate, TaxTable};

/// The most rates: 249 countries with eight each.
const MAX_RATES: usize = 2_000;

/// The longest name of a tax, in characters: it has to fit into a line of the invoice.
const MAX_TAX_NAME: usize = 40;

/// The longest tax number, in characters.
const MAX_TAX_NUMBER: usize = 64;

/// A rate and where it stands.
struct Placed {
    rate: TableRate,
    from: Range<usize>,
    until: Option<Range<usize>>,
}

/// See [`TaxTable::parse`].
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<TaxTable, PlanErrors> {
    with_root(file, bytes, "the tax table", table)
}

fn table(root: &Table<'_>, source: &str, problems: &mut Problems<'_>) -> Option<TaxTable> {
    root.only(&["seller", "rate"], problems);
    let seller = root.table("seller", "[seller]", "[seller] with country = \"DE\"", problems);
    let seller = seller.and_then(|table| seller_of(&table, problems));
    let list = List {
        key: "rate",
        title: "[[rate]]",
        example: "[[rate]] with country, class, name, rate and from",
        most: MAX_RATES,
    };
    let tables = root.tables(&list, problems);
    let mut rates: Vec<Placed> = tables.iter().filter_map(|table| rate(table, problems)).collect();
    let is_whole = rates.len() == tables.len();
    let key = |placed: &Placed| (placed.rate.country, placed.rate.class.clone(), placed.rate.from);
    rates.sort_by_key(key);
    check_dates(&rates, problems);
    let rates: Vec<_> = rates.into_iter().map(|placed| placed.rate).collect();
    let seller = seller?;
    is_whole.then(|| TaxTable::new(seller, rates, source.to_owned()))
}

fn seller_of(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Seller> {
    table.only(&["country", "number"], problems);
    let country = country(table, problems);
    let number = line_if_any(table, "number", "\"DE123456789\"", MAX_TAX_NUMBER, problems);
    Some(Seller { country: country?, number: number? })
}

fn rate(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Placed> {
    table.only(&["country", "class", "name", "rate", "from", "until"], problems);
    let country = country(table, problems);
    let class = table.text("class", "\"standard\"", problems).and_then(|at| class(&at, problems));
    let name = match table.required("name", "\"VAT\"", problems) {
        Some(_) => line_if_any(table, "name", "\"VAT\"", MAX_TAX_NAME, problems).flatten(),
        None => None,
    };
    let fraction = decimal(table, "rate", &TAX_RATE, problems).and_then(|at| fraction(&at, problems));
    let from = day(table, "from", problems);
    let until = match table.optional("until") {
        None => Some(None),
        Some(_) => day(table, "until", problems).map(Some),
    };
    let (from, until) = (from?, until?);
    if let Some(until) = until.as_ref().filter(|until| until.value <= from.value) {
        let what =
            format!("the rate holds until {} (excluded), but only from {} on", until.value, from.value);
        problems.add(&until.span, what, "write a later day, or none".to_owned());
        return None;
    }
    let rate = TableRate {
        country: country?,
        class: class?,
        name: name?,
        rate: fraction?,
        from: from.value,
        until: until.as_ref().map(|until| until.value),
    };
    Some(Placed { rate, from: from.span, until: until.map(|until| until.span) })
}

fn country(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Country> {
    let at = table.text("country", "\"DE\"", problems)?;
    let found = Country::parse(at.value).ok();
    if found.is_none() {
        let upper = at.value.to_ascii_uppercase();
        let mend = match (Country::parse(&upper), at.value) {
            (Ok(_), _) => format!("did you mean {upper:?}?"),
            (_, "UK") => "write \"GB\"".to_owned(),
            (_, "EL") => "write \"GR\"".to_owned(),
            _ => "write its two capital letters, such as \"DE\"".to_owned(),
        };
        problems.add(&at.span, format!("{} is no country of ISO 3166", shown(at.value)), mend);
    }
    found
}

fn class(at: &At<&str>, problems: &mut Problems<'_>) -> Option<TaxClass> {
    if is_word(at.value) {
        return Some(TaxClass(at.value.to_owned()));
    }
    let mend = match closest(at.value, &["standard", "reduced", "zero"]) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("write 1 to {MAX_NAME} of a-z, 0-9, '-' and '_', as the plan's cards do"),
    };
    problems.add(&at.span, format!("{} is no tax class", shown(at.value)), mend);
    None
}

fn fraction(at: &At<Decimal>, problems: &mut Problems<'_>) -> Option<Decimal> {
    if at.value <= Decimal::ONE {
        return Some(at.value);
    }
    let what = format!("a tax rate of {} would be more than the whole amount", at.value);
    problems.add(&at.span, what, "write a fraction from 0 to 1: \"0.19\" is 19 %".to_owned());
    None
}

/// One line of text, if it is there.
fn line_if_any(
    table: &Table<'_>,
    key: &str,
    example: &str,
    most: usize,
    problems: &mut Problems<'_>,
) -> Perhaps<String> {
    let Some(value) = table.optional(key) else { return Some(None) };
    let at = text_of(key, value, example, problems)?;
    let length = at.value.chars().count();
    if (1..=most).contains(&length) && !at.value.trim().is_empty() && !at.value.contains(char::is_control) {
        return Some(Some(at.value.to_owned()));
    }
    let what = format!("`{key}` is {}", shown(at.value));
    problems.add(&at.span, what, format!("write 1 to {most} characters on one line, such as {example}"));
    None
}

/// Of one country and class, in the order of their days, each rate ends where the next one begins.
fn check_dates(rates: &[Placed], problems: &mut Problems<'_>) {
    for (one, next) in rates.iter().zip(rates.iter().skip(1)) {
        if (one.rate.country, &one.rate.class) != (next.rate.country, &next.rate.class) {
            continue;
        }
        let whose = format!("{} {}", one.rate.country, one.rate.class.as_str());
        let line = problems.line_of(&one.from);
        if one.rate.from == next.rate.from {
            let what = format!("a rate of {whose} begins on {} in line {line} too", next.rate.from);
            problems.add(&next.from, what, "remove one of the two".to_owned());
        } else if let (Some(until), Some(span)) = (one.rate.until, &one.until) {
            let starts = next.rate.from;
            if until < starts {
                let what = format!("nothing says what {whose} is from {until} to {starts}: a gap");
                problems.add(span, what, format!("write until = \"{starts}\", or leave it out"));
            } else if starts < until {
                let what = format!("{whose} has two rates from {starts} to {until}: they overlap");
                problems.add(span, what, format!("write until = \"{starts}\", or leave it out"));
            }
        }
    }
}
