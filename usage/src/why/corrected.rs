//! What corrections do to a line: entries of their own beside the resources, so that what was recorded is still shown as it
//! was, and the line is their sum.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{MeterName, TenantId, Window};
use migrations::{Database, Scope};
use uuid::Uuid;

use crate::close::spans::Spans;
use crate::close::{Found, for_each_record};
use crate::corrections::{self, Correction};
use crate::error::UsageError;
use crate::records;
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

/// The corrections of a tenant's usage of a meter that touch a period, remarks and withdrawn ones too (which do nothing):
/// the latest first.
///
/// # Errors
/// The database fails.
pub async fn corrections_of(
    db: &Database,
    scope: Scope,
    tenant: TenantId,
    meter: MeterName,
    period: Window,
    settings: UsageSettings,
    now: Timestamp,
) -> Result<Vec<CorrectedUsage>, UsageError> {
    if !super::may_see(scope, tenant) {
        return Ok(Vec::new());
    }
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let made = corrections::of_meter(&transaction, tenant, meter, period).await?;
    if made.is_empty() {
        return Ok(Vec::new());
    }
    let effects = corrections::effects(&transaction, tenant, period).await?;
    let mut excluded: BTreeMap<Uuid, u64> = BTreeMap::new();
    let mut exclude = |found: &Found| {
        if let Some(effect) = effects.excluded_by(&found.resource, found.meter, found.at)
            && found.meter == meter
        {
            let sum = excluded.entry(effect.correction_id).or_default();
            *sum = sum.saturating_add(found.quantity);
        }
    };
    let resources: Vec<Uuid> = effects.excluding().collect();
    let spans = Spans::of(&[period], settings.window, None);
    if !resources.is_empty() {
        for_each_record(&transaction, tenant, &spans.windows, &resources, |found| exclude(&found)).await?;
    }
    transaction.commit().await?;
    if !resources.is_empty() && !spans.edges.is_empty() {
        // The readings next to an edge may be another tenant's: what is derived from them is not.
        let transaction = session.begin(Scope::Provider).await?;
        for span in &spans.edges {
            let Ok(edge) = Window::new(span.from, span.to) else { continue };
            for piece in records::derived(&transaction, tenant, &[edge], settings, now).await? {
                let crate::derivation::Piece { resource, meter, quantity, coverage, .. } = piece;
                let at = piece.window.start();
                exclude(&Found { piece: 0, resource, meter, at, quantity, coverage });
            }
        }
        transaction.commit().await?;
    }
    let added = |id: Uuid| {
        effects.adding().find(|effect| effect.correction_id == id).map_or(0, |effect| effect.added_in(period))
    };
    Ok(made
        .into_iter()
        .map(|correction| CorrectedUsage {
            excluded: excluded.get(&correction.id).copied().unwrap_or(0),
            added: added(correction.id),
            correction,
        })
        .collect())
}
