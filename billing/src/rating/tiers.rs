//! The pieces into which a meter's quantity falls, and their price: first what is included, then the rest. Tiers
//! are half-open over decimals, so no quantity falls between two.

use rust_decimal::Decimal;

use super::exact::Exact;
use super::gather::MeterUsage;
use super::{Piece, RatedLine, RatingError, explain, quantity};
use crate::invoice::document::LineKind;
use crate::plan::{PriceModel, PricePlan, RateCard};

/// A part of a meter's quantity with one price.
pub(super) struct TierPart {
    pub(super) kind: LineKind,
    pub(super) base_quantity: u128,
    pub(super) micro_units: i128,
    pub(super) unit_price: Decimal,
}

/// Splits a quantity at the allowance. `granted` is what earlier versions of the same period gave already, and is
/// raised by what is given now: a change of prices in mid-month does not double the allowance.
pub(super) fn split(
    card: &RateCard,
    base_quantity: u128,
    micro_units: i128,
    granted: &mut i128,
) -> Result<Vec<TierPart>, RatingError> {
    let PriceModel::PerUnit { unit_price } = card.price else {
        return Err(RatingError::TooLarge { meter: card.meter });
    };
    let left = (quantity::from_decimal(card.included.quantity) - *granted).max(0);
    let free = left.min(micro_units);
    *granted += free;
    let free_base = if free == micro_units { base_quantity } else { quantity::base_units(free, card.meter)? };
    let included = TierPart {
        kind: LineKind::Included,
        base_quantity: free_base,
        micro_units: free,
        unit_price: Decimal::ZERO,
    };
    let standard = TierPart {
        kind: LineKind::Standard,
        base_quantity: base_quantity - free_base,
        micro_units: micro_units - free,
        unit_price,
    };
    // Usage too small to show, such as one byte, still has a line: on the included one if there is something left.
    Ok(match (0 < left, free < micro_units) {
        (true, true) => vec![included, standard],
        (true, false) => vec![included],
        (false, true) => vec![standard],
        (false, false) => vec![TierPart { base_quantity, ..standard }],
    })
}

impl TierPart {
    /// The line: the one place where an amount is rounded.
    pub(super) fn priced(
        self,
        plan: &PricePlan,
        piece: &Piece<'_>,
        card: &RateCard,
        used: &MeterUsage,
    ) -> Result<RatedLine, RatingError> {
        let meter = card.meter;
        let quantity = quantity::decimal(self.micro_units);
        let exact = Exact::product(quantity, self.unit_price).ok_or(RatingError::TooLarge { meter })?;
        let amount = exact.to_money(plan.currency()).ok_or(RatingError::TooLarge { meter })?;
        Ok(RatedLine {
            key: format!("{}/{}/{meter}/{}", plan.name(), piece.version.from(), self.kind.as_str()),
            meter,
            kind: self.kind,
            service_period: piece.window,
            base_quantity: self.base_quantity,
            quantity,
            unit_price: self.unit_price,
            amount,
            why: explain::why(&self, card, used, exact, amount),
            coverage: used.coverage(),
        })
    }
}
