//! The books: payments, wallets, statements of account, how tenants are billed, and exchange rates.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use billing::account::{self, AccountTerms, DEFAULT_PAYMENT_DAYS};
use billing::books::payments::{self, PaymentCursor, PaymentError};
use billing::books::statement::{StatementError, statement};
use billing::books::wallet;
use billing::country::Country;
use billing::money::{Currency, Money};
use billing::store::exchange_rates::{self, RateQuery};
use jiff::Timestamp;
use jiff::civil::Date;
use metering::Window;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{of_answer, path_tenant, query_tenant, tenant};
use crate::answers::statements;
use crate::api::call::{Call, NO_STORE, cut};
use crate::api::identity::Access;
use crate::api::operation::{Operation, Tag, instant, text};
use crate::api::problem::{Kind, Problem};
use crate::api::revision;
use crate::api::wire::books::{
    AccountBody, NewPayment, PaymentBody, PaymentInFull, RateBody, ReversalRequest, StatementBody, TermsBody,
    UseBody, WalletBody,
};
use crate::api::wire::{self, Period};

const PAYMENTS: &str = "/v1/payments";
const ACCOUNT: &str = "/v1/tenants/{tenant}/billing-account";

/// The last payment of a page.
#[derive(Serialize, Deserialize)]
struct AfterPayment(Timestamp, Uuid);

/// The last rate of a page.
#[derive(Serialize, Deserialize)]
struct AfterRate(Date, String, String);

pub fn operations() -> Vec<Operation> {
    [of_payments(), of_tenants()].concat()
}

fn of_payments() -> Vec<Operation> {
    const ONE: &str = "/v1/payments/{payment_id}";
    const REVERSE: &str = "/v1/payments/{payment_id}/reverse";
    vec![
        Operation::new(Method::GET, PAYMENTS, "listPayments", Tag::Invoices, "Payments", list_payments)
            .saying("The newest first.")
            .access(Access::Money)
            .query(text("tenant", "Only this tenant's, by name or id."))
            .pages::<PaymentBody>()
            .refuses(&[Kind::NotFound]),
        Operation::new(Method::POST, PAYMENTS, "recordPayment", Tag::Invoices, "Record a payment", record)
            .saying(
                "It pays the named invoice, then the oldest open ones; the rest is credit that the next invoice uses. A \
                 reference is recorded once for each method.",
            )
            .access(Access::Provider)
            .takes::<NewPayment>()
            .creates::<PaymentInFull>("The payment, and what it was used for.")
            .once()
            .refuses(&[Kind::NotFound, Kind::Conflict, Kind::Unprocessable]),
        Operation::new(Method::GET, ONE, "getPayment", Tag::Invoices, "A payment", get_payment)
            .access(Access::Money)
            .answers::<PaymentInFull>("The payment, and what it was used for."),
        Operation::new(Method::POST, REVERSE, "reversePayment", Tag::Invoices, "Take a payment back", reverse)
            .saying("It bounced, or was a mistake. What it had paid is open again. A counter-entry: nothing is deleted.")
            .access(Access::Provider)
            .takes::<ReversalRequest>()
            .answers::<PaymentBody>("As it is now.")
            .once()
            .refuses(&[Kind::Conflict, Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            "/v1/exchange-rates",
            "listExchangeRates",
            Tag::Invoices,
            "Exchange rates",
            list_rates,
        )
        .saying("The newest first. What was loaded never changes.")
        .access(Access::Money)
        .query(text("from", "Only from this currency."))
        .query(text("to", "Only to this one."))
        .pages::<RateBody>(),
    ]
}

fn of_tenants() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/wallet",
            "getWallet",
            Tag::Invoices,
            "What a tenant has paid in advance",
            get_wallet,
        )
        .access(Access::Money)
        .answers::<WalletBody>("What was paid, spent and is left."),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/statement",
            "getStatement",
            Tag::Invoices,
            "A tenant's statement of account",
            get_statement,
        )
        .saying("One for each currency, from the ledger alone: what was booked never changes.")
        .access(Access::Money)
        .query(instant("from", "From; left out: the beginning."))
        .query(instant("to", "Up to, excluded; left out: now."))
        .lists::<StatementBody>("By currency.")
        .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            "/v1/tenants/{tenant}/statement.pdf",
            "getStatementPdf",
            Tag::Invoices,
            "A tenant's statement of account on paper",
            get_statement_pdf,
        )
        .saying("With every page's number, and the balance carried from page to page.")
        .access(Access::Money)
        .query(instant("from", "From; left out: the beginning."))
        .query(instant("to", "Up to, excluded; left out: now."))
        .answers_bytes("application/pdf", "The document.")
        .refuses(&[Kind::Unprocessable]),
        Operation::new(
            Method::GET,
            ACCOUNT,
            "getBillingAccount",
            Tag::Invoices,
            "How a tenant is billed",
            get_account,
        )
        .access(Access::Money)
        .answers::<AccountBody>("Country, taxes, currency, days to pay.")
        .versioned(),
        Operation::new(
            Method::PUT,
            ACCOUNT,
            "setBillingAccount",
            Tag::Invoices,
            "Say how a tenant is billed",
            set_account,
        )
        .access(Access::Provider)
        .takes::<TermsBody>()
        .answers::<AccountBody>("As it is now.")
        .versioned()
        .refuses(&[Kind::Unprocessable]),
    ]
}

async fn list_payments(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("payments")?;
    let tenant = query_tenant(&call).await?.map(|tenant| tenant.id);
    let after = paging.after::<AfterPayment>()?;
    let after = after.map(|AfterPayment(recorded_at, payment_id)| PaymentCursor { recorded_at, payment_id });
    // One more than the page holds says whether there is another one.
    let mut found = payments::page(call.db(), call.scope()?, tenant, after, paging.limit + 1).await?;
    let has_more = usize::try_from(paging.limit).is_ok_and(|limit| limit < found.len());
    found.truncate(usize::try_from(paging.limit).unwrap_or(usize::MAX));
    let last = found.last().filter(|_| has_more).map(|last| AfterPayment(last.recorded_at, last.payment_id));
    Ok(paging.answer(found.iter().map(PaymentBody::from).collect(), last.as_ref()))
}

async fn record(call: Call) -> Result<HttpResponse, Problem> {
    let new: NewPayment = call.body()?;
    let amount = money(&new.amount)?;
    let tenant = tenant(&call, &new.tenant).await?;
    let now = Timestamp::now();
    let payment = payments::NewPayment {
        payment_id: call.thing_id(),
        tenant: tenant.id,
        kind: new.kind.into(),
        method: new.method,
        reference: new.reference,
        amount,
        paid_at: new.paid_at.unwrap_or(now),
        recorded_by: call.who()?.user.name.to_string(),
        invoice: new.invoice,
    };
    let recorded = payments::record(call.db(), &payment, now).await?;
    let id = recorded.payment().payment_id;
    Ok(call.created(format!("{PAYMENTS}/{id}"), &in_full(&call, id).await?))
}

async fn get_payment(call: Call) -> Result<HttpResponse, Problem> {
    let id: Uuid = call.id("payment_id", "payment")?;
    Ok(call.ok(&in_full(&call, id).await?))
}

async fn reverse(call: Call) -> Result<HttpResponse, Problem> {
    let id: Uuid = call.id("payment_id", "payment")?;
    let asked: ReversalRequest = call.body()?;
    let by = call.who()?.user.name.to_string();
    let reversed = match payments::reverse(call.db(), id, &asked.reason, &by, Timestamp::now()).await {
        // Done by an earlier attempt with this key, whose answer was lost.
        Err(PaymentError::Reversed { ref reason, .. }) if call.has_key() && reason == asked.reason.trim() => {
            let found = payments::find(call.db(), call.scope()?, id).await?;
            found.ok_or_else(|| Problem::not_found("payment"))?.0
        }
        reversed => reversed?,
    };
    Ok(call.ok(&PaymentBody::from(&reversed)))
}

async fn in_full(call: &Call, id: Uuid) -> Result<PaymentInFull, Problem> {
    let found = payments::find(call.db(), call.scope()?, id).await?;
    let (payment, used) = found.ok_or_else(|| Problem::not_found("payment"))?;
    Ok(PaymentInFull { payment: (&payment).into(), used: used.iter().map(UseBody::from).collect() })
}

async fn list_rates(call: Call) -> Result<HttpResponse, Problem> {
    let paging = call.paging("exchange-rates")?;
    let currency = |name: &str| match call.text(name) {
        None => Ok(None),
        Some(code) => {
            Currency::parse(code).map(Some).map_err(|error| Problem::query(name, error.to_string()))
        }
    };
    let after = paging.after::<AfterRate>()?.map(|AfterRate(day, from, to)| (day, from, to));
    let query = RateQuery { from: currency("from")?, to: currency("to")?, after };
    let mut found = exchange_rates::page(call.db(), &query, paging.limit + 1).await?;
    let has_more = usize::try_from(paging.limit).is_ok_and(|limit| limit < found.len());
    found.truncate(usize::try_from(paging.limit).unwrap_or(usize::MAX));
    let last = found.last().filter(|_| has_more);
    let last = last.map(|rate| AfterRate(rate.valid_from, rate.from.to_string(), rate.to.to_string()));
    Ok(paging.answer(found.iter().map(RateBody::from).collect(), last.as_ref()))
}

async fn get_wallet(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let found = wallet::show(call.db(), call.scope()?, tenant.id, Timestamp::now()).await?;
    let wallet = found.ok_or_else(|| {
        Problem::new(Kind::NotFound, "the tenant has no wallet: it has paid nothing in advance")
    })?;
    Ok(call.ok(&WalletBody::from(&wallet)))
}

async fn get_statement(call: Call) -> Result<HttpResponse, Problem> {
    let period = statement_period(&call)?;
    let tenant = path_tenant(&call).await?;
    let found = statement(call.db(), call.scope()?, tenant.id, period).await?;
    Ok(call.list(found.iter().map(|one| StatementBody::new(one, Period::from(period)))))
}

async fn get_statement_pdf(call: Call) -> Result<HttpResponse, Problem> {
    let period = statement_period(&call)?;
    let tenant = path_tenant(&call).await?;
    let document = statements::document(&call.parts, call.scope()?, &tenant, period).await;
    let document = document.map_err(|error| match error.downcast::<StatementError>() {
        Ok(error) => error.into(),
        Err(error) => of_answer(error, Kind::Unprocessable),
    })?;
    let bytes = statements::pdf(document).await.map_err(|error| Problem::internal(error.as_ref()))?;
    let name = format!("inline; filename=\"statement-{}.pdf\"", tenant.name);
    Ok(HttpResponse::Ok()
        .content_type("application/pdf")
        .insert_header(NO_STORE)
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(bytes))
}

fn statement_period(call: &Call) -> Result<Window, Problem> {
    let from = call.instant("from")?.unwrap_or(Timestamp::UNIX_EPOCH);
    let to = call.instant("to")?.unwrap_or_else(Timestamp::now);
    Window::new(from, to).map_err(|_| {
        let detail = format!("a statement ends after it begins, not from {from} to {to}");
        Problem::new(Kind::Unprocessable, detail).at("query", "to")
    })
}

async fn get_account(call: Call) -> Result<HttpResponse, Problem> {
    let tenant = path_tenant(&call).await?;
    let found = account::get(call.db(), call.scope()?, tenant.id).await?;
    Ok(call.versioned(found.revision, &AccountBody::from(&found)))
}

async fn set_account(call: Call) -> Result<HttpResponse, Problem> {
    let expected = call.expected()?;
    let terms = terms(call.body()?)?;
    let tenant = path_tenant(&call).await?;
    let set = account::set(call.db(), tenant.id, &terms, expected.revision(), Timestamp::now()).await?;
    Ok(call.versioned(set.revision, &AccountBody::from(&set)))
}

fn terms(body: TermsBody) -> Result<AccountTerms, Problem> {
    let unprocessable = |detail: String| Problem::new(Kind::Unprocessable, detail);
    let country = body.country.as_deref().map(Country::parse).transpose();
    let currency = body.currency.as_deref().map(Currency::parse).transpose();
    let low_balance = match &body.low_balance {
        None => None,
        Some(text) => Some(decimal(text).ok_or_else(|| {
            Problem::new(Kind::InvalidBody, "low_balance is a decimal number in a string, such as \"20.00\"")
        })?),
    };
    Ok(AccountTerms {
        country: country.map_err(|error| unprocessable(error.to_string()))?,
        treatment: body.treatment.into(),
        tax_reason: body.tax_reason,
        currency: currency.map_err(|error| unprocessable(error.to_string()))?,
        payment_days: body.payment_days.unwrap_or(DEFAULT_PAYMENT_DAYS),
        mode: body.mode.into(),
        starts_on: body.starts_on,
        low_balance,
    })
}

/// An amount as the document describes it: digits and one point, nothing else that a decimal may be written as.
fn money(asked: &wire::Money) -> Result<Money, Problem> {
    let amount = decimal(&asked.amount).ok_or_else(|| {
        let shown = cut(&asked.amount);
        Problem::new(Kind::InvalidBody, format!("amount.amount is {shown:?}; write it like \"250.00\""))
    })?;
    let unprocessable =
        |error: billing::money::MoneyError| Problem::new(Kind::Unprocessable, error.to_string());
    let currency = Currency::parse(&asked.currency).map_err(unprocessable)?;
    Money::exact(amount, currency).map_err(unprocessable)
}

fn decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str, max: usize| {
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_number(whole, 20) && is_number(fraction, 4)).then(|| text.parse().ok()).flatten()
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::NoTenant(_) => Self::not_found("tenant"),
            PaymentError::NoPayment(_) => Self::not_found("payment"),
            PaymentError::Store(source) => source.into(),
            PaymentError::Twice(_) | PaymentError::Reversed { .. } => {
                Self::new(Kind::Conflict, error.to_string())
            }
            _ => Self::new(Kind::Unprocessable, error.to_string()),
        }
    }
}

impl From<StatementError> for Problem {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Store(source) => source.into(),
            StatementError::TooLong => Self::new(Kind::Unprocessable, error.to_string()),
            StatementError::Money(_) => Self::internal(&error),
        }
    }
}

impl From<account::SetError> for Problem {
    fn from(error: account::SetError) -> Self {
        match error {
            account::SetError::Changed { current } => revision::stale(Some(current.revision)),
            account::SetError::NoTenant(_) => Self::not_found("tenant"),
            account::SetError::Store(source) => source.into(),
            _ => Self::new(Kind::Unprocessable, error.to_string()),
        }
    }
}
