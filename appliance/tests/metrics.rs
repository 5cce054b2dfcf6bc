//! `/metrics` of a running Weir, read by a real Prometheus and checked by its own tool: the figures are those of the portal
//! and of the bill, who may not see them does not, and the Grafana dashboard asks for nothing that is not there.

#[expect(dead_code, reason = "the browser's tests use the rest of it")]
mod cloud;
#[path = "metrics/dashboard.rs"]
mod dashboard;
#[path = "metrics/prometheus.rs"]
mod prometheus;
mod running;

use std::net::TcpListener;
use std::time::Duration;

use cloud::{Cloud, PASSWORD};
use prometheus::{Prometheus, promtool_accepts};
use running::{Reply, Weir};
use testbed::guest::{DiskSpec, Guest, GuestSpec};
use testbed::network::Network;
use testbed::orders::{MIB, Order, Orders};
use testbed::process::virsh;
use testbed::{daemons, unique_name};

/// What the guest writes.
const WRITTEN_MIB: u64 = 32;
/// A software-emulated guest on a busy machine.
const GUEST_PATIENCE: Duration = Duration::from_secs(180);
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What a guest may be called: it must not become markup, a label or a series of its own.
const HOSTILE: &str = "a\"} 1 \\n<b>&'ü";

#[test]
fn a_real_guests_figure_in_prometheus_is_never_another_than_on_the_page_and_on_the_bill() {
    daemons::ensure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let up = Weir::start_with(
        dir.path(),
        &["--libvirt-uri", "qemu:///system"],
        &[("WEIR__COLLECTOR__READING_INTERVAL", "5s")],
    );
    let token = a_provider_and_its_tenant(&up);
    let prometheus = Prometheus::start(up.address(), &token);
    let network = Network::create(&unique_name("weirt-metrics")).unwrap();
    let hostile = Hostile::define();
    let guest = start_guest(&network);
    guest.wait_for("WEIR all done", GUEST_PATIENCE).unwrap();
    // It does nothing from here on. What QEMU does for those who look is CPU time still.
    guest.suspend().unwrap();
    let written = guest.figures().unwrap().disks["vda"].write_bytes;
    assert_eq!(written, WRITTEN_MIB * MIB);
    up.ask(&["reading", "take"]);
    let session = log_in(&up, "admin");
    up.wait_until("Prometheus has the page's figures", || {
        let page = page_of(&up, &session, guest.uuid());
        let of_guest = |metric: &str| prometheus.value(&format!("{metric}{{uuid=\"{}\"}}", guest.uuid()));
        let cpu_ns = of_guest("libvirt_domain_info_cpu_time_seconds_total").map(|s| (s * 1e9).round() as u64);
        let bytes = of_guest("libvirt_domain_block_stats_write_bytes_total").map(|bytes| bytes as u64);
        bytes == Some(written)
            && register(&page, "write_bytes") == Some(written)
            && cpu_ns.is_some()
            && register(&page, "cpu_ns") == cpu_ns
    });
    up.wait_until("the API has the same", || billed(&up, &token, guest.uuid()) == written.to_string());
    hostile.is_text(&up, &session, &prometheus);
    let text = metrics(&up, &token, "text/plain");
    promtool_accepts(&text.text());
    dashboard::every_panel_is_answered(&prometheus, &text.text());
    assert!(up.stop().success());
}

/// An instance that never runs, with a name to break things with.
struct Hostile {
    name: String,
    uuid: String,
}

impl Hostile {
    fn define() -> Self {
        let name = format!("{}{HOSTILE}", unique_name("weirt-metrics"));
        let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
        let uuid = uuid::Uuid::new_v4().to_string();
        let file = tempfile::NamedTempFile::new().unwrap();
        let xml = format!(
            "<domain type='qemu'><name>{escaped}</name><uuid>{uuid}</uuid><memory>65536</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        );
        std::fs::write(file.path(), xml).unwrap();
        virsh(&["define", file.path().to_str().unwrap()]).unwrap();
        Self { name, uuid }
    }

    /// It is one series, whose label is the name; and words on the page.
    fn is_text(&self, up: &Weir, session: &str, prometheus: &Prometheus) {
        let mut series = serde_json::Value::Null;
        up.wait_until("the hostile name is scraped", || {
            series = prometheus.query(&format!("libvirt_domain_info_vstate{{uuid=\"{}\"}}", self.uuid));
            series[0].is_object()
        });
        assert_eq!(
            (&series[0]["metric"]["domain"], &series[0]["value"][1]),
            (&self.name.clone().into(), &"5".into())
        );
        assert_eq!(series.as_array().unwrap().len(), 1);
        let page = page_of(up, session, &self.uuid);
        assert!(page.contains("\\n&#60;b&#62;&#38;") && !page.contains("<b>&"), "{page}");
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Err(error) = virsh(&["undefine", &self.uuid]) {
            eprintln!("metrics: {error:#}");
        }
    }
}

/// Returns a token of the provider's.
fn a_provider_and_its_tenant(up: &Weir) -> String {
    up.ask(&["tenant", "create", "acme"]);
    up.ask(&["plan", "apply", concat!(env!("CARGO_MANIFEST_DIR"), "/../billing/plans/demo.toml")]);
    up.ask(&["tenant", "set-plan", "acme", "demo"]);
    up.ask_with(&["user", "create", "admin", "--role", "provider", "--password-stdin"], PASSWORD);
    token(up, "admin")
}

fn token(up: &Weir, user: &str) -> String {
    let made = up.ask(&["token", "create", user, "--name", "prometheus", "--read-only"]);
    made["token"].as_str().unwrap().to_owned()
}

fn start_guest(network: &Network) -> Guest {
    let spec = GuestSpec {
        disks: vec![DiskSpec { target: "vda".to_owned(), mib: 64 }],
        networks: vec![network.name().to_owned()],
        orders: Orders::new([Order::Write("vda".to_owned(), WRITTEN_MIB), Order::Burn(2)]),
        tenant_metadata: Some("acme".to_owned()),
        ..GuestSpec::new(&unique_name("weirt-metrics"))
    };
    spec.start().unwrap()
}

/// Returns the session's cookie.
fn log_in(up: &Weir, name: &str) -> String {
    let form = format!("name={name}&password={}&next=%2F", PASSWORD.replace(' ', "+"));
    let origin = format!("http://{}", up.address());
    let headers = [("Origin", &*origin), ("Content-Type", "application/x-www-form-urlencoded")];
    let answer = up.request(up.address(), "POST", "/login", &headers, &form);
    assert_eq!(answer.status, 303, "{}", answer.head);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

fn page_of(up: &Weir, session: &str, instance: &str) -> String {
    let path = format!("/instances/{instance}");
    up.request(up.address(), "GET", &path, &[("Cookie", session)], "").text()
}

/// What the page's table says of a register.
fn register(page: &str, name: &str) -> Option<u64> {
    let (_, rest) = page.split_once(&format!(">{name}<"))?;
    let (_, cell) = rest.split_once("<td")?;
    let shown = cell.split(['<', '>']).nth(1)?;
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What acme will be billed for, of bytes written: the whole life of the register.
fn billed(up: &Weir, token: &str, instance: &str) -> String {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let (from, to) = (today.yesterday().unwrap(), today.tomorrow().unwrap().tomorrow().unwrap());
    let path =
        format!("/v1/usage?tenant=acme&resource={instance}&meter=disk_write_bytes&from={from}&to={to}");
    let bearer = format!("Bearer {token}");
    let answer = up.request(up.address(), "GET", &path, &[("Authorization", &bearer)], "");
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    value["items"][0]["quantity"].as_str().unwrap_or_default().to_owned()
}

fn metrics(up: &Weir, token: &str, accept: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    up.request(up.address(), "GET", "/metrics", &[("Authorization", &bearer), ("Accept", accept)], "")
}

#[test]
fn a_tenant_never_reads_the_figures_of_all_and_a_planner_never_money() {
    let cloud = Cloud::make();
    let dir = tempfile::tempdir().unwrap();
    let open = free_address();
    let up = Weir::start_with(
        dir.path(),
        &["--database-url", cloud.database.owner_url()],
        &[("WEIR__METRICS__LISTEN", &open), ("WEIR__COLLECTOR__READING_INTERVAL", "1s")],
    );
    let (admin, planner, ada) = (token(&up, "admin"), token(&up, "planner"), token(&up, "ada"));
    up.wait_until("the first look", || {
        let answer = metrics(&up, &admin, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().contains("weir_node_cpus")
    });
    only_those_who_may(&up, &ada);
    in_the_form_that_is_asked_for(&up, &admin);
    let everybodys = up.request(&open, "GET", "/metrics", &[], "");
    assert_eq!((everybodys.status, everybodys.header("content-type")), (200, TEXT));
    assert_eq!(up.request(&open, "GET", "/", &[], "").status, 404, "nothing else is open there");
    for without_money in [metrics(&up, &planner, "text/plain").text(), everybodys.text()] {
        let has_money = without_money.contains("_amount");
        assert!(without_money.contains("weir_node_cpus") && !has_money, "{without_money}");
        promtool_accepts(&without_money);
    }
    money_is_the_portals(&up, &cloud, &metrics(&up, &admin, "text/plain").text());
    assert!(up.stop().success());
}

fn only_those_who_may(up: &Weir, tenants: &str) {
    let refused = metrics(up, tenants, "");
    assert_eq!((refused.status, refused.header("content-type")), (403, "application/problem+json"));
    for (headers, status) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer weir_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")], 401),
        (vec![("Authorization", "Basic YWRhOmFkYQ==")], 401),
    ] {
        let answer = up.request(up.address(), "GET", "/metrics", &headers, "");
        assert_eq!(answer.status, status, "{}", answer.head);
        assert!(!answer.text().contains("libvirt_"), "{}", answer.text());
    }
}

fn in_the_form_that_is_asked_for(up: &Weir, token: &str) {
    for (accept, form) in [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPEN_METRICS,
        ),
        ("text/plain", TEXT),
        ("", TEXT),
    ] {
        let answer = metrics(up, token, accept);
        assert_eq!((answer.status, answer.header("content-type")), (200, form), "{accept}");
        assert_eq!(answer.text().ends_with("# EOF\n"), form == OPEN_METRICS, "{accept}");
    }
    let bearer = format!("Bearer {token}");
    let head = up.request(up.address(), "HEAD", "/metrics", &[("Authorization", &bearer)], "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = up.request(up.address(), "POST", "/metrics", &[("Authorization", &bearer)], "");
    assert!([404, 405].contains(&post.status), "{}", post.head);
}

/// What each tenant owes so far: the same in the figures, on the provider's page, and in the database.
fn money_is_the_portals(up: &Weir, cloud: &Cloud, text: &str) {
    let cookie = format!("weir_session={}", cloud.another_admin());
    let page = up.request(up.address(), "GET", "/", &[("Cookie", &cookie)], "").text().replace(',', "");
    let months = cloud.months_to_date();
    assert_eq!(months.len(), 2);
    for (tenant, total) in months {
        let series = format!("weir_tenant_month_to_date_amount{{tenant=\"{tenant}\",currency=\"EUR\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
        let (value, amount) = (line.parse::<f64>().unwrap(), total.amount().to_string());
        assert_eq!(format!("{value:.2}"), amount, "{tenant}");
        assert!(page.contains(&amount), "{tenant}: {amount} is not in {page}");
    }
}

/// An address that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
