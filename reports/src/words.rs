//! Words of an invoice that paper, pages and tables of the command line share: what a document is called, what stands beside
//! a line's title, what is to be said besides. It computes nothing.

use billing::{DocumentKind, InvoiceDocument, InvoiceLine, LineKind};

use crate::figures::grouped;
use crate::text::shown;

/// Longest name of who published a rate.
const SOURCE_MAX: usize = 40;

/// What a document is called.
#[must_use]
pub const fn document_title(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Invoice => "Invoice",
        DocumentKind::CreditNote => "Credit note",
        DocumentKind::CorrectedInvoice => "Corrected invoice",
    }
}

/// Why no tax is due, why it was corrected, and the document's own notes, each once.
#[must_use]
pub fn remarks(document: &InvoiceDocument) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    let reason = document.reason.as_deref().map(|reason| format!("Reason: {reason}"));
    let untaxed = document.taxes.iter().filter_map(|tax| tax.reason.clone());
    let converted = document.lines.iter().find_map(|line| line.conversion.as_ref()).map(|found| {
        let (from, to) = (found.from.code(), document.currency.code());
        format!("The plan's unit prices are in {from}, all amounts in {to}, at the exchange rate above.")
    });
    for remark in reason.into_iter().chain(converted).chain(untaxed).chain(document.notes.iter().cloned()) {
        if !remark.trim().is_empty() && !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks
}

/// `1 EUR = 1.0862 CHF, ECB, 2026-10-30`; the rate is the same on all lines.
#[must_use]
pub fn exchange_rate(document: &InvoiceDocument) -> Option<String> {
    let conversion = document.lines.iter().find_map(|line| line.conversion.as_ref())?;
    let rate = grouped(conversion.rate, 0);
    let source = shown(&conversion.source, SOURCE_MAX);
    let (from, to) = (conversion.from.code(), document.currency.code());
    Some(format!("1 {from} = {rate} {to}, {source}, {}", conversion.valid_from))
}

/// What tells a line from others of the same title; empty when the title says it all.
#[must_use]
pub fn line_label(line: &InvoiceLine) -> String {
    let mut parts: Vec<String> = line.dimensions.values().cloned().collect();
    parts.extend(line.band.clone());
    parts.extend(kind_label(line));
    parts.join(", ")
}

/// The title with what tells it from others: `Network, sent (internet, included)`.
#[must_use]
pub fn full_title(line: &InvoiceLine) -> String {
    match line_label(line) {
        label if label.is_empty() => line.title.clone(),
        label => format!("{} ({label})", line.title),
    }
}

fn kind_label(line: &InvoiceLine) -> Option<String> {
    let word = match line.kind {
        LineKind::Included => "included",
        LineKind::Committed => "committed",
        LineKind::Shortfall => "committed, not used",
        LineKind::Graduated | LineKind::Volume => return tier(line),
        LineKind::OneTime => "once",
        LineKind::Minimum => "up to the minimum",
        LineKind::Maximum => "down to the maximum",
        LineKind::Standard
        | LineKind::Flat
        | LineKind::Package
        | LineKind::Percentile
        | LineKind::Fee
        | LineKind::Percentage
        | LineKind::Discount
        | LineKind::Trial
        | LineKind::Sponsored => return None,
    };
    Some(word.to_owned())
}

fn tier(line: &InvoiceLine) -> Option<String> {
    let bounds = line.bounds?;
    let from = grouped(bounds.from, 0);
    Some(match bounds.to {
        Some(to) => format!("{from} to {} {}", grouped(to, 0), line.unit),
        None => format!("from {from} {}", line.unit),
    })
}
