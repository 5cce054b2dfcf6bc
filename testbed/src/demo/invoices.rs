//! One invoice for each tenant: issued, written as documents, and read back.

use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::money::{self, Invoice, Plan};
use super::plans::GUESTS;
use super::weir::Weir;

/// An issued invoice with what was found about its money.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) invoice: Invoice,
    pub(super) problems: Vec<String>,
    pub(super) files: Vec<String>,
}

/// The answer of `weir invoice issue`: a list, or an object with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Numbered>),
    Object { invoices: Vec<Numbered> },
}

#[derive(Deserialize)]
struct Numbered {
    number: String,
}

/// Issues the invoices of exactly `[from, to)` and writes each as PDF, HTML and JSON into `output`.
pub(super) fn issue(
    weir: &Weir,
    plan: &Plan,
    from: Timestamp,
    to: Timestamp,
    output: &Path,
) -> Result<Vec<Issued>> {
    let (from, to) = (from.to_string(), to.to_string());
    let (Answer::List(numbered) | Answer::Object { invoices: numbered }) =
        weir.ask(&["invoice", "issue", "--from", &from, "--to", &to])?;
    let issued =
        numbered.iter().map(|one| write(weir, plan, &one.number, output)).collect::<Result<Vec<_>>>()?;
    for tenant in GUESTS.iter().map(|guest| guest.tenant) {
        let count = issued.iter().filter(|one| one.invoice.tenant == tenant).count();
        if count != 1 {
            bail!("tenant {tenant} got {count} invoices instead of one");
        }
    }
    Ok(issued)
}

fn write(weir: &Weir, plan: &Plan, number: &str, output: &Path) -> Result<Issued> {
    let mut files = Vec::new();
    for format in ["pdf", "html", "json"] {
        let path = output.join(format!("{number}.{format}"));
        let text = path.to_str().context("the output directory's name is not UTF-8")?;
        weir.run(&["invoice", "show", number, "--format", format, "--output", text])?;
        check_document(&path, format)?;
        files.push(path.display().to_string());
    }
    let path = output.join(format!("{number}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let invoice: Invoice = serde_json::from_str(&text)
        .with_context(|| format!("{} is not the JSON of an invoice", path.display()))?;
    let mut problems = money::problems(&invoice);
    problems.extend(money::plan_problems(&invoice, plan));
    if invoice.number != number {
        problems.push(format!("invoice {number} calls itself {}", invoice.number));
    }
    Ok(Issued { invoice, problems, files })
}

/// That it is what its name says; how it looks is for people to judge.
fn check_document(path: &Path, format: &str) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).to_ascii_lowercase();
    let begins = match format {
        "pdf" => "%pdf-",
        "html" => "<!doctype html",
        _ => "{",
    };
    if !head.trim_start().starts_with(begins) {
        bail!("{} is no {format}: it begins with {head:?}", path.display());
    }
    Ok(())
}
