//! Two documents of the same period side by side, line by line by their keys: what rating a period again changes, and what a
//! month costs more than the one before. Pure; it decides nothing.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;

use super::document::{InvoiceDocument, InvoiceLine, Tax};
use crate::money::Money;

/// What one side says of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// In base units.
    pub base_quantity: u128,
    /// In the priced unit.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// The price of one unit.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// What is charged.
    pub amount: Money,
}

/// A line that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineChange {
    /// Its key.
    pub key: String,
    /// What it is called.
    pub title: String,
    /// The priced unit.
    pub unit: String,
    /// As it was; `None`: there was no such line.
    pub before: Option<Side>,
    /// As it is now; `None`: there is none any more.
    pub after: Option<Side>,
}

/// All that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The lines, in the order of the documents.
    pub lines: Vec<LineChange>,
    /// What was to be paid.
    pub total_before: Money,
    /// What is.
    pub total_after: Money,
    /// Whether code, rate, base or amount of a tax differ.
    pub taxes_differ: bool,
}

impl Difference {
    /// Between `before` and `after`.
    #[must_use]
    pub fn between(before: &InvoiceDocument, after: &InvoiceDocument) -> Self {
        let now: BTreeMap<&str, &InvoiceLine> =
            after.lines.iter().map(|line| (line.key.as_str(), line)).collect();
        let then: BTreeMap<&str, &InvoiceLine> =
            before.lines.iter().map(|line| (line.key.as_str(), line)).collect();
        let gone_or_other =
            before.lines.iter().filter_map(|line| change(Some(line), now.get(line.key.as_str()).copied()));
        let new = after.lines.iter().filter(|line| !then.contains_key(line.key.as_str()));
        let lines = gone_or_other.chain(new.filter_map(|line| change(None, Some(line)))).collect();
        Self {
            lines,
            total_before: before.total,
            total_after: after.total,
            taxes_differ: !before.taxes.iter().map(of_tax).eq(after.taxes.iter().map(of_tax)),
        }
    }

    /// Between no invoice at all and `after`.
    #[must_use]
    pub fn from_nothing(after: &InvoiceDocument) -> Self {
        let nothing = InvoiceDocument {
            lines: Vec::new(),
            taxes: Vec::new(),
            total: Money::zero(after.currency),
            ..after.clone()
        };
        Self::between(&nothing, after)
    }

    /// Whether both cost the same, line by line. How well the usage is known may differ: nobody pays for that.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.lines.is_empty() && !self.taxes_differ
    }
}

fn of_tax(tax: &Tax) -> (&'static str, Decimal, Money, Money) {
    (tax.code.as_str(), tax.rate, tax.base, tax.amount)
}

fn change(before: Option<&InvoiceLine>, after: Option<&InvoiceLine>) -> Option<LineChange> {
    let (then, now) = (before.map(side), after.map(side));
    let line = after.or(before)?;
    (then != now).then(|| LineChange {
        key: line.key.clone(),
        title: line.title.clone(),
        unit: line.unit.clone(),
        before: then,
        after: now,
    })
}

fn side(line: &InvoiceLine) -> Side {
    Side {
        base_quantity: line.base_quantity,
        quantity: line.quantity,
        unit_price: line.unit_price,
        amount: line.amount,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_differs_from_itself_in_nothing_and_from_a_changed_one_in_the_changed_line() {
        let before = InvoiceDocument::sample();
        assert!(Difference::between(&before, &before).is_none());
        let mut after = before.clone();
        after.lines[0].coverage.missing_ms += 1;
        assert!(Difference::between(&before, &after).is_none(), "coverage is no amount");
        after.lines[0].base_quantity += 1;
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.lines.len(), 1);
        assert_eq!(difference.lines[0].key, before.lines[0].key);
        after.lines.remove(0);
        let difference = Difference::between(&before, &after);
        assert_eq!((difference.lines.len(), &difference.lines[0].after), (1, &None));
        let back = Difference::between(&after, &before);
        assert_eq!((back.lines.len(), &back.lines[0].before), (1, &None));
        after = before.clone();
        after.taxes[0].reason = Some("another word".to_owned());
        assert!(Difference::between(&before, &after).is_none(), "a reason is no amount");
        let new = Difference::from_nothing(&before);
        assert_eq!((new.lines.len(), new.total_after), (before.lines.len(), before.total));
        assert!(new.total_before.is_zero() && new.lines.iter().all(|line| line.before.is_none()));
        after.taxes[0].rate += Decimal::ONE;
        assert!(!Difference::between(&before, &after).is_none());
    }
}
