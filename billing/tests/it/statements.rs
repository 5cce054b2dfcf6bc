//! Statements against the schema: tokio-postgres checks nothing when it compiles.

use migrations::Scope;

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let database = migrations::testing::database().await;
    let mut session = database.session().await.unwrap();
    for (name, sql) in billing::store::sql::ALL {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[tokio::test]
async fn no_float_and_no_row_without_a_tenant_in_the_tables_of_invoices() {
    let database = migrations::testing::database().await;
    let client = database.owner_client().await;
    let floats = client
        .query(
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns
             WHERE table_name IN ('invoice', 'invoice_line', 'invoice_series', 'price_plan')
               AND data_type IN ('real', 'double precision', 'money')",
            &[],
        )
        .await
        .unwrap();
    assert!(floats.is_empty(), "{:?}", floats[0].get::<_, String>("name"));
    let rows = client
        .query(
            "SELECT c.relname AS name, c.relforcerowsecurity AS forced, a.attnotnull AS not_null
             FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
             WHERE c.relname IN ('invoice', 'invoice_line', 'invoice_series', 'price_plan') AND c.relkind = 'r'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let name: String = row.get("name");
        assert!(row.get::<_, bool>("forced"), "{name}");
        assert_ne!(row.get::<_, Option<bool>>("not_null"), Some(false), "{name}");
    }
}
