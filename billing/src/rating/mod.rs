//! Rating: usage and a plan go in, lines come out. Pure: no I/O, no clock, no randomness, no floats; the same input
//! gives the same lines to the last byte, in whatever order the usage comes.
//!
//! The pipeline, and why in this order:
//!
//! 1. [`gather`] cuts the period where prices change and adds up base units, exactly, for each piece and meter.
//!    First, because whatever is rounded before it is added up does not add up.
//! 2. [`quantity`] turns each sum into the priced unit, rounded once to [`QUANTITY_SCALE`]. From here on only this
//!    figure is used, because it is the one that is shown.
//! 3. [`tiers`] takes the free allowance off, then prices the rest, each on a line of its own, each rounded once.
//! 4. [`explain`] writes down how each line came about.
//! 5. Lines are added up; the tax is computed on the sum and rounded once.
//! 6. [`quantity::apportion`] spreads what the lines show over the instances, so that it adds up again.
//!
//! It does not know tenants, invoices or where usage comes from.

mod exact;
mod explain;
mod gather;
mod quantity;
mod tiers;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{MeterName, Sample, UsageRecord, Window};
use rust_decimal::Decimal;

pub use quantity::QUANTITY_SCALE;

use crate::exchange::ExchangeRate;
use crate::invoice::document::{Completeness, InstanceUsage, InvoiceLine, LineKind, Tax, UnpricedUsage};
use crate::money::{Money, MoneyError};
use crate::plan::{PlanVersion, PricePlan, TaxClass};
use crate::tax::{NoTaxRate, Taxation};
use gather::{Gathered, Holder, Holders, MeterUsage};

/// What usage costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// The lines: by meter in the order of the catalog, then by version, then by tier.
    pub lines: Vec<RatedLine>,
    /// Their sum.
    pub subtotal: Money,
    /// The tax on it, by code and rate.
    pub taxes: Vec<Tax>,
    /// Both.
    pub total: Money,
    /// The versions of the plan that were applied, in order.
    pub versions: Vec<Date>,
    /// How well the usage is known: time of all resources together, each counted once.
    pub completeness: Completeness,
    /// The lines' quantities by instance and volume, in the order of their names.
    pub instances: Vec<InstanceUsage>,
    /// Usage without a price.
    pub unpriced: Vec<UnpricedUsage>,
}

/// One line, before it becomes part of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatedLine {
    /// `<plan>/<version>/<meter>/<tier>`: the same each time, so that two ratings can be compared line by line.
    pub key: String,
    /// What was metered.
    pub meter: MeterName,
    /// What kind of line it is.
    pub kind: LineKind,
    /// The piece of the period for which the version holds.
    pub service_period: Window,
    /// How much, in base units, exactly.
    pub base_quantity: u128,
    /// How much, in the priced unit.
    pub quantity: Decimal,
    /// The price of one unit.
    pub unit_price: Decimal,
    /// `quantity x unit_price`, rounded once.
    pub amount: Money,
    /// How it came about, in a sentence.
    pub why: String,
    /// How well the meter's usage in the piece is known.
    pub coverage: Completeness,
}

/// Why usage could not be rated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The period starts before the plan does.
    #[error(
        "plan {plan} has no prices at {start}, the start of the period: its first version holds from {first} on; \
         add an earlier [[version]] or rate a later period"
    )]
    NoPrices {
        /// The plan.
        plan: String,
        /// The period's start.
        start: Timestamp,
        /// The first version's start.
        first: Timestamp,
    },
    /// Usage was handed over that the period does not contain.
    #[error("usage of {meter} of {resource} in {window} is not within the period {period}")]
    OutsidePeriod {
        /// The meter.
        meter: MeterName,
        /// The instance's or volume's name.
        resource: String,
        /// The record's window.
        window: Window,
        /// The period.
        period: Window,
    },
    /// Usage was handed over that was not cut where prices change.
    #[error(
        "usage of {meter} of {resource} in {window} spans {cut}, where prices change; cut the usage there before it \
         is rated"
    )]
    AcrossVersions {
        /// The meter.
        meter: MeterName,
        /// The instance's or volume's name.
        resource: String,
        /// The record's window.
        window: Window,
        /// Where the next version starts.
        cut: Timestamp,
    },
    /// A quantity or an amount has too many digits.
    #[error("the usage of {meter} is too large to be priced exactly: it needs more than 38 digits")]
    TooLarge {
        /// The meter.
        meter: MeterName,
    },
    /// Something cannot be taxed.
    #[error(transparent)]
    NoTaxRate(#[from] NoTaxRate),
    /// The amounts together are too large.
    #[error("the amounts could not be added up")]
    Money(#[from] MoneyError),
}

/// A piece of the period for which one version holds.
struct Piece<'p> {
    window: Window,
    version: &'p PlanVersion,
}

/// The appendix in the making: base units and micro-units for each holder and meter.
type Shares = BTreeMap<(Holder, MeterName), (u128, i128)>;

/// All that rating looks at.
#[derive(Clone, Copy, Debug)]
pub struct RatingInput<'a> {
    /// The plan, with the tenant's own terms worked in.
    pub plan: &'a PricePlan,
    /// What was used, within the period and cut at [`PricePlan::cuts`] and [`Taxation::cuts`].
    pub usage: &'a [UsageRecord],
    /// What was used in each interval, for cards with a percentile price.
    pub samples: &'a [Sample],
    /// What is billed.
    pub period: Window,
    /// How the plan's currency becomes the invoice's; `None`: they are the same.
    pub exchange: Option<&'a ExchangeRate>,
    /// The taxes.
    pub taxation: &'a Taxation,
}

/// Rates usage.
///
/// # Errors
/// The plan has no prices for all of the period, the usage is not as described, or figures are beyond 38 digits.
pub fn rate(input: &RatingInput<'_>) -> Result<Rating, RatingError> {
    let RatingInput { plan, usage, period, .. } = *input;
    let pieces = pieces(plan, period)?;
    let gathered = Gathered::from(usage, period, &pieces)?;

    let mut lines = Vec::new();
    let mut unpriced = Vec::new();
    let mut shares = Shares::new();
    // What the allowance of each meter has granted already in earlier pieces.
    let mut granted = BTreeMap::<MeterName, i128>::new();
    for ((meter, piece), used) in gathered.by_meter() {
        let piece = &pieces[piece];
        let micro_units = quantity::micro_units(used.base_quantity, meter)?;
        let Some(card) = piece.version.rate_card(meter) else {
            unpriced.push(unpriced_usage(meter, piece.window, used, micro_units));
            continue;
        };
        let granted = granted.entry(meter).or_default();
        let tiers = tiers::split(card, used.base_quantity, micro_units, granted)?;
        for tier in tiers {
            lines.push(tier.priced(plan, piece, card, used)?);
        }
        share_out(&mut shares, meter, used, micro_units)?;
    }

    let currency = plan.currency();
    let subtotal = Money::sum(currency, lines.iter().map(|line| line.amount))?;
    let due = input.taxation.at(&TaxClass::standard(), period.start())?;
    let tax = Tax {
        name: due.name.clone(),
        code: due.code,
        rate: due.rate,
        reason: due.reason.clone(),
        base: subtotal,
        amount: exact::Exact::product(subtotal.amount(), due.rate)
            .and_then(|exact| exact.to_money(currency))
            .ok_or(MoneyError::TooLarge { currency })?,
    };
    Ok(Rating {
        total: subtotal.checked_add(tax.amount)?,
        lines,
        subtotal,
        taxes: vec![tax],
        versions: pieces.iter().map(|piece| piece.version.from()).collect(),
        completeness: gathered.completeness(),
        instances: appendix(&shares, gathered.holders()),
        unpriced,
    })
}

impl RatedLine {
    /// The line as it stands on an invoice.
    #[must_use]
    pub fn into_invoice_line(self) -> InvoiceLine {
        let meter = self.meter.meter();
        InvoiceLine {
            key: self.key,
            card: self.meter.as_str().to_owned(),
            meter: Some(self.meter),
            title: meter.title.clone(),
            kind: self.kind,
            dimensions: BTreeMap::new(),
            band: None,
            bounds: None,
            service_period: self.service_period,
            base_quantity: self.base_quantity,
            base_unit: meter.unit.symbol().to_owned(),
            quantity: self.quantity,
            unit: meter.priced_unit.symbol.clone(),
            unit_price: self.unit_price,
            conversion: None,
            amount: self.amount,
            tax_code: crate::invoice::document::TaxCode::Standard,
            tax_rate: None,
            why: self.why,
            coverage: self.coverage,
        }
    }
}

fn pieces(plan: &PricePlan, period: Window) -> Result<Vec<Piece<'_>>, RatingError> {
    period
        .split_at(&plan.cuts(period))
        .into_iter()
        .map(|window| match plan.version_at(window.start()) {
            Some(version) => Ok(Piece { window, version }),
            None => Err(RatingError::NoPrices {
                plan: plan.name().to_owned(),
                start: window.start(),
                // A plan has at least one version.
                first: plan.versions().first().map_or(window.end(), PlanVersion::starts_at),
            }),
        })
        .collect()
}

fn unpriced_usage(meter: MeterName, window: Window, used: &MeterUsage, micro_units: i128) -> UnpricedUsage {
    let definition = meter.meter();
    UnpricedUsage {
        meter,
        title: definition.title.clone(),
        service_period: window,
        base_quantity: used.base_quantity,
        base_unit: definition.unit.symbol().to_owned(),
        quantity: quantity::decimal(micro_units),
        unit: definition.priced_unit.symbol.clone(),
    }
}

fn share_out(
    shares: &mut Shares,
    meter: MeterName,
    used: &MeterUsage,
    micro_units: i128,
) -> Result<(), RatingError> {
    let parts: Vec<u128> = used.by_holder.values().copied().collect();
    let apportioned = quantity::apportion(meter, &parts, micro_units)?;
    for ((holder, base_quantity), micro_units) in used.by_holder.iter().zip(apportioned) {
        let share = shares.entry((*holder, meter)).or_default();
        share.0 += base_quantity;
        share.1 += micro_units;
        if quantity::MAX_MICRO_UNITS < share.1 {
            return Err(RatingError::TooLarge { meter });
        }
    }
    Ok(())
}

/// By name, then by id (two may have one name), then in the order of the catalog.
fn appendix(shares: &Shares, holders: &Holders<'_>) -> Vec<InstanceUsage> {
    let mut rows: Vec<_> = shares
        .iter()
        .filter(|(_, (base_quantity, _))| 0 < *base_quantity)
        .map(|((holder, meter), share)| {
            let name = holders.get(holder).map_or("", |(_, name)| *name);
            ((name, *holder, meter.position()), *meter, *share)
        })
        .collect();
    rows.sort_unstable_by_key(|(order, ..)| *order);
    rows.into_iter()
        .map(|((name, holder, _), meter, (base_quantity, micro_units))| InstanceUsage {
            instance_id: holder.instance_id(),
            volume_id: holder.volume_id(),
            name: name.to_owned(),
            meter,
            base_quantity,
            quantity: quantity::decimal(micro_units),
            unit: meter.meter().priced_unit.symbol.clone(),
        })
        .collect()
}
