//! Tiers: half-open over decimals, `from <= quantity < to`, so that no quantity falls between two. What earlier parts of the
//! period filled stays filled.

use rust_decimal::Decimal;

use super::RatingError;
use super::explain::{Figures, How};
use super::line::{Charge, LineUnit, Subject, Suffix};
use super::lines::UnitsKind;
use super::price::{Fill, Pen, Priced};
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
    // Each tier begins where the one before it ends, the first at 0.
    let mut from = 0;
    for (number, tier) in (0..).zip(tiers) {
        let begin = std::mem::replace(&mut from, tier.end);
        // With nothing to place, the tier that a next unit would fall into.
        if tier.end <= at {
            continue;
        }
        let until = tier.end.min(end);
        pen.units(UnitsKind::Tier(number), until - at, &tier.unit_price)?;
        if at == begin && begin < until {
            flat(pen, tier, number as usize + 1)?;
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
    let is_here = |tier: &PriceTier| quantity::from_decimal(tier.from) <= fill.all && fill.all < tier.end;
    for (number, tier) in (1..).zip(tiers).filter(|(_, tier)| is_here(tier)) {
        pen.usage(&Priced {
            kind: LineKind::Volume,
            subject: Subject::Card(pen.card),
            suffix: Suffix::None,
            units,
            quantity: quantity::decimal(units),
            unit: LineUnit::Priced(pen.card.meter),
            unit_price: tier.unit_price,
            tier: Some(tier),
            how: How::Volume { all: fill.all },
        })?;
        if 0 < units && !fill.is_charged {
            fill.is_charged = true;
            flat(pen, tier, number)?;
        }
    }
    Ok(())
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
