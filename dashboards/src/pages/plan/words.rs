//! The parts of a plan in words and tables. Pure; it computes no amount.

use billing::Currency;
use billing::plan::{
    AmountBounds, Fee, FeeCharge, Included, Off, Per, PriceModel, PriceTier, TimeBand, Unused,
};
use billing::plan::{RateCard, VersionTerms};
use jiff::civil::Weekday;
use reports::figures::grouped;
use rust_decimal::Decimal;

/// What usage of a meter costs.
pub(super) struct PriceCard {
    pub title: String,
    /// `storage_class: ssd`, where the price is for a part of the usage.
    pub only: Vec<String>,
    pub is_own: bool,
    /// One line of a price with its unit each; the first is the usual one.
    pub prices: Vec<Price>,
    /// `the first 10 CPU·h of a month are free`
    pub notes: Vec<String>,
}

/// A price.
pub(super) struct Price {
    /// What it is for: `up to 100 CPU·h`, `at night, 22:00 to 06:00`; nothing where it is for all.
    pub what: String,
    pub amount: String,
    pub per: String,
}

/// What is charged or taken off beside usage.
pub(super) struct Charge {
    pub kind: &'static str,
    pub title: String,
    pub text: String,
    pub is_own: bool,
}

pub(super) fn card(card: &RateCard, currency: Currency, is_own: bool) -> PriceCard {
    let meter = card.meter.meter();
    let unit = meter.priced_unit.symbol.as_str();
    let only = card.only.iter().map(|(name, values)| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!("{name}: {}", values.join(" or "))
    });
    let mut prices = model(&card.price, unit, currency);
    if let (Some(usual), false) = (prices.first_mut(), card.time_of_use.is_empty()) {
        "at all other hours".clone_into(&mut usual.what);
    }
    prices.extend(card.time_of_use.iter().map(|band| Price {
        what: band_words(band),
        amount: money(band.unit_price, currency),
        per: format!("per {unit}"),
    }));
    let mut notes = Vec::new();
    notes.extend(included(&card.included, unit));
    notes.extend(bounds(&card.bounds, currency));
    PriceCard {
        title: card.title.clone().unwrap_or_else(|| meter.title.clone()),
        only: only.collect(),
        is_own,
        prices,
        notes,
    }
}

fn model(price: &PriceModel, unit: &str, currency: Currency) -> Vec<Price> {
    let one = |amount: Decimal, per: String| {
        vec![Price { what: String::new(), amount: money(amount, currency), per }]
    };
    match price {
        PriceModel::PerUnit { unit_price } => one(*unit_price, format!("per {unit}")),
        PriceModel::Flat { amount } => one(*amount, "a month, however much is used".to_owned()),
        PriceModel::Package { size, price } => {
            one(*price, format!("for each {} {unit} begun", number(*size)))
        }
        PriceModel::Percentile { percent, interval_s, unit_price } => one(
            *unit_price,
            format!("per Mbit/s that is not exceeded in {percent} % of all {} minutes", interval_s / 60),
        ),
        PriceModel::Graduated { tiers } => {
            tiers.iter().enumerate().map(|(n, each)| tier(n, each, unit, currency, false)).collect()
        }
        PriceModel::Volume { tiers } => {
            tiers.iter().enumerate().map(|(n, each)| tier(n, each, unit, currency, true)).collect()
        }
    }
}

fn tier(number_of: usize, tier: &PriceTier, unit: &str, currency: Currency, is_volume: bool) -> Price {
    let (from, to) = (number(tier.from), tier.to.map(number));
    let what = match (number_of, to, is_volume) {
        (0, None, _) => String::new(),
        (0, Some(to), false) => format!("the first {to} {unit}"),
        (_, Some(to), false) => format!("from {from} to {to} {unit}"),
        (_, None, false) => format!("beyond {from} {unit}"),
        (0, Some(to), true) => format!("all, if less than {to} {unit} are used"),
        (_, Some(to), true) => format!("all, from {from} to less than {to} {unit}"),
        (_, None, true) => format!("all, from {from} {unit} on"),
    };
    let flat = if tier.flat.is_zero() {
        String::new()
    } else {
        format!(", and {} once", money(tier.flat, currency))
    };
    Price { what, amount: money(tier.unit_price, currency), per: format!("per {unit}{flat}") }
}

/// Fees, discounts, commitments, shared allowances, bounds, trial, sponsor.
pub(super) fn others(terms: &VersionTerms, of_all: &VersionTerms, currency: Currency) -> Vec<Charge> {
    let mut all = Vec::new();
    let charge = |kind, title: String, text: String, is_own| Charge { kind, title, text, is_own };
    for pool in &terms.pools {
        let unit = terms.rate_cards.iter().find(|card| pool.cards.contains(&card.name));
        let unit = unit.map_or("", |card| card.meter.meter().priced_unit.symbol.as_str());
        let cards: Vec<String> = pool.cards.iter().map(|name| titled(terms, name.as_str())).collect();
        let title = pool.title.clone().unwrap_or_else(|| pool.name.to_string());
        let text = format!(
            "{}, together for {}",
            included(&pool.included, unit).unwrap_or_default(),
            cards.join(", ")
        );
        all.push(charge("Included", title, text, !of_all.pools.contains(pool)));
    }
    for one in &terms.commitments {
        let unit = terms.rate_cards.iter().find(|card| card.name == one.card);
        let unit = unit.map_or("", |card| card.meter.meter().priced_unit.symbol.as_str());
        let rest = if one.unused == Unused::Lost {
            "what is not used expires"
        } else {
            "what is not used is paid at the month’s end"
        };
        let text = format!(
            "{} {unit} a month at {} each; {rest}",
            number(one.quantity),
            money(one.unit_price, currency)
        );
        let title = one.title.clone().unwrap_or_else(|| titled(terms, one.card.as_str()));
        all.push(charge("Commitment", title, text, !of_all.commitments.contains(one)));
    }
    for fee in &terms.fees {
        all.push(charge(
            "Fee",
            fee.title.clone(),
            fee_words(fee, terms, currency),
            !of_all.fees.contains(fee),
        ));
    }
    for discount in &terms.discounts {
        let off = match discount.off {
            Off::Fraction(fraction) => percent(fraction),
            Off::Amount(amount) => format!("{} a month", money(amount, currency)),
        };
        let of: Vec<String> = discount.of.iter().map(|name| titled(terms, name.as_str())).collect();
        let of = if of.is_empty() { "everything".to_owned() } else { of.join(", ") };
        all.push(charge(
            "Discount",
            discount.title.clone(),
            format!("{off} off {of}"),
            !of_all.discounts.contains(discount),
        ));
    }
    all.extend(of_whole(terms, of_all, currency));
    all
}

/// What is about a month as a whole: its bounds, a trial, a sponsor.
fn of_whole(terms: &VersionTerms, of_all: &VersionTerms, currency: Currency) -> Vec<Charge> {
    let mut all = Vec::new();
    let charge = |kind, title: String, text: String, is_own| Charge { kind, title, text, is_own };
    let whole = bounds(&terms.bounds, currency);
    if !whole.is_empty() {
        all.push(charge(
            "Invoice",
            "A month as a whole".to_owned(),
            format!("{}, before tax", whole.join(", ")),
            terms.bounds != of_all.bounds,
        ));
    }
    if let Some(trial) = &terms.trial {
        let credit = trial
            .credit
            .map_or_else(|| "all of it".to_owned(), |credit| format!("{} a month", money(credit, currency)));
        let text = format!("free until {}: {credit}", trial.until.strftime("%-d %B %Y"));
        all.push(charge("Trial", trial.title.clone(), text, terms.trial != of_all.trial));
    }
    if let Some(sponsor) = &terms.sponsor {
        all.push(charge(
            "Sponsor",
            sponsor.clone(),
            "bears everything: it is shown and taken off".to_owned(),
            terms.sponsor != of_all.sponsor,
        ));
    }
    all
}

fn fee_words(fee: &Fee, terms: &VersionTerms, currency: Currency) -> String {
    match &fee.charge {
        FeeCharge::Recurring { amount, per, is_prorated } => {
            let per = if *per == Per::Instance { " for each instance" } else { "" };
            let part = if *is_prorated { "; a part of a month costs a part of it" } else { "" };
            format!("{} a month{per}{part}", money(*amount, currency))
        }
        FeeCharge::Once { amount, on } => {
            format!("{} once, on {}", money(*amount, currency), on.strftime("%-d %B %Y"))
        }
        FeeCharge::Percentage { fraction, of, fixed, bounds: limits } => {
            let of: Vec<String> = of.iter().map(|name| titled(terms, name.as_str())).collect();
            let of = if of.is_empty() { "everything before it".to_owned() } else { of.join(", ") };
            let fixed =
                if fixed.is_zero() { String::new() } else { format!(" and {}", money(*fixed, currency)) };
            let limits =
                bounds(limits, currency).iter().map(|bound| format!(", {bound}")).collect::<String>();
            format!("{} of {of}{fixed}{limits}", percent(*fraction))
        }
    }
}

/// What a card or fee of that name is called on paper.
fn titled(terms: &VersionTerms, name: &str) -> String {
    let card = terms.rate_cards.iter().find(|card| card.name.as_str() == name);
    let card = card.map(|card| card.title.clone().unwrap_or_else(|| card.meter.meter().title.clone()));
    let fee = || terms.fees.iter().find(|fee| fee.name.as_str() == name).map(|fee| fee.title.clone());
    card.or_else(fee).unwrap_or_else(|| name.to_owned())
}

fn included(included: &Included, unit: &str) -> Option<String> {
    let per = if included.per == Per::Instance { " of each instance" } else { "" };
    let quantity = number(included.quantity);
    (!included.quantity.is_zero()).then(|| format!("the first {quantity} {unit}{per} in a month are free"))
}

fn bounds(bounds: &AmountBounds, currency: Currency) -> Vec<String> {
    let said = |word: &str, amount: Option<Decimal>| {
        amount.map(|amount| format!("{word} {}", money(amount, currency)))
    };
    [said("at least", bounds.minimum), said("at most", bounds.maximum)].into_iter().flatten().collect()
}

/// `night, 22:00 to 06:00 on Saturday, Sunday`
fn band_words(band: &TimeBand) -> String {
    let days: Vec<&str> = band.days.iter().map(|day| day_name(*day)).collect();
    let days = if days.len() == 7 { String::new() } else { format!(" on {}", days.join(", ")) };
    format!("{}, {} to {}{days}", band.name, band.from.strftime("%H:%M"), band.to.strftime("%H:%M"))
}

const fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

/// `19 %`, of a fraction.
pub(super) fn percent(fraction: Decimal) -> String {
    let hundredths = fraction.checked_mul(Decimal::ONE_HUNDRED).unwrap_or(fraction);
    format!("{}\u{a0}%", grouped(hundredths.normalize(), 0))
}

/// As the plan writes it: prices have more decimals than coins.
fn money(amount: Decimal, currency: Currency) -> String {
    format!("{}\u{a0}{currency}", grouped(amount.normalize(), currency.exponent()))
}

fn number(value: Decimal) -> String {
    grouped(value.normalize(), 0)
}
