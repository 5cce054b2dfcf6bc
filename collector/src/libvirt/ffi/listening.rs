//! Being told by libvirt: callbacks for domains' events and for the end of the connection, made safe.
//!
//! A callback runs on the thread of libvirt's event loop, which must not wait: it copies what it is given and hands it on.

use std::ffi::{c_char, c_int, c_ulonglong, c_void};
use std::mem::transmute;
use std::ptr;
use std::sync::Arc;

use virt_sys as sys;

use super::{Connection, last_error};
use crate::observation::HypervisorError;

/// What a callback tells of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `virDomainEventType` and its detail.
    Lifecycle {
        /// The type.
        event: u32,
        /// The detail, whose meaning depends on the type.
        detail: u32,
    },
    /// Memory was given or taken.
    Memory {
        /// From now on.
        kib: u64,
    },
    /// A device came, went, or has another medium or image.
    Devices,
    /// Metadata, title or description changed.
    Description,
}

/// Who is told, with the domain's UUID. It must not wait and must not call libvirt.
pub type Hear = Arc<dyn Fn([u8; 16], Option<u32>, Signal) + Send + Sync>;

/// Who is told that the connection has ended. It must not wait and must not call libvirt.
pub type Closed = Arc<dyn Fn() + Send + Sync>;

/// A connection that listens until it is dropped. Dropping it asks libvirtd to forget it, which waits for libvirtd.
pub struct Listening {
    connection: Connection,
    callbacks: Vec<c_int>,
}

type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type OfLifecycle = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void);
type OfBalloon = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_ulonglong, *mut c_void);
type OfDevice = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type OfTray = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, c_int, *mut c_void);
type OfBlockJob =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, c_int, c_int, *mut c_void);
type OfMetadata =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);

impl Connection {
    /// Listens to all domains. Kinds of events that this libvirt does not know are left out; life cycle events are a must.
    pub fn listen(self, hear: &Hear, closed: Closed) -> Result<Listening, HypervisorError> {
        self.tell_when_closed(closed);
        let mut listening = Listening { connection: self, callbacks: Vec::new() };
        // SAFETY: libvirt calls each callback with the arguments of its event's kind, which is how each of these functions is
        // declared (libvirt-domain.h); the generic type only carries the pointer.
        let kinds: [(sys::virDomainEventID, Generic); 6] = unsafe {
            [
                (sys::VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, transmute::<OfBalloon, Generic>(on_balloon)),
                (sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, transmute::<OfDevice, Generic>(on_device)),
                (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, transmute::<OfDevice, Generic>(on_device)),
                (sys::VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, transmute::<OfTray, Generic>(on_tray)),
                (sys::VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, transmute::<OfBlockJob, Generic>(on_block_job)),
                (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, transmute::<OfMetadata, Generic>(on_metadata)),
            ]
        };
        // SAFETY: as above.
        let on_lifecycle = unsafe { transmute::<OfLifecycle, Generic>(on_lifecycle) };
        listening.register(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, hear)?;
        for (kind, callback) in kinds {
            if let Err(error) = listening.register(kind, callback, hear) {
                tracing::debug!(kind, %error, "a kind of event cannot be had here; polling finds what it would tell");
            }
        }
        Ok(listening)
    }

    fn tell_when_closed(&self, closed: Closed) {
        let opaque = Box::into_raw(Box::new(closed)).cast();
        // SAFETY: the connection is open; `opaque` stays valid until libvirt frees it by `free_closed`, once.
        let result = unsafe {
            sys::virConnectRegisterCloseCallback(self.raw, Some(on_close), opaque, Some(free_closed))
        };
        if result != 0 {
            // Drivers in this process (test:///) know no end of a connection.
            // SAFETY: refused, so libvirt has not kept it.
            unsafe { free_closed(opaque) };
        }
    }
}

impl Listening {
    fn register(
        &mut self,
        kind: sys::virDomainEventID,
        callback: Generic,
        hear: &Hear,
    ) -> Result<(), HypervisorError> {
        let kind = c_int::try_from(kind).unwrap_or(c_int::MAX);
        let opaque = Box::into_raw(Box::new(Arc::clone(hear))).cast();
        // SAFETY: the connection is open; a null domain stands for all; `opaque` stays valid until libvirt frees it by
        // `free_hear`, once, when the callback is removed or the connection is.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.connection.raw,
                ptr::null_mut(),
                kind,
                Some(callback),
                opaque,
                Some(free_hear),
            )
        };
        if id < 0 {
            let error = last_error(format!("listening to events of kind {kind}"));
            // SAFETY: refused, so libvirt has not kept it.
            unsafe { free_hear(opaque) };
            return Err(error);
        }
        self.callbacks.push(id);
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for id in &self.callbacks {
            // SAFETY: registered on this connection, removed once. On a connection that has ended it fails, and the
            // callbacks go with the connection.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.raw, *id) };
        }
    }
}

/// # Safety
/// `opaque` is a `Box<Hear>` that is alive, `domain` null or a domain.
unsafe fn hand_on(domain: sys::virDomainPtr, opaque: *mut c_void, signal: Signal) {
    let mut uuid = [0; 16];
    // SAFETY: the caller's promise; UUID and number are in the handle, nobody is asked for them.
    let (hear, run_id) = unsafe {
        if domain.is_null() || sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) != 0 {
            return;
        }
        (&*opaque.cast::<Hear>(), sys::virDomainGetID(domain))
    };
    // A domain that is off has none.
    hear(uuid, Some(run_id).filter(|run_id| *run_id != u32::MAX), signal);
}

unsafe extern "C" fn on_lifecycle(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) {
    let (Ok(event), Ok(detail)) = (u32::try_from(event), u32::try_from(detail)) else {
        return;
    };
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Lifecycle { event, detail }) };
}

unsafe extern "C" fn on_balloon(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    actual: c_ulonglong,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Memory { kib: actual }) };
}

unsafe extern "C" fn on_device(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _alias: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Devices) };
}

unsafe extern "C" fn on_tray(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _alias: *const c_char,
    _reason: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Devices) };
}

unsafe extern "C" fn on_block_job(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _disk: *const c_char,
    _kind: c_int,
    _status: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Devices) };
}

unsafe extern "C" fn on_metadata(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _kind: c_int,
    _namespace: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt gives what was registered, and a domain that lives through the call.
    unsafe { hand_on(domain, opaque, Signal::Description) };
}

unsafe extern "C" fn on_close(_connection: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    // SAFETY: libvirt gives the `Box<Closed>` that was registered.
    let closed = unsafe { &*opaque.cast::<Closed>() };
    closed();
}

unsafe extern "C" fn free_hear(opaque: *mut c_void) {
    // SAFETY: made by `register`, freed once.
    drop(unsafe { Box::from_raw(opaque.cast::<Hear>()) });
}

unsafe extern "C" fn free_closed(opaque: *mut c_void) {
    // SAFETY: made by `tell_when_closed`, freed once.
    drop(unsafe { Box::from_raw(opaque.cast::<Closed>()) });
}
