//! Billing runs on a real PostgreSQL: every tenant once, whoever works and whoever dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use billing::InvoiceId;
use billing::runs::{self, Became, Goal, ItemState, NewRun, RunOrigin};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::Scope;
use uuid::Uuid;

use crate::common::november;
use crate::issuing::{World, world};

fn october(origin: RunOrigin) -> NewRun {
    NewRun {
        run_id: Uuid::now_v7(),
        period: "2026-10".to_owned(),
        goal: Goal::Issued,
        origin,
        before_cutoff: false,
        asked_by: "a test".to_owned(),
    }
}

async fn tenants(world: &World, count: usize) -> Vec<TenantId> {
    let mut tenants = Vec::new();
    for n in 0..count {
        tenants.push(world.tenant(&format!("t{n}")).await);
    }
    tenants
}

/// Takes and records until there is nothing to take; `None` from `work` dies in the middle.
async fn work(
    world: &World,
    run: Uuid,
    now: Timestamp,
    mut work: impl FnMut(TenantId) -> Option<Became>,
) -> usize {
    let mut done = 0;
    loop {
        let mut session = world.database.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let Some((tenant, _)) = runs::take(&transaction, run, now).await.unwrap() else { return done };
        let Some(became) = work(tenant) else { return done };
        runs::record(&transaction, run, tenant, &became, now).await.unwrap();
        transaction.commit().await.unwrap();
        done += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_share_a_run_and_no_tenant_is_taken_twice() {
    let world = Arc::new(world().await);
    let all = tenants(&world, 40).await;
    let run = runs::create(&world.database, &october(RunOrigin::Operator), &all, november()).await.unwrap();
    let taken = Arc::new(Mutex::new(BTreeMap::<Uuid, usize>::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (world, taken) = (Arc::clone(&world), Arc::clone(&taken));
        tasks.spawn(async move {
            let note = |tenant: TenantId| {
                *taken.lock().unwrap().entry(tenant.uuid()).or_default() += 1;
                Some(Became::Done(InvoiceId::new()))
            };
            work(&world, run, november(), note).await
        });
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(done, all.len());
    assert!(taken.lock().unwrap().values().all(|times| *times == 1));
    assert!(runs::finish(&world.database, run, november()).await.unwrap());
    let run = runs::get(&world.database, run).await.unwrap().unwrap();
    assert_eq!((run.tenants, run.done, run.waiting, run.finished_at), (40, 40, 0, Some(november())));
    assert!(runs::open(&world.database).await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_dies_gives_back_what_it_had_and_a_failure_stops_nobody() {
    let world = world().await;
    let all = tenants(&world, 5).await;
    let run = runs::create(&world.database, &october(RunOrigin::Operator), &all, november()).await.unwrap();
    let mut left = 2;
    let died = work(&world, run, november(), |_| {
        left -= 1;
        (0 < left).then(|| Became::Done(InvoiceId::new()))
    });
    assert_eq!(died.await, 1);
    assert!(!runs::finish(&world.database, run, november()).await.unwrap(), "tenants wait");
    assert_eq!(runs::open(&world.database).await.unwrap(), [run]);
    let mut first = true;
    let rest = work(&world, run, november(), |_| {
        let became = match std::mem::replace(&mut first, false) {
            true => Became::Failed("its zone \0 is not known".to_owned(), None),
            false => Became::Nothing("it used nothing".to_owned()),
        };
        Some(became)
    });
    assert_eq!(rest.await, 4);
    assert!(runs::finish(&world.database, run, november()).await.unwrap());
    let failed = runs::items(&world.database, run, Some(ItemState::Failed), None, 10).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].detail.as_deref(), Some("its zone \u{fffd} is not known"));
    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied();
        let page = runs::items(&world.database, run, None, after, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|item| item.tenant_id));
    }
    let mut all = all;
    all.sort_unstable();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn there_is_one_automatic_run_for_a_month_and_what_failed_in_it_is_tried_again_later() {
    let world = world().await;
    let all = tenants(&world, 2).await;
    let automatic = october(RunOrigin::Automatic);
    let run = runs::create(&world.database, &automatic, &all[..1], november()).await.unwrap();
    let later = november() + SignedDuration::from_hours(1);
    let fails = |_| Some(Became::Failed("a node is behind".to_owned(), Some(later)));
    assert_eq!(work(&world, run, november(), fails).await, 1);
    assert!(!runs::finish(&world.database, run, november()).await.unwrap(), "it is tried again");
    let same = runs::create(&world.database, &automatic, &all, november()).await.unwrap();
    assert_eq!(same, run, "tenants of another zone join");
    let third = world.tenant("third").await;
    let known: Vec<TenantId> = all.iter().copied().chain([third]).collect();
    assert_eq!(runs::missing(&world.database, "2026-10", &known).await.unwrap(), [third]);
    let done = |_| Some(Became::Done(InvoiceId::new()));
    assert_eq!(work(&world, run, november(), done).await, 1, "the one that failed has to wait");
    assert_eq!(work(&world, run, later, done).await, 1);
    assert!(runs::finish(&world.database, run, later).await.unwrap());
    let other = runs::create(&world.database, &october(RunOrigin::Operator), &all, later).await.unwrap();
    let listed = runs::list(&world.database, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|run| run.run_id).collect::<Vec<_>>(), [other, run]);
    let rest = runs::list(&world.database, Some((listed[0].created_at, listed[0].run_id)), 10).await.unwrap();
    assert_eq!(rest.iter().map(|run| run.run_id).collect::<Vec<_>>(), [run]);
}
