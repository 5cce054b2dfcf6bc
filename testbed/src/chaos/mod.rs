//! A campaign against the whole product: a control plane and a node that joined, guests that do known work on both, and
//! faults at random from a list, for a given time. At its end every byte must have been billed once.
//!
//! Ends of guests come while their node's collector is at work and nothing else is wrong with that node (the control plane may
//! well be away): what is then on the disks' counters and had not been read is the one thing that can be lost, and
//! docs/metering.md bounds it. It judges by whole numbers only.

mod faults;
mod guests;
mod oracle;
mod world;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use self::faults::{Active, Fault};
use self::guests::{Site, Worker};
use self::oracle::Verdict;
use self::world::World;
use crate::demo::Interrupt;
use crate::faults::Random;

/// Between two looks at everybody.
const TICK: Duration = Duration::from_millis(200);
/// Faults at the same time.
const AT_ONCE: usize = 2;
/// The longest pause before the next fault.
const PAUSE_MS: u64 = 3_000;
/// A campaign that hangs is ended so long after its time.
const GRACE: Duration = Duration::from_secs(300);
/// Between two ends of lives: each keeps the campaign from faults for some 10 s.
const END_INTERVAL: Duration = Duration::from_secs(25);
/// Guests on each node.
const GUESTS_PER_NODE: usize = 2;

/// What `weir-chaos` was asked to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary under test.
    pub weir: PathBuf,
    /// How long faults come.
    pub duration: Duration,
    /// From which everything random is drawn.
    pub seed: u64,
    /// Each fault once, in a fixed order, instead of at random.
    pub once_each: bool,
}

/// Runs a campaign. `Ok(true)` when nothing was lost and nothing counted twice.
pub fn run(options: &Options, interrupt: &Interrupt) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        bail!("chaos kills processes and mounts disks, which needs root; run: sudo make chaos");
    }
    crate::daemons::ensure()?;
    println!("chaos: WEIR_SEED={} for {} s", options.seed, options.duration.as_secs());
    let mut campaign = Campaign::begin(options, interrupt)?;
    let outcome = campaign.play(options).and_then(|()| campaign.judge());
    match outcome {
        Ok(verdict) => {
            campaign.print(&verdict);
            if !verdict.problems.is_empty() {
                campaign.world.keep()?;
            }
            Ok(verdict.problems.is_empty())
        }
        Err(error) => {
            eprintln!("{}", campaign.world.log_tails());
            Err(error)
        }
    }
}

struct Campaign<'a> {
    interrupt: &'a Interrupt,
    random: Random,
    world: World,
    workers: Vec<Worker>,
    active: Vec<Active>,
    log: Vec<Fault>,
    begun: Instant,
}

impl<'a> Campaign<'a> {
    fn begin(options: &Options, interrupt: &'a Interrupt) -> Result<Self> {
        let begun = Instant::now();
        let mut random = Random::new(options.seed);
        let world = World::start(&options.weir, random.below(u64::MAX), interrupt)?;
        let mut workers = Vec::new();
        for site in [Site::Near, Site::Far] {
            for number in 0..if options.once_each { 1 } else { GUESTS_PER_NODE } {
                workers.push(Worker::start(&world, site, number, &mut random)?);
            }
        }
        let (active, log) = (Vec::new(), Vec::new());
        Ok(Self { interrupt, random, world, workers, active, log, begun })
    }

    fn play(&mut self, options: &Options) -> Result<()> {
        let end = Instant::now() + options.duration;
        let mut next = Instant::now() + Duration::from_secs(1);
        let mut next_end = Instant::now() + END_INTERVAL;
        let mut left: Vec<Fault> = if options.once_each { Fault::short_list() } else { Vec::new() };
        left.reverse();
        while Instant::now() < end || (options.once_each && !left.is_empty()) {
            if Instant::now() >= end + GRACE {
                bail!("the campaign does not end");
            }
            self.interrupt.sleep(TICK)?;
            self.heal_due()?;
            self.world.supervise()?;
            if next_end <= Instant::now()
                && let Some(index) = self.one_that_is_done()
            {
                self.end_life(index, true)?;
                next_end = Instant::now() + END_INTERVAL;
            } else if next <= Instant::now() && self.active.len() < AT_ONCE {
                let fault = match options.once_each {
                    true => left.pop(),
                    false => Some(Fault::draw(&mut self.random, self.workers.len())),
                };
                if let Some(fault) = fault {
                    self.inject(fault)?;
                }
                next = Instant::now() + Duration::from_millis(500 + self.random.below(PAUSE_MS));
            }
        }
        Ok(())
    }

    fn one_that_is_done(&mut self) -> Option<usize> {
        let done: Vec<_> = (0..self.workers.len()).filter(|index| self.workers[*index].is_done()).collect();
        let drawn = self.random.below(done.len() as u64);
        done.get(usize::try_from(drawn).ok()?).copied()
    }

    fn inject(&mut self, fault: Fault) -> Result<()> {
        if self.active.iter().any(|active| active.fault.target() == fault.target()) {
            return Ok(());
        }
        let lasts = Duration::from_millis(fault.shortest_ms() + self.random.below(fault.spread_ms()));
        if !fault.inject(&mut self.world, &self.workers)? {
            return Ok(());
        }
        self.say(&format!("{fault}{}, for {} ms", fault.by_how_much(), lasts.as_millis()));
        self.log.push(fault);
        self.active.push(Active { fault, heal_at: Instant::now() + lasts });
        Ok(())
    }

    fn heal_due(&mut self) -> Result<()> {
        self.heal(|active| active.heal_at <= Instant::now())
    }

    fn heal(&mut self, which: impl Fn(&Active) -> bool) -> Result<()> {
        for index in (0..self.active.len()).rev() {
            if which(&self.active[index]) {
                let healed = self.active.remove(index);
                healed.fault.heal(&mut self.world, &self.workers)?;
                self.say(&format!("healed: {}", healed.fault));
            }
        }
        Ok(())
    }

    /// A guest's life ends, by `virsh destroy` or `kill -9`, and the next begins.
    fn end_life(&mut self, index: usize, again: bool) -> Result<()> {
        let site = self.workers[index].site();
        self.heal(|active| active.fault.touches(site))?;
        self.world.wait_until_reading(site, self.interrupt)?;
        let by_force = self.random.below(2) == 0;
        self.workers[index].end(&self.world, by_force, self.interrupt)?;
        let how = if by_force { "kill -9" } else { "virsh destroy" };
        self.say(&format!("{} ended its life by {how}", self.workers[index].name()));
        self.log.push(if by_force { Fault::KillGuest } else { Fault::DestroyGuest });
        if again { self.workers[index].start_again() } else { Ok(()) }
    }

    fn judge(&mut self) -> Result<Verdict> {
        self.say("the faults are over: all guests end, everything is delivered");
        self.heal(|_| true)?;
        for index in 0..self.workers.len() {
            self.workers[index].wait_until_done(self.interrupt)?;
            self.world.supervise()?;
            self.end_life(index, false)?;
        }
        oracle::judge(&self.world, &self.workers, self.interrupt)
    }

    fn say(&self, what: &str) {
        println!("[{:>6.1} s] {what}", self.begun.elapsed().as_secs_f32());
    }

    fn print(&self, verdict: &Verdict) {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["what", "count"]);
        let mut kinds: Vec<String> = self.log.iter().map(Fault::to_string).collect();
        kinds.sort();
        for group in kinds.chunk_by(|one, other| one == other) {
            table.add_row([group[0].clone(), group.len().to_string()]);
        }
        table.add_row(["restarts by the supervisor".to_owned(), self.world.restarts().to_string()]);
        for (name, count) in &verdict.counts {
            table.add_row([name.clone(), count.to_string()]);
        }
        println!("{table}");
        for problem in &verdict.problems {
            println!("NOT RIGHT: {problem}");
        }
        println!(
            "{} faults, {} comparisons, lost {}, double {}: {}",
            self.log.len(),
            verdict.comparisons,
            verdict.lost,
            verdict.double,
            if verdict.problems.is_empty() { "all right" } else { "NOT RIGHT" }
        );
    }
}
