//! What capacity is made of, until `usage::capacity` is there.
#![expect(missing_docs, reason = "the names are those of the contract; the usage room documents them")]

use jiff::Timestamp;
use jiff::civil::Date;
use metering::NodeId;

#[derive(Clone, Debug, PartialEq)]
pub struct NodeCapacity {
    pub node_id: NodeId,
    pub name: String,
    pub last_observed_at: Option<Timestamp>,
    pub cpus: u64,
    pub memory_total_kib: u64,
    pub storage_total_kib: u64,
    pub now: Figures,
    pub days: Vec<NodeDay>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub allocated_vcpus: u64,
    pub allocated_memory_kib: u64,
    pub allocated_storage_kib: u64,
    pub used_memory_kib: u64,
    pub used_storage_kib: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeDay {
    pub day: Date,
    pub allocated_vcpus: f64,
    pub allocated_memory_kib: u64,
    pub allocated_storage_kib: u64,
    pub used_cpu: f64,
    pub used_memory_kib: u64,
    pub used_storage_kib: u64,
    pub is_complete: bool,
}
