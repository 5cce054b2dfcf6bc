//! `weir inspect node` beside a running Weir with a real guest, and on a directory where nothing runs any more.

mod running;

use std::path::Path;
use std::time::Duration;

use running::Weir;
use serde_json::Value;
use testbed::guest::{DiskSpec, GuestSpec};
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};
use testbed::{daemons, unique_name};

/// What the guest writes.
const WRITTEN_MIB: u64 = 8;
/// A software-emulated guest on a busy machine.
const GUEST_PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn inspect_says_of_a_real_guest_what_virsh_says_and_goes_on_after_damage() {
    daemons::ensure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let interval = [("WEIR__COLLECTOR__READING_INTERVAL", "5s")];
    let up = Weir::start_with(dir.path(), &["--libvirt-uri", "qemu:///system"], &interval);
    let network = Network::create(&unique_name("weirt-inspect")).unwrap();
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".to_owned(), mib: 32 }],
        networks: vec![network.name().to_owned()],
        orders: Orders::new([Order::Write("vda".to_owned(), WRITTEN_MIB), Order::Burn(1)]),
        ..GuestSpec::new(&unique_name("weirt-inspect"))
    };
    let guest = spec.start().unwrap();
    guest.wait_for("WEIR all done", GUEST_PATIENCE).unwrap();
    guest.suspend().unwrap();
    let before = guest.figures().unwrap();
    up.ask(&["reading", "take"]);
    let report = up.ask(&["inspect", "node"]);
    let after = guest.figures().unwrap();
    let run = run_of(&report, guest.uuid());
    assert_eq!(register(&run["devices"], "vda", "write_bytes"), WRITTEN_MIB * MIB);
    assert_eq!(register(&run["devices"], "vda", "read_bytes"), before.disks["vda"].read_bytes);
    let cpu_ns = value(&run["registers"], "cpu_ns");
    let (least, most) = (before.cpu_ns.unwrap(), after.cpu_ns.unwrap());
    assert!(least <= cpu_ns && cpu_ns <= most, "{least} {cpu_ns} {most}");
    for (mac, figures) in &before.nics {
        let sent = register(&run["devices"], mac, "tx_bytes");
        assert!(figures.tx_bytes <= sent && sent <= after.nics[mac].tx_bytes, "{mac}");
    }
    both_paths(&report, guest.uuid(), most);
    let shown = running::weir(&["--data", path(dir.path()), "inspect", "node"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success(), "{text}");
    for part in ["Collector", "Spool", "Registers", "Both paths", &format!("instance {}", guest.name())] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(up.stop().success());
    offline(dir.path(), guest.uuid());
}

/// Nothing runs: the same registers from the directory, and what is damaged hides no other part.
fn offline(dir: &Path, instance: &str) {
    let inspect = || running::weir(&["--data", path(dir), "--json", "inspect", "node"]);
    let whole = inspect();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let report: Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert!(report["collector"].is_null() && report["paths"]["value"].is_null());
    let written = |report: &Value| register(&run_of(report, instance)["devices"], "vda", "write_bytes");
    assert_eq!(written(&report), WRITTEN_MIB * MIB);
    std::fs::write(dir.join("spool/identity"), "rubbish").unwrap();
    let damaged = inspect();
    assert!(!damaged.status.success());
    let said = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(said.contains("one thing is wrong"), "{said}");
    let report: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!(written(&report), WRITTEN_MIB * MIB);
    assert!(report["spool"]["problems"][0]["what"].as_str().unwrap().contains("identity"));
}

/// What libvirt's CPU time may lack of the truth: it adds two figures, each cut to a tick of 10 ms.
const CUT_NS: u64 = 20_000_000;

/// The kernel's figure and libvirt's, each with its source.
fn both_paths(report: &Value, instance: &str, most: u64) {
    let instances = report["paths"]["value"]["instances"].as_array().unwrap();
    let found = instances.iter().find(|found| found["instance_id"] == instance);
    let cpu = &found.unwrap_or_else(|| panic!("{report:#}"))["figures"][0];
    for read in [&cpu["kernel"], &cpu["libvirt"]] {
        let cpu_ns = value(&read["registers"], "cpu_ns");
        assert!(0 < cpu_ns && cpu_ns <= most + CUT_NS, "{cpu}");
        assert!(!read["source"].as_str().unwrap().is_empty(), "{cpu}");
    }
    assert!(cpu["difference"].is_null(), "{cpu}");
}

fn run_of<'a>(report: &'a Value, instance: &str) -> &'a Value {
    let instances = report["registers"]["value"]["instances"].as_array().unwrap();
    let found = instances.iter().find(|found| found["instance_id"] == instance);
    &found.unwrap_or_else(|| panic!("{report:#}"))["run"]
}

fn register(devices: &Value, device: &str, name: &str) -> u64 {
    let found = devices.as_array().unwrap().iter().find(|found| found["name"] == device);
    value(&found.unwrap_or_else(|| panic!("{device}: {devices:#}"))["registers"], name)
}

fn value(registers: &Value, name: &str) -> u64 {
    let found = registers.as_array().unwrap().iter().find(|found| found["name"] == name);
    found.and_then(|found| found["value"].as_u64()).unwrap_or_else(|| panic!("{name}: {registers:#}"))
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}
