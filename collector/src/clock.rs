//! The two clocks of a node: the wall's for instants, the kernel's since boot for durations.
//!
//! A wall clock may be set back and forth; what was held for an hour was held for an hour all the same. It
//! decides nothing about what to do when they disagree: the tracker does.

use std::time::Duration;

use jiff::Timestamp;
use metering::BootId;

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the wall clock, cut to microseconds.
    pub wall: Timestamp,
    /// Since the kernel started, suspended time included (`CLOCK_BOOTTIME`).
    pub boot: Duration,
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
}

/// The node's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// Why the life of the kernel is not known.
#[derive(Debug, thiserror::Error)]
pub enum BootIdError {
    /// The file could not be read; /proc is not mounted, most likely.
    #[error("{BOOT_ID_PATH} cannot be read; mount /proc")]
    Unreadable(#[source] std::io::Error),
    /// The file holds something else.
    #[error("{BOOT_ID_PATH} holds no boot id")]
    Malformed(#[source] uuid::Error),
}

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The life of the kernel that this process runs on.
///
/// # Errors
/// See [`BootIdError`].
pub fn boot_id() -> Result<BootId, BootIdError> {
    let text = std::fs::read_to_string(BOOT_ID_PATH).map_err(BootIdError::Unreadable)?;
    text.trim().parse().map_err(BootIdError::Malformed)
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Moment { wall: metering::micros(Timestamp::now()), boot: Duration::new(seconds, nanos) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_its_life_and_its_age() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        let (before, after) = (SystemClock.now(), SystemClock.now());
        assert!(Duration::ZERO < before.boot && before.boot <= after.boot);
    }
}
