//! The walls between tenants, on a real PostgreSQL. The catalogue tests hold for every migration, of whatever crate.

use migrations::testing::{TestDatabase, database, database_as, has_timescale};
use migrations::{DbError, Scope, StorageProfile, UNASSIGNED_TENANT, ensure_partitions};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Two tenants with one instance each, and one instance that is nobody's.
async fn two_tenants(database: &TestDatabase) -> (Uuid, Uuid) {
    let owner = database.owner_client().await;
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    owner
        .batch_execute(&format!(
            "INSERT INTO tenant (tenant_id, name, display_name) VALUES ('{a}', 'a', 'A'), ('{b}', 'b', 'B');
             INSERT INTO node (node_id, name) VALUES ('{a}', 'node');
             INSERT INTO instance (instance_id, node_id, name, first_seen_at, last_seen_at, state)
             VALUES ('{a}', '{a}', 'of-a', now(), now(), 'running'), ('{b}', '{a}', 'of-b', now(), now(), 'running'),
                    ('{UNASSIGNED_TENANT}', '{a}', 'of-nobody', now(), now(), 'running');
             INSERT INTO instance_tenant (instance_id, tenant_id, since)
             VALUES ('{a}', '{a}', now()), ('{b}', '{b}', now());
             INSERT INTO volume (volume_id, pool, name, path, first_seen_at)
             VALUES ('{a}', 'p', 'of-a', '/a', now()), ('{b}', 'p', 'of-b', '/b', now());
             INSERT INTO volume_tenant (volume_id, tenant_id, since) VALUES ('{a}', '{a}', now()), ('{b}', '{b}', now());"
        ))
        .await
        .unwrap();
    (a, b)
}

async fn names(database: &TestDatabase, scope: Scope, table: &str) -> Vec<String> {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    let rows = transaction.query(&format!("SELECT name FROM {table} ORDER BY name"), &[]).await.unwrap();
    rows.iter().map(|row| row.get("name")).collect()
}

/// The first column of a query of the owner's.
async fn list(database: &TestDatabase, sql: &str) -> Vec<String> {
    let owner = database.owner_client().await;
    owner.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

const OUR_TABLES: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
                          AND c.relkind IN ('r', 'p')";

#[tokio::test]
async fn a_tenant_sees_its_own_and_the_provider_sees_all() {
    let database = database().await;
    let (a, b) = two_tenants(&database).await;
    let provider = Scope::Provider;
    let check = async |scope, table, expected: &[&str]| {
        assert_eq!(names(&database, scope, table).await, expected, "{scope:?} {table}");
    };
    check(provider, "tenant", &["a", "b", "unassigned"]).await;
    check(Scope::Tenant(a), "tenant", &["a"]).await;
    check(Scope::Tenant(b), "tenant", &["b"]).await;
    check(Scope::Tenant(Uuid::new_v4()), "tenant", &[]).await;
    check(provider, "instance", &["of-a", "of-b", "of-nobody"]).await;
    check(Scope::Tenant(a), "instance", &["of-a"]).await;
    check(Scope::Tenant(b), "volume", &["of-b"]).await;
    check(Scope::Tenant(a), "node", &[]).await;
}

#[tokio::test]
async fn a_tenant_that_names_another_ones_rows_changes_nothing() {
    let database = database().await;
    let (a, b) = two_tenants(&database).await;
    let mut session = database.session().await.unwrap();
    for sql in [
        "UPDATE tenant SET display_name = 'Nobody' WHERE tenant_id = $1",
        "DELETE FROM tenant WHERE tenant_id = $1",
        "DELETE FROM instance_tenant WHERE tenant_id = $1",
        "UPDATE volume SET gone_at = now() WHERE volume_id = $1",
    ] {
        // Not its own rows either: who pays, and by which plan, is the provider's to say.
        for id in [a, b] {
            let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
            assert_eq!(transaction.execute(sql, &[&id]).await.unwrap(), 0, "{sql}");
        }
    }
    let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
    let insert = "INSERT INTO instance_tenant (instance_id, tenant_id, since) VALUES ($1, $2, now())";
    let error = transaction.execute(insert, &[&UNASSIGNED_TENANT, &a]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    drop(transaction);
    let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
    let insert = "INSERT INTO plan_assignment (tenant_id, revision, valid_from, plan_name, recorded_at)
                  VALUES ($1, 1, '0001-01-01', 'free', now())";
    let error = transaction.execute(insert, &[&a]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn the_tenants_own_tables_take_its_rows_and_refuse_those_of_others() {
    let database = database().await;
    let owner = database.owner_client().await;
    owner
        .batch_execute(
            "CREATE TABLE note (tenant_id uuid NOT NULL, name text NOT NULL); SELECT weir_enforce_tenant('note')",
        )
        .await
        .unwrap();
    let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
    let insert = "INSERT INTO note (tenant_id, name) VALUES ($1, $2)";
    let mut session = database.session().await.unwrap();
    for (id, name) in [(a, "of-a"), (b, "of-b")] {
        let transaction = session.begin(Scope::Tenant(id)).await.unwrap();
        assert_eq!(transaction.execute(insert, &[&id, &name]).await.unwrap(), 1);
        transaction.commit().await.unwrap();
    }
    let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
    let error = transaction.execute(insert, &[&b, &"forged"]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    transaction.rollback().await.unwrap();
    let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
    let error = transaction.execute("UPDATE note SET tenant_id = $1", &[&b]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    drop(transaction);
    drop(session);
    assert_eq!(names(&database, Scope::Tenant(a), "note").await, ["of-a"]);
    assert_eq!(names(&database, Scope::Provider, "note").await, ["of-a", "of-b"]);
}

#[tokio::test]
async fn without_a_scope_no_table_shows_a_row_not_even_to_the_owner() {
    for database in each_profile().await {
        two_tenants(&database).await;
        let owner = database.owner_client().await;
        let walled = list(
            &database,
            &format!(
                "SELECT c.oid::regclass::text FROM {OUR_TABLES} WHERE c.relrowsecurity AND NOT c.relispartition"
            ),
        )
        .await;
        assert!(walled.iter().any(|table| table == "tenant"), "{walled:?}");
        for role in ["weir_app", "weir"] {
            owner.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
            for scope in [
                "RESET weir.scope; RESET weir.tenant_id",
                "SET weir.scope = ''; SET weir.tenant_id = ''",
                "SET weir.scope = 'Provider'",
                "SET weir.scope = 'tenant'; SET weir.tenant_id = ''",
                "SET weir.scope = ''; SET weir.tenant_id = '00000000-0000-0000-0000-000000000000'",
            ] {
                owner.batch_execute(scope).await.unwrap();
                for table in &walled {
                    let row = owner.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
                    assert_eq!(row.get::<_, i64>(0), 0, "{role} sees rows of {table} after {scope}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_tampered_with_serves_the_next_one_its_own_scope() {
    let database = database().await;
    let (a, _) = two_tenants(&database).await;
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    transaction.execute("SET ROLE NONE", &[]).await.unwrap();
    transaction.query_one("SELECT set_config('weir.scope', 'provider', false)", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = session.begin(Scope::Tenant(a)).await.unwrap();
    let row = transaction
        .query_one("SELECT current_user::text AS role, (SELECT count(*) FROM tenant) AS tenants", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>("role"), row.get::<_, i64>("tenants")), ("weir_app", 1));
}

#[tokio::test]
async fn the_application_role_owns_nothing_and_may_change_rows_only() {
    for database in each_profile().await {
        let check = async |what: &str, sql: &str| {
            assert_eq!(list(&database, sql).await, Vec::<String>::new(), "{what}");
        };
        check(
            "it has a privilege of its own",
            "SELECT rolname::text FROM pg_roles WHERE rolname = 'weir_app'
             AND (rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole OR rolcreatedb OR rolreplication)",
        )
        .await;
        check(
            "it owns something",
            "SELECT classid::regclass || ' ' || objid FROM pg_shdepend
             WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'weir_app'::regrole AND deptype = 'o'",
        )
        .await;
        check(
            "it is a member of another role",
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'weir_app'::regrole",
        )
        .await;
        check(
            "it may do more than DML",
            &format!(
                "SELECT c.relname || ' ' || p.privilege
                 FROM {OUR_TABLES} CROSS JOIN (VALUES ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (privilege)
                 WHERE has_table_privilege('weir_app', c.oid, p.privilege)"
            ),
        )
        .await;
        check(
            "it may create",
            "SELECT 'schema' WHERE has_schema_privilege('weir_app', 'public', 'CREATE')
             UNION ALL SELECT 'database' WHERE has_database_privilege('weir_app', current_database(), 'CREATE')",
        )
        .await;
    }
}

/// One database of each profile that is to be had here.
async fn each_profile() -> Vec<TestDatabase> {
    let mut databases = vec![database().await];
    if has_timescale() {
        databases.push(database_as(StorageProfile::Timescale).await);
    }
    databases
}

#[tokio::test]
async fn every_table_that_names_a_tenant_has_forced_walls_with_a_door() {
    for database in each_profile().await {
        let naming = format!(
            "{OUR_TABLES} JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped"
        );
        // Chunks of hypertables lie in a schema of their own.
        let elsewhere = "SELECT c.oid::regclass::text
                         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
                         WHERE n.nspname NOT IN ('public', 'pg_catalog', 'information_schema')
                           AND has_table_privilege('weir_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')";
        assert_eq!(list(&database, elsewhere).await, Vec::<String>::new(), "a side door");
        let check = async |what: &str, condition: &str| {
            let sql = format!("SELECT c.relname::text FROM {naming} WHERE {condition}");
            assert_eq!(list(&database, &sql).await, Vec::<String>::new(), "{what}");
        };
        check("walls are missing or the owner passes", "NOT (c.relrowsecurity AND c.relforcerowsecurity)")
            .await;
        check("tenant_id may be null or is no uuid", "NOT a.attnotnull OR a.atttypid <> 'uuid'::regtype")
            .await;
        check(
            "no policy: nobody can use it",
            "NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)",
        )
        .await;
        check(
            "everybody on the server has a privilege",
            "EXISTS (SELECT FROM aclexplode(c.relacl) acl WHERE acl.grantee = 0)",
        )
        .await;
        check(
            "a partition can be reached past the table's walls",
            "c.relispartition AND has_table_privilege('weir_app', c.oid, 'SELECT, INSERT, UPDATE, DELETE')",
        )
        .await;
    }
}

#[tokio::test]
async fn no_column_of_a_billing_table_is_a_float() {
    for database in each_profile().await {
        let sql = format!(
            "SELECT c.relname || '.' || a.attname
             FROM {OUR_TABLES} JOIN pg_attribute a ON a.attrelid = c.oid AND 0 < a.attnum AND NOT a.attisdropped
             WHERE c.relname ~ '(invoice|rated|price|plan|credit|ledger|budget|usage)'
               AND a.atttypid IN ('real'::regtype, 'double precision'::regtype, 'money'::regtype)"
        );
        assert_eq!(list(&database, &sql).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_instance_has_at_most_one_payer_at_every_instant() {
    let database = database().await;
    let (a, b) = two_tenants(&database).await;
    let owner = database.owner_client().await;
    let hand_over = |id: Uuid, since: &str, until: &str| {
        format!(
            "INSERT INTO instance_tenant (instance_id, tenant_id, since, until)
                 VALUES ('{UNASSIGNED_TENANT}', '{id}', '{since}', {until})"
        )
    };
    owner.batch_execute(&hand_over(a, "2026-10-01Z", "'2026-10-02Z'")).await.unwrap();
    // Half-open: the next one begins where the last one ends.
    owner.batch_execute(&hand_over(b, "2026-10-02Z", "NULL")).await.unwrap();
    for (since, until) in [("2026-10-01 12:00Z", "'2026-10-01 13:00Z'"), ("2027-01-01Z", "NULL")] {
        let error = owner.batch_execute(&hand_over(a, since, until)).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::EXCLUSION_VIOLATION), "{since}");
    }
    let error = owner.batch_execute(&hand_over(a, "2026-09-02Z", "'2026-09-02Z'")).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION));
}

#[tokio::test]
async fn hostile_tenant_names_are_refused() {
    let database = database().await;
    let mut session = database.session().await.unwrap();
    let insert = "INSERT INTO tenant (tenant_id, name, display_name) VALUES ($1, $2, $3)";
    let hostile = "'; DROP TABLE tenant; --\n<b>&amp;</b> \u{1F600}".repeat(300);
    for name in ["", "A", "a b", "-a", "a\nb", "ä", hostile.as_str(), "a".repeat(64).as_str()] {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let error = transaction.execute(insert, &[&Uuid::new_v4(), &name, &"x"]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{name:?}");
    }
    // The name that is shown may be anything.
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let id = Uuid::new_v4();
    transaction.execute(insert, &[&id, &"a".repeat(63), &hostile]).await.unwrap();
    let row =
        transaction.query_one("SELECT display_name FROM tenant WHERE tenant_id = $1", &[&id]).await.unwrap();
    assert_eq!(row.get::<_, String>("display_name"), hostile);
}

const PROBE: &str =
    "CREATE TABLE probe (tenant_id uuid NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
                     CREATE INDEX probe_at ON probe USING brin (at);
                     SELECT weir_enforce_tenant('probe')";

const PARTITIONS: &str = "SELECT relname::text FROM pg_class
                          WHERE relispartition AND relkind = 'r' AND relname LIKE 'probe%' ORDER BY relname";

const PROBE_DAYS: [&str; 4] = ["probe_p20261001", "probe_p20261002", "probe_p20261003", "probe_p20261004"];

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn partitions_that_many_ask_for_at_once_are_made_once_and_closed() {
    let database = database().await;
    assert_eq!(database.storage_profile().await.unwrap(), StorageProfile::Plain);
    let owner = database.owner_client().await;
    owner.batch_execute(PROBE).await.unwrap();
    let (start, end) = (at("2026-10-01T23:59:59.999999Z"), at("2026-10-05T00:00:00Z"));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let pool = database.database();
        tasks.spawn(async move { ensure_partitions(&pool, "probe", start, end).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 4);
    assert_eq!(list(&database, PARTITIONS).await, PROBE_DAYS);
}

#[tokio::test]
async fn a_partition_is_reached_through_its_table_only_and_goes_when_it_is_old() {
    let database = database().await;
    let owner = database.owner_client().await;
    owner.batch_execute(PROBE).await.unwrap();
    let (start, end) = (at("2026-10-01T23:59:59.999999Z"), at("2026-10-05T00:00:00Z"));
    assert_eq!(ensure_partitions(&database, "probe", start, end).await.unwrap(), 4);
    let tenant = Uuid::new_v4();
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Tenant(tenant)).await.unwrap();
    for instant in [start, at("2026-10-04T23:59:59.999999Z")] {
        transaction
            .execute("INSERT INTO probe (tenant_id, at) VALUES ($1, $2)", &[&tenant, &instant])
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let error = transaction.query("SELECT at FROM probe_p20261001", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    drop(transaction);
    for (scope, table, what) in [
        (Scope::Tenant(tenant), "probe", SqlState::INSUFFICIENT_PRIVILEGE),
        (Scope::Provider, "tenant", SqlState::WRONG_OBJECT_TYPE),
        (Scope::Provider, "pg_class", SqlState::INSUFFICIENT_PRIVILEGE),
        (Scope::Provider, "no_such", SqlState::UNDEFINED_TABLE),
    ] {
        let transaction = session.begin(scope).await.unwrap();
        let sql = "SELECT weir_ensure_partitions($1::text::regclass, $2, $3)";
        let error = transaction.query(sql, &[&table, &start, &end]).await.unwrap_err();
        assert_eq!(error.code(), Some(&what), "{scope:?} {table}");
    }
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let sql = "SELECT weir_drop_partitions('probe', $1)";
    let row = transaction.query_one(sql, &[&at("2026-10-03T00:00:00Z")]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
    transaction.commit().await.unwrap();
    assert_eq!(list(&database, PARTITIONS).await, PROBE_DAYS[2..]);
}

#[tokio::test]
async fn a_pool_that_is_empty_says_so_and_serves_again() {
    let database = database().await;
    let limits = migrations::PoolLimits { max_connections: 1, wait: std::time::Duration::from_millis(200) };
    let small = migrations::Database::connect(database.owner_url(), limits).await.unwrap();
    let held = small.session().await.unwrap();
    match small.session().await {
        Err(error @ DbError::Exhausted { max_connections: 1, .. }) => assert!(error.is_transient()),
        _ => panic!("a second session came out of a pool of one"),
    }
    drop(held);
    small.session().await.unwrap();
}

#[tokio::test]
async fn hypertables_need_no_partitions_and_lose_their_old_days_all_the_same() {
    if !has_timescale() {
        // Debian has no package of it; the profile is then not to be had.
        return;
    }
    let database = database_as(StorageProfile::Timescale).await;
    assert_eq!(database.storage_profile().await.unwrap(), StorageProfile::Timescale);
    let owner = database.owner_client().await;
    owner
        .batch_execute(
            "CREATE TABLE probe (at timestamptz NOT NULL);
             SELECT create_hypertable('probe'::regclass, 'at'::name, chunk_time_interval => INTERVAL '1 day');
             GRANT SELECT, INSERT ON probe TO weir_app;
             INSERT INTO probe (at) VALUES ('2026-10-01Z'), ('2026-10-02Z'), ('2026-10-03Z')",
        )
        .await
        .unwrap();
    let (start, end) = (at("2026-10-01T00:00:00Z"), at("2026-10-05T00:00:00Z"));
    assert_eq!(ensure_partitions(&database, "probe", start, end).await.unwrap(), 0);
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let sql = "SELECT weir_drop_partitions('probe', $1)";
    let row = transaction.query_one(sql, &[&at("2026-10-03T00:00:00Z")]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
    let row = transaction.query_one("SELECT count(*) FROM probe", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}
