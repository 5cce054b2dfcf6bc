//! What a world of the oracle consists of, and what its answer says. Plain facts.

use std::collections::BTreeMap;

pub const MICRO: i128 = 1_000_000;
pub const TEN_THOUSAND: i128 = 10_000;
pub const HOURS: i64 = 744;
/// How many instances a world has.
pub const INSTANCES: usize = 4;

pub struct World {
    /// Decimals of the invoice's currency.
    pub exponent: u32,
    pub exchange: Option<i128>,
    pub is_gross: bool,
    pub versions: Vec<Version>,
    /// Rates of the classes `standard` and `reduced`, from an hour on.
    pub taxes: Vec<(i64, [i128; 2])>,
    pub usage: Vec<Used>,
}

#[derive(Clone, Default)]
pub struct Version {
    /// The hour of October at which it begins.
    pub from: i64,
    pub cards: Vec<Card>,
    /// Cards, quantity, whether for each instance.
    pub pool: Option<(Vec<String>, i128, bool)>,
    /// Card, quantity, price, whether what is not used is made up for.
    pub commitment: Option<(String, i128, i128, bool)>,
    pub fees: Vec<Fee>,
    pub discounts: Vec<Discount>,
    pub bounds: Bounds,
    /// Its end, as an hour, and its credit.
    pub trial: Option<(i64, Option<i128>)>,
    pub is_sponsored: bool,
}

pub type Bounds = (Option<i128>, Option<i128>);

#[derive(Clone)]
pub struct Card {
    pub name: String,
    /// Its place in the catalog, and base units for one priced unit.
    pub meter: (usize, i128),
    /// The only network that it is for.
    pub network: Option<&'static str>,
    pub included: i128,
    pub is_each: bool,
    pub price: Price,
    /// From 22:00 to 06:00.
    pub night: Option<i128>,
    pub bounds: Bounds,
    pub is_reduced: bool,
}

#[derive(Clone)]
pub enum Price {
    Unit(i128),
    Flat(i128),
    /// End, price, flat.
    Graduated(Vec<(Option<i128>, i128, i128)>),
    Volume(Vec<(Option<i128>, i128, i128)>),
    Package(i128, i128),
    /// Of the hours of the period, per Mbit/s.
    Percentile(i128, i128),
}

#[derive(Clone)]
pub struct Fee {
    pub name: String,
    pub kind: FeeKind,
}

#[derive(Clone)]
pub enum FeeKind {
    Monthly {
        amount: i128,
        is_each: bool,
        is_prorated: bool,
    },
    Once {
        amount: i128,
        hour: i64,
    },
    /// In ten-thousandths; of one card or of everything.
    Percentage {
        rate: i128,
        of: Option<String>,
        fixed: i128,
        bounds: Bounds,
    },
}

#[derive(Clone)]
pub struct Discount {
    pub name: String,
    /// A fraction in ten-thousandths, or an amount.
    pub off: Result<i128, i128>,
    pub of: Option<String>,
}

#[derive(Clone)]
pub struct Used {
    pub instance: usize,
    pub meter: usize,
    /// Of a volume, not of an instance.
    pub is_volume: bool,
    pub network: &'static str,
    pub hour: i64,
    pub base: i128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub base: i128,
    pub micro: i128,
    pub coins: i128,
}

/// By key; by tax rate, base and tax; the unpriced base units by meter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub lines: BTreeMap<String, Line>,
    pub taxes: BTreeMap<i128, (i128, i128)>,
    pub unpriced: BTreeMap<usize, i128>,
}
