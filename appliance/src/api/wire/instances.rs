//! Instances, their charts, and what they boot from.

use jiff::Timestamp;
use metering::InstanceState;
use serde::{Deserialize, Serialize};
use usage::charts::Chart;
use usage::registry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{present_whole, whole, whole_or_null};

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = InstanceState)]
pub enum StateName {
    /// Its process executes.
    Running,
    /// Its process exists and does not execute.
    Paused,
    /// No process.
    Stopped,
    /// Deleted, or not known to its node any more.
    Gone,
}

/// A guest.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct InstanceBody {
    /// Its id.
    pub instance_id: Uuid,
    /// Its name.
    #[schema(example = "web-1")]
    pub name: String,
    /// Who pays, by name; null: nobody was assigned.
    pub tenant: Option<String>,
    /// What it is doing.
    pub state: StateName,
    /// The node that it is on; null: not for you to see.
    pub node: Option<String>,
    /// Its vCPUs; null: not read yet.
    pub vcpus: Option<u32>,
    /// Its memory in KiB; null: not read yet.
    pub memory_kib: Option<u64>,
    /// When its first usage began, as far as known; null: not read yet.
    pub first_seen_at: Option<Timestamp>,
    /// Its latest reading; null: not read yet.
    pub last_seen_at: Option<Timestamp>,
    /// When it was seen to be gone.
    pub gone_at: Option<Timestamp>,
    /// What there is to know about the change that was just made.
    pub notes: Vec<String>,
}

/// An instance to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInstance {
    /// Its name on its node: a name that reads as a UUID is refused.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "web-1")]
    pub name: String,
    /// Who pays, by name or id. A tenant's user may leave it out.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// The name of an image, from `GET /v1/images`.
    #[schema(example = "debian-12")]
    pub image: String,
    /// Its vCPUs.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 128, example = 2)]
    pub vcpus: u32,
    /// Its memory in MiB.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 16, maximum = 4_194_304, example = 2048)]
    pub memory_mib: u64,
    /// The size of its disk in MiB; the image's size, if it is left out.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1, maximum = 67_108_864, example = 10_240)]
    pub disk_mib: Option<u64>,
    /// The network of its NIC; none, if it is left out. Tenants may choose `default`.
    #[schema(max_length = 64, example = "default")]
    pub network: Option<String>,
    /// Whether to start it at once. Yes, if it is left out.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub start: bool,
}

/// How an instance is to be stopped.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// How long the guest may take to shut down by itself, in seconds, before its process is ended. 30, if it is left
    /// out.
    #[serde(default, deserialize_with = "present_whole")]
    #[schema(minimum = 0, maximum = 60, default = 30, nullable = false)]
    pub grace_seconds: Option<u64>,
}

/// What an instance may boot from.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub struct ImageBody {
    /// Its name.
    #[schema(example = "debian-12")]
    pub name: String,
    /// What it is.
    pub description: String,
    /// `disk`, or `kernel` (with an initial file system).
    pub kind: String,
}

/// How fast an instance uses what. All curves have as many points as there are instants; null: nobody read.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Chart)]
pub struct ChartBody {
    /// The end of each step.
    pub at: Vec<Timestamp>,
    /// Processors in use.
    pub cpu_cores: Vec<Option<f64>>,
    /// Bytes per second, over all disks.
    pub disk_read_bytes_s: Vec<Option<f64>>,
    /// Bytes per second, over all disks.
    pub disk_write_bytes_s: Vec<Option<f64>>,
    /// Bytes per second, over all NICs.
    pub net_rx_bytes_s: Vec<Option<f64>>,
    /// Bytes per second, over all NICs.
    pub net_tx_bytes_s: Vec<Option<f64>>,
    /// Memory held, in KiB.
    pub memory_kib: Vec<Option<f64>>,
}

const fn yes() -> bool {
    true
}

impl From<InstanceState> for StateName {
    fn from(state: InstanceState) -> Self {
        match state {
            InstanceState::Running => Self::Running,
            InstanceState::Paused => Self::Paused,
            InstanceState::Stopped => Self::Stopped,
            InstanceState::Gone => Self::Gone,
        }
    }
}

impl From<&registry::Instance> for InstanceBody {
    fn from(instance: &registry::Instance) -> Self {
        Self {
            instance_id: instance.id.uuid(),
            name: instance.name.clone(),
            tenant: instance.tenant_name.as_ref().map(ToString::to_string),
            state: instance.state.into(),
            node: instance.node_name.clone(),
            vcpus: instance.vcpus,
            memory_kib: instance.memory_kib,
            first_seen_at: Some(instance.first_seen_at),
            last_seen_at: Some(instance.last_seen_at),
            gone_at: instance.gone_at,
            notes: Vec::new(),
        }
    }
}

impl From<&compute::Instance> for InstanceBody {
    /// One that has no reading yet.
    fn from(instance: &compute::Instance) -> Self {
        Self {
            instance_id: instance.instance_id.uuid(),
            name: instance.name.clone(),
            tenant: instance.tenant.as_ref().map(ToString::to_string),
            state: instance.state.into(),
            node: None,
            vcpus: Some(instance.vcpus),
            memory_kib: Some(instance.memory_kib),
            first_seen_at: None,
            last_seen_at: None,
            gone_at: None,
            notes: instance.warnings.clone(),
        }
    }
}

impl From<Chart> for ChartBody {
    fn from(chart: Chart) -> Self {
        Self {
            at: chart.at,
            cpu_cores: chart.cpu_cores,
            disk_read_bytes_s: chart.disk_read_bytes_s,
            disk_write_bytes_s: chart.disk_write_bytes_s,
            net_rx_bytes_s: chart.net_rx_bytes_s,
            net_tx_bytes_s: chart.net_tx_bytes_s,
            memory_kib: chart.memory_kib,
        }
    }
}
