//! A narrow gate for work that costs much CPU and memory: some at once, some more waiting, and the rest is turned away.
//! It does NOT know what the work is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// Two passwords at once: 38 MiB and two cores at most, however many people knock.
const AT_ONCE: usize = 2;

/// At some tens of milliseconds each, whoever is last waits for about a second. More would be waiting in vain.
const INSIDE_MAX: usize = 64;

/// When whoever was turned away may knock again: the queue is gone by then.
pub(crate) const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The gate that all passwords of this process go through.
pub(crate) static PASSWORDS: Gate = Gate::new(AT_ONCE, INSIDE_MAX);

/// See the module.
pub(crate) struct Gate {
    permits: Semaphore,
    inside: AtomicUsize,
    inside_max: usize,
}

/// A place in the queue of a [`Gate`], or behind it.
pub(crate) struct Place {
    gate: &'static Gate,
}

impl Gate {
    pub(crate) const fn new(at_once: usize, inside_max: usize) -> Self {
        Self { permits: Semaphore::const_new(at_once), inside: AtomicUsize::new(0), inside_max }
    }

    /// A place; `None` when too many are waiting.
    pub(crate) fn enter(&'static self) -> Option<Place> {
        let place = self.enter_anyway();
        (self.inside.load(Ordering::Relaxed) <= self.inside_max).then_some(place)
    }

    /// A place, however many are waiting: for what an operator does.
    pub(crate) fn enter_anyway(&'static self) -> Place {
        self.inside.fetch_add(1, Ordering::Relaxed);
        Place { gate: self }
    }
}

impl Place {
    /// Runs `work` on a thread for blocking work, once it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let permit =
            self.gate.permits.acquire().await.expect("the semaphore is never closed: nothing closes it");
        // Both go with the work, not with whoever waits for it: a client that hangs up does not end the work, and
        // must not make room for more of it.
        spawn_blocking(move || {
            let _held = (permit, self);
            work()
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn ten_at_once_are_never_more_than_two_at_once() {
        static GATE: Gate = Gate::new(2, 64);
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let mut all = JoinSet::new();
        for _ in 0..10 {
            all.spawn(GATE.enter().unwrap().run(|| {
                MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                RUNNING.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        assert_eq!(all.join_all().await.into_iter().filter(Result::is_ok).count(), 10);
        assert!((1..=2).contains(&MOST.load(Ordering::SeqCst)), "{MOST:?}");
        assert_eq!(GATE.inside.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_hangs_up_makes_no_room_while_its_work_goes_on() {
        static GATE: Gate = Gate::new(1, 64);
        let (started, has_started) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let request = tokio::spawn(GATE.enter().unwrap().run(move || {
            started.send(()).unwrap();
            // Ends with the sender.
            let _ = wait.recv();
        }));
        spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(GATE.permits.available_permits(), 0);
        drop(go_on);
        assert_eq!(GATE.enter().unwrap().run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn whoever_comes_when_the_queue_is_full_is_turned_away_and_leaves_no_trace() {
        static GATE: Gate = Gate::new(1, 2);
        let (first, second) = (GATE.enter().unwrap(), GATE.enter().unwrap());
        assert!(GATE.enter().is_none());
        assert!(GATE.enter().is_none());
        drop(first);
        let third = GATE.enter().unwrap();
        let operator = GATE.enter_anyway();
        assert_eq!(operator.run(|| 7).await.unwrap(), 7);
        drop((second, third));
        assert_eq!(GATE.inside.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        static GATE: Gate = Gate::new(1, 1);
        let ended = GATE.enter().unwrap().run::<()>(|| panic!("on purpose")).await;
        assert!(ended.unwrap_err().is_panic());
        assert_eq!(GATE.enter().unwrap().run(|| 7).await.unwrap(), 7);
    }
}
