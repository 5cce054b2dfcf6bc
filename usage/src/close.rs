//! The usage that a period's invoice is rated from.

use jiff::Timestamp;
use metering::{TenantId, UsageRecord, Window};
use migrations::Database;

use crate::error::UsageError;
use crate::records;
use crate::settings::UsageSettings;

/// What a tenant used in each of `pieces` (the period cut where prices change), one record for each resource, meter,
/// piece and set of dimensions: the piece, or the part of it with these dimensions, is the record's window.
///
/// # Errors
/// The database fails.
pub async fn usage_of_period(
    db: &Database,
    tenant_id: TenantId,
    pieces: &[Window],
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<UsageRecord>, UsageError> {
    records::usage_of(db, tenant_id, pieces, settings, now).await
}
