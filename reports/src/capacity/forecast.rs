//! When something that grows is full: a robust trend over whole days, with its range and what it stands on.
//!
//! Pure: it reads no clock and no database. It knows no unit, no weekday and no season; it draws the past on as a line.
//! Here, and nowhere near money, figures are `f64`.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use super::theil_sen::{median, slopes};

/// Fewest days with a figure. Seven different days: each weekday was seen, and 21 pairs make an interval.
pub const DAYS_MIN: usize = 7;

/// Oldest day that counts, before the last one: what grew a quarter ago says little of the next.
pub const DAYS_BACK_MAX: u32 = 90;

/// How many of the last days say where it stands now: a step that lasts is seen after half of them, one odd day is not.
const LEVEL_DAYS: usize = 7;

/// Furthest day that is named: five years, about what hardware lives.
pub const HORIZON_DAYS: u32 = 1_826;

/// Larger figures are no amounts; with this bound no difference overflows.
const VALUE_MAX: f64 = 1e18;

/// Fraction of a day that is error of arithmetic, not another day.
const DAY_TOLERANCE: f64 = 1e-6;

/// What can be said of the day on which a limit is reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// In one word.
    pub verdict: Verdict,
    /// What is full when it is reached, in the points' unit.
    pub limit: f64,
    /// How many days it stands on.
    pub points_used: usize,
    /// The first of them.
    pub from: Option<Date>,
    /// The last of them.
    pub to: Option<Date>,
    /// The day from which `days_until_full` counts: `to`, until [`Forecast::as_of`] moves it.
    pub counted_from: Option<Date>,
    /// The line through the points, if there are enough.
    pub trend: Option<Trend>,
    /// Whole days; with `In` and `BeyondHorizon` only.
    pub days_until_full: Option<DaysUntilFull>,
    /// The likely day; with `In` only.
    pub full_on: Option<Date>,
}

/// A forecast in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Fewer than [`DAYS_MIN`] days, or a limit that is not known.
    NotEnoughData,
    /// The likely slope is level or falls.
    NotGrowing,
    /// The last day's figure reaches the limit. That is a fact and no forecast, so one day is enough.
    Full,
    /// It grows and is full within the horizon.
    In,
    /// It grows, but is likely not full within [`HORIZON_DAYS`].
    BeyondHorizon,
}

/// Whole days until the limit is reached. `None` is: not within [`HORIZON_DAYS`], or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DaysUntilFull {
    /// By the likely slope.
    pub likely: Option<u32>,
    /// By the fast end of the range.
    pub earliest: Option<u32>,
    /// By the slow end of the range.
    pub latest: Option<u32>,
}

/// The line through the points and the range in which it lies with 90 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trend {
    /// By the median slope.
    pub likely: Line,
    /// By the lower end of the interval.
    pub slow: Line,
    /// By its upper end.
    pub fast: Line,
}

/// A straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it grows by in a day, in the points' unit.
    pub slope_per_day: f64,
    /// Where it stands on the last day of the points.
    pub level: f64,
}

impl Line {
    /// Where it stands so many days after the last.
    #[must_use]
    pub fn after(&self, days: f64) -> f64 {
        self.level + self.slope_per_day * days
    }

    /// Days from the last until it reaches `limit`.
    fn days_to(&self, limit: f64) -> Option<u32> {
        if self.slope_per_day <= 0.0 {
            return None;
        }
        // A line may pass the limit before the figures do: then it is a matter of the next day.
        let days = ((limit - self.level) / self.slope_per_day - DAY_TOLERANCE).ceil().max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 1 and the horizon"
        )]
        (days <= f64::from(HORIZON_DAYS)).then_some(days as u32)
    }
}

impl Forecast {
    /// What the points grow by in a day.
    #[must_use]
    pub fn slope_per_day(&self) -> Option<f64> {
        self.trend.map(|trend| trend.likely.slope_per_day)
    }

    /// The 90 % confidence interval of that: its slow and its fast end.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        self.trend.map(|trend| (trend.slow.slope_per_day, trend.fast.slope_per_day))
    }

    /// The same, with its days counted from `today` instead of from the last day it stands on.
    #[must_use]
    pub fn as_of(mut self, today: Date) -> Self {
        let Some(from) = self.counted_from.filter(|from| *from < today) else { return self };
        let gone = u32::try_from(from.until(today).map_or(0, |span| span.get_days())).unwrap_or(0);
        let less = |days: Option<u32>| days.map(|days| days.saturating_sub(gone));
        self.counted_from = Some(today);
        self.days_until_full = self.days_until_full.map(|days| DaysUntilFull {
            likely: less(days.likely),
            earliest: less(days.earliest),
            latest: less(days.latest),
        });
        self
    }

    /// In one sentence, with its range.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.verdict {
            Verdict::NotEnoughData if self.limit <= 0.0 => "No forecast: its size is not known.".to_owned(),
            Verdict::NotEnoughData => {
                format!("No forecast yet: {} of {DAYS_MIN} complete days.", self.points_used)
            }
            Verdict::NotGrowing => "Not growing.".to_owned(),
            Verdict::Full => "Full.".to_owned(),
            Verdict::In => self.when(),
            Verdict::BeyondHorizon => match self.days_until_full.and_then(|days| days.earliest) {
                Some(earliest) => {
                    format!("Full in more than 5 years, at the earliest in {}.", in_days(earliest))
                }
                None => "Full in more than 5 years.".to_owned(),
            },
        }
    }

    /// What it stands on.
    #[must_use]
    pub fn stands_on(&self) -> String {
        match (self.from, self.to) {
            (Some(from), Some(to)) if self.points_used > 1 => {
                format!("{} complete days, {from} to {to}", self.points_used)
            }
            (Some(day), _) => format!("1 complete day, {day}"),
            _ => "no complete day".to_owned(),
        }
    }

    /// `Full in about 34 days, on 25 December 2026 (20 to 61 days).`
    fn when(&self) -> String {
        let days = self.days_until_full;
        let likely = days.and_then(|days| days.likely).unwrap_or(0);
        let earliest = days.and_then(|days| days.earliest).unwrap_or(likely);
        let never = self.range().is_some_and(|(slow, _)| slow <= 0.0);
        let range = match days.and_then(|days| days.latest) {
            Some(latest) if latest == earliest => String::new(),
            Some(latest) => format!(" ({} to {})", grouped(earliest), in_days(latest)),
            None if never => format!(" (at the earliest in {}, perhaps never)", in_days(earliest)),
            None => format!(" ({} to more than 5 years)", in_days(earliest)),
        };
        let on = self.full_on.map(|day| day.strftime(", on %-d %B %Y").to_string()).unwrap_or_default();
        match likely {
            0 => format!("Full about now{range}."),
            days => format!("Full in about {}{on}{range}.", in_days(days)),
        }
    }
}

/// When `points` (a day and its figure, in any order) reach `limit`.
///
/// Days may be missing. Of two figures of one day the larger counts; figures that are no numbers do not. Only complete
/// days belong in `points`: half a day's figure is not a smaller one.
#[must_use]
pub fn forecast(points: &[(Date, f64)], limit: f64) -> Forecast {
    let points = usable(points);
    let limit = if limit.is_finite() && limit.abs() <= VALUE_MAX { limit } else { 0.0 };
    let last = points.last().copied();
    let mut forecast = Forecast {
        verdict: Verdict::NotEnoughData,
        limit,
        points_used: points.len(),
        from: points.first().map(|(day, _)| *day),
        to: last.map(|(day, _)| day),
        counted_from: last.map(|(day, _)| day),
        trend: None,
        days_until_full: None,
        full_on: None,
    };
    let Some((to, value)) = last.filter(|_| limit > 0.0) else { return forecast };
    forecast.trend = if points.len() < DAYS_MIN { None } else { trend(&points, to) };
    if value >= limit {
        forecast.verdict = Verdict::Full;
        return forecast;
    }
    let Some(trend) = forecast.trend else { return forecast };
    if trend.likely.slope_per_day <= 0.0 {
        forecast.verdict = Verdict::NotGrowing;
        return forecast;
    }
    let likely = trend.likely.days_to(limit);
    let least = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
    let latest = trend.slow.days_to(limit).zip(likely).map(|(slow, likely)| slow.max(likely));
    let earliest = least(trend.fast.days_to(limit), likely);
    forecast.verdict = if likely.is_some() { Verdict::In } else { Verdict::BeyondHorizon };
    forecast.days_until_full = Some(DaysUntilFull { likely, earliest, latest });
    forecast.full_on = likely.and_then(|days| to.checked_add(i64::from(days).days()).ok());
    forecast
}

/// The points in the order of their days, one a day, none older than what counts.
fn usable(points: &[(Date, f64)]) -> Vec<(Date, f64)> {
    let sound = |value: f64| value.is_finite() && value.abs() <= VALUE_MAX;
    let mut points: Vec<(Date, f64)> = points.iter().copied().filter(|(_, value)| sound(*value)).collect();
    points.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    points.dedup_by_key(|(day, _)| *day);
    let oldest =
        points.last().map(|(day, _)| day.checked_sub(i64::from(DAYS_BACK_MAX).days()).unwrap_or(Date::MIN));
    points.retain(|(day, _)| oldest.is_none_or(|oldest| oldest < *day));
    points
}

/// The lines through `points`: each has its slope, and as many of the last points above it as below.
fn trend(points: &[(Date, f64)], to: Date) -> Option<Trend> {
    let days = |day: Date| f64::from(to.until(day).map_or(0, |span| span.get_days()));
    let points: Vec<(f64, f64)> = points.iter().map(|(day, value)| (days(*day), *value)).collect();
    let found = slopes(&points)?;
    let last = &points[points.len().saturating_sub(LEVEL_DAYS)..];
    let line = |slope_per_day: f64| {
        let mut levels: Vec<f64> = last.iter().map(|(x, y)| y - slope_per_day * x).collect();
        let level = median(&mut levels)?;
        Some(Line { slope_per_day, level })
    };
    Some(Trend { likely: line(found.likely)?, slow: line(found.slow)?, fast: line(found.fast)? })
}

fn in_days(days: u32) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{} days", grouped(days)) }
}

fn grouped(days: u32) -> String {
    crate::figures::whole(u128::from(days)).text
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
