//! `[[billing.dunning]]`: the letters about what is overdue, in order. It sends none.

use anyhow::{Context, Result};
use billing::books::dunning::{Level, Levels};
use billing::{Currency, Money};
use serde::{Deserialize, Serialize};

use super::Billing;

/// One level of dunning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DunningLevel {
    /// So many days after the invoice was due.
    pub after_days: u32,
    /// What the letter is called, such as `Payment reminder`.
    pub title: String,
    /// What it costs, such as `5.00 EUR`, on invoices in that currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee: Option<String>,
    /// What it says besides the figures.
    pub text: String,
}

impl Billing {
    /// The levels of dunning, checked.
    ///
    /// # Errors
    /// One of them is none; the error says which and how to mend it.
    pub fn levels(&self) -> Result<Levels> {
        let level = |(n, level): (usize, &DunningLevel)| -> Result<Level> {
            let fee = level.fee.as_deref().map(fee).transpose();
            Ok(Level {
                after_days: level.after_days,
                title: level.title.clone(),
                fee: fee.with_context(|| format!("billing.dunning, level {}: fee", n + 1))?,
                text: level.text.clone(),
            })
        };
        let levels = self.dunning.iter().enumerate().map(level).collect::<Result<Vec<_>>>()?;
        Levels::new(levels).context("billing.dunning")
    }
}

fn fee(text: &str) -> Result<Money> {
    let (amount, code) = text.split_once(' ').context("write it with its currency, such as \"5.00 EUR\"")?;
    let amount = rust_decimal::Decimal::from_str_exact(amount)
        .context("write it with a point, such as \"5.00 EUR\"")?;
    Ok(Money::exact(amount, Currency::parse(code)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_without_a_currency_or_levels_out_of_order_are_refused_with_their_place() {
        let level = |after_days, fee: Option<&str>| DunningLevel {
            after_days,
            title: "Reminder".to_owned(),
            fee: fee.map(str::to_owned),
            text: "Please pay.".to_owned(),
        };
        let of = |dunning| Billing { dunning, ..Billing::default() }.levels();
        assert!(of(vec![level(3, None), level(10, Some("5.00 EUR"))]).is_ok());
        for (dunning, expected) in [
            (vec![level(3, Some("5.00"))], "billing.dunning, level 1: fee: write it with its currency"),
            (vec![level(3, Some("5,00 EUR"))], "write it with a point"),
            (vec![level(3, Some("5.00 EURO"))], "is no currency"),
            (vec![level(3, Some("0 EUR"))], "level 1 of dunning has a fee of 0.00 EUR"),
            (vec![level(10, None), level(3, None)], "not after level 1"),
        ] {
            let error = format!("{:#}", of(dunning).unwrap_err());
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
