//! What it costs a node to be metered, by the CPU clocks of all processes concerned: Weir's own, libvirtd's and those of
//! the guests, which pay for being asked. In the same run: a bare program that samples, libvirt's bare bulk call, and
//! Debian's prometheus-libvirt-exporter.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use collector::bench::{Asked, Rig, bare_bulk_call, bare_sample, give_back_memory};
use testbed::daemons;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::network::Network;
use testbed::truth::process_cpu_ns;

use crate::report::{REPEATS, Report};

const URI: &str = "qemu:///system";
/// Guests that run and do nothing.
const IDLE: usize = 5;
/// Enough for a guest that never gets further than its kernel's first instructions.
const PAUSED_MIB: u64 = 16;
/// A sample takes microseconds.
const SAMPLES: u32 = 500;
/// A call takes milliseconds for each guest.
const CALLS: u32 = 3;
/// What is compared: how often each is done in service, s.
const READING_S: f64 = 60.0;
const CROSS_CHECK_S: f64 = 600.0;
const SCRAPE_S: f64 = 15.0;
const BULK_S: f64 = 10.0;
const EXPORTER: &str = "127.0.0.1:19177";
/// A process that was asked is at rest after this.
const REST: Duration = Duration::from_millis(700);
/// The part of the time that it is watched for in which a collector has done each thing once: 10 minutes of an hour, the
/// interval at which everything is asked for.
const WARMING: u32 = 6;

/// Measures with each number of `paused` guests (their own work must not disturb the figures), `watch` being how long a whole collector is watched at work on the largest of them.
///
/// # Errors
/// libvirt, QEMU or the exporter cannot be run.
pub fn measure(paused: &[usize], watch: Duration, report: &mut Report) -> Result<()> {
    // As the process of a node does.
    collector::keep_one_heap();
    let _daemons = daemons::ensure()?.stop_on_drop();
    let prefix = testbed::unique_name("weir-bench");
    let network = Network::create(&prefix)?;
    let exporter = Exporter::start()?;
    let mut fleet = Fleet { guests: Vec::new(), pids: Vec::new() };
    for n in 0..IDLE {
        fleet.add(spec(&format!("{prefix}-idle-{n}"), 128, &network), false)?;
    }
    for guest in &fleet.guests {
        guest.wait_for("WEIR all done", Duration::from_secs(120))?;
    }
    size(&fleet, &exporter, "running, idle", report)?;
    fleet.kill();
    for &count in paused {
        while fleet.guests.len() < count {
            let n = fleet.guests.len();
            fleet.add(spec(&format!("{prefix}-{n}"), PAUSED_MIB, &network), true)?;
        }
        size(&fleet, &exporter, "paused", report)?;
    }
    whole(&fleet, watch, report)
}

fn spec(name: &str, memory_mib: u64, network: &Network) -> GuestSpec {
    GuestSpec {
        memory_mib,
        disks: vec![DiskSpec { target: "vda".into(), mib: 16 }],
        networks: vec![network.name().to_owned()],
        ..GuestSpec::new(name)
    }
}

/// The guests, and whose clocks count.
struct Fleet {
    guests: Vec<Guest>,
    pids: Vec<i32>,
}

/// CPU time in us, by whose it is.
#[derive(Clone, Copy)]
struct Spent {
    own: f64,
    others: f64,
}

impl Fleet {
    fn add(&mut self, spec: GuestSpec, is_paused: bool) -> Result<()> {
        let guest = spec.define()?;
        if is_paused {
            start_paused(&guest)?;
        } else {
            guest.start()?;
        }
        self.pids.push(guest.pid()?);
        self.guests.push(guest);
        Ok(())
    }

    /// libvirt would take two seconds for each.
    fn kill(&mut self) {
        for guest in &self.guests {
            // One that has ended is ended.
            let _ = guest.kill();
        }
        self.guests.clear();
        self.pids.clear();
    }

    /// What `work` costs this process and `more`, and libvirtd and the guests, above what they use by themselves.
    fn spend(&self, more: Option<i32>, work: impl FnOnce() -> Result<()>) -> Result<Spent> {
        let own: Vec<i32> = more.into_iter().chain(i32::try_from(std::process::id())).collect();
        let others: Vec<i32> = self.pids.iter().copied().chain([libvirtd()?]).collect();
        let idle_from = (Instant::now(), cpu_us(&others)?);
        std::thread::sleep(REST);
        let began = (Instant::now(), cpu_us(&own)?, cpu_us(&others)?);
        let idle_rate = (began.2 - idle_from.1) / (began.0 - idle_from.0).as_secs_f64();
        work()?;
        // What was asked last comes to rest.
        std::thread::sleep(REST);
        let idle = idle_rate * began.0.elapsed().as_secs_f64();
        Ok(Spent { own: cpu_us(&own)? - began.1, others: (cpu_us(&others)? - began.2 - idle).max(0.0) })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a guest that executes nothing: one that is paused later has had the time to find that its memory is too small,
/// and ends, if the machine is busy.
fn start_paused(guest: &Guest) -> Result<()> {
    let arguments = ["-q", "-c", URI, "start", "--paused", guest.name()];
    let output = Command::new("virsh").args(arguments).output().context("virsh cannot be run")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} does not start: {}", guest.name(), error.trim());
    Ok(())
}

/// One size: samples, readings of each kind, and what they are compared to.
fn size(fleet: &Fleet, exporter: &Exporter, how: &str, report: &mut Report) -> Result<()> {
    let count = fleet.guests.len();
    eprintln!("  {count} guests, {how}");
    let pids: Vec<u32> = fleet.pids.iter().filter_map(|pid| u32::try_from(*pid).ok()).collect();
    let (mut samples, mut bare) = (Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 4] = Default::default();
    let [weir, asking_all, scrapes, bulk] = &mut columns;
    let mut rig = Rig::new(URI)?;
    for _ in 0..REPEATS {
        let each = |cost: collector::bench::Cost| {
            cost.cpu.as_secs_f64() * 1e6 / f64::from(cost.calls) / cost.instances.max(1) as f64
        };
        bare.push(each(bare_sample(&pids, SAMPLES)?));
        let sample = each(rig.sample(SAMPLES));
        samples.push(sample);
        let per = |spent: Spent, calls: u32| (spent.own + spent.others) / f64::from(calls) / count as f64;
        let mut reading = |asked, calls| -> Result<f64> {
            let spent = fleet.spend(None, || Ok(rig.readings(asked, calls).map(drop)?))?;
            Ok(per(spent, calls))
        };
        let everything = reading(Asked::Everything, CALLS)?;
        let disks = reading(Asked::Disks, CALLS)?;
        // Now those that do nothing are at rest.
        rig.sample(1);
        let in_use = per(fleet.spend(None, || Ok(rig.readings(Asked::DisksInUse, 1).map(drop)?))?, 1);
        let always = sample + everything / CROSS_CHECK_S;
        weir.push(always + in_use / READING_S);
        asking_all.push(always + disks / READING_S);
        let spent = fleet.spend(Some(exporter.pid()), || (0..CALLS).try_for_each(|_| exporter.scrape()))?;
        scrapes.push(per(spent, CALLS) / SCRAPE_S);
        let spent = fleet.spend(None, || Ok(bare_bulk_call(URI, CALLS).map(drop)?))?;
        // It opens a connection and makes one call before it measures.
        bulk.push(per(spent, CALLS + 1) / BULK_S);
    }
    let name = |what: &str| format!("{what}, {count} {how}");
    let unit = "us/instance";
    report.add(name("kernel sample"), unit, &samples, &bare, "clocks and one netlink dump, bare (goal 2)");
    let unit = "us/instance/s";
    report.add(name("metering"), unit, weir, scrapes, "exporter each 15 s (goal 0.35)");
    report.add(name("metering"), unit, weir, bulk, "bare bulk call each 10 s (goal 0.15)");
    report.add(name("metering, all asked"), unit, asking_all, scrapes, "exporter each 15 s (goal 0.35)");
    report.add(name("metering, all asked"), unit, asking_all, bulk, "bare bulk call each 10 s (goal 0.15)");
    Ok(())
}

/// A whole collector at work, its spool and threads included: CPU time of all, and its memory.
fn whole(fleet: &Fleet, watch: Duration, report: &mut Report) -> Result<()> {
    let count = fleet.guests.len() as f64;
    eprintln!("  a collector at work for {watch:?}");
    let dir = tempfile::tempdir()?;
    // The collector does the same after a look; what the rig left would be taken off its memory.
    give_back_memory();
    let without_kib = resident_kib()?;
    let collector = collector::start(collector::Settings {
        libvirt_uri: URI.to_owned(),
        reading_interval: collector::DEFAULT_READING_INTERVAL,
        sample_interval: collector::DEFAULT_SAMPLE_INTERVAL,
        cross_check_interval: collector::DEFAULT_CROSS_CHECK_INTERVAL,
        state_dir: dir.path().to_owned(),
        node_name: "bench".to_owned(),
    })?;
    let began = Instant::now();
    while collector.status().last_seq.is_none() {
        ensure!(began.elapsed() < Duration::from_secs(60), "the collector does not read");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    let begin_kib = resident_kib()?;
    let mut warm_kib = begin_kib;
    let spent = fleet.spend(None, || {
        std::thread::sleep(watch / WARMING);
        warm_kib = resident_kib()?;
        std::thread::sleep(watch - watch / WARMING);
        Ok(())
    })?;
    let end_kib = resident_kib()?;
    let each = 1.0 / watch.as_secs_f64() / count;
    let unit = "us/instance/s";
    let all = [(spent.own + spent.others) * each];
    report.add("collector at work, all processes".into(), unit, &all, &[spent.own * each], "its own part");
    let per_100 = |kib: f64| [(kib - without_kib) / count * 100.0];
    let name = "memory of 100 instances at the end";
    report.add(name.into(), "KiB", &per_100(end_kib), &per_100(begin_kib), "at the beginning");
    report.add(
        name.into(),
        "KiB",
        &per_100(end_kib),
        &per_100(warm_kib),
        "after a sixth of the time (goal 1)",
    );
    Ok(())
}

/// Debian's exporter, on loopback.
struct Exporter(Child);

impl Exporter {
    fn start() -> Result<Self> {
        let child = Command::new("prometheus-libvirt-exporter")
            .args(["--web.listen-address", EXPORTER, "--libvirt.uri", URI])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("prometheus-libvirt-exporter cannot be run; install Debian's package of that name")?;
        let exporter = Self(child);
        let began = Instant::now();
        while let Err(error) = exporter.scrape() {
            ensure!(began.elapsed() < Duration::from_secs(20), "the exporter does not answer: {error:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(exporter)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap_or(i32::MAX)
    }

    fn scrape(&self) -> Result<()> {
        let mut stream = TcpStream::connect(EXPORTER)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.contains("libvirt_up"), "no figures in {} bytes of answer", answer.len());
        Ok(())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn libvirtd() -> Result<i32> {
    let path = "/run/libvirtd.pid";
    let text = std::fs::read_to_string(path).with_context(|| format!("{path} tells libvirtd's process"))?;
    Ok(text.trim().parse()?)
}

fn cpu_us(pids: &[i32]) -> Result<f64> {
    pids.iter().try_fold(0.0, |sum, pid| Ok(sum + process_cpu_ns(*pid)? as f64 / 1e3))
}

/// The resident memory of this process.
fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
