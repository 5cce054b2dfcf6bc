//! `weir-demo`: Weir on three real guests, every figure compared. See `testbed::demo`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use testbed::demo::{self, Interrupt, Options};

/// Meters and bills three real guests with the binary `weir`, and compares every figure with libvirt's and with what
/// the guests were ordered to do. Exits with 1 when a figure is off, with 2 when the demo itself could not be run.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The binary to drive [default: weir beside this one]
    #[arg(long)]
    weir: Option<PathBuf>,
    /// Price plan of both tenants; the plan is named like its file
    #[arg(long, default_value = "billing/plans/demo.toml")]
    plan: PathBuf,
    /// Weir's data: made anew, kept afterwards
    #[arg(long, default_value = "demo-data")]
    data: PathBuf,
    /// Where the invoices and report.json go
    #[arg(long, default_value = "demo-out")]
    output: PathBuf,
    /// How long to meter at least, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only make sure that libvirt answers and guests can run, and leave its daemons running: for `make test`
    #[arg(long)]
    check_daemons: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("weir-demo: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<bool> {
    if arguments.check_daemons {
        return demo::check_daemons().map(|()| true);
    }
    let weir = match arguments.weir {
        Some(weir) => weir,
        None => std::env::current_exe().context("cannot find myself")?.with_file_name("weir"),
    };
    let options = Options {
        weir,
        plan: arguments.plan,
        data: arguments.data,
        output: arguments.output,
        metered: Duration::from_secs(arguments.seconds),
    };
    demo::run(&options, &Interrupt::on_signals()?)
}
