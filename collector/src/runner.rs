//! The collector's one thread: it owns the hypervisor's connection, looks in time, and commits each look.
//!
//! Looks lie on multiples of the reading interval of the wall clock, so that the border of every usage window
//! has a reading next to it. It ships nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use metering::{Batch, BatchSeq, BootId, InstanceFacts, NodeReading};
use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, Moment};
use crate::node::Node;
use crate::observation::{Hypervisor, HypervisorError, ObservedInstance, Scope};
use crate::spool::Spool;
use crate::tracker::{self, Mark, Outcome, State};
use crate::{CollectorError, Status, chain};

/// While the hypervisor is away it is tried again after 1 s, 2 s, ..., at most this: soon enough to lose little,
/// seldom enough to cost nothing.
const MAX_RETRY: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The answer to a look that was asked for.
pub type Answer = Result<BatchSeq, CollectorError>;

/// What the thread is told.
pub enum Command {
    /// Look now.
    Look(oneshot::Sender<Answer>),
    /// Look once more, then end.
    Stop(oneshot::Sender<Answer>),
}

/// What the thread works with.
pub struct Runner {
    /// Where it looks.
    pub hypervisor: Box<dyn Hypervisor>,
    /// Its time.
    pub clock: Arc<dyn Clock>,
    /// Where looks go.
    pub spool: Spool,
    /// What it remembers.
    pub state: State,
    /// How the node is called.
    pub node_name: String,
    /// The life of the kernel.
    pub boot_id: BootId,
    /// How often it looks.
    pub reading_interval: Duration,
    /// What others may know.
    pub status: Arc<Mutex<Status>>,
    /// The last look that worked, as [`crate::Collector::latest`] gives it.
    pub latest: Arc<Mutex<Option<Arc<Batch>>>>,
    /// Told at every committed batch.
    pub notify: Arc<Notify>,
}

impl Runner {
    /// Works until it is told to stop, or until everybody who could tell it is gone.
    pub fn run(mut self, commands: &Receiver<Command>) {
        let mut node = NodeView::default();
        let mut retry = None;
        self.scheduled_look(&mut node, &mut retry);
        let mut due = next_aligned(self.clock.now().wall, self.reading_interval);
        loop {
            let now = self.clock.now().wall;
            let retry_in: Option<Duration> = retry.map(|(_, wait)| wait);
            let until_due = until(now, due).min(self.reading_interval);
            let wait = retry_in.map_or(until_due, |wait: Duration| wait.min(until_due));
            match commands.recv_timeout(wait) {
                Ok(command) => {
                    let (is_end, is_read) = self.obey(command, commands, &mut node);
                    if is_end {
                        return;
                    }
                    retry = if is_read { None } else { retry.or(Some((0, FIRST_RETRY))) };
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.scheduled_look(&mut node, &mut retry);
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.clock.now().wall;
                    if due <= now || self.reading_interval < until(now, due) {
                        self.scheduled_look(&mut node, &mut retry);
                        due = next_aligned(self.clock.now().wall, self.reading_interval);
                    } else if retry_in.is_some_and(|retry_in| retry_in <= wait) {
                        self.retry(&mut node, &mut retry);
                    }
                }
            }
        }
    }

    /// Looks for all who have asked by now. Gives whether it is time to end, and whether the look worked.
    fn obey(&mut self, command: Command, commands: &Receiver<Command>, node: &mut NodeView) -> (bool, bool) {
        let mut asked = vec![command];
        asked.extend(commands.try_iter());
        let result = self.look(node, true);
        let mut is_end = false;
        for command in asked {
            let answer = match command {
                Command::Look(answer) => answer,
                Command::Stop(answer) => {
                    is_end = true;
                    answer
                }
            };
            // Whoever asked may have gone away; the look is in the spool all the same.
            let _ = answer.send(result.clone());
        }
        (is_end, result.is_ok())
    }

    fn scheduled_look(&mut self, node: &mut NodeView, retry: &mut Option<(u32, Duration)>) {
        *retry = match self.look(node, true) {
            Ok(_) => None,
            Err(_) => Some((0, FIRST_RETRY)),
        };
    }

    /// Between two scheduled looks: only tries whether the hypervisor is back.
    fn retry(&mut self, node: &mut NodeView, retry: &mut Option<(u32, Duration)>) {
        *retry = match (self.look(node, false), *retry) {
            (Ok(_), _) => None,
            (Err(_), Some((tries, _))) => {
                let tries = (tries + 1).min(8);
                Some((tries, (FIRST_RETRY * 2_u32.pow(tries)).min(MAX_RETRY)))
            }
            (Err(_), None) => Some((0, FIRST_RETRY)),
        };
    }

    /// One look, committed. A look that failed is committed as a gap if `reports_gap`.
    fn look(&mut self, node: &mut NodeView, reports_gap: bool) -> Answer {
        let mut state = self.state.clone();
        match self.hypervisor.observe(&*self.clock, &Scope::Everything) {
            Ok(observation) => {
                let step = state.last_observation.and_then(|last| last.clock_step(self.mark(observation.at)));
                if let Some(step) = step {
                    tracing::warn!(
                        seconds = step.as_secs(),
                        "the wall clock was set; readings of this time may be out of order"
                    );
                }
                let outcome = tracker::observe(self.spool.node_id(), &mut state, &observation);
                node.dirs = observation.storage_dirs.clone();
                let reading = node.node.read(observation.at.wall, &node.dirs);
                let seen_names = observation.instances.iter().map(facts).collect();
                let result = self.commit(observation.at, outcome, reading, state, Some(seen_names));
                let seen = observation.instances.len();
                self.report(|status| {
                    status.is_connected = true;
                    status.instances = seen;
                    if let Ok(seq) = &result {
                        status.last_observed_at = Some(observation.at.wall);
                        status.last_seq = Some(*seq);
                        status.last_error = None;
                    }
                });
                result
            }
            Err(error) => {
                self.report_away(&error);
                if reports_gap {
                    let now = self.clock.now();
                    let outcome = tracker::fail(&mut state, self.mark(now), &error.to_string());
                    let reading = node.node.read(now.wall, &node.dirs);
                    self.commit(now, outcome, reading, state, None)?;
                }
                Err(CollectorError::Hypervisor(error))
            }
        }
    }

    /// Makes a look durable. `seen`: what all instances of it are called; `None` when it failed.
    fn commit(
        &mut self,
        at: Moment,
        outcome: Outcome,
        node: Option<NodeReading>,
        state: State,
        seen: Option<Vec<InstanceFacts>>,
    ) -> Answer {
        let mut readings = outcome.readings;
        readings.node = node;
        let batch = Batch {
            node_id: self.spool.node_id(),
            seq: BatchSeq(0),
            node_name: self.node_name.clone(),
            boot_id: self.boot_id,
            collected_at: at.wall,
            collected_boot: Some(at.boot),
            readings,
            gaps: outcome.gaps,
            instances: outcome.instances,
            volumes: outcome.volumes,
            notices: outcome.notices,
        };
        let shown = seen.map(|instances| Batch { instances, ..batch.clone() });
        match self.spool.commit(batch, &state) {
            Ok(seq) => {
                self.state = state;
                if let Some(shown) = shown {
                    let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                    *latest = Some(Arc::new(Batch { seq, ..shown }));
                }
                self.notify.notify_one();
                Ok(seq)
            }
            Err(error) => {
                // The state stays at the last durable look: the next one counts from there.
                let error = CollectorError::Spool(Arc::new(error));
                let reason = chain(&error);
                tracing::error!(reason, "a look could not be written");
                self.report(|status| status.last_error = Some(reason));
                Err(error)
            }
        }
    }

    fn mark(&self, now: Moment) -> Mark {
        Mark { boot_id: self.boot_id, wall: now.wall, boot: now.boot }
    }

    /// Says once that the hypervisor is away, not at each try.
    fn report_away(&self, error: &HypervisorError) {
        let was_connected = {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            let was_told = !status.is_connected && status.last_error.is_some();
            status.is_connected = false;
            status.last_error = Some(chain(error));
            !was_told
        };
        if was_connected {
            tracing::warn!(%error, "the hypervisor cannot be read; it is tried again until it can");
        }
    }

    fn report(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let was_connected = status.is_connected;
        change(&mut status);
        if !was_connected && status.is_connected {
            tracing::info!(instances = status.instances, "the hypervisor is read");
        }
    }
}

fn facts(observed: &ObservedInstance) -> InstanceFacts {
    InstanceFacts {
        instance_id: observed.instance_id,
        name: observed.name.clone(),
        tenant_label: observed.tenant_label.clone(),
    }
}

/// The node's figures and where its volumes lie.
#[derive(Default)]
struct NodeView {
    node: Node,
    dirs: Vec<std::path::PathBuf>,
}

/// The first multiple of `interval` of the wall clock after `now`.
fn next_aligned(now: Timestamp, interval: Duration) -> Timestamp {
    let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let next = now.as_microsecond().div_euclid(interval_us).saturating_add(1).saturating_mul(interval_us);
    Timestamp::from_microsecond(next).unwrap_or(Timestamp::MAX)
}

/// The time from `now` to `due`, zero when it has passed.
fn until(now: Timestamp, due: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::mpsc;

    use metering::{GapReason, InstanceId, NodeId};
    use uuid::Uuid;

    use super::*;
    use crate::clock::SystemClock;
    use crate::observation::Observation;

    /// Shows what the script says, one entry a look, and a node with one instance when the script is over.
    struct Script(VecDeque<Result<(), &'static str>>);

    impl Hypervisor for Script {
        fn observe(&mut self, clock: &dyn Clock, scope: &Scope) -> Result<Observation, HypervisorError> {
            match self.0.pop_front() {
                Some(Err(message)) => {
                    Err(HypervisorError { doing: "opening".into(), message: message.into() })
                }
                Some(Ok(())) | None => Ok(Observation {
                    boot_id: BootId::from_uuid(Uuid::from_u128(1)),
                    at: clock.now(),
                    instances: vec![ObservedInstance {
                        instance_id: InstanceId::from_uuid(Uuid::from_u128(7)),
                        name: "web".into(),
                        tenant_label: None,
                        is_described: true,
                        run: None,
                    }],
                    volumes: Some(Vec::new()),
                    storage_dirs: Vec::new(),
                    scope: scope.clone(),
                    ends: Vec::new(),
                    events: Vec::new(),
                }),
            }
        }
    }

    /// Runs a script, and does `work` meanwhile; gives back the spool.
    fn run(
        script: impl IntoIterator<Item = Result<(), &'static str>>,
        work: impl FnOnce(&mpsc::Sender<Command>, &Mutex<Status>),
    ) -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path()).unwrap();
        let status = Arc::new(Mutex::new(Status::default()));
        let runner = Runner {
            hypervisor: Box::new(Script(script.into_iter().collect())),
            clock: Arc::new(SystemClock),
            spool: spool.clone(),
            state: State::new(Uuid::from_u128(1)),
            node_name: "node".into(),
            boot_id: BootId::from_uuid(Uuid::from_u128(1)),
            reading_interval: Duration::from_secs(3_600),
            status: Arc::clone(&status),
            latest: Arc::default(),
            notify: Arc::new(Notify::new()),
        };
        let latest = Arc::clone(&runner.latest);
        let (commands, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || runner.run(&receiver));
        work(&commands, &status);
        drop(commands);
        thread.join().unwrap();
        let latest = latest.lock().unwrap().clone().unwrap();
        assert_eq!(Some(latest.seq), status.lock().unwrap().last_seq, "the last look of each script works");
        assert_eq!(latest.instances[0].name, "web", "named in every look, new or not");
        (dir, spool)
    }

    fn ask(commands: &mpsc::Sender<Command>) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        commands.send(Command::Look(sender)).unwrap();
        answer
    }

    fn gaps(spool: &Spool) -> Vec<usize> {
        let mut gaps = Vec::new();
        while let Some(batch) = spool.oldest().unwrap() {
            assert_ne!(batch.node_id, NodeId::from_uuid(Uuid::nil()));
            assert!(batch.gaps.iter().all(|gap| gap.reason == GapReason::HypervisorAway));
            gaps.push(batch.gaps.len());
            spool.acknowledge(batch.seq).unwrap();
        }
        gaps
    }

    #[test]
    fn whoever_asks_for_a_look_gets_one_that_began_after_the_question_and_is_durable() {
        let (_dir, spool) = run([], |commands, status| {
            let first = ask(commands).blocking_recv().unwrap().unwrap();
            let second = ask(commands).blocking_recv().unwrap().unwrap();
            assert!(first < second);
            assert_eq!(status.lock().unwrap().last_seq, Some(second));
        });
        assert_eq!(gaps(&spool), [0, 0, 0, 0], "at the start, twice asked, and at the end");
    }

    #[test]
    fn a_look_that_failed_is_an_error_for_whoever_asked_and_a_gap_for_the_books() {
        let (_dir, spool) = run([Ok(()), Err("no socket")], |commands, status| {
            let error = ask(commands).blocking_recv().unwrap().unwrap_err();
            assert!(matches!(error, CollectorError::Hypervisor(_)));
            let status = status.lock().unwrap();
            assert!(!status.is_connected);
            assert_eq!(status.last_error.as_deref(), Some("opening failed: no socket"));
        });
        assert_eq!(gaps(&spool), [0, 1, 0]);
    }

    #[test]
    fn a_hypervisor_that_comes_back_is_read_long_before_the_next_reading_is_due() {
        let (_dir, spool) = run([Err("away"), Err("still away")], |_, status| {
            while !status.lock().unwrap().is_connected {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        assert_eq!(gaps(&spool), [1, 0, 0], "tries between two readings leave no gap of their own");
    }

    #[test]
    fn looks_lie_on_the_full_minute_wherever_the_collector_was_started() {
        for (now, next) in [
            ("2026-11-21T10:00:00.000001Z", "2026-11-21T10:01:00Z"),
            ("2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z"),
            ("2026-11-21T10:00:59.999999Z", "2026-11-21T10:01:00Z"),
            ("1969-12-31T23:59:30Z", "1970-01-01T00:00:00Z"),
        ] {
            let next_look = next_aligned(now.parse().unwrap(), Duration::from_secs(60));
            assert_eq!(next_look, next.parse::<Timestamp>().unwrap(), "{now}");
        }
    }
}
