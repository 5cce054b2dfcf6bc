//! What node and control plane say to each other beside batches (`metering::wire`): JSON bodies and headers. A field may be
//! added with a default.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a node joins, without a certificate.
pub const JOIN: &str = "/node/v1/join";
/// Where it gets another certificate.
pub const RENEW: &str = "/node/v1/renew";
/// Where batches go.
pub const BATCHES: &str = "/node/v1/batches";
/// Where a run says that it ends.
pub const LEAVE: &str = "/node/v1/leave";

/// The number that was acknowledged before the batch.
pub const AFTER: &str = "Weir-After";
/// The node's wall clock at delivery, in microseconds since 1970.
pub const SENT_AT: &str = "Weir-Sent-At";
/// The node's clock since its boot, in microseconds.
pub const BOOT: &str = "Weir-Boot";
/// Which life of its kernel that is.
pub const BOOT_ID: &str = "Weir-Boot-Id";
/// The collector's run.
pub const RUN: &str = "Weir-Run";
/// How often it reads, in milliseconds.
pub const INTERVAL: &str = "Weir-Interval";
/// The release of Weir on it.
pub const RELEASE: &str = "Weir-Release";
/// How many batches wait on it.
pub const BACKLOG: &str = "Weir-Backlog";

/// A node wants to join.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The token's secret.
    pub secret: String,
    /// Who it is, by its spool.
    pub node_id: Uuid,
    /// What it wants to be called.
    pub name: String,
    /// Its certificate request: DER in base64.
    pub request: String,
    /// The release of Weir on it.
    pub release: String,
}

/// A node wants another certificate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// Its certificate request: DER in base64.
    pub request: String,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Certified {
    /// PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub authority: String,
    /// By the control plane's clock, in microseconds since 1970.
    pub issued_at_us: i64,
    /// Likewise.
    pub expires_at_us: i64,
    /// The control plane's clock now.
    pub server_time_us: i64,
}

/// A batch is durable at the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Taken {
    /// The highest number of this node's that is known.
    pub known_until: u64,
    /// Up to here a backup covers them.
    pub covered_until: u64,
    /// The control plane's clock now.
    pub server_time_us: i64,
}

/// No.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Problem {
    /// What the node should do.
    pub kind: Kind,
    /// Why, for people.
    pub reason: String,
    /// With [`Kind::Behind`]: the highest number that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_until: Option<u64>,
    /// The control plane's clock now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time_us: Option<i64>,
}

/// What a node should do about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Send the same again, later.
    Away,
    /// Another run of this node may be alive: send the same again, later.
    Wait,
    /// Go back to what follows `known_until`.
    Behind,
    /// Set this batch aside and go on.
    Refused,
    /// Hold everything; an operator has to act.
    Barred,
    /// Renew the certificate, then send the same again.
    Expired,
    /// The batch is newer than the control plane: hold it until that is upgraded.
    Newer,
    /// Anything that a later release may say: as [`Kind::Away`].
    #[serde(other)]
    Unknown,
}

/// An instant as it travels.
#[must_use]
pub fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// A duration as it travels.
#[must_use]
pub fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_later_release_makes_a_node_wait_and_not_drop_anything() {
        let problem: Problem =
            serde_json::from_str(r#"{"kind":"teapot","reason":"short and stout","more":1}"#).unwrap();
        assert_eq!(problem.kind, Kind::Unknown);
    }
}
