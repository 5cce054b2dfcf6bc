//! What stands beside the lines: the quantities by instance and volume, which add up to what was metered, and usage without
//! a price.

use std::collections::BTreeMap;

use metering::MeterName;

use super::RatingError;
use super::gather::{Gathered, Holder};
use super::period::Period;
use super::quantity::{self, Scale};
use crate::invoice::document::{InstanceUsage, UnpricedUsage};

/// By name, then by id (two may have one name), then in the order of the catalog.
pub(super) fn instances(gathered: &Gathered<'_>) -> Result<Vec<InstanceUsage>, RatingError> {
    let mut shares = BTreeMap::<(Holder, usize), (MeterName, u128, i128)>::new();
    let mut position = (None, 0);
    for entry in gathered.entries.iter().filter(|entry| entry.card.is_some()) {
        let meter = entry.scale.meter;
        if position.0 != Some(meter) {
            position = (Some(meter), meter.position());
        }
        for share in &gathered.shares[entry.shares.clone()] {
            let sum = shares.entry((share.holder, position.1)).or_insert((meter, 0, 0));
            sum.1 += share.base_quantity;
            sum.2 += share.units;
            if quantity::MAX_MICRO_UNITS < sum.2 {
                return Err(Scale::of(meter).too_large());
            }
        }
    }
    let used = shares.into_iter().filter(|(_, (_, base_quantity, _))| 0 < *base_quantity);
    let mut rows: Vec<_> = used.map(|((holder, n), sum)| ((gathered.name(holder), holder, n), sum)).collect();
    rows.sort_unstable_by_key(|(order, _)| *order);
    let rows = rows.into_iter().map(|((name, holder, _), (meter, base_quantity, units))| InstanceUsage {
        instance_id: holder.instance_id(),
        volume_id: holder.volume_id(),
        name: name.to_owned(),
        meter,
        base_quantity,
        quantity: quantity::decimal(units),
        unit: meter.meter().priced_unit.symbol.clone(),
    });
    Ok(rows.collect())
}

/// Usage for which a part of the period has no card.
pub(super) fn unpriced(gathered: &Gathered<'_>, period: &Period<'_>) -> Vec<UnpricedUsage> {
    let entries = gathered.entries.iter().filter(|entry| entry.card.is_none());
    let rows = entries.map(|entry| {
        let meter = entry.scale.meter.meter();
        UnpricedUsage {
            meter: entry.scale.meter,
            title: meter.title.clone(),
            service_period: period.segments[entry.segment].window,
            base_quantity: entry.base_quantity,
            base_unit: meter.unit.symbol().to_owned(),
            quantity: quantity::decimal(entry.units),
            unit: meter.priced_unit.symbol.clone(),
        }
    });
    rows.collect()
}
