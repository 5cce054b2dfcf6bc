//! Decimals as people read them: grouped in thousands, exact, with the points of a column under each other.
//!
//! It never rounds. A figure is shown with every digit it has, so that quantity, unit price and amount can be
//! multiplied by hand. It knows no currency: who calls says how many decimals are shown at least.

use rust_decimal::Decimal;
use serde::Serialize;

/// A figure in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figure {
    /// What is read: `1,234.5`. A minus is U+2212.
    pub text: String,
    /// The digits (and the point) that it lacks on the longest figure of its column; takes room, is not seen.
    pub pad: String,
}

impl Figure {
    /// How many characters wide it is.
    pub(crate) fn width(&self) -> usize {
        self.text.chars().count() + self.pad.len()
    }
}

/// The figures of one column, each with at least `decimals` decimals.
pub(crate) fn column(values: impl IntoIterator<Item = Decimal>, decimals: u32) -> Vec<Figure> {
    let texts: Vec<String> = values.into_iter().map(|value| grouped(value, decimals)).collect();
    let longest = texts.iter().map(|text| decimals_of(text)).max().unwrap_or(0);
    texts
        .into_iter()
        .map(|text| {
            let missing = longest - decimals_of(&text);
            let point = if missing > 0 && !text.contains('.') { "." } else { "" };
            let pad = format!("{point}{}", "0".repeat(missing));
            Figure { text, pad }
        })
        .collect()
}

/// A figure that stands alone.
pub(crate) fn single(value: Decimal, decimals: u32) -> Figure {
    Figure { text: grouped(value, decimals), pad: String::new() }
}

/// A whole figure that stands alone: a quantity in base units, which may be larger than a decimal.
pub(crate) fn whole(value: u128) -> Figure {
    Figure { text: grouped_digits(&value.to_string()), pad: String::new() }
}

/// Every digit of `value`, grouped in thousands, without trailing zeros but for the first `decimals` decimals.
#[must_use]
pub fn grouped(value: Decimal, decimals: u32) -> String {
    let plain = value.normalize().abs().to_string();
    let (digits, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let sign = if value.is_sign_negative() && !value.is_zero() { "\u{2212}" } else { "" };
    let digits = grouped_digits(digits);
    let width = usize::try_from(decimals).unwrap_or(0);
    let point = if fraction.is_empty() && width == 0 { "" } else { "." };
    format!("{sign}{digits}{point}{fraction:0<width$}")
}

/// Digits in groups of three: `33,554,432`.
#[must_use]
pub fn grouped_digits(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn decimals_of(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, decimals: u32, shown: &str) {
        let value: Decimal = value.parse().expect("the test's figure is a decimal");
        assert_eq!(grouped(value, decimals), shown);
    }

    #[test]
    fn figures_are_grouped_and_exact() {
        check("0", 0, "0");
        check("0", 2, "0.00");
        check("-0", 2, "0.00");
        check("999", 0, "999");
        check("1000", 0, "1,000");
        check("33554432", 0, "33,554,432");
        check("1234567.5", 2, "1,234,567.50");
        check("0.0000001", 2, "0.0000001");
        check("12.500000", 0, "12.5");
        check("1000", 3, "1,000.000");
        check("-1234.5", 2, "\u{2212}1,234.50");
        check("79228162514264337593543950335", 0, "79,228,162,514,264,337,593,543,950,335");
    }

    #[test]
    fn the_points_of_a_column_stand_under_each_other() {
        let values = ["1", "2.25", "1000.5"].map(|text| text.parse().expect("a decimal"));
        let shown: Vec<_> = column(values, 0).into_iter().map(|figure| (figure.text, figure.pad)).collect();
        let expected = [("1", ".00"), ("2.25", ""), ("1,000.5", "0")];
        assert_eq!(shown, expected.map(|(text, pad)| (text.to_owned(), pad.to_owned())));
    }

    #[test]
    fn a_column_of_whole_figures_has_no_points() {
        let shown = column([Decimal::ONE, Decimal::TEN], 0);
        assert!(shown.iter().all(|figure| figure.pad.is_empty()));
    }
}
