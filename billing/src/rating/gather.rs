//! The first two steps of rating: usage records become one exact sum of base units for each segment, card and band of
//! hours; then each sum becomes the priced unit. What each instance or volume contributed is found again when it is asked for
//! ([`super::shares`]). Nothing is priced.

use std::sync::OnceLock;

use metering::{Coverage, Dimensions, MeterName, UsageRecord, catalog};

use super::lines::Before;
use super::period::Period;
use super::quantity::{self, Scale};
use super::shares::{Share, Shares};
use super::{RatingError, RatingInput};
use crate::invoice::document::Completeness;
use crate::plan::{PlanVersion, PriceModel, RateCard, TimeBand};

/// Usage that has one price model: of one card in one segment and, if the card has bands, in the hours of one of them.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) segment: usize,
    pub(super) scale: Scale,
    /// `None`: the plan has no price for it.
    pub(super) card: Option<&'a RateCard>,
    pub(super) band: Option<&'a TimeBand>,
    /// The card's number among those of the period: cards of one name and meter in several versions have one number.
    pub(super) slot: usize,
    pub(super) base_quantity: u128,
    pub(super) units: i128,
    pub(super) coverage: Completeness,
    /// The number of its sum; `None`: there was no usage.
    sum: Option<usize>,
}

/// All usage of a period.
#[derive(Clone, Debug)]
pub(super) struct Gathered<'a> {
    /// In the order of the catalog, then of time, then of the version's cards, then of their bands (the hours of no band
    /// last).
    pub(super) entries: Vec<Entry<'a>>,
    /// How many numbers of cards there are.
    pub(super) slots: usize,
    usage: &'a [UsageRecord],
    /// For each record the number of its sum.
    sum_of: Vec<usize>,
    /// How many sums there are.
    sums: usize,
    shares: OnceLock<Shares>,
}

/// Where a record belongs, in the order of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    position: u32,
    segment: u32,
    card: u32,
    band: u32,
}

/// The card's number of usage without a card, and the band's of the hours of no band.
const NO_CARD: u32 = u32::MAX;
const NO_BAND: u32 = u32::MAX;

/// The sum of records with one key.
#[derive(Clone, Copy)]
struct Sum {
    key: Key,
    /// Sums of `u64`: 2^64 records would be needed to overflow.
    base_quantity: u128,
    time: Time,
}

/// Microseconds, as in [`Coverage`], for many records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    measured_us: u128,
    estimated_us: u128,
    missing_us: u128,
}

impl<'a> Gathered<'a> {
    pub(super) fn from(input: &RatingInput<'a>, period: &Period<'a>) -> Result<Self, RatingError> {
        let mut sums = Sums::default();
        let sum_of = sums.take(input, period)?;
        let sums = sums.sums;
        let mut gathered = Self {
            entries: Vec::with_capacity(sums.len()),
            slots: 0,
            usage: input.usage,
            sum_of,
            sums: sums.len(),
            shares: OnceLock::new(),
        };
        if sums.is_sorted_by_key(|sum| sum.key) {
            // Records come in the order of the catalog, mostly.
            sums.iter().enumerate().try_for_each(|(number, sum)| gathered.add(number, sum, period))?;
        } else {
            let mut order: Vec<usize> = (0..sums.len()).collect();
            order.sort_unstable_by_key(|number| sums[*number].key);
            order.into_iter().try_for_each(|number| gathered.add(number, &sums[number], period))?;
        }
        gathered.add_unused(period);
        gathered.number_cards();
        Ok(gathered)
    }

    /// What each holder contributed to an entry, in the order of holders.
    pub(super) fn shares_of(&self, entry: &Entry<'_>) -> &[Share] {
        let shares = || self.shares.get_or_init(|| Shares::of(self.usage, &self.sum_of, self.sums));
        entry.sum.map_or(&[], |number| shares().of_sum(number))
    }

    /// What each holder of an entry used, in millionths of the priced unit: together, the entry's units. Only when it is asked
    /// for, because most prices are of all of it.
    pub(super) fn units_of(&self, entry: &Entry<'_>) -> Result<Vec<i128>, RatingError> {
        quantity::apportion(entry.scale, self.shares_of(entry), entry.units)
    }

    /// The entry of a sum.
    fn add(&mut self, number: usize, sum: &Sum, period: &Period<'a>) -> Result<(), RatingError> {
        let Sum { key, base_quantity, time } = sum;
        if *base_quantity == 0 {
            return Ok(());
        }
        let position = key.position as usize;
        let scale = Scale::at(catalog()[position].id(), position);
        let segment = key.segment as usize;
        let version = period.segments[segment].version;
        let card = (key.card != NO_CARD).then(|| &version.rate_cards()[key.card as usize]);
        self.entries.push(Entry {
            segment,
            scale,
            card,
            band: card.and_then(|card| card.time_of_use.get(key.band as usize)),
            slot: 0,
            base_quantity: *base_quantity,
            units: scale.units(*base_quantity)?,
            coverage: time.in_ms(),
            sum: Some(number),
        });
        Ok(())
    }

    /// Cards that cost something without usage in their segment get an entry without usage: those with a commitment, and
    /// those that price the whole period's rate.
    fn add_unused(&mut self, period: &Period<'a>) {
        let mut added = false;
        for (number, segment) in period.segments.iter().enumerate() {
            for card in segment.version.rate_cards() {
                let is_committed = || segment.version.terms().commitments.iter().any(|c| c.card == card.name);
                let is_rate = matches!(card.price, PriceModel::Percentile { .. });
                let is_used = |entry: &Entry<'_>| entry.card.is_some_and(|other| other.name == card.name);
                // A rate is the whole meter's: whatever card of it was used, in whatever part.
                let is_metered =
                    |entry: &Entry<'_>| entry.scale.meter == card.meter && 0 < entry.base_quantity;
                let wanted = is_committed() || (is_rate && self.entries.iter().any(is_metered));
                let here = |entry: &Entry<'_>| entry.segment == number && is_used(entry);
                if wanted && !self.entries.iter().any(here) {
                    added = true;
                    self.entries.push(Entry {
                        segment: number,
                        scale: Scale::of(card.meter),
                        card: Some(card),
                        band: None,
                        slot: 0,
                        base_quantity: 0,
                        units: 0,
                        coverage: Completeness::default(),
                        sum: None,
                    });
                }
            }
        }
        if added {
            let place = |version: &PlanVersion, card: Option<&RateCard>| {
                let same = |other: &RateCard| card.is_some_and(|card| std::ptr::eq(card, other));
                version.rate_cards().iter().position(same).unwrap_or(usize::MAX)
            };
            // Stable: the bands of a card stay in their order.
            self.entries.sort_by_key(|entry| {
                let version = period.segments[entry.segment].version;
                (entry.scale.meter.position(), entry.segment, place(version, entry.card))
            });
        }
    }

    /// Cards of one meter and name have one number, whatever the version.
    fn number_cards(&mut self) {
        let mut known: Vec<&RateCard> = Vec::with_capacity(self.entries.len());
        for entry in &mut self.entries {
            let Some(card) = entry.card else { continue };
            // Entries come by meter: what has another one lies before all cards of this one.
            let of_meter = known.iter().rev().take_while(|other| same_meter(other.meter, card.meter));
            let found = of_meter.enumerate().find(|(_, other)| other.name == card.name);
            entry.slot = found.map_or(known.len(), |(back, _)| known.len() - 1 - back);
            if entry.slot == known.len() {
                known.push(card);
            }
        }
        self.slots = known.len();
    }
}

impl Entry<'_> {
    /// The base units of so many of the entry's units: those between two cuts of it, so that the parts add up to the whole.
    pub(super) fn base_units(&self, before: Before, units: i128) -> u128 {
        let begin = if before.is_first { 0 } else { self.base_units_up_to(before.units) };
        self.base_units_up_to(before.units + units).saturating_sub(begin)
    }

    fn base_units_up_to(&self, units: i128) -> u128 {
        let all = self.base_quantity;
        // What could be converted one way is not too large to be converted back.
        if units == self.units { all } else { self.scale.base_units(units).map_or(all, |base| base.min(all)) }
    }
}

/// The records' sums.
#[derive(Default)]
struct Sums<'a> {
    /// In the order in which their keys were first met, with those of a card's bands together.
    sums: Vec<Sum>,
    /// For each segment and card, and after a segment's cards for each meter without a card, the number of the first of its
    /// sums.
    firsts: Vec<Option<usize>>,
    /// What keys were found for: usage of the next resource mostly goes through them in the same order.
    found: Vec<Found<'a>>,
    /// Which of them is expected next.
    next: usize,
}

/// The number of the sum for a meter, in a piece of the period and with certain dimensions.
#[derive(Clone, Copy)]
struct Found<'a> {
    piece: usize,
    meter: MeterName,
    dimensions: &'a Dimensions,
    sum: usize,
}

/// The most that is remembered of what was found: enough for the meters of an instance, its disks and NICs by the hours of a
/// month in which a night rate changes twice a day.
const MAX_FOUND: usize = 1_024;

impl<'a> Sums<'a> {
    /// Adds all records up; for each, the number of its sum.
    fn take(&mut self, input: &RatingInput<'a>, period: &Period<'a>) -> Result<Vec<usize>, RatingError> {
        let cells =
            |segment: &super::period::Segment<'_>| segment.version.rate_cards().len() + catalog().len();
        let cells: usize = period.segments.iter().map(cells).sum();
        self.firsts = vec![None; cells];
        self.sums.reserve(cells.min(input.usage.len()));
        self.found.reserve(cells.min(input.usage.len()));
        let mut sum_of = Vec::with_capacity(input.usage.len());
        let mut piece = 0;
        for record in input.usage {
            if !contains(period, piece, record) {
                piece = period.place(record)?;
            }
            let number = self.number(input, period, piece, record);
            let sum = &mut self.sums[number];
            sum.base_quantity += u128::from(record.quantity);
            sum.time.add(&Time::of(record.coverage));
            sum_of.push(number);
        }
        Ok(sum_of)
    }

    /// The number of a record's sum.
    #[inline]
    fn number(
        &mut self,
        input: &RatingInput<'a>,
        period: &Period<'_>,
        piece: usize,
        record: &'a UsageRecord,
    ) -> usize {
        // The same as the last one, or the one that came after it before.
        for number in [self.next.wrapping_sub(1), self.next, 0] {
            if let Some(found) = self.found.get(number).filter(|found| found.is_of(piece, record)) {
                self.next = number + 1;
                return found.sum;
            }
        }
        let sum = self.first(input, period, piece, record);
        if self.found.len() < MAX_FOUND {
            self.found.push(Found { piece, meter: record.meter, dimensions: &record.dimensions, sum });
            self.next = self.found.len();
        }
        sum
    }

    /// The same, looked for.
    fn first(
        &mut self,
        input: &RatingInput<'_>,
        period: &Period<'_>,
        piece: usize,
        record: &UsageRecord,
    ) -> usize {
        let key = key(input, period, piece, record);
        let segments = &period.segments[..key.segment as usize];
        let cards = period.segments[key.segment as usize].version.rate_cards();
        let before =
            |segment: &super::period::Segment<'_>| segment.version.rate_cards().len() + catalog().len();
        let before: usize = segments.iter().map(before).sum();
        let card = cards.get(key.card as usize);
        let place = before + card.map_or(cards.len() + key.position as usize, |_| key.card as usize);
        let bands = card.map_or(0, |card| card.time_of_use.len());
        let band = (key.band as usize).min(bands);
        if let Some(first) = self.firsts[place] {
            return first + band;
        }
        let first = self.sums.len();
        self.firsts[place] = Some(first);
        for band in 0..=bands {
            let band = if band == bands { NO_BAND } else { band as u32 };
            let key = Key { band, ..key };
            self.sums.push(Sum { key, base_quantity: 0, time: Time::default() });
        }
        first + band
    }
}

impl Found<'_> {
    fn is_of(&self, piece: usize, record: &UsageRecord) -> bool {
        self.piece == piece && same_meter(self.meter, record.meter) && *self.dimensions == record.dimensions
    }
}

fn contains(period: &Period<'_>, piece: usize, record: &UsageRecord) -> bool {
    let window = period.pieces[piece].window;
    window.start() <= record.window.start() && record.window.end() <= window.end()
}

/// The first card that matches, and its first band that holds.
fn key(input: &RatingInput<'_>, period: &Period<'_>, piece: usize, record: &UsageRecord) -> Key {
    let piece = period.pieces[piece];
    let cards = period.segments[piece.segment].version.rate_cards();
    let matches = |card: &RateCard| {
        let has = |(name, values): (&String, &std::collections::BTreeSet<String>)| {
            record.dimensions.get(name).is_some_and(|value| values.contains(value))
        };
        same_meter(card.meter, record.meter) && card.only.iter().all(has)
    };
    let card = cards.iter().position(matches);
    let band = card.and_then(|number| {
        let card = &cards[number];
        let band = input.plan.band_at(card, piece.window.start())?;
        card.time_of_use.iter().position(|other| std::ptr::eq(other, band))
    });
    let number = |at: Option<usize>| at.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX);
    Key {
        position: number(Some(position(record.meter))),
        segment: number(Some(piece.segment)),
        card: number(card),
        band: number(band),
    }
}

/// Whether two meters are one. Names are only ever the catalog's own: comparing where they lie is comparing them, and ten times
/// as fast.
pub(super) fn same_meter(a: MeterName, b: MeterName) -> bool {
    std::ptr::eq(a.as_str(), b.as_str())
}

/// The meter's place in the catalog.
pub(super) fn position(meter: MeterName) -> usize {
    let place = catalog().iter().position(|other| std::ptr::eq(other.name.as_str(), meter.as_str()));
    place.unwrap_or_else(|| meter.position())
}

impl Time {
    pub(super) fn of(coverage: Coverage) -> Self {
        Self {
            measured_us: coverage.measured_us.into(),
            estimated_us: coverage.estimated_us.into(),
            missing_us: coverage.missing_us.into(),
        }
    }

    pub(super) fn add(&mut self, other: &Time) {
        self.measured_us += other.measured_us;
        self.estimated_us += other.estimated_us;
        self.missing_us += other.missing_us;
    }

    pub(super) const fn all_us(&self) -> u128 {
        self.measured_us + self.estimated_us + self.missing_us
    }

    /// Cut off to whole milliseconds, and to what 64 bits hold: half a billion years.
    pub(super) fn in_ms(&self) -> Completeness {
        // Division of 64 bits is several times as fast, and all but immense times fit.
        let ms = |us: u128| match u64::try_from(us) {
            Ok(us) => us / 1_000,
            Err(_) => u64::try_from(us / 1_000).unwrap_or(u64::MAX),
        };
        Completeness {
            measured_ms: ms(self.measured_us),
            estimated_ms: ms(self.estimated_us),
            missing_ms: ms(self.missing_us),
        }
    }
}
