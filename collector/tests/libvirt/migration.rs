//! A guest that moves between two nodes of this machine, each with its own libvirtd and its own collector: one owner at each
//! instant, and every byte once.

use std::time::{Duration, Instant};

use metering::{EpochId, InstanceReading, InstanceState};
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::orders::{MIB, Order, Orders};
use testbed::second_node::{Net, SecondNode};

use crate::support::{LIMIT, URI, Watch, billed, id, of, running_ms, vcpu_ms, virsh, written};

/// Two nodes and a guest on the first.
struct Move {
    node: SecondNode,
    guest: Guest,
    here: Watch,
    there: Watch,
}

impl Move {
    /// The guest has carried out its first order.
    async fn prepare(name: &str, orders: Vec<Order>) -> Self {
        testbed::daemons::ensure().unwrap();
        let node = SecondNode::start_with(&testbed::unique_name("weirt-epochs"), Net::Shared).unwrap();
        let here = Watch::start(URI);
        let there = Watch::start(&node.place().uri_readonly());
        here.look().await;
        there.look().await;
        let guest = GuestSpec {
            disks: vec![DiskSpec { target: "vda".into(), mib: 16 }],
            orders: Orders::new(orders),
            ..GuestSpec::new(&testbed::unique_name(name))
        }
        .start()
        .unwrap();
        guest.wait_for("WEIR order=2 ", LIMIT).unwrap();
        Self { node, guest, here, there }
    }

    /// The arguments of a live migration that copies the disk into a file of the other node's own.
    fn migrate(&self, more: &[&str]) -> Vec<String> {
        let name = self.guest.name();
        let copy = self.guest.disk_path("vda").with_file_name("copy.qcow2");
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&copy)
            .arg("16M")
            .status();
        assert!(made.unwrap().success());
        let xml = virsh(&["dumpxml", name, "--migratable"]);
        let there = self.guest.disk_path("vda").with_file_name("there.xml");
        let moved = xml.replace(self.guest.disk_path("vda").to_str().unwrap(), copy.to_str().unwrap());
        std::fs::write(&there, moved).unwrap();
        let uri = self.node.place().uri();
        let fixed = ["migrate", "--live", name, "--desturi", uri, "--migrateuri", "tcp://127.0.0.1"];
        let copied = ["--copy-storage-all", "--xml", there.to_str().unwrap()];
        fixed.iter().chain(&copied).chain(more).map(|argument| (*argument).to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_migration_has_one_owner_at_each_instant_and_loses_no_byte() {
    let mut orders = vec![Order::Write("vda".into(), 8)];
    for _ in 0..4 {
        orders.extend([Order::Sleep(1), Order::Write("vda".into(), 2)]);
    }
    orders.push(Order::Sleep(4));
    orders.push(Order::Write("vda".into(), 3));
    let total = (8 + 4 * 2 + 3) * MIB;
    let Move { node, guest, mut here, mut there } = {
        let moving = Move::prepare("weirt-epochs-move", orders).await;
        let arguments = moving.migrate(&[]);
        let migrated = tokio::task::spawn_blocking(move || {
            virsh(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        });
        migrated.await.unwrap();
        moving
    };
    let id = id(&guest);
    let until = Instant::now() + LIMIT;
    let both = |here: &mut Watch, there: &mut Watch| [here.batches(), there.batches()].concat();
    while billed(&both(&mut here, &mut there), written(id, "vda")) < total {
        let unread = [here.gaps(id), there.gaps(id)];
        assert!(
            Instant::now() < until,
            "{} of {total} bytes are billed; not read: {unread:#?}; the guest says: {}",
            billed(&both(&mut here, &mut there), written(id, "vda")),
            guest.console_text().unwrap()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    node.virsh(&["destroy", guest.name()]).unwrap();
    here.look().await;
    there.look().await;

    assert_eq!(billed(&both(&mut here, &mut there), written(id, "vda")), total, "before, during and after");
    check_owners(&of(here.batches(), id), &of(there.batches(), id));
    let all = both(&mut here, &mut there);
    let (first, last) = (here.began_at(), jiff::Timestamp::now());
    let passed = u64::try_from(last.duration_since(first).as_millis()).unwrap();
    assert!(billed(&all, running_ms(id)) <= passed && billed(&all, vcpu_ms(id)) <= passed);
    drop(guest);
}

/// The source speaks of it until it was paused for good, the target from when it executed.
#[track_caller]
fn check_owners(source: &[InstanceReading], target: &[InstanceReading]) {
    let is_run = |reading: &&InstanceReading| reading.epoch.born_at.is_some();
    // Defined, it may be seen before it starts.
    let source: Vec<_> = source.iter().skip_while(|reading| !is_run(reading)).collect();
    let (left, arrived) = (source[source.len() - 1], &target[0]);
    assert!(source.iter().all(is_run), "its shell is nobody's: {source:#?}");
    assert_ne!(left.epoch.id, arrived.epoch.id);
    assert_eq!(left.state, InstanceState::Paused, "its last reading is that of the switch");
    assert_eq!(arrived.state, InstanceState::Running);
    let born_at = arrived.epoch.born_at.unwrap();
    assert!(left.observed_at <= born_at, "{} and {born_at}: two owners", left.observed_at);
    assert!(target.iter().filter(is_run).all(|reading| reading.epoch == arrived.epoch), "one life there");
    assert_eq!(
        target.last().unwrap().state,
        InstanceState::Gone,
        "it was transient there, and was destroyed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_given_up_costs_the_source_nothing_and_the_target_knows_of_nothing() {
    let orders = vec![Order::Write("vda".into(), 12), Order::Sleep(60)];
    let mut moving = Move::prepare("weirt-epochs-stay", orders).await;
    let id = id(&moving.guest);
    moving.here.look().await;
    // 1 MiB/s: it would take a minute.
    let arguments = moving.migrate(&["--bandwidth", "1"]);
    let name = moving.guest.name().to_owned();
    let migration = tokio::task::spawn_blocking(move || {
        std::process::Command::new("virsh").args(&arguments).output().unwrap().status.success()
    });
    let until = Instant::now() + LIMIT;
    while !moving.node.virsh(&["list", "--all", "--name"]).unwrap().contains(&name) {
        assert!(Instant::now() < until, "the migration did not begin");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    moving.there.look().await;
    moving.here.look().await;
    virsh(&["domjobabort", &name]);
    assert!(!migration.await.unwrap(), "it was given up");
    moving.here.look().await;
    moving.there.look().await;

    assert_eq!(of(moving.there.batches(), id), [], "a shell is no instance");
    assert!(
        moving.there.batches().iter().all(|batch| batch.gaps.iter().all(|gap| gap.instance_id != Some(id)))
    );
    let mut readings = of(moving.here.batches(), id);
    readings.retain(|reading| reading.epoch.id != EpochId::NONE);
    let (first, last) = (&readings[0], &readings[readings.len() - 1]);
    assert!(readings.iter().all(|reading| reading.epoch == first.epoch), "one life");
    let passed = last.observed_at.duration_since(first.observed_at).as_millis();
    let held = i128::from(last.registers.running_ms - first.registers.running_ms);
    assert!((passed - held).abs() <= 1_000, "{passed} ms passed, {held} ms were held");
    assert_eq!(moving.here.billed(written(id, "vda")), 12 * MIB);
}
