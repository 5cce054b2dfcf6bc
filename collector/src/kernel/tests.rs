//! Looks completed by the kernel path, with programs of the test's own in the place of guests.

use std::path::Path as FilePath;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use metering::{BootId, InstanceId, NoticeKind};
use uuid::Uuid;

use super::{Before, Completion, Kernel};
use crate::clock::{Clock, Moment, SystemClock};
use crate::observation::{Figures, Observation, ObservedInstance, ObservedNic, Run, Scope};

/// A program that looks like a guest: libvirt keeps its number, and its command line names the instance.
struct Guest {
    process: Child,
    id: InstanceId,
}

impl Guest {
    fn start(dir: &FilePath) -> Self {
        Self::start_as(dir, Uuid::new_v4(), 20_000)
    }

    /// It counts to `work` first.
    fn start_as(dir: &FilePath, uuid: Uuid, work: u32) -> Self {
        Self::start_named(dir, "web", uuid, work)
    }

    fn start_named(dir: &FilePath, name: &str, uuid: Uuid, work: u32) -> Self {
        let burn = "i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; echo done; read line";
        let mut process = Command::new("sh")
            .args(["-c", burn, &uuid.to_string(), &work.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = process.stdout.take().unwrap();
        std::io::Read::read_exact(&mut output, &mut [0; 5]).unwrap();
        std::fs::write(dir.join(format!("qemu/{name}.pid")), process.id().to_string()).unwrap();
        Self { process, id: InstanceId::from_uuid(uuid) }
    }

    fn shown(&self, figures: Option<Figures>) -> ObservedInstance {
        let run = Run {
            run_id: 1,
            started: None,
            is_executing: Some(true),
            is_moving: false,
            is_silent: false,
            figures,
        };
        ObservedInstance {
            instance_id: self.id,
            name: "web".into(),
            tenant_label: None,
            makeup: metering::Makeup::default(),
            is_described: true,
            run: Some(run),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have been killed by its test.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn kernel() -> (tempfile::TempDir, Kernel) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("qemu")).unwrap();
    let uri = format!("qemu+unix:///system?socket={}/sock", dir.path().display());
    (dir, Kernel::by_hand(&uri, Arc::new(SystemClock)))
}

fn whole(cpu_ns: u64) -> Option<Figures> {
    Some(Figures { cpu_ns: Some(cpu_ns), vcpus: Some(2), memory_kib: Some(1_024), ..Figures::default() })
}

/// Completes a look at `instances`.
fn look(kernel: &Kernel, scope: Scope, instances: Vec<ObservedInstance>) -> (Observation, Completion) {
    let before = kernel.begin_look();
    finish(kernel, &before, scope, instances, 0)
}

/// Completes a look that began already, so many seconds later than now.
fn finish(
    kernel: &Kernel,
    before: &Before,
    scope: Scope,
    instances: Vec<ObservedInstance>,
    later_s: u64,
) -> (Observation, Completion) {
    // A process must be older than the look.
    std::thread::sleep(Duration::from_millis(30));
    let now = SystemClock.now();
    let mut observation = Observation {
        boot_id: BootId::from_uuid(Uuid::nil()),
        at: Moment { boot: now.boot + Duration::from_secs(later_s), ..now },
        instances,
        volumes: None,
        storage_dirs: Vec::new(),
        scope,
        ends: Vec::new(),
        events: Vec::new(),
    };
    let completion = kernel.complete(&mut observation, before, |_, _| None);
    (observation, completion)
}

fn blocks() -> Scope {
    Scope::Blocks { but_not: Default::default(), wholly: Default::default() }
}

fn figures(observation: &Observation) -> Figures {
    observation.instances[0].run.as_ref().unwrap().figures.clone().unwrap()
}

#[test]
fn what_was_not_asked_is_the_kernels_and_a_run_that_is_new_is_asked_wholly() {
    let (dir, kernel) = kernel();
    let guest = Guest::start(dir.path());
    let (_, completion) = look(&kernel, blocks(), vec![guest.shown(Some(Figures::default()))]);
    assert!(completion.unknown.contains(&guest.id));
    let real = kernel.view().snapshot().instances[0].cpu_ns.kernel.clone().unwrap().value;
    let (first, _) = look(&kernel, Scope::Everything, vec![guest.shown(whole(real))]);
    let (second, completion) = look(&kernel, blocks(), vec![guest.shown(Some(Figures::default()))]);
    assert_eq!(completion, Completion::default());
    let (first, second) = (figures(&first), figures(&second));
    assert_eq!((second.vcpus, second.memory_kib), (Some(2), Some(1_024)));
    assert!(Some(1) < first.cpu_ns && first.cpu_ns <= second.cpu_ns);
    // A hypervisor that gives nothing at all leaves the rest to the kernel.
    let (silent, _) = look(&kernel, Scope::Everything, vec![guest.shown(None)]);
    assert_eq!(figures(&silent), second);
}

#[test]
fn a_difference_is_told_once_with_both_figures_and_so_is_its_end() {
    let (dir, kernel) = kernel();
    let guest = Guest::start(dir.path());
    let real =
        || guest.shown(whole(kernel.view().snapshot().instances[0].cpu_ns.kernel.clone().unwrap().value));
    let differs = |completion: &Completion| {
        let of_paths = completion.notices.iter().filter(|notice| notice.kind == NoticeKind::PathsDiffer);
        of_paths.map(|notice| (notice.is_over, notice.detail.contains("777000000000"))).collect::<Vec<_>>()
    };
    let (_, completion) = look(&kernel, Scope::Everything, vec![guest.shown(whole(0))]);
    assert_eq!(differs(&completion), [(true, false)], "what an earlier collector told is over");
    let wrong = || guest.shown(whole(777_000_000_000));
    let (observation, completion) = look(&kernel, Scope::Everything, vec![wrong()]);
    assert_eq!(differs(&completion), [(false, true)]);
    assert!(figures(&observation).cpu_ns < Some(777_000_000_000), "the source stays the same for this life");
    let (_, completion) = look(&kernel, Scope::Everything, vec![wrong()]);
    assert_eq!(differs(&completion), []);
    let (_, completion) = look(&kernel, Scope::Everything, vec![real()]);
    assert_eq!(differs(&completion), [(true, false)]);
}

#[test]
fn where_the_paths_differ_from_the_beginning_the_hypervisor_is_the_authority() {
    let (dir, kernel) = kernel();
    let guest = Guest::start(dir.path());
    let (observation, _) = look(&kernel, Scope::Everything, vec![guest.shown(whole(777_000_000_000))]);
    assert_eq!(figures(&observation).cpu_ns, Some(777_000_000_000));
    assert!(kernel.asks().wholly.contains(&guest.id), "it is asked at each look from now on");
}

#[test]
fn an_end_is_told_until_it_is_durable_and_its_cpu_time_is_whole() {
    let (dir, kernel) = kernel();
    let mut guest = Guest::start(dir.path());
    let (seen, _) = look(&kernel, Scope::Everything, vec![guest.shown(whole(0))]);
    guest.process.kill().unwrap();
    guest.process.wait().unwrap();
    let (_, completion) = look(&kernel, blocks(), vec![guest.shown(Some(Figures::default()))]);
    assert!(completion.is_end_pending, "the hypervisor still shows it");
    for _ in 0..2 {
        let (observation, _) = look(&kernel, blocks(), Vec::new());
        let [end] = observation.ends.as_slice() else { panic!("one end: {observation:?}") };
        assert_eq!((end.instance_id, end.run_id), (guest.id, 1));
        assert!(figures(&seen).cpu_ns <= end.cpu_ns, "{seen:?} {end:?}");
    }
    kernel.committed();
    assert_eq!(look(&kernel, blocks(), Vec::new()).0.ends, []);
}

#[test]
fn a_restarted_guest_is_compared_with_its_own_clock_and_not_with_that_of_its_last_run() {
    let (dir, kernel) = kernel();
    let first = Guest::start_as(dir.path(), Uuid::new_v4(), 500_000);
    let clock = || kernel.view().snapshot().instances[0].cpu_ns.kernel.clone().unwrap().value;
    look(&kernel, Scope::Everything, vec![first.shown(whole(0))]);
    let of_first = clock();
    let before = kernel.begin_look();
    let id = first.id;
    drop(first);
    let second = Guest::start_as(dir.path(), id.uuid(), 1);
    let mut shown = second.shown(whole(0));
    shown.run.as_mut().unwrap().run_id = 2;
    let (observation, completion) = finish(&kernel, &before, Scope::Everything, vec![shown], 0);
    assert!(completion.notices.iter().all(|notice| notice.is_over), "{completion:?}");
    assert_eq!(figures(&observation).cpu_ns, Some(clock()));
    assert!(clock() < of_first, "{} {of_first}", clock());
    assert!(!kernel.asks().wholly.contains(&id), "its register is the kernel's");
}

#[test]
fn an_instance_whose_process_is_not_known_for_long_is_told_once_until_it_is_known_or_over() {
    let (dir, kernel) = kernel();
    let guest = Guest::start(dir.path());
    let pid_file = dir.path().join("qemu/web.pid");
    let number = std::fs::read_to_string(&pid_file).unwrap();
    let told = |completion: &Completion| {
        let of_instance = completion.notices.iter().filter(|notice| notice.instance_id == Some(guest.id));
        let away = of_instance.filter(|notice| notice.kind == NoticeKind::KernelPathAway);
        away.map(|notice| notice.is_over).collect::<Vec<_>>()
    };
    std::fs::write(&pid_file, "1").unwrap();
    let at = |later_s, instances| {
        let before = kernel.begin_look();
        told(&finish(&kernel, &before, Scope::Everything, instances, later_s).1)
    };
    let shown = || vec![guest.shown(whole(5))];
    assert_eq!(at(0, shown()), [], "another process has the number, which is no news at a start");
    assert_eq!(at(20, shown()), []);
    assert_eq!(at(31, shown()), [false], "nor does it get its own");
    assert_eq!(at(32, shown()), []);
    assert_eq!(at(33, Vec::new()), [true]);
    let mut next = guest.shown(whole(5));
    next.run.as_mut().unwrap().run_id = 2;
    assert_eq!(at(40, shown()), []);
    assert_eq!(at(60, vec![next.clone()]), [], "another run");
    assert_eq!(at(80, vec![next.clone()]), []);
    assert_eq!(at(91, vec![next]), [false]);
    std::fs::write(&pid_file, number).unwrap();
    assert_eq!(at(92, vec![guest.shown(whole(0))]), [true]);
}

#[test]
fn a_start_during_which_the_process_is_not_known_yet_alarms_nobody() {
    let (dir, kernel) = kernel();
    let guest = Guest::start(dir.path());
    let pid_file = dir.path().join("qemu/web.pid");
    let number = std::fs::read_to_string(&pid_file).unwrap();
    // Not written, half written, of a process that is not QEMU yet.
    for content in [None, Some(""), Some("1")] {
        match content {
            None => std::fs::remove_file(&pid_file).unwrap(),
            Some(content) => std::fs::write(&pid_file, content).unwrap(),
        }
        let (observation, completion) = look(&kernel, Scope::Everything, vec![guest.shown(whole(5))]);
        assert_eq!((completion.notices, figures(&observation).cpu_ns), (Vec::new(), Some(5)), "{content:?}");
        assert!(kernel.asks().wholly.contains(&guest.id));
    }
    std::fs::write(&pid_file, number).unwrap();
    let (_, completion) = look(&kernel, Scope::Everything, vec![guest.shown(whole(0))]);
    assert!(completion.notices.iter().all(|notice| notice.kind != NoticeKind::KernelPathAway));
    assert!(kernel.view().snapshot().instances[0].cpu_ns.kernel.is_some());
}

/// Changes devices of this thread's network namespace.
fn ip(commands: &[String]) {
    let mut ip =
        Command::new("ip").args(["-batch", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut ip.stdin.take().unwrap(), commands.concat().as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "{commands:?}");
}

/// Twenty guests come and go, every other one of them without a process that can be found, each with a device of the host's,
/// beside as many devices that are nobody's.
fn come_and_go(dir: &FilePath, kernel: &Kernel, round: u32) {
    const GUESTS: usize = 20;
    let names: Vec<String> = (0..GUESTS).map(|n| format!("g{n}")).collect();
    let devices = || names.iter().flat_map(|name| [name.clone(), format!("x{name}")]);
    ip(&devices().map(|name| format!("link add {name} type bridge\n")).collect::<Vec<_>>());
    let start = |name: &String| Guest::start_named(dir, name, Uuid::new_v4(), 1);
    let mut guests: Vec<Guest> = names.iter().map(start).collect();
    let show = |(n, guest): (usize, &Guest)| {
        let (mac, host_device) = (Some(format!("52:54:00:00:00:{n:02x}")), Some(names[n].clone()));
        let nics = vec![ObservedNic { mac, host_device, registers: None }];
        let mut shown = guest.shown(Some(Figures { nics, ..whole(0).unwrap() }));
        shown.name = if n % 2 == 0 { names[n].clone() } else { format!("none-{n}") };
        shown.run.as_mut().unwrap().run_id = round;
        shown
    };
    let shown = |guests: &[Guest]| guests.iter().enumerate().map(show).collect::<Vec<_>>();
    look(kernel, Scope::Everything, shown(&guests));
    assert_eq!(super::lock(&kernel.path).runs.len(), GUESTS / 2, "the others have no process");
    // A NIC is plugged out of each while its run goes on.
    ip(&devices().map(|name| format!("link del {name}\n")).collect::<Vec<_>>());
    let mut without = shown(&guests);
    let runs = without.iter_mut().filter_map(|one| one.run.as_mut()?.figures.as_mut());
    runs.for_each(|figures| figures.nics.clear());
    look(kernel, Scope::Everything, without);
    kernel.committed();
    guests.iter_mut().for_each(|guest| guest.process.kill().unwrap());
    guests.clear();
    let (observation, _) = look(kernel, blocks(), Vec::new());
    assert_eq!(observation.ends.len(), GUESTS / 2);
    kernel.committed();
}

#[test]
fn hundreds_of_guests_and_devices_that_came_and_went_leave_nothing_in_the_kernel_path() {
    let apart = std::thread::spawn(|| {
        // SAFETY: only the network of this thread changes; no descriptor and no memory does.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        let (dir, kernel) = kernel();
        let sizes = || {
            let path = super::lock(&kernel.path);
            let of_path = [path.runs.len(), path.ends.len(), path.notices.len(), path.unfound.len()];
            (of_path, path.links.as_ref().unwrap().sizes())
        };
        come_and_go(dir.path(), &kernel, 0);
        let after_one = sizes();
        assert_eq!(after_one.0, [0; 4]);
        for round in 1..6 {
            come_and_go(dir.path(), &kernel, round);
        }
        assert_eq!(sizes(), after_one);
        // Devices that no look asks for, as those of networks and of other programs.
        for _ in 0..2 {
            ip(&(0..100).map(|n| format!("link add n{n} type bridge\n")).collect::<Vec<_>>());
            kernel.sample();
            ip(&(0..100).map(|n| format!("link del n{n}\n")).collect::<Vec<_>>());
            super::lock(&kernel.path).catch_up();
        }
        assert_eq!(sizes(), after_one);
    });
    apart.join().unwrap();
}
