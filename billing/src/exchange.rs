//! Exchange rates: what one unit of a currency is in another one, from which day on, as the provider loaded it. Pure; it
//! asks no bank, and the amounts are computed by rating.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::money::Currency;

/// One rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    /// The currency of the prices.
    pub from: Currency,
    /// The currency of the invoice.
    pub to: Currency,
    /// How much of `to` one of `from` is; positive, at most 12 decimals.
    pub rate: Decimal,
    /// The day from which it holds, until the next one does.
    pub valid_from: Date,
    /// Who published it: `ECB`.
    pub source: String,
}
