//! Guests that are killed, without a look before: billed to the last byte and nanosecond.

use std::time::Duration;

use metering::{GapReason, InstanceState};
use rustix::process::Signal;
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};

use crate::kernel_truth::{Truth, tap};
use crate::support::{LIMIT, URI, Watch, id, instances, last_nic, threads_and_ended};

/// So seldom that no reading but those of events is taken.
const NEVER: Duration = Duration::from_secs(3_600);

fn guest(network: &Network, server: &FileServer) -> Guest {
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 64 }],
        networks: vec![network.name().to_owned()],
        orders: Orders::new([
            Order::Write("vda".into(), 16),
            Order::Fetch("eth0".into(), server.bytes_url(2 * MIB)),
        ]),
        ..GuestSpec::new(&testbed::unique_name("weirt-kernel"))
    };
    spec.start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_killed_is_billed_to_its_last_byte_and_nanosecond() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut truth = Truth::listen();
    let mut watch = Watch::start(URI, NEVER);
    watch.look().await;
    let guest = guest(&network, &server);
    let (id, pid, mac, tap) = (id(&guest), guest.pid().unwrap(), guest.macs()[0].clone(), tap(&guest));
    watch.wait_for(id, "of the start", |reading| reading.state == InstanceState::Running).await;
    let at_start = instances(watch.batches(), id).last().unwrap().registers.cpu_ns;
    guest.wait_for("WEIR all done", LIMIT).unwrap();

    // Its clock stands still from here on, and it never reads another packet.
    guest.signal(Signal::STOP).unwrap();
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(' ').nth(2) != Some("T") {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    let (stopped, ended_ns) = threads_and_ended(pid);
    let clock_ns = ended_ns + stopped.values().sum::<u64>();
    guest.kill().unwrap();
    watch.wait_for(id, "of the end", |reading| reading.state == InstanceState::Stopped).await;

    let mut records = truth.threads_of(pid);
    // What ended before it was stopped (QEMU ends idle workers by itself) is in `ended_ns` already.
    records.retain(|thread, _| stopped.contains_key(thread));
    assert_eq!(records.len(), stopped.len(), "{records:?} {stopped:?}");
    let cpu_ns = ended_ns + records.values().sum::<u64>();
    let batches = watch.batches().to_vec();
    let last = instances(&batches, id).into_iter().rfind(|reading| reading.registers.cpu_ns != 0).unwrap();
    assert!(at_start < last.registers.cpu_ns);
    assert_eq!(last.registers.cpu_ns, cpu_ns, "{records:?} {stopped:?}");
    assert!(clock_ns <= cpu_ns, "the records hold at least what its clock showed: {clock_ns} {cpu_ns}");
    assert_eq!(last_nic(&batches, id, &mac), truth.last_of_tap(&tap));
    assert!(2 * MIB < last_nic(&batches, id, &mac).rx_bytes);
    // What only QEMU knew is gone with it, and that is said.
    let gaps = batches.iter().flat_map(|batch| &batch.gaps);
    let of_guest = gaps.filter(|gap| gap.instance_id == Some(id));
    let unread: Vec<_> = of_guest.filter(|gap| gap.reason == GapReason::EndedUnread).collect();
    assert_eq!(unread.len(), 1, "{unread:?}");
    assert_eq!((unread[0].instance_id, unread[0].device.as_deref()), (Some(id), Some("vda")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_destroyed_behind_our_back_is_billed_to_its_last_byte_and_nanosecond() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut truth = Truth::listen();
    let mut watch = Watch::start(URI, NEVER);
    watch.look().await;
    let guest = guest(&network, &server);
    let (id, pid, mac, tap) = (id(&guest), guest.pid().unwrap(), guest.macs()[0].clone(), tap(&guest));
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.destroy().unwrap();
    watch.wait_for(id, "of the end", |reading| reading.state == InstanceState::Stopped).await;

    let records = truth.threads_of(pid);
    let batches = watch.batches().to_vec();
    let last = instances(&batches, id).into_iter().rfind(|reading| reading.registers.cpu_ns != 0).unwrap();
    // A thread's record is sent while it ends; its last microseconds are on the process' clock alone, which the
    // collector has read too.
    assert!(records.values().sum::<u64>() <= last.registers.cpu_ns, "{records:?} {last:?}");
    assert_eq!(last_nic(&batches, id, &mac), truth.last_of_tap(&tap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nic_that_is_unplugged_is_billed_to_its_last_byte_and_the_next_one_with_its_mac_is_another() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut truth = Truth::listen();
    let mut watch = Watch::start(URI, NEVER);
    let guest = guest(&network, &server);
    let (id, mac, tap) = (id(&guest), guest.macs()[0].clone(), tap(&guest));
    watch.wait_for(id, "of the start", |reading| reading.state == InstanceState::Running).await;
    watch.look().await;
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.detach_nic(&mac).unwrap();
    let last = truth.last_of_tap(&tap);
    watch.look().await;
    assert_eq!(last_nic(watch.batches(), id, &mac), last);
    assert!(2 * MIB < last.rx_bytes);
}

/// How many processes the kernel has ended for want of memory.
fn ended_for_memory() -> u64 {
    let all = std::fs::read_to_string("/proc/vmstat").unwrap();
    all.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap()
}

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_the_kernel_ends_for_want_of_memory_is_billed_to_its_last_byte_and_nanosecond() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut truth = Truth::listen();
    let mut watch = Watch::start(URI, NEVER);
    watch.look().await;
    let spec = GuestSpec {
        memory_mib: 256,
        networks: vec![network.name().to_owned()],
        orders: Orders::new([
            Order::Fetch("eth0".into(), server.bytes_url(2 * MIB)),
            Order::Fetch("eth0".into(), server.gate_url("more")),
            // It puts together in its memory what it sends.
            Order::Send("eth0".into(), 96, server.sink_url()),
        ]),
        ..GuestSpec::new(&testbed::unique_name("weirt-kernel"))
    };
    let guest = spec.start().unwrap();
    let (id, pid, mac, tap) = (id(&guest), guest.pid().unwrap(), guest.macs()[0].clone(), tap(&guest));
    let until = std::time::Instant::now() + LIMIT;
    while server.arrived("more") == 0 {
        assert!(std::time::Instant::now() < until, "the guest never came to the gate");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let limit_kib = (resident_kib(pid) + (16 << 10)).to_string();
    testbed::process::virsh(&["memtune", guest.name(), "--hard-limit", &limit_kib, "--live"]).unwrap();
    let before = ended_for_memory();
    server.let_through("more");
    watch.wait_for(id, "of the end", |reading| reading.state == InstanceState::Stopped).await;

    assert!(before < ended_for_memory(), "nobody but the kernel has ended it");
    let records = truth.threads_of(pid);
    let batches = watch.batches().to_vec();
    let last = instances(&batches, id).into_iter().rfind(|reading| reading.registers.cpu_ns != 0).unwrap();
    let cpu_ns = records.values().sum::<u64>();
    println!("billed {} of {cpu_ns} ns by exit records", last.registers.cpu_ns);
    assert!(cpu_ns <= last.registers.cpu_ns, "{records:?} {last:?}");
    assert_eq!(last_nic(&batches, id, &mac), truth.last_of_tap(&tap));
}
