//! Invoices that wait for somebody, what became of those that were moved on, those whose usage has changed since, and who did
//! what to one.

use billing::invoice::lifecycle::{Event, Stage};
use billing::rechecks::Late;
use billing::store::waiting::{Before, Waiting};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::invoices::RerateBody;
use super::{Money, Period, present};
use crate::answers::billing::Stepped;

/// Where an invoice without a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = InvoiceStage)]
pub enum StageName {
    /// It is rated anew until its grace period is over.
    Draft,
    /// Somebody is to look at it.
    Review,
    /// It may be issued.
    Approved,
}

/// An invoice that waits for somebody.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = WaitingInvoice)]
pub struct WaitingBody {
    /// Its id; it has no number yet.
    pub invoice_id: Uuid,
    /// Who will pay.
    #[schema(example = "acme")]
    pub tenant: String,
    /// What it is for.
    pub period: Period,
    /// Where it stands.
    pub stage: StageName,
    /// Until when late readings flow in by themselves.
    pub cutoff_at: Option<Timestamp>,
    /// When it was rated.
    pub rated_at: Option<Timestamp>,
    /// What will be to pay, with tax.
    pub total: Money,
    /// Milliseconds of resource time of which no usage is known; they are not charged.
    pub missing_ms: u64,
    /// What differs from the invoice of the time right before; null: there was none.
    pub before: Option<RerateBody>,
}

/// Which invoices that wait are to be moved on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRequest {
    /// Those of this month, in each tenant's time zone.
    #[schema(pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-10")]
    pub period: String,
    /// Only this tenant's, by name or id.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 64, example = "acme")]
    pub tenant: Option<String>,
}

/// What became of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StepResult)]
pub struct StepBody {
    /// How many of that month waited.
    pub waited: usize,
    /// Those that were moved on.
    pub done: Vec<SteppedBody>,
    /// Those that could not be; they stop nobody.
    pub failed: Vec<StuckBody>,
}

/// An invoice that was moved on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SteppedInvoice)]
pub struct SteppedBody {
    /// Its id.
    pub invoice_id: Uuid,
    /// Who pays.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Its number, if it was issued.
    #[schema(example = "INV-2026-000007")]
    pub number: Option<String>,
    /// What is to pay, with tax.
    pub total: Money,
}

/// An invoice that could not be moved on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = StuckInvoice)]
pub struct StuckBody {
    /// Its id.
    pub invoice_id: Uuid,
    /// Who will pay.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Why not.
    pub reason: String,
}

/// An issued invoice whose usage has changed since.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = LateInvoice)]
pub struct LateBody {
    /// Its number.
    #[schema(example = "INV-2026-000007")]
    pub number: String,
    /// Who pays.
    #[schema(example = "acme")]
    pub tenant: String,
    /// What it says.
    pub total: Money,
    /// What it would say.
    pub total_now: Money,
    /// When that was seen last.
    pub checked_at: Timestamp,
}

/// Something that was done to an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvoiceEvent)]
pub struct EventBody {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    #[schema(example = "approved")]
    pub action: String,
    /// What there was to say.
    pub note: Option<String>,
}

/// An invoice that is to be issued.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueRequest {
    /// Who pays, by name or id.
    #[schema(min_length = 1, max_length = 64, example = "acme")]
    pub tenant: String,
    /// A month, in the tenant's zone.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$", example = "2026-10")]
    pub period: Option<String>,
    /// Instead of a month: from this day or instant on.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "2026-10-01")]
    pub from: Option<String>,
    /// And up to, without, this one.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, example = "2026-10-08")]
    pub to: Option<String>,
}

impl From<&Waiting> for WaitingBody {
    fn from(one: &Waiting) -> Self {
        let before = |before: &Before| RerateBody::new(&before.number, &before.difference);
        Self {
            invoice_id: one.invoice_id.uuid(),
            tenant: one.tenant.to_string(),
            period: one.service_period.into(),
            stage: match one.stage {
                Stage::Draft => StageName::Draft,
                Stage::Review => StageName::Review,
                Stage::Approved => StageName::Approved,
            },
            cutoff_at: one.cutoff_at,
            rated_at: one.rated_at,
            total: one.total.into(),
            missing_ms: one.document.completeness.missing_ms,
            before: one.before.as_ref().map(before),
        }
    }
}

impl From<&Stepped> for StepBody {
    fn from(stepped: &Stepped) -> Self {
        let done = stepped.done.iter().map(|(one, number)| SteppedBody {
            invoice_id: one.invoice_id.uuid(),
            tenant: one.tenant.to_string(),
            number: number.clone(),
            total: one.total.into(),
        });
        let failed = stepped.failed.iter().map(|(one, reason)| StuckBody {
            invoice_id: one.invoice_id.uuid(),
            tenant: one.tenant.to_string(),
            reason: reason.clone(),
        });
        Self { waited: stepped.all, done: done.collect(), failed: failed.collect() }
    }
}

impl From<&Late> for LateBody {
    fn from(late: &Late) -> Self {
        Self {
            number: late.number.clone(),
            tenant: late.tenant.to_string(),
            total: late.total.into(),
            total_now: late.total_now.into(),
            checked_at: late.checked_at,
        }
    }
}

impl From<&Event> for EventBody {
    fn from(event: &Event) -> Self {
        Self {
            at: event.at,
            actor: event.actor.clone(),
            action: event.action.clone(),
            note: event.note.clone(),
        }
    }
}
