//! By which plan a tenant is billed, and from which month on: an invoice has one plan, so another one begins with a month of the
//! tenant's zone of which nothing is issued. What was said stays on record, with who said it and when.
//!
//! It does NOT know what plans say, nor whether there is one of that name. Prices that change within a month are versions of a plan,
//! or a tenant's terms.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use metering::{TenantId, Window, micros};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::store::invoices::StoreError;
use crate::store::sql;

/// Before whatever a tenant was billed for: what holds from this day on holds for all time.
pub const EVER: Date = super::currencies::EVER;

/// One word about a tenant's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// From this day of the tenant's zone on; `None`: for all time.
    pub from: Option<Date>,
    /// The plan; `None`: none, so nothing is invoiced.
    pub plan: Option<String>,
    /// When it was said.
    pub recorded_at: Timestamp,
    /// Who said it; `None`: nobody was asked then.
    pub recorded_by: Option<String>,
}

/// What was said about a tenant's plan, in the order in which it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments(Vec<Assignment>);

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The plan, which the caller knows to exist; `None`: none.
    pub plan: Option<&'a str>,
    /// From when on; `None`: from the running month on, or else from the first one of which nothing is issued by another plan.
    pub from: Option<Date>,
    /// Who.
    pub by: &'a str,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// From when on it holds.
    pub from: Date,
    /// Whether that is new.
    pub is_new: bool,
    /// The tenant's zone.
    pub zone: TimeZone,
    /// All that was said.
    pub assignments: Assignments,
}

/// Why a plan was not assigned. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AssignError {
    /// There is no such tenant.
    #[error("there is no tenant {0}")]
    NoTenant(TenantId),
    /// A document has one plan.
    #[error(
        "{day} is not the first day of a month, and an invoice has one plan: let it hold from {this} or {next} on. Prices that change \
         within a month are a version of the plan from that day on (weir plan apply), or the tenant's own terms (weir terms apply)"
    )]
    MidMonth {
        /// What was said.
        day: Date,
        /// The month's first day.
        this: Date,
        /// The next one's.
        next: Date,
    },
    /// What was issued stays.
    #[error(
        "{invoice} bills {period} by plan {plan} already, and what was issued stays: let the other plan hold from {free} on. If \
         {invoice} itself is wrong, correct it: take it back (weir invoice void {invoice}), and assign the plan and issue the month again"
    )]
    Issued {
        /// Its number.
        invoice: String,
        /// What it bills.
        period: Window,
        /// By what.
        plan: String,
        /// The first day that is free.
        free: Date,
    },
    /// Somebody looks at it, or has.
    #[error(
        "the invoice of {period} is rated by plan {plan} and in {status}: send it back first (weir billing send-back), or let the other \
         plan hold from {free} on"
    )]
    UnderReview {
        /// Where it stands.
        status: String,
        /// What it bills.
        period: Window,
        /// By what.
        plan: String,
        /// The first day that is free.
        free: Date,
    },
    /// The tenant's zone is not known to this machine.
    #[error("the tenant's time zone {0:?} is not known to this machine")]
    Zone(String),
    /// The day is out of the calendar.
    #[error("the calendar ends there")]
    Calendar(#[source] jiff::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A period in which the plan changes: a document has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan changes from {} to {} on {day}, within {period}, and an invoice has one plan: bill the time before that day and the time \
     from it on separately", .before.as_deref().unwrap_or("none"), .after.as_deref().unwrap_or("none")
)]
pub struct Crossed {
    /// What is to be billed.
    pub period: Window,
    /// From when on the other one holds.
    pub day: Date,
    /// What holds at first.
    pub before: Option<String>,
    /// What holds then.
    pub after: Option<String>,
}

impl Assignments {
    /// One plan for all time.
    #[must_use]
    pub fn always(plan: &str) -> Self {
        let plan = Some(plan.to_owned());
        Self(vec![Assignment { from: None, plan, recorded_at: Timestamp::UNIX_EPOCH, recorded_by: None }])
    }

    /// What was said, in the order in which it was said.
    #[must_use]
    pub fn all(&self) -> &[Assignment] {
        &self.0
    }

    /// The plan of a day in the tenant's zone; `None`: none. Of several words the last one holds whose day has come.
    #[must_use]
    pub fn on(&self, day: Date) -> Option<&str> {
        let holds = |word: &&Assignment| word.from.is_none_or(|from| from <= day);
        self.0.iter().rev().find(holds).and_then(|word| word.plan.as_deref())
    }

    /// The plan of a period of the tenant's.
    ///
    /// # Errors
    /// The plan changes within the period.
    pub fn during(&self, period: Window, zone: &TimeZone) -> Result<Option<&str>, Crossed> {
        let first = period.start().to_zoned(zone.clone()).date();
        // The end is outside.
        let end = period.end().saturating_sub(SignedDuration::from_micros(1)).unwrap_or(period.end());
        let last = end.to_zoned(zone.clone()).date();
        let before = self.on(first);
        let other = self.changes().into_iter().find(|(day, _)| first < *day && *day <= last);
        match other {
            None => Ok(before),
            Some((day, after)) => {
                let owned = |plan: Option<&str>| plan.map(str::to_owned);
                Err(Crossed { period, day, before: owned(before), after: owned(after) })
            }
        }
    }

    /// The days on which the plan changes, the earliest first, with the plan that holds then.
    #[must_use]
    pub fn changes(&self) -> Vec<(Date, Option<&str>)> {
        let mut days: Vec<Date> = self.0.iter().filter_map(|word| word.from).collect();
        days.sort_unstable();
        days.dedup();
        let mut plan = self.on(EVER);
        let mut changes = Vec::new();
        for day in days {
            let then = self.on(day);
            if then != plan {
                changes.push((day, then));
                plan = then;
            }
        }
        changes
    }

    /// The plans that hold on `day` or later.
    #[must_use]
    pub fn from(&self, day: Date) -> Vec<&str> {
        let later = self.changes().into_iter().filter(|(from, _)| day < *from).filter_map(|(_, plan)| plan);
        let mut plans: Vec<&str> = self.on(day).into_iter().chain(later).collect();
        plans.sort_unstable();
        plans.dedup();
        plans
    }

    /// Whether `plan` holds from `from` on and no other one later.
    fn says(&self, plan: Option<&str>, from: Date) -> bool {
        self.on(from) == plan && !self.changes().iter().any(|(day, _)| from < *day)
    }
}

/// By which plans a tenant is billed: nothing said, or nothing that `scope` may see, is no plan.
///
/// # Errors
/// The database failed.
pub async fn get(database: &Database, scope: Scope, tenant: TenantId) -> Result<Assignments, StoreError> {
    Ok(of(database, scope, Some(&[tenant])).await?.remove(&tenant).unwrap_or_default())
}

/// The same of many; `None`: of all that `scope` may see. Those of whom nothing was said are not among them.
///
/// # Errors
/// The database failed.
pub async fn of(
    database: &Database,
    scope: Scope,
    tenants: Option<&[TenantId]>,
) -> Result<BTreeMap<TenantId, Assignments>, StoreError> {
    let mut session = database.session().await?;
    let transaction = session.begin(scope).await?;
    read(&transaction, tenants).await
}

/// Puts down from when on a tenant is billed by a plan. What holds already is not put down again.
///
/// # Errors
/// See [`AssignError`].
pub async fn assign(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Assigned, AssignError> {
    let store = |error: tokio_postgres::Error| AssignError::Store(error.into());
    let row = transaction.query_opt(sql::PLAN_ASSIGNMENT_LOCK, &[&tenant.uuid()]).await.map_err(store)?;
    let row = row.filter(|_| tenant != TenantId::UNASSIGNED).ok_or(AssignError::NoTenant(tenant))?;
    let zone_name: &str = row.try_get("time_zone").map_err(store)?;
    let zone = TimeZone::get(zone_name).map_err(|_| AssignError::Zone(zone_name.to_owned()))?;
    let fixed = fixed(transaction, tenant, asked.plan, &zone).await?;
    let from = match asked.from {
        Some(day) => first_of_month(day)?,
        None => {
            let running = now.to_zoned(zone.clone()).date().first_of_month();
            fixed.as_ref().map_or(running, |fixed| running.max(fixed.free))
        }
    };
    let mut assignments = read(transaction, Some(&[tenant])).await?.remove(&tenant).unwrap_or_default();
    if assignments.says(asked.plan, from) {
        return Ok(Assigned { from, is_new: false, zone, assignments });
    }
    if let Some(fixed) = fixed.filter(|fixed| from < fixed.free) {
        return Err(fixed.refused());
    }
    let parameters: [&(dyn ToSql + Sync); 5] = [&tenant.uuid(), &from, &asked.plan, &micros(now), &asked.by];
    transaction.execute(sql::PLAN_ASSIGNMENT_INSERT, &parameters).await.map_err(store)?;
    assignments.0.push(Assignment {
        from: Some(from).filter(|from| EVER < *from),
        plan: asked.plan.map(str::to_owned),
        recorded_at: micros(now),
        recorded_by: Some(asked.by.to_owned()),
    });
    Ok(Assigned { from, is_new: true, zone, assignments })
}

/// The plan that somebody else said of the period meanwhile; `None`: it is `plan`, or nothing was ever said. The tenant is locked.
pub(crate) async fn changed_since(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    period: Window,
    plan: &str,
) -> Result<Option<String>, StoreError> {
    let parameters: [&(dyn ToSql + Sync); 2] = [&tenant.uuid(), &period.start()];
    let Some(row) = transaction.query_opt(sql::PLAN_ASSIGNMENT_OF_PERIOD, &parameters).await? else {
        return Ok(None);
    };
    let said: Option<String> = row.try_get("plan_name")?;
    Ok(Some(said.unwrap_or_else(|| "none".to_owned())).filter(|said| said != plan))
}

/// An invoice that does not change any more.
struct Fixed {
    number: Option<String>,
    status: String,
    plan: String,
    period: Window,
    /// The first day of the month after it.
    free: Date,
}

impl Fixed {
    fn refused(self) -> AssignError {
        let Self { number, status, plan, period, free } = self;
        match number {
            Some(invoice) => AssignError::Issued { invoice, period, plan, free },
            None => AssignError::UnderReview { status, period, plan, free },
        }
    }
}

/// The last one of another plan.
async fn fixed(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    plan: Option<&str>,
    zone: &TimeZone,
) -> Result<Option<Fixed>, AssignError> {
    let store = |error: tokio_postgres::Error| AssignError::Store(error.into());
    let row = transaction.query_opt(sql::PLAN_ASSIGNMENT_FIXED, &[&tenant.uuid(), &plan]).await;
    let Some(row) = row.map_err(store)? else { return Ok(None) };
    let period = crate::store::invoices::read_window(&row)?;
    let last = period.end().saturating_sub(SignedDuration::from_micros(1)).map_err(AssignError::Calendar)?;
    let month = last.to_zoned(zone.clone()).date().first_of_month();
    Ok(Some(Fixed {
        number: row.try_get("number").map_err(store)?,
        status: row.try_get("status").map_err(store)?,
        plan: row.try_get("plan_name").map_err(store)?,
        period,
        free: month.checked_add(1.month()).map_err(AssignError::Calendar)?,
    }))
}

/// The day, if a month begins with it.
fn first_of_month(day: Date) -> Result<Date, AssignError> {
    let this = day.first_of_month();
    if this == day {
        return Ok(day.max(EVER));
    }
    let next = this.checked_add(1.month()).map_err(AssignError::Calendar)?;
    Err(AssignError::MidMonth { day, this, next })
}

async fn read(
    transaction: &Transaction<'_>,
    tenants: Option<&[TenantId]>,
) -> Result<BTreeMap<TenantId, Assignments>, StoreError> {
    let ids: Option<Vec<Uuid>> = tenants.map(|tenants| tenants.iter().map(|tenant| tenant.uuid()).collect());
    let mut found = BTreeMap::<TenantId, Assignments>::new();
    for row in transaction.query(sql::PLAN_ASSIGNMENT_LIST, &[&ids]).await? {
        let tenant = TenantId::from_uuid(row.try_get("tenant_id")?);
        found.entry(tenant).or_default().0.push(assignment(&row)?);
    }
    Ok(found)
}

fn assignment(row: &Row) -> Result<Assignment, StoreError> {
    let from: Date = row.try_get("valid_from")?;
    Ok(Assignment {
        from: Some(from).filter(|from| EVER < *from),
        plan: row.try_get("plan_name")?,
        recorded_at: row.try_get("recorded_at")?,
        recorded_by: row.try_get("recorded_by")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was said, such as `ever a, 2026-12 b, 2026-11 -`: in this order, `-` is no plan.
    fn said(text: &str) -> Assignments {
        let word = |one: &str| {
            let (from, plan) = one.trim().split_once(' ').unwrap();
            Assignment {
                from: (from != "ever").then(|| format!("{from}-01").parse().unwrap()),
                plan: Some(plan.to_owned()).filter(|plan| plan != "-"),
                recorded_at: Timestamp::UNIX_EPOCH,
                recorded_by: None,
            }
        };
        Assignments(text.split(',').filter(|one| !one.trim().is_empty()).map(word).collect())
    }

    /// Who bills which month: `2026-10 a, 2026-11 b`.
    fn check(text: &str, months: &str) {
        let words = said(text);
        for month in months.split(", ") {
            let (month, plan) = month.split_once(' ').unwrap();
            let period = crate::period::month(month, &TimeZone::UTC).unwrap();
            let held = words.during(period, &TimeZone::UTC).unwrap();
            assert_eq!(held.unwrap_or("-"), plan, "{month} of {text:?}");
        }
    }

    #[test]
    fn a_month_is_billed_by_the_last_word_whose_day_has_come() {
        check("", "2026-10 -, 2030-01 -");
        check("ever a", "0001-01 a, 2026-10 a");
        check("ever a, 2026-11 b", "2026-10 a, 2026-11 b, 2027-01 b");
        check("2026-11 a", "2026-10 -, 2026-11 a");
        check("ever a, 2026-12 b, 2026-11 c", "2026-10 a, 2026-11 c, 2026-12 c");
        check("ever a, 2026-11 c, 2026-12 b", "2026-10 a, 2026-11 c, 2026-12 b");
        check("ever a, 2026-12 b, 2026-12 a", "2026-11 a, 2026-12 a");
        check("ever a, 2026-11 -, 2027-01 b", "2026-10 a, 2026-11 -, 2026-12 -, 2027-01 b");
    }

    #[test]
    fn a_word_that_is_overruled_is_no_change() {
        let check = |text: &str, expected: &str| {
            let words = said(text);
            let shown: Vec<String> = words
                .changes()
                .into_iter()
                .map(|(day, plan)| format!("{} {}", day.strftime("%Y-%m"), plan.unwrap_or("-")))
                .collect();
            assert_eq!(shown.join(", "), expected, "{text:?}");
        };
        check("ever a", "");
        check("ever a, 2026-12 b, 2026-11 c", "2026-11 c");
        check("ever a, 2026-12 b, 2026-12 a", "");
        check("2026-11 a, 2026-12 -", "2026-11 a, 2026-12 -");
    }

    #[test]
    fn a_period_in_which_the_plan_changes_is_refused_and_its_halves_are_not() {
        let words = said("ever a, 2026-11 b");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let period = |from: &str, to: &str| Window::new(at(from), at(to)).unwrap();
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        let crossed = words.during(period("2026-10-20T00:00:00Z", "2026-11-10T00:00:00Z"), &TimeZone::UTC);
        let told = crossed.unwrap_err().to_string();
        assert!(told.contains("from a to b on 2026-11-01"), "{told}");
        let october = period("2026-10-20T00:00:00Z", "2026-10-31T15:00:00Z");
        assert_eq!(words.during(october, &tokyo).unwrap(), Some("a"), "up to midnight in Tokyo");
        let over = period("2026-10-20T00:00:00Z", "2026-10-31T15:00:01Z");
        assert!(words.during(over, &tokyo).is_err(), "a second more");
        assert_eq!(words.during(over, &TimeZone::UTC).unwrap(), Some("a"), "it is October there");
    }

    #[test]
    fn only_the_first_day_of_a_month_is_taken_and_the_refusal_names_both_neighbours() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(first_of_month(day("2026-11-01")).unwrap(), day("2026-11-01"));
        let told = first_of_month(day("2026-12-15")).unwrap_err().to_string();
        assert!(told.contains("2026-12-01 or 2027-01-01") && told.contains("version of the plan"), "{told}");
    }
}
