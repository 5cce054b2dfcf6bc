//! The judgement: what Weir says was used is what libvirt counted, to the byte, and the database's invariants hold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::guests::{Key, Worker};
use super::world::{TENANT, World};
use crate::demo::Interrupt;

/// How long everything may take to arrive and to be derived.
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_secs(1);
const INVARIANTS: &str = include_str!("../../sql/chaos.sql");
/// Invariants whose count must be zero.
const ZERO: [&str; 4] = ["double", "backward", "negative", "overfull"];

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) problems: Vec<String>,
    pub(super) counts: Vec<(String, u64)>,
    pub(super) comparisons: usize,
    /// Units that libvirt counted and Weir did not.
    pub(super) lost: u64,
    /// Units that Weir counted and libvirt did not.
    pub(super) double: u64,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    last_observed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Usage {
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    device: Option<String>,
    meter: String,
    quantity: u64,
}

/// Waits until everything was delivered, and compares.
pub(super) fn judge(world: &World, workers: &[Worker], interrupt: &Interrupt) -> Result<Verdict> {
    wait_until_delivered(world, interrupt)?;
    let end = Instant::now() + LIMIT;
    // Usage is derived a little after its readings; what is right once is compared once more below.
    loop {
        let verdict = compare(world, workers)?;
        if verdict.problems.is_empty() || end <= Instant::now() {
            return with_invariants(verdict, world, workers);
        }
        interrupt.sleep(POLL)?;
    }
}

fn wait_until_delivered(world: &World, interrupt: &Interrupt) -> Result<()> {
    let (at, end) = (Timestamp::now(), Instant::now() + LIMIT);
    loop {
        interrupt.check()?;
        let answer: Nodes = world.ask(&["node", "list"])?;
        let behind: Vec<_> = answer
            .nodes
            .iter()
            .filter(|node| node.last_observed_at.is_none_or(|last| last < at))
            .map(|node| format!("{} up to {:?}", node.name, node.last_observed_at))
            .collect();
        if behind.is_empty() && answer.nodes.len() == 2 {
            return Ok(());
        }
        if end <= Instant::now() {
            bail!("not delivered to {at} within {} s: {behind:?}", LIMIT.as_secs());
        }
        interrupt.sleep(POLL)?;
    }
}

fn compare(world: &World, workers: &[Worker]) -> Result<Verdict> {
    let (from, to) = world.span()?;
    let (from, to) = (from.to_string(), to.to_string());
    let usage: Usage = world.ask(&["usage", "show", "--tenant", TENANT, "--from", &from, "--to", &to])?;
    let mut used: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for record in usage.records {
        let key = (record.instance_id.unwrap_or_default(), record.device.unwrap_or_default(), record.meter);
        *used.entry(key).or_default() += record.quantity;
    }
    let mut verdict = Verdict::default();
    for worker in workers {
        for ((device, meter), truth) in &worker.truth {
            let key = (worker.instance_id().to_owned(), device.clone(), (*meter).to_owned());
            verdict.compare(worker.name(), &(device.clone(), *meter), *truth, used.get(&key).copied());
        }
    }
    Ok(verdict)
}

impl Verdict {
    fn compare(&mut self, guest: &str, (device, meter): &Key, truth: u64, used: Option<u64>) {
        self.comparisons += 1;
        let said = used.unwrap_or(0);
        self.lost += truth.saturating_sub(said);
        self.double += said.saturating_sub(truth);
        if used != Some(truth) {
            self.problems.push(format!("{guest} {device} {meter}: libvirt {truth}, Weir {used:?}"));
        }
    }
}

fn with_invariants(mut verdict: Verdict, world: &World, workers: &[Worker]) -> Result<Verdict> {
    let lives = workers.iter().map(|worker| worker.lives).sum();
    verdict.counts.push(("lives of guests".to_owned(), lives));
    for line in world.query(INVARIANTS)?.lines() {
        let (name, count) = line.split_once('|').with_context(|| format!("psql printed {line:?}"))?;
        let count: u64 = count.parse().with_context(|| format!("psql printed {line:?}"))?;
        if ZERO.contains(&name) {
            verdict.comparisons += 1;
            if count != 0 {
                verdict.problems.push(format!("{count} rows are {name}"));
            }
        }
        verdict.counts.push((name.to_owned(), count));
    }
    Ok(verdict)
}
