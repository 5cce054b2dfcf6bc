//! Usage, meters, and the three steps from a line of an invoice to readings.

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{Meter, MeterName, Resource, ResourceKind, UsageRecord};
use serde::Serialize;
use usage::days::{DayUsage, ResourceDays};
use usage::why;
use utoipa::ToSchema;
use uuid::Uuid;

use super::corrections::CorrectionBody;
use super::{Coverage, Period};

/// What a meter is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ResourceKind)]
pub enum KindName {
    /// An instance.
    Instance,
    /// A disk of an instance.
    Disk,
    /// A NIC of an instance.
    Nic,
    /// A volume.
    Volume,
}

/// A meter.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Meter)]
pub struct MeterBody {
    /// Its name.
    #[schema(example = "cpu_ns")]
    pub name: String,
    /// What it is called on paper.
    pub title: String,
    /// What is counted and what is not.
    pub description: String,
    /// What it is measured on.
    pub resource: KindName,
    /// The base unit: all quantities are whole numbers of it.
    #[schema(example = "ns")]
    pub base_unit: String,
    /// The unit that prices are for.
    #[schema(example = "CPU·h")]
    pub priced_unit: String,
    /// How many base units one of them is.
    #[schema(pattern = "^[0-9]+$")]
    pub base_units_in_priced_unit: String,
    /// Whether it is for the provider alone.
    pub for_provider_alone: bool,
}

/// What was used: of a meter, and as grouped, in a day or by a resource.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsageItem {
    /// The day, in the zone of whoever paid; with `group_by=day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub day: Option<Date>,
    /// The resource; with `group_by=resource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resource: Option<ResourceBody>,
    /// Of what.
    #[schema(example = "cpu_ns")]
    pub meter: String,
    /// How much: a whole number of the unit.
    #[schema(pattern = "^[0-9]+$", example = "3600000000000")]
    pub quantity: String,
    /// The base unit.
    #[schema(example = "ns")]
    pub unit: String,
    /// How well it is known.
    pub coverage: Coverage,
}

/// Something that is metered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Resource)]
pub struct ResourceBody {
    /// What it is.
    pub kind: KindName,
    /// The id of the instance that it is or belongs to, or of the volume.
    pub resource_id: Uuid,
    /// The disk or NIC of the instance.
    pub device: Option<String>,
    /// What people call it: of a device, its instance's name.
    pub name: String,
}

/// One resource's part of a line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineResource {
    /// Which.
    pub resource: ResourceBody,
    /// How much: a whole number of the unit.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
    /// The base unit.
    pub unit: String,
    /// How well it is known.
    pub coverage: Coverage,
    /// Of how many windows that is the sum; not there where the line's price is for certain hours or dimensions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<u64>,
}

/// A correction, and what it does to a line's usage.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineCorrection {
    /// The correction.
    pub correction: CorrectionBody,
    /// What is recorded and does not count, in the meter's base unit.
    #[schema(pattern = "^[0-9]+$")]
    pub excluded: String,
    /// What counts and is not recorded.
    #[schema(pattern = "^[0-9]+$")]
    pub added: String,
}

/// Of a line: the resources that it is the sum of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineResources {
    /// The meter.
    pub meter: String,
    /// The line's period.
    pub period: Period,
    /// The sum over the resources: all of the meter's usage in the line's period, as it was recorded, in the hours and with
    /// the dimensions for which the line's price is. The tiers share it.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
    /// The same with the corrections: what is billed.
    #[schema(pattern = "^[0-9]+$")]
    pub corrected_quantity: String,
    /// The base unit.
    pub unit: String,
    /// The largest first.
    pub items: Vec<LineResource>,
    /// Corrections of this usage, the latest first.
    pub corrections: Vec<LineCorrection>,
}

/// What was used in one window.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WindowUsage {
    /// When.
    pub window: Period,
    /// How much: a whole number of the unit.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
    /// How well it is known.
    pub coverage: Coverage,
}

/// Of one resource of a line: the windows that it is the sum of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineWindows {
    /// The meter.
    pub meter: String,
    /// Which resource.
    pub resource: ResourceBody,
    /// The line's period.
    pub period: Period,
    /// The sum over the windows.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
    /// The base unit.
    pub unit: String,
    /// In order.
    pub items: Vec<WindowUsage>,
}

/// A register's value at an instant, and how it is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegisterPoint {
    /// When.
    pub at: Timestamp,
    /// The value: a whole number, rounded down where it was interpolated.
    #[schema(pattern = "^[0-9]+$")]
    pub value: String,
    /// `exact`, `interpolated`, `born` (it began at zero) or `ended` (the last reading of this life).
    pub known: String,
    /// Where it was interpolated: the reading before.
    pub before: Option<ReadingBody>,
    /// Where it was interpolated: the reading after.
    pub after: Option<ReadingBody>,
}

/// A reading: when, and what the register stood at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Reading)]
pub struct ReadingBody {
    /// When.
    pub at: Timestamp,
    /// What the register stood at: a whole number.
    #[schema(pattern = "^[0-9]+$")]
    pub value: String,
}

/// What a register rose by within one of its lives.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegisterPart {
    /// Which life.
    #[schema(example = "00f3a1c27d5e9b40")]
    pub epoch: String,
    /// The window's part in it.
    pub period: Period,
    /// Where the register stood at its beginning.
    pub at_start: RegisterPoint,
    /// Where it stood at its end.
    pub at_end: RegisterPoint,
    /// The difference.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
}

/// Of one window: the readings that it follows from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WindowReadings {
    /// The meter.
    pub meter: String,
    /// Which resource.
    pub resource: ResourceBody,
    /// The window.
    pub window: Period,
    /// The sum over the parts.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: String,
    /// The base unit.
    pub unit: String,
    /// How well it is known.
    pub coverage: Coverage,
    /// By the lives of the register, in order.
    pub items: Vec<RegisterPart>,
}

/// The base unit of a meter, as shown.
#[must_use]
pub fn unit(meter: MeterName) -> String {
    meter.meter().unit.symbol().to_owned()
}

impl From<ResourceKind> for KindName {
    fn from(kind: ResourceKind) -> Self {
        match kind {
            ResourceKind::Instance => Self::Instance,
            ResourceKind::Disk => Self::Disk,
            ResourceKind::Nic => Self::Nic,
            ResourceKind::Volume => Self::Volume,
        }
    }
}

impl From<&Meter> for MeterBody {
    fn from(meter: &Meter) -> Self {
        Self {
            name: meter.name.clone(),
            title: meter.title.clone(),
            description: meter.description.clone(),
            resource: meter.resource.into(),
            base_unit: meter.unit.symbol().to_owned(),
            priced_unit: meter.priced_unit.symbol.clone(),
            base_units_in_priced_unit: meter.priced_unit.base_units.to_string(),
            for_provider_alone: meter.visible_to == metering::meter::Visibility::Provider,
        }
    }
}

impl ResourceBody {
    /// A resource with its name.
    #[must_use]
    pub fn new(resource: &Resource, name: &str) -> Self {
        let (kind, resource_id) = match resource {
            Resource::Instance(id) => (KindName::Instance, id.uuid()),
            Resource::Disk(id, _) => (KindName::Disk, id.uuid()),
            Resource::Nic(id, _) => (KindName::Nic, id.uuid()),
            Resource::Volume(id) => (KindName::Volume, id.uuid()),
        };
        let device = resource.device().map(str::to_owned);
        Self { kind, resource_id, device, name: name.to_owned() }
    }
}

impl From<&DayUsage> for UsageItem {
    fn from(usage: &DayUsage) -> Self {
        Self {
            day: Some(usage.day),
            resource: None,
            meter: usage.meter.as_str().to_owned(),
            quantity: usage.quantity.to_string(),
            unit: unit(usage.meter),
            coverage: usage.coverage.into(),
        }
    }
}

impl UsageItem {
    /// A resource's usage of a meter.
    #[must_use]
    pub fn of_resource(usage: &ResourceDays, meter: MeterName) -> Self {
        Self {
            day: None,
            resource: Some(ResourceBody::new(&usage.resource, &usage.name)),
            meter: meter.as_str().to_owned(),
            quantity: usage.quantity.to_string(),
            unit: unit(meter),
            coverage: usage.coverage.into(),
        }
    }

    /// All usage of a meter.
    #[must_use]
    pub fn of_meter(meter: MeterName, quantity: u128, coverage: metering::Coverage) -> Self {
        Self {
            day: None,
            resource: None,
            meter: meter.as_str().to_owned(),
            quantity: quantity.to_string(),
            unit: unit(meter),
            coverage: coverage.into(),
        }
    }
}

impl LineResource {
    /// One resource's part of a line of that meter.
    #[must_use]
    pub fn new(usage: &why::ResourceUsage, meter: MeterName) -> Self {
        Self {
            resource: ResourceBody::new(&usage.resource, &usage.name),
            quantity: usage.quantity.to_string(),
            unit: unit(meter),
            coverage: usage.coverage.into(),
            windows: usage.windows,
        }
    }
}

impl From<&why::CorrectedUsage> for LineCorrection {
    fn from(corrected: &why::CorrectedUsage) -> Self {
        Self {
            correction: (&corrected.correction).into(),
            excluded: corrected.excluded.to_string(),
            added: corrected.added.to_string(),
        }
    }
}

impl From<&UsageRecord> for WindowUsage {
    fn from(record: &UsageRecord) -> Self {
        Self {
            window: record.window.into(),
            quantity: record.quantity.to_string(),
            coverage: record.coverage.into(),
        }
    }
}

impl From<&why::Part> for RegisterPart {
    fn from(part: &why::Part) -> Self {
        Self {
            epoch: part.epoch.id.to_string(),
            period: Period { from: part.from, to: part.to },
            at_start: (&part.at_start).into(),
            at_end: (&part.at_end).into(),
            quantity: part.quantity.to_string(),
        }
    }
}

impl From<&why::Point> for RegisterPoint {
    fn from(point: &why::Point) -> Self {
        let reading = |(at, value): (Timestamp, u64)| ReadingBody { at, value: value.to_string() };
        Self {
            at: point.at,
            value: point.value.to_string(),
            known: point.kind.as_str().to_owned(),
            before: point.before.map(reading),
            after: point.after.map(reading),
        }
    }
}

impl From<why::Explanation> for WindowReadings {
    fn from(explained: why::Explanation) -> Self {
        Self {
            meter: explained.meter.as_str().to_owned(),
            resource: ResourceBody::new(&explained.resource, &explained.name),
            window: explained.window.into(),
            quantity: explained.quantity.to_string(),
            unit: unit(explained.meter),
            coverage: explained.coverage.into(),
            items: explained.parts.iter().map(RegisterPart::from).collect(),
        }
    }
}
