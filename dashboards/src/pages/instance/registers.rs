//! The registers of an instance, its disks, NICs and volumes, as last read: what usage is the difference of.

use jiff::SignedDuration;
use metering::{Resource, Window, catalog};
use migrations::Database;
use usage::readings::{self, EpochReadings};
use usage::registry::Instance;

use super::back;
use crate::show::{self, Moment};
use crate::site::{PageError, Viewer};

/// How far before the last reading the others are looked for: a few reading intervals of a minute.
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(10);
/// The window is half-open: it ends behind the last reading.
const BEHIND: SignedDuration = SignedDuration::from_micros(1);

/// The registers of one thing.
pub(super) struct RegisterTable {
    /// `Instance`, `Disk vda`, `NIC 52:54:00:...`.
    pub title: String,
    pub observed_at: Moment,
    /// When this life of its registers began, as far as known.
    pub born_at: Option<Moment>,
    pub registers: Vec<Register>,
}

/// A register.
pub(super) struct Register {
    pub name: &'static str,
    pub title: &'static str,
    pub value: String,
    pub unit: &'static str,
}

/// The latest ones, in the order of an invoice.
pub(super) async fn of(
    database: &Database,
    viewer: &Viewer,
    instance: &Instance,
) -> Result<Vec<RegisterTable>, PageError> {
    let last = instance.last_seen_at;
    let end = last.checked_add(BEHIND).map_err(PageError::failed)?;
    let window = Window::new(back(last, LOOK_BACK), end).map_err(PageError::failed)?;
    let found = readings::epochs_of(database, viewer.scope(), instance.id, window).await?;
    Ok(latest(found).into_iter().map(|epoch| table(viewer, epoch)).collect())
}

/// Of each resource, the life that was read last.
fn latest(found: Vec<EpochReadings>) -> Vec<EpochReadings> {
    let mut kept: Vec<EpochReadings> = Vec::new();
    for epoch in found {
        match kept.iter_mut().find(|known| known.resource == epoch.resource) {
            None => kept.push(epoch),
            Some(known) if known.last.observed_at < epoch.last.observed_at => *known = epoch,
            Some(_) => {}
        }
    }
    kept
}

fn table(viewer: &Viewer, epoch: EpochReadings) -> RegisterTable {
    let title = match &epoch.resource {
        Resource::Instance(_) => "Instance".to_owned(),
        Resource::Disk(_, target) => format!("Disk {target}"),
        Resource::Nic(_, mac) => format!("NIC {mac}"),
        Resource::Volume(id) => format!("Volume {id}"),
    };
    let registers = epoch.last.registers.into_iter().filter_map(|(name, value)| {
        let meter = catalog().iter().find(|meter| meter.register == name)?;
        Some(Register {
            name,
            title: &meter.title,
            value: show::whole(value.into()),
            unit: meter.unit.symbol(),
        })
    });
    RegisterTable {
        title,
        observed_at: viewer.clock.moment_with_zone(epoch.last.observed_at),
        born_at: epoch.epoch.born_at.map(|at| viewer.clock.moment_with_zone(at)),
        registers: registers.collect(),
    }
}
