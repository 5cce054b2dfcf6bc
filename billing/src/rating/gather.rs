//! The first two steps of rating: usage records become one exact sum of base units for each segment, card and band of
//! hours, with what each instance or volume contributed; then each sum becomes the priced unit. Nothing is priced.

use std::ops::Range;

use metering::{Coverage, InstanceId, MeterName, Resource, UsageRecord, VolumeId, catalog};

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
    /// In millionths of the priced unit; those of an entry add up to the entry's.
    pub(super) units: i128,
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
    key: Key,
    holder: Holder,
    meter: MeterName,
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
        let rows = rows(input, period)?;
        let mut gathered = Self { entries: Vec::new(), shares: Vec::with_capacity(rows.len()), slots: 0 };
        for rows in rows.chunk_by(|a, b| a.key == b.key) {
            gathered.add(rows, period)?;
        }
        gathered.add_unused(period);
        gathered.number_cards();
        Ok(gathered)
    }

    /// One entry of rows with one key.
    fn add(&mut self, rows: &[Row], period: &Period<'a>) -> Result<(), RatingError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let base_quantity: u128 = rows.iter().map(|row| row.base_quantity).sum();
        if base_quantity == 0 {
            return Ok(());
        }
        let scale = Scale::of(first.meter);
        let units = scale.units(base_quantity)?;
        let from = self.shares.len();
        for rows in rows.chunk_by(|a, b| a.holder == b.holder) {
            let base_quantity = rows.iter().map(|row| row.base_quantity).sum();
            self.shares.push(Share { holder: rows[0].holder, base_quantity, units: 0 });
        }
        quantity::apportion(scale, &mut self.shares[from..], units)?;
        let mut time = Time::default();
        rows.iter().for_each(|row| time.add(&row.time));
        let segment = first.key.segment as usize;
        let version = period.segments[segment].version;
        let card = (first.key.card != NO_CARD).then(|| &version.rate_cards()[first.key.card as usize]);
        self.entries.push(Entry {
            segment,
            scale,
            card,
            band: card.and_then(|card| card.time_of_use.get(first.key.band as usize)),
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

/// The records, each with where it belongs, in the order of entries and holders.
fn rows(input: &RatingInput<'_>, period: &Period<'_>) -> Result<Vec<Row>, RatingError> {
    let mut rows = Vec::<Row>::new();
    let mut last: Option<(usize, &UsageRecord, Key)> = None;
    for record in input.usage {
        let piece = match last {
            Some((piece, ..)) if contains(period, piece, record) => piece,
            _ => period.place(record)?,
        };
        let key = match last {
            Some((before, other, key))
                if before == piece
                    && other.meter == record.meter
                    && other.dimensions == record.dimensions =>
            {
                key
            }
            _ => key(input, period, piece, record),
        };
        last = Some((piece, record, key));
        let row = Row {
            key,
            holder: Holder::of(&record.resource),
            meter: record.meter,
            base_quantity: record.quantity.into(),
            time: Time::of(record.coverage),
        };
        // Records come by resource and time, mostly: what belongs together is added up at once.
        match rows.last_mut() {
            Some(before) if (before.key, before.holder) == (row.key, row.holder) => {
                before.base_quantity += row.base_quantity;
                before.time.add(&row.time);
            }
            _ => rows.push(row),
        }
    }
    rows.sort_unstable_by_key(|row| (row.key, row.holder));
    Ok(rows)
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
        let ms = |us: u128| u64::try_from(us / 1_000).unwrap_or(u64::MAX);
        Completeness {
            measured_ms: ms(self.measured_us),
            estimated_ms: ms(self.estimated_us),
            missing_ms: ms(self.missing_us),
        }
    }
}
