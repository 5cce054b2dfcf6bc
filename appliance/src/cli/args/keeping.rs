//! `weir backup …` and `weir quarantine …`: what nodes may forget, and what was refused. No behaviour.

use clap::Subcommand;
use jiff::Timestamp;

/// `weir backup …`
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Say that a backup of the database was made, once it is safe: nodes forget the batches that it has
    ///
    /// T=$(date -u +%FT%TZ); pg_dump … && weir backup note --covers-to $T
    Note {
        /// When the backup began: what was committed before is in it. Batches of the last ten minutes before are kept
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        covers_to: Timestamp,
        /// Where it lies, for people
        #[arg(default_value = "")]
        note: String,
    },
    /// The backups that were noted, and how far each node's batches are in them
    List,
}

/// `weir quarantine …`
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Readings that were refused, and why
    List,
    /// Take the refused readings of a batch in after all, each once; those of a wrong clock at their true time
    Release {
        /// Name or id
        node: String,
        /// The batch's number
        batch: u64,
    },
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "write an instant like 2026-11-01T03:00:00Z, as date -u +%FT%TZ prints it".to_owned())
}
