//! `[[metering.dimensions]]`: rules that give resources what prices may depend on.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use usage::dimensions::{Match, Rule};

/// One rule: exactly one of `pool`, `network`, `image`, `node` and `instance` says for what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionRule {
    /// The dimension, such as `storage_class`.
    pub name: String,
    /// Its value, such as `ssd`.
    pub value: String,
    /// For volumes in storage pools of this name; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// For NICs in a network, or on a bridge or a device of the node, of this name, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// For instances whose first disk was made from an image at this path, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// For instances on nodes of this name, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// For instances of this name, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl DimensionRule {
    /// As usage takes it.
    ///
    /// # Errors
    /// It names nothing or several things, or a word is refused.
    pub fn rule(&self) -> Result<Rule> {
        let named = [
            self.pool.clone().map(Match::Pool),
            self.network.clone().map(Match::Network),
            self.image.clone().map(Match::Image),
            self.node.clone().map(Match::Node),
            self.instance.clone().map(Match::Instance),
        ];
        let mut named = named.into_iter().flatten();
        let (Some(applies_to), None) = (named.next(), named.next()) else {
            bail!(
                "the rule in metering.dimensions for {}={} must have exactly one of pool, network, image, node and instance",
                self.name,
                self.value
            );
        };
        Rule::new(applies_to, &self.name, &self.value).context("a rule in metering.dimensions is not right")
    }
}
