//! What all resources of a tenant used together in each short interval, for prices that look at rates (the 95th
//! percentile of a line). It does NOT price, sort or average: it hands over every interval of the period, those
//! without usage too.

use jiff::{SignedDuration, Timestamp};
use metering::{MeterName, Sample, TenantId, Window, WindowLength};
use migrations::{Database, Scope};

use crate::error::UsageError;
use crate::records;
use crate::settings::UsageSettings;

/// How much of a resource's readings is looked at in one go: what is in memory does not grow with the period.
const CHUNK: SignedDuration = SignedDuration::from_hours(24);

/// What a tenant used of `meter` in each `interval` of `period`, over all resources: `C(end) - C(start)` of each
/// interval, from the readings, so that the samples add up to the usage of the period to the last unit. In order;
/// intervals are aligned with the clock (UTC), and those that the period cuts are cut.
///
/// # Errors
/// The database fails.
pub async fn samples(
    db: &Database,
    tenant_id: TenantId,
    meter: MeterName,
    period: Window,
    interval: WindowLength,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<Sample>, UsageError> {
    let mut samples: Vec<Sample> = interval
        .windows_touching(period)
        .filter_map(|window| window.intersection(period))
        .map(|window| Sample { meter, window, quantity: 0 })
        .collect();
    let mut session = db.session().await?;
    // The readings beside a border may be another tenant's: what is derived from them is not.
    let transaction = session.begin(Scope::Provider).await?;
    for chunk in chunks(period, interval) {
        let first = samples.partition_point(|sample| sample.window.start() < chunk.start());
        let end = samples.partition_point(|sample| sample.window.start() < chunk.end());
        let windows: Vec<Window> = samples[first..end].iter().map(|sample| sample.window).collect();
        for piece in records::derived(&transaction, tenant_id, &windows, settings, now).await? {
            if piece.meter != meter {
                continue;
            }
            let n = samples.partition_point(|sample| sample.window.end() <= piece.window.start());
            if let Some(sample) = samples.get_mut(n) {
                sample.quantity = sample.quantity.saturating_add(piece.quantity);
            }
        }
    }
    transaction.commit().await?;
    Ok(samples)
}

/// The period in chunks, cut at borders of intervals.
fn chunks(period: Window, interval: WindowLength) -> Vec<Window> {
    let mut cuts = Vec::new();
    let mut next = period.start();
    while let Ok(at) = next.checked_add(CHUNK) {
        if period.end() <= at {
            break;
        }
        next = interval.window_of(at).start();
        cuts.push(next);
    }
    period.split_at(&cuts)
}
