//! What people see: tables on standard output, progress on standard error; with `--json` the answer as it is.

mod billing;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::books;
use crate::control::request::{
    AccountRequest, AlertRequest, AllowanceRequest, BackupRequest, CorrectionRequest, DimensionRequest,
    MailRequest, NodeRequest, QuarantineRequest, Request, RevisionRequest, WebhookRequest,
};

/// A column: its head, the key of its value, and whether it is a number.
pub(super) type Column = (&'static str, &'static str, bool);

/// Says what is going on while a request takes its time.
pub struct Working(Option<ProgressBar>);

impl Working {
    /// Shows a spinner when somebody is looking and the request may be slow.
    pub fn begin(request: &Request) -> Self {
        let what = match request {
            Request::InstanceCreate(_) => "making the instance",
            Request::InstanceStart { .. } => "starting",
            Request::InstanceStop { .. } => "stopping, after a last reading",
            Request::InstanceDelete { .. } => "deleting, after a last reading",
            Request::DiskRemove { .. } | Request::NicRemove { .. } => "unplugging, after a last reading",
            Request::Billing(_) => "rating",
            Request::InvoiceIssue { .. } => "waiting for readings, deriving usage, rating",
            _ => return Self(None),
        };
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Takes it away again.
    pub fn end(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Prints an answer.
///
/// # Errors
/// Standard output is closed.
pub fn answer(request: &Request, answer: &Value, json: bool) -> Result<()> {
    let text = if json { serde_json::to_string_pretty(answer)? } else { in_words(request, answer) };
    say(&text)
}

/// Prints a text.
///
/// # Errors
/// Standard output is closed, but for a pipe: `weir … | head` closes it, and that is no failure of ours.
pub fn say(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a document to a file, or to standard output.
///
/// # Errors
/// A PDF onto a terminal, or a file that cannot be written.
pub fn document(bytes: &[u8], is_pdf: bool, output: Option<&Path>) -> Result<()> {
    if let Some(path) = output {
        std::fs::write(path, bytes).with_context(|| format!("failed to write {}", path.display()))?;
        eprintln!("wrote {} ({} bytes)", path.display(), bytes.len());
        return Ok(());
    }
    if is_pdf && std::io::stdout().is_terminal() {
        bail!("a PDF does not belong on a terminal; say where to: --output FILE.pdf");
    }
    std::io::stdout().write_all(bytes)?;
    Ok(())
}

fn in_words(request: &Request, answer: &Value) -> String {
    match request {
        Request::Status {} | Request::Node(NodeRequest::Show { .. }) => status(answer),
        Request::InvoiceIssue { .. } => issued(answer),
        Request::Books(request) => books::in_words(request, answer),
        Request::Billing(request) => billing::in_words(request, answer),
        Request::Quarantine(QuarantineRequest::Release { .. }) => released(answer),
        Request::ReadingShow { .. } => serde_json::to_string_pretty(answer).unwrap_or_default(),
        _ => match table_of(request) {
            Some((key, columns, when_empty)) => list(&answer[key], columns, when_empty),
            None => answer["message"].as_str().unwrap_or("Done.").to_owned(),
        },
    }
}

/// How many readings count now, and for each that stays why.
fn released(answer: &Value) -> String {
    let message = answer["message"].as_str().unwrap_or("Done.");
    if answer["rows"].as_array().is_none_or(Vec::is_empty) {
        return message.to_owned();
    }
    format!("{message}\n\n{}", list(&answer["rows"], &KEPT_COLUMNS, ""))
}

/// The lists: under which key their rows are, their columns, and what to say when there is none.
fn table_of(request: &Request) -> Option<(&'static str, &'static [Column], &'static str)> {
    Some(match request {
        Request::TenantList {} => {
            ("tenants", &TENANT_COLUMNS, "No tenants yet. Add one: weir tenant create NAME --plan PLAN")
        }
        Request::Account(AccountRequest::UserList {}) => {
            ("users", &USER_COLUMNS, "No users yet. Add the first: weir user create NAME --role provider")
        }
        Request::Account(AccountRequest::TokenList { .. }) => {
            ("tokens", &TOKEN_COLUMNS, "No tokens. Make one: weir token create USER --name WHAT-FOR")
        }
        Request::Mail(MailRequest::List {}) => {
            ("mail", &MAIL_COLUMNS, "No mail yet. See whether it works: weir mail test ADDRESS")
        }
        Request::Allowance(AllowanceRequest::List { .. }) => (
            "allowances",
            &ALLOWANCE_COLUMNS,
            "No allowances. Set one: weir allowance set TENANT NAME --meter net_tx_bytes --quantity 500 --at 100:stop",
        ),
        Request::Webhook(WebhookRequest::List { .. }) => (
            "webhooks",
            &WEBHOOK_COLUMNS,
            "Nobody is told of anything. Add an endpoint: weir webhook add URL",
        ),
        Request::Webhook(WebhookRequest::Deliveries { .. }) => (
            "deliveries",
            &DELIVERY_COLUMNS,
            "Nothing was sent to it yet. See whether it works: weir webhook test ID",
        ),
        Request::Alert(AlertRequest::List { all: false }) => ("alerts", &ALERT_COLUMNS, "Nothing is wrong."),
        Request::Alert(AlertRequest::List { all: true }) => {
            ("alerts", &PAST_ALERT_COLUMNS, "Nothing has been wrong yet.")
        }
        Request::Backup(BackupRequest::List {}) => (
            "backups",
            &BACKUP_COLUMNS,
            "No backups noted: nodes keep what they sent. When one was made: weir backup note --covers-to INSTANT",
        ),
        Request::Quarantine(QuarantineRequest::List {}) => {
            ("rows", &QUARANTINE_COLUMNS, "No readings are refused.")
        }
        Request::Capacity {} => ("rows", &CAPACITY_COLUMNS, "No node has reported yet."),
        Request::PlanList {} => (
            "plans",
            &PLAN_COLUMNS,
            "No plans yet. Store one: weir plan apply FILE.toml (see billing/plans/)",
        ),
        Request::Revision(RevisionRequest { revision: None, .. }) => {
            ("revisions", &REVISION_COLUMNS, "None was in force yet.")
        }
        Request::InstanceList { .. } => (
            "instances",
            &INSTANCE_COLUMNS,
            "No instances. Make one (weir instance create), or start any libvirt guest: it will be metered.",
        ),
        Request::Node(NodeRequest::List { .. }) => ("nodes", &NODE_COLUMNS, "No node has reported yet."),
        Request::Node(NodeRequest::TokenList {}) => {
            ("tokens", &JOIN_TOKEN_COLUMNS, "No tokens. Let a node join: weir node token create")
        }
        Request::InvoiceList { .. } => (
            "invoices",
            &INVOICE_COLUMNS,
            "No invoices yet. Issue last month's: weir invoice issue --period YYYY-MM",
        ),
        other => return usage_table_of(other),
    })
}

/// The lists about usage.
fn usage_table_of(request: &Request) -> Option<(&'static str, &'static [Column], &'static str)> {
    Some(match request {
        Request::Correction(CorrectionRequest::List { .. }) => {
            ("corrections", &CORRECTION_COLUMNS, "No usage was corrected.")
        }
        Request::Dimension(DimensionRequest::List { .. }) => {
            ("dimensions", &DIMENSION_COLUMNS, "Nothing was said of it yet. Say it: weir dimension set")
        }
        Request::UsageShow { .. } => ("records", &USAGE_COLUMNS, "No usage in that time."),
        _ => return None,
    })
}

const REVISION_COLUMNS: [Column; 2] =
    [("REVISION", "revision", true), ("IN FORCE FROM", "applied_at", false)];

const CORRECTION_COLUMNS: [Column; 9] = [
    ("ID", "correction_id", false),
    ("WHAT", "action", false),
    ("METER", "meter", false),
    ("OF", "resource_id", false),
    ("DEVICE", "device", false),
    ("FROM", "from", false),
    ("TO", "to", false),
    ("REASON", "reason", false),
    ("WITHDRAWN", "withdrawn_at", false),
];

const DIMENSION_COLUMNS: [Column; 6] = [
    ("DEVICE", "device", false),
    ("NAME", "name", false),
    ("VALUE", "value", false),
    ("FROM", "valid_from", false),
    ("BY", "author", false),
    ("SAID", "recorded_at", false),
];

const TENANT_COLUMNS: [Column; 6] = [
    ("NAME", "name", false),
    ("CALLED", "display_name", false),
    ("TIME ZONE", "time_zone", false),
    ("PLAN", "plan", false),
    ("MAIL", "email", false),
    ("ID", "tenant_id", false),
];

const USER_COLUMNS: [Column; 5] = [
    ("NAME", "name", false),
    ("CALLED", "display_name", false),
    ("ROLE", "role", false),
    ("TENANT", "tenant", false),
    ("DISABLED", "disabled_at", false),
];

const TOKEN_COLUMNS: [Column; 7] = [
    ("NAME", "name", false),
    ("BEGINS", "prefix", false),
    ("MAY", "may", false),
    ("LAST USED", "last_used_at", false),
    ("EXPIRES", "expires_at", false),
    ("REVOKED", "revoked_at", false),
    ("ID", "token_id", false),
];

const MAIL_COLUMNS: [Column; 7] = [
    ("ABOUT", "about", false),
    ("TENANT", "tenant", false),
    ("TO", "recipient", false),
    ("STATE", "state", false),
    ("TRIED", "attempts", true),
    ("LAST ERROR", "last_error", false),
    ("ID", "mail_id", false),
];

const ALLOWANCE_COLUMNS: [Column; 6] = [
    ("NAME", "name", false),
    ("ALLOWED", "allowed", false),
    ("WHEN", "thresholds", false),
    ("CROSSED THIS MONTH", "crossed", false),
    ("IN FORCE", "in_force", false),
    ("SET BY", "owner", false),
];

const WEBHOOK_COLUMNS: [Column; 5] = [
    ("TENANT", "tenant", false),
    ("ADDRESS", "url", false),
    ("EVENTS", "types", false),
    ("STATE", "state", false),
    ("ID", "webhook_id", false),
];

const DELIVERY_COLUMNS: [Column; 7] = [
    ("SINCE", "created_at", false),
    ("EVENT", "type", false),
    ("STATE", "state", false),
    ("TRIED", "attempts", true),
    ("STATUS", "status", true),
    ("ERROR", "error", false),
    ("EVENT ID", "event_id", false),
];

const BACKUP_COLUMNS: [Column; 3] =
    [("COVERS TO", "covers_to", false), ("NOTED", "noted_at", false), ("NOTE", "note", false)];

const QUARANTINE_COLUMNS: [Column; 5] = [
    ("RECEIVED", "received_at", false),
    ("NODE", "node", false),
    ("BATCH", "batch", true),
    ("KIND", "kind", false),
    ("WHY", "reason", false),
];

const KEPT_COLUMNS: [Column; 4] = [
    ("KIND", "kind", false),
    ("STAYS, BECAUSE", "why", false),
    ("WHAT TO DO", "remedy", false),
    ("ID", "quarantine_id", false),
];

const ALERT_COLUMNS: [Column; 6] = [
    ("SINCE", "since", false),
    ("WHAT", "title", false),
    ("NODE", "node", false),
    ("INSTANCE", "instance", false),
    ("SEEN", "detail", false),
    ("ID", "alert_id", false),
];

const PAST_ALERT_COLUMNS: [Column; 7] = [
    ("SINCE", "since", false),
    ("STATE", "state", false),
    ("WHAT", "title", false),
    ("NODE", "node", false),
    ("INSTANCE", "instance", false),
    ("SEEN", "detail", false),
    ("ID", "alert_id", false),
];

const CAPACITY_COLUMNS: [Column; 6] = [
    ("NODE", "node", false),
    ("WHAT", "what", false),
    ("PHYSICAL", "physical", false),
    ("ALLOCATED", "allocated", false),
    ("USED", "used", false),
    ("FULL", "forecast", false),
];

const PLAN_COLUMNS: [Column; 4] = [
    ("NAME", "name", false),
    ("CURRENCY", "currency", false),
    ("REVISION", "revision", true),
    ("APPLIED", "applied_at", false),
];

const INSTANCE_COLUMNS: [Column; 7] = [
    ("NAME", "name", false),
    ("TENANT", "tenant", false),
    ("CLAIMS", "claims", false),
    ("STATE", "state", false),
    ("NODE", "node", false),
    ("LAST READING", "last_observed_at", false),
    ("ID", "instance_id", false),
];

const NODE_COLUMNS: [Column; 9] = [
    ("NAME", "name", false),
    ("STATE", "shown_state", false),
    ("HEARD", "last_heard_at", false),
    ("LAST READING", "last_observed_at", false),
    ("RUNNING", "running", true),
    ("WAITING", "batches_waiting", true),
    ("CLOCK AHEAD MS", "clock_ahead_ms", false),
    ("CERTIFICATE UNTIL", "certificate_expires_at", false),
    ("ID", "node_id", false),
];

const JOIN_TOKEN_COLUMNS: [Column; 6] = [
    ("ID", "token_id", false),
    ("STATE", "state", false),
    ("FOR", "node", false),
    ("EXPIRES", "expires_at", false),
    ("USED", "used_at", false),
    ("BY", "used_by", false),
];

const USAGE_COLUMNS: [Column; 7] = [
    ("RESOURCE", "resource", false),
    ("NAME", "name", false),
    ("DEVICE", "device", false),
    ("METER", "meter", false),
    ("QUANTITY", "quantity", true),
    ("UNIT", "unit", false),
    ("MISSING MS", "missing_ms", true),
];

const INVOICE_COLUMNS: [Column; 6] = [
    ("NUMBER", "number", false),
    ("TENANT", "tenant", false),
    ("FROM", "from", false),
    ("TO", "to", false),
    ("STATUS", "status", false),
    ("TOTAL", "total_shown", true),
];

fn issued(answer: &Value) -> String {
    let rows = answer["invoices"].clone();
    let mut text = list(&rows, &INVOICE_COLUMNS, "No invoice.");
    for note in answer["notes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        text.push_str("\nnote: ");
        text.push_str(note);
    }
    text
}

fn status(answer: &Value) -> String {
    let mut table = empty_table();
    for (name, value) in answer.as_object().into_iter().flatten() {
        table.add_row([name.replace('_', " "), shown(value)]);
    }
    table.to_string()
}

/// A table of a JSON array, or a sentence when it is empty.
pub(super) fn list(rows: &Value, columns: &[Column], when_empty: &str) -> String {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return when_empty.to_owned();
    }
    let mut table = empty_table();
    table.set_header(columns.iter().map(|(head, _, _)| *head));
    for row in rows {
        table.add_row(columns.iter().map(|(_, key, is_number)| match row[*key].as_u64() {
            Some(number) if *is_number => grouped(number),
            _ => shown(&row[*key]),
        }));
    }
    for (position, (_, _, is_number)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(position).filter(|_| *is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn empty_table() -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// `33,554,432`.
fn grouped(number: u64) -> String {
    reports::figures::grouped_digits(&number.to_string())
}

/// A value for people; control characters of names do nothing to the terminal.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_can_be_read_and_names_do_nothing_to_the_terminal() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (33_554_432, "33,554,432")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(shown(&Value::from("a\u{1b}[31m\nb")), "a\u{fffd}[31m\u{fffd}b");
    }
}
