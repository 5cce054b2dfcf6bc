//! Exchange rates: what one unit of a currency is in another one, from which day on, as the provider loaded it. Pure: it reads
//! text and picks days. It asks no bank, never turns a rate round (the inverse of a published rate is nobody's
//! rate), and the amounts are computed by rating.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use metering::Window;
use rust_decimal::Decimal;

use crate::money::Currency;

/// The largest file: fifty currencies for every day of five years are about 4 MiB.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// The most decimals of a rate.
pub const MAX_RATE_DECIMALS: u32 = 12;

/// The most problems that are listed.
const MAX_LISTED: usize = 100;

/// The longest name of a source, in characters.
const MAX_SOURCE: usize = 120;

/// The longest piece of somebody's file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// The columns of a file, in this order.
const COLUMNS: [&str; 5] = ["from", "to", "valid_from", "rate", "source"];

/// One rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    /// The currency of the prices.
    pub from: Currency,
    /// The currency of the invoice.
    pub to: Currency,
    /// How much of `to` one of `from` is; positive, at most 12 decimals.
    pub rate: Decimal,
    /// The day from which it holds, until the next one does.
    pub valid_from: Date,
    /// Who published it: `ECB`.
    pub source: String,
}

/// Everything that is wrong with a file of rates, line by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RateFileErrors {
    file: String,
    problems: Vec<(u64, String)>,
    more: usize,
}

/// Nobody knows what a currency was worth.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no exchange rate from {from} to {to} for {day}, the last day of the period; load one (weir exchange load) that \
     is valid from that day or before"
)]
pub struct NoExchangeRate {
    /// The currency of the prices.
    pub from: Currency,
    /// The currency of the invoice.
    pub to: Currency,
    /// The day.
    pub day: Date,
}

/// The last day of a period: its rate is the period's.
#[must_use]
pub fn last_day(period: Window, zone: &TimeZone) -> Date {
    let last = period.end() - jiff::SignedDuration::from_micros(1);
    last.to_zoned(zone.clone()).date()
}

/// Reads rates from CSV with the columns `from,to,valid_from,rate,source`. `file` is only a name for the messages.
///
/// # Errors
/// Everything that is wrong with it, each with its line and how to mend it.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Vec<ExchangeRate>, RateFileErrors> {
    let fail = |line: u64, what: String| RateFileErrors {
        file: file.to_owned(),
        problems: vec![(line, what)],
        more: 0,
    };
    if MAX_FILE_BYTES < bytes.len() {
        return Err(fail(
            1,
            format!("the file has {} bytes; load it in parts of at most 16 MiB", bytes.len()),
        ));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(true).trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| fail(1, format!("{error}; save it as CSV in UTF-8")))?;
    if header.iter().collect::<Vec<_>>() != COLUMNS {
        return Err(fail(1, format!("the first line must be {}", COLUMNS.join(","))));
    }
    let mut rates = Vec::new();
    let mut seen: BTreeMap<(&str, &str, Date), u64> = BTreeMap::new();
    let mut problems: Vec<(u64, String)> = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                problems.push((
                    line,
                    "the line has not five fields in UTF-8; compare it with the first line".to_owned(),
                ));
                continue;
            }
        };
        let line = record.position().map_or(1, csv::Position::line);
        match rate(&record) {
            Ok(rate) => {
                let key = (rate.from.code(), rate.to.code(), rate.valid_from);
                if let Some(other) = seen.insert(key, line) {
                    let what = format!(
                        "line {other} has a rate from {} to {} for {} already; remove one",
                        key.0, key.1, key.2
                    );
                    problems.push((line, what));
                }
                rates.push(rate);
            }
            Err(what) => problems.push((line, what)),
        }
    }
    if rates.is_empty() && problems.is_empty() {
        problems.push((
            2,
            "there are no rates in it; add a line such as EUR,USD,2026-10-30,1.1234,ECB".to_owned(),
        ));
    }
    if problems.is_empty() {
        return Ok(rates);
    }
    let more = problems.len().saturating_sub(MAX_LISTED);
    problems.truncate(MAX_LISTED);
    Err(RateFileErrors { file: file.to_owned(), problems, more })
}

impl RateFileErrors {
    /// Each with its line.
    #[must_use]
    pub fn problems(&self) -> &[(u64, String)] {
        &self.problems
    }
}

impl fmt::Display for RateFileErrors {
    /// A line for each: `rates.csv:3: what is wrong; how to mend it`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (line, what)) in self.problems.iter().enumerate() {
            if 0 < n {
                writeln!(f)?;
            }
            write!(f, "{}:{line}: {what}", self.file)?;
        }
        if 0 < self.more {
            write!(f, "\n{}: and {} more problems", self.file, self.more)?;
        }
        Ok(())
    }
}

fn rate(record: &csv::StringRecord) -> Result<ExchangeRate, String> {
    let field = |n: usize| record.get(n).unwrap_or_default();
    ExchangeRate::of_fields([field(0), field(1), field(2), field(3), field(4)])
}

impl ExchangeRate {
    /// Reads a rate from what stands in the columns of a file: from, to, the day, the rate and its source.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub fn of_fields([from, to, day, text, source]: [&str; 5]) -> Result<Self, String> {
        let currency = |code: &str| Currency::parse(code).map_err(|error| error.to_string());
        let (from, to) = (currency(from)?, currency(to)?);
        if from == to {
            return Err(format!("{from} is always worth 1 {from}; remove the line"));
        }
        // jiff would also take a date without dashes, or with a time.
        let valid_from = (day.len() == 10).then(|| day.parse::<Date>().ok()).flatten();
        let valid_from = valid_from.ok_or_else(|| {
            format!("{:?} is no day; write year, month and day, such as 2026-10-30", shown(day))
        })?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str, most: usize| {
            (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let rate = (is_number(whole, 10) && is_number(fraction, MAX_RATE_DECIMALS as usize))
            .then(|| Decimal::from_str_exact(text).ok())
            .flatten()
            .filter(|rate| !rate.is_zero());
        let rate = rate.ok_or_else(|| {
            format!(
                "{:?} is no rate; write how much one {from} is in {to}, more than 0 with a point and at most \
                 {MAX_RATE_DECIMALS} decimals, such as 1.1234",
                shown(text)
            )
        })?;
        if source.is_empty() || MAX_SOURCE < source.chars().count() || source.contains(char::is_control) {
            return Err(format!(
                "the source is missing or too long; write who published the rate, in 1 to {MAX_SOURCE} characters, such as ECB"
            ));
        }
        Ok(Self { from, to, rate, valid_from, source: source.to_owned() })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file with this one line of rates says, as problems.
    fn problem(line: &str) -> String {
        let text = format!("from,to,valid_from,rate,source\n{line}\n");
        parse("r.csv", text.as_bytes()).err().map(|errors| errors.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_no_rate_is_refused_with_its_line_and_a_remedy() {
        for (line, expected) in [
            ("EUR,USD,2026-10-30,1.1234,ECB", ""),
            ("EUR,USD,2026-10-30,1.123456789012,ECB", ""),
            ("EUR,EUR,2026-10-30,1,ECB", "remove the line"),
            ("eur,USD,2026-10-30,1,ECB", "is no currency"),
            ("XAU,USD,2026-10-30,1,ECB", "is no currency"),
            ("EUR,USD,20261030,1,ECB", "is no day"),
            ("EUR,USD,2026-02-30,1,ECB", "is no day"),
            ("EUR,USD,2026-10-30,0,ECB", "is no rate"),
            ("EUR,USD,2026-10-30,-1,ECB", "is no rate"),
            ("EUR,USD,2026-10-30,1e3,ECB", "is no rate"),
            ("EUR,USD,2026-10-30,1.1234567890123,ECB", "is no rate"),
            ("EUR,USD,2026-10-30,\"1,1\",ECB", "is no rate"),
            ("EUR,USD,2026-10-30,NaN,ECB", "is no rate"),
            ("EUR,USD,2026-10-30,1.1,", "the source is missing"),
            ("EUR,USD,2026-10-30", "five fields"),
            ("EUR,USD,2026-10-30,1,ECB\nEUR,USD,2026-10-30,1,ECB", "r.csv:3: line 2 has a rate"),
        ] {
            let said = problem(line);
            assert!(
                if expected.is_empty() { said.is_empty() } else { said.contains(expected) },
                "{line}: {said}"
            );
        }
        for text in [
            "",
            "a,b\n1,2\n",
            "from,to,valid_from,rate,source\n",
            "\u{feff}",
            "from,to,valid_from,rate,source\n\"\0",
        ] {
            assert!(parse("r.csv", text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse("r.csv", &[0xff, 0xfe, 0x00]).is_err());
    }

    #[test]
    fn the_last_day_of_october_is_a_day_of_the_tenants_calendar() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let month = crate::period::month("2026-10", &berlin).unwrap();
        assert_eq!(last_day(month, &berlin).to_string(), "2026-10-31");
        assert_eq!(last_day(month, &TimeZone::UTC).to_string(), "2026-10-31");
        let auckland = TimeZone::get("Pacific/Auckland").unwrap();
        assert_eq!(
            last_day(crate::period::month("2026-10", &auckland).unwrap(), &TimeZone::UTC).to_string(),
            "2026-10-31"
        );
    }
}
