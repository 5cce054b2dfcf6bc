//! libvirt's C calls, made safe: every handle is freed by a guard, every string is copied out, every error
//! becomes a value. The only `unsafe` code of the crate.
//!
//! It opens read-only connections, and knows nothing about what the figures mean.

pub mod listening;

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::Once;

use virt_sys as sys;

use crate::observation::HypervisorError;

/// A daemon that says nothing for `KEEPALIVE_INTERVAL_S * KEEPALIVE_COUNT` seconds is taken for hung, and the
/// call that waits for it fails: long enough for a busy host, short enough to lose few readings.
const KEEPALIVE_INTERVAL_S: c_int = 5;
const KEEPALIVE_COUNT: c_uint = 4;

/// The groups of figures that a complete look asks for. Never DIRTYRATE and the like: those disturb migrations.
const EVERYTHING: c_uint = sys::VIR_DOMAIN_STATS_STATE
    | sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | sys::VIR_DOMAIN_STATS_BALLOON
    | sys::VIR_DOMAIN_STATS_VCPU
    | sys::VIR_DOMAIN_STATS_INTERFACE
    | sys::VIR_DOMAIN_STATS_BLOCK;

/// A domain that something else works on is not waited for.
const NOWAIT: c_uint = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;

/// What is asked of domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All groups, of all domains.
    Everything,
    /// States of all, and blocks of those that run.
    Blocks {
        /// Not of these UUIDs.
        but_not: HashSet<[u8; 16]>,
        /// And everything of these.
        wholly: HashSet<[u8; 16]>,
    },
}

/// A read-only connection.
pub struct Connection {
    raw: sys::virConnectPtr,
}

// SAFETY: a virConnectPtr may be used from any thread (libvirt.org/html/libvirt-libvirt-host.html: connections
// are thread-safe and reference counted); this type is moved between threads, never shared (it is not Sync).
unsafe impl Send for Connection {}

/// A typed parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number, whatever its width in libvirt.
    Unsigned(u64),
    /// Text.
    Text(String),
}

/// The parameters of one domain.
pub type Params = HashMap<String, Value>;

/// One domain of a bulk call.
#[derive(Clone, Debug)]
pub struct DomainRecord {
    /// libvirt's UUID of it, raw.
    pub uuid: [u8; 16],
    /// Its name.
    pub name: String,
    /// The number of its run; `None`: not running.
    pub id: Option<u32>,
    /// Its figures.
    pub params: Params,
}

/// A volume of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name in the pool.
    pub name: String,
    /// Its path, or what stands for one.
    pub path: String,
    /// Its size in bytes; `None`: it could not be read.
    pub capacity_bytes: Option<u64>,
}

/// A pool that is active.
#[derive(Clone, Debug)]
pub struct PoolRecord {
    /// Its name.
    pub name: String,
    /// Its description.
    pub xml: String,
    /// Its volumes; `None`: they could not be listed.
    pub volumes: Option<Vec<VolumeRecord>>,
}

impl Connection {
    /// Opens a read-only connection.
    pub fn open(uri: &str) -> Result<Self, HypervisorError> {
        prepare_library();
        let doing = || format!("opening {uri}");
        let c_uri = CString::new(uri).map_err(|_| HypervisorError {
            doing: doing(),
            message: "the URI holds a zero byte".to_owned(),
        })?;
        // SAFETY: c_uri is a string that lives through the call.
        let raw = unsafe { sys::virConnectOpenReadOnly(c_uri.as_ptr()) };
        if raw.is_null() {
            return Err(last_error(doing()));
        }
        let connection = Self { raw };
        // Drivers without keepalive (test:///) refuse; they cannot hang either.
        // SAFETY: the connection is open.
        unsafe { sys::virConnectSetKeepAlive(connection.raw, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT) };
        Ok(connection)
    }

    /// All domains, active or not. NOWAIT: a domain that something else works on is not waited for (it could be 30 s); its
    /// figures from the monitor are missing then.
    pub fn all_domain_stats(&self, asked: &Asked) -> Result<Vec<DomainRecord>, HypervisorError> {
        match asked {
            Asked::Everything => Ok(copy_records(&self.bulk(EVERYTHING)?)),
            // States and blocks in one call cost what blocks alone do.
            Asked::Blocks { but_not, wholly } if but_not.is_empty() && wholly.is_empty() => {
                Ok(copy_records(&self.bulk(sys::VIR_DOMAIN_STATS_STATE | sys::VIR_DOMAIN_STATS_BLOCK)?))
            }
            Asked::Blocks { but_not, wholly } => self.blocks_of_some(but_not, wholly),
        }
    }

    /// The bulk call for everything with nothing copied out, to measure what the call alone costs.
    pub fn count_all_domain_stats(&self) -> Result<usize, HypervisorError> {
        Ok(self.bulk(EVERYTHING)?.records().len())
    }

    fn bulk(&self, groups: c_uint) -> Result<RecordList, HypervisorError> {
        let mut list = RecordList { raw: ptr::null_mut(), count: 0 };
        // SAFETY: the connection is open; `list.raw` receives a list that the guard frees.
        let count = unsafe { sys::virConnectGetAllDomainStats(self.raw, groups, &raw mut list.raw, NOWAIT) };
        list.count = usize::try_from(count).map_err(|_| last_error("asking for all figures".to_owned()))?;
        Ok(list)
    }

    /// States of all, which costs nothing, then blocks or everything of those that run and are wanted.
    fn blocks_of_some(
        &self,
        but_not: &HashSet<[u8; 16]>,
        wholly: &HashSet<[u8; 16]>,
    ) -> Result<Vec<DomainRecord>, HypervisorError> {
        let states = self.bulk(sys::VIR_DOMAIN_STATS_STATE)?;
        let mut records = copy_records(&states);
        let (mut blocks, mut all) = (Vec::new(), Vec::new());
        for (raw, record) in states.records().iter().zip(&records).filter(|(_, record)| record.id.is_some()) {
            // SAFETY: the records live as long as `states`, and each holds a reference to its domain.
            let domain = unsafe { (**raw).dom };
            if wholly.contains(&record.uuid) {
                all.push(domain);
            } else if !but_not.contains(&record.uuid) {
                blocks.push(domain);
            }
        }
        for (domains, groups) in [(blocks, sys::VIR_DOMAIN_STATS_BLOCK), (all, EVERYTHING)] {
            for figures in self.stats_of(domains, groups, NOWAIT)? {
                // One that vanished in between is missing here; the next look says that it is gone.
                if let Some(record) = records.iter_mut().find(|record| record.uuid == figures.uuid) {
                    record.params.extend(figures.params);
                }
            }
        }
        Ok(records)
    }

    /// Groups of figures of some domains, which the caller holds.
    fn stats_of(
        &self,
        mut domains: Vec<sys::virDomainPtr>,
        groups: c_uint,
        flags: c_uint,
    ) -> Result<Vec<DomainRecord>, HypervisorError> {
        if domains.is_empty() {
            return Ok(Vec::new());
        }
        domains.push(ptr::null_mut());
        let mut list = RecordList { raw: ptr::null_mut(), count: 0 };
        // SAFETY: `domains` ends with null and holds domains of this connection, which the caller keeps; `list.raw` receives a
        // list that the guard frees.
        let count =
            unsafe { sys::virDomainListGetStats(domains.as_mut_ptr(), groups, &raw mut list.raw, flags) };
        list.count = usize::try_from(count).map_err(|_| last_error("asking for some figures".to_owned()))?;
        Ok(copy_records(&list))
    }

    /// State and blocks of one domain, as soon as what works on it lets a question in: milliseconds to seconds, 30 s at most, and
    /// for as long as its process hangs. `None`: it is gone.
    pub fn blocks_once_free(&self, uuid: &[u8; 16]) -> Result<Option<DomainRecord>, HypervisorError> {
        // SAFETY: the connection is open and the UUID has its 16 bytes.
        let domain = Domain(unsafe { sys::virDomainLookupByUUID(self.raw, uuid.as_ptr()) });
        if domain.0.is_null() {
            return none_if_gone("asking for an instance's disks".to_owned());
        }
        let groups = sys::VIR_DOMAIN_STATS_STATE | sys::VIR_DOMAIN_STATS_BLOCK;
        let records = self.stats_of(vec![domain.0], groups, 0)?;
        Ok(records.into_iter().next())
    }

    /// The description of a domain; `None` if it is gone. Passwords are left out: the connection is read-only.
    pub fn domain_xml(&self, uuid: &[u8; 16]) -> Result<Option<String>, HypervisorError> {
        let doing = || "reading an instance's description".to_owned();
        // SAFETY: the connection is open and the UUID has its 16 bytes.
        let domain = Domain(unsafe { sys::virDomainLookupByUUID(self.raw, uuid.as_ptr()) });
        if domain.0.is_null() {
            return none_if_gone(doing());
        }
        // SAFETY: the domain is held by its guard.
        match unsafe { take_string(sys::virDomainGetXMLDesc(domain.0, 0)) } {
            Some(xml) => Ok(Some(xml)),
            None => none_if_gone(doing()),
        }
    }

    /// All active pools with their volumes, as far as libvirt knows them: it sees a file that was not made
    /// through it only after a refresh, which a read-only connection may not ask for.
    pub fn active_pools(&self) -> Result<Vec<PoolRecord>, HypervisorError> {
        let mut list: *mut sys::virStoragePoolPtr = ptr::null_mut();
        let flags = sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE;
        // SAFETY: the connection is open; `list` receives an array that is ours.
        let count = unsafe { sys::virConnectListAllStoragePools(self.raw, &raw mut list, flags) };
        let count = usize::try_from(count).map_err(|_| last_error("listing storage pools".to_owned()))?;
        // SAFETY: libvirt filled `count` entries and each is a reference of ours.
        let pools: Vec<Pool> = unsafe { take_array(list, count) }.into_iter().map(Pool).collect();
        Ok(pools.iter().filter_map(Pool::read).collect())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once.
        unsafe { sys::virConnectClose(self.raw) };
    }
}

struct RecordList {
    raw: *mut sys::virDomainStatsRecordPtr,
    count: usize,
}

impl RecordList {
    fn records(&self) -> &[sys::virDomainStatsRecordPtr] {
        if self.raw.is_null() {
            return &[];
        }
        // SAFETY: libvirt returned `count` records, which live as long as this guard.
        unsafe { std::slice::from_raw_parts(self.raw, self.count) }
    }
}

impl Drop for RecordList {
    fn drop(&mut self) {
        // SAFETY: null, or the list that libvirt gave; freed once. It accepts null.
        unsafe { sys::virDomainStatsRecordListFree(self.raw) };
    }
}

struct Domain(sys::virDomainPtr);

impl Drop for Domain {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: a reference of ours, given back once.
            unsafe { sys::virDomainFree(self.0) };
        }
    }
}

struct Pool(sys::virStoragePoolPtr);

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: a reference of ours, given back once.
        unsafe { sys::virStoragePoolFree(self.0) };
    }
}

impl Pool {
    /// `None`: the pool went away between listing and reading.
    fn read(&self) -> Option<PoolRecord> {
        // SAFETY: the pool is held; its name lives as long as it does and is copied.
        let name = unsafe { copy_string(sys::virStoragePoolGetName(self.0)) }?;
        // SAFETY: the pool is held; the text is ours.
        let xml = unsafe { take_string(sys::virStoragePoolGetXMLDesc(self.0, 0)) }?;
        let mut list: *mut sys::virStorageVolPtr = ptr::null_mut();
        // SAFETY: the pool is held; `list` receives an array that is ours.
        let count = unsafe { sys::virStoragePoolListAllVolumes(self.0, &raw mut list, 0) };
        let volumes = usize::try_from(count).ok().map(|count| {
            // SAFETY: libvirt filled `count` entries and each is a reference of ours.
            let volumes = unsafe { take_array(list, count) };
            let volumes: Vec<Volume> = volumes.into_iter().map(Volume).collect();
            volumes.iter().filter_map(Volume::read).collect()
        });
        Some(PoolRecord { name, xml, volumes })
    }
}

struct Volume(sys::virStorageVolPtr);

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: a reference of ours, given back once.
        unsafe { sys::virStorageVolFree(self.0) };
    }
}

impl Volume {
    fn read(&self) -> Option<VolumeRecord> {
        // SAFETY: the volume is held; its name lives as long as it does and is copied.
        let name = unsafe { copy_string(sys::virStorageVolGetName(self.0)) }?;
        // SAFETY: the volume is held; the text is ours.
        let path = unsafe { take_string(sys::virStorageVolGetPath(self.0)) }?;
        let mut info = sys::virStorageVolInfo { type_: 0, capacity: 0, allocation: 0 };
        // SAFETY: the volume is held and `info` is a struct of the right type.
        let result = unsafe { sys::virStorageVolGetInfo(self.0, &raw mut info) };
        Some(VolumeRecord { name, path, capacity_bytes: (result == 0).then_some(info.capacity) })
    }
}

/// Once per process: no errors on stderr (they are values here), and an event loop, which keepalive needs.
fn prepare_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is a function that lives for ever and touches nothing.
        unsafe { sys::virSetErrorFunc(ptr::null_mut(), Some(ignore_error)) };
        // SAFETY: registers libvirt's own loop; called before the first connection of this module. If someone
        // else has registered a loop already, libvirt keeps that one.
        let registered = unsafe { sys::virEventRegisterDefaultImpl() } == 0;
        if registered {
            let spawned =
                std::thread::Builder::new().name("weir-libvirt-events".to_owned()).spawn(run_event_loop);
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for libvirt's events: a hung libvirtd will not be noticed");
            }
        }
    });
}

fn run_event_loop() {
    super::pausing::hurry();
    // SAFETY: the default loop is registered. It fails only when polling itself fails.
    while unsafe { sys::virEventRunDefaultImpl() } == 0 {}
    tracing::error!("libvirt's event loop ended: a hung libvirtd will not be noticed any more");
}

unsafe extern "C" fn ignore_error(_user_data: *mut c_void, _error: sys::virErrorPtr) {}

/// The last error, unless it only says that the domain does not exist any more.
fn none_if_gone<T>(doing: String) -> Result<Option<T>, HypervisorError> {
    // SAFETY: the error is the thread's own.
    let code = unsafe {
        let error = sys::virGetLastError();
        if error.is_null() { 0 } else { (*error).code }
    };
    if u32::try_from(code) == Ok(sys::VIR_ERR_NO_DOMAIN) { Ok(None) } else { Err(last_error(doing)) }
}

/// What the last call of this thread has to say.
fn last_error(doing: String) -> HypervisorError {
    // SAFETY: the error is the thread's own; its message is copied before any other call.
    let message = unsafe {
        let error = sys::virGetLastError();
        if error.is_null() { None } else { copy_string((*error).message) }
    };
    HypervisorError { doing, message: message.unwrap_or_else(|| "libvirt gave no reason".to_owned()) }
}

fn copy_records(list: &RecordList) -> Vec<DomainRecord> {
    list.records().iter().map(|record| copy_record(*record)).collect()
}

fn copy_record(record: sys::virDomainStatsRecordPtr) -> DomainRecord {
    // SAFETY: the caller holds the list that this record is in; all of it is copied.
    unsafe {
        let record = &*record;
        let mut uuid = [0; 16];
        sys::virDomainGetUUID(record.dom, uuid.as_mut_ptr());
        let id = sys::virDomainGetID(record.dom);
        let count = usize::try_from(record.nparams).unwrap_or(0);
        let params =
            if record.params.is_null() { &[] } else { std::slice::from_raw_parts(record.params, count) };
        DomainRecord {
            uuid,
            name: copy_string(sys::virDomainGetName(record.dom)).unwrap_or_default(),
            // (unsigned int)-1 says that it does not run.
            id: (id != c_uint::MAX).then_some(id),
            params: params.iter().filter_map(|param| copy_param(param)).collect(),
        }
    }
}

/// A parameter as an owned pair. Negative numbers and fractions, of which none is asked for, are left out.
///
/// # Safety
/// `param` was filled by libvirt.
unsafe fn copy_param(param: &sys::virTypedParameter) -> Option<(String, Value)> {
    // SAFETY: libvirt ends the field with a zero byte; the type says which member of the union is set.
    unsafe {
        let name = copy_string(param.field.as_ptr())?;
        let value = match c_uint::try_from(param.type_).ok()? {
            sys::VIR_TYPED_PARAM_INT => Value::Unsigned(u64::try_from(param.value.i).ok()?),
            sys::VIR_TYPED_PARAM_UINT => Value::Unsigned(u64::from(param.value.ui)),
            sys::VIR_TYPED_PARAM_LLONG => Value::Unsigned(u64::try_from(param.value.l).ok()?),
            sys::VIR_TYPED_PARAM_ULLONG => Value::Unsigned(param.value.ul),
            sys::VIR_TYPED_PARAM_BOOLEAN => Value::Unsigned(u64::from(param.value.b != 0)),
            sys::VIR_TYPED_PARAM_STRING => Value::Text(copy_string(param.value.s)?),
            _ => return None,
        };
        Some((name, value))
    }
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn copy_string(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// # Safety
/// `text` is null or a string that was allocated for the caller.
unsafe fn take_string(text: *mut c_char) -> Option<String> {
    // SAFETY: the caller's promise; freed once, after copying.
    unsafe {
        let copy = copy_string(text);
        libc::free(text.cast());
        copy
    }
}

/// # Safety
/// `array` is null or an array of at least `count` entries that was allocated for the caller.
unsafe fn take_array<T: Copy>(array: *mut T, count: usize) -> Vec<T> {
    if array.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise; freed once, after copying.
    unsafe {
        let copy = std::slice::from_raw_parts(array, count).to_vec();
        libc::free(array.cast());
        copy
    }
}
