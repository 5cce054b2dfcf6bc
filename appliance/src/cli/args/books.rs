//! `weir payment …`, `weir wallet …`, `weir statement`, `weir dunning …`, `weir tax …`, `weir exchange …`, `weir tenant
//! set-billing`: who owes what, and by which taxes and rates. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::plans::RevisionArguments;

/// `weir payment …`
#[derive(Debug, Subcommand)]
pub enum PaymentCommand {
    /// Record what a tenant paid: for the named invoice, then for the oldest open one; the rest is credit
    Record(PaidArguments),
    /// The payments, the newest first
    List {
        /// Only this tenant's
        #[arg(long)]
        tenant: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One payment, and what it was used for
    Show {
        /// Its id
        payment_id: Uuid,
    },
    /// Take a payment back that bounced or was a mistake: what it had paid is open again
    Reverse {
        /// Its id
        payment_id: Uuid,
        /// Why, such as what the bank said
        #[arg(long)]
        reason: String,
    },
    /// Record what was given back to a tenant, of its credit and its wallet
    Refund(PaidArguments),
}

/// Money that came or went.
#[derive(Debug, Args)]
pub struct PaidArguments {
    /// Which tenant
    pub tenant: String,
    /// How much, with its currency, such as 119.00 EUR
    #[arg(num_args = 1..=2, required = true, value_name = "AMOUNT CURRENCY")]
    pub amount: Vec<String>,
    /// What the bank or the payment service calls it; unique for the method
    #[arg(long)]
    pub reference: String,
    /// How it was paid: a-z, 0-9, '-' and '_'
    #[arg(long, default_value = "bank")]
    pub method: String,
    /// The invoice that it is for
    #[arg(long, value_name = "NUMBER")]
    pub invoice: Option<String>,
    /// When it was paid: a day (in the tenant's zone) or an instant [default: now]
    #[arg(long, value_name = "WHEN")]
    pub on: Option<String>,
    /// Its id, a UUID, to be able to say the same again [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub id: Option<Uuid>,
}

/// `weir wallet …`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// What a tenant has paid in advance, what of it is reserved and spent, and what is left
    Show {
        /// Which tenant
        tenant: String,
    },
    /// Record what a tenant paid in advance
    TopUp(PaidArguments),
}

/// `weir statement`
#[derive(Debug, Args)]
pub struct StatementArguments {
    /// Which tenant
    pub tenant: String,
    /// From: a day in the tenant's zone, or an instant [default: the beginning]
    #[arg(long)]
    pub from: Option<String>,
    /// Up to, excluded [default: now]
    #[arg(long)]
    pub to: Option<String>,
    /// Write it on paper, into this file, with every page's number and the balance carried from page to page
    #[arg(long, value_name = "FILE")]
    pub pdf: Option<PathBuf>,
}

/// `weir dunning …`
#[derive(Debug, Subcommand)]
pub enum DunningCommand {
    /// Letters that went out and invoices that are disputed, the newest first
    List,
    /// Order the letters that are due now, instead of at the next daily look
    Run,
    /// An invoice is disputed: no letter goes out about it
    Hold {
        /// Its number
        number: String,
        /// What is disputed
        #[arg(long)]
        reason: String,
    },
    /// The dispute is over
    Release {
        /// Its number
        number: String,
    },
}

/// `weir tax …`
#[derive(Debug, Subcommand)]
pub enum TaxCommand {
    /// Check a tax table; nothing is stored
    Validate {
        /// A TOML file
        file: PathBuf,
    },
    /// Check a tax table and put it in force
    Apply {
        /// A TOML file
        file: PathBuf,
    },
    /// The tax table in force
    Show,
    /// The tax tables that were in force
    Revisions(RevisionArguments),
}

/// `weir exchange …`
#[derive(Debug, Subcommand)]
pub enum ExchangeCommand {
    /// Load exchange rates; what is loaded is kept for ever
    Load {
        /// A CSV file: from,to,valid_from,rate,source
        file: PathBuf,
    },
    /// The rates, the newest first
    List {
        /// Only from this currency
        #[arg(long, value_name = "CODE")]
        from: Option<String>,
        /// Only to this one
        #[arg(long, value_name = "CODE")]
        to: Option<String>,
    },
}

/// `weir tenant set-billing`: what is not named stays.
#[derive(Debug, Args)]
pub struct SetBillingArguments {
    /// Which tenant
    pub name: String,
    /// Its country, ISO 3166 (DE); `none`: where the seller is
    #[arg(long, value_name = "CODE")]
    pub country: Option<String>,
    /// How it is taxed
    #[arg(long, value_parser = ["taxable", "reverse_charge", "exempt", "outside_scope"])]
    pub treatment: Option<String>,
    /// Why it is not taxed, for `exempt` and `outside_scope`; it stands on the invoice
    #[arg(long, value_name = "TEXT")]
    pub tax_reason: Option<String>,
    /// The currency of its invoices; `none`: the plan's
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// How many days it has to pay
    #[arg(long, value_name = "DAYS")]
    pub payment_days: Option<u32>,
    /// Whether it pays afterwards or in advance
    #[arg(long, value_parser = ["postpaid", "prepaid"])]
    pub mode: Option<String>,
    /// The day from which on it is billed; `none`: from its first usage on
    #[arg(long, value_name = "DAY")]
    pub starts_on: Option<String>,
    /// Prepaid: at or below this much left, it is warned; `none`: only when nothing is left
    #[arg(long, value_name = "AMOUNT")]
    pub low_balance: Option<String>,
}
