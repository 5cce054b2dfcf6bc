//! A paused guest whose process rests: it is not asked for its blocks, and what is read of it is right all the same.
//!
//! On a libvirtd of its own, so that nobody else asks the guest either. It has no NIC and no terminal, which QEMU would look
//! at each second.

use std::time::{Duration, Instant};

use metering::DiskRegisters;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::orders::{MIB, Order, Orders};
use testbed::second_node::{Net, SecondNode};

use crate::support::{LIMIT, Watch, id};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_guest_at_rest_is_not_asked_for_its_blocks_and_its_figures_are_right() {
    let node = SecondNode::start_with(&testbed::unique_name("weirt-kernel"), Net::Shared).unwrap();
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 64 }],
        orders: Orders::new([Order::Write("vda".into(), 8), Order::Burn(3), Order::Write("vda".into(), 16)]),
        place: node.place().clone(),
        has_terminal: false,
        ..GuestSpec::new(&testbed::unique_name("weirt-kernel"))
    };
    let guest = spec.start().unwrap();
    let mut watch = Watch::start(&node.place().uri_readonly(), SECOND);
    guest.wait_for("order=1 ", LIMIT).unwrap();
    guest.suspend().unwrap();
    let paused = counted(&guest);
    assert!(0 < paused.read_bytes, "firmware and kernel have read: {paused:?}");

    // Answering costs a process CPU time: three readings in a row cost this one not a nanosecond.
    let pid = guest.pid().unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "it is asked again and again: {:?}", watch.collector.kernel());
        let clock = testbed::truth::process_cpu_ns(pid).unwrap();
        let from = jiff::Timestamp::now();
        let read = loop {
            tokio::time::sleep(SECOND / 10).await;
            let read = disks(&mut watch, &guest, from);
            if 3 <= read.len() {
                break read;
            }
            assert!(Instant::now() < deadline, "it is read at each look: {read:?}");
        };
        if clock == testbed::truth::process_cpu_ns(pid).unwrap() {
            assert!(read.iter().all(|disk| *disk == paused), "and they carry what it had: {read:?}");
            break;
        }
    }
    assert_eq!(counted(&guest), paused, "as QEMU says when it is asked");

    // What it does after that counts.
    guest.resume().unwrap();
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    watch.look().await;
    let after = counted(&guest);
    assert_eq!(disks(&mut watch, &guest, jiff::Timestamp::UNIX_EPOCH).last(), Some(&after));
    assert!(paused.write_bytes + 8 * MIB <= after.write_bytes);
}

/// By libvirt's own tool.
fn counted(guest: &Guest) -> DiskRegisters {
    let disk = guest.figures().unwrap().disks["vda"];
    let flush_ops = 0;
    let testbed::truth::DiskFigures { read_bytes, read_ops, write_bytes, write_ops, .. } = disk;
    DiskRegisters { read_bytes, write_bytes, read_ops, write_ops, flush_ops }
}

/// By the collector, without the flushes, of which the tool says nothing here.
fn disks(watch: &mut Watch, guest: &Guest, from: jiff::Timestamp) -> Vec<DiskRegisters> {
    let id = id(guest);
    let all = watch.batches().iter().flat_map(|batch| &batch.readings.disks);
    let of_guest = all.filter(|disk| disk.instance_id == id && from < disk.observed_at);
    of_guest.map(|disk| DiskRegisters { flush_ops: 0, ..disk.registers }).collect()
}
