//! Every statement, prepared against the migrated database: the only check of SQL that there is before it runs.

use migrations::Scope;

#[tokio::test]
async fn no_statement_speaks_of_a_column_that_is_not_there() {
    let db = migrations::testing::database().await;
    let mut session = db.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let mut prepared = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(error) = transaction.prepare_cached(&text).await {
            panic!("{}: {error:?}", path.display());
        }
        prepared += 1;
    }
    assert!(prepared > 50, "{prepared}");
}

#[test]
fn every_statement_is_used() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                code.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for file in std::fs::read_dir(root.join("sql")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(code.contains(&format!("sql!(\"{name}\")")), "{name}.sql is dead");
    }
}
