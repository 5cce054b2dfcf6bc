//! Allowances on a real guest: one that has sent more than its tenant may is stopped, stays so, and may run again when the
//! allowance is raised; one that is suspended goes on by itself.

mod running;

use std::time::{Duration, Instant};

use running::Weir;
use serde_json::Value;
use testbed::daemons;
use testbed::file_server::FileServer;
use testbed::guest::{Guest, GuestSpec};
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
