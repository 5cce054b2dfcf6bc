//! In which currency a tenant pays, and from which day on: a period has one currency, so another one begins with the first period
//! of which nothing was rated yet. What was said stays on record, so that a month that is rated again comes to the same.
//!
//! It does NOT convert; rates are [`crate::exchange`]'s matter.

use jiff::Timestamp;
use jiff::civil::Date;
use metering::{TenantId, micros};
use migrations::Transaction;
use tokio_postgres::Row;

use crate::books::sql;
use crate::money::Currency;
use crate::store::invoices::StoreError;

/// What was said about a tenant's currency, in the order in which it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Currencies(Vec<(Date, Option<Currency>)>);

impl Currencies {
    /// One currency for all time; `None`: the plan's.
    #[must_use]
    pub fn always(currency: Option<Currency>) -> Self {
        Self(vec![(Date::MIN, currency)])
    }

    /// What holds on `day`, in the tenant's zone; `None`: the plan's. Of several words the last one holds whose day has come.
    #[must_use]
    pub fn on(&self, day: Date) -> Option<Currency> {
        self.0.iter().rev().find(|(from, _)| *from <= day).and_then(|(_, currency)| *currency)
    }

    /// The day from which the last word holds; `None`: none was ever said, or it holds for all time.
    #[must_use]
    pub fn last_from(&self) -> Option<Date> {
        self.0.last().map(|(from, _)| *from).filter(|from| EVER < *from)
    }

    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let (days, codes): (Vec<Date>, Vec<Option<String>>) =
            (row.try_get("currency_days")?, row.try_get("currency_codes")?);
        let currency = |code: &Option<String>| code.as_deref().map(Currency::parse).transpose();
        let said = days.into_iter().zip(&codes).map(|(day, code)| Ok((day, currency(code)?)));
        let said: Result<Vec<_>, crate::money::MoneyError> = said.collect();
        Ok(Self(said.map_err(|error| StoreError::unreadable("currencies of", "a tenant", &error))?))
    }

    /// Puts down that `currency` holds from the first day on of which nothing was rated in another one, and gives that day.
    pub(super) async fn change(
        &mut self,
        transaction: &Transaction<'_>,
        tenant: TenantId,
        currency: Option<Currency>,
        now: Timestamp,
    ) -> Result<Date, StoreError> {
        let from = free_from(transaction, tenant, currency).await?;
        let code = currency.map(Currency::code);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&tenant.uuid(), &from, &code, &micros(now)];
        transaction.execute(sql::CURRENCY_INSERT, &parameters).await?;
        self.0.push((from, currency));
        Ok(from)
    }
}

/// Before whatever a tenant was billed for; in the database, too.
pub(super) const EVER: Date = jiff::civil::date(1, 1, 1);

/// The first day from which nothing was rated in another currency.
pub(super) async fn free_from(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    currency: Option<Currency>,
) -> Result<Date, StoreError> {
    let code = currency.map(Currency::code);
    let row = transaction.query_opt(sql::CURRENCY_FREE_FROM, &[&tenant.uuid(), &code]).await?;
    Ok(row.map_or(Ok(EVER), |row| row.try_get("day"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_words_the_last_one_holds_whose_day_has_come() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let (eur, usd) = (Currency::parse("EUR").ok(), Currency::parse("USD").ok());
        let said = Currencies(vec![(EVER, eur), (day("2026-12-01"), usd), (day("2026-12-01"), None)]);
        assert_eq!(said.on(day("2026-11-30")), eur);
        assert_eq!(said.on(day("2026-12-01")), None, "the plan's, by the last word");
        let taken_back = Currencies(vec![(EVER, eur), (day("2026-12-01"), usd), (EVER, eur)]);
        assert_eq!((taken_back.on(day("2027-01-01")), taken_back.last_from()), (eur, None));
        assert_eq!(Currencies::default().on(day("2026-12-01")), None);
        assert_eq!(said.last_from(), Some(day("2026-12-01")));
    }
}
