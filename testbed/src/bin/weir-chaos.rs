//! `weir-chaos`: a campaign of faults against real Weir processes and real guests. See `testbed::chaos`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use testbed::chaos::{self, Options};
use testbed::demo::Interrupt;

/// Attacks a control plane, a node that joined and their guests with faults at random, and compares every byte at the
/// end. Exits with 1 when a byte is off, with 2 when the campaign itself could not be run.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The binary to attack [default: weir beside this one]
    #[arg(long)]
    weir: Option<PathBuf>,
    /// How long faults come
    #[arg(long, default_value_t = 900)]
    seconds: u64,
    /// Repeats an earlier campaign's choices [default: WEIR_SEED, else drawn]
    #[arg(long)]
    seed: Option<u64>,
    /// Some faults, each once, in a fixed order: for `make test`
    #[arg(long)]
    short: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("weir-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let weir = match &arguments.weir {
        Some(weir) => weir.clone(),
        None => std::env::current_exe().context("cannot find myself")?.with_file_name("weir"),
    };
    let options = Options {
        weir,
        duration: Duration::from_secs(if arguments.short { 30 } else { arguments.seconds }),
        seed: arguments.seed.unwrap_or_else(testbed::seed),
        once_each: arguments.short,
    };
    chaos::run(&options, &Interrupt::on_signals()?)
}
