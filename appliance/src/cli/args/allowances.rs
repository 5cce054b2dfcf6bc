//! `weir allowance …`: how much a tenant may consume in a month. No behaviour.

use clap::Subcommand;

/// `weir allowance …`
#[derive(Debug, Subcommand)]
pub enum AllowanceCommand {
    /// A tenant's allowances, what was crossed this month, and what is in force
    List {
        /// Which tenant
        tenant: String,
    },
    /// Say how much of a meter, or of money, a tenant may consume in a month, and what is done when
    Set {
        /// Which tenant
        tenant: String,
        /// What it is called: a-z, 0-9 and '-'
        name: String,
        /// Money, with tax, in the currency of the tenant's plan, such as 250.00
        #[arg(long, required_unless_present = "meter", conflicts_with = "meter")]
        amount: Option<String>,
        /// A meter, such as net_tx_bytes
        #[arg(long, requires = "quantity")]
        meter: Option<String>,
        /// So much of it, in its priced unit, such as 500 (GiB)
        #[arg(long, requires = "meter")]
        quantity: Option<String>,
        /// When what is done: PERCENT[:ACTION], or forecast:PERCENT[:ACTION]. Actions are notify, throttle, suspend and stop, of a
        /// forecast the first two; repeat it for more
        #[arg(long = "at", value_name = "THRESHOLD", default_values_t = ["80".to_owned(), "100".to_owned()])]
        thresholds: Vec<String>,
    },
    /// Remove an allowance: what it throttled is as before, what it suspended is resumed, what it stopped may be started again
    Remove {
        /// Which tenant
        tenant: String,
        /// Which allowance
        name: String,
    },
}
