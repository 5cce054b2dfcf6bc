//! Steps 8 to 10: what is taken off. Discounts in the order of the plan, then the invoice's bounds, then the trial, then the
//! sponsor; each sees what those before it left, and none takes more than there is.
//!
//! Taxes are due on each rate's own amounts, so what is taken off has a line for each tax that it touches.

use std::collections::BTreeMap;

use super::cards::Bounds;
use super::explain::Figures;
use super::left::{Group, Left};
use super::line::{Subject, Suffix};
use super::lines::Lines;
use super::sheet::Sheet;
use super::{RatingError, amount, quantity};
use crate::invoice::document::LineKind;
use crate::plan::{AmountBounds, CardName, Off, TaxClass};

/// Adds the lines of all that is taken off.
pub(super) fn add<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>) -> Result<(), RatingError> {
    let is_anything = sheet.period.segments.iter().any(|segment| {
        let terms = segment.version.terms();
        let bounds = terms.bounds != AmountBounds::default();
        segment.is_trial || bounds || !terms.discounts.is_empty() || terms.sponsor.is_some()
    });
    if lines.is_empty() || !is_anything {
        return Ok(());
    }
    let mut left = Left::of(sheet, lines).ok_or_else(|| super::too_large(sheet))?;
    discounts(sheet, lines, &mut left)?;
    bounds(sheet, lines, &mut left)?;
    trial(sheet, lines, &mut left)?;
    sponsor(sheet, lines, &mut left)
}

fn discounts<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>, left: &mut Left) -> Result<(), RatingError> {
    // What discounts of an amount have taken off in earlier parts of the period.
    let mut taken = BTreeMap::<&CardName, i128>::new();
    for (segment, at) in sheet.period.segments.iter().enumerate() {
        for discount in &at.version.terms().discounts {
            let groups = left.groups(sheet, lines, |line| {
                let name = line.belongs_to;
                let is_of = discount.of.is_empty() || name.is_some_and(|name| discount.of.contains(name));
                line.segment == segment && is_of
            });
            let off = match discount.off {
                Off::Fraction(fraction) => groups
                    .iter()
                    .map(|group| {
                        let base = amount(group.sum, sheet.pricing.currency)?.amount();
                        let exact = super::exact::Exact::product(base, fraction);
                        sheet.coins(exact.and_then(|exact| exact.to_money(sheet.pricing.currency)))
                    })
                    .collect::<Result<Vec<i128>, _>>()?,
                Off::Amount(amount) => {
                    let limit = sheet.coins(sheet.pricing.net(amount))?;
                    let taken = taken.entry(&discount.name).or_default();
                    limited(sheet, &groups, limit, taken)?
                }
            };
            let subject = (LineKind::Discount, Subject::Discount(discount));
            let figures = |base| Figures::Off { base, off: discount.off };
            take(sheet, segment, subject, &groups, &off, figures, lines, left)?;
        }
    }
    Ok(())
}

/// The least and the most that the invoice is about, before tax.
fn bounds<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>, left: &mut Left) -> Result<(), RatingError> {
    let currency = sheet.pricing.currency;
    let mut charged = 0;
    let last = sheet.period.segments.len().saturating_sub(1);
    for (segment, at) in sheet.period.segments.iter().enumerate() {
        let groups = left.groups(sheet, lines, |line| line.segment == segment);
        let own = left.sum(sheet, lines, segment);
        charged += own;
        let bounds = Bounds::net(sheet, at.version.terms().bounds)?;
        let Some((kind, difference, bound)) = bounds.difference(charged, own, segment == last) else {
            continue;
        };
        let figures = Figures::Bound { sum: amount(charged, currency)?, bound: amount(bound, currency)? };
        charged += difference;
        if kind == LineKind::Minimum {
            let tax = sheet.tax(&TaxClass::standard(), segment)?;
            let what = (kind, Subject::Invoice, Suffix::None);
            let line = sheet.ground(segment).derived(tax, what, amount(difference, currency)?, figures);
            lines.push(line);
            left.add(difference);
        } else {
            let sums: Vec<i128> = groups.iter().map(|group| group.sum).collect();
            let off = quantity::spread(-difference, &sums).ok_or_else(|| super::too_large(sheet))?;
            take(sheet, segment, (kind, Subject::Invoice), &groups, &off, |_| figures, lines, left)?;
        }
    }
    Ok(())
}

/// Everything is free in a trial, or up to its credit.
fn trial<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>, left: &mut Left) -> Result<(), RatingError> {
    let mut taken = 0;
    for (segment, at) in sheet.period.segments.iter().enumerate().filter(|(_, at)| at.is_trial) {
        let Some(trial) = &at.version.terms().trial else { continue };
        let groups = left.groups(sheet, lines, |line| line.segment == segment);
        let off = match trial.credit {
            None => groups.iter().map(|group| group.sum).collect(),
            Some(credit) => limited(sheet, &groups, sheet.coins(sheet.pricing.net(credit))?, &mut taken)?,
        };
        let subject = (LineKind::Trial, Subject::Trial(trial));
        take(sheet, segment, subject, &groups, &off, |base| Figures::Borne { base }, lines, left)?;
    }
    Ok(())
}

fn sponsor<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>, left: &mut Left) -> Result<(), RatingError> {
    for (segment, at) in sheet.period.segments.iter().enumerate() {
        let Some(sponsor) = &at.version.terms().sponsor else { continue };
        let groups = left.groups(sheet, lines, |line| line.segment == segment);
        let off: Vec<i128> = groups.iter().map(|group| group.sum).collect();
        let subject = (LineKind::Sponsored, Subject::Sponsor(sponsor));
        take(sheet, segment, subject, &groups, &off, |base| Figures::Borne { base }, lines, left)?;
    }
    Ok(())
}

/// What an amount of the plan takes off each group: what `taken` has left of `limit`, in proportion to what they cost. If
/// prices contain the tax, so does the amount: it is spread over what customers pay, and then freed of each group's tax.
fn limited(
    sheet: &Sheet<'_>,
    groups: &[Group<'_>],
    limit: i128,
    taken: &mut i128,
) -> Result<Vec<i128>, RatingError> {
    let too_large = || super::too_large(sheet);
    let gross = |group: &Group<'_>| {
        if !sheet.pricing.is_gross {
            return Ok(group.sum);
        }
        let net = amount(group.sum, sheet.pricing.currency)?.amount();
        let factor = group.tax.in_prices.checked_add(rust_decimal::Decimal::ONE).ok_or_else(too_large)?;
        let exact = super::exact::Exact::product(net, factor);
        sheet.coins(exact.and_then(|exact| exact.to_money(sheet.pricing.currency)))
    };
    let costs = groups.iter().map(gross).collect::<Result<Vec<i128>, _>>()?;
    let all: i128 = costs.iter().sum();
    let total = (limit - *taken).clamp(0, all);
    *taken += total;
    let parts = quantity::spread(total, &costs).ok_or_else(too_large)?;
    groups
        .iter()
        .zip(parts)
        .zip(&costs)
        .map(|((group, part), cost)| {
            if part == *cost {
                return Ok(group.sum);
            }
            let part = amount(part, sheet.pricing.currency)?.amount();
            let own = super::pricing::Pricing { exchange: None, ..sheet.pricing };
            let net = sheet.coins(own.amount(part, rust_decimal::Decimal::ONE, group.tax))?;
            Ok(net.min(group.sum))
        })
        .collect()
}

/// A line for each group from which something is taken.
#[expect(clippy::too_many_arguments, reason = "each is another thing, and they meet only here")]
fn take<'a>(
    sheet: &Sheet<'a>,
    segment: usize,
    (kind, subject): (LineKind, Subject<'a>),
    groups: &[Group<'a>],
    off: &[i128],
    figures: impl Fn(crate::money::Money) -> Figures,
    lines: &mut Lines<'a>,
    left: &mut Left,
) -> Result<(), RatingError> {
    let mut number = 0;
    for (group, off) in groups.iter().zip(off) {
        if *off == 0 {
            continue;
        }
        number += 1;
        let suffix = if number == 1 { Suffix::None } else { Suffix::Number(number) };
        let base = amount(group.sum, sheet.pricing.currency)?;
        let off_amount = amount(-*off, sheet.pricing.currency)?;
        left.take(group, *off).ok_or_else(|| super::too_large(sheet))?;
        lines.push(sheet.ground(segment).derived(
            group.tax,
            (kind, subject, suffix),
            off_amount,
            figures(base),
        ));
        left.add(0);
    }
    Ok(())
}
