//! `[throttle]`: what a throttled instance may do at most. It throttles nothing.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The least bytes per second of a disk: below, a guest that boots gives up on it.
const DISK_BYTES_MIN: u64 = 65_536;
/// The least requests per second.
const DISK_OPERATIONS_MIN: u64 = 10;
/// The least KiB per second of a NIC: below, a remote shell is of no use.
const NETWORK_KIB_MIN: u32 = 8;

/// Bounds of each device of an instance. 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// Bytes per second of each disk, read and written together.
    pub disk_bytes_per_second: u64,
    /// Requests per second of each disk.
    pub disk_operations_per_second: u64,
    /// KiB per second of each NIC, in each direction.
    pub network_kib_per_second: u32,
    /// Part of a processor for each vCPU, in percent.
    pub vcpu_percent: u32,
}

impl Default for Throttle {
    /// An instance that still answers, and that one can log in to and put right, and nothing that is worth having for itself.
    fn default() -> Self {
        Self {
            disk_bytes_per_second: 1_048_576,
            disk_operations_per_second: 100,
            // 1 Mbit/s.
            network_kib_per_second: 128,
            vcpu_percent: 25,
        }
    }
}

impl Throttle {
    /// As compute takes it.
    #[must_use]
    pub const fn bounds(&self) -> compute::Bounds {
        compute::Bounds {
            disk_bytes_s: self.disk_bytes_per_second,
            disk_ops_s: self.disk_operations_per_second,
            nic_kib_s: self.network_kib_per_second,
            vcpu_percent: self.vcpu_percent,
        }
    }

    /// # Errors
    /// A bound is so low that a guest hangs, or there is none.
    pub fn check(&self) -> Result<()> {
        let Self { disk_bytes_per_second, disk_operations_per_second, network_kib_per_second, vcpu_percent } =
            *self;
        if 0 < disk_bytes_per_second && disk_bytes_per_second < DISK_BYTES_MIN {
            bail!(
                "throttle.disk_bytes_per_second is {disk_bytes_per_second}; it must be 0 (no bound) or at least {DISK_BYTES_MIN}"
            );
        }
        if 0 < disk_operations_per_second && disk_operations_per_second < DISK_OPERATIONS_MIN {
            bail!(
                "throttle.disk_operations_per_second is {disk_operations_per_second}; it must be 0 (no bound) or at least {DISK_OPERATIONS_MIN}"
            );
        }
        if 0 < network_kib_per_second && network_kib_per_second < NETWORK_KIB_MIN {
            bail!(
                "throttle.network_kib_per_second is {network_kib_per_second}; it must be 0 (no bound) or at least {NETWORK_KIB_MIN}"
            );
        }
        if 100 < vcpu_percent {
            bail!("throttle.vcpu_percent is {vcpu_percent}; it must be from 0 (no bound) to 100");
        }
        if disk_bytes_per_second == 0
            && disk_operations_per_second == 0
            && network_kib_per_second == 0
            && vcpu_percent == 0
        {
            bail!("[throttle] bounds nothing; set at least one of its keys, such as vcpu_percent = 25");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_would_hang_a_guest_or_bound_nothing_are_refused_with_their_key() {
        let none = Throttle {
            disk_bytes_per_second: 0,
            disk_operations_per_second: 0,
            network_kib_per_second: 0,
            vcpu_percent: 0,
        };
        assert!(Throttle::default().check().is_ok());
        assert!(Throttle { vcpu_percent: 1, ..none }.check().is_ok());
        for (odd, key) in [
            (none, "[throttle] bounds nothing"),
            (Throttle { vcpu_percent: 101, ..none }, "throttle.vcpu_percent is 101"),
            (Throttle { disk_bytes_per_second: 1, ..none }, "throttle.disk_bytes_per_second is 1"),
            (Throttle { disk_operations_per_second: 9, ..none }, "throttle.disk_operations_per_second"),
            (Throttle { network_kib_per_second: 7, ..none }, "throttle.network_kib_per_second is 7"),
        ] {
            let error = odd.check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
