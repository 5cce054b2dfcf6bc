//! Real guests that do known work, read by a real collector.

use std::time::Duration;

use crate::support::{LIMIT, URI, Watch, id, received, running_ms, virsh, written};
use metering::{EpochId, InstanceId, InstanceState, Point, Readings};
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::lifecycle::Watcher;
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};

fn disk(target: &str, mib: u64) -> DiskSpec {
    DiskSpec { target: target.into(), mib }
}

fn written_ops(instance_id: InstanceId) -> impl Fn(&Readings) -> Vec<Point<1>> {
    move |readings| {
        let of_disk = readings.disks.iter().filter(|disk| disk.instance_id == instance_id);
        of_disk
            .map(|disk| Point {
                observed_at: disk.observed_at,
                epoch: disk.epoch,
                registers: [disk.registers.write_ops],
                is_last: false,
            })
            .collect()
    }
}

#[tokio::test]
async fn known_work_is_read_to_the_last_byte_over_a_stop_and_a_restart_of_the_collector() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-coll")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let lives = Watcher::start().unwrap();
    let watch = Watch::start(URI);
    watch.look().await;
    let guest = GuestSpec {
        disks: vec![disk("vda", 64)],
        networks: vec![network.name().to_owned()],
        orders: Orders::new([
            Order::Write("vda".into(), 32),
            Order::Fetch("eth0".into(), server.bytes_url(5 * MIB)),
        ]),
        tenant_metadata: Some("alder".into()),
        ..GuestSpec::new(&testbed::unique_name("weirt-coll"))
    }
    .start()
    .unwrap();
    let id = id(&guest);

    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.silence().unwrap();
    watch.look().await;
    let first = guest.figures().unwrap();
    guest.destroy().unwrap();
    watch.look().await;
    // Off while the collector is restarted; started again before anybody looks.
    let mut watch = watch.restart().await;
    guest.start().unwrap();
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.silence().unwrap();
    watch.look().await;
    let second = guest.figures().unwrap();
    guest.destroy().unwrap();
    watch.look().await;

    assert_eq!(watch.billed(written(id, "vda")), 2 * 33_554_432);
    assert_eq!(watch.billed(written_ops(id)), 2 * 32);
    let mac = &guest.macs()[0];
    let truth = first.nics[mac].rx_bytes + second.nics[mac].rx_bytes;
    assert!(2 * 5 * MIB < truth, "the guest received what it fetched");
    assert_eq!(watch.billed(received(id, mac)), truth, "rx is what the guest received");
    let truth = lives.lives(guest.name(), jiff::Timestamp::now());
    let truth: i64 = truth.iter().map(|life| life.running_ms).sum();
    let billed = i64::try_from(watch.billed(running_ms(id))).unwrap();
    // Never more than it ran. Less by a reading at either end of a life, and by the two seconds or so for which libvirt
    // answers nobody while it ends a guest (a stop by Weir takes its last reading before that).
    let most_lost = 2 * (2 * 1_000 + 2_500);
    assert!(billed <= truth + 2 * 100, "two lives, {truth} ms, billed {billed} ms");
    assert!(truth - most_lost < billed, "two lives, {truth} ms, billed {billed} ms");
    check_instance(&mut watch, id, &guest);
}

/// Facts, states, epochs and the volume of the guest above.
fn check_instance(watch: &mut Watch, id: InstanceId, guest: &Guest) {
    let batches = watch.batches();
    let facts: Vec<_> =
        batches.iter().flat_map(|batch| &batch.instances).filter(|facts| facts.instance_id == id).collect();
    assert_eq!(facts.len(), 1, "told once, not at each look");
    assert_eq!(facts[0].tenant_label.as_deref(), Some("alder"));
    assert_eq!(facts[0].name, guest.name());
    let readings = batches.iter().flat_map(|batch| &batch.readings.instances);
    let of_guest: Vec<_> = readings.filter(|reading| reading.instance_id == id).collect();
    let mut lives: Vec<EpochId> = of_guest.iter().map(|reading| reading.epoch.id).collect();
    lives.retain(|epoch| *epoch != EpochId::NONE);
    lives.dedup();
    assert_eq!(lives.len(), 2, "{lives:?}");
    assert!(of_guest.iter().any(|reading| reading.state == InstanceState::Stopped));
    for reading in of_guest.iter().filter(|reading| reading.state == InstanceState::Running) {
        assert_eq!((reading.vcpus, reading.memory_kib), (1, 128 * 1_024));
        assert!(reading.epoch.born_at.is_some_and(|born_at| born_at <= reading.observed_at));
    }
    let path = guest.disk_path("vda").to_string_lossy().into_owned();
    let volumes = batches.iter().flat_map(|batch| &batch.volumes);
    let volume = volumes
        .filter(|volume| volume.instance_id == Some(id))
        .find(|volume| path.ends_with(&volume.name))
        .unwrap();
    let mut readings = batches.iter().flat_map(|batch| &batch.readings.volumes);
    let last = readings.rfind(|reading| reading.volume_id == volume.volume_id).unwrap();
    assert!(last.exists && last.capacity_bytes == 64 * MIB, "{last:?}");
    assert!(last.epoch.born_at.is_some(), "its file was made while we looked");
}

/// Writes, waits for plugs and unplugs, and says on the server how far it is.
fn plugging_orders(server: &FileServer) -> Orders {
    let say = |name: &str| Order::Fetch("eth0".into(), server.mark_url(name));
    Orders::new([
        Order::Write("vda".into(), 8),
        say("before"),
        Order::WaitDisk("vdb".into()),
        Order::Write("vdb".into(), 4),
        Order::Write("vda".into(), 8),
        say("written"),
        Order::GoneDisk("vdb".into()),
        say("gone"),
        Order::WaitDisk("vdb".into()),
        Order::Write("vdb".into(), 6),
        Order::WaitNic("eth1".into()),
        Order::Fetch("eth1".into(), server.bytes_url(MIB)),
    ])
}

fn wait_for_mark(server: &FileServer, name: &str) {
    let until = std::time::Instant::now() + LIMIT;
    while server.marks(name) == 0 {
        assert!(std::time::Instant::now() < until, "the guest never reached {name}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Puts a new image on top of the guest's first disk while it runs.
fn snapshot(guest: &Guest) {
    let file = guest.disk_path("vda").with_extension("snapshot");
    let spec = format!("vda,file={}", file.display());
    let how = ["--disk-only", "--no-metadata", "--diskspec", &spec];
    virsh(&[&["snapshot-create-as", guest.name(), "s"], how.as_slice()].concat());
}

#[tokio::test]
async fn plugging_snapshots_and_pauses_count_every_byte_once() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-coll")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut watch = Watch::start(URI);
    let guest = GuestSpec {
        disks: vec![disk("vda", 64)],
        networks: vec![network.name().to_owned()],
        orders: plugging_orders(&server),
        ..GuestSpec::new(&testbed::unique_name("weirt-coll"))
    }
    .start()
    .unwrap();
    let id = id(&guest);

    wait_for_mark(&server, "before");
    snapshot(&guest);
    guest.attach_disk(&disk("vdb", 16)).unwrap();
    wait_for_mark(&server, "written");
    watch.look().await;
    let epoch = last_disk_epoch(&mut watch, id, "vda");
    virsh(&["blockcommit", guest.name(), "vda", "--active", "--pivot", "--wait"]);
    watch.look().await;
    assert_eq!(last_disk_epoch(&mut watch, id, "vda"), epoch, "a commit is no new disk");
    guest.detach_disk("vdb").unwrap();
    wait_for_mark(&server, "gone");
    watch.look().await;
    guest.attach_disk(&disk("vdb", 16)).unwrap();
    let mac = guest.attach_nic(network.name()).unwrap();
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    guest.silence().unwrap();
    watch.look().await;
    let truth = guest.figures().unwrap().nics[&mac].rx_bytes;

    assert_eq!(watch.billed(written(id, "vda")), 16 * MIB, "over a snapshot and its commit");
    assert_eq!(watch.billed(written(id, "vdb")), 10 * MIB, "over two attachments");
    assert_eq!(watch.billed(received(id, &mac)), truth);
    let mut facts = watch.batches().iter().flat_map(|batch| &batch.instances);
    let makeup = facts.rfind(|facts| facts.instance_id == id).unwrap().makeup.clone();
    let nics = [guest.macs()[0].clone(), mac].map(|mac| (mac, network.name().to_owned()));
    assert_eq!(makeup.networks, nics.into(), "the NIC that was plugged in, too");
    assert_eq!(makeup.image, None, "what a snapshot lay over is committed");
    check_pause(&mut watch, &guest, id).await;
}

/// What is held goes on in a pause, running time does not.
async fn check_pause(watch: &mut Watch, guest: &Guest, id: InstanceId) {
    guest.suspend().unwrap();
    watch.look().await;
    let held = last_instance(watch, id);
    tokio::time::sleep(Duration::from_secs(2)).await;
    watch.look().await;
    let later = last_instance(watch, id);
    assert_eq!((held.state, later.state), (InstanceState::Paused, InstanceState::Paused));
    assert_eq!(held.registers.running_ms, later.registers.running_ms);
    assert!(held.registers.vcpu_ms + 2_000 <= later.registers.vcpu_ms);
}

fn last_instance(watch: &mut Watch, id: InstanceId) -> metering::InstanceReading {
    let mut readings = watch.batches().iter().flat_map(|batch| &batch.readings.instances);
    readings.rfind(|reading| reading.instance_id == id).unwrap().clone()
}

fn last_disk_epoch(watch: &mut Watch, id: InstanceId, target: &str) -> EpochId {
    let readings = watch.batches().iter().flat_map(|batch| &batch.readings.disks);
    let mut of_disk = readings.filter(|reading| reading.instance_id == id && reading.target == target);
    of_disk.next_back().unwrap().epoch.id
}
