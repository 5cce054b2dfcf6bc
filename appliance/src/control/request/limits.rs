//! Requests about quotas, budgets and mail.

use serde::{Deserialize, Serialize};

/// What is asked of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum LimitRequest {
    /// What a tenant holds and may hold.
    QuotaShow {
        /// Which.
        tenant: String,
    },
    /// What a tenant may hold.
    QuotaSet {
        /// Which.
        tenant: String,
        /// Instances.
        instances: Option<u32>,
        /// Virtual processors.
        vcpus: Option<u32>,
        /// Such as 64GiB.
        memory: Option<String>,
    },
    /// A tenant's budget.
    BudgetShow {
        /// Which.
        tenant: String,
    },
    /// What a tenant expects to spend.
    BudgetSet {
        /// Which.
        tenant: String,
        /// Such as 250.00.
        amount: String,
    },
    /// No budget.
    BudgetRemove {
        /// Which.
        tenant: String,
    },
}

/// What is asked of mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum MailRequest {
    /// The latest.
    List {},
    /// One to see whether it works.
    Test {
        /// To whom.
        recipient: String,
    },
    /// Another attempt.
    Retry {
        /// Which.
        mail_id: String,
    },
}
