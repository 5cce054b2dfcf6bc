//! The libvirt path: one bulk call a look on a read-only connection, descriptions when they may have changed.
//!
//! The only module that says "domain". It keeps no figures from look to look, only what is dear to read:
//! descriptions, starts of processes, places of volumes. It never waits for a domain and never changes one.

pub(crate) mod events;
pub(crate) mod ffi;
mod pausing;
mod process;
mod session;
mod stats;
mod status_files;
mod storage;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use metering::{BootId, InstanceId};
use uuid::Uuid;

use self::ffi::{Asked, Connection, DomainRecord};
use self::session::{CALL_LIMIT, Session, Threads};
use self::stats::{Devices, State};
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

/// How long a bulk call may take before it is taken to hang on an instance: about three times what it takes at most on a busy
/// machine (3 ms an instance), and enough for the second or so for which libvirtd stops to answer while it ends a guest.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_PER_INSTANCE: Duration = Duration::from_millis(10);

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
    /// How many there were at the last look.
    instances: usize,
}

struct Cached {
    run_id: Option<u32>,
    disks: Option<Devices>,
    nics: Option<Devices>,
    read_at: Duration,
    description: Description,
}

impl Cached {
    /// Whether the description still holds, as far as the figures show. Figures that were not given show nothing.
    fn is_fresh(&mut self, record: &DomainRecord, now: Duration) -> bool {
        let is_same = self.run_id == record.id && now.saturating_sub(self.read_at) < DESCRIPTION_LIFETIME;
        let are_same_disks = Devices::go_on(&mut self.disks, stats::disk_list(&record.params));
        let are_same_nics = Devices::go_on(&mut self.nics, stats::nic_list(&record.params));
        is_same && are_same_disks && are_same_nics
    }
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
            instances: 0,
        }
    }

    fn look(
        &mut self,
        session: &Session,
        clock: &dyn Clock,
        scope: &Scope,
        patience: Duration,
    ) -> Result<Observation, HypervisorError> {
        let asked = match scope {
            Scope::Everything => Asked::Everything,
            Scope::Blocks { but_not, wholly } => {
                let uuids = |ids: &HashSet<InstanceId>| {
                    ids.iter().map(|instance_id| *instance_id.uuid().as_bytes()).collect()
                };
                Asked::Blocks { but_not: uuids(but_not), wholly: uuids(wholly) }
            }
        };
        // The look's instant is its beginning. The call takes milliseconds, and seconds while libvirt is busy ending a
        // guest: what is held must not count for time in which it may have ended.
        let at = clock.now();
        let ask = move |connection: &Connection| connection.all_domain_stats(&asked);
        let records = session.call_within(patience, "asking for all figures", ask)?;
        self.instances = records.len();
        let mut uses = Vec::new();
        let mut instances = Vec::with_capacity(records.len());
        for record in records.iter().filter(|record| instance_id(record) != InstanceId::PROBE) {
            let description = self.description(session, record, at.boot);
            uses.extend(disk_uses(record, description));
            let has_description = description.is_some();
            let tenant_label = description.and_then(|description| description.tenant_label.clone());
            let makeup = description.map(Description::makeup).unwrap_or_default();
            let figures = description.map(|description| stats::figures(&record.params, description));
            instances.push(ObservedInstance {
                instance_id: instance_id(record),
                name: record.name.clone(),
                tenant_label,
                makeup,
                is_described: has_description,
                run: self.run(record, figures, at.boot, is_all(scope, instance_id(record))),
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
    fn run(
        &mut self,
        record: &DomainRecord,
        figures: Option<Figures>,
        began: Duration,
        is_all: bool,
    ) -> Option<Run> {
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
            is_silent: is_all && stats::is_silent(record),
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
        let is_fresh =
            self.descriptions.get_mut(&record.uuid).is_some_and(|cached| cached.is_fresh(record, now));
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
                    let cached = Cached {
                        run_id: record.id,
                        disks: stats::disk_list(&record.params),
                        nics: stats::nic_list(&record.params),
                        read_at: now,
                        description,
                    };
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
        let instances = u32::try_from(self.instances).unwrap_or(u32::MAX);
        let patience = (PATIENCE + PATIENCE_PER_INSTANCE.saturating_mul(instances)).min(CALL_LIMIT);
        let (session, observation) = match self.look(&session, clock, scope, patience) {
            Err(error) if session.has_hung() => {
                // The call that was given up holds the job of the instance whose process hangs, so that the next one skips
                // that instance, now and until it answers.
                tracing::warn!(%error, "asking again without whatever hangs");
                let session = Session::open(&self.uri, &self.threads)?;
                let observation = self.look(&session, clock, scope, CALL_LIMIT)?;
                (session, observation)
            }
            result => (session, result?),
        };
        self.session = Some(session);
        Ok(observation)
    }
}

/// Whether everything was asked of an instance.
fn is_all(scope: &Scope, instance_id: InstanceId) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Blocks { wholly, .. } => wholly.contains(&instance_id),
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
