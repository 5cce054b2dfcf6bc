//! Statements against the schema: tokio-postgres checks nothing when it compiles.

use migrations::Scope;

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let database = migrations::testing::database().await;
    let mut session = database.session().await.unwrap();
    for (name, sql) in hooks::sql::ALL {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

#[test]
fn no_statement_is_left_out() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap();
    let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort_unstable();
    let known: Vec<String> = hooks::sql::ALL.iter().map(|(name, _)| format!("{name}.sql")).collect();
    assert_eq!(files, known);
}
