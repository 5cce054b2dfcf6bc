//! The readings from which usage of one resource is derived: those within a span, the last one before it and the
//! first one after it, for the resource and each of its devices, and the last earlier one of each life. It does NOT derive; it works in the provider scope,
//! because the neighbours of a tenant's readings may be another's.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metering::{Epoch, EpochId, InstanceId, InstanceState, Point, Resource, ResourceKind, VolumeId, Window};
use migrations::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::error::{UsageError, unsigned};
use crate::ingest::marks::MarkKind;

/// The most registers that a kind of resource has.
pub(crate) const REGISTERS_MAX: usize = 4;

/// A reading, its registers in the order of [`registers`]; those that its kind has not are zero.
pub(crate) type Registers = Point<REGISTERS_MAX>;

/// What derivation gets: the readings of each resource and device, in order.
pub(crate) type Series = BTreeMap<Resource, Vec<Registers>>;

/// A declared gap, as far as it matters for devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredGap {
    pub(crate) device: Option<String>,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// The registers of a kind of resource, as its table's columns are called.
pub(crate) const fn registers(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Instance => &["cpu_ns", "running_ms", "vcpu_ms", "memory_kib_s"],
        ResourceKind::Disk => &["read_bytes", "write_bytes", "read_ops", "write_ops"],
        ResourceKind::Nic => &["rx_bytes", "tx_bytes"],
        ResourceKind::Volume => &["provisioned_kib_s"],
    }
}

/// What kind of resource it is.
pub(crate) const fn kind_of(resource: &Resource) -> ResourceKind {
    match resource {
        Resource::Instance(_) => ResourceKind::Instance,
        Resource::Disk(..) => ResourceKind::Disk,
        Resource::Nic(..) => ResourceKind::Nic,
        Resource::Volume(_) => ResourceKind::Volume,
    }
}

/// The id of the instance or volume.
pub(crate) const fn uuid_of(resource: &Resource) -> Uuid {
    match resource {
        Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => id.uuid(),
        Resource::Volume(id) => id.uuid(),
    }
}

/// The resource that a row of usage or heads is about.
pub(crate) fn resource_of(kind: ResourceKind, id: Uuid, device: String) -> Resource {
    match kind {
        ResourceKind::Instance => Resource::Instance(InstanceId::from_uuid(id)),
        ResourceKind::Disk => Resource::Disk(InstanceId::from_uuid(id), device),
        ResourceKind::Nic => Resource::Nic(InstanceId::from_uuid(id), device),
        ResourceKind::Volume => Resource::Volume(VolumeId::from_uuid(id)),
    }
}

/// Loads what is needed to derive the usage of `span`. Neighbours are looked for near the span first: twice the
/// tolerance away there is one unless something was silent.
pub(crate) async fn load(
    transaction: &Transaction<'_>,
    kind: MarkKind,
    id: Uuid,
    span: Window,
    tolerance: Duration,
) -> Result<Series, UsageError> {
    let reach = SignedDuration::try_from(tolerance.saturating_mul(2)).unwrap_or(SignedDuration::MAX);
    let from = span.start().saturating_sub(reach).unwrap_or(span.start());
    let to = span.end().saturating_add(reach).unwrap_or(span.end());
    let kinds: &[ResourceKind] = match kind {
        MarkKind::Instance => &[ResourceKind::Instance, ResourceKind::Disk, ResourceKind::Nic],
        MarkKind::Volume => &[ResourceKind::Volume],
    };
    let mut series = Series::new();
    for kind in kinds {
        let statement = transaction.prepare_cached(near(*kind)).await?;
        add(&mut series, *kind, id, &transaction.query(&statement, &[&id, &from, &to]).await?)?;
    }
    let statement = transaction.prepare_cached(sql!("heads_of")).await?;
    let mut firsts: BTreeMap<Resource, Timestamp> = BTreeMap::new();
    for row in transaction.query(&statement, &[&id]).await? {
        let Some(kind) = ResourceKind::parse(row.try_get("kind")?) else {
            continue;
        };
        let device: String = row.try_get("device")?;
        let (first, last): (Timestamp, Timestamp) =
            (row.try_get("first_observed_at")?, row.try_get("last_observed_at")?);
        firsts.insert(resource_of(kind, id, device.clone()), first);
        let loaded = series.get(&resource_of(kind, id, device.clone())).map_or(&[][..], Vec::as_slice);
        let lacks_before = first < span.start() && !loaded.iter().any(|p| p.observed_at < span.start());
        let lacks_after = span.end() <= last && !loaded.iter().any(|p| span.end() <= p.observed_at);
        if lacks_before || lacks_after {
            // What ended before the span was last read exactly then.
            let first = if last < span.start() { last } else { first };
            let statement = transaction.prepare_cached(far(kind)).await?;
            let params: [&(dyn ToSql + Sync); 6] = [&id, &span.start(), &span.end(), &device, &first, &last];
            add_lacking(&mut series, kind, id, &transaction.query(&statement, &params).await?)?;
        }
    }
    for points in series.values_mut() {
        sort(points);
        trim(points, span);
    }
    if kind == MarkKind::Instance {
        let gaps = gaps(transaction, id, &series).await?;
        switch_off(&mut series, InstanceId::from_uuid(id), &gaps);
    }
    for (resource, points) in &mut series {
        if let Some(first) = firsts.get(resource) {
            add_earlier(transaction, resource, *first, points).await?;
        }
    }
    Ok(series)
}

/// Adds the last earlier reading of each life that goes on after a reading of another one: registers count from there.
/// `first`: there is no reading before it.
async fn add_earlier(
    transaction: &Transaction<'_>,
    resource: &Resource,
    first: Timestamp,
    points: &mut Vec<Registers>,
) -> Result<(), UsageError> {
    let Some(loaded_from) = points.first().map(|point| point.observed_at).filter(|from| first < *from) else {
        return Ok(());
    };
    let (kind, id, device) = (kind_of(resource), uuid_of(resource), resource.device().unwrap_or(""));
    let mut earlier = Vec::new();
    for epoch in resumed(points) {
        let statement = transaction.prepare_cached(earlier_of(kind)).await?;
        let params: [&(dyn ToSql + Sync); 5] = [&id, &device, &epoch.as_i64(), &first, &loaded_from];
        if let Some(row) = transaction.query_opt(&statement, &params).await? {
            earlier.push(point(kind, &row)?);
        }
    }
    if !earlier.is_empty() {
        sort(&mut earlier);
        earlier.append(points);
        *points = earlier;
    }
    Ok(())
}

/// The lives that are first seen here after a reading of another one, and may have been read before that.
fn resumed(points: &[Registers]) -> Vec<EpochId> {
    let mut seen: Vec<EpochId> = points.first().map(|point| point.epoch.id).into_iter().collect();
    let mut resumed = Vec::new();
    for pair in points.windows(2) {
        let (before, epoch) = (pair[0].observed_at, pair[1].epoch);
        if epoch.id == EpochId::NONE || seen.contains(&epoch.id) {
            continue;
        }
        seen.push(epoch.id);
        if epoch.born_at.is_none_or(|born_at| born_at < before) {
            resumed.push(epoch.id);
        }
    }
    resumed
}

/// Adds, for each device whose readings end before those of its instance do, the reading that says so: at the first
/// reading of the instance that lacks it, it is off and gone. Where a gap was declared nobody knows, and where the
/// same life goes on afterwards nothing ended.
pub(crate) fn switch_off(series: &mut Series, id: InstanceId, gaps: &[DeclaredGap]) {
    let Some(instants) = series
        .get(&Resource::Instance(id))
        .map(|points| points.iter().map(|point| point.observed_at).collect::<Vec<_>>())
    else {
        return;
    };
    for (resource, points) in series.iter_mut() {
        let Some(device) = resource.device() else { continue };
        let covered = |at: Timestamp| {
            gaps.iter().any(|gap| {
                gap.device.as_deref().is_none_or(|name| name == device) && gap.start <= at && at <= gap.end
            })
        };
        let mut offs = Vec::new();
        for (n, point) in points.iter().enumerate() {
            let next = points.get(n + 1);
            if next.is_some_and(|next| next.epoch.id == point.epoch.id) {
                continue;
            }
            let first = instants.partition_point(|at| *at <= point.observed_at);
            let lacking = instants[first..].iter().copied().find(|at| !covered(*at));
            if let Some(at) = lacking.filter(|at| next.is_none_or(|next| *at < next.observed_at)) {
                offs.push(Registers {
                    observed_at: at,
                    epoch: Epoch::NONE,
                    registers: [0; REGISTERS_MAX],
                    is_last: true,
                });
            }
        }
        points.extend(offs);
        points.sort_by_key(|point| point.observed_at);
    }
}

/// The order of readings. At one instant what ends comes before what is off, and that before what begins.
fn sort(points: &mut [Registers]) {
    points.sort_by_key(|point| {
        let rank = if point.epoch.id == EpochId::NONE {
            1
        } else if point.epoch.born_at == Some(point.observed_at) {
            2
        } else {
            0
        };
        (point.observed_at, rank, point.epoch.born_at, point.epoch.id, point.registers)
    });
}

const fn near(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Instance => sql!("near_instance"),
        ResourceKind::Disk => sql!("near_disk"),
        ResourceKind::Nic => sql!("near_nic"),
        ResourceKind::Volume => sql!("near_volume"),
    }
}

const fn earlier_of(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Instance => sql!("earlier_instance"),
        ResourceKind::Disk => sql!("earlier_disk"),
        ResourceKind::Nic => sql!("earlier_nic"),
        ResourceKind::Volume => sql!("earlier_volume"),
    }
}

const fn far(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Instance => sql!("far_instance"),
        ResourceKind::Disk => sql!("far_disk"),
        ResourceKind::Nic => sql!("far_nic"),
        ResourceKind::Volume => sql!("far_volume"),
    }
}

/// Leaves the readings within `span` and the nearest ones on both sides: `points` are in order.
fn trim(points: &mut Vec<Registers>, span: Window) {
    if let Some(after) = points.iter().map(|p| p.observed_at).find(|at| span.end() <= *at) {
        points.retain(|point| point.observed_at <= after);
    }
    if let Some(before) = points.iter().map(|p| p.observed_at).rfind(|at| *at < span.start()) {
        points.retain(|point| before <= point.observed_at);
    }
}

/// Adds readings of which some may be there already: one neighbour was near, the other was not.
fn add_lacking(series: &mut Series, kind: ResourceKind, id: Uuid, rows: &[Row]) -> Result<(), UsageError> {
    let mut found = Series::new();
    add(&mut found, kind, id, rows)?;
    for (resource, points) in found {
        let known = series.entry(resource).or_default();
        for point in points {
            if !known.contains(&point) {
                known.push(point);
            }
        }
    }
    Ok(())
}

fn add(series: &mut Series, kind: ResourceKind, id: Uuid, rows: &[Row]) -> Result<(), UsageError> {
    for row in rows {
        let device = row.try_get("device")?;
        series.entry(resource_of(kind, id, device)).or_default().push(point(kind, row)?);
    }
    Ok(())
}

fn point(kind: ResourceKind, row: &Row) -> Result<Registers, UsageError> {
    let mut values = [0; REGISTERS_MAX];
    for (value, name) in values.iter_mut().zip(registers(kind)) {
        *value = unsigned("a reading table", name, row.try_get(*name)?)?;
    }
    let is_last = match kind {
        ResourceKind::Instance => InstanceState::parse(row.try_get("state")?) == Some(InstanceState::Gone),
        ResourceKind::Volume => !row.try_get::<_, bool>("is_present")?,
        ResourceKind::Disk | ResourceKind::Nic => false,
    };
    Ok(Registers {
        observed_at: row.try_get("observed_at")?,
        epoch: Epoch { id: EpochId::from_i64(row.try_get("epoch")?), born_at: row.try_get("born_at")? },
        registers: values,
        is_last,
    })
}

async fn gaps(
    transaction: &Transaction<'_>,
    id: Uuid,
    series: &Series,
) -> Result<Vec<DeclaredGap>, UsageError> {
    let instants = series.values().flatten().map(|point| point.observed_at);
    let (Some(start), Some(end)) = (instants.clone().min(), instants.max()) else {
        return Ok(Vec::new());
    };
    let statement = transaction.prepare_cached(sql!("gaps")).await?;
    let mut gaps = Vec::new();
    for row in transaction.query(&statement, &[&id, &start, &end]).await? {
        gaps.push(DeclaredGap {
            device: row.try_get("device")?,
            start: row.try_get("span_start")?,
            end: row.try_get("span_end")?,
        });
    }
    Ok(gaps)
}
