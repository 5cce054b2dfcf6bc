//! Budgets: the money, with tax, that a tenant expects to spend in a month, and the thresholds on the way there. The
//! arithmetic is pure; budgets, crossings and the mail about them are kept by the functions below, in
//! `store::budgets`.
//!
//! It does NOT compute what is spent (rating does), stop anything, or send mail: a crossing leaves a row in the
//! outbox, in the same transaction.

use jiff::Timestamp;
use metering::TenantId;

use crate::money::{Currency, Money};
pub use crate::store::budgets::{crossings, get, note, remove, set};
use crate::store::invoices::StoreError;

/// The parts of a budget, in percent, that are announced: early, while there is time to act, and when it is spent.
pub const THRESHOLDS: [u32; 3] = [50, 80, 100];

/// What one tenant expects to spend in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Whose.
    pub tenant_id: TenantId,
    /// With tax. Always more than nothing.
    pub amount: Money,
    /// Grows with each change, from 1 on, and never comes back, not even after the budget was removed.
    pub revision: u64,
}

/// A threshold that was crossed: once for each month and revision of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whose budget.
    pub tenant_id: TenantId,
    /// The start of the month.
    pub period_start: Timestamp,
    /// Which budget.
    pub budget_revision: u64,
    /// Which of [`THRESHOLDS`].
    pub threshold_percent: u32,
    /// The budget then.
    pub amount: Money,
    /// What was spent then.
    pub spent: Money,
    /// When it was noted.
    pub crossed_at: Timestamp,
}

/// A budget in another currency than the prices: nobody can say how much of it is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget is in {budget}, but the plan's prices are in {plan}; set the budget in {plan}")]
pub struct WrongCurrency {
    /// The budget's.
    pub budget: Currency,
    /// The plan's, hence that of what is spent.
    pub plan: Currency,
}

/// Why a budget was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// Somebody else changed it since it was read. Nothing was changed.
    #[error("the budget was changed meanwhile: {}; read it again and decide anew", describe(current.as_ref()))]
    Changed {
        /// As it stands. `None`: there is none.
        current: Option<Budget>,
    },
    /// Nobody can spend a part of nothing.
    #[error("a budget of {amount} is none: set more than nothing, or remove the budget")]
    NotPositive {
        /// What was to be set.
        amount: Money,
    },
    /// There is no such tenant, or none that the caller may see.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why spending was not noted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The budget cannot be compared with what was spent.
    #[error(transparent)]
    WrongCurrency(#[from] WrongCurrency),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Those of [`THRESHOLDS`] that `spent` has reached: spent >= budget x percent / 100, exactly.
///
/// # Errors
/// The two are in different currencies.
pub fn crossed(budget: Money, spent: Money) -> Result<Vec<u32>, WrongCurrency> {
    check_currency(budget.currency(), spent.currency())?;
    // Whole coins on both sides: Money has one scale for each currency. 97 bits and a factor of 100 fit into 127.
    let (budget, spent) = (budget.amount().mantissa(), spent.amount().mantissa());
    let is_reached = |percent: &u32| budget * i128::from(*percent) <= spent * 100;
    Ok(THRESHOLDS.into_iter().filter(is_reached).collect())
}

/// Refuses a budget in another currency than its tenant's plan: for whoever sets one and knows the plan.
///
/// # Errors
/// The two differ.
pub fn check_currency(budget: Currency, plan: Currency) -> Result<(), WrongCurrency> {
    if budget == plan { Ok(()) } else { Err(WrongCurrency { budget, plan }) }
}

fn describe(current: Option<&Budget>) -> String {
    match current {
        Some(budget) => format!("it is {} now, at revision {}", budget.amount, budget.revision),
        None => "there is none now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str, currency: &str) -> Money {
        Money::exact(text.parse().unwrap(), Currency::parse(currency).unwrap()).unwrap()
    }

    #[test]
    fn a_threshold_is_crossed_at_the_coin_and_not_before() {
        let check = |budget: &str, spent: &str, currency: &str, expected: &[u32]| {
            let crossed = crossed(money(budget, currency), money(spent, currency)).unwrap();
            assert_eq!(crossed, expected, "{spent} of {budget} {currency}");
        };
        check("100", "0", "EUR", &[]);
        check("100", "-60", "EUR", &[]);
        check("100", "49.99", "EUR", &[]);
        check("100", "50", "EUR", &[50]);
        check("100", "79.99", "EUR", &[50]);
        check("100", "80", "EUR", &[50, 80]);
        check("100", "99.99", "EUR", &[50, 80]);
        check("100", "100", "EUR", &THRESHOLDS);
        check("100", "1000000", "EUR", &THRESHOLDS);
        // Half a cent, and 80 % of three cents, are no coins: the next whole coin crosses.
        check("0.01", "0", "EUR", &[]);
        check("0.01", "0.01", "EUR", &THRESHOLDS);
        check("0.03", "0.01", "EUR", &[]);
        check("0.03", "0.02", "EUR", &[50]);
        check("3", "2", "JPY", &[50]);
        check("0.003", "0.002", "BHD", &[50]);
        let most = "99999999999999999999999999";
        check(most, "49999999999999999999999999.49", "EUR", &[]);
        check(most, "49999999999999999999999999.50", "EUR", &[50]);
        check(most, most, "EUR", &THRESHOLDS);
    }

    #[test]
    fn dollars_are_no_part_of_a_budget_in_euros() {
        let error = crossed(money("100", "EUR"), money("60", "USD")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the budget is in EUR, but the plan's prices are in USD; set the budget in USD"
        );
    }
}
