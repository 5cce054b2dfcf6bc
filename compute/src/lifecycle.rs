//! Create, start, stop, delete: the order of steps and readings.
//!
//! The readings stand where nothing moves: after what begins (a register begins at zero), before what ends (a register
//! dies with the process), and after it (to see that it is over).

use std::time::Duration;

use metering::InstanceState;
use tokio::time::{Instant, MissedTickBehavior};

use crate::admission::{self, Admitted, shown};
use crate::compute::Inner;
use crate::error::ComputeError;
use crate::instance::{Instance, InstanceRef};
use crate::libvirt::StopState;
use crate::readings::Taker;
use crate::spec::InstanceSpec;

/// How often it is looked whether a guest has shut down.
const SHUTDOWN_POLL: Duration = Duration::from_millis(200);
/// How often a guest that shuts down is read: what it does after the last reading is lost when it goes.
const SHUTDOWN_READING_INTERVAL: Duration = Duration::from_secs(1);

impl Inner {
    pub(crate) async fn create(&self, spec: InstanceSpec) -> Result<Instance, ComputeError> {
        let admitted = admission::admit(spec).await?;
        let _turn = self.turn(admitted.instance_id).await;
        let define = admitted.clone();
        // The definition comes first: it claims the name, and if the machine dies now, what is left can be deleted.
        self.libvirt.call(move |session| session.define(&define)).await?;
        let mut taker = self.taker();
        match self.fill(&admitted, &mut taker).await {
            Ok(()) => self.now(&admitted.instance_id.into(), taker).await,
            Err(error) => {
                self.undo_create(&admitted, &mut taker).await;
                Err(error)
            }
        }
    }

    async fn fill(&self, spec: &Admitted, taker: &mut Taker) -> Result<(), ComputeError> {
        let id = spec.instance_id;
        if let Some(disk) = spec.disk.clone() {
            self.libvirt
                .call(move |session| session.create_volume(id, "vda", disk.capacity, disk.backing.as_ref()))
                .await?;
        }
        taker.take("after the instance was made").await;
        if spec.start {
            self.libvirt.call(move |session| session.launch(id)).await?;
            taker.take("after the instance was started").await;
        }
        Ok(())
    }

    async fn undo_create(&self, spec: &Admitted, taker: &mut Taker) {
        let id = spec.instance_id;
        let undone = self
            .libvirt
            .call(move |session| {
                session.destroy(id)?;
                session.delete_volumes_of(id)?;
                session.undefine(id)
            })
            .await;
        if let Err(error) = undone {
            tracing::error!("the instance {} could not be made, and is left over: {error}", spec.name);
        }
        taker.take("after the instance that could not be made was removed").await;
    }

    pub(crate) async fn start_instance(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        let id = found.instance_id;
        match found.state {
            InstanceState::Running => taker.warn(format!("{} runs already", shown(&found.name))),
            InstanceState::Paused => self.libvirt.call(move |session| session.resume(id)).await?,
            InstanceState::Stopped | InstanceState::Gone => {
                self.libvirt.call(move |session| session.launch(id)).await?
            }
        }
        taker.take("after the instance was started").await;
        self.now(&id.into(), taker).await
    }

    pub(crate) async fn pause(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        if found.state != InstanceState::Running {
            taker.warn(format!("{} does not run", shown(&found.name)));
            return Ok(Instance { warnings: taker.into_warnings(), ..found });
        }
        let id = found.instance_id;
        // Running time is counted up to a look that saw it run: this one.
        taker.take("before the instance was paused").await;
        self.libvirt.call(move |session| session.suspend(id)).await?;
        taker.take("after the instance was paused").await;
        self.now(&id.into(), taker).await
    }

    pub(crate) async fn stop(&self, who: &InstanceRef, grace: Duration) -> Result<Instance, ComputeError> {
        admission::check_grace(grace)?;
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        if found.state == InstanceState::Stopped {
            taker.warn(format!("{} was off already", shown(&found.name)));
            return Ok(Instance { warnings: taker.into_warnings(), ..found });
        }
        // A guest that is paused cannot answer.
        let by_itself = !grace.is_zero()
            && found.state == InstanceState::Running
            && self.shut_down(&found, grace, &mut taker).await?;
        if !by_itself {
            self.end_process(&found, &mut taker).await?;
        }
        taker.take("after the stop").await;
        match self.find(&found.instance_id.into()).await {
            Ok(now) => Ok(Instance { warnings: taker.into_warnings(), ..now }),
            // A guest that nobody defined is gone with its process.
            Err(ComputeError::NotFound(_)) => {
                Ok(Instance { state: InstanceState::Gone, warnings: taker.into_warnings(), ..found })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the guest to shut down and waits for it; whether it did.
    async fn shut_down(
        &self,
        found: &Instance,
        grace: Duration,
        taker: &mut Taker,
    ) -> Result<bool, ComputeError> {
        let id = found.instance_id;
        let end = Instant::now() + grace;
        taker.take("before the guest was asked to shut down").await;
        if let Err(error) = self.libvirt.call(move |session| session.request_shutdown(id)).await {
            taker.warn(format!(
                "the guest could not be asked to shut down, so it was ended: {}",
                sentence(&error)
            ));
            return Ok(false);
        }
        let mut looks = tokio::time::interval(SHUTDOWN_POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read_at = Instant::now();
        loop {
            looks.tick().await;
            if self.libvirt.call(move |session| session.stop_state(id)).await? == StopState::Off {
                return Ok(true);
            }
            if Instant::now() >= end {
                taker.warn(format!(
                    "the guest did not shut down within {} s, so it was ended",
                    grace.as_secs()
                ));
                return Ok(false);
            }
            if read_at.elapsed() >= SHUTDOWN_READING_INTERVAL {
                read_at = Instant::now();
                taker.take("while the guest shut down").await;
            }
        }
    }

    /// Suspends the guest so that its figures stand still, reads them, and ends its process.
    async fn end_process(&self, found: &Instance, taker: &mut Taker) -> Result<(), ComputeError> {
        let id = found.instance_id;
        let mut suspended = false;
        if found.state == InstanceState::Running {
            // Running time is counted up to a look that saw it run: this one.
            taker.take("before the guest was suspended").await;
            match self.libvirt.call(move |session| session.suspend(id)).await {
                Ok(()) => suspended = true,
                Err(error) => taker.warn(format!(
                    "the guest could not be suspended, so what it did after the last reading is not counted: {}",
                    sentence(&error)
                )),
            }
        }
        taker.take("before the stop").await;
        let ended = self.libvirt.call(move |session| session.destroy(id)).await;
        if ended.is_err() && suspended {
            // It was to be off or as before, not something between.
            if let Err(error) = self.libvirt.call(move |session| session.resume(id)).await {
                taker.warn(format!("the guest is left suspended: {}", sentence(&error)));
            }
        }
        ended
    }

    pub(crate) async fn delete(&self, who: &InstanceRef) -> Result<Instance, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        if found.state != InstanceState::Stopped {
            return Err(ComputeError::Conflict(format!(
                "{} is {}: stop it first (`weir instance stop {}`)",
                shown(&found.name),
                found.state.as_str(),
                found.instance_id
            )));
        }
        if !found.made_by_weir {
            return Err(ComputeError::Conflict(format!(
                "{} was not made by Weir, which deletes only what it made; use `virsh undefine {}`",
                shown(&found.name),
                found.instance_id
            )));
        }
        taker.take("before the instance was deleted").await;
        let id = found.instance_id;
        // The volumes go first: if this breaks off, the instance is still there and can be deleted again.
        self.libvirt
            .call(move |session| {
                session.delete_volumes_of(id)?;
                session.undefine(id)
            })
            .await?;
        let prefix = format!("{id}-");
        for disk in &found.disks {
            let ours = disk.pool == self.settings.pool && disk.volume.starts_with(&prefix);
            if !ours && !disk.volume.is_empty() {
                taker.warn(format!("{} was not made by Weir and is kept", shown(&disk.volume_path())));
            }
        }
        taker.take("after the instance was deleted").await;
        Ok(Instance { state: InstanceState::Gone, warnings: taker.into_warnings(), ..found })
    }

    /// The instance as it is now, with what was noticed on the way.
    pub(crate) async fn now(&self, who: &InstanceRef, taker: Taker) -> Result<Instance, ComputeError> {
        let found = self.find(who).await?;
        Ok(Instance { warnings: taker.into_warnings(), ..found })
    }
}

/// An error with all its sources, as one line.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
