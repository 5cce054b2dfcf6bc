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
    /// Whether clock and threads stood still while the account was opened; if not, it lacks what ran between both.
    is_firm: bool,
}

/// What an account is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The process' clock.
    pub clock_ns: u64,
    /// The time of each of its threads.
    pub living: BTreeMap<u32, u64>,
    /// Whether both were read at one instant; otherwise the threads later.
    pub is_at_rest: bool,
}

/// How the last figure of a process came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Final {
    /// All threads were heard to end: exact.
    Exact(u64),
    /// Not all of them, or its clock and its threads were never read at one instant: it is at least this.
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
    /// Opens the account, unless it is worth more as it is: opened at rest, it stays exact with the records that came in.
    pub fn open(&mut self, opening: Opening) {
        let Opening { clock_ns, living, is_at_rest } = opening;
        self.clock(clock_ns);
        if self.is_firm && !is_at_rest {
            self.fold(&living);
            return;
        }
        self.is_firm = is_at_rest;
        let in_threads = living.values().fold(0_u64, |sum, ns| sum.saturating_add(*ns));
        self.ended_ns = Some(clock_ns.saturating_sub(in_threads));
        // What ended before is in the clock; what is listed but has ended already will not be told again.
        self.heard.retain(|thread, _| living.contains_key(thread));
        self.living = living;
    }

    /// Threads that were heard to end and are not listed any more will not be told again: their time is all that is kept. A
    /// process that never stands still would make the account longer with each thread for as long as it lives.
    fn fold(&mut self, listed: &BTreeMap<u32, u64>) {
        let Some(ended_ns) = &mut self.ended_ns else {
            return;
        };
        for (thread, ns) in self.heard.extract_if(.., |thread, _| !listed.contains_key(thread)) {
            let before = self.living.remove(&thread).unwrap_or(0);
            *ended_ns = ended_ns.saturating_add(ns.max(before));
        }
    }

    /// Whether it was opened at rest, and no thread has ended since: nothing is gained by opening it anew.
    pub fn is_settled(&self) -> bool {
        self.is_firm && self.is_open() && !self.has_heard()
    }

    /// Whether it was opened.
    pub fn is_open(&self) -> bool {
        self.ended_ns.is_some()
    }

    /// Whether a thread has ended since.
    pub fn has_heard(&self) -> bool {
        !self.heard.is_empty()
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
        self.is_firm = false;
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
        let total = heard.max(self.clock_ns);
        if self.is_firm { Final::Exact(total) } else { Final::AtLeast(total) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(clock_ns: u64, living: &[(u32, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open(opening(clock_ns, living, true));
        ledger
    }

    fn opening(clock_ns: u64, living: &[(u32, u64)], is_at_rest: bool) -> Opening {
        Opening { clock_ns, living: living.iter().copied().collect(), is_at_rest }
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
        ledger.open(opening(1_055, &[(1, 600)], true));
        assert!(ledger.is_settled());
        ledger.record(1, 600);
        assert_eq!(ledger.total(), Final::Exact(1_055));
    }

    #[test]
    fn an_account_that_was_opened_while_threads_ran_is_never_called_exact() {
        let mut moving = Ledger::default();
        // Between the clock and the threads one of them ran for 30.
        moving.open(opening(1_000, &[(1, 630), (2, 100)], false));
        assert!(!moving.is_settled(), "it is opened again as soon as the process stands still");
        moving.record(1, 700);
        moving.record(2, 100);
        assert_eq!(moving.total(), Final::AtLeast(270 + 700 + 100));
        // What was opened at rest is not given up for that.
        let mut firm = ledger(1_000, &[(1, 600), (2, 100)]);
        firm.record(2, 150);
        firm.open(opening(1_100, &[(1, 680)], false));
        firm.record(1, 700);
        assert_eq!(firm.total(), Final::Exact(300 + 150 + 700));
        firm.close();
        firm.open(opening(1_100, &[(1, 680)], false));
        assert_eq!(firm.total(), Final::AtLeast(1_100));
    }

    #[test]
    fn thousands_of_threads_of_a_process_that_never_stands_still_are_counted_and_not_kept() {
        let mut busy = ledger(1_000, &[(1, 600), (2, 100)]);
        busy.record(2, 150);
        let mut ended_ns = 300 + 150;
        for thread in 3..10_003 {
            busy.record(thread, 7);
            ended_ns += 7;
            // The one that ended last is still listed.
            busy.open(opening(ended_ns + 600, &[(1, 600), (thread, 6)], false));
            assert!(busy.living.len() <= 2 && busy.heard.len() <= 2, "{busy:?}");
        }
        busy.record(1, 900);
        assert_eq!(busy.total(), Final::Exact(ended_ns + 900));
    }
}
