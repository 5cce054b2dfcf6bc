//! Tiers: half-open over decimals, `from <= quantity < to`, so that no quantity falls between two. What earlier parts of the
//! period filled stays filled.

use rust_decimal::Decimal;

use super::RatingError;
use super::explain::{Figures, How};
use super::line::{Charge, LineUnit, Subject, Suffix};
use super::price::{Fill, Pen};
use super::quantity;
use crate::invoice::document::LineKind;
use crate::plan::PriceTier;

/// Each unit at the price of the tier into which it falls: a line for each tier that is touched. A quantity that equals a
/// tier's end has filled it and not begun the next one.
pub(super) fn graduated<'a>(
    pen: &mut Pen<'_, 'a>,
    tiers: &'a [PriceTier],
    units: i128,
    fill: &Fill,
) -> Result<(), RatingError> {
    let (mut at, end) = (fill.before, fill.before + units);
    for (number, tier) in (1..).zip(tiers) {
        let (from, to) = limits(tier);
        // With nothing to place, the tier that a next unit would fall into.
        let is_here = from <= at && to.is_none_or(|to| at < to);
        if !is_here {
            continue;
        }
        let until = to.map_or(end, |to| to.min(end));
        let kind = (LineKind::Graduated, Suffix::Number(number));
        pen.units(kind, until - at, tier.unit_price, Some(tier), How::Priced)?;
        if at == from && from < until {
            flat(pen, tier, number)?;
        }
        at = until;
        if at == end {
            break;
        }
    }
    Ok(())
}

/// All units at the price of the tier into which the last of the period's falls. A quantity that equals a tier's end is in
/// the next one.
pub(super) fn volume<'a>(
    pen: &mut Pen<'_, 'a>,
    tiers: &'a [PriceTier],
    units: i128,
    fill: &mut Fill,
) -> Result<(), RatingError> {
    let is_here = |tier: &PriceTier| {
        let (from, to) = limits(tier);
        from <= fill.all && to.is_none_or(|to| fill.all < to)
    };
    for (number, tier) in (1..).zip(tiers).filter(|(_, tier)| is_here(tier)) {
        let kind = (LineKind::Volume, Suffix::None);
        pen.units(kind, units, tier.unit_price, Some(tier), How::Volume { all: fill.all })?;
        if 0 < units && !fill.is_charged {
            fill.is_charged = true;
            flat(pen, tier, number)?;
        }
    }
    Ok(())
}

fn limits(tier: &PriceTier) -> (i128, Option<i128>) {
    (quantity::from_decimal(tier.from), tier.to.map(quantity::from_decimal))
}

/// What a tier costs once.
fn flat<'a>(pen: &mut Pen<'_, 'a>, tier: &'a PriceTier, number: usize) -> Result<(), RatingError> {
    if tier.flat.is_zero() {
        return Ok(());
    }
    let charge = Charge {
        kind: LineKind::Flat,
        subject: Subject::Card(pen.card),
        suffix: Suffix::Number(number),
        quantity: Decimal::ONE,
        unit: LineUnit::Period,
        unit_price: tier.flat,
        figures: Figures::Tier,
    };
    pen.beside(&charge, Some(tier))
}
