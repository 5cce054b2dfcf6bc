//! What was measured of pages, beside what they may take.

use std::time::Duration;

use serde::Serialize;

use super::Size;
use crate::report::table;

/// What a page may take of its bare SQL; the smallest page's time comes on top.
const SQL_FACTOR: f64 = 1.5;

/// What a page may weigh with its scripts and styles.
const BYTES_MAX: usize = 200 * 1024;

/// What a person does not notice.
const WAIT_MAX_MS: f64 = 100.0;

/// All pages of a run.
#[derive(Debug, Serialize)]
pub struct Pages {
    tenants: u32,
    instances: u32,
    days: u32,
    rounds: usize,
    /// The 99th percentile of the page that asks PostgreSQL nothing, in milliseconds.
    smallest_ms: f64,
    smallest_is: String,
    pages: Vec<Judged>,
}

/// A page.
#[derive(Debug, Serialize)]
pub struct Page {
    pub name: String,
    pub path: String,
    pub transactions: usize,
    /// Each statement with the median of its bare time in milliseconds, in the order asked.
    pub statements: Vec<(String, f64)>,
    pub rows: usize,
    pub sql: Times,
    pub page: Times,
    pub bytes: usize,
    pub asset_bytes: usize,
}

/// A page beside its limit.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    page: Page,
    allowed_ms: f64,
    /// Measured by allowed, both 99th percentiles: above 1 is too slow.
    ratio: f64,
}

/// Percentiles in milliseconds; zero where nothing was asked.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Times {
    /// The smallest times that 50 and 99 % do not exceed.
    pub fn of(times: &[Duration]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort();
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Self { p50_ms: at(50), p99_ms: at(99) }
    }
}

impl Pages {
    /// `None` without a page that asks PostgreSQL nothing.
    pub fn new(size: Size, pages: Vec<Page>) -> Option<Self> {
        let smallest = pages
            .iter()
            .filter(|page| page.statements.is_empty())
            .min_by(|a, b| a.page.p50_ms.total_cmp(&b.page.p50_ms))?;
        let (smallest_ms, smallest_is) = (smallest.page.p99_ms, smallest.name.clone());
        let judged = |page: Page| {
            let allowed_ms = SQL_FACTOR * page.sql.p99_ms + smallest_ms;
            Judged { ratio: page.page.p99_ms / allowed_ms, allowed_ms, page }
        };
        Some(Self {
            tenants: size.tenants,
            instances: size.instances,
            days: size.days,
            rounds: size.rounds,
            smallest_ms,
            smallest_is,
            pages: pages.into_iter().map(judged).collect(),
        })
    }

    /// For people.
    pub fn table(&self) -> String {
        let header = [
            "PAGE",
            "SQL: STATEMENTS",
            "IN",
            "ROWS",
            "SQL P50 ms",
            "P99 ms",
            "ALLOWED ms",
            "PAGE P50 ms",
            "P99 ms",
            "RATIO",
            "KiB",
            "ALL KiB",
            "",
        ];
        let rows = self.pages.iter().map(|judged| {
            let page = &judged.page;
            let kib = |bytes: usize| format!("{:.1}", bytes as f64 / 1024.0);
            vec![
                page.name.clone(),
                page.statements.len().to_string(),
                page.transactions.to_string(),
                page.rows.to_string(),
                format!("{:.2}", page.sql.p50_ms),
                format!("{:.2}", page.sql.p99_ms),
                format!("{:.2}", judged.allowed_ms),
                format!("{:.2}", page.page.p50_ms),
                format!("{:.2}", page.page.p99_ms),
                format!("{:.2}", judged.ratio),
                kib(page.bytes),
                kib(page.bytes + page.asset_bytes),
                judged.marks(),
            ]
        });
        let above = self.pages.iter().filter(|judged| 1.0 < judged.ratio).count();
        format!(
            "{}\n{} instances of {} tenants, {} days of usage; each page and its SQL {} times in turn. Allowed: {SQL_FACTOR} x SQL \
             p99 + {:.2} ms, the p99 of \"{}\". Above: {above} of {}.",
            table(&header, rows, 1..12),
            self.instances,
            self.tenants,
            self.days,
            self.rounds,
            self.smallest_ms,
            self.smallest_is,
            self.pages.len(),
        )
    }
}

impl Judged {
    fn marks(&self) -> String {
        let page = &self.page;
        let marks = [
            (1.0 < self.ratio, "ABOVE"),
            (WAIT_MAX_MS <= page.page.p99_ms, "100 ms"),
            (BYTES_MAX < page.bytes + page.asset_bytes, "HEAVY"),
        ];
        marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_not_the_worst() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let found = Times::of(&times);
        assert_eq!((found.p50_ms, found.p99_ms), (50.0, 99.0));
        assert_eq!(Times::of(&[]).p99_ms, 0.0);
    }
}
