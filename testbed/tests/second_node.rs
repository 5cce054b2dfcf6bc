//! A second node on this machine: that it is one, that guests work on it, and that nothing of it stays.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, GuestSpec};
use testbed::orders::{MIB, Order, Orders};
use testbed::process::run;
use testbed::second_node::{Net, SecondNode};

const BOOT: Duration = Duration::from_secs(90);

#[test]
fn guests_of_a_second_node_work_there_and_are_not_seen_here() {
    testbed::daemons::ensure().unwrap();
    let name = testbed::unique_name("weirt-node");
    let mut node = SecondNode::start(&name).unwrap();
    assert_eq!(node.run(&mut Command::new("hostname")).unwrap().trim(), name);
    let boot_id = node.run(Command::new("cat").arg("/proc/sys/kernel/random/boot_id")).unwrap();
    assert_eq!(boot_id.trim(), node.boot_id());
    assert_ne!(fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim(), node.boot_id());

    let server = FileServer::start(node.server_address()).unwrap();
    let guest = GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 32 }],
        networks: vec![node.network().name().to_owned()],
        orders: Orders::new([
            Order::Write("vda".into(), 8),
            Order::Fetch("eth0".into(), server.bytes_url(2 * MIB)),
        ]),
        place: node.place().clone(),
        ..GuestSpec::new(&name)
    }
    .start()
    .unwrap();
    guest.wait_for("WEIR all done", BOOT).unwrap();
    assert_eq!(guest.figures().unwrap().disks["vda"].write_bytes, 8 * MIB);
    assert!(2 * MIB < guest.figures().unwrap().nics[&guest.macs()[0]].rx_bytes);
    assert!(testbed::process::virsh(&["domstate", &name]).is_err(), "it is not this machine's");

    // libvirtd dies and comes back; the guest is the same.
    let pid = guest.pid().unwrap();
    node.kill_libvirtd().unwrap();
    assert!(node.virsh(&["version"]).is_err());
    node.start_libvirtd().unwrap();
    assert_eq!(guest.pid().unwrap(), pid);

    // The cable is cut and mended; the guests' network is another one.
    let listener = TcpListener::bind((node.control_address(), 0)).unwrap();
    let connect =
        format!(": > /dev/tcp/{}/{}", node.control_address(), listener.local_addr().unwrap().port());
    let reaches = || node.run(Command::new("timeout").args(["2", "bash", "-c", &connect])).is_ok();
    assert!(reaches());
    node.cut_line().unwrap();
    assert!(!reaches());
    node.mend_line().unwrap();
    assert!(reaches());

    drop(guest);
    let root = node.directory().parent().unwrap().to_owned();
    drop(node);
    assert!(!root.exists() && !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_node_that_is_dropped_with_its_guests_at_work_leaves_no_process_no_bridge_and_no_control_group() {
    testbed::daemons::ensure().unwrap();
    for net in [Net::Own, Net::Shared] {
        let name = testbed::unique_name("weirt-node");
        let node = SecondNode::start_with(&name, net).unwrap();
        let bridge = node.network().bridge().to_owned();
        let libvirtd = node.libvirtd_pid().unwrap();
        let spec = GuestSpec {
            networks: vec![node.network().name().to_owned()],
            place: node.place().clone(),
            ..GuestSpec::new(&name)
        };
        let guest = spec.start().unwrap();
        let pid = guest.pid().unwrap();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        drop(node);
        for pid in [i64::from(pid), i64::from(libvirtd)] {
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{net:?}: process {pid}");
        }
        assert!(run("ip", &["link", "show", &bridge]).is_err(), "{net:?}: {bridge}");
        let own =
            groups.lines().filter_map(|line| line.rsplit_once(':')).filter(|(_, path)| path.contains(&name));
        for (head, path) in own {
            let (_, controllers) = head.split_once(':').unwrap();
            let group = format!("/sys/fs/cgroup/{}{path}", controllers.trim_start_matches("name="));
            assert!(!Path::new(&group).exists(), "{net:?}: {group}");
        }
        drop(guest);
    }
}
