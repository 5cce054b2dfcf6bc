//! Budgets on a real PostgreSQL: each threshold once, with its mail or not at all.

use std::sync::Arc;

use billing::budget::{self, Budget, Crossing, NoteError, SetError, THRESHOLDS};
use billing::{Currency, Money};
use jiff::SignedDuration;
use metering::{TenantId, Window};
use migrations::Scope;
use migrations::testing::TestDatabase;
use serde_json::Value;
use uuid::Uuid;

use crate::common::{insist, november, october};
use crate::issuing::{World, world};

fn euros(text: &str) -> Money {
    Money::exact(text.parse().unwrap(), Currency::EUR).unwrap()
}

fn next_month() -> Window {
    Window::new(october().end(), october().end() + SignedDuration::from_hours(30 * 24)).unwrap()
}

async fn set(world: &World, tenant: TenantId, amount: &str) -> Budget {
    budget::set(&world.database, Scope::Provider, tenant, euros(amount), None, november()).await.unwrap()
}

async fn try_note(world: &World, tenant: TenantId, spent: &str) -> Result<Vec<Crossing>, NoteError> {
    budget::note(&world.database, tenant, october(), euros(spent), november()).await
}

async fn note(world: &World, tenant: TenantId, spent: &str) -> Vec<u32> {
    percents(&try_note(world, tenant, spent).await.unwrap())
}

fn percents(crossings: &[Crossing]) -> Vec<u32> {
    crossings.iter().map(|crossing| crossing.threshold_percent).collect()
}

async fn crossings(world: &World, tenant: TenantId, period: Window) -> Vec<Crossing> {
    insist(|| budget::crossings(&world.database, Scope::Provider, tenant, period)).await
}

/// The keys and contents of all mail that is to be sent, in order.
async fn outbox(database: &TestDatabase) -> Vec<(String, Value)> {
    let owner = database.owner_client().await;
    let rows = owner
        .query(
            "SELECT subject_key, about FROM mail_outbox
             WHERE kind = 'budget' AND sent_at IS NULL AND next_attempt_at = created_at
             ORDER BY created_at, mail_id",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get("subject_key"), row.get("about"))).collect()
}

#[tokio::test]
async fn each_threshold_is_announced_once_and_a_jump_announces_all_it_passed() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    assert_eq!(note(&world, acme, "1000").await, [0; 0], "no budget, no threshold");
    set(&world, acme, "100").await;
    set(&world, other, "10").await;
    for (spent, expected) in [
        ("0", &[][..]),
        ("49.99", &[]),
        ("51.20", &[50]),
        ("51.20", &[]),
        ("40", &[]),
        ("80.00", &[80]),
        ("99.99", &[]),
        ("100.00", &[100]),
        ("500", &[]),
    ] {
        assert_eq!(note(&world, acme, spent).await, expected, "{spent}");
    }
    assert_eq!(note(&world, other, "10").await, THRESHOLDS);
    let noted = crossings(&world, acme, october()).await;
    assert_eq!(percents(&noted), THRESHOLDS);
    assert_eq!((noted[0].spent, noted[0].amount), (euros("51.20"), euros("100")));
    let mails = outbox(&world.database).await;
    assert_eq!(mails.len(), 6);
    assert_eq!(mails[0].0, format!("budget/{acme}/2026-10-01T00:00:00Z/1/50"));
    let expected = serde_json::json!({
        "tenant": "acme", "period_start": "2026-10-01T00:00:00Z", "period_end": "2026-11-01T00:00:00Z",
        "threshold_percent": 50, "budget": "100.00", "spent": "51.20", "currency": "EUR",
    });
    assert_eq!(mails[0].1, expected);
}

#[tokio::test]
async fn a_new_month_and_another_budget_begin_anew() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    set(&world, tenant, "100").await;
    assert_eq!(note(&world, tenant, "60").await, [50]);
    let november_note =
        budget::note(&world.database, tenant, next_month(), euros("60"), november()).await.unwrap();
    assert_eq!(percents(&november_note), [50]);
    assert_eq!(note(&world, tenant, "60").await, [0; 0]);
    // The same amount is the same budget.
    assert_eq!(set(&world, tenant, "100").await.revision, 1);
    assert_eq!(note(&world, tenant, "60").await, [0; 0]);
    assert_eq!(set(&world, tenant, "70").await.revision, 2);
    assert_eq!(note(&world, tenant, "60").await, [50, 80]);
    // A budget that was removed and comes back is another one: its mail must not be taken for the first one's.
    let remove =
        async || budget::remove(&world.database, Scope::Provider, tenant, None, november()).await.unwrap();
    assert!(remove().await);
    assert!(!remove().await);
    assert_eq!(budget::get(&world.database, Scope::Provider, tenant).await.unwrap(), None);
    assert_eq!(note(&world, tenant, "1000").await, [0; 0]);
    assert_eq!(set(&world, tenant, "100").await.revision, 4);
    assert_eq!(note(&world, tenant, "60").await, [50]);
    assert_eq!(percents(&crossings(&world, tenant, october()).await), [50, 50, 80, 50]);
    assert_eq!(crossings(&world, tenant, next_month()).await.len(), 1);
    assert_eq!(outbox(&world.database).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_who_note_at_once_cross_each_threshold_once_and_leave_one_mail_each() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    set(&world, tenant, "100").await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let mut noted = Vec::new();
            for spent in [10, 40, 50, 55 + task, 80, 80 + task, 100, 100 + task] {
                noted.extend(note(&world, tenant, &spent.to_string()).await);
            }
            noted
        });
    }
    let mut noted: Vec<u32> = tasks.join_all().await.into_iter().flatten().collect();
    noted.sort_unstable();
    assert_eq!(noted, THRESHOLDS);
    assert_eq!(crossings(&world, tenant, october()).await.len(), 3);
    let mut keys: Vec<String> = outbox(&world.database).await.into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert_eq!(outbox(&world.database).await.len(), 3);
}

/// What befalls the transaction between a crossing and the end of it.
async fn befall(world: &World, table: &str, when: &str, calamity: &str) {
    let owner = world.database.owner_client().await;
    owner
        .batch_execute(&format!(
            "CREATE OR REPLACE FUNCTION calamity() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
             AS $$ BEGIN {calamity}; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER calamity AFTER INSERT ON {table} DEFERRABLE INITIALLY {when}
             FOR EACH ROW EXECUTE FUNCTION calamity();"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_crossing_without_its_mail_is_impossible_whatever_befalls_the_transaction() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    set(&world, tenant, "100").await;
    let (fails, dies) = (
        "RAISE EXCEPTION 'no more disk'",
        "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)",
    );
    for (table, when, calamity) in [
        ("mail_outbox", "IMMEDIATE", fails),
        ("mail_outbox", "DEFERRED", fails),
        ("budget_crossing", "IMMEDIATE", dies),
        ("mail_outbox", "IMMEDIATE", dies),
    ] {
        befall(&world, table, when, calamity).await;
        let error = try_note(&world, tenant, "85").await.unwrap_err();
        assert_eq!(error.is_transient(), calamity == dies, "{error:?}");
        assert_eq!(crossings(&world, tenant, october()).await, [], "{table} {when}");
        assert_eq!(outbox(&world.database).await, [], "{table} {when}");
        let owner = world.database.owner_client().await;
        owner.batch_execute(&format!("DROP TRIGGER calamity ON {table}")).await.unwrap();
    }
    // Nothing was noted, so nothing is lost.
    assert_eq!(note(&world, tenant, "85").await, [50, 80]);
    assert_eq!(outbox(&world.database).await.len(), 2);
}

#[tokio::test]
async fn a_budget_that_cannot_be_compared_or_is_nothing_says_how_to_mend_it() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let dollars = Money::exact("100".parse().unwrap(), Currency::parse("USD").unwrap()).unwrap();
    budget::set(&world.database, Scope::Provider, tenant, dollars, None, november()).await.unwrap();
    let error = try_note(&world, tenant, "60").await.unwrap_err();
    let NoteError::WrongCurrency(wrong) = &error else { panic!("{error:?}") };
    assert_eq!((wrong.budget.code(), wrong.plan), ("USD", Currency::EUR));
    assert!(error.to_string().ends_with("set the budget in EUR"), "{error}");
    assert_eq!(outbox(&world.database).await, []);
    for amount in ["0", "-1"] {
        let error =
            budget::set(&world.database, Scope::Provider, tenant, euros(amount), None, november()).await;
        assert!(matches!(error.unwrap_err(), SetError::NotPositive { .. }));
    }
    let nobody = TenantId::from_uuid(Uuid::new_v4());
    let error = budget::set(&world.database, Scope::Provider, nobody, euros("1"), None, november()).await;
    assert!(matches!(error.unwrap_err(), SetError::NoTenant(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_who_set_a_budget_at_once_one_wins_and_the_others_are_told() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    for revision in [0, 1] {
        let mut tasks = tokio::task::JoinSet::new();
        for admin in 1..9 {
            let world = Arc::clone(&world);
            // Half of them are the tenant's own.
            let scope = if admin % 2 == 0 { Scope::Provider } else { Scope::Tenant(tenant.uuid()) };
            let amount = euros(&(100 * revision + admin).to_string());
            tasks.spawn(async move {
                budget::set(&world.database, scope, tenant, amount, Some(revision), november()).await
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        let won = won.into_iter().next().unwrap().unwrap();
        assert_eq!(won.revision, revision + 1);
        for lost in lost {
            let Err(SetError::Changed { current }) = lost else { panic!("{lost:?}") };
            assert_eq!(current, Some(won));
        }
    }
    let stale = budget::remove(&world.database, Scope::Provider, tenant, Some(1), november()).await;
    let error = stale.unwrap_err();
    assert!(error.to_string().contains("at revision 2; read it again"), "{error}");
    assert!(budget::remove(&world.database, Scope::Provider, tenant, Some(2), november()).await.unwrap());
    let late = budget::set(&world.database, Scope::Provider, tenant, euros("1"), Some(2), november()).await;
    assert!(matches!(late, Err(SetError::Changed { current: None })), "{late:?}");
    let anew = budget::set(&world.database, Scope::Provider, tenant, euros("1"), Some(0), november()).await;
    assert_eq!(anew.unwrap().revision, 4);
}

#[tokio::test]
async fn a_tenant_sets_its_own_budget_and_sees_no_trace_of_others() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let scope = Scope::Tenant(acme.uuid());
    let set_it =
        async |tenant| budget::set(&world.database, scope, tenant, euros("100"), None, november()).await;
    set_it(acme).await.unwrap();
    set(&world, other, "100").await;
    assert!(matches!(set_it(other).await.unwrap_err(), SetError::NoTenant(id) if id == other));
    assert!(!budget::remove(&world.database, scope, other, None, november()).await.unwrap());
    for tenant in [acme, other] {
        assert_eq!(note(&world, tenant, "60").await, [50]);
    }
    assert!(budget::get(&world.database, scope, acme).await.unwrap().is_some());
    assert!(budget::get(&world.database, scope, other).await.unwrap().is_none());
    let seen =
        async |tenant| budget::crossings(&world.database, scope, tenant, october()).await.unwrap().len();
    assert_eq!((seen(acme).await, seen(other).await), (1, 0));
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    assert!(transaction.query("SELECT FROM mail_outbox", &[]).await.unwrap().is_empty());
    assert_eq!(transaction.execute("DELETE FROM budget_crossing", &[]).await.unwrap(), 0);
}
