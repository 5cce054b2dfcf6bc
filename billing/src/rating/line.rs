//! One line of a rating: all figures, none of the words. What it borrows is the plan's; the key, the units and the sentence
//! that explains it are written only when it becomes part of a document. It computes one thing: the amount.

use std::fmt::Write;

use metering::{MeterName, Window};
use rust_decimal::Decimal;

use super::RatingError;
use super::explain::{self, Figures};
use super::pricing::Pricing;
use crate::exchange::ExchangeRate;
use crate::invoice::document::{Completeness, Conversion, InvoiceLine, LineKind, TierBounds};
use crate::money::{Currency, Money};
use crate::plan::part::written;
use crate::plan::{
    CardName, Commitment, Discount, Fee, PlanVersion, Pool, PricePlan, PriceTier, RateCard, TimeBand, Trial,
};
use crate::tax::TaxRate;

/// One line, before it becomes part of an invoice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatedLine<'a> {
    /// What kind of line it is.
    pub kind: LineKind,
    /// What was metered, if the line is about usage.
    pub meter: Option<MeterName>,
    /// The hours for which the price holds.
    pub band: Option<&'a TimeBand>,
    /// The tier, of a graduated or volume price.
    pub tier: Option<&'a PriceTier>,
    /// How much, in base units, exactly.
    pub base_quantity: u128,
    /// How much, in the unit that is priced.
    pub quantity: Decimal,
    /// The price of one unit.
    pub unit_price: Decimal,
    /// Quantity x unit price, x the rate if there is an exchange, / (1 + tax rate) if the price contains the tax; rounded
    /// once.
    pub amount: Money,
    /// How the price's currency became the invoice's, if they differ.
    pub exchange: Option<&'a ExchangeRate>,
    /// Whether the price contains the tax.
    pub is_gross: bool,
    /// How it is taxed.
    pub tax: &'a TaxRate,
    /// How well the usage is known.
    pub coverage: Completeness,
    pub(super) subject: Subject<'a>,
    pub(super) suffix: Suffix<'a>,
    pub(super) unit: LineUnit,
    pub(super) figures: Figures,
    pub(super) ground: Ground<'a>,
}

/// What lines of one segment have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ground<'a> {
    pub(super) plan: &'a PricePlan,
    pub(super) version: &'a PlanVersion,
    pub(super) window: Window,
    /// The segment's number in the period, from 0.
    pub(super) segment: usize,
    /// The segment's number among the version's, from 1.
    pub(super) ordinal: u16,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject<'a> {
    Card(&'a RateCard),
    Pool(&'a RateCard, &'a Pool),
    Commitment(&'a RateCard, &'a Commitment),
    Fee(&'a Fee),
    Discount(&'a Discount),
    Invoice,
    Trial(&'a Trial),
    Sponsor(&'a str),
}

/// What tells lines of one subject and kind apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Suffix<'a> {
    None,
    Number(usize),
    Name(&'a CardName),
}

/// In what a line counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LineUnit {
    Priced(MeterName),
    Blocks(MeterName, Decimal),
    MbitPerSecond,
    Period,
    Instance,
    Item,
    Amount(Currency),
}

/// What a line is made of: all but the amount.
#[derive(Clone, Copy)]
pub(super) struct Charge<'a> {
    pub(super) kind: LineKind,
    pub(super) subject: Subject<'a>,
    pub(super) suffix: Suffix<'a>,
    pub(super) quantity: Decimal,
    pub(super) unit: LineUnit,
    pub(super) unit_price: Decimal,
    pub(super) figures: Figures,
}

impl<'a> Ground<'a> {
    /// A line at a price of the plan.
    pub(super) fn charge(
        &self,
        pricing: &Pricing<'a>,
        tax: &'a TaxRate,
        charge: &Charge<'a>,
    ) -> Result<RatedLine<'a>, RatingError> {
        let amount = pricing.amount(charge.quantity, charge.unit_price, tax);
        let amount = amount.ok_or_else(|| too_large(charge.subject, pricing.currency))?;
        let mut line = self.line(tax, charge, amount);
        line.exchange = pricing.exchange;
        line.is_gross = pricing.is_gross;
        Ok(line)
    }

    /// A line over an amount of the invoice, neither exchanged nor with the tax in it.
    pub(super) fn line(&self, tax: &'a TaxRate, charge: &Charge<'a>, amount: Money) -> RatedLine<'a> {
        let Charge { kind, subject, suffix, quantity, unit, unit_price, figures } = *charge;
        RatedLine {
            kind,
            meter: None,
            band: None,
            tier: None,
            base_quantity: 0,
            quantity,
            unit_price,
            amount,
            exchange: None,
            is_gross: false,
            tax,
            coverage: Completeness::default(),
            subject,
            suffix,
            unit,
            figures,
            ground: *self,
        }
    }

    /// A line of one item at the price of its amount: what is derived from other amounts.
    pub(super) fn derived(
        &self,
        tax: &'a TaxRate,
        (kind, subject, suffix): (LineKind, Subject<'a>, Suffix<'a>),
        amount: Money,
        figures: Figures,
    ) -> RatedLine<'a> {
        let charge = Charge {
            kind,
            subject,
            suffix,
            quantity: Decimal::ONE,
            unit: LineUnit::Item,
            unit_price: amount.amount(),
            figures,
        };
        self.line(tax, &charge, amount)
    }
}

/// What cannot be computed is told by the meter, where there is one.
fn too_large(subject: Subject<'_>, currency: Currency) -> RatingError {
    match subject {
        Subject::Card(card) | Subject::Pool(card, _) | Subject::Commitment(card, _) => {
            RatingError::TooLarge { meter: card.meter }
        }
        _ => crate::money::MoneyError::TooLarge { currency }.into(),
    }
}

impl<'a> Subject<'a> {
    /// The card or fee to whose amounts the line belongs.
    pub(super) fn belongs_to(self) -> Option<&'a CardName> {
        match self {
            Self::Card(card) | Self::Pool(card, _) | Self::Commitment(card, _) => Some(&card.name),
            Self::Fee(fee) => Some(&fee.name),
            Self::Discount(_) | Self::Invoice | Self::Trial(_) | Self::Sponsor(_) => None,
        }
    }

    /// Its own name in the plan.
    fn name(self) -> &'a str {
        match self {
            Self::Card(card) => card.name.as_str(),
            Self::Pool(_, pool) => pool.name.as_str(),
            Self::Commitment(_, commitment) => commitment.name.as_str(),
            Self::Fee(fee) => fee.name.as_str(),
            Self::Discount(discount) => discount.name.as_str(),
            Self::Invoice | Self::Trial(_) | Self::Sponsor(_) => "",
        }
    }

    pub(super) fn title(self) -> String {
        let of_card =
            |card: &RateCard| card.title.clone().unwrap_or_else(|| card.meter.meter().title.clone());
        match self {
            Self::Card(card) => of_card(card),
            Self::Pool(card, pool) => pool.title.clone().unwrap_or_else(|| of_card(card)),
            Self::Commitment(card, commitment) => commitment.title.clone().unwrap_or_else(|| of_card(card)),
            Self::Fee(fee) => fee.title.clone(),
            Self::Discount(discount) => discount.title.clone(),
            Self::Invoice => "Invoice".to_owned(),
            Self::Trial(trial) => trial.title.clone(),
            Self::Sponsor(sponsor) => format!("Borne by {sponsor}"),
        }
    }

    const fn card(self) -> Option<&'a RateCard> {
        match self {
            Self::Card(card) | Self::Pool(card, _) | Self::Commitment(card, _) => Some(card),
            _ => None,
        }
    }
}

impl LineUnit {
    pub(super) fn symbol(self) -> String {
        match self {
            Self::Priced(meter) => meter.meter().priced_unit.symbol.clone(),
            Self::Blocks(meter, size) => {
                format!("x {} {}", size.normalize(), meter.meter().priced_unit.symbol)
            }
            Self::MbitPerSecond => "Mbit/s".to_owned(),
            Self::Period => "period".to_owned(),
            Self::Instance => "instance".to_owned(),
            Self::Item => "item".to_owned(),
            Self::Amount(currency) => currency.code().to_owned(),
        }
    }
}

impl RatedLine<'_> {
    /// `<plan>/<version>/<card>[/<band>]/<kind>[-<which>]`: the same each time, so that two ratings can be compared line by
    /// line. Where a version holds for several parts of the period, because a trial ends or a tax changes within it, the
    /// second and later ones are `<version>.2` and so on.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = format!("{}/{}", self.ground.plan.name(), self.ground.version.from());
        // Writing to a string cannot fail.
        if 1 < self.ground.ordinal {
            let _ = write!(key, ".{}", self.ground.ordinal);
        }
        if let Some(name) = self.subject.belongs_to() {
            let _ = write!(key, "/{name}");
        } else if let Subject::Discount(discount) = self.subject {
            let _ = write!(key, "/{}", discount.name);
        }
        if let Some(band) = self.band {
            let _ = write!(key, "/{}", band.name);
        }
        let _ = write!(key, "/{}", self.kind.as_str());
        let _ = match self.suffix {
            Suffix::None => Ok(()),
            Suffix::Number(number) => write!(key, "-{number}"),
            Suffix::Name(name) => write!(key, "-{name}"),
        };
        key
    }

    /// How it came about, in a sentence with the figures.
    #[must_use]
    pub fn why(&self) -> String {
        explain::why(self)
    }

    /// The piece of the period for which the version holds.
    #[must_use]
    pub const fn service_period(&self) -> Window {
        self.ground.window
    }

    /// The line as it stands on an invoice.
    #[must_use]
    pub fn into_invoice_line(self) -> InvoiceLine {
        let dimensions = self.subject.card().map(|card| written(&card.only)).unwrap_or_default();
        let conversion = self.exchange.map(|exchange| Conversion {
            from: exchange.from,
            rate: exchange.rate,
            valid_from: exchange.valid_from,
            source: exchange.source.clone(),
        });
        InvoiceLine {
            key: self.key(),
            card: self.subject.name().to_owned(),
            meter: self.meter,
            title: self.subject.title(),
            kind: self.kind,
            dimensions,
            band: self.band.map(|band| band.name.as_str().to_owned()),
            bounds: self.tier.map(|tier| TierBounds { from: tier.from, to: tier.to }),
            service_period: self.ground.window,
            base_quantity: self.base_quantity,
            base_unit: self.meter.map_or("", |meter| meter.meter().unit.symbol()).to_owned(),
            quantity: self.quantity,
            unit: self.unit.symbol(),
            unit_price: self.unit_price,
            conversion,
            is_gross: self.is_gross,
            amount: self.amount,
            tax_code: self.tax.code,
            tax_rate: Some(self.tax.rate),
            tax_in_price: Some(self.tax.in_prices).filter(|within| self.is_gross && *within != self.tax.rate),
            why: self.why(),
            coverage: self.coverage,
        }
    }
}
