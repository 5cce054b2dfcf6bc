//! The libvirt path: one bulk call a look on a read-only connection, descriptions when they may have changed.
//!
//! The only module that says "domain". It keeps no figures from look to look, only what is dear to read:
//! descriptions, starts of processes, places of volumes. It never waits for a domain and never changes one.

pub(crate) mod events;
pub(crate) mod ffi;
mod process;
mod session;
mod stats;
mod storage;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use metering::{BootId, InstanceId};
use uuid::Uuid;

use self::ffi::{Connection, DomainRecord};
use self::session::{Session, Threads};
use self::stats::State;
pub use self::storage::VolumeKey;
use self::storage::{DiskUse, Storage};
use self::xml::Description;
use crate::clock::Clock;
use crate::observation::{
    Figures, Hypervisor, HypervisorError, Observation, ObservedInstance, ProcessStart, Run, Scope,
};

/// A description is read again after this long even when no device seems to have changed: for changes that
/// figures do not show, such as another tenant in the metadata.
const DESCRIPTION_LIFETIME: Duration = Duration::from_secs(60);

/// The libvirt whose pid files `process` reads. Another one's guests may have the same names.
const PID_FILES_OF: &str = "qemu:///system";

/// `/proc/<pid>/stat` is exact to a tick, which is 10 ms.
const START_PRECISION: Duration = Duration::from_millis(10);

/// libvirt on this node.
pub struct Libvirt {
    uri: String,
    boot_id: BootId,
    session: Option<Session>,
    threads: Threads,
    descriptions: HashMap<[u8; 16], Cached>,
    starts: HashMap<([u8; 16], u32), ProcessStart>,
    storage: Storage,
}

struct Cached {
    run_id: Option<u32>,
    devices: Vec<String>,
    /// CPU time aside, the sum of all counters: when it falls, something was unplugged and plugged in again.
    counted: u128,
    read_at: Duration,
    description: Description,
}

impl Libvirt {
    /// Will connect to `uri` at the first look. `known`: where volumes lie that were seen before.
    #[must_use]
    pub fn new(uri: &str, boot_id: BootId, known: BTreeMap<VolumeKey, PathBuf>) -> Self {
        Self {
            uri: uri.to_owned(),
            boot_id,
            session: None,
            threads: Threads::default(),
            descriptions: HashMap::new(),
            starts: HashMap::new(),
            storage: Storage::new(known),
        }
    }

    fn look(
        &mut self,
        session: &Session,
        clock: &dyn Clock,
        scope: &Scope,
    ) -> Result<Observation, HypervisorError> {
        // The look's instant is its beginning. The call takes milliseconds, and seconds while libvirt is busy ending a
        // guest: what is held must not count for time in which it may have ended.
        let at = clock.now();
        let records = session.call("asking for all figures", Connection::all_domain_stats)?;
        let mut uses = Vec::new();
        let mut instances = Vec::with_capacity(records.len());
        for record in records.iter().filter(|record| instance_id(record) != InstanceId::PROBE) {
            let description = self.description(session, record, at.boot);
            uses.extend(disk_uses(record, description));
            let has_description = description.is_some();
            let tenant_label = description.and_then(|description| description.tenant_label.clone());
            let figures = description.map(|description| stats::figures(&record.params, description));
            instances.push(ObservedInstance {
                instance_id: instance_id(record),
                name: record.name.clone(),
                tenant_label,
                is_described: has_description,
                run: self.run(record, figures, at.boot),
            });
        }
        self.forget_all_but(&records);
        let (volumes, storage_dirs) = match session.call("listing storage pools", Connection::active_pools) {
            Ok(pools) => {
                let view = self.storage.view(&pools, &uses);
                (Some(view.volumes), view.dirs)
            }
            Err(error) => {
                tracing::warn!(%error, "storage cannot be listed; volumes are not read in this look");
                (None, Vec::new())
            }
        };
        let (scope, ends) = (scope.clone(), Vec::new());
        let events = Vec::new();
        Ok(Observation { boot_id: self.boot_id, at, instances, volumes, storage_dirs, scope, ends, events })
    }

    /// The run of a domain, or `None` when it is off.
    fn run(&mut self, record: &DomainRecord, figures: Option<Figures>, began: Duration) -> Option<Run> {
        let run_id = record.id?;
        let state = stats::state(record);
        if state == Some(State::Off) {
            return None;
        }
        Some(Run {
            run_id,
            started: self.started(record, run_id, began),
            is_executing: state.map(|state| state == State::Executing),
            is_moving: stats::is_moving(record),
            // Without a state libvirt gave nothing at all.
            figures: figures.filter(|_| state.is_some()),
        })
    }

    /// When the process of a run started. A process younger than the look may already be the next run's: its
    /// start is not believed before the next look.
    fn started(&mut self, record: &DomainRecord, run_id: u32, began: Duration) -> Option<ProcessStart> {
        let key = (record.uuid, run_id);
        if let Some(start) = self.starts.get(&key) {
            return Some(*start);
        }
        if !self.uri.starts_with(PID_FILES_OF) {
            return None;
        }
        let start = process::start_of(&record.name).filter(|start| start.boot + START_PRECISION < began)?;
        self.starts.insert(key, start);
        Some(start)
    }

    /// The description of a domain, read again when it may have changed. `None`: it could not be read.
    fn description(
        &mut self,
        session: &Session,
        record: &DomainRecord,
        now: Duration,
    ) -> Option<&Description> {
        let devices = stats::device_list(&record.params);
        let counted = stats::counted(&record.params);
        let is_fresh = self.descriptions.get_mut(&record.uuid).is_some_and(|cached| {
            let has_fallen = counted < cached.counted;
            cached.counted = counted;
            cached.run_id == record.id
                && cached.devices == devices
                && !has_fallen
                && now.saturating_sub(cached.read_at) < DESCRIPTION_LIFETIME
        });
        if !is_fresh {
            let uuid = record.uuid;
            let xml = session
                .call("reading an instance's description", move |connection| connection.domain_xml(&uuid));
            match xml.and_then(|xml| xml.as_deref().map(described).transpose()) {
                // It vanished in the middle of the look; the next one will say that it is gone.
                Ok(None) => {
                    self.descriptions.remove(&record.uuid);
                }
                Ok(Some(description)) => {
                    let cached = Cached { run_id: record.id, devices, counted, read_at: now, description };
                    self.descriptions.insert(record.uuid, cached);
                }
                Err(error) => {
                    tracing::warn!(instance = record.name, %error, "its figures are left out of this look");
                    self.descriptions.remove(&record.uuid);
                }
            }
        }
        self.descriptions.get(&record.uuid).map(|cached| &cached.description)
    }

    fn forget_all_but(&mut self, records: &[DomainRecord]) {
        let runs: HashSet<([u8; 16], u32)> =
            records.iter().filter_map(|record| Some((record.uuid, record.id?))).collect();
        self.starts.retain(|run, _| runs.contains(run));
        let domains: HashSet<[u8; 16]> = records.iter().map(|record| record.uuid).collect();
        self.descriptions.retain(|domain, _| domains.contains(domain));
    }
}

impl Hypervisor for Libvirt {
    fn observe(&mut self, clock: &dyn Clock, scope: &Scope) -> Result<Observation, HypervisorError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                // A daemon that was away may number runs from 1 again.
                self.starts.clear();
                self.descriptions.clear();
                Session::open(&self.uri, &self.threads)?
            }
        };
        // On an error the session is dropped, and the next look opens another.
        let observation = self.look(&session, clock, scope)?;
        self.session = Some(session);
        Ok(observation)
    }
}

/// The description in a domain's XML.
fn described(xml: &str) -> Result<Description, HypervisorError> {
    xml::parse_domain(xml).map_err(|error| HypervisorError {
        doing: "understanding an instance's description".to_owned(),
        message: error.to_string(),
    })
}

fn instance_id(record: &DomainRecord) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_bytes(record.uuid))
}

/// The disks of a domain that may be volumes: those with a source whose medium is not changed at will.
fn disk_uses(record: &DomainRecord, description: Option<&Description>) -> Vec<DiskUse> {
    let Some(description) = description else {
        return Vec::new();
    };
    let capacities = stats::capacities(&record.params);
    let disk_use = |disk: &xml::DiskDescription| {
        let figures = capacities.iter().find(|(target, ..)| *target == disk.target);
        let path = figures.map(|(_, path, _)| path.clone()).unwrap_or_default();
        let source = if path.is_empty() { disk.source.clone() } else { path };
        (!disk.is_removable && !source.is_empty()).then(|| DiskUse {
            instance_id: instance_id(record),
            source,
            volume: disk.volume.clone(),
            capacity_bytes: figures.and_then(|(_, _, capacity)| *capacity),
        })
    };
    description.disks.iter().filter_map(disk_use).collect()
}
