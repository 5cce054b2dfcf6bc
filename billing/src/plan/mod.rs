//! Price plans: which meters cost how much, from when on. Written in TOML ([`PricePlan::parse`]), checked as a
//! whole, and from then on always valid.
//!
//! A plan knows no tenant and no usage, and reads no clock. It is resolved when it is parsed: version starts are
//! instants, so that rating needs no time zone.

mod number;
mod parse;
mod problem;
mod reader;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::{MeterName, Window};
use rust_decimal::Decimal;

pub use problem::{PlanErrors, Problem};

use crate::money::Currency;

/// The largest plan file. A version with every meter is about 1 KiB: this is centuries of price changes.
pub const MAX_PLAN_BYTES: usize = 1024 * 1024;

/// The most decimals of a price: micro-prices per byte need about ten.
pub const MAX_PRICE_DECIMALS: usize = 12;

/// The most decimals of an allowance: quantities have no more (`rating::QUANTITY_SCALE`).
pub const MAX_INCLUDED_DECIMALS: usize = 6;

/// The most digits before the point of a price or an allowance. Beyond it somebody wrote cents or bytes; and
/// quantity x price has to fit into 38 digits.
pub const MAX_WHOLE_DIGITS: usize = 10;

/// A plan: at least one version, in order, each with at least one rate card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricePlan {
    name: String,
    currency: Currency,
    zone_name: String,
    zone: TimeZone,
    tax: TaxRule,
    versions: Vec<PlanVersion>,
    source: String,
}

/// The one tax of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxRule {
    /// What it is called on paper: `VAT`.
    pub name: String,
    /// As a fraction, `0 <= rate <= 1`.
    pub rate: Decimal,
}

/// The prices from one day on, until the next version starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanVersion {
    from: Date,
    starts_at: Timestamp,
    rate_cards: Vec<RateCard>,
}

/// How one meter is priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCard {
    /// Which meter. The unit is the meter's priced unit.
    pub meter: MeterName,
    /// What is free in each period, in the priced unit. Not prorated.
    pub included: Decimal,
    /// What the rest costs.
    pub price: PriceModel,
}

/// The shape of a price. More shapes will join; rating matches on it in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceModel {
    /// The same for each unit.
    PerUnit {
        /// In the plan's currency, as written in the plan.
        unit_price: Decimal,
    },
}

impl PricePlan {
    /// Reads a plan. `file` is only a name for the messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line, column and how to mend it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, PlanErrors> {
        parse::parse(file, bytes)
    }

    /// Its name: 1 to 63 of `a-z`, `0-9` and `-`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The currency of every price in it.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// IANA name of the zone in which its versions start at midnight.
    #[must_use]
    pub fn time_zone_name(&self) -> &str {
        &self.zone_name
    }

    /// That zone.
    #[must_use]
    pub const fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The tax.
    #[must_use]
    pub const fn tax(&self) -> &TaxRule {
        &self.tax
    }

    /// Its versions, in order of their starts.
    #[must_use]
    pub fn versions(&self) -> &[PlanVersion] {
        &self.versions
    }

    /// The text that it was read from, to the last byte.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The instants within `period` at which prices change. Usage that is to be rated must be cut there.
    #[must_use]
    pub fn cuts(&self, period: Window) -> Vec<Timestamp> {
        self.versions
            .iter()
            .map(|version| version.starts_at)
            .filter(|start| period.start() < *start && *start < period.end())
            .collect()
    }

    /// The version that holds at `at`; `None` before the first one starts.
    #[must_use]
    pub fn version_at(&self, at: Timestamp) -> Option<&PlanVersion> {
        let later = self.versions.partition_point(|version| version.starts_at <= at);
        self.versions.get(later.checked_sub(1)?)
    }
}

impl PlanVersion {
    /// The day from which it holds.
    #[must_use]
    pub const fn from(&self) -> Date {
        self.from
    }

    /// The instant from which it holds: the beginning of that day in the plan's zone.
    #[must_use]
    pub const fn starts_at(&self) -> Timestamp {
        self.starts_at
    }

    /// Its cards, in the order of the catalog.
    #[must_use]
    pub fn rate_cards(&self) -> &[RateCard] {
        &self.rate_cards
    }

    /// The card of `meter`, if the meter has a price.
    #[must_use]
    pub fn rate_card(&self, meter: MeterName) -> Option<&RateCard> {
        self.rate_cards.iter().find(|card| card.meter == meter)
    }
}
