//! A past: an instance of tenant acme with some hours of readings, and the invoice about them.

use billing::account::assignments::{self, Asked, EVER};
use billing::{
    Basis, Bill, Buyer, Desk, InvoiceId, Issued, Party, PricePlan, Series, Taxation, issue, plans,
};
use jiff::{SignedDuration, Timestamp};
use metering::{
    Batch, BatchSeq, BootId, Epoch, EpochId, InstanceFacts, InstanceId, InstanceReading, InstanceRegisters,
    InstanceState, NodeId, Readings, TenantId, Window, WindowLength,
};
use migrations::{Database, Scope};
use usage::{Delivery, IngestSettings, Ingestor, UsageSettings, derive_dirty, records, registry};
use uuid::Uuid;

const LOOK: SignedDuration = SignedDuration::from_mins(20);
const PLAN: &str = "name = \"past\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[tax]\nname = \"VAT\"\nrate = \"0.19\"\n\
    [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"0.5\"\n\
    [[version.rate_card]]\nmeter = \"vcpu_ms\"\nunit_price = \"0.25\"\n";

pub fn instance_id() -> InstanceId {
    InstanceId::from_uuid(Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0001))
}

/// Puts a tenant on a plan for all time.
async fn bills(database: &Database, tenant: TenantId, plan: &str) {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let asked = Asked { plan: Some(plan), from: Some(EVER), by: "a test" };
    assignments::assign(&transaction, tenant, asked, Timestamp::now()).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Makes it; the invoice's number.
pub async fn past(database: &Database) -> String {
    let settings =
        UsageSettings { window: WindowLength::HOUR, tolerance: std::time::Duration::from_secs(150) };
    let now = Timestamp::now();
    let end = settings.window.window_of(now - SignedDuration::from_hours(1)).start();
    // It begins and ends within a window: the edges are derived from readings.
    let period =
        Window::new(end - SignedDuration::from_mins(170), end - SignedDuration::from_mins(10)).unwrap();
    let born_at = end - SignedDuration::from_hours(4);
    let ingestor = Ingestor::new(database.clone(), IngestSettings::new(settings.window));
    ingestor.ingest(&batch(born_at, end), &Delivery::default(), now).await.unwrap();
    derive_dirty(database, settings, now).await.unwrap();
    let plan = PricePlan::parse("past.toml", PLAN.as_bytes()).unwrap();
    plans::apply(database, &plan, now).await.unwrap();
    let tenant = registry::find_tenant(database, Scope::Provider, "acme").await.unwrap();
    bills(database, tenant.id, "past").await;
    let usage = records::usage_of(database, tenant.id, &[period], settings, now).await.unwrap();
    let seller = Party { name: "Seller".to_owned(), ..Party::default() };
    let (series, taxation) = (Series::default(), Taxation::fixed(plan.tax().unwrap()));
    let bill = Bill {
        invoice_id: InvoiceId::new(),
        seller: &seller,
        buyer: Buyer { tenant: tenant.name, party: seller.clone(), time_zone: tenant.time_zone },
        plan: &plan,
        usage: &usage,
        samples: &[],
        period,
        exchange: None,
        taxation: &taxation,
    };
    let desk = Desk { actor: "a test", series: &series };
    match issue(database, tenant.id, bill, Basis::default(), &desk, now).await.unwrap() {
        Issued::New(invoice) | Issued::Already(invoice) => invoice.document.number.unwrap(),
    }
}

fn batch(born_at: Timestamp, end: Timestamp) -> Batch {
    let node = Uuid::from_u128(0x5eed_0000_0000_4000_8000_ffff_ffff_ffff);
    let mut readings = Readings::default();
    let (mut at, mut look) = (born_at, 0);
    while at <= end {
        readings.instances.push(InstanceReading {
            instance_id: instance_id(),
            observed_at: at,
            epoch: Epoch { id: EpochId::of(&[b"seed"]), born_at: Some(born_at) },
            state: InstanceState::Running,
            vcpus: 2,
            memory_kib: 1 << 20,
            // More with each look, so that no two windows are alike.
            registers: InstanceRegisters {
                cpu_ns: look * look * 7_000_000_007,
                running_ms: look * 1_200_000,
                vcpu_ms: look * 2_400_000,
                memory_kib_s: look * 1_200 * (1 << 20),
            },
        });
        (at, look) = (at + LOOK, look + 1);
    }
    Batch {
        node_id: NodeId::from_uuid(node),
        seq: BatchSeq(1),
        node_name: "seed".to_owned(),
        boot_id: BootId::from_uuid(node),
        collected_at: end,
        collected_boot: None,
        readings,
        gaps: Vec::new(),
        instances: vec![InstanceFacts {
            instance_id: instance_id(),
            name: "web-1".to_owned(),
            tenant_label: Some("acme".to_owned()),
            makeup: metering::Makeup::default(),
        }],
        volumes: Vec::new(),
        notices: Vec::new(),
    }
}
