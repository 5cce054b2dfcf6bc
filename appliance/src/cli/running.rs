//! Follows a billing run until it ends: a progress bar for people. The run goes on without whoever looks, so that Ctrl-C here
//! stops nothing.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::output;
use crate::control::client::Client;
use crate::control::request::{BillingRequest, Request};

/// How often is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Begins a run and follows it.
///
/// # Errors
/// It could not begin, Weir was stopped meanwhile, or tenants failed.
pub async fn run(client: &Client, asked: BillingRequest, detach: bool, json: bool) -> Result<()> {
    let request = Request::Billing(asked);
    let mut answer = client.ask(&request).await?;
    if !detach {
        let bar = bar(answer["tenants"].as_u64().unwrap_or(0));
        let run_id = serde_json::from_value(answer["run_id"].clone())?;
        let status = Request::Billing(BillingRequest::Status { run_id });
        while answer["state"] != "finished" {
            let count = |key: &str| answer[key].as_u64().unwrap_or(0);
            bar.set_position(count("tenants").saturating_sub(count("waiting")));
            bar.set_message(format!("{} invoices, {} failed", count("done"), count("failed")));
            tokio::time::sleep(LOOK).await;
            answer = client.ask(&status).await?;
        }
        bar.finish_and_clear();
    }
    output::answer(&request, &answer, json)?;
    failures(&answer)
}

/// A run in which somebody failed is no success, for scripts.
fn failures(answer: &Value) -> Result<()> {
    match answer["failed"].as_u64() {
        None | Some(0) => Ok(()),
        Some(failed) => bail!(
            "{failed} tenant(s) could not be billed, for the reasons above; mend them and run again: those that have an \
             invoice keep it"
        ),
    }
}

fn bar(tenants: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(tenants);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len} tenants  {msg}  {elapsed}, {eta} to go")
    {
        bar.set_style(style);
    }
    bar
}
