//! Why a line is what it is: one English sentence with the figures, so that it can be checked with a pocket
//! calculator. It computes nothing that is charged.

use super::exact::Exact;
use super::gather::MeterUsage;
use super::tiers::TierPart;
use crate::invoice::document::Tier;
use crate::money::Money;
use crate::plan::RateCard;

/// The sentence for `part` of what was `used`, which costs `exact`, rounded to `amount`.
pub(super) fn why(
    part: &TierPart,
    card: &RateCard,
    used: &MeterUsage,
    exact: Exact,
    amount: Money,
) -> String {
    let meter = card.meter.meter();
    let unit = &meter.priced_unit.symbol;
    let quantity = super::quantity::decimal(part.micro_units).normalize();
    let of_all = if part.base_quantity == used.base_quantity {
        String::new()
    } else {
        format!(" of {}", used.base_quantity)
    };
    let metered = format!(
        "{}{of_all} {} at {} {} to the {unit} are {quantity} {unit}",
        part.base_quantity,
        meter.unit.symbol(),
        meter.priced_unit.base_units,
        meter.unit.symbol(),
    );
    match part.tier {
        Tier::Included => format!(
            "{metered}, free within the {} {unit} that the plan includes in each period.",
            card.included.normalize()
        ),
        Tier::Standard if exact.is(amount.amount()) => {
            format!(
                "{metered}, times {} {} is {amount}.",
                part.unit_price,
                amount.currency()
            )
        }
        Tier::Standard => format!(
            "{metered}, times {} {} is {exact} {}, rounded to {amount}.",
            part.unit_price,
            amount.currency(),
            amount.currency(),
        ),
    }
}
