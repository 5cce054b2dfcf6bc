//! The demo: drives the binary `weir` from outside, as its user would, on five real guests of two nodes, and compares every
//! figure.
//!
//! It knows Weir's command line and JSON only. Comparing and money are pure ([`judge`], [`money`]); the guests' play is
//! [`scenario`], the control plane's death in its middle [`outage`]; what must be removed again is [`stage`].

mod claims;
mod invoices;
pub mod judge;
mod mail;
pub mod money;
mod node;
mod outage;
mod plans;
mod portal;
mod records;
mod report;
mod scenario;
mod show;
mod stage;
mod table;
mod truths;
mod weir;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use self::claims::Claims;
use self::outage::{Moments, Outage};
use self::plans::GUESTS;
use self::records::GuestRecord;
use self::report::Report;
use self::show::Show;
use self::stage::{Platform, Stage};
use self::weir::Weir;
use crate::guest_image::GuestImage;
use crate::{daemons, guest_image};

/// What `weir-demo` was asked to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary to drive.
    pub weir: PathBuf,
    /// Price plan of both tenants.
    pub plan: PathBuf,
    /// Weir's data; made anew, kept afterwards.
    pub data: PathBuf,
    /// Where invoices and the report go.
    pub output: PathBuf,
    /// How long the guests are metered at least.
    pub metered: Duration,
}

/// Set by Ctrl-C and SIGTERM, and by the first guest that fails; looked at in every wait.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicBool>,
    failure: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over SIGINT and SIGTERM.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.signal))
                .context("cannot watch for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// An error when it is time to end.
    pub fn check(&self) -> Result<()> {
        if self.signal.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if self.failure.load(Ordering::Relaxed) {
            bail!("another guest failed");
        }
        Ok(())
    }

    fn fail(&self) {
        self.failure.store(true, Ordering::Relaxed);
    }

    /// Sleeps, unless it is time to end.
    pub(crate) fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Runs the demo to its end. `Ok(true)` when every figure is right; whatever it made is gone afterwards, also on errors.
pub fn run(options: &Options, interrupt: &Interrupt) -> Result<bool> {
    check_can_run(options)?;
    let show = Show::new();
    let mut stage = Stage::prepare(options, &show)?;
    let outcome = play(options, &mut stage, interrupt, &show);
    let weir_log = stage.weir_log().to_path_buf();
    show.step("removing guests, network and processes of the demo");
    stage.clear();
    match outcome {
        Ok(report) => {
            show.end();
            conclude(options, &report)
        }
        Err(error) => {
            show.end();
            eprintln!("{}", weir::log_tail(&weir_log));
            Err(error)
        }
    }
}

fn check_can_run(options: &Options) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the demo starts libvirt and guests, which needs root; run: sudo make demo");
    }
    for (what, path, mend) in [
        ("the binary weir", &options.weir, "build it with `cargo build --bins`, or name it with --weir"),
        ("the price plan", &options.plan, "name one with --plan"),
    ] {
        if !path.is_file() {
            bail!("{what} is not at {}; {mend}", path.display());
        }
    }
    Ok(())
}

fn play(options: &Options, stage: &mut Stage, interrupt: &Interrupt, show: &Show) -> Result<Report> {
    let started = Instant::now();
    show.step("kernel and userland of the guests (downloaded once)");
    let image = guest_image::ensure()?;
    interrupt.check()?;
    show.step("a second node with its own libvirtd and network; file servers; a look at libvirt's events");
    let platform = stage.set_up()?;
    show.step("weir up: database, collector, pages");
    let weir = stage.start_weir(options, interrupt)?;
    show.note(&format!("Weir answers at {}", weir.url()));
    set_up_tenants(&weir, options)?;
    mail::set_up_tenants(&weir)?;
    portal::add_users(&weir)?;
    show.step("weir node join: the second node, with a token, in one command");
    stage.join_node(options, &weir, interrupt)?;

    let from = whole_second_before(Timestamp::now());
    let (records, outage) = meter(options, &weir, &platform, &image, interrupt, show)?;
    stage.note_weir()?;
    let to = whole_second_after(Timestamp::now());
    show.step("the second node delivers its last readings");
    node::wait_until_read(&weir, platform.node.name(), to, interrupt)?;

    show.step("one invoice per tenant, for exactly that time");
    let plan =
        money::Plan::read(&std::fs::read_to_string(&options.plan).context("cannot read the price plan")?)?;
    let invoices = invoices::issue(&weir, &plan, from, to, &options.output)?;
    show.step("the mail that is due: budgets crossed, invoices with their PDF");
    let mut checks = mail::collect(&platform.smtp, &invoices, &options.output)?;
    interrupt.check()?;
    show.step("the portal, looked at with a browser");
    checks.extend(outage.checks(&weir, &records)?);
    checks.extend(portal::look(&weir, &records, &invoices, &options.output)?);
    let capacity = options.output.join("capacity.pdf");
    weir.run(&[
        "capacity",
        "--output",
        capacity.to_str().context("the output directory's name is not UTF-8")?,
    ])?;
    show.step("comparing every figure");
    let now = Timestamp::now();
    let truths: Vec<_> = records.iter().map(|record| record.truth(&platform, now)).collect();
    let claims = Claims::collect(&weir, &records, from, to, &invoices)?;
    let report = Report::new(report::Facts {
        weir_version: weir.version()?,
        period: (from, to),
        records: &records,
        truths: &truths,
        claims: &claims,
        invoices: &invoices,
        checks,
        took: started.elapsed(),
    })?;
    report.write(&options.output.join("report.json"))?;
    Ok(report)
}

/// The play, with the control plane's death in its middle, and a look at the portal while guests work.
fn meter(
    options: &Options,
    weir: &Weir,
    platform: &Platform,
    image: &GuestImage,
    interrupt: &Interrupt,
    show: &Show,
) -> Result<(Vec<GuestRecord>, Outage)> {
    show.step(&format!("five guests at work on two nodes, metered for {} s", options.metered.as_secs()));
    let meter_until = Instant::now() + options.metered;
    let moments = Moments::default();
    let set = scenario::Set { weir, image, platform, interrupt, moments: &moments, meter_until };
    let (records, outage, at_work) = std::thread::scope(|scope| {
        let outage = scope.spawn(|| outage::play(&set, show).inspect_err(|_| interrupt.fail()));
        let look = scope.spawn(|| {
            interrupt.sleep(options.metered * 3 / 4)?;
            portal::look_at_work(weir, &options.output)
        });
        (scenario::play(&set, show), outage.join(), look.join())
    });
    // A guest that failed is the cause of an outage that did not end, not the other way.
    let records = records?;
    let outage = outage.map_err(|_| anyhow::anyhow!("the outage panicked"))??;
    at_work.map_err(|_| anyhow::anyhow!("looking at the portal panicked"))??;
    Ok((records, outage))
}

fn set_up_tenants(weir: &Weir, options: &Options) -> Result<()> {
    let plan = options.plan.to_str().context("the plan's path is not UTF-8")?;
    weir.run(&["plan", "apply", plan])?;
    let plan_name =
        options.plan.file_stem().and_then(|stem| stem.to_str()).context("the plan has no name")?;
    let mut tenants: Vec<_> = GUESTS.iter().map(|guest| guest.tenant).collect();
    tenants.dedup();
    for tenant in tenants {
        weir.run(&["tenant", "create", tenant, "--time-zone", "UTC", "--plan", plan_name])?;
    }
    Ok(())
}

fn conclude(options: &Options, report: &Report) -> Result<bool> {
    println!("{}", table::figures(report));
    println!("{}", table::invoices(report));
    let offending = report.offending();
    if !offending.is_empty() {
        println!("NOT RIGHT: {} of {} comparisons", offending.len(), report.comparisons());
        for line in &offending {
            println!("  {line}");
        }
    } else {
        println!("All {} comparisons are right.", report.comparisons());
    }
    println!();
    println!("invoices    {}", report.documents().join("\n            "));
    println!("pictures    {}", options.output.join("portal-*.png").display());
    println!("mail        {}", options.output.join("mail-*.eml").display());
    println!("capacity    {}", options.output.join("capacity.pdf").display());
    println!("report      {}", options.output.join("report.json").display());
    let users: Vec<_> = portal::USERS.iter().map(|(name, ..)| *name).collect();
    println!("look again  make up DATA={}", options.data.display());
    println!("            and log in as {}, with the password \"{}\"", users.join(", "), portal::PASSWORD);
    Ok(offending.is_empty())
}

fn whole_second_before(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).expect("a whole second next to a valid instant is valid")
}

fn whole_second_after(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second() + 1).expect("a whole second next to a valid instant is valid")
}

/// Makes sure that the daemons run and stay, for a test run; says what it did.
pub fn check_daemons() -> Result<()> {
    let daemons = daemons::ensure()?;
    for note in daemons.notes() {
        println!("{note}");
    }
    for daemon in daemons.started() {
        println!("started {} ({})", daemon.name, daemon.pid);
    }
    println!("libvirt answers; guests run by {}", crate::virt_type::decide()?.as_str());
    Ok(())
}

/// Titles and names of a guest's record, for those that compare.
type Records = [GuestRecord];
