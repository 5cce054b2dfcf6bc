//! Statements against the schema: tokio-postgres checks nothing when it compiles.

use migrations::Scope;
use migrations::testing::database;
use uuid::Uuid;

use super::common::{authority, joined, token};

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let db = database().await;
    let mut session = db.session().await.unwrap();
    for (name, sql) in nodes::sql::ALL {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn a_tenant_sees_neither_tokens_nor_certificates() {
    let db = database().await;
    let (_dir, authority) = authority();
    token(&db, &authority, None).await;
    joined(&db, &authority, 1, "kvm-1").await;
    let mut session = db.session().await.unwrap();
    for (scope, expected) in [(Scope::Provider, [2, 1]), (Scope::Tenant(Uuid::nil()), [0, 0])] {
        for (table, expected) in ["join_token", "node_certificate"].into_iter().zip(expected) {
            let transaction = session.begin(scope).await.unwrap();
            let sql = format!("SELECT count(*) AS found FROM {table}");
            let row = transaction.query_one(&sql, &[]).await.unwrap();
            assert_eq!(row.get::<_, i64>("found"), expected, "{table} by {scope:?}");
        }
    }
}
