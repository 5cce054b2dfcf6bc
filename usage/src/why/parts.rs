//! A window's usage, taken apart by the lives of a register. Pure. It does NOT interpolate: between two readings it asks
//! `metering::derive` about these two alone, so that the parts add up to what derivation says of all.

use std::time::Duration;

use jiff::Timestamp;
use metering::{Epoch, EpochId, Window};

use super::{Part, Point, PointKind};
use crate::load::{REGISTERS_MAX, Registers};

/// From one reading of a life (or its birth) to the next.
struct Stretch {
    epoch: Epoch,
    start: Timestamp,
    end: Timestamp,
    /// `C(start)` and `C(end)`.
    from: u64,
    to: u64,
    is_born: bool,
    /// Whether `end` is the last that was read of this life.
    is_end: bool,
    /// What derivation is asked about.
    points: Vec<Registers>,
}

/// What register `n` rose by within `windows`, which are disjoint and in order, by its lives.
pub(super) fn parts(points: &[Registers], windows: &[Window], n: usize, tolerance: Duration) -> Vec<Part> {
    let stretches = stretches(points, n, tolerance);
    let mut parts: Vec<Part> = Vec::new();
    for window in windows {
        for stretch in &stretches {
            let Some(part) = stretch.part(*window, n, tolerance) else {
                continue;
            };
            match parts.last_mut() {
                Some(last)
                    if last.epoch.id == part.epoch.id
                        && last.to == part.from
                        && last.at_end.value == part.at_start.value =>
                {
                    last.to = part.to;
                    last.at_end = part.at_end;
                    last.quantity += part.quantity;
                }
                _ => parts.push(part),
            }
        }
    }
    parts
}

impl Stretch {
    /// The part of this stretch that lies in a window. What is switched off is shown only if it rose all the same.
    fn part(&self, window: Window, n: usize, tolerance: Duration) -> Option<Part> {
        let inside = Window::new(self.start, self.end).ok()?.intersection(window)?;
        let quantity = self.rise(inside, n, tolerance);
        if self.epoch.id == EpochId::NONE && quantity == 0 {
            return None;
        }
        let before = Window::new(self.start, inside.start()).map_or(0, |w| self.rise(w, n, tolerance));
        let value = self.from + before;
        Some(Part {
            epoch: self.epoch,
            from: inside.start(),
            to: inside.end(),
            at_start: self.point(inside.start(), value),
            at_end: self.point(inside.end(), value + quantity),
            quantity,
        })
    }

    fn rise(&self, window: Window, n: usize, tolerance: Duration) -> u64 {
        rise(&self.points, window, n, tolerance)
    }

    fn point(&self, at: Timestamp, value: u64) -> Point {
        let kind = if at == self.start {
            if self.is_born { PointKind::Born } else { PointKind::Exact }
        } else if at == self.end {
            if self.is_end { PointKind::Ended } else { PointKind::Exact }
        } else {
            let (before, after) = (Some((self.start, self.from)), Some((self.end, self.to)));
            return Point { value, at, before, after, kind: PointKind::Interpolated };
        };
        Point { value, at, before: None, after: None, kind }
    }
}

/// The time of a register from its first birth or reading to its last reading, without that in which nothing is counted.
fn stretches(points: &[Registers], n: usize, tolerance: Duration) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::with_capacity(points.len());
    let mut before: Option<Registers> = None;
    // Where each life was last read, as derivation remembers it: a register that falls stands still.
    let mut lives: Vec<(EpochId, [u64; REGISTERS_MAX])> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let mut after = *point;
        let is_off =
            after.epoch.id == EpochId::NONE && before.is_some_and(|before| before.epoch.id != EpochId::NONE);
        let known = lives.iter().position(|(id, _)| *id == after.epoch.id && !is_off);
        let from = known.map(|known| lives.swap_remove(known).1);
        for (value, floor) in after.registers.iter_mut().zip(from.unwrap_or_default()) {
            *value = (*value).max(floor);
        }
        let is_end = points.get(i + 1).is_some_and(|next| next.epoch.id != after.epoch.id);
        stretches.push(stretch(before, after, from, is_end, n, tolerance));
        lives.push((after.epoch.id, after.registers));
        before = Some(after);
    }
    stretches
}

/// What the reading `after` tells of the time since the one before. `from`: where its life stood when it was last read.
fn stretch(
    before: Option<Registers>,
    after: Registers,
    from: Option<[u64; REGISTERS_MAX]>,
    is_end: bool,
    n: usize,
    tolerance: Duration,
) -> Stretch {
    let mut points = Vec::with_capacity(2);
    if let Some(before) = before {
        // What was before its predecessor is not asked here.
        let unborn = |id| Epoch { id, born_at: None };
        points.push(match from {
            Some(registers) => {
                Registers { epoch: unborn(after.epoch.id), registers, is_last: false, ..before }
            }
            None => Registers { epoch: unborn(before.epoch.id), ..before },
        });
    }
    points.push(after);
    let end = after.observed_at;
    let since = before.map(|before| before.observed_at);
    // One that is said to begin after it was read was dated by a wrong clock: derivation lets it begin with the time.
    let dated = |born_at: Timestamp| if end < born_at { since.unwrap_or(end) } else { born_at };
    let born_at = if from.is_some() { None } else { after.epoch.born_at.map(dated) };
    let reach = just_before(since.into_iter().chain(born_at).fold(end, Timestamp::min));
    let to = after.registers.get(n).copied().unwrap_or(0);
    let rise = Window::new(reach, end).map_or(0, |whole| rise(&points, whole, n, tolerance));
    let start = match (from, born_at, since) {
        (Some(_), _, Some(since)) => since,
        (_, Some(born_at), since) => since.map_or(born_at, |since| born_at.max(since)),
        _ => end,
    };
    // What rises in no time is given the microsecond before, as derivation does.
    let start = if end <= start && 0 < rise { just_before(end) } else { start };
    let is_born = born_at.is_some();
    Stretch { epoch: after.epoch, start, end, from: to.saturating_sub(rise), to, is_born, is_end, points }
}

/// What register `n` rose by within a window, as derivation sees these readings.
fn rise(points: &[Registers], window: Window, n: usize, tolerance: Duration) -> u64 {
    let usages = metering::derive(points, &[window], tolerance, window.end());
    usages.iter().map(|usage| usage.quantities.get(n).copied().unwrap_or(0)).sum()
}

fn just_before(at: Timestamp) -> Timestamp {
    at.saturating_sub(Duration::from_micros(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(10);

    fn at_us(us: i64) -> Timestamp {
        Timestamp::from_microsecond(1_790_000_000_000_000 + us).unwrap()
    }

    fn reading(us: i64, epoch: i64, born_us: Option<i64>, value: u64) -> Registers {
        Registers {
            observed_at: at_us(us),
            epoch: Epoch { id: EpochId::from_i64(epoch), born_at: born_us.map(at_us) },
            registers: [value, 0, 0, 0],
            is_last: false,
        }
    }

    fn seconds(at: Timestamp) -> f64 {
        (at.as_microsecond() - at_us(0).as_microsecond()) as f64 / 1e6
    }

    /// Readings as (second, epoch, born second, value); the window in seconds; the parts as lines.
    fn check(readings: &[(i64, i64, Option<i64>, u64)], window: (i64, i64), expected: &[&str]) {
        let points: Vec<Registers> = readings
            .iter()
            .map(|(s, epoch, born, value)| {
                reading(s * 1_000_000, *epoch, born.map(|s| s * 1_000_000), *value)
            })
            .collect();
        let window = Window::new(at_us(window.0 * 1_000_000), at_us(window.1 * 1_000_000)).unwrap();
        let lines: Vec<String> = parts(&points, &[window], 0, TOLERANCE)
            .iter()
            .map(|part| {
                let point = |p: &Point| format!("{} {} {}", seconds(p.at), p.kind.as_str(), p.value);
                format!(
                    "{}: {} -> {} = {}",
                    part.epoch.id.as_i64(),
                    point(&part.at_start),
                    point(&part.at_end),
                    part.quantity
                )
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_window_between_readings_shows_both_interpolated_ends() {
        check(
            &[(0, 1, None, 100), (10, 1, None, 200), (20, 1, None, 200), (30, 1, None, 500)],
            (5, 25),
            &["1: 5 interpolated 150 -> 25 interpolated 350 = 200"],
        );
    }

    #[test]
    fn readings_on_the_borders_are_exact() {
        check(&[(0, 1, None, 7), (10, 1, None, 9)], (0, 10), &["1: 0 exact 7 -> 10 exact 9 = 2"]);
    }

    #[test]
    fn a_restart_within_the_window_is_two_lives_and_the_unread_time_between_is_in_none() {
        check(
            &[(0, 1, None, 100), (10, 1, None, 150), (18, 2, Some(12), 60), (28, 2, Some(12), 80)],
            (0, 28),
            &["1: 0 exact 100 -> 10 ended 150 = 50", "2: 12 born 0 -> 28 exact 80 = 80"],
        );
    }

    #[test]
    fn a_life_that_began_unseen_begins_with_its_first_reading() {
        check(
            &[(0, 1, None, 100), (10, 2, None, 40), (20, 2, None, 45)],
            (0, 20),
            &["2: 10 exact 40 -> 20 exact 45 = 5"],
        );
    }

    #[test]
    fn a_register_that_rose_in_no_time_keeps_its_rise() {
        check(&[(10, 1, Some(10), 5)], (0, 20), &["1: 9.999999 born 0 -> 10 exact 5 = 5"]);
    }

    #[test]
    fn nothing_is_explained_where_nothing_was_read() {
        check(&[], (0, 10), &[]);
        check(&[(0, 1, None, 5)], (0, 10), &[]);
        check(&[(0, 0, None, 0), (10, 0, None, 0)], (0, 10), &[]);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_what_derivation_says_and_each_is_the_difference_of_its_ends(
            steps in proptest::collection::vec(
                (0_i64..30_000_000, 0_i64..4, proptest::option::of(0_i64..60_000_000), 0_u64..2_000, any::<bool>()), 0..14),
            cuts in proptest::collection::vec(-10_000_000_i64..250_000_000, 2..6),
            is_tied in any::<bool>(),
        ) {
            let mut now = 0;
            let points: Vec<Registers> = steps.iter().map(|(pause, epoch, born, value, is_last)| {
                now += if is_tied && pause % 3 == 0 { 0 } else { *pause };
                let born = born.filter(|_| *epoch != 0).map(|before| now - before + 5_000_000);
                Registers { is_last: *is_last && *epoch == 0, ..reading(now, *epoch, born, *value) }
            }).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let windows: Vec<Window> = cuts.windows(2)
                .filter_map(|pair| Window::new(at_us(pair[0]), at_us(pair[1])).ok()).collect();
            let derived: u64 = metering::derive(&points, &windows, TOLERANCE, at_us(now))
                .iter().map(|usage| usage.quantities[0]).sum();
            let parts = parts(&points, &windows, 0, TOLERANCE);
            prop_assert_eq!(parts.iter().map(|part| part.quantity).sum::<u64>(), derived);
            for part in &parts {
                prop_assert_eq!(part.at_end.value - part.at_start.value, part.quantity);
                prop_assert!(part.from < part.to);
            }
        }
    }
}
