//! Requests about the books: payments, wallets, statements, dunning, taxes, exchange rates.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is asked of the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum BooksRequest {
    /// Money came or went.
    Paid(Paid),
    /// Payments.
    PaymentList {
        /// Only this tenant's.
        tenant: Option<String>,
        /// How many.
        limit: u32,
    },
    /// One payment.
    PaymentShow {
        /// Which.
        payment_id: Uuid,
    },
    /// Takes one back.
    PaymentReverse {
        /// Which.
        payment_id: Uuid,
        /// Why.
        reason: String,
    },
    /// A wallet.
    WalletShow {
        /// Whose.
        tenant: String,
    },
    /// A statement of account.
    Statement {
        /// Whose.
        tenant: String,
        /// From.
        from: Option<String>,
        /// Up to.
        to: Option<String>,
    },
    /// Letters and disputes.
    DunningList {},
    /// Letters that are due.
    DunningRun {},
    /// Disputed.
    DunningHold {
        /// Which.
        number: String,
        /// Why.
        reason: String,
    },
    /// Not disputed any more.
    DunningRelease {
        /// Which.
        number: String,
    },
    /// Puts a tax table in force.
    TaxApply {
        /// For errors.
        file: String,
        /// The TOML.
        text: String,
    },
    /// The tax table in force.
    TaxShow {},
    /// Loads exchange rates.
    ExchangeLoad {
        /// For errors.
        file: String,
        /// The CSV.
        text: String,
    },
    /// Exchange rates.
    ExchangeList {
        /// Only from this currency.
        from: Option<String>,
        /// Only to this one.
        to: Option<String>,
    },
    /// How a tenant is billed: what is named changes.
    Billing(Billing),
}

/// Money that came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// `payment`, `top_up` or `refund`.
    pub kind: billing::books::payments::PaymentKind,
    /// Its id.
    pub payment_id: Uuid,
    /// Who.
    pub tenant: String,
    /// Such as `119.00 EUR`.
    pub amount: String,
    /// What the method calls it.
    pub reference: String,
    /// How.
    pub method: String,
    /// For which invoice.
    pub invoice: Option<String>,
    /// When; none: now.
    pub on: Option<String>,
}

/// What is to be changed of a billing account; `none` takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    /// Whose.
    pub name: String,
    /// ISO 3166.
    pub country: Option<String>,
    /// See [`billing::account::TaxTreatment`].
    pub treatment: Option<String>,
    /// Why it is not taxed.
    pub tax_reason: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Days to pay.
    pub payment_days: Option<u32>,
    /// `postpaid` or `prepaid`.
    pub mode: Option<String>,
    /// The first day.
    pub starts_on: Option<String>,
    /// When to warn.
    pub low_balance: Option<String>,
}
