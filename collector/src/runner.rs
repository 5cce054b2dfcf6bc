//! The collector's one thread: it looks in time and whenever something happens, and commits each look.
//!
//! Looks lie on multiples of the reading interval of the wall clock, so that the border of every usage window
//! has a reading next to it. When it looks is `agenda`'s; it ships nothing.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metering::{Batch, BatchSeq, BootId, InstanceFacts, InstanceId, NodeReading, Notice, NoticeKind};
use tokio::sync::{Notify, oneshot};

use crate::agenda::{Agenda, Why};
use crate::clock::{Clock, Moment};
use crate::kernel::Kernel;
use crate::memory::Tidy;
use crate::node::Node;
use crate::observation::{
    Hypervisor, HypervisorError, HypervisorEvent, Observation, ObservedInstance, Scope, What,
};
use crate::pauses::Pauses;
use crate::spool::Spool;
use crate::tracker::{self, Mark, Outcome, State};
use crate::{CollectorError, Status, chain};

/// More events than a look can be about: what is the case the look sees by itself, so the oldest are dropped.
const MAX_EVENTS: usize = 10_000;

/// Room for those of a usual look; more is given back, as a storm of them may not come again for months.
const EVENTS_ROOM: usize = 64;

/// The answer to a look that was asked for.
pub type Answer = Result<BatchSeq, CollectorError>;

/// What the thread is told.
pub enum Command {
    /// Look now.
    Look(oneshot::Sender<Answer>),
    /// Look once more, then end.
    Stop(oneshot::Sender<Answer>),
    /// The same, and nobody waits for it.
    Leave,
    /// The hypervisor told of something.
    Event(HypervisorEvent),
    /// The kernel told that a run has ended.
    Ended,
}

/// What the thread works with.
pub struct Runner {
    /// Where it looks.
    pub hypervisor: Box<dyn Hypervisor>,
    /// What guests that pause had counted then.
    pub pauses: Arc<Pauses>,
    /// What completes a look.
    pub kernel: Kernel,
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
    /// How often a look asks the hypervisor for everything.
    pub cross_check_interval: Duration,
    /// What others may know.
    pub status: Arc<Mutex<Status>>,
    /// The last look that worked, as [`crate::Collector::latest`] gives it.
    pub latest: Arc<Mutex<Option<Arc<Batch>>>>,
    /// Told at every committed batch.
    pub notify: Arc<Notify>,
}

/// What was said and not yet dealt with.
#[derive(Default)]
struct Inbox {
    asked: Vec<oneshot::Sender<Answer>>,
    is_end: bool,
    events: Vec<HypervisorEvent>,
    has_ended: bool,
}

/// What the thread has in hand besides.
#[derive(Default)]
struct Hand {
    node: NodeView,
    inbox: Inbox,
    /// Notices that are not durable yet.
    notices: Vec<Notice>,
    /// When everything was last asked for, since boot.
    everything_at: Option<Duration>,
    tidy: Tidy,
}

impl Runner {
    /// Works until it is told to stop, or until everybody who could tell it is gone.
    pub fn run(mut self, commands: &Receiver<Command>) {
        let mut hand = Hand { notices: self.kernel.notices(), ..Hand::default() };
        let mut agenda = Agenda::new(self.clock.now(), self.reading_interval);
        // Whoever asks gets a look of their own after this first one.
        let (result, is_end_pending) = self.look(&mut hand, Why::Due, commands);
        agenda.looked(self.clock.now(), Why::Due, result.is_ok(), is_end_pending);
        hand.tidy.looked(self.clock.now().boot);
        loop {
            if !hand.inbox.is_asked() {
                match commands.recv_timeout(agenda.wait(self.clock.now())) {
                    Ok(command) => hand.inbox.take(command),
                    Err(RecvTimeoutError::Disconnected) => hand.inbox.is_end = true,
                    Err(RecvTimeoutError::Timeout) => {}
                }
            }
            hand.inbox.drain(commands);
            if hand.inbox.has_news() {
                agenda.something_happened(self.clock.now());
            }
            if hand.inbox.has_paused() {
                agenda.something_may_end(self.clock.now());
            }
            let Some(why) = agenda.due(self.clock.now(), hand.inbox.is_asked()) else {
                continue;
            };
            let is_end = hand.inbox.is_end;
            let asked = std::mem::take(&mut hand.inbox.asked);
            let (result, is_end_pending) = self.look(&mut hand, why, commands);
            agenda.looked(self.clock.now(), why, result.is_ok(), is_end_pending);
            if hand.inbox.has_news() {
                agenda.something_happened(self.clock.now());
            }
            for answer in asked {
                // Whoever asked may have gone away; the look is in the spool all the same.
                let _ = answer.send(result.clone());
            }
            hand.tidy.looked(self.clock.now().boot);
            if is_end {
                return;
            }
        }
    }

    /// One look, committed. A look that failed is committed as a gap, unless it only tried whether the hypervisor is back.
    /// Also gives whether a run has ended that the hypervisor still shows.
    fn look(&mut self, hand: &mut Hand, why: Why, commands: &Receiver<Command>) -> (Answer, bool) {
        match self.observe(hand, why) {
            Ok((mut observation, is_end_pending)) => {
                hand.inbox.drain(commands);
                observation.events.clone_from(&hand.inbox.events);
                (self.take_in(hand, &observation), is_end_pending)
            }
            Err(error) => {
                self.report_away(&error);
                if why != Why::Retry {
                    let mut state = self.state.clone();
                    let now = self.clock.now();
                    let outcome = tracker::fail(&mut state, self.mark(now), &error.to_string());
                    let reading = hand.node.node.read(now.wall, &hand.node.dirs);
                    if let Err(error) = self.commit(now, outcome, reading, state, None, hand) {
                        return (Err(error), false);
                    }
                }
                (Err(CollectorError::Hypervisor(error)), false)
            }
        }
    }

    /// Asks the hypervisor for what the kernel does not have, and puts both together.
    fn observe(&mut self, hand: &mut Hand, why: Why) -> Result<(Observation, bool), HypervisorError> {
        let (mut scope, is_everything) = self.scope(hand, why);
        loop {
            let before = self.kernel.begin_look();
            let mut observation = self.hypervisor.observe(&*self.clock, &scope)?;
            let state = &self.state;
            let known = |instance_id: InstanceId, run_id: u32| {
                let run = state.instances.get(&instance_id)?.run.as_ref()?;
                (run.run_id == run_id).then_some(run.cpu_ns)
            };
            let completion = self.kernel.complete(&mut observation, &before, known);
            hand.notices.extend(completion.notices);
            if let Scope::Blocks { wholly, but_not } = &mut scope {
                let asked = wholly.len();
                wholly.extend(completion.unknown.into_iter().filter(|id| !but_not.contains(id)));
                if asked < wholly.len() {
                    continue;
                }
                // What was asked for wholly and is not known yet has only just begun: it is what it is.
            }
            let known =
                |instance_id: InstanceId| Some(state.instances.get(&instance_id)?.run.as_ref()?.run_id);
            self.pauses.complete(&mut observation, known);
            if is_everything {
                hand.everything_at = Some(observation.at.boot);
            }
            return Ok((observation, completion.is_end_pending));
        }
    }

    /// What to ask for: everything when somebody wants to know now and from time to time; everything of an instance that
    /// has begun or changed its size; otherwise what nobody but the hypervisor knows. Never a guest whose process is
    /// stopped: it would not answer, and hold up all others. Also gives whether it is meant to be everything.
    fn scope(&self, hand: &Hand, why: Why) -> (Scope, bool) {
        if self.kernel.is_away() {
            return (Scope::Everything, true);
        }
        let asks = self.kernel.asks();
        let now = self.clock.now().boot;
        let is_due =
            hand.everything_at.is_none_or(|last| self.cross_check_interval <= now.saturating_sub(last));
        let is_everything = is_due || why == Why::Asked;
        if is_everything && asks.stopped.is_empty() {
            return (Scope::Everything, true);
        }
        let changed = hand.inbox.events.iter().filter(|event| changes_sizes(event.what));
        let mut wholly: HashSet<InstanceId> = changed.map(|event| event.instance_id).collect();
        wholly.extend(asks.wholly);
        let mut but_not = asks.stopped;
        if is_everything {
            wholly.extend(asks.all);
        } else {
            but_not.extend(asks.at_rest);
        }
        wholly.retain(|instance_id| !but_not.contains(instance_id));
        (Scope::Blocks { but_not, wholly }, is_everything)
    }

    fn take_in(&mut self, hand: &mut Hand, observation: &Observation) -> Answer {
        let mut state = self.state.clone();
        let step = state.last_observation.and_then(|last| last.clock_step(self.mark(observation.at)));
        if let Some(step) = step {
            let detail = format!(
                "the wall clock was set by {} s; readings of this time may be out of order",
                step.as_secs()
            );
            tracing::warn!(detail);
            let kind = NoticeKind::ClockStepped;
            hand.notices.push(Notice { kind, instance_id: None, device: None, is_over: false, detail });
        }
        let outcome = tracker::observe(self.spool.node_id(), &mut state, observation);
        hand.node.dirs.clone_from(&observation.storage_dirs);
        let reading = hand.node.node.read(observation.at.wall, &hand.node.dirs);
        let seen_names = observation.instances.iter().map(facts).collect();
        let result = self.commit(observation.at, outcome, reading, state, Some(seen_names), hand);
        if result.is_ok() {
            self.kernel.committed();
            self.pauses.committed(observation);
            hand.inbox.events.drain(..observation.events.len());
            hand.inbox.events.shrink_to(EVENTS_ROOM);
        }
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

    /// Makes a look durable. `seen`: what all instances of it are called; `None` when it failed.
    fn commit(
        &mut self,
        at: Moment,
        outcome: Outcome,
        node: Option<NodeReading>,
        state: State,
        seen: Option<Vec<InstanceFacts>>,
        hand: &mut Hand,
    ) -> Answer {
        let mut readings = outcome.readings;
        readings.node = node;
        let mut notices = hand.notices.clone();
        notices.extend(outcome.notices);
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
            notices,
        };
        let shown = seen.map(|instances| Batch { instances, ..batch.clone() });
        match self.spool.commit(batch, &state) {
            Ok(seq) => {
                self.state = state;
                hand.notices.clear();
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
        makeup: observed.makeup.clone(),
    }
}

/// Whether an event tells of something that only a look at everything shows: another number of vCPUs, memory, devices.
fn changes_sizes(what: What) -> bool {
    match what {
        What::Started | What::Resized | What::DevicesChanged | What::MigratedHere => true,
        What::Stopped | What::Paused | What::Resumed | What::Described | What::MigratedAway => false,
    }
}

impl Inbox {
    fn take(&mut self, command: Command) {
        match command {
            Command::Look(answer) => self.asked.push(answer),
            Command::Stop(answer) => {
                self.asked.push(answer);
                self.is_end = true;
            }
            Command::Leave => self.is_end = true,
            Command::Event(event) => {
                if MAX_EVENTS <= self.events.len() {
                    self.events.remove(0);
                }
                self.events.push(event);
            }
            Command::Ended => self.has_ended = true,
        }
    }

    fn drain(&mut self, commands: &Receiver<Command>) {
        for command in commands.try_iter() {
            self.take(command);
        }
    }

    /// Whether somebody waits for a look.
    fn is_asked(&self) -> bool {
        !self.asked.is_empty() || self.is_end
    }

    /// Whether something was paused.
    fn has_paused(&self) -> bool {
        self.events.iter().any(|event| event.what == What::Paused)
    }

    /// Whether something has happened that a look should see.
    fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.has_ended) || !self.events.is_empty()
    }
}

/// The node's figures and where its volumes lie.
#[derive(Default)]
struct NodeView {
    node: Node,
    dirs: Vec<std::path::PathBuf>,
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::mpsc;

    use metering::{GapReason, InstanceId, NodeId};
    use uuid::Uuid;

    use super::*;
    use crate::clock::SystemClock;

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
                        makeup: metering::Makeup::default(),
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
            pauses: Arc::default(),
            kernel: Kernel::none(),
            clock: Arc::new(SystemClock),
            spool: spool.clone(),
            state: State::new(Uuid::from_u128(1)),
            node_name: "node".into(),
            boot_id: BootId::from_uuid(Uuid::from_u128(1)),
            reading_interval: Duration::from_secs(3_600),
            cross_check_interval: Duration::from_secs(3_600),
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
}
