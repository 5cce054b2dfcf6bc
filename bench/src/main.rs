#![doc = include_str!("../README.md")]

mod ingest;
mod looks;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let output = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("bench-out"), PathBuf::from);
    let mut report = Report::default();
    eprintln!("ingest: a private PostgreSQL of its own, fsync on");
    ingest::measure(&mut report)?;
    eprintln!("collector: real guests, paused");
    looks::measure(&mut report)?;
    report.write(&output)?;
    println!("{}", report.table());
    println!("{}", output.join("bench.json").display());
    Ok(())
}
