//! Rating: usage and a plan go in, lines come out. Pure: no I/O, no clock, no randomness, no floats; the same input
//! gives the same lines to the last byte, in whatever order the usage comes.
//!
//! The pipeline, and why in this order (docs/billing.md has it for readers of invoices):
//!
//! 1. [`period`] cuts the period where prices or taxes change, [`gather`] adds up base units, exactly, for each segment,
//!    card and band of hours. First, because whatever is rounded before it is added up does not add up.
//! 2. [`quantity`] turns each sum into the priced unit, rounded once to [`QUANTITY_SCALE`]. From here on only this
//!    figure is used, because it is the one that is shown.
//! 3. [`allowances`] take off what is free: before all else, because what is free is never paid for, at whatever price.
//! 4. [`commitments`] take what is left: what is paid already is used before anything else is paid.
//! 5. [`cards`] lets the price model ([`price`], [`tiers`], [`percentile`]) price the rest, each tier on a line of its own,
//!    each rounded once by [`pricing`]: the one place where a quantity becomes money.
//! 6. [`cards`] holds each card to its minimum and maximum, which are about all of its lines.
//! 7. [`fees`] come after the cards, because percentages are of the amounts before them.
//! 8. [`discounts`] take off what was promised on what would be paid,
//! 9. then hold the invoice to its bounds, which are about what would be paid otherwise,
//! 10. then take off what a trial or a sponsor bears: what is really due, not list prices.
//! 11. [`taxes`] are due on what is left, for each code and rate on the sum of its lines, rounded once.
//!
//! A line keeps how it came about as figures ([`lines`], [`line`]); [`explain`] puts them into words when a document is made.
//! [`appendix`] spreads what was metered over the instances, so that it adds up again, when it is asked for.
//!
//! What is per period stays per period when it is cut: allowances, commitments, tiers, credits and bounds go on, by name,
//! where the part before ended. It does not know tenants, invoices or where usage comes from.

mod allowances;
mod appendix;
mod cards;
mod commitments;
mod discounts;
mod exact;
mod explain;
mod fees;
mod gather;
mod left;
mod line;
mod lines;
mod percentile;
mod period;
mod price;
mod pricing;
mod quantity;
mod shares;
mod sheet;
mod taxes;
mod tiers;

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{MeterName, Sample, UsageRecord, Window};

pub use line::RatedLine;
pub use lines::Lines;
pub use quantity::QUANTITY_SCALE;
pub(crate) use quantity::from_decimal as micro_units;

use crate::exchange::ExchangeRate;
use crate::invoice::document::{Completeness, InstanceUsage, Tax, UnpricedUsage};
use crate::money::{Currency, Money, MoneyError};
use crate::plan::{PricePlan, Prices, TaxClass};
use crate::tax::{NoTaxRate, TaxRate, Taxation};
use gather::Gathered;
use period::Period;
use pricing::Pricing;
use sheet::Sheet;

/// What usage costs.
#[derive(Clone, Debug)]
pub struct Rating<'a> {
    /// The sum of the lines.
    pub subtotal: Money,
    /// The tax on it, by code and rate.
    pub taxes: Vec<Tax>,
    /// Both.
    pub total: Money,
    lines: Lines<'a>,
    sheet: Sheet<'a>,
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
    /// What was used in an interval was handed over that does not lie in one.
    #[error(
        "the sample of {meter} in {window} does not lie within one interval of {interval_s} s of the period; cut samples \
         at the intervals, counted from the period's start"
    )]
    SampleOutOfPlace {
        /// The meter.
        meter: MeterName,
        /// The sample's window.
        window: Window,
        /// The interval's length.
        interval_s: u32,
    },
    /// An exchange rate was handed over that is not for these prices.
    #[error(
        "the prices of plan {plan} are in {currency}, and the exchange rate is for {from}; take the rate from {currency}"
    )]
    WrongExchange {
        /// The plan.
        plan: String,
        /// Its currency.
        currency: Currency,
        /// The rate's.
        from: Currency,
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

/// Usage that waits for its price: gathered, converted, and without what is free or committed. It is apart from [`rate`] so
/// that pricing can be measured without what comes before.
pub struct Metered<'a>(Sheet<'a>);

/// Rates usage.
///
/// # Errors
/// The plan has no prices for all of the period, the usage is not as described, or figures are beyond 38 digits.
pub fn rate<'a>(input: &RatingInput<'a>) -> Result<Rating<'a>, RatingError> {
    // 1 to 6.
    let metered = Metered::of(input)?;
    let mut lines = metered.lines()?;
    let sheet = metered.0;
    // 7.
    fees::add(&sheet, &mut lines)?;
    // 8 to 10.
    discounts::add(&sheet, &mut lines)?;
    // 11.
    let taxes = taxes::of(&sheet, &lines)?;
    let (subtotal, total) = taxes::sums(&sheet, &taxes)?;
    Ok(Rating { subtotal, taxes, total, lines, sheet })
}

impl<'a> Metered<'a> {
    /// Steps 1 to 4.
    ///
    /// # Errors
    /// As [`rate`], but for what is priced.
    pub fn of(input: &RatingInput<'a>) -> Result<Self, RatingError> {
        let pricing = pricing(input)?;
        let period = Period::of(input)?;
        // 1 and 2.
        let gathered = Gathered::from(input, &period)?;
        let mut sheet = Sheet::new(input, period, pricing, gathered)?;
        // 3.
        allowances::own(&mut sheet)?;
        allowances::pooled(&mut sheet)?;
        // 4.
        commitments::take(&mut sheet)?;
        Ok(Self(sheet))
    }

    /// Steps 5 and 6: the lines of all cards, each with the figures that explain it.
    ///
    /// # Errors
    /// Something cannot be taxed, or figures are beyond 38 digits.
    pub fn lines(&self) -> Result<Lines<'a>, RatingError> {
        cards::lines(&self.0)
    }
}

impl<'a> Rating<'a> {
    /// The lines: of cards by meter in the order of the catalog, then by time, card, band and tier; then fees, discounts,
    /// and what else is taken off.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = RatedLine<'a>> {
        self.lines.rated(&self.sheet)
    }

    /// The versions of the plan that were applied, in order.
    #[must_use]
    pub fn versions(&self) -> Vec<Date> {
        let segments = self.sheet.period.segments.iter();
        let mut versions: Vec<Date> = segments.map(|segment| segment.version.from()).collect();
        versions.dedup();
        versions
    }

    /// What was metered and has a price, by instance and volume, in the order of their names.
    ///
    /// # Errors
    /// A sum has too many digits.
    pub fn instances(&self) -> Result<Vec<InstanceUsage>, RatingError> {
        appendix::instances(&self.sheet.gathered, self.sheet.input.usage)
    }

    /// Usage without a price.
    #[must_use]
    pub fn unpriced(&self) -> Vec<UnpricedUsage> {
        appendix::unpriced(&self.sheet.gathered, &self.sheet.period.segments)
    }

    /// How well the usage is known: time of all resources together, each counted once.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        appendix::completeness(self.sheet.input.usage)
    }
}

fn pricing<'a>(input: &RatingInput<'a>) -> Result<Pricing<'a>, RatingError> {
    let RatingInput { plan, exchange, .. } = *input;
    let currency = plan.currency();
    if let Some(exchange) = exchange.filter(|exchange| exchange.from != currency) {
        let plan = plan.name().to_owned();
        return Err(RatingError::WrongExchange { plan, currency, from: exchange.from });
    }
    let currency = exchange.map_or(currency, |exchange| exchange.to);
    Ok(Pricing::new(currency, exchange, plan.prices() == Prices::Gross))
}

impl<'a> Sheet<'a> {
    /// The tax on a class at the beginning of a segment: it does not change within.
    fn tax(&self, class: &TaxClass, segment: usize) -> Result<&'a TaxRate, RatingError> {
        Ok(self.input.taxation.at(class, self.period.segments[segment].window.start())?)
    }

    /// The coins of an amount that could be computed.
    fn coins(&self, amount: Option<Money>) -> Result<i128, RatingError> {
        amount.map(Money::coins).ok_or_else(|| too_large(self))
    }
}

/// So many coins.
fn amount(coins: i128, currency: Currency) -> Result<Money, RatingError> {
    Ok(Money::from_coins(coins, currency).ok_or(MoneyError::TooLarge { currency })?)
}

/// Amounts that are of no meter alone.
fn too_large(sheet: &Sheet<'_>) -> RatingError {
    MoneyError::TooLarge { currency: sheet.pricing.currency }.into()
}
