//! What a process' CPU time adds up to when it has ended: from its clock, its threads, and the exit records.
//!
//! Pure. A process' clock is the time of its living threads and that of those that ended; an exit record is the time of
//! one thread. The clock cannot be read any more when the process is gone, but every part of it was told.

use std::collections::BTreeMap;

/// The account of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Time of the threads that had ended when the account was opened, in ns; `None`: it is not open.
    ended_ns: Option<u64>,
    /// The threads that lived then, with their time.
    living: BTreeMap<u32, u64>,
    /// Threads that ended since then.
    heard: BTreeMap<u32, u64>,
    /// The highest figure of the clock.
    clock_ns: u64,
}

/// How the last figure of a process came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Final {
    /// All threads were heard to end: exact.
    Exact(u64),
    /// Not all of them: it is at least this.
    AtLeast(u64),
}

impl Final {
    /// The figure.
    pub fn ns(self) -> u64 {
        match self {
            Self::Exact(ns) | Self::AtLeast(ns) => ns,
        }
    }
}

impl Ledger {
    /// Opens the account: the clock and the time of each living thread, read at one instant.
    pub fn open(&mut self, clock_ns: u64, living: BTreeMap<u32, u64>) {
        let in_threads = living.values().fold(0_u64, |sum, ns| sum.saturating_add(*ns));
        self.ended_ns = Some(clock_ns.saturating_sub(in_threads));
        // What ended before is in the clock; what is listed but has ended already will not be told again.
        self.heard.retain(|thread, _| living.contains_key(thread));
        self.living = living;
        self.clock_ns = self.clock_ns.max(clock_ns);
    }

    /// Whether it was opened, and no thread has ended since: nothing is gained by opening it anew.
    pub fn is_settled(&self) -> bool {
        self.ended_ns.is_some() && self.heard.is_empty()
    }

    /// The clock was read again.
    pub fn clock(&mut self, clock_ns: u64) {
        self.clock_ns = self.clock_ns.max(clock_ns);
    }

    /// A thread ended.
    pub fn record(&mut self, thread: u32, cpu_ns: u64) {
        self.heard.insert(thread, cpu_ns);
    }

    /// Records were lost: the account is worth nothing until it is opened again.
    pub fn close(&mut self) {
        self.ended_ns = None;
        self.heard.clear();
    }

    /// What it all adds up to; never less than the clock once showed.
    pub fn total(&self) -> Final {
        let is_complete = self.living.keys().all(|thread| self.heard.contains_key(thread));
        let Some(ended_ns) = self.ended_ns.filter(|_| is_complete) else {
            return Final::AtLeast(self.clock_ns);
        };
        let heard = self.heard.iter().fold(ended_ns, |sum, (thread, ns)| {
            // A thread that is listed after its record was sent has spent some more on ending.
            sum.saturating_add((*ns).max(self.living.get(thread).copied().unwrap_or(0)))
        });
        Final::Exact(heard.max(self.clock_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(clock_ns: u64, living: &[(u32, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open(clock_ns, living.iter().copied().collect());
        ledger
    }

    #[test]
    fn threads_that_ended_before_anybody_listened_are_in_the_clock_and_count() {
        let mut ledger = ledger(1_000, &[(1, 600), (2, 100)]);
        ledger.record(2, 150);
        ledger.record(3, 7);
        ledger.record(1, 620);
        assert_eq!(ledger.total(), Final::Exact(300 + 620 + 150 + 7));
    }

    #[test]
    fn a_process_that_was_stopped_before_it_was_killed_ends_on_the_nanosecond_of_its_clock() {
        let mut ledger = ledger(1_000, &[(1, 600), (2, 100)]);
        ledger.record(1, 600);
        ledger.record(2, 100);
        assert_eq!(ledger.total(), Final::Exact(1_000));
    }

    #[test]
    fn a_record_that_was_lost_makes_the_clock_the_least_and_never_less() {
        let mut lost = ledger(1_000, &[(1, 600), (2, 100)]);
        lost.clock(1_400);
        lost.record(1, 700);
        assert_eq!(lost.total(), Final::AtLeast(1_400));
        lost.close();
        assert_eq!(lost.total(), Final::AtLeast(1_400));
    }

    #[test]
    fn opened_anew_an_account_counts_no_thread_twice() {
        let mut ledger = ledger(1_000, &[(1, 600), (2, 100)]);
        ledger.record(2, 150);
        // Its end cost another 5, which are in the clock.
        ledger.open(1_055, [(1, 600)].into_iter().collect());
        assert!(ledger.is_settled());
        ledger.record(1, 600);
        assert_eq!(ledger.total(), Final::Exact(1_055));
    }
}
