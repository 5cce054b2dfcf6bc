//! Instances: which run it is, what it held, what its facts are. Its devices are `device`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metering::{
    Epoch, GapReason, InstanceFacts, InstanceId, InstanceReading, InstanceRegisters, InstanceState,
};

use super::device;
use super::state::{Amounts, InstanceTrack, Mark, RunTrack, State};
use super::{Birth, MAX_FIGURE, Outcome, impossible, instance_gap, span};
use crate::observation::{Figures, ObservedInstance, Run};

/// All instances of a look, and those that were there before and are not any more.
pub(super) fn observe_all(state: &mut State, now: Mark, all: &[ObservedInstance], outcome: &mut Outcome) {
    let mut before = std::mem::take(&mut state.instances);
    for observed in all {
        let mut track = before.remove(&observed.instance_id);
        report_facts(&mut track, observed, outcome);
        let mut track = track.unwrap_or_else(|| new_track(observed));
        match &observed.run {
            None => {
                track.run = None;
                track.last_read = Some(now);
                let reading = at_rest(observed.instance_id, now, InstanceState::Stopped);
                outcome.readings.instances.push(reading);
            }
            Some(run) => observe_run(state, now, observed.instance_id, &mut track, run, outcome),
        }
        state.instances.insert(observed.instance_id, track);
    }
    for gone in before.into_keys() {
        let reading = at_rest(gone, now, InstanceState::Gone);
        outcome.readings.instances.push(reading);
    }
}

fn new_track(observed: &ObservedInstance) -> InstanceTrack {
    InstanceTrack {
        name: observed.name.clone(),
        tenant_label: observed.tenant_label.clone(),
        last_read: None,
        run: None,
    }
}

/// Facts are reported when the instance is new or they have changed. A description that could not be read
/// changes nothing; of an instance that is new it keeps the label for later.
fn report_facts(track: &mut Option<InstanceTrack>, observed: &ObservedInstance, outcome: &mut Outcome) {
    let facts = |tenant_label: Option<String>| InstanceFacts {
        instance_id: observed.instance_id,
        name: observed.name.clone(),
        tenant_label,
    };
    let Some(track) = track else {
        outcome.instances.push(facts(observed.tenant_label.clone()));
        return;
    };
    let tenant_label =
        if observed.is_described { observed.tenant_label.clone() } else { track.tenant_label.clone() };
    if track.name != observed.name || track.tenant_label != tenant_label {
        track.name.clone_from(&observed.name);
        track.tenant_label.clone_from(&tenant_label);
        outcome.instances.push(facts(tenant_label));
    }
}

/// How long the hypervisor may take from the birth of a process until its guest executes: about a second, several
/// when the machine is busy.
const START_MAX: Duration = Duration::from_secs(5);

fn at_rest(instance_id: InstanceId, now: Mark, state: InstanceState) -> InstanceReading {
    InstanceReading {
        instance_id,
        observed_at: now.wall,
        epoch: Epoch::NONE,
        state,
        vcpus: 0,
        memory_kib: 0,
        registers: InstanceRegisters::default(),
    }
}

fn observe_run(
    state: &mut State,
    now: Mark,
    instance_id: InstanceId,
    track: &mut InstanceTrack,
    observed: &Run,
    outcome: &mut Outcome,
) {
    let same = track.run.take().filter(|before| is_same_run(before, now, observed));
    let mut run = same.unwrap_or_else(|| begin_run(state, now, instance_id, observed));
    run.start_ticks = run.start_ticks.or(observed.started.map(|start| start.ticks));
    if let (Some(amounts), Some(false)) = (&mut run.amounts, observed.is_executing) {
        // It stopped executing some time since the last look. Only what was seen to run is sold as running.
        amounts.is_executing = false;
    }
    run.hold_until(now);
    let was_known = run.amounts.is_some();
    run.amounts = amounts(run.amounts, observed);
    if let (false, Some(amounts)) = (was_known, run.amounts) {
        // What is held now was held since the birth. A process that is younger than a start takes did not execute
        // all that time: it counts as running from this look on, which follows a start by Weir at once.
        let is_executing = amounts.is_executing && START_MAX < run.held_until.until(now);
        run.amounts = Some(Amounts { is_executing, ..amounts });
        run.hold_until(now);
        run.amounts = Some(amounts);
    }
    match &observed.figures {
        Some(figures) => {
            let last_read = track.last_read;
            if read_run(now, instance_id, last_read, &mut run, figures, outcome) {
                track.last_read = Some(now);
            }
            device::observe_all(state, now, instance_id, last_read, &mut run, figures, outcome);
        }
        None => outcome.gaps.push(busy(now, instance_id, track.last_read)),
    }
    track.run = Some(run);
}

/// The run's number can be used again (a restarted libvirtd counts from 1), so the start of the process
/// decides where it is known.
fn is_same_run(before: &RunTrack, now: Mark, observed: &Run) -> bool {
    let starts = (before.start_ticks, observed.started.map(|start| start.ticks));
    let is_same_start = match starts {
        (Some(before), Some(after)) => before == after,
        _ => true,
    };
    before.boot_id == now.boot_id && before.run_id == observed.run_id && is_same_start
}

fn begin_run(state: &mut State, now: Mark, instance_id: InstanceId, observed: &Run) -> RunTrack {
    let birth = Birth::of(now, state.last_observation, observed.started);
    let start_ticks = observed.started.map(|start| start.ticks);
    let epoch = state.begin_epoch(
        birth.born_at,
        &[
            b"instance",
            instance_id.uuid().as_bytes(),
            now.boot_id.uuid().as_bytes(),
            &observed.run_id.to_be_bytes(),
            &start_ticks.unwrap_or(0).to_be_bytes(),
        ],
    );
    RunTrack {
        run_id: observed.run_id,
        boot_id: now.boot_id,
        start_ticks,
        epoch,
        held_until: birth.held_from,
        amounts: None,
        running: Default::default(),
        vcpu: Default::default(),
        memory: Default::default(),
        cpu_ns: 0,
        is_surveyed: false,
        disks: BTreeMap::new(),
        nics: BTreeMap::new(),
        not_counted: BTreeSet::new(),
    }
}

/// What is held from now on: what was seen, and what was known before for what was not.
fn amounts(before: Option<Amounts>, observed: &Run) -> Option<Amounts> {
    let figures = observed.figures.as_ref();
    let vcpus = figures.and_then(|figures| figures.vcpus);
    let memory_kib = figures.and_then(|figures| figures.memory_kib).filter(|memory| *memory <= MAX_FIGURE);
    Some(Amounts {
        is_executing: observed.is_executing.or(before.map(|held| held.is_executing))?,
        vcpus: vcpus.or(before.map(|held| held.vcpus))?,
        memory_kib: memory_kib.or(before.map(|held| held.memory_kib))?,
    })
}

/// The reading of a run. False: its figures were not complete, and there is a gap instead.
fn read_run(
    now: Mark,
    instance_id: InstanceId,
    last_read: Option<Mark>,
    run: &mut RunTrack,
    figures: &Figures,
    outcome: &mut Outcome,
) -> bool {
    let (Some(cpu_ns), Some(amounts)) = (figures.cpu_ns, run.amounts) else {
        outcome.gaps.push(busy(now, instance_id, last_read));
        return false;
    };
    match impossible(&["cpu_ns"], &[run.cpu_ns], &[cpu_ns]) {
        None => run.cpu_ns = cpu_ns,
        // What is held is true all the same: it is read, and the CPU time stands still.
        Some(detail) => outcome.gaps.push(instance_gap(
            instance_id,
            Some("cpu"),
            span(last_read.map(|mark| mark.wall), now.wall),
            GapReason::Impossible,
            detail,
        )),
    }
    outcome.readings.instances.push(InstanceReading {
        instance_id,
        observed_at: now.wall,
        epoch: run.epoch.into(),
        state: if amounts.is_executing { InstanceState::Running } else { InstanceState::Paused },
        vcpus: amounts.vcpus,
        memory_kib: amounts.memory_kib,
        registers: InstanceRegisters {
            cpu_ns: run.cpu_ns,
            running_ms: run.running.value().min(MAX_FIGURE),
            vcpu_ms: run.vcpu.value().min(MAX_FIGURE),
            memory_kib_s: run.memory.value().min(MAX_FIGURE),
        },
    });
    true
}

fn busy(now: Mark, instance_id: InstanceId, last_read: Option<Mark>) -> metering::Gap {
    instance_gap(
        instance_id,
        None,
        span(last_read.map(|mark| mark.wall), now.wall),
        GapReason::InstanceBusy,
        "the hypervisor gave no figures: something else works on the instance, or its process hangs",
    )
}
