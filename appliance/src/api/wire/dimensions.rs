//! Dimensions of instances and of their disks and NICs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usage::dimensions::DimensionChange;
use utoipa::ToSchema;

/// What was said of a dimension. It holds from `valid_from` on, until the next one of its name and device does.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Dimension)]
pub struct DimensionBody {
    /// Which dimension.
    #[schema(example = "licence")]
    pub name: String,
    /// Its value; null: none.
    #[schema(example = "standard")]
    pub value: Option<String>,
    /// The disk or NIC; null: the instance itself.
    pub device: Option<String>,
    /// From when on: the border of a usage window.
    pub valid_from: Timestamp,
    /// Whether a rule of the configuration says so, and nobody by hand.
    pub is_rule: bool,
    /// Who said it.
    pub author: String,
    /// When.
    pub recorded_at: Timestamp,
}

/// A dimension's value, to be said.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDimension)]
pub struct NewDimensionBody {
    /// Its value; null or left out: none of its own.
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$", example = "standard")]
    pub value: Option<String>,
    /// The disk or NIC; null or left out: the instance itself.
    #[serde(default)]
    #[schema(max_length = 64, example = json!(null))]
    pub device: Option<String>,
}

impl From<&DimensionChange> for DimensionBody {
    fn from(change: &DimensionChange) -> Self {
        Self {
            name: change.name.clone(),
            value: change.value.clone(),
            device: change.resource.device().map(str::to_owned),
            valid_from: change.valid_from,
            is_rule: change.is_rule,
            author: change.author.clone(),
            recorded_at: change.recorded_at,
        }
    }
}
