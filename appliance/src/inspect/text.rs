//! An inspection for people: aligned, with units, ages and sources; what is wrong is marked with `!`.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use reports::figures::grouped_digits;

use super::report::{
    CollectorReport, DeviceReport, EpochReport, FigureReport, InstanceReport, MemoryReport, PartReport,
    PathsReport, RegisterReport, Report, RunReport, SourcedReport, SpoolReport, StockReport, VolumeReport,
};

/// What labels take: the longest register's name and a gap.
const LABEL: usize = 22;
/// What a register takes: 20 digits in groups.
const FIGURE: usize = 26;
/// Batches that were refused and are shown, the latest.
const REFUSED_SHOWN: usize = 10;

/// The page.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = Page { text: String::new(), now: report.at };
    page.head(report);
    page.collector(report.collector.as_ref(), report.libvirt_uri.as_deref());
    page.part("Spool", &report.spool, Page::spool);
    page.part("Registers", &report.registers, Page::registers);
    let names = Names::of(report.registers.value.as_ref());
    page.part("Both paths", &report.paths, |page, paths| page.paths(paths, &names));
    page.text
}

/// What instances are called.
struct Names<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Names<'a> {
    fn of(memory: Option<&'a MemoryReport>) -> Self {
        let instances = memory.map_or(&[][..], |memory| &memory.instances);
        Self(instances.iter().map(|found| (found.instance_id.as_str(), found.name.as_str())).collect())
    }

    fn name(&self, instance_id: &'a str) -> &'a str {
        self.0.iter().find(|(id, _)| *id == instance_id).map_or(instance_id, |(_, name)| name)
    }
}

struct Page {
    text: String,
    now: Timestamp,
}

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        let text = clean(text);
        let _ = writeln!(self.text, "{:indent$}{}", "", text.trim_end());
    }

    fn row(&mut self, indent: usize, label: &str, text: &str) {
        let width = LABEL.saturating_sub(indent);
        self.line(indent, &format!("{label:<width$}{text}"));
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn head(&mut self, report: &Report) {
        let id = report.spool.value.as_ref().map_or("not known", |spool| &spool.node_id);
        let name = report.node_name.as_deref().unwrap_or("node");
        self.line(0, &format!("{name}   {id}   {} UTC", instant(report.at)));
    }

    fn part<T>(&mut self, title: &str, part: &PartReport<T>, show: impl FnOnce(&mut Self, &T)) {
        self.blank();
        self.line(0, &format!("{title:<LABEL$}{}", part.source));
        if let Some(value) = &part.value {
            show(self, value);
        }
        for problem in &part.problems {
            self.line(0, &format!("! {}", problem.what));
            self.line(2, &format!("to mend it: {}", problem.remedy));
        }
    }

    fn collector(&mut self, collector: Option<&CollectorReport>, uri: Option<&str>) {
        self.blank();
        let Some(collector) = collector else {
            self.line(0, &format!("{:<LABEL$}none runs on this data directory", "Collector"));
            return;
        };
        let uri = uri.unwrap_or("libvirt");
        let answers = if collector.is_connected { "answers" } else { "does not answer" };
        self.line(0, &format!("{:<LABEL$}running; {uri} {answers}", "Collector"));
        let look = match (collector.last_observed_at, collector.last_seq) {
            (Some(at), Some(seq)) => format!(
                "{}, batch {}, {}",
                self.ago(at),
                whole(seq),
                count(collector.instances as u64, "instance", "instances")
            ),
            _ => "none since it started".to_owned(),
        };
        self.row(2, "last look", &look);
    }

    fn spool(&mut self, spool: &SpoolReport) {
        let waiting = self.stock(&spool.waiting);
        self.row(2, "waiting", &waiting);
        let mut kept = self.stock(&spool.kept);
        if 0 < spool.kept.batches {
            kept.push_str("; acknowledged, kept until a backup covers them");
        }
        self.row(2, "kept", &kept);
        self.row(
            2,
            "refused",
            &if spool.refused.is_empty() {
                "none".to_owned()
            } else {
                count(spool.refused.len() as u64, "batch", "batches")
            },
        );
        for batch in spool.refused.iter().rev().take(REFUSED_SHOWN) {
            let line = format!("{}, {}: {}", whole(batch.seq), self.ago(batch.at), batch.reason);
            self.row(4, "", &line);
        }
        let number = |seq: Option<u64>| seq.map_or_else(|| "none".to_owned(), whole);
        self.row(2, "last look", &number(spool.last_committed));
        self.row(2, "acknowledged", &number(spool.acknowledged));
        self.row(2, "control plane has", &number(spool.known_until));
        self.row(2, "a backup covers", &number(spool.covered_until));
        if let Some(seq) = spool.dropped_until {
            self.row(2, "no more kept", &format!("up to {}", whole(seq)));
        }
        let reserve = if spool.is_reserve_complete { "in place" } else { "used up" };
        let disk = format!("{}; the reserve against a full disk is {reserve}", bytes(spool.disk_bytes));
        self.row(2, "on disk", &disk);
        if 0 < spool.pending_notices {
            let notices = count(spool.pending_notices as u64, "waits", "wait");
            self.row(2, "notices", &format!("{notices} for the next batch"));
        }
    }

    fn stock(&self, stock: &StockReport) -> String {
        let (Some(first), Some(last)) = (stock.first, stock.last) else { return "none".to_owned() };
        let batches = count(stock.batches, "batch", "batches");
        let oldest = stock.oldest_at.map_or_else(String::new, |at| format!(", the oldest {}", self.old(at)));
        let numbers =
            if first == last { whole(first) } else { format!("{} to {}", whole(first), whole(last)) };
        format!("{batches}, {}: {numbers}{oldest}", bytes(stock.bytes))
    }

    fn registers(&mut self, memory: &MemoryReport) {
        let look = memory.look.map_or_else(String::new, |look| format!(" of look {}", whole(look)));
        let seen = memory.last_observation_at.map_or_else(|| "never".to_owned(), |at| self.ago(at));
        self.row(2, "memory", &format!("{}{look}", memory.memory));
        self.row(2, "instances seen", &seen);
        self.row(2, "epochs begun", &whole(memory.epochs));
        if memory.instances.is_empty() {
            self.row(2, "instances", "none");
        }
        for instance in &memory.instances {
            self.instance(instance);
        }
        for volume in &memory.volumes {
            self.volume(volume);
        }
    }

    fn instance(&mut self, instance: &InstanceReport) {
        self.blank();
        self.line(2, &format!("instance {}   {}", instance.name, instance.instance_id));
        self.row(4, "tenant", instance.tenant_label.as_deref().unwrap_or("none is claimed"));
        let read = instance.last_read_at.map_or_else(|| "never".to_owned(), |at| self.ago(at));
        self.row(4, "read", &read);
        match &instance.run {
            Some(run) => self.run(run),
            None if instance.is_elsewhere => self.row(4, "run", "none here: it went to another node"),
            None => self.row(4, "run", "none: it is switched off"),
        }
    }

    fn run(&mut self, run: &RunReport) {
        let state = match run.is_executing {
            Some(true) => "executing",
            Some(false) => "not executing",
            None => "not read yet",
        };
        let vcpus =
            run.vcpus.map_or_else(String::new, |vcpus| format!(", {}", count(vcpus.into(), "vCPU", "vCPUs")));
        let memory =
            run.memory_kib.map_or_else(String::new, |kib| format!(", {}", bytes(kib.saturating_mul(1_024))));
        self.row(4, "run", &format!("{}: {state}{vcpus}{memory}", run.run_id));
        if 0 < run.unread_looks {
            self.row(
                4,
                "unread",
                &format!("for {} in a row", count(run.unread_looks.into(), "look", "looks")),
            );
        }
        self.epoch(4, &run.epoch);
        self.row(4, "held until", &format!("{} UTC", instant(run.held_until)));
        self.figures(4, &run.registers);
        for device in &run.devices {
            self.device(device);
        }
    }

    fn device(&mut self, device: &DeviceReport) {
        let source = if device.source.is_empty() { String::new() } else { format!("   {}", device.source) };
        self.line(4, &format!("{}{source}", device.name));
        self.epoch(6, &device.epoch);
        if device.registers.is_empty() {
            self.row(6, "registers", "never read");
        }
        self.figures(6, &device.registers);
    }

    fn volume(&mut self, volume: &VolumeReport) {
        self.blank();
        let pool = if volume.pool.is_empty() { String::new() } else { format!("{}/", volume.pool) };
        self.line(2, &format!("volume {pool}{}   {}", volume.name, volume.volume_id));
        if let Some(path) = &volume.path {
            self.row(4, "path", path);
        }
        let size = volume.capacity_bytes.map_or_else(
            || "not known yet".to_owned(),
            |size| format!("{} ({} bytes)", bytes(size), whole(size)),
        );
        self.row(4, "size", &size);
        self.epoch(4, &volume.epoch);
        self.row(4, "held until", &format!("{} UTC", instant(volume.held_until)));
        self.figures(4, &volume.registers);
    }

    fn epoch(&mut self, indent: usize, epoch: &EpochReport) {
        let born = match epoch.born_at {
            Some(at) => format!("born at {} UTC", instant(at)),
            None => "adopted: its birth is not known".to_owned(),
        };
        self.row(indent, "epoch", &format!("{}, {born}", epoch.id));
    }

    fn figures(&mut self, indent: usize, registers: &[RegisterReport]) {
        for register in registers {
            self.row(indent, &register.name, &format!("{:>FIGURE$}", whole(register.value)));
        }
    }

    fn paths(&mut self, paths: &PathsReport, names: &Names<'_>) {
        let sampled = match paths.sampled_at {
            Some(at) => format!(
                "{}, {} since the collector started",
                self.ago(at),
                count(paths.samples, "sample", "samples")
            ),
            None => "not yet".to_owned(),
        };
        self.row(2, "kernel sampled", &sampled);
        self.row(2, "exit records lost", &whole(paths.exit_records_lost));
        for capability in &paths.capabilities {
            match &capability.missing {
                None => self.row(2, &capability.name, &format!("available: {}", capability.gives)),
                Some(missing) => {
                    self.row(2, &capability.name, &format!("missing: {}", missing.why));
                    self.row(2, "", &format!("what is lost: {}", missing.lost));
                    self.row(2, "", &format!("to mend it: {}", missing.remedy));
                }
            }
        }
        for instance in &paths.instances {
            self.blank();
            let pid =
                instance.pid.map_or_else(|| "process not found".to_owned(), |pid| format!("process {pid}"));
            let name = names.name(&instance.instance_id);
            self.line(2, &format!("instance {name}   run {}, {pid}", instance.run_id));
            for figure in &instance.figures {
                self.figure(figure);
            }
        }
    }

    fn figure(&mut self, figure: &FigureReport) {
        if let Some(device) = &figure.device {
            self.line(4, device);
        }
        let indent = if figure.device.is_some() { 6 } else { 4 };
        let named = figure.kernel.as_ref().or(figure.libvirt.as_ref());
        let Some(named) = named else {
            self.row(indent, "", "not read yet by either path");
            return;
        };
        for (at, register) in named.registers.iter().enumerate() {
            let values = [("kernel", &figure.kernel), ("libvirt", &figure.libvirt)];
            for (line, (path, sourced)) in values.into_iter().enumerate() {
                let label = if line == 0 { register.name.as_str() } else { "" };
                let text = self.sourced(path, sourced.as_ref(), at);
                self.row(indent, label, &text);
            }
        }
        let difference = match (&figure.difference, &figure.kernel, &figure.libvirt) {
            (Some(difference), ..) => difference.as_str(),
            (None, Some(_), Some(_)) => "none when both were last read together",
            _ => "not comparable: only one path has read it",
        };
        self.row(indent, "difference", difference);
    }

    fn sourced(&self, path: &str, sourced: Option<&SourcedReport>, at: usize) -> String {
        match sourced {
            None => format!("{:>FIGURE$}   {path}: not read", "-"),
            Some(sourced) => {
                let value =
                    sourced.registers.get(at).map_or_else(|| "-".to_owned(), |found| whole(found.value));
                format!("{value:>FIGURE$}   {path}: {}, {}", sourced.source, self.ago(sourced.at))
            }
        }
    }

    fn ago(&self, at: Timestamp) -> String {
        let age = self.now.duration_since(at);
        if age.is_negative() {
            format!("{} in the future", span(age.abs()))
        } else {
            format!("{} ago", span(age))
        }
    }

    fn old(&self, at: Timestamp) -> String {
        let age = self.now.duration_since(at);
        if age.is_negative() {
            format!("{} in the future", span(age.abs()))
        } else {
            format!("{} old", span(age))
        }
    }
}

/// `0.4 s`, `31 s`, `3 min`, `7 h`, `12 days`, rounded down.
fn span(span: SignedDuration) -> String {
    match span.as_secs() {
        ..10 => format!("{}.{} s", span.as_secs(), span.subsec_millis() / 100),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", whole((seconds / 86_400).unsigned_abs())),
    }
}

/// `2026-11-22 12:00:31.250`.
fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", whole(number), if number == 1 { one } else { many })
}

fn whole(number: u64) -> String {
    grouped_digits(&number.to_string())
}

/// `34.5 KiB`, rounded down to a tenth.
fn bytes(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| *unit <= bytes) {
        None => count(bytes, "byte", "bytes"),
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            }
        }
    }
}

/// Names of guests and errors of others do nothing to the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use collector::inspect::{Device, Inspection, Instance, Memory, Part, Problem, Run, Volume};
    use collector::kernel::{Capability, InstanceSnapshot, Missing, Snapshot, Sourced, TwoPaths};
    use collector::{Backlog, RefusedBatch, Status, Stock, Summary};
    use metering::{BatchSeq, Epoch, EpochId, InstanceId, NicRegisters, NodeId, VolumeId};
    use uuid::Uuid;

    use super::*;

    fn at(ms_ago: i64) -> Timestamp {
        let now: Timestamp = "2026-11-22T12:00:31.25Z".parse().unwrap();
        now - SignedDuration::from_millis(ms_ago)
    }

    fn epoch(number: u8, born_at: Option<Timestamp>) -> Epoch {
        Epoch { id: EpochId::of(&[&[number]]), born_at }
    }

    fn part<T>(source: &str, value: T, problems: &[(&str, &str)]) -> Part<T> {
        let problem =
            |(what, remedy): &(&str, &str)| Problem { what: (*what).into(), remedy: (*remedy).into() };
        Part { source: source.into(), value: Some(value), problems: problems.iter().map(problem).collect() }
    }

    fn summary() -> Summary {
        let some = |seq| Some(BatchSeq(seq));
        Summary {
            node_id: NodeId::from_uuid(Uuid::from_u128(1)),
            path: "/var/lib/weir/spool".into(),
            waiting: Stock {
                batches: 12,
                bytes: 35_300,
                first: some(4_700),
                last: some(4_711),
                oldest_at: Some(at(190_000)),
            },
            kept: Stock {
                batches: 1,
                bytes: 900,
                first: some(4_699),
                last: some(4_699),
                oldest_at: Some(at(3 * 86_400_000)),
            },
            refused: vec![RefusedBatch {
                seq: BatchSeq(4_690),
                at: at(7_300_000),
                reason: "schema 3 is newer".into(),
            }],
            last_committed: some(4_711),
            acknowledged: some(4_699),
            known_until: some(4_699),
            covered_until: None,
            dropped_until: some(4_698),
            disk_bytes: 8 << 20,
            is_reserve_complete: false,
            pending_notices: 1,
        }
    }

    fn memory() -> Memory {
        let born_at = Some(at(10_000_000));
        let run = Run {
            run_id: 50,
            epoch: epoch(1, born_at),
            is_executing: Some(true),
            vcpus: Some(2),
            memory_kib: Some(4 << 20),
            held_until: at(31_250),
            unread_looks: 2,
            registers: vec![("cpu_ns", 123_456_789_012), ("memory_kib_s", u64::MAX)],
            devices: vec![
                Device {
                    name: "vda".into(),
                    source: "/pool/web-1.qcow2".into(),
                    epoch: epoch(2, born_at),
                    registers: vec![("read_bytes", 4_608), ("write_bytes", 33_554_432)],
                },
                Device {
                    name: "sda".into(),
                    source: String::new(),
                    epoch: epoch(3, None),
                    registers: Vec::new(),
                },
            ],
        };
        let instance = |number: u128, name: &str, run: Option<Run>| Instance {
            instance_id: InstanceId::from_uuid(Uuid::from_u128(number)),
            name: name.into(),
            tenant_label: run.as_ref().map(|_| "acme".to_owned()),
            last_read_at: run.as_ref().map(|_| at(31_250)),
            is_elsewhere: number == 9,
            run,
        };
        Memory {
            look: Some(BatchSeq(4_711)),
            memory: Uuid::from_u128(2),
            epochs: 17,
            last_look_at: Some(at(31_250)),
            last_observation_at: Some(at(31_250)),
            instances: vec![
                instance(7, "web-1", Some(run)),
                instance(8, "old \u{1b}[31m shop", None),
                instance(9, "moved", None),
            ],
            volumes: vec![Volume {
                volume_id: VolumeId::from_uuid(Uuid::from_u128(5)),
                pool: "default".into(),
                name: "web-1.qcow2".into(),
                path: Some("/pool/web-1.qcow2".into()),
                epoch: epoch(4, None),
                capacity_bytes: Some(10 << 30),
                held_until: at(31_250),
                provisioned_kib_s: 76_806,
            }],
        }
    }

    fn snapshot() -> Snapshot {
        let kernel = |ms, source: &str| (at(ms), source.to_owned());
        let cpu = |value, (at, source): (Timestamp, String)| Some(Sourced { value, at, source });
        let nic = |rx_bytes| NicRegisters { rx_bytes, tx_bytes: 7, rx_packets: 3, tx_packets: 1 };
        let libvirt = "virConnectGetAllDomainStats";
        Snapshot {
            sampled_at: Some(at(400)),
            samples: 18_231,
            overruns: 0,
            capabilities: vec![
                Capability { name: "processes", gives: "CPU time of every guest each second", missing: None },
                Capability {
                    name: "exit records",
                    gives: "the CPU time of a guest that was killed",
                    missing: Some(Missing {
                        why: "taskstats: Operation not permitted".into(),
                        lost: "CPU time after the last sample",
                        remedy: "give the collector CAP_NET_ADMIN",
                    }),
                },
            ],
            instances: vec![InstanceSnapshot {
                instance_id: InstanceId::from_uuid(Uuid::from_u128(7)),
                run_id: 50,
                pid: Some(4_711),
                cpu_ns: TwoPaths {
                    kernel: cpu(123_456_789_012, kernel(400, "process clock of 4711")),
                    hypervisor: cpu(123_400_000_000, kernel(31_250, libvirt)),
                    difference: None,
                },
                nics: vec![(
                    "52:54:00:00:00:01".into(),
                    TwoPaths {
                        kernel: None,
                        hypervisor: Some(Sourced { value: nic(9), at: at(31_250), source: libvirt.into() }),
                        difference: Some("the kernel has 2 bytes more".into()),
                    },
                )],
            }],
        }
    }

    fn scripted() -> Report {
        let inspection = Inspection {
            at: at(0),
            status: Some(Status {
                is_connected: true,
                last_observed_at: Some(at(31_250)),
                last_seq: Some(BatchSeq(4_711)),
                last_error: None,
                instances: 3,
                backlog: Backlog { batches: 12, bytes: 35_300 },
            }),
            spool: part("/var/lib/weir/spool, asked of the running collector", summary(), &[]),
            registers: part("/var/lib/weir/spool: memory-a, memory-b", memory(), &[]),
            paths: part(
                "memory of the running collector",
                snapshot(),
                &[("the last look failed: libvirt is away", "see whether libvirt runs")],
            ),
        };
        Report::new(inspection, Some("node-1".into()), Some("qemu:///system".into()))
    }

    #[test]
    fn a_scripted_node_reads_as_it_was_agreed_on() {
        let text = render(&scripted());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect/golden.txt");
        if std::env::var_os("WEIR_AGREE").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let agreed = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            agreed,
            "if that is meant, run the test with WEIR_AGREE=1 and commit {}",
            file.display()
        );
    }

    #[test]
    fn a_report_survives_its_way_over_the_control_channel() {
        let report = scripted();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!(report.problems(), 1);
    }

    #[test]
    fn sizes_and_ages_have_units() {
        for (size, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1_023, "1,023 bytes"),
            (1_536, "1.5 KiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
        for (ms, text) in [
            (40, "0.0 s"),
            (400, "0.4 s"),
            (31_250, "31 s"),
            (190_000, "3 min"),
            (7_300_000, "2 h"),
            (400_000_000, "4 days"),
        ] {
            assert_eq!(span(SignedDuration::from_millis(ms)), text);
        }
    }
}
