//! The readings from which usage of one resource is derived: those within a span, the last one before it and the
//! first one after it, for the resource and each of its devices. It does NOT derive; it works in the provider scope,
//! because the neighbours of a tenant's readings may be another's.

use std::collections::BTreeMap;

use jiff::Timestamp;
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

/// Loads what is needed to derive the usage of `span`.
pub(crate) async fn load(
    transaction: &Transaction<'_>,
    kind: MarkKind,
    id: Uuid,
    span: Window,
) -> Result<Series, UsageError> {
    let (start, end) = (span.start(), span.end());
    let mut series = Series::new();
    match kind {
        MarkKind::Volume => {
            let statement = transaction.prepare_cached(sql!("load_volume")).await?;
            let rows = transaction.query(&statement, &[&id, &start, &end]).await?;
            add(&mut series, ResourceKind::Volume, id, &rows)?;
        }
        MarkKind::Instance => {
            let statement = transaction.prepare_cached(sql!("load_instance")).await?;
            let rows = transaction.query(&statement, &[&id, &start, &end]).await?;
            add(&mut series, ResourceKind::Instance, id, &rows)?;
            for (kind, text) in [
                (ResourceKind::Disk, sql!("load_disk")),
                (ResourceKind::Nic, sql!("load_nic")),
            ] {
                let statement = transaction.prepare_cached(text).await?;
                let params: [&(dyn ToSql + Sync); 3] = [&id, &start, &end];
                add(
                    &mut series,
                    kind,
                    id,
                    &transaction.query(&statement, &params).await?,
                )?;
            }
        }
    }
    for points in series.values_mut() {
        sort(points);
    }
    if kind == MarkKind::Instance {
        let gaps = gaps(transaction, id, &series).await?;
        switch_off(&mut series, InstanceId::from_uuid(id), &gaps);
    }
    Ok(series)
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
        (
            point.observed_at,
            rank,
            point.epoch.born_at,
            point.epoch.id,
            point.registers,
        )
    });
}

fn add(series: &mut Series, kind: ResourceKind, id: Uuid, rows: &[Row]) -> Result<(), UsageError> {
    for row in rows {
        let device = match kind {
            ResourceKind::Disk | ResourceKind::Nic => row.try_get("device")?,
            ResourceKind::Instance | ResourceKind::Volume => String::new(),
        };
        series
            .entry(resource_of(kind, id, device))
            .or_default()
            .push(point(kind, row)?);
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
        epoch: Epoch {
            id: EpochId::from_i64(row.try_get("epoch")?),
            born_at: row.try_get("born_at")?,
        },
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
