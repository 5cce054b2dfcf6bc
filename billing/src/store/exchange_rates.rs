//! Exchange rates in PostgreSQL: kept for ever, never changed. What they mean is said in [`crate::exchange`].

use jiff::Timestamp;
use jiff::civil::Date;
use metering::micros;
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::invoices::StoreError;
use crate::books::sql;
use crate::exchange::{ExchangeRate, NoExchangeRate};
use crate::money::Currency;

/// The most rates that one page holds.
pub const MAX_LISTED: u32 = 1_000;

/// What [`load`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Rates that are new.
    pub new: u64,
    /// Rates that were there already, the same.
    pub already: u64,
}

/// Why rates were not loaded: none of them was.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Another one stands for the same day.
    #[error(
        "{} of {} is recorded as {} {} for one {}, by {}, and not as {}; what was used for invoices is never changed: if it was \
         wrong, load the right one from a later day on", .there.valid_from, .there.source, .there.rate, .there.to, .there.from,
        .there.source, .asked.rate
    )]
    Another {
        /// What stands.
        there: Box<ExchangeRate>,
        /// What was to be loaded.
        asked: Box<ExchangeRate>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which rates to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateQuery {
    /// Of this currency.
    pub from: Option<Currency>,
    /// In this one.
    pub to: Option<Currency>,
    /// From behind this day and pair on.
    pub after: Option<(Date, String, String)>,
}

/// Loads rates, all or none. Those that are there already, the same, stay.
///
/// # Errors
/// See [`LoadError`].
pub async fn load(database: &Database, rates: &[ExchangeRate], now: Timestamp) -> Result<Loaded, LoadError> {
    let column = |of: fn(&ExchangeRate) -> &str| rates.iter().map(of).collect::<Vec<_>>();
    let (from, to) = (column(|rate| rate.from.code()), column(|rate| rate.to.code()));
    let sources = column(|rate| &rate.source);
    let days: Vec<Date> = rates.iter().map(|rate| rate.valid_from).collect();
    let values: Vec<_> = rates.iter().map(|rate| rate.rate).collect();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    transaction.query_one(sql::EXCHANGE_LOCK, &[]).await?;
    let same: [&(dyn ToSql + Sync); 4] = [&from, &to, &days, &values];
    if let Some(row) = transaction.query_opt(sql::EXCHANGE_CONFLICT, &same).await? {
        let position: i64 = row.try_get("position")?;
        let asked = usize::try_from(position - 1).ok().and_then(|at| rates.get(at)).cloned();
        let there = read(&row)?;
        let asked = asked.unwrap_or_else(|| there.clone());
        return Err(LoadError::Another { there: Box::new(there), asked: Box::new(asked) });
    }
    let parameters: [&(dyn ToSql + Sync); 6] = [&from, &to, &days, &values, &sources, &micros(now)];
    let new = transaction.execute(sql::EXCHANGE_INSERT, &parameters).await?;
    transaction.commit().await?;
    let all = u64::try_from(rates.len()).unwrap_or(u64::MAX);
    Ok(Loaded { new, already: all.saturating_sub(new) })
}

/// The rate of a pair that is in force on `day`; the outer error is the database's.
///
/// # Errors
/// The database failed.
pub async fn in_force(
    transaction: &Transaction<'_>,
    from: Currency,
    to: Currency,
    day: Date,
) -> Result<Result<ExchangeRate, NoExchangeRate>, StoreError> {
    let row = transaction.query_opt(sql::EXCHANGE_IN_FORCE, &[&from.code(), &to.code(), &day]).await?;
    let found = row.as_ref().map(read).transpose()?;
    Ok(found.ok_or(NoExchangeRate { from, to, day }))
}

/// Rates, the newest first, at most `limit` and never more than [`MAX_LISTED`].
///
/// # Errors
/// The database failed.
pub async fn page(
    database: &Database,
    query: &RateQuery,
    limit: u32,
) -> Result<Vec<ExchangeRate>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let (from, to) = (query.from.map(Currency::code), query.to.map(Currency::code));
    let (day, after_from, after_to) = match &query.after {
        Some((day, from, to)) => (Some(*day), Some(from), Some(to)),
        None => (None, None, None),
    };
    let limit = i64::from(limit.min(MAX_LISTED));
    let parameters: [&(dyn ToSql + Sync); 6] = [&from, &to, &day, &after_from, &after_to, &limit];
    let rows = transaction.query(sql::EXCHANGE_PAGE, &parameters).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ExchangeRate, StoreError> {
    let currency = |column: &str| -> Result<Currency, StoreError> {
        let code: &str = row.try_get(column)?;
        Currency::parse(code).map_err(|error| StoreError::unreadable("exchange rate of", code, &error))
    };
    Ok(ExchangeRate {
        from: currency("from_currency")?,
        to: currency("to_currency")?,
        rate: row.try_get("rate")?,
        valid_from: row.try_get("valid_from")?,
        source: row.try_get("source")?,
    })
}
