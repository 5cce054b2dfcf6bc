//! Decimals as a plan writes them: digits, perhaps a point and digits. It rounds nothing: what cannot be held
//! exactly is refused.

use rust_decimal::Decimal;

use super::problem::shown;

/// What a decimal may look like.
pub(super) struct Limits {
    /// What it is called in messages: `a price`.
    pub(super) what: &'static str,
    /// Digits after the point at most.
    pub(super) decimals: usize,
    /// Digits before the point at most.
    pub(super) whole_digits: usize,
    /// How to write it rightly: `"0.04"`.
    pub(super) example: &'static str,
}

/// Reads a decimal that is zero or more, or says what is wrong and how to mend it.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Decimal, (String, String)> {
    let Limits { what, decimals, whole_digits, example } = *limits;
    let write = format!("write digits with a point, such as {example}");
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return Err((format!("{} is no number", shown(text)), write));
    }
    if whole_digits < whole.trim_start_matches('0').len() {
        return Err((
            format!("{} is too large for {what}", shown(text)),
            format!("write at most {whole_digits} digits before the point"),
        ));
    }
    if decimals < fraction.len() {
        return Err((
            format!("{} has {} decimals", shown(text), fraction.len()),
            format!("write {what} with at most {decimals} decimals"),
        ));
    }
    let value =
        Decimal::from_str_exact(text).map_err(|_| (format!("{} is no number", shown(text)), write))?;
    if text.starts_with('-') {
        return Err((
            format!("{what} may not be negative, and {} is", shown(text)),
            "write zero or more".to_owned(),
        ));
    }
    Ok(value)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Limits = Limits { what: "a price", decimals: 12, whole_digits: 10, example: "\"0.04\"" };

    #[test]
    fn what_a_machine_would_guess_at_is_refused() {
        for bad in [
            "", "-", ".", "1.", ".5", "1,5", "1e3", "1_000", " 1", "1 ", "+1", "--1", "NaN", "inf", "0x10",
            "1.2.3", "１", "€1",
        ] {
            let (what, _) = parse(bad, &PRICE).unwrap_err();
            assert!(what.ends_with("is no number"), "{bad}: {what}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_meant_to_the_last_digit() {
        for good in ["0", "0.04", "0.040", "007", "9999999999.999999999999", "0.000000000001"] {
            let value = parse(good, &PRICE).unwrap();
            assert_eq!(value.to_string(), good.trim_start_matches("00"));
        }
        for bad in ["10000000000", "0.0000000000001", "-0", "-0.01", &"9".repeat(10_000)] {
            assert!(parse(bad, &PRICE).is_err(), "{bad}");
        }
    }
}
