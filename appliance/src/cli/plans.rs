//! `weir plan show|diff|simulate`: what one wants to know of a plan before it holds. Texts and figures come from files and
//! from the running Weir; what changes is compared here.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result, bail};
use billing::PricePlan;
use billing::plan::diff::diff;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::SimulateArguments;
use super::output::say;
use crate::control::client::Client;
use crate::control::request::{PlanRequest, Request};
use crate::{period, rate};

/// Says what changes between two plans.
///
/// # Errors
/// One of them is no plan, or Weir does not run and a name was given.
pub fn compare(data_dir: &Path, old: &str, new: &str, json: bool) -> Result<()> {
    let (old, new) = (plan(data_dir, old)?, plan(data_dir, new)?);
    let changes = diff(&old, &new);
    if json {
        return say(&serde_json::to_string_pretty(&json!({ "changes": changes }))?);
    }
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    if told.is_empty() { say("Nothing changes.") } else { say(&told.join("\n")) }
}

/// Rates what tenants used by a plan that is not in force, one after the other. One that cannot be rated does not stop the
/// others.
///
/// # Errors
/// The file is no plan, Weir does not run, or no tenant could be rated.
pub fn simulate(data_dir: &Path, arguments: SimulateArguments, json: bool) -> Result<()> {
    let (text, file) = (rate::read_plan(&arguments.file)?, arguments.file.display().to_string());
    let asked = period::asked(&arguments.period)?;
    // What is no period in any zone is said once, and not of each tenant.
    period::window(&asked, &TimeZone::UTC)?;
    let tenants = match arguments.tenant {
        Some(tenant) => vec![tenant],
        None => {
            let period = asked.clone();
            let request = PlanRequest::Tenants { file: file.clone(), text: text.clone(), period };
            let answer = ask(data_dir, request)?;
            let names = answer["tenants"].as_array().map(Vec::as_slice).unwrap_or_default();
            names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
        }
    };
    if tenants.is_empty() {
        bail!(
            "no tenant has a price plan then; give one a plan first: weir tenant set-plan NAME PLAN --from DAY"
        );
    }
    let bar = progress(tenants.len() as u64);
    let mut rows = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let request = PlanRequest::Simulate {
            file: file.clone(),
            text: text.clone(),
            period: asked.clone(),
            tenant: tenant.clone(),
            as_of: arguments.as_of.clone(),
        };
        rows.push(match ask(data_dir, request) {
            Ok(row) => row,
            Err(error) => json!({ "tenant": tenant, "error": crate::causes::chain(error.as_ref()) }),
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    if json {
        say(&serde_json::to_string_pretty(&json!({ "tenants": rows }))?)?;
    } else {
        say(&in_words(&rows))?;
    }
    let failed = rows.iter().filter(|row| !row["error"].is_null()).count();
    if failed == rows.len() {
        bail!("none of {failed} tenant(s) could be rated");
    }
    Ok(())
}

/// A plan: of a file, if there is one of that name, or else one that is in force.
fn plan(data_dir: &Path, named: &str) -> Result<PricePlan> {
    let path = Path::new(named);
    if path.is_file() {
        return Ok(PricePlan::parse(named, rate::read_plan(path)?.as_bytes())?);
    }
    if named.ends_with(".toml") {
        bail!("there is no file {named}");
    }
    let answer = ask(data_dir, PlanRequest::Show { name: named.to_owned() })?;
    let text = answer["text"].as_str().context("the answer has no text")?;
    Ok(PricePlan::parse(&format!("plan {named}"), text.as_bytes())?)
}

fn ask(data_dir: &Path, request: PlanRequest) -> Result<Value> {
    super::runtime()?.block_on(async { Client::new(data_dir)?.ask(&Request::Plan(request)).await })
}

/// How far it is, when somebody is looking.
fn progress(all: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(all).with_message("rating");
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len} tenants, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn in_words(rows: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["TENANT", "OLD TOTAL", "NEW TOTAL", "DIFFERENCE"]);
    let mut notes = String::new();
    for row in rows {
        let tenant = row["tenant"].as_str().unwrap_or_default();
        if let Some(error) = row["error"].as_str() {
            table.add_row([tenant, "-", "-", "-"]);
            notes += &format!("\n{tenant} was not rated: {error}");
            continue;
        }
        let totals = ["old_total", "new_total", "difference"].map(|key| money(&row[key]));
        table.add_row([tenant, &totals[0], &totals[1], &totals[2]]);
    }
    for position in 1..4 {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let version = rows.iter().find_map(|row| row["version"].as_str());
    if let Some(day) = version {
        notes += &format!("\nThe prices of {day} were taken for all of the period.");
    }
    table.to_string() + &notes
}

/// `12.34 EUR`; another currency on the other side has no difference.
fn money(value: &Value) -> String {
    match (value["amount"].as_str(), value["currency"].as_str()) {
        (Some(amount), Some(currency)) => format!("{amount} {currency}"),
        _ => "-".to_owned(),
    }
}
