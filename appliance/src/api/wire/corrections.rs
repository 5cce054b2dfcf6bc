//! Corrections of usage.

use jiff::Timestamp;
use metering::Resource;
use serde::{Deserialize, Serialize};
use usage::corrections::{Action, Correction, Withdrawal};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Period;

/// What a correction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CorrectionAction)]
pub enum ActionName {
    /// Nothing: it is a remark.
    Annotate,
    /// What is recorded does not count.
    Exclude,
    /// More counts than is recorded.
    Add,
}

/// A correction of usage. It never changes; withdrawn it does nothing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UsageCorrection)]
pub struct CorrectionBody {
    /// Its id.
    pub correction_id: Uuid,
    /// Who pays, or not.
    pub tenant_id: Uuid,
    /// The instance (of a device, the one that it belongs to) or volume.
    pub resource_id: Uuid,
    /// The disk or NIC of the instance.
    pub device: Option<String>,
    /// The meter.
    #[schema(example = "cpu_ns")]
    pub meter: String,
    /// When: whole usage windows.
    pub window: Period,
    /// What it does.
    pub action: ActionName,
    /// How much is added, in the meter's base unit.
    #[schema(pattern = "^[0-9]+$")]
    pub quantity: Option<String>,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    pub recorded_at: Timestamp,
    /// That it does not hold any more.
    pub withdrawn: Option<WithdrawalBody>,
}

/// That a correction does not hold any more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Withdrawal)]
pub struct WithdrawalBody {
    /// Why.
    pub reason: String,
    /// Who withdrew it.
    pub author: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// A correction to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUsageCorrection)]
pub struct NewCorrectionBody {
    /// The instance or volume.
    pub resource_id: Uuid,
    /// The disk or NIC of the instance, if the meter is one of disks or NICs.
    #[schema(max_length = 64, example = json!(null))]
    pub device: Option<String>,
    /// The meter.
    #[schema(max_length = 64, example = "cpu_ns")]
    pub meter: String,
    /// From when on: the start of a usage window.
    #[schema(example = "2026-10-25T12:00:00Z")]
    pub from: Timestamp,
    /// Until when: the end of a usage window.
    #[schema(example = "2026-10-25T14:00:00Z")]
    pub to: Timestamp,
    /// What it does.
    pub action: ActionName,
    /// How much is to be added, in the meter's base unit: with `add` alone.
    #[schema(pattern = "^[1-9][0-9]{0,18}$", example = json!(null))]
    pub quantity: Option<String>,
    /// Why. The tenant reads it.
    #[schema(min_length = 1, max_length = 500, example = "The node's clock was wrong.")]
    pub reason: String,
}

/// Why a correction is not to hold any more.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWithdrawal)]
pub struct NewWithdrawalBody {
    /// Why. The tenant reads it.
    #[schema(min_length = 1, max_length = 500, example = "The clock was right after all.")]
    pub reason: String,
}

impl From<&Correction> for CorrectionBody {
    fn from(correction: &Correction) -> Self {
        let (action, quantity) = match correction.action {
            Action::Annotate => (ActionName::Annotate, None),
            Action::Exclude => (ActionName::Exclude, None),
            Action::Add(quantity) => (ActionName::Add, Some(quantity.to_string())),
        };
        let resource_id = match &correction.resource {
            Resource::Volume(id) => id.uuid(),
            Resource::Instance(id) | Resource::Disk(id, _) | Resource::Nic(id, _) => id.uuid(),
        };
        Self {
            correction_id: correction.id,
            tenant_id: correction.tenant_id.uuid(),
            resource_id,
            device: correction.resource.device().map(str::to_owned),
            meter: correction.meter.as_str().to_owned(),
            window: correction.window.into(),
            action,
            quantity,
            reason: correction.reason.clone(),
            author: correction.author.clone(),
            recorded_at: correction.recorded_at,
            withdrawn: correction.withdrawn.as_ref().map(WithdrawalBody::from),
        }
    }
}

impl From<&Withdrawal> for WithdrawalBody {
    fn from(withdrawal: &Withdrawal) -> Self {
        Self {
            reason: withdrawal.reason.clone(),
            author: withdrawal.author.clone(),
            recorded_at: withdrawal.recorded_at,
        }
    }
}
