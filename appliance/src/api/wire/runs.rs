//! Billing runs.

use billing::runs::{Goal, Item, ItemState, Run, RunOrigin};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Money, present};

/// A run that is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRunBody {
    /// The month, in each tenant's time zone.
    #[schema(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-10")]
    pub period: String,
    /// How far each invoice is brought; `review`, if it is left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub goal: Option<GoalName>,
    /// Whether the grace period is not waited for; it is, if this is left out.
    #[serde(default)]
    #[schema(required = false)]
    pub before_cutoff: bool,
    /// Only this tenant, by name or id; all that have a plan, if it is left out.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "acme")]
    pub tenant: Option<String>,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RunGoal)]
pub enum GoalName {
    /// Somebody is to look at them.
    Review,
    /// They are to be issued later.
    Approved,
    /// They are issued.
    Issued,
}

/// A billing run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BillingRun)]
pub struct RunBody {
    /// Its id.
    pub run_id: Uuid,
    /// The month, in each tenant's time zone.
    #[schema(example = "2026-10")]
    pub period: String,
    /// How far each invoice is brought.
    pub goal: GoalName,
    /// `operator`, or `automatic`: Weir itself, when the grace period was over.
    #[schema(example = "operator")]
    pub origin: String,
    /// Whether the grace period is not waited for.
    pub before_cutoff: bool,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When the last tenant was through; null: it runs.
    pub finished_at: Option<Timestamp>,
    /// How many tenants.
    pub tenants: i64,
    /// How many of them wait.
    pub waiting: i64,
    /// How many have their invoice.
    pub done: i64,
    /// How many used nothing that has a price.
    pub nothing: i64,
    /// How many could not be billed.
    pub failed: i64,
}

/// A tenant of a billing run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BillingRunItem)]
pub struct ItemBody {
    /// The tenant's id.
    pub tenant_id: Uuid,
    /// The tenant's name.
    pub tenant: String,
    /// `waiting`, `done`, `nothing` or `failed`.
    #[schema(example = "done")]
    pub state: String,
    /// Why there is nothing to invoice, or why it failed and how to mend it.
    pub detail: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// Since when it stands there.
    pub changed_at: Timestamp,
    /// Its invoice's id.
    pub invoice_id: Option<Uuid>,
    /// Its invoice's number; null: it has none yet.
    #[schema(example = "INV-2026-000042")]
    pub number: Option<String>,
    /// Where its invoice stands: `draft`, `review`, `approved`, `issued`, `paid` or `void`.
    #[schema(example = "issued")]
    pub invoice_status: Option<String>,
    /// What is to be paid, with tax.
    pub total: Option<Money>,
}

impl From<GoalName> for Goal {
    fn from(goal: GoalName) -> Self {
        match goal {
            GoalName::Review => Self::Review,
            GoalName::Approved => Self::Approved,
            GoalName::Issued => Self::Issued,
        }
    }
}

impl From<Goal> for GoalName {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::Review => Self::Review,
            Goal::Approved => Self::Approved,
            Goal::Issued => Self::Issued,
        }
    }
}

impl From<&Run> for RunBody {
    fn from(run: &Run) -> Self {
        Self {
            run_id: run.run_id,
            period: run.period.clone(),
            goal: run.goal.into(),
            origin: RunOrigin::as_str(run.origin).to_owned(),
            before_cutoff: run.before_cutoff,
            asked_by: run.asked_by.clone(),
            created_at: run.created_at,
            finished_at: run.finished_at,
            tenants: run.tenants,
            waiting: run.waiting,
            done: run.done,
            nothing: run.nothing,
            failed: run.failed,
        }
    }
}

impl From<&Item> for ItemBody {
    fn from(item: &Item) -> Self {
        Self {
            tenant_id: item.tenant_id.uuid(),
            tenant: item.tenant.to_string(),
            state: ItemState::as_str(item.state).to_owned(),
            detail: item.detail.clone(),
            attempts: item.attempts,
            changed_at: item.changed_at,
            invoice_id: item.invoice_id.map(billing::InvoiceId::uuid),
            number: item.number.clone(),
            invoice_status: item.status.clone(),
            total: item.total.map(Money::from),
        }
    }
}
