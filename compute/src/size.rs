//! Sizes of memory and disks in bytes, as people write them (`512M`, `20GiB`).
//!
//! It knows no limits: admission does. It refuses what could mean two things (`1GB`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

/// Why a size was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is no size: write a whole number and K, M, G or T (also KiB, MiB, GiB, TiB; each 1024 of the one before), such as 512M or 20G{hint}"
)]
pub struct InvalidSize {
    shown: String,
    hint: &'static str,
}

impl ByteSize {
    /// That many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many MiB. More than 2^64 bytes become the largest size there is, which no limit lets pass.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(MIB))
    }

    /// That many GiB. More than 2^64 bytes become the largest size there is, which no limit lets pass.
    #[must_use]
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib.saturating_mul(GIB))
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In whole KiB, rounded down.
    #[must_use]
    pub const fn kib(self) -> u64 {
        self.0 / KIB
    }

    /// Whether it is a whole number of MiB.
    #[must_use]
    pub const fn is_whole_mib(self) -> bool {
        self.0.is_multiple_of(MIB)
    }
}

impl FromStr for ByteSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |hint| InvalidSize { shown: text.chars().take(40).collect(), hint };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse(""))?;
        let factor = match unit {
            "" | "B" => 1,
            "K" | "KiB" => KIB,
            "M" | "MiB" => MIB,
            "G" | "GiB" => GIB,
            "T" | "TiB" => TIB,
            "KB" | "MB" | "GB" | "TB" => {
                return Err(refuse("; KB, MB, GB and TB mean 1000 or 1024, so they are not taken"));
            }
            _ => return Err(refuse("")),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| refuse("; it is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, symbol) in [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{} {symbol}", self.0 / unit);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = InvalidSize;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_mean_one_thing_are_read_and_others_refused() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(text.parse::<ByteSize>().ok().map(ByteSize::bytes), expected, "{text}");
        };
        check("0", Some(0));
        check("4096", Some(4096));
        check("512M", Some(512 * MIB));
        check("512MiB", Some(512 * MIB));
        check("1T", Some(TIB));
        for bad in [
            "",
            "M",
            "-1M",
            "+1M",
            "1.5G",
            "1GB",
            "1g",
            "1 G",
            "99999999999999999999",
            "99999999T",
            "١M",
            "1M\n",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_refusal_never_repeats_ten_thousand_characters() {
        assert!("9".repeat(10_000).parse::<ByteSize>().unwrap_err().to_string().len() < 300);
    }
}
