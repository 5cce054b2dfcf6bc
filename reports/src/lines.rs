//! What stands beside a line's title: which tier, which hours, which part of the usage. One wording for paper, pages and
//! tables of the command line. It computes nothing.

use billing::{InvoiceLine, LineKind};

use crate::figures::grouped;

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
