//! Why a line is what it is: one English sentence with the figures, so that it can be checked with a pocket
//! calculator. It computes nothing that is charged.

use super::exact::Exact;
use super::gather::MeterUsage;
use super::quantity;
use super::tiers::TierPart;
use crate::invoice::document::LineKind;
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
    let shown = quantity::decimal(part.micro_units).normalize();
    let of_all = if part.base_quantity == used.base_quantity {
        String::new()
    } else {
        format!(" of {}", grouped(used.base_quantity))
    };
    let rounded = if quantity::is_exact(part.base_quantity, part.micro_units, card.meter) {
        ""
    } else {
        " (rounded to 6 decimals)"
    };
    let metered = format!(
        "{}{of_all} {base_unit} metered, at {} {base_unit} for one {unit}, are {shown} {unit}{rounded}",
        grouped(part.base_quantity),
        grouped(meter.priced_unit.base_units.into()),
        base_unit = meter.unit.symbol(),
    );
    let (price, currency) = (part.unit_price, amount.currency());
    match part.kind {
        LineKind::Included => {
            let included = card.included.quantity.normalize();
            format!("{metered}, within the {included} {unit} that each period includes.")
        }
        _ if exact.is(amount.amount()) => {
            format!("{metered}; {shown} x {price} {currency} = {amount}.")
        }
        _ => {
            format!("{metered}; {shown} x {price} {currency} = {exact} {currency}, rounded to {amount}.")
        }
    }
}

/// A whole number with its thousands apart: `1,234,567`.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if 0 < n && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
