//! The bench hooks do what they say. Their figures are not judged here.

use usage::bench::month::Month;

use crate::story::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_of_the_bench_store_all_rows() {
    let db = migrations::testing::database().await;
    let rate = usage::bench::ingest_rows(&db, 20_000, 5_000).await.unwrap();
    assert_eq!(count(&db, migrations::Scope::Provider, "visible_instance_reading").await, 20_000);
    let bare = usage::bench::bare_copy(&db, 20_000, 5_000).await.unwrap();
    assert_eq!(count(&db, migrations::Scope::Provider, "visible_instance_reading").await, 40_000);
    println!("{} rows/s of {} rows/s bare", rate.rows_per_second(), bare.rows_per_second());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_loaded_is_whole() {
    let db = migrations::testing::database().await;
    let until = "2026-11-01T12:00:00Z".parse().unwrap();
    let records = usage::bench::load_history(&db, 2, 6, 10, until).await.unwrap();
    assert_eq!(records, 6 * 11 * 10 * 24);
    assert_eq!(crate::days::differences(&db).await, [""; 0]);
    let nodes = usage::capacity::nodes(&db).await.unwrap();
    assert_eq!((nodes.len(), nodes[0].days.len()), (1, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_that_is_loaded_is_closed_from_its_days_as_from_its_records() {
    let db = migrations::testing::database().await;
    let until = "2026-11-01T12:00:00Z".parse().unwrap();
    let month = Month::begin(&db, 2, 4, until).await.unwrap();
    let records = month.load(1..4).await.unwrap() + month.load(4..5).await.unwrap();
    assert_eq!(records, 4 * 6 * 744);
    month.end().await.unwrap();
    assert_eq!(crate::days::differences(&db).await, [""; 0]);
    let month = metering::Window::new(
        "2026-10-01T00:00:00Z".parse().unwrap(),
        "2026-11-01T00:00:00Z".parse().unwrap(),
    );
    let month = month.unwrap();
    let night = "2026-10-07T22:00:00Z".parse().unwrap();
    for pieces in [vec![month], month.split_at(&[night])] {
        for tenant in usage::registry::tenants(&db, migrations::Scope::Provider).await.unwrap() {
            let days = usage::usage_of_period(&db, tenant.id, &pieces, settings(), until).await.unwrap();
            let records =
                usage::close::usage_by_records(&db, tenant.id, &pieces, settings(), until).await.unwrap();
            assert_eq!(days, records);
            let of_tenant = if tenant.id == metering::TenantId::UNASSIGNED { 0 } else { 2 * 6 };
            assert_eq!(days.len(), pieces.len() * of_tenant);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_whose_records_were_forgotten_is_closed_from_its_days() {
    let db = migrations::testing::database().await;
    let until = "2026-11-01T12:00:00Z".parse().unwrap();
    let month = Month::begin(&db, 1, 2, until).await.unwrap();
    for number in 1..3 {
        assert_eq!(month.load(number..number + 1).await.unwrap(), 6 * 744);
        month.forget_records().await.unwrap();
    }
    month.end().await.unwrap();
    let period = metering::Window::new(
        "2026-10-01T00:00:00Z".parse().unwrap(),
        "2026-11-01T00:00:00Z".parse().unwrap(),
    );
    let tenants = usage::registry::tenants(&db, migrations::Scope::Provider).await.unwrap();
    let tenant = tenants.iter().find(|tenant| tenant.id != metering::TenantId::UNASSIGNED).unwrap();
    let found = usage::usage_of_period(&db, tenant.id, &[period.unwrap()], settings(), until).await.unwrap();
    assert_eq!(found.len(), 2 * 6);
    assert!(found.iter().all(|record| 744 * 1_000_000 <= record.quantity));
}
