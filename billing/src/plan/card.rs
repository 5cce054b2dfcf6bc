//! A rate card as it is written, in a plan or in a tenant's terms.

use std::collections::{BTreeMap, BTreeSet};

use metering::MeterName;

use super::fields::{bounds, included, is_word, meter, name, tax_class, title};
use super::price::{self, price, time_of_use};
use super::problem::{Problems, shown};
use super::reader::{At, Perhaps, Table, text_of, texts_of};
use super::{
    AmountBounds, CardName, Included, MAX_DIMENSIONS, MAX_NAME, MAX_TITLE, MAX_VALUES, PriceModel, RateCard,
    TaxClass, TimeBand,
};
use toml::de::DeValue;

/// What a tenant's terms say of a card: how its usage is priced, and what is left as the plan has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CardTerms {
    pub(crate) title: Option<String>,
    pub(crate) included: Included,
    pub(crate) price: PriceModel,
    pub(crate) time_of_use: Vec<TimeBand>,
    pub(crate) bounds: AmountBounds,
    pub(crate) tax_class: Option<TaxClass>,
}

/// Keys of a card besides its price, in a plan.
const OF_PLAN: [&str; 11] = [
    "name",
    "title",
    "meter",
    "only",
    "included",
    "included_per",
    "time_of_use",
    "minimum",
    "maximum",
    "tax_class",
    "allow_negative",
];

/// The same in a tenant's terms, where the meter is the plan's.
const OF_TERMS: [&str; 9] = [
    "name",
    "title",
    "included",
    "included_per",
    "time_of_use",
    "minimum",
    "maximum",
    "tax_class",
    "allow_negative",
];

/// The card's name, also when the rest of it cannot be read. Without one, the meter's.
pub(super) fn card_name(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<At<CardName>> {
    if table.optional("name").is_some() {
        return name(table, "name", problems);
    }
    // The meter itself is judged with the card.
    match table.optional("meter")?.get_ref() {
        DeValue::String(text) => MeterName::parse(text)
            .ok()
            .map(|meter| At { value: CardName(meter.as_str().to_owned()), span: table.span.clone() }),
        _ => None,
    }
}

/// A card of a plan; its name was read before.
pub(super) fn card(
    table: &Table<'_>,
    name: Option<CardName>,
    problems: &mut Problems<'_>,
) -> Option<RateCard> {
    table.only(&[&OF_PLAN[..4], &price::KEYS, &OF_PLAN[4..]].concat(), problems);
    let meter = meter(table, problems);
    let only = only(table, problems);
    let terms = terms(table, problems);
    let (meter, only, terms) = (meter?, only?, terms?);
    Some(RateCard {
        name: name?,
        title: terms.title,
        meter: meter.value,
        only,
        included: terms.included,
        price: terms.price,
        time_of_use: terms.time_of_use,
        bounds: terms.bounds,
        tax_class: terms.tax_class.unwrap_or_else(TaxClass::standard),
    })
}

/// A card of a tenant's terms.
pub(super) fn card_terms(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<CardTerms> {
    table.only(&[&OF_TERMS[..2], &price::KEYS, &OF_TERMS[2..]].concat(), problems);
    terms(table, problems)
}

fn terms(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<CardTerms> {
    let is_signed = table.flag("allow_negative", false, problems);
    // What the flag means is unknown when it is wrong: signs are not judged then.
    let may_be_negative = is_signed.unwrap_or(true);
    let title: Perhaps<String> = title(table, "title", problems);
    let included = included(table, problems);
    let price = price(table, may_be_negative, problems);
    let time_of_use = time_of_use(table, may_be_negative, problems);
    let bounds = bounds(table, problems);
    let tax_class = tax_class(table, problems);
    is_signed?;
    Some(CardTerms {
        title: title?,
        included: included?,
        price: price?,
        time_of_use: time_of_use?,
        bounds: bounds?,
        tax_class: tax_class?,
    })
}

/// To which usage it applies: `only = { network = ["internet"] }`; one value may stand without brackets.
fn only(table: &Table<'_>, problems: &mut Problems<'_>) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let example = "{ network = [\"internet\"] }";
    let Some(dimensions) = table.table_if_any("only", "`only`", &format!("only = {example}"), problems)?
    else {
        return Some(BTreeMap::new());
    };
    if !(1..=MAX_DIMENSIONS).contains(&dimensions.table.len()) {
        let what = format!("`only` has {} dimensions", dimensions.table.len());
        problems.add(&dimensions.span, what, format!("write 1 to {MAX_DIMENSIONS}: only = {example}"));
        return None;
    }
    let mut only = BTreeMap::new();
    let mut is_right = true;
    for (key, value) in dimensions.table {
        let name: &str = key.get_ref();
        if !is_word(name) {
            let what = format!("{} is no name of a dimension", shown(name));
            problems.add(&key.span(), what, format!("write 1 to {MAX_NAME} of a-z, 0-9, '-' and '_'"));
            is_right = false;
            continue;
        }
        let texts = match value.get_ref() {
            DeValue::Array(_) => texts_of(name, value, MAX_VALUES, "[\"internet\"]", problems),
            _ => text_of(name, value, "[\"internet\"]", problems).map(|at| vec![at]),
        };
        let Some(texts) = texts else {
            is_right = false;
            continue;
        };
        for at in &texts {
            if !(1..=MAX_TITLE).contains(&at.value.chars().count()) || at.value.contains(char::is_control) {
                let what = format!("{} is no value of a dimension", shown(at.value));
                problems.add(&at.span, what, format!("write 1 to {MAX_TITLE} characters on one line"));
                is_right = false;
            }
        }
        only.insert(name.to_owned(), texts.iter().map(|at| at.value.to_owned()).collect());
    }
    is_right.then_some(only)
}
