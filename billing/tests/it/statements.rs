//! Statements against the schema: tokio-postgres checks nothing when it compiles.

use migrations::Scope;

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let database = migrations::testing::database().await;
    let mut session = database.session().await.unwrap();
    let all = [
        billing::store::sql::ALL,
        billing::store::invoice_sql::ALL,
        billing::books::sql::ALL,
        billing::limits::sql::ALL,
    ]
    .concat();
    for (name, sql) in all {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[test]
fn no_statement_is_left_out() {
    for (room, known) in [
        ("", billing::store::sql::ALL),
        ("invoices", billing::store::invoice_sql::ALL),
        ("books", billing::books::sql::ALL),
        ("limits", billing::limits::sql::ALL),
    ] {
        let files =
            std::fs::read_dir(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).join(room))
                .unwrap();
        let mut files: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.retain(|name| name.ends_with(".sql"));
        files.sort_unstable();
        let known: Vec<String> = known.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(files, known, "{room}");
    }
}

/// All tables of this crate, as an SQL list.
const TABLES: &str = "'invoice', 'invoice_line', 'invoice_series', 'price_plan', 'quota', 'instance_hold', 'draft', \
                      'budget', 'budget_crossing', 'mail_outbox', 'invoice_event', 'billing_run', 'billing_run_item', \
                      'invoice_recheck', 'allowance', 'allowance_crossing', 'limit_action', 'limit_action_instance', 'throttled_instance', \
                      'webhook_event', 'webhook_endpoint', 'webhook_delivery', 'billing_currency', \
                      'empty_period_recheck'";

#[tokio::test]
async fn no_float_and_no_row_without_a_tenant_in_the_tables_of_billing() {
    let database = migrations::testing::database().await;
    let client = database.owner_client().await;
    let floats = client
        .query(
            &format!(
                "SELECT table_name || '.' || column_name AS name FROM information_schema.columns
                 WHERE table_name IN ({TABLES}) AND data_type IN ('real', 'double precision', 'money')"
            ),
            &[],
        )
        .await
        .unwrap();
    assert!(floats.is_empty(), "{:?}", floats[0].get::<_, String>("name"));
    let rows = client
        .query(
            &format!(
                "SELECT c.relname AS name, c.relforcerowsecurity AS forced, a.attnotnull AS not_null
                 FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
                 WHERE c.relname IN ({TABLES}) AND c.relkind = 'r'"
            ),
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 24);
    for row in rows {
        let name: String = row.get("name");
        assert!(row.get::<_, bool>("forced"), "{name}");
        assert_ne!(row.get::<_, Option<bool>>("not_null"), Some(false), "{name}");
    }
}
