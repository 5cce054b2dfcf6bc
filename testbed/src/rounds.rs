//! How often a test repeats a fault, and from which seed it draws: short in `make test`, long in `make chaos`.
//!
//! It draws nothing itself.

/// `1` makes every fault test run its long variant.
const LONG: &str = "WEIR_CHAOS";
/// A whole number that repeats an earlier run.
const SEED: &str = "WEIR_SEED";

/// `long` where `WEIR_CHAOS=1` is set, else `short`.
#[must_use]
pub fn rounds(short: u32, long: u32) -> u32 {
    if std::env::var_os(LONG).is_some_and(|value| value == "1") { long } else { short }
}

/// The number of `WEIR_SEED`, or a new one; printed, so that a run which failed can be repeated.
///
/// # Panics
/// Where `WEIR_SEED` is no whole number: a run with another seed would not be the one asked for.
#[must_use]
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text}: it is a whole number")),
        Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
    };
    println!("seed: {SEED}={seed}");
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_short_unless_it_is_asked_to_be_long_and_draws_anew_unless_it_is_told_a_seed() {
        let is_long = std::env::var(LONG).is_ok_and(|value| value == "1");
        assert_eq!(rounds(3, 1000), if is_long { 1000 } else { 3 });
        if std::env::var_os(SEED).is_none() {
            assert_ne!(seed(), seed());
        }
    }
}
