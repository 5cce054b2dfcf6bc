//! Meters: what is measured, in which unit, on what, and who may see it. Declared in `meters/*.toml`, one
//! file for each kind of resource, reviewed like code and checked by the tests below.
//!
//! It has no prices and no quantities.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::quantity::PricedUnit;

/// What a meter is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// An instance.
    Instance,
    /// A disk of an instance.
    Disk,
    /// A NIC of an instance.
    Nic,
    /// A volume.
    Volume,
}

impl ResourceKind {
    /// All of them, in the order of the house.
    pub const ALL: [ResourceKind; 4] = [Self::Instance, Self::Disk, Self::Nic, Self::Volume];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Disk => "disk",
            Self::Nic => "nic",
            Self::Volume => "volume",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The unit of a register: whole numbers of it are all that is ever stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum BaseUnit {
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Milliseconds (of one instance, or of one vCPU).
    #[serde(rename = "ms")]
    Milliseconds,
    /// KiB held for one second.
    #[serde(rename = "KiB·s")]
    KibSeconds,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Operations.
    #[serde(rename = "ops")]
    Operations,
}

impl BaseUnit {
    /// As shown.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::KibSeconds => "KiB·s",
            Self::Bytes => "bytes",
            Self::Operations => "ops",
        }
    }

    /// How names of registers in this unit end.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Nanoseconds => "_ns",
            Self::Milliseconds => "_ms",
            Self::KibSeconds => "_kib_s",
            Self::Bytes => "_bytes",
            Self::Operations => "_ops",
        }
    }
}

/// Where a meter's register comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeterKind {
    /// The hypervisor counts it; it is shipped as it is.
    Cumulative,
    /// The collector integrates what is held over time.
    Held,
}

/// Who may see a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// The tenant whose resource it is, and the provider.
    Tenant,
    /// The provider alone.
    Provider,
}

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its name, which ends in its unit.
    pub name: String,
    /// The register of the resource's reading that it takes.
    pub register: String,
    /// What it is called on an invoice.
    pub title: String,
    /// One sentence: what is counted, what is not.
    pub description: String,
    /// The register's unit.
    pub unit: BaseUnit,
    /// Where the register comes from.
    pub kind: MeterKind,
    /// The unit that is priced.
    pub priced_unit: PricedUnit,
    /// Who may see it.
    pub visible_to: Visibility,
    /// The first release that has it.
    pub added_in: String,
    /// What it is measured on; from the file's head.
    #[serde(skip, default = "placeholder")]
    pub resource: ResourceKind,
}

/// The name of a meter that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterName(&'static str);

/// A name that no meter has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no meter {shown:?}; the meters are {known}")]
pub struct UnknownMeter {
    shown: String,
    known: String,
}

/// Every meter, in the order of an invoice.
#[must_use]
pub fn catalog() -> &'static [Meter] {
    &CATALOG
}

impl MeterName {
    /// Finds a meter.
    ///
    /// # Errors
    /// There is none of that name; the error lists those that there are.
    pub fn parse(text: &str) -> Result<Self, UnknownMeter> {
        catalog().iter().find(|meter| meter.name == text).map(|meter| Self(&meter.name)).ok_or_else(|| {
            let known: Vec<&str> = catalog().iter().map(|meter| meter.name.as_str()).collect();
            UnknownMeter { shown: text.chars().take(80).collect(), known: known.join(", ") }
        })
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Its definition.
    #[must_use]
    pub fn meter(self) -> &'static Meter {
        let found = catalog().iter().find(|meter| meter.name == self.0);
        found.expect("a MeterName is only ever made from a meter of the catalog")
    }

    /// Its place in [`catalog`], which is its place on an invoice.
    #[must_use]
    pub fn position(self) -> usize {
        catalog().iter().position(|meter| meter.name == self.0).unwrap_or(usize::MAX)
    }
}

impl Meter {
    /// Its name as an identity.
    #[must_use]
    pub fn id(&'static self) -> MeterName {
        MeterName(&self.name)
    }
}

impl fmt::Display for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeterName({})", self.0)
    }
}

impl Serialize for MeterName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for MeterName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// One file of `meters/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeterFile {
    resource: ResourceKind,
    meter: Vec<Meter>,
}

const FILES: [&str; 4] = [
    include_str!("../meters/instance.toml"),
    include_str!("../meters/volume.toml"),
    include_str!("../meters/disk.toml"),
    include_str!("../meters/nic.toml"),
];

static CATALOG: LazyLock<Vec<Meter>> = LazyLock::new(|| {
    FILES
        .iter()
        .flat_map(|text| {
            let file: MeterFile =
                toml::from_str(text).expect("meters/*.toml are part of the program and tested");
            file.meter.into_iter().map(move |meter| Meter { resource: file.resource, ..meter })
        })
        .collect()
});

/// Replaced as soon as the file's head is known.
const fn placeholder() -> ResourceKind {
    ResourceKind::Instance
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_meters_of_one_name_would_bill_twice() {
        let names: HashSet<_> = catalog().iter().map(|meter| &meter.name).collect();
        assert_eq!(names.len(), catalog().len());
        assert_eq!(catalog().len(), 11);
    }

    #[test]
    fn a_name_says_its_unit_last() {
        for meter in catalog() {
            assert!(meter.name.ends_with(meter.unit.suffix()), "{}", meter.name);
            assert!(meter.register.ends_with(meter.unit.suffix()), "{}", meter.register);
        }
    }

    #[test]
    fn every_meter_is_described_and_sold_in_a_unit_of_its_own_dimension() {
        for meter in catalog() {
            assert!(meter.description.ends_with('.') && meter.description.len() > 30, "{}", meter.name);
            let expected = match meter.unit {
                BaseUnit::Nanoseconds => 3_600_000_000_000,
                BaseUnit::Milliseconds => 3_600_000,
                BaseUnit::KibSeconds => 1024 * 1024 * 3600,
                BaseUnit::Bytes => 1024 * 1024 * 1024,
                BaseUnit::Operations => 1_000,
            };
            assert_eq!(meter.priced_unit.base_units, expected, "{}", meter.name);
        }
    }

    #[test]
    fn an_unknown_meter_is_refused_with_those_that_exist() {
        let error = MeterName::parse("cpu_seconds").unwrap_err().to_string();
        assert!(error.contains("cpu_seconds") && error.contains("cpu_ns"), "{error}");
        assert_eq!(MeterName::parse("cpu_ns").unwrap().meter().title, "CPU time");
    }
}
