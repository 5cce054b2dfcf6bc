//! What was heard of one instance between two looks, put in order and told apart by lives.
//!
//! The look is the authority on what is the case: an event that contradicts it was late, or is about another life. What an
//! event adds is when. Nothing is integrated here.

use std::collections::BTreeMap;

use metering::InstanceId;
use serde::{Deserialize, Serialize};

use super::state::{Mark, State, Switch};
use crate::clock::Moment;
use crate::observation::{End, HypervisorEvent, Observation, What};

/// Something heard of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// What.
    pub what: What,
    /// When.
    pub at: Mark,
    /// Of which run, where that was told.
    #[serde(default)]
    pub run_id: Option<u32>,
    /// The size of its memory from then on, in KiB, where that was told.
    #[serde(default)]
    pub memory_kib: Option<u64>,
}

/// What a look says of an instance's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// It has none.
    Off,
    /// The one that was known.
    Same {
        /// Whether it executes; `None`: not known.
        is_executing: Option<bool>,
    },
    /// Another one.
    New {
        /// Whether it executes; `None`: not known.
        is_executing: Option<bool>,
    },
}

/// All that was heard since the look before, by instance.
pub(super) struct Timeline {
    heard: BTreeMap<InstanceId, Vec<Heard>>,
    ends: BTreeMap<InstanceId, Vec<End>>,
}

/// What was heard of one instance, in order.
#[derive(Default)]
pub(super) struct Story {
    /// What happened.
    pub heard: Vec<Heard>,
    /// The last figures of runs that ended.
    pub ends: Vec<End>,
}

/// A life that began since the look before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// When it was heard to begin.
    pub born: Mark,
    /// It came from another node: until it executes, it is the other one's.
    pub is_arrival: bool,
    /// When it began and ceased to execute.
    pub switches: Vec<Switch>,
    /// How it ended; `None`: not heard.
    pub end: Option<Heard>,
}

/// What was heard, told apart by lives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lives {
    /// About the run that was known before.
    pub known: Vec<Heard>,
    /// How that one ended.
    pub known_end: Option<Heard>,
    /// Lives that began and ended since: no look saw them.
    pub unseen: Vec<Begun>,
    /// The life that the look sees.
    pub begun: Option<Begun>,
    /// Up to when the instance's time is told: the look's instant, or a later event that explains what the look saw.
    pub until: Option<Mark>,
    /// The look saw the known run otherwise than it was at the look's instant: an event later than that tells why.
    pub is_explained: bool,
}

impl Timeline {
    /// Takes what an earlier look left for this one, too.
    pub fn of(state: &mut State, now: Mark, observation: &Observation) -> Self {
        let mut heard: BTreeMap<InstanceId, Vec<Heard>> = BTreeMap::new();
        let fresh = observation.events.iter().map(|event| {
            let at = dated(now, event.at);
            let HypervisorEvent { instance_id, what, run_id, memory_kib, .. } = *event;
            (instance_id, Heard { what, at, run_id, memory_kib })
        });
        for (instance_id, one) in std::mem::take(&mut state.later).into_iter().chain(fresh) {
            if one.at.boot_id == now.boot_id {
                let all = heard.entry(instance_id).or_default();
                if !all.contains(&one) {
                    all.push(one);
                }
            }
        }
        for all in heard.values_mut() {
            all.sort_by_key(|one| one.at.boot);
        }
        let mut ends: BTreeMap<InstanceId, Vec<End>> = BTreeMap::new();
        for end in &observation.ends {
            let at = Moment { wall: dated(now, end.at).wall, ..end.at };
            ends.entry(end.instance_id).or_default().push(End { at, ..end.clone() });
        }
        Self { heard, ends }
    }

    /// What is new about an instance whose time is told up to `told_until`.
    pub fn take(&mut self, instance_id: InstanceId, told_until: Option<Mark>) -> Story {
        let mut heard = self.heard.remove(&instance_id).unwrap_or_default();
        heard.retain(|one| {
            told_until.is_none_or(|told| told.boot_id != one.at.boot_id || told.boot < one.at.boot)
        });
        Story { heard, ends: self.ends.remove(&instance_id).unwrap_or_default() }
    }

    /// Instances of which something was heard and nothing taken.
    pub fn others(&self) -> Vec<InstanceId> {
        self.heard
            .keys()
            .chain(self.ends.keys())
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// When something was noticed, by the clock of the look that tells it.
fn dated(now: Mark, at: Moment) -> Mark {
    Mark { boot_id: now.boot_id, wall: at.wall, boot: at.boot }.dated_by(now)
}

impl Story {
    /// Tells the lives apart. `was`: the known run's number, and whether it executed. What is later than the look and does not
    /// explain it is left for the next one.
    pub fn lives(&self, now: Mark, was: Option<(u32, bool)>, target: Target) -> (Lives, Vec<Heard>) {
        let past = self.heard.partition_point(|one| one.at.boot <= now.boot);
        let (known, was) = was.unzip();
        let steps = self.steps(was);
        let explains = |n: usize| steps[n].explains(target);
        let used =
            if explains(past) { past } else { (past..steps.len()).find(|n| explains(*n)).unwrap_or(past) };
        let mut lives = Lives { is_explained: past < used, ..Lives::default() };
        // A known run is told up to the look; what came right after it is the next look's.
        let used = if matches!(target, Target::Same { .. }) { past } else { used };
        for one in &self.heard[..used] {
            lives.take(*one, known, target);
        }
        lives.until = self.heard[..used].last().map(|one| one.at).filter(|at| now.boot < at.boot);
        if target == Target::Off {
            lives.unseen.extend(lives.begun.take());
        }
        (lives, self.heard[used..].to_vec())
    }

    /// What one would think after 0, 1, 2, ... of the events.
    fn steps(&self, was: Option<bool>) -> Vec<Thought> {
        let mut thought = match was {
            Some(is_executing) => Thought::Known(is_executing),
            None => Thought::Off,
        };
        let mut steps = vec![thought];
        for one in &self.heard {
            thought = thought.after(one.what);
            steps.push(thought);
        }
        steps
    }
}

impl Lives {
    fn take(&mut self, one: Heard, known: Option<u32>, target: Target) {
        let is_known =
            known.is_some() && self.known_end.is_none() && self.begun.is_none() && self.unseen.is_empty();
        let is_same = matches!(target, Target::Same { .. });
        match one.what {
            What::Paused | What::Resumed | What::Resized | What::DevicesChanged if is_known => {
                self.known.push(one)
            }
            // The known run's own beginning, heard after the look that saw it had begun.
            What::Started | What::MigratedHere if is_known && one.run_id.is_some() && one.run_id == known => {
            }
            // Those that contradict the look are late, and about an earlier life.
            What::Stopped | What::MigratedAway | What::Started | What::MigratedHere if is_same => {}
            What::Stopped | What::MigratedAway if is_known => self.known_end = Some(one),
            What::Stopped | What::MigratedAway => {
                if let Some(begun) = self.begun.take() {
                    self.unseen.push(Begun { end: Some(one), ..begun });
                }
            }
            What::Started | What::MigratedHere | What::Resumed => {
                let begun = self.begun.get_or_insert_with(|| Begun {
                    born: one.at,
                    is_arrival: false,
                    switches: Vec::new(),
                    end: None,
                });
                begun.is_arrival |= one.what == What::MigratedHere;
                begun.switches.push(Switch { at: one.at, is_executing: one.what != What::MigratedHere });
            }
            What::Paused => {
                if let Some(begun) = &mut self.begun {
                    begun.switches.push(Switch { at: one.at, is_executing: false });
                }
            }
            What::Resized | What::DevicesChanged | What::Described => {}
        }
    }
}

impl Begun {
    /// When it executed for the first time.
    pub fn first_executed(&self) -> Option<Mark> {
        self.switches.iter().find(|switch| switch.is_executing).map(|switch| switch.at)
    }
}

/// What one thinks of an instance after some events.
#[derive(Clone, Copy)]
enum Thought {
    Off,
    Known(bool),
    New(bool),
}

impl Thought {
    fn after(self, what: What) -> Self {
        match (self, what) {
            (_, What::Stopped | What::MigratedAway) => Self::Off,
            (Self::Known(_), What::Paused) => Self::Known(false),
            (Self::Known(_), What::Resumed) => Self::Known(true),
            (Self::Off, What::Started | What::Resumed) | (Self::New(_), What::Started | What::Resumed) => {
                Self::New(true)
            }
            (Self::Off, What::MigratedHere) | (Self::New(_), What::Paused) => Self::New(false),
            _ => self,
        }
    }

    fn explains(self, target: Target) -> bool {
        let is_as = |thought: bool, seen: Option<bool>| seen.is_none_or(|seen| seen == thought);
        match (self, target) {
            (Self::Off, Target::Off) => true,
            (Self::Known(thought), Target::Same { is_executing }) => is_as(thought, is_executing),
            (Self::New(thought), Target::New { is_executing }) => is_as(thought, is_executing),
            _ => false,
        }
    }
}
