//! Which usage must be derived again: spans of time by resource, written as rows of dirty_window. It does NOT derive.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{Window, WindowLength};
use migrations::Transaction;
use uuid::Uuid;

use crate::error::UsageError;

/// What is derived together: an instance with its devices, or a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MarkKind {
    Instance,
    Volume,
}

/// Spans of more windows than this are marked by days: after a long silence a node would otherwise write a row for
/// each window that it missed of each of its resources.
const WINDOWS_MAX: i64 = 48;

const DAY_US: i64 = 86_400_000_000;

/// What is to be marked.
#[derive(Debug)]
pub(crate) struct Marks {
    window: WindowLength,
    rows: BTreeMap<(MarkKind, Uuid, Timestamp), Timestamp>,
}

impl MarkKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Volume => "volume",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, UsageError> {
        [Self::Instance, Self::Volume].into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            UsageError::Corrupt { table: "dirty_window", column: "kind", value: text.to_owned() }
        })
    }
}

impl Marks {
    pub(crate) const fn new(window: WindowLength) -> Self {
        Self { window, rows: BTreeMap::new() }
    }

    /// Marks the windows that touch `[start, end)`.
    pub(crate) fn add(&mut self, kind: MarkKind, resource: Uuid, start: Timestamp, end: Timestamp) {
        let Ok(span) = Window::new(start, end) else { return };
        if WINDOWS_MAX < span.microseconds() / (i64::from(self.window.seconds()) * 1_000_000) {
            let mut day = span.start().as_microsecond().div_euclid(DAY_US) * DAY_US;
            while day < span.end().as_microsecond() {
                let (from, to) =
                    (Timestamp::from_microsecond(day), Timestamp::from_microsecond(day + DAY_US));
                // Both exist: spans lie between 2020 and now.
                if let (Ok(from), Ok(to)) = (from, to) {
                    self.add_row(kind, resource, from, to);
                }
                day += DAY_US;
            }
            return;
        }
        let window = self.window;
        for window in window.windows_touching(span) {
            self.add_row(kind, resource, window.start(), window.end());
        }
    }

    fn add_row(&mut self, kind: MarkKind, resource: Uuid, start: Timestamp, end: Timestamp) {
        let known = self.rows.entry((kind, resource, start)).or_insert(end);
        *known = end.max(*known);
    }
}

/// Writes the marks, in the order of their keys. A mark that exists is locked by this: whoever derives cannot take it
/// before this transaction's readings can be seen.
pub(crate) async fn write(transaction: &Transaction<'_>, marks: &Marks) -> Result<(), UsageError> {
    if marks.rows.is_empty() {
        return Ok(());
    }
    let mut kinds = Vec::with_capacity(marks.rows.len());
    let mut resources = Vec::with_capacity(marks.rows.len());
    let mut starts = Vec::with_capacity(marks.rows.len());
    let mut ends = Vec::with_capacity(marks.rows.len());
    for ((kind, resource, start), end) in &marks.rows {
        kinds.push(kind.as_str());
        resources.push(*resource);
        starts.push(*start);
        ends.push(*end);
    }
    let statement = transaction.prepare_cached(sql!("mark_dirty")).await?;
    transaction.execute(&statement, &[&kinds, &resources, &starts, &ends]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn check(start: &str, end: &str, expected: usize) {
        let mut marks = Marks::new(WindowLength::HOUR);
        marks.add(MarkKind::Instance, Uuid::nil(), at(start), at(end));
        assert_eq!(marks.rows.len(), expected, "{start} {end}");
        if expected == 0 {
            return;
        }
        let first = marks.rows.first_key_value().unwrap().0.2;
        let last = *marks.rows.last_key_value().unwrap().1;
        assert!(first <= at(start) && at(end) <= last);
    }

    #[test]
    fn a_span_marks_every_window_that_it_touches_and_years_mark_days() {
        check("2026-10-25T10:00:00Z", "2026-10-25T10:00:00Z", 0);
        check("2026-10-25T10:00:00Z", "2026-10-25T11:00:00Z", 1);
        check("2026-10-25T10:59:59Z", "2026-10-25T11:00:01Z", 2);
        check("2026-10-25T10:59:59Z", "2026-10-27T10:59:58Z", 49);
        check("2020-01-01T00:00:00Z", "2026-10-25T10:00:00Z", 2_490);
    }

    #[test]
    fn ten_second_windows_are_marked_too() {
        let mut marks = Marks::new(WindowLength::new(Duration::from_secs(10)).unwrap());
        marks.add(MarkKind::Volume, Uuid::nil(), at("2026-10-25T10:00:05Z"), at("2026-10-25T10:00:25Z"));
        assert_eq!(marks.rows.len(), 3);
    }
}
