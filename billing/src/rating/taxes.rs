//! Step 11: the tax, for each code and rate on the sum of its lines, rounded once (EN 16931, BR-CO-17); and the sums.

use super::exact::Exact;
use super::left::same_tax;
use super::lines::Lines;
use super::sheet::Sheet;
use super::{RatingError, amount};
use crate::invoice::document::Tax;
use crate::money::{Money, MoneyError};
use crate::plan::TaxClass;
use crate::tax::TaxRate;

/// The taxes in the order of their codes, the higher rates first. Without lines, the standard one on nothing.
pub(super) fn of(sheet: &Sheet<'_>, lines: &Lines<'_>) -> Result<Vec<Tax>, RatingError> {
    let mut sums = Vec::<(&TaxRate, i128)>::new();
    // Mostly a line has the same as the one before.
    let mut run = None::<(&TaxRate, i128)>;
    for (due, coins) in lines.dues() {
        match &mut run {
            Some((tax, sum)) if std::ptr::eq(*tax, due) => *sum += coins,
            _ => run.replace((due, coins)).into_iter().for_each(|run| add(&mut sums, run)),
        }
    }
    run.into_iter().for_each(|run| add(&mut sums, run));
    if sums.is_empty() {
        sums.push((sheet.tax(&TaxClass::standard(), 0)?, 0));
    }
    sums.sort_by(|(a, _), (b, _)| a.code.cmp(&b.code).then_with(|| b.rate.cmp(&a.rate)));
    let mut taxes = Vec::with_capacity(sums.len());
    for (tax, sum) in sums {
        taxes.push(due(tax, amount(sum, sheet.pricing.currency)?)?);
    }
    Ok(taxes)
}

/// Subtotal and total.
pub(super) fn sums(sheet: &Sheet<'_>, taxes: &[Tax]) -> Result<(Money, Money), RatingError> {
    let subtotal: i128 = taxes.iter().map(|tax| tax.base.coins()).sum();
    let tax: i128 = taxes.iter().map(|tax| tax.amount.coins()).sum();
    let currency = sheet.pricing.currency;
    Ok((amount(subtotal, currency)?, amount(subtotal + tax, currency)?))
}

fn add<'a>(sums: &mut Vec<(&'a TaxRate, i128)>, (due, coins): (&'a TaxRate, i128)) {
    match sums.iter_mut().find(|(tax, _)| same_tax(tax, due)) {
        Some((_, sum)) => *sum += coins,
        None => sums.push((due, coins)),
    }
}

fn due(tax: &TaxRate, base: Money) -> Result<Tax, RatingError> {
    let currency = base.currency();
    let exact = Exact::product(base.amount(), tax.rate);
    let amount = exact.and_then(|exact| exact.to_money(currency));
    Ok(Tax {
        name: tax.name.clone(),
        code: tax.code,
        rate: tax.rate,
        reason: tax.reason.clone(),
        base,
        amount: amount.ok_or(MoneyError::TooLarge { currency })?,
    })
}
