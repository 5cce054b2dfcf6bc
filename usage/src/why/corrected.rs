//! What corrections do to a line: entries of their own beside the resources, so that what was recorded is still shown as it
//! was, and the line is their sum.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{TenantId, UsagePart, Window};
use migrations::{Database, Scope};
use uuid::Uuid;

use super::times::Times;
use crate::corrections::{self, Correction};
use crate::error::UsageError;
use crate::settings::UsageSettings;

/// A correction and what it does to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectedUsage {
    /// Which.
    pub correction: Correction,
    /// What is recorded and does not count, in the meter's base unit. What two corrections exclude is the first one's.
    pub excluded: u64,
    /// What counts and is not recorded.
    pub added: u64,
}

/// The corrections of a tenant's usage that touch a part, remarks and withdrawn ones too (which do nothing): the latest
/// first.
///
/// # Errors
/// The database fails.
pub async fn corrections_of(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    part: &UsagePart,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<CorrectedUsage>, UsageError> {
    if !super::may_see(scope, tenant) {
        return Ok(Vec::new());
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let mut made = corrections::of_meter(&transaction, tenant, part.meter(), part.period()).await?;
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let times = Times::of(&transaction, tenant, part).await?;
    made.retain(|one| touches(&times.of_resource(&one.resource), one.window));
    let effects = corrections::effects(&transaction, tenant, part.period()).await?;
    let mut added: BTreeMap<Uuid, u64> = BTreeMap::new();
    for effect in effects.adding().filter(|effect| effect.meter == part.meter()) {
        let within = times.of_resource(&effect.resource).into_iter().map(|time| effect.added_in(time));
        added.insert(effect.correction_id, within.fold(0, u64::saturating_add));
    }
    transaction.commit().await?;
    let mut excluded: BTreeMap<Uuid, u64> = BTreeMap::new();
    for resource in effects.excluded_resources(part.meter()) {
        for record in super::windows_of(db, scope, tenant, resource, part, settings, now).await? {
            if let Some(effect) = effects.excluded_by(resource, part.meter(), record.window.start()) {
                let sum = excluded.entry(effect.correction_id).or_default();
                *sum = sum.saturating_add(record.quantity);
            }
        }
    }
    let of = |sums: &BTreeMap<Uuid, u64>, id| sums.get(&id).copied().unwrap_or(0);
    Ok(made
        .into_iter()
        .map(|correction| CorrectedUsage {
            excluded: of(&excluded, correction.id),
            added: of(&added, correction.id),
            correction,
        })
        .collect())
}

/// What was recorded, with what corrections do to it.
#[must_use]
pub fn corrected(recorded: u128, corrections: &[CorrectedUsage]) -> u128 {
    let sum =
        |of: fn(&CorrectedUsage) -> u64| corrections.iter().map(|one| u128::from(of(one))).sum::<u128>();
    // Only what is recorded is ever excluded.
    recorded.saturating_sub(sum(|one| one.excluded)) + sum(|one| one.added)
}

fn touches(times: &[Window], window: Window) -> bool {
    times.iter().any(|time| time.intersection(window).is_some())
}
