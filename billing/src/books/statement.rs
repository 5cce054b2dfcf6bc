//! The statement of account: what a tenant owed, what was invoiced, given back and paid, and what it owes now, from the ledger
//! alone. It is made of when things were booked, so a statement of a time that is over never changes. It renders nothing.

use jiff::Timestamp;
use metering::{TenantId, Window};
use migrations::{Database, Scope};
use serde::Serialize;

use super::ledger::read_money;
use super::sql;
use crate::money::{Currency, Money, MoneyError};
use crate::store::invoices::StoreError;

/// The most lines of one statement: a tenant with ten invoices a day for two years.
pub const MAX_LINES: usize = 10_000;

/// A statement in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The currency of every amount in it.
    pub currency: Currency,
    /// What the tenant owed at the beginning; below zero: it had paid more.
    pub opening: Money,
    /// What changed it, the oldest first.
    pub lines: Vec<StatementLine>,
    /// What it owes at the end.
    pub closing: Money,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatementLine {
    /// When it was booked.
    pub at: Timestamp,
    /// `invoice`, `credit_note`, `void`, `payment`, `reversal`, `refund`, `top_up` or `dunning_fee`.
    pub kind: String,
    /// The invoice's number, the payment's reference.
    pub about: String,
    /// What the tenant owes more (above zero) or less.
    pub amount: Money,
    /// What it owes after this line.
    pub balance: Money,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// It would be too long.
    #[error("there are more than {MAX_LINES} lines; ask for a shorter time (--from, --to)")]
    TooLong,
    /// The sums are too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The statements of `tenant` over `period`, one for each currency in which anything was ever booked.
///
/// # Errors
/// See [`StatementError`].
pub async fn statement(
    database: &Database,
    scope: Scope,
    tenant: TenantId,
    period: Window,
) -> Result<Vec<Statement>, StatementError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let (id, from, to) = (tenant.uuid(), period.start(), period.end());
    let mut statements: Vec<Statement> = Vec::new();
    for row in &transaction.query(sql::STATEMENT_OPENING, &[&id, &from]).await? {
        let opening = read_money(row, "amount")?;
        statements.push(empty(opening));
    }
    let limit = i64::try_from(MAX_LINES + 1).unwrap_or(i64::MAX);
    let rows = transaction.query(sql::STATEMENT_LINES, &[&id, &from, &to, &limit]).await?;
    if MAX_LINES < rows.len() {
        return Err(StatementError::TooLong);
    }
    for row in &rows {
        let amount = read_money(row, "amount")?;
        let currency = amount.currency();
        let at = statements.iter().position(|one| one.currency == currency);
        let at = at.unwrap_or_else(|| {
            statements.push(empty(Money::zero(currency)));
            statements.len() - 1
        });
        let Some(statement) = statements.get_mut(at) else { continue };
        statement.closing = statement.closing.checked_add(amount)?;
        statement.lines.push(StatementLine {
            at: row.try_get("at")?,
            kind: row.try_get("kind")?,
            about: row.try_get("about")?,
            amount,
            balance: statement.closing,
        });
    }
    statements.sort_by_key(|one| one.currency.code());
    Ok(statements)
}

fn empty(opening: Money) -> Statement {
    Statement { currency: opening.currency(), opening, lines: Vec::new(), closing: opening }
}
