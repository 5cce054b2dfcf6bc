#![doc = include_str!("../README.md")]

mod answers;
mod api;
mod billing_run;
mod causes;
mod cli;
mod config;
mod control;
mod documents;
mod enforcement;
mod inspect;
mod instances;
mod invoicing;
mod metrics;
mod nodes;
mod parts;
mod period;
mod prepaid;
mod rate;
mod rerating;
mod spending;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ::nodes::tls::install();
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain in one sentence: what failed, and below it why.
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}
