//! `weir`: one binary, its roles as subcommands.
//!
//! It wires the other crates together and knows everything; nothing depends on it. What the crates do, they
//! do without it: this crate has the command line, the configuration, the control channel, the pages'
//! server and the life of `weir up`.

mod answers;
mod cli;
mod config;
mod control;
mod invoicing;
mod parts;
mod period;
mod rate;
mod up;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain in one sentence: what failed, and below it why.
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}
