//! Billing accounts, tax tables, exchange rates, statements, dunning and wallets on a real PostgreSQL.

use billing::account::{self, AccountTerms, BillingMode, SetError, TaxTreatment};
use billing::books::dunning::{self, Level, Levels};
use billing::books::payments::{self, NewPayment, PaymentKind};
use billing::books::statement::statement;
use billing::books::wallet::{self, HoldError};
use billing::plans::Applied;
use billing::store::exchange_rates::{self, LoadError, RateQuery};
use billing::store::tax_tables;
use billing::tax::TaxTable;
use billing::{Currency, Money, exchange};
use jiff::{SignedDuration, Timestamp};
use metering::{InstanceId, TenantId, Window};
use migrations::Scope;
use uuid::Uuid;

use crate::books::{Books, faults, money, pays};
use crate::common::november;

const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn set(books: &Books, tenant: TenantId, terms: AccountTerms) {
    account::set(&books.database, tenant, &terms, None, november()).await.unwrap();
}

fn prepaid() -> AccountTerms {
    AccountTerms { mode: BillingMode::Prepaid, currency: Some(Currency::EUR), ..AccountTerms::default() }
}

async fn mails(books: &Books) -> Vec<String> {
    let owner = books.database.owner_client().await;
    let rows = owner.query("SELECT subject_key FROM mail_outbox ORDER BY mail_id", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn two_who_change_a_billing_account_at_once_never_overwrite_each_other() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let set = |terms: AccountTerms, expected| {
        let database = &books.database;
        async move { account::set(database, acme, &terms, expected, november()).await }
    };
    let first = set(prepaid(), Some(0)).await.unwrap();
    assert_eq!(first.revision, 1);
    assert_eq!(set(prepaid(), Some(1)).await.unwrap().revision, 1, "the same is no change");
    let error = set(AccountTerms::default(), Some(0)).await.unwrap_err();
    assert!(matches!(error, SetError::Changed { current } if current.revision == 1));
    let changed = AccountTerms { payment_days: 30, ..prepaid() };
    assert_eq!(set(changed.clone(), Some(1)).await.unwrap().revision, 2);
    assert_eq!(account::get(&books.database, Scope::Tenant(acme.uuid()), acme).await.unwrap().terms, changed);
    let with = |treatment, reason: Option<&str>| AccountTerms {
        treatment,
        tax_reason: reason.map(str::to_owned),
        ..AccountTerms::default()
    };
    for (terms, expected) in [
        (with(TaxTreatment::ReverseCharge, None), "needs the tenant's tax number"),
        (with(TaxTreatment::Exempt, None), "exempt needs a reason"),
        (with(TaxTreatment::Exempt, Some(" ")), "exempt needs a reason"),
        (with(TaxTreatment::Taxable, Some("x")), "leave it out"),
        (AccountTerms { payment_days: 366, ..AccountTerms::default() }, "too many"),
        (AccountTerms { low_balance: Some((-1).into()), ..AccountTerms::default() }, "write 0 or more"),
    ] {
        let error = set(terms, None).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let nobody = TenantId::from_uuid(Uuid::new_v4());
    let error = account::set(&books.database, nobody, &prepaid(), None, november()).await.unwrap_err();
    assert!(matches!(error, SetError::NoTenant(_)));
}

#[tokio::test]
async fn a_tax_table_is_kept_word_for_word_and_applying_twice_is_applying_once() {
    let books = Books::new().await;
    let table = |rate: &str| {
        let text = format!(
            "[seller]\ncountry = \"DE\"\n[[rate]]\ncountry = \"DE\"\nclass = \"standard\"\nname = \"VAT\"\nrate = \"{rate}\"\nfrom = \"2020-01-01\"\n"
        );
        TaxTable::parse("t.toml", text.as_bytes()).unwrap()
    };
    assert_eq!(tax_tables::get(&books.database).await.unwrap(), None);
    let apply = |rate: &str| {
        let (table, database) = (table(rate), &books.database);
        async move { tax_tables::apply(database, &table, november()).await.unwrap() }
    };
    assert_eq!(apply("0.19").await, Applied::New { revision: 1 });
    assert_eq!(apply("0.19").await, Applied::Unchanged { revision: 1 });
    assert_eq!(apply("0.16").await, Applied::New { revision: 2 });
    assert_eq!(apply("0.19").await, Applied::New { revision: 3 });
    let found = tax_tables::get(&books.database).await.unwrap().unwrap();
    assert_eq!((found.revision, found.table), (3, table("0.19")));
}

#[tokio::test]
async fn a_rate_of_a_day_is_never_another_one_and_its_inverse_is_not_guessed() {
    let books = Books::new().await;
    let load = |lines: &str| {
        let rates =
            exchange::parse("r.csv", format!("from,to,valid_from,rate,source\n{lines}").as_bytes()).unwrap();
        let database = &books.database;
        async move { exchange_rates::load(database, &rates, november()).await }
    };
    let loaded = load("EUR,USD,2026-10-30,1.1234,ECB\nEUR,USD,2026-11-02,1.2,ECB\n").await.unwrap();
    assert_eq!((loaded.new, loaded.already), (2, 0));
    let loaded = load("EUR,USD,2026-10-30,1.12340,ECB\nEUR,CHF,2026-10-30,0.93,SNB\n").await.unwrap();
    assert_eq!((loaded.new, loaded.already), (1, 1));
    let error = load("EUR,JPY,2026-10-30,160,ECB\nEUR,USD,2026-10-30,1.13,Reuters\n").await.unwrap_err();
    assert!(matches!(error, LoadError::Another { .. }), "{error}");
    assert!(
        error.to_string().contains("recorded as 1.1234 USD for one EUR, by ECB, and not as 1.13"),
        "{error}"
    );
    let all = exchange_rates::page(&books.database, &RateQuery::default(), 10).await.unwrap();
    assert_eq!(all.len(), 3, "all or none");

    let currency = |code| Currency::parse(code).unwrap();
    let mut session = books.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    for (from, to, day, expected) in [
        ("EUR", "USD", "2026-10-29", "there is no exchange rate from EUR to USD for 2026-10-29"),
        ("EUR", "USD", "2026-10-30", "1.1234"),
        ("EUR", "USD", "2026-11-01", "1.1234"),
        ("EUR", "USD", "2026-11-02", "1.2"),
        ("USD", "EUR", "2026-11-02", "there is no exchange rate from USD to EUR for 2026-11-02"),
    ] {
        let found =
            exchange_rates::in_force(&transaction, currency(from), currency(to), day.parse().unwrap()).await;
        let said = match found.unwrap() {
            Ok(rate) => rate.rate.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(said.starts_with(expected), "{from} {to} {day}: {said}");
    }
}

#[tokio::test]
async fn a_statement_says_what_was_owed_what_happened_and_what_is_owed() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    books.invoice(acme, "100", november() - DAY * 10).await;
    let (second, number) = books.invoice(acme, "40", november()).await;
    let payment = books.pay(&pays(acme, "120", "a")).await;
    books.credit_note(acme, second, "40").await;
    payments::reverse(&books.database, payment.payment_id, "bounced", "x", november() + DAY).await.unwrap();
    books.pay(&pays(acme, "7 USD", "b")).await;
    let of = |from: Timestamp, to: Timestamp| {
        let (database, period) = (&books.database, Window::new(from, to).unwrap());
        async move { statement(database, Scope::Tenant(acme.uuid()), acme, period).await.unwrap() }
    };
    let all = of(november() - DAY, november() + DAY * 2).await;
    assert_eq!(all.iter().map(|one| one.currency.code()).collect::<Vec<_>>(), ["EUR", "USD"]);
    assert_eq!((all[0].opening, all[0].closing), (money("100"), money("100")));
    assert_eq!((all[1].opening, all[1].closing), (money("0 USD"), money("-7 USD")));
    let lines = all[0].lines.iter().map(|line| format!("{} {} {}", line.kind, line.about, line.balance));
    let expected = [
        "invoice  140.00 EUR".to_owned(),
        "payment bank a 20.00 EUR".to_owned(),
        "credit_note  -20.00 EUR".to_owned(),
        "reversal bounced 100.00 EUR".to_owned(),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{number}");
    // Days that touch add up to the whole.
    let (one, two) = (of(november() - DAY, november()).await, of(november(), november() + DAY * 2).await);
    assert_eq!(one[0].closing, two[0].opening);
    let nobody = statement(
        &books.database,
        Scope::Tenant(Uuid::new_v4()),
        acme,
        Window::new(november() - DAY, november() + DAY).unwrap(),
    );
    assert_eq!(nobody.await.unwrap(), []);
}

fn levels() -> Levels {
    let level = |after_days, title: &str, fee: Option<&str>| Level {
        after_days,
        title: title.to_owned(),
        fee: fee.map(money),
        text: "Please pay.".to_owned(),
    };
    let all = vec![level(3, "Payment reminder", None), level(14, "Final notice", Some("5"))];
    Levels::new(all).unwrap()
}

#[tokio::test]
async fn each_dunning_letter_goes_out_once_and_never_about_what_is_paid_or_disputed() {
    let books = Books::new().await;
    let (acme, other) = (books.tenant("acme").await, books.tenant("other").await);
    let (overdue, number) = books.invoice(acme, "100", november()).await;
    let (paid, _) = books.invoice(other, "30", november()).await;
    books.pay(&pays(other, "30", "a")).await;
    let (_, disputed) = books.invoice(other, "50", november()).await;
    dunning::hold(&books.database, &disputed, "wrong quantity", "x", november()).await.unwrap();
    let run = |day: i32| {
        let (database, now) = (&books.database, november() + DAY * day);
        async move {
            let round = dunning::run(database, &levels(), now).await.unwrap();
            assert!(round.failed.is_empty(), "{:?}", round.failed);
            round.ordered.iter().map(|one| format!("{} {}", one.number, one.level)).collect::<Vec<_>>()
        }
    };
    // Due after 14 days; the first level 3 days later.
    assert_eq!(run(16).await, Vec::<String>::new());
    assert_eq!(run(17).await, [format!("{number} 1")]);
    assert_eq!(run(17).await, Vec::<String>::new());
    let (one, two) = tokio::join!(run(28), run(28));
    assert_eq!([one, two].concat(), [format!("{number} 2")], "two who look at once");
    assert_eq!(run(500).await, Vec::<String>::new());
    assert_eq!(mails(&books).await, [format!("dunning/{number}/1"), format!("dunning/{number}/2")]);
    // The fee is owed beside the invoice, and is paid after it.
    assert_eq!(books.balances(acme).await, "receivable 105.00 EUR, revenue -85.00 EUR, tax -20.00 EUR");
    books.pay(&pays(acme, "100", "b")).await;
    assert_eq!(books.status(overdue).await, "paid");
    assert_eq!(
        books.balances(acme).await,
        "cash 100.00 EUR, receivable 5.00 EUR, revenue -85.00 EUR, tax -20.00 EUR"
    );
    // The dispute is over.
    assert!(dunning::release(&books.database, &disputed).await.unwrap());
    assert!(!dunning::release(&books.database, &disputed).await.unwrap());
    assert_eq!(run(500).await, [format!("{disputed} 1")]);
    assert_eq!(run(501).await, Vec::<String>::new(), "the levels keep their distance");
    assert_eq!(run(511).await, [format!("{disputed} 2")]);
    let error = dunning::hold(&books.database, "INV-1", "x", "x", november()).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no issued and unpaid invoice"), "{error}");
    assert_eq!(books.status(paid).await, "paid");
    assert_eq!(dunning::list(&books.database, Scope::Provider, 10).await.unwrap().len(), 4);
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

/// What the running month costs so far.
async fn spends(books: &Books, tenant: TenantId, total: &str) {
    let owner = books.database.owner_client().await;
    let put = "INSERT INTO draft (tenant_id, period_start, period_end, computed_at, currency, subtotal, total, document)
               VALUES ($1, '2026-11-01Z', '2026-12-01Z', now(), 'EUR', $2, $2, '{}')
               ON CONFLICT (tenant_id, period_start) DO UPDATE SET total = $2, subtotal = $2";
    owner.execute(put, &[&tenant.uuid(), &money(total).amount()]).await.unwrap();
}

fn tops_up(tenant: TenantId, amount: &str, reference: &str) -> NewPayment {
    NewPayment { kind: PaymentKind::TopUp, ..pays(tenant, amount, reference) }
}

#[tokio::test]
async fn a_prepaid_invoice_is_taken_from_the_wallet_and_a_postpaid_one_is_not() {
    let books = Books::new().await;
    let (acme, other) = (books.tenant("acme").await, books.tenant("other").await);
    set(&books, acme, prepaid()).await;
    books.pay(&tops_up(acme, "100", "a")).await;
    books.pay(&tops_up(other, "100", "b")).await;
    let (first, _) = books.invoice(acme, "60", november()).await;
    let (second, _) = books.invoice(acme, "60", november()).await;
    let (third, _) = books.invoice(other, "60", november()).await;
    assert_eq!(books.status(first).await, "paid");
    assert_eq!(books.status(second).await, "issued", "40 of it are paid");
    assert_eq!(books.status(third).await, "issued");
    assert_eq!(
        books.balances(acme).await,
        "cash 100.00 EUR, receivable 20.00 EUR, revenue -96.00 EUR, tax -24.00 EUR"
    );
    // A top-up that bounces leaves the wallet below zero: it was spent.
    let error = payments::record(&books.database, &tops_up(acme, "20", "a"), november()).await.unwrap_err();
    assert!(error.to_string().contains("was recorded already"), "{error}");
    books.pay(&tops_up(acme, "20", "c")).await;
    assert_eq!(books.status(second).await, "paid");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_reserved_at_once_never_exceeds_what_is_left() {
    let books = std::sync::Arc::new(Books::new().await);
    let acme = books.tenant("acme").await;
    let instance = || InstanceId::from_uuid(Uuid::new_v4());
    assert!(
        !wallet::hold(&books.database, acme, instance(), money("1"), november()).await.unwrap(),
        "postpaid"
    );
    set(&books, acme, prepaid()).await;
    let error = wallet::hold(&books.database, acme, instance(), money("1"), november()).await.unwrap_err();
    assert!(matches!(error, HoldError::TooLittle { .. }), "{error}");
    books.pay(&tops_up(acme, "10", "a")).await;
    spends(&books, acme, "3").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (books, instance) = (std::sync::Arc::clone(&books), instance());
        tasks.spawn(async move {
            wallet::hold(&books.database, acme, instance, money("1"), november())
                .await
                .map(|held| (instance, held))
        });
    }
    let outcomes = tasks.join_all().await;
    let held: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(held.len(), 7, "{outcomes:?}");
    // What costs nothing needs nothing, as long as something is left.
    let free = wallet::hold(&books.database, acme, instance(), Money::zero(Currency::EUR), november()).await;
    assert!(!free.unwrap());
    // Asking again for the same instance reserves nothing more.
    assert!(wallet::hold(&books.database, acme, held[0].0, money("1"), november()).await.unwrap());
    let shown =
        wallet::show(&books.database, Scope::Tenant(acme.uuid()), acme, november()).await.unwrap().unwrap();
    assert_eq!(
        (shown.paid, shown.held, shown.spent, shown.left),
        (money("10"), money("7"), money("3"), money("7"))
    );
    assert!(wallet::release(&books.database, held[0].0, november()).await.unwrap());
    assert!(!wallet::release(&books.database, held[0].0, november()).await.unwrap());
    assert_eq!(wallet::expire(&books.database, november() + SignedDuration::from_mins(59)).await.unwrap(), 0);
    assert_eq!(wallet::expire(&books.database, november() + SignedDuration::from_mins(60)).await.unwrap(), 6);
    assert_eq!(books.balances(acme).await, "cash 10.00 EUR, wallet -10.00 EUR");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_wallet_warns_once_and_stops_after_the_grace_and_not_before() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    set(&books, acme, AccountTerms { low_balance: Some(5.into()), ..prepaid() }).await;
    books.pay(&tops_up(acme, "10", "a")).await;
    let check = |hours: i64| {
        let (database, now) = (&books.database, november() + SignedDuration::from_hours(hours));
        async move { wallet::check(database, DAY, now).await.unwrap().len() }
    };
    let kinds = async || {
        let all = mails(&books).await;
        all.iter().map(|key| key.split('/').nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    spends(&books, acme, "4").await;
    assert_eq!((check(0).await, kinds().await), (0, Vec::<String>::new()));
    spends(&books, acme, "5").await;
    assert_eq!((check(1).await, check(2).await, kinds().await), (0, 0, vec!["low".to_owned()]));
    spends(&books, acme, "10").await;
    assert_eq!((check(3).await, check(4).await), (0, 0));
    assert_eq!(kinds().await, ["low", "empty"]);
    assert_eq!(
        (check(26).await, check(27).await, check(28).await),
        (0, 1, 1),
        "until somebody has stopped them"
    );
    let now = november() + SignedDuration::from_hours(28);
    assert!(wallet::stopped(&books.database, acme, &["web-1".to_owned()], now).await.unwrap());
    assert!(!wallet::stopped(&books.database, acme, &[], now).await.unwrap());
    assert_eq!((check(29).await, kinds().await.len()), (1, 3), "they are kept stopped, and told of it once");
    // Whoever pays is warned anew the next time.
    books.pay(&tops_up(acme, "100", "b")).await;
    assert_eq!(check(30).await, 0);
    spends(&books, acme, "200").await;
    assert_eq!((check(31).await, kinds().await.len()), (0, 4));
    assert_eq!(check(55).await, 1);
}
