//! Usage from a CSV file, for simulations: what would this usage cost under that plan? It opens no file and knows
//! no prices.
//!
//! Columns, in any order: `resource` (`instance`, `disk`, `nic`, `volume`), `instance_id` (the volume's id for a
//! volume), `name`, `device` (of a disk or NIC), `meter`, `window_start`, `window_end` (RFC 3339), `quantity` (a
//! whole number of the meter's base unit), and as many `dim:NAME` as prices depend on (`dim:network`; an empty field: the
//! usage has no such dimension). All of each window counts as measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use csv::StringRecord;
use jiff::Timestamp;
use metering::{
    Coverage, Dimensions, InstanceId, MeterName, Resource, ResourceKind, Sample, UsageRecord, VolumeId,
    Window,
};

use crate::plan::{MAX_DIMENSIONS, PriceModel, PricePlan};

/// How the name of a column begins that holds a dimension.
const DIMENSION: &str = "dim:";

/// The columns that every file has.
pub const COLUMNS: [&str; 8] =
    ["resource", "instance_id", "name", "device", "meter", "window_start", "window_end", "quantity"];

/// The largest file: about two million records, a month of 250 instances by the hour.
pub const MAX_USAGE_BYTES: usize = 256 * 1024 * 1024;

/// How many problems are listed.
const MAX_LISTED: usize = 100;

/// The longest piece of somebody's file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Everything that is wrong with a file, line by line, at most a hundred of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UsageFileErrors {
    file: String,
    problems: Vec<(u64, String)>,
    more: usize,
}

/// Where each column stands.
struct Places {
    fixed: [usize; COLUMNS.len()],
    dimensions: Vec<(usize, String)>,
}

/// Dimensions that were read already: thousands of rows share them.
type Known = BTreeMap<BTreeMap<String, String>, Dimensions>;

/// Reads usage. `file` is only a name for the messages.
///
/// # Errors
/// Everything that is wrong with it, with its line and how to mend it.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<UsageRecord>, UsageFileErrors> {
    let mut problems = Problems::default();
    if MAX_USAGE_BYTES < bytes.len() {
        problems
            .add(1, format!("the file has {} bytes; split it into files of at most 256 MiB", bytes.len()));
        return problems.finish(file, Vec::new());
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let places = match reader.headers() {
        Ok(header) => places(header),
        Err(error) => Err(describe(&error)),
    };
    let places = match places {
        Ok(places) => places,
        Err(what) => {
            problems.add(1, what);
            return problems.finish(file, Vec::new());
        }
    };
    let mut records = Vec::new();
    let mut lines = Vec::new();
    let mut known = Known::new();
    for row in reader.records() {
        match row {
            Ok(row) => {
                let line = row.position().map_or(0, csv::Position::line);
                match record(&row, &places, &mut known) {
                    Ok(record) => {
                        records.push(record);
                        lines.push(line);
                    }
                    Err(what) => problems.add(line, what),
                }
            }
            Err(error) => problems.add(error.position().map_or(0, csv::Position::line), describe(&error)),
        }
    }
    check_overlaps(&records, &lines, &mut problems);
    problems.finish(file, records)
}

/// Samples for the percentile prices of `plan`, one from each row of their meters: such rows are as short as the interval.
#[must_use]
pub fn samples(usage: &[UsageRecord], plan: &PricePlan) -> Vec<Sample> {
    let cards = plan.versions().iter().flat_map(|version| version.rate_cards());
    let rates = cards.filter(|card| matches!(card.price, PriceModel::Percentile { .. }));
    let meters: BTreeSet<MeterName> = rates.map(|card| card.meter).collect();
    let rows = usage.iter().filter(|row| meters.contains(&row.meter));
    rows.map(|row| Sample { meter: row.meter, window: row.window, quantity: row.quantity }).collect()
}

impl fmt::Display for UsageFileErrors {
    /// A line for each: `usage.csv:3: what is wrong and how to mend it`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (line, what)) in self.problems.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}: {what}", self.file)?;
        }
        if 0 < self.more {
            write!(f, "\n{}: and {} more problems", self.file, self.more)?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Problems {
    found: Vec<(u64, String)>,
    more: usize,
}

impl Problems {
    fn add(&mut self, line: u64, what: String) {
        if self.found.len() < MAX_LISTED {
            self.found.push((line, what));
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self, file: &str, records: Vec<UsageRecord>) -> Result<Vec<UsageRecord>, UsageFileErrors> {
        if self.found.is_empty() {
            return Ok(records);
        }
        self.found.sort();
        Err(UsageFileErrors { file: file.to_owned(), problems: self.found, more: self.more })
    }
}

fn places(header: &StringRecord) -> Result<Places, String> {
    let expected = || {
        format!("the first line must name the columns {}, and may name {DIMENSION}NAME", COLUMNS.join(","))
    };
    let mut dimensions: Vec<(usize, String)> = Vec::new();
    for (n, column) in header.iter().enumerate() {
        if let Some(name) = column.strip_prefix(DIMENSION) {
            if name.is_empty() || dimensions.iter().any(|(_, other)| other == name) {
                return Err(format!("the column {} has no name of its own; {}", shown(column), expected()));
            }
            dimensions.push((n, name.to_owned()));
        } else if !COLUMNS.contains(&column) {
            return Err(format!("there is no column {}; {}", shown(column), expected()));
        }
    }
    if MAX_DIMENSIONS < dimensions.len() {
        return Err(format!("there are {} dimensions; keep at most {MAX_DIMENSIONS}", dimensions.len()));
    }
    let mut fixed = [0; COLUMNS.len()];
    for (place, column) in fixed.iter_mut().zip(COLUMNS) {
        let mut found = header.iter().enumerate().filter(|(_, name)| *name == column);
        match (found.next(), found.next()) {
            (Some((n, _)), None) => *place = n,
            (None, _) => return Err(format!("the column `{column}` is missing; {}", expected())),
            (Some(_), Some(_)) => {
                return Err(format!("the column `{column}` is there twice; {}", expected()));
            }
        }
    }
    Ok(Places { fixed, dimensions })
}

fn record(row: &StringRecord, places: &Places, known: &mut Known) -> Result<UsageRecord, String> {
    let columns = COLUMNS.len() + places.dimensions.len();
    if row.len() != columns {
        return Err(format!(
            "there are {} fields, but {columns} columns; put a field with a comma in it in double quotes",
            row.len()
        ));
    }
    // The places come from a header of as many fields.
    let [kind, id, name, device, meter, start, end, quantity] = places.fixed.map(|place| &row[place]);
    let kind = ResourceKind::parse(kind)
        .ok_or_else(|| format!("resource {} is none of instance, disk, nic, volume", shown(kind)))?;
    let meter = MeterName::parse(meter).map_err(|error| error.to_string())?;
    if meter.meter().resource != kind {
        let right = meter.meter().resource.as_str();
        return Err(format!("{meter} is measured on a resource `{right}`, not `{}`", kind.as_str()));
    }
    let window = Window::new(instant("window_start", start)?, instant("window_end", end)?)
        .map_err(|error| error.to_string())?;
    let quantity = quantity.parse().map_err(|_| {
        let unit = meter.meter().unit.symbol();
        format!("quantity {} is no whole number of {unit} from 0 to {}", shown(quantity), u64::MAX)
    })?;
    Ok(UsageRecord {
        resource: resource(kind, id, device)?,
        resource_name: name.to_owned(),
        meter,
        window,
        quantity,
        coverage: Coverage { measured_us: window.microseconds().unsigned_abs(), ..Coverage::default() },
        dimensions: dimensions(row, places, known),
    })
}

fn dimensions(row: &StringRecord, places: &Places, known: &mut Known) -> Dimensions {
    let named = places.dimensions.iter().map(|(place, name)| (name.clone(), row[*place].to_owned()));
    let all: BTreeMap<String, String> = named.filter(|(_, value)| !value.is_empty()).collect();
    known.entry(all).or_insert_with_key(|all| Dimensions::new(all.clone())).clone()
}

fn resource(kind: ResourceKind, id: &str, device: &str) -> Result<Resource, String> {
    let no_id = || {
        let example = "write a UUID, such as 6f1c8f0e-2f63-4d0c-9d44-0a4f3f1c2b7a";
        format!("instance_id {} is no id; {example}", shown(id))
    };
    let has_device = matches!(kind, ResourceKind::Disk | ResourceKind::Nic);
    if has_device == device.is_empty() {
        let which = if has_device { "name it (vda, or the MAC)" } else { "leave it empty" };
        return Err(format!("device {} does not go with a {}; {which}", shown(device), kind.as_str()));
    }
    let instance_id = || id.parse::<InstanceId>().map_err(|_| no_id());
    Ok(match kind {
        ResourceKind::Instance => Resource::Instance(instance_id()?),
        ResourceKind::Disk => Resource::Disk(instance_id()?, device.to_owned()),
        ResourceKind::Nic => Resource::Nic(instance_id()?, device.to_owned()),
        ResourceKind::Volume => Resource::Volume(id.parse::<VolumeId>().map_err(|_| no_id())?),
    })
}

fn instant(column: &str, text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{column} {} is no instant; write 2026-10-01T00:00:00Z", shown(text)))
}

/// The same time of the same meter and resource must not count twice.
fn check_overlaps(records: &[UsageRecord], lines: &[u64], problems: &mut Problems) {
    let mut by_meter = BTreeMap::<(&Resource, MeterName), Vec<(Window, u64)>>::new();
    for (record, line) in records.iter().zip(lines) {
        let windows = by_meter.entry((&record.resource, record.meter)).or_default();
        windows.push((record.window, *line));
    }
    for ((_, meter), mut windows) in by_meter {
        windows.sort_unstable();
        let mut last: Option<(Window, u64)> = None;
        for (window, line) in windows {
            if let Some((before, other)) = last
                && window.start() < before.end()
            {
                let what =
                    format!("{meter} of this resource is counted in line {other} already, for {before}");
                problems.add(line, format!("{what}; remove one of the two"));
            }
            // The one that reaches furthest, so that a short one within it hides nothing.
            last = last.filter(|(before, _)| window.end() <= before.end()).or(Some((window, line)));
        }
    }
}

fn describe(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "this line is not UTF-8; save the file as UTF-8".to_owned(),
        _ => "this line is no CSV; put fields with commas, quotes or line breaks in double quotes".to_owned(),
    }
}

fn shown(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "resource,instance_id,name,device,meter,window_start,window_end,quantity\n";
    const ID: &str = "00000000-0000-0000-0000-000000000001";
    const HOUR: &str = "2026-10-01T00:00:00Z,2026-10-01T01:00:00Z";

    /// Each case is one record and a part of the message that it gets; it stands in line 3.
    fn check(cases: &[(String, &str)]) {
        let good = format!("instance,{ID},web,,cpu_ns,2026-09-01T00:00:00Z,2026-09-01T01:00:00Z,1\n");
        for (row, expected) in cases {
            let error = parse("u.csv", format!("{HEADER}{good}{row}\n").as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("u.csv:3: ") && error.contains(expected), "{row}: {error}");
            assert!(error.len() < 1_000, "{error}");
        }
    }

    #[test]
    fn a_record_that_cannot_be_meant_is_refused_with_its_line() {
        let instance = |meter: &str, rest: &str| format!("instance,{ID},web,,{meter},{rest}");
        check(&[
            (format!("guest,{ID},web,,cpu_ns,{HOUR},1"), "none of instance"),
            (format!("instance,7,web,,cpu_ns,{HOUR},1"), "is no id"),
            (format!("instance,{ID},web,vda,cpu_ns,{HOUR},1"), "leave it empty"),
            (format!("disk,{ID},web,,disk_read_ops,{HOUR},1"), "name it"),
            (format!("disk,{ID},web,vda,cpu_ns,{HOUR},1"), "`instance`, not `disk`"),
            (instance("cpu_seconds", &format!("{HOUR},1")), "cpu_ns"),
            (instance("cpu_ns", &format!("{HOUR},-1")), "whole number of ns"),
            (instance("cpu_ns", &format!("{HOUR},1.5")), "whole number of ns"),
            (instance("cpu_ns", &format!("{HOUR},18446744073709551616")), "whole number"),
            (instance("cpu_ns", "2026-10-01,2026-10-02T00:00:00Z,1"), "window_start"),
            (instance("cpu_ns", "2026-10-01T01:00:00Z,2026-10-01T01:00:00Z,1"), "end after it starts"),
            (instance("cpu_ns", "1"), "6 fields, but 8 columns"),
            (format!("instance,{ID},{},,cpu_ns,{HOUR},{}", "n".repeat(10_000), "9".repeat(10_000)), "whole"),
        ]);
    }

    #[test]
    fn a_row_has_the_dimensions_that_are_not_empty() {
        let header = format!("dim:network,{},dim:node_class\n", HEADER.trim_end());
        let row = |network: &str, class: &str, hour: u8| {
            let hour = format!("2026-10-01T0{hour}:00:00Z,2026-10-01T0{}:00:00Z", hour + 1);
            format!("{network},instance,{ID},web,,cpu_ns,{hour},1,{class}\n")
        };
        let text = header.clone() + &row("internet", "", 0) + &row("", "", 1) + &row("internal", "large", 2);
        let records = parse("u.csv", text.as_bytes()).unwrap();
        let told: Vec<String> =
            records.iter().map(|r| format!("{:?}", r.dimensions.iter().collect::<Vec<_>>())).collect();
        assert_eq!(
            told,
            [
                "[(\"network\", \"internet\")]",
                "[]",
                "[(\"network\", \"internal\"), (\"node_class\", \"large\")]"
            ]
        );
        for (header, expected) in [
            (format!("dim:,{HEADER}"), "no name of its own"),
            (format!("dim:a,dim:a,{HEADER}"), "no name of its own"),
            (format!("dim:a,dim:b,dim:c,dim:d,dim:e,dim:f,dim:g,dim:h,dim:i,{HEADER}"), "keep at most 8"),
        ] {
            let error = parse("u.csv", header.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn time_that_is_counted_twice_is_refused() {
        let row = |start: &str, end: &str| {
            format!("instance,{ID},web,,cpu_ns,2026-10-0{start}Z,2026-10-0{end}Z,1\n")
        };
        let long = row("1T00:00:00", "1T05:00:00");
        for second in [
            row("1T00:00:00", "1T05:00:00"),
            row("1T04:59:59", "1T06:00:00"),
            row("1T01:00:00", "1T02:00:00") + &row("1T03:00:00", "1T04:00:00"),
        ] {
            let error = parse("u.csv", format!("{HEADER}{long}{second}").as_bytes()).unwrap_err();
            assert_eq!(error.problems.len(), second.lines().count(), "{error}");
        }
        let next = row("1T05:00:00", "1T06:00:00");
        assert_eq!(parse("u.csv", format!("{HEADER}{long}{next}").as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn a_header_or_an_encoding_that_is_not_ours_is_refused() {
        for (bytes, expected) in [
            (&b""[..], "is missing"),
            (b"resource,instance_id\n", "`name` is missing"),
            (b"a,b\n", "no column \"a\""),
            (b"meter,meter,resource,instance_id,name,device,window_start,window_end,quantity\n", "twice"),
            (b"\xff\xfe\n", "UTF-8"),
        ] {
            let error = parse("u.csv", bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let bytes = [HEADER.as_bytes(), b"instance,\xff\n"].concat();
        assert!(parse("u.csv", &bytes).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn hostile_names_come_through_as_they_are() {
        for name in
            ["a\"b", "<script>", "a\nb", "\u{1F600}", "'; DROP TABLE invoice; --", &"x".repeat(10_000)]
        {
            let quoted = name.replace('"', "\"\"");
            let text = format!("{HEADER}instance,{ID},\"{quoted}\",,cpu_ns,{HOUR},1\n");
            assert_eq!(parse("u.csv", text.as_bytes()).unwrap()[0].resource_name, *name);
        }
    }

    #[test]
    fn a_thousand_broken_lines_are_counted_and_not_all_told() {
        let text = format!("{HEADER}{}", "x\n".repeat(1_000));
        let error = parse("u.csv", text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 101);
        assert!(error.ends_with("and 900 more problems"));
    }
}
