//! The bench hooks do what they say. Their figures are not judged here.

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
