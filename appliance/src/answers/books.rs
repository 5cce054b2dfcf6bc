//! The books, by the command line: payments, wallets, statements, dunning, taxes, exchange rates, billing accounts.

use anyhow::{Context, Result, bail};
use billing::account::{self, AccountTerms, BillingAccount, BillingMode, TaxTreatment};
use billing::books::payments::{self, NewPayment, Payment, Recorded};
use billing::books::statement::{Statement, statement};
use billing::books::{dunning, wallet};
use billing::country::Country;
use billing::store::exchange_rates::{self, RateQuery};
use billing::store::tax_tables;
use billing::tax::TaxTable;
use billing::{Currency, Money, exchange, plans::Applied};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use migrations::Scope;
use serde_json::{Value, json};
use usage::registry::{self, Tenant};
use uuid::Uuid;

use super::statements;
use crate::control::request::{Billing, BooksRequest, Paid};
use crate::parts::Parts;

/// Who recorded what was typed here.
const BY: &str = "the command line";

/// Does what is asked of the books.
pub async fn value(parts: &Parts, request: BooksRequest) -> Result<Value> {
    let (db, now) = (&parts.database, Timestamp::now());
    match request {
        BooksRequest::Paid(paid) => record(parts, paid, now).await,
        BooksRequest::PaymentList { tenant, limit } => {
            let tenant = match tenant {
                Some(name) => Some(registry::find_tenant(db, Scope::Provider, &name).await?.id),
                None => None,
            };
            let all = payments::page(db, Scope::Provider, tenant, None, limit).await?;
            Ok(json!({ "payments": all.iter().map(payment_value).collect::<Vec<_>>() }))
        }
        BooksRequest::PaymentShow { payment_id } => show(parts, payment_id).await,
        BooksRequest::PaymentReverse { payment_id, reason } => {
            let reversed = payments::reverse(db, payment_id, &reason, BY, now).await?;
            let mut value = payment_value(&reversed);
            let Payment { amount, tenant, .. } = reversed;
            value["message"] = format!("The payment of {amount} by {tenant} was taken back.").into();
            Ok(value)
        }
        BooksRequest::WalletShow { tenant } => show_wallet(parts, &tenant, now).await,
        BooksRequest::Statement { tenant, from, to } => {
            let tenant = registry::find_tenant(db, Scope::Provider, &tenant).await?;
            let period = statements::period(&tenant, from.as_deref(), to.as_deref(), now)?;
            let statements = statement(db, Scope::Provider, tenant.id, period).await?;
            let shown = statements.iter().map(statement_value).collect::<Result<Vec<_>>>()?;
            Ok(
                json!({ "tenant": tenant.name, "from": period.start(), "to": period.end(), "statements": shown }),
            )
        }
        BooksRequest::Billing(change) => set_billing(parts, change, now).await,
        other => of_tables(parts, other, now).await,
    }
}

/// Dunning, taxes and exchange rates.
async fn of_tables(parts: &Parts, request: BooksRequest, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    match request {
        BooksRequest::DunningList {} => {
            let all = dunning::list(db, Scope::Provider, dunning::MAX_LISTED).await?;
            Ok(json!({ "dunning": all.iter().map(letter_value).collect::<Vec<_>>() }))
        }
        BooksRequest::DunningRun {} => run_dunning(parts, now).await,
        BooksRequest::DunningHold { number, reason } => {
            dunning::hold(db, &number, &reason, BY, now).await?;
            Ok(json!({ "message": format!("{number} is disputed: no letter goes out about it.") }))
        }
        BooksRequest::DunningRelease { number } => {
            let message = match dunning::release(db, &number).await? {
                true => "The dispute is over: letters go out again.",
                false => "It was not disputed.",
            };
            Ok(json!({ "message": message }))
        }
        BooksRequest::TaxApply { file, text } => {
            let table = TaxTable::parse(&file, text.as_bytes())?;
            let (revision, message) = match tax_tables::apply(db, &table, now).await? {
                Applied::New { revision } => (revision, "The tax table is in force, as revision"),
                Applied::Unchanged { revision } => {
                    (revision, "Exactly this tax table is in force already, as revision")
                }
            };
            Ok(json!({ "message": format!("{message} {revision}."), "revision": revision }))
        }
        BooksRequest::TaxShow {} => {
            let found = tax_tables::get(db).await?;
            let found =
                found.context("there is no tax table yet; put one in force: weir tax apply FILE.toml")?;
            let (revision, applied_at) = (found.revision, found.applied_at);
            Ok(json!({ "revision": revision, "applied_at": applied_at, "content": found.table.source() }))
        }
        BooksRequest::ExchangeLoad { file, text } => {
            let rates = exchange::parse(&file, text.as_bytes())?;
            let loaded = exchange_rates::load(db, &rates, now).await?;
            let message = format!("{} rates are new, {} were there already.", loaded.new, loaded.already);
            Ok(json!({ "message": message, "new": loaded.new, "already": loaded.already }))
        }
        BooksRequest::ExchangeList { from, to } => {
            let currency = |code: Option<String>| code.as_deref().map(Currency::parse).transpose();
            let query = RateQuery { from: currency(from)?, to: currency(to)?, after: None };
            let rates = exchange_rates::page(db, &query, exchange_rates::MAX_LISTED).await?;
            let shown = rates.iter().map(|rate| {
                json!({ "from": rate.from, "to": rate.to, "valid_from": rate.valid_from,
                        "rate": rate.rate.to_string(), "source": rate.source })
            });
            Ok(json!({ "rates": shown.collect::<Vec<_>>() }))
        }
        _ => bail!("this request is not about tables"),
    }
}

/// Records what came or went.
async fn record(parts: &Parts, paid: Paid, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    let tenant = registry::find_tenant(db, Scope::Provider, &paid.tenant).await?;
    let zone = TimeZone::get(&tenant.time_zone)?;
    let paid_at = match &paid.on {
        Some(text) => billing::period::instant(text, &zone)?,
        None => now,
    };
    let payment = NewPayment {
        payment_id: paid.payment_id,
        tenant: tenant.id,
        kind: paid.kind,
        method: paid.method,
        reference: paid.reference,
        amount: amount(&paid.amount)?,
        paid_at,
        recorded_by: BY.to_owned(),
        invoice: paid.invoice,
    };
    let recorded = payments::record(db, &payment, now).await?;
    parts.mail_due.notify_one();
    let payment = recorded.payment();
    let mut value = payment_value(payment);
    let Payment { payment_id, amount, unused, .. } = payment;
    let rest = if unused.is_zero() { String::new() } else { format!(" {unused} of it is credit.") };
    value["message"] = match recorded {
        Recorded::New(_) => format!("{amount} of {} was recorded as {payment_id}.{rest}", tenant.name),
        Recorded::Already(_) => {
            format!("Exactly this was recorded before, as {payment_id}; nothing was changed.")
        }
    }
    .into();
    Ok(value)
}

async fn show(parts: &Parts, payment_id: Uuid) -> Result<Value> {
    let found = payments::find(&parts.database, Scope::Provider, payment_id).await?;
    let (payment, used) = found.ok_or(payments::PaymentError::NoPayment(payment_id))?;
    let mut value = payment_value(&payment);
    let used: Vec<_> = used
        .iter()
        .map(|one| json!({ "invoice": one.invoice, "amount": one.amount, "amount_shown": one.amount.to_string() }))
        .collect();
    let what = |one: &Value| {
        let of = one["invoice"].as_str().unwrap_or("a dunning fee").to_owned();
        format!("\n  {} for {of}", one["amount_shown"].as_str().unwrap_or_default())
    };
    let taken_back = payment.reversal.as_ref();
    let taken_back = taken_back.map(|back| format!("\nTaken back at {}: {}", back.reversed_at, back.reason));
    value["message"] = format!(
        "{} of {} by {} {:?}, recorded at {} by {}{}\n  {} unused{}",
        payment.amount,
        payment.tenant,
        payment.method,
        payment.reference,
        payment.recorded_at,
        payment.recorded_by,
        used.iter().map(what).collect::<String>(),
        payment.unused,
        taken_back.unwrap_or_default(),
    )
    .into();
    value["used"] = used.into();
    Ok(value)
}

async fn show_wallet(parts: &Parts, tenant: &str, now: Timestamp) -> Result<Value> {
    let tenant = registry::find_tenant(&parts.database, Scope::Provider, tenant).await?;
    let Some(wallet) = wallet::show(&parts.database, Scope::Provider, tenant.id, now).await? else {
        let message = format!(
            "{0} has no wallet; weir tenant set-billing {0} --mode prepaid, then weir wallet top-up {0} AMOUNT CURRENCY --reference TEXT",
            tenant.name
        );
        return Ok(json!({ "tenant": tenant.name, "message": message }));
    };
    let message = format!(
        "{} has paid {}, of which {} is reserved; {} is spent and not invoiced yet: {} is left.{}",
        wallet.tenant,
        wallet.paid,
        wallet.held,
        wallet.spent,
        wallet.left,
        if wallet.is_prepaid { "" } else { " (Its invoices are not taken from it: it is postpaid.)" },
    );
    Ok(json!({
        "tenant": wallet.tenant,
        "prepaid": wallet.is_prepaid,
        "paid": wallet.paid,
        "held": wallet.held,
        "spent": wallet.spent,
        "left": wallet.left,
        "computed_at": wallet.computed_at,
        "low_balance": wallet.low_balance,
        "empty_since": wallet.empty_since,
        "stopped_at": wallet.stopped_at,
        "message": message,
    }))
}

async fn run_dunning(parts: &Parts, now: Timestamp) -> Result<Value> {
    let levels = parts.config.billing.levels()?;
    let round = dunning::run(&parts.database, &levels, now).await?;
    parts.mail_due.notify_one();
    let ordered: Vec<_> = round
        .ordered
        .iter()
        .map(|one| json!({ "number": one.number, "level": one.level, "open": one.open }))
        .collect();
    let failed: Vec<_> =
        round.failed.iter().map(|(invoice, why)| json!({ "invoice_id": invoice, "why": why })).collect();
    let message = match (ordered.len(), failed.len()) {
        (letters, 0) => format!("{letters} letters were ordered."),
        (letters, failed) => {
            format!("{letters} letters were ordered; {failed} invoices could not be looked at.")
        }
    };
    Ok(json!({ "message": message, "ordered": ordered, "failed": failed }))
}

async fn set_billing(parts: &Parts, change: Billing, now: Timestamp) -> Result<Value> {
    let db = &parts.database;
    let tenant = registry::find_tenant(db, Scope::Provider, &change.name).await?;
    let current = account::get(db, Scope::Provider, tenant.id).await?;
    let terms = changed(&current.terms, change)?;
    let set = account::set(db, tenant.id, &terms, Some(current.revision), now).await?;
    Ok(account_value(&tenant, &set))
}

/// The terms with what was named on top.
fn changed(current: &AccountTerms, change: Billing) -> Result<AccountTerms> {
    fn over<T: Clone, E>(
        text: Option<&str>,
        current: &Option<T>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        match text {
            None => Ok(current.clone()),
            Some("none") => Ok(None),
            Some(text) => parse(text).map(Some),
        }
    }
    let treatment = match change.treatment.as_deref() {
        None => current.treatment,
        Some(text) => TaxTreatment::parse(text).context("there is no such tax treatment")?,
    };
    let keeps_reason = matches!(treatment, TaxTreatment::Exempt | TaxTreatment::OutsideScope);
    let mode = match change.mode.as_deref() {
        None => current.mode,
        Some(text) => BillingMode::parse(text).context("there is no such mode; write postpaid or prepaid")?,
    };
    Ok(AccountTerms {
        country: over(change.country.as_deref(), &current.country, Country::parse)?,
        treatment,
        tax_reason: change.tax_reason.or_else(|| current.tax_reason.clone().filter(|_| keeps_reason)),
        currency: over(change.currency.as_deref(), &current.currency, Currency::parse)?,
        payment_days: change.payment_days.unwrap_or(current.payment_days),
        mode,
        starts_on: over(change.starts_on.as_deref(), &current.starts_on, |text| text.parse())
            .context("--starts-on takes a day, such as 2026-11-01")?,
        low_balance: over(
            change.low_balance.as_deref(),
            &current.low_balance,
            rust_decimal::Decimal::from_str_exact,
        )
        .context("--low-balance takes an amount, such as 20.00")?,
    })
}

fn account_value(tenant: &Tenant, account: &BillingAccount) -> Value {
    let terms = &account.terms;
    let from = account.currencies.last_from();
    let message = format!(
        "{} is {} and {}, has {} days to pay, and is billed in {}{}.",
        tenant.name,
        terms.treatment.as_str(),
        terms.mode.as_str(),
        terms.payment_days,
        terms.currency.map_or("its plan's currency", Currency::code),
        from.map_or_else(String::new, |from| format!(
            " from {from} on: what was used before has its currency"
        )),
    );
    json!({
        "tenant": tenant.name,
        "country": terms.country,
        "treatment": terms.treatment,
        "tax_reason": terms.tax_reason,
        "currency": terms.currency,
        "currency_from": from,
        "payment_days": terms.payment_days,
        "mode": terms.mode,
        "starts_on": terms.starts_on,
        "low_balance": terms.low_balance.map(|amount| amount.to_string()),
        "revision": account.revision,
        "message": message,
    })
}

/// From `119.00 EUR`, `119.00EUR` or `119 EUR`.
fn amount(text: &str) -> Result<Money> {
    let how = || {
        let shown: String = text.chars().take(80).collect();
        format!("{shown:?} is no amount; write it with its currency, such as 119.00 EUR")
    };
    let text = text.trim();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).with_context(how)?;
    let (number, code) = text.split_at(at);
    let number = rust_decimal::Decimal::from_str_exact(number.trim()).with_context(how)?;
    Ok(Money::exact(number, Currency::parse(code.trim())?)?)
}

fn payment_value(payment: &Payment) -> Value {
    json!({
        "payment_id": payment.payment_id,
        "tenant": payment.tenant,
        "kind": payment.kind,
        "method": payment.method,
        "reference": payment.reference,
        "amount": payment.amount,
        "amount_shown": payment.amount.to_string(),
        "unused": payment.unused,
        "unused_shown": payment.reversal.as_ref().map_or_else(|| payment.unused.to_string(), |_| "reversed".to_owned()),
        "paid_at": payment.paid_at,
        "recorded_at": payment.recorded_at,
        "recorded_by": payment.recorded_by,
        "invoice": payment.invoice,
        "reversal": payment.reversal.as_ref().map(|back| {
            json!({ "reason": back.reason, "reversed_at": back.reversed_at, "reversed_by": back.reversed_by })
        }),
    })
}

fn letter_value(listed: &dunning::Listed) -> Value {
    json!({
        "at": listed.at,
        "tenant": listed.tenant,
        "number": listed.number,
        "level": listed.level,
        "open": listed.open,
        "open_shown": listed.open.map(|open| open.to_string()),
        "fee": listed.fee,
        "fee_shown": listed.fee.map(|fee| fee.to_string()),
        "reason": listed.reason,
        "held_by": listed.held_by,
    })
}

/// A statement, with what the table shows.
fn statement_value(statement: &Statement) -> Result<Value> {
    let mut value = serde_json::to_value(statement)?;
    value["opening_shown"] = statement.opening.to_string().into();
    value["closing_shown"] = statement.closing.to_string().into();
    if let Some(lines) = value["lines"].as_array_mut() {
        for (shown, line) in lines.iter_mut().zip(&statement.lines) {
            shown["amount_shown"] = line.amount.to_string().into();
            shown["balance_shown"] = line.balance.to_string().into();
        }
    }
    Ok(value)
}
