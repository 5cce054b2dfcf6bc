//! Bounds on the rates of a running guest: read from its description, and set device by device. What is to be set is
//! [`crate::throttle`]'s matter.
//!
//! Reading asks QEMU nothing. Setting a disk's rate does, and a QEMU that hangs never answers: so it is done on a thread and a
//! connection of its own and given up after a while, as suspending is; while one is under way nothing more is begun for that guest.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use metering::InstanceId;
use virt::connect::Connect;
use virt::domain::{Domain, SchedBandwidth, SchedulerInfo};
use virt::error::Error;

use super::tree::{Element, XmlError};
use super::{Session, failed};
use crate::error::ComputeError;
use crate::instance::InstanceRef;
use crate::throttle::{DiskRate, Flow, NicRate, Rates, VcpuRate};

/// How long QEMU may take, which is a matter of milliseconds.
const SET_LIMIT: Duration = Duration::from_secs(10);
/// The only place where rates are set: the guest that runs, not its definition.
const LIVE: u32 = virt_sys::VIR_DOMAIN_AFFECT_LIVE;

/// Guests for which something is being set.
pub(crate) type Pending = Arc<Mutex<HashSet<InstanceId>>>;

/// A rate that could not be set: of which device, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotSet {
    pub(crate) device: String,
    pub(crate) why: String,
}

impl Session {
    /// What bounds the guest now. `None`: it does not run.
    pub(crate) fn rates(&mut self, id: InstanceId) -> Result<Option<Rates>, ComputeError> {
        let domain = self.domain(&InstanceRef::Id(id))?;
        if !domain.is_active().map_err(failed("look at the instance"))? {
            return Ok(None);
        }
        let xml = domain.get_xml_desc(0).map_err(failed("read the definition of an instance"))?;
        read(&xml)
            .map(Some)
            .map_err(|error| ComputeError::Internal(format!("libvirt's definition of an instance: {error}")))
    }

    /// Sets rates of the running guest: of the devices that are named, all that is said of them.
    pub(crate) fn set_rates(&mut self, id: InstanceId, wanted: Rates) -> Result<Vec<NotSet>, ComputeError> {
        let busy = || {
            ComputeError::Conflict(format!(
                "QEMU does not answer, so the rates of {id} cannot be set: look at its process (virsh dommemstat {id})"
            ))
        };
        let pending = Arc::clone(&self.pending);
        if !pending.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return Err(busy());
        }
        let uri = self.settings.libvirt_uri.clone();
        let (answer, answered) = mpsc::channel();
        let set = move || {
            let outcome = set_all(&uri, id, &wanted);
            pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // Nobody may be waiting any more.
            let _ = answer.send(outcome);
        };
        let thread = std::thread::Builder::new().name("compute-rates".to_owned()).spawn(set);
        if let Err(source) = thread {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Err(ComputeError::System { doing: "start a thread".to_owned(), source });
        }
        match answered.recv_timeout(SET_LIMIT) {
            Ok(outcome) => outcome.map_err(failed("set the rates of an instance")),
            Err(_) => Err(busy()),
        }
    }
}

fn set_all(uri: &str, id: InstanceId, wanted: &Rates) -> Result<Vec<NotSet>, Error> {
    let connection = Connect::open(Some(uri))?;
    let domain = Domain::lookup_by_uuid(&connection, id.uuid())?;
    let mut left = Vec::new();
    let mut note = |device: String, outcome: Result<(), Error>| {
        if let Err(error) = outcome {
            left.push(NotSet { device, why: error.message().to_owned() });
        }
    };
    for (target, rate) in &wanted.disks {
        note(format!("disk {target}"), set_disk(&domain, target, rate));
    }
    for (mac, rate) in &wanted.nics {
        note(format!("NIC {mac}"), set_nic(&domain, mac, rate));
    }
    if wanted.vcpus != VcpuRate::default() {
        note("vCPUs".to_owned(), set_vcpus(&domain, &wanted.vcpus));
    }
    Ok(left)
}

fn set_disk(domain: &Domain, target: &str, rate: &DiskRate) -> Result<(), Error> {
    let mut parameters = [
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC, rate.total_bytes),
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_READ_BYTES_SEC, rate.read_bytes),
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_WRITE_BYTES_SEC, rate.write_bytes),
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_IOPS_SEC, rate.total_ops),
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_READ_IOPS_SEC, rate.read_ops),
        long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_WRITE_IOPS_SEC, rate.write_ops),
    ];
    let Ok(target) = CString::new(target) else { return Ok(()) };
    let count = libc_count(&parameters);
    // SAFETY: `domain` holds a reference, `target` ends in a zero byte, and `count` is the number of parameters; libvirt keeps none
    // of them.
    let result = unsafe {
        virt_sys::virDomainSetBlockIoTune(
            domain.as_ptr(),
            target.as_ptr(),
            parameters.as_mut_ptr(),
            count,
            LIVE,
        )
    };
    if result < 0 { Err(Error::last_error()) } else { Ok(()) }
}

fn set_nic(domain: &Domain, mac: &str, rate: &NicRate) -> Result<(), Error> {
    let mut parameters = [
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, rate.inbound.average),
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_IN_PEAK, rate.inbound.peak),
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_IN_BURST, rate.inbound.burst),
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, rate.outbound.average),
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_OUT_PEAK, rate.outbound.peak),
        word(virt_sys::VIR_DOMAIN_BANDWIDTH_OUT_BURST, rate.outbound.burst),
    ];
    let Ok(mac) = CString::new(mac) else { return Ok(()) };
    let count = libc_count(&parameters);
    // SAFETY: as in `set_disk`.
    let result = unsafe {
        virt_sys::virDomainSetInterfaceParameters(
            domain.as_ptr(),
            mac.as_ptr(),
            parameters.as_mut_ptr(),
            count,
            LIVE,
        )
    };
    if result < 0 { Err(Error::last_error()) } else { Ok(()) }
}

fn set_vcpus(domain: &Domain, rate: &VcpuRate) -> Result<(), Error> {
    // No bound is -1; 0 would mean "as it is".
    let quota = i64::try_from(rate.quota).ok().filter(|quota| 0 < *quota).unwrap_or(-1);
    let period = (0 < rate.period).then_some(rate.period);
    let wanted = SchedulerInfo {
        scheduler_type: "posix".to_owned(),
        vcpu_bw: SchedBandwidth { period, quota: Some(quota) },
        ..SchedulerInfo::default()
    };
    domain.set_scheduler_parameters_flags(&wanted, LIVE).map(|_| ())
}

fn long(name: &CStr, value: u64) -> virt_sys::virTypedParameter {
    let value = virt_sys::_virTypedParameter__bindgen_ty_1 { ul: value };
    parameter(name, virt_sys::VIR_TYPED_PARAM_ULLONG, value)
}

fn word(name: &CStr, value: u32) -> virt_sys::virTypedParameter {
    let value = virt_sys::_virTypedParameter__bindgen_ty_1 { ui: value };
    parameter(name, virt_sys::VIR_TYPED_PARAM_UINT, value)
}

/// A parameter by libvirt's name of it. Those are constants shorter than the field, so its last byte stays zero.
fn parameter(
    name: &CStr,
    kind: virt_sys::virTypedParameterType,
    value: virt_sys::_virTypedParameter__bindgen_ty_1,
) -> virt_sys::virTypedParameter {
    let mut field = [0; 80];
    let last = field.len() - 1;
    for (to, from) in field[..last].iter_mut().zip(name.to_bytes()) {
        *to = from.cast_signed();
    }
    virt_sys::virTypedParameter { field, type_: kind.cast_signed(), value }
}

fn libc_count(parameters: &[virt_sys::virTypedParameter]) -> i32 {
    i32::try_from(parameters.len()).unwrap_or(i32::MAX)
}

/// The rates in libvirt's description of a guest that runs. Drives without a medium are left out.
fn read(xml: &str) -> Result<Rates, XmlError> {
    let root = Element::parse(xml)?;
    let mut rates = Rates::default();
    if let Some(devices) = root.at(&["devices"]) {
        for disk in devices.all("disk") {
            let is_there =
                disk.at(&["source"]).is_some() && disk.attribute("device").unwrap_or("disk") == "disk";
            if let Some(target) = disk.attribute_at(&["target"], "dev").filter(|_| is_there) {
                rates.disks.insert(target.to_owned(), read_disk(disk));
            }
        }
        for nic in devices.all("interface") {
            if let Some(mac) = nic.attribute_at(&["mac"], "address") {
                let flow = |direction| read_flow(nic.at(&["bandwidth", direction]));
                let rate = NicRate { inbound: flow("inbound"), outbound: flow("outbound") };
                rates.nics.insert(mac.to_ascii_lowercase(), rate);
            }
        }
    }
    // A negative quota is none.
    let number = |name| root.text_at(&["cputune", name]).and_then(|text| text.parse().ok()).unwrap_or(0);
    rates.vcpus = VcpuRate { quota: number("quota"), period: number("period") };
    Ok(rates)
}

fn read_disk(disk: &Element) -> DiskRate {
    let number = |name| disk.text_at(&["iotune", name]).and_then(|text| text.parse().ok()).unwrap_or(0);
    DiskRate {
        total_bytes: number("total_bytes_sec"),
        read_bytes: number("read_bytes_sec"),
        write_bytes: number("write_bytes_sec"),
        total_ops: number("total_iops_sec"),
        read_ops: number("read_iops_sec"),
        write_ops: number("write_iops_sec"),
    }
}

fn read_flow(flow: Option<&Element>) -> Flow {
    let number =
        |name| flow.and_then(|flow| flow.attribute(name)).and_then(|text| text.parse().ok()).unwrap_or(0);
    Flow { average: number("average"), peak: number("peak"), burst: number("burst") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_what_libvirt_says_of_a_guest() {
        let xml = "<domain><cputune><period>100000</period><quota>20000</quota></cputune><devices>\
            <disk device='cdrom'><target dev='hda'/></disk>\
            <disk device='disk'><source file='/x'/><target dev='vda'/><iotune><total_bytes_sec>1048576</total_bytes_sec>\
            <read_iops_sec>9</read_iops_sec></iotune></disk>\
            <interface><mac address='52:54:00:AA:bb:cc'/><bandwidth><inbound average='128' peak='256' burst='64'/></bandwidth>\
            </interface></devices></domain>";
        let rates = read(xml).unwrap();
        assert_eq!(rates.disks.len(), 1);
        let disk = DiskRate { total_bytes: 1_048_576, read_ops: 9, ..DiskRate::default() };
        assert_eq!(rates.disks["vda"], disk);
        let inbound = Flow { average: 128, peak: 256, burst: 64 };
        assert_eq!(rates.nics["52:54:00:aa:bb:cc"], NicRate { inbound, outbound: Flow::default() });
        assert_eq!(rates.vcpus, VcpuRate { quota: 20_000, period: 100_000 });
        let rates = read("<domain><cputune><quota>-1</quota></cputune></domain>").unwrap();
        assert_eq!(rates, Rates::default());
    }

    #[test]
    fn a_parameter_has_its_whole_name_and_a_zero_behind_it() {
        let made = long(virt_sys::VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC, 7);
        let name: Vec<u8> =
            made.field.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
        assert_eq!(name, b"total_bytes_sec");
        assert_eq!(made.field.last(), Some(&0));
    }
}
