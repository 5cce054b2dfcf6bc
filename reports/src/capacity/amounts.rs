//! Sizes as planners read them: cores, GiB, TiB and percents, rounded. Nothing here is billed.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::figures::grouped;

/// KiB in a GiB.
const GIB_KIB: f64 = 1_048_576.0;
/// GiB in a TiB.
const TIB_GIB: f64 = 1_024.0;
/// From so many GiB on, sizes are said in TiB.
const TIB_FROM_GIB: f64 = 10_000.0;

/// What a resource is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Physical cores.
    #[serde(rename = "cores")]
    Cores,
    /// 2^30 bytes.
    #[serde(rename = "GiB")]
    Gib,
    /// 2^40 bytes.
    #[serde(rename = "TiB")]
    Tib,
}

impl Unit {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Gib => "GiB",
            Self::Tib => "TiB",
        }
    }

    /// The unit in which so many KiB are best read.
    pub(super) fn for_kib(kib: f64) -> Self {
        if kib / GIB_KIB < TIB_FROM_GIB { Self::Gib } else { Self::Tib }
    }

    /// So many KiB in this unit; cores are no KiB and stay as they are.
    pub(super) fn of_kib(self, kib: f64) -> f64 {
        match self {
            Self::Cores => kib,
            Self::Gib => kib / GIB_KIB,
            Self::Tib => kib / GIB_KIB / TIB_GIB,
        }
    }
}

/// A size: exact, and as it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Amount {
    /// In the resource's unit.
    pub value: f64,
    /// With its unit: `62.8 GiB`.
    pub text: String,
}

impl Amount {
    pub(super) fn new(value: f64, unit: &str) -> Self {
        Self { value, text: format!("{} {unit}", short(value)) }
    }
}

/// A part of what there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How much.
    pub amount: Amount,
    /// Of the physical size, rounded to a tenth; `None` if that is not known. More than 100 when it is overcommitted.
    pub percent: Option<f64>,
    /// The same as it is read: `38 %`.
    pub percent_text: String,
}

impl Share {
    pub(super) fn of(amount: Amount, whole: f64) -> Self {
        let percent = (whole > 0.0).then(|| (amount.value / whole * 1_000.0).round() / 10.0);
        let percent_text = percent.map_or_else(|| "\u{2013}".to_owned(), percent_in_words);
        Self { amount, percent, percent_text }
    }
}

/// A share that is not nothing is never said to be 0 %, nor one that is not all to be 100 %.
fn percent_in_words(percent: f64) -> String {
    match percent {
        p if 0.0 < p && p < 10.0 || 99.0 < p && p < 100.0 => format!("{p:.1} %"),
        p => format!("{} %", figure(p, 0)),
    }
}

/// Three digits or a little more: `0.04`, `3.2`, `62.8`, `1,234`.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => figure(value, 2),
        size if size < 1_000.0 => figure(value, 1),
        _ => figure(value, 0),
    }
}

fn figure(value: f64, decimals: u32) -> String {
    Decimal::from_f64_retain(value)
        .map_or_else(|| format!("{value:e}"), |value| grouped(value.round_dp(decimals), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_or_so() {
        let check = |value: f64, text: &str| assert_eq!(short(value), text);
        check(0.0, "0");
        check(0.0412, "0.04");
        check(3.25, "3.25");
        check(16.0, "16");
        check(62.847, "62.8");
        check(1_234.5, "1,234");
        check(f64::MAX, "1.7976931348623157e308");
    }

    #[test]
    fn a_little_is_not_nothing_and_nearly_all_is_not_all() {
        let check = |value: f64, whole: f64, text: &str| {
            assert_eq!(Share::of(Amount::new(value, "GiB"), whole).percent_text, text);
        };
        check(0.0, 64.0, "0 %");
        check(0.1, 64.0, "0.2 %");
        check(32.0, 64.0, "50 %");
        check(63.9, 64.0, "99.8 %");
        check(64.0, 64.0, "100 %");
        check(96.0, 64.0, "150 %");
        check(1.0, 0.0, "\u{2013}");
    }

    #[test]
    fn large_sizes_are_said_in_tib() {
        assert_eq!(Unit::for_kib(64.0 * GIB_KIB), Unit::Gib);
        assert_eq!(Unit::for_kib(20_480.0 * GIB_KIB), Unit::Tib);
        assert!((Unit::Tib.of_kib(20_480.0 * GIB_KIB) - 20.0).abs() < 1e-9);
    }
}
