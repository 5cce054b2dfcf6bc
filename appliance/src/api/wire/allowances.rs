//! Allowances: so much of a meter, or of money, in a month.

use billing::limits::actions::Open;
use billing::limits::allowances::{Allowance, Crossing};
use billing::limits::{Allowed, Threshold};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Money, whole};

/// What a tenant may consume in a month.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Allowance)]
pub struct AllowanceBody {
    /// What it is called, among the tenant's.
    #[schema(example = "traffic")]
    pub name: String,
    /// `tenant` or `provider`: who may change it.
    #[schema(example = "provider")]
    pub owner: String,
    /// Money, with tax; null: it is about a meter.
    pub amount: Option<Money>,
    /// The meter; null: it is about money.
    #[schema(example = "net_tx_bytes")]
    pub meter: Option<String>,
    /// So much of the meter, in its priced unit.
    #[schema(example = "500")]
    pub quantity: Option<String>,
    /// The unit of `quantity`, or the currency.
    #[schema(example = "GiB")]
    pub unit: String,
    /// What is done when.
    pub thresholds: Vec<ThresholdBody>,
    /// What is done now, because it was reached; null: nothing.
    #[schema(example = "stop")]
    pub in_force: Option<String>,
    /// Since when.
    pub in_force_since: Option<Timestamp>,
    /// When it was set.
    pub changed_at: Timestamp,
    /// Counts the changes. The ETag.
    pub revision: u64,
}

/// A part of an allowance, and what is done when it is reached: once in a month.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Threshold)]
pub struct ThresholdBody {
    /// `actual`: what was consumed so far. `forecast`: what will have been by the end of the month, if it goes on as it went
    /// so far; from the second day on.
    #[schema(example = "actual")]
    pub basis: String,
    /// From 1 to 1000.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000, example = 80)]
    pub percent: u32,
    /// `notify`; for the provider also `throttle` (rates are bounded, and set back when it is over), `suspend` (paused, and resumed
    /// when it is over) and `stop`. A forecast notifies or throttles, the latter from the eighth day on.
    #[schema(example = "notify")]
    pub action: String,
}

/// An allowance to be: of money, or of a meter.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowanceChange {
    /// Money, with tax, in the currency of the tenant's plan.
    #[serde(default)]
    pub amount: Option<Money>,
    /// A meter; GET /v1/meters lists them.
    #[serde(default)]
    #[schema(example = "net_tx_bytes")]
    pub meter: Option<String>,
    /// So much of the meter, in its priced unit: a decimal number in a string, with at most 6 decimals.
    #[serde(default)]
    #[schema(pattern = r"^[0-9]{1,13}(\.[0-9]{1,6})?$", example = "500")]
    pub quantity: Option<String>,
    /// What is done when: 1 to 16, each of a basis and percentage of its own.
    #[schema(min_items = 1, max_items = 16)]
    pub thresholds: Vec<ThresholdBody>,
}

/// A threshold of an allowance that was crossed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AllowanceCrossing)]
pub struct AllowanceCrossingBody {
    /// Of which allowance.
    pub name: String,
    /// Its revision then.
    pub revision: u64,
    /// The beginning of the month.
    pub period_start: Timestamp,
    /// Which threshold.
    pub threshold: ThresholdBody,
    /// What was consumed then, or forecast, in `unit`.
    #[schema(example = "402.5")]
    pub consumed: String,
    /// What was allowed then, in `unit`.
    #[schema(example = "500")]
    pub allowed: String,
    /// A currency, or a meter's priced unit.
    #[schema(example = "GiB")]
    pub unit: String,
    /// When it was noted.
    pub crossed_at: Timestamp,
}

impl AllowanceBody {
    /// An allowance, and what is in force because of the tenant's allowances.
    #[must_use]
    pub fn new(allowance: &Allowance, open: &[Open]) -> Self {
        let (amount, meter, quantity) = match allowance.allowed {
            Allowed::Money(money) => (Some(money.into()), None, None),
            Allowed::Quantity(meter, quantity) => {
                (None, Some(meter.to_string()), Some(quantity.normalize().to_string()))
            }
        };
        let in_force = open
            .iter()
            .filter(|action| action.allowance == allowance.name)
            .max_by_key(|action| action.threshold.action);
        Self {
            name: allowance.name.clone(),
            owner: allowance.owner.as_str().to_owned(),
            amount,
            meter,
            quantity,
            unit: allowance.allowed.unit(),
            thresholds: allowance.thresholds.iter().map(ThresholdBody::from).collect(),
            in_force: in_force.map(|action| action.threshold.action.as_str().to_owned()),
            in_force_since: in_force.map(|action| action.since),
            changed_at: allowance.changed_at,
            revision: allowance.revision,
        }
    }
}

impl From<&Threshold> for ThresholdBody {
    fn from(threshold: &Threshold) -> Self {
        Self {
            basis: threshold.basis.as_str().to_owned(),
            percent: threshold.percent,
            action: threshold.action.as_str().to_owned(),
        }
    }
}

impl From<&Crossing> for AllowanceCrossingBody {
    fn from(crossing: &Crossing) -> Self {
        Self {
            name: crossing.name.clone(),
            revision: crossing.revision,
            period_start: crossing.period_start,
            threshold: (&crossing.threshold).into(),
            consumed: crossing.consumed.to_string(),
            allowed: crossing.allowed.to_string(),
            unit: crossing.unit.clone(),
            crossed_at: crossing.crossed_at,
        }
    }
}
