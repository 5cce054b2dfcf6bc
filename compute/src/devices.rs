//! Disks and NICs that come and go while an instance runs.
//!
//! A device's registers die with it, and the guest must execute to let go of it. So readings are taken right before the
//! request and every 200 ms until the device is gone: what happens after the last of them is the bound of what is lost.

use std::time::Duration;

use metering::InstanceState;
use tokio::time::{Instant, MissedTickBehavior};

use crate::admission;
use crate::compute::Inner;
use crate::error::ComputeError;
use crate::instance::{Disk, Instance, InstanceRef, Nic};
use crate::libvirt::Attachment;
use crate::readings::Taker;
use crate::size::ByteSize;

/// How long a guest may take to let go of a device: Linux takes a second under software emulation, and a guest that
/// still boots answers when its drivers are up.
const DETACH_LIMIT: Duration = Duration::from_secs(30);
/// How often the device is read and looked for meanwhile.
const DETACH_POLL: Duration = Duration::from_millis(200);

impl Inner {
    pub(crate) async fn add_disk(&self, who: &InstanceRef, size: ByteSize) -> Result<Disk, ComputeError> {
        admission::check_disk_size(size)?;
        let (found, _turn) = self.turn_of(who).await?;
        let id = found.instance_id;
        let disk = self.libvirt.call(move |session| session.attach_disk(id, size)).await?;
        self.taker().take("after the disk was attached").await;
        Ok(disk)
    }

    pub(crate) async fn add_nic(&self, who: &InstanceRef, network: String) -> Result<Nic, ComputeError> {
        admission::check_network_name(&network)?;
        let (found, _turn) = self.turn_of(who).await?;
        let id = found.instance_id;
        let nic = self.libvirt.call(move |session| session.attach_nic(id, &network)).await?;
        self.taker().take("after the NIC was attached").await;
        Ok(nic)
    }

    pub(crate) async fn remove_disk(
        &self,
        who: &InstanceRef,
        target: String,
    ) -> Result<Instance, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        let volume = self.remove(&found, Attachment::Disk(target.clone()), &mut taker).await?;
        match volume {
            Some(volume) => {
                taker.take("after the disk was detached").await;
                self.libvirt.call(move |session| session.delete_volume(&volume)).await?;
                taker.take("after the volume was deleted").await;
            }
            None => {
                taker.warn(format!("the volume behind {target} was not made by Weir and is kept"));
                taker.take("after the disk was detached").await;
            }
        }
        self.now(&found.instance_id.into(), taker).await
    }

    pub(crate) async fn remove_nic(&self, who: &InstanceRef, mac: String) -> Result<Instance, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let mut taker = self.taker();
        self.remove(&found, Attachment::Nic(mac), &mut taker).await?;
        taker.take("after the NIC was detached").await;
        self.now(&found.instance_id.into(), taker).await
    }

    /// Takes a device away, from the running guest first; returns the volume behind it, if it is ours.
    async fn remove(
        &self,
        found: &Instance,
        what: Attachment,
        taker: &mut Taker,
    ) -> Result<Option<String>, ComputeError> {
        let id = found.instance_id;
        let asked = what.clone();
        let volume = self.libvirt.call(move |session| session.check_removable(id, &asked)).await?;
        match found.state {
            InstanceState::Running => self.unplug(found, &what, taker).await?,
            InstanceState::Paused => {
                return Err(ComputeError::Conflict(format!(
                    "{} is paused, so its guest cannot let go of a device: start or stop it first",
                    admission::shown(&found.name)
                )));
            }
            InstanceState::Stopped | InstanceState::Gone => taker.take("before the device was removed").await,
        }
        self.libvirt.call(move |session| session.forget_device(id, &what)).await?;
        Ok(volume)
    }

    async fn unplug(
        &self,
        found: &Instance,
        what: &Attachment,
        taker: &mut Taker,
    ) -> Result<(), ComputeError> {
        let id = found.instance_id;
        taker.take("before the device was detached").await;
        let asked = what.clone();
        self.libvirt.call(move |session| session.request_detach(id, &asked)).await?;
        let end = Instant::now() + DETACH_LIMIT;
        let mut looks = tokio::time::interval(DETACH_POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let asked = what.clone();
            if !self.libvirt.call(move |session| session.holds(id, &asked)).await? {
                return Ok(());
            }
            if Instant::now() >= end {
                let device = match what {
                    Attachment::Disk(name) | Attachment::Nic(name) => name.clone(),
                };
                return Err(ComputeError::GuestHolds { device, seconds: DETACH_LIMIT.as_secs() });
            }
            taker.take("while the guest let go of the device").await;
        }
    }
}
