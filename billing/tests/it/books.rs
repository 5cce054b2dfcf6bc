//! The ledger and payments on a real PostgreSQL: it adds up to zero, always, and money is counted once.

use std::sync::Arc;

use billing::books;
use billing::books::payments::{self, NewPayment, Payment, PaymentError, PaymentKind, Recorded};
use billing::{Currency, DocumentKind, DocumentRef, InvoiceDocument, InvoiceId, Money};
use jiff::{SignedDuration, Timestamp};
use metering::TenantId;
use migrations::testing::TestDatabase;
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::common::november;

pub struct Books {
    pub database: TestDatabase,
}

pub fn money(text: &str) -> Money {
    let (amount, code) = text.split_once(' ').unwrap_or((text, "EUR"));
    Money::exact(amount.parse().unwrap(), Currency::parse(code).unwrap()).unwrap()
}

/// A payment by bank, now.
pub fn pays(tenant: TenantId, amount: &str, reference: &str) -> NewPayment {
    NewPayment {
        payment_id: Uuid::now_v7(),
        tenant,
        kind: PaymentKind::Payment,
        method: "bank".to_owned(),
        reference: reference.to_owned(),
        amount: money(amount),
        paid_at: november(),
        recorded_by: "a test".to_owned(),
        invoice: None,
    }
}

impl Books {
    pub async fn new() -> Self {
        let database = migrations::testing::database().await;
        let owner = database.owner_client().await;
        owner
            .batch_execute(
                "INSERT INTO price_plan (plan_name, revision, currency, content, applied_at)
                 VALUES ('p', 1, 'EUR', 'x', now())",
            )
            .await
            .unwrap();
        Self { database }
    }

    pub async fn tenant(&self, name: &str) -> TenantId {
        let id = Uuid::new_v4();
        let owner = self.database.owner_client().await;
        owner
            .execute(
                "INSERT INTO tenant (tenant_id, name, display_name, time_zone) VALUES ($1, $2, $2, 'Europe/Berlin')",
                &[&id, &name],
            )
            .await
            .unwrap();
        TenantId::from_uuid(id)
    }

    /// An issued invoice over so much, a fifth of it tax, posted; `at` is when. Its period is a second of its own.
    pub async fn invoice(&self, tenant: TenantId, total: &str, at: Timestamp) -> (Uuid, String) {
        let mut session = self.database.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let document = document(total, DocumentKind::Invoice);
        let number = row(&transaction, tenant, &document, at).await;
        books::post_invoice(&transaction, tenant, &document, at).await.unwrap();
        transaction.commit().await.unwrap();
        (document.invoice_id.uuid(), number)
    }

    /// A credit note over all of an invoice. (The rows of `invoice` are not in it: only the ledger.)
    pub async fn credit_note(&self, tenant: TenantId, invoice: Uuid, total: &str) {
        let mut session = self.database.session().await.unwrap();
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let mut document = document(total, DocumentKind::CreditNote);
        let invoice_id = InvoiceId::from_uuid(invoice);
        document.corrects = Some(DocumentRef { number: "x".to_owned(), invoice_id, issued_at: None });
        books::post_invoice(&transaction, tenant, &document, november()).await.unwrap();
        transaction.commit().await.unwrap();
    }

    pub async fn pay(&self, payment: &NewPayment) -> Payment {
        match payments::record(&self.database, payment, november()).await.unwrap() {
            Recorded::New(payment) => payment,
            Recorded::Already(payment) => panic!("it was there already: {payment:?}"),
        }
    }

    pub async fn status(&self, invoice: Uuid) -> String {
        let owner = self.database.owner_client().await;
        owner.query_one("SELECT status FROM invoice WHERE invoice_id = $1", &[&invoice]).await.unwrap().get(0)
    }

    /// `credit -10.00 EUR, ...` of a tenant, those that hold something.
    pub async fn balances(&self, tenant: TenantId) -> String {
        let all = books::balances(&self.database, Scope::Provider, Some(tenant)).await.unwrap();
        let all = all.iter().filter(|balance| !balance.amount.is_zero());
        all.map(|balance| format!("{} {}", balance.account, balance.amount)).collect::<Vec<_>>().join(", ")
    }
}

fn document(total: &str, kind: DocumentKind) -> InvoiceDocument {
    let mut document = InvoiceDocument::sample_small();
    let total = money(total);
    let tax = Money::rounded(total.amount() / Decimal::from(5), total.currency()).unwrap();
    let subtotal = Money::exact(total.amount() - tax.amount(), total.currency()).unwrap();
    document.invoice_id = InvoiceId::new();
    document.kind = kind;
    document.currency = total.currency();
    document.taxes.truncate(1);
    document.taxes[0].base = subtotal;
    document.taxes[0].amount = tax;
    document.subtotal = subtotal;
    document.total = total;
    document
}

/// The rows of an issued invoice. Gives its number.
async fn row(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
    at: Timestamp,
) -> String {
    let id = document.invoice_id.uuid();
    let start = unique_instant();
    let tax = document.taxes[0].amount.amount();
    transaction
        .execute(
            "INSERT INTO invoice (invoice_id, tenant_id, status, period_start, period_end, plan_name, plan_revision,
                                  currency, subtotal, tax_rate, tax_amount, total)
             VALUES ($1, $2, 'draft', $3, $3::timestamptz + interval '1 microsecond', 'p', 1, $4, $5, 0.25, $6, $7)",
            &[&id, &tenant.uuid(), &start, &document.currency.code(), &document.subtotal.amount(), &tax, &document.total.amount()],
        )
        .await
        .unwrap();
    transaction
        .execute(
            "INSERT INTO invoice_line (tenant_id, invoice_id, position, key, kind, period_start, period_end, base_quantity,
                                       quantity, unit, unit_price, amount)
             VALUES ($1, $2, 1, 'x', 'fee', $3, $3::timestamptz + interval '1 microsecond', 0, 1, 'x', $4, $4)",
            &[&tenant.uuid(), &id, &start, &document.subtotal.amount()],
        )
        .await
        .unwrap();
    let row = transaction
        .query_one(
            "INSERT INTO invoice_series AS s (series, last_number) VALUES ('INV-2026', 1)
             ON CONFLICT (series) DO UPDATE SET last_number = s.last_number + 1 RETURNING last_number",
            &[],
        )
        .await
        .unwrap();
    let series_number: i64 = row.get(0);
    let number = format!("INV-2026-{series_number:06}");
    transaction
        .execute(
            "UPDATE invoice SET status = 'issued', series = 'INV-2026', series_number = $2, number = $3, issued_at = $4,
                                due_at = $4::timestamptz + interval '14 days', document = '{}'
             WHERE invoice_id = $1",
            &[&id, &series_number, &number, &at],
        )
        .await
        .unwrap();
    number
}

/// An instant that no other invoice of the process begins at.
fn unique_instant() -> Timestamp {
    use std::sync::atomic::{AtomicI64, Ordering};
    static NEXT: AtomicI64 = AtomicI64::new(0);
    Timestamp::UNIX_EPOCH + SignedDuration::from_micros(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Every sum that must be zero, and every invoice whose status is not what the ledger says.
pub async fn faults(database: &Database) -> Vec<String> {
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let rows = transaction
        .query(
            "SELECT 'transaction ' || e.transaction_id AS fault FROM ledger_entry e
             GROUP BY e.transaction_id, e.currency HAVING sum(e.amount) <> 0
             UNION ALL
             SELECT 'currency ' || e.currency FROM ledger_entry e GROUP BY e.currency HAVING sum(e.amount) <> 0
             UNION ALL
             SELECT 'invoice ' || i.number || ' is ' || i.status || ' and owes ' || COALESCE(o.amount, 0)
             FROM invoice i
             LEFT JOIN ledger_open_item o ON o.item_id = i.invoice_id AND o.account = 'receivable'
             WHERE i.status IN ('issued', 'paid') AND (i.status = 'paid') <> (o.amount IS NULL)
             UNION ALL
             SELECT 'credit is unused while something is owed by ' || c.tenant_id
             FROM ledger_open_item c
             JOIN ledger_open_item o ON o.tenant_id = c.tenant_id AND o.currency = c.currency
              AND o.account = 'receivable' AND 0 < o.amount
             WHERE c.account = 'credit' AND c.amount < 0
             UNION ALL
             SELECT 'more of ' || c.item_id || ' is used than was there'
             FROM ledger_open_item c WHERE c.account = 'credit' AND 0 < c.amount
             UNION ALL
             SELECT 'more is paid on ' || o.item_id || ' than was owed'
             FROM ledger_open_item o WHERE o.account = 'receivable' AND o.amount < 0",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get("fault")).collect()
}

#[tokio::test]
async fn the_oldest_invoice_is_paid_first_and_what_is_left_is_used_by_the_next_one() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let day = SignedDuration::from_hours(24);
    let (newer, _) = books.invoice(acme, "50", november()).await;
    let (older, _) = books.invoice(acme, "100", november() - day).await;
    let part = books.pay(&pays(acme, "60", "a")).await;
    assert_eq!((part.unused, books.status(older).await.as_str()), (money("0"), "issued"));
    assert_eq!(
        books.balances(acme).await,
        "cash 60.00 EUR, receivable 90.00 EUR, revenue -120.00 EUR, tax -30.00 EUR"
    );
    books.pay(&pays(acme, "40", "b")).await;
    assert_eq!((books.status(older).await.as_str(), books.status(newer).await.as_str()), ("paid", "issued"));
    let more = books.pay(&pays(acme, "75.50", "c")).await;
    assert_eq!((more.unused, books.status(newer).await.as_str()), (money("25.50"), "paid"));
    // The next invoice uses it as soon as it is issued.
    let (next, number) = books.invoice(acme, "20", november()).await;
    assert_eq!(books.status(next).await, "paid");
    assert_eq!(
        books.balances(acme).await,
        "cash 175.50 EUR, credit -5.50 EUR, revenue -136.00 EUR, tax -34.00 EUR"
    );
    let (found, used) =
        payments::find(&books.database, Scope::Provider, more.payment_id).await.unwrap().unwrap();
    assert_eq!(found.unused, money("5.50"));
    assert_eq!(used.iter().map(|one| one.amount).collect::<Vec<_>>(), [money("50"), money("20")]);
    assert_eq!(used[1].invoice.as_ref(), Some(&number));
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_named_invoice_is_paid_before_an_older_one() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (older, _) = books.invoice(acme, "100", november() - SignedDuration::from_hours(24)).await;
    let (newer, number) = books.invoice(acme, "50", november()).await;
    books.pay(&NewPayment { invoice: Some(number), ..pays(acme, "55", "a") }).await;
    assert_eq!((books.status(older).await.as_str(), books.status(newer).await.as_str()), ("issued", "paid"));
    assert_eq!(
        books.balances(acme).await,
        "cash 55.00 EUR, receivable 95.00 EUR, revenue -120.00 EUR, tax -30.00 EUR"
    );
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_payment_that_bounces_opens_what_it_had_paid_and_is_taken_back_once() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (first, _) = books.invoice(acme, "100", november()).await;
    let payment = books.pay(&pays(acme, "130", "a")).await;
    let (second, _) = books.invoice(acme, "20", november()).await;
    assert_eq!((books.status(first).await.as_str(), books.status(second).await.as_str()), ("paid", "paid"));
    let reverse =
        || payments::reverse(&books.database, payment.payment_id, "account closed", "a test", november());
    let reversed = reverse().await.unwrap();
    assert_eq!(reversed.reversal.unwrap().reason, "account closed");
    assert_eq!(
        (books.status(first).await.as_str(), books.status(second).await.as_str()),
        ("issued", "issued")
    );
    assert_eq!(books.balances(acme).await, "receivable 120.00 EUR, revenue -96.00 EUR, tax -24.00 EUR");
    assert!(matches!(reverse().await.unwrap_err(), PaymentError::Reversed { .. }));
    // What else was paid takes its place.
    books.pay(&pays(acme, "120", "b")).await;
    assert_eq!((books.status(first).await.as_str(), books.status(second).await.as_str()), ("paid", "paid"));
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_payment_is_refused_and_leaves_no_trace() {
    let books = Books::new().await;
    let (acme, other) = (books.tenant("acme").await, books.tenant("other").await);
    let (id, number) = books.invoice(acme, "100", november()).await;
    let (void, void_number) = books.invoice(acme, "10", november()).await;
    withdraw(&books, acme, void).await;
    let named = |number: &str| NewPayment { invoice: Some(number.to_owned()), ..pays(acme, "100", "x") };
    let soon = november() + SignedDuration::from_micros(1);
    let long = "x".repeat(10_000);
    let refused: Vec<(NewPayment, &str)> = vec![
        (pays(acme, "0", "x"), "a payment of 0.00 EUR is none"),
        (pays(acme, "-5", "x"), "a payment of -5.00 EUR is none"),
        (NewPayment { paid_at: soon, ..pays(acme, "5", "x") }, "is still to come"),
        (NewPayment { method: "Bank!".to_owned(), ..pays(acme, "5", "x") }, "is no method of payment"),
        (NewPayment { method: long.clone(), ..pays(acme, "5", "x") }, "is no method of payment"),
        (pays(acme, "5", ""), "is no reference"),
        (pays(acme, "5", "a\nb"), "is no reference"),
        (pays(acme, "5", "a\0b"), "is no reference"),
        (pays(acme, "5", &long), "is no reference"),
        (named("INV-2026-000009"), "has no issued invoice"),
        (named("a\0b"), "has no issued invoice"),
        (named(&long), "has no issued invoice"),
        (NewPayment { tenant: other, ..named(&number) }, "has no issued invoice"),
        (named(&void_number), "is void"),
        (NewPayment { amount: money("100 USD"), ..named(&number) }, "is in EUR, but 100.00 USD was paid"),
        (pays(TenantId::UNASSIGNED, "5", "x"), "there is no tenant"),
        (pays(TenantId::from_uuid(Uuid::new_v4()), "5", "x"), "there is no tenant"),
        (NewPayment { kind: PaymentKind::Refund, ..pays(acme, "5", "x") }, "cannot be given back"),
    ];
    for (payment, expected) in refused {
        let error = payments::record(&books.database, &payment, november()).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.len() < 600, "{expected}: {error}");
    }
    let missing = payments::reverse(&books.database, Uuid::new_v4(), "x", "x", november()).await;
    assert!(matches!(missing.unwrap_err(), PaymentError::NoPayment(_)));
    let all = payments::page(&books.database, Scope::Provider, None, None, 10).await.unwrap();
    assert_eq!((all, books.status(id).await.as_str()), (Vec::new(), "issued"));
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_payment_twice_is_one_and_the_same_reference_is_refused() {
    let books = Books::new().await;
    let (acme, other) = (books.tenant("acme").await, books.tenant("other").await);
    books.invoice(acme, "100", november()).await;
    let payment = pays(acme, "40", "RF18 5390 0754");
    let first = books.pay(&payment).await;
    let again = payments::record(&books.database, &payment, november()).await.unwrap();
    assert_eq!(again, Recorded::Already(first.clone()));
    for (twice, what) in [
        (pays(acme, "40", "RF18 5390 0754"), "another id"),
        (pays(acme, "41", "RF18 5390 0754"), "another amount"),
        (pays(other, "40", "RF18 5390 0754"), "another tenant"),
        (NewPayment { amount: money("41"), ..payment.clone() }, "the id with another amount"),
        (NewPayment { tenant: other, ..payment.clone() }, "the id with another tenant"),
    ] {
        let error = payments::record(&books.database, &twice, november()).await.unwrap_err();
        assert!(matches!(&error, PaymentError::Twice(found) if **found == first), "{what}: {error}");
    }
    // Another method may use the same words.
    books.pay(&NewPayment { method: "card".to_owned(), ..pays(acme, "1", "RF18 5390 0754") }).await;
    assert_eq!(
        books.balances(acme).await,
        "cash 40.00 EUR, cash 1.00 EUR, receivable 59.00 EUR, revenue -80.00 EUR, tax -20.00 EUR"
    );
}

#[tokio::test]
async fn a_credit_note_pays_its_invoice_and_what_was_paid_already_is_credit() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (open, _) = books.invoice(acme, "100", november()).await;
    books.credit_note(acme, open, "100").await;
    assert_eq!((books.status(open).await.as_str(), books.balances(acme).await.as_str()), ("paid", ""));
    let (paid, _) = books.invoice(acme, "30", november()).await;
    books.pay(&pays(acme, "30", "a")).await;
    books.credit_note(acme, paid, "30").await;
    assert_eq!(books.balances(acme).await, "cash 30.00 EUR, credit -30.00 EUR");
    // It can be given back, up to the last coin and not beyond.
    let refund =
        |amount, reference| NewPayment { kind: PaymentKind::Refund, ..pays(acme, amount, reference) };
    let error = payments::record(&books.database, &refund("30.01", "b"), november()).await.unwrap_err();
    assert!(error.to_string().starts_with("the tenant has 30.00 EUR"), "{error}");
    let given = books.pay(&refund("30", "b")).await;
    assert_eq!(books.balances(acme).await, "");
    let error = payments::reverse(&books.database, given.payment_id, "x", "x", november()).await.unwrap_err();
    assert!(matches!(error, PaymentError::Refund(_)), "{error}");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

pub async fn withdraw(books: &Books, tenant: TenantId, invoice: Uuid) {
    let mut session = books.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    assert!(books::post_void(&transaction, tenant, InvoiceId::from_uuid(invoice), november()).await.unwrap());
    let settle =
        "UPDATE invoice SET status = 'void', settled_at = now() WHERE invoice_id = $1 AND status = 'issued'";
    assert_eq!(transaction.execute(settle, &[&invoice]).await.unwrap(), 1);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn what_was_paid_on_an_invoice_that_is_withdrawn_pays_the_next_one() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (withdrawn, _) = books.invoice(acme, "100", november()).await;
    let (next, _) = books.invoice(acme, "30", november()).await;
    books.pay(&pays(acme, "40", "a")).await;
    withdraw(&books, acme, withdrawn).await;
    assert_eq!(books.status(next).await, "paid");
    assert_eq!(
        books.balances(acme).await,
        "cash 40.00 EUR, credit -10.00 EUR, revenue -24.00 EUR, tax -6.00 EUR"
    );
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_invoice_below_zero_pays_the_next_one_and_nobody_is_dunned_for_what_it_gave() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (below, _) = books.invoice(acme, "-15", november()).await;
    assert_eq!(books.status(below).await, "paid");
    let (open, _) = books.invoice(acme, "40", november()).await;
    books.pay(&pays(acme, "25", "a")).await;
    assert_eq!(books.status(open).await, "paid");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
    // Taken back, it is owed.
    books.credit_note(acme, below, "-15").await;
    assert_eq!(
        books.balances(acme).await,
        "cash 25.00 EUR, receivable 15.00 EUR, revenue -32.00 EUR, tax -8.00 EUR"
    );
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_invoice_below_zero_had_paid_is_open_again_when_it_is_withdrawn() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (below, _) = books.invoice(acme, "-15", november()).await;
    let (open, _) = books.invoice(acme, "10", november()).await;
    assert_eq!(books.status(open).await, "paid");
    let owner = books.database.owner_client().await;
    let unsettle = "UPDATE invoice SET status = 'issued', settled_at = NULL WHERE invoice_id = $1";
    owner.execute(unsettle, &[&below]).await.unwrap();
    withdraw(&books, acme, below).await;
    assert_eq!(books.status(open).await, "issued");
    assert_eq!(books.balances(acme).await, "receivable 10.00 EUR, revenue -8.00 EUR, tax -2.00 EUR");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_invoice_below_zero_whose_credit_was_paid_out_is_not_withdrawn() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let (below, _) = books.invoice(acme, "-15", november()).await;
    books.pay(&NewPayment { kind: PaymentKind::Refund, ..pays(acme, "1", "a") }).await;
    let mut session = books.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    assert!(!books::post_void(&transaction, acme, InvoiceId::from_uuid(below), november()).await.unwrap());
}

#[tokio::test]
async fn blanks_around_a_reference_make_no_other_payment_of_it() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    books.pay(&pays(acme, "10", "R1")).await;
    let error = payments::record(&books.database, &pays(acme, "10", " R1 "), november()).await.unwrap_err();
    assert!(matches!(error, PaymentError::Twice(_)), "{error}");
}

/// What somebody might do to make the books say something else.
const ATTACKS: &[&str] = &[
    "UPDATE ledger_entry SET amount = amount * 2",
    "UPDATE ledger_entry SET amount = amount * 1.00",
    "UPDATE ledger_entry SET account = 'wallet', item_id = NULL WHERE account = 'credit'",
    "DELETE FROM ledger_entry",
    "UPDATE ledger_transaction SET at = at - interval '1 day'",
    "UPDATE ledger_transaction SET entries = entries + 1",
    "DELETE FROM ledger_transaction",
    "TRUNCATE ledger_entry",
    "TRUNCATE ledger_transaction CASCADE",
    "UPDATE payment SET amount = 1",
    "DELETE FROM payment",
    "TRUNCATE payment CASCADE",
    "DELETE FROM payment_reversal",
    "UPDATE payment_reversal SET reason = 'other'",
    "DELETE FROM tax_table",
    "UPDATE exchange_rate SET rate = 2",
    // Two entries that balance, added to what is booked.
    "INSERT INTO ledger_entry SELECT transaction_id, tenant_id, 8, 'wallet', '', NULL, 'EUR', 5 FROM ledger_transaction LIMIT 1;
     INSERT INTO ledger_entry SELECT transaction_id, tenant_id, 9, 'wallet', '', NULL, 'EUR', -5 FROM ledger_transaction
     ORDER BY 1 LIMIT 1",
    // One that does not.
    "INSERT INTO ledger_transaction SELECT gen_random_uuid(), tenant_id, 'top_up', 'x', now(), 2, '' FROM tenant WHERE name = 'acme'",
    "WITH t AS (INSERT INTO ledger_transaction SELECT '00000000-0000-0000-0000-00000000000a', tenant_id, 'top_up', 'x', now(), 2, ''
                FROM tenant WHERE name = 'acme' RETURNING tenant_id)
     INSERT INTO ledger_entry SELECT '00000000-0000-0000-0000-00000000000a', tenant_id, n, 'wallet', '', NULL, 'EUR', n
     FROM t, generate_series(1, 2) n",
    // In sum zero, but not in each currency.
    "WITH t AS (INSERT INTO ledger_transaction SELECT '00000000-0000-0000-0000-00000000000a', tenant_id, 'top_up', 'x', now(), 2, ''
                FROM tenant WHERE name = 'acme' RETURNING tenant_id)
     INSERT INTO ledger_entry SELECT '00000000-0000-0000-0000-00000000000a', tenant_id, n.p, 'wallet', '', NULL, n.c, n.a
     FROM t, (VALUES (1, 'EUR', 5), (2, 'USD', -5)) n (p, c, a)",
    "INSERT INTO ledger_transaction SELECT gen_random_uuid(), tenant_id, kind, key, at, entries, about FROM ledger_transaction LIMIT 1",
    "INSERT INTO ledger_entry SELECT transaction_id, (SELECT tenant_id FROM tenant WHERE name = 'other'), 7, account, detail,
         item_id, currency, amount FROM ledger_entry LIMIT 1",
    "INSERT INTO ledger_entry SELECT transaction_id, tenant_id, 7, account, detail, item_id, currency, 'NaN' FROM ledger_entry LIMIT 1",
    // Whoever checks at the end sees nothing: what cannot be seen does not add up.
    "INSERT INTO ledger_entry SELECT transaction_id, tenant_id, 8, 'wallet', '', NULL, 'EUR', 5 FROM ledger_transaction LIMIT 1;
     SET LOCAL weir.scope = ''",
];

/// All rows of the books, as text.
async fn state(client: &Client) -> String {
    let row = client
        .query_one(
            "SELECT concat_ws(E'\\n',
                 (SELECT string_agg(t::text, ' ' ORDER BY t.transaction_id) FROM ledger_transaction t),
                 (SELECT string_agg(e::text, ' ' ORDER BY e.transaction_id, e.position) FROM ledger_entry e),
                 (SELECT string_agg(p::text, ' ' ORDER BY p.payment_id) FROM payment p),
                 (SELECT string_agg(r::text, ' ' ORDER BY r.payment_id) FROM payment_reversal r),
                 (SELECT string_agg(x::text, ' ' ORDER BY x.revision) FROM tax_table x),
                 (SELECT string_agg(x::text, ' ' ORDER BY x.valid_from) FROM exchange_rate x)) AS state",
            &[],
        )
        .await
        .unwrap();
    row.get("state")
}

#[tokio::test]
async fn nobody_unbalances_the_books_or_changes_what_was_booked_not_even_their_owner() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    books.tenant("other").await;
    books.invoice(acme, "100", november()).await;
    let payment = books.pay(&pays(acme, "130", "a")).await;
    payments::reverse(&books.database, payment.payment_id, "x", "x", november()).await.unwrap();
    books.pay(&pays(acme, "10", "b")).await;
    let owner = books.database.owner_client().await;
    owner
        .batch_execute(
            "INSERT INTO tax_table VALUES (1, 'x', now());
             INSERT INTO exchange_rate VALUES ('EUR', 'USD', '2026-01-01', 1, 'x', now())",
        )
        .await
        .unwrap();
    let before = state(&owner).await;
    for role in ["RESET ROLE", "SET ROLE weir_app"] {
        for trick in ["", "SET CONSTRAINTS ALL IMMEDIATE"] {
            for attack in ATTACKS {
                let sql =
                    format!("BEGIN; {trick}; {role}; SET LOCAL weir.scope = 'provider'; {attack}; COMMIT");
                let outcome = owner.batch_execute(&sql).await;
                let _ = owner.batch_execute("ROLLBACK; RESET ROLE").await;
                assert_eq!(state(&owner).await, before, "{role} {trick} {attack}");
                assert!(outcome.is_err(), "{role} {trick} {attack}");
            }
        }
    }
}

#[tokio::test]
async fn the_guards_of_the_books_stand_in_replica_mode_too() {
    let books = Books::new().await;
    let owner = books.database.owner_client().await;
    let rows = owner
        .query(
            "SELECT c.relname || '.' || t.tgname AS name, t.tgenabled = 'A' AS always
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
             WHERE NOT t.tgisinternal AND c.relname IN ('ledger_transaction', 'ledger_entry', 'payment',
                                                        'payment_reversal', 'tax_table', 'exchange_rate')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 14);
    for row in rows {
        assert!(row.get::<_, bool>("always"), "{}", row.get::<_, String>("name"));
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_books_and_writes_none() {
    let books = Books::new().await;
    let (acme, other) = (books.tenant("acme").await, books.tenant("other").await);
    books.invoice(acme, "100", november()).await;
    books.invoice(other, "7", november()).await;
    let payment = books.pay(&pays(acme, "10", "a")).await;
    let theirs = Scope::Tenant(other.uuid());
    assert!(payments::find(&books.database, theirs, payment.payment_id).await.unwrap().is_none());
    assert_eq!(payments::page(&books.database, theirs, None, None, 10).await.unwrap(), []);
    let balances = books::balances(&books.database, theirs, None).await.unwrap();
    assert_eq!(balances.iter().map(|one| one.amount).max_by_key(|one| one.amount()), Some(money("7")));
    assert_eq!(books::balances(&books.database, theirs, Some(acme)).await.unwrap(), []);
    let mut session = books.database.session().await.unwrap();
    let transaction = session.begin(theirs).await.unwrap();
    let insert = "INSERT INTO ledger_transaction VALUES (gen_random_uuid(), $1, 'top_up', 'x', now(), 2, '')";
    assert!(transaction.execute(insert, &[&other.uuid()]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_payments_at_once_pay_each_invoice_once() {
    let books = Arc::new(Books::new().await);
    let tenants = [books.tenant("a").await, books.tenant("b").await];
    for tenant in tenants {
        for _ in 0..5 {
            books.invoice(tenant, "40", november()).await;
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let books = Arc::clone(&books);
        // Each of them twice, by two who do not know of each other.
        let payment = pays(tenants[n % 2], "10", &format!("r{}", n / 2));
        tasks.spawn(async move { payments::record(&books.database, &payment, november()).await });
    }
    let outcomes = tasks.join_all().await;
    let recorded = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Recorded::New(_)))).count();
    assert_eq!(recorded, 20, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(PaymentError::Twice(_)))));
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
    let (a, b) = (books.balances(tenants[0]).await, books.balances(tenants[1]).await);
    assert_eq!(format!("{a} {b}").matches("receivable").count(), 2, "{a} / {b}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_whose_connections_are_killed_are_booked_once_or_not_at_all() {
    let books = Arc::new(Books::new().await);
    let mut tenants = Vec::new();
    for n in 0..4 {
        let tenant = books.tenant(&format!("t{n}")).await;
        books.invoice(tenant, "500", november()).await;
        tenants.push(tenant);
    }
    let killer = books.database.owner_client().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let kills = tokio::spawn(async move {
        let mut killed = 0;
        while killed < 40 && !*stopped.borrow() {
            let victim = "SELECT count(pg_terminate_backend(pid)) AS killed FROM (
                              SELECT pid FROM pg_stat_activity
                              WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
                              ORDER BY random() LIMIT 1) AS victims";
            killed += killer.query_one(victim, &[]).await.unwrap().get::<_, i64>("killed");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        killed
    });
    let mut tasks = tokio::task::JoinSet::new();
    for tenant in tenants.clone() {
        let books = Arc::clone(&books);
        tasks.spawn(async move {
            for n in 0..60 {
                let payment = pays(tenant, "10", &format!("{tenant}/{n}"));
                loop {
                    match payments::record(&books.database, &payment, november()).await {
                        Ok(_) => break,
                        Err(error) if error.is_transient() => {}
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let _ = stop.send(true);
    let killed = kills.await.unwrap();
    assert!(5 < killed, "only {killed} connections were killed: the test showed nothing");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
    for tenant in tenants {
        let expected = "cash 600.00 EUR, credit -100.00 EUR, revenue -400.00 EUR, tax -100.00 EUR";
        assert_eq!(books.balances(tenant).await, expected);
    }
}

#[tokio::test]
async fn every_statement_of_the_books_fits_the_schema_and_none_is_left_out() {
    let books = Books::new().await;
    let mut session = books.database.session().await.unwrap();
    for (name, sql) in books::sql::ALL {
        let transaction = session.begin(Scope::Provider).await.unwrap();
        let prepared = transaction.prepare_cached(sql).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/books")).unwrap();
    let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort_unstable();
    assert_eq!(files, books::sql::ALL.iter().map(|(name, _)| format!("{name}.sql")).collect::<Vec<_>>());
}
