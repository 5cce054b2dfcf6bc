//! A plan, usage and the lines that they make, in a few words: the language of the examples in docs/billing.md and of the
//! tables in `rating_models`.

use std::collections::BTreeMap;

use billing::account::currencies::Currencies;
use billing::account::{AccountTerms, BillingAccount, TaxTreatment};
use billing::country::Country;
use billing::tax::TaxTable;
use billing::{
    Bill, Buyer, Currency, ExchangeRate, InvoiceDocument, InvoiceId, Party, PricePlan, Rating, RatingInput,
    TaxCode, TaxRate, Taxation, rate,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{Dimensions, MeterName, Sample, TenantId, TenantName, UsageRecord, Window};
use rust_decimal::Decimal;

use crate::common::{october, record};

/// The length of an interval of samples.
const INTERVAL_S: i64 = 300;

/// All that rating looks at.
pub struct Case {
    pub plan: PricePlan,
    pub usage: Vec<UsageRecord>,
    pub samples: Vec<Sample>,
    pub period: Window,
    pub exchange: Option<ExchangeRate>,
    pub taxation: Taxation,
}

impl Case {
    /// Reads a plan without its head and usage.
    pub fn new(plan: &str, usage: &str) -> Self {
        let plan = plan_of(plan);
        let rule = plan.tax().expect("plans of tests have a tax");
        let mut case = Self {
            taxation: Taxation::fixed(rule),
            plan: plan.clone(),
            usage: Vec::new(),
            samples: Vec::new(),
            period: october(),
            exchange: None,
        };
        let mut taxes = Vec::new();
        for line in usage.lines().map(str::trim).filter(|line| !line.is_empty()) {
            case.read(line, &mut taxes);
        }
        if !taxes.is_empty() {
            case.taxation = Taxation::by_class(taxes);
        }
        case
    }

    /// The lines and sums, in the language of the examples.
    pub fn render(&self) -> String {
        let rating = rate(&self.input()).unwrap_or_else(|error| panic!("{error}"));
        adds_up(&rating, self);
        let bare = format!("{}/{}/", self.plan.name(), self.plan.versions()[0].from());
        // Versions are said where there are several parts.
        let are_all_bare = rating.lines().all(|line| line.key().starts_with(&bare));
        let mut text = String::new();
        for line in rating.lines() {
            let key = line.key();
            let key = if are_all_bare { key.strip_prefix(&bare) } else { key.strip_prefix("example/") };
            text += &format!("{}: {} x {}", key.unwrap(), line.quantity.normalize(), line.unit_price);
            if let Some(exchange) = line.exchange {
                text += &format!(" x {}", exchange.rate);
            }
            if line.is_gross {
                text += &format!(" / {}", Decimal::ONE + line.tax.in_prices);
            }
            text += &format!(" = {}\n", line.amount.amount());
        }
        for unpriced in &rating.unpriced() {
            text += &format!("unpriced {}: {}\n", unpriced.meter, unpriced.quantity.normalize());
        }
        if 1 < rating.taxes.len() {
            for tax in &rating.taxes {
                let (code, base) = (tax.code.as_str(), tax.base.amount());
                text += &format!("{code} {} of {base}: {}\n", tax.rate, tax.amount.amount());
            }
        }
        let tax: Decimal = rating.taxes.iter().map(|tax| tax.amount.amount()).sum();
        text + &format!("{} + {tax} = {}", rating.subtotal.amount(), rating.total)
    }

    pub fn input(&self) -> RatingInput<'_> {
        RatingInput {
            plan: &self.plan,
            usage: &self.usage,
            samples: &self.samples,
            period: self.period,
            exchange: self.exchange.as_ref(),
            taxation: &self.taxation,
        }
    }

    /// The document of it.
    pub fn document(&self) -> InvoiceDocument {
        let party = Party { name: "test".to_owned(), ..Party::default() };
        let buyer = Buyer {
            tenant: TenantName::new("test").unwrap(),
            party: party.clone(),
            time_zone: "UTC".to_owned(),
        };
        let bill = Bill {
            invoice_id: InvoiceId::from_uuid(uuid::Uuid::nil()),
            seller: &party,
            buyer,
            plan: &self.plan,
            usage: &self.usage,
            samples: &self.samples,
            period: self.period,
            exchange: self.exchange.as_ref(),
            taxation: &self.taxation,
        };
        bill.draft().unwrap()
    }

    fn read(&mut self, line: &str, taxes: &mut Vec<(billing::plan::TaxClass, Vec<(Timestamp, TaxRate)>)>) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["period", from, to] => self.period = Window::new(instant(from), instant(to)).unwrap(),
            ["exchange", code, rate] => {
                self.exchange = Some(ExchangeRate {
                    from: self.plan.currency(),
                    to: Currency::parse(code).unwrap(),
                    rate: rate.parse().unwrap(),
                    valid_from: "2026-10-31".parse().unwrap(),
                    source: "ECB".to_owned(),
                });
            }
            ["buyer", country, treatment] => self.taxation = self.taxation_of(country, treatment),
            ["tax", class, code, rate] => self.tax(class, code, rate, "2000-01-01", taxes),
            ["tax", class, code, rate, "from", day] => self.tax(class, code, rate, day, taxes),
            [name, "samples", meter, from, count, rate] => {
                let bytes = decimal(rate) * Decimal::from(INTERVAL_S * 1_000_000 / 8);
                let bytes: u64 = bytes.normalize().to_string().parse().expect("whole bytes");
                let meter = MeterName::parse(meter).unwrap();
                for number in 0..count.parse::<i64>().unwrap() {
                    let start = instant(from) + SignedDuration::from_secs(number * INTERVAL_S);
                    let window = Window::new(start, start + SignedDuration::from_secs(INTERVAL_S)).unwrap();
                    self.samples.push(Sample { meter, window, quantity: bytes });
                    self.usage.push(record(name, meter, window, bytes));
                }
            }
            [name, meter, at, quantity, ref dimensions @ ..] => {
                let meter = MeterName::parse(meter).unwrap();
                let base = decimal(quantity) * Decimal::from(meter.meter().priced_unit.base_units);
                let base = base.normalize().to_string().parse().expect("whole base units");
                let start = instant(at);
                let window = Window::new(start, start + SignedDuration::from_hours(1)).unwrap();
                let pairs = dimensions.iter().map(|pair| pair.split_once('=').expect("name=value"));
                let pairs: BTreeMap<String, String> =
                    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let mut record = record(name, meter, window, base);
                record.dimensions = Dimensions::new(pairs);
                self.usage.push(record);
            }
            _ => panic!("no line of usage: {line}"),
        }
    }

    /// What the plan's tax is for a buyer that is not taxed.
    fn taxation_of(&self, country: &str, treatment: &str) -> Taxation {
        let table = "[seller]\ncountry = \"DE\"\nnumber = \"DE123456789\"\n[[rate]]\ncountry = \"DE\"\nclass = \"standard\"\n\
                     name = \"USt\"\nrate = \"0.19\"\nfrom = \"2021-01-01\"\n";
        let table = TaxTable::parse("taxes.toml", table.as_bytes()).unwrap();
        let treatment = TaxTreatment::ALL.into_iter().find(|known| known.as_str() == treatment).unwrap();
        let terms = AccountTerms {
            country: Country::parse(country).ok(),
            treatment,
            tax_reason: Some("a law".to_owned()),
            ..AccountTerms::default()
        };
        let account = BillingAccount {
            tenant_id: TenantId::UNASSIGNED,
            terms,
            currencies: Currencies::default(),
            tax_number: Some("ATU12345678".to_owned()),
            revision: 1,
        };
        Taxation::resolve(Some(&table), &self.plan, &account, self.period, &TimeZone::UTC).unwrap()
    }

    fn tax(
        &self,
        class: &str,
        code: &str,
        rate: &str,
        day: &str,
        taxes: &mut Vec<(billing::plan::TaxClass, Vec<(Timestamp, TaxRate)>)>,
    ) {
        let codes = [
            TaxCode::Standard,
            TaxCode::ZeroRated,
            TaxCode::Exempt,
            TaxCode::ReverseCharge,
            TaxCode::OutsideScope,
        ];
        let code = codes.into_iter().find(|known| known.as_str() == code).expect("a code of EN 16931");
        let reason = (!matches!(code, TaxCode::Standard | TaxCode::ZeroRated)).then(|| "a law".to_owned());
        let (name, rate) = ("VAT".to_owned(), decimal(rate));
        let rate = TaxRate { name, code, rate, in_prices: rate, reason };
        // Any class but the standard one is made by a plan.
        let class = self
            .plan
            .versions()
            .iter()
            .flat_map(|version| version.rate_cards())
            .map(|card| card.tax_class.clone())
            .find(|known| known.as_str() == class)
            .unwrap_or_else(billing::plan::TaxClass::standard);
        match taxes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, rates)) => rates.push((instant(day), rate)),
            None => taxes.push((class, vec![(instant(day), rate)])),
        }
    }
}

/// Compares what is rated with what a person worked out.
pub fn check(plan: &str, usage: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(Case::new(plan, usage).render(), expected.join("\n"), "{plan}\n{usage}");
}

/// A plan whose head is left out: `example`, in euros, in UTC, with 19 % of tax, from 2026-01-01 on.
pub fn plan_of(text: &str) -> PricePlan {
    let (head, tables): (Vec<&str>, Vec<&str>) = {
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| line.trim().starts_with('[')).unwrap_or(lines.len());
        (lines[..first].to_vec(), lines[first..].to_vec())
    };
    let mut toml = head.join("\n") + "\n";
    for (key, value) in [("name", "example"), ("currency", "EUR"), ("time_zone", "UTC")] {
        if !head.iter().any(|line| line.trim().starts_with(key)) {
            toml += &format!("{key} = \"{value}\"\n");
        }
    }
    toml += "[tax]\nname = \"VAT\"\nrate = \"0.19\"\n";
    if !tables.iter().any(|line| line.trim() == "[[version]]") {
        toml += "[[version]]\nfrom = \"2026-01-01\"\n";
    }
    toml += &tables.join("\n");
    PricePlan::parse("example.toml", toml.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{toml}"))
}

/// What holds for every rating whatever the plan.
pub fn adds_up(rating: &Rating<'_>, case: &Case) {
    let exponent = rating.subtotal.currency().exponent();
    let mut sum = Decimal::ZERO;
    let mut keys = std::collections::BTreeSet::new();
    for line in rating.lines() {
        let key = line.key();
        assert!(keys.insert(key.clone()), "two lines {key}");
        assert!(line.meter.is_some() || line.base_quantity == 0, "{key}");
        let rate = line.exchange.map_or(Decimal::ONE, |exchange| exchange.rate);
        let exact = line.quantity * line.unit_price * rate;
        let exact = if line.is_gross { exact / (Decimal::ONE + line.tax.in_prices) } else { exact };
        let half_away = rust_decimal::RoundingStrategy::MidpointAwayFromZero;
        let amount = exact.round_dp_with_strategy(exponent, half_away);
        assert_eq!(amount, line.amount.amount(), "{key}: {}", line.why());
        sum += amount;
    }
    assert_eq!(sum, rating.subtotal.amount());
    let bases: Decimal = rating.taxes.iter().map(|tax| tax.base.amount()).sum();
    assert_eq!(bases, sum);
    let taxes: Decimal = rating.taxes.iter().map(|tax| tax.amount.amount()).sum();
    assert_eq!(sum + taxes, rating.total.amount());
    let (instances, unpriced_rows) = (rating.instances().unwrap(), rating.unpriced());
    for meter in metering::catalog() {
        let id = meter.id();
        let lines = rating.lines().filter(|line| line.meter == Some(id));
        let base: u128 = lines.map(|line| line.base_quantity).sum();
        let rows = instances.iter().filter(|row| row.meter == id);
        assert_eq!(base, rows.map(|row| row.base_quantity).sum::<u128>(), "{id}");
        let unpriced = unpriced_rows.iter().filter(|usage| usage.meter == id);
        let unpriced: u128 = unpriced.map(|usage| usage.base_quantity).sum();
        let usage = case.usage.iter().filter(|record| record.meter == id);
        assert_eq!(base + unpriced, usage.map(|record| u128::from(record.quantity)).sum::<u128>(), "{id}");
    }
}

/// `2026-10-05`, `2026-10-05T21` or `2026-10-05T21:30`, in UTC.
fn instant(text: &str) -> Timestamp {
    let rest = ["T00:00:00Z", ":00:00Z", ":00Z"];
    let rest = rest.iter().find_map(|rest| format!("{text}{rest}").parse().ok());
    rest.unwrap_or_else(|| panic!("no instant: {text}"))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}
