//! Fields that several tables of a plan have: names, titles, decimals, bounds, days. Each notes what is wrong and goes
//! on; none knows in which table it stands.

use std::ops::Range;

use jiff::civil::Date;
use metering::{MeterName, catalog};
use rust_decimal::Decimal;
use toml::Spanned;
use toml::de::DeValue;

use super::number::{self, Limits, Sign};
use super::problem::{Problems, shown};
use super::reader::{At, Perhaps, Table, closest, text_of};
use super::{
    AmountBounds, CardName, Included, MAX_INCLUDED_DECIMALS, MAX_NAME, MAX_PRICE_DECIMALS, MAX_TITLE,
    MAX_WHOLE_DIGITS, Per, TaxClass,
};

/// A day as a plan writes it.
pub(super) const DAY: &str = "\"2026-01-01\"";

pub(super) const PRICE: Limits = Limits {
    what: "a price",
    decimals: MAX_PRICE_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"0.04\"",
    sign: Sign::None,
};

/// Minimums, maximums, credits: what is compared with amounts.
pub(super) const AMOUNT: Limits = Limits {
    what: "an amount",
    decimals: MAX_PRICE_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"10.00\"",
    sign: Sign::None,
};

pub(super) const INCLUDED: Limits = Limits {
    what: "an allowance",
    decimals: MAX_INCLUDED_DECIMALS,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"10\"",
    sign: Sign::None,
};

/// Borders of tiers, sizes of packages, committed quantities.
pub(super) const QUANTITY: Limits = Limits { what: "a quantity", example: "\"100\"", ..INCLUDED };

pub(super) const TAX_RATE: Limits = Limits { what: "a tax rate", example: "\"0.19\"", ..INCLUDED };

/// In per cent: four decimals make six of a fraction, which is what a tax rate has, too.
pub(super) const PERCENTAGE: Limits = Limits {
    what: "a percentage",
    decimals: MAX_INCLUDED_DECIMALS - 2,
    whole_digits: MAX_WHOLE_DIGITS,
    example: "\"10 %\"",
    sign: Sign::None,
};

pub(super) fn decimal(
    table: &Table<'_>,
    key: &str,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<At<Decimal>> {
    let value = table.required(key, limits.example, problems)?;
    decimal_of(key, value, limits, problems)
}

pub(super) fn decimal_if_any(
    table: &Table<'_>,
    key: &str,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Perhaps<At<Decimal>> {
    match table.optional(key) {
        None => Some(None),
        Some(value) => decimal_of(key, value, limits, problems).map(Some),
    }
}

pub(super) fn decimal_of<'a>(
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

/// A decimal above zero.
pub(super) fn positive(
    table: &Table<'_>,
    key: &str,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<Decimal> {
    let at = decimal(table, key, limits, problems)?;
    if at.value.is_zero() {
        problems.add(&at.span, format!("`{key}` is zero"), format!("write more, such as {}", limits.example));
        return None;
    }
    Some(at.value)
}

/// A percentage above 0 and up to 100, as a fraction. A bare number below 1 is refused: whoever writes `"0.10"` may mean
/// a tenth of a per cent, or, as with a tax rate, ten.
pub(super) fn fraction(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Option<Decimal> {
    let at = table.text(key, PERCENTAGE.example, problems)?;
    let bare = at.value.strip_suffix('%').map(str::trim_end);
    let value = match number::parse(bare.unwrap_or(at.value), &PERCENTAGE) {
        Ok(value) => value,
        Err((what, mend)) => {
            problems.add(&at.span, format!("`{key}`: {what}"), mend);
            return None;
        }
    };
    let (what, mend) = if Decimal::ZERO == value || Decimal::ONE_HUNDRED < value {
        (
            format!("`{key}` is {value}, which is not above 0 and at most 100"),
            format!("write {key} = \"10 %\""),
        )
    } else if bare.is_none() && value < Decimal::ONE {
        let percent = (value * Decimal::ONE_HUNDRED).normalize();
        let what = format!("`{key}` is {value}, which may mean {value} % or {percent} %");
        (what, format!("write {key} = \"{value} %\" or {key} = \"{percent} %\""))
    } else {
        return Some((value / Decimal::ONE_HUNDRED).normalize());
    };
    problems.add(&at.span, what, mend);
    None
}

/// `minimum` and `maximum`, in the right order.
pub(super) fn bounds(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<AmountBounds> {
    let minimum = decimal_if_any(table, "minimum", &AMOUNT, problems);
    let maximum = decimal_if_any(table, "maximum", &AMOUNT, problems);
    let (minimum, maximum) = (minimum?, maximum?);
    if let (Some(low), Some(high)) = (&minimum, &maximum)
        && high.value < low.value
    {
        let what = format!("the maximum of {} is below the minimum of {}", high.value, low.value);
        problems.add(&high.span, what, "raise it, or lower the minimum".to_owned());
        return None;
    }
    Some(AmountBounds { minimum: minimum.map(|at| at.value), maximum: maximum.map(|at| at.value) })
}

/// `included` and `included_per`.
pub(super) fn included(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Included> {
    let quantity = decimal_if_any(table, "included", &INCLUDED, problems);
    let per = per(table, "included_per", problems);
    let (quantity, per) = (quantity?, per?);
    if let (None, Some(value)) = (&quantity, table.optional("included_per")) {
        let what = "`included_per` stands without `included`".to_owned();
        problems.add(&value.span(), what, "add included = \"10\", or remove it".to_owned());
        return None;
    }
    Some(Included { quantity: quantity.map_or(Decimal::ZERO, |at| at.value), per })
}

/// `tenant` or `instance`.
pub(super) fn per(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Option<Per> {
    choice(table, key, &[("tenant", Per::Tenant), ("instance", Per::Instance)], problems)
}

/// One of some words; without it, the first.
pub(super) fn choice<T: Copy>(
    table: &Table<'_>,
    key: &str,
    choices: &[(&'static str, T)],
    problems: &mut Problems<'_>,
) -> Option<T> {
    let Some(value) = table.optional(key) else {
        return choices.first().map(|(_, choice)| *choice);
    };
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let example = format!("{:?}", words.first().copied().unwrap_or_default());
    let at = text_of(key, value, &example, problems)?;
    if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == at.value) {
        return Some(*choice);
    }
    // Of words of two letters, every one is near every other.
    let near = if at.value.len() < 3 { None } else { closest(at.value, &words) };
    let mend = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            format!("write one of {}", words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", "))
        }
    };
    problems.add(&at.span, format!("`{key}` cannot be {}", shown(at.value)), mend);
    None
}

/// A [`CardName`] under `key`.
pub(super) fn name(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Option<At<CardName>> {
    let at = table.text(key, "\"traffic\"", problems)?;
    name_of(&at, problems)
}

pub(super) fn name_of(at: &At<&str>, problems: &mut Problems<'_>) -> Option<At<CardName>> {
    if is_word(at.value) {
        return Some(At { value: CardName(at.value.to_owned()), span: at.span.clone() });
    }
    let what = format!("{} is no name", shown(at.value));
    problems.add(&at.span, what, format!("write 1 to {MAX_NAME} of a-z, 0-9, '-' and '_'"));
    None
}

/// Names of cards and fees; without the key, none.
pub(super) fn names(
    table: &Table<'_>,
    key: &str,
    most: usize,
    problems: &mut Problems<'_>,
) -> Option<Vec<CardName>> {
    if table.optional(key).is_none() {
        return Some(Vec::new());
    }
    let texts = table.texts(key, most, "[\"traffic\"]", problems)?;
    let names: Vec<_> = texts.iter().map(|at| name_of(at, problems)).collect();
    names.into_iter().map(|name| name.map(|at| at.value)).collect()
}

/// Whether `text` can be a name: of a card, a dimension, a tax class.
pub(super) fn is_word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed)
}

/// What something is called on paper.
pub(super) fn title(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Perhaps<String> {
    let Some(value) = table.optional(key) else { return Some(None) };
    let at = text_of(key, value, "\"Traffic\"", problems)?;
    let length = at.value.chars().count();
    if (1..=MAX_TITLE).contains(&length) && !at.value.contains(char::is_control) {
        return Some(Some(at.value.to_owned()));
    }
    let what = format!("{} cannot stand on an invoice", shown(at.value));
    problems.add(&at.span, what, format!("write 1 to {MAX_TITLE} characters on one line"));
    None
}

/// The tax class; `None` inside: the table says nothing.
pub(super) fn tax_class(table: &Table<'_>, problems: &mut Problems<'_>) -> Perhaps<TaxClass> {
    let Some(value) = table.optional("tax_class") else { return Some(None) };
    let at = text_of("tax_class", value, "\"standard\"", problems)?;
    if is_word(at.value) {
        return Some(Some(TaxClass(at.value.to_owned())));
    }
    let what = format!("{} is no tax class", shown(at.value));
    problems.add(
        &at.span,
        what,
        format!("write 1 to {MAX_NAME} of a-z, 0-9, '-' and '_', as in the tax table"),
    );
    None
}

/// A day, in quotes or as TOML's own date.
pub(super) fn day(table: &Table<'_>, key: &str, problems: &mut Problems<'_>) -> Option<At<Date>> {
    let value = table.required(key, DAY, problems)?;
    let (text, span): (String, Range<usize>) = match value.get_ref() {
        DeValue::Datetime(date) => (date.to_string(), value.span()),
        _ => {
            let at = text_of(key, value, DAY, problems)?;
            (at.value.to_owned(), at.span)
        }
    };
    // jiff would also take a date with a time and drop the time.
    let day = (text.len() == "2026-01-01".len()).then(|| text.parse::<Date>().ok()).flatten();
    if day.is_none() {
        let what = format!("{} is no day", shown(&text));
        problems.add(&span, what, format!("write year, month and day: {key} = {DAY}"));
    }
    Some(At { value: day?, span })
}

pub(super) fn meter(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<At<MeterName>> {
    let at = table.text("meter", "\"cpu_ns\"", problems)?;
    if let Ok(value) = MeterName::parse(at.value) {
        return Some(At { value, span: at.span });
    }
    let names: Vec<&str> = catalog().iter().map(|meter| meter.name.as_str()).collect();
    let mend = match closest(at.value, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the meters are {}", names.join(", ")),
    };
    problems.add(&at.span, format!("there is no meter {}", shown(at.value)), mend);
    None
}
