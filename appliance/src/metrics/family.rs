//! Metric families as plain data, and how they are written: OpenMetrics 1.0 by prometheus-client, and the older
//! Prometheus text 0.0.4 made from it. It does not know where figures come from.

use std::collections::HashMap;
use std::fmt::{self, Write};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Labels of one sample, in the order of their family.
pub type Labels = Vec<(&'static str, String)>;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only goes up, from the birth of what it counts. Its name ends in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A figure. Whole numbers are written exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Bytes, requests, pieces.
    Whole(u64),
    /// Seconds, ratios.
    Real(f64),
}

/// A metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Labels, Value)>,
}

/// The two forms, with the types by which they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Family {
    /// A counter; `name` without `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Counter, samples: Vec::new() }
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: Kind::Gauge, samples: Vec::new() }
    }

    /// Adds a sample. Of two with the same labels the later one holds ([`write`]).
    pub fn add(&mut self, labels: Labels, value: Value) {
        self.samples.push((labels, value));
    }

    /// With one sample, without labels.
    #[must_use]
    pub fn with(mut self, value: Value) -> Self {
        self.add(Vec::new(), value);
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        // A series that stands there twice is refused by Prometheus. A disk that was detached and attached again between
        // two looks has two readings.
        let last: HashMap<&Labels, usize> =
            self.samples.iter().enumerate().map(|(at, (labels, _))| (labels, at)).collect();
        let is_last = |at: usize, labels: &Labels| last.get(labels) == Some(&at);
        for (at, (labels, value)) in self.samples.iter().enumerate() {
            if !is_last(at, labels) {
                continue;
            }
            let mut sample = family.encode_family(labels)?;
            match (self.kind, value) {
                (Kind::Counter, Value::Whole(n)) => sample.encode_counter::<NoLabelSet, _, u64>(n, None)?,
                (Kind::Counter, Value::Real(x)) => sample.encode_counter::<NoLabelSet, _, u64>(x, None)?,
                (Kind::Gauge, Value::Whole(n)) => sample.encode_gauge(n)?,
                (Kind::Gauge, Value::Real(x)) => sample.encode_gauge(x)?,
            }
        }
        Ok(())
    }
}

impl Form {
    /// The form for an `Accept` header: OpenMetrics for those that name it (Prometheus does) and like it no less than
    /// text, text for the rest.
    #[must_use]
    pub fn asked(accept: &str) -> Self {
        let liking = |kind: &str| accept.split(',').filter_map(|range| liking(range, kind)).max();
        match liking("application/openmetrics-text") {
            Some(open) if 0 < open && liking("text/plain").unwrap_or(0) <= open => Self::OpenMetrics,
            _ => Self::Text,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The families in that form. Those without samples are left out.
///
/// # Errors
/// None in practice: text is written into memory.
pub fn write(families: Vec<Family>, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    match form {
        Form::OpenMetrics => Ok(text),
        Form::Text => to_text(&text),
    }
}

/// How much a part of an `Accept` header likes the media type, in thousandths; `None`: it does not name it
/// (RFC 9110, 12.4.2: three decimals at most, and 1 without a word).
fn liking(range: &str, kind: &str) -> Option<u16> {
    let mut words = range.split(';').map(str::trim);
    if !words.next()?.eq_ignore_ascii_case(kind) {
        return None;
    }
    let Some(quality) = words.find_map(|word| word.strip_prefix("q=")) else { return Some(1_000) };
    let (whole, decimals) = quality.split_once('.').unwrap_or((quality, ""));
    let thousandths = format!("{decimals:0<3}");
    let value = whole.parse::<u16>().ok()?.checked_mul(1_000)?.checked_add(thousandths.parse().ok()?)?;
    Some(value.min(1_000))
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .filter(|family| !family.samples.is_empty())
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

/// In the older form a counter's family is called as its samples are, with `_total`; there is no end mark. Everything
/// else that we write is the same.
fn to_text(open: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if line == "# EOF" {
            break;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            writeln!(text, "{line}")?;
            continue;
        };
        let suffix = if kind == "counter" { "_total" } else { "" };
        if let Some((_, words)) = help.take() {
            writeln!(text, "# HELP {name}{suffix} {words}")?;
        }
        writeln!(text, "# TYPE {name}{suffix} {kind}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let mut bytes = Family::counter("weir_test_bytes", "Bytes");
        bytes.add(vec![("instance", "a\"b\\c\nd".to_owned())], Value::Whole(u64::MAX));
        vec![
            bytes,
            Family::gauge("weir_up", "Whether").with(Value::Real(0.5)),
            Family::gauge("weir_none", "No"),
        ]
    }

    #[test]
    fn a_name_with_a_quote_or_a_newline_cannot_make_a_series_of_its_own() {
        let text = write(families(), Form::Text).unwrap();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains(r#"{instance="a\"b\\c\nd"} 18446744073709551615"#), "{text}");
    }

    #[test]
    fn a_disk_that_was_read_twice_is_not_two_series() {
        let mut bytes = Family::counter("weir_test_bytes", "Bytes");
        for (disk, value) in [("vda", 7), ("vdb", 8), ("vda", 9)] {
            bytes.add(vec![("target_device", disk.to_owned())], Value::Whole(value));
        }
        let text = write(vec![bytes], Form::Text).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"weir_test_bytes_total{target_device="vdb"} 8"#,
                r#"weir_test_bytes_total{target_device="vda"} 9"#
            ]
        );
    }

    #[test]
    fn the_older_form_names_a_counter_as_its_samples() {
        let text = write(families(), Form::Text).unwrap();
        assert!(text.contains("# TYPE weir_test_bytes_total counter\nweir_test_bytes_total{"), "{text}");
        assert!(!text.contains("EOF") && !text.contains("weir_none"), "{text}");
        let open = write(families(), Form::OpenMetrics).unwrap();
        assert!(open.contains("# TYPE weir_test_bytes counter") && open.ends_with("# EOF\n"), "{open}");
    }

    #[test]
    fn the_form_is_the_one_that_is_asked_for() {
        for (accept, form) in [
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", Form::OpenMetrics),
            ("application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1", Form::OpenMetrics),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.8", Form::Text),
            ("application/openmetrics-text;q=0", Form::Text),
            ("application/openmetrics-text;q=x", Form::Text),
            ("application/openmetrics-text;q=99999999999", Form::Text),
            ("text/plain", Form::Text),
            ("*/*", Form::Text),
            ("", Form::Text),
        ] {
            assert_eq!(Form::asked(accept), form, "{accept}");
        }
    }
}
