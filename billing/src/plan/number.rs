//! Decimals as a plan writes them: digits, perhaps a point and digits. It rounds nothing: what cannot be held
//! exactly is refused.

use rust_decimal::Decimal;

use super::problem::shown;

/// Whether there may be a minus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Never.
    None,
    /// Only beside `allow_negative = true`, which is not there.
    WithFlag,
    /// Yes.
    Any,
}

/// What a decimal may look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// What it is called in messages: `a price`.
    pub(super) what: &'static str,
    /// Digits after the point at most.
    pub(super) decimals: usize,
    /// Digits before the point at most.
    pub(super) whole_digits: usize,
    /// How to write it rightly: `"0.04"`.
    pub(super) example: &'static str,
    /// Whether it may be below zero.
    pub(super) sign: Sign,
}

impl Limits {
    /// The same, with a minus allowed or not by a flag beside it.
    pub(super) const fn negative_if(self, is_allowed: bool) -> Self {
        Self { sign: if is_allowed { Sign::Any } else { Sign::WithFlag }, ..self }
    }
}

/// Reads a decimal, or says what is wrong and how to mend it.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Decimal, (String, String)> {
    let Limits { what, decimals, whole_digits, example, sign } = *limits;
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
    if !text.starts_with('-') {
        return Ok(value);
    }
    let mend = match sign {
        Sign::Any if value.is_zero() => return Ok(value.abs()),
        Sign::Any => return Ok(value),
        Sign::WithFlag => "write zero or more, or add allow_negative = true if it is meant as a credit",
        Sign::None => "write zero or more",
    };
    Err((format!("{what} may not be negative, and {} is", shown(text)), mend.to_owned()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Limits =
        Limits { what: "a price", decimals: 12, whole_digits: 10, example: "\"0.04\"", sign: Sign::WithFlag };

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

    #[test]
    fn a_minus_needs_the_flag_beside_it() {
        let signed = PRICE.negative_if(true);
        assert_eq!(parse("-0.01", &signed).unwrap().to_string(), "-0.01");
        assert_eq!(parse("-0.00", &signed).unwrap().to_string(), "0.00");
        let (_, mend) = parse("-0.01", &PRICE).unwrap_err();
        assert!(mend.contains("allow_negative"), "{mend}");
    }
}
