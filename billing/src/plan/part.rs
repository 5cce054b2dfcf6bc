//! Which usage a line of a document is made of: that of the hours in which its price holds, with the dimensions that its
//! card asks for and no card before it takes. Rating decides the same in `rating::gather`; a test compares both.

use std::collections::{BTreeMap, BTreeSet};

use metering::UsagePart;
use metering::part::Values;

use super::{PricePlan, RateCard};
use crate::invoice::document::{InvoiceDocument, InvoiceLine};

impl PricePlan {
    /// The usage of which `line` is a part, or all. `None`: the line is not about usage, or is none of this plan.
    #[must_use]
    pub fn part_of(&self, line: &InvoiceLine) -> Option<UsagePart> {
        let (meter, period) = (line.meter?, line.service_period);
        let cards = self.version_at(period.start())?.rate_cards();
        let of_meter = |card: &&RateCard| card.meter == meter;
        let card = cards.iter().filter(of_meter).find(|card| written(&card.only) == line.dimensions)?;
        let is_known = |name: &str| card.time_of_use.iter().any(|band| band.name.as_str() == name);
        if line.band.as_deref().is_some_and(|name| !is_known(name)) {
            return None;
        }
        let before = cards.iter().filter(of_meter).take_while(|other| !std::ptr::eq(*other, card));
        let except = before.map(|card| card.only.clone()).collect();
        let mut pieces = period.split_at(&self.cuts(period));
        pieces.retain(|piece| {
            self.band_at(card, piece.start()).map(|band| band.name.as_str()) == line.band.as_deref()
        });
        Some(UsagePart::new(meter, period, &pieces, card.only.clone(), except))
    }
}

/// The usage of a line, and whether it is known at which hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineUsage {
    /// Which usage.
    pub part: UsagePart,
    /// `false`: the price holds at certain hours, and the plan that says at which is not known any more. The part is of all
    /// hours then.
    pub are_hours_known: bool,
}

impl InvoiceDocument {
    /// The usage of which one of its lines is a part, or all, by the plan that it was rated by. Without it, as far as the
    /// document tells. `None`: the line is not about usage.
    #[must_use]
    pub fn usage_of(&self, line: &InvoiceLine, plan: Option<&PricePlan>) -> Option<LineUsage> {
        if let Some(part) = plan.and_then(|plan| plan.part_of(line)) {
            return Some(LineUsage { part, are_hours_known: true });
        }
        let (meter, period) = (line.meter?, line.service_period);
        let same = |other: &&InvoiceLine| other.meter == line.meter && other.service_period == period;
        let before = self.lines.iter().filter(same).take_while(|other| other.dimensions != line.dimensions);
        let except = before.map(|other| read(&other.dimensions)).collect();
        let part = UsagePart::new(meter, period, &[period], read(&line.dimensions), except);
        // Where any line of the card is of certain hours, all of them are.
        let has_hours = |other: &InvoiceLine| other.dimensions == line.dimensions && other.band.is_some();
        let are_hours_known = !self.lines.iter().filter(same).any(has_hours);
        Some(LineUsage { part, are_hours_known })
    }

    /// The lines, by their place, that are parts of the same usage as `line`.
    pub fn sharing<'a>(
        &'a self,
        line: &'a InvoiceLine,
        usage: &LineUsage,
    ) -> impl Iterator<Item = (usize, &'a InvoiceLine)> {
        let by_hours = usage.are_hours_known;
        let shares = move |other: &InvoiceLine| {
            line.meter.is_some()
                && line.meter == other.meter
                && line.service_period == other.service_period
                && line.dimensions == other.dimensions
                && (!by_hours || line.band == other.band)
        };
        self.lines.iter().enumerate().filter(move |(_, other)| shares(other))
    }
}

/// As lines write a card's dimensions.
pub(crate) fn written(only: &Values) -> BTreeMap<String, String> {
    let joined = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    only.iter().map(|(name, values)| (name.clone(), joined(values))).collect()
}

/// Values have no commas.
fn read(dimensions: &BTreeMap<String, String>) -> Values {
    dimensions
        .iter()
        .map(|(name, values)| (name.clone(), values.split(", ").map(str::to_owned).collect()))
        .collect()
}
