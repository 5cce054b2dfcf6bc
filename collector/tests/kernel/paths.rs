//! The two paths of real guests: they agree, and one stands in for the other.

use std::time::Duration;

use metering::{GapReason, InstanceReading, InstanceState, NoticeKind};
use rustix::process::Signal;
use rustix::thread::{CapabilitySet, CapabilitySets};
use testbed::guest::{DiskSpec, GuestSpec};
use testbed::network::Network;
use testbed::orders::{Order, Orders};

use crate::support::{LIMIT, URI, Watch, id, instances};

const SECOND: Duration = Duration::from_secs(1);

fn busy(networks: Vec<String>) -> GuestSpec {
    guest(networks, Order::Burn(60))
}

/// It leaves the processors to the other tests.
fn idle() -> GuestSpec {
    guest(Vec::new(), Order::Sleep(60))
}

fn guest(networks: Vec<String>, then: Order) -> GuestSpec {
    GuestSpec {
        disks: vec![DiskSpec { target: "vda".into(), mib: 64 }],
        networks,
        orders: Orders::new([Order::Write("vda".into(), 8), then]),
        ..GuestSpec::new(&testbed::unique_name("weirt-kernel"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_paths_of_a_busy_guest_tell_the_same_at_every_look() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let mut watch = Watch::start(URI, SECOND);
    let guest = busy(vec![network.name().to_owned()]).start().unwrap();
    let id = id(&guest);
    guest.wait_for("order=1 ", LIMIT).unwrap();
    network.broadcast().unwrap();
    for _ in 0..10 {
        watch.look().await;
    }
    let snapshot = watch.collector.kernel();
    let paths = snapshot.instances.iter().find(|instance| instance.instance_id == id).unwrap();
    let (kernel, libvirt) = (paths.cpu_ns.kernel.clone().unwrap(), paths.cpu_ns.hypervisor.clone().unwrap());
    assert!(kernel.source.contains("process") && libvirt.source.contains("virConnectGetAllDomainStats"));
    assert_eq!(
        (paths.cpu_ns.difference.clone(), paths.pid),
        (None, u32::try_from(guest.pid().unwrap()).ok())
    );
    let (mac, nic) = &paths.nics[0];
    assert_eq!((mac, &nic.difference), (&guest.macs()[0], &None));
    assert!(nic.kernel.is_some() && nic.hypervisor.is_some());
    assert!(snapshot.capabilities.iter().all(|capability| capability.missing.is_none()), "{snapshot:?}");
    let notices = watch.batches().iter().flat_map(|batch| &batch.notices);
    for notice in notices.filter(|notice| notice.kind == NoticeKind::PathsDiffer) {
        assert!(notice.is_over || notice.instance_id != Some(id), "{notice:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_restarted_again_and_again_raises_no_alert_and_mixes_no_runs() {
    testbed::daemons::ensure().unwrap();
    let network = Network::create(&testbed::unique_name("weirt-kernel")).unwrap();
    let mut watch = Watch::start(URI, SECOND);
    let guest = busy(vec![network.name().to_owned()]).start().unwrap();
    let id = id(&guest);
    for _ in 0..testbed::rounds(5, 50) {
        let from = jiff::Timestamp::now();
        let runs =
            |reading: &InstanceReading| from < reading.observed_at && reading.state == InstanceState::Running;
        watch.wait_for(id, "of a run", runs).await;
        let name = guest.name().to_owned();
        let restarting = tokio::task::spawn_blocking(move || {
            testbed::process::virsh(&["destroy", &name]).unwrap();
            testbed::process::virsh(&["start", &name]).unwrap();
        });
        // Looks at everything, before, between and after.
        while !restarting.is_finished() {
            watch.look().await;
        }
        restarting.await.unwrap();
    }
    watch.look().await;
    let batches = watch.batches().to_vec();
    let of_guest = batches.iter().flat_map(|batch| &batch.notices).filter(|one| one.instance_id == Some(id));
    let alerts: Vec<_> = of_guest.filter(|notice| !notice.is_over).collect();
    assert!(alerts.is_empty(), "{alerts:?}");
    let gaps = batches.iter().flat_map(|batch| &batch.gaps).filter(|gap| gap.reason == GapReason::Impossible);
    assert_eq!(gaps.count(), 0);
    assert!(watch.collector.kernel().instances.iter().all(|one| one.cpu_ns.difference.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hangs_is_read_by_the_kernel_and_holds_up_nobody() {
    testbed::daemons::ensure().unwrap();
    let mut watch = Watch::start(URI, SECOND);
    let (hung, other) = (busy(Vec::new()).start().unwrap(), busy(Vec::new()).start().unwrap());
    let (hung_id, other_id) = (id(&hung), id(&other));
    for guest in [&hung, &other] {
        guest.wait_for("order=1 ", LIMIT).unwrap();
    }
    watch.look().await;
    hung.signal(Signal::STOP).unwrap();
    let from = jiff::Timestamp::now();
    let clock = loop {
        tokio::time::sleep(SECOND / 10).await;
        let clock = testbed::truth::process_cpu_ns(hung.pid().unwrap()).unwrap();
        tokio::time::sleep(SECOND / 10).await;
        if clock == testbed::truth::process_cpu_ns(hung.pid().unwrap()).unwrap() {
            break clock;
        }
    };
    let since = |watch: &mut Watch, id| {
        let all = instances(watch.batches(), id);
        all.into_iter().filter(|reading| from < reading.observed_at).collect::<Vec<_>>()
    };
    while since(&mut watch, other_id).len() < 6 {
        tokio::time::sleep(SECOND / 10).await;
    }
    // Somebody who asks is answered too.
    watch.look().await;
    let (of_hung, of_other) = (since(&mut watch, hung_id), since(&mut watch, other_id));
    hung.signal(Signal::CONT).unwrap();
    assert_eq!(of_hung.last().unwrap().registers.cpu_ns, clock, "by its process' clock");
    assert!(of_other.is_sorted_by(|a, b| a.registers.cpu_ns < b.registers.cpu_ns), "{of_other:?}");
    let full_seconds =
        of_other.iter().filter(|reading| reading.observed_at.subsec_millisecond() < 500).count();
    assert!(6 <= full_seconds, "in time: {of_other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_goes_on_when_the_collector_loses_the_kernel_path_and_finds_it_again() {
    testbed::daemons::ensure().unwrap();
    // A libvirt whose socket lies elsewhere: nobody knows where it keeps its processes' numbers.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    std::os::unix::fs::symlink("/run/libvirt/libvirt-sock-ro", &socket).unwrap();
    let libvirt_alone = format!("qemu+unix:///system?socket={}", socket.display());
    let hour = Duration::from_secs(3_600);
    let guest = idle().start().unwrap();
    let id = id(&guest);
    guest.wait_for("order=1 ", LIMIT).unwrap();
    let mut watch = Watch::start(URI, hour);
    for uri in [libvirt_alone.as_str(), URI, libvirt_alone.as_str(), URI] {
        watch.look().await;
        watch = watch.restart(uri, hour).await;
        watch.look().await;
    }
    let all = instances(watch.batches(), id);
    assert!(all.is_sorted_by_key(|reading| reading.registers.cpu_ns), "{all:?}");
    assert!(all.iter().all(|reading| reading.epoch == all[0].epoch), "one life: {all:?}");
    let batches = watch.batches().to_vec();
    let gaps: Vec<_> = batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert!(!gaps.iter().any(|gap| gap.reason == GapReason::Impossible), "{gaps:?}");
    let away = batches.iter().flat_map(|batch| &batch.notices);
    let told: Vec<_> = away
        .filter(|notice| notice.kind == NoticeKind::KernelPathAway)
        .filter(|notice| notice.device.as_deref() == Some("processes"))
        .map(|notice| notice.is_over)
        .collect();
    assert_eq!(told, [true, false, true, false, true], "said at each start");
}

#[test]
fn without_the_privilege_to_hear_of_ends_the_rest_works_and_says_so() {
    testbed::daemons::ensure().unwrap();
    let guest = idle().start().unwrap();
    let id = id(&guest);
    // Privileges are a thread's: those that it starts have no more.
    let without = std::thread::spawn(move || {
        let sets = rustix::thread::capabilities(None).unwrap();
        let left = sets.effective & !(CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN);
        let sets = CapabilitySets { effective: left, permitted: left, ..sets };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut watch = Watch::start(URI, Duration::from_secs(3_600));
            watch.look().await;
            watch.look().await;
            (watch.collector.kernel(), watch.batches().to_vec())
        })
    });
    let (snapshot, batches) = without.join().unwrap();
    let missing: Vec<_> =
        snapshot.capabilities.iter().filter(|capability| capability.missing.is_some()).collect();
    assert_eq!(missing.iter().map(|capability| capability.name).collect::<Vec<_>>(), ["exit records"]);
    assert!(missing[0].missing.as_ref().unwrap().remedy.contains("CAP_NET_ADMIN"));
    let notices: Vec<_> = batches.iter().flat_map(|batch| &batch.notices).collect();
    let of_path = notices.iter().filter(|notice| notice.kind == NoticeKind::KernelPathAway);
    let told: Vec<_> = of_path.filter(|notice| !notice.is_over).collect();
    assert_eq!(told.len(), 1, "once: {notices:?}");
    assert!(told[0].detail.contains("What is lost"));
    let paths = snapshot.instances.iter().find(|instance| instance.instance_id == id).unwrap();
    assert!(paths.cpu_ns.kernel.is_some(), "its clock is read all the same");
}
