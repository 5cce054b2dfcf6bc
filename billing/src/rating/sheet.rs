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
    /// What else covers it, in order.
    pub(super) parts: Vec<Part<'a>>,
    /// What is still to be priced.
    pub(super) left: i128,
    /// What is left of each holder's share; only where a pool counts by instance.
    pub(super) by_holder: Vec<i128>,
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
        let counts_by_holder = sheet.pools().any(|pool| pool.included.per == Per::Instance);
        sheet.progress.reserve_exact(sheet.gathered.entries.len());
        for entry in &sheet.gathered.entries {
            let by_holder = if counts_by_holder { sheet.gathered.units_of(entry)? } else { Vec::new() };
            sheet.progress.push(Progress { left: entry.units, by_holder, ..Progress::default() });
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

impl Progress<'_> {
    /// Takes `units` from what is left, off all holders in proportion to what is left of them.
    pub(super) fn take(&mut self, units: i128) -> Option<()> {
        if self.by_holder.is_empty() {
            self.left -= units;
            return Some(());
        }
        let parts = quantity::spread(units, &self.by_holder)?;
        self.by_holder.iter_mut().zip(parts).for_each(|(left, part)| *left -= part);
        self.left -= units;
        Some(())
    }
}

/// So many digits are an error, not a guess.
pub(super) const fn beyond(entry: &Entry<'_>) -> RatingError {
    entry.scale.too_large()
}
