//! What can be done with a libvirt domain: one method for each step of an action, none of which takes a reading.

use std::ffi::CString;
use std::sync::mpsc;
use std::time::Duration;

use metering::{InstanceId, InstanceState};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::network::Network;

use super::definition::{self, Description, DiskSource};
use super::tree::Element;
use super::{Session, failed, storage};
use crate::admission::{Admitted, MAX_DEVICES, shown};
use crate::error::ComputeError;
use crate::instance::{Disk, Instance, InstanceRef, Nic};
use crate::size::ByteSize;

/// How long QEMU may take to suspend a guest, which is a matter of milliseconds. A process that hangs never answers,
/// and is then destroyed without having been suspended.
const SUSPEND_LIMIT: Duration = Duration::from_secs(5);

/// Where a device is to be found or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// A disk by its target.
    Disk(String),
    /// A NIC by its MAC address.
    Nic(String),
}

/// How an attempt to end a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopState {
    Executes,
    Off,
}

impl Session {
    pub(crate) fn list(&mut self) -> Result<Vec<Instance>, ComputeError> {
        let domains = self.connection()?.list_all_domains(0).map_err(failed("list the instances"))?;
        let mut instances = Vec::with_capacity(domains.len());
        for domain in &domains {
            match self.instance(domain) {
                Ok(instance) => instances.push(instance),
                // It went away while we looked.
                Err(ComputeError::Libvirt { source, .. }) if source.code == ErrorNumber::NoDomain => {}
                Err(error) => return Err(error),
            }
        }
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(instances)
    }

    pub(crate) fn find(&mut self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let domain = self.domain(who)?;
        self.instance(&domain)
    }

    /// Sees that nothing stands in the way of a new instance, and defines it.
    pub(crate) fn define(&mut self, spec: &Admitted) -> Result<(), ComputeError> {
        let connection = self.connection()?;
        if Domain::lookup_by_name(connection, &spec.name).is_ok() {
            return Err(ComputeError::NameTaken(spec.name.clone()));
        }
        if Domain::lookup_by_uuid(connection, spec.instance_id.uuid()).is_ok() {
            return Err(ComputeError::IdTaken(spec.instance_id));
        }
        let node = connection.get_node_info().map_err(failed("ask for the node's memory"))?;
        if spec.memory.kib() > node.memory {
            let has = ByteSize::from_mib(node.memory / 1024);
            return Err(ComputeError::Invalid(format!(
                "this node has {has} of memory: {} cannot be had",
                spec.memory
            )));
        }
        if let Some(network) = &spec.network {
            self.check_network(network)?;
        }
        let accelerator = self.accelerator()?;
        let mac = spec.network.as_ref().map(|_| random_mac());
        let xml = definition::instance(spec, &self.settings.pool, mac.as_deref(), accelerator).to_xml();
        match Domain::define_xml_flags(self.connection()?, &xml, virt_sys::VIR_DOMAIN_DEFINE_VALIDATE) {
            Ok(_) => Ok(()),
            // Somebody else was faster than the look above.
            Err(error) if error.message().contains("already exists with uuid") => {
                Err(ComputeError::NameTaken(spec.name.clone()))
            }
            Err(error) => Err(failed(format!("define the instance {}", spec.name))(error)),
        }
    }

    /// Forgets the definition, with what hangs on it (saved memory, snapshots' descriptions, NVRAM).
    pub(crate) fn undefine(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        let domain = match self.domain(&id.into()) {
            Ok(domain) => domain,
            Err(ComputeError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let flags = virt_sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | virt_sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | virt_sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | virt_sys::VIR_DOMAIN_UNDEFINE_NVRAM;
        domain.undefine_flags(flags).map_err(failed("undefine the instance"))?;
        remove_console_log(id);
        Ok(())
    }

    pub(crate) fn launch(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        let domain = self.domain(&id.into())?;
        domain.create().map_err(failed("start the instance"))?;
        Ok(())
    }

    pub(crate) fn resume(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        self.domain(&id.into())?.resume().map_err(failed("resume the instance"))?;
        Ok(())
    }

    /// Presses the guest's power button.
    pub(crate) fn request_shutdown(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        self.domain(&id.into())?.shutdown().map_err(failed("ask the guest to shut down"))?;
        Ok(())
    }

    /// Suspends the guest, so that its figures stand still. libvirt waits for QEMU without an end, so the call is made
    /// on a thread and a connection of its own (on one connection, libvirt 9.0 lets other calls wait for it) and given
    /// up after a while; destroying the guest ends it.
    pub(crate) fn suspend(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        let uri = self.settings.libvirt_uri.clone();
        let (answer, answered) = mpsc::channel();
        let suspend = move || -> Result<(), virt::error::Error> {
            let connection = Connect::open(Some(&uri))?;
            Domain::lookup_by_uuid(&connection, id.uuid())?.suspend()?;
            Ok(())
        };
        std::thread::Builder::new()
            .name("compute-suspend".to_owned())
            .spawn(move || answer.send(suspend()))
            .map_err(|source| ComputeError::System { doing: "start a thread".to_owned(), source })?;
        match answered.recv_timeout(SUSPEND_LIMIT) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed("suspend the guest")(error)),
            Err(_) => Err(ComputeError::Conflict(format!(
                "QEMU did not suspend the guest within {} s",
                SUSPEND_LIMIT.as_secs()
            ))),
        }
    }

    /// Ends the guest's process; one that ended by itself is fine.
    pub(crate) fn destroy(&mut self, id: InstanceId) -> Result<(), ComputeError> {
        if self.stop_state(id)? == StopState::Off {
            return Ok(());
        }
        let domain = self.domain(&id.into())?;
        match domain.destroy() {
            Ok(()) => Ok(()),
            Err(_) if self.stop_state(id)? == StopState::Off => Ok(()),
            Err(error) => Err(failed("end the instance's process")(error)),
        }
    }

    /// Whether there is still a process; a guest that vanished (nobody defined it) is off.
    pub(crate) fn stop_state(&mut self, id: InstanceId) -> Result<StopState, ComputeError> {
        match self.domain(&id.into()) {
            Ok(domain) => {
                let active = domain.is_active().map_err(failed("look at the instance"))?;
                Ok(if active { StopState::Executes } else { StopState::Off })
            }
            Err(ComputeError::NotFound(_)) => Ok(StopState::Off),
            Err(error) => Err(error),
        }
    }

    /// Makes a volume and attaches it as a further disk, now and for later starts.
    pub(crate) fn attach_disk(&mut self, id: InstanceId, size: ByteSize) -> Result<Disk, ComputeError> {
        let domain = self.domain(&id.into())?;
        let (taken, _) = self.devices(&domain)?;
        if taken.len() >= MAX_DEVICES {
            return Err(ComputeError::Conflict(format!(
                "the instance has {MAX_DEVICES} disks already, which is the most"
            )));
        }
        let mut free = None;
        for letter in 'a'..='z' {
            let target = format!("vd{letter}");
            // A volume may be left from an action that broke off: its name is not used again while it is there.
            if !taken.contains(&target) && !self.has_volume(&definition::volume_name(id, &target))? {
                free = Some(target);
                break;
            }
        }
        let target =
            free.ok_or_else(|| ComputeError::Conflict("no disk name from vda to vdz is free".to_owned()))?;
        let volume = self.create_volume(id, &target, size, None)?;
        let xml = definition::disk(&self.settings.pool, &volume, &target).to_xml();
        if let Err(error) = attach(&domain, &xml, &format!("attach the disk {target}")) {
            if let Err(left) = self.delete_volume(&volume) {
                tracing::error!("the volume {volume} is left over: {left}");
            }
            return Err(error);
        }
        Ok(Disk { target, pool: self.settings.pool.clone(), volume, capacity_bytes: Some(size.bytes()) })
    }

    /// Attaches a further NIC, now and for later starts.
    pub(crate) fn attach_nic(&mut self, id: InstanceId, network: &str) -> Result<Nic, ComputeError> {
        self.check_network(network)?;
        let domain = self.domain(&id.into())?;
        let (_, taken) = self.devices(&domain)?;
        if taken.len() >= MAX_DEVICES {
            return Err(ComputeError::Conflict(format!(
                "the instance has {MAX_DEVICES} NICs already, which is the most"
            )));
        }
        let mac = random_mac();
        attach(
            &domain,
            &definition::nic(network, &mac).to_xml(),
            &format!("attach a NIC on the network {network}"),
        )?;
        Ok(Nic { mac: Some(mac), network: Some(network.to_owned()) })
    }

    /// Refuses what must not be removed; returns the volume of Weir's pool behind a disk.
    pub(crate) fn check_removable(
        &mut self,
        id: InstanceId,
        what: &Attachment,
    ) -> Result<Option<String>, ComputeError> {
        let domain = self.domain(&id.into())?;
        let kept = describe(&domain, virt_sys::VIR_DOMAIN_XML_INACTIVE)?;
        let live = describe(&domain, 0)?;
        match what {
            Attachment::Disk(target) => {
                let disk = kept.disks.iter().chain(&live.disks).find(|disk| disk.target == *target);
                let disk = disk.ok_or_else(|| {
                    ComputeError::Conflict(format!(
                        "the instance {} has no disk {}",
                        kept.name,
                        shown(target)
                    ))
                })?;
                if target == definition::FIRST_TARGET && !kept.boots_kernel {
                    return Err(ComputeError::Conflict(format!(
                        "the instance {} boots from {target}: delete the instance instead",
                        kept.name
                    )));
                }
                let prefix = definition::volume_prefix(id);
                Ok(match &disk.source {
                    DiskSource::Volume { pool, name }
                        if *pool == self.settings.pool && name.starts_with(&prefix) =>
                    {
                        Some(name.clone())
                    }
                    _ => None,
                })
            }
            Attachment::Nic(mac) => {
                let has = |nic: &definition::DescribedNic| nic.mac.as_deref() == Some(mac);
                if kept.nics.iter().chain(&live.nics).any(has) {
                    return Ok(None);
                }
                Err(ComputeError::Conflict(format!("the instance {} has no NIC {}", kept.name, shown(mac))))
            }
        }
    }

    /// Asks a running guest to let go of a device. Returns at once; the guest answers when it likes.
    pub(crate) fn request_detach(&mut self, id: InstanceId, what: &Attachment) -> Result<(), ComputeError> {
        let domain = self.domain(&id.into())?;
        let Some(alias) = live_alias(&domain, what)? else {
            return Ok(());
        };
        let alias = CString::new(alias)
            .map_err(|_| ComputeError::Internal("an alias holds a zero byte".to_owned()))?;
        // SAFETY: both pointers are valid for the call: `domain` holds a reference, `alias` ends in a zero byte.
        let result = unsafe {
            virt_sys::virDomainDetachDeviceAlias(
                domain.as_ptr(),
                alias.as_ptr(),
                virt_sys::VIR_DOMAIN_AFFECT_LIVE,
            )
        };
        if result < 0 {
            return Err(failed("ask the guest to let go of the device")(virt::error::Error::last_error()));
        }
        Ok(())
    }

    /// Whether a running guest still has the device.
    pub(crate) fn holds(&mut self, id: InstanceId, what: &Attachment) -> Result<bool, ComputeError> {
        if self.stop_state(id)? == StopState::Off {
            return Ok(false);
        }
        Ok(live_alias(&self.domain(&id.into())?, what)?.is_some())
    }

    /// Takes a device out of the definition, so that it is not there at the next start.
    pub(crate) fn forget_device(&mut self, id: InstanceId, what: &Attachment) -> Result<(), ComputeError> {
        let domain = self.domain(&id.into())?;
        let xml =
            domain.get_xml_desc(virt_sys::VIR_DOMAIN_XML_INACTIVE).map_err(failed("read the definition"))?;
        let tree = Element::parse(&xml).map_err(|error| ComputeError::Internal(error.to_string()))?;
        let Some(devices) = tree.at(&["devices"]) else {
            return Ok(());
        };
        let found = match what {
            Attachment::Disk(target) => {
                devices.all("disk").find(|disk| disk.attribute_at(&["target"], "dev") == Some(target))
            }
            Attachment::Nic(mac) => devices.all("interface").find(|nic| {
                nic.attribute_at(&["mac"], "address").is_some_and(|address| address.eq_ignore_ascii_case(mac))
            }),
        };
        let Some(device) = found else { return Ok(()) };
        domain
            .detach_device_flags(&device.to_xml(), virt_sys::VIR_DOMAIN_AFFECT_CONFIG)
            .map_err(failed("take the device out of the definition"))?;
        Ok(())
    }

    /// Whether a network is there and runs.
    fn check_network(&self, name: &str) -> Result<(), ComputeError> {
        let network =
            Network::lookup_by_name(self.connection()?, name).map_err(|error| match error.code() {
                ErrorNumber::NoNetwork => ComputeError::Conflict(format!(
                    "there is no network {}: `virsh net-list --all` shows what there is",
                    shown(name)
                )),
                _ => failed(format!("look for the network {}", shown(name)))(error),
            })?;
        if !network.is_active().map_err(failed("look at the network"))? {
            return Err(ComputeError::Conflict(format!(
                "the network {} does not run: start it with `virsh net-start`",
                shown(name)
            )));
        }
        Ok(())
    }

    pub(super) fn domain(&self, who: &InstanceRef) -> Result<Domain, ComputeError> {
        let connection = self.connection()?;
        let found = match who {
            InstanceRef::Id(id) => Domain::lookup_by_uuid(connection, id.uuid()),
            // A zero byte cannot be in a C string, nor in the name of anything.
            InstanceRef::Name(name) if name.contains('\0') => {
                return Err(ComputeError::NotFound(who.clone()));
            }
            InstanceRef::Name(name) => Domain::lookup_by_name(connection, name),
        };
        found.map_err(|error| match error.code() {
            ErrorNumber::NoDomain => ComputeError::NotFound(who.clone()),
            _ => failed(format!("look for the instance {who}"))(error),
        })
    }

    fn instance(&self, domain: &Domain) -> Result<Instance, ComputeError> {
        let description = describe(domain, 0)?;
        let (state, _) = domain.get_state().map_err(failed("ask for the state of an instance"))?;
        let connection = self.connection()?;
        Ok(Instance {
            instance_id: description.instance_id,
            name: description.name,
            tenant: description.tenant,
            made_by_weir: description.made_by_weir,
            state: state_of(state),
            vcpus: description.vcpus,
            memory_kib: description.memory_kib,
            disks: description.disks.iter().map(|disk| storage::resolved(connection, disk)).collect(),
            nics: description
                .nics
                .into_iter()
                .map(|nic| Nic { mac: nic.mac, network: nic.network })
                .collect(),
            warnings: Vec::new(),
        })
    }

    /// Targets and MAC addresses in use, now or at the next start.
    fn devices(&self, domain: &Domain) -> Result<(Vec<String>, Vec<String>), ComputeError> {
        let (mut targets, mut macs) = (Vec::new(), Vec::new());
        for flags in [0, virt_sys::VIR_DOMAIN_XML_INACTIVE] {
            let description = describe(domain, flags)?;
            targets.extend(description.disks.into_iter().map(|disk| disk.target));
            macs.extend(description.nics.into_iter().filter_map(|nic| nic.mac));
        }
        for names in [&mut targets, &mut macs] {
            names.sort();
            names.dedup();
        }
        Ok((targets, macs))
    }
}

fn describe(domain: &Domain, flags: u32) -> Result<Description, ComputeError> {
    let xml = domain.get_xml_desc(flags).map_err(failed("read the definition of an instance"))?;
    definition::describe(&xml)
        .map_err(|error| ComputeError::Internal(format!("libvirt's definition of an instance: {error}")))
}

fn live_alias(domain: &Domain, what: &Attachment) -> Result<Option<String>, ComputeError> {
    let live = describe(domain, 0)?;
    let alias = match what {
        Attachment::Disk(target) => {
            live.disks.into_iter().find(|disk| disk.target == *target).map(|disk| disk.alias)
        }
        Attachment::Nic(mac) => {
            live.nics.into_iter().find(|nic| nic.mac.as_ref() == Some(mac)).map(|nic| nic.alias)
        }
    };
    match alias {
        None => Ok(None),
        Some(Some(alias)) => Ok(Some(alias)),
        Some(None) => {
            Err(ComputeError::Internal("libvirt gives a device of a running guest no alias".to_owned()))
        }
    }
}

/// Attaches to the definition, and to the running guest if it runs.
fn attach(domain: &Domain, xml: &str, doing: &str) -> Result<(), ComputeError> {
    let active = domain.is_active().map_err(failed("look at the instance"))?;
    let mut flags = 0;
    if domain.is_persistent().map_err(failed("look at the instance"))? {
        flags |= virt_sys::VIR_DOMAIN_AFFECT_CONFIG;
    }
    if active {
        flags |= virt_sys::VIR_DOMAIN_AFFECT_LIVE;
    }
    domain.attach_device_flags(xml, flags).map_err(failed(doing))?;
    Ok(())
}

fn state_of(state: virt_sys::virDomainState) -> InstanceState {
    match state {
        // Shutting down still executes.
        virt_sys::VIR_DOMAIN_RUNNING | virt_sys::VIR_DOMAIN_BLOCKED | virt_sys::VIR_DOMAIN_SHUTDOWN => {
            InstanceState::Running
        }
        virt_sys::VIR_DOMAIN_PAUSED | virt_sys::VIR_DOMAIN_PMSUSPENDED => InstanceState::Paused,
        _ => InstanceState::Stopped,
    }
}

/// QEMU's prefix 52:54:00 and 24 random bits: libvirt refuses a second one on the same guest, and within a network
/// two are likely to meet only among thousands.
fn random_mac() -> String {
    let bytes = Uuid::new_v4().into_bytes();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2])
}

/// The log and what virtlogd rotated out of it.
fn remove_console_log(id: InstanceId) {
    let log = definition::console_log(id);
    for path in std::iter::once(log.clone()).chain((0..3).map(|number| format!("{log}.{number}"))) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("the console log {path} is left over: {error}");
            }
            _ => {}
        }
    }
}
