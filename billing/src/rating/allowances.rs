//! Step 3: what is free. First each card's own allowance, then the pools, in the order of the plan. An allowance is whole in
//! each period, however short, and a new version does not make it double: what earlier parts of the period took is gone.

use std::collections::BTreeMap;

use super::RatingError;
use super::quantity;
use super::shares::{Holder, Share};
use super::sheet::{Part, Progress, Sheet, beyond};
use crate::plan::{CardName, Included, Per, RateCard};

/// What an allowance has granted already.
#[derive(Default)]
struct Granted {
    in_all: i128,
    by_holder: BTreeMap<Holder, i128>,
}

/// What came of a request to an allowance.
struct Grant {
    units: i128,
    /// Whether anything had been left.
    was_open: bool,
}

/// The cards' own allowances.
pub(super) fn own(sheet: &mut Sheet<'_>) -> Result<(), RatingError> {
    let is_free = |card: &&RateCard| !card.included.quantity.is_zero();
    if !sheet.gathered.entries.iter().any(|entry| entry.card.as_ref().is_some_and(is_free)) {
        return Ok(());
    }
    let mut granted: Vec<Granted> = Vec::new();
    granted.resize_with(sheet.gathered.slots, Granted::default);
    for (entry, progress) in sheet.gathered.entries.iter().zip(&mut sheet.progress) {
        let Some(card) = entry.card.filter(is_free) else { continue };
        if entry.base_quantity == 0 {
            continue;
        }
        let grant = match card.included.per {
            Per::Tenant => {
                granted[entry.slot].for_all(card.included, progress).ok_or_else(|| beyond(entry))?
            }
            Per::Instance => {
                let (shares, left) = (sheet.gathered.shares_of(entry), sheet.gathered.units_of(entry)?);
                granted[entry.slot].for_each(card.included, progress, shares, &left)
            }
        };
        progress.free = grant.was_open.then_some(grant.units);
    }
    Ok(())
}

/// The pools.
pub(super) fn pooled(sheet: &mut Sheet<'_>) -> Result<(), RatingError> {
    let mut granted = BTreeMap::<&CardName, Granted>::new();
    for segment in 0..sheet.period.segments.len() {
        for pool in &sheet.period.segments[segment].version.terms().pools {
            let granted = granted.entry(&pool.name).or_default();
            let entries: Vec<usize> =
                pool.cards.iter().flat_map(|card| sheet.entries_of(segment, card)).collect();
            for number in entries {
                let entry = &sheet.gathered.entries[number];
                let progress = &mut sheet.progress[number];
                let is_covered =
                    progress.left == 0 && (progress.free.is_some() || !progress.parts().is_empty());
                if entry.base_quantity == 0 || is_covered {
                    continue;
                }
                let grant = match pool.included.per {
                    Per::Tenant => granted.for_all(pool.included, progress).ok_or_else(|| beyond(entry))?,
                    Per::Instance => {
                        let shares = sheet.gathered.shares_of(entry);
                        let left = progress.by_holder().to_vec();
                        granted.for_each(pool.included, progress, shares, &left)
                    }
                };
                if grant.was_open {
                    progress.push(Part::Pooled { pool, units: grant.units });
                }
            }
        }
    }
    Ok(())
}

impl Granted {
    /// One allowance for everybody. `None`: too many digits.
    fn for_all(&mut self, included: Included, progress: &mut Progress<'_>) -> Option<Grant> {
        let left = (quantity::from_decimal(included.quantity) - self.in_all).max(0);
        let units = left.min(progress.left);
        self.in_all += units;
        progress.take(units)?;
        Some(Grant { units, was_open: 0 < left })
    }

    /// One for each holder, of whose share so much is `left`.
    fn for_each(
        &mut self,
        included: Included,
        progress: &mut Progress<'_>,
        shares: &[Share],
        left: &[i128],
    ) -> Grant {
        let included = quantity::from_decimal(included.quantity);
        let mut grant = Grant { units: 0, was_open: false };
        for (number, (share, left)) in shares.iter().zip(left).enumerate() {
            let granted = self.by_holder.entry(share.holder).or_default();
            let open = (included - *granted).max(0);
            let units = open.min(*left);
            *granted += units;
            grant.units += units;
            grant.was_open |= 0 < open && 0 < share.base_quantity;
            if let Some(of_holder) = progress.by_holder_mut().get_mut(number) {
                *of_holder -= units;
            }
        }
        progress.left -= grant.units;
        grant
    }
}
