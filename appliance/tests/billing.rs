//! Months of many tenants, from usage to invoices, by a real `weir up` on a real PostgreSQL: killed in the middle, twice at
//! once, with a tenant that cannot be billed, reviewed, and corrected when readings come in late.

mod running;

use std::collections::BTreeSet;

use billing::{PricePlan, plans};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::{
    Batch, BatchSeq, BootId, Epoch, EpochId, InstanceFacts, InstanceId, InstanceReading, InstanceRegisters,
    InstanceState, NodeId, Readings, WindowLength,
};
use migrations::testing::TestDatabase;
use running::Weir;
use serde_json::Value;
use tokio::runtime::Runtime;
use usage::{Delivery, IngestSettings, Ingestor, registry};
use uuid::Uuid;

const PLAN: &str = "name = \"month\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2020-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"36\"\n";
/// No tax of its own, and there is no table.
const UNTAXED: &str = "name = \"untaxed\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[[version]]\nfrom = \"2020-01-01\"\n\
    [[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"36\"\n";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Tenants with an instance each that ran for some hours of the last month.
struct World {
    database: TestDatabase,
    runtime: Runtime,
    ingestor: Ingestor,
    /// The first day of the last month, and of this one.
    first: Date,
    next: Date,
    /// Those whose instances are read.
    tenants: usize,
}

impl World {
    /// The tenant `t00` has the plan `first_plan`; those with an odd number live in Tokyo.
    fn new(tenants: usize, first_plan: &str) -> Self {
        Self::with_silent(tenants, first_plan, 0)
    }

    /// The same; of the last `silent` tenants there are no readings.
    fn with_silent(tenants: usize, first_plan: &str, silent: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let next = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
        let first = next.checked_sub(1.month()).unwrap();
        let (database, ingestor) = runtime.block_on(async {
            let database = migrations::testing::database().await;
            for text in [PLAN, UNTAXED] {
                let plan = PricePlan::parse("plan.toml", text.as_bytes()).unwrap();
                plans::apply(&database, &plan, Timestamp::now()).await.unwrap();
            }
            let settings = usage::UsageSettings {
                window: WindowLength::HOUR,
                tolerance: std::time::Duration::from_secs(7_200),
            };
            for n in 0..tenants {
                let (name, plan) = (format!("t{n:02}"), if n == 0 { first_plan } else { "month" });
                let zone = if n % 2 == 0 { "UTC" } else { "Asia/Tokyo" };
                let tenant = metering::TenantName::new(&name).unwrap();
                let new = registry::NewTenant {
                    plan_name: Some(plan),
                    ..registry::NewTenant::new(tenant, &name, zone)
                };
                registry::create_tenant(&database, &new, settings).await.unwrap();
            }
            let ingestor =
                Ingestor::new(database.database().clone(), IngestSettings::new(WindowLength::HOUR));
            (database, ingestor)
        });
        let world = Self { database, runtime, ingestor, first, next, tenants: tenants - silent };
        // Up to the month's end, so that nothing is waited for: the first instance idles until then.
        world.reads(1, world.middle(), 6, 0);
        world.reads(2, world.month_end() + HOUR, 0, 0);
        world
    }

    fn period(&self) -> String {
        self.first.strftime("%Y-%m").to_string()
    }

    fn middle(&self) -> Timestamp {
        self.first.checked_add(10.days()).unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
    }

    fn month_end(&self) -> Timestamp {
        self.next.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
    }

    /// Readings on the hour, `hours` after `from`, of all instances; each hour takes 1/10 h of processor time. Without hours:
    /// one reading, of the first instance alone, after the 6 hours that it ran.
    fn reads(&self, seq: u64, from: Timestamp, hours: u64, ran_before: u64) {
        let node = Uuid::from_u128(0x5eed_0000_0000_4000_8000_ffff_ffff_fffe);
        let born_at = self.middle();
        let mut readings = Readings::default();
        for n in 0..if hours == 0 { 1 } else { self.tenants } {
            for hour in 0..=hours {
                let ran = if hours == 0 { 6 } else { ran_before + hour };
                readings.instances.push(InstanceReading {
                    instance_id: instance(n),
                    observed_at: from + HOUR * i32::try_from(hour).unwrap(),
                    epoch: Epoch {
                        id: EpochId::of(&[b"month", &[u8::try_from(n).unwrap()]]),
                        born_at: Some(born_at),
                    },
                    state: InstanceState::Running,
                    vcpus: 1,
                    memory_kib: 1 << 20,
                    registers: InstanceRegisters {
                        cpu_ns: ran * 360_000_000_000,
                        running_ms: ran * 3_600_000,
                        vcpu_ms: ran * 3_600_000,
                        memory_kib_s: ran * 3_600 * (1 << 20),
                    },
                });
            }
        }
        let end = from + HOUR * i32::try_from(hours).unwrap();
        let facts = |n: usize| InstanceFacts {
            instance_id: instance(n),
            name: format!("web-{n}"),
            tenant_label: Some(format!("t{n:02}")),
            makeup: metering::Makeup::default(),
        };
        let batch = Batch {
            node_id: NodeId::from_uuid(node),
            seq: BatchSeq(seq),
            node_name: "month".to_owned(),
            boot_id: BootId::from_uuid(node),
            collected_at: end,
            collected_boot: None,
            readings,
            gaps: Vec::new(),
            instances: (0..self.tenants).map(facts).collect(),
            volumes: Vec::new(),
            notices: Vec::new(),
        };
        self.runtime.block_on(self.ingestor.ingest(&batch, &Delivery::default(), Timestamp::now())).unwrap();
    }

    fn up(&self, dir: &std::path::Path, grace: &str) -> Weir {
        let settings = [("WEIR__COLLECTOR__ENABLED", "false"), ("WEIR__BILLING__GRACE", grace)];
        Weir::start_with(dir, &["--database-url", self.database.owner_url()], &settings)
    }

    fn count(&self, sql: &str) -> i64 {
        self.runtime.block_on(async {
            let owner = self.database.owner_client().await;
            owner.batch_execute("SET weir.scope = 'provider'; SET ROLE weir_app").await.unwrap();
            owner.query_one(sql, &[]).await.unwrap().get(0)
        })
    }

    /// Every number once, every tenant once, and the books at zero.
    fn check_books(&self, invoices: i64) {
        assert_eq!(self.count("SELECT count(*) FROM invoice WHERE number IS NOT NULL"), invoices);
        assert_eq!(self.count("SELECT count(*) FROM invoice WHERE number IS NULL"), 0);
        assert_eq!(self.count("SELECT count(DISTINCT tenant_id) FROM invoice"), invoices);
        assert_eq!(self.count("SELECT max(series_number) FROM invoice"), invoices, "no gap");
        assert_eq!(self.count("SELECT count(*) FROM mail_outbox WHERE kind = 'invoice'"), invoices);
        assert_eq!(self.count("SELECT COALESCE(sum(amount), 0)::bigint FROM ledger_entry"), 0);
    }
}

fn instance(n: usize) -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0001_0000 + n as u128))
}

fn run(up: &Weir, period: &str, more: &[&str]) -> Value {
    up.ask(&[&["billing", "run", "--period", period, "--early", "--detach"], more].concat())
}

fn finished(up: &Weir, run: &Value) -> Value {
    let id = run["run_id"].as_str().unwrap();
    up.wait_until("the billing run is finished", || {
        up.ask(&["billing", "status", id])["state"] == "finished"
    });
    up.ask(&["billing", "status", id])
}

/// So long that no automatic run comes near the last month.
const NEVER: &str = "648h";

#[test]
fn a_run_that_is_killed_again_and_again_gives_every_tenant_one_invoice_and_names_who_failed() {
    let (world, dir) = (World::new(60, "untaxed"), tempfile::tempdir().unwrap());
    let period = world.period();
    let up = world.up(dir.path(), NEVER);
    let begun = run(&up, &period, &["--issue"]);
    let id = begun["run_id"].as_str().unwrap().to_owned();
    let mut up = up;
    for enough in [3, 15, 30] {
        up.wait_until("some tenants are done", || {
            enough <= up.ask(&["billing", "status", &id])["done"].as_i64().unwrap()
        });
        up.kill();
        up = world.up(dir.path(), NEVER);
    }
    let ended = finished(&up, &begun);
    assert_eq!(
        (&ended["done"], &ended["failed"], &ended["tenants"]),
        (&59.into(), &1.into(), &60.into()),
        "{ended}"
    );
    let failures = ended["failures"].as_array().unwrap();
    assert_eq!((failures.len(), &failures[0]["tenant"]), (1, &"t00".into()));
    assert!(failures[0]["reason"].as_str().unwrap().contains("weir tax apply"), "{ended}");
    world.check_books(59);
    // Mended, and run again: whoever has an invoice keeps it, and the exit says whether all are done.
    // A plan that is set now bills the month that runs; the one that ended, only if that is said.
    let now = up.ask(&["tenant", "set-plan", "t00", "month"]);
    assert_eq!((&now["from"], &now["before"]), (&world.next.to_string().into(), &"untaxed".into()), "{now}");
    let first = world.first.to_string();
    up.ask(&["tenant", "set-plan", "t00", "month", "--from", &first]);
    let again = up.ask(&["billing", "run", "--period", &period, "--early", "--issue"]);
    assert_eq!((&again["done"], &again["failed"]), (&60.into(), &0.into()), "{again}");
    world.check_books(60);
    assert!(up.stop().success());
}

#[test]
fn two_runs_at_once_are_one_and_each_month_ends_with_its_tenants_midnight() {
    let (world, dir) = (World::new(20, "month"), tempfile::tempdir().unwrap());
    let up = world.up(dir.path(), NEVER);
    let begun = [run(&up, &world.period(), &["--issue"]), run(&up, &world.period(), &["--issue"])];
    for run in &begun {
        let ended = finished(&up, run);
        assert_eq!((&ended["done"], &ended["failed"]), (&20.into(), &0.into()), "{ended}");
    }
    world.check_books(20);
    let invoices = up.ask(&["invoice", "list"]);
    let ends: BTreeSet<&str> =
        invoices["invoices"].as_array().unwrap().iter().map(|one| one["to"].as_str().unwrap()).collect();
    let (utc, tokyo) = (world.month_end().to_string(), (world.month_end() - HOUR * 9).to_string());
    assert_eq!(ends, BTreeSet::from([utc.as_str(), tokyo.as_str()]));
    let refused = up.run(&["billing", "run", "--period", "2026-13"]);
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("such as 2026-10")
    );
    let this_month = world.next.strftime("%Y-%m").to_string();
    let ended = finished(&up, &run(&up, &this_month, &["--issue"]));
    assert_eq!(ended["failed"], 20, "what is not over is not billed: {ended}");
    assert!(up.stop().success());
}

#[test]
fn what_is_over_waits_for_review_by_itself_and_what_comes_in_late_is_corrected() {
    let (world, dir) = (World::new(3, "month"), tempfile::tempdir().unwrap());
    let period = world.period();
    let up = world.up(dir.path(), "0s");
    up.wait_until("the month is up for review", || {
        let waiting = up.ask(&["billing", "review"]);
        waiting["waiting"].as_array().unwrap().iter().filter(|one| one["stage"] == "review").count() == 3
    });
    // 6 h of a tenth of a processor at 36 EUR, and 19 %.
    let waiting = up.ask(&["billing", "review", "--period", &period, "--tenant", "t01"]);
    assert_eq!(waiting["waiting"][0]["total"]["amount"], "25.70", "{waiting}");
    let early = up.ask(&["billing", "issue", "--period", &period]);
    assert_eq!(early["invoices"].as_array().unwrap().len(), 0, "nobody approved them: {early}");
    assert_eq!(up.ask(&["billing", "approve", "--period", &period])["invoices"].as_array().unwrap().len(), 3);
    let issued = up.ask(&["billing", "issue", "--period", &period]);
    assert_eq!(issued["invoices"].as_array().unwrap().len(), 3, "{issued}");
    world.check_books(3);

    let same = up.run(&["billing", "rerate", "--period", &period]).stdout;
    assert_eq!(same, up.run(&["billing", "rerate", "--period", &period]).stdout, "byte for byte");
    let same: Value = serde_json::from_slice(&same).unwrap();
    assert_eq!((&same["looked_at"], same["changed"].as_array().unwrap().len()), (&3.into(), 0), "{same}");

    world.reads(3, world.middle() + HOUR * 7, 2, 7);
    up.wait_until("the late readings show", || {
        up.ask(&["billing", "rerate", "--period", &period])["changed"].as_array().unwrap().len() == 2
    });
    let numbers = up.ask(&["invoice", "list", "--tenant", "t01"]);
    let number = numbers["invoices"][0]["number"].as_str().unwrap();
    let shown = up.ask(&["invoice", "rerate", number]);
    assert_eq!(shown["lines"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(
        (&shown["total_before"]["amount"], &shown["total_after"]["amount"]),
        (&"25.70".into(), &"38.56".into())
    );
    assert_eq!(world.count("SELECT count(*) FROM invoice"), 3, "nothing is stored");
    let corrected = up.ask(&["invoice", "rerate", number, "--issue", "--reason", "Readings came in late."]);
    assert_eq!(corrected["credit_note"].as_str().unwrap()[..3], *"CN-", "{corrected}");
    let new = corrected["corrected"].as_str().unwrap();
    assert_eq!(up.ask(&["invoice", "rerate", new])["changed"], false);
    let history = up.ask(&["invoice", "history", number]);
    assert_eq!(
        (&history["replaced_by"], &history["events"][3]["action"]),
        (&new.into(), &"issued".into()),
        "{history}"
    );
    // What was taken back and what stands now: t01 owes the corrected invoice and nothing else.
    let owed =
        "SELECT (sum(e.amount) * 100)::bigint FROM ledger_entry e JOIN tenant t ON t.tenant_id = e.tenant_id
                WHERE e.account = 'receivable' AND t.name = 't01'";
    assert_eq!(world.count(owed), 3856);
    assert_eq!(world.count("SELECT COALESCE(sum(amount), 0)::bigint FROM ledger_entry"), 0);
    let void = up.run(&["invoice", "void", number, "--reason", "a slip"]);
    assert!(!void.status.success() && String::from_utf8_lossy(&void.stderr).contains("replaced"));
    up.ask(&["invoice", "void", new, "--reason", "a slip"]);
    assert_eq!(world.count(owed), 0);
    assert!(up.stop().success());
}

#[test]
fn a_month_that_was_closed_with_nothing_is_shown_and_invoiced_when_its_readings_come_in() {
    let (mut world, dir) = (World::with_silent(3, "month", 1), tempfile::tempdir().unwrap());
    let period = world.period();
    let up = world.up(dir.path(), "0s");
    up.wait_until("two have an invoice and one has nothing", || {
        // There is no run at all in the first moments.
        let status = up.try_ask(&["billing", "status"]).unwrap_or_default();
        status["done"] == 2 && status["nothing"] == 1
    });
    up.ask(&["billing", "approve", "--period", &period]);
    up.ask(&["billing", "issue", "--period", &period]);
    world.check_books(2);
    let of = ["invoice", "rerate", "--tenant", "t02", "--period", &period];
    let nothing = up.ask(&of);
    assert_eq!((&nothing["changed"], &nothing["number"]), (&false.into(), &Value::Null), "{nothing}");
    assert_eq!(up.ask(&["billing", "late", "--look"])["late"].as_array().unwrap().len(), 0);
    let because = |reason| up.run(&[&of[..], &["--issue", "--reason", reason]].concat());
    let refused = because("Nothing is there yet.");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing to invoice"), "{refused:?}");

    // Its first readings come in when the month is over, closed and invoiced.
    world.tenants = 3;
    world.reads(3, world.middle() + HOUR * 7, 2, 7);
    up.wait_until("the job sees it", || {
        let late = up.ask(&["billing", "late", "--look"]);
        late["late"].as_array().unwrap().iter().any(|one| one["tenant"] == "t02" && one["number"].is_null())
    });
    let shown = up.ask(&of);
    assert_eq!(shown["lines"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(
        (&shown["total_before"]["amount"], &shown["total_after"]["amount"]),
        (&"0.00".into(), &"38.56".into())
    );
    let all = up.ask(&["billing", "rerate", "--period", &period]);
    assert!(all["changed"].as_array().unwrap().iter().any(|one| one["tenant"] == "t02"), "{all}");
    let alerts = "SELECT count(*) FROM alert WHERE kind = 'late_usage' AND subject LIKE 'period/%' AND ended_at IS NULL";
    assert_eq!(world.count(alerts), 1);
    assert_eq!(world.count("SELECT count(*) FROM invoice"), 2, "nothing is stored");

    let issued = up.ask(&[&of[..], &["--issue", "--reason", "Readings came in late."]].concat());
    let number = issued["number"].as_str().unwrap();
    assert_eq!(issued["total_after"]["amount"], "38.56", "{issued}");
    world.check_books(3);
    assert_eq!(world.count(alerts), 0);
    let late = up.ask(&["billing", "late", "--look"]);
    assert!(late["late"].as_array().unwrap().iter().all(|one| one["tenant"] != "t02"), "{late}");
    let history = up.ask(&["invoice", "history", number]);
    assert_eq!(history["events"][0]["note"], "Readings came in late.", "{history}");
    assert_eq!(up.ask(&of)["changed"], false, "now it is an invoice like others");
    assert!(up.stop().success());
}
