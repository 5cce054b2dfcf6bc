//! Random numbers that come again with their seed, so that a run that failed can be repeated.

/// xorshift64*: plain, and good enough to choose moments and bytes. No secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed, of [`crate::seed`] most likely.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15 | 1)
    }

    /// A number below `bound` (0 below 0).
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        if bound == 0 { 0 } else { drawn % bound }
    }
}
