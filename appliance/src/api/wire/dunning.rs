//! Dunning: its levels, what is due, what was ordered, and disputes.

use billing::books::dunning::{Due, Level, Listed, Ordered, Round};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Money;

/// One level of dunning, as it is configured.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DunningLevel)]
pub struct LevelBody {
    /// From 1.
    #[schema(example = 1)]
    pub level: u32,
    /// So many days after the invoice was due.
    #[schema(example = 7)]
    pub after_days: u32,
    /// What the letter is called.
    #[schema(example = "Payment reminder")]
    pub title: String,
    /// What it costs, on invoices in that currency; null: nothing.
    pub fee: Option<Money>,
    /// What it says besides the figures.
    #[schema(example = "Perhaps it escaped your notice. Please pay within a week.")]
    pub text: String,
}

/// A letter that is due and was not ordered yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DunningDue)]
pub struct DueBody {
    /// Whose.
    #[schema(example = "acme")]
    pub tenant: String,
    /// About which invoice.
    #[schema(example = "INV-2026-000007")]
    pub invoice: String,
    /// When the invoice was due.
    pub due_at: Timestamp,
    /// Which level.
    #[schema(example = 1)]
    pub level: u32,
    /// What the letter is called.
    #[schema(example = "Payment reminder")]
    pub title: String,
    /// What is owed on the invoice.
    pub open: Money,
}

/// What a round of dunning did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DunningRound)]
pub struct RoundBody {
    /// The letters that it ordered.
    pub ordered: Vec<OrderedBody>,
    /// The invoices that it could not look at; the others it did.
    pub failed: Vec<FailedBody>,
}

/// A letter that was ordered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderedLetter)]
pub struct OrderedBody {
    /// About which invoice.
    #[schema(example = "INV-2026-000007")]
    pub invoice: String,
    /// Which level.
    #[schema(example = 1)]
    pub level: u32,
    /// What is owed on the invoice.
    pub open: Money,
}

/// An invoice that could not be looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FailedLetter)]
pub struct FailedBody {
    /// Its id.
    pub invoice_id: Uuid,
    /// Why.
    pub reason: String,
}

/// A letter that was ordered, or a dispute.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DunningEntry)]
pub struct EntryBody {
    /// When it was ordered, or held.
    pub at: Timestamp,
    /// Whose.
    #[schema(example = "acme")]
    pub tenant: String,
    /// About which invoice.
    #[schema(example = "INV-2026-000007")]
    pub invoice: String,
    /// The level of the letter; null: a dispute.
    pub level: Option<u32>,
    /// What was owed on the invoice.
    pub open: Option<Money>,
    /// What the letter cost; null: nothing.
    pub fee: Option<Money>,
    /// Why the invoice is disputed.
    pub reason: Option<String>,
    /// Who said so.
    pub held_by: Option<String>,
}

/// Why an invoice is disputed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisputeRequest {
    /// What is said against it.
    #[schema(min_length = 1, max_length = 400, example = "The tenant says that it was stopped on the 3rd.")]
    pub reason: String,
}

impl LevelBody {
    /// The level of that number.
    #[must_use]
    pub fn new(level: u32, one: &Level) -> Self {
        Self {
            level,
            after_days: one.after_days,
            title: one.title.clone(),
            fee: one.fee.map(Money::from),
            text: one.text.clone(),
        }
    }
}

impl From<&Due> for DueBody {
    fn from(due: &Due) -> Self {
        Self {
            tenant: due.tenant.clone(),
            invoice: due.number.clone(),
            due_at: due.due_at,
            level: due.level,
            title: due.title.clone(),
            open: due.open.into(),
        }
    }
}

impl From<&Round> for RoundBody {
    fn from(round: &Round) -> Self {
        let ordered = round.ordered.iter().map(|Ordered { number, level, open }| OrderedBody {
            invoice: number.clone(),
            level: *level,
            open: (*open).into(),
        });
        let failed = round.failed.iter();
        Self {
            ordered: ordered.collect(),
            failed: failed.map(|(id, why)| FailedBody { invoice_id: *id, reason: why.clone() }).collect(),
        }
    }
}

impl From<&Listed> for EntryBody {
    fn from(listed: &Listed) -> Self {
        Self {
            at: listed.at,
            tenant: listed.tenant.clone(),
            invoice: listed.number.clone(),
            level: listed.level,
            open: listed.open.map(Money::from),
            fee: listed.fee.map(Money::from),
            reason: listed.reason.clone(),
            held_by: listed.held_by.clone(),
        }
    }
}
