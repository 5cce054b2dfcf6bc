//! The control plane's death in the middle of the play: `weir up` and its PostgreSQL are killed with `kill -9` while guests
//! work on both nodes, and started again some time later. What the second node took meanwhile must have been delivered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::Interrupt;
use super::plans::{GUESTS, GuestPlan, Site};
use super::records::GuestRecord;
use super::report::Check;
use super::scenario::Set;
use super::show::Show;
use super::weir::Weir;

/// How long the control plane is away at least: several readings.
const AWAY: Duration = Duration::from_secs(8);
/// Guests boot within it, and the one that is to be killed does its work within it.
const LIMIT: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(100);

/// From when to when nobody listened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// `weir reading show`, of one instance in the time of the outage.
#[derive(Deserialize)]
struct Readings {
    instance: Vec<Epoch>,
}

#[derive(Deserialize)]
struct Epoch {
    last: Reading,
}

#[derive(Deserialize)]
struct Reading {
    observed_at: Timestamp,
}

impl Outage {
    /// Readings of the second node's guests were taken while nobody listened, and are there.
    pub(super) fn checks(&self, weir: &Weir, records: &[GuestRecord]) -> Result<Vec<Check>> {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let far = records.iter().filter(|record| record.plan.site == Site::Far);
        far.map(|record| {
            let span = ["--from", from.as_str(), "--to", to.as_str()];
            let readings: Readings =
                weir.ask(&[&["reading", "show", &record.instance_id], span.as_slice()].concat())?;
            let last = readings.instance.iter().map(|epoch| epoch.last.observed_at).max();
            let is_there = last.is_some_and(|last| self.from < last && last < self.to);
            let what = format!("{}: what its node read during the outage was delivered", record.plan.name);
            Ok(Check::new(what, is_there, "there is no reading from that time"))
        })
        .collect()
    }
}

/// What the actors tell each other.
#[derive(Debug, Default)]
pub(super) struct Moments {
    is_away: AtomicBool,
    is_killed: AtomicBool,
    is_back: AtomicBool,
}

impl Moments {
    /// Until the control plane has been killed.
    pub(super) fn wait_until_away(&self, interrupt: &Interrupt) -> Result<()> {
        wait(interrupt, "the outage did not come", || self.is_away.load(Ordering::Relaxed))
    }

    /// Until it is back.
    pub(super) fn wait_until_back(&self, interrupt: &Interrupt) -> Result<()> {
        wait(interrupt, "the control plane did not come back", || self.is_back.load(Ordering::Relaxed))
    }

    /// The guest that is to be killed meanwhile is.
    pub(super) fn note_kill(&self) {
        self.is_killed.store(true, Ordering::Relaxed);
    }
}

/// Plays it, once all guests have begun their work.
pub(super) fn play(set: &Set<'_>, show: &Show) -> Result<Outage> {
    let has_begun = |plan: &GuestPlan| 0 < set.platform.server(plan.site).marks(&plan.mark("begun"));
    wait(set.interrupt, "the guests did not begin their work", || GUESTS.iter().all(has_begun))?;
    let held = set.weir.hold();
    let killed = set.weir.kill()?;
    let (from, began) = (Timestamp::now(), Instant::now());
    show.note(&format!(
        "kill -9: weir up and PostgreSQL ({killed}); the guests work on, the second node meters on"
    ));
    set.moments.is_away.store(true, Ordering::Relaxed);
    let is_killed = || set.moments.is_killed.load(Ordering::Relaxed);
    wait(set.interrupt, "no guest was killed during the outage", is_killed)?;
    set.interrupt.sleep(AWAY.saturating_sub(began.elapsed()))?;
    let to = Timestamp::now();
    set.weir.start_again(set.interrupt)?;
    drop(held);
    set.moments.is_back.store(true, Ordering::Relaxed);
    let seconds = began.elapsed().as_secs();
    show.note(&format!("weir up is back after {seconds} s; the second node delivers what it kept"));
    Ok(Outage { from, to })
}

fn wait(interrupt: &Interrupt, what_did_not: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        if Instant::now() >= end {
            bail!("{what_did_not} within {} s", LIMIT.as_secs());
        }
        interrupt.sleep(POLL)?;
    }
    Ok(())
}
