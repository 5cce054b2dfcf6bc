//! Allowances and wallets on a real guest: one that has sent more than its tenant may is stopped, stays so, and may run again when
//! the allowance is raised; one that is suspended goes on by itself; one that is throttled writes no faster than it may,
//! through restarts of Weir and of the guest, and is metered to the byte; one of a prepaid tenant starts when its wallet covers it,
//! and is stopped when nothing is left.

mod running;

use std::time::{Duration, Instant};

use running::Weir;
use serde_json::Value;
use testbed::daemons;
use testbed::file_server::FileServer;
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::network::Network;
use testbed::orders::{Order, Orders};
use testbed::process::virsh;
use testbed::unique_name;

const PLAN: &str = "name = \"limited\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"net_tx_bytes\"\nunit_price = \"0.5\"\n";
/// A software-emulated guest on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn state(guest: &Guest) -> String {
    virsh(&["domstate", guest.uuid()]).unwrap().trim().to_owned()
}

fn allowance(up: &Weir) -> Value {
    up.ask(&["allowance", "list", "acme"])["allowances"][0].clone()
}

#[test]
fn a_real_guest_that_sent_more_than_its_tenant_may_is_stopped_and_stays_so_until_the_allowance_is_raised() {
    daemons::ensure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = [("WEIR__COLLECTOR__READING_INTERVAL", "2s")];
    let up = Weir::start_with(dir.path(), &["--libvirt-uri", "qemu:///system"], &settings);
    let plan = dir.path().join("plan.toml");
    std::fs::write(&plan, PLAN).unwrap();
    up.ask(&["plan", "apply", plan.to_str().unwrap()]);
    up.ask(&["tenant", "create", "acme", "--plan", "limited"]);
    // Half a MiB of what is 5 MiB.
    let traffic = ["allowance", "set", "acme", "traffic", "--meter", "net_tx_bytes"];
    up.ask(&[&traffic[..], &["--quantity", "0.0005", "--at", "50", "--at", "100:stop"]].concat());

    let network = Network::create(&unique_name("weirt-limits")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut spec = GuestSpec::new(&unique_name("weirt-limits"));
    spec.networks = vec![network.name().to_owned()];
    spec.tenant_metadata = Some("acme".to_owned());
    let send = Order::Send("eth0".to_owned(), 5, server.sink_url());
    spec.orders = Orders::new([send, Order::Sleep(3_600)]);
    let guest = spec.start().unwrap();
    wait_for("the guest is stopped", || state(&guest) == "shut off");
    let now = allowance(&up);
    assert_eq!(now["in_force"], "stop", "{now}");
    assert!(now["crossed"].as_str().unwrap().contains("100:stop at"), "{now}");

    // Nobody starts it: neither by Weir nor for long by other means.
    let refused = up.run(&["instance", "start", guest.uuid()]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("allowance \"traffic\""), "{why}");
    guest.start().unwrap();
    wait_for("the guest is stopped again", || state(&guest) == "shut off");

    // Raised: it is not started by itself, and may be.
    up.ask(&[&traffic[..], &["--quantity", "500", "--at", "100:stop"]].concat());
    wait_for("the stop is over", || allowance(&up)["in_force"].is_null());
    assert_eq!(state(&guest), "shut off");
    up.ask(&["instance", "start", guest.uuid()]);
    assert_eq!(state(&guest), "running");

    // Suspended, it is where it was, and goes on when the allowance is gone.
    up.ask(&[&traffic[..], &["--quantity", "0.0005", "--at", "100:suspend"]].concat());
    wait_for("the guest is suspended", || state(&guest) == "paused");
    up.ask(&["allowance", "remove", "acme", "traffic"]);
    wait_for("the guest goes on", || state(&guest) == "running");
    assert!(up.stop().success());
}

const DISKS: &str = "name = \"disks\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"disk_write_bytes\"\nunit_price = \"0.5\"\n";
/// Bytes per second of a throttled disk.
const BOUND: u64 = 1 << 20;
/// So many times the guest writes so many MiB.
const WRITES: u64 = 60;
const WRITE_MIB: u64 = 60;
/// For so long it is looked how fast the guest writes.
const LOOK: Duration = Duration::from_secs(6);

fn written(guest: &Guest) -> u64 {
    let stats = virsh(&["domblkstat", guest.uuid(), "vda"]).unwrap();
    stats.lines().find_map(|line| line.split_once("wr_bytes ")?.1.trim().parse().ok()).unwrap()
}

/// The bound of the guest's disk, in bytes per second; 0: none.
fn bound(guest: &Guest) -> u64 {
    let text = virsh(&["blkdeviotune", guest.uuid(), "vda"]).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("total_bytes_sec:")).unwrap();
    line.split(':').nth(1).unwrap().trim().parse().unwrap()
}

/// Bytes that the tenant's disks wrote, by its usage.
fn metered(up: &Weir) -> u64 {
    let span = ["--from", "2026-01-01T00:00:00Z", "--to", "2099-01-01T00:00:00Z"];
    let usage = up.ask(&[&["usage", "show", "--tenant", "acme"], &span[..]].concat());
    let rows = usage["records"].as_array().unwrap();
    let of_disk = rows.iter().filter(|row| row["meter"] == "disk_write_bytes");
    of_disk.map(|row| row["quantity"].as_u64().unwrap()).sum()
}

#[test]
fn a_real_guest_that_wrote_more_than_its_tenant_may_writes_slowly_through_all_restarts_and_is_metered_to_the_byte()
 {
    daemons::ensure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bound_text = BOUND.to_string();
    let settings = [
        ("WEIR__COLLECTOR__READING_INTERVAL", "2s"),
        ("WEIR__THROTTLE__DISK_BYTES_PER_SECOND", bound_text.as_str()),
    ];
    let start = || Weir::start_with(dir.path(), &["--libvirt-uri", "qemu:///system"], &settings);
    let up = start();
    let plan = dir.path().join("plan.toml");
    std::fs::write(&plan, DISKS).unwrap();
    up.ask(&["plan", "apply", plan.to_str().unwrap()]);
    up.ask(&["tenant", "create", "acme", "--plan", "disks"]);
    let disk = ["allowance", "set", "acme", "disk", "--meter", "disk_write_bytes"];
    let limit = |up: &Weir| up.ask(&[&disk[..], &["--quantity", "0.001", "--at", "100:throttle"]].concat());
    limit(&up);

    let mut spec = GuestSpec::new(&unique_name("weirt-limits"));
    spec.disks = vec![DiskSpec { target: "vda".to_owned(), mib: 64 }];
    spec.tenant_metadata = Some("acme".to_owned());
    let write = (0..WRITES).map(|_| Order::Write("vda".to_owned(), WRITE_MIB));
    spec.orders = Orders::new(write.chain([Order::Sleep(3_600)]));
    let guest = spec.start().unwrap();
    wait_for("the guest is throttled", || bound(&guest) == BOUND);
    assert_eq!((state(&guest).as_str(), allowance(&up)["in_force"].as_str()), ("running", Some("throttle")));
    let (begun, before) = (Instant::now(), written(&guest));
    std::thread::sleep(LOOK);
    let (bytes, took) = (written(&guest) - before, begun.elapsed());
    println!("throttled: {} KiB in {} ms", bytes / 1_024, took.as_millis());
    // What was saved up in a second may come on top; a busy machine writes less.
    assert!(
        u128::from(bytes) <= u128::from(BOUND) * (took.as_millis() + 2_000) / 1_000,
        "{bytes} in {took:?}"
    );
    println!("what this host cannot bound: {}", up.ask(&["allowance", "list", "acme"])["notices"]);

    // It is released, goes on at full speed, and each byte of both is on record.
    up.ask(&["allowance", "remove", "acme", "disk"]);
    wait_for("the guest is released", || bound(&guest) == 0);
    guest.wait_for("order=60 write:vda:60 done", PATIENCE).unwrap();
    let total = (WRITES * WRITE_MIB) << 20;
    assert_eq!(written(&guest), total);
    wait_for("each byte is metered", || metered(&up) == total);

    // Throttled again, it stays so when Weir is started anew, and when the guest is, by whatever means.
    limit(&up);
    wait_for("the guest is throttled again", || bound(&guest) == BOUND);
    assert!(up.stop().success());
    let up = start();
    guest.destroy().unwrap();
    guest.start().unwrap();
    wait_for("the guest is throttled after its start", || bound(&guest) == BOUND);
    up.ask(&["instance", "stop", guest.uuid(), "--grace", "0"]);
    up.ask(&["instance", "start", guest.uuid()]);
    assert_eq!(bound(&guest), BOUND, "from the start on");
    up.ask(&["allowance", "remove", "acme", "disk"]);
    wait_for("the guest is as it was", || bound(&guest) == 0);
    assert!(up.stop().success());
}

const PREPAID: &str = "name = \"prepaid\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"net_tx_bytes\"\nunit_price = \"20000\"\n\
    [[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"10\"\n";

#[test]
fn a_real_guest_of_a_prepaid_tenant_starts_when_its_wallet_covers_an_hour_and_stops_when_nothing_is_left() {
    daemons::ensure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("WEIR__COLLECTOR__READING_INTERVAL", "2s"),
        ("WEIR__BILLING__WALLET_GRACE", "1s"),
        ("WEIR__WEBHOOKS__ALLOW_PRIVATE", "true"),
    ];
    let up = Weir::start_with(dir.path(), &["--libvirt-uri", "qemu:///system"], &settings);
    let plan = dir.path().join("plan.toml");
    std::fs::write(&plan, PREPAID).unwrap();
    up.ask(&["plan", "apply", plan.to_str().unwrap()]);
    up.ask(&["tenant", "create", "acme", "--plan", "prepaid"]);
    let billing = ["--mode", "prepaid", "--currency", "EUR", "--low-balance", "20.00"];
    up.ask(&[&["tenant", "set-billing", "acme"], &billing[..]].concat());
    // Nobody listens there: that it is told is what is looked at.
    let hook = up.ask(&["webhook", "add", "http://127.0.0.1:9/", "--type", "wallet.low"]);
    let endpoint = hook["webhook_id"].as_str().unwrap().to_owned();

    let network = Network::create(&unique_name("weirt-limits")).unwrap();
    let server = FileServer::start(network.host_address()).unwrap();
    let mut spec = GuestSpec::new(&unique_name("weirt-limits"));
    spec.networks = vec![network.name().to_owned()];
    spec.tenant_metadata = Some("acme".to_owned());
    let send = Order::Send("eth0".to_owned(), 5, server.sink_url());
    spec.orders = Orders::new([send, Order::Sleep(3_600)]);
    let guest = spec.define().unwrap();
    let start = ["instance", "start", guest.uuid()];
    let refused = || {
        let output = up.run(&start);
        assert!(!output.status.success(), "it was started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let top_up = |amount: &str, reference: &str| {
        up.ask(&["wallet", "top-up", "acme", amount, "EUR", "--reference", reference]);
    };
    let held = || up.ask(&["wallet", "show", "acme"])["held"].clone();
    // An hour of a vCPU is 10 EUR and its tax.
    let why = refused();
    assert!(why.contains("costs 11.90 EUR") && why.contains("weir wallet top-up"), "{why}");
    top_up("11.89", "A");
    assert!(refused().contains("has 11.89 EUR"), "a cent is missing");
    top_up("50", "B");
    up.ask(&start);
    assert_eq!(state(&guest), "running");
    assert_eq!(held()["amount"], "11.90", "{}", held());

    // It sends for about a hundred.
    wait_for("the guest is stopped", || state(&guest) == "shut off");
    wait_for("that is noted", || !up.ask(&["wallet", "show", "acme"])["stopped_at"].is_null());
    let wallet = up.ask(&["wallet", "show", "acme"]);
    println!("drained: {}", wallet["message"]);
    assert_eq!(wallet["held"]["amount"], "0.00", "what was reserved is given back");
    let mail = up.ask(&["mail", "list"]);
    let letters = mail["mail"].as_array().unwrap();
    let about = |what: &str| letters.iter().filter(|letter| letter.to_string().contains(what)).count();
    assert!(1 <= about("wallet"), "{mail}");
    let told = up.ask(&["webhook", "deliveries", &endpoint]);
    assert!(told.to_string().contains("wallet.low"), "{told}");

    // Nobody starts it: neither by Weir nor for long by other means.
    assert!(refused().contains("weir wallet top-up"));
    guest.start().unwrap();
    wait_for("the guest is stopped again", || state(&guest) == "shut off");
    top_up("1000", "C");
    up.ask(&start);
    assert_eq!(state(&guest), "running");
    assert!(up.stop().success());
}
