//! How fast a register can rise at all. What rose faster than that, or fell, cannot be true. Pure. It does NOT know which
//! reading came before ([`super::judge`] does).
//!
//! The time that passed is told by wall clocks that may be set by a minute and corrected, so it counts with
//! [`SLACK_US`] more, and with an eighth more: a register that is once a little ahead of its time must not be refused
//! for ever.

use jiff::Timestamp;
use metering::{Epoch, EpochId};

use super::CLOCK_ERROR_MAX;

/// The registers of any kind, in the order of its table's columns; 0 where it has fewer.
pub(super) type Registers = [u64; 4];

/// Threads of an instance's process besides its vCPUs that may be busy at the same time: its main loop, its I/O threads
/// and those with which the kernel serves its NICs.
const EMULATOR_THREADS: u64 = 8;

/// What a clock may be wrong by in either direction, and the time between two figures of one look.
const SLACK_US: u128 = 2 * CLOCK_ERROR_MAX.as_micros() + 5_000_000;

/// The most that a device can do in a second. A setting, because hardware grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Bytes per second in one direction of a NIC.
    pub nic_bytes: u64,
    /// Packets per second in one direction of a NIC.
    pub nic_packets: u64,
    /// Bytes per second that a disk reads, and that it writes.
    pub disk_bytes: u64,
    /// Operations per second of each kind.
    pub disk_ops: u64,
}

impl RateLimits {
    /// 400 Gbit/s is the fastest Ethernet port that is sold for servers, and its wire speed with the shortest packets
    /// 595 million a second; two guests on one bridge stay below it because their host copies the bytes. 100 GB/s is
    /// several times the fastest drives, and about what a memory bus gives to a disk in the page cache.
    pub const DEFAULT: Self = Self {
        nic_bytes: 50_000_000_000,
        nic_packets: 600_000_000,
        disk_bytes: 100_000_000_000,
        disk_ops: 100_000_000,
    };
}

/// A reading as far as rates matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) at: Timestamp,
    pub(super) epoch: EpochId,
    pub(super) registers: Registers,
}

/// What a register is called and how many units it can rise by in a second, at most.
pub(super) type Bound = (&'static str, u128);

/// The bounds of an instance with so many vCPUs and so much memory, on a node of so many processors (0: not known).
pub(super) fn of_instance(vcpus: u64, memory_kib: u64, processors: u64) -> [Bound; 4] {
    let threads = vcpus.saturating_add(EMULATOR_THREADS);
    let threads = if processors == 0 { threads } else { threads.min(processors) };
    [
        ("cpu_ns", u128::from(threads) * 1_000_000_000),
        ("running_ms", 1_000),
        ("vcpu_ms", u128::from(vcpus) * 1_000),
        ("memory_kib_s", u128::from(memory_kib)),
    ]
}

/// The bounds of a disk.
pub(super) fn of_disk(limits: &RateLimits) -> [Bound; 4] {
    let (bytes, ops) = (u128::from(limits.disk_bytes), u128::from(limits.disk_ops));
    [("read_bytes", bytes), ("write_bytes", bytes), ("read_ops", ops), ("write_ops", ops)]
}

/// The bounds of a NIC.
pub(super) fn of_nic(limits: &RateLimits) -> [Bound; 4] {
    let (bytes, packets) = (u128::from(limits.nic_bytes), u128::from(limits.nic_packets));
    [("rx_bytes", bytes), ("tx_bytes", bytes), ("rx_packets", packets), ("tx_packets", packets)]
}

/// The bounds of a volume of this size.
pub(super) fn of_volume(capacity_bytes: u64) -> [Bound; 4] {
    let kib = u128::from(capacity_bytes.div_ceil(1024));
    [("provisioned_kib_s", kib), ("", 0), ("", 0), ("", 0)]
}

/// Why a reading cannot be true after `before`, the latest one that counts. `alive_us`: for how long anything on its
/// node can have lived, if that is known: the birth of a life may have been dated by a clock that was wrong.
pub(super) fn fault(
    before: Option<&Stand>,
    epoch: Epoch,
    now: &Stand,
    alive_us: Option<u64>,
    bounds: &[Bound; 4],
) -> Option<String> {
    if now.epoch == EpochId::NONE {
        return None;
    }
    let since = |at: Timestamp| u64::try_from(now.at.as_microsecond() - at.as_microsecond()).ok();
    match before.filter(|before| before.epoch == now.epoch) {
        Some(before) => match since(before.at) {
            Some(elapsed_us) => {
                fell(before, now, bounds).or_else(|| rose(&before.registers, now, elapsed_us, bounds))
            }
            // It comes late: it cannot stand higher than the one that came before it.
            None => fell(now, before, bounds),
        },
        None => {
            // A life that began before anybody looked has no beginning to be measured from, nor has one that is said
            // to have begun later than now.
            let elapsed_us = since(epoch.born_at?)?.max(alive_us.unwrap_or(0));
            rose(&[0; 4], now, elapsed_us, bounds)
        }
    }
}

fn fell(before: &Stand, after: &Stand, bounds: &[Bound; 4]) -> Option<String> {
    let n = (0..4).find(|n| after.registers[*n] < before.registers[*n])?;
    Some(format!(
        "{} fell from {} at {} to {} at {} within one life",
        bounds[n].0, before.registers[n], before.at, after.registers[n], after.at
    ))
}

fn rose(from: &Registers, now: &Stand, elapsed_us: u64, bounds: &[Bound; 4]) -> Option<String> {
    let time_us = u128::from(elapsed_us) + u128::from(elapsed_us / 8) + SLACK_US;
    let most = |n: usize| bounds[n].1.saturating_mul(time_us) / 1_000_000;
    let rise = |n: usize| u128::from(now.registers[n].saturating_sub(from[n]));
    let n = (0..4).find(|n| !bounds[*n].0.is_empty() && most(*n) < rise(*n))?;
    Some(format!(
        "{} rose by {} in {} s: more than {} is not possible, at {} a second",
        bounds[n].0,
        rise(n),
        elapsed_us / 1_000_000,
        most(n),
        bounds[n].1
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    fn stand(seconds: i64, epoch: i64, registers: Registers) -> Stand {
        Stand { at: at(seconds), epoch: EpochId::from_i64(epoch), registers }
    }

    fn life(epoch: i64, born: Option<i64>) -> Epoch {
        Epoch { id: EpochId::from_i64(epoch), born_at: born.map(at) }
    }

    /// Two vCPUs, 1 GiB, on four processors.
    fn instance(before: Option<Stand>, epoch: Epoch, now: Stand) -> Option<String> {
        fault(before.as_ref(), epoch, &now, None, &of_instance(2, 1 << 20, 4))
    }

    #[test]
    fn a_counter_that_wraps_or_jumps_is_refused_with_its_name_and_by_how_much() {
        let (one, before) = (life(1, Some(0)), stand(60, 1, [60_000_000_000, 60_000, 120_000, 60 << 20]));
        for (registers, reason) in [
            ([60_000_000_001, 60_000, 120_000, 60 << 20], None),
            ([59_999_999_999, 60_000, 120_000, 60 << 20], Some("cpu_ns fell from 60000000000")),
            ([1 << 62, 60_000, 120_000, 60 << 20], Some("cpu_ns rose by 4611685958427387904 in 60 s")),
            ([60_000_000_000, 400_000, 120_000, 60 << 20], Some("running_ms rose by 340000 in 60 s")),
            ([60_000_000_000, 60_000, 10_120_000, 60 << 20], Some("vcpu_ms rose by 10000000")),
            ([60_000_000_000, 60_000, 120_000, 1 << 40], Some("memory_kib_s rose by")),
        ] {
            let found = instance(Some(before), one, stand(120, 1, registers));
            let fits = match (&found, reason) {
                (Some(found), Some(reason)) => found.starts_with(reason),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{found:?}, not {reason:?}");
        }
    }

    #[test]
    fn a_life_is_judged_from_its_birth_an_adopted_one_not_at_all_and_what_is_off_neither() {
        let hour = [3_600_000_000_000, 3_600_000, 7_200_000, 3_600 << 20];
        assert_eq!(instance(None, life(1, Some(0)), stand(3_600, 1, hour)), None);
        assert!(instance(None, life(1, Some(3_590)), stand(3_600, 1, hour)).is_some());
        assert_eq!(instance(None, life(1, None), stand(3_600, 1, hour)), None);
        assert_eq!(instance(None, Epoch::NONE, stand(3_600, 0, hour)), None);
        // Born by a clock that was ahead, or long after the life that is known.
        assert_eq!(instance(None, life(1, Some(9_999)), stand(3_600, 1, hour)), None);
        assert!(instance(Some(stand(0, 2, hour)), life(1, Some(3_590)), stand(3_600, 1, hour)).is_some());
        // The node has been up for a day: the birth may be dated wrongly.
        let bounds = of_instance(2, 1 << 20, 4);
        let day = Some(86_400_000_000);
        assert_eq!(fault(None, life(1, Some(3_590)), &stand(3_600, 1, hour), day, &bounds), None);
    }

    #[test]
    fn what_comes_late_may_not_stand_higher_than_what_came_before_it() {
        let one = life(1, Some(0));
        let known = stand(600, 1, [500, 500, 500, 500]);
        assert_eq!(instance(Some(known), one, stand(300, 1, [400, 500, 500, 0])), None);
        assert!(instance(Some(known), one, stand(300, 1, [501, 0, 0, 0])).unwrap().contains("fell from 501"));
    }

    proptest! {
        #[test]
        fn what_true_registers_show_is_never_refused_in_whatever_order_however_the_clock_is_set(
            looks in proptest::collection::vec((1_u64..7_200, -60_i64..60, 0_u64..=100), 2..20),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 1..20),
        ) {
            let (mut true_s, mut busy) = (0, 0);
            let mut stands: Vec<Stand> = Vec::new();
            for (pause, error, load) in looks {
                true_s += pause;
                busy += pause * load / 100;
                let wall = i64::try_from(true_s).unwrap() + error;
                let s = true_s;
                stands.push(stand(wall, 1, [busy * 4_000_000_000, s * 1_000, s * 2_000, s << 20]));
            }
            // By the wall clock one life may seem to run backwards: what that costs is in the next test.
            stands.sort_by_key(|stand| (stand.registers, stand.at));
            let mut head: Option<Stand> = None;
            for which in &order {
                let now = *which.get(&stands);
                let is_upright = head.is_none_or(|head| {
                    (now.at <= head.at) == (now.registers <= head.registers)
                        || now.registers == head.registers
                });
                if !is_upright { continue; }
                prop_assert_eq!(instance(head, life(1, Some(0)), now), None);
                if head.is_none_or(|head| head.at <= now.at) { head = Some(now); }
            }
        }

        #[test]
        fn no_register_that_was_ahead_of_its_time_is_refused_for_ever(ahead in 0_u64..1_000_000) {
            // It counted seconds that the wall clock then took back, and runs truly on.
            let head = stand(0, 1, [0; 4]);
            let later = |s: u64| stand(i64::try_from(s).unwrap(), 1, [0, (s + ahead) * 1_000, 0, 0]);
            prop_assert_eq!(instance(Some(head), life(1, Some(0)), later(8 * ahead)), None);
        }
    }
}
