//! Which part of a meter's usage of a period is meant: at which times, with which dimensions. It does NOT hold usage, and
//! knows no reason why the part is one of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Dimensions, MeterName, Window};

/// For each dimension, one of the values. Empty: whatever the dimensions.
pub type Values = BTreeMap<String, BTreeSet<String>>;

/// A part of a meter's usage of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePart {
    meter: MeterName,
    period: Window,
    /// In order, disjoint, none next to another.
    pieces: Vec<Window>,
    only: Values,
    except: Vec<Values>,
}

impl UsagePart {
    /// All of it.
    #[must_use]
    pub fn whole(meter: MeterName, period: Window) -> Self {
        Self { meter, period, pieces: vec![period], only: Values::new(), except: Vec::new() }
    }

    /// What was used in `pieces` (what lies outside `period` is left out), with the dimensions `only`, unless it is taken
    /// by one of `except`.
    #[must_use]
    pub fn new(
        meter: MeterName,
        period: Window,
        pieces: &[Window],
        only: Values,
        except: Vec<Values>,
    ) -> Self {
        let mut inside: Vec<Window> = pieces.iter().filter_map(|piece| piece.intersection(period)).collect();
        inside.sort_unstable();
        Self { meter, period, pieces: joined(inside), only, except }
    }

    /// Of which meter.
    #[must_use]
    pub const fn meter(&self) -> MeterName {
        self.meter
    }

    /// Of which period.
    #[must_use]
    pub const fn period(&self) -> Window {
        self.period
    }

    /// At which times: in order, disjoint, none next to another.
    #[must_use]
    pub fn pieces(&self) -> &[Window] {
        &self.pieces
    }

    /// With which dimensions.
    #[must_use]
    pub const fn only(&self) -> &Values {
        &self.only
    }

    /// Whether it is all of the period's usage.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pieces == [self.period] && !self.asks_for_dimensions()
    }

    /// Whether its usage depends on dimensions.
    #[must_use]
    pub fn asks_for_dimensions(&self) -> bool {
        !self.only.is_empty() || !self.except.is_empty()
    }

    /// Whether usage with these dimensions belongs to it.
    #[must_use]
    pub fn takes(&self, dimensions: &Dimensions) -> bool {
        has(dimensions, &self.only) && !self.except.iter().any(|values| has(dimensions, values))
    }
}

/// Windows in order, with those that touch made one.
#[must_use]
pub fn joined(windows: Vec<Window>) -> Vec<Window> {
    let mut all: Vec<Window> = Vec::with_capacity(windows.len());
    for window in windows {
        match all.last_mut() {
            Some(last) if window.start() <= last.end() => {
                let end = last.end().max(window.end());
                // It begins before it ends: both ends were there before.
                *last = Window::new(last.start(), end).unwrap_or(*last);
            }
            _ => all.push(window),
        }
    }
    all
}

fn has(dimensions: &Dimensions, values: &Values) -> bool {
    values.iter().all(|(name, values)| dimensions.get(name).is_some_and(|value| values.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: i64, to: i64) -> Window {
        let at = |hour: i64| jiff::Timestamp::from_second(1_790_000_000 + 3_600 * hour).unwrap();
        Window::new(at(from), at(to)).unwrap()
    }

    fn values(text: &str) -> Values {
        let one = |word: &str| {
            let (name, values) = word.split_once('=').unwrap();
            (name.to_owned(), values.split('|').map(str::to_owned).collect())
        };
        text.split_whitespace().map(one).collect()
    }

    fn dimensions(text: &str) -> Dimensions {
        let one = |word: &str| word.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        Dimensions::new(text.split_whitespace().map(one).collect())
    }

    #[test]
    fn usage_that_another_one_takes_first_is_no_part_of_it() {
        let meter = MeterName::parse("cpu_ns").unwrap();
        let check = |only: &str, except: &[&str], of: &str, expected: bool| {
            let except = except.iter().map(|text| values(text)).collect();
            let part = UsagePart::new(meter, window(0, 9), &[window(0, 9)], values(only), except);
            assert_eq!(part.takes(&dimensions(of)), expected, "{only} {of}");
        };
        check("", &[], "", true);
        check("", &["class=ssd"], "", true);
        check("", &["class=ssd"], "class=ssd", false);
        check("class=ssd|hdd", &[], "class=hdd", true);
        check("class=ssd|hdd", &[], "class=tape", false);
        check("class=ssd|hdd", &[], "", false);
        check("net=internet", &["class=ssd"], "class=ssd net=internet", false);
        check("net=internet class=ssd", &[], "class=ssd net=internet", true);
        check("net=internet class=ssd", &[], "net=internet", false);
    }

    #[test]
    fn pieces_that_touch_are_one_and_none_reaches_beyond_the_period() {
        let meter = MeterName::parse("cpu_ns").unwrap();
        let pieces = [window(5, 6), window(-2, 1), window(1, 3), window(8, 12), window(20, 21)];
        let part = UsagePart::new(meter, window(0, 9), &pieces, Values::new(), Vec::new());
        assert_eq!(part.pieces(), [window(0, 3), window(5, 6), window(8, 9)]);
        assert!(!part.is_whole() && UsagePart::whole(meter, window(0, 9)).is_whole());
        let halves = [window(4, 9), window(0, 4)];
        assert!(UsagePart::new(meter, window(0, 9), &halves, Values::new(), Vec::new()).is_whole());
    }
}
