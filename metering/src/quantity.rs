//! Units in which quantities are priced and shown, and how many base units make one.
//!
//! Only the definition: the division into decimals, with its rounding, is billing's.

use serde::Deserialize;

/// A unit that people buy, such as GiB·h.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricedUnit {
    /// As on an invoice: `GiB·h`.
    pub symbol: String,
    /// How many base units make one.
    pub base_units: u64,
}
