//! `weir inspect node`: what a node holds right now, asked of the Weir that runs on the data directory, or read from the
//! directory when none does. It changes nothing.
//!
//! What there is to say comes from [`collector::inspect`]; here it is carried and laid out.

mod report;
mod text;

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use collector::Collector;
use serde_json::Value;

use self::report::Report;
use crate::config::Config;
use crate::control::client::Client;
use crate::control::request::Request;
use crate::control::socket_path;

/// What a running collector holds, for the control channel.
///
/// # Errors
/// It cannot be written as JSON, which would be a fault of ours.
pub fn value(collector: &Collector, config: &Config, node_name: &str) -> Result<Value> {
    let inspection = collector.inspect();
    let uri = config.collector.libvirt_uri.clone();
    let report = Report::new(inspection, Some(node_name.to_owned()), Some(uri));
    serde_json::to_value(report).context("the inspection cannot be written as JSON")
}

/// Prints what the node of that data directory holds. Everything is printed before an error is given.
///
/// # Errors
/// Some part is wrong or could not be read.
pub async fn run(data_dir: &Path, json: bool) -> Result<()> {
    let report = match is_running(data_dir)? {
        true => {
            let answer = Client::new(data_dir)?.ask(&Request::InspectNode {}).await?;
            serde_json::from_value(answer)
                .context("Weir answered in another form; is it of another version?")?
        }
        false => {
            let spool = data_dir.join("spool");
            Report::new(collector::inspect::offline(&spool), None, None)
        }
    };
    let shown = if json { serde_json::to_string_pretty(&report)? } else { text::render(&report) };
    match writeln!(std::io::stdout(), "{}", shown.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    match report.problems() {
        0 => Ok(()),
        1 => bail!("one thing is wrong or could not be read; it is marked with ! above"),
        many => bail!("{many} things are wrong or could not be read; they are marked with ! above"),
    }
}

/// Whether a Weir answers on the data directory.
fn is_running(data_dir: &Path) -> Result<bool> {
    match UnixStream::connect(socket_path(data_dir)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!(
                "only the user who runs Weir on {} may look into it; run this as that user (sudo)",
                data_dir.display()
            )
        }
        Err(_) => Ok(false),
    }
}
