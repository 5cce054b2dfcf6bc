//! The life of instances on a real libvirt, with a recorder that looks at the guest at every reading.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::common::{Bench, chain};
use compute::{ComputeError, InstanceRef};
use metering::InstanceState;
use testbed::process::virsh;

const NOW: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_made_started_stopped_started_again_and_deleted_with_a_reading_around_each() {
    let bench = Bench::new("life");
    let network = testbed::network::Network::create(&testbed::unique_name("weirt-compute")).unwrap();
    let mut spec = bench.spec("sleep:1");
    spec.disk = Some(compute::ByteSize::from_mib(64));
    spec.network = Some(network.name().to_owned());
    spec.start = false;
    let made = bench.compute.create(spec).await.unwrap();
    assert_eq!((made.state, made.vcpus, made.memory_kib), (InstanceState::Stopped, 1, 128 * 1024));
    assert_eq!(made.tenant.as_ref().map(|tenant| tenant.as_str()), Some("acme"));
    assert_eq!(made.disks[0].capacity_bytes, Some(64 << 20));
    assert_eq!(made.disks[0].volume_path(), format!("{}/{}-vda.qcow2", bench.settings.pool, bench.id()));
    assert_eq!(made.nics[0].network.as_deref(), Some(network.name()));
    assert_eq!(made.warnings, Vec::<String>::new());
    assert_eq!(bench.recorder.states(), ["shut off"]);

    for _ in 0..2 {
        bench.recorder.clear();
        let started = bench.compute.start_instance(&bench.who()).await.unwrap();
        assert_eq!(started.state, InstanceState::Running);
        assert_eq!(bench.recorder.states(), ["running"]);
        let error = bench.compute.delete(&bench.who()).await.unwrap_err();
        assert!(error.to_string().contains("stop it first"), "{error}");
        bench.recorder.clear();
        let stopped = bench.compute.stop(&bench.who(), NOW).await.unwrap();
        assert_eq!((stopped.state, stopped.warnings), (InstanceState::Stopped, vec![]));
        assert_eq!(bench.recorder.states(), ["running", "paused", "shut off"]);
    }
    let again = bench.compute.stop(&bench.who(), NOW).await.unwrap();
    assert!(again.warnings[0].contains("was off already"), "{:?}", again.warnings);

    bench.recorder.clear();
    let gone = bench.compute.delete(&InstanceRef::Name(bench.name.clone())).await.unwrap();
    assert_eq!(gone.state, InstanceState::Gone);
    let seen = bench.recorder.seen();
    assert_eq!(bench.recorder.states(), ["shut off", "absent"]);
    assert_eq!((seen[0].volumes, seen[1].volumes), (1, 0));
    assert!(!bench.compute.console_log(bench.id()).exists());
    let error = bench.compute.find(&bench.who()).await.unwrap_err();
    assert!(matches!(error, ComputeError::NotFound(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_and_a_nic_come_and_go_and_the_last_bytes_are_known() {
    let bench = Bench::new("plug");
    let network = testbed::network::Network::create(&testbed::unique_name("weirt-compute")).unwrap();
    let orders = "waitdisk:vdb,write:vdb:8,gonedisk:vdb,waitnic:eth0,gonenic:eth0,sleep:1";
    let mut spec = bench.spec(orders);
    spec.disk = Some(compute::ByteSize::from_mib(16));
    bench.compute.create(spec).await.unwrap();

    let disk = bench.compute.add_disk(&bench.who(), compute::ByteSize::from_mib(32)).await.unwrap();
    assert_eq!((disk.target.as_str(), disk.capacity_bytes), ("vdb", Some(32 << 20)));
    bench.hears("order=2 write:vdb:8 done").await;
    bench.recorder.clear();
    let left = bench.compute.remove_disk(&bench.who(), "vdb").await.unwrap();
    assert_eq!((left.disks.len(), left.warnings), (1, vec![]));
    let seen = bench.recorder.seen();
    assert_eq!(seen[0].vdb_write_bytes, Some(8 << 20), "{seen:?}");
    let last = seen.iter().rev().find_map(|seen| seen.vdb_write_bytes);
    assert_eq!(last, Some(8 << 20));
    assert_eq!(seen.last().unwrap().volumes, 1);
    assert_eq!(bench.volumes(), 1);
    bench.hears("order=3 gonedisk:vdb done").await;

    let nic = bench.compute.add_nic(&bench.who(), network.name()).await.unwrap();
    let mac = nic.mac.unwrap();
    bench.hears("order=4 waitnic:eth0 done").await;
    bench.recorder.clear();
    let left = bench.compute.remove_nic(&bench.who(), &mac.to_uppercase()).await.unwrap();
    assert!(left.nics.is_empty());
    let nics: Vec<_> = bench.recorder.seen().iter().map(|seen| seen.nics).collect();
    assert_eq!((nics.first(), nics.last()), (Some(&1), Some(&0)));
    bench.hears("order=5 gonenic:eth0 done").await;

    // Neither comes back at the next start.
    let kept = virsh(&["dumpxml", "--inactive", &bench.id().to_string()]).unwrap();
    assert!(!kept.contains("dev='vdb'") && !kept.contains("<interface"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_shuts_down_by_itself_is_read_until_it_is_off() {
    let bench = Bench::new("grace");
    bench.compute.create(bench.spec("sleep:4,poweroff")).await.unwrap();
    bench.hears("order=1 sleep:4 begin").await;
    bench.recorder.clear();
    let stopped = bench.compute.stop(&bench.who(), Duration::from_secs(60)).await.unwrap();
    assert_eq!((stopped.state, stopped.warnings), (InstanceState::Stopped, vec![]));
    let states = bench.recorder.states();
    assert!(
        states.len() >= 3 && states[0] == "running" && states[states.len() - 1] == "shut off",
        "{states:?}"
    );
    assert!(!states.contains(&"paused".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ignores_the_power_button_is_suspended_read_and_ended_when_the_grace_is_over() {
    let bench = Bench::new("deaf");
    bench.compute.create(bench.spec("sleep:600")).await.unwrap();
    bench.recorder.clear();
    let stopped = bench.compute.stop(&bench.who(), Duration::from_secs(2)).await.unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    assert!(stopped.warnings[0].contains("did not shut down within 2 s"), "{:?}", stopped.warnings);
    let states = bench.recorder.states();
    assert_eq!(states[states.len() - 2..], ["paused", "shut off"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ill_collector_never_makes_an_instance_unstoppable() {
    let bench = Bench::new("ill");
    bench.compute.create(bench.spec("sleep:600")).await.unwrap();
    bench.recorder.broken.store(true, Ordering::SeqCst);
    let stopped = bench.compute.stop(&bench.who(), NOW).await.unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    let warnings = stopped.warnings.join("\n");
    assert!(
        warnings.contains("before the stop") && warnings.contains("the disk of the collector is full"),
        "{warnings}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_hangs_is_ended_all_the_same() {
    let bench = Bench::new("hung");
    bench.compute.create(bench.spec("sleep:600")).await.unwrap();
    let pid_file = format!("/run/libvirt/qemu/{}.pid", bench.name);
    let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let stopped = bench.compute.stop(&bench.who(), NOW).await.unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    assert!(stopped.warnings[0].contains("could not be suspended"), "{:?}", stopped.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_creates_with_one_name_the_second_is_refused_and_leaves_nothing() {
    let bench = Bench::new("twice");
    let mut first = bench.spec("sleep:1");
    first.start = false;
    first.disk = Some(compute::ByteSize::from_mib(1));
    let mut second = first.clone();
    second.instance_id = None;
    let (one, two) = tokio::join!(bench.compute.create(first.clone()), bench.compute.create(second));
    let (Ok(made), Err(error)) = (if one.is_ok() { (one, two) } else { (two, one) }) else {
        panic!("exactly one must be made")
    };
    assert!(matches!(error, ComputeError::NameTaken(_)), "{error}");
    let files = std::fs::read_dir(&bench.settings.pool_path).unwrap().flatten();
    let volumes: Vec<_> = files
        .map(|file| file.file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".qcow2"))
        .collect();
    assert_eq!(volumes, [format!("{}-vda.qcow2", made.instance_id)]);

    // The id is an identity too.
    let id = Some(made.instance_id);
    let other = compute::InstanceSpec { name: format!("{}x", bench.name), instance_id: id, ..first };
    let error = bench.compute.create(other).await.unwrap_err();
    assert!(matches!(error, ComputeError::IdTaken(_)), "{error}");
    bench.compute.delete(&made.instance_id.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_start_leaves_neither_definition_nor_volume() {
    let bench = Bench::new("broken");
    let rubbish = bench.settings.pool_path.with_extension("rubbish");
    std::fs::write(&rubbish, vec![0x5a; 4096]).unwrap();
    let mut spec = bench.spec("");
    spec.disk = Some(compute::ByteSize::from_mib(1));
    let boot =
        compute::Boot::Kernel { kernel: rubbish.clone(), initrd: rubbish.clone(), cmdline: String::new() };
    let error = bench.compute.create(compute::InstanceSpec { boot, ..spec.clone() }).await;
    std::fs::remove_file(&rubbish).unwrap();
    let error = error.unwrap_err();
    assert!(chain(&error).contains("start the instance"), "{}", chain(&error));
    assert_eq!(bench.volumes(), 0);
    assert!(virsh(&["domstate", &bench.id().to_string()]).is_err());
    assert_eq!(bench.recorder.states().last().map(String::as_str), Some("absent"));

    spec.boot = bench.spec("").boot;
    spec.network = Some("no\"such<net>😀".to_owned());
    let error = bench.compute.create(spec).await.unwrap_err();
    assert!(error.to_string().contains("there is no network"), "{error}");
    assert!(virsh(&["domstate", &bench.id().to_string()]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_half_made_instance() {
    let bench = Bench::new("gone");
    let mut spec = bench.spec("");
    spec.start = false;
    spec.disk = Some(compute::ByteSize::from_mib(1));
    let compute = bench.compute.clone();
    let impatient =
        tokio::time::timeout(Duration::from_millis(1), async move { compute.create(spec).await }).await;
    assert!(impatient.is_err(), "it was to be given up");
    crate::common::wait_for("the instance", || bench.recorder.states() == ["shut off"]).await;
    bench.compute.delete(&bench.who()).await.unwrap();
    assert_eq!(bench.volumes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_somebody_else_made_is_never_deleted() {
    let bench = Bench::new("foreign");
    let foreign =
        testbed::guest::GuestSpec::new(&testbed::unique_name("weirt-compute-foreign")).define().unwrap();
    let who = InstanceRef::Name(foreign.name().to_owned());
    let error = bench.compute.delete(&who).await.unwrap_err().to_string();
    assert!(error.contains("virsh undefine"), "{error}");
    assert!(virsh(&["dominfo", foreign.uuid()]).is_ok(), "its definition is gone");
}
