//! A database of before there were books (V0011), with invoices as they were issued then, brought to today's schema: what is owed
//! and what was given back must stand in the ledger to the last coin.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use migrations::cluster::{ClusterOptions, PrivateCluster};
use migrations::migrate;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

mod embedded {
    refinery::embed_migrations!("sql");
}

/// The last schema without books.
const BEFORE_THE_BOOKS: i32 = 11;
/// The first with them.
const BOOKS: i32 = 12;

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET weir.scope = 'provider'; SET timezone = 'UTC'").await.unwrap();
    client
}

/// As an installation of that version would have left it.
async fn migrate_to(url: &str, version: i32) {
    let mut client = connect(url).await;
    client.batch_execute(include_str!("../sql/role.sql")).await.unwrap();
    client.batch_execute("SET weir.storage_profile = 'plain'").await.unwrap();
    let runner = embedded::migrations::runner().set_target(refinery::Target::Version(version));
    runner.run_async(&mut client).await.unwrap();
}

/// The invoices of an old installation.
struct Old {
    client: Client,
    invoices: i64,
    notes: i64,
}

/// What is said of an invoice: `net + tax = total`, whether it is a credit note, what it corrects.
#[derive(Default)]
struct Document<'a> {
    kind: &'a str,
    corrects: Option<Uuid>,
    /// What the document says about its taxes.
    taxes: &'a str,
}

impl Old {
    async fn new(url: &str) -> Self {
        let client = connect(url).await;
        let plan = "INSERT INTO price_plan (plan_name, revision, currency, content, applied_at)
                    VALUES ('p', 1, 'EUR', 'x', '2026-01-01')";
        client.batch_execute(plan).await.unwrap();
        Self { client, invoices: 0, notes: 0 }
    }

    async fn tenant(&self, name: &str) -> Uuid {
        let id = Uuid::new_v4();
        let sql = "INSERT INTO tenant (tenant_id, name, display_name, time_zone) VALUES ($1, $2, $2, 'Europe/Berlin')";
        self.client.execute(sql, &[&id, &name]).await.unwrap();
        id
    }

    /// Stores a draft over `net tax currency`, with one line.
    async fn draft(&self, tenant: Uuid, amounts: &str, month: i32, about: &Document<'_>) -> Uuid {
        let [net, tax, currency] = amounts.split(' ').collect::<Vec<_>>()[..] else { panic!("{amounts}") };
        let (id, kind) = (Uuid::new_v4(), if about.kind.is_empty() { "invoice" } else { about.kind });
        let sql = format!(
            "INSERT INTO invoice (invoice_id, tenant_id, status, kind, corrects_id, period_start, period_end, plan_name,
                                  plan_revision, currency, subtotal, tax_rate, tax_amount, total)
             VALUES ($1, $2, 'draft', '{kind}', $3, make_timestamptz(2026, {month}, 1, 0, 0, 0),
                     make_timestamptz(2026, {month}, 1, 0, 0, 0) + interval '1 month', 'p', 1, '{currency}', {net}, 0.25,
                     {tax}, {net} + {tax})"
        );
        self.client.execute(&sql, &[&id, &tenant, &about.corrects]).await.unwrap();
        let sql = format!(
            "INSERT INTO invoice_line (tenant_id, invoice_id, position, key, kind, period_start, period_end, base_quantity,
                                       quantity, unit, unit_price, amount)
             SELECT tenant_id, invoice_id, 1, 'x', 'fee', period_start, period_end, 0, 1, 'x', {net}, {net}
             FROM invoice WHERE invoice_id = $1"
        );
        self.client.execute(&sql, &[&id]).await.unwrap();
        id
    }

    /// Gives a draft its number.
    async fn number(&mut self, id: Uuid, month: i32, about: &Document<'_>) {
        let is_note = about.kind == "credit_note";
        let count = if is_note { &mut self.notes } else { &mut self.invoices };
        *count += 1;
        let (series, kind) = if is_note { ("CN-2026", "credit_note") } else { ("INV-2026", "invoice") };
        let take = format!(
            "INSERT INTO invoice_series AS s (series, kind, last_number) VALUES ('{series}', '{kind}', 1)
             ON CONFLICT (series) DO UPDATE SET last_number = s.last_number + 1"
        );
        let issue = format!(
            "UPDATE invoice
             SET status = 'issued', series = '{series}', series_number = {count}, number = '{series}-{count:06}',
                 issued_at = make_timestamptz(2026, {month} + 1, 2, 9, {count}, 0), document = $2
             WHERE invoice_id = $1"
        );
        let document = format!("{{{}}}", about.taxes);
        self.client.batch_execute(&take).await.unwrap();
        self.client.execute(&issue, &[&id, &document]).await.unwrap();
    }

    async fn issued(&mut self, tenant: Uuid, amounts: &str, month: i32, about: Document<'_>) -> Uuid {
        self.client.batch_execute("BEGIN").await.unwrap();
        let id = self.draft(tenant, amounts, month, &about).await;
        self.number(id, month, &about).await;
        self.client.batch_execute("COMMIT").await.unwrap();
        id
    }

    async fn becomes(&self, invoice: Uuid, status: &str) {
        let sql = format!(
            "UPDATE invoice SET status = '{status}', settled_at = issued_at + interval '3 days' WHERE invoice_id = $1"
        );
        assert_eq!(self.client.execute(&sql, &[&invoice]).await.unwrap(), 1);
    }

    /// Takes an invoice back by a credit note over all of it; what stands in its place, if anything does.
    async fn correct(
        &mut self,
        tenant: Uuid,
        original: Uuid,
        was: &str,
        now: Option<&str>,
        month: i32,
    ) -> Option<Uuid> {
        self.client.batch_execute("BEGIN").await.unwrap();
        let (note, new) = (Uuid::new_v4(), Uuid::new_v4());
        let replaced = "UPDATE invoice SET replaced_by_id = $2 WHERE invoice_id = $1";
        let by = if now.is_some() { new } else { note };
        self.client.execute(replaced, &[&original, &by]).await.unwrap();
        for (id, kind, amounts) in [(note, "credit_note", Some(was)), (new, "corrected_invoice", now)] {
            let Some(amounts) = amounts else { continue };
            let about = Document { kind, corrects: Some(original), taxes: "" };
            let drafted = self.draft(tenant, amounts, month, &about).await;
            let (lines, named) = (
                "DELETE FROM invoice_line WHERE invoice_id = $1",
                "UPDATE invoice SET invoice_id = $2 WHERE invoice_id = $1",
            );
            // Under the identity that the original names already.
            self.client.execute(lines, &[&drafted]).await.unwrap();
            self.client.execute(named, &[&drafted, &id]).await.unwrap();
            let line = "INSERT INTO invoice_line (tenant_id, invoice_id, position, key, kind, period_start, period_end,
                                                  base_quantity, quantity, unit, unit_price, amount)
                        SELECT tenant_id, invoice_id, 1, 'x', 'fee', period_start, period_end, 0, 1, 'x', subtotal, subtotal
                        FROM invoice WHERE invoice_id = $1";
            self.client.execute(line, &[&id]).await.unwrap();
            self.number(id, month, &about).await;
        }
        self.client.batch_execute("COMMIT").await.unwrap();
        now.map(|_| new)
    }
}

/// Everything in the books that is not as it must be.
async fn faults(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "SELECT 'transaction ' || e.transaction_id AS fault FROM ledger_entry e
             GROUP BY e.transaction_id, e.currency HAVING sum(e.amount) <> 0
             UNION ALL
             SELECT 'currency ' || e.currency FROM ledger_entry e GROUP BY e.currency HAVING sum(e.amount) <> 0
             UNION ALL
             SELECT 'transaction ' || t.key || ' has not its entries' FROM ledger_transaction t
             WHERE t.entries <> (SELECT count(*) FROM ledger_entry e WHERE e.transaction_id = t.transaction_id)
             UNION ALL
             SELECT i.kind || ' ' || i.number || ' is ' || i.status || ' and owes ' || COALESCE(o.amount, 0)
             FROM invoice i
             LEFT JOIN ledger_open_item o ON o.item_id = i.invoice_id AND o.account = 'receivable'
             WHERE i.status IN ('issued', 'paid') AND i.kind <> 'credit_note' AND (i.status = 'paid') <> (o.amount IS NULL)
                OR (i.status = 'void' OR i.kind = 'credit_note') AND o.amount IS NOT NULL
             UNION ALL
             SELECT 'credit is unused while something is owed by ' || c.tenant_id FROM ledger_open_item c
             JOIN ledger_open_item o ON o.tenant_id = c.tenant_id AND o.currency = c.currency
              AND o.account = 'receivable' AND 0 < o.amount
             WHERE c.account = 'credit' AND c.amount < 0
             UNION ALL
             SELECT 'more of ' || c.item_id || ' is used than was there' FROM ledger_open_item c
             WHERE c.account = 'credit' AND 0 < c.amount",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get("fault")).collect()
}

/// `acme: receivable 119.00 EUR` of those that hold something, by tenant.
async fn balances(client: &Client) -> BTreeMap<String, String> {
    let rows = client
        .query(
            "SELECT t.name, string_agg(b.account || ' ' || b.amount || ' ' || b.currency, ', ' ORDER BY b.account, b.currency)
                    AS holds
             FROM (SELECT tenant_id, account, currency, sum(amount) AS amount FROM ledger_entry
                   WHERE account IN ('receivable', 'credit', 'cash') GROUP BY tenant_id, account, currency) b
             JOIN tenant t ON t.tenant_id = b.tenant_id
             WHERE b.amount <> 0
             GROUP BY t.name",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get("name"), row.get("holds"))).collect()
}

/// Invoices in every state that an installation without books could leave.
async fn fill(old: &mut Old) {
    let one_tax = || Document { taxes: r#""tax": {"name": "USt"}"#, ..Document::default() };
    let open = old.tenant("open").await;
    old.issued(open, "100.00 19.00 EUR", 1, one_tax()).await;
    let two = r#""taxes": [{"name": "VAT"}, {"name": "other"}]"#;
    old.issued(open, "1000 100 JPY", 2, Document { taxes: two, ..Document::default() }).await;
    let void = old.issued(open, "7.00 0 EUR", 3, one_tax()).await;
    old.becomes(void, "void").await;
    old.draft(open, "5.00 1.00 EUR", 4, &Document::default()).await;

    let paid = old.tenant("paid").await;
    let invoice = old.issued(paid, "100.00 0 EUR", 1, Document::default()).await;
    old.becomes(invoice, "paid").await;
    old.issued(paid, "50.000 5.000 BHD", 2, one_tax()).await;

    // Taken back before it was paid, and a smaller one in its place.
    let corrected = old.tenant("corrected").await;
    let invoice = old.issued(corrected, "100.00 19.00 EUR", 1, one_tax()).await;
    old.correct(corrected, invoice, "100.00 19.00 EUR", Some("60.00 11.40 EUR"), 1).await;
    // After it was paid: what was paid too much is left.
    let overpaid = old.tenant("overpaid").await;
    let invoice = old.issued(overpaid, "100.00 19.00 EUR", 1, one_tax()).await;
    old.becomes(invoice, "paid").await;
    old.correct(overpaid, invoice, "100.00 19.00 EUR", Some("60.00 11.40 EUR"), 1).await;
    // Nothing in its place.
    let withdrawn = old.tenant("withdrawn").await;
    let invoice = old.issued(withdrawn, "100.00 19.00 EUR", 1, one_tax()).await;
    old.correct(withdrawn, invoice, "100.00 19.00 EUR", None, 1).await;
    // Over nothing, and below.
    let below = old.tenant("below").await;
    old.issued(below, "0.00 0.00 EUR", 1, one_tax()).await;
    old.issued(below, "-10.00 -1.90 EUR", 2, one_tax()).await;
    old.issued(below, "8.00 1.52 EUR", 3, one_tax()).await;
}

#[tokio::test]
async fn invoices_of_before_there_were_books_are_owed_to_the_coin_and_what_was_given_back_is_not() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = PrivateCluster::start(ClusterOptions::new(place.path().join("data"))).await.unwrap();
    migrate_to(cluster.url(), BEFORE_THE_BOOKS).await;
    let mut old = Old::new(cluster.url()).await;
    fill(&mut old).await;
    let before = invoices(&old.client).await;

    // What V0012 alone made of it: it adds up, and what was taken back is still owed.
    migrate_to(cluster.url(), BOOKS).await;
    let zero = "SELECT count(*) FROM (SELECT FROM ledger_entry GROUP BY transaction_id, currency HAVING sum(amount) <> 0) x";
    assert_eq!(old.client.query_one(zero, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(balances(&old.client).await["withdrawn"], "receivable 238.00 EUR");

    let report = migrate(cluster.url()).await.unwrap();
    assert!(report.applied.contains(&"V0015__books_repair".to_owned()), "{report:?}");
    assert_eq!(faults(&old.client).await, Vec::<String>::new());
    let expected = [
        ("below", "credit -2.38 EUR"),
        ("corrected", "receivable 71.40 EUR"),
        ("open", "receivable 119.00 EUR, receivable 1100 JPY"),
        ("overpaid", "cash 119.00 EUR, credit -47.60 EUR"),
        ("paid", "cash 100.00 EUR, receivable 55.000 BHD"),
    ];
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, holds)| ((*name).to_owned(), (*holds).to_owned())).collect();
    assert_eq!(balances(&old.client).await, expected);
    assert_eq!(invoices(&old.client).await, before, "what was issued is as it was issued");
    cluster.stop().await;
}

/// All that is final about invoices.
async fn invoices(client: &Client) -> String {
    let sql = "SELECT string_agg(concat_ws(' ', number, kind, currency, subtotal, tax_amount, total, issued_at, document), E'\\n'
                                 ORDER BY invoice_id) AS all_of_them
               FROM invoice";
    client.query_one(sql, &[]).await.unwrap().get("all_of_them")
}
