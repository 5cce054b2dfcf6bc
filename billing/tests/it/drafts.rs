//! Drafts, pages of invoices and the mail about an invoice, on a real PostgreSQL.

use billing::invoices::{self, BadCursor, InvoiceCursor, InvoiceQuery, InvoiceSummary};
use billing::{InvoiceDocument, InvoiceId, InvoiceStatus, Party, drafts, simulate};
use jiff::SignedDuration;
use metering::{MeterName, TenantId, TenantName, Window};
use migrations::Scope;
use serde_json::{Value, json};

use crate::common::{november, october, record};
use crate::issuing::{World, world};

const ALL: InvoiceQuery =
    InvoiceQuery { tenant: None, status: None, overdue_at: None, kind: None, after: None, limit: 100 };

fn document(world: &World, tenant: &str, period: Window) -> InvoiceDocument {
    let usage = if period == october() { world.usage.clone() } else { Vec::new() };
    let mut document = simulate(&world.plan, &usage, &[], period).unwrap();
    document.tenant = TenantName::new(tenant).unwrap();
    document.buyer = Party { name: "<b>\"Ltd\"\0</b> 😀".to_owned(), ..Party::default() };
    document
}

#[tokio::test]
async fn the_latest_draft_holds_and_a_late_writer_changes_nothing() {
    let world = world().await;
    let (acme, other) = (world.tenant("acme").await, world.tenant("other").await);
    let (first, mut second) = (document(&world, "acme", october()), document(&world, "acme", october()));
    second.invoice_id = InvoiceId::new();
    let at = |minute| october().start() + SignedDuration::from_mins(minute);
    let put =
        async |document, minute| drafts::put(&world.database, acme, document, at(minute)).await.unwrap();
    put(&first, 1).await;
    put(&second, 2).await;
    put(&first, 1).await;
    let get = async |scope, tenant, start| drafts::get(&world.database, scope, tenant, start).await.unwrap();
    let draft = get(Scope::Provider, acme, october().start()).await.unwrap();
    assert_eq!((&draft.document, draft.computed_at), (&second, at(2)));
    assert_eq!(get(Scope::Provider, acme, october().end()).await, None);

    drafts::put(&world.database, other, &document(&world, "other", october()), at(3)).await.unwrap();
    let later = Window::new(october().end(), october().end() + SignedDuration::from_hours(24)).unwrap();
    drafts::put(&world.database, acme, &document(&world, "acme", later), at(4)).await.unwrap();
    let list = async |scope, now| drafts::list(&world.database, scope, now).await.unwrap();
    let listed = list(Scope::Provider, october().start()).await;
    assert_eq!(listed.iter().map(|one| one.tenant.as_str()).collect::<Vec<_>>(), ["acme", "other"]);
    let acmes = &listed[0];
    assert_eq!((acmes.tenant_id, acmes.period, acmes.computed_at), (acme, october(), at(2)));
    assert_eq!((acmes.total, acmes.subtotal), (second.total, second.subtotal));
    assert_eq!(list(Scope::Provider, october().end()).await.len(), 1, "half-open");
    assert_eq!(list(Scope::Provider, later.end()).await, []);

    let scope = Scope::Tenant(other.uuid());
    assert_eq!(get(scope, acme, october().start()).await, None);
    let seen = list(scope, october().start()).await;
    assert_eq!(seen.iter().map(|one| one.tenant_id).collect::<Vec<_>>(), [other]);
}

#[tokio::test]
async fn a_change_of_zone_leaves_one_draft_in_the_list() {
    let world = world().await;
    let acme = world.tenant("acme").await;
    let hour = SignedDuration::from_hours(1);
    let shifted = Window::new(october().start() - hour, october().end() - hour).unwrap();
    for (period, at) in [(october(), november()), (shifted, november() + hour)] {
        drafts::put(&world.database, acme, &document(&world, "acme", period), at).await.unwrap();
    }
    let listed = drafts::list(&world.database, Scope::Provider, october().start()).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.period).collect::<Vec<_>>(), [shifted]);
}

/// Issues the invoice of the `n`th hour of October, at that hour of November.
async fn issue_one(world: &World, tenant: TenantId, n: i64) {
    let hour = SignedDuration::from_hours(1);
    let start = october().start() + hour * i32::try_from(n).unwrap();
    let period = Window::new(start, start + hour).unwrap();
    let usage = [record("web", MeterName::parse("cpu_ns").unwrap(), period, 40_000_000_000_000)];
    // Three at a time get the same instant: the number has to decide.
    let now = november() + hour * i32::try_from(n / 3).unwrap();
    world.issue_by(tenant, &world.plan, &usage, period, now).await.unwrap();
}

async fn walk(world: &World, scope: Scope, query: &InvoiceQuery) -> Vec<InvoiceSummary> {
    let (mut query, mut seen) = (query.clone(), Vec::new());
    loop {
        let page = invoices::page(&world.database, scope, &query).await.unwrap();
        assert!(page.items.len() <= query.limit.max(1) as usize);
        seen.extend(page.items);
        let Some(next) = page.next else { return seen };
        // Through its text, as a web client would.
        query.after = Some(next.to_string().parse().unwrap());
    }
}

#[tokio::test]
async fn pages_of_any_size_show_every_invoice_once_and_the_newest_first() {
    let world = world().await;
    let tenants = [world.tenant("a").await, world.tenant("b").await];
    for n in 0..20 {
        issue_one(&world, tenants[usize::from(n % 4 == 0)], n).await;
    }
    let owner = world.database.owner_client().await;
    owner
        .batch_execute(
            "UPDATE invoice SET status = 'paid', settled_at = issued_at + interval '1 day'
             WHERE number IN ('INV-2026-000003', 'INV-2026-000004')",
        )
        .await
        .unwrap();
    let listed = invoices::list(&world.database, Scope::Provider, 100).await.unwrap();
    assert_eq!((listed.len(), listed[0].number.as_str()), (20, "INV-2026-000020"));
    for limit in [0, 1, 3, 7, 19, 20, 21, u32::MAX] {
        assert_eq!(walk(&world, Scope::Provider, &InvoiceQuery { limit, ..ALL }).await, listed, "{limit}");
    }
    let only = |keep: &dyn Fn(&InvoiceSummary) -> bool| -> Vec<InvoiceSummary> {
        listed.iter().filter(|one| keep(one)).cloned().collect()
    };
    let paid = InvoiceQuery { status: Some(InvoiceStatus::Paid), limit: 1, ..ALL };
    assert_eq!(walk(&world, Scope::Provider, &paid).await, only(&|one| one.status == InvoiceStatus::Paid));
    let draft = InvoiceQuery { status: Some(InvoiceStatus::Draft), ..ALL };
    assert_eq!(walk(&world, Scope::Provider, &draft).await, []);
    let [a, b] = tenants;
    let of_b = InvoiceQuery { tenant: Some(b), limit: 2, ..ALL };
    assert_eq!(walk(&world, Scope::Provider, &of_b).await, only(&|one| one.tenant_id == b));
    // The scope is a wall, whatever the query says.
    let scope = Scope::Tenant(a.uuid());
    assert_eq!(walk(&world, scope, &InvoiceQuery { limit: 4, ..ALL }).await, only(&|one| one.tenant_id == a));
    assert_eq!(walk(&world, scope, &of_b).await, []);
}

#[tokio::test]
async fn an_invoice_that_is_issued_meanwhile_moves_no_page() {
    let world = world().await;
    let tenant = world.tenant("a").await;
    for n in 0..6 {
        issue_one(&world, tenant, n).await;
    }
    let first =
        invoices::page(&world.database, Scope::Provider, &InvoiceQuery { limit: 2, ..ALL }).await.unwrap();
    issue_one(&world, tenant, 6).await;
    let rest = walk(&world, Scope::Provider, &InvoiceQuery { after: first.next, limit: 2, ..ALL }).await;
    let numbers: Vec<&str> = rest.iter().map(|one| &one.number[9..]).collect();
    assert_eq!(numbers, ["000004", "000003", "000002", "000001"]);
}

/// What PostgreSQL read for a page, as its plan says, in one line for each step.
async fn explain(
    world: &World,
    scope: Scope,
    tenant: Option<TenantId>,
    cursor: InvoiceCursor,
) -> Vec<String> {
    let (_, sql) = billing::store::sql::ALL.iter().find(|(name, _)| *name == "invoice_page").unwrap();
    let (issued_at, number) =
        String::from(cursor).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let issued_at = jiff::Timestamp::from_microsecond(issued_at.parse().unwrap()).unwrap();
    let (series, series_number) = number.rsplit_once('-').unwrap();
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(scope).await.unwrap();
    let rows = transaction
        .query(
            &format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}"),
            &[
                &tenant.map(TenantId::uuid),
                &None::<&str>,
                &Some(issued_at),
                &Some(series),
                &Some(series_number.parse::<i64>().unwrap()),
                &51_i64,
                &None::<jiff::Timestamp>,
                &None::<&str>,
            ],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_page_deep_in_a_long_list_reads_little_more_than_it_shows() {
    let world = world().await;
    let tenants = [world.tenant("a").await, world.tenant("b").await];
    let owner = world.database.owner_client().await;
    let ids = tenants.map(|tenant| format!("'{tenant}'")).join(", ");
    // Twenty thousand invoices at once, past the guards of issuing: only the list is of interest here.
    owner
        .batch_execute(&format!(
            "ALTER TABLE invoice DISABLE TRIGGER USER; ALTER TABLE invoice_series DISABLE TRIGGER USER;
             INSERT INTO invoice_series (series, last_number) VALUES ('INV-2026', 20000);
             INSERT INTO invoice (invoice_id, tenant_id, status, series, series_number, number, period_start, period_end,
                                  plan_name, plan_revision, currency, subtotal, tax_rate, tax_amount, total, issued_at,
                                  document)
             SELECT gen_random_uuid(), (ARRAY[{ids}]::uuid[])[1 + n % 2], 'issued', 'INV-2026', n,
                    'INV-2026-' || lpad(n::text, 6, '0'), t, t + interval '1 minute', 'test', 1, 'EUR', 1, 0, 0, 1,
                    t + interval '1 hour', '{{}}'
             FROM generate_series(1, 20000) n, LATERAL (SELECT timestamptz '2026-01-01Z' + n * interval '1 minute' AS t) AS m;
             ANALYZE invoice;"
        ))
        .await
        .unwrap();
    let cursor: InvoiceCursor = "1767830400000000.INV-2026-010000".parse().unwrap();
    let [a, _] = tenants;
    for (scope, tenant) in
        [(Scope::Provider, None), (Scope::Provider, Some(a)), (Scope::Tenant(a.uuid()), None)]
    {
        let plan = explain(&world, scope, tenant, cursor.clone()).await;
        let scans: Vec<&String> = plan.iter().filter(|step| step.contains(" on invoice ")).collect();
        assert!(!scans.is_empty() && scans.iter().all(|step| step.contains("Index Scan")), "{plan:#?}");
        for scan in scans {
            let rows: u64 = scan.split_once("rows=").unwrap().1.split(' ').next().unwrap().parse().unwrap();
            assert!(rows < 250, "{plan:#?}");
        }
    }
}

#[tokio::test]
async fn an_altered_cursor_is_refused_or_begins_elsewhere_and_never_breaks_anything() {
    let world = world().await;
    issue_one(&world, world.tenant("a").await, 0).await;
    let query = |after| InvoiceQuery { after: Some(after), ..ALL };
    for (cursor, seen) in [
        ("0.INV-2026-000001", 0),
        ("253402207200000000.INV-2026-000001", 1),
        ("1793610000000000.INV-9999-9223372036854775807", 1),
    ] {
        let cursor: InvoiceCursor = cursor.parse().unwrap_or_else(|error| panic!("{cursor}: {error}"));
        let page = invoices::page(&world.database, Scope::Provider, &query(cursor.clone())).await.unwrap();
        assert_eq!(page.items.len(), seen, "{cursor}");
    }
    let long = "9".repeat(10_000);
    for text in [
        "",
        ".",
        "x.INV-2026-000001",
        "-1.INV-2026-000001",
        "-377705023201000000.INV-2026-000001",
        "999999999999999999.INV-2026-000001",
        "1793610000000000.INV-2026-1",
        "1793610000000000.INV-2026-00000x",
        "1793610000000000.INV-2026-99999999999999999999",
        "1793610000000000.INV-2\u{0}26-000001",
        "1793610000000000.' OR 1=1 --000001",
        "1793610000000000.INV-😀-000001",
        &long,
        &format!("{long}.INV-2026-{long}"),
    ] {
        assert_eq!(text.parse::<InvoiceCursor>(), Err(BadCursor), "{text}");
        assert!(serde_json::from_value::<InvoiceCursor>(json!(text)).is_err(), "{text}");
    }
}

/// Kind, key, tenant and content of all mail that is to be sent.
async fn outbox(world: &World) -> Vec<(String, String, TenantId, Value)> {
    let mut session = world.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let sql = "SELECT kind, subject_key, tenant_id, about FROM mail_outbox ORDER BY created_at, mail_id";
    let rows = transaction.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| {
            let tenant = TenantId::from_uuid(row.get("tenant_id"));
            (row.get("kind"), row.get("subject_key"), tenant, row.get("about"))
        })
        .collect()
}

#[tokio::test]
async fn an_invoice_without_its_mail_is_impossible_and_it_is_ordered_once() {
    let world = world().await;
    let tenant = world.tenant("acme").await;
    let owner = world.database.owner_client().await;
    owner
        .batch_execute(
            "CREATE FUNCTION calamity() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'no more disk'; END $$;
             CREATE TRIGGER calamity BEFORE INSERT ON mail_outbox FOR EACH ROW EXECUTE FUNCTION calamity();",
        )
        .await
        .unwrap();
    let error = world.issue(tenant, october()).await.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    assert_eq!(invoices::list(&world.database, Scope::Provider, 10).await.unwrap(), []);
    owner.batch_execute("DROP TRIGGER calamity ON mail_outbox").await.unwrap();
    for _ in 0..2 {
        let issued = world.issue(tenant, october()).await.unwrap();
        assert_eq!(issued.invoice().document.number.as_deref(), Some("INV-2026-000001"));
    }
    let (kind, key) = ("invoice".to_owned(), "invoice/INV-2026-000001".to_owned());
    assert_eq!(outbox(&world).await, [(kind, key, tenant, json!({ "number": "INV-2026-000001" }))]);
}
