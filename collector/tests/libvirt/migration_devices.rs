//! A guest with a NIC that moves between two nodes while it computes, fetches and sends: its bytes and its CPU time, each once.

use std::time::{Duration, Instant};

use metering::{Batch, InstanceId, InstanceReading, NicRegisters};
use rustix::process::Signal;
use testbed::file_server::FileServer;
use testbed::guest::{Guest, GuestSpec};
use testbed::network::{Network, silence_at};
use testbed::orders::{MIB, Order, Orders};
use testbed::second_node::{Net, SecondNode};
use testbed::truth::{NicFigures, figures_at, process_cpu_ns};

use crate::kernel_truth::{Truth, tap};
use crate::support::{LIMIT, URI, Watch, billed, cpu_ns, id, nic, of, virsh};

/// A thread that ends while it runs has its time up to the last tick; some end while they are read.
const TICKS_NS: u64 = 20_000_000;

/// What a guest does while it moves: before, during and after.
fn orders(server: &FileServer) -> Orders {
    let mut orders = vec![
        Order::Fetch("eth0".into(), server.bytes_url(2 * MIB)),
        Order::Fetch("eth0".into(), server.mark_url("ready")),
    ];
    for _ in 0..8 {
        orders.push(Order::Fetch("eth0".into(), server.bytes_url(MIB / 2)));
        orders.push(Order::Send("eth0".into(), 1, server.sink_url()));
        orders.push(Order::Burn(1));
    }
    orders.push(Order::Fetch("eth0".into(), server.gate_url("moved")));
    orders.push(Order::Fetch("eth0".into(), server.bytes_url(MIB)));
    Orders::new(orders)
}

/// Its description for the other node, where the network has no name but the same bridge.
fn elsewhere(guest: &Guest, network: &Network) -> tempfile::NamedTempFile {
    let xml = virsh(&["dumpxml", guest.name(), "--migratable"]);
    let source = xml.lines().find(|line| line.contains("<source network=")).unwrap();
    let bridged = xml
        .replace("<interface type='network'>", "<interface type='bridge'>")
        .replace(source, &format!("<source bridge='{}'/>", network.bridge()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bridged).unwrap();
    file
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn last_nic(batches: &[Batch], guest: &Guest) -> NicRegisters {
    let mut all = batches.iter().flat_map(|batch| &batch.readings.nics);
    all.rfind(|one| one.instance_id == id(guest)).unwrap().registers
}

fn last_of_life(batches: &[Batch], guest: &Guest) -> InstanceReading {
    let mut readings = of(batches, id(guest));
    readings.retain(|reading| reading.epoch.born_at.is_some());
    assert!(readings.iter().all(|reading| reading.epoch == readings[0].epoch), "one life on each node");
    readings.pop().unwrap()
}

/// What was billed is what both taps counted.
fn check_nic(batches: &[Batch], id: InstanceId, mac: &str, left: NicRegisters, arrived: NicFigures) {
    for (what, expected, found) in [
        (
            "bytes received",
            left.rx_bytes + arrived.rx_bytes,
            billed(batches, nic(id, mac, |one| one.rx_bytes)),
        ),
        (
            "packets received",
            left.rx_packets + arrived.rx_packets,
            billed(batches, nic(id, mac, |one| one.rx_packets)),
        ),
        ("bytes sent", left.tx_bytes + arrived.tx_bytes, billed(batches, nic(id, mac, |one| one.tx_bytes))),
        (
            "packets sent",
            left.tx_packets + arrived.tx_packets,
            billed(batches, nic(id, mac, |one| one.tx_packets)),
        ),
    ] {
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_migration_counts_every_byte_of_the_nic_and_the_cpu_time_of_both_processes_once() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-move-nic")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let node = SecondNode::start_with(&testbed::unique_name("weirt-move"), Net::Shared).unwrap();
    let mut truth = Truth::listen();
    let (mut here, mut there) = (Watch::start(URI), Watch::start(&node.place().uri_readonly()));
    here.look().await;
    there.look().await;
    let spec = GuestSpec {
        networks: vec![network.name().to_owned()],
        orders: orders(&server),
        ..GuestSpec::new(&testbed::unique_name("weirt-move-nic"))
    };
    let guest = spec.start().unwrap();
    let (id, mac, left_tap, left_pid) =
        (id(&guest), guest.macs()[0].clone(), tap(&guest), guest.pid().unwrap());
    wait_until("the guest is at work", || server.marks("ready") == 1).await;

    let xml = elsewhere(&guest, &network);
    let uri = node.place().uri().to_owned();
    let arguments = ["migrate", "--live", guest.name(), "--desturi", &uri, "--migrateuri", "tcp://127.0.0.1"];
    let arguments = [arguments.as_slice(), &["--xml", xml.path().to_str().unwrap()]].concat();
    virsh(&arguments);
    let is_before_the_gate = server.arrived("moved") == 0;
    wait_until("the guest came to the gate", || server.arrived("moved") == 1).await;
    server.let_through("moved");
    let all = 2 * MIB + 8 * MIB / 2 + MIB;
    wait_until("all was fetched", || server.served().iter().map(|one| one.bytes).sum::<u64>() == all).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    silence_at(node.place(), guest.name()).unwrap();
    there.look().await;
    let arrived = figures_at(node.place(), guest.name()).unwrap().nics[&mac];
    there.look().await;
    // Its clock stands still from here on.
    let pid = node.place().guest_pid(guest.name()).unwrap();
    testbed::guest::signal_guest(pid, Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    there.look().await;
    let arrived_ns = process_cpu_ns(pid).unwrap();
    here.look().await;

    let left = truth.last_of_tap(&left_tap);
    let left_ns: u64 = truth.threads_of(left_pid).values().sum();
    let batches = [here.batches(), there.batches()].concat();
    assert!(is_before_the_gate, "it did a part of its work at the target");
    assert!(all < left.rx_bytes + arrived.rx_bytes && 8 * MIB < left.tx_bytes + arrived.tx_bytes);
    assert!(0 < left.rx_bytes && 0 < arrived.rx_bytes, "on both");
    assert_eq!(last_nic(here.batches(), &guest), left, "the source's, by the kernel's last word");
    check_nic(&batches, id, &mac, left, arrived);
    let (source, target) = (last_of_life(here.batches(), &guest), last_of_life(there.batches(), &guest));
    assert_ne!(source.epoch.id, target.epoch.id);
    let source_ns = source.registers.cpu_ns;
    println!("source {source_ns} of {left_ns} ns; target {} of {arrived_ns} ns", target.registers.cpu_ns);
    assert!(source_ns.abs_diff(left_ns) <= TICKS_NS, "as the exit records of all its threads");
    assert_eq!(billed(&batches, cpu_ns(id)), source_ns + target.registers.cpu_ns);
    assert_eq!(target.registers.cpu_ns, arrived_ns, "as the clock of its process");
    node.virsh(&["destroy", guest.name()]).unwrap();
}
