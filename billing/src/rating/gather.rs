//! The first two steps of rating: usage records become one exact sum of base units for each segment, card and band of
//! hours; then each sum becomes the priced unit. What each instance or volume contributed is found again when it is asked for
//! ([`super::shares`]). Nothing is priced.

use std::sync::OnceLock;

use metering::{Coverage, Dimensions, Meter, MeterName, UsageRecord, Window, catalog};

use super::lines::Before;
use super::period::{Period, Segment};
use super::quantity::{self, Scale};
use super::shares::{Share, Shares};
use super::{RatingError, RatingInput};
use crate::invoice::document::Completeness;
use crate::plan::{PriceModel, RateCard, TimeBand};

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
    /// A sum of `u64`: 2^64 records would be needed to overflow.
    pub(super) base_quantity: u128,
    pub(super) units: i128,
    time: Time,
    key: Key,
    /// The number of its sum; `None`: there was no usage.
    sum: Option<u32>,
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
    sum_of: Vec<u32>,
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

/// The number of a sum that is not begun.
const NO_SUM: u32 = u32::MAX;

/// Microseconds, as in [`Coverage`], for many records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    measured_us: u128,
    estimated_us: u128,
    missing_us: u128,
}

impl<'a> Gathered<'a> {
    pub(super) fn from(input: &RatingInput<'a>, period: &Period<'a>) -> Result<Self, RatingError> {
        let mut sums = Sums::of(input, period);
        let sum_of = sums.take(input, period)?;
        // What records were added to becomes the entries where it lies.
        let (mut entries, sums) = (sums.entries, sums.number);
        entries.retain(|entry| entry.base_quantity != 0);
        let mut gathered =
            Self { entries, slots: 0, usage: input.usage, sum_of, sums, shares: OnceLock::new() };
        gathered.add_unused(period);
        // Records come in the order of the catalog, mostly.
        if !gathered.entries.is_sorted_by_key(|entry| entry.key) {
            gathered.entries.sort_unstable_by_key(|entry| entry.key);
        }
        for entry in &mut gathered.entries {
            entry.units = entry.scale.units(entry.base_quantity)?;
        }
        gathered.number_cards();
        Ok(gathered)
    }

    /// What each holder contributed to an entry, in the order of holders.
    pub(super) fn shares_of(&self, entry: &Entry<'_>) -> &[Share] {
        let shares = || self.shares.get_or_init(|| Shares::of(self.usage, &self.sum_of, self.sums));
        entry.sum.map_or(&[], |number| shares().of_sum(number as usize))
    }

    /// What each holder of an entry used, in millionths of the priced unit: together, the entry's units. Only when it is asked
    /// for, because most prices are of all of it.
    pub(super) fn units_of(&self, entry: &Entry<'_>) -> Result<Vec<i128>, RatingError> {
        quantity::apportion(entry.scale, self.shares_of(entry), entry.units)
    }

    /// Cards that cost something without usage in their segment get an entry without usage: those with a commitment, and
    /// those that price the whole period's rate.
    fn add_unused(&mut self, period: &Period<'a>) {
        for (number, segment) in period.segments.iter().enumerate() {
            for (place, card) in segment.version.rate_cards().iter().enumerate() {
                let is_committed = || segment.version.terms().commitments.iter().any(|c| c.card == card.name);
                let is_rate = matches!(card.price, PriceModel::Percentile { .. });
                let is_used = |entry: &Entry<'_>| entry.card.is_some_and(|other| other.name == card.name);
                // A rate is the whole meter's: whatever card of it was used, in whatever part.
                let is_metered =
                    |entry: &Entry<'_>| entry.scale.meter == card.meter && 0 < entry.base_quantity;
                let wanted = is_committed() || (is_rate && self.entries.iter().any(is_metered));
                let here = |entry: &Entry<'_>| entry.segment == number && is_used(entry);
                if wanted && !self.entries.iter().any(here) {
                    let position = narrow(position(card.meter));
                    let key = Key { position, segment: narrow(number), card: narrow(place), band: NO_BAND };
                    self.entries.push(Entry::new(Scale::of(card.meter), key, Some(card), None));
                }
            }
        }
    }

    /// Cards of one meter and name have one number, whatever the version.
    fn number_cards(&mut self) {
        for number in 0..self.entries.len() {
            let (before, rest) = self.entries.split_at_mut(number);
            let Some(entry) = rest.first_mut() else { return };
            let Some(card) = entry.card else { continue };
            // Entries come by meter: what has another one lies before all cards of this one.
            let mut of_meter =
                before.iter().rev().take_while(|other| same_meter(other.scale.meter, entry.scale.meter));
            let is_same = |other: &&Entry<'_>| other.card.is_some_and(|other| other.name == card.name);
            let found = of_meter.find(is_same);
            entry.slot = found.map_or(self.slots, |other| other.slot);
            self.slots = self.slots.max(entry.slot + 1);
        }
    }
}

impl<'a> Entry<'a> {
    /// Without usage.
    #[inline]
    fn new(scale: Scale, key: Key, card: Option<&'a RateCard>, sum: Option<u32>) -> Self {
        Self {
            segment: key.segment as usize,
            scale,
            card,
            band: card.and_then(|card| card.time_of_use.get(key.band as usize)),
            slot: 0,
            base_quantity: 0,
            units: 0,
            time: Time::default(),
            key,
            sum,
        }
    }

    /// How well its usage is known.
    pub(super) fn coverage(&self) -> Completeness {
        self.time.in_ms()
    }

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
struct Sums<'a> {
    /// In the order in which their keys were first met, with those of a card's bands together.
    entries: Vec<Entry<'a>>,
    /// How many of them there are.
    number: usize,
    /// For each segment and card, and after a segment's cards for each meter without a card, the number of the first of its
    /// sums.
    firsts: Vec<u32>,
    /// What keys were found for: usage of the next resource mostly goes through them in the same order.
    found: Vec<Found<'a>>,
    /// Which of them was the last.
    last: usize,
    catalog: &'static [Meter],
}

/// The number of the sum for a meter, in a piece of the period and with certain dimensions.
#[derive(Clone, Copy)]
struct Found<'a> {
    meter: MeterName,
    /// The piece's.
    window: Window,
    dimensions: &'a Dimensions,
    has_dimensions: bool,
    sum: u32,
    key: Key,
}

/// The most that is remembered of what was found: enough for the meters of an instance, its disks and NICs by the hours of a
/// month in which a night rate changes twice a day.
const MAX_FOUND: usize = 1_024;

impl<'a> Sums<'a> {
    fn of(input: &RatingInput<'a>, period: &Period<'a>) -> Self {
        let cells: usize = period.segments.iter().map(cells).sum();
        let most = cells.min(input.usage.len());
        Self {
            entries: Vec::with_capacity(most),
            number: 0,
            firsts: vec![NO_SUM; cells],
            found: Vec::with_capacity(most),
            last: 0,
            catalog: catalog(),
        }
    }

    /// Adds all records up; for each, the number of its sum.
    fn take(&mut self, input: &RatingInput<'a>, period: &Period<'a>) -> Result<Vec<u32>, RatingError> {
        let mut sum_of = Vec::with_capacity(input.usage.len());
        for record in input.usage {
            let number = match self.known(record) {
                Some(number) => number,
                None => self.find(input, period, period.place(record)?, record),
            };
            let sum = &mut self.entries[number as usize];
            sum.base_quantity += u128::from(record.quantity);
            sum.time.add(&Time::of(record.coverage));
            sum_of.push(number);
        }
        self.number = self.entries.len();
        Ok(sum_of)
    }

    /// The number of a record's sum, if it is the same as the last one's, or that of the one that came after it before.
    #[inline]
    fn known(&mut self, record: &UsageRecord) -> Option<u32> {
        let last = self.found.get(self.last)?;
        if last.is_of(record) {
            return Some(last.sum);
        }
        let next = if self.last + 1 < self.found.len() { self.last + 1 } else { 0 };
        let found = self.found.get(next).filter(|found| found.is_of(record))?;
        self.last = next;
        Some(found.sum)
    }

    /// The same, looked for.
    #[inline(never)]
    fn find(
        &mut self,
        input: &RatingInput<'a>,
        period: &Period<'a>,
        piece: usize,
        record: &'a UsageRecord,
    ) -> u32 {
        let before = self.found.last().map(|found| found.key);
        let key = self.key(input, period, piece, record, before);
        let sum = self.first(period, key, record.meter);
        if self.found.len() < MAX_FOUND {
            self.last = self.found.len();
            self.found.push(Found {
                meter: record.meter,
                window: period.pieces[piece].window,
                dimensions: &record.dimensions,
                has_dimensions: !record.dimensions.is_empty(),
                sum,
                key,
            });
        }
        sum
    }

    /// The first card that matches, and its first band that holds. Most usage is of the meter and the card after those of the
    /// one `before`, which is looked at first.
    fn key(
        &self,
        input: &RatingInput<'_>,
        period: &Period<'_>,
        piece: usize,
        record: &UsageRecord,
        before: Option<Key>,
    ) -> Key {
        let piece = period.pieces[piece];
        let cards = period.segments[piece.segment].version.rate_cards();
        let next = |number: u32| (number as usize).wrapping_add(1);
        let same = |card: &RateCard| same_meter(card.meter, record.meter);
        let matches = |card: &RateCard| {
            let has = |(name, values): (&String, &std::collections::BTreeSet<String>)| {
                record.dimensions.get(name).is_some_and(|value| values.contains(value))
            };
            same(card) && (card.only.is_empty() || card.only.iter().all(has))
        };
        // Cards are in the order of the catalog: one after a card of another meter is the first of its own.
        let is_first = |at: &usize| {
            cards.get(*at).is_some_and(same) && at.checked_sub(1).is_none_or(|before| !same(&cards[before]))
        };
        let from = before.map(|before| next(before.card)).filter(is_first).unwrap_or(0);
        let card = cards[from..].iter().position(matches).map(|place| from + place);
        let band =
            card.map(|number| &cards[number]).filter(|card| !card.time_of_use.is_empty()).and_then(|card| {
                let band = input.plan.band_at(card, piece.window.start())?;
                card.time_of_use.iter().position(|other| std::ptr::eq(other, band))
            });
        let at = before.map_or(0, |before| next(before.position));
        let is_here = |meter: &Meter| std::ptr::eq(meter.name.as_str(), record.meter.as_str());
        let at = if self.catalog.get(at).is_some_and(is_here) { at } else { position(record.meter) };
        Key {
            position: narrow(at),
            segment: narrow(piece.segment),
            card: card.map_or(NO_CARD, narrow),
            band: band.map_or(NO_BAND, narrow),
        }
    }

    /// The number of a key's sum.
    fn first(&mut self, period: &Period<'a>, key: Key, meter: MeterName) -> u32 {
        let before: usize = period.segments[..key.segment as usize].iter().map(cells).sum();
        let cards = period.segments[key.segment as usize].version.rate_cards();
        let card = cards.get(key.card as usize);
        let place = before + card.map_or(cards.len() + key.position as usize, |_| key.card as usize);
        let bands = card.map_or(0, |card| narrow(card.time_of_use.len()));
        let band = key.band.min(bands);
        if self.firsts[place] == NO_SUM {
            self.firsts[place] = narrow(self.entries.len());
            let base_units = self.catalog[key.position as usize].priced_unit.base_units.into();
            let scale = Scale { meter, base_units };
            for band in 0..=bands {
                let key = Key { band: if band == bands { NO_BAND } else { band }, ..key };
                let sum = Some(narrow(self.entries.len()));
                self.entries.push(Entry::new(scale, key, card, sum));
            }
        }
        self.firsts[place] + band
    }
}

/// How many kinds of usage a segment can have.
fn cells(segment: &Segment<'_>) -> usize {
    segment.version.rate_cards().len() + catalog().len()
}

/// A number within a period, in half the room.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a period has fewer than 2^32 cards, bands and sums")
}

impl Found<'_> {
    #[inline]
    fn is_of(&self, record: &UsageRecord) -> bool {
        let (start, end) = (self.window.start(), self.window.end());
        let is_plain = !self.has_dimensions && record.dimensions.is_empty();
        same_meter(self.meter, record.meter)
            && start <= record.window.start()
            && record.window.end() <= end
            && (is_plain || *self.dimensions == record.dimensions)
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

    #[inline]
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
