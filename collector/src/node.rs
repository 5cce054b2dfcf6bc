//! The node's own figures, from its kernel: processors, memory, the file systems that hold volumes, physical
//! interfaces. Nothing about instances.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use metering::NodeReading;
use sysinfo::{MemoryRefreshKind, Networks, RefreshKind, System};

/// Reads the node's figures.
pub struct Node {
    system: Option<System>,
}

impl Node {
    /// Ready to read.
    #[must_use]
    pub fn new() -> Self {
        let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(kinds)
            .inspect_err(|error| tracing::warn!(%error, "this node's memory cannot be read"));
        Self { system: system.ok() }
    }

    /// The figures now. `dirs` are directories that hold volumes: each file system counts once. `None`: the
    /// kernel's figures could not be read (no /proc).
    pub fn read(&mut self, at: Timestamp, dirs: &[PathBuf]) -> Option<NodeReading> {
        let system = self.system.as_mut()?;
        system.refresh_memory();
        let (cpus, cpu_busy_ms) = processors(&std::fs::read_to_string("/proc/stat").ok()?)?;
        let (storage_total_kib, storage_used_kib) = storage(dirs);
        let (rx_bytes, tx_bytes) = interfaces();
        let used = system.total_memory().saturating_sub(system.available_memory());
        Some(NodeReading {
            observed_at: at,
            cpus,
            cpu_busy_ms,
            memory_total_kib: system.total_memory() / 1_024,
            memory_used_kib: used / 1_024,
            storage_total_kib,
            storage_used_kib,
            rx_bytes,
            tx_bytes,
        })
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// Processors and their busy time in ms since boot, from proc(5)'s stat: user, nice, system, irq, softirq and
/// steal; not idle, not iowait; guest time is in user time already.
fn processors(stat: &str) -> Option<(u32, u64)> {
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    let cpus = u32::try_from(cpus.count()).ok()?;
    let total = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> =
        total.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|field| ticks.get(*field)).sum();
    Some((cpus, busy * 1_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Size and used part, in KiB, of the file systems under `dirs`.
fn storage(dirs: &[PathBuf]) -> (u64, u64) {
    let mut seen = BTreeSet::new();
    let mut sums = (0, 0);
    for dir in dirs {
        let Ok(metadata) = std::fs::metadata(dir) else {
            continue;
        };
        let Ok(figures) = rustix::fs::statvfs(dir) else {
            continue;
        };
        if seen.insert(metadata.dev()) {
            let kib = |blocks: u64| blocks.saturating_mul(figures.f_frsize) / 1_024;
            sums.0 += kib(figures.f_blocks);
            sums.1 += kib(figures.f_blocks.saturating_sub(figures.f_bfree));
        }
    }
    sums
}

/// Bytes received and sent since boot by interfaces with a device behind them: no bridges, taps, tunnels.
fn interfaces() -> (u64, u64) {
    let Ok(networks) = Networks::new_with_refreshed_list() else {
        return (0, 0);
    };
    networks
        .iter()
        .filter(|(name, _)| Path::new("/sys/class/net").join(name).join("device").exists())
        .fold((0, 0), |(rx, tx), (_, data)| (rx + data.total_received(), tx + data.total_transmitted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_not_being_busy_and_guests_are_not_counted_twice() {
        let stat = "cpu  10 20 30 1000 500 1 2 3 10 20\ncpu0 5 10\ncpu1 5 10\nintr 7\n";
        let (cpus, busy_ms) = processors(stat).unwrap();
        assert_eq!(cpus, 2);
        assert_eq!(busy_ms, 66 * 1_000 / rustix::param::clock_ticks_per_second());
    }

    #[test]
    fn two_directories_of_one_file_system_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(storage(&[a.clone(), b, missing]).0, storage(&[a]).0);
    }

    #[test]
    fn this_node_has_processors_and_memory() {
        let reading = Node::new().read(Timestamp::now(), &[PathBuf::from("/")]).unwrap();
        assert!(0 < reading.cpus && 0 < reading.cpu_busy_ms);
        assert!(0 < reading.memory_used_kib && reading.memory_used_kib < reading.memory_total_kib);
        assert!(reading.storage_used_kib <= reading.storage_total_kib && 0 < reading.storage_total_kib);
    }
}
