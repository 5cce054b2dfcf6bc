//! The percentile of a rate: nearest rank over the intervals of the whole period. An interval without data counts as zero, in
//! the tenant's favour, and is told.

use std::collections::BTreeMap;

use metering::MeterName;
use rust_decimal::Decimal;

use super::explain::{Figures, Rate};
use super::line::{Charge, LineUnit, Subject, Suffix};
use super::price::Pen;
use super::quantity::{self, divide_half_even};
use super::{RatingError, RatingInput};
use crate::invoice::document::LineKind;

/// Microseconds in a second, and bit in a byte times that.
const US: i64 = 1_000_000;
const BIT_US: u128 = 8 * 1_000_000;

/// The rate of `meter` over the period.
pub(super) fn rate(
    input: &RatingInput<'_>,
    meter: MeterName,
    percent: u32,
    interval_s: u32,
) -> Result<Rate, RatingError> {
    let (start, end) = (input.period.start().as_microsecond(), input.period.end().as_microsecond());
    let length = i64::from(interval_s.max(1)) * US;
    let intervals = (end - start + length - 1) / length;
    let mut bytes = BTreeMap::<i64, u128>::new();
    for sample in input.samples.iter().filter(|sample| sample.meter == meter) {
        let (from, to) = (sample.window.start().as_microsecond(), sample.window.end().as_microsecond());
        let number = (from - start).div_euclid(length);
        let is_inside = start <= from && to <= end && to <= start + (number + 1) * length;
        if !is_inside {
            return Err(RatingError::SampleOutOfPlace { meter, window: sample.window, interval_s });
        }
        *bytes.entry(number).or_default() += u128::from(sample.quantity);
    }
    // A last interval that the period cuts off is as long as it is.
    let rate_of = |(number, bytes): (&i64, &u128)| {
        let from = start + number * length;
        let length = ((from + length).min(end) - from).unsigned_abs();
        bytes.checked_mul(BIT_US).map(|scaled| divide_half_even(scaled, length.into()))
    };
    let rates: Option<Vec<u128>> = bytes.iter().map(rate_of).collect();
    let mut rates = rates.ok_or(RatingError::TooLarge { meter })?;
    rates.sort_unstable();
    let intervals = intervals.unsigned_abs();
    let missing = intervals - rates.len() as u64;
    let rank = (u128::from(intervals) * u128::from(percent)).div_ceil(100) as u64;
    let known = rank.checked_sub(missing + 1).and_then(|place| rates.get(usize::try_from(place).ok()?));
    let bit_per_s = i128::try_from(known.copied().unwrap_or(0)).ok();
    let bit_per_s = bit_per_s.filter(|rate| *rate <= quantity::MAX_MICRO_UNITS);
    Ok(Rate {
        percent,
        interval_s,
        intervals,
        missing,
        rank,
        bit_per_s: bit_per_s.ok_or(RatingError::TooLarge { meter })?,
        is_prorated: false,
    })
}

impl Pen<'_, '_> {
    /// The line of a rate: of the whole period, at the share of the price for which this part of it stands.
    pub(super) fn rate(self, mut rate: Rate, unit_price: Decimal) -> Result<(), RatingError> {
        // A millionth of a Mbit/s is a bit/s.
        let period = &self.sheet.period;
        let share = period.prorated(rate.bit_per_s, self.entry.segment);
        let share = share.ok_or_else(|| self.entry.scale.too_large())?;
        rate.is_prorated = 1 < period.segments.len();
        let charge = Charge {
            kind: LineKind::Percentile,
            subject: Subject::Card(self.card),
            suffix: Suffix::None,
            quantity: quantity::decimal(share),
            unit: LineUnit::MbitPerSecond,
            unit_price,
            figures: Figures::Rate { of: self.entry.base_quantity, rate },
        };
        let mut line = self.line_beside(&charge)?;
        line.meter = Some(self.card.meter);
        line.base_quantity = self.entry.base_quantity;
        line.coverage = self.entry.coverage();
        self.lines.push(line);
        Ok(())
    }
}
