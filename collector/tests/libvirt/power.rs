//! A node whose power is cut: its libvirtd, its guests, its collector and what the spool's disk had not been told to keep.

use std::process::Command;
use std::time::{Duration, Instant};

use metering::{Batch, BootId, GapReason, InstanceId, InstanceReading};
use testbed::faults::PowerCut;
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::orders::{MIB, Order, Orders};
use testbed::second_node::{Net, SecondNode};
use testbed::truth::Figures;

use crate::apart::{Apart, Home};
use crate::support::{LIMIT, billed, cpu_ns, disk, id, nic, of, running_ms, vcpu_ms};

/// So seldom that no look is taken but those asked for, and those of events.
const NEVER: Duration = Duration::from_secs(3_600);

/// Mounts the boot id of the node over the kernel's, and becomes the program.
const SCRIPT: &str = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;

/// A collector of the node. `booted`: when its kernel began, by this machine's clock since boot; its own begins there.
fn start(home: &Home, node: &SecondNode, booted: Duration) -> Apart {
    home.start(&node.place().uri_readonly(), NEVER, |program| {
        let mut inside = Command::new("unshare");
        let offset = format!("-{}", booted.as_secs());
        inside.args(["--mount", "--time", "--boottime", &offset, "sh", "-c", SCRIPT]);
        inside.arg(node.boot_id_file()).arg(program.get_program()).args(program.get_args());
        inside.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
        inside
    })
}

fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap())
}

/// It does some work, waits, does some more, and waits again.
fn guest(node: &SecondNode, server: &FileServer) -> Guest {
    let fetch = |url| Order::Fetch("eth0".into(), url);
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 16 }],
        networks: vec![node.network().name().to_owned()],
        orders: Orders::new([
            Order::Write("vda".into(), 8),
            fetch(server.bytes_url(2 * MIB)),
            fetch(server.gate_url("read")),
            Order::Write("vda".into(), 5),
            fetch(server.bytes_url(MIB)),
            fetch(server.gate_url("unread")),
        ]),
        place: node.place().clone(),
        ..GuestSpec::new(&testbed::unique_name("weirt-power"))
    };
    spec.start().unwrap()
}

fn wait_for_arrival(server: &FileServer, gate: &str, times: u64) {
    let until = Instant::now() + LIMIT;
    while server.arrived(gate) < times {
        assert!(Instant::now() < until, "the guest never came to the gate {gate}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A look between two equal answers of libvirt: that is what the look has read.
fn look_at_rest(collector: &mut Apart, guest: &Guest) -> Figures {
    let until = Instant::now() + LIMIT;
    loop {
        let before = guest.figures().unwrap();
        collector.look();
        let after = guest.figures().unwrap();
        if (&before.nics, &before.disks) == (&after.nics, &after.disks) {
            return after;
        }
        assert!(Instant::now() < until, "it does not come to rest");
    }
}

#[test]
fn a_power_cut_of_the_node_costs_what_was_not_read_and_says_so_and_both_lives_add_up() {
    testbed::daemons::ensure().unwrap();
    let mut spool_disk = PowerCut::new(64).unwrap();
    let home = Home::on(spool_disk.path().join("state"));
    let mut node = SecondNode::start_with(&testbed::unique_name("weirt-power"), Net::Shared).unwrap();
    let server_address = node.server_address();
    let server = FileServer::start(server_address).unwrap();
    let first_boot: BootId = node.boot_id().parse().unwrap();
    let mut collector = start(&home, &node, Duration::ZERO);
    collector.look();
    let guest = guest(&node, &server);
    wait_for_arrival(&server, "read", 1);
    let first = look_at_rest(&mut collector, &guest);
    server.let_through("read");
    wait_for_arrival(&server, "unread", 1);
    let unread = guest.figures().unwrap();

    // What is not flushed, what is in memory and what runs is gone; nobody sees anybody else end.
    collector.kill();
    node.cut_power().unwrap();
    spool_disk.cut().unwrap();
    let cut_at = jiff::Timestamp::now();
    std::thread::sleep(Duration::from_secs(2));
    spool_disk.restore().unwrap();
    let booted = since_boot();
    node.power_on().unwrap();
    assert_eq!(node.server_address(), server_address, "the guest's orders name it");
    let mut collector = start(&home, &node, booted);
    collector.look();
    guest.start().unwrap();
    // At the second one the first life still waits.
    for gate in ["read", "unread", "unread"] {
        server.let_through(gate);
    }
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.silence().unwrap();
    let second = look_at_rest(&mut collector, &guest);
    collector.kill();

    let batches = home.all();
    check_sums(&batches, &guest, [&first, &unread, &second]);
    let second_boot: BootId = node.boot_id().parse().unwrap();
    check_lives(&batches, id(&guest), [first_boot, second_boot], cut_at);
}

/// Both lives, the first one up to what was read of it last: to the byte.
fn check_sums(batches: &[Batch], guest: &Guest, [first, unread, second]: [&Figures; 3]) {
    let (id, mac) = (id(guest), &guest.macs()[0]);
    let (disks, nics) =
        ([first, second].map(|life| life.disks["vda"]), [first, second].map(|life| life.nics[mac]));
    assert_eq!(disks.map(|disk| disk.write_bytes), [8 * MIB, 13 * MIB]);
    assert_eq!(unread.disks["vda"].write_bytes, 13 * MIB, "of which 5 MiB nobody read");
    let sum = |of: [u64; 2]| of[0] + of[1];
    for (what, expected, found) in [
        (
            "bytes written",
            sum(disks.map(|one| one.write_bytes)),
            billed(batches, disk(id, "vda", |one| one.write_bytes)),
        ),
        (
            "writes",
            sum(disks.map(|one| one.write_ops)),
            billed(batches, disk(id, "vda", |one| one.write_ops)),
        ),
        (
            "bytes read",
            sum(disks.map(|one| one.read_bytes)),
            billed(batches, disk(id, "vda", |one| one.read_bytes)),
        ),
        (
            "bytes received",
            sum(nics.map(|one| one.rx_bytes)),
            billed(batches, nic(id, mac, |one| one.rx_bytes)),
        ),
        (
            "packets received",
            sum(nics.map(|one| one.rx_packets)),
            billed(batches, nic(id, mac, |one| one.rx_packets)),
        ),
        ("bytes sent", sum(nics.map(|one| one.tx_bytes)), billed(batches, nic(id, mac, |one| one.tx_bytes))),
    ] {
        assert_eq!(found, expected, "{what}");
    }
}

/// One epoch for each life of the kernel, and a gap from the last reading before the cut to the kernel's start.
fn check_lives(batches: &[Batch], id: InstanceId, boots: [BootId; 2], cut_at: jiff::Timestamp) {
    let mut seen: Vec<BootId> = batches.iter().map(|batch| batch.boot_id).collect();
    seen.dedup();
    assert_eq!(seen, boots);
    let lives = boots.map(|boot| {
        let of_boot: Vec<Batch> = batches.iter().filter(|batch| batch.boot_id == boot).cloned().collect();
        let mut readings = of(&of_boot, id);
        readings.retain(|reading| reading.epoch.born_at.is_some());
        assert!(readings.iter().all(|reading| reading.epoch == readings[0].epoch), "{readings:#?}");
        let last: InstanceReading = readings.last().unwrap().clone();
        last
    });
    let [first, second] = &lives;
    assert_ne!(first.epoch.id, second.epoch.id);
    let both = |register: fn(&InstanceReading) -> u64| lives.iter().map(register).sum::<u64>();
    assert_eq!(billed(batches, cpu_ns(id)), both(|last| last.registers.cpu_ns));
    assert_eq!(billed(batches, running_ms(id)), both(|last| last.registers.running_ms));
    assert_eq!(billed(batches, vcpu_ms(id)), both(|last| last.registers.vcpu_ms));
    for life in &lives {
        let lived = life.observed_at.duration_since(life.epoch.born_at.unwrap()).as_millis();
        let held = i128::from(life.registers.vcpu_ms);
        assert!((lived - held).abs() <= 100, "it lived for {lived} ms, {held} ms were held");
    }
    let gaps = batches.iter().flat_map(|batch| &batch.gaps).filter(|gap| gap.instance_id == Some(id));
    let unread: Vec<_> = gaps.filter(|gap| gap.reason == GapReason::EndedUnread).collect();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert_eq!((unread[0].device.as_deref(), unread[0].span.start()), (None, first.observed_at));
    assert!(
        cut_at <= unread[0].span.end() && unread[0].span.end() < second.epoch.born_at.unwrap(),
        "{unread:?}"
    );
}
