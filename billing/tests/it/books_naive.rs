//! Whatever happens to a tenant's books, they say what a naive count of it says.

use std::collections::BTreeMap;

use billing::books::payments::{self, NewPayment, PaymentError, PaymentKind};
use billing::books::{self};
use metering::TenantId;
use migrations::Scope;
use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::books::{Books, faults, pays, withdraw};
use crate::common::november;

/// What may happen to a tenant's books.
#[derive(Clone, Debug)]
enum Step {
    Invoice(u32),
    Pay(u32),
    PayNamed(u32, usize),
    TopUp(u32),
    Refund(u32),
    Reverse(usize),
    CreditNote(usize),
    Void(usize),
    Prepaid(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..10_000_u32).prop_map(Step::Invoice),
        (1..10_000_u32).prop_map(Step::Pay),
        (1..10_000_u32, 0..8_usize).prop_map(|(amount, n)| Step::PayNamed(amount, n)),
        (1..10_000_u32).prop_map(Step::TopUp),
        (1..5_000_u32).prop_map(Step::Refund),
        (0..8_usize).prop_map(Step::Reverse),
        (0..8_usize).prop_map(Step::CreditNote),
        (0..8_usize).prop_map(Step::Void),
        any::<bool>().prop_map(Step::Prepaid),
    ]
}

fn cents(amount: u32) -> String {
    Decimal::new(i64::from(amount), 2).to_string()
}

/// What the books ought to say, kept by the naive means: what came, what went, what was sold.
#[derive(Default)]
struct Naive {
    invoiced: i64,
    cash: i64,
    invoices: Vec<(Uuid, String, u32, bool)>,
    payments: Vec<(Uuid, u32)>,
}

impl Naive {
    async fn take(&mut self, books: &Books, tenant: TenantId, step: &Step, n: usize) {
        let reference = format!("{tenant}/{n}");
        match step {
            Step::Invoice(amount) => {
                let (id, number) = books.invoice(tenant, &cents(*amount), november()).await;
                self.invoiced += i64::from(*amount);
                self.invoices.push((id, number, *amount, true));
            }
            Step::Pay(amount) => self.record(books, *amount, pays(tenant, &cents(*amount), &reference)).await,
            Step::PayNamed(amount, which) => {
                let invoice = self.invoices.get(*which).map(|(_, number, ..)| number.clone());
                let payment = NewPayment { invoice, ..pays(tenant, &cents(*amount), &reference) };
                self.record(books, *amount, payment).await;
            }
            Step::TopUp(amount) => {
                let payment =
                    NewPayment { kind: PaymentKind::TopUp, ..pays(tenant, &cents(*amount), &reference) };
                self.record(books, *amount, payment).await;
            }
            Step::Refund(amount) => {
                let refund =
                    NewPayment { kind: PaymentKind::Refund, ..pays(tenant, &cents(*amount), &reference) };
                match payments::record(&books.database, &refund, november()).await {
                    Ok(_) => self.cash -= i64::from(*amount),
                    Err(PaymentError::NotEnough { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Reverse(which) => {
                let Some((id, amount)) = self.payments.get(*which).copied() else { return };
                match payments::reverse(&books.database, id, "x", "x", november()).await {
                    Ok(_) => self.cash -= i64::from(amount),
                    Err(PaymentError::Reversed { .. } | PaymentError::Refunded { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::CreditNote(which) | Step::Void(which) => {
                let Some((id, _, amount, counts)) = self.invoices.get_mut(*which) else { return };
                let is_open = books.status(*id).await == "issued";
                if !*counts || (matches!(step, Step::Void(_)) && !is_open) {
                    return;
                }
                *counts = false;
                self.invoiced -= i64::from(*amount);
                match step {
                    Step::Void(_) => withdraw(books, tenant, *id).await,
                    _ => books.credit_note(tenant, *id, &cents(*amount)).await,
                }
            }
            Step::Prepaid(is_prepaid) => {
                let owner = books.database.owner_client().await;
                let mode = if *is_prepaid { "prepaid" } else { "postpaid" };
                let put = "INSERT INTO billing_account (tenant_id, mode, changed_at) VALUES ($1, $2, now())
                           ON CONFLICT (tenant_id) DO UPDATE SET mode = $2";
                owner.execute(put, &[&tenant.uuid(), &mode]).await.unwrap();
            }
        }
    }

    async fn record(&mut self, books: &Books, amount: u32, payment: NewPayment) {
        match payments::record(&books.database, &payment, november()).await {
            Ok(_) => {
                self.cash += i64::from(amount);
                self.payments.push((payment.payment_id, amount));
            }
            Err(PaymentError::VoidInvoice { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn after_whatever_happened_the_books_add_up_and_say_what_a_naive_count_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let books = runtime.block_on(Books::new());
    let tenants = std::cell::Cell::new(0);
    let config = ProptestConfig {
        cases: 24,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&proptest::collection::vec(step(), 1..25), |steps| {
        tenants.set(tenants.get() + 1);
        runtime.block_on(async {
            let tenant = books.tenant(&format!("t{}", tenants.get())).await;
            let mut naive = Naive::default();
            for (n, step) in steps.iter().enumerate() {
                naive.take(&books, tenant, step, n).await;
            }
            let all = books::balances(&books.database, Scope::Provider, Some(tenant)).await.unwrap();
            let mut sums: BTreeMap<&str, Decimal> = BTreeMap::new();
            for balance in &all {
                *sums.entry(balance.account.as_str()).or_default() += balance.amount.amount();
            }
            let sum = |accounts: &[&str]| -> Decimal {
                accounts.iter().filter_map(|account| sums.get(account)).copied().sum()
            };
            prop_assert_eq!(sums.values().copied().sum::<Decimal>(), Decimal::ZERO);
            prop_assert_eq!(sum(&["cash"]), Decimal::new(naive.cash, 2));
            prop_assert_eq!(sum(&["revenue", "tax"]), Decimal::new(-naive.invoiced, 2));
            let owes = Decimal::new(naive.invoiced - naive.cash, 2);
            prop_assert_eq!(sum(&["receivable", "credit", "wallet", "held"]), owes);
            prop_assert_eq!(faults(&books.database).await, Vec::<String>::new());
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
