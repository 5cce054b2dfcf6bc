//! What is issued is final, in the database too, whoever tries; and no tenant sees another's.

use billing::invoices;
use migrations::Scope;
use tokio_postgres::Client;

use crate::common::october;
use crate::issuing::{World, world};

const ATTACKS: &[&str] = &[
    "UPDATE invoice SET total = total + 1, tax_amount = tax_amount + 1",
    "UPDATE invoice SET subtotal = subtotal * 1.00, total = total * 1.00",
    "UPDATE invoice SET document = document || ' '",
    "UPDATE invoice SET number = 'INV-2026-000007', series_number = 7",
    "UPDATE invoice SET status = 'draft'",
    "UPDATE invoice SET status = 'draft', series = NULL, series_number = NULL, number = NULL, issued_at = NULL, document = NULL",
    "UPDATE invoice SET status = 'paid', settled_at = now(), total = total - 1, tax_amount = tax_amount - 1",
    "UPDATE invoice SET status = 'void', settled_at = now(), issued_at = issued_at + interval '1 day'",
    "UPDATE invoice SET status = 'paid'",
    "UPDATE invoice SET settled_at = now()",
    "UPDATE invoice SET period_end = period_end - interval '1 day'",
    "UPDATE invoice SET tenant_id = (SELECT tenant_id FROM tenant WHERE name = 'other')",
    "DELETE FROM invoice",
    "DELETE FROM invoice_line",
    "UPDATE invoice_line SET amount = 0",
    "UPDATE invoice_line SET key = 'x'",
    "INSERT INTO invoice_line SELECT tenant_id, invoice_id, 99, 'x', meter, kind, period_start, period_end, base_quantity,
         quantity, unit, unit_price, amount FROM invoice_line LIMIT 1",
    "TRUNCATE invoice CASCADE",
    "TRUNCATE invoice_line",
    "TRUNCATE invoice_series CASCADE",
    "TRUNCATE price_plan CASCADE",
    "UPDATE invoice_series SET last_number = last_number + 2",
    "UPDATE invoice_series SET last_number = last_number - 1",
    "UPDATE invoice_series SET last_number = last_number + 1",
    "UPDATE invoice SET status = 'review'",
    "UPDATE invoice SET status = 'approved', settled_at = NULL",
    "UPDATE invoice SET kind = 'corrected_invoice', corrects_id = invoice_id",
    "UPDATE invoice SET kind = 'credit_note'",
    "UPDATE invoice SET due_at = due_at + interval '1 year'",
    "UPDATE invoice SET sent_at = issued_at - interval '1 day'",
    "UPDATE invoice SET replaced_by_id = invoice_id",
    "UPDATE invoice SET replaced_by_id = gen_random_uuid()",
    "UPDATE invoice SET cutoff_at = now(), rated_at = now(), terms_revision = 7",
    "UPDATE invoice SET status = 'void', settled_at = issued_at, replaced_by_id = gen_random_uuid()",
    "UPDATE invoice_event SET actor = 'nobody'",
    "DELETE FROM invoice_event",
    "TRUNCATE invoice_event",
    "UPDATE invoice_series SET kind = 'credit_note', last_number = last_number + 1",
    "DELETE FROM invoice_series",
    "INSERT INTO invoice_series VALUES ('INV-2030', 5)",
    "INSERT INTO invoice_series VALUES ('INV-2030', 1)",
    "UPDATE price_plan SET content = content || '#'",
    "DELETE FROM price_plan",
    "INSERT INTO invoice SELECT gen_random_uuid(), tenant_id, status, series, series_number + 1, 'INV-2026-000002',
         period_end, period_end + interval '1 day', plan_name, plan_revision, currency, subtotal, tax_rate, tax_amount,
         total, issued_at + interval '2 days', settled_at, document FROM invoice",
    "INSERT INTO invoice SELECT gen_random_uuid(), tenant_id, 'draft', NULL, NULL, NULL, period_start, period_end,
         plan_name, plan_revision, currency, subtotal, tax_rate, tax_amount, total, NULL, NULL, NULL FROM invoice",
    "INSERT INTO invoice (invoice_id, tenant_id, status, kind, corrects_id, period_start, period_end, plan_name,
                          plan_revision, currency, subtotal, tax_rate, tax_amount, total)
         SELECT gen_random_uuid(), tenant_id, 'draft', 'corrected_invoice', invoice_id, period_start, period_end,
                plan_name, plan_revision, currency, subtotal, tax_rate, tax_amount, total FROM invoice",
    "DELETE FROM tenant WHERE name = 'acme'",
];

/// All rows of all tables of billing, as text.
async fn state(client: &Client) -> String {
    let row = client
        .query_one(
            "SELECT concat_ws(E'\\n',
                 (SELECT string_agg(i::text, ' ' ORDER BY i.invoice_id) FROM invoice i),
                 (SELECT string_agg(l::text, ' ' ORDER BY l.invoice_id, l.position) FROM invoice_line l),
                 (SELECT string_agg(s::text, ' ' ORDER BY s.series) FROM invoice_series s),
                 (SELECT string_agg(e::text, ' ' ORDER BY e.event_id) FROM invoice_event e),
                 (SELECT string_agg(p::text, ' ' ORDER BY p.plan_name, p.revision) FROM price_plan p)) AS state",
            &[],
        )
        .await
        .unwrap();
    row.get("state")
}

async fn issued() -> World {
    let world = world().await;
    let acme = world.tenant("acme").await;
    world.tenant("other").await;
    world.issue(acme, october()).await.unwrap();
    world
}

#[tokio::test]
async fn nobody_changes_an_issued_invoice_not_even_the_owner_of_the_database() {
    let world = issued().await;
    let owner = world.database.owner_client().await;
    let before = state(&owner).await;
    assert!(before.contains("INV-2026-000001"));
    for attack in ATTACKS {
        let outcome = owner.batch_execute(attack).await;
        assert!(outcome.is_err(), "the owner could: {attack}");
        assert_eq!(state(&owner).await, before, "{attack}");
    }
    for attack in ATTACKS {
        let mut session = world.database.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let outcome = match transaction.execute(*attack, &[]).await {
            Ok(_) => transaction.commit().await,
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "the application could: {attack}");
        assert_eq!(state(&owner).await, before, "{attack}");
    }
}

#[tokio::test]
async fn a_number_that_is_taken_without_an_invoice_is_given_back() {
    let world = issued().await;
    let owner = world.database.owner_client().await;
    let before = state(&owner).await;
    let outcome =
        owner.batch_execute("BEGIN; UPDATE invoice_series SET last_number = last_number + 1; COMMIT").await;
    assert!(outcome.unwrap_err().as_db_error().unwrap().message().contains("without an invoice"));
    owner.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(state(&owner).await, before);
}

#[tokio::test]
async fn a_draft_whose_lines_do_not_add_up_is_not_issued() {
    let world = issued().await;
    let owner = world.database.owner_client().await;
    let forged = owner
        .batch_execute(
            "BEGIN;
             INSERT INTO invoice (invoice_id, tenant_id, status, period_start, period_end, plan_name, plan_revision,
                                  currency, subtotal, tax_rate, tax_amount, total)
             SELECT '00000000-0000-0000-0000-00000000000f', tenant_id, 'draft', period_end,
                    period_end + interval '1 day', plan_name, plan_revision, currency, 100, 0, 0, 100 FROM invoice;
             UPDATE invoice_series SET last_number = 2;
             UPDATE invoice SET status = 'issued', series = 'INV-2026', series_number = 2,
                                number = 'INV-2026-000002', issued_at = now() + interval '1 year', document = '{}'
             WHERE status = 'draft';
             COMMIT",
        )
        .await;
    let error = forged.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("does not add up"), "{error:?}");
}

#[tokio::test]
async fn a_tenant_sees_its_own_invoices_and_no_trace_of_others() {
    let world = issued().await;
    let owner = world.database.owner_client().await;
    let id = |name: &'static str| {
        let owner = &owner;
        async move {
            let row =
                owner.query_one("SELECT tenant_id FROM tenant WHERE name = $1", &[&name]).await.unwrap();
            row.get::<_, uuid::Uuid>("tenant_id")
        }
    };
    let (acme, other) = (Scope::Tenant(id("acme").await), Scope::Tenant(id("other").await));
    let number = "INV-2026-000001";
    assert!(invoices::find(&world.database, acme, number).await.unwrap().is_some());
    assert!(invoices::find(&world.database, other, number).await.unwrap().is_none());
    assert_eq!(invoices::list(&world.database, acme, 10).await.unwrap().len(), 1);
    assert!(invoices::list(&world.database, other, 10).await.unwrap().is_empty());

    for scope in [acme, other] {
        for write in [
            "UPDATE invoice SET sent_at = issued_at",
            "UPDATE invoice_event SET actor = 'x'",
            "DELETE FROM invoice_event",
            "UPDATE invoice SET status = 'paid', settled_at = now()",
            "UPDATE invoice_series SET last_number = last_number + 1",
            "DELETE FROM invoice_line",
            "DELETE FROM price_plan",
        ] {
            let mut session = world.database.session().await.unwrap();
            let transaction = session.begin(scope).await.unwrap();
            assert_eq!(transaction.execute(write, &[]).await.unwrap_or(0), 0, "{write}");
        }
        let mut session = world.database.session().await.unwrap();
        let transaction = session.begin(scope).await.unwrap();
        for table in ["invoice_series", "price_plan", "invoice_event", "billing_run"] {
            let rows = transaction.query(&format!("SELECT FROM {table}"), &[]).await.unwrap();
            assert!(rows.is_empty(), "{table}");
        }
        let lines = transaction.query("SELECT FROM invoice_line", &[]).await.unwrap();
        assert_eq!(lines.is_empty(), scope == other);
    }
}
