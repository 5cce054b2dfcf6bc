//! `weir quota …`, `weir budget …`, `weir mail …`, `weir capacity`: limits, and who is told. No behaviour.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `weir quota …`
#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// What a tenant holds and may hold
    Show {
        /// Which tenant
        tenant: String,
    },
    /// Say what a tenant may hold. What is not named becomes unlimited
    Set {
        /// Which tenant
        tenant: String,
        /// Instances, switched off or not
        #[arg(long)]
        instances: Option<u32>,
        /// Virtual processors of all of them
        #[arg(long)]
        vcpus: Option<u32>,
        /// Memory of all of them, such as 64GiB
        #[arg(long, value_name = "SIZE")]
        memory: Option<String>,
    },
}

/// `weir budget …`
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    /// A tenant's budget, what is spent of it, and what was crossed this month
    Show {
        /// Which tenant
        tenant: String,
    },
    /// What a tenant expects to spend in a month, with tax: it is warned at 50, 80 and 100 %
    Set {
        /// Which tenant
        tenant: String,
        /// An amount in the currency of the tenant's plan, such as 250.00
        amount: String,
    },
    /// No budget, no warnings
    Remove {
        /// Which tenant
        tenant: String,
    },
}

/// `weir mail …`
#[derive(Debug, Subcommand)]
pub enum MailCommand {
    /// The latest mails: sent, waiting, refused, and why
    List,
    /// Send a mail to see whether the settings are right
    Test {
        /// To whom
        recipient: String,
    },
    /// Try a mail again that was refused or waits
    Retry {
        /// Its id
        mail_id: String,
    },
}

/// `weir capacity`
#[derive(Debug, Args)]
pub struct CapacityArguments {
    /// Write it as a PDF into this file
    #[arg(long, short, value_name = "FILE.pdf")]
    pub output: Option<PathBuf>,
}
