//! `weir alert …` and `weir inspect …`: what an operator looks into. No behaviour.

use clap::Subcommand;

/// `weir alert …`
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// What is wrong now, the newest first
    List {
        /// Also what is over
        #[arg(long)]
        all: bool,
    },
    /// End an alert that you have seen to. It comes back if its reason does
    End {
        /// Its id
        alert_id: String,
    },
}

/// `weir inspect …`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum InspectCommand {
    /// What this node holds right now: spool, registers, epochs, and both paths to the figures, each with its source
    ///
    /// It changes nothing, and goes on after an error. Works beside `weir up` and `weir node run`; when neither runs, it
    /// reads the data directory. It ends with an error if any part could not be read.
    Node,
}
