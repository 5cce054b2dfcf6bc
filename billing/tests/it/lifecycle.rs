//! From draft to void on a real PostgreSQL: what somebody looked at is what is issued, what was issued is only taken back,
//! and the books and the audit trail say the same.

use std::sync::Arc;

use billing::invoice::correct::{CorrectError, Correcting, Correction, correct};
use billing::invoice::lifecycle::{self, Stands, StepError};
use billing::store::{rechecks, waiting};
use billing::{
    Basis, Currency, DocumentKind, Held, InvoiceDocument, InvoiceId, InvoiceStatus, IssueError, Issued,
    Money, PricePlan, Stage, books, hold, invoices,
};
use jiff::{SignedDuration, Timestamp};
use metering::{MeterName, TenantId, UsageRecord, Window};
use migrations::Scope;
use rust_decimal::Decimal;

use crate::common::{november, october, plan, record};
use crate::issuing::{TASKS, World, bill, desk, seller, taxation, tenants, world};

async fn held(
    world: &World,
    tenant: TenantId,
    usage: &[UsageRecord],
    stage: Stage,
) -> Result<Held, IssueError> {
    let (seller, taxation) = (seller(), taxation(&world.plan));
    let bill = bill(&world.plan, usage, october(), &seller, &taxation);
    let basis = Basis { cutoff_at: Some(november()), ..Basis::default() };
    hold(&world.database, tenant, bill, (basis, stage), &desk(), november()).await
}

fn correcting(reason: &str) -> Correcting<'_> {
    Correcting { desk: desk(), reason, credit_note_id: InvoiceId::new() }
}

async fn corrected(
    world: &World,
    number: &str,
    plan: &PricePlan,
    usage: &[UsageRecord],
    period: Window,
) -> Result<Correction, CorrectError> {
    let (seller, taxation) = (seller(), taxation(plan));
    let bill = bill(plan, usage, period, &seller, &taxation);
    let basis = Basis::default();
    let corrected =
        correct(&world.database, number, bill, basis, correcting("late readings"), november()).await?;
    for document in std::iter::once(&corrected.credit_note).chain(&corrected.corrected) {
        assert_eq!(crate::en16931::faults(&document.document), Vec::<String>::new());
    }
    Ok(corrected)
}

/// So many hours of a CPU in the first hour of October.
fn cpu_hours(hours: u64) -> Vec<UsageRecord> {
    let hour = Window::new(october().start(), october().start() + SignedDuration::from_hours(1)).unwrap();
    vec![record("web", MeterName::parse("cpu_ns").unwrap(), hour, hours * 3_600_000_000_000)]
}

fn id(held: &Held) -> InvoiceId {
    match held {
        Held::Waits(id, _) | Held::Kept(id, _) => *id,
        Held::Issued(invoice) => invoice.invoice_id,
    }
}

async fn steps(world: &World, invoice: InvoiceId) -> Vec<String> {
    let events = lifecycle::events(&world.database, invoice).await.unwrap();
    assert!(events.iter().all(|event| event.actor == "a test"));
    events.into_iter().map(|event| event.action).collect()
}

/// What a tenant owes, and what it has to its credit.
async fn owes(world: &World, tenant: TenantId) -> (Decimal, Decimal) {
    let balances = books::balances(&world.database, Scope::Provider, Some(tenant)).await.unwrap();
    let of = |account: &str| {
        let amounts = balances.iter().filter(|balance| balance.account == account);
        amounts.map(|balance| balance.amount.amount()).sum()
    };
    (of("receivable"), of("credit"))
}

/// All entries of the ledger together.
async fn ledger_sum(world: &World) -> Decimal {
    let owner = world.database.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'; SET ROLE weir_app").await.unwrap();
    let row = owner.query_one("SELECT COALESCE(sum(amount), 0) AS sum FROM ledger_entry", &[]).await.unwrap();
    row.get("sum")
}

#[tokio::test]
async fn a_draft_is_rated_anew_until_somebody_is_to_look_at_it() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let first = held(&world, tenant, &cpu_hours(20), Stage::Draft).await.unwrap();
    let second = held(&world, tenant, &cpu_hours(30), Stage::Draft).await.unwrap();
    assert_eq!(id(&first), id(&second), "the draft is replaced, not added to");
    let frozen = held(&world, tenant, &cpu_hours(40), Stage::Review).await.unwrap();
    assert!(matches!(frozen, Held::Waits(_, Stage::Review)));
    let late = held(&world, tenant, &cpu_hours(99), Stage::Review).await.unwrap();
    assert_eq!(
        late,
        Held::Kept(id(&first), Stage::Review),
        "nothing changes under the eyes of whoever looks"
    );

    let query = waiting::WaitingQuery { limit: 10, ..waiting::WaitingQuery::default() };
    let waits = invoices::waiting(&world.database, &query).await.unwrap();
    assert_eq!(waits.len(), 1);
    let eur = Currency::parse("EUR").unwrap();
    // (40 - 10 included) x 0.04 x 1.19 = 1.428
    assert_eq!(waits[0].total, Money::exact("1.43".parse().unwrap(), eur).unwrap());
    assert_eq!((waits[0].stage, waits[0].cutoff_at), (Stage::Review, Some(november())));
    assert!(waits[0].before.is_none());
    assert!(
        invoices::list(&world.database, Scope::Provider, 10).await.unwrap().is_empty(),
        "no number, not listed"
    );

    lifecycle::approve(&world.database, id(&first), &desk(), november()).await.unwrap();
    lifecycle::approve(&world.database, id(&first), &desk(), november()).await.unwrap();
    let issued = lifecycle::issue_approved(&world.database, id(&first), &desk(), november()).await.unwrap();
    assert_eq!(issued.document.total, waits[0].total, "what was approved is what is issued");
    assert_eq!(issued.document.due_on.unwrap().to_string(), "2026-11-16");
    assert_eq!(issued.due_at.unwrap().to_string(), "2026-11-16T23:00:00Z", "midnight in Berlin");
    let again = lifecycle::issue_approved(&world.database, id(&first), &desk(), november()).await.unwrap();
    assert_eq!(again, issued);
    assert_eq!(steps(&world, id(&first)).await, ["drafted", "frozen", "approved", "issued"]);
    let stands = lifecycle::standing(&world.database, tenant, october()).await.unwrap();
    assert_eq!(stands, Some(Stands::Issued(id(&first), "INV-2026-000001".to_owned())));
    let late = held(&world, tenant, &cpu_hours(99), Stage::Draft).await.unwrap();
    assert!(matches!(late, Held::Issued(_)));
}

#[tokio::test]
async fn only_what_was_approved_is_issued_and_what_was_sent_back_is_rated_again() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let waits = held(&world, tenant, &cpu_hours(20), Stage::Review).await.unwrap();
    let early =
        lifecycle::issue_approved(&world.database, id(&waits), &desk(), november()).await.unwrap_err();
    assert!(early.to_string().contains("approve it first"), "{early}");
    lifecycle::send_back(&world.database, id(&waits), &desk(), november()).await.unwrap();
    held(&world, tenant, &cpu_hours(30), Stage::Approved).await.unwrap();
    // Whoever issues with other usage issues what was approved.
    let issued = world.issue_by(tenant, &world.plan, &cpu_hours(99), october(), november()).await.unwrap();
    assert_eq!(issued.invoice().document.subtotal.amount().to_string(), "0.80");
    assert_eq!(steps(&world, id(&waits)).await, ["drafted", "frozen", "sent_back", "approved", "issued"]);
    let error = lifecycle::send_back(&world.database, id(&waits), &desk(), november()).await.unwrap_err();
    assert!(error.to_string().contains("what is issued is final"), "{error}");

    // What came to nothing is gone, and the next month is compared with this one.
    let other = world.tenant("other").await;
    held(&world, other, &cpu_hours(20), Stage::Draft).await.unwrap();
    let nothing = held(&world, other, &[], Stage::Draft).await.unwrap_err();
    assert!(matches!(nothing, IssueError::Nothing { .. }), "{nothing}");
    assert_eq!(lifecycle::standing(&world.database, other, october()).await.unwrap(), None);
}

#[tokio::test]
async fn a_void_invoice_keeps_its_number_frees_its_period_and_leaves_the_books() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue(tenant, october()).await.unwrap();
    let void =
        async |number: &str| lifecycle::void(&world.database, number, "a slip", &desk(), november()).await;
    assert!(Decimal::ZERO < owes(&world, tenant).await.0);
    let voided = void("INV-2026-000001").await.unwrap();
    assert_eq!((voided.status, voided.settled_at), (InvoiceStatus::Void, Some(november())));
    assert_eq!(void("INV-2026-000001").await.unwrap(), voided, "twice is once");
    assert_eq!(owes(&world, tenant).await, (Decimal::ZERO, Decimal::ZERO));
    assert!(matches!(void("INV-2026-000009").await.unwrap_err(), StepError::None(_)));

    let again = world.issue(tenant, october()).await.unwrap();
    assert_eq!(again.invoice().document.number.as_deref(), Some("INV-2026-000002"));
    let owner = world.database.owner_client().await;
    owner
        .batch_execute(
            "UPDATE invoice SET status = 'paid', settled_at = issued_at WHERE number = 'INV-2026-000002'",
        )
        .await
        .unwrap();
    let error = void("INV-2026-000002").await.unwrap_err();
    assert!(error.to_string().contains("take the payment back first"), "{error}");
    let found = invoices::find(&world.database, Scope::Provider, "INV-2026-000002").await.unwrap().unwrap();
    assert_eq!(found.status, InvoiceStatus::Paid);
    assert_eq!(found.document.status, InvoiceStatus::Issued, "the document is as it was sent");
    assert_eq!(Issued::Already(found), world.issue(tenant, october()).await.unwrap());
    assert_eq!(ledger_sum(&world).await, Decimal::ZERO);
}

#[tokio::test]
async fn a_correction_takes_back_all_of_the_original_and_each_document_names_the_others() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue_by(tenant, &world.plan, &cpu_hours(110), october(), november()).await.unwrap();
    let original = "INV-2026-000001";
    assert_eq!(owes(&world, tenant).await.0.to_string(), "4.76");

    let same = corrected(&world, original, &world.plan, &cpu_hours(110), october()).await.unwrap_err();
    assert!(matches!(same, CorrectError::Nothing { .. }), "{same}");
    let Correction { credit_note, corrected: replacing, difference } =
        corrected(&world, original, &world.plan, &cpu_hours(60), october()).await.unwrap();
    let replacing = replacing.unwrap();
    assert_eq!(difference.lines.len(), 1);
    assert_eq!(difference.lines[0].key, "test/2026-01-01/cpu_ns/standard");
    let document = |invoice: &invoices::Invoice| invoice.document.clone();
    let (note, new) = (document(&credit_note), document(&replacing));
    assert_eq!(
        (note.number.as_deref(), new.number.as_deref()),
        (Some("CN-2026-000001"), Some("INV-2026-000002"))
    );
    assert_eq!((note.kind, new.kind), (DocumentKind::CreditNote, DocumentKind::CorrectedInvoice));
    for correcting in [&note, &new] {
        assert_eq!(correcting.corrects.as_ref().unwrap().number, original);
        assert_eq!(correcting.reason.as_deref(), Some("late readings"));
    }
    assert!(note.notes.iter().any(|note| note.contains("INV-2026-000002")), "{:?}", note.notes);
    assert!(new.notes.iter().any(|note| note.contains("CN-2026-000001")), "{:?}", new.notes);
    assert_eq!(note.due_on, None);
    assert_eq!(note.total.amount().to_string(), "4.76", "amounts of a credit note are positive");
    assert_eq!(new.total.amount().to_string(), "2.38");
    assert_eq!(owes(&world, tenant).await.0.to_string(), "2.38");
    assert_eq!(ledger_sum(&world).await, Decimal::ZERO);

    let found = invoices::find(&world.database, Scope::Provider, original).await.unwrap().unwrap();
    assert_eq!(found.replaced_by.as_deref(), Some("INV-2026-000002"));
    let listed = invoices::list(&world.database, Scope::Provider, 10).await.unwrap();
    assert_eq!(listed.iter().filter(|one| one.corrects.as_deref() == Some(original)).count(), 2);
    assert_eq!(steps(&world, found.invoice_id).await, ["issued", "replaced"]);
    // Neither the original nor the credit note can be void or corrected any more; what stands can, again and again.
    for number in [original, "CN-2026-000001"] {
        let error =
            lifecycle::void(&world.database, number, "a slip", &desk(), november()).await.unwrap_err();
        assert!(matches!(error, StepError::Elsewhere { .. }), "{error}");
        let error = corrected(&world, number, &world.plan, &cpu_hours(10), october()).await.unwrap_err();
        assert!(matches!(error, CorrectError::Step(_)), "{error}");
    }
    let nothing = corrected(&world, "INV-2026-000002", &world.plan, &[], october()).await.unwrap();
    assert!(nothing.corrected.is_none());
    assert_eq!(owes(&world, tenant).await.0, Decimal::ZERO);
    // The period is free again: its usage is invoiced anew.
    let anew = world.issue_by(tenant, &world.plan, &cpu_hours(60), october(), november()).await.unwrap();
    assert_eq!(anew.invoice().document.number.as_deref(), Some("INV-2026-000003"));
}

#[tokio::test]
async fn a_paid_invoice_that_was_too_high_leaves_credit() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue_by(tenant, &world.plan, &cpu_hours(110), october(), november()).await.unwrap();
    let pays = crate::books::pays(tenant, "4.76", "R-1");
    books::payments::record(&world.database, &pays, november()).await.unwrap();
    let paid = invoices::find(&world.database, Scope::Provider, "INV-2026-000001").await.unwrap().unwrap();
    assert_eq!(paid.status, InvoiceStatus::Paid);
    corrected(&world, "INV-2026-000001", &world.plan, &cpu_hours(60), october()).await.unwrap();
    let (owed, credit) = owes(&world, tenant).await;
    assert_eq!(
        (owed, credit.to_string()),
        (Decimal::ZERO, "-2.38".to_owned()),
        "credit is negative in the books"
    );
    let new = invoices::find(&world.database, Scope::Provider, "INV-2026-000002").await.unwrap().unwrap();
    assert_eq!(new.status, InvoiceStatus::Paid);
    assert_eq!(ledger_sum(&world).await, Decimal::ZERO);
}

#[tokio::test]
async fn a_correction_of_something_else_or_without_a_reason_is_refused_and_takes_no_number() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue_by(tenant, &world.plan, &cpu_hours(110), october(), november()).await.unwrap();
    let day = Window::new(october().start(), october().start() + SignedDuration::from_hours(24)).unwrap();
    let error = corrected(&world, "INV-2026-000001", &world.plan, &cpu_hours(1), day).await.unwrap_err();
    assert!(matches!(error, CorrectError::OtherPeriod { .. }), "{error}");
    let unknown = plan("cpu_ns 0.99");
    let error = corrected(&world, "INV-2026-000001", &unknown, &cpu_hours(1), october()).await.unwrap_err();
    assert!(matches!(error, CorrectError::PlanNotApplied(_)), "{error}");
    let (seller, taxation) = (seller(), taxation(&world.plan));
    for reason in ["", "  \n", &"x".repeat(401)] {
        let usage = cpu_hours(1);
        let bill = bill(&world.plan, &usage, october(), &seller, &taxation);
        let refused = correct(
            &world.database,
            "INV-2026-000001",
            bill,
            Basis::default(),
            correcting(reason),
            november(),
        );
        assert!(matches!(refused.await.unwrap_err(), CorrectError::NoReason));
    }
    let owner = world.database.owner_client().await;
    let row = owner
        .query_one("SELECT count(*) AS n FROM invoice_series WHERE series LIKE 'CN%'", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>("n"), 0);
}

/// What a forger of corrections would try, after `INV-2026-000001` was corrected by `CN-2026-000001` and `INV-2026-000002`.
const FORGERIES: &[&str] = &[
    "UPDATE invoice SET replaced_by_id = NULL WHERE number = 'INV-2026-000001'",
    "UPDATE invoice SET replaced_by_id = corrects_id WHERE number = 'INV-2026-000002'",
    "UPDATE invoice SET status = 'void', settled_at = issued_at WHERE number = 'CN-2026-000001'",
    "UPDATE invoice SET status = 'void', settled_at = issued_at WHERE number = 'INV-2026-000001'",
    "UPDATE invoice SET corrects_id = NULL, kind = 'invoice' WHERE number = 'CN-2026-000001'",
    "UPDATE invoice SET replaced_by_id = invoice_id WHERE number = 'CN-2026-000001'",
    "DELETE FROM invoice WHERE number = 'CN-2026-000001'",
    // Another credit note for the same invoice.
    "INSERT INTO invoice (invoice_id, tenant_id, status, kind, corrects_id, period_start, period_end, plan_name,
                          plan_revision, currency, subtotal, tax_rate, tax_amount, total)
         SELECT gen_random_uuid(), tenant_id, 'draft', kind, corrects_id, period_start, period_end, plan_name,
                plan_revision, currency, subtotal, tax_rate, tax_amount, total
         FROM invoice WHERE number = 'CN-2026-000001'",
    // A credit note for an invoice that stands.
    "INSERT INTO invoice (invoice_id, tenant_id, status, kind, corrects_id, period_start, period_end, plan_name,
                          plan_revision, currency, subtotal, tax_rate, tax_amount, total)
         SELECT '00000000-0000-0000-0000-0000000000cc', tenant_id, 'draft', 'credit_note', invoice_id, period_start,
                period_end, plan_name, plan_revision, currency, 0, 0, 0, 0
         FROM invoice WHERE number = 'INV-2026-000002';
     INSERT INTO invoice_line (tenant_id, invoice_id, position, key, kind, period_start, period_end, base_quantity, quantity,
                               unit, unit_price, amount)
         SELECT tenant_id, invoice_id, 1, 'x', 'fee', period_start, period_end, 0, 0, '', 0, 0
         FROM invoice WHERE invoice_id = '00000000-0000-0000-0000-0000000000cc';
     UPDATE invoice_series SET last_number = 2 WHERE series = 'CN-2026';
     UPDATE invoice SET status = 'issued', series = 'CN-2026', series_number = 2, number = 'CN-2026-000002',
                        issued_at = period_end, document = '{}'
         WHERE invoice_id = '00000000-0000-0000-0000-0000000000cc'",
];

#[tokio::test]
async fn a_forged_correction_is_refused_by_the_database_itself() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue_by(tenant, &world.plan, &cpu_hours(110), october(), november()).await.unwrap();
    let owner = world.database.owner_client().await;
    let alone = "UPDATE invoice SET replaced_by_id = gen_random_uuid() WHERE number = 'INV-2026-000001'";
    assert!(owner.batch_execute(alone).await.is_err(), "replaced by nothing");
    corrected(&world, "INV-2026-000001", &world.plan, &cpu_hours(60), october()).await.unwrap();
    for forgery in FORGERIES {
        let outcome = owner.batch_execute(&format!("BEGIN; {forgery}; COMMIT")).await;
        assert!(outcome.is_err(), "the owner could: {forgery}");
        owner.batch_execute("ROLLBACK").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_documents_of_all_kinds_at_once_leave_no_gap_in_either_series() {
    const EACH: usize = 25;
    let world = Arc::new(world().await);
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in tenants(&world).await {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            for n in 0..EACH * 2 {
                let start = october().start() + SignedDuration::from_secs(n as i64);
                let period = Window::new(start, start + SignedDuration::from_secs(1)).unwrap();
                let cpu = MeterName::parse("cpu_ns").unwrap();
                let usage = [record("web", cpu, period, 80_000_000_000_000)];
                let issued = world.issue_by(tenant, &world.plan, &usage, period, november());
                let number = issued.await.unwrap().invoice().document.number.clone().unwrap();
                let fewer = [record("web", cpu, period, 50_000_000_000_000)];
                if n % 2 == 0 {
                    corrected(&world, &number, &world.plan, &fewer, period).await.unwrap();
                } else {
                    lifecycle::void(&world.database, &number, "a slip", &desk(), november()).await.unwrap();
                    world.issue_by(tenant, &world.plan, &fewer, period, november()).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let owner = world.database.owner_client().await;
    let rows = owner
        .query(
            "SELECT s.series, s.last_number, count(*) AS documents, count(DISTINCT i.number) AS numbers,
                    min(i.series_number) AS first, max(i.series_number) AS last
             FROM invoice_series s JOIN invoice i ON i.series = s.series GROUP BY s.series ORDER BY s.series",
            &[],
        )
        .await
        .unwrap();
    let of = i64::try_from(TASKS * EACH).unwrap();
    for (row, documents) in rows.iter().zip([of, of * 4]) {
        let get = |column| row.get::<_, i64>(column);
        assert_eq!((get("documents"), get("numbers"), get("first")), (documents, documents, 1));
        assert_eq!((get("last"), get("last_number")), (documents, documents));
    }
    assert_eq!(rows.len(), 2);
    assert_eq!(of * 5, 1_000);
    assert_eq!(ledger_sum(&world).await, Decimal::ZERO);
}

#[tokio::test]
async fn overdue_begins_with_the_day_after_the_last_day_and_a_sent_mail_is_noted_by_itself() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    world.issue(tenant, october()).await.unwrap();
    let due: Timestamp = "2026-11-16T23:00:00Z".parse().unwrap();
    let overdue_at = async |at: Timestamp| {
        let query =
            invoices::InvoiceQuery { overdue_at: Some(at), limit: 10, ..invoices::InvoiceQuery::default() };
        invoices::page(&world.database, Scope::Provider, &query).await.unwrap().items.len()
    };
    assert_eq!(overdue_at(due - SignedDuration::from_micros(1)).await, 0);
    assert_eq!(overdue_at(due).await, 1);
    let found =
        async || invoices::find(&world.database, Scope::Provider, "INV-2026-000001").await.unwrap().unwrap();
    assert!(!found().await.is_overdue(november()) && found().await.is_overdue(due));
    assert_eq!(found().await.sent_at, None);
    let owner = world.database.owner_client().await;
    owner.batch_execute("UPDATE mail_outbox SET sent_at = '2026-11-03T00:00:00Z'").await.unwrap();
    assert_eq!(found().await.sent_at, Some("2026-11-03T00:00:00Z".parse().unwrap()));
    let again = lifecycle::mark_sent(&world.database, "INV-2026-000001", due).await.unwrap();
    assert!(!again, "it was sent once");
}

#[tokio::test]
async fn late_usage_is_kept_until_what_stands_is_corrected() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let issued = world.issue_by(tenant, &world.plan, &cpu_hours(110), october(), november()).await.unwrap();
    let invoice = issued.invoice().invoice_id;
    let during = (october().start(), november());
    let standing = rechecks::standing(&world.database, during, None, 10).await.unwrap();
    assert_eq!(standing.iter().map(|one| one.invoice_id).collect::<Vec<_>>(), [invoice]);
    let digest = rechecks::digest(&world.database, tenant, october()).await.unwrap();
    let owner = world.database.owner_client().await;
    owner
        .execute(
            "INSERT INTO usage_day_total (tenant_id, day, meter, quantity, measured_us, estimated_us, missing_us, records)
             VALUES ($1, '2026-10-31', 'cpu_ns', 1, 0, 0, 0, 1)",
            &[&tenant.uuid()],
        )
        .await
        .unwrap();
    let later = rechecks::digest(&world.database, tenant, october()).await.unwrap();
    assert_ne!(digest, later);
    let total: Decimal = "2.38".parse().unwrap();
    let found =
        rechecks::Recheck { usage_digest: later, total_now: Some(total), failure: Some("a\0b".to_owned()) };
    rechecks::put(&world.database, (invoice, tenant), &found, november()).await.unwrap();
    let late = rechecks::late(&world.database, 10).await.unwrap();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].total.amount().to_string(), late[0].total_now.amount()), ("4.76".to_owned(), total));
    corrected(&world, "INV-2026-000001", &world.plan, &cpu_hours(60), october()).await.unwrap();
    assert!(rechecks::late(&world.database, 10).await.unwrap().is_empty());
}

#[test]
fn an_invoice_of_an_older_release_is_still_read() {
    let sample = InvoiceDocument::sample();
    let json = serde_json::to_string(&sample).unwrap();
    assert_eq!(serde_json::from_str::<InvoiceDocument>(&json).unwrap(), sample);
}
