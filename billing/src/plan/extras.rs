//! What a version has beside its cards: pools, commitments, fees, discounts, a trial.

use super::fields::{
    AMOUNT, INCLUDED, PRICE, QUANTITY, bounds, choice, day, decimal, decimal_if_any, fraction, included,
    name, names, per, positive, tax_class, title,
};
use super::problem::{Problems, shown};
use super::reader::Table;
use super::{CardName, Commitment, Discount, Fee, FeeCharge, MAX_PARTS, Off, Pool, TaxClass, Trial, Unused};

/// Keys that only a fee of one kind has, and that kind.
const PERIOD_KEYS: [&str; 2] = ["per", "prorated"];
const ONCE_KEYS: [&str; 1] = ["on"];
const PERCENTAGE_KEYS: [&str; 4] = ["of", "fixed", "minimum", "maximum"];

pub(super) fn pool(table: &Table<'_>, name: Option<CardName>, problems: &mut Problems<'_>) -> Option<Pool> {
    table.only(&["name", "title", "cards", "included", "included_per"], problems);
    let title = title(table, "title", problems);
    let cards = match table.required("cards", "[\"traffic\", \"net_rx_bytes\"]", problems) {
        Some(_) => names(table, "cards", MAX_PARTS, problems),
        None => None,
    };
    let has_quantity = table.required("included", INCLUDED.example, problems).is_some();
    let included = included(table, problems).filter(|_| has_quantity);
    Some(Pool { name: name?, title: title?, cards: cards?, included: included? })
}

pub(super) fn commitment(
    table: &Table<'_>,
    name_read: Option<CardName>,
    problems: &mut Problems<'_>,
) -> Option<Commitment> {
    table.only(&["name", "title", "card", "quantity", "unit_price", "unused"], problems);
    let title = title(table, "title", problems);
    let card = name(table, "card", problems);
    let quantity = positive(table, "quantity", &QUANTITY, problems);
    let unit_price = decimal(table, "unit_price", &PRICE, problems);
    let unused = choice(table, "unused", &[("true_up", Unused::TrueUp), ("lost", Unused::Lost)], problems);
    Some(Commitment {
        name: name_read?,
        title: title?,
        card: card?.value,
        quantity: quantity?,
        unit_price: unit_price?.value,
        unused: unused?,
    })
}

pub(super) fn fee(table: &Table<'_>, name: Option<CardName>, problems: &mut Problems<'_>) -> Option<Fee> {
    let common = ["name", "title", "amount", "every", "percentage", "tax_class", "allow_negative"];
    table.only(&[&common[..], &PERIOD_KEYS, &ONCE_KEYS, &PERCENTAGE_KEYS].concat(), problems);
    let title = title(table, "title", problems);
    let tax_class = tax_class(table, problems);
    let charge = match (table.optional("amount"), table.optional("percentage")) {
        (None, None) => {
            let what = format!("{} has neither `amount` nor `percentage`", table.title);
            problems.add(&table.span, what, format!("add amount = {}", AMOUNT.example));
            None
        }
        (Some(_), Some(percentage)) => {
            let what = "the fee has both `amount` and `percentage`".to_owned();
            let mend = "keep one; what is fixed beside a percentage is written fixed = \"1.00\"".to_owned();
            problems.add(&percentage.span(), what, mend);
            None
        }
        (Some(_), None) => amount_fee(table, problems),
        (None, Some(_)) => percentage_fee(table, problems),
    };
    let name = name?;
    Some(Fee {
        title: title?.unwrap_or_else(|| name.0.clone()),
        name,
        charge: charge?,
        tax_class: tax_class?.unwrap_or_else(TaxClass::standard),
    })
}

fn amount_fee(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<FeeCharge> {
    let is_signed = table.flag("allow_negative", false, problems);
    let amount = decimal(table, "amount", &AMOUNT.negative_if(is_signed.unwrap_or(true)), problems);
    let every = choice(table, "every", &[("period", false), ("once", true)], problems);
    let is_once = every?;
    let foreign = if is_once { &PERIOD_KEYS[..] } else { &ONCE_KEYS };
    let kind = if is_once { "every = \"once\"" } else { "every = \"period\"" };
    let is_pure = has_none(table, foreign, kind, problems)
        & has_none(table, &PERCENTAGE_KEYS, "a fixed `amount`", problems);
    let charge = if is_once {
        let on = day(table, "on", problems);
        FeeCharge::Once { amount: amount?.value, on: on?.value }
    } else {
        let per = per(table, "per", problems);
        let is_prorated = table.flag("prorated", true, problems);
        FeeCharge::Recurring { amount: amount?.value, per: per?, is_prorated: is_prorated? }
    };
    (is_pure && is_signed.is_some()).then_some(charge)
}

fn percentage_fee(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<FeeCharge> {
    let fraction = fraction(table, "percentage", problems);
    let of = names(table, "of", MAX_PARTS, problems);
    let fixed = decimal_if_any(table, "fixed", &AMOUNT, problems);
    let bounds = bounds(table, problems);
    let foreign = [&PERIOD_KEYS[..], &ONCE_KEYS, &["every", "allow_negative"]].concat();
    let is_pure = has_none(table, &foreign, "a `percentage`", problems);
    let fixed = fixed?.map(|at| at.value).unwrap_or_default();
    let charge = FeeCharge::Percentage { fraction: fraction?, of: of?, fixed, bounds: bounds? };
    is_pure.then_some(charge)
}

/// Notes the keys of another kind of fee.
fn has_none(table: &Table<'_>, keys: &[&str], beside: &str, problems: &mut Problems<'_>) -> bool {
    let mut is_pure = true;
    for key in keys {
        if let Some(value) = table.optional(key) {
            let what = format!("`{key}` means nothing beside {beside}");
            problems.add(&value.span(), what, "remove it, or write the other kind of fee".to_owned());
            is_pure = false;
        }
    }
    is_pure
}

pub(super) fn discount(
    table: &Table<'_>,
    name: Option<CardName>,
    problems: &mut Problems<'_>,
) -> Option<Discount> {
    table.only(&["name", "title", "percentage", "amount", "of"], problems);
    let title = title(table, "title", problems);
    let of = names(table, "of", MAX_PARTS, problems);
    let off = match (table.optional("amount"), table.optional("percentage")) {
        (Some(_), None) => positive(table, "amount", &AMOUNT, problems).map(Off::Amount),
        (None, Some(_)) => fraction(table, "percentage", problems).map(Off::Fraction),
        (None, None) => {
            let what = format!("{} has neither `percentage` nor `amount`", table.title);
            problems.add(&table.span, what, "add percentage = \"10 %\"".to_owned());
            None
        }
        (Some(_), Some(percentage)) => {
            let what = "the discount has both `percentage` and `amount`".to_owned();
            problems.add(&percentage.span(), what, "keep one, or write two discounts".to_owned());
            None
        }
    };
    let name = name?;
    Some(Discount { title: title?.unwrap_or_else(|| name.0.clone()), name, off: off?, of: of? })
}

pub(super) fn trial(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Trial> {
    table.only(&["title", "until", "credit"], problems);
    let title = title(table, "title", problems);
    let until = day(table, "until", problems);
    let credit = decimal_if_any(table, "credit", &AMOUNT, problems);
    let credit = credit?.map(|at| at.value);
    Some(Trial { title: title?.unwrap_or_else(|| "Trial".to_owned()), until: until?.value, credit })
}

/// Who bears everything.
pub(super) fn sponsor(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<Option<String>> {
    let sponsor = title(table, "sponsor", problems)?;
    if let Some(name) = &sponsor
        && name.trim().is_empty()
    {
        let span = table.optional("sponsor").map_or(table.span.clone(), toml::Spanned::span);
        let what = format!("{} is no sponsor", shown(name));
        problems.add(&span, what, "write who bears the costs, or remove it".to_owned());
        return None;
    }
    Some(sponsor)
}
