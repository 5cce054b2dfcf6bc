//! Writes the pages of all letters to a directory, to look at them: `cargo run -p mail --example render_letters -- DIR`.

use std::error::Error;
use std::path::PathBuf;

use billing::{InvoiceDocument, InvoiceStatus};
use jiff::Timestamp;
use mail::letters::{self, AlertNotice, BudgetNotice};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("say where to: a directory")?);
    std::fs::create_dir_all(&directory)?;
    let portal = Some("https://weir.example.org");
    let at: Timestamp = "2026-11-10T09:30:00Z".parse()?;
    let mut pages = vec![("test", letters::test(at, portal)?.html)];
    for (name, tenant, percent, spent) in [
        ("budget_50", "alder", 50, "50.00"),
        ("budget_80", "alder", 80, "81.20"),
        (
            "budget_100",
            "a-tenant-with-the-longest-name-that-a-tenant-can-have-in-all-weir",
            100,
            "1234567.89",
        ),
    ] {
        let about = json!({
            "tenant": tenant, "period_start": "2026-10-31T23:00:00Z", "period_end": "2026-11-30T23:00:00Z",
            "threshold_percent": percent, "budget": "100.00", "spent": spent, "currency": "EUR",
        });
        pages.push((name, letters::budget(&BudgetNotice::from_about(&about, at)?, portal)?.html));
    }
    for (name, node, instance, beside) in [
        ("alert", "web-1", None, 0),
        (
            "alert_instance",
            "rack-7-node-with-a-long-name.example.org",
            Some("a-database-with-a-long-name-3"),
            14,
        ),
    ] {
        let about = json!({
            "title": "A node's clock is wrong", "detail": "its clock is 7,231 s ahead of the control plane's",
            "node": node, "instance": instance, "raised_at": at.to_string(), "open_beside": beside,
            "meaning": "Quantities stay right: durations come from a clock that nobody sets. Usage can fall into \
                        the hour beside its own.",
            "remedy": "Let the node's time be set from the network (chrony or systemd-timesyncd).",
        });
        pages.push((name, letters::alert(&AlertNotice::from_about(&about)?, portal)?.html));
    }
    let small = InvoiceDocument {
        number: Some("INV-2026-000043".into()),
        status: InvoiceStatus::Issued,
        issued_at: Some(at),
        ..InvoiceDocument::sample_small()
    };
    for (name, document) in [("invoice", InvoiceDocument::sample()), ("invoice_small", small)] {
        pages.push((name, letters::invoice(&document, Vec::new(), portal)?.html));
    }
    for (name, page) in pages {
        std::fs::write(directory.join(name).with_extension("html"), page)?;
    }
    Ok(())
}
