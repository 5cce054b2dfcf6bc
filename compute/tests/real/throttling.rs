//! Bounds on a real guest that writes as fast as it may: what is measured falls to the bound, and is as before afterwards.

use std::time::{Duration, Instant};

use compute::{Bounds, ByteSize, Throttle};
use metering::InstanceState;
use testbed::process::virsh;

use crate::common::{Bench, wait_for};

const MIB: u64 = 1 << 20;
const BOUNDS: Bounds = Bounds { disk_bytes_s: 2 * MIB, disk_ops_s: 500, nic_kib_s: 128, vcpu_percent: 60 };
/// For so long it is looked how much a throttled guest writes.
const LOOK: Duration = Duration::from_secs(8);

fn written(bench: &Bench) -> u64 {
    let stats = virsh(&["domblkstat", &bench.id().to_string(), "vda"]).unwrap();
    stats.lines().find_map(|line| line.split_once("wr_bytes ")?.1.trim().parse().ok()).unwrap()
}

fn tuned(bench: &Bench, field: &str) -> u64 {
    let text = virsh(&["blkdeviotune", &bench.id().to_string(), "vda"]).unwrap();
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == field));
    line.and_then(|line| line.split(':').nth(1)?.trim().parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_writes_without_end_is_held_to_its_bound_and_let_go_again() {
    let bench = Bench::new("throttle");
    let network = testbed::network::Network::create(&testbed::unique_name("weirt-throttle")).unwrap();
    let orders: Vec<String> =
        (0..40).map(|_| "write:vda:60".to_owned()).chain(["sleep:600".to_owned()]).collect();
    let mut spec = bench.spec(&orders.join(","));
    (spec.disk, spec.network) = (Some(ByteSize::from_mib(64)), Some(network.name().to_owned()));
    spec.start = false;
    bench.compute.create(spec).await.unwrap();
    let who = bench.who();
    assert_eq!(bench.compute.plan_throttle(&who, BOUNDS, &Throttle::default()).await.unwrap(), None);
    bench.compute.start_instance(&who).await.unwrap();
    // An operator has bounded requests before: that is what it is to be set back to.
    let id = bench.id().to_string();
    virsh(&["blkdeviotune", &id, "vda", "--total-iops-sec", "900", "--live"]).unwrap();

    let plan = bench.compute.plan_throttle(&who, BOUNDS, &Throttle::default()).await.unwrap().unwrap();
    assert_eq!(plan.before.disks["vda"].total_ops, 900);
    let notices = bench.compute.throttle(&who, &plan).await.unwrap();
    println!("what this host cannot bound: {notices:?}");
    assert!(notices.iter().all(|notice| !notice.contains("disk")), "{notices:?}");
    assert_eq!((tuned(&bench, "total_bytes_sec"), tuned(&bench, "total_iops_sec")), (2 * MIB, 500));
    // Again, by somebody who knows no more than the note: nothing changes, and the same is said.
    let note = serde_json::to_string(&plan).unwrap();
    let known: Throttle = serde_json::from_str(&note).unwrap();
    let again = bench.compute.plan_throttle(&who, BOUNDS, &known).await.unwrap().unwrap();
    assert_eq!(again.before.disks, plan.before.disks);
    assert_eq!(bench.compute.throttle(&who, &again).await.unwrap(), notices);

    bench.hears("order=1 write:vda:60 begin").await;
    wait_for("the first bytes", || MIB <= written(&bench)).await;
    let (begun, before) = (Instant::now(), written(&bench));
    tokio::time::sleep(LOOK).await;
    let (bytes, took) = (written(&bench) - before, begun.elapsed());
    println!("throttled: {} KiB in {} ms", bytes / 1024, took.as_millis());
    // A tenth more than a second's worth may have been saved up; a slow machine writes less.
    let most = BOUNDS.disk_bytes_s * (u64::try_from(took.as_millis()).unwrap() + 2_000) / 1_000;
    assert!(0 < bytes && bytes <= most, "{bytes} of {most}");

    let notices = bench.compute.release(&who, &again).await.unwrap();
    assert!(notices.iter().all(|notice| !notice.contains("disk")), "{notices:?}");
    assert_eq!((tuned(&bench, "total_bytes_sec"), tuned(&bench, "total_iops_sec")), (0, 900));
    let (begun, before) = (Instant::now(), written(&bench));
    // Throttled, these orders would take twenty minutes.
    bench.hears("order=40 write:vda:60 done").await;
    println!("released: {} KiB in {} ms", (written(&bench) - before) / 1024, begun.elapsed().as_millis());
    assert_eq!(written(&bench), 40 * 60 * MIB, "each byte is counted, throttled or not");
    // Nothing of it is in the definition: the next start is as it was.
    let kept = virsh(&["dumpxml", "--inactive", &id]).unwrap();
    assert!(!kept.contains("<iotune>") && !kept.contains("<cputune>"), "{kept}");
    let stopped = bench.compute.stop(&who, Duration::ZERO).await.unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    assert_eq!(bench.compute.release(&who, &again).await.unwrap(), Vec::<String>::new());
}
