//! Payments: money that came, recorded by hand or by whoever hears of it. Each has an id of its own and the name by which its
//! method (the bank, the payment service) knows it, and neither is ever recorded twice. It moves no money and asks no bank.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, TenantName, micros};
use migrations::{Database, Scope, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::ledger::{Account, Kind, Posting, read_money};
use super::{settling, sql};
use crate::money::{Currency, Money};
use crate::store;
use crate::store::invoices::StoreError;
use crate::webhooks::{self, EventType};

/// The most payments that one page holds.
pub const MAX_LISTED: u32 = 1_000;

/// The longest reference, in characters: that of a SEPA credit transfer.
pub const MAX_REFERENCE: usize = 140;

/// How long ago a payment may have been made: what is older is in nobody's open books, since commercial law has them kept for
/// ten years at most, and a day of another century is a slip of the pen.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(3_653 * 24);

/// The largest payment, in units of its currency: more than any invoice comes to, and a million million of them still add up within
/// the 28 digits of the ledger.
pub const MAX_AMOUNT: i64 = 1_000_000_000_000;

/// The longest name of a method.
const MAX_METHOD: usize = 32;

/// The longest reason for taking one back, in characters.
const MAX_REASON: usize = 400;

/// What a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentKind {
    /// For invoices: what no invoice needs stays as credit and is used by the next one.
    Payment,
    /// In advance: it fills the wallet.
    TopUp,
    /// The other way: credit, and what is in the wallet, is given back to the tenant.
    Refund,
}

/// A payment that is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPayment {
    /// Its identity. Recording the same one again is right after an error that may have hidden a success.
    pub payment_id: Uuid,
    /// Who paid.
    pub tenant: TenantId,
    /// What for.
    pub kind: PaymentKind,
    /// How: 1 to 32 of `a-z`, `0-9`, `-` and `_`, such as `bank`.
    pub method: String,
    /// What the method calls it, unique for the method: 1 to 140 characters.
    pub reference: String,
    /// How much; more than nothing.
    pub amount: Money,
    /// When it was paid; not in the future.
    pub paid_at: Timestamp,
    /// Who records it.
    pub recorded_by: String,
    /// The number of the invoice that is paid first; else the oldest.
    pub invoice: Option<String>,
}

/// A payment that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its identity.
    pub payment_id: Uuid,
    /// Who paid.
    pub tenant_id: TenantId,
    /// Who paid, by name.
    pub tenant: TenantName,
    /// What for.
    pub kind: PaymentKind,
    /// How.
    pub method: String,
    /// What the method calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// By whom.
    pub recorded_by: String,
    /// The invoice that was named with it.
    pub invoice: Option<String>,
    /// What of it is credit still. Of a top-up nothing: it is in the wallet.
    pub unused: Money,
    /// When and why it was taken back.
    pub reversal: Option<Reversal>,
}

/// A payment bounced, or was a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// Why.
    pub reason: String,
    /// When it was noted.
    pub reversed_at: Timestamp,
    /// By whom.
    pub reversed_by: String,
}

/// What of a payment or credit note was used for which invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The invoice's number. `None`: a dunning fee.
    pub invoice: Option<String>,
    /// How much.
    pub amount: Money,
}

/// What came of recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the books now.
    New(Payment),
    /// Exactly this payment was recorded before; nothing was changed.
    Already(Payment),
}

/// Where a page of payments goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentCursor {
    /// Of the last one that was shown.
    pub recorded_at: Timestamp,
    /// Of the last one that was shown.
    pub payment_id: Uuid,
}

/// Why a payment was not recorded or taken back. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// Nothing, or less.
    #[error(
        "a payment of {amount} is none: record what was paid; what was paid wrongly is taken back (weir payment reverse)"
    )]
    NotPositive {
        /// What was said.
        amount: Money,
    },
    /// Nobody has paid yet.
    #[error("{paid_at} is still to come (it is {now}); record a payment when it was paid")]
    Future {
        /// When it is to be paid.
        paid_at: Timestamp,
        /// Now.
        now: Timestamp,
    },
    /// Nobody paid then.
    #[error(
        "{paid_at} is more than ten years ago; write the day on which the bank booked the payment, such as 2026-11-02"
    )]
    Ancient {
        /// When it is said to have been paid.
        paid_at: Timestamp,
    },
    /// It has more digits than money has.
    #[error(
        "{amount} is more than the {MAX_AMOUNT} that one payment may have; look at the bank statement again, and at the decimal point"
    )]
    TooMuch {
        /// What was said.
        amount: Money,
    },
    /// The method's name is none.
    #[error(
        "{shown:?} is no method of payment; write 1 to {MAX_METHOD} of a-z, 0-9, '-' and '_', such as bank or card"
    )]
    Method {
        /// What it is, cut.
        shown: String,
    },
    /// The reference is none.
    #[error(
        "{shown:?} is no reference; write what the bank statement says, 1 to {MAX_REFERENCE} characters on one line"
    )]
    Reference {
        /// What it is, cut.
        shown: String,
    },
    /// The tenant has no such invoice.
    #[error("the tenant has no issued invoice {shown:?}; see weir invoice list")]
    NoInvoice {
        /// What it is, cut.
        shown: String,
    },
    /// It is withdrawn.
    #[error(
        "{number} is void: nobody owes anything on it; record the payment without an invoice, and it is used for the oldest open one"
    )]
    VoidInvoice {
        /// The invoice.
        number: String,
    },
    /// It is one that gives back.
    #[error("{number} is a credit note: nobody owes anything on it; record the payment without an invoice")]
    CreditNote {
        /// The credit note.
        number: String,
    },
    /// The invoice is in another currency.
    #[error(
        "{number} is in {invoice}, but {paid} was paid; record it in {invoice} as the bank booked it, or without an invoice"
    )]
    OtherCurrency {
        /// The invoice.
        number: String,
        /// The invoice's currency.
        invoice: Currency,
        /// What was paid.
        paid: Money,
    },
    /// It was recorded before.
    #[error("{} {:?} was recorded already, as payment {} of {} by {}; a reference is recorded once", .0.method, .0.reference, .0.payment_id, .0.amount, .0.tenant)]
    Twice(Box<Payment>),
    /// There is none.
    #[error("there is no payment {0}; see weir payment list")]
    NoPayment(Uuid),
    /// It was taken back before.
    #[error("payment {payment_id} was taken back already, at {reversed_at}: {reason}")]
    Reversed {
        /// Which.
        payment_id: Uuid,
        /// When.
        reversed_at: Timestamp,
        /// Why.
        reason: String,
    },
    /// A part of it was given back to the tenant.
    #[error(
        "only {unused} of payment {payment_id} is still there, the rest was given back to the tenant; it cannot be taken back"
    )]
    Refunded {
        /// Which.
        payment_id: Uuid,
        /// What is left.
        unused: Money,
    },
    /// More is to be given back than there is.
    #[error("the tenant has {available} that was not used, so {asked} cannot be given back")]
    NotEnough {
        /// What is there.
        available: Money,
        /// What was asked for.
        asked: Money,
    },
    /// What was given back is not taken back.
    #[error("{0} gave money back; if that did not arrive, record it as a payment")]
    Refund(Uuid),
    /// No reason was given.
    #[error("a reason is needed, in 1 to {MAX_REASON} characters: what did the bank say?")]
    NoReason,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records a payment and uses it: for the named invoice, then for the oldest that is open; the rest is credit. An invoice on
/// which nothing is owed any more is paid, in the same transaction.
///
/// # Errors
/// See [`PaymentError`]; [`PaymentError::is_transient`] tells whether to try again (with the same `payment_id`).
pub async fn record(
    database: &Database,
    payment: &NewPayment,
    now: Timestamp,
) -> Result<Recorded, PaymentError> {
    // Blanks around it would make another reference of the bank's, and the same money would be recorded twice.
    let payment = &NewPayment { reference: payment.reference.trim().to_owned(), ..payment.clone() };
    check(payment, now)?;
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    lock(&transaction, payment.tenant).await?;
    let invoice = match &payment.invoice {
        Some(number) => Some(named_invoice(&transaction, payment, number).await?),
        None => None,
    };
    if !insert(&transaction, payment, invoice, now).await? {
        let found = find_in(&transaction, payment.payment_id, &payment.method, &payment.reference).await?;
        let found = found.ok_or(PaymentError::NoPayment(payment.payment_id))?;
        let same = is_same(payment, &found);
        return if same { Ok(Recorded::Already(found)) } else { Err(PaymentError::Twice(Box::new(found))) };
    }
    let id = payment.payment_id;
    book(&transaction, payment, now).await?;
    settling::settle(&transaction, payment.tenant, payment.amount.currency(), invoice, now).await?;
    let recorded = find_in(&transaction, id, &payment.method, &payment.reference).await?;
    let recorded = recorded.ok_or(PaymentError::NoPayment(id))?;
    emit(&transaction, EventType::PaymentRecorded, &recorded, now).await?;
    transaction.commit().await?;
    tracing::info!(payment = %id, tenant = %recorded.tenant, amount = %recorded.amount, "payment recorded");
    Ok(Recorded::New(recorded))
}

/// Takes a payment back that bounced or was recorded by mistake, by a counter-entry. Invoices that it had paid are open again,
/// unless other credit pays them.
///
/// # Errors
/// See [`PaymentError`].
pub async fn reverse(
    database: &Database,
    payment_id: Uuid,
    reason: &str,
    reversed_by: &str,
    now: Timestamp,
) -> Result<Payment, PaymentError> {
    let reason = reason.trim();
    if reason.is_empty() || MAX_REASON < reason.chars().count() || reason.contains('\0') {
        return Err(PaymentError::NoReason);
    }
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let missing = || PaymentError::NoPayment(payment_id);
    let tenant = find_in(&transaction, payment_id, "", "").await?.ok_or_else(missing)?.tenant_id;
    lock(&transaction, tenant).await?;
    // Read again: whoever held the lock may have taken it back.
    let payment = find_in(&transaction, payment_id, "", "").await?.ok_or_else(missing)?;
    if let Some(Reversal { reason, reversed_at, .. }) = payment.reversal {
        return Err(PaymentError::Reversed { payment_id, reversed_at, reason });
    }
    let by = shown(reversed_by, 200);
    let parameters: [&(dyn ToSql + Sync); 5] = [&payment_id, &tenant.uuid(), &reason, &micros(now), &by];
    transaction.execute(sql::REVERSAL_INSERT, &parameters).await?;
    take_back(&transaction, &payment, reason, now).await?;
    let reversed = find_in(&transaction, payment_id, "", "").await?.ok_or_else(missing)?;
    emit(&transaction, EventType::PaymentReversed, &reversed, now).await?;
    transaction.commit().await?;
    tracing::info!(payment = %payment_id, tenant = %reversed.tenant, amount = %reversed.amount, "payment reversed");
    Ok(reversed)
}

/// The payment of that id, if there is one that `scope` may see, and what it was used for.
///
/// # Errors
/// The database failed.
pub async fn find(
    database: &Database,
    scope: Scope,
    payment_id: Uuid,
) -> Result<Option<(Payment, Vec<Allocated>)>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let Some(payment) = find_in(&transaction, payment_id, "", "").await? else {
        return Ok(None);
    };
    let rows = transaction.query(sql::ALLOCATED, &[&payment.tenant_id.uuid(), &payment_id]).await?;
    let used = rows
        .iter()
        .map(|row| Ok(Allocated { invoice: row.try_get("number")?, amount: read_money(row, "amount")? }));
    let used = used.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(Some((payment, used)))
}

/// Payments that `scope` may see, the newest first, at most `limit` and never more than [`MAX_LISTED`], from behind `after`.
///
/// # Errors
/// The database failed.
pub async fn page(
    database: &Database,
    scope: Scope,
    tenant: Option<TenantId>,
    after: Option<PaymentCursor>,
    limit: u32,
) -> Result<Vec<Payment>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let (at, id) = after.map(|after| (after.recorded_at, after.payment_id)).unzip();
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&tenant.map(TenantId::uuid), &at, &id, &i64::from(limit.min(MAX_LISTED))];
    let rows = transaction.query(sql::PAYMENT_PAGE, &parameters).await?;
    rows.iter().map(read).collect()
}

impl PaymentKind {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::TopUp => "top_up",
            Self::Refund => "refund",
        }
    }
}

impl fmt::Display for PaymentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Recorded {
    /// The payment, new or not.
    #[must_use]
    pub const fn payment(&self) -> &Payment {
        match self {
            Self::New(payment) | Self::Already(payment) => payment,
        }
    }
}

/// Waits for the tenant's turn.
pub(super) async fn lock(transaction: &Transaction<'_>, tenant: TenantId) -> Result<(), PaymentError> {
    let found = transaction.query_opt(store::sql::QUOTA_LOCK, &[&tenant.uuid()]).await?;
    // Nobody pays for what is nobody's.
    let found = found.filter(|_| tenant != TenantId::UNASSIGNED);
    found.map(drop).ok_or(PaymentError::NoTenant(tenant))
}

fn check(payment: &NewPayment, now: Timestamp) -> Result<(), PaymentError> {
    if payment.amount.amount() <= rust_decimal::Decimal::ZERO {
        return Err(PaymentError::NotPositive { amount: payment.amount });
    }
    if rust_decimal::Decimal::from(MAX_AMOUNT) < payment.amount.amount() {
        return Err(PaymentError::TooMuch { amount: payment.amount });
    }
    if now < payment.paid_at {
        return Err(PaymentError::Future { paid_at: payment.paid_at, now });
    }
    if MAX_AGE < payment.paid_at.duration_until(now) {
        return Err(PaymentError::Ancient { paid_at: payment.paid_at });
    }
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let method = &payment.method;
    if !method.starts_with(letter)
        || MAX_METHOD < method.len()
        || !method.chars().all(|c| letter(c) || "-_".contains(c))
    {
        return Err(PaymentError::Method { shown: shown(method, 80) });
    }
    let reference = &payment.reference;
    let length = reference.chars().count();
    if reference.trim().is_empty() || MAX_REFERENCE < length || reference.contains(char::is_control) {
        return Err(PaymentError::Reference { shown: shown(reference, 80) });
    }
    Ok(())
}

/// The invoice that was named with a payment, if it may be paid by it.
async fn named_invoice(
    transaction: &Transaction<'_>,
    payment: &NewPayment,
    number: &str,
) -> Result<Uuid, PaymentError> {
    let none = || PaymentError::NoInvoice { shown: shown(number, 80) };
    // PostgreSQL's text cannot hold NUL: nothing has such a number.
    if number.contains('\0') {
        return Err(none());
    }
    let row = transaction.query_opt(sql::INVOICE_FOR_PAYMENT, &[&number, &payment.tenant.uuid()]).await?;
    let row = row.ok_or_else(none)?;
    let (status, kind): (&str, &str) = (row.try_get("status")?, row.try_get("kind")?);
    if status == "void" {
        return Err(PaymentError::VoidInvoice { number: number.to_owned() });
    }
    if kind == "credit_note" {
        return Err(PaymentError::CreditNote { number: number.to_owned() });
    }
    let currency: &str = row.try_get("currency")?;
    let currency =
        Currency::parse(currency).map_err(|error| StoreError::unreadable("invoice", number, &error))?;
    if currency != payment.amount.currency() {
        let number = number.to_owned();
        return Err(PaymentError::OtherCurrency { number, invoice: currency, paid: payment.amount });
    }
    Ok(row.try_get("invoice_id")?)
}

/// Whether it is new.
async fn insert(
    transaction: &Transaction<'_>,
    payment: &NewPayment,
    invoice: Option<Uuid>,
    now: Timestamp,
) -> Result<bool, PaymentError> {
    let by = shown(&payment.recorded_by, 200);
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &payment.payment_id,
        &payment.tenant.uuid(),
        &payment.kind.as_str(),
        &payment.method,
        &payment.reference,
        &payment.amount.amount(),
        &payment.amount.currency().code(),
        &micros(payment.paid_at),
        &micros(now),
        &by,
        &invoice,
    ];
    Ok(0 < transaction.execute(sql::PAYMENT_INSERT, &parameters).await?)
}

async fn book(
    transaction: &Transaction<'_>,
    payment: &NewPayment,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let (id, amount) = (payment.payment_id, payment.amount);
    let about = format!("{} {}", payment.method, payment.reference);
    let cash = Account::Cash(payment.method.clone());
    let posting = match payment.kind {
        PaymentKind::Payment => {
            let posting = Posting::new(Kind::Payment, format!("payment/{id}"), about);
            posting.moves(amount, Account::Credit(id), cash)
        }
        PaymentKind::TopUp => {
            Posting::new(Kind::TopUp, format!("top_up/{id}"), about).moves(amount, Account::Wallet, cash)
        }
        PaymentKind::Refund => {
            let mut posting = Posting::new(Kind::Refund, format!("refund/{id}"), about);
            let mut left = amount.amount();
            for (account, there) in
                settling::spendable(transaction, payment.tenant, amount.currency()).await?
            {
                let part = settling::exact(left.min(there), amount.currency())?;
                left -= part.amount();
                posting = posting.moves(part, cash.clone(), account);
            }
            if !left.is_zero() {
                let available = settling::exact(amount.amount() - left, amount.currency())?;
                return Err(PaymentError::NotEnough { available, asked: amount });
            }
            posting
        }
    };
    Ok(posting.post(transaction, payment.tenant, now).await?)
}

fn is_same(asked: &NewPayment, found: &Payment) -> bool {
    asked.payment_id == found.payment_id
        && asked.tenant == found.tenant_id
        && asked.kind == found.kind
        && asked.method == found.method
        && asked.reference == found.reference
        && asked.amount == found.amount
}

async fn take_back(
    transaction: &Transaction<'_>,
    payment: &Payment,
    reason: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let (id, tenant, currency) = (payment.payment_id, payment.tenant_id, payment.amount.currency());
    let account = match payment.kind {
        // The wallet may be below zero afterwards: then it was spent.
        PaymentKind::TopUp => Account::Wallet,
        PaymentKind::Payment => Account::Credit(id),
        PaymentKind::Refund => return Err(PaymentError::Refund(id)),
    };
    let targets = settling::release(transaction, tenant, id, now).await?;
    let unused = find_in(transaction, id, "", "").await?.map_or(payment.unused, |now| now.unused);
    if payment.kind == PaymentKind::Payment && unused != payment.amount {
        return Err(PaymentError::Refunded { payment_id: id, unused });
    }
    Posting::new(Kind::Reversal, format!("reversal/{id}"), reason.to_owned())
        .moves(payment.amount, Account::Cash(payment.method.clone()), account)
        .post(transaction, tenant, now)
        .await?;
    settling::mark_unpaid(transaction, &targets).await?;
    settling::settle(transaction, tenant, currency, None, now).await?;
    Ok(())
}

async fn emit(
    transaction: &Transaction<'_>,
    event: EventType,
    payment: &Payment,
    now: Timestamp,
) -> Result<(), StoreError> {
    let data = json!({
        "payment_id": payment.payment_id,
        "kind": payment.kind,
        "method": payment.method,
        "reference": payment.reference,
        "amount": payment.amount,
        "invoice": payment.invoice,
        "reason": payment.reversal.as_ref().map(|reversal| &reversal.reason),
    });
    webhooks::emit(transaction, event, payment.tenant_id, &data, now).await
}

async fn find_in(
    transaction: &Transaction<'_>,
    payment_id: Uuid,
    method: &str,
    reference: &str,
) -> Result<Option<Payment>, StoreError> {
    let row = transaction.query_opt(sql::PAYMENT_FIND, &[&payment_id, &method, &reference]).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Payment, StoreError> {
    let payment_id: Uuid = row.try_get("payment_id")?;
    let unreadable = |why: &dyn fmt::Display| StoreError::unreadable("payment", &payment_id.to_string(), why);
    let tenant: &str = row.try_get("tenant")?;
    let kind: &str = row.try_get("kind")?;
    let reversal = match (row.try_get("reason")?, row.try_get("reversed_at")?, row.try_get("reversed_by")?) {
        (Some(reason), Some(reversed_at), Some(reversed_by)) => {
            Some(Reversal { reason, reversed_at, reversed_by })
        }
        _ => None,
    };
    Ok(Payment {
        payment_id,
        tenant_id: TenantId::from_uuid(row.try_get("tenant_id")?),
        tenant: TenantName::new(tenant).map_err(|error| unreadable(&error))?,
        kind: [PaymentKind::Payment, PaymentKind::TopUp, PaymentKind::Refund]
            .into_iter()
            .find(|one| one.as_str() == kind)
            .ok_or_else(|| unreadable(&kind))?,
        method: row.try_get("method")?,
        reference: row.try_get("reference")?,
        amount: read_money(row, "amount")?,
        paid_at: row.try_get("paid_at")?,
        recorded_at: row.try_get("recorded_at")?,
        recorded_by: row.try_get("recorded_by")?,
        invoice: row.try_get("invoice")?,
        unused: read_money(row, "unused")?,
        reversal,
    })
}

/// As much of somebody's text as is repeated or kept, without what no line may hold.
fn shown(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(max).collect()
}
