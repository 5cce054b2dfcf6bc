//! Usage: what registers rose by within windows. `C(end) - C(start)`, summed over the epochs that touch it.
//!
//! `C(t)` is a register's value at `t`: exact at a reading, interpolated and floored between two. Because
//! each window takes a difference of the same `C`, adjacent windows add up to what the registers rose by,
//! to the last unit, wherever the borders lie.
//!
//! It reads no clock and no database: the caller hands over the readings of one resource (those within the
//! windows, the last one before and the first one after) and the windows. It does not know what a register
//! means.

use std::time::Duration;

use jiff::Timestamp;

use crate::id::EpochId;
use crate::reading::Epoch;
use crate::window::Window;

/// A reading reduced to what derivation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<const N: usize> {
    /// When the registers had these values.
    pub observed_at: Timestamp,
    /// The life that they belong to.
    pub epoch: Epoch,
    /// Their values.
    pub registers: [u64; N],
    /// Whether the resource was seen to be gone: nothing is expected after it.
    pub is_last: bool,
}

/// How the time of a window is known, in microseconds. The sum is the time for which the resource existed
/// in the window, as far as anybody can tell yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Between two readings that are no further apart than the tolerance.
    pub measured_us: u64,
    /// Between two readings of one epoch that are further apart: the quantity is exact in sum, its
    /// distribution over the time between is interpolated.
    pub estimated_us: u64,
    /// Nobody knows: an epoch ended, or the readings did, and what happened afterwards was not read.
    pub missing_us: u64,
}

/// Usage of one resource in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage<const N: usize> {
    /// When.
    pub window: Window,
    /// How much each register rose.
    pub quantities: [u64; N],
    /// How well it is known.
    pub coverage: Coverage,
}

/// Derives the usage of one resource.
///
/// - `points`: its readings, in order of `observed_at`, and before them, for each epoch that had been read before
///   another one's reading came in between, the last reading of it. Lives may overlap (a migration ends on one node
///   after it began on another): each register counts in its own life, from where it was last read. A register that
///   falls within an epoch, which no true register does, counts as if it had stood still.
/// - `windows`: disjoint and in order.
/// - `tolerance`: the longest time between two readings that still counts as measured.
/// - `known_until`: nothing later than this is called missing; it is still to come.
#[must_use]
pub fn derive<const N: usize>(
    points: &[Point<N>],
    windows: &[Window],
    tolerance: Duration,
    known_until: Timestamp,
) -> Vec<Usage<N>> {
    let tolerance_us = i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX);
    let mut usages: Vec<Usage<N>> = windows
        .iter()
        .map(|window| Usage { window: *window, quantities: [0; N], coverage: Coverage::default() })
        .collect();
    let mut first = 0;
    for piece in pieces(points, tolerance_us, known_until) {
        while first < usages.len() && usages[first].window.end() <= piece.start {
            first += 1;
        }
        for usage in &mut usages[first..] {
            if piece.end <= usage.window.start() {
                break;
            }
            piece.add_to(usage);
        }
    }
    usages
}

/// A piece of a resource's time in which each register rises linearly.
struct Piece<const N: usize> {
    start: Timestamp,
    end: Timestamp,
    from: [u64; N],
    to: [u64; N],
    knowledge: Knowledge,
}

#[derive(Clone, Copy)]
enum Knowledge {
    Measured,
    Estimated,
    Missing,
}

impl<const N: usize> Piece<N> {
    /// Adds the part of this piece that lies in the usage's window.
    fn add_to(&self, usage: &mut Usage<N>) {
        let start = self.start.max(usage.window.start());
        let end = self.end.min(usage.window.end());
        if end <= start {
            return;
        }
        for (n, quantity) in usage.quantities.iter_mut().enumerate() {
            *quantity += self.value_at(n, end) - self.value_at(n, start);
        }
        let length = (end.as_microsecond() - start.as_microsecond()).unsigned_abs();
        match self.knowledge {
            Knowledge::Measured => usage.coverage.measured_us += length,
            Knowledge::Estimated => usage.coverage.estimated_us += length,
            Knowledge::Missing => usage.coverage.missing_us += length,
        }
    }

    /// Whether the piece matters. One that rises in no time (a birth or a second reading at the very
    /// microsecond of a reading) is given the microsecond before its end: nothing that was read is lost.
    fn takes_time(&mut self) -> bool {
        if self.end <= self.start && self.from != self.to {
            self.start = self.end - Duration::from_micros(1);
        }
        self.start < self.end
    }

    /// `C(at)` of register `n`, floored. `at` lies within the piece.
    fn value_at(&self, n: usize, at: Timestamp) -> u64 {
        let (from, to) = (self.from[n], self.to[n]);
        let us = |t: Timestamp| i128::from(t.as_microsecond());
        let whole = (us(self.end) - us(self.start)).unsigned_abs();
        let passed = (us(at) - us(self.start)).unsigned_abs();
        if whole <= passed {
            return to;
        }
        let rise = u128::from(to - from) * passed / whole;
        // rise <= to - from, which is a u64
        from + u64::try_from(rise).unwrap_or(to - from)
    }
}

/// The resource's time, cut into pieces: from the birth of the first epoch to the last reading, and on to
/// `known_until` when nobody saw the resource go.
fn pieces<const N: usize>(points: &[Point<N>], tolerance_us: i64, known_until: Timestamp) -> Vec<Piece<N>> {
    let mut pieces = Vec::with_capacity(points.len() + 2);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return pieces;
    };
    if let Some(born_at) = first.epoch.born_at {
        let born_at = born_at.min(first.observed_at);
        let is_close = is_close(born_at, first.observed_at, tolerance_us);
        pieces.push(Piece {
            start: born_at,
            end: first.observed_at,
            from: [0; N],
            to: first.registers,
            knowledge: if is_close { Knowledge::Measured } else { Knowledge::Estimated },
        });
    }
    let mut before = *first;
    // Where each epoch's registers were last seen. What is switched off is no life that could go on.
    let mut lives = vec![(first.epoch.id, first.registers)];
    for point in &points[1..] {
        let mut after = *point;
        let is_off = after.epoch.id == EpochId::NONE && before.epoch.id != EpochId::NONE;
        let known = lives.iter().position(|(id, _)| *id == after.epoch.id && !is_off);
        let from = known.map(|known| lives.swap_remove(known).1);
        for (value, floor) in after.registers.iter_mut().zip(from.unwrap_or([0; N])) {
            *value = (*value).max(floor);
        }
        between(before, after, from, tolerance_us, &mut pieces);
        lives.push((after.epoch.id, after.registers));
        before = after;
    }
    if !last.is_last && !is_close(last.observed_at, known_until, tolerance_us) {
        pieces.push(flat(last.observed_at, known_until, Knowledge::Missing));
    }
    pieces.retain_mut(Piece::takes_time);
    pieces
}

/// The pieces between two readings that follow each other. `from`: where the registers of the later one's epoch
/// stood when it was last read.
fn between<const N: usize>(
    before: Point<N>,
    after: Point<N>,
    from: Option<[u64; N]>,
    tolerance_us: i64,
    pieces: &mut Vec<Piece<N>>,
) {
    let (start, end, to) = (before.observed_at, after.observed_at, after.registers);
    let knowledge = |from, otherwise| {
        if is_close(from, end, tolerance_us) { Knowledge::Measured } else { otherwise }
    };
    if let Some(from) = from {
        // The same life, or one that was interrupted and goes on (which no true one does): never counted twice.
        pieces.push(Piece { start, end, from, to, knowledge: knowledge(start, Knowledge::Estimated) });
        return;
    }
    // What an epoch did after its last reading is unknown; what was switched off or did not exist did nothing.
    let unread = if before.epoch.id == EpochId::NONE { Knowledge::Estimated } else { Knowledge::Missing };
    // A life that began beside the other one counts where the other's last reading ends, so that no time counts twice;
    // one that is said to begin after it was read was dated by a wrong clock.
    let rises_from = |born_at: Timestamp| if end < born_at { start } else { born_at.max(start) };
    let risen_from = after.epoch.born_at.map(rises_from);
    if !before.is_last {
        pieces.push(flat(start, risen_from.unwrap_or(end), knowledge(start, unread)));
    }
    if let (Some(start), Some(born_at)) = (risen_from, after.epoch.born_at) {
        let is_dated = is_close(born_at, end, tolerance_us) && born_at <= end;
        let knowledge = if is_dated { Knowledge::Measured } else { Knowledge::Estimated };
        pieces.push(Piece { start, end, from: [0; N], to, knowledge });
    }
}

/// A piece in which nothing rises.
const fn flat<const N: usize>(start: Timestamp, end: Timestamp, knowledge: Knowledge) -> Piece<N> {
    Piece { start, end, from: [0; N], to: [0; N], knowledge }
}

fn is_close(start: Timestamp, end: Timestamp, tolerance_us: i64) -> bool {
    end.as_microsecond() - start.as_microsecond() <= tolerance_us
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds since the beginning of the story.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    /// One line a reading: `second epoch born value`, where `born` is a second or `adopted`, and `off` and
    /// `gone` stand for a reading without epoch. Then the windows' borders, and what each window must show:
    /// `quantity measured estimated missing`, times in seconds. Tolerance 10 s.
    fn check(readings: &str, borders: &[i64], known_until: i64, expected: &str) {
        let points: Vec<Point<1>> = readings.lines().filter(|l| !l.trim().is_empty()).map(point).collect();
        let windows: Vec<Window> =
            borders.windows(2).map(|pair| Window::new(at(pair[0]), at(pair[1])).unwrap()).collect();
        let got: Vec<String> = derive(&points, &windows, Duration::from_secs(10), at(known_until))
            .into_iter()
            .map(|usage| {
                let c = usage.coverage;
                let s = |us: u64| us / 1_000_000;
                format!(
                    "{} {} {} {}",
                    usage.quantities[0],
                    s(c.measured_us),
                    s(c.estimated_us),
                    s(c.missing_us)
                )
            })
            .collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        assert_eq!(got, expected, "{readings}");
    }

    fn point(line: &str) -> Point<1> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let observed_at = at(words[0].parse().unwrap());
        match words[1] {
            "off" | "gone" => {
                Point { observed_at, epoch: Epoch::NONE, registers: [0], is_last: words[1] == "gone" }
            }
            name => {
                let born_at = words[2].parse().ok().map(at);
                let epoch = Epoch { id: EpochId::of(&[name.as_bytes()]), born_at };
                Point { observed_at, epoch, registers: [words[3].parse().unwrap()], is_last: false }
            }
        }
    }

    #[test]
    fn a_window_between_two_readings_gets_its_share_and_no_unit_is_lost_at_the_border() {
        check("0 a 0 0\n10 a 0 7", &[0, 5, 10], 10, "3 5 0 0\n4 5 0 0");
    }

    #[test]
    fn a_restart_between_two_readings_counts_both_lives_and_never_goes_negative() {
        check("0 a 0 0\n6 a 0 600\n10 b 8 50", &[0, 10], 10, "650 10 0 0");
    }

    #[test]
    fn a_new_life_that_passed_the_old_value_is_not_taken_for_the_old_one() {
        check("0 a 0 100\n10 b 2 900", &[0, 10], 10, "900 10 0 0");
    }

    #[test]
    fn an_adopted_guest_is_not_billed_for_what_it_did_before_we_came() {
        check("4 a adopted 5000\n8 a adopted 5004", &[0, 10], 10, "4 4 0 0");
    }

    #[test]
    fn a_guest_born_within_the_window_is_billed_from_its_birth() {
        check("8 a 4 40", &[0, 5, 10], 10, "10 1 0 0\n30 3 0 0");
    }

    #[test]
    fn a_collector_that_was_away_costs_resolution_and_no_quantity() {
        check("0 a 0 0\n100 a 0 100", &[0, 50, 100], 100, "50 0 50 0\n50 0 50 0");
    }

    #[test]
    fn a_life_that_ended_unseen_leaves_missing_time_and_the_next_one_counts_from_its_birth() {
        check("0 a 0 0\n10 a 0 10\n100 b 60 40", &[0, 100], 100, "50 10 40 50");
    }

    #[test]
    fn what_is_switched_off_is_measured_and_uses_nothing() {
        check("0 off\n10 off\n20 off", &[0, 20], 20, "0 20 0 0");
    }

    #[test]
    fn readings_that_stop_leave_missing_time_but_not_before_it_is_late() {
        check("0 a 0 0\n10 a 0 10", &[0, 100], 19, "10 10 0 0");
        check("0 a 0 0\n10 a 0 10", &[0, 100], 60, "10 10 0 50");
    }

    #[test]
    fn a_deleted_guest_owes_nothing_and_misses_nothing_afterwards() {
        check("0 a 0 0\n10 a 0 10\n11 gone", &[0, 100], 1_000, "10 11 0 0");
        check("0 a 0 0\n1 gone\n900 b 890 5", &[0, 1_000], 900, "5 11 0 0");
    }

    #[test]
    fn a_register_that_falls_within_a_life_never_makes_usage_negative_or_twice() {
        check("0 a 0 50\n5 a 0 40\n10 a 0 60", &[0, 10], 10, "10 10 0 0");
    }

    #[test]
    fn a_guest_that_is_taken_for_stopped_and_found_running_again_is_not_billed_twice() {
        check("0 a 0 10\n5 off\n10 a 0 15", &[0, 10], 10, "5 10 0 0");
        // ... however often: what was off is no life that goes on.
        check("0 off\n5 a 5 1\n50 off", &[0, 50], 50, "1 5 0 45");
    }

    #[test]
    fn a_life_whose_beginning_nobody_read_is_billed_from_its_birth_wherever_that_lies() {
        check("5 off\n10 a -100 15\n12 a -100 16", &[0, 12], 12, "16 2 5 0");
        // It ran beside the other one: nothing is lost, and no time counts twice.
        check("0 a 0 0\n60 a 0 60\n65 b 2 63", &[0, 65], 65, "123 0 65 0");
        // Born by a clock that was a year ahead.
        check("0 a 0 0\n60 b 31536000 50", &[0, 60], 60, "50 0 60 0");
    }

    #[test]
    fn lives_that_overlap_each_count_from_where_they_were_last_read() {
        check("0 a 0 0\n10 a 0 10\n15 b 12 3\n18 a 0 18\n20 b 12 8\n25 b 12 13", &[0, 25], 25, "31 25 0 0");
        // Cut anywhere, with the last earlier reading of each life.
        check("10 a 0 10\n15 b 12 3\n18 a 0 18\n20 b 12 8", &[15, 20], 20, "13 5 0 0");
    }

    #[test]
    fn no_readings_no_usage() {
        check("", &[0, 10], 1_000, "0 0 0 0");
    }

    /// A random story of one resource: readings with gaps, restarts, and lives adopted or born.
    fn stories() -> impl Strategy<Value = Vec<Point<1>>> {
        proptest::collection::vec((1_i64..40, 0_u64..u64::from(u32::MAX), 0_u8..10), 1..40).prop_map(
            |steps| {
                let (mut time, mut value, mut life) = (0, 0, 0_u64);
                let mut epoch = Epoch { id: EpochId::of(&[b"0"]), born_at: None };
                steps
                    .into_iter()
                    .map(|(pause, rise, dice)| {
                        time += pause;
                        if dice == 0 {
                            life += 1;
                            value = 0;
                            let born_at = Some(at(time - pause / 2));
                            epoch = Epoch { id: EpochId::of(&[&life.to_be_bytes()]), born_at };
                        }
                        value += rise;
                        Point { observed_at: at(time), epoch, registers: [value], is_last: false }
                    })
                    .collect()
            },
        )
    }

    /// When it was born, and its readings: how long after the one before, and how much it rose.
    type Life = (Option<i64>, Vec<(i64, u64)>);

    fn life() -> impl Strategy<Value = Life> {
        let looks = proptest::collection::vec((1_i64..40, 0_u64..1_000_000), 1..20);
        (proptest::option::of(0_i64..500), looks)
    }

    /// What the registers rose by, straight from the definition.
    fn rise(points: &[Point<1>]) -> u64 {
        let last_of_earlier_lives: u64 = points
            .windows(2)
            .filter(|pair| pair[0].epoch.id != pair[1].epoch.id)
            .map(|pair| pair[0].registers[0])
            .sum();
        let baseline = if points[0].epoch.born_at.is_none() { points[0].registers[0] } else { 0 };
        last_of_earlier_lives + points[points.len() - 1].registers[0] - baseline
    }

    proptest! {
        #[test]
        fn wherever_the_borders_lie_windows_add_up_to_what_was_read(
            points in stories(), cuts in proptest::collection::vec(-5_000_000_i64..2_000_000_000, 0..12),
        ) {
            let whole = Window::new(at(-100), at(5_000)).unwrap();
            let cuts: Vec<Timestamp> =
                cuts.iter().map(|us| Timestamp::from_microsecond(at(0).as_microsecond() + us).unwrap()).collect();
            let known_until = points[points.len() - 1].observed_at;
            let tolerance = Duration::from_secs(10);
            let in_one = derive(&points, &[whole], tolerance, known_until)[0];
            let in_pieces = derive(&points, &whole.split_at(&cuts), tolerance, known_until);
            prop_assert_eq!(in_one.quantities[0], rise(&points));
            prop_assert_eq!(in_pieces.iter().map(|u| u.quantities[0]).sum::<u64>(), in_one.quantities[0]);
            let time = |u: &Usage<1>| u.coverage.measured_us + u.coverage.estimated_us + u.coverage.missing_us;
            prop_assert_eq!(in_pieces.iter().map(time).sum::<u64>(), time(&in_one));
        }

        #[test]
        fn a_lost_reading_costs_resolution_and_never_quantity(points in stories(), lost in 1_usize..40) {
            let whole = Window::new(at(-100), at(5_000)).unwrap();
            let same_life = |i: usize| points[i - 1].epoch.id == points[i].epoch.id && points[i].epoch.id == points[i + 1].epoch.id;
            prop_assume!(lost + 1 < points.len() && same_life(lost));
            let mut thinned = points.clone();
            thinned.remove(lost);
            let quantity = |p: &[Point<1>]| derive(p, &[whole], Duration::from_secs(10), at(0))[0].quantities[0];
            prop_assert_eq!(quantity(&points), quantity(&thinned));
        }

        #[test]
        fn any_interleaving_of_two_lives_counts_the_sum_of_both_and_no_time_twice(
            a in life(), b in life(), cuts in proptest::collection::vec(0_i64..2_000, 0..6),
        ) {
            let told = |name: &str, (born, looks): &Life| -> Vec<Point<1>> {
                let epoch = Epoch { id: EpochId::of(&[name.as_bytes()]), born_at: born.map(at) };
                let (mut time, mut value) = (born.unwrap_or(0), 0);
                looks.iter().map(|(pause, rise)| {
                    (time, value) = (time + pause, value + rise);
                    Point { observed_at: at(time), epoch, registers: [value], is_last: false }
                }).collect()
            };
            let (a, b) = (told("a", &a), told("b", &b));
            let mut both: Vec<Point<1>> = a.iter().chain(&b).copied().collect();
            both.sort_by_key(|point| (point.observed_at, point.epoch.id));
            let whole = Window::new(at(-100), at(5_000)).unwrap();
            let last = both[both.len() - 1].observed_at;
            let cuts: Vec<Timestamp> = cuts.into_iter().map(at).collect();
            let usages = derive(&both, &whole.split_at(&cuts), Duration::from_secs(10), last);
            prop_assert_eq!(usages.iter().map(|u| u.quantities[0]).sum::<u64>(), rise(&a) + rise(&b));
            for usage in usages {
                let c = usage.coverage;
                let known = c.measured_us + c.estimated_us + c.missing_us;
                prop_assert!(known <= usage.window.microseconds().unsigned_abs() + both.len() as u64);
            }
        }

        #[test]
        fn a_reading_stored_twice_changes_nothing(points in stories(), twice in 0_usize..40) {
            prop_assume!(twice < points.len());
            let whole = Window::new(at(-100), at(5_000)).unwrap();
            let mut doubled = points.clone();
            doubled.insert(twice, points[twice]);
            let all = |p: &[Point<1>]| derive(p, &[whole], Duration::from_secs(10), at(0));
            prop_assert_eq!(all(&points), all(&doubled));
        }
    }
}
