//! Memory that the allocator holds and nobody uses: giving it back to the kernel, and having less of it.
//!
//! Why: a look allocates far more than what stays of it, part of it on the thread of a connection and part of it on the
//! collector's. glibc has a heap for each thread, keeps what was freed there, and fills a new heap for each connection that was
//! opened because a call hung. So a process in which nothing but the spool's index grows took more with each guest that ended
//! slowly. This frees nothing that is in use, and knows nothing of other allocators.

use std::time::Duration;

/// Not more often: it takes 0.1 to 0.2 ms with one heap and up to 2 ms with a dozen, and the next look asks for it again.
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

/// All threads of this process share one heap from now on; to be called before there are any. For a process that does nothing
/// but meter: threads that allocate at once wait for each other.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_one_heap() {
    // SAFETY: it sets a number of the allocator's under its lock.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other allocators have their own ways.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_one_heap() {}

/// Gives back what no heap needs.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators have their own ways.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

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
