//! Whether two paths tell the same: the hypervisor's figure must lie between the kernel's before it was asked and after.
//!
//! Pure. Both count the same thing, so what lies outside is no matter of time.

use metering::NicRegisters;

/// How far libvirt's CPU time may lie from the kernel's clock: without cgroups it is user and system time, each cut to a
/// tick of 10 ms.
pub const CPU_GRAIN_NS: u64 = 20_000_000;

/// In words how CPU times differ; `None`: they do not.
pub fn cpu(before: Option<u64>, hypervisor: u64, after: u64) -> Option<String> {
    let least = before.unwrap_or(0).saturating_sub(CPU_GRAIN_NS);
    let most = after.saturating_add(CPU_GRAIN_NS);
    (hypervisor < least || most < hypervisor).then(|| {
        format!("CPU time: the hypervisor says {hypervisor} ns, the kernel {}", range(before, after, "ns"))
    })
}

/// In words how a NIC's counters differ; `None`: they do not.
pub fn nic(before: Option<NicRegisters>, hypervisor: NicRegisters, after: NicRegisters) -> Option<String> {
    let of = |name: &str, pick: fn(&NicRegisters) -> u64| {
        let (low, figure, high) = (before.as_ref().map(pick), pick(&hypervisor), pick(&after));
        let is_outside = figure < low.unwrap_or(0) || high < figure;
        is_outside
            .then(|| format!("{name}: the hypervisor says {figure}, the kernel {}", range(low, high, "")))
    };
    of("received bytes", |nic| nic.rx_bytes)
        .or_else(|| of("sent bytes", |nic| nic.tx_bytes))
        .or_else(|| of("received packets", |nic| nic.rx_packets))
        .or_else(|| of("sent packets", |nic| nic.tx_packets))
}

/// A figure that another source gave, where the register stands already: a coarser source may lie below it by its grain,
/// and the register does not fall for that.
pub fn steady(figure: u64, known: Option<u64>) -> u64 {
    match known {
        Some(known) if figure < known && known - figure <= CPU_GRAIN_NS => known,
        _ => figure,
    }
}

fn range(before: Option<u64>, after: u64, unit: &str) -> String {
    match before {
        Some(before) if before != after => format!("{before} before that and {after} {unit} after it"),
        _ => format!("{after} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_figure_between_two_samples_agrees_and_one_outside_does_not() {
        for (before, hypervisor, after, differs) in [
            (Some(100 * MS), 100 * MS, 130 * MS, false),
            (Some(100 * MS), 81 * MS, 130 * MS, false),
            (Some(100 * MS), 79 * MS, 130 * MS, true),
            (Some(100 * MS), 151 * MS, 130 * MS, true),
            (None, 0, 130 * MS, false),
            (None, 10_000 * MS, 130 * MS, true),
        ] {
            assert_eq!(cpu(before, hypervisor, after).is_some(), differs, "{before:?} {hypervisor} {after}");
        }
        let at = |rx_bytes| NicRegisters { rx_bytes, ..NicRegisters::default() };
        for (before, hypervisor, after, differs) in
            [(Some(5), 5, 5, false), (Some(5), 6, 7, false), (Some(5), 4, 7, true), (None, 8, 7, true)]
        {
            assert_eq!(nic(before.map(at), at(hypervisor), at(after)).is_some(), differs);
        }
    }

    #[test]
    fn a_register_neither_falls_nor_jumps_because_its_source_has_changed() {
        // From the kernel's nanoseconds to libvirt's ticks, and on.
        assert_eq!(steady(1_010 * MS, Some(1_019 * MS)), 1_019 * MS);
        assert_eq!(steady(1_020 * MS, Some(1_019 * MS)), 1_020 * MS);
        // From libvirt's ticks to nanoseconds: within the grain.
        assert_eq!(steady(1_019 * MS, Some(1_010 * MS)), 1_019 * MS);
        // What is more than that is no matter of the source, and the tracker says so.
        assert_eq!(steady(500 * MS, Some(1_019 * MS)), 500 * MS);
    }
}
