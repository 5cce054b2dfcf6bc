//! What must be true of a version as a whole: names lead somewhere, cards can be reached, bands do not overlap, days lie
//! within. It reads no text, so that plans with a tenant's terms worked in keep the same rules.

use std::collections::BTreeSet;

use jiff::civil::{Date, Weekday};

use super::reader::closest;
use super::{CardName, FeeCharge, PriceModel, RateCard, TimeBand, VersionTerms};

/// How many cards are held against a usage in the search for a card that several earlier ones leave nothing to. Beyond it
/// only single ones are looked at: a plan that large is no mistake of the pen.
const MAX_COMPARISONS: usize = 100_000;

/// How many different usages a card may name for that search.
const MAX_USAGES: usize = 64;

/// Hours of a week.
const WEEK_H: usize = 7 * 24;

/// A part of a version, by its position among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Card(usize),
    Pool(usize),
    Commitment(usize),
    Fee(usize),
    Discount(usize),
    Trial,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) part: Part,
    /// Which key of it.
    pub(crate) key: &'static str,
    /// What is wrong, as two halves around another part that is to be named, if one is.
    pub(crate) what: (String, Option<(Part, String)>),
    pub(crate) mend: String,
}

/// What is checked.
pub(crate) struct Whole<'v> {
    pub(crate) terms: &'v VersionTerms,
    /// When the version holds.
    pub(crate) from: Date,
    pub(crate) until: Option<Date>,
    /// Every name that there is, also of parts that could not be read.
    pub(crate) named: &'v BTreeSet<CardName>,
    /// Whether some parts have a name that could not be read: a name that leads nowhere may be one of them.
    pub(crate) has_unnamed: bool,
}

/// Everything that is wrong.
pub(crate) fn check(whole: &Whole<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    unreachable_cards(&whole.terms.rate_cards, &mut findings);
    for (n, card) in whole.terms.rate_cards.iter().enumerate() {
        findings.extend(card_price(Part::Card(n), card, whole));
        findings.extend(overlap(&card.time_of_use).map(|(one, other)| Finding {
            part: Part::Card(n),
            key: "time_of_use",
            what: (format!("the bands {one} and {other} overlap: an hour would have two prices"), None),
            mend: "let one end where the other begins, or give them different days".to_owned(),
        }));
    }
    pools(whole, &mut findings);
    commitments(whole, &mut findings);
    fee_references(whole, &mut findings);
    for (n, discount) in whole.terms.discounts.iter().enumerate() {
        let fees = whole.terms.fees.iter().map(|fee| &fee.name);
        let known: Vec<&CardName> = cards(whole).map(|card| &card.name).chain(fees).collect();
        references(Part::Discount(n), "of", &discount.of, &known, whole, &mut findings);
    }
    findings.extend(check_days(whole));
    findings
}

/// What is wrong with days alone: fees and trials that lie outside of the time in which they are said.
pub(crate) fn check_days(whole: &Whole<'_>) -> Vec<Finding> {
    let is_within = |on: Date| whole.from <= on && whole.until.is_none_or(|until| on < until);
    let fees = whole.terms.fees.iter().enumerate().filter_map(|(n, fee)| {
        let FeeCharge::Once { on, .. } = fee.charge else { return None };
        let what = format!("the fee falls due on {on}, and the version holds {}", span(whole));
        let mend = "write a day within, or move the fee to the version of that day";
        (!is_within(on)).then(|| finding(Part::Fee(n), "on", what, mend))
    });
    fees.chain(trial(whole)).collect()
}

fn cards<'v>(whole: &Whole<'v>) -> impl Iterator<Item = &'v RateCard> {
    whole.terms.rate_cards.iter()
}

fn finding(part: Part, key: &'static str, what: String, mend: &str) -> Finding {
    Finding { part, key, what: (what, None), mend: mend.to_owned() }
}

/// Notes names that lead nowhere. Those that exist and could not be read have their problem already.
fn references(
    part: Part,
    key: &'static str,
    names: &[CardName],
    known: &[&CardName],
    whole: &Whole<'_>,
    findings: &mut Vec<Finding>,
) {
    for name in names.iter().filter(|name| !known.contains(name)) {
        let is_other = whole.named.contains(name);
        let read = names_of_all(whole.terms);
        if if is_other { !read.contains(name) } else { whole.has_unnamed } {
            continue;
        }
        let words: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        let mend = match closest(name.as_str(), &words) {
            Some(near) => format!("did you mean {near:?}?"),
            None if words.is_empty() => "remove it: there is nothing that it could name".to_owned(),
            None => format!("write some of {}", words.join(", ")),
        };
        let what = match (is_other, key) {
            (true, "of") => {
                format!("{name} cannot stand here: it comes later, or is neither a card nor a fee")
            }
            (true, _) => format!("{name} is no card"),
            (false, "of") => format!("there is no card and no fee {name}"),
            (false, _) => format!("there is no card {name}"),
        };
        findings.push(Finding { part, key, what: (what, None), mend });
    }
}

fn names_of_all(terms: &VersionTerms) -> BTreeSet<&CardName> {
    let cards = terms.rate_cards.iter().map(|card| &card.name);
    let pools = terms.pools.iter().map(|pool| &pool.name);
    let commitments = terms.commitments.iter().map(|commitment| &commitment.name);
    let fees = terms.fees.iter().map(|fee| &fee.name);
    let discounts = terms.discounts.iter().map(|discount| &discount.name);
    cards.chain(pools).chain(commitments).chain(fees).chain(discounts).collect()
}

/// What a model of price does not go with.
fn card_price(part: Part, card: &RateCard, whole: &Whole<'_>) -> Option<Finding> {
    if !card.time_of_use.is_empty() && !matches!(card.price, PriceModel::PerUnit { .. }) {
        let what = "bands have prices for each unit, and the card has another kind of price".to_owned();
        return Some(finding(
            part,
            "time_of_use",
            what,
            "write unit_price for all other hours, or remove the bands",
        ));
    }
    let PriceModel::Percentile { .. } = card.price else { return None };
    let meter = card.meter.meter();
    if meter.unit.symbol() != "bytes" {
        let what =
            format!("a percentile is a rate in Mbit/s, and {} counts {}", card.meter, meter.unit.symbol());
        return Some(finding(part, "percentile", what, "write unit_price, or take a meter in bytes"));
    }
    if !card.included.quantity.is_zero() {
        let what = "a percentile has no allowance: it prices a rate, not a quantity".to_owned();
        return Some(finding(part, "included", what, "remove it, or lower the price"));
    }
    // Samples add up all of a tenant's usage of a meter: what another card took cannot be told from it.
    let is_alone =
        card.only.is_empty() && cards(whole).filter(|other| other.meter == card.meter).count() == 1;
    (!is_alone).then(|| {
        let what =
            format!("a percentile looks at all of {}, so its card must be the meter's only one", card.meter);
        finding(part, "percentile", what, "remove `only` and the meter's other cards, or price it otherwise")
    })
}

/// Cards to which earlier ones leave nothing.
fn unreachable_cards(cards: &[RateCard], findings: &mut Vec<Finding>) {
    let mut left = MAX_COMPARISONS;
    for (n, card) in cards.iter().enumerate() {
        let earlier: Vec<(usize, &RateCard)> =
            cards[..n].iter().enumerate().filter(|(_, other)| other.meter == card.meter).collect();
        let mend = "put the narrower card first, or remove one".to_owned();
        if let Some((other, _)) = earlier.iter().find(|(_, other)| takes_all(other, card)) {
            let what = (
                format!("no usage ever reaches card {}: ", card.name),
                Some((Part::Card(*other), " takes all of it".to_owned())),
            );
            findings.push(Finding { part: Part::Card(n), key: "name", what, mend });
            continue;
        }
        let Some(usages) = usages(card) else { continue };
        let cost = usages.len() * earlier.len();
        if left < cost || earlier.len() < 2 {
            continue;
        }
        left -= cost;
        let is_taken = |usage: &Vec<(&str, &str)>| earlier.iter().any(|(_, other)| takes(other, usage));
        if usages.iter().all(is_taken) {
            let what =
                format!("no usage ever reaches card {}: the cards before it take all of it", card.name);
            findings.push(Finding { part: Part::Card(n), key: "name", what: (what, None), mend });
        }
    }
}

/// Whether `other` takes everything that `card` could.
fn takes_all(other: &RateCard, card: &RateCard) -> bool {
    other.only.iter().all(|(name, values)| card.only.get(name).is_some_and(|own| own.is_subset(values)))
}

/// One usage of each kind that `card` names; a dimension that it does not name has a value that no card names.
fn usages(card: &RateCard) -> Option<Vec<Vec<(&str, &str)>>> {
    let mut usages: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for (name, values) in &card.only {
        if MAX_USAGES < usages.len() * values.len() {
            return None;
        }
        usages = usages
            .iter()
            .flat_map(|usage| {
                values.iter().map(|value| {
                    let mut usage = usage.clone();
                    usage.push((name.as_str(), value.as_str()));
                    usage
                })
            })
            .collect();
    }
    Some(usages)
}

fn takes(card: &RateCard, usage: &[(&str, &str)]) -> bool {
    card.only.iter().all(|(name, values)| usage.iter().any(|(n, value)| n == name && values.contains(*value)))
}

/// Two bands with an hour in common.
fn overlap(bands: &[TimeBand]) -> Option<(&CardName, &CardName)> {
    let mut taken: [Option<&TimeBand>; WEEK_H] = [None; WEEK_H];
    for band in bands {
        for hour in hours(band) {
            match taken[hour] {
                Some(other) if other.name != band.name => return Some((&other.name, &band.name)),
                _ => taken[hour] = Some(band),
            }
        }
    }
    None
}

/// The hours of a week in which a band holds, from Monday's midnight on.
fn hours(band: &TimeBand) -> impl Iterator<Item = usize> + '_ {
    let hour = |hour: i8| usize::try_from(hour).unwrap_or_default();
    let (from, to) = (hour(band.from.hour()), hour(band.to.hour()));
    let to = if to <= from { to + 24 } else { to };
    let day = |day: &Weekday| usize::try_from(day.to_monday_zero_offset()).unwrap_or_default();
    band.days.iter().flat_map(move |at| (from..to).map(move |hour| (day(at) * 24 + hour) % WEEK_H))
}

fn pools(whole: &Whole<'_>, findings: &mut Vec<Finding>) {
    for (n, pool) in whole.terms.pools.iter().enumerate() {
        let part = Part::Pool(n);
        let known: Vec<&CardName> = cards(whole).map(|card| &card.name).collect();
        references(part, "cards", &pool.cards, &known, whole, findings);
        let members: Vec<&RateCard> = cards(whole).filter(|card| pool.cards.contains(&card.name)).collect();
        let unit = |card: &RateCard| card.meter.meter().priced_unit.symbol.clone();
        if let Some((first, rest)) = members.split_first()
            && let Some(other) = rest.iter().find(|card| unit(card) != unit(first))
        {
            let what = format!(
                "the pool has two units: {} is priced in {}, {} in {}",
                first.name,
                unit(first),
                other.name,
                unit(other)
            );
            findings.push(finding(part, "cards", what, "make a pool for each unit"));
        }
        if let Some(card) = members.iter().find(|card| matches!(card.price, PriceModel::Percentile { .. })) {
            let what = format!("{} prices a rate, which a pool cannot cover", card.name);
            findings.push(finding(part, "cards", what, "remove it from the pool"));
        }
    }
}

fn commitments(whole: &Whole<'_>, findings: &mut Vec<Finding>) {
    for (n, commitment) in whole.terms.commitments.iter().enumerate() {
        let part = Part::Commitment(n);
        let known: Vec<&CardName> = cards(whole).map(|card| &card.name).collect();
        references(part, "card", std::slice::from_ref(&commitment.card), &known, whole, findings);
        let card = cards(whole).find(|card| card.name == commitment.card);
        if card
            .is_some_and(|card| matches!(card.price, PriceModel::Percentile { .. } | PriceModel::Flat { .. }))
        {
            let what = format!("{} has no price for a unit, so none can be committed", commitment.card);
            findings.push(finding(part, "card", what, "commit to a card with unit_price, tiers or packages"));
        }
    }
}

fn fee_references(whole: &Whole<'_>, findings: &mut Vec<Finding>) {
    for (n, fee) in whole.terms.fees.iter().enumerate() {
        if let FeeCharge::Percentage { of, .. } = &fee.charge {
            let before = whole.terms.fees[..n].iter().map(|fee| &fee.name);
            let known: Vec<&CardName> = cards(whole).map(|card| &card.name).chain(before).collect();
            references(Part::Fee(n), "of", of, &known, whole, findings);
        }
    }
}

fn trial(whole: &Whole<'_>) -> Option<Finding> {
    let trial = whole.terms.trial.as_ref()?;
    if trial.until <= whole.from {
        let what = format!("the trial ends on {}, and the version holds {}", trial.until, span(whole));
        return Some(finding(Part::Trial, "until", what, "write a later day, or remove the trial"));
    }
    if whole.until.is_some_and(|until| until < trial.until) {
        let what = format!("the trial ends on {}, and the version holds {}", trial.until, span(whole));
        let mend = "end it with the version, and go on with a trial in the next one";
        return Some(finding(Part::Trial, "until", what, mend));
    }
    None
}

fn span(whole: &Whole<'_>) -> String {
    match whole.until {
        Some(until) => format!("from {} until {until}", whole.from),
        None => format!("from {} on", whole.from),
    }
}
