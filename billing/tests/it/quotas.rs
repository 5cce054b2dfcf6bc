//! Quotas on a real PostgreSQL: fifty at once, with connections killed, and what the hypervisor says about it.

use std::sync::Arc;
use std::time::Duration;

use billing::quota::{
    self, Ask, Existing, Held, Limits, PENDING_MAX, QuotaError, Reconciled, SetError, What,
};
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, TenantId};
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::common::{insist, november};
use crate::issuing::{World, world};

const GIB: u64 = 1024 * 1024;

/// As many as the issue asks for.
const PARALLEL: usize = 50;

/// How often each maker tries: enough to last some dozens of kills.
const ROUNDS: usize = 24;

const ASK: Ask = Ask { vcpus: 3, memory_kib: 2 * GIB };

fn instance() -> InstanceId {
    InstanceId::from_uuid(Uuid::new_v4())
}

fn vcpus(vcpus: u32) -> Limits {
    Limits { vcpus: Some(vcpus), ..Limits::default() }
}

fn second(n: i64) -> Timestamp {
    november() + SignedDuration::from_secs(n)
}

async fn held(database: &Database, tenant: TenantId) -> Held {
    quota::held(database, Scope::Provider, tenant).await.unwrap()
}

async fn admit(world: &World, tenant: TenantId, instance: InstanceId, ask: Ask) -> Result<(), QuotaError> {
    quota::admit(&world.database, tenant, instance, ask, november()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_at_once_never_exceed_the_quota_and_fill_it() {
    let world = Arc::new(world().await);
    for (name, limits, expected) in [
        ("by-vcpus", vcpus(20), 6),
        ("by-memory", Limits { memory_kib: Some(9 * GIB), ..Limits::default() }, 4),
        ("by-instances", Limits { instances: Some(7), vcpus: Some(1000), memory_kib: None }, 7),
        ("by-nothing", Limits::default(), PARALLEL),
        ("by-zero", vcpus(0), 0),
    ] {
        let tenant = world.tenant(name).await;
        quota::set(&world.database, tenant, &limits, None, november()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..PARALLEL {
            let world = Arc::clone(&world);
            tasks.spawn(async move { admit(&world, tenant, instance(), ASK).await });
        }
        let mut admitted = 0;
        for outcome in tasks.join_all().await {
            match outcome {
                Ok(()) => admitted += 1,
                Err(QuotaError::Exceeded { breaches, .. }) => assert!(!breaches.is_empty()),
                Err(error) => panic!("{error}: {error:?}"),
            }
        }
        assert_eq!(admitted, expected, "{name}");
        let n = expected as u64;
        let expected = Held { instances: n, vcpus: 3 * n, memory_kib: 2 * GIB * n };
        assert_eq!(held(&world.database, tenant).await, expected, "{name}");
    }
}

/// One who makes instances: some fail, some are made and deleted, the last ones stay in the making or made.
async fn maker(world: Arc<World>, tenant: TenantId, n: usize) {
    let database = &world.database;
    for round in 0..ROUNDS {
        let instance = instance();
        let admitted = loop {
            match admit(&world, tenant, instance, ASK).await {
                Ok(()) => break true,
                Err(QuotaError::Exceeded { .. }) => break false,
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{error}: {error:?}"),
            }
        };
        if !admitted {
            continue;
        }
        let stays = round + 1 == ROUNDS;
        if (n + round).is_multiple_of(2) {
            assert!(insist(|| quota::confirm(database, instance, november())).await);
        }
        if !stays {
            insist(|| quota::release(database, instance)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_that_fail_and_killed_connections_never_let_one_too_many_in() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    quota::set(&world.database, tenant, &vcpus(20), None, november()).await.unwrap();
    let killer = world.database.owner_client().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let watched = Arc::clone(&world);
    let watcher = tokio::spawn(async move {
        // Each look sees one state that was committed: never too much.
        let (mut looks, mut killed) = (0, 0);
        while !*stopped.borrow() {
            let held = insist(|| quota::held(&watched.database, Scope::Provider, tenant)).await;
            assert!(held.vcpus <= 20, "{held:?}");
            looks += 1;
            if killed < 40 {
                killed += kill_one(&killer).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (looks, killed)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..PARALLEL {
        tasks.spawn(maker(Arc::clone(&world), tenant, n));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    stop.send(true).unwrap();
    let (looks, killed) = watcher.await.unwrap();
    assert!(3 < killed && 3 < looks, "{killed} kills, {looks} looks: the test showed nothing");
    // What is left is free to the last vCPU, and nothing more.
    loop {
        match admit(&world, tenant, instance(), ASK).await {
            Ok(()) => {}
            Err(QuotaError::Exceeded { .. }) => break,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error}: {error:?}"),
        }
    }
    assert_eq!(insist(|| quota::held(&world.database, Scope::Provider, tenant)).await.instances, 6);
}

async fn kill_one(killer: &tokio_postgres::Client) -> i64 {
    let row = killer
        .query_one(
            "SELECT count(pg_terminate_backend(pid)) AS killed FROM (
                 SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
                 ORDER BY random() LIMIT 1) AS victims",
            &[],
        )
        .await
        .unwrap();
    row.get("killed")
}

#[tokio::test]
async fn a_quota_below_what_is_held_keeps_the_old_and_refuses_the_new() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let (first, other) = (instance(), instance());
    admit(&world, tenant, first, Ask { vcpus: 6, memory_kib: GIB }).await.unwrap();
    quota::set(&world.database, tenant, &vcpus(4), None, november()).await.unwrap();
    let error = admit(&world, tenant, other, Ask { vcpus: 1, memory_kib: GIB }).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "tenant acme may hold 4 vCPUs: it holds 6, and 1 more was asked for; delete an instance (stopping one frees \
         nothing) or ask the provider for a higher quota"
    );
    let QuotaError::Exceeded { breaches, .. } = error else { panic!("{error}") };
    assert_eq!((breaches[0].what, breaches[0].used, breaches[0].allowed), (What::Vcpus, 6, 4));
    assert_eq!(held(&world.database, tenant).await.vcpus, 6);
    assert!(quota::confirm(&world.database, first, november()).await.unwrap());
    // Asking again for what is held, or for less, is no growth; for more, it is.
    admit(&world, tenant, first, Ask { vcpus: 6, memory_kib: GIB }).await.unwrap();
    admit(&world, tenant, first, Ask { vcpus: 5, memory_kib: GIB }).await.unwrap();
    assert!(admit(&world, tenant, first, Ask { vcpus: 6, memory_kib: GIB }).await.is_err());
    assert_eq!(held(&world.database, tenant).await, Held { instances: 1, vcpus: 5, memory_kib: GIB });
    // With it gone, there is room again.
    assert!(quota::release(&world.database, first).await.unwrap());
    assert!(!quota::release(&world.database, first).await.unwrap());
    assert!(!quota::confirm(&world.database, first, november()).await.unwrap());
    admit(&world, tenant, other, Ask { vcpus: 4, memory_kib: GIB }).await.unwrap();
}

#[tokio::test]
async fn nobody_is_admitted_on_another_ones_instance_or_for_a_tenant_that_is_none() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let taken = instance();
    admit(&world, acme, taken, ASK).await.unwrap();
    let error = admit(&world, other, taken, ASK).await.unwrap_err();
    assert!(matches!(error, QuotaError::Taken(id) if id == taken), "{error}");
    assert_eq!(held(&world.database, other).await, Held::default());
    let nobody = TenantId::from_uuid(Uuid::new_v4());
    assert!(matches!(admit(&world, nobody, instance(), ASK).await, Err(QuotaError::NoTenant(_))));
    let set = quota::set(&world.database, nobody, &vcpus(1), None, november()).await;
    assert!(matches!(set, Err(SetError::NoTenant(_))));
    // Figures beyond all machines are refused where they are limits, and break every limit where they are asked for.
    let endless = Limits { memory_kib: Some(u64::MAX), ..Limits::default() };
    let set = quota::set(&world.database, acme, &endless, None, november()).await;
    assert!(matches!(set, Err(SetError::TooLarge { .. })));
    let most = Ask { vcpus: u32::MAX, memory_kib: u64::MAX };
    for _ in 0..3 {
        admit(&world, other, instance(), most).await.unwrap();
    }
    assert_eq!(held(&world.database, other).await.memory_kib, u64::MAX);
    let limits = Limits { memory_kib: Some(i64::MAX.unsigned_abs()), ..Limits::default() };
    quota::set(&world.database, other, &limits, None, november()).await.unwrap();
    assert!(admit(&world, other, instance(), most).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_admins_who_set_a_quota_at_once_one_wins_and_the_others_are_told() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    for revision in [0, 1] {
        let mut tasks = tokio::task::JoinSet::new();
        for admin in 0..8 {
            let world = Arc::clone(&world);
            let limits = vcpus(100 * u32::try_from(revision).unwrap() + 10 + admin);
            tasks.spawn(async move {
                quota::set(&world.database, tenant, &limits, Some(revision), november()).await
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        let won = won.into_iter().next().unwrap().unwrap();
        assert_eq!(won.revision, revision + 1);
        for lost in lost {
            let Err(SetError::Changed { current }) = lost else { panic!("{lost:?}") };
            assert_eq!(current, won);
        }
        assert_eq!(quota::get(&world.database, Scope::Provider, tenant).await.unwrap(), won);
    }
    // The same again is no change, and whoever expects nothing always wins.
    let current = quota::get(&world.database, Scope::Provider, tenant).await.unwrap();
    let same = quota::set(&world.database, tenant, &current.limits(), Some(2), second(1)).await.unwrap();
    assert_eq!(same, current);
    let open = quota::set(&world.database, tenant, &Limits::default(), None, second(1)).await.unwrap();
    assert_eq!((open.limits(), open.revision), (Limits::default(), 3));
}

#[tokio::test]
async fn a_tenant_sees_its_own_quota_and_holdings_and_changes_neither() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    for tenant in [acme, other] {
        quota::set(&world.database, tenant, &vcpus(8), None, november()).await.unwrap();
        admit(&world, tenant, instance(), ASK).await.unwrap();
    }
    let scope = Scope::Tenant(acme.uuid());
    let get = async |tenant| quota::get(&world.database, scope, tenant).await.unwrap();
    let held = async |tenant| quota::held(&world.database, scope, tenant).await.unwrap();
    assert_eq!((get(acme).await.vcpus, get(acme).await.revision), (Some(8), 1));
    assert_eq!((get(other).await.vcpus, get(other).await.revision), (None, 0));
    assert_eq!(held(acme).await.vcpus, 3);
    assert_eq!(held(other).await, Held::default());
    for write in ["UPDATE quota SET vcpus = 1000", "DELETE FROM instance_hold", "DELETE FROM quota"] {
        let mut session = world.database.session().await.unwrap();
        let transaction = session.begin(scope).await.unwrap();
        assert_eq!(transaction.execute(write, &[]).await.unwrap_or(0), 0, "{write}");
    }
}

#[tokio::test]
async fn what_the_hypervisor_has_is_held_and_what_it_lost_is_free() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let database = &world.database;
    quota::set(database, acme, &vcpus(8), None, november()).await.unwrap();
    let (made, lost, foreign, making, dead) = (instance(), instance(), instance(), instance(), instance());
    let one = Ask { vcpus: 1, memory_kib: GIB };
    let dead_since = second(0) - PENDING_MAX;
    for (instance, at) in [(made, second(0)), (lost, second(0)), (making, second(0)), (dead, dead_since)] {
        quota::admit(database, acme, instance, one, at).await.unwrap();
    }
    for instance in [made, lost] {
        assert!(quota::confirm(database, instance, second(0)).await.unwrap());
    }
    let exists = |instance_id, tenant_id, vcpus| Existing { instance_id, tenant_id, vcpus, memory_kib: GIB };
    // A look that began before all that changes nothing of it; what is in the making may take its time.
    let reconcile = async |existing: &[Existing], seen, now| {
        quota::reconcile(database, existing, second(seen), second(now)).await.unwrap()
    };
    assert_eq!(reconcile(&[], -PENDING_MAX.as_secs(), 0).await, Reconciled::default());
    assert_eq!(reconcile(&[], 0, 0).await, Reconciled::default());
    assert_eq!(held(database, acme).await.instances, 4);
    // One was made by other means, and is on its way from one node to another; one is gone; one's maker has died.
    let list = [exists(foreign, acme, 4), exists(made, acme, 1), exists(foreign, acme, 4)];
    assert_eq!(reconcile(&list, 1, 1).await, Reconciled { corrected: 1, freed: 2 });
    assert_eq!(held(database, acme).await, Held { instances: 3, vcpus: 6, memory_kib: 3 * GIB });
    assert_eq!(reconcile(&list, 2, 2).await, Reconciled::default());
    // It counts: there is room for 2 vCPUs, not for 3.
    assert!(admit(&world, acme, instance(), Ask { vcpus: 3, memory_kib: GIB }).await.is_err());
    // Resized and given to somebody else; the one in the making was made.
    let list = [exists(foreign, other, 5), exists(made, acme, 2), exists(making, acme, 1)];
    assert_eq!(reconcile(&list, 3, 3).await, Reconciled { corrected: 3, freed: 0 });
    assert_eq!(held(database, acme).await, Held { instances: 2, vcpus: 3, memory_kib: 2 * GIB });
    assert_eq!(held(database, other).await.vcpus, 5);
    // What was admitted and confirmed after the look began stays, though the look did not see it.
    let late = instance();
    quota::admit(database, acme, late, one, second(5)).await.unwrap();
    assert!(quota::confirm(database, late, second(5)).await.unwrap());
    assert_eq!(reconcile(&list, 4, 6).await, Reconciled::default());
    assert_eq!(reconcile(&[], 7, 7).await, Reconciled { corrected: 0, freed: 4 });
    assert_eq!(held(database, acme).await, Held::default());
    // An instance of unknown size, at a clock that was never set.
    let list = [Existing { vcpus: 0, memory_kib: u64::MAX, ..exists(foreign, acme, 0) }];
    let now = Timestamp::MIN;
    quota::reconcile(database, &list, second(8), now).await.unwrap();
    assert_eq!(held(database, acme).await.instances, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_looks_at_once_agree_with_the_hypervisor() {
    let world = Arc::new(world().await);
    let tenant = world.tenant("acme").await;
    let all: Vec<Existing> = (0..100)
        .map(|_| Existing { instance_id: instance(), tenant_id: tenant, vcpus: 1, memory_kib: GIB })
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    for look in 0..8_usize {
        let (world, mut list) = (Arc::clone(&world), all.clone());
        list.rotate_left(look * 12);
        tasks.spawn(async move {
            let seen_at = second(i64::try_from(look).unwrap());
            quota::reconcile(&world.database, &list, seen_at, seen_at).await.unwrap()
        });
    }
    let corrected: u64 = tasks.join_all().await.iter().map(|done| done.corrected + done.freed).sum();
    assert_eq!(corrected, 100);
    assert_eq!(held(&world.database, tenant).await.instances, 100);
}
