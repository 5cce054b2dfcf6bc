//! The first two steps of rating: usage records become one exact sum of base units for each segment, card and band of
//! hours, with what each instance or volume contributed; then each sum becomes the priced unit. Nothing is priced.

use std::collections::BTreeMap;
use std::ops::Range;

use metering::{Coverage, Dimensions, InstanceId, MeterName, Resource, UsageRecord, VolumeId, catalog};

use super::period::Period;
use super::quantity::{self, Scale};
use super::{RatingError, RatingInput};
use crate::invoice::document::Completeness;
use crate::plan::{PlanVersion, PriceModel, RateCard, TimeBand};

/// Under what usage is listed: the instance (with its disks and NICs) or the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Instance(InstanceId),
    Volume(VolumeId),
}

/// What one holder contributed to an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) holder: Holder,
    pub(super) base_quantity: u128,
}

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
    pub(super) shares: Range<usize>,
    pub(super) coverage: Completeness,
}

/// All usage of a period.
#[derive(Clone, Debug)]
pub(super) struct Gathered<'a> {
    /// In the order of the catalog, then of time, then of the version's cards, then of their bands (the hours of no band
    /// last).
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) shares: Vec<Share>,
    /// How many numbers of cards there are.
    pub(super) slots: usize,
}

/// Where a record belongs, in the order of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    position: u32,
    segment: u32,
    card: u32,
    band: u32,
}

/// The card's number of usage without a card.
const NO_CARD: u32 = u32::MAX;

/// What records of one holder add to one entry.
#[derive(Clone, Copy)]
struct Row {
    /// The number of its key, in the order in which keys were first met.
    key: usize,
    holder: Holder,
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

impl Holder {
    pub(super) const fn instance_id(self) -> Option<InstanceId> {
        match self {
            Self::Instance(id) => Some(id),
            Self::Volume(_) => None,
        }
    }

    pub(super) const fn volume_id(self) -> Option<VolumeId> {
        match self {
            Self::Volume(id) => Some(id),
            Self::Instance(_) => None,
        }
    }

    pub(super) const fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => Self::Instance(*id),
            Resource::Volume(id) => Self::Volume(*id),
        }
    }
}

impl<'a> Gathered<'a> {
    pub(super) fn from(input: &RatingInput<'a>, period: &Period<'a>) -> Result<Self, RatingError> {
        let rows = Rows::of(input, period)?;
        let mut gathered = Self {
            entries: Vec::with_capacity(rows.keys.len()),
            shares: Vec::with_capacity(rows.rows.len()),
            slots: 0,
        };
        let mut numbers = rows.by_key();
        let mut keys: Vec<(Key, MeterName, usize)> =
            rows.keys.iter().enumerate().map(|(number, (key, meter))| (*key, *meter, number)).collect();
        keys.sort_unstable_by_key(|(key, ..)| *key);
        for (key, meter, number) in keys {
            let numbers = numbers.of(number);
            // Records come by resource, mostly: then they are in order.
            if !numbers.is_sorted_by_key(|n| rows.rows[*n].holder) {
                numbers.sort_unstable_by_key(|n| rows.rows[*n].holder);
            }
            gathered.add(key, meter, numbers.iter().map(|n| &rows.rows[*n]), period)?;
        }
        gathered.add_unused(period);
        gathered.number_cards();
        Ok(gathered)
    }

    /// What each holder of an entry used, in millionths of the priced unit: together, the entry's units. Only when it is asked
    /// for, because most prices are of all of it.
    pub(super) fn units_of(&self, entry: &Entry<'_>) -> Result<Vec<i128>, RatingError> {
        quantity::apportion(entry.scale, &self.shares[entry.shares.clone()], entry.units)
    }

    /// One entry, of rows with one key and in the order of holders.
    fn add<'r>(
        &mut self,
        key: Key,
        meter: MeterName,
        rows: impl Iterator<Item = &'r Row>,
        period: &Period<'a>,
    ) -> Result<(), RatingError> {
        let (from, mut base_quantity, mut time) = (self.shares.len(), 0_u128, Time::default());
        for row in rows {
            base_quantity += row.base_quantity;
            time.add(&row.time);
            match self.shares[from..].last_mut() {
                Some(share) if share.holder == row.holder => share.base_quantity += row.base_quantity,
                _ => self.shares.push(Share { holder: row.holder, base_quantity: row.base_quantity }),
            }
        }
        if base_quantity == 0 {
            self.shares.truncate(from);
            return Ok(());
        }
        let scale = Scale::of(meter);
        let units = scale.units(base_quantity)?;
        let segment = key.segment as usize;
        let version = period.segments[segment].version;
        let card = (key.card != NO_CARD).then(|| &version.rate_cards()[key.card as usize]);
        self.entries.push(Entry {
            segment,
            scale,
            card,
            band: card.and_then(|card| card.time_of_use.get(key.band as usize)),
            slot: 0,
            base_quantity,
            units,
            shares: from..self.shares.len(),
            coverage: time.in_ms(),
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
                let wanted = is_committed() || (is_rate && self.entries.iter().any(is_used));
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
                        shares: 0..0,
                        coverage: Completeness::default(),
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
        let mut known: Vec<&RateCard> = Vec::new();
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

/// The records, each with where it belongs.
#[derive(Default)]
struct Rows<'a> {
    rows: Vec<Row>,
    /// Each once, in the order in which they were met.
    keys: Vec<(Key, MeterName)>,
    numbers: BTreeMap<Key, usize>,
    /// What keys were found for: usage of the next resource mostly goes through them in the same order.
    found: Vec<Found<'a>>,
    /// Which of them is expected next.
    next: usize,
}

/// The number of the key for a meter, in a piece of the period and with certain dimensions.
#[derive(Clone, Copy)]
struct Found<'a> {
    piece: usize,
    meter: MeterName,
    dimensions: &'a Dimensions,
    key: usize,
}

/// The numbers of rows, those with one key together.
struct ByKey {
    numbers: Vec<usize>,
    /// Where those of each key end.
    ends: Vec<usize>,
}

/// The most that is remembered of what was found: enough for the meters of an instance, its disks and NICs by the hours of a
/// month in which a night rate changes twice a day.
const MAX_FOUND: usize = 1_024;

impl<'a> Rows<'a> {
    fn of(input: &RatingInput<'a>, period: &Period<'_>) -> Result<Self, RatingError> {
        let mut all = Self::default();
        let mut last = None;
        for record in input.usage {
            let piece = match last {
                Some(piece) if contains(period, piece, record) => piece,
                _ => period.place(record)?,
            };
            last = Some(piece);
            let row = Row {
                key: all.key(input, period, piece, record),
                holder: Holder::of(&record.resource),
                base_quantity: record.quantity.into(),
                time: Time::of(record.coverage),
            };
            // Records come by resource and time, mostly: what belongs together is added up at once.
            match all.rows.last_mut() {
                Some(before) if (before.key, before.holder) == (row.key, row.holder) => {
                    before.base_quantity += row.base_quantity;
                    before.time.add(&row.time);
                }
                _ => all.rows.push(row),
            }
        }
        Ok(all)
    }

    /// The number of a record's key.
    fn key(
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
                return found.key;
            }
        }
        let key = key(input, period, piece, record);
        let (numbers, keys) = (&mut self.numbers, &mut self.keys);
        let key = *numbers.entry(key).or_insert_with(|| {
            keys.push((key, record.meter));
            keys.len() - 1
        });
        if self.found.len() < MAX_FOUND {
            self.found.push(Found { piece, meter: record.meter, dimensions: &record.dimensions, key });
            self.next = self.found.len();
        }
        key
    }

    /// Rows of one key together, as they came.
    fn by_key(&self) -> ByKey {
        let mut ends = vec![0; self.keys.len()];
        self.rows.iter().for_each(|row| ends[row.key] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // For now, where they begin.
            sum += std::mem::replace(end, sum);
        }
        let mut numbers = vec![0; self.rows.len()];
        for (number, row) in self.rows.iter().enumerate() {
            numbers[ends[row.key]] = number;
            ends[row.key] += 1;
        }
        ByKey { numbers, ends }
    }
}

impl Found<'_> {
    fn is_of(&self, piece: usize, record: &UsageRecord) -> bool {
        self.piece == piece && same_meter(self.meter, record.meter) && *self.dimensions == record.dimensions
    }
}

impl ByKey {
    /// Those of a key.
    fn of(&mut self, key: usize) -> &mut [usize] {
        let begin = key.checked_sub(1).map_or(0, |before| self.ends[before]);
        &mut self.numbers[begin..self.ends[key]]
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
