//! Price plans: which meters cost how much, from when on. Written in TOML ([`PricePlan::parse`]), checked as a
//! whole, and from then on always valid.
//!
//! A plan knows no tenant and no usage, and reads no clock. It is resolved when it is parsed: version starts are
//! instants, so that rating needs no time zone.

pub(crate) mod card;
pub(crate) mod check;
mod cuts;
pub mod diff;
mod extras;
mod fields;
mod number;
mod parse;
pub(crate) mod part;
mod price;
mod print;
mod problem;
mod reader;
pub(crate) mod tax_file;
pub(crate) mod terms_file;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use metering::MeterName;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use part::LineUsage;
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

/// The longest name of a plan, a card or a fee: it is part of every line's key.
pub const MAX_NAME: usize = 63;

/// The longest title: it has to fit into a line of the invoice.
pub const MAX_TITLE: usize = 120;

/// The most versions: a price change a week for nearly ten years.
pub const MAX_VERSIONS: usize = 500;

/// The most rate cards of a version: a dozen meters with a price for each of a dozen classes.
pub const MAX_CARDS: usize = 200;

/// The most pools, commitments, fees or discounts of a version: each is a line of every invoice.
pub const MAX_PARTS: usize = 100;

/// The most tiers of a price. Each that is filled is a line, and nobody reads a hundred.
pub const MAX_TIERS: usize = 100;

/// The most time bands of a card: each cuts every day of the month twice.
pub const MAX_BANDS: usize = 12;

/// The most dimensions on which a card depends.
pub const MAX_DIMENSIONS: usize = 8;

/// The most values of one dimension.
pub const MAX_VALUES: usize = 100;

/// A plan: at least one version, in order, each with at least one rate card or fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricePlan {
    name: String,
    currency: Currency,
    zone_name: String,
    zone: TimeZone,
    prices: Prices,
    tax: Option<TaxRule>,
    versions: Vec<PlanVersion>,
    source: String,
}

/// Whether the plan's prices contain the tax.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prices {
    /// The tax comes on top.
    #[default]
    Net,
    /// The tax is in them: a line's net amount is the gross one, divided by 1 + rate, rounded once.
    Gross,
}

/// A tax that the plan fixes for everybody. Without one, the tax table decides by the tenant's country.
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
    terms: VersionTerms,
}

/// What a version says. All amounts and prices are in the plan's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionTerms {
    /// In the order of the catalog, of one meter in the order of the plan: the first card that matches takes the usage.
    pub rate_cards: Vec<RateCard>,
    /// Allowances that several cards share, in the order of the plan. They come after the cards' own.
    pub pools: Vec<Pool>,
    /// In the order of the plan.
    pub commitments: Vec<Commitment>,
    /// In the order of the plan; percentage fees see the amounts of cards and of fees before them.
    pub fees: Vec<Fee>,
    /// In the order of the plan: each sees what the ones before it left.
    pub discounts: Vec<Discount>,
    /// The least and the most that an invoice is about, before tax. For a whole period, not prorated.
    pub bounds: AmountBounds,
    /// Everything is free for a while, or up to a credit.
    pub trial: Option<Trial>,
    /// Who bears everything: usage is priced, shown and then taken off.
    pub sponsor: Option<String>,
}

/// The name of a card, a fee, a pool, a commitment or a discount within its version: 1 to 63 of `a-z`, `0-9`, `-` and `_`.
/// It is part of the lines' keys, so it is kept when prices change. A card without one is named after its meter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CardName(pub(crate) String);

/// How the usage of one meter, or of a part of it, is priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCard {
    /// See [`CardName`].
    pub name: CardName,
    /// What it is called on paper; without one, what the meter is called.
    pub title: Option<String>,
    /// Which meter. The unit is the meter's priced unit.
    pub meter: MeterName,
    /// To which usage it applies: for each dimension one of the values. Empty: to all.
    pub only: BTreeMap<String, BTreeSet<String>>,
    /// What is free in each period.
    pub included: Included,
    /// What the rest costs.
    pub price: PriceModel,
    /// Other prices at certain hours; the price model is [`PriceModel::PerUnit`] then. The first that matches holds.
    pub time_of_use: Vec<TimeBand>,
    /// The least and the most that the card costs in a period, if there was usage. Not prorated.
    pub bounds: AmountBounds,
    /// How it is taxed, as the tax table calls it.
    pub tax_class: TaxClass,
}

/// An allowance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Included {
    /// In the priced unit. Not prorated: whole in each period, however short.
    pub quantity: Decimal,
    /// For whom.
    pub per: Per,
}

/// For whom an allowance or a fee is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// Once.
    #[default]
    Tenant,
    /// For each instance (or volume) that has usage; what one does not use is not the others'.
    Instance,
}

/// The shape of a price. Rating matches on it in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceModel {
    /// The same for each unit.
    PerUnit {
        /// As written in the plan.
        unit_price: Decimal,
    },
    /// One amount in a period in which there is any usage.
    Flat {
        /// As written in the plan.
        amount: Decimal,
    },
    /// Each unit costs what the tier says into which it falls.
    Graduated {
        /// Adjacent and half-open, the first from 0, the last without an end.
        tiers: Vec<PriceTier>,
    },
    /// All units cost what the tier says into which the last of them falls.
    Volume {
        /// As above.
        tiers: Vec<PriceTier>,
    },
    /// Whole blocks; a block that was begun is paid.
    Package {
        /// Of how many units.
        size: Decimal,
        /// What one costs.
        price: Decimal,
    },
    /// The rate in Mbit/s that is not exceeded in `percent` % of the intervals of a period, for meters in bytes.
    Percentile {
        /// 1 to 100; 95 is usual.
        percent: u32,
        /// The length of an interval; 300 s is usual.
        interval_s: u32,
        /// For one Mbit/s (10^6 bit/s) and period.
        unit_price: Decimal,
    },
}

/// A tier: `from <= quantity < to`. Of a graduated price, a quantity that equals `to` has filled the tier and not begun the
/// next one; of a volume price, it is in the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTier {
    /// In the priced unit.
    pub from: Decimal,
    /// In the priced unit; `None`: all that is left.
    pub to: Option<Decimal>,
    /// For each unit in it.
    pub unit_price: Decimal,
    /// Once, if anything falls into it.
    pub flat: Decimal,
    /// `to` in millionths, as rating counts; the greatest number, if there is no end.
    pub(crate) end: i128,
}

/// A price at certain hours of the local time of the plan's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeBand {
    /// Part of the lines' keys: `night`.
    pub name: CardName,
    /// On these days (of the band's beginning); at least one.
    pub days: Vec<Weekday>,
    /// From here on.
    pub from: Time,
    /// Up to here; at or before `from`: on the next day.
    pub to: Time,
    /// For each unit.
    pub unit_price: Decimal,
}

/// An allowance that several cards share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// See [`CardName`].
    pub name: CardName,
    /// What it is called on paper.
    pub title: Option<String>,
    /// Whose usage it covers, in this order; their meters have one priced unit.
    pub cards: Vec<CardName>,
    /// How much.
    pub included: Included,
}

/// So much of a card is paid in each period at a price of its own, used or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// See [`CardName`].
    pub name: CardName,
    /// What it is called on paper.
    pub title: Option<String>,
    /// Whose usage it takes first, before the card's price and after its allowance.
    pub card: CardName,
    /// In the priced unit, for a whole period; prorated by time when the version holds for a part of it.
    pub quantity: Decimal,
    /// For each unit of it.
    pub unit_price: Decimal,
    /// What becomes of what is not used.
    pub unused: Unused,
}

/// What becomes of the unused part of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Used units are charged as they are used, and a line of its own makes up for the rest at the period's end.
    TrueUp,
    /// The whole commitment is charged on one line; what is not used expires with the period.
    Lost,
}

/// A fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fee {
    /// See [`CardName`].
    pub name: CardName,
    /// What it is called on paper.
    pub title: String,
    /// How much, and when.
    pub charge: FeeCharge,
    /// How it is taxed.
    pub tax_class: TaxClass,
}

/// How a fee is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeeCharge {
    /// In each period.
    Recurring {
        /// For a whole period.
        amount: Decimal,
        /// For whom.
        per: Per,
        /// Whether a part of a period costs a part of it (by time), or all of it.
        is_prorated: bool,
    },
    /// Once, in the period in which the day lies.
    Once {
        /// How much.
        amount: Decimal,
        /// The day, in the plan's zone.
        on: Date,
    },
    /// A part of other amounts, and something fixed with it.
    Percentage {
        /// As a fraction.
        fraction: Decimal,
        /// Of the amounts of these cards and fees; empty: of all before it.
        of: Vec<CardName>,
        /// In each period in which any of them is charged.
        fixed: Decimal,
        /// Of the fee.
        bounds: AmountBounds,
    },
}

/// A discount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discount {
    /// See [`CardName`].
    pub name: CardName,
    /// What it is called on paper.
    pub title: String,
    /// How much.
    pub off: Off,
    /// On these cards and fees; empty: on all.
    pub of: Vec<CardName>,
}

/// How much a discount takes off. Never more than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    /// A fraction, `0 < fraction <= 1`.
    Fraction(Decimal),
    /// An amount in each period.
    Amount(Decimal),
}

/// The least and the most of an amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AmountBounds {
    /// At least.
    pub minimum: Option<Decimal>,
    /// At most; not below the minimum.
    pub maximum: Option<Decimal>,
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What it is called on paper.
    pub title: String,
    /// It ends here, at the beginning of the day in the plan's zone. A version is cut there.
    pub until: Date,
    /// How much is free in each period; `None`: all.
    pub credit: Option<Decimal>,
}

/// How something is taxed, as the tax table calls it: `standard` unless a card says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaxClass(pub(crate) String);

impl TaxClass {
    /// What a card has that says nothing.
    #[must_use]
    pub fn standard() -> Self {
        Self("standard".to_owned())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CardName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

    /// The tax that it fixes for everybody, if it does.
    #[must_use]
    pub const fn tax(&self) -> Option<&TaxRule> {
        self.tax.as_ref()
    }

    /// Whether its prices contain the tax.
    #[must_use]
    pub const fn prices(&self) -> Prices {
        self.prices
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

    /// The same plan with other versions, which are in order and at least one.
    pub(crate) fn with_versions(&self, versions: Vec<(Date, VersionTerms)>) -> Option<Self> {
        let versions = versions.into_iter().map(|(from, terms)| {
            let starts_at = cuts::midnight(from, &self.zone)?;
            Some(PlanVersion { from, starts_at, terms })
        });
        Some(Self { versions: versions.collect::<Option<_>>()?, ..self.clone() })
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
        &self.terms.rate_cards
    }

    /// All that it says.
    #[must_use]
    pub const fn terms(&self) -> &VersionTerms {
        &self.terms
    }

    /// The card of `meter`, if the meter has a price.
    #[must_use]
    pub fn rate_card(&self, meter: MeterName) -> Option<&RateCard> {
        self.terms.rate_cards.iter().find(|card| card.meter == meter)
    }
}
