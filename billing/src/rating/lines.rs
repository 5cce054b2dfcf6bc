//! The lines of a rating as they are kept: of units at a price only the figures that are their own, beside the entry, the price
//! and the tax that they share with others; of everything else the line as it is shown. [`Lines::rated`] puts a line together
//! again, with all that explains it. It prices nothing.

use rust_decimal::Decimal;

use super::explain::{Figures, How};
use super::line::{LineUnit, RatedLine, Subject, Suffix};
use super::quantity;
use super::sheet::Sheet;
use crate::invoice::document::LineKind;
use crate::money::Money;
use crate::plan::{CardName, PriceModel, PriceTier};
use crate::tax::TaxRate;

/// Lines in the order of the document. With the sheet that they were priced from, they say all that is on paper.
#[derive(Clone, Debug, Default)]
pub struct Lines<'a> {
    all: Vec<Line<'a>>,
    /// Those that are more than units at a price.
    whole: Vec<RatedLine<'a>>,
}

/// Most lines are units, so that they are short decides how fast rating is.
#[derive(Clone, Copy, Debug)]
enum Line<'a> {
    Units(Units<'a>),
    /// By its number among those that are kept whole.
    Whole(usize),
}

/// Some of an entry's units, at a price for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units<'a> {
    /// The amount.
    pub(super) coins: i128,
    /// In millionths of the priced unit, as all units.
    pub(super) units: i128,
    /// Of the same entry.
    pub(super) before: Before,
    pub(super) entry: u32,
    pub(super) price: &'a Decimal,
    pub(super) tax: &'a TaxRate,
    pub(super) kind: UnitsKind,
}

/// What lines before it are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) units: i128,
    pub(super) is_first: bool,
}

/// Why units have their price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitsKind {
    /// The card's own allowance covers them.
    Included,
    /// The card or the hours have it.
    Standard,
    /// The graduated tier of that number has it, from 0.
    Tier(u32),
}

/// What those who add up lines want to know of one.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) segment: usize,
    /// The card or fee to whose amounts it belongs.
    pub(super) belongs_to: Option<&'a CardName>,
    pub(super) tax: &'a TaxRate,
    pub(super) coins: i128,
}

impl<'a> Lines<'a> {
    pub(super) fn with_capacity(lines: usize) -> Self {
        Self { all: Vec::with_capacity(lines), whole: Vec::new() }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[inline]
    pub(super) fn push_units(&mut self, units: Units<'a>) {
        self.all.push(Line::Units(units));
    }

    pub(super) fn push(&mut self, line: RatedLine<'a>) {
        self.all.push(Line::Whole(self.whole.len()));
        self.whole.push(line);
    }

    /// What the lines from the one of that number on come to, in coins.
    pub(super) fn coins_from(&self, begin: usize) -> i128 {
        self.all[begin..].iter().map(|line| self.due(line).1).sum()
    }

    /// The tax and the coins of each.
    pub(super) fn dues(&self) -> impl Iterator<Item = (&'a TaxRate, i128)> {
        self.all.iter().map(|line| self.due(line))
    }

    /// All of them, in short.
    pub(super) fn about(&self, sheet: &Sheet<'a>) -> impl Iterator<Item = About<'a>> {
        self.all.iter().map(|line| {
            let (tax, coins) = self.due(line);
            let (segment, belongs_to) = match line {
                Line::Units(units) => {
                    let entry = &sheet.gathered.entries[units.entry as usize];
                    (entry.segment, entry.card.map(|card| &card.name))
                }
                Line::Whole(number) => {
                    let line = &self.whole[*number];
                    (line.ground.segment, line.subject.belongs_to())
                }
            };
            About { segment, belongs_to, tax, coins }
        })
    }

    /// Each as it is shown, of the sheet that they were priced from.
    pub(super) fn rated(&self, sheet: &Sheet<'a>) -> impl ExactSizeIterator<Item = RatedLine<'a>> {
        self.all.iter().map(|line| match line {
            Line::Units(units) => units.rated(sheet),
            Line::Whole(number) => self.whole[*number],
        })
    }

    #[inline]
    fn due(&self, line: &Line<'a>) -> (&'a TaxRate, i128) {
        match line {
            Line::Units(units) => (units.tax, units.coins),
            Line::Whole(number) => {
                let line = &self.whole[*number];
                (line.tax, line.amount.coins())
            }
        }
    }
}

impl<'a> Units<'a> {
    fn rated(&self, sheet: &Sheet<'a>) -> RatedLine<'a> {
        let entry = &sheet.gathered.entries[self.entry as usize];
        let card = entry.card.expect("only usage with a card has lines");
        let tier = match (self.kind, &card.price) {
            (UnitsKind::Tier(number), PriceModel::Graduated { tiers }) => tiers.get(number as usize),
            _ => None::<&PriceTier>,
        };
        let (kind, suffix, how) = match self.kind {
            UnitsKind::Included => (LineKind::Included, Suffix::None, How::Included),
            UnitsKind::Standard => (LineKind::Standard, Suffix::None, How::Priced),
            UnitsKind::Tier(n) => (LineKind::Graduated, Suffix::Number(n as usize + 1), How::Priced),
        };
        RatedLine {
            kind,
            meter: Some(card.meter),
            band: entry.band,
            tier,
            base_quantity: entry.base_units(self.before, self.units),
            quantity: quantity::decimal(self.units),
            unit_price: *self.price,
            amount: Money::from_coins(self.coins, sheet.pricing.currency)
                .expect("pricing gives no amount that is too large for a currency"),
            exchange: sheet.pricing.exchange,
            is_gross: sheet.pricing.is_gross,
            tax: self.tax,
            coverage: entry.coverage(),
            subject: Subject::Card(card),
            suffix,
            unit: LineUnit::Priced(card.meter),
            figures: Figures::Metered { of: entry.base_quantity, units: self.units, how },
            ground: sheet.ground(entry.segment),
        }
    }
}
