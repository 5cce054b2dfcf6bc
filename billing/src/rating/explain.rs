//! Why a line is what it is: one English sentence with the figures, so that it can be checked with a pocket
//! calculator. It computes nothing that is charged.

use jiff::civil::Date;
use rust_decimal::Decimal;

use super::exact::Exact;
use super::line::{LineUnit, RatedLine, Subject};
use super::quantity::{self, Scale};
use crate::invoice::document::LineKind;
use crate::money::Money;
use crate::plan::{Off, Per, PriceTier};

/// What a line remembers of how it came about. Quantities are in millionths of the priced unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figures {
    /// Base units became units; what was metered in all.
    Metered { of: u128, units: i128, how: How },
    /// Once, for a tier.
    Tier,
    /// The percentile of a rate.
    Rate { of: u128, rate: Rate },
    /// What is missing to a commitment.
    Shortfall { committed: i128, used: i128 },
    /// A share of a period, for so many instances.
    Recurring { share: i128, instances: Option<usize> },
    /// Due on a day.
    Once { on: Date },
    /// With a percentage fee.
    Fixed,
    /// A fraction of an amount.
    Percentage { base: Money },
    /// What the lines are without it, and what they are bound to.
    Bound { sum: Money, bound: Money },
    /// What is left of what it is taken from, and how much is taken off.
    Off { base: Money, off: Off },
    /// What is left and borne by somebody else.
    Borne { base: Money },
}

/// What happened to the units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    /// They have their price.
    Priced,
    /// An allowance covers them.
    Included,
    /// One price covers them; it may have been charged in an earlier part of the period.
    Flat { is_charged: bool },
    /// All of the period's units decide on the tier.
    Volume { all: i128 },
    /// They fill blocks after what was used before.
    Package { before: i128, size: i128 },
    /// A commitment covers them.
    Committed { quantity: i128 },
}

/// How a percentile was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) percent: u32,
    pub(super) interval_s: u32,
    pub(super) intervals: u64,
    pub(super) missing: u64,
    /// The place of the interval, from the lowest on.
    pub(super) rank: u64,
    /// Of the whole period, in bit/s.
    pub(super) bit_per_s: i128,
    /// Whether the line is for a part of the period.
    pub(super) is_prorated: bool,
}

/// The sentence.
pub(super) fn why(line: &RatedLine<'_>) -> String {
    let product = || product(line);
    match line.figures {
        Figures::Metered { of, units, how } => metered(line, of, units, how),
        Figures::Tier => format!("Once, because something falls into {}; {}", tier(line), product()),
        Figures::Rate { of, rate } => percentile(line, of, &rate),
        Figures::Shortfall { committed, used } => {
            let unit = line.unit.symbol();
            format!(
                "{} {unit} are committed and {} {unit} of them were used; {}",
                shown(committed),
                shown(used),
                product()
            )
        }
        Figures::Recurring { share, instances } => recurring(line, share, instances),
        Figures::Once { on } => format!("Once, on {on}; {}", product()),
        Figures::Fixed => format!("Fixed, beside the percentage; {}", product()),
        Figures::Percentage { base } => {
            format!("{} % of {base}; {}", percent(line.unit_price), product())
        }
        Figures::Bound { sum, bound } => {
            let (most, subject) = match line.kind {
                LineKind::Maximum => ("most", "taken off"),
                _ => ("least", "added"),
            };
            format!("The lines come to {sum} and are at {most} {bound}: the difference is {subject}.")
        }
        Figures::Off { base, off: Off::Fraction(fraction) } => {
            let exact = Exact::product(base.amount(), fraction);
            let off = -line.amount.amount();
            let code = line.amount.currency();
            match exact {
                Some(exact) if !exact.is(off) => {
                    format!("{} % of {base} = {exact} {code}, rounded to {off} {code}.", percent(fraction))
                }
                _ => format!("{} % of {base} = {off} {code}.", percent(fraction)),
            }
        }
        Figures::Off { base, off: Off::Amount(amount) } => {
            let code = line.ground.plan.currency();
            format!("{amount} {code} in each period, as far as there is something left: of {base} here.")
        }
        Figures::Borne { base } => match line.kind {
            LineKind::Trial => format!("Free in the trial, of {base} that are left."),
            _ => format!("All that is left, {base}, is borne by somebody else."),
        },
    }
}

fn metered(line: &RatedLine<'_>, of: u128, units: i128, how: How) -> String {
    let said = conversion(line, of, units);
    match (how, line.subject) {
        (How::Included, Subject::Pool(_, pool)) => {
            let unit = line.unit.symbol();
            let title = pool.title.as_deref().unwrap_or(pool.name.as_str());
            let (quantity, each) = (pool.included.quantity.normalize(), each(pool.included.per));
            format!("{said}, within the {quantity} {unit} of {title} that each period includes{each}.")
        }
        (How::Included, Subject::Card(card)) => {
            let unit = line.unit.symbol();
            let (quantity, each) = (card.included.quantity.normalize(), each(card.included.per));
            format!("{said}, within the {quantity} {unit} that each period includes{each}.")
        }
        (How::Included | How::Priced, _) if line.tier.is_some() => {
            format!("{said}, in {}; {}", tier(line), product(line))
        }
        (How::Included | How::Priced, _) => match line.band {
            Some(band) => format!("{said}, in the hours of {}; {}", band.name, product(line)),
            None => format!("{said}; {}", product(line)),
        },
        (How::Flat { is_charged: false }, _) => format!("{said}, at one price; {}", product(line)),
        (How::Flat { is_charged: true }, _) => {
            format!("{said}, at one price, which this period has been charged already.")
        }
        (How::Volume { all }, _) => {
            let unit = line.unit.symbol();
            format!(
                "{said}; all {} {unit} of the period put them in {}; {}",
                shown(all),
                tier(line),
                product(line)
            )
        }
        (How::Package { before, size }, _) => {
            let size = shown(size);
            let after = if before == 0 { String::new() } else { format!(" after {} before", shown(before)) };
            let blocks = line.quantity.normalize();
            format!("{said},{after} beginning {blocks} blocks of {size}; {}", product(line))
        }
        (How::Committed { quantity }, _) => {
            let unit = line.unit.symbol();
            format!("{said}, within the {} {unit} that are committed; {}", shown(quantity), product(line))
        }
    }
}

/// From what was metered to the quantity in the priced unit.
fn conversion(line: &RatedLine<'_>, of: u128, units: i128) -> String {
    let Some(name) = line.meter else { return String::new() };
    let meter = name.meter();
    let scale = Scale::of(name);
    let of_all = if line.base_quantity == of { String::new() } else { format!(" of {}", grouped(of)) };
    let rounded = if scale.is_exact(line.base_quantity, units) { "" } else { " (rounded to 6 decimals)" };
    let unit = &meter.priced_unit.symbol;
    format!(
        "{}{of_all} {base_unit} metered, at {} {base_unit} for one {unit}, are {} {unit}{rounded}",
        grouped(line.base_quantity),
        grouped(scale.base_units),
        shown(units),
        base_unit = meter.unit.symbol(),
    )
}

/// `2 x 0.04 EUR = 0.08 EUR.`, with the rate and the tax if there are any.
fn product(line: &RatedLine<'_>) -> String {
    let amount = line.amount;
    let currency = line.exchange.map_or(amount.currency(), |exchange| exchange.from);
    let price = match line.unit {
        LineUnit::Amount(_) => line.unit_price.normalize().to_string(),
        _ => format!("{} {currency}", line.unit_price),
    };
    let mut text = format!("{} x {price}", line.quantity.normalize());
    let mut exact = Exact::product(line.quantity, line.unit_price);
    if let Some(exchange) = line.exchange {
        text += &format!(" x {} {} for one {}", exchange.rate, exchange.to, exchange.from);
        exact = exact.and_then(|exact| exact.times(exchange.rate));
    }
    if line.is_gross && !line.tax.in_prices.is_zero() {
        let divisor = (Decimal::ONE + line.tax.in_prices).normalize();
        return format!("{text} / {divisor} without the tax in it, rounded to {amount}.");
    }
    match exact {
        Some(exact) if exact.is(amount.amount()) => format!("{text} = {amount}."),
        Some(exact) => format!("{text} = {exact} {}, rounded to {amount}.", amount.currency()),
        None => format!("{text}, rounded to {amount}."),
    }
}

fn percentile(line: &RatedLine<'_>, of: u128, rate: &Rate) -> String {
    let missing = match rate.missing {
        0 => String::new(),
        missing => format!(", of which {} without data count as 0", grouped(missing.into())),
    };
    let part = if rate.is_prorated { ", by the time for which this price holds" } else { "" };
    format!(
        "{} bytes metered here; of the period's {} intervals of {} s{missing}, {} % (up to the {}th from the lowest) do not \
         exceed {} Mbit/s{part}; {}",
        grouped(of),
        grouped(rate.intervals.into()),
        rate.interval_s,
        rate.percent,
        grouped(rate.rank.into()),
        shown(rate.bit_per_s),
        product(line),
    )
}

fn recurring(line: &RatedLine<'_>, share: i128, instances: Option<usize>) -> String {
    let time = if share == quantity::ONE { String::new() } else { format!(" for {} of it", shown(share)) };
    match instances {
        None => format!("In each period{time}; {}", product(line)),
        Some(count) => format!("In each period{time}, for {count} instances; {}", product(line)),
    }
}

/// `the tier from 10 up to 50`
fn tier(line: &RatedLine<'_>) -> String {
    match line.tier {
        Some(PriceTier { from, to: Some(to), .. }) => {
            format!("the tier from {} up to {}", from.normalize(), to.normalize())
        }
        Some(PriceTier { from, to: None, .. }) => format!("the tier from {} on", from.normalize()),
        None => "the tier".to_owned(),
    }
}

const fn each(per: Per) -> &'static str {
    match per {
        Per::Tenant => "",
        Per::Instance => " for each instance",
    }
}

fn percent(fraction: Decimal) -> Decimal {
    // Fractions have at most six decimals: this is exact.
    (fraction * Decimal::ONE_HUNDRED).normalize()
}

fn shown(units: i128) -> Decimal {
    quantity::decimal(units).normalize()
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
