//! Capacity, ready to show: each node and all together, with figures, percents, forecasts and what they stand on.
//!
//! Page, PDF and API are made from this one view, so they say the same. It decides no layout.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::NodeId;
use serde::Serialize;
use usage::capacity::{Figures, NodeCapacity, NodeDay};

use super::amounts::{Amount, Share, Unit, short};
use super::forecast::{DAYS_BACK_MAX, Forecast, Verdict, forecast};
use crate::text::shown_or;
use crate::times::instant;

/// A node that has not been read for so long is silent: ten readings are missing.
pub const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// A day of which less was observed is left out: the first day of a node, or one with an outage, would pass for a small one.
pub const DAY_OBSERVED_MIN: f64 = 0.9;

/// A forecast needs a complete day within so many days: a week-end without a collector is forgiven, a node that was
/// taken away is not drawn on.
pub const STALE_DAYS: i32 = 4;

/// Said where there is no figure.
const NOT_KNOWN: &str = "not known yet";

/// Longest name of a node within a sentence.
const NAME_MAX: usize = 64;

/// All nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CapacityView {
    /// When it was made.
    pub as_of: Timestamp,
    /// The same as it is read, in UTC like the days.
    pub as_of_text: String,
    /// All nodes that still speak, together; `None` if there is none.
    pub total: Option<NodeView>,
    /// Each node, in the order given.
    pub nodes: Vec<NodeView>,
    /// What to know before the figures are trusted, with what mends it.
    pub warnings: Vec<String>,
    /// How the forecasts are made.
    pub method: &'static str,
}

/// A node, or all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeView {
    /// `None` for all together.
    pub node_id: Option<NodeId>,
    /// As it is called; a foreign text.
    pub name: String,
    /// When it was read last.
    pub last_observed_at: Option<Timestamp>,
    /// Not read for [`SILENT_AFTER`].
    pub is_silent: bool,
    /// Its processor.
    pub cpu: ResourceView,
    /// Its memory.
    pub memory: ResourceView,
    /// Its storage pools.
    pub storage: ResourceView,
    /// What is full first, if anything is within the horizon.
    pub fills_first: Option<FillsFirst>,
    /// That in one sentence, or why there is none.
    pub summary: String,
    /// The complete days that the figures stand on.
    pub stands_on: String,
    /// What is wrong with it.
    pub warnings: Vec<String>,
}

/// What fills first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FillsFirst {
    /// `Allocated memory`.
    pub what: &'static str,
    /// Days from [`CapacityView::as_of`] on; 0 if it is full.
    pub days: u32,
    /// The likely day; `None` if it is full.
    pub full_on: Option<Date>,
}

/// One resource of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResourceView {
    /// `CPU`, `Memory`, `Storage`.
    pub title: &'static str,
    /// What its figures are in.
    pub unit: Unit,
    /// All there is.
    pub physical: Amount,
    /// What was promised to instances: those that run for CPU and memory, all volumes for storage.
    pub allocated: Share,
    /// What is in use; `None` if that is not known yet.
    pub used: Option<Share>,
    /// When `used` was measured: `mean of 2026-11-20`, `now`, `not known yet`.
    pub used_when: String,
    /// vCPUs for each core, of the CPU only.
    pub overcommit: Option<Amount>,
    /// What can fill.
    pub forecasts: Vec<ForecastView>,
}

/// One figure of a resource, through the days.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ForecastView {
    /// `Allocated memory`.
    pub what: &'static str,
    /// What its figures are in.
    pub unit: Unit,
    /// Complete days with their figure, as many as can count.
    pub points: Vec<(Date, f64)>,
    /// When it is full; its days are counted from [`CapacityView::as_of`].
    pub forecast: Forecast,
    /// That in one sentence.
    pub sentence: String,
    /// `30 complete days, 2026-10-21 to 2026-11-19`.
    pub stands_on: String,
}

/// A figure's name, and where it is.
type Column = (&'static str, fn(&Sums) -> f64);

/// What a node and all nodes have in common.
struct Source<'a> {
    cpus: f64,
    memory_kib: f64,
    storage_kib: f64,
    now: Now,
    days: &'a [Day],
    today: Date,
}

/// A complete day.
#[derive(Clone, Copy, Debug, Default)]
struct Day {
    day: Date,
    sums: Sums,
}

/// The present figures of one node or of many. What one of them does not know, all do not know.
#[derive(Clone, Copy, Debug)]
struct Now {
    vcpus: f64,
    allocated_memory_kib: f64,
    allocated_storage_kib: f64,
    used_cpu: Option<f64>,
    used_memory_kib: Option<f64>,
    used_storage_kib: Option<f64>,
}

/// The figures of a day, of one node or of many.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    allocated_memory_kib: f64,
    allocated_storage_kib: f64,
    /// Mean busy cores.
    used_cpu: f64,
    used_memory_kib: f64,
    used_storage_kib: f64,
}

/// What `nodes` show at `now`.
#[must_use]
pub fn view(nodes: &[NodeCapacity], now: Timestamp) -> CapacityView {
    let today = now.to_zoned(TimeZone::UTC).date();
    let views: Vec<NodeView> = nodes.iter().map(|node| one(node, now, today)).collect();
    let mut warnings: Vec<String> = views.iter().flat_map(|node| node.warnings.clone()).collect();
    let (counted, left_out): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| still_speaks(node, now));
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.iter().map(|node| name_of(node)).collect();
        warnings.push(format!(
            "The total is without {}, silent for more than {STALE_DAYS} days.",
            names.join(", ")
        ));
    }
    CapacityView {
        as_of: now,
        as_of_text: instant(Timestamp::from_second(now.as_second()).unwrap_or(now), &TimeZone::UTC),
        total: (!counted.is_empty()).then(|| all(&counted, now, today)),
        nodes: views,
        warnings,
        method: "Only complete days (UTC) count, at most the last 90. The trend is the median of the slopes between all pairs \
                 of days, which a single odd day does not move; the range is its 90 % confidence interval, which takes \
                 days as independent of each other. A forecast needs 7 days and looks 5 years ahead. Physical memory is \
                 what the node has; what its own system needs is part of what is used.",
    }
}

fn one(node: &NodeCapacity, now: Timestamp, today: Date) -> NodeView {
    let days = complete(&node.days);
    let source = Source {
        cpus: f64::from(node.cpus),
        memory_kib: float(node.memory_total_kib),
        storage_kib: float(node.storage_total_kib),
        now: Now::of(&node.now),
        days: &days,
        today,
    };
    let is_silent = node.last_observed_at.is_none_or(|at| now.duration_since(at) > SILENT_AFTER);
    let unread = node.cpus == 0 && node.memory_total_kib == 0 && node.last_observed_at.is_some();
    let unread = unread
        .then(|| format!("{} says nothing of its own size yet: the total is without it.", name_of(node)));
    let warnings = is_silent.then(|| silence(node)).into_iter().chain(unread).collect();
    NodeView {
        node_id: Some(node.node_id),
        last_observed_at: node.last_observed_at,
        is_silent,
        warnings,
        ..source.shown(node.name.clone())
    }
}

fn all(nodes: &[&NodeCapacity], now: Timestamp, today: Date) -> NodeView {
    let sum = |of: fn(&NodeCapacity) -> u64| nodes.iter().map(|node| float(of(node))).sum();
    let days = together(nodes);
    let source = Source {
        cpus: sum(|node| u64::from(node.cpus)),
        memory_kib: sum(|node| node.memory_total_kib),
        storage_kib: sum(|node| node.storage_total_kib),
        now: nodes.iter().fold(Now::NOTHING, |sums, node| sums.and(Now::of(&node.now))),
        days: &days,
        today,
    };
    let last_observed_at = nodes.iter().filter_map(|node| node.last_observed_at).min();
    let name = match nodes.len() {
        1 => "All nodes (1)".to_owned(),
        count => format!("All {count} nodes"),
    };
    let is_silent = last_observed_at.is_none_or(|at| now.duration_since(at) > SILENT_AFTER);
    NodeView { last_observed_at, is_silent, ..source.shown(name) }
}

/// The days on which every node that was there by then has a complete day: a sum with a node missing is no smaller sum.
fn together(nodes: &[&NodeCapacity]) -> Vec<Day> {
    let by_node: Vec<BTreeMap<Date, Sums>> = nodes
        .iter()
        .map(|node| complete(&node.days).into_iter().map(|day| (day.day, day.sums)).collect())
        .collect();
    let days: BTreeSet<Date> = by_node.iter().flat_map(|days| days.keys().copied()).collect();
    let sum = |day: Date| {
        let there = by_node.iter().filter(|days| days.keys().next().is_some_and(|first| *first <= day));
        let sums = there
            .map(|days| days.get(&day).copied())
            .try_fold(Sums::default(), |sums, of| Some(sums.and(of?)));
        sums.map(|sums| Day { day, sums })
    };
    days.into_iter().filter_map(sum).collect()
}

impl Source<'_> {
    fn shown(&self, name: String) -> NodeView {
        let (cpu, memory, storage) = (self.cpu(), self.memory(), self.storage());
        let forecasts = || [&cpu, &memory, &storage].into_iter().flat_map(|resource| &resource.forecasts);
        let fills_first = fills_first(forecasts());
        let summary = summary(fills_first.as_ref(), forecasts());
        let stands_on = cpu.forecasts.first().map(|first| first.stands_on.clone()).unwrap_or_default();
        NodeView {
            node_id: None,
            name,
            last_observed_at: None,
            is_silent: false,
            summary,
            stands_on,
            fills_first,
            cpu,
            memory,
            storage,
            warnings: Vec::new(),
        }
    }

    fn cpu(&self) -> ResourceView {
        let allocated = Amount::new(self.now.vcpus, "vCPUs");
        let used = self.used_cpu();
        let ratio = (self.cpus > 0.0).then(|| self.now.vcpus / self.cpus);
        let overcommit =
            ratio.map(|value| Amount { value, text: format!("{} vCPUs per core", short(value)) });
        ResourceView {
            title: "CPU",
            unit: Unit::Cores,
            physical: Amount::new(self.cpus, "cores"),
            allocated: Share::of(allocated, self.cpus),
            used: used.as_ref().map(|(cores, _)| Share::of(Amount::new(*cores, "cores"), self.cpus)),
            used_when: used.map_or_else(|| NOT_KNOWN.to_owned(), |(_, when)| when),
            overcommit,
            forecasts: vec![self.forecast("Used CPU", Unit::Cores, self.cpus, |sums| sums.used_cpu)],
        }
    }

    /// Mean busy cores of the last complete day; before there is one, of the last minutes.
    fn used_cpu(&self) -> Option<(f64, String)> {
        let day = self.days.last().map(|day| (day.sums.used_cpu, format!("mean of {}", day.day)));
        day.or_else(|| self.now.used_cpu.map(|cores| (cores, "now".to_owned())))
    }

    fn memory(&self) -> ResourceView {
        let figures: [Column; 2] = [
            ("Allocated memory", |sums| sums.allocated_memory_kib),
            ("Used memory", |sums| sums.used_memory_kib),
        ];
        let now = (self.now.allocated_memory_kib, self.now.used_memory_kib);
        self.in_kib("Memory", self.memory_kib, now, figures)
    }

    fn storage(&self) -> ResourceView {
        let figures: [Column; 2] = [
            ("Allocated storage", |sums| sums.allocated_storage_kib),
            ("Used storage", |sums| sums.used_storage_kib),
        ];
        let now = (self.now.allocated_storage_kib, self.now.used_storage_kib);
        self.in_kib("Storage", self.storage_kib, now, figures)
    }

    /// A resource in KiB: what of it is allocated and used, now and through the days.
    fn in_kib(
        &self,
        title: &'static str,
        physical_kib: f64,
        (allocated_kib, used_kib): (f64, Option<f64>),
        figures: [Column; 2],
    ) -> ResourceView {
        let unit = Unit::for_kib(physical_kib);
        let physical = unit.of_kib(physical_kib);
        let share = |kib: f64| Share::of(Amount::new(unit.of_kib(kib), unit.as_str()), physical);
        ResourceView {
            title,
            unit,
            physical: Amount::new(physical, unit.as_str()),
            allocated: share(allocated_kib),
            used: used_kib.map(share),
            used_when: used_kib.map_or(NOT_KNOWN, |_| "now").to_owned(),
            overcommit: None,
            forecasts: figures.map(|(what, of)| self.forecast(what, unit, physical, of)).to_vec(),
        }
    }

    fn forecast(&self, what: &'static str, unit: Unit, limit: f64, of: fn(&Sums) -> f64) -> ForecastView {
        let counted = self.days.len().saturating_sub(DAYS_BACK_MAX as usize);
        let points: Vec<(Date, f64)> =
            self.days[counted..].iter().map(|day| (day.day, unit.of_kib(of(&day.sums)))).collect();
        let last = self.days.last().map(|day| day.day);
        let stale = last.filter(|day| day.until(self.today).is_ok_and(|span| span.get_days() > STALE_DAYS));
        let counted = if stale.is_some() { &[] } else { points.as_slice() };
        let forecast = forecast(counted, limit).as_of(self.today);
        let sentence = match stale {
            Some(day) => format!("No forecast: the newest complete day is {day}."),
            None if forecast.verdict == Verdict::Full && what.starts_with("Allocated") => {
                "All of it is allocated.".to_owned()
            }
            None => forecast.sentence(),
        };
        ForecastView { what, unit, stands_on: forecast.stands_on(), sentence, forecast, points }
    }
}

impl Now {
    const NOTHING: Self = Self {
        vcpus: 0.0,
        allocated_memory_kib: 0.0,
        allocated_storage_kib: 0.0,
        used_cpu: Some(0.0),
        used_memory_kib: Some(0.0),
        used_storage_kib: Some(0.0),
    };

    fn of(now: &Figures) -> Self {
        Self {
            vcpus: now.allocated_vcpus,
            allocated_memory_kib: float(now.allocated_memory_kib),
            allocated_storage_kib: float(now.allocated_storage_kib),
            used_cpu: now.used_cpu,
            used_memory_kib: now.used_memory_kib.map(float),
            used_storage_kib: now.used_storage_kib.map(float),
        }
    }

    fn and(self, other: Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            vcpus: self.vcpus + other.vcpus,
            allocated_memory_kib: self.allocated_memory_kib + other.allocated_memory_kib,
            allocated_storage_kib: self.allocated_storage_kib + other.allocated_storage_kib,
            used_cpu: both(self.used_cpu, other.used_cpu),
            used_memory_kib: both(self.used_memory_kib, other.used_memory_kib),
            used_storage_kib: both(self.used_storage_kib, other.used_storage_kib),
        }
    }
}

impl Sums {
    fn of_day(day: &NodeDay) -> Self {
        Self {
            allocated_memory_kib: float(day.allocated_memory_kib),
            allocated_storage_kib: float(day.allocated_storage_kib),
            used_cpu: day.used_cpu,
            used_memory_kib: float(day.used_memory_kib),
            used_storage_kib: float(day.used_storage_kib),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            allocated_memory_kib: self.allocated_memory_kib + other.allocated_memory_kib,
            allocated_storage_kib: self.allocated_storage_kib + other.allocated_storage_kib,
            used_cpu: self.used_cpu + other.used_cpu,
            used_memory_kib: self.used_memory_kib + other.used_memory_kib,
            used_storage_kib: self.used_storage_kib + other.used_storage_kib,
        }
    }
}

/// The complete days, in their order.
fn complete(days: &[NodeDay]) -> Vec<Day> {
    let mut complete: Vec<Day> = days
        .iter()
        .filter(|day| day.is_complete && day.observed >= DAY_OBSERVED_MIN)
        .map(|day| Day { day: day.day, sums: Sums::of_day(day) })
        .collect();
    complete.sort_by_key(|day| day.day);
    complete.dedup_by_key(|day| day.day);
    complete
}

fn still_speaks(node: &NodeCapacity, now: Timestamp) -> bool {
    let limit = SignedDuration::from_hours(24 * i64::from(STALE_DAYS));
    node.last_observed_at.is_some_and(|at| now.duration_since(at) <= limit)
}

fn silence(node: &NodeCapacity) -> String {
    let name = name_of(node);
    match node.last_observed_at {
        Some(at) => {
            let since = instant(Timestamp::from_second(at.as_second()).unwrap_or(at), &TimeZone::UTC);
            format!(
                "{name} is silent since {since}: its figures are those of then. Look whether its collector runs."
            )
        }
        None => format!("{name} was never read. Look whether its collector runs."),
    }
}

fn name_of(node: &NodeCapacity) -> String {
    shown_or(&node.name, NAME_MAX, "(no name)")
}

/// The earliest of the likely days; what is full is before all.
fn fills_first<'a>(forecasts: impl Iterator<Item = &'a ForecastView>) -> Option<FillsFirst> {
    let days = |of: &ForecastView| match of.forecast.verdict {
        Verdict::Full => Some(0),
        Verdict::In => of.forecast.days_until_full.and_then(|days| days.likely),
        Verdict::NotEnoughData | Verdict::NotGrowing | Verdict::BeyondHorizon => None,
    };
    let found = forecasts.filter_map(|of| Some((days(of)?, of)));
    let first = found.min_by_key(|(days, of)| (of.forecast.verdict != Verdict::Full, *days));
    first.map(|(days, of)| FillsFirst { what: of.what, days, full_on: of.forecast.full_on })
}

fn summary<'a>(first: Option<&FillsFirst>, mut forecasts: impl Iterator<Item = &'a ForecastView>) -> String {
    let Some(first) = first else {
        let known = |of: &ForecastView| of.forecast.verdict != Verdict::NotEnoughData;
        let all: Vec<&ForecastView> = forecasts.collect();
        return match all.iter().find(|of| !known(of)) {
            Some(unknown) if !all.iter().any(|of| known(of)) => unknown.sentence.clone(),
            _ => "Nothing is full within 5 years by its trend.".to_owned(),
        };
    };
    let sentence = forecasts.find(|of| of.what == first.what).map_or("", |of| of.sentence.as_str());
    let mut rest = sentence.chars();
    let sentence = rest.next().map(|head| head.to_lowercase().collect::<String>() + rest.as_str());
    format!("{}: {}", first.what, sentence.unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "a size to look at, not to bill")]
const fn float(value: u64) -> f64 {
    value as f64
}
