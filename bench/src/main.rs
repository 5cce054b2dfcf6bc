#![doc = include_str!("../README.md")]

mod close;
mod cluster;
mod fleet;
mod ingest;
mod pages;
mod rating;
mod report;
mod spool;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::pages::Size;
use crate::report::Report;

/// Instances that the pages are measured with, when nobody says how many.
const PAGES_INSTANCES: u32 = 1_000;
/// Instances of which a month is closed, when nobody says how many.
const CLOSE_INSTANCES: [u32; 2] = [1_000, 10_000];
/// ... and when the disk has room for it.
const CLOSE_LARGE: u32 = 50_000;

/// Measures what Weir costs, each figure beside the limit of the same run, and judges none.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where bench.json goes
    #[arg(default_value = "bench-out")]
    output: PathBuf,
    /// One part alone
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// Tenants that the pages are measured with
    #[arg(long, default_value_t = 20)]
    tenants: u32,
    /// Instances of all of them together [default: 1,000; of a month close: 1,000, then 10,000]
    #[arg(long)]
    instances: Option<u32>,
    /// Close a month of 50,000 instances, too: it takes half an hour more, and 20 GB of disk
    #[arg(long)]
    large: bool,
    /// The weir that closes months [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Instances of each tenant whose month is closed: 500 tenants have 10,000
    #[arg(long, default_value_t = 20)]
    instances_per_tenant: u32,
    /// Days of their usage
    #[arg(long, default_value_t = 60)]
    days: u32,
    /// Days of readings, one a minute, of five further instances, for the charts
    #[arg(long, default_value_t = 31)]
    reading_days: u32,
    /// How often each page is asked for, in turn with its bare SQL
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// Keep what the pages are measured on in this directory, and use it where it is: loading takes minutes
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seconds for which a whole collector is watched at work; an hour shows whether its memory stays flat
    #[arg(long, default_value_t = 120)]
    watch: u64,
    /// Numbers of paused guests that the collector is measured with, the last of them watched
    #[arg(long, value_delimiter = ',', default_value = "10,50,100,200")]
    guests: Vec<usize>,
    /// Also write how PostgreSQL carries out what each page asks, to explain.txt
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    Ingest,
    Pages,
    Collector,
    Spool,
    Rating,
    Close,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let is_wanted = |section| arguments.only.is_none_or(|only| only == section);
    let mut report = Report::default();
    if is_wanted(Section::Ingest) {
        eprintln!("ingest: a private PostgreSQL of its own, fsync on");
        ingest::measure(&mut report)?;
    }
    if is_wanted(Section::Pages) {
        let instances = arguments.instances.unwrap_or(PAGES_INSTANCES);
        eprintln!("pages: {instances} instances, {} days of usage", arguments.days);
        let size = Size {
            tenants: arguments.tenants,
            instances,
            days: arguments.days,
            reading_days: arguments.reading_days,
            rounds: arguments.rounds,
        };
        let explain = arguments.explain.then(|| arguments.output.join("explain.txt"));
        pages::measure(size, arguments.data.as_deref(), explain.as_deref(), &mut report)?;
    }
    if is_wanted(Section::Collector) {
        eprintln!("collector: real guests");
        let watch = std::time::Duration::from_secs(arguments.watch);
        fleet::measure(&arguments.guests, watch, &mut report)?;
    }
    if is_wanted(Section::Spool) {
        eprintln!("spool: 50 instances, looks made durable on the disk of the temporary directory");
        spool::measure(&mut report)?;
    }
    if is_wanted(Section::Rating) {
        eprintln!("rating: one core, nothing but arithmetic");
        rating::measure(&mut report);
    }
    if is_wanted(Section::Close) {
        let each = arguments.instances_per_tenant.max(1);
        eprintln!("close: a month of six meters, 744 hours, {each} instance(s) a tenant");
        let mut sizes = arguments.instances.map_or_else(|| CLOSE_INSTANCES.to_vec(), |only| vec![only]);
        sizes.extend(arguments.large.then_some(CLOSE_LARGE));
        let weir = match &arguments.weir {
            Some(weir) => weir.clone(),
            None => std::env::current_exe()?.with_file_name("weir"),
        };
        close::measure(&sizes, each, &weir, &mut report)?;
    }
    report.write(&arguments.output)?;
    println!("{}", report.table());
    println!("{}", arguments.output.join("bench.json").display());
    Ok(())
}
