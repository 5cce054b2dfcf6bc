//! Every type of event that is documented is written by something that really happens, in the same transaction; those that
//! the database writes by itself are written once.

use billing::account::{self, AccountTerms, BillingMode};
use billing::books::dunning::{self, Level, Levels};
use billing::books::payments::{self, NewPayment, PaymentKind, Recorded};
use billing::books::wallet;
use billing::invoice::correct::{Correcting, correct};
use billing::invoice::lifecycle;
use billing::limits::Allowed;
use billing::limits::allowances::{self, MonthToDate};
use billing::webhooks::EventType;
use billing::{Basis, Currency, InvoiceId, Issued, Money, budget};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::Scope;
use serde_json::Value;
use uuid::Uuid;

use crate::common::{november, october};
use crate::issuing::{World, bill, desk, seller, taxation, world};

fn euros(text: &str) -> Money {
    Money::exact(text.parse().unwrap(), Currency::EUR).unwrap()
}

/// What was told of a type, the oldest first.
async fn told(world: &World, event: EventType) -> Vec<(TenantId, Value)> {
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let rows = transaction
        .query(
            "SELECT tenant_id, payload FROM webhook_event WHERE type = $1 ORDER BY created_at, event_id",
            &[&event.as_str()],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let payload: String = row.get("payload");
            (TenantId::from_uuid(row.get("tenant_id")), serde_json::from_str(&payload).unwrap())
        })
        .collect()
}

async fn issued(world: &World, tenant: TenantId) -> (String, Money) {
    let Issued::New(invoice) = world.issue(tenant, october()).await.unwrap() else {
        panic!("it is the first");
    };
    (invoice.document.number.clone().unwrap(), invoice.document.total)
}

/// A mail server takes the letter about an invoice, as the crate that delivers mail writes it down.
async fn mail_is_taken(world: &World, number: &str, at: Timestamp) -> u64 {
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let row = transaction
        .query_one(
            "SELECT mail_id FROM mail_outbox WHERE kind = 'invoice' AND about ->> 'number' = $1",
            &[&number],
        )
        .await
        .unwrap();
    let id: Uuid = row.get("mail_id");
    let statement = include_str!("../../../mail/sql/record_sent.sql");
    let taken = transaction.execute(statement, &[&id, &at, &"a@example.com"]).await.unwrap();
    transaction.commit().await.unwrap();
    taken
}

/// A node and an instance of each tenant on it.
async fn machines(world: &World, tenants: &[TenantId]) -> (Uuid, Vec<Uuid>) {
    let owner = world.database.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'").await.unwrap();
    let node = Uuid::new_v4();
    owner.execute("INSERT INTO node (node_id, name) VALUES ($1, 'n1')", &[&node]).await.unwrap();
    let mut instances = Vec::new();
    for tenant in tenants {
        let id = Uuid::new_v4();
        let instance = "INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state)
                        VALUES ($1, $2, 'web', '2026-10-01Z', '2026-11-01Z', 'running')";
        owner.execute(instance, &[&id, &node]).await.unwrap();
        let holder =
            "INSERT INTO instance_tenant (instance_id, tenant_id, since) VALUES ($1, $2, '2026-10-01Z')";
        owner.execute(holder, &[&id, &tenant.uuid()]).await.unwrap();
        instances.push(id);
    }
    (node, instances)
}

/// A node tells that it could not read, with the statement that takes its batches in: minutes of noon.
async fn gap(
    world: &World,
    node: Uuid,
    seq: i64,
    instance: Option<Uuid>,
    device: Option<&str>,
    span: (i64, i64),
) {
    let noon: Timestamp = "2026-10-20T12:00:00Z".parse().unwrap();
    let at = |minute| noon + SignedDuration::from_mins(minute);
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let statement = include_str!("../../../usage/sql/add_gaps.sql");
    transaction
        .execute(
            statement,
            &[
                &node,
                &seq,
                &vec![instance],
                &vec![device],
                &vec![at(span.0)],
                &vec![at(span.1)],
                &vec!["instance_busy"],
                &vec!["its process hangs"],
            ],
        )
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

async fn pays(world: &World, tenant: TenantId, kind: PaymentKind, amount: Money) -> Uuid {
    let payment = NewPayment {
        payment_id: Uuid::now_v7(),
        tenant,
        kind,
        method: "bank".to_owned(),
        reference: Uuid::new_v4().to_string(),
        amount,
        paid_at: november(),
        recorded_by: "a test".to_owned(),
        invoice: None,
    };
    match payments::record(&world.database, &payment, november()).await.unwrap() {
        Recorded::New(payment) => payment.payment_id,
        Recorded::Already(_) => panic!("its reference is new"),
    }
}

/// Has something happen that an event of that type is told of. What the application's front alone brings about is
/// tested there: a refused quota over its API, a test by whoever asks for one.
async fn bring_about(world: &World, tenant: TenantId, event: EventType) -> bool {
    let (db, later) = (&world.database, november() + SignedDuration::from_hours(60 * 24));
    match event {
        EventType::InvoiceIssued => drop(issued(world, tenant).await),
        EventType::InvoiceSent => {
            let (number, _) = issued(world, tenant).await;
            assert_eq!(mail_is_taken(world, &number, later).await, 1);
        }
        EventType::InvoicePaid | EventType::PaymentRecorded => {
            let (_, total) = issued(world, tenant).await;
            pays(world, tenant, PaymentKind::Payment, total).await;
        }
        EventType::PaymentReversed => {
            let id = pays(world, tenant, PaymentKind::Payment, euros("7")).await;
            payments::reverse(db, id, "it bounced", "a test", later).await.unwrap();
        }
        EventType::InvoiceOverdue => {
            issued(world, tenant).await;
            let level =
                Level { after_days: 3, title: "Reminder".to_owned(), fee: None, text: "Pay.".to_owned() };
            dunning::run(db, &Levels::new(vec![level]).unwrap(), later).await.unwrap();
        }
        EventType::InvoiceVoided => {
            let (number, _) = issued(world, tenant).await;
            lifecycle::void(db, &number, "a slip", &desk(), later).await.unwrap();
        }
        EventType::CreditNoteIssued => {
            let (number, _) = issued(world, tenant).await;
            let (seller, taxation) = (seller(), taxation(&world.plan));
            let less = &world.usage[..1];
            let bill = bill(&world.plan, less, october(), &seller, &taxation);
            let correcting =
                Correcting { desk: desk(), reason: "a correction", credit_note_id: InvoiceId::new() };
            correct(db, &number, bill, Basis::default(), correcting, later).await.unwrap();
        }
        EventType::BudgetCrossed => {
            budget::set(db, Scope::Provider, tenant, euros("10"), None, november()).await.unwrap();
            budget::note(db, tenant, october(), euros("6"), november()).await.unwrap();
        }
        EventType::AllowanceCrossed => {
            let (allowed, at) = (Allowed::Money(euros("10")), vec!["80".parse().unwrap()]);
            let set =
                allowances::set(db, Scope::Provider, tenant, "money", allowed, at, None, november()).await;
            set.unwrap();
            let month = MonthToDate { period: october(), spent: euros("9"), usage: &[] };
            allowances::note(db, tenant, &month, november()).await.unwrap();
        }
        EventType::MeterGap => {
            let (node, instances) = machines(world, &[tenant]).await;
            gap(world, node, 1, Some(instances[0]), None, (0, 1)).await;
        }
        EventType::WalletLow => {
            let mode = BillingMode::Prepaid;
            let low_balance = Some(20.into());
            let terms =
                AccountTerms { mode, currency: Some(Currency::EUR), low_balance, ..AccountTerms::default() };
            account::set(db, tenant, &terms, None, november()).await.unwrap();
            pays(world, tenant, PaymentKind::TopUp, euros("10")).await;
            wallet::check(db, SignedDuration::from_hours(24), later).await.unwrap();
        }
        EventType::QuotaRefused | EventType::Test => return false,
    }
    true
}

#[tokio::test]
async fn every_type_of_event_is_told_when_it_happens_to_the_tenant_that_it_happens_to() {
    for event in EventType::ALL {
        let world = world().await;
        let tenant = world.tenant("acme").await;
        if !bring_about(&world, tenant, event).await {
            continue;
        }
        let told = told(&world, event).await;
        assert_eq!(told.len(), 1, "{}: {told:?}", event.as_str());
        let (to, payload) = &told[0];
        assert_eq!(*to, tenant, "{payload}");
        assert_eq!(
            (payload["type"].as_str(), payload["tenant_id"].as_str()),
            (Some(event.as_str()), Some(tenant.to_string().as_str()))
        );
        assert!(payload["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{payload}");
        assert!(payload["data"].is_object(), "{payload}");
    }
}

#[tokio::test]
async fn an_invoice_that_a_mail_server_took_is_told_as_one_that_was_sent_by_other_means_once() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let ((mailed, _), (handed, _)) = (issued(&world, acme).await, issued(&world, other).await);
    let at = november() + SignedDuration::from_hours(1);
    assert!(lifecycle::mark_sent(&world.database, &handed, at).await.unwrap());
    assert_eq!(mail_is_taken(&world, &handed, at).await, 1);
    assert_eq!(mail_is_taken(&world, &mailed, at).await, 1);
    assert_eq!(mail_is_taken(&world, &mailed, at).await, 0, "it was taken");
    assert!(!lifecycle::mark_sent(&world.database, &mailed, at).await.unwrap());
    let told = told(&world, EventType::InvoiceSent).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let of = |tenant: TenantId| &told.iter().find(|(to, _)| *to == tenant).unwrap().1;
    let (by_hand, by_mail) = (of(other), of(acme));
    let keys = |payload: &Value| {
        payload["data"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(by_hand), keys(by_mail), "both say the same");
    assert_eq!(by_mail["data"]["number"], mailed);
    for key in ["kind", "period", "total", "due_on", "corrects"] {
        assert_eq!(by_hand["data"][key], by_mail["data"][key], "{key}");
    }
    assert_eq!(
        by_hand["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap(),
        by_mail["timestamp"].as_str().unwrap().parse().unwrap()
    );
}

#[tokio::test]
async fn a_gap_is_told_once_however_long_it_lasts_and_to_nobody_else() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let (node, instances) = machines(&world, &[acme, other, acme]).await;
    let (web, device) = (Some(instances[0]), Some("vda"));
    let count = async || told(&world, EventType::MeterGap).await.len();
    // It hangs: each look says so anew, from the last reading on, or from the look before.
    gap(&world, node, 1, web, None, (0, 1)).await;
    gap(&world, node, 2, web, None, (0, 2)).await;
    gap(&world, node, 3, web, None, (2, 3)).await;
    // One that was never read has a moment's gap at each look.
    gap(&world, node, 9, web, None, (4, 5)).await;
    gap(&world, node, 10, web, None, (17, 18)).await;
    assert_eq!(count().await, 1);
    // One of its disks, and the same again an hour later.
    gap(&world, node, 4, web, device, (0, 1)).await;
    gap(&world, node, 5, web, None, (60, 61)).await;
    let told_so_far = told(&world, EventType::MeterGap).await;
    assert_eq!(told_so_far.len(), 3);
    assert!(told_so_far.iter().all(|(to, _)| *to == acme));
    let data = &told_so_far[0].1["data"];
    assert_eq!((data["instance"].as_str(), data["reason"].as_str()), (Some("web"), Some("instance_busy")));
    assert_eq!(data["from"], "2026-10-20T12:00:00.000000Z");
    assert!(!told_so_far[0].1.to_string().contains("hangs"), "what a node says of itself is not for tenants");
    // Of a whole node each tenant that has something there is told, once.
    gap(&world, node, 6, None, None, (120, 121)).await;
    gap(&world, node, 7, None, None, (121, 122)).await;
    assert_eq!(count().await, 5);
    // What nobody owns is the provider's to know.
    let owner = world.database.owner_client().await;
    owner.batch_execute("SET weir.scope = 'provider'; DELETE FROM instance_tenant").await.unwrap();
    gap(&world, node, 8, Some(instances[1]), None, (200, 201)).await;
    assert_eq!(told(&world, EventType::MeterGap).await.last().unwrap().0, TenantId::UNASSIGNED);
}
