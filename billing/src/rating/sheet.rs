//! What is known of each entry between gathering and pricing: how much of it is free, committed, or still to be priced.

use super::gather::{Entry, Gathered};
use super::line::Ground;
use super::period::Period;
use super::pricing::Pricing;
use super::quantity;
use super::{RatingError, RatingInput};
use crate::plan::{CardName, Commitment, Per, Pool, RateCard};

/// The rating in the making.
#[derive(Clone, Debug)]
pub(super) struct Sheet<'a> {
    pub(super) input: RatingInput<'a>,
    pub(super) period: Period<'a>,
    pub(super) pricing: Pricing<'a>,
    pub(super) gathered: Gathered<'a>,
    /// One for each entry.
    pub(super) progress: Vec<Progress<'a>>,
}

/// How far an entry has come. Quantities are in millionths of the priced unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress<'a> {
    /// What the card's own allowance covers; `None`: it had nothing left.
    pub(super) free: Option<i128>,
    /// What is still to be priced.
    pub(super) left: i128,
    /// Most entries have nothing of it.
    rest: Option<Box<Rest<'a>>>,
}

/// What only entries with pools and commitments have.
#[derive(Clone, Debug, Default)]
struct Rest<'a> {
    parts: Vec<Part<'a>>,
    by_holder: Vec<i128>,
}

/// A part of an entry that has no price of the card.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Within a pool.
    Pooled { pool: &'a Pool, units: i128 },
    /// Within a commitment that charges what is used; all that is committed in the period.
    Committed { commitment: &'a Commitment, units: i128, committed: i128 },
    /// Within a commitment that is charged as a whole; how much of that is charged with this part.
    Whole { commitment: &'a Commitment, units: i128, charged: i128 },
    /// What is missing to a commitment at the period's end.
    Shortfall { commitment: &'a Commitment, committed: i128, used: i128 },
}

impl<'a> Sheet<'a> {
    pub(super) fn new(
        input: &RatingInput<'a>,
        period: Period<'a>,
        pricing: Pricing<'a>,
        gathered: Gathered<'a>,
    ) -> Result<Self, RatingError> {
        let mut sheet = Self { input: *input, period, pricing, gathered, progress: Vec::new() };
        let progress = |entry: &Entry<'a>| Progress { free: None, left: entry.units, rest: None };
        sheet.progress.extend(sheet.gathered.entries.iter().map(progress));
        if sheet.pools().any(|pool| pool.included.per == Per::Instance) {
            for (entry, progress) in sheet.gathered.entries.iter().zip(&mut sheet.progress) {
                progress.rest.get_or_insert_default().by_holder = sheet.gathered.units_of(entry)?;
            }
        }
        Ok(sheet)
    }

    pub(super) fn ground(&self, segment: usize) -> Ground<'a> {
        let at = &self.period.segments[segment];
        Ground { plan: self.input.plan, version: at.version, window: at.window, segment, ordinal: at.ordinal }
    }

    /// The numbers of the entries of a card in a segment.
    pub(super) fn entries_of(&self, segment: usize, name: &CardName) -> Vec<usize> {
        let is_of = |entry: &Entry<'_>| {
            entry.segment == segment && entry.card.is_some_and(|card: &RateCard| &card.name == name)
        };
        let entries = self.gathered.entries.iter().enumerate();
        entries.filter(|(_, entry)| is_of(entry)).map(|(number, _)| number).collect()
    }

    fn pools(&self) -> impl Iterator<Item = &'a Pool> {
        self.period.segments.iter().flat_map(|segment| &segment.version.terms().pools)
    }
}

impl<'a> Progress<'a> {
    /// What else covers it, in order.
    pub(super) fn parts(&self) -> &[Part<'a>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.parts)
    }

    /// One more part that something covers, or that is missing.
    pub(super) fn push(&mut self, part: Part<'a>) {
        self.rest.get_or_insert_default().parts.push(part);
    }

    /// What is left of each holder's share; only where a pool counts by instance.
    pub(super) fn by_holder(&self) -> &[i128] {
        self.rest.as_ref().map_or(&[], |rest| &rest.by_holder)
    }

    /// The same, to take from.
    pub(super) fn by_holder_mut(&mut self) -> &mut [i128] {
        self.rest.as_mut().map_or(&mut [], |rest| &mut rest.by_holder)
    }

    /// Takes `units` from what is left, off all holders in proportion to what is left of them.
    pub(super) fn take(&mut self, units: i128) -> Option<()> {
        let by_holder = self.by_holder_mut();
        if !by_holder.is_empty() {
            let parts = quantity::spread(units, by_holder)?;
            by_holder.iter_mut().zip(parts).for_each(|(left, part)| *left -= part);
        }
        self.left -= units;
        Some(())
    }
}

/// So many digits are an error, not a guess.
pub(super) const fn beyond(entry: &Entry<'_>) -> RatingError {
    entry.scale.too_large()
}
