//! What changes between two plans, in words: version by version, card by card. It judges nothing and computes no amounts.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;

use super::print::{day_name, hour, percent};
use super::{
    AmountBounds, Fee, FeeCharge, Included, Off, Per, PriceModel, PricePlan, PriceTier, Prices, RateCard,
    TimeBand, Unused, VersionTerms,
};

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// From which day on; `None`: it is about the plan as a whole.
    pub from: Option<Date>,
    /// What: `currency`, `card cpu_ns`, `fee support`.
    pub part: String,
    /// What it was; `None`: it was not there.
    pub old: Option<String>,
    /// What it becomes; `None`: it is there no more.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    /// `from 2026-11-01: card cpu_ns: 0.04 -> 0.05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "from {from}: {}: ", self.part)?,
            None => write!(f, "{}: ", self.part)?,
        }
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old == new => write!(f, "{new} in both"),
            (Some(old), Some(new)) => write!(f, "{old} -> {new}"),
            (None, Some(new)) => write!(f, "new: {new}"),
            (Some(old), None) => write!(f, "removed; it was {old}"),
            (None, None) => Ok(()),
        }
    }
}

/// What changes from `old` to `new`, from the first day on: at each day on which a version of either starts, what holds in the one
/// and in the other is compared, and told once. Nothing: they price alike.
#[must_use]
pub fn diff(old: &PricePlan, new: &PricePlan) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut whole = |part: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            changes.push(Change { from: None, part: part.to_owned(), old, new });
        }
    };
    whole("name", Some(old.name.clone()), Some(new.name.clone()));
    whole("currency", Some(old.currency.to_string()), Some(new.currency.to_string()));
    whole("time_zone", Some(old.zone_name.clone()), Some(new.zone_name.clone()));
    whole("prices", Some(prices(old)), Some(prices(new)));
    whole("tax", tax(old), tax(new));
    let starts = |plan: &PricePlan| plan.versions.iter().map(|version| version.from).collect::<Vec<_>>();
    let days: BTreeSet<Date> = starts(old).into_iter().chain(starts(new)).collect();
    let mut before: Vec<(String, Option<String>, Option<String>)> = Vec::new();
    for from in days {
        let (was, is) = (parts(on(old, from)), parts(on(new, from)));
        let names: BTreeSet<&String> = was.iter().chain(&is).map(|(name, _)| name).collect();
        let mut now = Vec::new();
        for name in names {
            let of = |parts: &[(String, String)]| {
                parts.iter().find(|(n, _)| n == name).map(|(_, said)| said.clone())
            };
            let (old, new) = (of(&was), of(&is));
            if old != new {
                now.push((name.clone(), old, new));
            }
        }
        // What differs as it did before was told already.
        for (part, old, new) in now.iter().filter(|change| !before.contains(change)) {
            changes.push(Change { from: Some(from), part: part.clone(), old: old.clone(), new: new.clone() });
        }
        // What differs no more is told, too: from here on both price alike.
        for (part, ..) in before.iter().filter(|(part, ..)| !now.iter().any(|(name, ..)| name == part)) {
            let said = parts(on(new, from)).into_iter().find(|(name, _)| name == part).map(|(_, said)| said);
            let alike = Some(said.unwrap_or_else(|| "not there".to_owned()));
            changes.push(Change { from: Some(from), part: part.clone(), old: alike.clone(), new: alike });
        }
        before = now;
    }
    changes
}

fn on(plan: &PricePlan, day: Date) -> Option<&VersionTerms> {
    plan.versions.iter().rev().find(|version| version.from <= day).map(|version| &version.terms)
}

fn prices(plan: &PricePlan) -> String {
    if plan.prices == Prices::Gross { "gross" } else { "net" }.to_owned()
}

fn tax(plan: &PricePlan) -> Option<String> {
    plan.tax.as_ref().map(|tax| format!("{} {}", tax.name, percent(tax.rate)))
}

/// Each part of a version, in words.
fn parts(terms: Option<&VersionTerms>) -> Vec<(String, String)> {
    let Some(terms) = terms else { return Vec::new() };
    let mut parts: Vec<(String, String)> = Vec::new();
    parts.extend(terms.rate_cards.iter().map(|card| (format!("card {}", card.name), card_words(card))));
    parts.extend(terms.pools.iter().map(|pool| {
        let cards: Vec<&str> = pool.cards.iter().map(|card| card.as_str()).collect();
        (format!("pool {}", pool.name), format!("{} for {}", included(&pool.included), cards.join(", ")))
    }));
    parts.extend(terms.commitments.iter().map(|commitment| {
        let unused = if commitment.unused == Unused::Lost { "lost" } else { "charged" };
        let said = format!(
            "{} of {} at {} each, the rest {unused}",
            commitment.quantity, commitment.card, commitment.unit_price
        );
        (format!("commitment {}", commitment.name), said)
    }));
    parts.extend(terms.fees.iter().map(|fee| (format!("fee {}", fee.name), fee_words(fee))));
    parts.extend(terms.discounts.iter().map(|discount| {
        let off = match discount.off {
            Off::Fraction(fraction) => percent(fraction),
            Off::Amount(amount) => amount.to_string(),
        };
        let of: Vec<&str> = discount.of.iter().map(|name| name.as_str()).collect();
        let of = if of.is_empty() { "everything".to_owned() } else { of.join(", ") };
        (format!("discount {}", discount.name), format!("{off} of {of}"))
    }));
    let bounds = bounds(&terms.bounds);
    if !bounds.is_empty() {
        parts.push(("invoice".to_owned(), bounds.trim_start_matches(", ").to_owned()));
    }
    if let Some(trial) = &terms.trial {
        let credit = trial.credit.map_or_else(String::new, |credit| format!(", up to {credit}"));
        parts.push(("trial".to_owned(), format!("until {}{credit}", trial.until)));
    }
    if let Some(sponsor) = &terms.sponsor {
        parts.push(("sponsor".to_owned(), sponsor.clone()));
    }
    parts
}

fn card_words(card: &RateCard) -> String {
    let unit = &card.meter.meter().priced_unit.symbol;
    let price = match &card.price {
        PriceModel::PerUnit { unit_price } => format!("{unit_price} per {unit}"),
        PriceModel::Flat { amount } => format!("{amount} flat"),
        PriceModel::Graduated { tiers } => format!("graduated by {unit}: {}", tiers_words(tiers)),
        PriceModel::Volume { tiers } => format!("by volume in {unit}: {}", tiers_words(tiers)),
        PriceModel::Package { size, price } => format!("{price} per {size} {unit}"),
        PriceModel::Percentile { percent, interval_s, unit_price } => {
            format!("{unit_price} per Mbit/s, {percent}th percentile of {} min", interval_s / 60)
        }
    };
    let only = card.only.iter().map(|(name, values)| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!(", only {name} {}", values.join(" or "))
    });
    let allowance = match card.included {
        Included { quantity, .. } if quantity.is_zero() => String::new(),
        ref granted => format!(", {}", included(granted)),
    };
    let bands = card.time_of_use.iter().map(band);
    let title = card.title.iter().map(|title| format!(", called {title:?}"));
    let class =
        (card.tax_class.as_str() != "standard").then(|| format!(", taxed as {}", card.tax_class.as_str()));
    let rest: String = only
        .chain([allowance])
        .chain(bands)
        .chain([bounds(&card.bounds)])
        .chain(class)
        .chain(title)
        .collect();
    price + &rest
}

fn tiers_words(tiers: &[PriceTier]) -> String {
    let tiers = tiers.iter().map(|tier| {
        let flat = if tier.flat.is_zero() { String::new() } else { format!(" and {}", tier.flat) };
        match tier.to {
            Some(to) => format!("{}{flat} up to {to}", tier.unit_price),
            None => format!("{}{flat} beyond", tier.unit_price),
        }
    });
    tiers.collect::<Vec<_>>().join(", ")
}

fn band(band: &TimeBand) -> String {
    let days: Vec<&str> = band.days.iter().map(|day| day_name(*day)).collect();
    let days = if days.len() == 7 { String::new() } else { format!(" on {}", days.join(" ")) };
    format!(", {} {} from {} to {}{days}", band.unit_price, band.name, hour(band.from), hour(band.to))
}

fn included(included: &Included) -> String {
    let per = if included.per == Per::Instance { " for each instance" } else { "" };
    format!("{} included{per}", included.quantity)
}

fn bounds(bounds: &AmountBounds) -> String {
    let word = |word: &str, value: Option<Decimal>| {
        value.map_or_else(String::new, |value| format!(", {word} {value}"))
    };
    word("at least", bounds.minimum) + &word("at most", bounds.maximum)
}

fn fee_words(fee: &Fee) -> String {
    let said = match &fee.charge {
        FeeCharge::Recurring { amount, per, is_prorated } => {
            let per = if *per == Per::Instance { " for each instance" } else { "" };
            let whole = if *is_prorated { "" } else { ", never in part" };
            format!("{amount} a period{per}{whole}")
        }
        FeeCharge::Once { amount, on } => format!("{amount} once, on {on}"),
        FeeCharge::Percentage { fraction, of, fixed, bounds: limits } => {
            let of: Vec<&str> = of.iter().map(|name| name.as_str()).collect();
            let of = if of.is_empty() { "everything before".to_owned() } else { of.join(", ") };
            let fixed = if fixed.is_zero() { String::new() } else { format!(" and {fixed}") };
            format!("{} of {of}{fixed}{}", percent(*fraction), bounds(limits))
        }
    };
    let class = if fee.tax_class.as_str() == "standard" {
        String::new()
    } else {
        format!(", taxed as {}", fee.tax_class.as_str())
    };
    format!("{said}, called {:?}{class}", fee.title)
}
