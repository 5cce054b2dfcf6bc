//! Quotas, budgets and the running month.

use billing::budget::{Budget, Crossing};
use billing::quota::{Held, Limits, Quota};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::invoices::InvoiceBody;
use super::{Money, whole_or_null};

/// What a tenant may hold at once, and what it holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub struct QuotaBody {
    /// The limits.
    pub limits: LimitsBody,
    /// What the tenant holds, switched off or not.
    pub held: HeldBody,
    /// Counts the changes; 0: none was ever set. The ETag.
    pub revision: u64,
}

/// Limits; null: unlimited.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Limits)]
pub struct LimitsBody {
    /// Instances.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(maximum = 1_000_000, example = 10)]
    pub instances: Option<u32>,
    /// vCPUs of all of them together.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(maximum = 1_000_000, example = 32)]
    pub vcpus: Option<u32>,
    /// Memory of all of them together, in KiB.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(maximum = 1_125_899_906_842_624_u64, example = 67_108_864)]
    pub memory_kib: Option<u64>,
}

/// What a tenant holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Held)]
pub struct HeldBody {
    /// Instances.
    pub instances: u64,
    /// vCPUs of all of them together.
    pub vcpus: u64,
    /// Memory of all of them together, in KiB.
    pub memory_kib: u64,
}

/// The money that a tenant expects to spend in a month.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Budget)]
pub struct BudgetBody {
    /// With tax; null: there is no budget.
    pub budget: Option<Money>,
    /// The parts of it, in percent, at which a mail is sent.
    #[schema(example = json!([50, 80, 100]))]
    pub thresholds_percent: Vec<u32>,
    /// Counts the changes; 0: there is no budget. The ETag.
    pub revision: u64,
}

/// A budget to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetChange {
    /// What the tenant expects to spend in a month, with tax, in the currency of its plan.
    pub budget: Money,
}

/// A threshold of a budget that was crossed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Crossing)]
pub struct CrossingBody {
    /// The beginning of the month.
    pub period_start: Timestamp,
    /// The revision of the budget.
    pub budget_revision: u64,
    /// Which threshold.
    pub threshold_percent: u32,
    /// The budget then.
    pub budget: Money,
    /// What was spent then.
    pub spent: Money,
    /// When it was noted.
    pub crossed_at: Timestamp,
}

/// What the invoice of the running month would be by now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Draft)]
pub struct DraftBody {
    /// When it was rated.
    pub computed_at: Timestamp,
    /// The document, without a number.
    pub invoice: InvoiceBody,
}

impl QuotaBody {
    /// A quota and what is held under it.
    #[must_use]
    pub fn new(quota: &Quota, held: Held) -> Self {
        let limits = quota.limits();
        Self {
            limits: LimitsBody {
                instances: limits.instances,
                vcpus: limits.vcpus,
                memory_kib: limits.memory_kib,
            },
            held: HeldBody { instances: held.instances, vcpus: held.vcpus, memory_kib: held.memory_kib },
            revision: quota.revision,
        }
    }
}

impl From<LimitsBody> for Limits {
    fn from(limits: LimitsBody) -> Self {
        Self { instances: limits.instances, vcpus: limits.vcpus, memory_kib: limits.memory_kib }
    }
}

impl From<Option<Budget>> for BudgetBody {
    fn from(budget: Option<Budget>) -> Self {
        Self {
            budget: budget.map(|budget| budget.amount.into()),
            thresholds_percent: billing::budget::THRESHOLDS.to_vec(),
            revision: budget.map_or(0, |budget| budget.revision),
        }
    }
}

impl From<&Crossing> for CrossingBody {
    fn from(crossing: &Crossing) -> Self {
        Self {
            period_start: crossing.period_start,
            budget_revision: crossing.budget_revision,
            threshold_percent: crossing.threshold_percent,
            budget: crossing.amount.into(),
            spent: crossing.spent.into(),
            crossed_at: crossing.crossed_at,
        }
    }
}
