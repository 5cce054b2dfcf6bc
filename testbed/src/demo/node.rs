//! The second node as its operator sees it: joined with a token, in one command, on the node itself; listed by the control
//! plane; and read empty before invoices are made.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::Interrupt;
use super::weir::{self, Weir};
use crate::second_node::SecondNode;

/// From the command to the node's first batch.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// What a node may take to deliver what it kept.
const DELIVERY_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(300);

/// `weir node join`, running; dropping it stops it.
#[derive(Debug)]
pub(super) struct NodeProcess {
    process: Child,
}

/// `weir node token create`
#[derive(Deserialize)]
struct NewToken {
    token: String,
    url: String,
}

/// `weir node list`
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    last_observed_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Listed>,
}

impl NodeProcess {
    /// A token from the control plane, and one command on the node.
    pub(super) fn join(
        binary: &Path,
        control: &Weir,
        node: &SecondNode,
        data: &Path,
        log: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let made: NewToken = control.ask(&["node", "token", "create"])?;
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let binary = std::path::absolute(binary)?;
        let process = node
            .place()
            .command(binary.to_str().context("the binary's path is not UTF-8")?)
            .arg("--data")
            .arg(std::path::absolute(data)?)
            .args(["node", "join", &made.url, "--token", &made.token, "--reading-interval", "1s"])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start weir on the second node")?;
        let mut joined = Self { process };
        let end = Instant::now() + JOIN_LIMIT;
        while read_until(control, node.name())?.is_none() {
            interrupt.check()?;
            if let Some(status) = joined.process.try_wait()? {
                bail!("`weir node join` ended ({status}); {}", weir::log_tail(log));
            }
            if Instant::now() >= end {
                bail!("the second node delivers nothing; {}", weir::log_tail(log));
            }
            std::thread::sleep(POLL);
        }
        Ok(joined)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if let Err(error) = weir::stop(&mut self.process, "the second node") {
            eprintln!("weir-demo: {error:#}");
        }
    }
}

/// Waits until the control plane has everything that the node read before `at`.
pub(super) fn wait_until_read(
    control: &Weir,
    node: &str,
    at: Timestamp,
    interrupt: &Interrupt,
) -> Result<()> {
    let end = Instant::now() + DELIVERY_LIMIT;
    loop {
        interrupt.check()?;
        let read = read_until(control, node)?;
        if read.is_some_and(|read| at <= read) {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("node {node} has delivered up to {read:?} only, not to {at}");
        }
        std::thread::sleep(POLL);
    }
}

fn read_until(control: &Weir, node: &str) -> Result<Option<Timestamp>> {
    let answer: Nodes = control.ask(&["node", "list"])?;
    Ok(answer.nodes.into_iter().find(|listed| listed.name == node).and_then(|listed| listed.last_observed_at))
}
