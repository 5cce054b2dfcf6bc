//! How fast an instance uses what, over time: for pictures, which is why there is floating point here. A rate is a
//! register's rise between two readings of one life; where nobody read there is none, and never a zero. It does NOT add
//! anything up: usage is `crate::records`' and `crate::days`'.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{EpochId, InstanceId, Window};
use migrations::{Database, Scope, Transaction};
use tokio_postgres::Row;

use crate::error::{UsageError, unsigned};

/// Points of one chart: more than a wide screen has columns.
pub const POINTS_MAX: usize = 2_000;

/// Readings that are further apart than this many times the usual distance have a hole between them. One lost reading
/// makes twice the distance.
const HOLE: i64 = 3;

/// Steps that are longer than this have many readings, of which the last is looked up: 20 times as fast for a month of
/// readings each minute. Shorter ones have few, which are read.
const LOOKED_UP_FROM_US: i64 = 600 * 1_000_000;

/// A curve of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Series {
    /// Processors in use, of the whole process.
    Cpu,
    /// Bytes per second that the guest reads from its disks.
    DiskRead,
    /// Bytes per second that the guest writes to its disks.
    DiskWrite,
    /// Bytes per second that the guest receives.
    NetRx,
    /// Bytes per second that the guest sends.
    NetTx,
    /// KiB of memory that the host holds for it.
    Memory,
}

/// The curves of an instance. All have as many points as there are instants; `None`: nobody knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// The end of each step, in order, at equal distances.
    pub at: Vec<Timestamp>,
    /// Processors in use.
    pub cpu_cores: Vec<Option<f64>>,
    /// Over all disks.
    pub disk_read_bytes_s: Vec<Option<f64>>,
    /// Over all disks.
    pub disk_write_bytes_s: Vec<Option<f64>>,
    /// Over all NICs.
    pub net_rx_bytes_s: Vec<Option<f64>>,
    /// Over all NICs.
    pub net_tx_bytes_s: Vec<Option<f64>>,
    /// Memory held.
    pub memory_kib: Vec<Option<f64>>,
}

/// A reading of two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    at_us: i64,
    epoch: EpochId,
    registers: [u64; 2],
}

/// Readings by device.
type Readings = BTreeMap<String, Vec<Point>>;

/// What falls into a step: amount and for how long it is known, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    amount: f64,
    known_us: f64,
}

/// The axis: steps of equal length.
#[derive(Clone, Copy, Debug)]
struct Axis {
    first: i64,
    step_us: i64,
    steps: usize,
}

impl Chart {
    /// One of its curves.
    #[must_use]
    pub fn series(&self, series: Series) -> &[Option<f64>] {
        match series {
            Series::Cpu => &self.cpu_cores,
            Series::DiskRead => &self.disk_read_bytes_s,
            Series::DiskWrite => &self.disk_write_bytes_s,
            Series::NetRx => &self.net_rx_bytes_s,
            Series::NetTx => &self.net_tx_bytes_s,
            Series::Memory => &self.memory_kib,
        }
    }
}

/// The curves of an instance in `[from, to)`, as far as `scope` may see its readings: at most `max_points` (and
/// [`POINTS_MAX`]) steps, and none shorter than the usual distance of its readings. Empty without readings.
///
/// # Errors
/// The database fails.
pub async fn of_instance(
    db: &Database,
    scope: Scope,
    instance_id: InstanceId,
    from: Timestamp,
    to: Timestamp,
    max_points: usize,
) -> Result<Chart, UsageError> {
    let Ok(span) = Window::new(from, to) else {
        return Ok(Chart::default());
    };
    let points = i64::try_from(max_points.clamp(1, POINTS_MAX)).unwrap_or(1);
    // Whole seconds, so that readings on the full minute fall where one expects them.
    let step_us = (span.microseconds() / points / 1_000_000).saturating_add(1).saturating_mul(1_000_000);
    let mut session = db.session().await?;
    let transaction = session.begin(scope).await?;
    let texts = match step_us < LOOKED_UP_FROM_US {
        true => [sql!("chart_instance"), sql!("chart_disk"), sql!("chart_nic")],
        false => [sql!("chart_instance_looks"), sql!("chart_disk_looks"), sql!("chart_nic_looks")],
    };
    let instances = readings(&transaction, texts[0], instance_id, span, step_us).await?;
    let disks = readings(&transaction, texts[1], instance_id, span, step_us).await?;
    let nics = readings(&transaction, texts[2], instance_id, span, step_us).await?;
    Ok(chart(span, step_us, &instances, &disks, &nics))
}

fn chart(span: Window, step_us: i64, instances: &Readings, disks: &Readings, nics: &Readings) -> Chart {
    let Some(usual_us) = usual_distance(instances) else {
        return Chart::default();
    };
    let axis = Axis::over(span, step_us.max(usual_us));
    let hole_us = axis.step_us.max(usual_us).saturating_mul(HOLE);
    // A nanosecond of processor time per microsecond is a thousandth of a processor.
    let cpu = axis.rates(instances, 0, hole_us, 1e-3);
    let bytes = |readings, register| axis.rates(readings, register, hole_us, 1e6);
    Chart {
        at: axis.instants(),
        cpu_cores: cpu,
        disk_read_bytes_s: bytes(disks, 0),
        disk_write_bytes_s: bytes(disks, 1),
        net_rx_bytes_s: bytes(nics, 0),
        net_tx_bytes_s: bytes(nics, 1),
        memory_kib: axis.levels(instances, 1, hole_us),
    }
}

impl Axis {
    fn over(span: Window, step_us: i64) -> Self {
        let step_us = step_us.max(1);
        let first = span.start().as_microsecond().div_euclid(step_us);
        let last = (span.end().as_microsecond() - 1).div_euclid(step_us);
        Self { first, step_us, steps: usize::try_from(last - first + 1).unwrap_or(0).min(POINTS_MAX + 1) }
    }

    fn instants(self) -> Vec<Timestamp> {
        (0..self.steps)
            .map(|n| {
                let end = (self.first + i64::try_from(n).unwrap_or(0) + 1) * self.step_us;
                Timestamp::from_microsecond(end).unwrap_or(Timestamp::MAX)
            })
            .collect()
    }

    /// The rise of a register per microsecond times `scale`, over all devices.
    fn rates(self, readings: &Readings, register: usize, hole_us: i64, scale: f64) -> Vec<Option<f64>> {
        let mut sums: Vec<Option<f64>> = vec![None; self.steps];
        for points in readings.values() {
            let mut steps = vec![Step::default(); self.steps];
            for (before, after) in neighbours(points, hole_us) {
                let rise = after.registers[register].saturating_sub(before.registers[register]);
                let rate = rise as f64 / (after.at_us - before.at_us) as f64;
                self.spread(before.at_us, after.at_us, rate, &mut steps);
            }
            for (sum, step) in sums.iter_mut().zip(steps) {
                if 0.0 < step.known_us {
                    *sum = Some(sum.unwrap_or(0.0) + step.amount / step.known_us * scale);
                }
            }
        }
        sums
    }

    /// A figure that holds from one reading to the next: its mean.
    fn levels(self, readings: &Readings, register: usize, hole_us: i64) -> Vec<Option<f64>> {
        let mut steps = vec![Step::default(); self.steps];
        for (before, after) in readings.values().flat_map(|points| neighbours(points, hole_us)) {
            self.spread(before.at_us, after.at_us, after.registers[register] as f64, &mut steps);
        }
        steps.iter().map(|step| (0.0 < step.known_us).then(|| step.amount / step.known_us)).collect()
    }

    /// Adds what held between two instants to each step that they touch.
    fn spread(self, from_us: i64, to_us: i64, height: f64, steps: &mut [Step]) {
        let begin = (from_us.div_euclid(self.step_us) - self.first).max(0);
        for (n, step) in steps.iter_mut().enumerate().skip(usize::try_from(begin).unwrap_or(usize::MAX)) {
            let start = (self.first + i64::try_from(n).unwrap_or(0)) * self.step_us;
            if to_us <= start {
                break;
            }
            let length = (to_us.min(start + self.step_us) - from_us.max(start)) as f64;
            step.amount += height * length;
            step.known_us += length;
        }
    }
}

/// Pairs of readings that follow each other in one life, without a hole between them.
fn neighbours(points: &[Point], hole_us: i64) -> impl Iterator<Item = (Point, Point)> {
    points.windows(2).map(|pair| (pair[0], pair[1])).filter(move |(before, after)| {
        before.epoch == after.epoch
            && after.epoch != EpochId::NONE
            && before.at_us < after.at_us
            && after.at_us - before.at_us < hole_us
    })
}

/// The median distance of readings that follow each other.
fn usual_distance(readings: &Readings) -> Option<i64> {
    let mut distances: Vec<i64> = readings
        .values()
        .flat_map(|points| points.windows(2).map(|pair| pair[1].at_us - pair[0].at_us))
        .filter(|distance| 0 < *distance)
        .collect();
    if distances.is_empty() {
        return None;
    }
    let middle = distances.len() / 2;
    Some(*distances.select_nth_unstable(middle).1)
}

async fn readings(
    transaction: &Transaction<'_>,
    text: &str,
    instance_id: InstanceId,
    span: Window,
    step_us: i64,
) -> Result<Readings, UsageError> {
    let statement = transaction.prepare_cached(text).await?;
    let rows =
        transaction.query(&statement, &[&instance_id.uuid(), &span.start(), &span.end(), &step_us]).await?;
    let mut readings = Readings::new();
    for row in &rows {
        readings.entry(row.try_get("device")?).or_default().push(point(row)?);
    }
    for points in readings.values_mut() {
        points.sort_by_key(|point| point.at_us);
    }
    Ok(readings)
}

fn point(row: &Row) -> Result<Point, UsageError> {
    let values: Vec<i64> = row.try_get("registers")?;
    let mut registers = [0; 2];
    for (register, value) in registers.iter_mut().zip(values) {
        *register = unsigned("a reading table", "a register", value)?;
    }
    let at: Timestamp = row.try_get("observed_at")?;
    Ok(Point { at_us: at.as_microsecond(), epoch: EpochId::from_i64(row.try_get("epoch")?), registers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_040 + seconds).unwrap()
    }

    /// Readings as `second epoch value`, each a minute's; the curve of ten minutes, by the minute, rounded.
    fn check(lines: &str, expected: &[Option<i64>]) {
        let points = lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                Point {
                    at_us: at(words[0].parse().unwrap()).as_microsecond(),
                    epoch: EpochId::from_i64(words[1].parse().unwrap()),
                    registers: [words[2].parse().unwrap(), 512],
                }
            })
            .collect();
        let instances = Readings::from([(String::new(), points)]);
        let span = Window::new(at(0), at(600)).unwrap();
        let chart = chart(span, 60_000_000, &instances, &instances, &Readings::new());
        let got: Vec<Option<i64>> =
            chart.disk_read_bytes_s.iter().map(|rate| rate.map(|rate| rate.round() as i64)).collect();
        assert_eq!(got[..expected.len()], *expected);
        assert!(got[expected.len()..].iter().all(Option::is_none), "{got:?}");
        assert_eq!(chart.at.len(), chart.cpu_cores.len());
        assert!(chart.net_rx_bytes_s.iter().all(Option::is_none), "no NIC, no zero");
        for (level, rate) in chart.memory_kib.iter().zip(&chart.disk_read_bytes_s) {
            assert_eq!(*level, rate.map(|_| 512.0));
        }
    }

    #[test]
    fn a_restart_makes_a_hole_in_the_curve_and_no_spike() {
        check(
            "0 1 6000\n60 1 12000\n120 1 12000\n180 2 50\n240 2 6050",
            &[Some(100), Some(0), None, Some(100)],
        );
    }

    #[test]
    fn what_nobody_read_is_a_hole_and_one_lost_reading_is_none() {
        check(
            "0 1 0\n60 1 6000\n120 1 12000\n240 1 24000\n480 1 48000\n540 1 54000",
            &[Some(100), Some(100), Some(100), Some(100), None, None, None, None, Some(100)],
        );
    }

    #[test]
    fn what_is_switched_off_uses_nothing_that_could_be_drawn() {
        check("0 0 0\n60 0 0\n120 0 0", &[]);
        check("0 1 7", &[]);
        check("", &[]);
    }

    #[test]
    fn readings_a_moment_off_the_minute_leave_no_hole() {
        check("0 1 0\n59 1 5900\n121 1 12100\n180 1 18000", &[Some(100), Some(100), Some(100)]);
    }
}
