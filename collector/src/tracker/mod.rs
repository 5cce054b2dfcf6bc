//! From looks to readings: epochs, births, registers of what is held, gaps, and facts that are new.
//!
//! Pure: state and observation in, new state and outcome out. No I/O, no clock, no randomness. It does not
//! know which hypervisor was looked at, nor who pays.

mod device;
mod instance;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod timeline;
mod volume;

use std::time::Duration;

use jiff::Timestamp;
use metering::{
    EpochId, Gap, GapReason, InstanceFacts, InstanceId, NodeId, Notice, Readings, VolumeFacts, Window,
};

use self::state::EpochTrack;
pub(crate) use self::state::{DeviceTrack, InstanceTrack, RunTrack, VolumeTrack};
pub use self::state::{Mark, State};
use crate::observation::{Observation, ProcessStart};

/// What a look gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The readings.
    pub readings: Readings,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Instances that are new or changed.
    pub instances: Vec<InstanceFacts>,
    /// Volumes that are new or changed.
    pub volumes: Vec<VolumeFacts>,
    /// What an operator should know.
    pub notices: Vec<Notice>,
}

/// Takes a successful look in.
#[must_use]
pub fn observe(node_id: NodeId, state: &mut State, observation: &Observation) -> Outcome {
    let now = Mark { boot_id: observation.boot_id, wall: observation.at.wall, boot: observation.at.boot };
    let mut outcome = Outcome::default();
    let was_set_back =
        state.last_observation.is_some_and(|last| last.boot_id == now.boot_id && now.wall <= last.wall);
    state.date_by(now);
    if was_set_back {
        instance::repeat_baselines(state, now, &mut outcome);
    }
    instance::observe_all(state, now, observation, &mut outcome);
    match &observation.volumes {
        Some(volumes) => volume::observe_all(node_id, state, now, volumes, &mut outcome),
        None => outcome.gaps.push(Gap {
            instance_id: None,
            device: Some("volumes".to_owned()),
            span: span(state.last_volumes.map(|mark| mark.wall), now.wall),
            reason: GapReason::HypervisorAway,
            detail: "the storage pools could not be listed".to_owned(),
        }),
    }
    state.last_observation = Some(now);
    state.last_look = Some(now);
    outcome
}

/// Takes a failed look in: everything since the look before is a gap.
#[must_use]
pub fn fail(state: &mut State, now: Mark, why: &str) -> Outcome {
    let gap = Gap {
        instance_id: None,
        device: None,
        span: span(state.last_look.map(|mark| mark.wall), now.wall),
        reason: GapReason::HypervisorAway,
        detail: why.to_owned(),
    };
    state.last_look = Some(now);
    Outcome { gaps: vec![gap], ..Outcome::default() }
}

/// When something began to exist that was not there at the look before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Birth {
    /// For the epoch; `None`: adopted.
    born_at: Option<Timestamp>,
    /// From when on its time is integrated.
    held_from: Mark,
}

impl Birth {
    /// Without memory of an earlier look nobody knows what happened before: `now` is the baseline. Otherwise
    /// `started`, or the look before as an estimate, which is the earliest instant possible; never before
    /// that look, and never before the kernel's own start.
    fn of(now: Mark, previous: Option<Mark>, started: Option<ProcessStart>) -> Birth {
        let Some(previous) = previous else {
            return Birth { born_at: None, held_from: now };
        };
        let most = previous.until(now).min(now.boot);
        let age = started.map_or(most, |start| now.boot.saturating_sub(start.boot).min(most));
        let held_from = now.before(age);
        Birth { born_at: Some(held_from.wall), held_from }
    }
}

impl State {
    /// Begins an epoch of what `parts` identify.
    fn begin_epoch(&mut self, born_at: Option<Timestamp>, parts: &[&[u8]]) -> EpochTrack {
        EpochCounter { memory: *self.memory.as_bytes(), epochs: &mut self.epochs }.begin(born_at, parts)
    }
}

/// Gives out epochs while the rest of the state is borrowed.
struct EpochCounter<'a> {
    memory: [u8; 16],
    epochs: &'a mut u64,
}

impl EpochCounter<'_> {
    fn begin(&mut self, born_at: Option<Timestamp>, parts: &[&[u8]]) -> EpochTrack {
        *self.epochs += 1;
        let number = self.epochs.to_be_bytes();
        let mut all: Vec<&[u8]> = vec![&self.memory, &number];
        all.extend_from_slice(parts);
        EpochTrack { id: EpochId::of(&all), born_at }
    }
}

/// From `start` to `end`, or the microsecond before `end` when there is no such span: nothing came before, or
/// the wall clock was set back.
fn span(start: Option<Timestamp>, end: Timestamp) -> Window {
    let instant = end.checked_sub(Duration::from_micros(1)).unwrap_or(Timestamp::MIN);
    start
        .and_then(|start| Window::new(start, end).ok())
        .or_else(|| Window::new(instant, end).ok())
        .expect("a microsecond before any instant of a clock is an instant")
}

/// PostgreSQL's `bigint` and the wire end at 2^63 - 1; nothing true is larger.
const MAX_FIGURE: u64 = i64::MAX as u64;

/// What is wrong with new registers, if anything.
fn impossible(names: &[&str], before: &[u64], after: &[u64]) -> Option<String> {
    let too_large = names
        .iter()
        .zip(after)
        .find(|(_, after)| MAX_FIGURE < **after)
        .map(|(name, after)| format!("{name} cannot be {after}"));
    let fallen = names
        .iter()
        .zip(before.iter().zip(after))
        .find(|(_, (before, after))| after < before)
        .map(|(name, (before, after))| format!("{name} fell from {before} to {after} within one life"));
    too_large.or(fallen)
}

/// A gap of (a part of) an instance.
fn instance_gap(
    instance_id: InstanceId,
    device: Option<&str>,
    span: Window,
    reason: GapReason,
    detail: impl Into<String>,
) -> Gap {
    Gap {
        instance_id: Some(instance_id),
        device: device.map(str::to_owned),
        span,
        reason,
        detail: detail.into(),
    }
}
