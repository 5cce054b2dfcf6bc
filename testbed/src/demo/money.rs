//! An invoice computed once more, in decimals, from nothing but its own JSON. Pure; shares no code with billing.

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
    /// Tax.
    pub tax: Tax,
    /// Both.
    pub total: Amount,
    /// Shares of the quantities, by instance or volume.
    pub instances: Vec<Share>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line {
    /// Its stable key.
    pub key: String,
    /// The meter.
    pub meter: String,
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

/// Tax of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tax {
    /// As a fraction.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    /// What it comes to.
    pub amount: Amount,
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
    let tax = invoice.subtotal.0.checked_mul(invoice.tax.rate).map(|tax| to_coins(tax, decimals));
    expect("tax", invoice.tax.amount.0, tax);
    expect("total", invoice.total.0, invoice.subtotal.0.checked_add(invoice.tax.amount.0));
    problems.extend(share_problems(invoice));
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
    match base_units(&line.meter) {
        None => problems.push(format!("line {}: the demo does not know meter {}", line.key, line.meter)),
        Some(units) => {
            let quantity = (Decimal::from(line.base_quantity) / units)
                .round_dp_with_strategy(QUANTITY_DECIMALS, RoundingStrategy::MidpointNearestEven);
            if quantity != line.quantity {
                problems
                    .push(format!("line {}: quantity {} but computed {quantity}", line.key, line.quantity));
            }
        }
    }
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
    let mut meters: Vec<_> = invoice.lines.iter().map(|line| line.meter.as_str()).collect();
    meters.sort_unstable();
    meters.dedup();
    let problem = |meter: &str| {
        let lines: u64 =
            invoice.lines.iter().filter(|line| line.meter == meter).map(|line| line.base_quantity).sum();
        let shares: u64 = invoice
            .instances
            .iter()
            .filter(|share| share.meter == meter)
            .map(|share| share.base_quantity)
            .sum();
        (lines != shares).then(|| format!("{meter}: the lines have {lines}, the instances together {shares}"))
    };
    meters.into_iter().filter_map(problem).collect()
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
            {"key": "a", "meter": "disk_write_bytes", "base_quantity": 33554432, "quantity": "0.031250", "unit": "GiB",
             "unit_price": "1.00", "amount": {"amount": "0.03", "currency": "EUR"}},
            {"key": "b", "meter": "cpu_ns", "base_quantity": 1800000000, "quantity": "0.000500", "unit": "CPU·h",
             "unit_price": "10.00", "amount": "0.01"}],
        "subtotal": {"amount": "0.04", "currency": "EUR"},
        "tax": {"name": "VAT", "rate": "0.19", "base": {"amount": "0.04", "currency": "EUR"}, "amount": "0.01"},
        "total": "0.05",
        "instances": [
            {"instance_id": "1", "name": "x", "meter": "disk_write_bytes", "base_quantity": 33554432},
            {"instance_id": "1", "name": "x", "meter": "cpu_ns", "base_quantity": 1800000000}]}"#;

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
            &["line a: quantity 0.031251 but computed 0.03125"],
        );
        check(
            "\"name\": \"x\", \"meter\": \"cpu_ns\", \"base_quantity\": 1800000000",
            "\"name\": \"x\", \"meter\": \"cpu_ns\", \"base_quantity\": 1799999999",
            &["cpu_ns: the lines have 1800000000, the instances together 1799999999"],
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
