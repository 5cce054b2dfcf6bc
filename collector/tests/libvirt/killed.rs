//! A collector that is killed again and again beside guests at work.

use std::collections::BTreeSet;
use std::time::Duration;

use metering::{Batch, EpochId};
use rustix::process::Signal;
use testbed::faults::Random;
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::lifecycle::Watcher;
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};
use testbed::truth::{Figures, process_cpu_ns};

use crate::apart::{Apart, Home};
use crate::support::{LIMIT, URI, billed, disk, id, nic, of};

const SECOND: Duration = Duration::from_secs(1);
/// How often a guest does one of everything.
const ROUNDS: u64 = 4;
/// Each time a MiB more.
const WRITTEN_MIB: u64 = 1 + 2 + 3 + 4;
/// How far libvirt's ticks may lie beside the process' clock.
const TICKS_NS: u64 = 20_000_000;

/// A guest that writes, fetches, sends and computes for as long as it is killed beside it.
fn working_guest(network: &Network, server: &FileServer) -> Guest {
    let mut orders = Vec::new();
    for n in 1..=ROUNDS {
        orders.push(Order::Write("vda".into(), n));
        orders.push(Order::Fetch("eth0".into(), server.bytes_url(n * MIB / 4)));
        orders.push(Order::Burn(u64::from(testbed::rounds(1, 20))));
        orders.push(Order::Send("eth0".into(), 1, server.sink_url()));
        orders.push(Order::Read("vda".into(), n));
    }
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 16 }],
        networks: vec![network.name().to_owned()],
        orders: Orders::new(orders),
        ..GuestSpec::new(&testbed::unique_name("weirt-kill9"))
    };
    spec.start().unwrap()
}

fn is_done(guest: &Guest) -> bool {
    guest.console_text().unwrap().contains("WEIR all done")
}

fn start(home: &Home) -> Apart {
    home.start(URI, SECOND, |program| program)
}

#[test]
fn a_collector_that_is_killed_again_and_again_beside_guests_at_work_loses_and_doubles_nothing() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kill9")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let lives = Watcher::start().unwrap();
    let mut random = Random::new(testbed::seed());
    let home = Home::new();
    let mut collector = start(&home);
    collector.look();
    let guests = [working_guest(&network, &server), working_guest(&network, &server)];
    collector.look();

    let mut kills = 0;
    let until = std::time::Instant::now() + LIMIT * testbed::rounds(2, 20);
    while kills < 5 || !guests.iter().all(is_done) {
        assert!(std::time::Instant::now() < until, "the guests do not come to an end");
        std::thread::sleep(Duration::from_millis(random.below(2_500)));
        collector.kill();
        kills += 1;
        std::thread::sleep(Duration::from_millis(random.below(1_500)));
        collector = start(&home);
    }
    println!("killed {kills} times, {} batches delivered", home.delivered().len());
    let truths: Vec<Figures> = guests.iter().map(come_to_rest).collect();
    collector.look();
    guests.iter().for_each(stop);
    collector.look();
    let clocks: Vec<u64> = guests.iter().map(|guest| process_cpu_ns(guest.pid().unwrap()).unwrap()).collect();
    let ticks: Vec<u64> = guests.iter().map(libvirts_cpu_ns).collect();
    collector.kill();

    let batches = home.all();
    for (n, guest) in guests.iter().enumerate() {
        check_devices(&batches, guest, &truths[n]);
        check_cpu(&batches, guest, clocks[n], ticks[n]);
        check_time(&batches, guest, &lives);
    }
}

/// Cut off from its network once all that was ordered has arrived; what it has done then is the truth.
fn come_to_rest(guest: &Guest) -> Figures {
    guest.silence().unwrap();
    let figures = guest.figures().unwrap();
    assert_eq!(figures.disks["vda"].write_bytes, WRITTEN_MIB * MIB, "what it was ordered to write");
    assert!(WRITTEN_MIB * MIB / 4 < figures.nics[&guest.macs()[0]].rx_bytes, "what it was ordered to fetch");
    assert!(ROUNDS * MIB < figures.nics[&guest.macs()[0]].tx_bytes, "what it was ordered to send");
    figures
}

/// Its clock stands still from here on.
fn stop(guest: &Guest) {
    guest.signal(Signal::STOP).unwrap();
    let stat = format!("/proc/{}/stat", guest.pid().unwrap());
    while !std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T') {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
}

/// What libvirt says of it without asking the process, which would not answer.
fn libvirts_cpu_ns(guest: &Guest) -> u64 {
    let stats = testbed::process::virsh(&["cpu-stats", guest.name(), "--total"]).unwrap();
    let line = stats.lines().find_map(|line| line.trim().strip_prefix("cpu_time")).unwrap();
    let (seconds, nanos) = line.trim().trim_end_matches(" seconds").split_once('.').unwrap();
    assert_eq!(nanos.len(), 9, "{stats}");
    seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos.parse::<u64>().unwrap()
}

/// Bytes and operations to the last one, of one life each.
fn check_devices(batches: &[Batch], guest: &Guest, truth: &Figures) {
    let (id, mac) = (id(guest), &guest.macs()[0]);
    let (on_disk, on_nic) = (truth.disks["vda"], truth.nics[mac]);
    for (what, expected, found) in [
        ("bytes written", on_disk.write_bytes, billed(batches, disk(id, "vda", |disk| disk.write_bytes))),
        ("writes", on_disk.write_ops, billed(batches, disk(id, "vda", |disk| disk.write_ops))),
        ("bytes read", on_disk.read_bytes, billed(batches, disk(id, "vda", |disk| disk.read_bytes))),
        ("reads", on_disk.read_ops, billed(batches, disk(id, "vda", |disk| disk.read_ops))),
        ("bytes received", on_nic.rx_bytes, billed(batches, nic(id, mac, |nic| nic.rx_bytes))),
        ("packets received", on_nic.rx_packets, billed(batches, nic(id, mac, |nic| nic.rx_packets))),
        ("bytes sent", on_nic.tx_bytes, billed(batches, nic(id, mac, |nic| nic.tx_bytes))),
        ("packets sent", on_nic.tx_packets, billed(batches, nic(id, mac, |nic| nic.tx_packets))),
    ] {
        assert_eq!(found, expected, "{what} by {}", guest.name());
    }
    let readings = batches.iter().map(|batch| &batch.readings);
    let disks = readings.clone().flat_map(|all| &all.disks).filter(|one| one.instance_id == id);
    let nics = readings.flat_map(|all| &all.nics).filter(|one| one.instance_id == id);
    let of_disk: BTreeSet<EpochId> = disks.map(|one| one.epoch.id).collect();
    let of_nic: BTreeSet<EpochId> = nics.map(|one| one.epoch.id).collect();
    assert_eq!((of_disk.len(), of_nic.len()), (1, 1), "no epoch is begun anew");
}

/// It never falls, and is at last what the process' own clock and libvirt say.
fn check_cpu(batches: &[Batch], guest: &Guest, clock_ns: u64, libvirt_ns: u64) {
    let mut readings = of(batches, id(guest));
    readings.retain(|reading| reading.epoch.id != EpochId::NONE);
    assert!(readings.iter().all(|reading| reading.epoch == readings[0].epoch), "one life");
    assert!(readings.is_sorted_by_key(|reading| reading.registers.cpu_ns));
    assert!(readings.is_sorted_by_key(|reading| reading.registers.running_ms));
    let last = readings.last().unwrap().registers.cpu_ns;
    assert!(last == clock_ns || last == libvirt_ns, "billed {last}, clock {clock_ns}, libvirt {libvirt_ns}");
    assert!(last.abs_diff(libvirt_ns) <= TICKS_NS, "billed {last}, libvirt {libvirt_ns}");
}

/// Whoever was dead meanwhile, the guest ran.
fn check_time(batches: &[Batch], guest: &Guest, lives: &Watcher) {
    let life = lives.lives(guest.name(), jiff::Timestamp::now()).remove(0);
    let readings = of(batches, id(guest));
    let last = readings.last().unwrap();
    let ran = last.observed_at.duration_since(life.started_at).as_millis();
    let held = i128::from(last.registers.running_ms);
    assert!((ran - held).abs() <= 100, "{} ran for {ran} ms, {held} ms were held", guest.name());
}
