//! Why a figure on an invoice is what it is, in three steps: the resources of a line, the windows of a resource, the
//! readings at the edges of a window. Each step adds up to the figure that it explains. Another tenant's resource is
//! answered like one that does not exist.
//!
//! It does NOT derive in a way of its own: every difference is taken by `metering::derive`. It knows no prices.

mod corrected;
mod parts;
mod times;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use metering::{Coverage, Epoch, MeterName, Resource, TenantId, UsagePart, UsageRecord, Window};
use migrations::{Database, Scope, Transaction};

use crate::error::{UsageError, unsigned};
use crate::ingest::marks::MarkKind;
use crate::settings::UsageSettings;
use crate::{close, days, derivation, load, ownership, records};
use times::Times;

pub use corrected::{CorrectedUsage, corrected, corrections_of};

/// The longest window that is explained down to its readings: usage windows have at most an hour, a page of a whole day
/// can still be read.
pub const EXPLAINED_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What one resource used within a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Which.
    pub resource: Resource,
    /// Its name: of a device, that of its instance.
    pub name: String,
    /// How much, in the meter's base unit.
    pub quantity: u64,
    /// How well it is known.
    pub coverage: Coverage,
    /// Of how many windows that is the sum. `None`: of those that belong to the part, which were not counted.
    pub windows: Option<u64>,
}

/// How a quantity follows from readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Of what.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// Which meter.
    pub meter: MeterName,
    /// When: the part of the window in which the tenant pays is explained.
    pub window: Window,
    /// How much: the sum of the parts.
    pub quantity: u64,
    /// How well it is known.
    pub coverage: Coverage,
    /// What the register rose by, life by life, in order. Time in which it did not exist is in none.
    pub parts: Vec<Part>,
}

/// What a register rose by within one of its lives: `C(to) - C(from)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which life.
    pub epoch: Epoch,
    /// From when on: the window's start, or later.
    pub from: Timestamp,
    /// Until when: the window's end, or earlier.
    pub to: Timestamp,
    /// `C(from)`.
    pub at_start: Point,
    /// `C(to)`.
    pub at_end: Point,
    /// The difference.
    pub quantity: u64,
}

/// A register's value at an instant, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// `C(at)`, floored.
    pub value: u64,
    /// When.
    pub at: Timestamp,
    /// The reading (or birth) before, where `C` was interpolated. `None` also where it was another tenant's.
    pub before: Option<(Timestamp, u64)>,
    /// The reading after, likewise.
    pub after: Option<(Timestamp, u64)>,
    /// How it is known.
    pub kind: PointKind,
}

/// How a register's value at an instant is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointKind {
    /// It was read at that very instant.
    Exact,
    /// Between two readings: in proportion to the time.
    Interpolated,
    /// The register began to exist, at zero.
    Born,
    /// The last reading of this life.
    Ended,
}

impl PointKind {
    /// As shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Interpolated => "interpolated",
            Self::Born => "born",
            Self::Ended => "ended",
        }
    }
}

/// The resources of which a tenant used a part of a meter's usage, as it was recorded: the largest first. Their
/// quantities, less what [`corrections_of`] excludes and with what it adds, are what [`crate::close::usage_of_period`]
/// says of the same part.
///
/// # Errors
/// The database fails.
pub async fn resources_of(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    part: &UsagePart,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<ResourceUsage>, UsageError> {
    if !may_see(scope, tenant) {
        return Ok(Vec::new());
    }
    let mut usage = match part.is_whole() {
        true => resources_of_period(db, scope, tenant, part, settings, now).await?,
        false => resources_of_part(db, tenant, part, settings, now).await?,
    };
    usage.sort_by(|a, b| b.quantity.cmp(&a.quantity).then_with(|| a.name.cmp(&b.name)));
    Ok(usage)
}

/// Resource by resource, with the dimensions that each had when.
async fn resources_of_part(
    db: &Database,
    tenant: TenantId,
    part: &UsagePart,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<ResourceUsage>, UsageError> {
    let recorded = close::recorded_of_period(db, tenant, part.meter(), part.pieces(), settings, now).await?;
    let mut found: BTreeMap<Resource, ResourceUsage> = BTreeMap::new();
    for record in recorded.into_iter().filter(|record| part.takes(&record.dimensions)) {
        let UsageRecord { resource, resource_name: name, quantity, coverage, .. } = record;
        let usage = found.entry(resource.clone()).or_insert_with(|| ResourceUsage {
            resource,
            name,
            quantity: 0,
            coverage: Coverage::default(),
            windows: None,
        });
        usage.quantity = usage.quantity.saturating_add(quantity);
        add(&mut usage.coverage, coverage);
    }
    Ok(found.into_values().collect())
}

/// Of a whole period: its days as they are summed, and what is beside them.
async fn resources_of_period(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    part: &UsagePart,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<ResourceUsage>, UsageError> {
    let (meter, period) = (part.meter(), part.period());
    let mut found: BTreeMap<Resource, (u64, Coverage, u64)> = BTreeMap::new();
    let mut session = db.session().await?;
    if let Some(whole) = records::whole_windows(period, settings.window) {
        let transaction = session.begin(scope).await?;
        let statement = transaction.prepare_cached(sql!("why_resources")).await?;
        let rows = transaction
            .query(&statement, &[&tenant.uuid(), &meter.as_str(), &whole.start(), &whole.end()])
            .await?;
        for row in &rows {
            let quantity = u64::try_from(days::quantity(row)?).unwrap_or(u64::MAX);
            let windows = unsigned("usage_day", "records", row.try_get("records")?)?;
            found.insert(records::resource(row)?, (quantity, days::coverage(row)?, windows));
        }
        transaction.commit().await?;
    }
    // The readings next to an edge may be another tenant's: what is derived from them is not.
    let transaction = session.begin(Scope::Provider).await?;
    for edge in records::edges(period, settings.window) {
        for piece in records::edge_pieces(&transaction, tenant, edge, settings, now).await? {
            if piece.meter == meter {
                let known = found.entry(piece.resource).or_default();
                known.0 = known.0.saturating_add(piece.quantity);
                add(&mut known.1, piece.coverage);
                known.2 += 1;
            }
        }
    }
    transaction.commit().await?;
    let transaction = session.begin(scope).await?;
    let names = records::names(&transaction, found.keys()).await?;
    let usage = found.into_iter().map(|(resource, (quantity, coverage, windows))| {
        let name = records::name_of(&names, &resource);
        ResourceUsage { resource, name, quantity, coverage, windows: Some(windows) }
    });
    Ok(usage.collect())
}

/// The windows of one resource that belong to the part, in order: the usage records, and what is derived on the spot of
/// windows that the part cuts. They add up to the resource's figure in [`resources_of`].
///
/// # Errors
/// The database fails.
pub async fn windows_of(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    resource: &Resource,
    part: &UsagePart,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    let meter = part.meter();
    if !may_see(scope, tenant) || load::kind_of(resource) != meter.meter().resource {
        return Ok(Vec::new());
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let names = records::names(&transaction, std::iter::once(resource)).await?;
    let record = |window, quantity, coverage| UsageRecord {
        resource: resource.clone(),
        resource_name: records::name_of(&names, resource),
        meter,
        window,
        quantity,
        coverage,
        dimensions: metering::Dimensions::default(),
    };
    let times = Times::of(&transaction, tenant, part).await?.of_resource(resource);
    let mut found = Vec::new();
    if let Some(whole) = records::whole_windows(part.period(), settings.window) {
        let statement = transaction.prepare_cached(sql!("why_windows")).await?;
        let (id, device) = (load::uuid_of(resource), resource.device().unwrap_or(""));
        let rows = transaction
            .query(&statement, &[&tenant.uuid(), &id, &device, &meter.as_str(), &whole.start(), &whole.end()])
            .await?;
        for row in &rows {
            let window = derivation::window_of(row)?;
            if times::hold(&times, window) {
                let quantity = unsigned("usage_record", "quantity", row.try_get("quantity")?)?;
                found.push(record(window, quantity, days::coverage(row)?));
            }
        }
    }
    transaction.commit().await?;
    // The readings next to an edge may be another tenant's: what is derived from them is not.
    let transaction = session.begin(Scope::Provider).await?;
    for edge in times.iter().flat_map(|time| records::edges(*time, settings.window)) {
        let Some(held) = Held::load(&transaction, tenant, resource, edge, settings).await? else {
            continue;
        };
        for piece in derivation::pieces(&held.series, &held.ownership, &[edge], settings, now) {
            if piece.tenant == tenant.uuid() && piece.meter == meter && piece.resource == *resource {
                found.push(record(piece.window, piece.quantity, piece.coverage));
            }
        }
    }
    transaction.commit().await?;
    found.sort_by_key(|record| record.window);
    Ok(found)
}

/// The readings from which a resource's usage of a window follows. `None`: the tenant did not pay for such a resource
/// within the window, the window does not lie in the part, or is longer than [`EXPLAINED_MAX`].
///
/// # Errors
/// The database fails.
#[expect(clippy::too_many_arguments, reason = "whose, of what, when, and what derivation must be told")]
pub async fn explain(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    resource: &Resource,
    part: &UsagePart,
    window: Window,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Option<Explanation>, UsageError> {
    let meter = part.meter();
    let is_short = SignedDuration::from_micros(window.microseconds()) <= EXPLAINED_MAX;
    if !may_see(scope, tenant) || !is_short || load::kind_of(resource) != meter.meter().resource {
        return Ok(None);
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let times = Times::of(&transaction, tenant, part).await?.of_resource(resource);
    transaction.commit().await?;
    if !times::hold(&times, window) {
        return Ok(None);
    }
    // Readings next to the window may be another tenant's: they are used, and not shown.
    let transaction = session.begin(Scope::Provider).await?;
    let Some(held) = Held::load(&transaction, tenant, resource, window, settings).await? else {
        return Ok(None);
    };
    let names = records::names(&transaction, std::iter::once(resource)).await?;
    transaction.commit().await?;
    let Some(points) = held.series.get(resource) else {
        return Ok(None);
    };
    let register = load::registers(load::kind_of(resource))
        .iter()
        .position(|name| *name == meter.meter().register)
        .unwrap_or(load::REGISTERS_MAX);
    let mut explanation = Explanation {
        resource: resource.clone(),
        name: records::name_of(&names, resource),
        meter,
        window,
        quantity: 0,
        coverage: Coverage::default(),
        parts: parts::parts(points, &held.windows, register, settings.tolerance),
    };
    for usage in metering::derive(points, &held.windows, settings.tolerance, now) {
        let quantity = usage.quantities.get(register).copied().unwrap_or(0);
        explanation.quantity = explanation.quantity.saturating_add(quantity);
        add(&mut explanation.coverage, usage.coverage);
    }
    if scope != Scope::Provider {
        let is_own = |at: Timestamp| held.ownership.at(at) == tenant;
        for part in &mut explanation.parts {
            for point in [&mut part.at_start, &mut part.at_end] {
                point.before = point.before.filter(|(at, _)| is_own(*at));
                point.after = point.after.filter(|(at, _)| is_own(*at));
            }
        }
    }
    Ok(Some(explanation))
}

/// A resource that a tenant pays for in some of a window.
struct Held {
    series: load::Series,
    ownership: ownership::Ownership,
    /// The parts of the window in which it does.
    windows: Vec<Window>,
}

impl Held {
    async fn load(
        transaction: &Transaction<'_>,
        tenant: TenantId,
        resource: &Resource,
        window: Window,
        settings: UsageSettings,
    ) -> Result<Option<Self>, UsageError> {
        let (id, kind) = match resource {
            Resource::Volume(id) => (id.uuid(), MarkKind::Volume),
            Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => {
                (id.uuid(), MarkKind::Instance)
            }
        };
        let ownership = ownership::ownership_of(transaction, kind, id).await?;
        let mut windows = ownership.split(&[window]);
        windows.retain(|window| ownership.at(window.start()) == tenant);
        if windows.is_empty() {
            return Ok(None);
        }
        let series = load::load(transaction, kind, id, window, settings.tolerance).await?;
        Ok(series.contains_key(resource).then_some(Self { series, ownership, windows }))
    }
}

/// What resources are called, as far as `scope` may see it.
///
/// # Errors
/// The database fails.
pub async fn names_of<'a>(
    db: &Database,
    scope: Scope,
    resources: impl Iterator<Item = &'a Resource> + Clone,
) -> Result<BTreeMap<Resource, String>, UsageError> {
    if resources.clone().next().is_none() {
        return Ok(BTreeMap::new());
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let names = records::names(&transaction, resources.clone()).await?;
    transaction.commit().await?;
    Ok(resources.map(|resource| (resource.clone(), records::name_of(&names, resource))).collect())
}

/// Whether a scope may ask about a tenant at all.
fn may_see(scope: Scope, tenant: TenantId) -> bool {
    match scope {
        Scope::Provider => true,
        Scope::Tenant(own) => own == tenant.uuid(),
    }
}

fn add(sum: &mut Coverage, more: Coverage) {
    sum.measured_us += more.measured_us;
    sum.estimated_us += more.estimated_us;
    sum.missing_us += more.missing_us;
}
