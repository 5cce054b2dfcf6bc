//! The books: who owes what, and why. A double-entry ledger in which every transaction adds up to zero in each currency, and
//! what writes to it: invoices and credit notes, payments, the wallet, dunning.
//!
//! Debit is positive and credit is negative. A tenant's accounts are `receivable` (what it owes, invoice by invoice), `credit`
//! (what it has paid and what was given back to it, not used yet, payment by payment), `wallet` (paid in advance) and `held`
//! (of the wallet, reserved); the provider's are `revenue`, `tax`, `cash` and `written_off`. Balances are sums of entries and
//! nothing else: there is no counter that could drift.
//!
//! One booking of a tenant at a time: whoever books locks the tenant's row first, as issuing does.
//!
//! It computes no prices and no taxes, sends no mail and asks no bank.

pub mod dunning;
pub mod ledger;
pub mod payments;
pub(crate) mod settling;
pub mod sql;
pub mod statement;
pub mod wallet;

pub use ledger::{Account, Balance, Posted, balances, post_invoice, post_void};
