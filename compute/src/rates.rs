//! Setting the rates of a running guest: what differs is set, what this host cannot do is said and not tried at each look.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metering::InstanceId;
use tokio::time::Instant;

use crate::compute::Inner;
use crate::error::ComputeError;
use crate::instance::InstanceRef;
use crate::libvirt::NotSet;
use crate::throttle::{Rates, VcpuRate};

/// What a host refused once it will refuse a moment later: a kernel without traffic shaping has none until it is booted anew. It
/// is tried again after so long, in case somebody has mended it.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// What could not be set, by instance and device, and when that was tried.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<(InstanceId, String), (Instant, String)>>);

impl Refusals {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<(InstanceId, String), (Instant, String)>) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| at.elapsed() < TRY_AGAIN);
        work(&mut all)
    }

    fn of(&self, id: InstanceId, device: &str) -> Option<String> {
        self.with(|all| all.get(&(id, device.to_owned())).map(|(_, why)| why.clone()))
    }

    fn note(&self, id: InstanceId, left: &[NotSet]) {
        self.with(|all| {
            for one in left {
                all.insert((id, one.device.clone()), (Instant::now(), one.why.clone()));
            }
        });
    }

    fn forget(&self, id: InstanceId) {
        self.with(|all| all.retain(|(of, _), _| *of != id));
    }
}

impl Inner {
    /// Sets what `wanted` makes of what is there. Returns what could not be set.
    pub(crate) async fn set_rates(
        &self,
        who: &InstanceRef,
        wanted: impl FnOnce(&Rates) -> Rates,
    ) -> Result<Vec<String>, ComputeError> {
        let (found, _turn) = self.turn_of(who).await?;
        let id = found.instance_id;
        let Some(there) = self.libvirt.call(move |session| session.rates(id)).await? else {
            self.refusals.forget(id);
            return Ok(Vec::new());
        };
        let (change, mut notices) = self.difference(id, &there, wanted(&there));
        if change != Rates::default() {
            let left = self.libvirt.call(move |session| session.set_rates(id, change)).await?;
            self.refusals.note(id, &left);
            notices.extend(left.iter().map(sentence));
        }
        notices.sort();
        Ok(notices)
    }

    /// Of what is wanted, what is not so and was not refused lately; and what was.
    fn difference(&self, id: InstanceId, there: &Rates, mut wanted: Rates) -> (Rates, Vec<String>) {
        let mut notices = Vec::new();
        let mut is_refused = |device: String| match self.refusals.of(id, &device) {
            Some(why) => {
                notices.push(sentence(&NotSet { device, why }));
                true
            }
            None => false,
        };
        wanted.disks.retain(|target, rate| {
            there.disks.get(target).is_some_and(|now| now != rate) && !is_refused(format!("disk {target}"))
        });
        wanted.nics.retain(|mac, rate| {
            there.nics.get(mac).is_some_and(|now| now != rate) && !is_refused(format!("NIC {mac}"))
        });
        let is_same = wanted.vcpus == there.vcpus || (wanted.vcpus.quota == 0 && there.vcpus.quota == 0);
        if is_same || is_refused("vCPUs".to_owned()) {
            wanted.vcpus = VcpuRate::default();
        } else if wanted.vcpus.period == 0 {
            // So that it is not mistaken for "nothing is wanted".
            wanted.vcpus.period = there.vcpus.period;
        }
        (wanted, notices)
    }
}

/// What could not be set, why, and what mends it.
fn sentence(left: &NotSet) -> String {
    let NotSet { device, why } = left;
    let hint = if device.starts_with("NIC") {
        " (bounding a NIC takes tc and a kernel with CONFIG_NET_SCH_HTB, NET_SCH_SFQ, NET_SCH_INGRESS, NET_CLS_FW, NET_CLS_U32 and NET_ACT_POLICE)"
    } else if device == "vCPUs" {
        " (bounding vCPUs takes the cgroup controller cpu, and CONFIG_CFS_BANDWIDTH)"
    } else {
        ""
    };
    // Of what a program says the first line is the reason.
    format!("{device} is not throttled: {}{hint}", why.lines().next().unwrap_or_default())
}
