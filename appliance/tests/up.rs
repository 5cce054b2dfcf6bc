//! `weir up` as a whole: starts, refusals, stops and kills, with a real private PostgreSQL. libvirt's test
//! driver stands in for the hypervisor; real guests are the demo's and the collector's tests' business.

mod running;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Output;

use running::{Weir, weir};
use serde_json::Value;

#[test]
fn a_first_start_needs_no_configuration_and_a_stop_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    assert_eq!(up.get("/healthz").0, 200);
    assert_eq!(up.get("/readyz").0, 200);
    let (status, page) = up.get("/");
    assert!(status == 303 && page.contains("location: /login"), "{status} {page}");
    let (status, page) = up.get("/login");
    assert!(status == 200 && page.contains("weir user create"), "nobody is told how to begin: {page}");
    let state = up.ask(&["status"]);
    assert_eq!(state["libvirt_connected"], true);
    let postgres = up.postgres_pid();
    assert!(up.stop().success());
    assert!(!running::is_alive(postgres), "PostgreSQL outlived Weir");
}

#[test]
fn both_signals_end_it_cleanly_and_what_was_stored_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    up.ask(&["tenant", "create", "acme"]);
    assert!(up.interrupt().success());
    let up = Weir::start(dir.path(), &[]);
    assert_eq!(up.ask(&["tenant", "list"])["tenants"][0]["name"], "acme");
    assert!(up.stop().success());
}

#[test]
fn kill_9_of_weir_loses_no_tenant_and_no_reading() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let up = Weir::start(dir.path(), &[]);
        up.ask(&["tenant", "create", &format!("round-{round}")]);
        let taken = up.ask(&["reading", "take"])["seq"].as_u64().unwrap();
        up.kill();
        let up = Weir::start(dir.path(), &[]);
        let tenants = up.ask(&["tenant", "list"]);
        assert_eq!(tenants["tenants"].as_array().unwrap().len(), round + 1);
        up.wait_until("the reading arrives", || {
            let nodes = up.ask(&["node", "list"]);
            taken <= nodes["nodes"][0]["last_seq"].as_u64().unwrap_or(0)
        });
        up.kill();
    }
}

#[test]
fn kill_9_of_postgresql_is_mended_while_weir_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    up.ask(&["tenant", "create", "acme"]);
    let postgres = up.postgres_pid();
    running::kill(postgres);
    // Its last processes may answer for a moment: another server must run.
    up.wait_until("another PostgreSQL runs", || up.try_postgres_pid().is_some_and(|pid| pid != postgres));
    let taken = up.ask(&["reading", "take"])["seq"].as_u64().unwrap();
    up.wait_until("PostgreSQL is back with everything", || {
        up.get("/readyz").0 == 200
            && up.try_ask(&["tenant", "list"]).is_some_and(|t| t["tenants"][0]["name"] == "acme")
    });
    up.wait_until("the reading that was taken meanwhile arrives", || {
        let nodes = up.try_ask(&["node", "list"]).unwrap_or_default();
        taken <= nodes["nodes"][0]["last_seq"].as_u64().unwrap_or(0)
    });
    assert!(up.stop().success());
}

#[test]
fn kill_9_of_both_at_once_leaves_something_that_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    up.ask(&["tenant", "create", "acme"]);
    let postgres = up.postgres_pid();
    running::kill(postgres);
    up.kill();
    let up = Weir::start(dir.path(), &[]);
    assert_eq!(up.ask(&["tenant", "list"])["tenants"][0]["name"], "acme");
    assert!(up.stop().success());
}

#[test]
fn a_second_start_on_the_same_data_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    let second = weir(&["up", "--data", dir.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    refused(&second, &["already runs", "--data"]);
    assert!(up.stop().success());
}

#[test]
fn a_busy_port_is_refused_before_anything_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = weir(&["up", "--data", dir.path().to_str().unwrap(), "--listen", &address]);
    refused(&output, &[&address, "--listen"]);
    assert!(!dir.path().join("postgres").exists(), "a cluster was made for nothing");
}

#[test]
fn a_data_directory_that_cannot_be_is_refused_in_one_sentence() {
    let output = weir(&["up", "--data", "/proc/weir", "--listen", "127.0.0.1:0"]);
    refused(&output, &["/proc/weir", "--data"]);
}

#[test]
fn a_command_without_a_running_weir_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    refused(&weir(&["--data", data, "tenant", "list"]), &["does not run", "weir up"]);
    let up = Weir::start(dir.path(), &[]);
    up.kill();
    // The socket is still there, nobody listens.
    refused(&weir(&["--data", data, "tenant", "list"]), &["does not answer", "weir up"]);
}

#[test]
fn a_database_of_ones_own_is_used_instead_of_a_private_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(migrations::testing::database());
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &["--database-url", database.owner_url()]);
    up.ask(&["tenant", "create", "acme"]);
    assert!(!dir.path().join("postgres").exists());
    assert!(up.stop().success());
    drop(database);
}

#[test]
fn hostile_names_unknown_things_and_wrong_words_are_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    up.ask(&["tenant", "create", "acme"]);
    let long = "x".repeat(10_000);
    for (arguments, words) in [
        (vec!["tenant", "create", "acme"], vec!["acme"]),
        (vec!["tenant", "create", "A\"<b>\n😀"], vec!["a-z"]),
        (vec!["tenant", "create", long.as_str()], vec!["63"]),
        (vec!["tenant", "create", "b", "--time-zone", "Mars/Olympus"], vec!["Mars/Olympus"]),
        (vec!["tenant", "create", "b", "--time-zone", "Asia/Kathmandu"], vec!["metering.window"]),
        (vec!["tenant", "create", "c", "--plan", "none"], vec!["plan apply"]),
        (vec!["instance", "assign", "none", "--tenant", "acme"], vec!["none"]),
        (vec!["instance", "assign", "test", "--tenant", "none"], vec!["none"]),
        (vec!["invoice", "show", "INV-2026-000001"], vec!["weir invoice list"]),
        (vec!["invoice", "issue", "--period", "2026-13"], vec![]),
        (vec!["invoice", "issue", "--period", "2026-01", "--tenant", "acme"], vec!["set-plan"]),
        (
            vec!["reading", "show", "none", "--from", "2026-01-01T00:00:00Z", "--to", "2026-02-01T00:00:00Z"],
            vec!["none"],
        ),
        (
            vec!["usage", "show", "--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"],
            vec!["end"],
        ),
    ] {
        let output = up.run(&arguments);
        if arguments[..2] == ["invoice", "issue"] && words.is_empty() {
            continue; // No tenant has a plan: nothing to do is no failure.
        }
        refused(&output, &words);
    }
    assert!(up.stop().success());
}

#[test]
fn a_tenant_is_made_whole_or_not_at_all_and_can_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    let long = "W".repeat(201);
    refused(&up.run(&["tenant", "create", "acme", "--address", &long]), &["address"]);
    refused(&up.run(&["tenant", "create", "acme", "--display-name", "a\u{202e}b"]), &["display name"]);
    assert_eq!(up.ask(&["tenant", "list"])["tenants"].as_array().unwrap().len(), 0);
    up.ask(&["tenant", "create", "acme", "--address", "Street 1"]);
    up.ask(&["tenant", "set-party", "acme", "--address", "Street 2", "--tax-number", "DE1"]);
    assert!(up.stop().success());
}

#[test]
fn prices_of_time_that_has_begun_do_not_change_unsaid() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("p.toml");
    let write = |currency: &str, price: &str| {
        let text = format!(
            "name = \"p\"\ncurrency = \"{currency}\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.1\"\n\
             [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"{price}\"\n\
             [[version]]\nfrom = \"2999-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"9\"\n"
        );
        std::fs::write(&plan, text).unwrap();
    };
    let file = plan.to_str().unwrap();
    let up = Weir::start(&dir.path().join("data"), &[]);
    write("EUR", "1");
    up.ask(&["plan", "apply", file]);
    up.ask(&["plan", "apply", file]);
    write("EUR", "2");
    refused(&up.run(&["plan", "apply", file]), &["has begun", "--rewrite-past"]);
    write("USD", "1");
    refused(&up.run(&["plan", "apply", file]), &["currency"]);
    write("EUR", "2");
    up.ask(&["plan", "apply", file, "--rewrite-past"]);
    let future = std::fs::read_to_string(&plan).unwrap().replace("\"9\"", "\"8\"");
    std::fs::write(&plan, future).unwrap();
    up.ask(&["plan", "apply", file]);
    assert!(up.stop().success());
}

#[test]
fn usage_that_one_tenant_was_invoiced_for_is_not_given_to_another() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(migrations::testing::database());
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &["--database-url", database.owner_url()]);
    up.wait_until("libvirt's test instance is seen", || {
        up.ask(&["instance", "list"])["instances"].as_array().is_some_and(|all| !all.is_empty())
    });
    let tenant = up.ask(&["tenant", "create", "acme"])["tenant_id"].as_str().unwrap().parse().unwrap();
    up.ask(&["tenant", "create", "beta"]);
    up.ask(&["instance", "assign", "test", "--tenant", "acme"]);
    refused(
        &up.run(&["instance", "assign", "test", "--tenant", "beta", "--since", "2999-01-01T00:00:00Z"]),
        &["to come"],
    );
    refused(&up.run(&["instance", "assign", "test", "--tenant", "unassigned"]), &["nobody"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let number = runtime.block_on(invoice_until_now(&database, tenant));
    refused(&up.run(&["instance", "assign", "test", "--tenant", "beta"]), &[&number, "--since"]);
    let after = jiff::Timestamp::now().to_string();
    up.ask(&["instance", "assign", "test", "--tenant", "beta", "--since", &after]);
    assert!(up.stop().success());
    drop(database);
}

/// Issues an invoice over the last hour.
async fn invoice_until_now(
    database: &migrations::testing::TestDatabase,
    tenant: metering::TenantId,
) -> String {
    use billing::{Basis, Bill, Buyer, Desk, InvoiceId, Party, PricePlan, Series, Taxation, issue, plans};
    let text = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0\"\n\
                [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n";
    let plan = PricePlan::parse("p.toml", text.as_bytes()).unwrap();
    let now = jiff::Timestamp::now();
    let period = metering::Window::new(now - std::time::Duration::from_secs(3_600), now).unwrap();
    plans::apply(database, &plan, now).await.unwrap();
    let usage = metering::UsageRecord {
        resource: metering::Resource::Instance(metering::InstanceId::PROBE),
        resource_name: "test".to_owned(),
        meter: metering::MeterName::parse("cpu_ns").unwrap(),
        window: period,
        quantity: 3_600_000_000_000,
        coverage: metering::Coverage::default(),
        dimensions: metering::Dimensions::default(),
    };
    let seller = Party { name: "seller".to_owned(), ..Party::default() };
    let (series, taxation) = (Series::default(), Taxation::fixed(plan.tax().unwrap()));
    let bill = Bill {
        invoice_id: InvoiceId::new(),
        seller: &seller,
        buyer: Buyer {
            tenant: metering::TenantName::new("alpha").unwrap(),
            party: seller.clone(),
            time_zone: "UTC".to_owned(),
        },
        plan: &plan,
        usage: &[usage],
        samples: &[],
        period,
        exchange: None,
        taxation: &taxation,
    };
    let desk = Desk { actor: "a test", series: &series };
    let now = jiff::Timestamp::now();
    let issued = issue(database, tenant, bill, Basis::default(), &desk, now).await.unwrap();
    issued.invoice().document.number.clone().unwrap()
}

#[test]
fn malformed_huge_and_deep_requests_are_refused_and_weir_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "{",
        "null",
        "\u{0}",
        "{\"command\":\"nothing\"}",
        "{\"command\":\"tenant_list\",\"extra\":1}",
        "{\"command\":\"tenant_create\",\"name\":1e400}",
        &deep,
        &"x".repeat(8 * 1024 * 1024),
    ] {
        let answer = up.post(body);
        assert!(answer.contains(" 400 ") || answer.contains(" 413 "), "{}", &answer[..answer.len().min(300)]);
    }
    assert_eq!(up.get("/healthz").0, 200);
    assert!(up.stop().success());
}

#[test]
fn the_control_socket_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    let mode = std::fs::metadata(dir.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(up.stop().success());
}

#[test]
fn an_instance_that_nobody_was_assigned_is_kept_and_shown_to_the_provider() {
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start(dir.path(), &[]);
    up.wait_until("libvirt's test instance is seen", || {
        up.ask(&["instance", "list"])["instances"].as_array().is_some_and(|all| !all.is_empty())
    });
    let instance = up.ask(&["instance", "list"])["instances"][0].clone();
    assert_eq!((&instance["name"], &instance["tenant"]), (&Value::from("test"), &Value::Null));
    up.ask(&["tenant", "create", "acme"]);
    // The list shows what the collector saw; it is assigned once that was delivered.
    up.wait_until("the instance can be assigned", || {
        up.try_ask(&["instance", "assign", "test", "--tenant", "acme"]).is_some()
    });
    assert_eq!(up.ask(&["instance", "list"])["instances"][0]["tenant"], "acme");
    let create = ["user", "create", "admin", "--role", "provider", "--password-stdin"];
    up.ask_with(&create, "a weir in a stream");
    let token = up.ask(&["token", "create", "admin", "--name", "test"])["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let page = up.request(up.address(), "GET", "/instances", &[("Authorization", &bearer)], "").text();
    assert!(page.contains("acme") && page.contains(">test<"), "{page}");
    assert!(up.stop().success());
}

impl Weir {
    /// Posts raw bytes to the control socket and returns the raw answer.
    fn post(&self, body: &str) -> String {
        let mut socket = UnixStream::connect(self.data_dir().join("control.sock")).unwrap();
        let head = format!(
            "POST /control HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // A server that refuses a body early may close before it has read it all.
        let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The command failed, and its one sentence has these words.
fn refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "was not refused");
    assert!(error.contains("weir: "), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "{error:?} lacks {word:?}");
    }
}
