//! What stands beside the lines and is put together only when a document is made: the quantities by instance and volume,
//! which add up to what was metered, usage without a price, and how well the usage is known.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{MeterName, Resource, UsageRecord};

use super::RatingError;
use super::gather::{Gathered, Time, position};
use super::period::Segment;
use super::quantity::{self, Scale};
use super::shares::Holder;
use crate::invoice::document::{Completeness, InstanceUsage, UnpricedUsage};

/// By name, then by id (two may have one name), then in the order of the catalog.
pub(super) fn instances(
    gathered: &Gathered<'_>,
    usage: &[UsageRecord],
) -> Result<Vec<InstanceUsage>, RatingError> {
    let names = names(usage);
    let name = |holder: Holder| {
        let found = names.binary_search_by(|(other, ..)| other.cmp(&holder));
        found.map_or("", |n| names[n].2)
    };
    let mut shares = BTreeMap::<(Holder, usize), (MeterName, u128, i128)>::new();
    for entry in gathered.entries.iter().filter(|entry| entry.card.is_some()) {
        let meter = entry.scale.meter;
        let place = position(meter);
        let units = gathered.units_of(entry)?;
        for (share, units) in gathered.shares_of(entry).iter().zip(units) {
            let sum = shares.entry((share.holder, place)).or_insert((meter, 0, 0));
            sum.1 += share.base_quantity;
            sum.2 += units;
            if quantity::MAX_MICRO_UNITS < sum.2 {
                return Err(Scale::of(meter).too_large());
            }
        }
    }
    let used = shares.into_iter().filter(|(_, (_, base_quantity, _))| 0 < *base_quantity);
    let mut rows: Vec<_> = used.map(|((holder, n), sum)| ((name(holder), holder, n), sum)).collect();
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
pub(super) fn unpriced(gathered: &Gathered<'_>, segments: &[Segment<'_>]) -> Vec<UnpricedUsage> {
    let entries = gathered.entries.iter().filter(|entry| entry.card.is_none());
    let rows = entries.map(|entry| {
        let meter = entry.scale.meter.meter();
        UnpricedUsage {
            meter: entry.scale.meter,
            title: meter.title.clone(),
            service_period: segments[entry.segment].window,
            base_quantity: entry.base_quantity,
            base_unit: meter.unit.symbol().to_owned(),
            quantity: quantity::decimal(entry.units),
            unit: meter.priced_unit.symbol.clone(),
        }
    });
    rows.collect()
}

/// The later name wins; of two at one instant the greater, so that the records' order does not matter.
fn names(usage: &[UsageRecord]) -> Vec<(Holder, Timestamp, &str)> {
    let mut names = Vec::<(Holder, Timestamp, &str)>::new();
    for record in usage {
        let name = (Holder::of(&record.resource), record.window.start(), record.resource_name.as_str());
        match names.last_mut() {
            Some(last) if last.0 == name.0 => *last = (*last).max(name),
            _ => names.push(name),
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.dedup_by(|a, b| a.0 == b.0);
    names.reverse();
    names
}

/// The time of all resources. The meters of one resource are read together: its time is that of its best covered meter,
/// not the sum over its meters.
pub(super) fn completeness(usage: &[UsageRecord]) -> Completeness {
    let mut times = Vec::<(&Resource, MeterName, Time)>::new();
    for record in usage {
        let time = Time::of(record.coverage);
        match times.last_mut() {
            Some((resource, meter, sum)) if *meter == record.meter && *resource == &record.resource => {
                sum.add(&time);
            }
            _ => times.push((&record.resource, record.meter, time)),
        }
    }
    let order = |a: &(&Resource, MeterName, Time), b: &(&Resource, MeterName, Time)| -> Ordering {
        a.0.cmp(b.0).then_with(|| a.1.cmp(&b.1))
    };
    times.sort_unstable_by(order);
    let mut all = Time::default();
    for resource in times.chunk_by(|a, b| a.0 == b.0) {
        let mut best = (0, Time::default());
        for meter in resource.chunk_by(|a, b| a.1 == b.1) {
            let mut time = Time::default();
            meter.iter().for_each(|(.., part)| time.add(part));
            best = best.max((time.all_us(), time));
        }
        all.add(&best.1);
    }
    all.in_ms()
}
