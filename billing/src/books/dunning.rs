//! Dunning: letters about what is overdue, level by level. Each level goes out once for an invoice, in order, and never about
//! one that is paid, void, replaced or disputed. It writes no letter and sends nothing: the row in the outbox is all.
//!
//! A level is due so many days after the invoice was, and not before the days between it and the level before have passed since
//! that letter: whoever was off for a month does not get all of them in a week.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use metering::{TenantId, micros};
use migrations::{Database, Scope, Transaction};
use rust_decimal::Decimal;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::ledger::{Account, Kind, Posting, read_money};
use super::payments;
use super::sql;
use crate::money::Money;
use crate::store::invoices::StoreError;
use crate::store::outbox::{self, Mail};
use crate::webhooks::{self, EventType};

/// The most levels.
pub const MAX_LEVELS: usize = 9;

/// The longest title of a letter, in characters.
pub const MAX_TITLE: usize = 80;

/// The longest text of a letter, in characters.
pub const MAX_TEXT: usize = 2_000;

/// The most letters and disputes in one list.
pub const MAX_LISTED: u32 = 1_000;

/// Invoices that are looked at in one go.
const PAGE: i64 = 200;

/// The longest reason for a dispute, in characters.
const MAX_REASON: usize = 400;

/// A day.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// One level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// So many days after the invoice was due.
    pub after_days: u32,
    /// What the letter is called: `Payment reminder`.
    pub title: String,
    /// What it costs, on invoices in this currency.
    pub fee: Option<Money>,
    /// What it says, besides the figures.
    pub text: String,
}

/// The levels, in order: each later than the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels(Vec<Level>);

/// Why levels are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelsError {
    /// Too many.
    #[error("{count} levels of dunning are too many; write at most {MAX_LEVELS}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Not later than the one before.
    #[error("level {level} of dunning goes out after {after} days, not after level {} ({before} days); put them in order", .level - 1)]
    Order {
        /// From 1.
        level: usize,
        /// Its days.
        after: u32,
        /// Those of the one before.
        before: u32,
    },
    /// The title or the text is empty or too long.
    #[error(
        "level {level} of dunning needs a title of 1 to {MAX_TITLE} characters on one line and a text of 1 to {MAX_TEXT}"
    )]
    Words {
        /// From 1.
        level: usize,
    },
    /// The fee is nothing or less.
    #[error("level {level} of dunning has a fee of {fee}; write more than nothing, or leave it out")]
    Fee {
        /// From 1.
        level: usize,
        /// The fee.
        fee: Money,
    },
}

/// A letter that was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// About which invoice.
    pub number: String,
    /// From 1.
    pub level: u32,
    /// What is owed on it.
    pub open: Money,
}

/// A letter that is due and was not ordered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub tenant: String,
    /// About which invoice.
    pub number: String,
    /// When the invoice was due.
    pub due_at: Timestamp,
    /// Which letter, from 1.
    pub level: u32,
    /// What it is called.
    pub title: String,
    /// What is owed on the invoice.
    pub open: Money,
}

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The letters.
    pub ordered: Vec<Ordered>,
    /// Invoices that could not be looked at, and why; the others were.
    pub failed: Vec<(Uuid, String)>,
}

/// A letter or a dispute, in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// When it was ordered, or held.
    pub at: Timestamp,
    /// Whose.
    pub tenant: String,
    /// Which invoice.
    pub number: String,
    /// The level; `None`: a dispute.
    pub level: Option<u32>,
    /// What was owed on it.
    pub open: Option<Money>,
    /// What the letter cost.
    pub fee: Option<Money>,
    /// Why it is disputed.
    pub reason: Option<String>,
    /// Who said so.
    pub held_by: Option<String>,
}

/// Why an invoice was not held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// There is none that is owed.
    #[error("there is no issued and unpaid invoice {shown:?}; see weir invoice list")]
    NoInvoice {
        /// What was named, cut.
        shown: String,
    },
    /// Nobody says why.
    #[error("a reason is needed, in 1 to {MAX_REASON} characters: what is disputed?")]
    NoReason,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Levels {
    /// The levels, if they make sense.
    ///
    /// # Errors
    /// See [`LevelsError`].
    pub fn new(levels: Vec<Level>) -> Result<Self, LevelsError> {
        if MAX_LEVELS < levels.len() {
            return Err(LevelsError::TooMany { count: levels.len() });
        }
        let mut before: Option<u32> = None;
        for (level, one) in (1..).zip(&levels) {
            if let Some(before) = before.filter(|before| one.after_days <= *before) {
                return Err(LevelsError::Order { level, after: one.after_days, before });
            }
            let is_short = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most;
            if !is_short(&one.title, MAX_TITLE)
                || one.title.contains(char::is_control)
                || !is_short(&one.text, MAX_TEXT)
            {
                return Err(LevelsError::Words { level });
            }
            if let Some(fee) = one.fee.filter(|fee| fee.amount() <= Decimal::ZERO) {
                return Err(LevelsError::Fee { level, fee });
            }
            before = Some(one.after_days);
        }
        Ok(Self(levels))
    }

    /// The levels, in order.
    #[must_use]
    pub fn all(&self) -> &[Level] {
        &self.0
    }

    /// Which level is to go out now, if one is: `last` went out at `last_at`, the invoice was due at `due_at`.
    fn next(
        &self,
        due_at: Timestamp,
        last: u32,
        last_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<(u32, &Level)> {
        let at = usize::try_from(last).ok()?;
        let level = self.0.get(at)?;
        let before = at.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, |level| level.after_days);
        let days = |days: u32| DAY * i32::try_from(days).unwrap_or(i32::MAX);
        let is_due = |from: Timestamp, wait| from.checked_add(days(wait)).is_ok_and(|at| at <= now);
        let is_spaced = last_at.is_none_or(|at| is_due(at, level.after_days - before));
        (is_due(due_at, level.after_days) && is_spaced).then_some((last + 1, level))
    }
}

/// Orders the letters that are due, each in a transaction of its own. Doing it again at once orders nothing more.
///
/// # Errors
/// The database failed altogether; what fails for one invoice is in [`Round::failed`].
pub async fn run(database: &Database, levels: &Levels, now: Timestamp) -> Result<Round, StoreError> {
    let (mut round, now) = (Round::default(), micros(now));
    if levels.0.is_empty() {
        return Ok(round);
    }
    let mut after: Option<(Timestamp, Uuid)> = None;
    loop {
        let page = page(database, levels, after, now).await?;
        for (invoice, tenant, _) in &page {
            match order(database, *invoice, *tenant, levels, now).await {
                Ok(ordered) => round.ordered.extend(ordered),
                Err(error) => round.failed.push((*invoice, error.to_string())),
            }
        }
        let Some((last, _, due_at)) = page.last() else { break };
        after = Some((*due_at, *last));
    }
    Ok(round)
}

/// What [`run`] would order now, by the days on which the invoices were due; at most [`MAX_LISTED`]. Nothing is stored.
///
/// # Errors
/// The database failed.
pub async fn due(database: &Database, levels: &Levels, now: Timestamp) -> Result<Vec<Due>, StoreError> {
    let (mut all, now) = (Vec::new(), micros(now));
    let mut after: Option<(Timestamp, Uuid)> = None;
    while !levels.0.is_empty() {
        let page = page(database, levels, after, now).await?;
        let Some((last, _, due_at)) = page.last() else { break };
        after = Some((*due_at, *last));
        let mut session = database.session().await?;
        let transaction = session.begin(Scope::Provider).await?;
        for (invoice, _, due_at) in &page {
            let Some(row) = transaction.query_opt(sql::DUNNING_LOCK, &[invoice]).await? else { continue };
            let last: i32 = row.try_get("last_level")?;
            let next = levels.next(*due_at, last.unsigned_abs(), row.try_get("last_at")?, now);
            let open = read_money(&row, "open")?;
            if let Some((level, Level { title, .. })) = next.filter(|_| Decimal::ZERO < open.amount()) {
                let (tenant, number) = (row.try_get("tenant")?, row.try_get("number")?);
                all.push(Due { tenant, number, due_at: *due_at, level, title: title.clone(), open });
            }
            if all.len() == MAX_LISTED as usize {
                return Ok(all);
            }
        }
    }
    Ok(all)
}

/// Marks an invoice as disputed: no letter goes out until it is released.
///
/// # Errors
/// See [`HoldError`].
pub async fn hold(
    database: &Database,
    number: &str,
    reason: &str,
    by: &str,
    now: Timestamp,
) -> Result<(), HoldError> {
    let none = || HoldError::NoInvoice { shown: number.chars().take(80).collect() };
    let reason = reason.trim();
    if reason.is_empty() || MAX_REASON < reason.chars().count() || reason.contains('\0') {
        return Err(HoldError::NoReason);
    }
    if number.contains('\0') {
        return Err(none());
    }
    let by: String = by.chars().filter(|c| *c != '\0').take(200).collect();
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let held = transaction.execute(sql::DUNNING_HOLD, &[&number, &reason, &micros(now), &by]).await?;
    if held == 0 {
        return Err(none());
    }
    transaction.commit().await?;
    Ok(())
}

/// The dispute is over. `false`: there was none.
///
/// # Errors
/// The database failed.
pub async fn release(database: &Database, number: &str) -> Result<bool, StoreError> {
    if number.contains('\0') {
        return Ok(false);
    }
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let released = transaction.execute(sql::DUNNING_RELEASE, &[&number]).await?;
    transaction.commit().await?;
    Ok(0 < released)
}

/// Letters and disputes, the newest first, at most `limit` and never more than [`MAX_LISTED`].
///
/// # Errors
/// The database failed.
pub async fn list(database: &Database, scope: Scope, limit: u32) -> Result<Vec<Listed>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    let rows = transaction.query(sql::DUNNING_LIST, &[&i64::from(limit.min(MAX_LISTED))]).await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &Row) -> Result<Listed, StoreError> {
    let level: Option<i32> = row.try_get("level")?;
    let has = level.is_some();
    Ok(Listed {
        at: row.try_get("at")?,
        tenant: row.try_get("tenant")?,
        number: row.try_get("number")?,
        level: level.map(i32::unsigned_abs),
        open: has.then(|| read_money(row, "open")).transpose()?,
        fee: has.then(|| read_money(row, "fee")).transpose()?.filter(|fee| !fee.is_zero()),
        reason: row.try_get("reason")?,
        held_by: row.try_get("held_by")?,
    })
}

async fn page(
    database: &Database,
    levels: &Levels,
    after: Option<(Timestamp, Uuid)>,
    now: Timestamp,
) -> Result<Vec<(Uuid, TenantId, Timestamp)>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    let (due_at, id) = after.unzip();
    let count = i64::try_from(levels.0.len()).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 5] = [&now, &count, &due_at, &id, &PAGE];
    let rows = transaction.query(sql::DUNNING_DUE, &parameters).await?;
    rows.iter()
        .map(|row| {
            let tenant = TenantId::from_uuid(row.try_get("tenant_id")?);
            Ok((row.try_get("invoice_id")?, tenant, row.try_get("due_at")?))
        })
        .collect()
}

/// Orders the letter about one invoice, if one is due.
async fn order(
    database: &Database,
    invoice: Uuid,
    tenant: TenantId,
    levels: &Levels,
    now: Timestamp,
) -> Result<Option<Ordered>, payments::PaymentError> {
    let mut session = database.session().await?;
    let transaction = session.begin(Scope::Provider).await?;
    payments::lock(&transaction, tenant).await?;
    let Some(row) = transaction.query_opt(sql::DUNNING_LOCK, &[&invoice]).await? else {
        return Ok(None);
    };
    let last: i32 = row.try_get("last_level")?;
    let (due_at, last_at) = (row.try_get("due_at")?, row.try_get("last_at")?);
    let open = read_money(&row, "open")?;
    let Some((number, level)) = levels.next(due_at, last.unsigned_abs(), last_at, now) else {
        return Ok(None);
    };
    if open.amount() <= Decimal::ZERO {
        return Ok(None);
    }
    let letter = Letter { id: Uuid::now_v7(), invoice, tenant, number, level, open };
    let ordered = letter.put(&transaction, &row, due_at, now).await?;
    transaction.commit().await?;
    tracing::info!(invoice = ordered.number, level = ordered.level, open = %ordered.open, "dunning letter ordered");
    Ok(Some(ordered))
}

/// A letter that is being ordered.
struct Letter<'a> {
    id: Uuid,
    invoice: Uuid,
    tenant: TenantId,
    number: u32,
    level: &'a Level,
    open: Money,
}

impl Letter<'_> {
    async fn put(
        &self,
        transaction: &Transaction<'_>,
        row: &Row,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<Ordered, StoreError> {
        let number: String = row.try_get("number")?;
        let currency = self.open.currency();
        let fee = self.level.fee.filter(|fee| fee.currency() == currency).unwrap_or(Money::zero(currency));
        let level = i32::try_from(self.number).unwrap_or(i32::MAX);
        let parameters: [&(dyn ToSql + Sync); 7] =
            [&self.invoice, &self.tenant.uuid(), &level, &self.id, &self.open.amount(), &fee.amount(), &now];
        transaction.execute(sql::DUNNING_INSERT, &parameters).await?;
        Posting::new(
            Kind::DunningFee,
            format!("dunning_fee/{}", self.id),
            format!("{} {number}", self.level.title),
        )
        .moves(fee, Account::Revenue, Account::Receivable(self.id))
        .post(transaction, self.tenant, now)
        .await?;
        let to_pay = sum(self.open, fee)?;
        let zone: &str = row.try_get("time_zone")?;
        let due_on = last_day_to_pay(due_at, zone);
        let about = json!({
            "tenant": row.try_get::<_, &str>("tenant")?,
            "name": row.try_get::<_, &str>("display_name")?,
            "number": number,
            "level": self.number,
            "title": self.level.title,
            "text": self.level.text,
            "due_on": due_on,
            "open": self.open.amount().to_string(),
            "fee": fee.amount().to_string(),
            "to_pay": to_pay.amount().to_string(),
            "currency": currency.code(),
        });
        outbox::put(transaction, &Mail::dunning(self.tenant, &number, self.number, about), now).await?;
        let data = json!({
            "number": number,
            "level": self.number,
            "due_on": due_on,
            "open": self.open,
        });
        webhooks::emit(transaction, EventType::InvoiceOverdue, self.tenant, &data, now).await?;
        Ok(Ordered { number, level: self.number, open: self.open })
    }
}

fn sum(one: Money, other: Money) -> Result<Money, StoreError> {
    one.checked_add(other).map_err(|error| StoreError::unreadable("amount of", "a dunning letter", &error))
}

/// The last day on which it could have been paid in time.
fn last_day_to_pay(due_at: Timestamp, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let last = due_at.checked_sub(SignedDuration::from_micros(1)).unwrap_or(due_at);
    last.to_zoned(zone).date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(days: &[u32]) -> Result<Levels, LevelsError> {
        let level = |after_days: &u32| Level {
            after_days: *after_days,
            title: "T".to_owned(),
            fee: None,
            text: "x".to_owned(),
        };
        Levels::new(days.iter().map(level).collect())
    }

    #[test]
    fn a_level_goes_out_in_its_turn_and_not_all_of_them_after_a_long_silence() {
        let levels = levels(&[3, 10, 24]).unwrap();
        let due: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let day = |day: i32| due + DAY * day;
        // `last level, days since due at which it went out, today -> level`
        for (last, last_at, today, expected) in [
            (0, None, 2, None),
            (0, None, 3, Some(1)),
            (0, None, 90, Some(1)),
            (1, Some(3), 9, None),
            (1, Some(3), 10, Some(2)),
            (1, Some(90), 91, None),
            (1, Some(90), 97, Some(2)),
            (2, Some(10), 24, Some(3)),
            (3, Some(24), 900, None),
        ] {
            let next = levels.next(due, last, last_at.map(day), day(today)).map(|(level, _)| level);
            assert_eq!(next, expected, "{last} {last_at:?} {today}");
        }
        assert_eq!(levels.next(due, 0, None, day(3) - SignedDuration::from_micros(1)), None);
    }

    #[test]
    fn levels_out_of_order_or_without_words_are_refused() {
        assert!(matches!(levels(&[3, 3]), Err(LevelsError::Order { level: 2, .. })));
        assert!(matches!(levels(&[3; 10]), Err(LevelsError::TooMany { .. })));
        let level = Level { after_days: 1, title: "a\nb".to_owned(), fee: None, text: "x".to_owned() };
        assert!(matches!(Levels::new(vec![level]), Err(LevelsError::Words { level: 1 })));
    }
}
