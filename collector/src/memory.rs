//! Giving memory back to the kernel that the allocator holds and nobody uses.
//!
//! Why: a look allocates ten times what stays of it, part of it on the thread of a connection and part of it on the
//! collector's. glibc has a heap for each thread, keeps what was freed there, and fills a new heap for each connection that was
//! opened because a call hung. So a process whose own books are flat grows with each guest that ends slowly. It frees nothing
//! that is in use, and knows nothing of other allocators.

use std::time::Duration;

/// Not more often: it costs 0.1 to 0.3 ms and what is given back is asked for again at the next look.
const INTERVAL: Duration = Duration::from_secs(60);

/// When memory was last given back, in time since boot.
#[derive(Debug, Default)]
pub struct Tidy {
    last: Option<Duration>,
}

impl Tidy {
    /// A look is over: gives back what it left, the first time and then at most once in [`INTERVAL`]. True: it did.
    pub fn looked(&mut self, now: Duration) -> bool {
        let is_due = self.last.is_none_or(|last| INTERVAL <= now.saturating_sub(last));
        if is_due {
            self.last = Some(now);
            give_back();
        }
        is_due
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_follow_each_other_closely_do_not_walk_the_heap_each_time() {
        let mut tidy = Tidy::default();
        let at = Duration::from_secs;
        let done: Vec<bool> = [7, 8, 60, 67, 68, 126, 127].map(|s| tidy.looked(at(s))).to_vec();
        assert_eq!(done, [true, false, false, true, false, false, true]);
    }
}
