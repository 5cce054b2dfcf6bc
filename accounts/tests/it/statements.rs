//! Statements against the schema: tokio-postgres checks nothing when it compiles.

use std::collections::BTreeSet;

use migrations::Scope;
use migrations::testing::database;
use uuid::Uuid;

use crate::common::user;

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let db = database().await;
    let mut session = db.session().await.unwrap();
    for (name, sql) in accounts::sql::ALL {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[test]
fn every_file_is_a_statement() {
    let files: BTreeSet<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let named: BTreeSet<String> = accounts::sql::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, named);
}

#[tokio::test]
async fn a_tenant_sees_no_account_not_even_its_own() {
    let db = database().await;
    user(&db, "ann").await;
    let mut session = db.session().await.unwrap();
    for (scope, expected) in [(Scope::Provider, 1), (Scope::Tenant(Uuid::nil()), 0)] {
        let transaction = session.begin(scope).await.unwrap();
        let row = transaction.query_one("SELECT count(*) AS users FROM user_account", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>("users"), expected, "{scope:?}");
    }
}

#[tokio::test]
async fn what_every_page_asks_reads_no_table_from_end_to_end() {
    let db = database().await;
    let owner = db.owner_client().await;
    // The tables are empty: only a table without a fitting index is read as a whole now.
    owner.batch_execute("SET enable_seqscan = off").await.unwrap();
    for name in ["session_find", "token_find", "failure_last", "user_to_log_in"] {
        let (_, sql) = accounts::sql::ALL.into_iter().find(|(known, _)| *known == name).unwrap();
        let key = if name.ends_with("_find") { "'\\x00'::bytea" } else { "'ann'" };
        let other = if name == "failure_last" { "'192.0.2.1'" } else { "now()" };
        let sql = sql.replace("$1", key).replace("$2", other).replace("$3", "now()").replace("$4", "now()");
        let plan = owner.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().all(|line| !line.contains("Seq Scan")), "{name}: {plan:#?}");
        assert!(plan.iter().any(|line| line.contains("Index")), "{name}: {plan:#?}");
    }
}
