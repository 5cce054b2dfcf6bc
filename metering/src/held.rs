//! Registers of what is held: something x time, as a whole number that only goes up, remainder carried.
//!
//! It is told how much time passed; it reads no clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An integrator of "how much" x "how long". `MICROS` is the length of its unit of time, in microseconds:
/// 1,000 makes milliseconds (`vcpu_ms`), 1,000,000 makes seconds (`memory_kib_s`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Held<const MICROS: u64> {
    /// "How much" x microseconds.
    total: u128,
}

impl<const MICROS: u64> Held<MICROS> {
    /// `amount` was held for `time` (microseconds count, what is finer is left to the next call's clock).
    pub fn add(&mut self, amount: u64, time: Duration) {
        self.total = self.total.saturating_add(u128::from(amount).saturating_mul(time.as_micros()));
    }

    /// The register: whole units, floored.
    #[must_use]
    pub fn value(self) -> u64 {
        u64::try_from(self.total / u128::from(MICROS)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_thousand_short_samples_hold_as_much_as_one_long_one(
            amount in 0_u64..1 << 40, pieces in proptest::collection::vec(0_u64..2_000_000, 1..50),
        ) {
            let mut short = Held::<1_000_000>::default();
            for us in &pieces {
                short.add(amount, Duration::from_micros(*us));
            }
            let mut long = Held::<1_000_000>::default();
            long.add(amount, Duration::from_micros(pieces.iter().sum()));
            prop_assert_eq!(short.value(), long.value());
        }
    }

    #[test]
    fn a_register_that_would_overflow_stands_still_instead_of_turning_over() {
        let mut held = Held::<1>::default();
        held.add(u64::MAX, Duration::MAX);
        held.add(u64::MAX, Duration::MAX);
        assert_eq!(held.value(), u64::MAX);
    }
}
