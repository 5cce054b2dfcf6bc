//! A libvirtd of the test's own, in a mount and network namespace, which is killed, stopped and started again.
//! The system's libvirtd is not touched.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::Watch;
use metering::{GapReason, InstanceFacts, InstanceReading, InstanceState, NoticeKind};
use tempfile::TempDir;

/// Restarts libvirtd whenever it ends, unless it is held back; ends when the directory says so.
const SCRIPT: &str = r#"
set -e
mount --make-rprivate /
for dir in /run/libvirt /var/lib/libvirt /var/cache/libvirt /etc/libvirt/qemu /etc/libvirt/storage /etc/libvirt/nwfilter; do
    mkdir -p $dir
    mount -t tmpfs none $dir
done
mount --bind "$1/qemu.conf" /etc/libvirt/qemu.conf
while [ ! -e "$1/end" ]; do
    if [ -e "$1/hold" ]; then sleep 0.05; else libvirtd --config "$1/libvirtd.conf" --pid-file "$1/pid" || true; fi
done
"#;

const LIMIT: Duration = Duration::from_secs(60);

struct OwnLibvirtd {
    dir: TempDir,
    shell: Child,
}

impl OwnLibvirtd {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let config = format!("unix_sock_dir = \"{at}\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n");
        std::fs::write(dir.path().join("libvirtd.conf"), config).unwrap();
        let qemu =
            "stdio_handler = \"file\"\nuser = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\n";
        std::fs::write(dir.path().join("qemu.conf"), qemu).unwrap();
        let shell = Command::new("unshare")
            .args(["--mount", "--net", "sh", "-c", SCRIPT, "sh"])
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let own = Self { dir, shell };
        own.wait_until_it_answers();
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn uri(&self, socket: &str) -> String {
        format!("qemu+unix:///system?socket={}", self.path(socket).display())
    }

    fn virsh(&self, arguments: &[&str]) -> bool {
        let uri = self.uri("libvirt-sock");
        let status = Command::new("virsh")
            .args(["-q", "-c", &uri])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }

    fn wait_until_it_answers(&self) {
        wait_for("libvirtd to answer", || self.virsh(&["list"]));
    }

    fn signal(&self, signal: &str) {
        send(signal, std::fs::read_to_string(self.path("pid")).unwrap().trim());
    }

    /// The process of a guest, from the pid file in the daemon's own /run.
    fn guest_pid(&self, guest: &str) -> String {
        let daemon = std::fs::read_to_string(self.path("pid")).unwrap();
        let file = format!("/proc/{}/root/run/libvirt/qemu/{guest}.pid", daemon.trim());
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

impl Drop for OwnLibvirtd {
    fn drop(&mut self) {
        std::fs::write(self.path("end"), "").ok();
        std::fs::remove_file(self.path("hold")).ok();
        if self.path("pid").exists() {
            for guest in ["a", "b"] {
                self.virsh(&["destroy", guest]);
            }
            self.signal("-KILL");
        }
        self.shell.wait().ok();
    }
}

fn send(signal: &str, pid: &str) {
    let done = Command::new("kill").args([signal, pid]).status().unwrap();
    assert!(done.success(), "kill {signal} {pid}");
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn start_guest(own: &OwnLibvirtd, name: &str) {
    let xml = own.path("guest.xml");
    write_guest(&xml, name);
    assert!(own.virsh(&["create", xml.to_str().unwrap()]));
}

/// It finds nothing to boot and goes on looking, which is all that is needed here.
fn write_guest(path: &Path, name: &str) {
    let xml = format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
               <os><type arch='x86_64'>hvm</type></os></domain>"
    );
    std::fs::write(path, xml).unwrap();
}

#[tokio::test]
async fn a_libvirtd_that_is_killed_hangs_and_comes_back_costs_a_gap_and_no_time() {
    let own = OwnLibvirtd::start();
    let mut watch = Watch::start(&own.uri("libvirt-sock-ro"));
    watch.look().await;
    start_guest(&own, "a");
    watch.look().await;
    assert!(watch.collector.status().is_connected);

    std::fs::write(own.path("hold"), "").unwrap();
    own.signal("-KILL");
    wait_for("the collector to notice", || !watch.collector.status().is_connected);
    let error = watch.collector.read_now().await.unwrap_err();
    assert!(error.to_string().contains("could not be read"), "{error}");
    std::fs::remove_file(own.path("hold")).unwrap();
    own.wait_until_it_answers();
    wait_for("the collector to be back", || watch.collector.status().is_connected);

    // A daemon that hangs: the call that waits for it fails, and the collector goes on without a restart.
    own.signal("-STOP");
    wait_for("the collector to notice", || !watch.collector.status().is_connected);
    own.signal("-CONT");
    wait_for("the collector to be back", || watch.collector.status().is_connected);
    watch.look().await;

    let batches = watch.batches();
    let gaps: Vec<_> = batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::HypervisorAway && gap.instance_id.is_none()));
    assert!(2 <= gaps.len(), "{gaps:?}");
    let running: Vec<_> = batches
        .iter()
        .flat_map(|batch| &batch.readings.instances)
        .filter(|reading| reading.state == InstanceState::Running)
        .collect();
    let (first, last) = (running[0], running[running.len() - 1]);
    assert!(running.iter().all(|reading| reading.epoch == first.epoch), "one life");
    let passed = last.observed_at.duration_since(first.observed_at).as_millis();
    let held = i128::from(last.registers.running_ms - first.registers.running_ms);
    assert!((passed - held).abs() <= 50, "{passed} ms passed, {held} ms were held");
}

#[tokio::test]
async fn events_are_heard_again_after_libvirtd_was_killed() {
    let own = OwnLibvirtd::start();
    // Looks come once an hour, unless something is heard.
    let mut watch = Watch::start_every(&own.uri("libvirt-sock-ro"), Duration::from_secs(3_600));
    watch.look().await;
    let hears = |watch: &mut Watch, verbs: [&str; 2]| {
        let before = watch.batches().len();
        wait_for("an event to be heard", || {
            for verb in verbs {
                own.virsh(&[verb, "a"]);
            }
            before < watch.batches().len()
        });
    };
    start_guest(&own, "a");
    hears(&mut watch, ["suspend", "resume"]);
    own.signal("-KILL");
    own.wait_until_it_answers();
    hears(&mut watch, ["suspend", "resume"]);
    watch.look().await;
    let all: Vec<_> = watch.batches().iter().flat_map(|batch| &batch.readings.instances).collect();
    assert!(all.windows(2).all(|pair| pair[0].epoch == pair[1].epoch), "one life");
}

#[tokio::test]
async fn guests_that_vanish_while_they_are_read_cost_the_others_no_reading() {
    let own = OwnLibvirtd::start();
    start_guest(&own, "b");
    let mut watch = Watch::start_every(&own.uri("libvirt-sock-ro"), Duration::from_secs(3_600));
    watch.look().await;
    let b = last_reading(&mut watch, "b");
    for _ in 0..testbed::rounds(2, 40) {
        let name = "a";
        start_guest(&own, name);
        let uri = own.uri("libvirt-sock");
        let destroyed = tokio::task::spawn_blocking(move || {
            Command::new("virsh").args(["-q", "-c", &uri, "destroy", name]).output().unwrap()
        });
        while !destroyed.is_finished() {
            watch.look().await;
        }
    }
    let batches = watch.batches();
    let read = |batch: &&metering::Batch| {
        batch.readings.instances.iter().any(|one| one.instance_id == b.instance_id && one.epoch == b.epoch)
    };
    assert_eq!(batches.iter().skip_while(|batch| !read(batch)).filter(|batch| !read(batch)).count(), 0);
    assert!(batches.iter().flat_map(|batch| &batch.gaps).all(|gap| gap.instance_id != Some(b.instance_id)));
}

#[tokio::test]
async fn a_guest_whose_process_hangs_does_not_keep_the_others_from_being_read() {
    let own = OwnLibvirtd::start();
    start_guest(&own, "a");
    start_guest(&own, "b");
    let mut watch = Watch::start(&own.uri("libvirt-sock-ro"));
    watch.look().await;
    let pid = own.guest_pid("a");
    send("-STOP", &pid);
    let hangs = |watch: &mut Watch| {
        let all = watch.batches().iter().flat_map(|batch| &batch.notices);
        let told = all.filter(|notice| notice.kind == NoticeKind::InstanceHangs);
        told.map(|notice| (notice.instance_id, notice.is_over)).collect::<Vec<_>>()
    };
    let mut until = Instant::now() + LIMIT;
    while hangs(&mut watch).is_empty() {
        assert!(Instant::now() < until, "nobody was told that it hangs");
        watch.look().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(watch.collector.status().is_connected, "the node's metering goes on");
    }
    let hung = last_reading(&mut watch, "b");
    let a = last_reading(&mut watch, "a").instance_id;
    send("-CONT", &pid);
    until += LIMIT;
    while hangs(&mut watch).len() < 2 {
        assert!(Instant::now() < until, "nobody was told that it answers again");
        watch.look().await;
    }
    assert_eq!(hangs(&mut watch), [(Some(a), false), (Some(a), true)], "told once each");

    let later = last_reading(&mut watch, "b");
    assert!(hung.registers.cpu_ns < later.registers.cpu_ns, "it works on");
    assert_eq!(hung.epoch, later.epoch);
    let batches = watch.batches();
    let is_of_b = |reading: &&InstanceReading| reading.instance_id == later.instance_id;
    let read =
        batches.iter().filter(|batch| batch.readings.instances.iter().any(|one| is_of_b(&one))).count();
    assert_eq!(read, batches.len(), "every look read the other one");
}

fn last_reading(watch: &mut Watch, name: &str) -> InstanceReading {
    let batches = watch.batches();
    let facts: Vec<&InstanceFacts> = batches.iter().flat_map(|batch| &batch.instances).collect();
    let id = facts.iter().find(|facts| facts.name == name).unwrap().instance_id;
    let mut readings = batches.iter().flat_map(|batch| &batch.readings.instances);
    readings.rfind(|reading| reading.instance_id == id).unwrap().clone()
}
