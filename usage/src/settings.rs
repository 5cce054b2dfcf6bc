//! What derivation must be told. It reads no configuration: the appliance does.

use std::time::Duration;

use metering::WindowLength;

/// How usage is cut and when time counts as measured. The same values for every call, from one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageSettings {
    /// The length of usage windows (`metering.window`).
    pub window: WindowLength,
    /// The longest time between two readings that still counts as measured. A little over twice the reading
    /// interval: one lost reading is no estimate yet.
    pub tolerance: Duration,
}
