//! Taxes: which rate holds for whom, for what and when. Tables are text that the provider applies, like price plans; what
//! a tenant is (country, number, exemption) is the tenant's profile. Pure; it computes no amounts (rating does) and asks
//! no tax office.

use jiff::Timestamp;
use jiff::civil::Date;
use metering::Window;
use rust_decimal::Decimal;

use crate::invoice::document::TaxCode;
use crate::plan::{TaxClass, TaxRule};

/// What is due on the lines of one class, from some instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxRate {
    /// What it is called on paper: `VAT`.
    pub name: String,
    /// How it is taxed.
    pub code: TaxCode,
    /// As a fraction; 0 unless the code is [`TaxCode::Standard`].
    pub rate: Decimal,
    /// Why nothing is due: wanted by EN 16931 for E, AE and O (BR-E-10, BR-AE-10, BR-O-10).
    pub reason: Option<String>,
}

/// The taxes of one tenant in one period, resolved: rating needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taxation {
    rates: Vec<(TaxClass, Vec<(Timestamp, TaxRate)>)>,
    for_all: Option<TaxRate>,
}

/// There is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no tax rate for class {class:?} on {day}; add it to the tax table (weir tax apply), or give the plan a [tax] \
     of its own"
)]
pub struct NoTaxRate {
    /// The class.
    pub class: String,
    /// The day.
    pub day: Date,
}

impl Taxation {
    /// The same for everything and everybody: what a plan's own `[tax]` says.
    #[must_use]
    pub fn fixed(rule: &TaxRule) -> Self {
        Self::of_all(TaxRate {
            name: rule.name.clone(),
            code: if rule.rate.is_zero() { TaxCode::ZeroRated } else { TaxCode::Standard },
            rate: rule.rate,
            reason: None,
        })
    }

    /// The same for everything, such as reverse charge.
    #[must_use]
    pub const fn of_all(rate: TaxRate) -> Self {
        Self { rates: Vec::new(), for_all: Some(rate) }
    }

    /// Rates by class, each with the instants from which they hold, in order.
    #[must_use]
    pub const fn by_class(rates: Vec<(TaxClass, Vec<(Timestamp, TaxRate)>)>) -> Self {
        Self { rates, for_all: None }
    }

    /// The instants within `period` at which a rate changes.
    #[must_use]
    pub fn cuts(&self, period: Window) -> Vec<Timestamp> {
        let mut cuts: Vec<Timestamp> = self
            .rates
            .iter()
            .flat_map(|(_, dated)| dated.iter().map(|(from, _)| *from))
            .filter(|from| period.start() < *from && *from < period.end())
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// What is due on `class` at `at`.
    ///
    /// # Errors
    /// The table has no rate for it.
    pub fn at(&self, class: &TaxClass, at: Timestamp) -> Result<&TaxRate, NoTaxRate> {
        let by_class = || {
            let (_, dated) = self.rates.iter().find(|(name, _)| name == class)?;
            let later = dated.partition_point(|(from, _)| *from <= at);
            dated.get(later.checked_sub(1)?).map(|(_, rate)| rate)
        };
        self.for_all.as_ref().or_else(by_class).ok_or_else(|| NoTaxRate {
            class: class.as_str().to_owned(),
            day: at.to_zoned(jiff::tz::TimeZone::UTC).date(),
        })
    }
}
