//! Guests that were heard to pause, and what their disks had counted then.
//!
//! A guest that is moved or saved is paused for the last time, and its process is gone moments later. From the pause on its
//! disks' counters stand still, so an answer to a question that was asked at once holds to the end of the run, however late
//! the next look comes. Who asks is the hypervisor's; what a look makes of the answer is the tracker's.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metering::InstanceId;

use crate::clock::Moment;
use crate::observation::{End, Observation, ObservedDisk, Run};

/// How long after the question a look waits for the answer: a busy machine takes some 100 ms, and the others' readings
/// must not wait for a process that hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// The pauses that no look has told yet.
#[derive(Default)]
pub struct Pauses {
    all: Mutex<HashMap<InstanceId, Pause>>,
    answered: Condvar,
}

/// A guest that pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub instance_id: InstanceId,
    /// The hypervisor's number of its run.
    pub run_id: u32,
    /// When the pause was heard.
    pub at: Moment,
}

struct Pause {
    question: Question,
    asked: Instant,
    answer: Answer,
}

enum Answer {
    Awaited,
    Disks(Vec<ObservedDisk>),
}

impl Pauses {
    /// The guest was heard to pause, and its disks are asked.
    pub fn ask(&self, question: Question) {
        let pause = Pause { question, asked: Instant::now(), answer: Answer::Awaited };
        self.lock().insert(question.instance_id, pause);
    }

    /// The answer; `None`: there is none. An answer to a question that holds no more is of no use.
    pub fn answer(&self, question: Question, disks: Option<Vec<ObservedDisk>>) {
        let mut all = self.lock();
        if all.get(&question.instance_id).is_some_and(|pause| pause.question == question) {
            let pause = disks.and_then(|disks| {
                let pause = all.get_mut(&question.instance_id)?;
                pause.answer = Answer::Disks(disks);
                Some(())
            });
            if pause.is_none() {
                all.remove(&question.instance_id);
            }
        }
        drop(all);
        self.answered.notify_all();
    }

    /// It executes again, so that what was asked says nothing of its end.
    pub fn resumed(&self, instance_id: InstanceId) {
        self.lock().remove(&instance_id);
    }

    /// Nobody listens any more, so that nobody would hear that a guest goes on.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    /// Puts answers in where the look has no counters: of guests that stand still, and of runs that are not there any more.
    /// `known`: the run of an instance that no look has ended yet. Waits for answers that the look needs, but not for long.
    pub fn complete(&self, observation: &mut Observation, known: impl Fn(InstanceId) -> Option<u32>) {
        let mut all = self.lock();
        loop {
            let awaited = all.values().filter(|pause| matches!(pause.answer, Answer::Awaited));
            let needed = awaited.filter(|pause| is_needed(observation, pause.question));
            let left = needed.filter_map(|pause| ANSWER_WAIT.checked_sub(pause.asked.elapsed())).max();
            let Some(left) = left.filter(|left| !left.is_zero()) else {
                break;
            };
            let waited = self.answered.wait_timeout(all, left);
            all = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for pause in all.values() {
            if let Answer::Disks(disks) = &pause.answer {
                put(observation, pause.question, disks, &known);
            }
        }
    }

    /// The look is durable: what it told of pauses need not be told again.
    pub fn committed(&self, observation: &Observation) {
        let is_told = |question: Question| {
            question.at.boot <= observation.at.boot && !is_needed(observation, question)
                || shown(observation, question).is_none()
        };
        self.lock().retain(|_, pause| !is_told(pause.question));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Pause>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run, if the look shows it.
fn shown(observation: &Observation, question: Question) -> Option<&Run> {
    let instance = observation.instances.iter().find(|one| one.instance_id == question.instance_id)?;
    instance.run.as_ref().filter(|run| run.run_id == question.run_id)
}

/// Whether the look has not got the counters by itself.
fn is_needed(observation: &Observation, question: Question) -> bool {
    shown(observation, question).is_none_or(|run| {
        let disks = run.figures.as_ref().map(|figures| figures.disks.as_slice()).unwrap_or_default();
        run.is_executing != Some(true) && disks.iter().all(|disk| disk.registers.is_none())
    })
}

fn put(
    observation: &mut Observation,
    question: Question,
    disks: &[ObservedDisk],
    known: &impl Fn(InstanceId) -> Option<u32>,
) {
    let Question { instance_id, run_id, at } = question;
    if shown(observation, question).is_some() {
        let is_of = |one: &&mut crate::observation::ObservedInstance| one.instance_id == instance_id;
        let run = observation.instances.iter_mut().find(is_of).and_then(|one| one.run.as_mut());
        if let Some(run) = run.filter(|run| run.is_executing == Some(false))
            && let Some(figures) = &mut run.figures
        {
            fill(&mut figures.disks, disks);
        }
        return;
    }
    let is_of = |end: &&mut End| end.instance_id == instance_id && end.run_id == run_id;
    if let Some(end) = observation.ends.iter_mut().find(is_of) {
        end.disks = disks.to_vec();
    } else if known(instance_id) == Some(run_id) {
        let disks = disks.to_vec();
        observation.ends.push(End { instance_id, run_id, at, cpu_ns: None, nics: Vec::new(), disks });
    }
}

/// Counters of the same attachments.
fn fill(seen: &mut [ObservedDisk], answered: &[ObservedDisk]) {
    for disk in seen.iter_mut().filter(|disk| disk.registers.is_none()) {
        let is_same = |other: &&ObservedDisk| {
            let are_marks_known = disk.mark.is_some() && other.mark.is_some();
            other.target == disk.target && (!are_marks_known || other.mark == disk.mark)
        };
        disk.registers = answered.iter().find(is_same).and_then(|other| other.registers);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use metering::{BootId, DiskRegisters};
    use uuid::Uuid;

    use super::*;
    use crate::observation::{Figures, ObservedInstance, Scope};

    const GUEST: InstanceId = InstanceId::from_uuid(Uuid::from_u128(7));

    fn at(second: u64) -> Moment {
        let wall = Timestamp::from_second(1_790_000_000 + i64::try_from(second).unwrap()).unwrap();
        Moment { wall, boot: Duration::from_secs(second) }
    }

    fn question(second: u64) -> Question {
        Question { instance_id: GUEST, run_id: 1, at: at(second) }
    }

    fn disk(write_bytes: Option<u64>) -> ObservedDisk {
        ObservedDisk {
            target: "vda".into(),
            source: "/a".into(),
            mark: Some(3),
            relatives: Vec::new(),
            is_removable: false,
            registers: write_bytes.map(|write_bytes| DiskRegisters { write_bytes, ..Default::default() }),
        }
    }

    /// What a look shows: run, whether it executes, what its disk has written.
    type Seen = Option<(u32, bool, Option<u64>)>;

    fn look(second: u64, seen: Seen) -> Observation {
        let run = seen.map(|(run_id, is_executing, written)| Run {
            run_id,
            started: None,
            is_executing: Some(is_executing),
            is_moving: !is_executing,
            is_silent: false,
            figures: Some(Figures { disks: vec![disk(written)], ..Figures::default() }),
        });
        Observation {
            boot_id: BootId::from_uuid(Uuid::nil()),
            at: at(second),
            instances: vec![ObservedInstance {
                instance_id: GUEST,
                name: "web".into(),
                tenant_label: None,
                makeup: metering::Makeup::default(),
                is_described: true,
                run,
            }],
            volumes: None,
            storage_dirs: Vec::new(),
            scope: Scope::Everything,
            ends: Vec::new(),
            events: Vec::new(),
        }
    }

    /// What the completed look says that the disk has written: in the run, or at its end.
    #[track_caller]
    fn check(pauses: &Pauses, seen: Seen, written: Option<u64>) {
        let mut observation = look(20, seen);
        pauses.complete(&mut observation, |_| Some(1));
        let of = |disk: &ObservedDisk| disk.registers.map(|registers| registers.write_bytes);
        let run = observation.instances[0].run.as_ref().and_then(|run| run.figures.as_ref());
        let of_run = run.and_then(|figures| of(&figures.disks[0]));
        let of_end = observation.ends.first().and_then(|end| of(&end.disks[0]));
        assert_eq!(of_run.or(of_end), written, "{seen:?}");
    }

    fn answered() -> Pauses {
        let pauses = Pauses::default();
        pauses.ask(question(10));
        pauses.answer(question(10), Some(vec![disk(Some(500))]));
        pauses
    }

    #[test]
    fn a_guest_that_stands_still_has_what_it_had_when_it_paused_and_so_has_one_that_is_gone() {
        for (seen, written) in [
            (None, Some(500)),
            (Some((2, true, Some(7))), Some(7)),
            (Some((1, false, None)), Some(500)),
            (Some((1, false, Some(501))), Some(501)),
            (Some((1, true, None)), None),
        ] {
            check(&answered(), seen, written);
        }
    }

    #[test]
    fn what_was_asked_before_a_guest_went_on_says_nothing_of_its_end() {
        let pauses = answered();
        pauses.resumed(GUEST);
        check(&pauses, None, None);
        pauses.ask(question(12));
        pauses.answer(question(10), Some(vec![disk(Some(400))]));
        pauses.answer(question(12), Some(vec![disk(Some(600))]));
        check(&pauses, None, Some(600));
        pauses.forget_all();
        check(&pauses, None, None);
    }

    #[test]
    fn a_look_waits_for_an_answer_that_is_on_its_way() {
        let pauses = Arc::new(Pauses::default());
        pauses.ask(question(10));
        let of_thread = Arc::clone(&pauses);
        let thread = std::thread::spawn(move || of_thread.answer(question(10), Some(vec![disk(Some(9))])));
        check(&pauses, None, Some(9));
        thread.join().unwrap();
    }

    #[test]
    fn a_pause_is_told_until_a_look_that_has_its_counters_is_durable() {
        for (seen, is_kept) in [
            (Some((1, false, None)), true),
            (Some((1, false, Some(500))), false),
            (Some((1, true, None)), false),
            (None, false),
        ] {
            let pauses = answered();
            pauses.committed(&look(20, seen));
            assert_eq!(!pauses.lock().is_empty(), is_kept, "{seen:?}");
        }
        let pauses = answered();
        pauses.committed(&look(9, Some((1, true, Some(499)))));
        assert!(!pauses.lock().is_empty(), "it was heard after that look");
    }

    #[test]
    fn pauses_of_thousands_of_guests_that_are_gone_are_not_kept() {
        let pauses = Pauses::default();
        for n in 0..5_000 {
            let of_other =
                Question { instance_id: InstanceId::from_uuid(Uuid::from_u128(n)), ..question(10) };
            pauses.ask(of_other);
            match n % 3 {
                0 => pauses.answer(of_other, Some(vec![disk(Some(1))])),
                1 => pauses.answer(of_other, None),
                _ => {}
            }
        }
        pauses.committed(&look(20, None));
        assert!(pauses.lock().is_empty());
    }
}
