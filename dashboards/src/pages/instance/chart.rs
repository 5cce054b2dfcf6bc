//! The charts of an instance: as JSON for the script, and as tables for everybody. Floating point is fine here: these are
//! pictures, and nothing is billed by them.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use usage::charts::Chart;

use super::back;
use crate::show::{self, Clock, Moment};
use crate::site::PageError;

/// How far back a chart reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Minutes15,
    Hour,
    Hours6,
    Hours24,
    Days7,
    Days30,
}

/// `chart.json`: equally long arrays; `null` where nobody read.
#[derive(Serialize)]
pub(super) struct ChartJson<'a> {
    range: &'static str,
    from: i64,
    to: i64,
    /// IANA name, to show the axis in.
    time_zone: &'a str,
    /// Seconds after which it is worth asking again.
    refresh_s: u32,
    /// The end of each step, in seconds since 1970.
    at: Vec<i64>,
    cpu_cores: Vec<Option<f64>>,
    disk_read_bytes_s: Vec<Option<f64>>,
    disk_write_bytes_s: Vec<Option<f64>>,
    net_rx_bytes_s: Vec<Option<f64>>,
    net_tx_bytes_s: Vec<Option<f64>>,
}

/// A chart of the page: its words, and the table behind it.
pub(super) struct Figure {
    /// By which the script knows it.
    pub key: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// What its curves are called; the first is `a`, the second `b`.
    pub series: &'static [&'static str],
    /// The latest first; steps that nobody read are left out.
    pub rows: Vec<Row>,
}

/// A step.
pub(super) struct Row {
    pub at: Moment,
    pub figures: Vec<String>,
}

impl Range {
    pub(super) const ALL: [Range; 6] =
        [Self::Minutes15, Self::Hour, Self::Hours6, Self::Hours24, Self::Days7, Self::Days30];

    /// As in the address.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Minutes15 => "15m",
            Self::Hour => "1h",
            Self::Hours6 => "6h",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
            Self::Days30 => "30d",
        }
    }

    /// The range of that word; an hour without one.
    pub(super) fn parse(word: Option<&str>) -> Result<Self, PageError> {
        let Some(word) = word else { return Ok(Self::Hour) };
        let words = Self::ALL.map(Self::word).join(", ");
        let unknown = || PageError::BadRequest(format!("There is no such range. Choose one of {words}."));
        Self::ALL.into_iter().find(|range| range.word() == word).ok_or_else(unknown)
    }

    /// Its ends.
    pub(super) fn until(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let length = match self {
            Self::Minutes15 => SignedDuration::from_mins(15),
            Self::Hour => SignedDuration::from_hours(1),
            Self::Hours6 => SignedDuration::from_hours(6),
            Self::Hours24 => SignedDuration::from_hours(24),
            Self::Days7 => SignedDuration::from_hours(7 * 24),
            Self::Days30 => SignedDuration::from_hours(30 * 24),
        };
        (back(now, length), now)
    }

    /// A step of the chart, about, and at least a few seconds.
    const fn refresh_s(self) -> u32 {
        match self {
            Self::Minutes15 => 5,
            Self::Hour => 15,
            Self::Hours6 => 60,
            Self::Hours24 | Self::Days7 | Self::Days30 => 300,
        }
    }
}

impl<'a> ChartJson<'a> {
    pub(super) fn new(chart: &Chart, range: Range, ends: (Timestamp, Timestamp), time_zone: &'a str) -> Self {
        let rounded = |values: &[Option<f64>], decimals: i32| {
            let factor = 10_f64.powi(decimals);
            values.iter().map(|value| value.map(|value| (value * factor).round() / factor)).collect()
        };
        Self {
            range: range.word(),
            from: ends.0.as_second(),
            to: ends.1.as_second(),
            time_zone,
            refresh_s: range.refresh_s(),
            at: chart.at.iter().map(|at| at.as_second()).collect(),
            cpu_cores: rounded(&chart.cpu_cores, 4),
            disk_read_bytes_s: rounded(&chart.disk_read_bytes_s, 1),
            disk_write_bytes_s: rounded(&chart.disk_write_bytes_s, 1),
            net_rx_bytes_s: rounded(&chart.net_rx_bytes_s, 1),
            net_tx_bytes_s: rounded(&chart.net_tx_bytes_s, 1),
        }
    }
}

/// The charts of the page, in its order.
pub(super) fn figures(chart: &Chart, clock: &Clock) -> Vec<Figure> {
    let figure = |key, title, unit, series, columns: &[&[Option<f64>]], shown: fn(f64) -> String| Figure {
        key,
        title,
        unit,
        series,
        rows: rows(&chart.at, columns, clock, shown),
    };
    let cores = |value: f64| format!("{value:.3}");
    vec![
        figure("cpu", "CPU", "processors in use", &["CPU"], &[&chart.cpu_cores], cores),
        figure(
            "disk",
            "Disk",
            "bytes/s, all disks",
            &["read", "written"],
            &[&chart.disk_read_bytes_s, &chart.disk_write_bytes_s],
            show::bytes_per_second,
        ),
        figure(
            "network",
            "Network",
            "bytes/s, all NICs",
            &["received", "sent"],
            &[&chart.net_rx_bytes_s, &chart.net_tx_bytes_s],
            show::bytes_per_second,
        ),
    ]
}

fn rows(at: &[Timestamp], columns: &[&[Option<f64>]], clock: &Clock, shown: fn(f64) -> String) -> Vec<Row> {
    let steps = at.iter().enumerate().filter_map(|(step, at)| {
        let values: Vec<Option<f64>> =
            columns.iter().map(|column| column.get(step).copied().flatten()).collect();
        values.iter().any(Option::is_some).then(|| Row {
            at: clock.moment(*at),
            figures: values.into_iter().map(|value| value.map_or_else(|| "–".to_owned(), shown)).collect(),
        })
    });
    let mut rows: Vec<Row> = steps.collect();
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_read_there_is_no_zero() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let chart = Chart {
            at: vec![at(0), at(60), at(120)],
            cpu_cores: vec![Some(0.25), None, Some(1.0)],
            disk_read_bytes_s: vec![None, None, Some(0.0)],
            disk_write_bytes_s: vec![None, None, None],
            net_rx_bytes_s: vec![None; 3],
            net_tx_bytes_s: vec![None; 3],
            memory_kib: vec![None; 3],
        };
        let figures = figures(&chart, &Clock::utc());
        let rows: Vec<usize> = figures.iter().map(|figure| figure.rows.len()).collect();
        assert_eq!(rows, [2, 1, 0]);
        assert_eq!(figures[1].rows[0].figures, ["0\u{a0}B/s", "–"]);
        let json = ChartJson::new(&chart, Range::Hour, (at(0), at(120)), "UTC");
        let json = serde_json::to_value(json).unwrap();
        assert_eq!(json["cpu_cores"], serde_json::json!([0.25, null, 1.0]));
    }

    #[test]
    fn a_range_that_there_is_not_names_those_that_there_are() {
        assert_eq!(Range::parse(None).unwrap(), Range::Hour);
        for range in Range::ALL {
            assert_eq!(Range::parse(Some(range.word())).unwrap(), range);
        }
        let error = Range::parse(Some("1y")).unwrap_err();
        assert!(matches!(error, PageError::BadRequest(text) if text.contains("30d")));
    }
}
