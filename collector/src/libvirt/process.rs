//! When a domain's process started: from libvirt's pid file and the kernel's `/proc/<pid>/stat`.
//!
//! Only for a libvirt of this node. A file that is missing or unreadable (a user other than root, a driver
//! without processes) means "not known", no more.

use std::path::Path;
use std::time::Duration;

use crate::observation::ProcessStart;

/// Where the system's QEMU driver keeps pid files.
const PID_DIR: &str = "/run/libvirt/qemu";

/// The start of the process of the domain `name`.
pub fn start_of(name: &str) -> Option<ProcessStart> {
    if name.contains('/') {
        return None;
    }
    let pid = std::fs::read_to_string(Path::new(PID_DIR).join(format!("{name}.pid"))).ok()?;
    let pid: u32 = pid.trim().parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = start_ticks(&stat)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let millis = u128::from(ticks) * 1_000 / u128::from(per_second);
    Some(ProcessStart { ticks, boot: Duration::from_millis(u64::try_from(millis).ok()?) })
}

/// Field 22 of proc(5)'s stat: the start in ticks since boot. The second field is the program's name in
/// parentheses and may hold anything, so fields are counted from its last parenthesis on.
fn start_ticks(stat: &str) -> Option<u64> {
    const FIELDS_AFTER_NAME: usize = 22 - 3;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(FIELDS_AFTER_NAME)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_name_holds_parentheses_and_spaces_is_read_all_the_same() {
        let stat = "42 (qemu ) 7 (x) S 1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 987654 23";
        assert_eq!(start_ticks(stat), Some(987_654));
        assert_eq!(start_ticks("42 (qemu) S 1 2"), None);
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn a_name_that_would_leave_the_directory_has_no_pid_file() {
        assert_eq!(start_of("../../etc/passwd"), None);
        assert_eq!(start_of(&"x".repeat(10_000)), None);
    }
}
