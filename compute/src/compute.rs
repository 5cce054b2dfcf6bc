//! The front of the crate: what can be asked, in which order actions on one instance happen, and that each is finished.
//!
//! The steps of the actions stand in `lifecycle` and `devices`.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metering::InstanceId;

use crate::error::ComputeError;
use crate::instance::{Disk, Instance, InstanceRef, Nic};
use crate::libvirt::Handle;
use crate::rates::Refusals;
use crate::readings::{READING_LIMIT, Readings, Taker};
use crate::size::ByteSize;
use crate::spec::InstanceSpec;
use crate::throttle::{Bounds, Throttle};

/// Where and how instances are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// libvirt's connection URI, of this machine: images and the pool's directory are used directly.
    pub libvirt_uri: String,
    /// The storage pool for volumes, made on demand.
    pub pool: String,
    /// The directory of that pool; QEMU's user must be able to reach it.
    pub pool_path: PathBuf,
    /// How guests are executed.
    pub virtualization: Virtualization,
}

/// How guests are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Virtualization {
    /// With KVM where a guest really runs in it, else by software emulation. Decided once per process, when the first
    /// instance is made.
    #[default]
    Auto,
    /// With KVM; an instance does not start where it does not work.
    Kvm,
    /// By software emulation.
    Emulated,
}

/// Instances on this node. Cheap to clone; all clones share one connection.
///
/// Every action runs to its end even if the caller stops waiting for it, so that no half-made instance is left because
/// somebody closed a terminal.
#[derive(Clone)]
pub struct Compute {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) libvirt: Handle,
    pub(crate) settings: Arc<Settings>,
    readings: Arc<dyn Readings>,
    turns: Turns,
    pub(crate) refusals: Refusals,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            libvirt_uri: "qemu:///system".to_owned(),
            pool: "weir".to_owned(),
            pool_path: PathBuf::from("/var/lib/libvirt/images/weir"),
            virtualization: Virtualization::Auto,
        }
    }
}

impl Compute {
    /// Starts the thread for libvirt. libvirt itself need not be there yet: it is looked for when something is asked.
    ///
    /// # Errors
    /// The settings are unusable, or no thread can be had.
    pub fn start(settings: Settings, readings: Arc<dyn Readings>) -> Result<Self, ComputeError> {
        check(&settings)?;
        let settings = Arc::new(settings);
        let libvirt = Handle::start(Arc::clone(&settings))?;
        Ok(Self {
            inner: Arc::new(Inner {
                libvirt,
                settings,
                readings,
                turns: Turns::default(),
                refusals: Refusals::default(),
            }),
        })
    }

    /// Makes an instance: its definition, its volume and, if the specification says so, its process. If a step fails,
    /// what was made is removed again.
    ///
    /// # Errors
    /// The specification cannot be had, the name or id is taken, or libvirt failed.
    pub async fn create(&self, spec: InstanceSpec) -> Result<Instance, ComputeError> {
        self.to_its_end(move |inner| async move { inner.create(spec).await }).await
    }

    /// Starts an instance, or resumes a paused one. One that runs already is left alone, with a warning.
    ///
    /// # Errors
    /// There is no such instance, or it does not start.
    pub async fn start_instance(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.to_its_end(move |inner| async move { inner.start_instance(&who).await }).await
    }

    /// Stops an instance. For up to `grace` the guest is asked to shut down; a reading each second sees what it still
    /// does. If it has not by then, or with a grace of zero, it is suspended, read, and its process is ended.
    ///
    /// One that is off already is left alone, with a warning. Readings that fail do not stop the stop: the warnings
    /// say so.
    ///
    /// # Errors
    /// There is no such instance, the grace is longer than [`crate::admission::MAX_GRACE`], or its process cannot be
    /// ended.
    pub async fn stop(&self, who: &InstanceRef, grace: Duration) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.to_its_end(move |inner| async move { inner.stop(&who, grace).await }).await
    }

    /// Pauses an instance: its process stays, and executes nothing. [`Compute::start_instance`] resumes it. One that does not
    /// run is left alone, with a warning.
    ///
    /// # Errors
    /// There is no such instance, or it cannot be paused.
    pub async fn pause(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.to_its_end(move |inner| async move { inner.pause(&who).await }).await
    }

    /// What is to be set so that a running instance is throttled, with what is set back one day; `known`: the same from before,
    /// if it was throttled already. Changes nothing: keep what this returns before [`Compute::throttle`] does it. `None`: it
    /// does not run.
    ///
    /// # Errors
    /// There is no such instance, or libvirt failed.
    pub async fn plan_throttle(
        &self,
        who: &InstanceRef,
        bounds: Bounds,
        known: &Throttle,
    ) -> Result<Option<Throttle>, ComputeError> {
        let id = self.find(who).await?.instance_id;
        let found = self.inner.libvirt.call(move |session| session.rates(id)).await?;
        Ok(found.map(|found| known.renewed(&found, &bounds)))
    }

    /// Throttles a running instance as it was planned. Returns what could not be set, in a sentence each: a host without `tc`,
    /// without the kernel's traffic shaping or without the cgroup controller of processors bounds what it can.
    ///
    /// # Errors
    /// There is no such instance, QEMU does not answer, or libvirt failed.
    pub async fn throttle(&self, who: &InstanceRef, plan: &Throttle) -> Result<Vec<String>, ComputeError> {
        let (who, wanted) = (who.clone(), plan.set.clone());
        self.to_its_end(move |inner| async move { inner.set_rates(&who, |_| wanted).await }).await
    }

    /// Sets back what [`Compute::throttle`] has changed and nobody else has changed since. One that does not run needs nothing: it
    /// starts as it is defined.
    ///
    /// # Errors
    /// As [`Compute::throttle`].
    pub async fn release(&self, who: &InstanceRef, plan: &Throttle) -> Result<Vec<String>, ComputeError> {
        let (who, plan) = (who.clone(), plan.clone());
        self.to_its_end(move |inner| async move { inner.set_rates(&who, |found| plan.undone(found)).await })
            .await
    }

    /// Deletes an instance that is off, with the volumes that were made for it. Other disks are kept, with a warning.
    /// Returns what it was, in state [`metering::InstanceState::Gone`].
    ///
    /// # Errors
    /// There is no such instance, or it has to be stopped first.
    pub async fn delete(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.to_its_end(move |inner| async move { inner.delete(&who).await }).await
    }

    /// All instances on this node, by name; those too that Weir did not make.
    ///
    /// # Errors
    /// libvirt failed or is away.
    pub async fn list(&self) -> Result<Vec<Instance>, ComputeError> {
        self.inner.libvirt.call(crate::libvirt::Session::list).await
    }

    /// One instance.
    ///
    /// # Errors
    /// There is no such instance, or libvirt failed.
    pub async fn find(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.inner.libvirt.call(move |session| session.find(&who)).await
    }

    /// Makes a volume and attaches it as a further disk, at once if the instance runs, and for later starts.
    ///
    /// # Errors
    /// There is no such instance, the size cannot be had, or libvirt failed; then no volume is left.
    pub async fn add_disk(&self, who: &InstanceRef, size: ByteSize) -> Result<Disk, ComputeError> {
        let who = who.clone();
        self.to_its_end(move |inner| async move { inner.add_disk(&who, size).await }).await
    }

    /// Detaches a disk and deletes its volume, if it was made by Weir. Returns the instance without it.
    ///
    /// A running guest has to let go of it, and executes until it did, so the disk cannot be read after its last
    /// request: readings are taken every 200 ms, and what the guest does to the disk between the last of them and its
    /// disappearance is not counted.
    ///
    /// # Errors
    /// There is no such instance or disk, the instance boots from it, or the guest does not let go of it.
    pub async fn remove_disk(&self, who: &InstanceRef, target: &str) -> Result<Instance, ComputeError> {
        let (who, target) = (who.clone(), target.to_owned());
        self.to_its_end(move |inner| async move { inner.remove_disk(&who, target).await }).await
    }

    /// Attaches a further NIC, with a new MAC address, at once if the instance runs, and for later starts.
    ///
    /// # Errors
    /// There is no such instance or network, or libvirt failed.
    pub async fn add_nic(&self, who: &InstanceRef, network: &str) -> Result<Nic, ComputeError> {
        let (who, network) = (who.clone(), network.to_owned());
        self.to_its_end(move |inner| async move { inner.add_nic(&who, network).await }).await
    }

    /// Detaches a NIC. Returns the instance without it. What is said of [`Compute::remove_disk`] about the last
    /// figures holds here too.
    ///
    /// # Errors
    /// There is no such instance or NIC, or the guest does not let go of it.
    pub async fn remove_nic(&self, who: &InstanceRef, mac: &str) -> Result<Instance, ComputeError> {
        let (who, mac) = (who.clone(), mac.to_ascii_lowercase());
        self.to_its_end(move |inner| async move { inner.remove_nic(&who, mac).await }).await
    }

    /// Where the serial console of an instance is logged, by virtlogd, which keeps the last 2 MiB and three files
    /// before it.
    #[must_use]
    pub fn console_log(&self, id: InstanceId) -> PathBuf {
        crate::libvirt::console_log(id)
    }

    /// Finishes the call to libvirt that is under way and ends the thread. Later calls on clones say that Weir is
    /// stopping.
    pub async fn stop_thread(self) {
        self.inner.libvirt.stop().await;
    }

    async fn to_its_end<T, F, Fut>(&self, action: F) -> Result<T, ComputeError>
    where
        T: Send + 'static,
        F: FnOnce(Arc<Inner>) -> Fut,
        Fut: Future<Output = Result<T, ComputeError>> + Send + 'static,
    {
        tokio::spawn(action(Arc::clone(&self.inner)))
            .await
            .map_err(|error| ComputeError::Internal(format!("the action broke off: {error}")))?
    }
}

impl Inner {
    pub(crate) fn taker(&self) -> Taker {
        Taker::new(Arc::clone(&self.readings), READING_LIMIT)
    }

    /// The instance, once no other action is under way on it. The second value ends the turn when it is dropped.
    pub(crate) async fn turn_of(&self, who: &InstanceRef) -> Result<(Instance, Turn), ComputeError> {
        let id = self.find(who).await?.instance_id;
        let turn = self.turns.wait(id).await;
        // It may have changed while we waited.
        Ok((self.find(&id.into()).await?, turn))
    }

    pub(crate) async fn turn(&self, id: InstanceId) -> Turn {
        self.turns.wait(id).await
    }

    pub(crate) async fn find(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let who = who.clone();
        self.libvirt.call(move |session| session.find(&who)).await
    }
}

/// One action at a time on each instance.
#[derive(Default)]
struct Turns(Mutex<HashMap<InstanceId, Arc<tokio::sync::Mutex<()>>>>);

/// The right to act on an instance.
pub(crate) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Turns {
    async fn wait(&self, id: InstanceId) -> Turn {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(id).or_default())
        };
        lock.lock_owned().await
    }
}

fn check(settings: &Settings) -> Result<(), ComputeError> {
    let invalid = |message: &str| Err(ComputeError::Invalid(message.to_owned()));
    crate::admission::check_name(&settings.pool).map_err(|_| {
        ComputeError::Invalid(format!(
            "{} is no name for a storage pool: write 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'",
            crate::admission::shown(&settings.pool)
        ))
    })?;
    let Some(path) = settings.pool_path.to_str() else {
        return invalid("the pool's path is not UTF-8");
    };
    if !settings.pool_path.is_absolute() || path.chars().any(char::is_control) || path.ends_with('/') {
        return invalid("the pool's path must be absolute, without a slash at its end");
    }
    if settings.libvirt_uri.is_empty() || settings.libvirt_uri.contains('\0') {
        return invalid("libvirt's URI is empty: write qemu:///system");
    }
    Ok(())
}
