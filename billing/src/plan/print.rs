//! A plan as TOML again: what the parser reads as the same plan. Comments and the author's layout are not kept; for the
//! text that was applied see [`PricePlan::source`].

use std::fmt::Write;

use jiff::civil::{Time, Weekday};
use rust_decimal::Decimal;

use super::{
    AmountBounds, Commitment, Discount, Fee, FeeCharge, Included, Off, Per, Pool, PriceModel, PricePlan,
    PriceTier, Prices, RateCard, TaxClass, TimeBand, Unused, VersionTerms,
};

impl PricePlan {
    /// The plan as TOML. With a tenant's terms worked in, this is all that holds for the tenant.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Toml(String::new());
        out.text("name", &self.name);
        out.text("currency", self.currency.code());
        out.text("time_zone", &self.zone_name);
        if self.prices == Prices::Gross {
            out.text("prices", "gross");
        }
        if let Some(tax) = &self.tax {
            out.head("[tax]");
            out.text("name", &tax.name);
            out.decimal("rate", tax.rate);
        }
        for version in &self.versions {
            out.head("[[version]]");
            out.text("from", &version.from.to_string());
            out.version(&version.terms);
        }
        out.0
    }
}

/// TOML in the making.
struct Toml(String);

impl Toml {
    fn line(&mut self, key: &str, value: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn head(&mut self, head: &str) {
        let _ = writeln!(self.0, "\n{head}");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.line(key, &quoted(text));
    }

    fn decimal(&mut self, key: &str, value: Decimal) {
        self.line(key, &format!("\"{value}\""));
    }

    fn title(&mut self, title: Option<&String>) {
        if let Some(title) = title {
            self.text("title", title);
        }
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = impl AsRef<str>>) {
        let items: Vec<String> = items.into_iter().map(|item| quoted(item.as_ref())).collect();
        if !items.is_empty() {
            self.line(key, &format!("[{}]", items.join(", ")));
        }
    }

    fn bounds(&mut self, bounds: &AmountBounds) {
        for (key, value) in [("minimum", bounds.minimum), ("maximum", bounds.maximum)] {
            if let Some(value) = value {
                self.decimal(key, value);
            }
        }
    }

    fn included(&mut self, included: &Included) {
        self.decimal("included", included.quantity);
        if included.per == Per::Instance {
            self.text("included_per", "instance");
        }
    }

    fn tax_class(&mut self, class: &TaxClass) {
        if *class != TaxClass::standard() {
            self.text("tax_class", class.as_str());
        }
    }

    fn version(&mut self, terms: &VersionTerms) {
        self.bounds(&terms.bounds);
        if let Some(sponsor) = &terms.sponsor {
            self.text("sponsor", sponsor);
        }
        if let Some(trial) = &terms.trial {
            self.head("[version.trial]");
            self.text("title", &trial.title);
            self.text("until", &trial.until.to_string());
            if let Some(credit) = trial.credit {
                self.decimal("credit", credit);
            }
        }
        terms.rate_cards.iter().for_each(|card| self.card(card));
        terms.pools.iter().for_each(|pool| self.pool(pool));
        terms.commitments.iter().for_each(|commitment| self.commitment(commitment));
        terms.fees.iter().for_each(|fee| self.fee(fee));
        terms.discounts.iter().for_each(|discount| self.discount(discount));
    }

    fn card(&mut self, card: &RateCard) {
        self.head("[[version.rate_card]]");
        self.text("name", card.name.as_str());
        self.title(card.title.as_ref());
        self.text("meter", card.meter.as_str());
        if !card.only.is_empty() {
            let only = card.only.iter().map(|(name, values)| {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("{} = [{}]", quoted(name), values.join(", "))
            });
            self.line("only", &format!("{{ {} }}", only.collect::<Vec<_>>().join(", ")));
        }
        if !card.included.quantity.is_zero() || card.included.per == Per::Instance {
            self.included(&card.included);
        }
        if is_negative(card) {
            self.line("allow_negative", "true");
        }
        self.price(&card.price);
        self.bounds(&card.bounds);
        self.tax_class(&card.tax_class);
        card.time_of_use.iter().for_each(|band| self.band(band));
    }

    fn price(&mut self, price: &PriceModel) {
        match price {
            PriceModel::PerUnit { unit_price } => self.decimal("unit_price", *unit_price),
            PriceModel::Flat { amount } => self.decimal("flat", *amount),
            PriceModel::Graduated { tiers } => self.line("graduated", &tiers_text(tiers)),
            PriceModel::Volume { tiers } => self.line("volume", &tiers_text(tiers)),
            PriceModel::Package { size, price } => {
                self.line("package", &format!("{{ size = \"{size}\", price = \"{price}\" }}"));
            }
            PriceModel::Percentile { percent, interval_s, unit_price } => {
                let interval =
                    if *interval_s == 3_600 { "1h".to_owned() } else { format!("{}m", interval_s / 60) };
                self.line(
                    "percentile",
                    &format!(
                        "{{ percent = {percent}, interval = \"{interval}\", unit_price = \"{unit_price}\" }}"
                    ),
                );
            }
        }
    }

    fn band(&mut self, band: &TimeBand) {
        self.head("[[version.rate_card.time_of_use]]");
        self.text("name", band.name.as_str());
        self.list("days", band.days.iter().map(|day| day_name(*day)));
        self.text("from", &hour(band.from));
        self.text("to", &hour(band.to));
        self.decimal("unit_price", band.unit_price);
    }

    fn pool(&mut self, pool: &Pool) {
        self.head("[[version.pool]]");
        self.text("name", pool.name.as_str());
        self.title(pool.title.as_ref());
        self.list("cards", pool.cards.iter().map(|card| card.as_str()));
        self.included(&pool.included);
    }

    fn commitment(&mut self, commitment: &Commitment) {
        self.head("[[version.commitment]]");
        self.text("name", commitment.name.as_str());
        self.title(commitment.title.as_ref());
        self.text("card", commitment.card.as_str());
        self.decimal("quantity", commitment.quantity);
        self.decimal("unit_price", commitment.unit_price);
        if commitment.unused == Unused::Lost {
            self.text("unused", "lost");
        }
    }

    fn fee(&mut self, fee: &Fee) {
        self.head("[[version.fee]]");
        self.text("name", fee.name.as_str());
        self.text("title", &fee.title);
        match &fee.charge {
            FeeCharge::Recurring { amount, per, is_prorated } => {
                self.fee_amount(*amount);
                if *per == Per::Instance {
                    self.text("per", "instance");
                }
                self.line("prorated", if *is_prorated { "true" } else { "false" });
            }
            FeeCharge::Once { amount, on } => {
                self.fee_amount(*amount);
                self.text("every", "once");
                self.text("on", &on.to_string());
            }
            FeeCharge::Percentage { fraction, of, fixed, bounds } => {
                self.text("percentage", &percent(*fraction));
                self.list("of", of.iter().map(|name| name.as_str()));
                self.decimal("fixed", *fixed);
                self.bounds(bounds);
            }
        }
        self.tax_class(&fee.tax_class);
    }

    fn fee_amount(&mut self, amount: Decimal) {
        if amount.is_sign_negative() {
            self.line("allow_negative", "true");
        }
        self.decimal("amount", amount);
    }

    fn discount(&mut self, discount: &Discount) {
        self.head("[[version.discount]]");
        self.text("name", discount.name.as_str());
        self.text("title", &discount.title);
        match discount.off {
            Off::Fraction(fraction) => self.text("percentage", &percent(fraction)),
            Off::Amount(amount) => self.decimal("amount", amount),
        }
        self.list("of", discount.of.iter().map(|name| name.as_str()));
    }
}

/// Whether any price of a card is a credit.
fn is_negative(card: &RateCard) -> bool {
    let prices: Vec<Decimal> = match &card.price {
        PriceModel::PerUnit { unit_price } | PriceModel::Percentile { unit_price, .. } => vec![*unit_price],
        PriceModel::Flat { amount } => vec![*amount],
        PriceModel::Package { price, .. } => vec![*price],
        PriceModel::Graduated { tiers } | PriceModel::Volume { tiers } => {
            tiers.iter().flat_map(|tier| [tier.unit_price, tier.flat]).collect()
        }
    };
    let bands = card.time_of_use.iter().map(|band| band.unit_price);
    prices.into_iter().chain(bands).any(|price| price.is_sign_negative())
}

fn tiers_text(tiers: &[PriceTier]) -> String {
    let tiers = tiers.iter().map(|tier| {
        let end = tier.to.map_or_else(String::new, |to| format!("up_to = \"{to}\", "));
        format!("{{ {end}unit_price = \"{}\", flat = \"{}\" }}", tier.unit_price, tier.flat)
    });
    format!("[{}]", tiers.collect::<Vec<_>>().join(", "))
}

/// A fraction in per cent.
pub(super) fn percent(fraction: Decimal) -> String {
    format!("{} %", (fraction * Decimal::ONE_HUNDRED).normalize())
}

pub(super) fn hour(time: Time) -> String {
    format!("{:02}:00", time.hour())
}

pub(super) const fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

/// A TOML string: what JSON escapes, TOML does, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
