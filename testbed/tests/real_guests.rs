//! Real guests doing ordered work: what libvirt counts is what was ordered. Needs root, libvirt and QEMU.

use std::time::Duration;

use jiff::Timestamp;
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::lifecycle::Watcher;
use testbed::network::Network;
use testbed::orders::{BOOT_READ_BYTES, BOOT_READ_OPS, MIB, Order, Orders, PLUG_READ_BYTES, PLUG_READ_OPS};
use testbed::truth::RunState;
use testbed::{daemons, unique_name};

/// A guest boots in 4 s under software emulation; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
const ALL_DONE: &str = "WEIR all done";

fn name(what: &str) -> String {
    unique_name(&format!("weirt-testbed-{what}"))
}

fn disk(target: &str) -> DiskSpec {
    DiskSpec { target: target.into(), mib: 64 }
}

fn network() -> (Network, FileServer) {
    daemons::ensure().unwrap();
    let network = Network::create(&name("net")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    (network, server)
}

#[test]
fn ordered_bytes_and_requests_are_counted_exactly_and_stay_when_the_guest_is_idle() {
    let (network, server) = network();
    let orders = Orders::new([
        Order::Write("vda".into(), 32),
        Order::Read("vda".into(), 4),
        Order::Fetch("eth0".into(), server.bytes_url(5 * MIB)),
        Order::Send("eth0".into(), 2, server.sink_url()),
        Order::Fetch("eth0".into(), server.mark_url("finished")),
    ]);
    let guest = GuestSpec {
        disks: vec![disk("vda")],
        networks: vec![network.name().into()],
        orders,
        tenant_metadata: Some("o'alder & <birch>".into()),
        ..GuestSpec::new(&name("work"))
    }
    .start()
    .unwrap();
    guest.wait_for(ALL_DONE, PATIENCE).unwrap();
    guest.silence().unwrap();

    let first = guest.figures().unwrap();
    let vda = first.disks["vda"];
    assert_eq!((vda.write_bytes, vda.write_ops), (33_554_432, 32));
    assert_eq!((vda.read_bytes, vda.read_ops), (4 * MIB + BOOT_READ_BYTES, 4 + BOOT_READ_OPS));
    assert_eq!(vda.capacity_bytes, 64 * MIB);
    let nic = first.nics[&guest.macs()[0]];
    assert!(nic.rx_bytes > 5 * MIB && nic.rx_bytes < 5 * MIB + MIB / 2, "{nic:?}");
    assert!(nic.tx_bytes > 2 * MIB && nic.tx_bytes < 2 * MIB + MIB / 2, "{nic:?}");
    assert_eq!(server.served().iter().map(|served| served.bytes).sum::<u64>(), 5 * MIB);
    assert_eq!(server.received_bytes(), 2 * MIB);
    assert_eq!(server.marks("finished"), 1);
    assert_eq!((first.state, first.vcpus, first.memory_kib), (RunState::Running, Some(1), Some(128 * 1024)));

    // Another guest's DHCP is broadcast to everybody on the bridge: it must not move the figures of a silenced one.
    let noisy = GuestSpec {
        networks: vec![network.name().into()],
        orders: Orders::new([Order::Fetch("eth0".into(), server.mark_url("noisy"))]),
        ..GuestSpec::new(&name("noisy"))
    }
    .start()
    .unwrap();
    noisy.wait_for(ALL_DONE, PATIENCE).unwrap();
    network.broadcast().unwrap();
    guest.suspend().unwrap();
    let second = guest.figures().unwrap();
    assert_eq!((&second.disks, &second.nics), (&first.disks, &first.nics));
    assert!(second.cpu_ns > first.cpu_ns);
}

#[test]
fn burnt_cpu_shows_and_a_restart_begins_a_new_life() {
    daemons::ensure().unwrap();
    let watcher = Watcher::start().unwrap();
    let orders = Orders::new([Order::Sleep(1), Order::Burn(3)]);
    let guest = GuestSpec { orders, ..GuestSpec::new(&name("burn")) }.start().unwrap();
    guest.wait_for("order=2 burn:3 begin", PATIENCE).unwrap();
    let before = guest.figures().unwrap().cpu_ns.unwrap();
    guest.wait_for(ALL_DONE, PATIENCE).unwrap();
    let after = guest.figures().unwrap();
    // On a machine that is shared the loop gets less than a whole CPU, but never next to nothing.
    assert!(after.cpu_ns.unwrap() - before > 500_000_000, "{before} {after:?}");

    guest.suspend().unwrap();
    let paused = guest.figures().unwrap();
    assert_eq!(paused.state, RunState::Paused);
    std::thread::sleep(Duration::from_secs(1));
    guest.resume().unwrap();
    guest.destroy().unwrap();
    assert_eq!(guest.figures().unwrap().state, RunState::Off);
    guest.start().unwrap();
    guest.wait_for("WEIR up", PATIENCE).unwrap();
    assert!(guest.figures().unwrap().cpu_ns < paused.cpu_ns, "counters begin anew with a new life");

    let lives = watcher.lives(guest.name(), Timestamp::now());
    assert_eq!(lives.len(), 2, "{:?}", watcher.events());
    let first = &lives[0];
    let whole = first.stopped_at.unwrap().as_millisecond() - first.started_at.as_millisecond();
    assert!(whole - first.running_ms >= 1000, "the suspended second is no running time: {first:?}");
    assert_eq!(lives[1].stopped_at, None);
}

#[test]
fn a_disk_and_a_nic_can_be_plugged_in_used_and_unplugged() {
    let (network, server) = network();
    let guest = hotplug_guest(&network, &server);
    guest.wait_for("order=1 waitdisk:vdb begin", PATIENCE).unwrap();
    guest.attach_disk(&disk("vdb")).unwrap();
    let mac = guest.attach_nic(network.name()).unwrap();
    guest.wait_for("order=6 sleep:0 done", PATIENCE).unwrap();
    guest.silence().unwrap();

    let figures = guest.detach_disk("vdb").unwrap();
    let vdb = figures.disks["vdb"];
    assert_eq!((vdb.write_bytes, vdb.write_ops), (8 * MIB, 8));
    assert_eq!((vdb.read_bytes, vdb.read_ops), (2 * MIB + PLUG_READ_BYTES, 2 + PLUG_READ_OPS));
    let last = guest.detach_nic(&mac).unwrap().nics[&mac];
    assert!(last.rx_bytes >= 3 * MIB, "{last:?}");
    assert_eq!(last, figures.nics[&mac], "a silenced NIC counts nothing more");
    assert!(figures.nics[&guest.macs()[0]].rx_bytes < MIB, "the bytes came over the new NIC");
    guest.wait_for(ALL_DONE, PATIENCE).unwrap();
    let figures = guest.figures().unwrap();
    assert_eq!((figures.disks.len(), figures.nics.len()), (1, 1));
}

fn hotplug_guest(network: &Network, server: &FileServer) -> Guest {
    let orders = Orders::new([
        Order::WaitDisk("vdb".into()),
        Order::Write("vdb".into(), 8),
        Order::Read("vdb".into(), 2),
        Order::WaitNic("eth1".into()),
        Order::Fetch("eth1".into(), server.bytes_url(3 * MIB)),
        Order::Sleep(0),
        Order::GoneDisk("vdb".into()),
    ]);
    GuestSpec {
        disks: vec![disk("vda")],
        networks: vec![network.name().into()],
        orders,
        ..GuestSpec::new(&name("plug"))
    }
    .start()
    .unwrap()
}
