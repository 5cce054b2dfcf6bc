//! Taxes: which rate holds for whom, for what and when. Tables are text that the provider applies, like price plans; what
//! a tenant is (country, number, exemption) is the tenant's billing account. Pure; it computes no amounts (rating does) and
//! asks no tax office whether a number is real.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::Window;
use rust_decimal::Decimal;

use crate::account::{BillingAccount, TaxTreatment};
use crate::country::Country;
use crate::invoice::document::TaxCode;
use crate::plan::{PlanErrors, PricePlan, Prices, TaxClass, TaxRule};

/// What stands on the invoice when the buyer owes the tax: the words that Article 226(11a) of the EU's VAT directive asks for.
pub const REVERSE_CHARGE: &str = "Reverse charge";

/// What is due on the lines of one class, from some instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxRate {
    /// What it is called on paper: `VAT`.
    pub name: String,
    /// How it is taxed.
    pub code: TaxCode,
    /// As a fraction; 0 unless the code is [`TaxCode::Standard`].
    pub rate: Decimal,
    /// The tax that gross prices contain, as a fraction: the rate itself; for a buyer who is not taxed the seller's own, which the
    /// buyer does not pay.
    pub in_prices: Decimal,
    /// Why nothing is due: wanted by EN 16931 for E, AE and O (BR-E-10, BR-AE-10, BR-O-10).
    pub reason: Option<String>,
}

/// Rates and the instants from which they hold, in order; `None`: from then on there is none.
type Dated = Vec<(Timestamp, Option<TaxRate>)>;

/// The taxes of one tenant in one period, resolved: rating needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taxation {
    /// By class, in order; `None`: from then on the table says nothing.
    rates: Vec<(TaxClass, Dated)>,
    for_all: Option<TaxRate>,
    /// In which days begin.
    zone: TimeZone,
}

/// Rates by country, class and day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaxTable {
    seller: Seller,
    rates: Vec<TableRate>,
    source: String,
}

/// Who sells, as the tax office knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seller {
    /// Where it is taxed.
    pub country: Country,
    /// Under which number; reverse charge needs it.
    pub number: Option<String>,
}

/// One rate of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRate {
    /// Where it holds.
    pub country: Country,
    /// For what.
    pub class: TaxClass,
    /// What it is called on paper.
    pub name: String,
    /// As a fraction, `0 <= rate <= 1`.
    pub rate: Decimal,
    /// From the beginning of this day on.
    pub from: Date,
    /// Up to the beginning of this one; `None`: until the next rate holds.
    pub until: Option<Date>,
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

/// Why nobody can say how a tenant is taxed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaxationError {
    /// Nothing says anything.
    #[error(
        "plan {plan} fixes no tax and there is no tax table; apply one (weir tax apply), or give the plan a [tax]"
    )]
    NoTable {
        /// The plan.
        plan: String,
    },
    /// The table does not know the country.
    #[error("the tax table has no rate for {} ({country}); add one (weir tax apply), or set the tenant's tax treatment (weir tenant set-billing)", .country.name())]
    NoCountry {
        /// The country.
        country: Country,
    },
    /// Reverse charge without the buyer's number.
    #[error(
        "reverse charge needs the tenant's tax number (EN 16931 BR-AE-03); set it first (weir tenant set-party)"
    )]
    NoBuyerNumber,
    /// Reverse charge without the seller's number.
    #[error(
        "reverse charge needs the seller's tax number (EN 16931 BR-AE-02); write it as [seller] number in the tax table (weir tax apply)"
    )]
    NoSellerNumber,
    /// Prices contain a tax that nobody has named.
    #[error(
        "plan {plan} has gross prices, and for a tenant that is {treatment} the seller's own tax is taken out of them; say which: \
         rates of {country} in the tax table (weir tax apply), or a [tax] in the plan"
    )]
    NoHomeRate {
        /// The plan.
        plan: String,
        /// The treatment.
        treatment: &'static str,
        /// The seller's country, or what stands for it.
        country: String,
    },
    /// No reason was kept.
    #[error(
        "a tenant that is {treatment} needs a reason (EN 16931 BR-E-10, BR-O-10); set it (weir tenant set-billing)"
    )]
    NoReason {
        /// The treatment.
        treatment: &'static str,
    },
}

impl TaxTable {
    /// Reads a table. `file` is only a name for the messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with line, column and how to mend it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, PlanErrors> {
        crate::plan::tax_file::parse(file, bytes)
    }

    /// Of rates that were checked.
    pub(crate) const fn new(seller: Seller, rates: Vec<TableRate>, source: String) -> Self {
        Self { seller, rates, source }
    }

    /// Who sells.
    #[must_use]
    pub const fn seller(&self) -> &Seller {
        &self.seller
    }

    /// The rates, in the order of country, class and day.
    #[must_use]
    pub fn rates(&self) -> &[TableRate] {
        &self.rates
    }

    /// The text that it was read from, to the last byte.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What `rate` makes of the rates of `country`, by class, with the instants of `period` from which they hold.
    fn dated(
        &self,
        country: Country,
        (period, zone): (Window, &TimeZone),
        rate: impl Fn(&TableRate) -> TaxRate,
    ) -> Vec<(TaxClass, Dated)> {
        let mut rates: Vec<(TaxClass, Dated)> = Vec::new();
        for one in self.rates.iter().filter(|one| one.country == country) {
            if rates.last().is_none_or(|(class, _)| *class != one.class) {
                rates.push((one.class.clone(), Vec::new()));
            }
            let Some((_, dated)) = rates.last_mut() else { continue };
            let Some(from) = begin(one.from, zone) else { continue };
            // Where the one before ends, this one begins: the table has no gaps.
            dated.retain(|(at, _)| *at < from);
            dated.push((from, Some(rate(one))));
            if let Some(until) = one.until.and_then(|until| begin(until, zone)) {
                dated.push((until, None));
            }
        }
        for (_, dated) in &mut rates {
            // What was over when the period began, but for the last of it.
            let later = dated.partition_point(|(from, _)| *from <= period.start());
            dated.drain(..later.saturating_sub(1));
        }
        rates
    }
}

impl Taxation {
    /// How the tenant of `account` is taxed in `period`: what it is (reverse charge, exempt, outside the scope) comes first,
    /// then the tax that the plan fixes, then the table's rates of its country. Days begin in `zone`.
    ///
    /// Whoever is not taxed pays gross prices without the tax in them: the one that the plan fixes, or else the seller's own
    /// of the class and the day.
    ///
    /// # Errors
    /// See [`TaxationError`]. That a class has no rate on some day is only found when something of it is taxed.
    pub fn resolve(
        table: Option<&TaxTable>,
        plan: &PricePlan,
        account: &BillingAccount,
        period: Window,
        zone: &TimeZone,
    ) -> Result<Self, TaxationError> {
        if let Some(untaxed) = untaxed(table, plan, account)? {
            return Self::resolve_untaxed(table, plan, account, untaxed, (period, zone));
        }
        if let Some(rule) = plan.tax() {
            return Ok(Self::fixed(rule));
        }
        let table = table.ok_or_else(|| TaxationError::NoTable { plan: plan.name().to_owned() })?;
        let country = account.terms.country.unwrap_or(table.seller.country);
        let rates = table.dated(country, (period, zone), rate_of);
        if rates.is_empty() {
            return Err(TaxationError::NoCountry { country });
        }
        Ok(Self { rates, for_all: None, zone: zone.clone() })
    }

    /// The same for whoever is not taxed.
    fn resolve_untaxed(
        table: Option<&TaxTable>,
        plan: &PricePlan,
        account: &BillingAccount,
        untaxed: TaxRate,
        (period, zone): (Window, &TimeZone),
    ) -> Result<Self, TaxationError> {
        if plan.prices() == Prices::Net {
            return Ok(Self::of_all(untaxed));
        }
        if let Some(rule) = plan.tax() {
            return Ok(Self::of_all(TaxRate { in_prices: rule.rate, ..untaxed }));
        }
        let rates = table.map_or_else(Vec::new, |table| {
            let home = |rate: &TableRate| TaxRate { in_prices: rate.rate, ..untaxed.clone() };
            table.dated(table.seller.country, (period, zone), home)
        });
        if rates.is_empty() {
            let country = table.map(|table| table.seller.country);
            return Err(TaxationError::NoHomeRate {
                plan: plan.name().to_owned(),
                treatment: account.terms.treatment.as_str(),
                country: country
                    .map_or_else(|| "the seller's country".to_owned(), |one| one.name().to_owned()),
            });
        }
        Ok(Self { rates, for_all: None, zone: zone.clone() })
    }

    /// The same for everything and everybody: what a plan's own `[tax]` says.
    #[must_use]
    pub fn fixed(rule: &TaxRule) -> Self {
        Self::of_all(TaxRate {
            name: rule.name.clone(),
            code: code_of(rule.rate),
            rate: rule.rate,
            in_prices: rule.rate,
            reason: None,
        })
    }

    /// The same for everything, such as reverse charge.
    #[must_use]
    pub const fn of_all(rate: TaxRate) -> Self {
        Self { rates: Vec::new(), for_all: Some(rate), zone: TimeZone::UTC }
    }

    /// Rates by class, each with the instants from which they hold, in order.
    #[must_use]
    pub fn by_class(rates: Vec<(TaxClass, Vec<(Timestamp, TaxRate)>)>) -> Self {
        let some =
            |dated: Vec<(Timestamp, TaxRate)>| dated.into_iter().map(|(from, rate)| (from, Some(rate)));
        let rates = rates.into_iter().map(|(class, dated)| (class, some(dated).collect())).collect();
        Self { rates, for_all: None, zone: TimeZone::UTC }
    }

    /// Sentences that the document must bear: that the buyer owes the tax, or why none is due.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let by_class = self.rates.iter().flat_map(|(_, dated)| dated).filter_map(|(_, rate)| rate.as_ref());
        let untaxed = self.for_all.iter().chain(by_class).filter(|rate| rate.code != TaxCode::Standard);
        let mut notes: Vec<String> = untaxed.filter_map(|rate| rate.reason.clone()).collect();
        notes.dedup();
        notes
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
            dated.get(later.checked_sub(1)?).and_then(|(_, rate)| rate.as_ref())
        };
        self.for_all.as_ref().or_else(by_class).ok_or_else(|| NoTaxRate {
            class: class.as_str().to_owned(),
            day: at.to_zoned(self.zone.clone()).date(),
        })
    }
}

/// What holds for a tenant that is not taxed; `None` for one that is.
fn untaxed(
    table: Option<&TaxTable>,
    plan: &PricePlan,
    account: &BillingAccount,
) -> Result<Option<TaxRate>, TaxationError> {
    let terms = &account.terms;
    let reason = || {
        let treatment = terms.treatment.as_str();
        terms.tax_reason.clone().ok_or(TaxationError::NoReason { treatment })
    };
    let (code, reason) = match terms.treatment {
        TaxTreatment::Taxable => return Ok(None),
        TaxTreatment::ReverseCharge => {
            account.tax_number.as_ref().ok_or(TaxationError::NoBuyerNumber)?;
            let number = table.and_then(|table| table.seller.number.as_ref());
            number.ok_or(TaxationError::NoSellerNumber)?;
            (TaxCode::ReverseCharge, REVERSE_CHARGE.to_owned())
        }
        TaxTreatment::Exempt => (TaxCode::Exempt, reason()?),
        TaxTreatment::OutsideScope => (TaxCode::OutsideScope, reason()?),
    };
    let name = plan.tax().map(|rule| rule.name.clone());
    let of_table = || table.and_then(|table| table.rates.first()).map(|rate| rate.name.clone());
    let name = name.or_else(of_table).unwrap_or_else(|| "VAT".to_owned());
    let nothing = Decimal::ZERO;
    Ok(Some(TaxRate { name, code, rate: nothing, in_prices: nothing, reason: Some(reason) }))
}

fn rate_of(rate: &TableRate) -> TaxRate {
    let (name, code) = (rate.name.clone(), code_of(rate.rate));
    TaxRate { name, code, rate: rate.rate, in_prices: rate.rate, reason: None }
}

const fn code_of(rate: Decimal) -> TaxCode {
    if rate.is_zero() { TaxCode::ZeroRated } else { TaxCode::Standard }
}

/// The first instant of a day. `None`: beyond what a clock can say.
fn begin(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    day.to_zoned(zone.clone()).ok().map(|start| start.timestamp())
}
