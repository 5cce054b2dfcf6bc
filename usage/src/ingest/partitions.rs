//! Makes sure that each day of a batch has its partitions, and remembers which do. It does NOT drop any.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use migrations::Database;

use super::screen::Screened;
use crate::error::UsageError;

const DAY_SECONDS: i64 = 86_400;

/// The days that are known to have partitions, by table.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: Mutex<HashSet<(&'static str, i64)>>,
}

/// The day of an instant, counted from 1970 in UTC.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS)
}

impl Partitions {
    /// Makes what is missing, before the batch's own transaction: another batch need not wait for it.
    pub(super) async fn ensure(&self, db: &Database, screened: &Screened<'_>) -> Result<(), UsageError> {
        let missing: Vec<(&'static str, i64)> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            screened.days().filter(|day| !known.contains(day)).collect()
        };
        for (table, day) in missing {
            let instant = |day: i64| Timestamp::from_second(day * DAY_SECONDS).unwrap_or(Timestamp::MAX);
            migrations::ensure_partitions(db, table, instant(day), instant(day + 1)).await?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert((table, day));
        }
        Ok(())
    }

    /// Believes in none any more.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
