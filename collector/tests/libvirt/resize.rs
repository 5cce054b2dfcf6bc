//! A live guest that gets another size in the middle of a window: what it held is the integral of what libvirt says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use metering::InstanceReading;
use testbed::guest::{Guest, GuestSpec};

use crate::support::{LIMIT, URI, Watch, id, virsh};

/// How late an event may be heard by one of two listeners on a busy machine.
const HEARD_WITHIN_MS: i64 = 100;

/// All sizes of one guest's memory, as virsh hears of them.
struct Sizes {
    virsh: Child,
    heard: Arc<Mutex<Vec<(Timestamp, u64)>>>,
}

impl Sizes {
    fn listen(guest: &Guest) -> Self {
        let mut virsh = Command::new("stdbuf")
            .args(["-oL", "virsh", "-q", "event", guest.name(), "balloon-change", "--loop", "--timestamp"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(virsh.stdout.take().unwrap()).lines();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .filter_map(|line| parse(&line))
                .for_each(|one| sink.lock().unwrap().push(one));
        });
        std::thread::sleep(Duration::from_millis(500));
        assert!(virsh.try_wait().unwrap().is_none(), "virsh event ended at once");
        Self { virsh, heard }
    }

    fn heard(&self) -> Vec<(Timestamp, u64)> {
        self.heard.lock().unwrap().clone()
    }

    /// Until libvirt has told that the guest has so much.
    fn wait_for(&self, kib: u64) {
        let until = Instant::now() + LIMIT;
        while self.heard().last().is_none_or(|(_, last)| *last != kib) {
            assert!(Instant::now() < until, "the guest did not come to {kib} KiB: {:?}", self.heard());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Sizes {
    fn drop(&mut self) {
        // It listens for ever.
        let _ = self.virsh.kill();
        let _ = self.virsh.wait();
    }
}

/// `2026-11-22 06:00:00.123+0000: event 'balloon-change' for domain 'a': 196608KiB`
fn parse(line: &str) -> Option<(Timestamp, u64)> {
    let (at, rest) = line.split_once(": event 'balloon-change' for domain ")?;
    let at = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f%z", at).ok()?.to_timestamp().ok()?;
    Some((at, rest.rsplit_once(": ")?.1.trim().strip_suffix("KiB")?.parse().ok()?))
}

/// A register that rises by `size` each millisecond, over steps of (from when, size), between two instants.
fn integral(steps: &[(Timestamp, u64)], from: Timestamp, to: Timestamp) -> i64 {
    let mut sum = 0;
    for (n, (at, size)) in steps.iter().enumerate() {
        let end = steps.get(n + 1).map_or(to, |(next, _)| (*next).min(to));
        let begin = (*at).max(from);
        sum += (end.as_millisecond() - begin.as_millisecond()).max(0) * i64::try_from(*size).unwrap();
    }
    sum
}

/// What all the steps come to if each is heard that much too late.
fn tolerance(steps: &[(Timestamp, u64)]) -> i64 {
    let jumps = steps.windows(2).map(|pair| i64::try_from(pair[0].1.abs_diff(pair[1].1)).unwrap());
    jumps.sum::<i64>() * HEARD_WITHIN_MS
}

fn last(watch: &mut Watch, guest: &Guest) -> InstanceReading {
    watch.readings(id(guest)).pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_vcpus_that_change_in_mid_window_are_held_as_libvirt_says() {
    testbed::daemons::ensure().unwrap();
    // Looks come once an hour, unless something happens.
    let mut watch = Watch::start_every(URI, Duration::from_secs(3_600));
    watch.look().await;
    let spec = GuestSpec {
        memory_mib: 256,
        max_vcpus: Some(4),
        ..GuestSpec::new(&testbed::unique_name("weirt-resize"))
    };
    let guest = spec.start().unwrap();
    let sizes = Sizes::listen(&guest);
    guest.wait_for("WEIR all done", LIMIT).unwrap();
    watch.look().await;
    let first = last(&mut watch, &guest);
    assert_eq!((first.memory_kib, first.vcpus), (256 << 10, 1));

    let mut vcpus = vec![(first.observed_at, 1)];
    for (mib, count) in [(160, 2), (224, 3), (192, 4)] {
        virsh(&["setmem", guest.name(), &format!("{mib}M"), "--live"]);
        sizes.wait_for(mib << 10);
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        virsh(&["setvcpus", guest.name(), &count.to_string(), "--live"]);
        vcpus.push((Timestamp::now(), count));
        tokio::time::sleep(Duration::from_millis(1_300)).await;
    }
    watch.look().await;
    let last = last(&mut watch, &guest);

    assert_eq!(first.epoch, last.epoch, "one life");
    assert_eq!((last.memory_kib, last.vcpus), (192 << 10, 4));
    let mut memory = vec![(first.observed_at, first.memory_kib)];
    memory.extend(sizes.heard().into_iter().filter(|(at, _)| first.observed_at < *at));
    let both = [&first, &last];
    let kib_s = last.registers.memory_kib_s - first.registers.memory_kib_s;
    // The balloon's event says how much it is.
    check("memory_kib_ms", &memory, both, i64::try_from(kib_s * 1_000).unwrap(), |truth| truth);
    let held = i64::try_from(last.registers.vcpu_ms - first.registers.vcpu_ms).unwrap();
    // That of vCPUs does not: where a look comes late they count from the next change, of whichever size.
    let next = |n: usize| vcpus.get(n + 1).map_or(last.observed_at, |(at, _)| *at);
    let late = |(n, (at, count)): (usize, &(Timestamp, u64))| (if n == 0 { *at } else { next(n) }, *count);
    let late: Vec<_> = vcpus.iter().enumerate().map(late).collect();
    let at_least = integral(&late, first.observed_at, last.observed_at);
    check("vcpu_ms", &vcpus, both, held, |_| at_least);
}

/// `at_least`: the least that may be held.
#[track_caller]
fn check(
    what: &str,
    steps: &[(Timestamp, u64)],
    [first, last]: [&InstanceReading; 2],
    held: i64,
    at_least: impl FnOnce(i64) -> i64,
) {
    let truth = integral(steps, first.observed_at, last.observed_at);
    println!("{what}: {} steps, {truth} by libvirt, {held} held, {} off", steps.len(), held - truth);
    let spare = tolerance(steps) + 2_000;
    assert!(held <= truth + spare, "{what}: {held} held, {truth} by {steps:#?}");
    assert!(at_least(truth) - spare <= held, "{what}: {held} held, {truth} by {steps:#?}");
}
