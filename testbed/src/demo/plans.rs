//! The cast: five guests of two tenants on two nodes, their orders, and what happens to each. Plain facts.

use super::stage::Platform;
use crate::orders::{MIB, Order, Orders};

/// What happens to a guest besides its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Play {
    /// Nothing: it is stopped at the end.
    Steady,
    /// It is stopped and started again halfway.
    Restarted,
    /// A second disk and NIC are plugged in, used, and unplugged.
    Hotplugged,
    /// Its process is ended by `kill -9` after its work, with bytes on its NIC that no reading had seen.
    Killed,
}

/// Which node a guest runs on, and who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// The control plane's own machine; made, stopped and deleted by Weir.
    Near,
    /// The node that joined; made by hand with virsh there, and Weir is told whose it is by its metadata.
    Far,
}

/// One guest: what it is and what it does in each of its lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct GuestPlan {
    pub(super) name: &'static str,
    pub(super) tenant: &'static str,
    pub(super) site: Site,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
    pub(super) disk_mib: u64,
    pub(super) write_mib: u64,
    pub(super) read_mib: u64,
    pub(super) fetch_mib: u64,
    pub(super) send_mib: u64,
    pub(super) burn_s: u64,
    pub(super) play: Play,
}

/// The guests, tenants together.
pub(super) const GUESTS: [GuestPlan; 5] = [
    GuestPlan {
        name: "weir-demo-web",
        tenant: "alder",
        site: Site::Near,
        vcpus: 1,
        memory_mib: 128,
        disk_mib: 64,
        write_mib: 24,
        read_mib: 8,
        fetch_mib: 9,
        send_mib: 2,
        burn_s: 6,
        play: Play::Killed,
    },
    GuestPlan {
        name: "weir-demo-batch",
        tenant: "alder",
        site: Site::Near,
        vcpus: 2,
        memory_mib: 160,
        disk_mib: 96,
        write_mib: 32,
        read_mib: 16,
        fetch_mib: 3,
        send_mib: 1,
        burn_s: 4,
        play: Play::Restarted,
    },
    GuestPlan {
        name: "weir-demo-far",
        tenant: "alder",
        site: Site::Far,
        vcpus: 1,
        memory_mib: 120,
        disk_mib: 48,
        write_mib: 6,
        read_mib: 3,
        fetch_mib: 7,
        send_mib: 3,
        burn_s: 1,
        play: Play::Killed,
    },
    GuestPlan {
        name: "weir-demo-store",
        tenant: "birch",
        site: Site::Near,
        vcpus: 1,
        memory_mib: 144,
        disk_mib: 64,
        write_mib: 12,
        read_mib: 2,
        fetch_mib: 5,
        send_mib: 1,
        burn_s: 2,
        play: Play::Hotplugged,
    },
    GuestPlan {
        name: "weir-demo-edge",
        tenant: "birch",
        site: Site::Far,
        vcpus: 1,
        memory_mib: 136,
        disk_mib: 40,
        write_mib: 10,
        read_mib: 5,
        fetch_mib: 6,
        send_mib: 4,
        burn_s: 3,
        play: Play::Steady,
    },
];

/// Size and work of the disk and NIC that are plugged in.
pub(super) const PLUGGED_DISK_MIB: u64 = 48;
const PLUGGED_WRITE_MIB: u64 = 20;
const PLUGGED_READ_MIB: u64 = 4;
const PLUGGED_FETCH_MIB: u64 = 4;

impl GuestPlan {
    /// The guest's orders; the same in each life.
    pub(super) fn orders(&self, platform: &Platform) -> Orders {
        let server = platform.server(self.site);
        let (vda, eth0) = (|| "vda".to_owned(), || "eth0".to_owned());
        let mark = |what| Order::Fetch(eth0(), server.mark_url(&self.mark(what)));
        let mut orders = vec![
            mark("begun"),
            Order::Write(vda(), self.write_mib),
            Order::Fetch(eth0(), server.bytes_url(self.fetch_mib * MIB)),
            Order::Burn(self.burn_s),
            Order::Read(vda(), self.read_mib),
            Order::Send(eth0(), self.send_mib, server.sink_url()),
            mark("done"),
        ];
        if self.play == Play::Hotplugged {
            let (vdb, eth1) = (|| "vdb".to_owned(), || "eth1".to_owned());
            orders.extend([
                Order::WaitDisk(vdb()),
                Order::Write(vdb(), PLUGGED_WRITE_MIB),
                Order::Read(vdb(), PLUGGED_READ_MIB),
                Order::WaitNic(eth1()),
                Order::Fetch(eth1(), server.bytes_url(PLUGGED_FETCH_MIB * MIB)),
                Order::Fetch(eth1(), server.mark_url(&self.mark("plugged"))),
                Order::GoneDisk(vdb()),
            ]);
        }
        Orders::new(orders)
    }

    /// What the guest asks its file server for when it came to `what`.
    pub(super) fn mark(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::PREFIX;
    use super::*;

    #[test]
    fn every_guest_does_different_work_and_both_tenants_have_guests_on_both_nodes() {
        for (index, one) in GUESTS.iter().enumerate() {
            for other in &GUESTS[index + 1..] {
                assert_ne!(one.write_mib, other.write_mib);
                assert_ne!(one.fetch_mib, other.fetch_mib);
                assert_ne!(one.burn_s, other.burn_s);
            }
        }
        assert!(GUESTS.iter().all(|plan| plan.name.starts_with(PREFIX)));
        for tenant in ["alder", "birch"] {
            for site in [Site::Near, Site::Far] {
                assert!(GUESTS.iter().any(|plan| (plan.tenant, plan.site) == (tenant, site)));
            }
        }
    }
}
