//! Requests about billing runs, and about what becomes of invoices.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is asked of billing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum BillingRequest {
    /// Begins a run.
    Run {
        /// `2026-10`.
        period: String,
        /// `review`, `approved` or `issued`.
        goal: String,
        /// The grace period is not waited for.
        early: bool,
        /// Only this tenant.
        tenant: Option<String>,
    },
    /// How a run goes; the latest, if none is named.
    Status {
        /// Which.
        run_id: Option<Uuid>,
    },
    /// All runs.
    Runs {},
    /// What waits for somebody.
    Review {
        /// Only of this month.
        period: Option<String>,
        /// Only this tenant's.
        tenant: Option<String>,
    },
    /// Approves what is in draft or review.
    Approve(Chosen),
    /// Issues what was approved.
    Issue(Chosen),
    /// Makes drafts again of what is in review or approved.
    SendBack(Chosen),
    /// Rates an issued invoice again, and corrects it.
    Rerate {
        /// Which.
        number: String,
        /// Why it is corrected; nothing: it is not, what differs is shown.
        reason: Option<String>,
    },
    /// Rates a month of a tenant again: its invoice, or, when it was closed with nothing, what it would come to now; and
    /// corrects or invoices it.
    RerateTenant {
        /// Which tenant.
        tenant: String,
        /// `2026-10`.
        period: String,
        /// Why there is another invoice; nothing: there is none, what differs is shown.
        reason: Option<String>,
    },
    /// Rates all issued invoices of a month again, and what was closed with nothing. Nothing is stored.
    RerateMonth {
        /// `2026-10`.
        period: String,
        /// Only this tenant's.
        tenant: Option<String>,
    },
    /// Invoices whose usage has changed since they were issued, and periods that were closed with nothing.
    Late {
        /// Look now; else what the job has found.
        look: bool,
    },
    /// Withdraws an invoice.
    Void {
        /// Which.
        number: String,
        /// Why.
        reason: String,
    },
    /// Notes that an invoice was sent.
    Sent {
        /// Which.
        number: String,
    },
    /// Who did what to an invoice.
    History {
        /// Which.
        number: String,
    },
}

/// Which of the invoices that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// Of this month.
    pub period: String,
    /// Only this tenant's.
    pub tenant: Option<String>,
}
