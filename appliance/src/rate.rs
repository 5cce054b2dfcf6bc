//! `weir rate` and `weir plan validate`: rating from files, without a database and without a running Weir.

use std::path::Path;

use anyhow::{Context, Result, bail};
use billing::{InvoiceDocument, LineKind, PricePlan, plan, simulate, usage_file};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::cli::args::{DocumentFormat, RateArguments};
use crate::{documents, period};

/// Rates a usage file by a plan file.
///
/// # Errors
/// Everything that is wrong with either, with file and line.
pub fn run(arguments: &RateArguments, json: bool) -> Result<()> {
    let plan = parse_plan(&arguments.plan, &read_plan(&arguments.plan)?)?;
    let usage = read(&arguments.usage, "usage file", usage_file::MAX_USAGE_BYTES)?;
    let usage = usage_file::parse(&arguments.usage.display().to_string(), &usage)?;
    let period = period::window(&period::asked(&arguments.period)?, plan.time_zone())?;
    let draft = simulate(&plan, &usage, &[], period)?;
    if let Some(path) = &arguments.output {
        let (bytes, _) = documents::render(&draft, format_of(path)?)?;
        std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
    }
    if json {
        println!("{}", reports::invoice_json(&draft)?.trim_end());
    } else {
        println!("{}", table(&draft));
    }
    Ok(())
}

/// Checks a plan file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn validate_plan(file: &Path, json: bool) -> Result<()> {
    let plan = parse_plan(file, &read_plan(file)?)?;
    let versions = plan.versions().len();
    if json {
        println!(
            "{}",
            json!({ "name": plan.name(), "currency": plan.currency().to_string(), "versions": versions })
        );
    } else {
        println!(
            "{}: plan {} in {} with {versions} version(s) is right.",
            file.display(),
            plan.name(),
            plan.currency()
        );
    }
    Ok(())
}

/// The text of a plan file.
///
/// # Errors
/// It cannot be read, is larger than plans may be, or is no text.
pub fn read_plan(file: &Path) -> Result<String> {
    let bytes = read(file, "plan file", plan::MAX_PLAN_BYTES)?;
    String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!(
            "{}: byte {} is no UTF-8; save the plan as UTF-8 text",
            file.display(),
            error.utf8_error().valid_up_to()
        )
    })
}

fn parse_plan(file: &Path, text: &str) -> Result<PricePlan> {
    Ok(PricePlan::parse(&file.display().to_string(), text.as_bytes())?)
}

/// A file's bytes, unless there are too many.
fn read(file: &Path, what: &str, limit: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let opened =
        std::fs::File::open(file).with_context(|| format!("the {what} {} cannot be read", file.display()))?;
    let mut bytes = Vec::new();
    opened
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("the {what} {} cannot be read", file.display()))?;
    if limit < bytes.len() {
        bail!("the {what} {} is larger than {limit} bytes, the most that is read", file.display());
    }
    Ok(bytes)
}

fn format_of(path: &Path) -> Result<DocumentFormat> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("pdf") => Ok(DocumentFormat::Pdf),
        Some("html") => Ok(DocumentFormat::Html),
        Some("json") => Ok(DocumentFormat::Json),
        _ => bail!("{} should end in .pdf, .html or .json, which says the document's form", path.display()),
    }
}

fn table(draft: &InvoiceDocument) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["LINE", "QUANTITY", "UNIT", "UNIT PRICE", "AMOUNT"]);
    for line in &draft.lines {
        let title = match line.kind {
            LineKind::Included => format!("{}, included", line.title),
            _ => line.title.clone(),
        };
        let (quantity, price) = (line.quantity.to_string(), line.unit_price.to_string());
        let cells = [title, quantity, line.unit.clone(), price, line.amount.to_string()];
        table.add_row(cells);
    }
    table.add_row(["Subtotal", "", "", "", &draft.subtotal.to_string()]);
    for due in &draft.taxes {
        let title = format!("{} {} %", due.name, (due.rate * rust_decimal::Decimal::ONE_HUNDRED).normalize());
        table.add_row([&title, "", "", "", &due.amount.to_string()]);
    }
    table.add_row(["Total", "", "", "", &draft.total.to_string()]);
    for position in [1, 3, 4] {
        if let Some(column) = table.column_mut(position) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for usage in &draft.unpriced {
        table.add_row([
            &format!("{} (no price)", usage.meter),
            &usage.quantity.to_string(),
            &usage.unit,
            "-",
            "-",
        ]);
    }
    table.to_string()
}
