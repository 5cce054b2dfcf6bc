//! The ledger: what is booked, in whose accounts, and what the accounts hold. It decides nothing about payments
//! (`books::payments`) and takes nothing back by itself: what was booked is final, for the database too.

use jiff::Timestamp;
use metering::{TenantId, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{settling, sql};
use crate::invoice::document::{DocumentKind, InvoiceDocument, InvoiceId};
use crate::money::{Currency, Money};
use crate::store::invoices::StoreError;

/// The longest `about` that the table takes, in characters.
const MAX_ABOUT: usize = 400;

/// An account of a tenant, or of the provider as far as it concerns the tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// The tenant owes: on an invoice, or a dunning fee.
    Receivable(Uuid),
    /// The tenant has paid, or was given back, what is not used yet: of a payment or a credit note.
    Credit(Uuid),
    /// The tenant has paid in advance.
    Wallet,
    /// Of the wallet, reserved for an instance.
    Held(Uuid),
    /// What was sold.
    Revenue,
    /// What is to be paid to the tax office, by the tax's name.
    Tax(String),
    /// What came in or went out, by method.
    Cash(String),
    /// What nobody expects any more.
    WrittenOff,
}

/// What an account holds; debit is positive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// `receivable`, `credit`, `wallet`, `held`, `revenue`, `tax`, `cash` or `written_off`.
    pub account: String,
    /// The tax's name or the method; else empty.
    pub detail: String,
    /// How much.
    pub amount: Money,
}

/// What came of booking an invoice or a credit note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Whether nothing is owed on it any more: credit, or the wallet, was enough, or it was about 0. Its row says `paid` then.
    pub is_paid: bool,
}

/// What is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invoice,
    CreditNote,
    Void,
    Payment,
    Reversal,
    Refund,
    Allocation,
    Release,
    TopUp,
    Hold,
    Unhold,
    Draw,
    DunningFee,
}

/// One transaction of the ledger, before it is booked. Entries over 0 are left out.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    kind: Kind,
    key: String,
    about: String,
    entries: Vec<(Account, Money)>,
}

/// Books an invoice, a corrected invoice or a credit note, in the transaction that issues it and after its row says `issued`.
///
/// An invoice is owed; what the tenant has as credit is used for it at once, and of a prepaid tenant the wallet. A credit
/// note gives back: first on the invoice that it corrects, then on the oldest that is open, and the rest stays as credit.
/// An invoice below zero gives, too, and a credit note on it is owed.
/// Booking the same document twice is an error of the database.
///
/// # Errors
/// The database failed, or the document is in more than one currency.
pub async fn post_invoice(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    document: &InvoiceDocument,
    now: Timestamp,
) -> Result<Posted, StoreError> {
    let id = document.invoice_id.uuid();
    posting_of(document)?.post(transaction, tenant, now).await?;
    let (is_invoice, first) = match document.kind {
        DocumentKind::CreditNote => {
            (false, document.corrects.as_ref().map(|corrected| corrected.invoice_id.uuid()))
        }
        DocumentKind::Invoice | DocumentKind::CorrectedInvoice => (true, Some(id)),
    };
    let mut paid = settling::settle(transaction, tenant, document.currency, first, now).await?;
    // Nothing will ever be paid on it.
    if is_invoice && document.total.amount() <= Decimal::ZERO {
        paid.extend(settling::mark_paid(transaction, tenant, &[id], now).await?);
    }
    Ok(Posted { is_paid: paid.contains(&id) })
}

/// Takes an invoice out of the books that is withdrawn (void), and the fees of the letters about it, in the transaction that
/// withdraws it. What was paid on them becomes credit, which is used for what else is open; what was paid by it (it was below
/// zero) is open again. `false`: what it gave is not there any more, because it was paid out; nothing may be committed then.
///
/// # Errors
/// The database failed.
pub async fn post_void(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut items = vec![("invoice", invoice.uuid())];
    for row in transaction.query(sql::DUNNING_FEES, &[&invoice.uuid()]).await? {
        items.push(("dunning_fee", row.try_get("letter_id")?));
    }
    let mut currency = None;
    for (kind, item) in items {
        let open_again = settling::release(transaction, tenant, item, now).await?;
        currency = take_back(transaction, tenant, (kind, item), now).await?.or(currency);
        settling::mark_unpaid(transaction, &open_again).await?;
    }
    let Some(currency) = currency else { return Ok(true) };
    if settling::is_overdrawn(transaction, tenant, currency, invoice.uuid()).await? {
        return Ok(false);
    }
    settling::settle(transaction, tenant, currency, None, now).await?;
    Ok(true)
}

/// What the accounts hold, of one tenant or of all together; for a tenant's scope, its own. Accounts that hold nothing but
/// once did are listed with 0.
///
/// # Errors
/// The database failed.
pub async fn balances(
    database: &Database,
    scope: Scope,
    tenant: Option<TenantId>,
) -> Result<Vec<Balance>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::LEDGER_BALANCES, &[&tenant.map(TenantId::uuid)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Balance {
                account: row.try_get("account")?,
                detail: row.try_get("detail")?,
                amount: read_money(row, "amount")?,
            })
        })
        .collect()
}

impl Account {
    /// As stored: its name, its detail, its item.
    fn stored(&self) -> (&'static str, &str, Option<Uuid>) {
        match self {
            Self::Receivable(item) => ("receivable", "", Some(*item)),
            Self::Credit(item) => ("credit", "", Some(*item)),
            Self::Wallet => ("wallet", "", None),
            Self::Held(item) => ("held", "", Some(*item)),
            Self::Revenue => ("revenue", "", None),
            Self::Tax(name) => ("tax", name, None),
            Self::Cash(method) => ("cash", method, None),
            Self::WrittenOff => ("written_off", "", None),
        }
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::CreditNote => "credit_note",
            Self::Void => "void",
            Self::Payment => "payment",
            Self::Reversal => "reversal",
            Self::Refund => "refund",
            Self::Allocation => "allocation",
            Self::Release => "release",
            Self::TopUp => "top_up",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Draw => "draw",
            Self::DunningFee => "dunning_fee",
        }
    }
}

impl Posting {
    pub(crate) fn new(kind: Kind, key: String, about: String) -> Self {
        Self { kind, key, about, entries: Vec::new() }
    }

    /// One more entry; debit is positive.
    pub(crate) fn entry(mut self, account: Account, amount: Money) -> Self {
        if !amount.is_zero() {
            self.entries.push((account, amount));
        }
        self
    }

    /// `amount` from one account (credit) to another (debit).
    pub(crate) fn moves(self, amount: Money, from: Account, to: Account) -> Self {
        self.entry(to, amount).entry(from, negated(amount))
    }

    /// Books it. Without entries there is nothing to book.
    pub(crate) async fn post(
        &self,
        transaction: &Transaction<'_>,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let stored: Vec<_> = self.entries.iter().map(|(account, _)| account.stored()).collect();
        let about: String = self.about.chars().take(MAX_ABOUT).collect();
        let parameters: [&(dyn ToSql + Sync); 12] = [
            &Uuid::now_v7(),
            &tenant.uuid(),
            &self.kind.as_str(),
            &self.key,
            &micros(now),
            &i32::try_from(self.entries.len()).unwrap_or(i32::MAX),
            &about,
            &stored.iter().map(|(account, ..)| *account).collect::<Vec<_>>(),
            &stored.iter().map(|(_, detail, _)| *detail).collect::<Vec<_>>(),
            &stored.iter().map(|(.., item)| *item).collect::<Vec<_>>(),
            &self.entries.iter().map(|(_, amount)| amount.currency().code()).collect::<Vec<_>>(),
            &self.entries.iter().map(|(_, amount)| amount.amount()).collect::<Vec<_>>(),
        ];
        transaction.execute(sql::LEDGER_POST, &parameters).await?;
        Ok(())
    }
}

/// Books the opposite of what was booked for an item. Gives the currency, if anything was.
async fn take_back(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    (kind, item): (&str, Uuid),
    now: Timestamp,
) -> Result<Option<Currency>, StoreError> {
    let booked = transaction.query(sql::LEDGER_ENTRIES, &[&format!("{kind}/{item}"), &tenant.uuid()]).await?;
    let Some(first) = booked.first() else { return Ok(None) };
    let mut void = Posting::new(Kind::Void, format!("void/{item}"), first.try_get("about")?);
    for row in &booked {
        void = void.entry(read_account(row)?, negated(read_money(row, "amount")?));
    }
    void.post(transaction, tenant, now).await?;
    Ok(Some(read_money(first, "amount")?.currency()))
}

/// The same amount with the other sign.
pub(crate) fn negated(amount: Money) -> Money {
    Money::rounded(-amount.amount(), amount.currency()).unwrap_or(amount)
}

/// An amount of a row, in the row's `currency`.
pub(crate) fn read_money(row: &Row, column: &str) -> Result<Money, StoreError> {
    let (amount, currency): (Decimal, &str) = (row.try_get(column)?, row.try_get("currency")?);
    Currency::parse(currency)
        .and_then(|currency| Money::exact(amount, currency))
        .map_err(|error| StoreError::unreadable("amount in", currency, &error))
}

fn read_account(row: &Row) -> Result<Account, StoreError> {
    let (name, detail, item): (&str, String, Option<Uuid>) =
        (row.try_get("account")?, row.try_get("detail")?, row.try_get("item_id")?);
    Ok(match (name, item) {
        ("receivable", Some(item)) => Account::Receivable(item),
        ("credit", Some(item)) => Account::Credit(item),
        ("held", Some(item)) => Account::Held(item),
        ("wallet", None) => Account::Wallet,
        ("revenue", None) => Account::Revenue,
        ("tax", None) => Account::Tax(detail),
        ("cash", None) => Account::Cash(detail),
        ("written_off", None) => Account::WrittenOff,
        _ => return Err(StoreError::unreadable("account", name, &"this version does not know it")),
    })
}

/// What an issued document means for the books.
fn posting_of(document: &InvoiceDocument) -> Result<Posting, StoreError> {
    let id = document.invoice_id.uuid();
    let about = document.number.clone().unwrap_or_default();
    // What is owed for an invoice is given back by a credit note: its amounts are positive, too.
    let (kind, key, is_given_back) = match document.kind {
        DocumentKind::Invoice | DocumentKind::CorrectedInvoice => (Kind::Invoice, "invoice", false),
        DocumentKind::CreditNote => (Kind::CreditNote, "credit_note", true),
    };
    let signed = |amount: Money| if is_given_back { amount } else { negated(amount) };
    let owed = negated(signed(document.total));
    // What is below zero is credit, whatever the document is called: it pays what else is open.
    let account = if owed.amount() < Decimal::ZERO { Account::Credit(id) } else { Account::Receivable(id) };
    let mut posting = Posting::new(kind, format!("{key}/{id}"), about).entry(account, owed);
    posting = posting.entry(Account::Revenue, signed(document.subtotal));
    for tax in &document.taxes {
        posting = posting.entry(Account::Tax(tax.name.clone()), signed(tax.amount));
    }
    if posting.entries.iter().any(|(_, amount)| amount.currency() != document.currency) {
        let name = document.number.as_deref().unwrap_or("draft");
        return Err(StoreError::unreadable("invoice", name, &"its amounts are in several currencies"));
    }
    Ok(posting)
}
