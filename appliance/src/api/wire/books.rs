//! Payments, wallets, statements of account, billing accounts and exchange rates.

use billing::account::{BillingAccount, BillingMode, TaxTreatment};
use billing::books::payments::{Allocated, Payment, PaymentKind};
use billing::books::statement::{Statement, StatementLine};
use billing::books::wallet::Wallet;
use billing::exchange::ExchangeRate;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Money, Period, present_whole};

/// What a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentKind)]
pub enum KindBody {
    /// For invoices; what no invoice needs is credit.
    Payment,
    /// In advance: it fills the wallet.
    TopUp,
    /// The other way: given back to the tenant, of its credit and its wallet.
    Refund,
}

/// A payment to be recorded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPayment {
    /// Who paid, by name or id.
    #[schema(min_length = 1, max_length = 64, example = "acme")]
    pub tenant: String,
    /// What for; left out: for invoices.
    #[serde(default = "KindBody::payment")]
    pub kind: KindBody,
    /// How.
    #[serde(default = "bank")]
    #[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,31}$", example = "bank")]
    pub method: String,
    /// What the method calls it; unique for the method.
    #[schema(min_length = 1, max_length = 140, example = "RF18 5390 0754 7034")]
    pub reference: String,
    /// How much; more than nothing.
    pub amount: Money,
    /// When it was paid; left out: now. Not in the future.
    #[serde(default)]
    pub paid_at: Option<Timestamp>,
    /// The invoice that is paid first; left out: the oldest that is open.
    #[serde(default)]
    #[schema(max_length = 40, example = "INV-2026-000001")]
    pub invoice: Option<String>,
}

/// Why a payment is taken back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalRequest {
    /// What the bank said.
    #[schema(min_length = 1, max_length = 400, example = "Returned: account closed")]
    pub reason: String,
}

/// A payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub struct PaymentBody {
    /// Its id.
    pub payment_id: Uuid,
    /// Who paid.
    pub tenant: String,
    /// What for.
    pub kind: KindBody,
    /// How.
    pub method: String,
    /// What the method calls it.
    pub reference: String,
    /// How much.
    pub amount: Money,
    /// What of it no invoice has used yet.
    pub unused: Money,
    /// When it was paid.
    pub paid_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// By whom.
    pub recorded_by: String,
    /// The invoice that was named with it.
    pub invoice: Option<String>,
    /// Why it was taken back; null: it was not.
    pub reversed_because: Option<String>,
    /// When it was.
    pub reversed_at: Option<Timestamp>,
}

/// A payment, and what it was used for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PaymentInFull {
    /// The payment.
    pub payment: PaymentBody,
    /// What it was used for.
    pub used: Vec<UseBody>,
}

/// A part of a payment, and what it was used for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PaymentUse)]
pub struct UseBody {
    /// The invoice; null: a dunning fee.
    pub invoice: Option<String>,
    /// How much.
    pub amount: Money,
}

/// What was paid in advance and what is left of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Wallet)]
pub struct WalletBody {
    /// Whether invoices are taken from it.
    pub prepaid: bool,
    /// What was paid in advance and not yet taken by an invoice.
    pub paid: Money,
    /// What of it is reserved for instances that were just made.
    pub held: Money,
    /// What was used and is not invoiced yet, with tax.
    pub spent: Money,
    /// What is left; below zero: more was used than was paid.
    pub left: Money,
    /// When `spent` was computed; null: never.
    pub computed_at: Option<Timestamp>,
    /// At or below this much left, the tenant is warned.
    pub low_balance: Option<Money>,
    /// Since when nothing is left.
    pub empty_since: Option<Timestamp>,
    /// When the tenant's instances were stopped for it.
    pub stopped_at: Option<Timestamp>,
}

/// A statement of account in one currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub struct StatementBody {
    /// The time that it is about.
    pub period: Period,
    /// What the tenant owed at its beginning; below zero: it had paid more.
    pub opening: Money,
    /// What changed it, the oldest first.
    pub lines: Vec<StatementLineBody>,
    /// What it owes at the end.
    pub closing: Money,
}

/// A line of a statement.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StatementLine)]
pub struct StatementLineBody {
    /// When it was booked.
    pub at: Timestamp,
    /// What: invoice, credit_note, void, payment, reversal, refund, top_up or dunning_fee.
    #[schema(example = "payment")]
    pub kind: String,
    /// The invoice's number, the payment's reference.
    pub about: String,
    /// What the tenant owes more, or (below zero) less.
    pub amount: Money,
    /// What it owes after this line.
    pub balance: Money,
}

/// How a tenant is taxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TaxTreatment)]
pub enum TreatmentBody {
    /// As the plan or the tax table says.
    Taxable,
    /// The tenant owes the tax itself; it needs a tax number.
    ReverseCharge,
    /// Exempt, for a reason.
    Exempt,
    /// Outside the scope of the tax, for a reason.
    OutsideScope,
}

/// When a tenant pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BillingMode)]
pub enum ModeBody {
    /// After the month.
    Postpaid,
    /// Before: invoices are taken from the wallet, and an empty one stops the tenant's instances.
    Prepaid,
}

/// How a tenant is billed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BillingTerms)]
pub struct TermsBody {
    /// Where it is, by ISO 3166; null: where the seller is.
    #[serde(default)]
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    pub country: Option<String>,
    /// How it is taxed.
    pub treatment: TreatmentBody,
    /// Why it is not taxed, for the exempt and those outside the scope: it stands on the invoice.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 400)]
    pub tax_reason: Option<String>,
    /// The currency of its invoices, by ISO 4217; null: the plan's.
    #[serde(default)]
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: Option<String>,
    /// How many days it has to pay; left out: 14.
    #[serde(default, deserialize_with = "present_whole", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false, maximum = 365, example = 14)]
    pub payment_days: Option<u32>,
    /// When it pays.
    pub mode: ModeBody,
    /// The day from which on it is billed; null: from its first usage on.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date, example = "2026-11-01")]
    pub starts_on: Option<Date>,
    /// Prepaid: at or below this much left, it is warned. In the currency of its wallet; null: only when nothing is left.
    #[serde(default)]
    #[schema(pattern = r"^[0-9]{1,20}(\.[0-9]{1,4})?$", example = "20.00")]
    pub low_balance: Option<String>,
}

/// A tenant's billing account.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BillingAccount)]
pub struct AccountBody {
    /// How it is billed.
    pub terms: TermsBody,
    /// Counts the changes; 0: none was ever set. The ETag.
    pub revision: u64,
}

/// An exchange rate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ExchangeRate)]
pub struct RateBody {
    /// The currency of the prices.
    #[schema(example = "EUR")]
    pub from: String,
    /// The currency of the invoices.
    #[schema(example = "USD")]
    pub to: String,
    /// The day from which it holds, until the next one does.
    #[schema(value_type = String, format = Date)]
    pub valid_from: Date,
    /// How much of `to` one of `from` is.
    #[schema(example = "1.1234")]
    pub rate: String,
    /// Who published it.
    pub source: String,
}

impl KindBody {
    const fn payment() -> Self {
        Self::Payment
    }
}

fn bank() -> String {
    "bank".to_owned()
}

impl From<KindBody> for PaymentKind {
    fn from(kind: KindBody) -> Self {
        match kind {
            KindBody::Payment => Self::Payment,
            KindBody::TopUp => Self::TopUp,
            KindBody::Refund => Self::Refund,
        }
    }
}

impl From<PaymentKind> for KindBody {
    fn from(kind: PaymentKind) -> Self {
        match kind {
            PaymentKind::Payment => Self::Payment,
            PaymentKind::TopUp => Self::TopUp,
            PaymentKind::Refund => Self::Refund,
        }
    }
}

impl From<&Payment> for PaymentBody {
    fn from(payment: &Payment) -> Self {
        let reversal = payment.reversal.as_ref();
        Self {
            payment_id: payment.payment_id,
            tenant: payment.tenant.to_string(),
            kind: payment.kind.into(),
            method: payment.method.clone(),
            reference: payment.reference.clone(),
            amount: payment.amount.into(),
            unused: payment.unused.into(),
            paid_at: payment.paid_at,
            recorded_at: payment.recorded_at,
            recorded_by: payment.recorded_by.clone(),
            invoice: payment.invoice.clone(),
            reversed_because: reversal.map(|reversal| reversal.reason.clone()),
            reversed_at: reversal.map(|reversal| reversal.reversed_at),
        }
    }
}

impl From<&Allocated> for UseBody {
    fn from(used: &Allocated) -> Self {
        Self { invoice: used.invoice.clone(), amount: used.amount.into() }
    }
}

impl From<&Wallet> for WalletBody {
    fn from(wallet: &Wallet) -> Self {
        Self {
            prepaid: wallet.is_prepaid,
            paid: wallet.paid.into(),
            held: wallet.held.into(),
            spent: wallet.spent.into(),
            left: wallet.left.into(),
            computed_at: wallet.computed_at,
            low_balance: wallet.low_balance.map(Money::from),
            empty_since: wallet.empty_since,
            stopped_at: wallet.stopped_at,
        }
    }
}

impl StatementBody {
    /// A statement of that time.
    #[must_use]
    pub fn new(statement: &Statement, period: Period) -> Self {
        Self {
            period,
            opening: statement.opening.into(),
            lines: statement.lines.iter().map(StatementLineBody::from).collect(),
            closing: statement.closing.into(),
        }
    }
}

impl From<&StatementLine> for StatementLineBody {
    fn from(line: &StatementLine) -> Self {
        Self {
            at: line.at,
            kind: line.kind.clone(),
            about: line.about.clone(),
            amount: line.amount.into(),
            balance: line.balance.into(),
        }
    }
}

impl From<&BillingAccount> for AccountBody {
    fn from(account: &BillingAccount) -> Self {
        let terms = &account.terms;
        Self {
            terms: TermsBody {
                country: terms.country.map(|country| country.code().to_owned()),
                treatment: match terms.treatment {
                    TaxTreatment::Taxable => TreatmentBody::Taxable,
                    TaxTreatment::ReverseCharge => TreatmentBody::ReverseCharge,
                    TaxTreatment::Exempt => TreatmentBody::Exempt,
                    TaxTreatment::OutsideScope => TreatmentBody::OutsideScope,
                },
                tax_reason: terms.tax_reason.clone(),
                currency: terms.currency.map(|currency| currency.code().to_owned()),
                payment_days: Some(terms.payment_days),
                mode: match terms.mode {
                    BillingMode::Postpaid => ModeBody::Postpaid,
                    BillingMode::Prepaid => ModeBody::Prepaid,
                },
                starts_on: terms.starts_on,
                low_balance: terms.low_balance.map(|amount| amount.to_string()),
            },
            revision: account.revision,
        }
    }
}

impl From<TreatmentBody> for TaxTreatment {
    fn from(treatment: TreatmentBody) -> Self {
        match treatment {
            TreatmentBody::Taxable => Self::Taxable,
            TreatmentBody::ReverseCharge => Self::ReverseCharge,
            TreatmentBody::Exempt => Self::Exempt,
            TreatmentBody::OutsideScope => Self::OutsideScope,
        }
    }
}

impl From<ModeBody> for BillingMode {
    fn from(mode: ModeBody) -> Self {
        match mode {
            ModeBody::Postpaid => Self::Postpaid,
            ModeBody::Prepaid => Self::Prepaid,
        }
    }
}

impl From<&ExchangeRate> for RateBody {
    fn from(rate: &ExchangeRate) -> Self {
        Self {
            from: rate.from.code().to_owned(),
            to: rate.to.code().to_owned(),
            valid_from: rate.valid_from,
            rate: rate.rate.to_string(),
            source: rate.source.clone(),
        }
    }
}
