//! When prices change: where versions start, trials end, and hours with a price of their own begin and end.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use metering::Window;

use super::{PlanVersion, PricePlan, RateCard, TimeBand};

impl PricePlan {
    /// The instants within `period` at which prices change. Usage that is to be rated must be cut there.
    #[must_use]
    pub fn cuts(&self, period: Window) -> Vec<Timestamp> {
        let mut cuts = BTreeSet::new();
        let ends = self.versions.iter().skip(1).map(|version| Some(version.starts_at)).chain([None]);
        for (version, end) in self.versions.iter().zip(ends) {
            let end = end.unwrap_or(period.end()).min(period.end());
            let start = version.starts_at.max(period.start());
            if end <= start {
                continue;
            }
            cuts.extend((period.start() < start).then_some(start));
            cuts.extend(self.trial_end(version).filter(|at| start < *at && *at < end));
            for band in version.terms.rate_cards.iter().flat_map(|card| &card.time_of_use) {
                band.borders(&self.zone, start, end, &mut cuts);
            }
        }
        cuts.into_iter().collect()
    }

    /// The plan as if the prices of `day` had held since `from`; `None` when the plan has none on that day. Days that are
    /// written out (of a trial, of a fee that falls due once) stay.
    #[must_use]
    pub fn as_if(&self, day: Date, from: Timestamp) -> Option<Self> {
        let version = self.versions.iter().rev().find(|version| version.from <= day)?;
        let from = self.zone.to_datetime(from).date();
        self.with_versions(vec![(from, version.terms.clone())])
    }

    /// When a version's trial ends, if it has one: the beginning of the day in the plan's zone.
    #[must_use]
    pub fn trial_end(&self, version: &PlanVersion) -> Option<Timestamp> {
        midnight(version.terms.trial.as_ref()?.until, &self.zone)
    }

    /// The band of `card` that holds at `at`, by the clocks of the plan's zone; `None`: the card's own price does.
    #[must_use]
    pub fn band_at<'c>(&self, card: &'c RateCard, at: Timestamp) -> Option<&'c TimeBand> {
        if card.time_of_use.is_empty() {
            return None;
        }
        let local = self.zone.to_datetime(at);
        card.time_of_use.iter().find(|band| band.holds_at(local))
    }
}

impl TimeBand {
    /// Whether it holds when the clocks show `local`.
    #[must_use]
    pub fn holds_at(&self, local: DateTime) -> bool {
        let (day, time) = (local.weekday(), local.time());
        if self.from < self.to {
            return self.from <= time && time < self.to && self.days.contains(&day);
        }
        let began_today = self.from <= time && self.days.contains(&day);
        let began_yesterday = time < self.to && self.days.contains(&day.previous());
        began_today || began_yesterday
    }

    /// Where it begins and ends between two instants.
    fn borders(&self, zone: &TimeZone, start: Timestamp, end: Timestamp, cuts: &mut BTreeSet<Timestamp>) {
        let mut day = zone.to_datetime(start).date().saturating_sub(1.day());
        let last = zone.to_datetime(end).date();
        while day <= last {
            let tomorrow = day.saturating_add(1.day());
            if self.days.contains(&day.weekday()) {
                let to = if self.from < self.to { day } else { tomorrow };
                let borders = [(day, self.from), (to, self.to)];
                let instants = borders.into_iter().filter_map(|(day, time)| instant(day, time, zone));
                cuts.extend(instants.filter(|at| start < *at && *at < end));
            }
            if tomorrow == day {
                // The calendar ends here.
                return;
            }
            day = tomorrow;
        }
    }
}

/// The beginning of a day.
pub(super) fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    Some(day.to_zoned(zone.clone()).ok()?.timestamp())
}

/// When the clocks show `time`: where they show it twice, the first time; where they skip it, right after the gap.
fn instant(day: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok()
}
