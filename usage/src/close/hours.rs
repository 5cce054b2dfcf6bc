//! Whole windows, added up here rather than by PostgreSQL: a row of a day is read once and shared out among the spans that it
//! touches, which takes a tenth of the time of grouping its 24 windows there. Rows come one by one and are not held.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff::civil::Date;
use metering::{Coverage, TenantId};
use migrations::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::spans::Span;
use super::{Gathered, coverage};
use crate::error::{UsageError, unsigned};
use crate::records;

/// What lies in one span.
struct Run {
    span: usize,
    quantity: u64,
    windows: u64,
}

/// Adds what a tenant used in whole windows within `spans` (in order, disjoint), all of which touch no day but those from
/// `days.0` to `days.1`. The resources `special` are left out.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    spans: &[Span<Timestamp>],
    days: (Date, Date),
    special: &[Uuid],
    gathered: &mut Gathered<'_>,
) -> Result<(), UsageError> {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(()) };
    let (tenant, meters) = (tenant.uuid(), gathered.asked.meters());
    let params: [&(dyn ToSql + Sync); 7] =
        [&tenant, &first.from, &last.to, &days.0, &days.1, &special, &meters];
    let statement = transaction.prepare_cached(sql!("close_hours")).await?;
    let mut rows = pin!(transaction.query_raw(&statement, params).await?);
    while let Some(row) = rows.try_next().await? {
        add_row(&row, spans, gathered)?;
    }
    Ok(())
}

fn add_row(row: &Row, spans: &[Span<Timestamp>], gathered: &mut Gathered<'_>) -> Result<(), UsageError> {
    let runs = runs(row, spans)?;
    if runs.is_empty() {
        return Ok(());
    }
    let (resource, meter) = (records::resource(row)?, records::meter(row)?);
    let each = coverage(row)?;
    for Run { span, quantity, windows } in runs {
        let coverage = Coverage {
            measured_us: each.measured_us.saturating_mul(windows),
            estimated_us: each.estimated_us.saturating_mul(windows),
            missing_us: each.missing_us.saturating_mul(windows),
        };
        let piece = spans[span].piece;
        let at = (piece, gathered.asked.pieces[piece].start());
        gathered.add(resource.clone(), meter, at, quantity, coverage);
    }
    Ok(())
}

/// The windows of a row, those of one span together. What lies in no span, or reaches out of one, is not asked for.
fn runs(row: &Row, spans: &[Span<Timestamp>]) -> Result<Vec<Run>, UsageError> {
    let first: Timestamp = row.try_get("first_window")?;
    let (length_us, windows): (i64, Vec<i64>) = (row.try_get("length_us")?, row.try_get("windows")?);
    let mut runs: Vec<Run> = Vec::new();
    let mut start = first.as_microsecond();
    for quantity in windows {
        let end = start.saturating_add(length_us);
        let behind = spans.partition_point(|span| span.from.as_microsecond() <= start);
        let span = behind.checked_sub(1).filter(|span| end <= spans[*span].to.as_microsecond());
        if let Some(span) = span {
            let quantity = unsigned("usage_day", "windows", quantity)?;
            match runs.last_mut().filter(|run| run.span == span) {
                Some(run) => {
                    run.quantity = run.quantity.saturating_add(quantity);
                    run.windows += 1;
                }
                None => runs.push(Run { span, quantity, windows: 1 }),
            }
        }
        start = end;
    }
    Ok(runs)
}
