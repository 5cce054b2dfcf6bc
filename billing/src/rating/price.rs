//! Step 5: the lines of one entry: what is free, what is committed, and what is left at the card's price. It matches on the
//! shape of the price, here and nowhere else; tiers and rates have files of their own.

use rust_decimal::Decimal;

use super::explain::{Figures, How};
use super::gather::Entry;
use super::line::{Charge, LineUnit, RatedLine, Subject, Suffix};
use super::lines::{Before, Lines, Units, UnitsKind};
use super::quantity;
use super::sheet::{Part, Progress, Sheet};
use super::{RatingError, percentile, tiers};
use crate::invoice::document::LineKind;
use crate::plan::{Commitment, PriceModel, PriceTier, RateCard};
use crate::tax::TaxRate;

/// What a card has priced in earlier parts of the period, in millionths of its unit.
#[derive(Clone, Copy, Default)]
pub(super) struct Fill {
    /// Units that were priced.
    pub(super) before: i128,
    /// Units that are to be priced in all of the period.
    pub(super) all: i128,
    /// Whether something that is charged once was.
    pub(super) is_charged: bool,
}

/// Writes the lines of one entry.
pub(super) struct Pen<'s, 'a> {
    pub(super) sheet: &'s Sheet<'a>,
    pub(super) tax: &'a TaxRate,
    pub(super) card: &'a RateCard,
    number: u32,
    pub(super) entry: &'s Entry<'a>,
    pub(super) lines: &'s mut Lines<'a>,
    done: Before,
}

/// A part of an entry's units with one price.
pub(super) struct Priced<'a> {
    pub(super) kind: LineKind,
    pub(super) subject: Subject<'a>,
    pub(super) suffix: Suffix<'a>,
    /// How much of the entry it is.
    pub(super) units: i128,
    pub(super) quantity: Decimal,
    pub(super) unit: LineUnit,
    pub(super) unit_price: Decimal,
    pub(super) tier: Option<&'a PriceTier>,
    pub(super) how: How,
}

/// The lines of the entry of that number.
pub(super) fn entry<'a>(
    sheet: &Sheet<'a>,
    number: usize,
    card: &'a RateCard,
    tax: &'a TaxRate,
    fill: &mut Fill,
    lines: &mut Lines<'a>,
) -> Result<(), RatingError> {
    let (entry, progress) = (&sheet.gathered.entries[number], &sheet.progress[number]);
    let number = u32::try_from(number).expect("a period has fewer than 2^32 cards");
    let mut pen = Pen { sheet, tax, card, number, entry, lines, done: Before { units: 0, is_first: true } };
    if let PriceModel::Percentile { percent, interval_s, unit_price } = card.price {
        let rate = percentile::rate(&sheet.input, card.meter, percent, interval_s)?;
        return pen.rate(rate, unit_price);
    }
    pen.covered(progress)?;
    // Usage too small to show, such as one byte, still has a line.
    if 0 < progress.left || (pen.done.is_first && 0 < entry.base_quantity) {
        pen.at_its_price(progress.left, fill)?;
        fill.before += progress.left;
    }
    pen.shortfalls(progress)
}

impl<'a> Pen<'_, 'a> {
    /// A line about usage that is more than units at a price.
    pub(super) fn usage(&mut self, part: &Priced<'a>) -> Result<(), RatingError> {
        let pricing = &self.sheet.pricing;
        let amount = pricing.amount(part.quantity, part.unit_price, self.tax);
        self.lines.push(RatedLine {
            kind: part.kind,
            meter: Some(self.card.meter),
            band: self.entry.band,
            tier: part.tier,
            base_quantity: self.entry.base_units(self.done, part.units),
            quantity: part.quantity,
            unit_price: part.unit_price,
            amount: amount.ok_or_else(|| self.entry.scale.too_large())?,
            exchange: pricing.exchange,
            is_gross: pricing.is_gross,
            tax: self.tax,
            coverage: self.entry.coverage(),
            subject: part.subject,
            suffix: part.suffix,
            unit: part.unit,
            figures: Figures::Metered { of: self.entry.base_quantity, units: part.units, how: part.how },
            ground: self.sheet.ground(self.entry.segment),
        });
        self.did(part.units);
        Ok(())
    }

    /// Units at a price for each. Called for each line, and a call takes as long as a line's product: hence always inline.
    #[inline(always)]
    pub(super) fn units(
        &mut self,
        kind: UnitsKind,
        units: i128,
        price: &'a Decimal,
    ) -> Result<(), RatingError> {
        let coins = self.sheet.pricing.amount_of(units, price, self.tax);
        let coins = coins.ok_or_else(|| self.entry.scale.too_large())?;
        let (tax, entry, before) = (self.tax, self.number, self.done);
        self.lines.push_units(Units { coins, units, before, entry, price, tax, kind });
        self.did(units);
        Ok(())
    }

    #[inline]
    const fn did(&mut self, units: i128) {
        self.done = Before { units: self.done.units + units, is_first: false };
    }

    /// A line beside the usage.
    pub(super) fn beside(
        &mut self,
        charge: &Charge<'a>,
        tier: Option<&'a PriceTier>,
    ) -> Result<(), RatingError> {
        let mut line = self.line_beside(charge)?;
        line.tier = tier;
        self.lines.push(line);
        Ok(())
    }

    /// The same, not yet written.
    pub(super) fn line_beside(&self, charge: &Charge<'a>) -> Result<RatedLine<'a>, RatingError> {
        let ground = self.sheet.ground(self.entry.segment);
        let mut line = ground.charge(&self.sheet.pricing, self.tax, charge)?;
        line.band = self.entry.band;
        Ok(line)
    }

    /// What allowances and commitments cover.
    fn covered(&mut self, progress: &Progress<'a>) -> Result<(), RatingError> {
        if let Some(free) = progress.free {
            self.units(UnitsKind::Included, free, &Decimal::ZERO)?;
        }
        for part in progress.parts() {
            match *part {
                Part::Pooled { pool, units } => self.usage(&Priced {
                    kind: LineKind::Included,
                    subject: Subject::Pool(self.card, pool),
                    suffix: Suffix::Name(&pool.name),
                    units,
                    quantity: quantity::decimal(units),
                    unit: LineUnit::Priced(self.card.meter),
                    unit_price: Decimal::ZERO,
                    tier: None,
                    how: How::Included,
                })?,
                Part::Committed { commitment, units, committed } => {
                    self.committed(commitment, units, units, committed)?;
                }
                Part::Whole { commitment, units, charged } => {
                    self.committed(commitment, units, charged, charged)?;
                }
                Part::Shortfall { .. } => {}
            }
        }
        Ok(())
    }

    fn committed(
        &mut self,
        commitment: &'a Commitment,
        units: i128,
        charged: i128,
        quantity: i128,
    ) -> Result<(), RatingError> {
        self.usage(&Priced {
            kind: LineKind::Committed,
            subject: Subject::Commitment(self.card, commitment),
            suffix: Suffix::Name(&commitment.name),
            units,
            quantity: quantity::decimal(charged),
            unit: LineUnit::Priced(self.card.meter),
            unit_price: commitment.unit_price,
            tier: None,
            how: How::Committed { quantity },
        })
    }

    fn shortfalls(&mut self, progress: &Progress<'a>) -> Result<(), RatingError> {
        for part in progress.parts() {
            let Part::Shortfall { commitment, committed, used } = *part else { continue };
            let charge = Charge {
                kind: LineKind::Shortfall,
                subject: Subject::Commitment(self.card, commitment),
                suffix: Suffix::Name(&commitment.name),
                quantity: quantity::decimal(committed - used),
                unit: LineUnit::Priced(self.card.meter),
                unit_price: commitment.unit_price,
                figures: Figures::Shortfall { committed, used },
            };
            self.beside(&charge, None)?;
        }
        Ok(())
    }

    fn at_its_price(&mut self, units: i128, fill: &mut Fill) -> Result<(), RatingError> {
        let card = self.card;
        match &card.price {
            PriceModel::PerUnit { unit_price } => {
                let price = self.entry.band.map_or(unit_price, |band| &band.unit_price);
                self.units(UnitsKind::Standard, units, price)
            }
            PriceModel::Flat { amount } => self.flat(units, *amount, fill),
            PriceModel::Graduated { tiers } => tiers::graduated(self, tiers, units, fill),
            PriceModel::Volume { tiers } => tiers::volume(self, tiers, units, fill),
            PriceModel::Package { size, price } => self.package(units, *size, *price, fill),
            // It prices a rate and no units.
            PriceModel::Percentile { .. } => Ok(()),
        }
    }

    /// One amount for the period's usage, on the line of its first part.
    fn flat(&mut self, units: i128, amount: Decimal, fill: &mut Fill) -> Result<(), RatingError> {
        let is_charged = std::mem::replace(&mut fill.is_charged, true);
        self.usage(&Priced {
            kind: LineKind::Flat,
            subject: Subject::Card(self.card),
            suffix: Suffix::None,
            units,
            quantity: if is_charged { Decimal::ZERO } else { Decimal::ONE },
            unit: LineUnit::Period,
            unit_price: amount,
            tier: None,
            how: How::Flat { is_charged },
        })
    }

    /// Whole blocks: those that are begun now and were not before.
    fn package(
        &mut self,
        units: i128,
        size: Decimal,
        price: Decimal,
        fill: &Fill,
    ) -> Result<(), RatingError> {
        let block = quantity::from_decimal(size);
        // A plan has no blocks of nothing.
        let begun = |units: i128| if block <= 0 { 0 } else { (units + block - 1) / block };
        let blocks = begun(fill.before + units) - begun(fill.before);
        let blocks = Decimal::try_from_i128_with_scale(blocks, 0);
        self.usage(&Priced {
            kind: LineKind::Package,
            subject: Subject::Card(self.card),
            suffix: Suffix::None,
            units,
            quantity: blocks.map_err(|_| self.entry.scale.too_large())?,
            unit: LineUnit::Blocks(self.card.meter, size),
            unit_price: price,
            tier: None,
            how: How::Package { before: fill.before, size: block },
        })
    }
}
