//! What goes wrong at the counter: the same request twice at once, slips of the pen in a payment, a currency that changes while a
//! month runs, tables that end too early, months in zones of odd offsets. On a real PostgreSQL.

use std::sync::Arc;

use billing::account::{self, AccountTerms, BillingMode, SetError};
use billing::books::payments::{self, MAX_AGE, NewPayment, PaymentError, PaymentKind, Recorded};
use billing::empty_periods::{self, EmptyCursor, EmptyRecheck};
use billing::runs::{self, Became, Goal, NewRun, RunOrigin};
use billing::store::exchange_rates;
use billing::tax::TaxTable;
use billing::{
    Basis, Currency, ExchangeRate, InvoiceDocument, IssueError, Issued, PricePlan, Taxation, drafts, issue,
    plans, rechecks,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{MeterName, TenantId, UsageRecord, Window, WindowLength};
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::books::{Books, faults, money, pays};
use crate::common::{november, october, plan, record};
use crate::issuing::{bill, desk, seller, taxation, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_payment_that_is_sent_by_eight_at_once_is_in_the_books_once() {
    let books = Arc::new(Books::new().await);
    let acme = books.tenant("acme").await;
    books.invoice(acme, "100", november()).await;
    let payment = pays(acme, "60", "a");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (books, payment) = (Arc::clone(&books), payment.clone());
        tasks.spawn(async move { payments::record(&books.database, &payment, november()).await.unwrap() });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|one| matches!(one, Recorded::New(_))).count(), 1);
    assert!(outcomes.iter().all(|one| one.payment().payment_id == payment.payment_id));
    assert_eq!(
        books.balances(acme).await,
        "cash 60.00 EUR, receivable 40.00 EUR, revenue -80.00 EUR, tax -20.00 EUR"
    );
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_slip_of_the_pen_in_day_or_amount_of_a_payment_is_refused_with_its_reason() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let second = SignedDuration::from_secs(1);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let at_once = |paid_at, amount: &str| NewPayment { paid_at, ..pays(acme, amount, "a") };
    for (payment, expected) in [
        (at_once(at("0001-01-01T00:00:00Z"), "1"), "more than ten years ago"),
        (at_once(november() - MAX_AGE - second, "1"), "more than ten years ago"),
        (at_once(november() + second, "1"), "is still to come"),
        (at_once(november(), "1000000000000.01"), "more than the 1000000000000 that one payment may have"),
        (at_once(november(), "10000000000000000000000000.00"), "look at the bank statement again"),
        (at_once(november(), "0"), "is none"),
    ] {
        for kind in [PaymentKind::Payment, PaymentKind::TopUp, PaymentKind::Refund] {
            let payment = NewPayment { kind, ..payment.clone() };
            let error = payments::record(&books.database, &payment, november()).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
    assert_eq!(books.balances(acme).await, "");
    // The borders themselves are fine.
    let oldest = NewPayment { reference: "b".to_owned(), ..at_once(november() - MAX_AGE, "1000000000000") };
    books.pay(&oldest).await;
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_gets_back_more_than_was_paid_however_it_is_asked_for() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    books.invoice(acme, "40", november()).await;
    let paid = books.pay(&pays(acme, "100", "a")).await;
    let refund = |amount: &str, reference: &str| NewPayment {
        kind: PaymentKind::Refund,
        ..pays(acme, amount, reference)
    };
    for too_much in ["60.01", "100", "1000000000000"] {
        let error =
            payments::record(&books.database, &refund(too_much, too_much), november()).await.unwrap_err();
        assert!(matches!(error, PaymentError::NotEnough { .. }), "{error}");
    }
    books.pay(&refund("60", "b")).await;
    // The payment bounces afterwards: what was given back is gone, so it cannot.
    let error = payments::reverse(&books.database, paid.payment_id, "x", "x", november()).await.unwrap_err();
    assert!(matches!(error, PaymentError::Refunded { .. }), "{error}");
    let error = payments::record(&books.database, &refund("0.01", "c"), november()).await.unwrap_err();
    assert!(matches!(error, PaymentError::NotEnough { .. }), "{error}");
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

/// The terms of somebody who pays in a currency; `None`: the plan's.
fn pays_in(code: Option<&str>) -> AccountTerms {
    AccountTerms { currency: code.map(|code| Currency::parse(code).unwrap()), ..AccountTerms::default() }
}

/// A draft over so much of a month in Berlin.
async fn runs_at(database: &Database, tenant: TenantId, month: &str, amount: &str) {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let total = money(amount);
    let document = InvoiceDocument {
        service_period: billing::period::month(month, &berlin).unwrap(),
        currency: total.currency(),
        subtotal: total,
        total,
        ..InvoiceDocument::sample_small()
    };
    drafts::put(database, tenant, &document, november()).await.unwrap();
}

#[tokio::test]
async fn a_currency_that_is_changed_in_mid_month_holds_from_the_next_one_and_never_for_what_was_used() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let day = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    let set = |code| {
        let database = &books.database;
        async move { account::set(database, acme, &pays_in(code), None, november()).await.unwrap().currencies }
    };
    // Nothing was used: at once, and for all time.
    let said = set(Some("CHF")).await;
    assert_eq!((said.last_from(), said.on(day("2026-01-01"))), (None, Currency::parse("CHF").ok()));
    set(Some("EUR")).await;
    // A month over nothing has no currency yet.
    runs_at(&books.database, acme, "2026-11", "0").await;
    assert_eq!(set(Some("CHF")).await.last_from(), None);
    runs_at(&books.database, acme, "2026-11", "0.01 CHF").await;
    let said = set(Some("USD")).await;
    assert_eq!(said.last_from(), Some(day("2026-12-01")));
    assert_eq!(
        (said.on(day("2026-11-30")), said.on(day("2026-12-01"))),
        (Currency::parse("CHF").ok(), Currency::parse("USD").ok())
    );
    // What is taken back before its day has come never held; what runs already is no change.
    let said = set(Some("CHF")).await;
    assert_eq!((said.last_from(), said.on(day("2027-01-01"))), (None, Currency::parse("CHF").ok()));
    // The plan's: nobody knows which that will be.
    let said = set(None).await;
    assert_eq!(
        (said.last_from(), said.on(day("2026-11-30"))),
        (Some(day("2026-12-01")), Currency::parse("CHF").ok())
    );
    let stored = account::get(&books.database, Scope::Tenant(acme.uuid()), acme).await.unwrap();
    assert_eq!(stored.currencies, said);
    // An invoice that is open stays what it is, and is paid in its currency.
    let (open, number) = books.invoice(acme, "50 CHF", november()).await;
    let wrong = NewPayment { invoice: Some(number.clone()), ..pays(acme, "50 EUR", "a") };
    let error = payments::record(&books.database, &wrong, november()).await.unwrap_err();
    assert!(matches!(error, PaymentError::OtherCurrency { .. }), "{error}");
    books.pay(&NewPayment { invoice: Some(number), ..pays(acme, "50 CHF", "b") }).await;
    assert_eq!(books.status(open).await, "paid");
}

#[tokio::test]
async fn a_prepaid_wallet_never_pays_for_what_runs_in_another_currency() {
    let books = Books::new().await;
    let acme = books.tenant("acme").await;
    let prepaid = |code| AccountTerms { mode: BillingMode::Prepaid, ..pays_in(Some(code)) };
    let set = |terms: AccountTerms| {
        let database = &books.database;
        async move { account::set(database, acme, &terms, None, november()).await }
    };
    set(prepaid("EUR")).await.unwrap();
    runs_at(&books.database, acme, "2026-11", "3 EUR").await;
    let error = set(prepaid("USD")).await.unwrap_err();
    assert!(matches!(error, SetError::PrepaidRuns { from } if from.to_string() == "2026-12-01"), "{error}");
    books.pay(&NewPayment { kind: PaymentKind::TopUp, ..pays(acme, "10", "a") }).await;
    let error = set(prepaid("USD")).await.unwrap_err();
    assert!(matches!(error, SetError::WalletNotEmpty { .. }), "{error}");
    let after = account::get(&books.database, Scope::Provider, acme).await.unwrap();
    assert_eq!((after.terms.currency, after.revision), (Some(Currency::EUR), 1), "nothing was changed");
}

/// One hour of a processor on the first of October.
fn an_hour() -> Vec<UsageRecord> {
    let hour = Window::new(october().start(), october().start() + SignedDuration::from_hours(1)).unwrap();
    vec![record("web", MeterName::parse("cpu_ns").unwrap(), hour, 3_600_000_000_000)]
}

#[tokio::test]
async fn tenants_who_pay_in_yen_dinars_and_euros_are_invoiced_in_one_run_each_to_its_own_coin() {
    let books = Books::new().await;
    let priced = plan("cpu_ns 1.2345\ntax 0.10");
    plans::apply(&books.database, &priced, november()).await.unwrap();
    let (seller, taxation, usage) = (seller(), taxation(&priced), an_hour());
    let eur = priced.currency();
    for (name, code, rate, expected) in [
        ("yen", "JPY", "161.25", "219 JPY"),
        ("dinar", "BHD", "0.4093", "0.556 BHD"),
        ("euro", "EUR", "", "1.35 EUR"),
    ] {
        let tenant = books.tenant(name).await;
        let to = Currency::parse(code).unwrap();
        let valid_from = "2026-10-30".parse().unwrap();
        let exchange = (to != eur).then(|| ExchangeRate {
            from: eur,
            to,
            rate: rate.parse().unwrap(),
            valid_from,
            source: "ECB".to_owned(),
        });
        let bill = billing::Bill {
            exchange: exchange.as_ref(),
            ..bill(&priced, &usage, october(), &seller, &taxation)
        };
        let issued =
            issue(&books.database, tenant, bill, Basis::default(), &desk(), november()).await.unwrap();
        let total = issued.invoice().document.total;
        assert_eq!(total.to_string(), expected);
        books.pay(&NewPayment { amount: total, ..pays(tenant, "1", name) }).await;
        assert_eq!(issued.invoice().document.lines.len(), 1);
    }
    assert_eq!(faults(&books.database).await, Vec::<String>::new());
}

#[tokio::test]
async fn without_a_rate_for_the_last_day_the_one_before_holds_and_without_any_there_is_none() {
    let books = Books::new().await;
    let text = "from,to,valid_from,rate,source\nEUR,USD,2026-10-29,1.10,ECB\nEUR,USD,2026-11-02,1.20,ECB\n";
    let rates = billing::exchange::parse("r.csv", text.as_bytes()).unwrap();
    exchange_rates::load(&books.database, &rates, november()).await.unwrap();
    let mut session = books.database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let usd = Currency::parse("USD").unwrap();
    // 31 October is a Saturday, for which no bank publishes a rate.
    for (day, expected) in [
        ("2026-10-31", "1.10"),
        ("2026-11-01", "1.10"),
        ("2026-11-02", "1.20"),
        ("2026-10-28", "there is no exchange rate from EUR to USD for 2026-10-28"),
    ] {
        let found =
            exchange_rates::in_force(&transaction, Currency::EUR, usd, day.parse().unwrap()).await.unwrap();
        let said = found.map_or_else(|error| error.to_string(), |rate| rate.rate.to_string());
        assert!(said.starts_with(expected), "{day}: {said}");
    }
}

const ENDING: &str = "[seller]\ncountry = \"DE\"\n[[rate]]\ncountry = \"DE\"\nclass = \"standard\"\nname = \"USt\"\nrate = \"0.19\"\n\
                      from = \"2021-01-01\"\nuntil = \"2026-10-15\"\n";

#[test]
fn a_tax_table_that_ends_in_the_middle_of_the_month_is_an_error_that_names_the_day_and_no_untaxed_rest() {
    let table = TaxTable::parse("t.toml", ENDING.as_bytes()).unwrap();
    let text = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n[[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\n\
                meter = \"cpu_ns\"\nunit_price = \"1\"\n";
    let priced = PricePlan::parse("p.toml", text.as_bytes()).unwrap();
    let account = account::BillingAccount {
        tenant_id: TenantId::UNASSIGNED,
        terms: AccountTerms::default(),
        currencies: account::currencies::Currencies::default(),
        tax_number: None,
        revision: 0,
    };
    let taxation = Taxation::resolve(Some(&table), &priced, &account, october(), &TimeZone::UTC).unwrap();
    assert_eq!(taxation.cuts(october()), ["2026-10-15T00:00:00Z".parse::<Timestamp>().unwrap()]);
    let seller = seller();
    let used_on = |day: &str| {
        let start: Timestamp = format!("{day}T10:00:00Z").parse().unwrap();
        let hour = Window::new(start, start + SignedDuration::from_hours(1)).unwrap();
        vec![record("web", MeterName::parse("cpu_ns").unwrap(), hour, 3_600_000_000_000)]
    };
    let early = used_on("2026-10-14");
    assert_eq!(bill(&priced, &early, october(), &seller, &taxation).draft().unwrap().total, money("1.19"));
    let late = used_on("2026-10-15");
    let error = bill(&priced, &late, october(), &seller, &taxation).draft().unwrap_err();
    assert!(error.to_string().contains("no tax rate for class \"standard\" on 2026-10-15"), "{error}");
}

#[test]
fn a_month_in_nepal_begins_at_its_own_midnight_and_prices_change_there_whatever_the_neighbours_clocks_do() {
    let zone = TimeZone::get("Asia/Kathmandu").unwrap();
    let text = "name = \"p\"\ncurrency = \"EUR\"\ntime_zone = \"Asia/Kathmandu\"\n[tax]\nname = \"VAT\"\nrate = \"0\"\n\
                [[version]]\nfrom = \"2026-01-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"1\"\n\
                [[version]]\nfrom = \"2026-11-01\"\n[[version.rate_card]]\nmeter = \"cpu_ns\"\nunit_price = \"2\"\n";
    let priced = PricePlan::parse("p.toml", text.as_bytes()).unwrap();
    let month = |text: &str| billing::period::month(text, &zone).unwrap();
    let midnight: Timestamp = "2026-10-31T18:15:00Z".parse().unwrap();
    assert_eq!((month("2026-10").end(), month("2026-11").start()), (midnight, midnight));
    assert_eq!(
        month("2026-10").microseconds(),
        744 * 3_600_000_000,
        "no hour more when Europe's clocks go back"
    );
    // Windows of an hour cannot be cut there, and the error says which can; a quarter of an hour can.
    let check = |length| {
        billing::period::check_aligned(month("2026-10"), &priced.cuts(month("2026-10")), &zone, length)
    };
    let error = check(WindowLength::HOUR).unwrap_err().to_string();
    assert!(error.contains("15m"), "{error}");
    let quarter = WindowLength::new(std::time::Duration::from_secs(900)).unwrap();
    check(quarter).unwrap();
    // The last quarter of October and the first of November, each at its price, in its month and nowhere else.
    let around = |offset: i64| {
        let start = midnight + SignedDuration::from_mins(offset);
        let window = Window::new(start, start + SignedDuration::from_mins(15)).unwrap();
        vec![record("web", MeterName::parse("cpu_ns").unwrap(), window, 3_600_000_000_000)]
    };
    let (seller, taxation) = (seller(), taxation(&priced));
    for (usage, period, expected) in
        [(around(-15), "2026-10", money("1")), (around(0), "2026-11", money("2"))]
    {
        let total = bill(&priced, &usage, month(period), &seller, &taxation).draft().unwrap().total;
        assert_eq!(total, expected, "{period}");
        let other = if period == "2026-10" { "2026-11" } else { "2026-10" };
        assert!(
            bill(&priced, &usage, month(other), &seller, &taxation).draft().is_err(),
            "it lies outside {other}"
        );
    }
}

/// A finished run in which a tenant had nothing to pay.
async fn closed_with_nothing(database: &Database, tenant: TenantId, period: &str) {
    let new = NewRun {
        run_id: Uuid::now_v7(),
        period: period.to_owned(),
        goal: Goal::Issued,
        origin: RunOrigin::Operator,
        before_cutoff: false,
        asked_by: "a test".to_owned(),
    };
    let run = runs::create(database, &new, &[tenant], november()).await.unwrap();
    let mut session = database.session().await.unwrap();
    let transaction = session.begin(Scope::Provider).await.unwrap();
    let (taken, _) = runs::take(&transaction, run, november()).await.unwrap().unwrap();
    let nothing = Became::Nothing("nothing was used".to_owned());
    runs::record(&transaction, run, taken, &nothing, november()).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_month_that_was_closed_with_nothing_is_not_forgotten_when_its_usage_comes_in_late() {
    let world = world().await;
    let (tenant, other) = (world.tenant("acme").await, world.tenant("other").await);
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let october = billing::period::month("2026-10", &berlin).unwrap();
    for _ in 0..2 {
        closed_with_nothing(&world.database, tenant, "2026-10").await;
    }
    closed_with_nothing(&world.database, other, "2026-10").await;
    closed_with_nothing(&world.database, tenant, "2026-05").await;
    let since = november() - SignedDuration::from_hours(92 * 24);
    let closed = async |limit| {
        let (mut all, mut after) = (Vec::new(), Some(EmptyCursor::default()));
        while let Some(behind) = after {
            let (page, next) = empty_periods::closed(&world.database, since, &behind, limit).await.unwrap();
            all.extend(page.into_iter().map(|one| (one.tenant_id, one.period)));
            after = next;
        }
        all.sort();
        all
    };
    let mut expected = [(tenant, october), (other, october)];
    expected.sort();
    assert_eq!(closed(1).await, expected, "page by page, each once, and nothing of May");
    assert_eq!(closed(100).await, expected);

    // Rated again, it comes to something.
    let usage_digest = rechecks::digest(&world.database, tenant, october).await.unwrap();
    let found = EmptyRecheck { usage_digest, total_now: Some(money("1.43")), failure: None };
    empty_periods::put(&world.database, (tenant, october), &found, november()).await.unwrap();
    assert_eq!(empty_periods::get(&world.database, tenant, october).await.unwrap(), Some(found));
    let late = empty_periods::late(&world.database, false, 10).await.unwrap();
    assert_eq!(
        late.iter().map(|one| (one.tenant.to_string(), one.period, one.total_now)).collect::<Vec<_>>(),
        [("acme".to_owned(), october, money("1.43"))]
    );

    // Invoiced, with the reason on it, once; then it is late no more.
    let (seller, taxation) = (seller(), taxation(&world.plan));
    let usage =
        vec![record("web", MeterName::parse("cpu_ns").unwrap(), first_hour(october), 144_000_000_000_000)];
    let invoice = async |reason| {
        let bill = bill(&world.plan, &usage, october, &seller, &taxation);
        let now = november();
        billing::invoice::issue::issue_late(
            &world.database,
            (tenant, reason),
            bill,
            Basis::default(),
            &desk(),
            now,
        )
        .await
    };
    assert!(matches!(invoice("  ").await, Err(IssueError::NoReason)));
    let issued = invoice("Readings came in late.").await.unwrap();
    assert!(matches!(&issued, Issued::New(_)));
    assert_eq!(issued.invoice().document.reason.as_deref(), Some("Readings came in late."));
    assert!(matches!(invoice("again").await.unwrap(), Issued::Already(_)));
    assert_eq!(empty_periods::late(&world.database, false, 10).await.unwrap(), []);
    assert_eq!(empty_periods::late(&world.database, true, 10).await.unwrap().len(), 1);
    assert_eq!(closed(10).await, [(other, october)]);
    assert_eq!(faults(&world.database).await, Vec::<String>::new());
}

fn first_hour(period: Window) -> Window {
    Window::new(period.start(), period.start() + SignedDuration::from_hours(1)).unwrap()
}
