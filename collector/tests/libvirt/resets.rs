//! What resets what: each row of the table in docs/metering.md on real guests, against what libvirt says and known bytes.

use std::time::Duration;

use metering::{GapReason, InstanceId, InstanceReading, InstanceState};
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::lifecycle::Watcher;
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};

use crate::support::{LIMIT, URI, Watch, cpu_ns, id, received, running_ms, vcpu_ms, virsh, written};

/// A guest of the firmware alone, which goes on looking for something to boot: enough for everything but bytes.
struct Firmware {
    name: String,
    uuid: String,
}

impl Firmware {
    /// `vcpu`: the element that says how many.
    fn start(name: &str, vcpu: &str) -> Self {
        let guest = Self { name: testbed::unique_name(name), uuid: uuid::Uuid::new_v4().to_string() };
        let xml = format!(
            "<domain type='qemu'><name>{}</name><uuid>{}</uuid><memory unit='MiB'>64</memory>{vcpu}\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features></domain>",
            guest.name, guest.uuid
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), xml).unwrap();
        virsh(&["define", file.path().to_str().unwrap()]);
        virsh(&["start", &guest.name]);
        guest
    }

    fn id(&self) -> InstanceId {
        self.uuid.parse().unwrap()
    }
}

impl Drop for Firmware {
    fn drop(&mut self) {
        for verb in ["destroy", "undefine"] {
            // It may be off or gone already.
            let _ = std::process::Command::new("virsh").args(["-q", verb, &self.uuid]).output();
        }
    }
}

fn disk_spec() -> Vec<DiskSpec> {
    vec![DiskSpec { target: "vda".into(), mib: 16 }]
}

/// Milliseconds between two instants.
fn ms(from: jiff::Timestamp, to: jiff::Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_keeps_all_registers_and_a_save_begins_new_ones() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-epochs")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut watch = Watch::start(URI);
    watch.look().await;
    let fetch = Order::Fetch("eth0".into(), server.bytes_url(MIB));
    let guest = GuestSpec {
        disks: disk_spec(),
        networks: vec![network.name().to_owned()],
        orders: Orders::new([Order::Write("vda".into(), 8), fetch]),
        ..GuestSpec::new(&testbed::unique_name("weirt-epochs"))
    }
    .define()
    .unwrap();
    let (id, mac) = (id(&guest), guest.macs()[0].clone());
    virsh(&["set-lifecycle-action", guest.name(), "reboot", "restart", "--config"]);
    guest.start().unwrap();
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    watch.look().await;
    let before = guest.figures().unwrap();

    // A reset: the same process, the same registers.
    virsh(&["reset", guest.name()]);
    wait_for_written(&guest, 16 * MIB).await;
    guest.wait_for_silence();
    watch.look().await;
    let reset = guest.figures().unwrap();
    assert_eq!(watch.lives(id).len(), 1, "a reset is no new life");
    assert!(
        before.cpu_ns < reset.cpu_ns && before.nics[&mac].rx_bytes < reset.nics[&mac].rx_bytes,
        "they go on"
    );
    assert_eq!(watch.billed(written(id, "vda")), 16 * MIB);
    assert_eq!(watch.billed(received(id, &mac)), reset.nics[&mac].rx_bytes);

    // Saved and restored: another process, and all begin at zero.
    let file = guest.disk_path("vda").with_extension("saved");
    virsh(&["save", guest.name(), file.to_str().unwrap()]);
    watch.look().await;
    assert_eq!(watch.readings(id).last().unwrap().state, InstanceState::Stopped, "saved, it holds no vCPU");
    virsh(&["restore", file.to_str().unwrap()]);
    watch.look().await;
    assert_eq!(watch.lives(id).len(), 2);
    assert_eq!(guest.figures().unwrap().disks["vda"].write_bytes, 0, "libvirt's own figure");
    virsh(&["managedsave", guest.name()]);
    watch.look().await;
    guest.start().unwrap();
    watch.look().await;
    assert_eq!(watch.lives(id).len(), 3);
    assert_eq!(watch.billed(written(id, "vda")), 16 * MIB, "not a byte twice");
    let last = watch.readings(id).last().unwrap().registers.cpu_ns;
    assert!(watch.billed(cpu_ns(id)) >= reset.cpu_ns.unwrap() + last, "all lives' CPU time");
}

/// Until libvirt has counted so many bytes.
async fn wait_for_written(guest: &Guest, bytes: u64) {
    let until = std::time::Instant::now() + LIMIT;
    while guest.figures().unwrap().disks["vda"].write_bytes < bytes {
        assert!(std::time::Instant::now() < until, "{} did not write {bytes} bytes", guest.name());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A guest that has done its work, cut off from its networks so that its counters stand.
trait Silence {
    fn wait_for_silence(&self);
}

impl Silence for Guest {
    fn wait_for_silence(&self) {
        let until = std::time::Instant::now() + LIMIT;
        let mut before = None;
        loop {
            let nics = self.figures().unwrap().nics;
            if before.as_ref() == Some(&nics) {
                break;
            }
            assert!(std::time::Instant::now() < until, "{} does not come to rest", self.name());
            before = Some(nics);
            std::thread::sleep(Duration::from_millis(1_500));
        }
        self.silence().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nic_that_returns_with_its_mac_and_a_host_device_that_another_tenant_gets_mix_nothing() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-epochs")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut watch = Watch::start(URI);
    watch.look().await;
    let spec = |tenant: &str, orders: Vec<Order>| GuestSpec {
        networks: vec![network.name().to_owned()],
        orders: Orders::new(orders),
        tenant_metadata: Some(tenant.into()),
        ..GuestSpec::new(&testbed::unique_name("weirt-epochs"))
    };
    let fetch = |mib| Order::Fetch("eth0".into(), server.bytes_url(mib * MIB));
    let replugged = vec![fetch(2), Order::GoneNic("eth0".into()), Order::WaitNic("eth0".into()), fetch(3)];
    let first = spec("alder", replugged).start().unwrap();
    // libvirt gives out vnetN in turn; a name of the test's own is used again at once.
    let device = format!("wt{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let (first_id, mac) = (id(&first), first.macs()[0].clone());
    first.wait_for("WEIR order=2 ", LIMIT).unwrap();
    watch.look().await;
    // A frame of the host's between this reading and the unplugging would be billed and not be in what the test knows.
    first.silence().unwrap();
    let before = first.detach_nic(&mac).unwrap().nics[&mac];
    watch.look().await;
    plug(&first, &network, &mac, &device);
    first.wait_for("WEIR all done", LIMIT).unwrap();
    first.silence().unwrap();
    watch.look().await;
    let after = first.figures().unwrap().nics[&mac];
    assert!(after.rx_bytes < before.rx_bytes + 3 * MIB, "it counts from zero again");
    assert_eq!(watch.billed(received(first_id, &mac)), before.rx_bytes + after.rx_bytes);
    first.destroy().unwrap();

    // Another tenant's guest gets the same device of the host before anybody looks.
    let second =
        GuestSpec { networks: Vec::new(), ..spec("birch", vec![Order::WaitNic("eth0".into()), fetch(1)]) };
    let (second, second_mac) = (second.start().unwrap(), mac.replace("52:54:00", "52:54:01"));
    let second_id = id(&second);
    plug(&second, &network, &second_mac, &device);
    second.wait_for("WEIR all done", LIMIT).unwrap();
    second.silence().unwrap();
    watch.look().await;
    let truth = second.figures().unwrap().nics[&second_mac].rx_bytes;
    assert_eq!(watch.billed(received(second_id, &second_mac)), truth);
    assert_eq!(
        watch.billed(received(first_id, &mac)),
        before.rx_bytes + after.rx_bytes,
        "and the first pays no more"
    );
}

/// Plugs a NIC in that has this name on the host.
#[track_caller]
fn plug(guest: &Guest, network: &Network, mac: &str, device: &str) {
    let what = ["network", network.name(), "--model", "virtio", "--mac", mac, "--target", device, "--live"];
    virsh(&[["attach-interface", guest.name()].as_slice(), &what].concat());
    assert!(virsh(&["domiflist", guest.name()]).contains(device), "the name is taken as it is given");
}

/// The instant at which libvirt says that something was done: between two readings of the clock.
fn timed(work: impl FnOnce()) -> (jiff::Timestamp, jiff::Timestamp) {
    let before = jiff::Timestamp::now();
    work();
    (before, jiff::Timestamp::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_vcpus_count_from_the_moment_that_they_are_plugged_in() {
    testbed::daemons::ensure().unwrap();
    // Looks come once an hour, unless something happens.
    let mut watch = Watch::start_every(URI, Duration::from_secs(3_600));
    watch.look().await;
    let guest = Firmware::start("weirt-epochs", "<vcpu current='1'>3</vcpu>");
    watch.look().await;
    let first = watch.readings(guest.id()).pop().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, after) = timed(|| drop(virsh(&["setvcpus", &guest.name, "3", "--live"])));
    tokio::time::sleep(Duration::from_secs(2)).await;
    watch.look().await;
    let last = watch.readings(guest.id()).pop().unwrap();

    assert_eq!((first.vcpus, last.vcpus, first.epoch), (1, 3, last.epoch));
    let held = i64::try_from(last.registers.vcpu_ms - first.registers.vcpu_ms).unwrap();
    let split = |at| ms(first.observed_at, at) + 3 * ms(at, last.observed_at);
    // The file that tells is written within the command.
    assert!(
        split(after) - 100 <= held && held <= split(before) + 100,
        "{held} ms, {} to {}",
        split(after),
        split(before)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_pauses_and_stops_by_anybody_count_to_the_moment_though_nobody_looks() {
    testbed::daemons::ensure().unwrap();
    let lives = Watcher::start().unwrap();
    let mut watch = Watch::start_every(URI, Duration::from_secs(3_600));
    watch.look().await;
    let guest = Firmware::start("weirt-epochs", "<vcpu>1</vcpu>");
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        virsh(&["suspend", &guest.name]);
        tokio::time::sleep(Duration::from_millis(700)).await;
        virsh(&["resume", &guest.name]);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        virsh(&["destroy", &guest.name]);
        virsh(&["start", &guest.name]);
    }
    // It is renamed while it is off, and undefined behind everybody's back.
    virsh(&["destroy", &guest.name]);
    let name = format!("{}-b", guest.name);
    virsh(&["domrename", &guest.name, &name]);
    watch.look().await;
    virsh(&["undefine", &name]);
    watch.look().await;

    let id = guest.id();
    let truth: i64 = [&guest.name, &name]
        .iter()
        .flat_map(|name| lives.lives(name, jiff::Timestamp::now()))
        .map(|life| life.running_ms)
        .sum();
    let billed = i64::try_from(watch.billed(running_ms(id))).unwrap();
    assert!((truth - billed).abs() <= 3 * 100, "{truth} ms by libvirt's events, {billed} ms billed");
    assert!(billed <= i64::try_from(watch.billed(vcpu_ms(id))).unwrap(), "what is paused or starts is held");
    let readings = watch.readings(id);
    let told: Vec<String> = readings
        .iter()
        .map(|one| {
            format!("{} {:?} {:?} {}", one.observed_at, one.epoch.id, one.state, one.registers.running_ms)
        })
        .collect();
    assert_eq!(watch.lives(id).len(), 3, "{told:#?} {:#?}", lives.events());
    assert_eq!(readings.last().unwrap().state, InstanceState::Gone);
    check_order(&readings);
    let names: Vec<String> = watch
        .batches()
        .iter()
        .flat_map(|batch| &batch.instances)
        .filter(|facts| facts.instance_id == id)
        .map(|facts| facts.name.clone())
        .collect();
    assert_eq!(names.last(), Some(&name), "{names:?}");
}

/// In order of time, and no register falls within a life.
#[track_caller]
fn check_order(readings: &[InstanceReading]) {
    for pair in readings.windows(2) {
        assert!(pair[0].observed_at <= pair[1].observed_at, "{pair:#?}");
        if pair[0].epoch == pair[1].epoch {
            assert!(pair[0].registers.running_ms <= pair[1].registers.running_ms);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_guest_that_dies_at_once_is_billed_for_its_life_and_what_is_not_known_is_a_gap() {
    testbed::daemons::ensure().unwrap();
    let lives = Watcher::start().unwrap();
    let mut watch = Watch::start_every(URI, Duration::from_secs(3_600));
    watch.look().await;
    let name = testbed::unique_name("weirt-epochs");
    let uuid = uuid::Uuid::new_v4().to_string();
    let xml = format!(
        "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), xml).unwrap();
    virsh(&["create", file.path().to_str().unwrap()]);
    virsh(&["destroy", &name]);
    watch.look().await;

    let id: InstanceId = uuid.parse().unwrap();
    let truth: i64 = lives.lives(&name, jiff::Timestamp::now()).iter().map(|life| life.running_ms).sum();
    let billed = i64::try_from(watch.billed(running_ms(id))).unwrap();
    assert!((truth - billed).abs() <= 100, "{truth} ms by libvirt's events, {billed} ms billed");
    let readings = watch.readings(id);
    assert_eq!(readings.last().unwrap().state, InstanceState::Gone);
    let is_cpu_known = 0 < watch.billed(cpu_ns(id));
    let gaps = watch.gaps(id);
    assert!(is_cpu_known || gaps.iter().any(|gap| gap.reason == GapReason::EndedUnread), "{gaps:?}");
}
