//! Steps 5 and 6: every entry at its price, in the order of the document; then each card's minimum and maximum, which look at
//! all that the card has cost in the period.

use super::explain::Figures;
use super::line::{Subject, Suffix};
use super::lines::Lines;
use super::price::{self, Fill};
use super::sheet::Sheet;
use super::{RatingError, amount};
use crate::invoice::document::LineKind;
use crate::plan::{AmountBounds, RateCard};
use crate::tax::TaxRate;

/// What a card is known to have done so far.
#[derive(Clone, Copy, Default)]
struct Card {
    fill: Fill,
    /// Coins.
    charged: i128,
    is_used: bool,
    /// The number of its last entry in the period.
    last: usize,
}

/// The lines of all cards.
pub(super) fn lines<'a>(sheet: &Sheet<'a>) -> Result<Lines<'a>, RatingError> {
    let entries = &sheet.gathered.entries;
    let mut cards = vec![Card::default(); sheet.gathered.slots];
    for (number, (entry, progress)) in entries.iter().zip(&sheet.progress).enumerate() {
        if entry.card.is_some() {
            let card = &mut cards[entry.slot];
            card.fill.all += progress.left;
            card.is_used |= 0 < entry.base_quantity;
            card.last = number;
        }
    }
    // Most entries make a few lines.
    let mut lines = Lines::with_capacity(entries.len() * 4);
    let mut next = 0;
    while let Some(first) = entries.get(next) {
        let same = |other: &&super::gather::Entry<'_>| {
            other.segment == first.segment
                && match (other.card, first.card) {
                    (Some(a), Some(b)) => std::ptr::eq(a, b),
                    _ => false,
                }
        };
        // All bands of a card in a segment.
        let run = next..next + entries[next..].iter().take_while(same).count().max(1);
        next = run.end;
        let Some(rate_card) = first.card else { continue };
        let tax = sheet.tax(&rate_card.tax_class, first.segment)?;
        let card = &mut cards[first.slot];
        let begin = lines.len();
        for number in run {
            price::entry(sheet, number, rate_card, tax, &mut card.fill, &mut lines)?;
        }
        let is_bounded = rate_card.bounds != AmountBounds::default();
        // What is charged without bounds counts for those of another version.
        if is_bounded || 1 < sheet.period.segments.len() {
            card.charged += lines.coins_from(begin);
        }
        if is_bounded {
            bound(sheet, rate_card, (next - 1, first.segment), tax, card, begin, &mut lines)?;
        }
    }
    Ok(lines)
}

/// What is beyond the maximum so far is taken off at once; what is missing to the minimum is added at the period's end.
fn bound<'a>(
    sheet: &Sheet<'a>,
    rate_card: &'a RateCard,
    (number, segment): (usize, usize),
    tax: &'a TaxRate,
    card: &mut Card,
    begin: usize,
    lines: &mut Lines<'a>,
) -> Result<(), RatingError> {
    let own = lines.coins_from(begin);
    let bounds = Bounds::of(sheet, rate_card.bounds, tax)?;
    let is_last = card.is_used && number == card.last;
    let Some((kind, difference, bound)) = bounds.difference(card.charged, own, is_last) else {
        return Ok(());
    };
    let figures = Figures::Bound {
        sum: amount(card.charged, sheet.pricing.currency)?,
        bound: amount(bound, sheet.pricing.currency)?,
    };
    card.charged += difference;
    let what = (kind, Subject::Card(rate_card), Suffix::None);
    let difference = amount(difference, sheet.pricing.currency)?;
    lines.push(sheet.ground(segment).derived(tax, what, difference, figures));
    Ok(())
}

/// A minimum and a maximum in coins of the invoice's currency.
pub(super) struct Bounds {
    minimum: Option<i128>,
    maximum: Option<i128>,
}

impl Bounds {
    /// Bounds of prices: exchanged, and without the tax if prices contain it.
    pub(super) fn of(sheet: &Sheet<'_>, bounds: AmountBounds, tax: &TaxRate) -> Result<Self, RatingError> {
        let coins = |amount: Option<rust_decimal::Decimal>| {
            amount
                .map(|amount| sheet.coins(sheet.pricing.amount(amount, rust_decimal::Decimal::ONE, tax)))
                .transpose()
        };
        Ok(Self { minimum: coins(bounds.minimum)?, maximum: coins(bounds.maximum)? })
    }

    /// Bounds of an amount before tax: only exchanged.
    pub(super) fn net(sheet: &Sheet<'_>, bounds: AmountBounds) -> Result<Self, RatingError> {
        let coins = |amount: Option<rust_decimal::Decimal>| {
            amount.map(|amount| sheet.coins(sheet.pricing.net(amount))).transpose()
        };
        Ok(Self { minimum: coins(bounds.minimum)?, maximum: coins(bounds.maximum)? })
    }

    /// The line that is wanted after `charged` coins, of which `own` are of this part of the period: its kind, its coins and
    /// the bound.
    pub(super) fn difference(
        &self,
        charged: i128,
        own: i128,
        is_last: bool,
    ) -> Option<(LineKind, i128, i128)> {
        if let Some(maximum) = self.maximum.filter(|maximum| *maximum < charged && 0 < own) {
            // What earlier parts were charged stays charged.
            return Some((LineKind::Maximum, -(charged - maximum).min(own), maximum));
        }
        let minimum = self.minimum.filter(|minimum| is_last && charged < *minimum)?;
        Some((LineKind::Minimum, minimum - charged, minimum))
    }
}
