//! When a resource's usage belongs to a part: in its pieces, while it has the dimensions. Pure, but for reading what was
//! said of dimensions.

use metering::{Dimensions, Resource, UsagePart, Window, part};
use migrations::Transaction;

use crate::dimensions::{self, timeline::Timeline};
use crate::error::UsageError;

/// The part, and what was said of dimensions.
pub(super) struct Times<'a> {
    part: &'a UsagePart,
    timeline: Timeline,
}

impl<'a> Times<'a> {
    /// In a scope that sees the tenant.
    pub(super) async fn of(
        transaction: &Transaction<'_>,
        tenant: metering::TenantId,
        part: &'a UsagePart,
    ) -> Result<Self, UsageError> {
        let timeline = match part.asks_for_dimensions() {
            true => dimensions::timeline(transaction, tenant, part.period()).await?,
            false => Timeline::default(),
        };
        Ok(Self { part, timeline })
    }

    /// In order, disjoint, none next to another.
    pub(super) fn of_resource(&self, resource: &Resource) -> Vec<Window> {
        let steps = self.timeline.steps(resource);
        let cuts: Vec<_> = steps.iter().map(|(from, _)| *from).collect();
        let none = Dimensions::default();
        let holding = |window: &Window| {
            let next = steps.partition_point(|(from, _)| *from <= window.start());
            next.checked_sub(1).and_then(|n| steps.get(n)).map_or(&none, |(_, dimensions)| dimensions)
        };
        let pieces = self.part.pieces().iter().flat_map(|piece| piece.split_at(&cuts));
        part::joined(pieces.filter(|piece| self.part.takes(holding(piece))).collect())
    }
}

/// Whether all of `inner` lies in one of them.
pub(super) fn hold(times: &[Window], inner: Window) -> bool {
    times.iter().any(|time| time.intersection(inner) == Some(inner))
}
