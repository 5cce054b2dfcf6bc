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
