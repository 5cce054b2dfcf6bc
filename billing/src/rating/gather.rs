//! The first step of rating: usage records become one exact sum for each meter and piece of the period, with what
//! each instance or volume contributed. Nothing is rounded and nothing is priced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{Coverage, InstanceId, MeterName, Resource, UsageRecord, VolumeId, Window};

use super::{Piece, RatingError};
use crate::invoice::document::Completeness;

/// Under what usage is listed: the instance (with its disks and NICs) or the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    Instance(InstanceId),
    Volume(VolumeId),
}

/// The last name of each holder, and from when it is.
pub(super) type Holders<'u> = BTreeMap<Holder, (Timestamp, &'u str)>;

/// Usage of one meter in one piece.
#[derive(Debug, Default)]
pub(super) struct MeterUsage {
    /// Sums of `u64`: 2^64 records would be needed to overflow.
    pub(super) base_quantity: u128,
    pub(super) by_holder: BTreeMap<Holder, u128>,
    time: Time,
}

/// All usage of a period.
pub(super) struct Gathered<'u> {
    usage: BTreeMap<(usize, usize), (MeterName, MeterUsage)>,
    times: BTreeMap<(&'u Resource, MeterName), Time>,
    holders: Holders<'u>,
}

/// Microseconds, as in [`Coverage`], for many records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Time {
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

    const fn of(resource: &Resource) -> Self {
        match resource {
            Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => Self::Instance(*id),
            Resource::Volume(id) => Self::Volume(*id),
        }
    }
}

impl MeterUsage {
    pub(super) fn coverage(&self) -> Completeness {
        self.time.in_ms()
    }
}

impl<'u> Gathered<'u> {
    pub(super) fn from(
        usage: &'u [UsageRecord],
        period: Window,
        pieces: &[Piece<'_>],
    ) -> Result<Self, RatingError> {
        let mut gathered = Self { usage: BTreeMap::new(), times: BTreeMap::new(), holders: BTreeMap::new() };
        for record in usage {
            let piece = place(record, period, pieces)?;
            gathered.add(record, piece);
        }
        Ok(gathered)
    }

    /// What was used at all, in the order of the catalog, then of time. The number is the piece's.
    pub(super) fn by_meter(&self) -> impl Iterator<Item = ((MeterName, usize), &MeterUsage)> {
        self.usage
            .iter()
            .filter(|(_, (_, used))| 0 < used.base_quantity)
            .map(|((_, piece), (meter, used))| ((*meter, *piece), used))
    }

    pub(super) const fn holders(&self) -> &Holders<'u> {
        &self.holders
    }

    /// The time of all resources. The meters of one resource are read together: its time is that of its best
    /// covered meter, not the sum over its meters.
    pub(super) fn completeness(&self) -> Completeness {
        let mut by_resource = BTreeMap::<&Resource, (u128, Time)>::new();
        for ((resource, _), time) in &self.times {
            let best = by_resource.entry(resource).or_default();
            *best = (*best).max((time.all_us(), *time));
        }
        let mut all = Time::default();
        for (_, time) in by_resource.values() {
            all.add(time);
        }
        all.in_ms()
    }

    fn add(&mut self, record: &'u UsageRecord, piece: usize) {
        let time = Time::of(record.coverage);
        let holder = Holder::of(&record.resource);
        let key = (record.meter.position(), piece);
        let (_, used) = self.usage.entry(key).or_insert_with(|| (record.meter, MeterUsage::default()));
        used.base_quantity += u128::from(record.quantity);
        *used.by_holder.entry(holder).or_default() += u128::from(record.quantity);
        used.time.add(&time);
        self.times.entry((&record.resource, record.meter)).or_default().add(&time);
        // The later name wins; of two at one instant the greater, so that the records' order does not matter.
        let name = (record.window.start(), record.resource_name.as_str());
        let last = self.holders.entry(holder).or_insert(name);
        *last = (*last).max(name);
    }
}

impl Time {
    fn of(coverage: Coverage) -> Self {
        Self {
            measured_us: coverage.measured_us.into(),
            estimated_us: coverage.estimated_us.into(),
            missing_us: coverage.missing_us.into(),
        }
    }

    fn add(&mut self, other: &Time) {
        self.measured_us += other.measured_us;
        self.estimated_us += other.estimated_us;
        self.missing_us += other.missing_us;
    }

    const fn all_us(&self) -> u128 {
        self.measured_us + self.estimated_us + self.missing_us
    }

    /// Cut off to whole milliseconds, and to what 64 bits hold: half a billion years.
    fn in_ms(&self) -> Completeness {
        let ms = |us: u128| u64::try_from(us / 1_000).unwrap_or(u64::MAX);
        Completeness {
            measured_ms: ms(self.measured_us),
            estimated_ms: ms(self.estimated_us),
            missing_ms: ms(self.missing_us),
        }
    }
}

/// The number of the piece in which `record` lies as a whole.
fn place(record: &UsageRecord, period: Window, pieces: &[Piece<'_>]) -> Result<usize, RatingError> {
    let window = record.window;
    let number = pieces.partition_point(|piece| piece.window.end() <= window.start());
    let inside = period.start() <= window.start() && window.end() <= period.end();
    match pieces.get(number) {
        Some(piece) if inside && window.end() <= piece.window.end() => Ok(number),
        Some(piece) if inside => Err(RatingError::AcrossVersions {
            meter: record.meter,
            resource: record.resource_name.clone(),
            window,
            cut: piece.window.end(),
        }),
        _ => Err(RatingError::OutsidePeriod {
            meter: record.meter,
            resource: record.resource_name.clone(),
            window,
            period,
        }),
    }
}
