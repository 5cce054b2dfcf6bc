//! What the kernel path can do on this node, and what less privilege costs: the texts, and how they become notices.
//!
//! Tries nothing itself.

use metering::{Notice, NoticeKind};

use super::snapshot::{Capability, Missing};
use crate::chain;

/// CPU time of the guests' processes.
pub const CPU: &str = "processes";
/// Counters of the guests' NICs.
pub const NICS: &str = "network devices";
/// CPU time of guests that have ended.
pub const EXITS: &str = "exit records";

/// Either there or not.
pub fn capability(name: &'static str, missing: Option<String>) -> Capability {
    let (gives, lost, remedy) = match name {
        CPU => (
            "CPU time of every guest each second, to the nanosecond, at no cost to the guest",
            "CPU time and counters are read through libvirt alone, at the reading interval",
            "run the collector on the node itself, as root or as a user who may read libvirt's pid files",
        ),
        NICS => (
            "bytes and packets of every NIC each second, and the last ones of a NIC that goes away",
            "traffic is read through libvirt alone; what a guest moved after its last reading is lost when it is killed",
            "run the collector in the network namespace of libvirt",
        ),
        _ => (
            "the CPU time of a guest that was killed, to its last nanosecond",
            "of a guest that is killed, CPU time after the last sample (a second) is lost",
            "give the collector CAP_NET_ADMIN (in a network namespace of its own also CAP_SYS_ADMIN and CAP_SYS_PTRACE), in the first pid namespace",
        ),
    };
    Capability { name, gives, missing: missing.map(|why| Missing { why, lost, remedy }) }
}

/// An error with its sources, as the reason why something is missing.
pub fn reason(error: &dyn std::error::Error) -> Option<String> {
    Some(chain(error))
}

/// One notice for each: what is missing begins, what is available ends what an earlier start has told.
pub fn notices(capabilities: &[Capability]) -> Vec<Notice> {
    let notice = |capability: &Capability| {
        let detail = match &capability.missing {
            None => format!("{}: available", capability.name),
            Some(Missing { why, lost, remedy }) => {
                format!("{}: {why}. What is lost: {lost}. To mend it: {remedy}.", capability.name)
            }
        };
        Notice {
            kind: NoticeKind::KernelPathAway,
            instance_id: None,
            device: Some(capability.name.to_owned()),
            is_over: capability.missing.is_none(),
            detail,
        }
    };
    capabilities.iter().map(notice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_privilege_says_what_is_lost_and_how_to_mend_it_and_more_ends_the_notice() {
        let all = [capability(CPU, None), capability(EXITS, Some("not permitted".to_owned()))];
        let notices = notices(&all);
        assert!(notices[0].is_over && !notices[1].is_over);
        for part in ["not permitted", "What is lost", "CAP_NET_ADMIN"] {
            assert!(notices[1].detail.contains(part), "{}", notices[1].detail);
        }
    }
}
