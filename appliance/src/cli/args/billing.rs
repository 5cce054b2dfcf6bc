//! `weir billing …`: months of all tenants, from usage to invoices. No behaviour.

use clap::{Args, Subcommand};
use uuid::Uuid;

/// `weir billing …`
#[derive(Debug, Subcommand)]
pub enum BillingCommand {
    /// Rate a month of all tenants that have a plan, and put their invoices up for review. It goes on where it was after a
    /// stop or a crash, and one tenant that fails stops nobody
    Run {
        /// The month, in each tenant's time zone
        #[arg(long, value_name = "YYYY-MM")]
        period: String,
        /// Approve them at once
        #[arg(long)]
        approve: bool,
        /// Approve and issue them at once. Issued is final
        #[arg(long)]
        issue: bool,
        /// Do not wait until the grace period is over (billing.grace): what comes in late needs a correction then
        #[arg(long)]
        early: bool,
        /// Only this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// Do not wait for its end; see weir billing status
        #[arg(long)]
        detach: bool,
    },
    /// How a billing run goes: who has an invoice, who failed and why
    Status {
        /// Its id [default: the latest]
        run: Option<Uuid>,
    },
    /// All billing runs
    List,
    /// What waits for somebody, beside the invoice of the month before
    Review {
        /// Only this month
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<String>,
        /// Only this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Approve what waits of a month, as it stands
    Approve(ChosenArguments),
    /// Issue what was approved of a month. Issued is final
    Issue(ChosenArguments),
    /// Make drafts again of what waits of a month: the next run rates it anew
    SendBack(ChosenArguments),
    /// Rate the issued invoices of a month again, and what was closed with nothing, and show what would differ. Nothing is stored
    Rerate(ChosenArguments),
    /// Issued invoices whose usage has changed since, and months closed with nothing that have usage now, as a job has noticed
    Late {
        /// Look now, instead of waiting for the job (each ten minutes)
        #[arg(long)]
        look: bool,
    },
}

/// Which of them.
#[derive(Debug, Args)]
pub struct ChosenArguments {
    /// The month, in each tenant's time zone
    #[arg(long, value_name = "YYYY-MM")]
    pub period: String,
    /// Only this tenant
    #[arg(long)]
    pub tenant: Option<String>,
}
