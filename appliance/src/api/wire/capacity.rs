//! Nodes, and how full they are.

use jiff::Timestamp;
use jiff::civil::Date;
use nodes::registry;
use reports::capacity::{CapacityView, ForecastView, NodeView, ResourceView, Share, Verdict};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A KVM host.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeBody {
    /// Its id.
    pub node_id: Uuid,
    /// Its name.
    pub name: String,
    /// The latest reading that came from it.
    pub last_observed_at: Option<Timestamp>,
    /// The highest batch of readings that came from it.
    pub last_seq: u64,
    /// `active`, or `draining`: metered, but nothing new is placed on it.
    pub state: String,
    /// When it joined. Null: the control plane's own.
    pub joined_at: Option<Timestamp>,
    /// The release of Weir on it. Null: it has not said.
    pub release: Option<String>,
    /// When it was last heard, by the control plane's clock.
    pub last_heard_at: Option<Timestamp>,
    /// Its wall clock minus the control plane's, in microseconds, when it last delivered.
    pub clock_error_us: Option<i64>,
    /// Batches of readings that wait on it, as it said when it was last heard.
    pub backlog_batches: Option<u64>,
    /// When its certificate ends. Null: it needs none.
    pub certificate_expires_at: Option<Timestamp>,
    /// Instances on it.
    pub instances: u64,
}

/// How full the nodes are, and when they are full.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Capacity)]
pub struct CapacityBody {
    /// When it was made.
    pub as_of: Timestamp,
    /// All nodes that still speak, together; null: there is none.
    pub total: Option<NodeCapacityBody>,
    /// Each node.
    pub nodes: Vec<NodeCapacityBody>,
    /// What to know before the figures are trusted, and what mends it.
    pub warnings: Vec<String>,
    /// How the forecasts are made.
    pub method: String,
}

/// A node, or all of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NodeCapacity)]
pub struct NodeCapacityBody {
    /// Null: all together.
    pub node_id: Option<Uuid>,
    /// What it is called.
    pub name: String,
    /// When it was read last.
    pub last_observed_at: Option<Timestamp>,
    /// Whether it has not been read for ten minutes.
    pub is_silent: bool,
    /// Its processors.
    pub cpu: CapacityOf,
    /// Its memory.
    pub memory: CapacityOf,
    /// Its storage pools.
    pub storage: CapacityOf,
    /// What is full first, in one sentence.
    pub summary: String,
    /// The complete days that the figures stand on.
    pub stands_on: String,
    /// What is wrong with it.
    pub warnings: Vec<String>,
}

/// What there is of something, and what is gone of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CapacityOf {
    /// `cores`, `GiB` or `TiB`.
    #[schema(example = "GiB")]
    pub unit: String,
    /// All there is.
    pub physical: f64,
    /// What was promised to instances.
    pub allocated: ShareBody,
    /// What is in use; null: not known yet.
    pub used: Option<ShareBody>,
    /// When the use was measured.
    pub used_when: String,
    /// When it is full.
    pub forecasts: Vec<ForecastBody>,
}

/// A part of what there is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Share)]
pub struct ShareBody {
    /// How much, in the unit.
    pub amount: f64,
    /// Of the physical size; more than 100 when it is overcommitted; null: that is not known.
    pub percent: Option<f64>,
}

/// When something is full.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Forecast)]
pub struct ForecastBody {
    /// What fills.
    #[schema(example = "Allocated memory")]
    pub what: String,
    /// `not_enough_data`, `not_growing`, `full`, `in` or `beyond_horizon`.
    pub verdict: String,
    /// What is full when it is reached, in the unit.
    pub limit: f64,
    /// What it grows by in a day, in the unit: likely.
    pub slope_per_day: Option<f64>,
    /// The slow end of the range of 90 % confidence.
    pub slope_per_day_slow: Option<f64>,
    /// The fast end.
    pub slope_per_day_fast: Option<f64>,
    /// Days until it is full, likely; null: not within the horizon.
    pub days_until_full: Option<u32>,
    /// The same by the fast end.
    pub days_until_full_earliest: Option<u32>,
    /// The same by the slow end; null: not within the horizon, or never.
    pub days_until_full_latest: Option<u32>,
    /// The likely day.
    pub full_on: Option<Date>,
    /// That in one sentence.
    pub sentence: String,
    /// The days that it stands on.
    pub stands_on: String,
    /// Their figures.
    pub points: Vec<DayPoint>,
}

/// A figure of a day.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DayPoint {
    /// The day, in UTC.
    pub day: Date,
    /// The figure, in the unit.
    pub value: f64,
}

impl From<&registry::Node> for NodeBody {
    fn from(node: &registry::Node) -> Self {
        Self {
            node_id: node.node_id.uuid(),
            name: node.name.clone(),
            last_observed_at: node.last_observed_at,
            last_seq: node.last_seq,
            state: node.state.as_str().to_owned(),
            joined_at: node.joined_at,
            release: node.release.clone(),
            last_heard_at: node.last_heard_at,
            clock_error_us: node.clock_error.map(|error| error.as_micros().try_into().unwrap_or(i64::MAX)),
            backlog_batches: node.backlog_batches,
            certificate_expires_at: node.certificate_expires_at,
            instances: node.instances,
        }
    }
}

impl From<&CapacityView> for CapacityBody {
    fn from(view: &CapacityView) -> Self {
        Self {
            as_of: view.as_of,
            total: view.total.as_ref().map(NodeCapacityBody::from),
            nodes: view.nodes.iter().map(NodeCapacityBody::from).collect(),
            warnings: view.warnings.clone(),
            method: view.method.to_owned(),
        }
    }
}

impl From<&NodeView> for NodeCapacityBody {
    fn from(node: &NodeView) -> Self {
        Self {
            node_id: node.node_id.map(metering::NodeId::uuid),
            name: node.name.clone(),
            last_observed_at: node.last_observed_at,
            is_silent: node.is_silent,
            cpu: (&node.cpu).into(),
            memory: (&node.memory).into(),
            storage: (&node.storage).into(),
            summary: node.summary.clone(),
            stands_on: node.stands_on.clone(),
            warnings: node.warnings.clone(),
        }
    }
}

impl From<&ResourceView> for CapacityOf {
    fn from(view: &ResourceView) -> Self {
        Self {
            unit: view.unit.as_str().to_owned(),
            physical: view.physical.value,
            allocated: (&view.allocated).into(),
            used: view.used.as_ref().map(ShareBody::from),
            used_when: view.used_when.clone(),
            forecasts: view.forecasts.iter().map(ForecastBody::from).collect(),
        }
    }
}

impl From<&Share> for ShareBody {
    fn from(share: &Share) -> Self {
        Self { amount: share.amount.value, percent: share.percent }
    }
}

impl From<&ForecastView> for ForecastBody {
    fn from(view: &ForecastView) -> Self {
        let (forecast, days) = (&view.forecast, view.forecast.days_until_full);
        let slope = |line: fn(&reports::capacity::Trend) -> f64| forecast.trend.as_ref().map(line);
        Self {
            what: view.what.to_owned(),
            verdict: match forecast.verdict {
                Verdict::NotEnoughData => "not_enough_data",
                Verdict::NotGrowing => "not_growing",
                Verdict::Full => "full",
                Verdict::In => "in",
                Verdict::BeyondHorizon => "beyond_horizon",
            }
            .to_owned(),
            limit: forecast.limit,
            slope_per_day: slope(|trend| trend.likely.slope_per_day),
            slope_per_day_slow: slope(|trend| trend.slow.slope_per_day),
            slope_per_day_fast: slope(|trend| trend.fast.slope_per_day),
            days_until_full: days.and_then(|days| days.likely),
            days_until_full_earliest: days.and_then(|days| days.earliest),
            days_until_full_latest: days.and_then(|days| days.latest),
            full_on: forecast.full_on,
            sentence: view.sentence.clone(),
            stands_on: view.stands_on.clone(),
            points: view.points.iter().map(|(day, value)| DayPoint { day: *day, value: *value }).collect(),
        }
    }
}
