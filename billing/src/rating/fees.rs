//! Step 7: fees, after the cards and in the order of the plan, because a percentage is of the amounts before it.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::cards::Bounds;
use super::explain::Figures;
use super::line::{Charge, LineUnit, RatedLine, Subject, Suffix};
use super::lines::{About, Lines};
use super::quantity;
use super::shares::Holder;
use super::sheet::Sheet;
use super::{RatingError, amount};
use crate::invoice::document::LineKind;
use crate::plan::{AmountBounds, CardName, Fee, FeeCharge, Per};
use crate::tax::TaxRate;

/// What a fee has done in earlier parts of the period.
#[derive(Default)]
struct Charged {
    is_charged: bool,
    holders: BTreeSet<Holder>,
    /// Coins.
    sum: i128,
}

/// Where a fee is charged.
#[derive(Clone, Copy)]
struct Place<'a> {
    segment: usize,
    fee: &'a Fee,
    tax: &'a TaxRate,
}

/// Adds the lines of all fees.
pub(super) fn add<'a>(sheet: &Sheet<'a>, lines: &mut Lines<'a>) -> Result<(), RatingError> {
    let mut charged = BTreeMap::<&CardName, Charged>::new();
    for (segment, at) in sheet.period.segments.iter().enumerate() {
        for fee in &at.version.terms().fees {
            let place = Place { segment, fee, tax: sheet.tax(&fee.tax_class, segment)? };
            let charged = charged.entry(&fee.name).or_default();
            match &fee.charge {
                FeeCharge::Recurring { amount, per, is_prorated } => {
                    let line = recurring(sheet, place, charged, *amount, *per, *is_prorated)?;
                    line.into_iter().for_each(|line| lines.push(line));
                }
                FeeCharge::Once { amount, on } => {
                    let due = on.to_zoned(sheet.input.plan.time_zone().clone());
                    if due.is_ok_and(|due| at.window.contains(due.timestamp())) {
                        let figures = Figures::Once { on: *on };
                        lines.push(line(
                            sheet,
                            place,
                            LineKind::OneTime,
                            (Decimal::ONE, LineUnit::Item),
                            *amount,
                            figures,
                        )?);
                    }
                }
                FeeCharge::Percentage { fraction, of, fixed, bounds } => {
                    let base = base(sheet, lines, segment, of);
                    let part = Percentage { fraction: *fraction, fixed: *fixed, bounds: *bounds, base };
                    part.add(sheet, place, charged, lines)?;
                }
            }
        }
    }
    Ok(())
}

/// A line at a price of the plan.
fn line<'a>(
    sheet: &Sheet<'a>,
    place: Place<'a>,
    kind: LineKind,
    (quantity, unit): (Decimal, LineUnit),
    unit_price: Decimal,
    figures: Figures,
) -> Result<RatedLine<'a>, RatingError> {
    let charge = Charge {
        kind,
        subject: Subject::Fee(place.fee),
        suffix: Suffix::None,
        quantity,
        unit,
        unit_price,
        figures,
    };
    sheet.ground(place.segment).charge(&sheet.pricing, place.tax, &charge)
}

fn recurring<'a>(
    sheet: &Sheet<'a>,
    place: Place<'a>,
    charged: &mut Charged,
    amount: Decimal,
    per: Per,
    is_prorated: bool,
) -> Result<Option<RatedLine<'a>>, RatingError> {
    let too_large = || super::too_large(sheet);
    let share = match is_prorated {
        true => sheet.period.prorated(quantity::ONE, place.segment).ok_or_else(too_large)?,
        false => quantity::ONE,
    };
    let (count, unit, instances) = match per {
        Per::Tenant => {
            let is_due = is_prorated || !std::mem::replace(&mut charged.is_charged, true);
            (usize::from(is_due), LineUnit::Period, None)
        }
        Per::Instance => {
            let used = instances(sheet, place.segment);
            let due = used.iter().filter(|holder| is_prorated || charged.holders.insert(**holder)).count();
            (due, LineUnit::Instance, Some(due))
        }
    };
    if count == 0 || share == 0 {
        return Ok(None);
    }
    let units = i128::try_from(count).ok().and_then(|count| count.checked_mul(share));
    let quantity =
        quantity::decimal(units.filter(|units| *units <= quantity::MAX_MICRO_UNITS).ok_or_else(too_large)?);
    let figures = Figures::Recurring { share, instances };
    line(sheet, place, LineKind::Fee, (quantity, unit), amount, figures).map(Some)
}

/// The instances that used anything in a segment. A volume is none, whatever is stored on it.
fn instances(sheet: &Sheet<'_>, segment: usize) -> BTreeSet<Holder> {
    let entries = sheet.gathered.entries.iter().filter(|entry| entry.segment == segment);
    let shares = entries.flat_map(|entry| sheet.gathered.shares_of(entry));
    let used = shares.filter(|share| 0 < share.base_quantity).map(|share| share.holder);
    used.filter(|holder| matches!(holder, Holder::Instance(_))).collect()
}

/// The amounts of a segment's lines that belong to one of `of`; of all, if it names none.
fn base<'a>(sheet: &Sheet<'a>, lines: &Lines<'a>, segment: usize, of: &[CardName]) -> i128 {
    let is_of = |line: &About<'_>| {
        let is_named = || line.belongs_to.is_some_and(|name| of.contains(name));
        line.segment == segment && (of.is_empty() || is_named())
    };
    lines.about(sheet).filter(is_of).map(|line| line.coins).sum()
}

/// A percentage fee in one segment.
struct Percentage {
    fraction: Decimal,
    fixed: Decimal,
    bounds: AmountBounds,
    /// Coins.
    base: i128,
}

impl Percentage {
    fn add<'a>(
        &self,
        sheet: &Sheet<'a>,
        place: Place<'a>,
        charged: &mut Charged,
        lines: &mut Lines<'a>,
    ) -> Result<(), RatingError> {
        let (currency, begin) = (sheet.pricing.currency, lines.len());
        let ground = sheet.ground(place.segment);
        if 0 < self.base {
            let base = amount(self.base, currency)?;
            let mut quantity = base.amount();
            quantity.rescale(quantity::QUANTITY_SCALE);
            // Of an amount of the invoice: it is neither exchanged nor freed of tax again.
            let pricing = super::pricing::Pricing::new(currency, None, false);
            let charge = Charge {
                kind: LineKind::Percentage,
                subject: Subject::Fee(place.fee),
                suffix: Suffix::None,
                quantity,
                unit: LineUnit::Amount(currency),
                unit_price: self.fraction,
                figures: Figures::Percentage { base },
            };
            lines.push(ground.charge(&pricing, place.tax, &charge)?);
            if !self.fixed.is_zero() && !charged.is_charged {
                let what = (Decimal::ONE, LineUnit::Item);
                lines.push(line(sheet, place, LineKind::Fee, what, self.fixed, Figures::Fixed)?);
            }
            charged.is_charged = true;
        }
        let own = lines.coins_from(begin);
        charged.sum += own;
        let is_last = charged.is_charged && is_last(sheet, place);
        let bounds = Bounds::of(sheet, self.bounds, place.tax)?;
        if let Some((kind, difference, bound)) = bounds.difference(charged.sum, own, is_last) {
            let figures =
                Figures::Bound { sum: amount(charged.sum, currency)?, bound: amount(bound, currency)? };
            let what = (kind, Subject::Fee(place.fee), Suffix::None);
            lines.push(ground.derived(place.tax, what, amount(difference, currency)?, figures));
            charged.sum += difference;
        }
        Ok(())
    }
}

/// Whether no later part of the period has the fee.
fn is_last(sheet: &Sheet<'_>, place: Place<'_>) -> bool {
    let has = |segment: &super::period::Segment<'_>| {
        segment.version.terms().fees.iter().any(|fee| fee.name == place.fee.name)
    };
    !sheet.period.segments[place.segment + 1..].iter().any(has)
}
