//! An invoice computed once more, in decimals, from nothing but its own JSON and the text of the plan. Pure; shares no code
//! with billing.

use anyhow::Context;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;
use serde_json::Value;

/// Decimals of a quantity.
const QUANTITY_DECIMALS: u32 = 6;

/// An invoice as its JSON has it; only what is recomputed. Other keys are none of our business.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Invoice {
    /// Its number.
    pub number: String,
    /// Who pays.
    pub tenant: String,
    /// Three letters.
    pub currency: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub subtotal: Amount,
    /// Taxes, by rate.
    pub taxes: Vec<Tax>,
    /// All together.
    pub total: Amount,
    /// Shares of the quantities, by instance or volume.
    pub instances: Vec<Share>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Its stable key.
    pub key: String,
    /// The meter; fees and discounts have none.
    #[serde(default)]
    pub meter: Option<String>,
    /// What kind of line it is.
    pub kind: String,
    /// Its tier, of a graduated price.
    #[serde(default)]
    pub bounds: Option<Bounds>,
    /// In base units, exactly.
    pub base_quantity: u64,
    /// In priced units.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// The priced unit.
    pub unit: String,
    /// Price of one.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// What is charged.
    pub amount: Amount,
}

/// The tier of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Bounds {
    /// From here.
    #[serde(with = "rust_decimal::serde::str")]
    pub from: Decimal,
    /// Up to here; none: without an end.
    #[serde(default, with = "rust_decimal::serde::str_option")]
    pub to: Option<Decimal>,
}

/// One instance's or volume's part of a meter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Share {
    /// The instance; none for a volume.
    #[serde(default)]
    pub instance_id: Option<String>,
    /// Its name.
    pub name: String,
    /// The meter.
    pub meter: String,
    /// In base units, exactly.
    pub base_quantity: u64,
}

/// Tax of one rate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tax {
    /// As a fraction.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    /// What it is due on.
    pub base: Amount,
    /// What it comes to.
    pub amount: Amount,
}

/// What the demo knows of its price plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is free, by meter.
    included: Vec<(String, Decimal)>,
    /// The prices of the tiers, by meter.
    graduated: Vec<(String, Vec<Decimal>)>,
    /// The part that the discount takes off everything.
    discount: Decimal,
}

impl Plan {
    /// Reads a plan's first version.
    ///
    /// # Errors
    /// It is not written as the demo's plan is.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let file: PlanFile = toml::from_str(text).context("the plan is not one that the demo can check")?;
        let version = file.version.into_iter().next().context("the plan has no version")?;
        let cards = &version.rate_card;
        let graduated = cards.iter().filter(|card| !card.graduated.is_empty());
        Ok(Self {
            included: cards.iter().filter_map(|card| Some((card.meter.clone(), card.included?))).collect(),
            graduated: graduated
                .map(|card| (card.meter.clone(), card.graduated.iter().map(|tier| tier.unit_price).collect()))
                .collect(),
            discount: version
                .discount
                .iter()
                .map(|discount| discount.percentage / Decimal::ONE_HUNDRED)
                .sum::<Decimal>()
                .normalize(),
        })
    }
}

#[derive(Deserialize)]
struct PlanFile {
    version: Vec<PlanVersion>,
}

#[derive(Deserialize)]
struct PlanVersion {
    rate_card: Vec<PlanCard>,
    #[serde(default)]
    discount: Vec<PlanDiscount>,
}

#[derive(Deserialize)]
struct PlanCard {
    meter: String,
    #[serde(default, with = "rust_decimal::serde::str_option")]
    included: Option<Decimal>,
    #[serde(default)]
    graduated: Vec<PlanTier>,
}

#[derive(Deserialize)]
struct PlanTier {
    #[serde(with = "rust_decimal::serde::str")]
    unit_price: Decimal,
}

#[derive(Deserialize)]
struct PlanDiscount {
    #[serde(with = "rust_decimal::serde::str")]
    percentage: Decimal,
}

/// An amount of money: `"0.03"`, or that with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Amount(pub Decimal);

impl TryFrom<Value> for Amount {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let text = value.get("amount").unwrap_or(&value);
        let text = text
            .as_str()
            .ok_or_else(|| format!("{value} is no amount: it is written as text, never as a number"))?;
        text.parse().map(Self).map_err(|error| format!("{text}: {error}"))
    }
}

/// Everything in an invoice that does not follow from its own quantities and prices; empty when all does.
#[must_use]
pub fn problems(invoice: &Invoice) -> Vec<String> {
    let Some(decimals) = currency_decimals(&invoice.currency) else {
        return vec![format!(
            "{}: the demo does not know how many decimals {} has",
            invoice.number, invoice.currency
        )];
    };
    let mut problems: Vec<_> = invoice.lines.iter().flat_map(|line| line_problems(line, decimals)).collect();
    let mut expect = |what: &str, shown: Decimal, computed: Option<Decimal>| {
        if computed != Some(shown) {
            let computed = computed.map_or_else(|| "too large".to_owned(), |decimal| decimal.to_string());
            problems.push(format!("{what} {shown} but computed {computed}"));
        }
    };
    let subtotal = invoice.lines.iter().try_fold(Decimal::ZERO, |sum, line| sum.checked_add(line.amount.0));
    expect("subtotal", invoice.subtotal.0, subtotal);
    let mut total = Some(invoice.subtotal.0);
    let mut taxed = Some(Decimal::ZERO);
    for tax in &invoice.taxes {
        let computed = tax.base.0.checked_mul(tax.rate).map(|tax| to_coins(tax, decimals));
        expect("tax", tax.amount.0, computed);
        total = total.and_then(|total| total.checked_add(tax.amount.0));
        taxed = taxed.and_then(|taxed| taxed.checked_add(tax.base.0));
    }
    expect("total", invoice.total.0, total);
    expect("what is taxed", invoice.subtotal.0, taxed);
    problems.extend(share_problems(invoice));
    problems.extend(meters(invoice).into_iter().flat_map(|meter| meter_problems(invoice, meter)));
    problems
}

/// How many base units make one priced unit, per meter: written down here once more, on purpose.
fn base_units(meter: &str) -> Option<Decimal> {
    let units: u64 = match meter {
        "running_ms" | "vcpu_ms" => 3_600_000,
        "cpu_ns" => 3_600_000_000_000,
        "memory_kib_s" | "provisioned_kib_s" => 1024 * 1024 * 3600,
        "disk_read_bytes" | "disk_write_bytes" | "net_rx_bytes" | "net_tx_bytes" => 1024 * 1024 * 1024,
        "disk_read_ops" | "disk_write_ops" => 1000,
        _ => return None,
    };
    Some(Decimal::from(units))
}

fn line_problems(line: &Line, decimals: u32) -> Vec<String> {
    let mut problems = Vec::new();
    let amount = line.quantity.checked_mul(line.unit_price).map(|amount| to_coins(amount, decimals));
    if amount != Some(line.amount.0) {
        problems.push(format!(
            "line {}: {} x {} is shown as {}, but computed {}",
            line.key,
            line.quantity,
            line.unit_price,
            line.amount.0,
            amount.map_or_else(|| "too large".to_owned(), |amount| amount.to_string())
        ));
    }
    problems
}

/// The shares of a meter add up to its lines.
fn share_problems(invoice: &Invoice) -> Vec<String> {
    let problem = |meter: &str| {
        let lines: u64 = lines_of(invoice, meter).map(|line| line.base_quantity).sum();
        let shares: u64 = invoice
            .instances
            .iter()
            .filter(|share| share.meter == meter)
            .map(|share| share.base_quantity)
            .sum();
        (lines != shares).then(|| format!("{meter}: the lines have {lines}, the instances together {shares}"))
    };
    meters(invoice).into_iter().filter_map(problem).collect()
}

/// The meters that the invoice has lines of.
fn meters(invoice: &Invoice) -> Vec<&str> {
    let mut meters: Vec<_> = invoice.lines.iter().filter_map(|line| line.meter.as_deref()).collect();
    meters.sort_unstable();
    meters.dedup();
    meters
}

fn lines_of<'a>(invoice: &'a Invoice, meter: &'a str) -> impl Iterator<Item = &'a Line> {
    invoice.lines.iter().filter(move |line| line.meter.as_deref() == Some(meter))
}

/// The quantities of a meter's lines are together what was metered, in the priced unit, and its tiers are filled in turn.
fn meter_problems(invoice: &Invoice, meter: &str) -> Vec<String> {
    let Some(units) = base_units(meter) else {
        return vec![format!("the demo does not know meter {meter}")];
    };
    let mut problems = Vec::new();
    let base: u64 = lines_of(invoice, meter).map(|line| line.base_quantity).sum();
    let computed = (Decimal::from(base) / units)
        .round_dp_with_strategy(QUANTITY_DECIMALS, RoundingStrategy::MidpointNearestEven);
    let quantity: Decimal = lines_of(invoice, meter).map(|line| line.quantity).sum();
    if quantity != computed {
        problems.push(format!("{meter}: quantity {quantity} but computed {computed}"));
    }
    let tiers: Vec<_> = lines_of(invoice, meter).filter_map(|line| Some((line, line.bounds?))).collect();
    let mut filled = Decimal::ZERO;
    for (n, (line, tier)) in tiers.iter().enumerate() {
        let is_last = n + 1 == tiers.len();
        let room = tier.to.map(|to| to - tier.from);
        let fits =
            room.is_none_or(|room| if is_last { line.quantity <= room } else { line.quantity == room });
        if tier.from != filled || !fits {
            problems.push(format!(
                "line {}: {} in the tier from {}, after {filled}",
                line.key, line.quantity, tier.from
            ));
        }
        filled += line.quantity;
    }
    problems
}

/// What does not follow from the plan: what is free, the tiers' prices, the discount.
#[must_use]
pub fn plan_problems(invoice: &Invoice, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let lines =
        |kind: &str| -> Vec<&Line> { invoice.lines.iter().filter(|line| line.kind == kind).collect() };
    for (meter, included) in &plan.included {
        let quantity: Decimal = lines_of(invoice, meter).map(|line| line.quantity).sum();
        let free: Decimal =
            lines_of(invoice, meter).filter(|line| line.kind == "included").map(|line| line.quantity).sum();
        if free != quantity.min(*included) {
            problems.push(format!("{meter}: {free} of {quantity} are free, but {included} are included"));
        }
    }
    for (meter, prices) in &plan.graduated {
        let shown: Vec<Decimal> = lines_of(invoice, meter).map(|line| line.unit_price).collect();
        if shown.is_empty() || !prices.starts_with(&shown) {
            problems.push(format!("{meter}: tiers at {shown:?}, but the plan has {prices:?}"));
        }
    }
    let discounts: Decimal = lines("discount").iter().map(|line| line.amount.0).sum();
    let charged: Decimal =
        invoice.lines.iter().filter(|line| line.kind != "discount").map(|line| line.amount.0).sum();
    let expected =
        currency_decimals(&invoice.currency).map(|decimals| -to_coins(charged * plan.discount, decimals));
    if Some(discounts) != expected {
        problems.push(format!(
            "a discount of {discounts} on {charged}, but the plan says {} of it",
            plan.discount
        ));
    }
    problems
}

fn to_coins(amount: Decimal, decimals: u32) -> Decimal {
    amount.round_dp_with_strategy(decimals, RoundingStrategy::MidpointAwayFromZero)
}

/// ISO 4217 exponents of the currencies that a plan for the demo may use.
fn currency_decimals(code: &str) -> Option<u32> {
    match code {
        "EUR" | "USD" | "GBP" | "CHF" | "CNY" => Some(2),
        "JPY" | "KRW" => Some(0),
        "KWD" | "BHD" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVOICE: &str = r#"{"number": "INV-1", "tenant": "alder", "currency": "EUR", "extra": [1],
        "lines": [
            {"key": "a", "kind": "standard", "meter": "disk_write_bytes", "base_quantity": 33554432, "quantity": "0.031250", "unit": "GiB",
             "unit_price": "1.00", "amount": {"amount": "0.03", "currency": "EUR"}},
            {"key": "b", "kind": "standard", "meter": "cpu_ns", "base_quantity": 1800000000, "quantity": "0.000500", "unit": "CPU·h",
             "unit_price": "10.00", "amount": "0.01"}],
        "subtotal": {"amount": "0.04", "currency": "EUR"},
        "taxes": [{"name": "VAT", "rate": "0.19", "base": {"amount": "0.04", "currency": "EUR"}, "amount": "0.01"}],
        "total": "0.05",
        "instances": [
            {"instance_id": "1", "name": "x", "meter": "disk_write_bytes", "base_quantity": 33554432},
            {"instance_id": "1", "name": "x", "meter": "cpu_ns", "base_quantity": 1800000000}]}"#;

    const PLAN: &str = r#"
        [[version]]
        from = "2026-01-01"
        [[version.rate_card]]
        meter = "cpu_ns"
        included = "0.0001"
        [[version.rate_card]]
        meter = "disk_write_bytes"
        graduated = [{ up_to = "5", unit_price = "2" }, { unit_price = "1" }]
        [[version.discount]]
        percentage = "50""#;

    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(INVOICE.contains(from));
        let invoice: Invoice = serde_json::from_str(&INVOICE.replacen(from, to, 1)).unwrap();
        assert_eq!(problems(&invoice), expected, "{from} -> {to}");
    }

    #[test]
    fn an_invoice_that_follows_from_its_quantities_is_right_and_half_a_cent_is_rounded_up() {
        // 0.000500 x 10.00 is exactly half a cent.
        check("x", "x", &[]);
    }

    #[test]
    fn a_cent_too_much_anywhere_is_found() {
        check(
            "\"amount\": \"0.03\"",
            "\"amount\": \"0.04\"",
            &[
                "line a: 0.031250 x 1.00 is shown as 0.04, but computed 0.03",
                "subtotal 0.04 but computed 0.05",
            ],
        );
        check("\"total\": \"0.05\"", "\"total\": \"0.06\"", &["total 0.06 but computed 0.05"]);
        check("\"rate\": \"0.19\"", "\"rate\": \"0.07\"", &["tax 0.01 but computed 0.00"]);
        check(
            "\"quantity\": \"0.031250\"",
            "\"quantity\": \"0.031251\"",
            &["disk_write_bytes: quantity 0.031251 but computed 0.03125"],
        );
        check(
            "\"name\": \"x\", \"meter\": \"cpu_ns\", \"base_quantity\": 1800000000",
            "\"name\": \"x\", \"meter\": \"cpu_ns\", \"base_quantity\": 1799999999",
            &["cpu_ns: the lines have 1800000000, the instances together 1799999999"],
        );
    }

    #[test]
    fn a_discount_an_allowance_or_a_tier_that_the_plan_does_not_have_is_found() {
        let plan = Plan::read(PLAN).unwrap();
        let invoice: Invoice = serde_json::from_str(INVOICE).unwrap();
        assert_eq!(
            plan_problems(&invoice, &plan),
            [
                "cpu_ns: 0 of 0.000500 are free, but 0.0001 are included",
                "disk_write_bytes: tiers at [1.00], but the plan has [2, 1]",
                "a discount of 0 on 0.04, but the plan says 0.5 of it",
            ]
        );
    }

    #[test]
    fn money_as_a_json_number_is_refused() {
        let invoice = INVOICE.replacen("\"total\": \"0.05\"", "\"total\": 0.05", 1);
        assert!(
            serde_json::from_str::<Invoice>(&invoice).unwrap_err().to_string().contains("never as a number")
        );
    }

    #[test]
    fn an_unknown_currency_is_not_guessed() {
        check(
            "\"currency\": \"EUR\", \"extra\"",
            "\"currency\": \"XXX\", \"extra\"",
            &["INV-1: the demo does not know how many decimals XXX has"],
        );
    }
}
