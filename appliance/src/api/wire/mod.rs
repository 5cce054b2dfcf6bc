//! The API's own forms of things: what is promised to those who program against it. They change only by additions,
//! whatever the rooms' own types do. Nothing is computed here.

pub mod accounts;
pub mod alerts;
pub mod allowances;
pub mod books;
pub mod capacity;
pub mod corrections;
pub mod dimensions;
pub mod dunning;
pub mod instances;
pub mod invoices;
pub mod limits;
pub mod mail;
pub mod prices;
pub mod runs;
pub mod tenants;
pub mod usage;
pub mod waiting;
pub mod webhooks;

use jiff::Timestamp;
use metering::Window;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// A decimal number with all decimals of the currency.
    #[schema(pattern = r"^-?[0-9]{1,20}(\.[0-9]{1,4})?$", example = "51.20")]
    pub amount: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
}

/// A half-open piece of time: it begins at `from` and ends just before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Period {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// How the time that usage covers is known, in milliseconds. Time of several resources adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Coverage {
    /// Between two readings close to each other.
    pub measured_ms: u64,
    /// Between two readings further apart: exact in sum, its distribution is interpolated.
    pub estimated_ms: u64,
    /// Not known, and not charged.
    pub missing_ms: u64,
}

impl From<billing::Money> for Money {
    fn from(money: billing::Money) -> Self {
        Self { amount: money.amount().to_string(), currency: money.currency().code().to_owned() }
    }
}

impl From<Window> for Period {
    fn from(window: Window) -> Self {
        Self { from: window.start(), to: window.end() }
    }
}

impl From<metering::Coverage> for Coverage {
    fn from(coverage: metering::Coverage) -> Self {
        Self {
            measured_ms: coverage.measured_us / 1_000,
            estimated_ms: coverage.estimated_us / 1_000,
            missing_ms: coverage.missing_us / 1_000,
        }
    }
}

impl From<billing::Completeness> for Coverage {
    fn from(known: billing::Completeness) -> Self {
        Self {
            measured_ms: known.measured_ms,
            estimated_ms: known.estimated_ms,
            missing_ms: known.missing_ms,
        }
    }
}

/// Tells a field that is absent (`None`) from one that is `null` (`Some(None)`), for changes.
///
/// # Errors
/// The value is of another type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// For a field that may be absent (`None`) and never `null`.
///
/// # Errors
/// The value is of another type, or `null`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A whole number. JSON knows no other numbers than numbers, so `2.0` is one (and JSON Schema says so, too).
///
/// # Errors
/// It is none, or too large.
pub fn whole<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    whole_of(&serde_json::Number::deserialize(deserializer)?)
}

/// A whole number, or `null`.
///
/// # Errors
/// As [`whole`].
pub fn whole_or_null<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<serde_json::Number>::deserialize(deserializer)?.as_ref().map(whole_of).transpose()
}

/// A whole number that may be absent (`None`) and never `null`.
///
/// # Errors
/// As [`whole`].
pub fn present_whole<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    whole(deserializer).map(Some)
}

fn whole_of<T: TryFrom<u64>, E: serde::de::Error>(number: &serde_json::Number) -> Result<T, E> {
    /// Beyond it a double has no whole numbers of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let exact = number.as_f64().filter(|value| value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and between 0 and 2^53"
    )]
    let whole = number.as_u64().or(exact.map(|value| value as u64));
    let whole = whole.and_then(|whole| T::try_from(whole).ok());
    whole.ok_or_else(|| E::custom(format!("invalid value: {number} is no whole number that is allowed here")))
}

/// What a kind of problem means.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemPage {
    /// As in problems.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means.
    pub title: String,
    /// The status that it is answered with.
    pub status: u16,
    /// How it is mended.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Size {
        #[serde(default, deserialize_with = "whole_or_null")]
        vcpus: Option<u32>,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (text, expected) in [
            ("2", Some(Some(2))),
            ("2.0", Some(Some(2))),
            ("2e0", Some(Some(2))),
            ("4294967295", Some(Some(u32::MAX))),
            ("null", Some(None)),
            ("2.5", None),
            ("-1", None),
            ("-1.0", None),
            ("4294967296", None),
            ("1e300", None),
            ("true", None),
            ("\"2\"", None),
        ] {
            let size: Result<Size, _> = serde_json::from_str(&format!("{{\"vcpus\":{text}}}"));
            assert_eq!(size.ok().map(|size| size.vcpus), expected, "{text}");
        }
    }
}
