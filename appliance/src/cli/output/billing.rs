//! What people see of billing runs, reviews and corrections.

use serde_json::Value;

use super::{Column, list, status};
use crate::control::request::BillingRequest;

const RUN_COLUMNS: [Column; 9] = [
    ("PERIOD", "period", false),
    ("GOAL", "goal", false),
    ("STATE", "state", false),
    ("TENANTS", "tenants", true),
    ("DONE", "done", true),
    ("NOTHING", "nothing", true),
    ("FAILED", "failed", true),
    ("BEGAN", "created_at", false),
    ("ID", "run_id", false),
];

const ITEM_COLUMNS: [Column; 5] = [
    ("TENANT", "tenant", false),
    ("STATE", "state", false),
    ("INVOICE", "invoice", false),
    ("TOTAL", "total_shown", true),
    ("WHY", "detail", false),
];

const FAILURE_COLUMNS: [Column; 2] = [("TENANT", "tenant", false), ("NOT BILLED, BECAUSE", "reason", false)];

const WAITING_COLUMNS: [Column; 7] = [
    ("TENANT", "tenant", false),
    ("FROM", "from", false),
    ("STAGE", "stage", false),
    ("TOTAL", "total_shown", true),
    ("MONTH BEFORE", "before_shown", true),
    ("LINES CHANGED", "lines_changed", true),
    ("GRACE UNTIL", "cutoff_at", false),
];

const STEP_COLUMNS: [Column; 3] =
    [("TENANT", "tenant", false), ("NUMBER", "number", false), ("TOTAL", "total_shown", true)];

const CHANGE_COLUMNS: [Column; 3] =
    [("LINE", "key", false), ("IS", "before_shown", false), ("WOULD BE", "after_shown", false)];

const CHANGED_COLUMNS: [Column; 3] =
    [("NUMBER", "number", false), ("TENANT", "tenant", false), ("WHAT", "message", false)];

const LATE_COLUMNS: [Column; 6] = [
    ("NUMBER", "number", false),
    ("TENANT", "tenant", false),
    ("FROM", "from", false),
    ("IS", "total_shown", true),
    ("WOULD BE", "total_now_shown", true),
    ("SEEN", "checked_at", false),
];

const EVENT_COLUMNS: [Column; 4] =
    [("WHEN", "at", false), ("WHO", "actor", false), ("WHAT", "action", false), ("NOTE", "note", false)];

/// An answer as tables.
pub fn in_words(request: &BillingRequest, answer: &Value) -> String {
    let message = || answer["message"].as_str().unwrap_or("Done.").to_owned();
    match request {
        BillingRequest::Run { .. } | BillingRequest::Status { .. } => run(answer),
        BillingRequest::Runs {} => list(
            &answer["runs"],
            &RUN_COLUMNS,
            "No billing run yet. Begin one: weir billing run --period YYYY-MM",
        ),
        BillingRequest::Review { .. } => list(
            &answer["waiting"],
            &WAITING_COLUMNS,
            "Nothing waits. Rate a month: weir billing run --period YYYY-MM",
        ),
        BillingRequest::Approve(_) | BillingRequest::Issue(_) | BillingRequest::SendBack(_) => {
            let done = with_rows(&answer["invoices"], &STEP_COLUMNS);
            format!("{done}{}{}", with_rows(&answer["failures"], &FAILURE_COLUMNS), message())
        }
        BillingRequest::Rerate { .. } | BillingRequest::RerateTenant { .. } => {
            format!("{}{}", with_rows(&answer["lines"], &CHANGE_COLUMNS), message())
        }
        BillingRequest::RerateMonth { .. } => {
            let changed = with_rows(&answer["changed"], &CHANGED_COLUMNS);
            format!("{changed}{}{}", with_rows(&answer["failures"], &FAILURE_COLUMNS), message())
        }
        BillingRequest::Late { .. } => list(
            &answer["late"],
            &LATE_COLUMNS,
            "Nothing has been found whose usage has changed since it was invoiced.",
        ),
        BillingRequest::History { .. } => {
            let mut about = answer.clone();
            if let Some(fields) = about.as_object_mut() {
                fields.remove("events");
            }
            format!(
                "{}\n{}",
                status(&about),
                list(&answer["events"], &EVENT_COLUMNS, "Nothing is on record.")
            )
        }
        BillingRequest::Void { .. } | BillingRequest::Sent { .. } => message(),
    }
}

fn run(answer: &Value) -> String {
    let runs = Value::Array(vec![answer.clone()]);
    let items = with_rows(&answer["items"], &ITEM_COLUMNS);
    let items = if items.is_empty() { with_rows(&answer["failures"], &FAILURE_COLUMNS) } else { items };
    format!("{items}{}", list(&runs, &RUN_COLUMNS, ""))
}

/// A table and a line break, or nothing at all.
fn with_rows(rows: &Value, columns: &[Column]) -> String {
    match rows.as_array().is_some_and(|rows| !rows.is_empty()) {
        true => format!("{}\n", list(rows, columns, "")),
        false => String::new(),
    }
}
