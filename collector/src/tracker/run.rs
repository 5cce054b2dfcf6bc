//! One run of an instance: how it begins, what it held, what it says of itself, and how it ends.
//!
//! Time is integrated by instants that were heard, where they were heard; otherwise by looks, and then never in the
//! tenant's disfavour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use metering::{
    Gap, GapReason, InstanceId, InstanceReading, InstanceRegisters, InstanceState, Notice, NoticeKind,
};

use super::device;
use super::instance::at_rest;
use super::state::{Amounts, InstanceTrack, Mark, RunTrack, State, Switch};
use super::timeline::{Begun, Heard, Lives};
use super::{Birth, MAX_FIGURE, Outcome, impossible, instance_gap, span};
use crate::observation::{End, Figures, Run, Scope, What};

/// How long the hypervisor may take from the birth of a process until its guest executes: about a second, several
/// when the machine is busy.
const START_MAX: Duration = Duration::from_secs(5);

/// After so many looks in a row without figures an operator is told, as looks may be minutes apart: one or two may fall on a
/// start, a stop or a snapshot.
const HANGS_AFTER_LOOKS: u32 = 3;

/// And not before so long, as looks may also follow each other within a second: a query by somebody else, a slow start or the
/// end of a guest take the hypervisor's attention for some seconds, and an operator gets a mail for this.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// A look at one instance.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// When.
    pub now: Mark,
    /// At which.
    pub instance_id: InstanceId,
    /// What was asked for.
    pub scope: &'a Scope,
}

impl Look<'_> {
    /// Whether nothing of it was asked but the disks.
    pub fn is_blocks(&self) -> bool {
        matches!(self.scope, Scope::Blocks { wholly, .. } if !wholly.contains(&self.instance_id))
    }

    /// Whether not even the disks were asked for: they did nothing.
    pub fn is_idle(&self) -> bool {
        matches!(self.scope, Scope::Blocks { but_not, .. } if but_not.contains(&self.instance_id))
    }
}

/// The run's number can be used again (a restarted libvirtd counts from 1), so the start of the process
/// decides where it is known.
pub(super) fn is_same(before: &RunTrack, now: Mark, seen: &Run) -> bool {
    let starts = (before.start_ticks, seen.started.map(|start| start.ticks));
    let is_same_start = match starts {
        (Some(before), Some(after)) => before == after,
        _ => true,
    };
    before.boot_id == now.boot_id && before.run_id == seen.run_id && is_same_start
}

/// A run that no look has seen before.
pub(super) fn begin(
    state: &mut State,
    look: Look<'_>,
    begun: Option<&Begun>,
    was_arriving: bool,
    last_read: Option<Mark>,
    seen: &Run,
) -> RunTrack {
    let now = look.now;
    let is_arrival = was_arriving || begun.is_some_and(|begun| begun.is_arrival);
    let heard_at = if is_arrival {
        // Until it executes here, it is the other node's; when that was not heard, it was so at the look at last.
        Some(begun.and_then(Begun::first_executed).unwrap_or(now))
    } else {
        begun.map(|begun| begun.born)
    };
    let mut birth = Birth::of(now, state.last_observation, seen.started);
    let is_better = is_arrival || seen.started.is_none() || birth.born_at.is_none();
    if let Some(at) = heard_at.filter(|_| is_better) {
        birth = Birth { born_at: Some(at.wall), held_from: at };
    }
    // Not before the end of the run before it, whose time is counted already.
    let ended = last_read.filter(|end| end.boot_id == birth.held_from.boot_id && end.boot <= now.boot);
    if let Some(end) = ended.filter(|end| birth.held_from.boot < end.boot) {
        birth = Birth { born_at: birth.born_at.map(|_| end.wall), held_from: end };
    }
    let start_ticks = seen.started.map(|start| start.ticks);
    let mut run = new_run(state, look, birth, seen.run_id, start_ticks);
    run.early = begun.map(|begun| begun.switches.clone());
    if is_arrival && run.early.is_none() {
        run.early = Some(vec![Switch { at: now, is_executing: seen.is_executing == Some(true) }]);
    }
    settle(look, &mut run, seen, false);
    run
}

/// A run that only events tell of. What it held is the best guess: what the instance's last run held.
pub(super) fn of_unseen(
    state: &mut State,
    look: Look<'_>,
    track: &InstanceTrack,
    begun: &Begun,
    born: Mark,
    end: Option<&End>,
) -> RunTrack {
    let birth = Birth { born_at: Some(born.wall), held_from: born };
    let mut run = new_run(state, look, birth, end.map_or(0, |end| end.run_id), None);
    let (vcpus, memory_kib) = track.last_held.unwrap_or_default();
    run.early = Some(begun.switches.clone());
    run.know(Amounts { is_executing: false, vcpus, memory_kib });
    run
}

fn new_run(
    state: &mut State,
    look: Look<'_>,
    birth: Birth,
    run_id: u32,
    start_ticks: Option<u64>,
) -> RunTrack {
    let epoch = state.begin_epoch(
        birth.born_at,
        &[
            b"instance",
            look.instance_id.uuid().as_bytes(),
            look.now.boot_id.uuid().as_bytes(),
            &run_id.to_be_bytes(),
            &start_ticks.unwrap_or(0).to_be_bytes(),
        ],
    );
    RunTrack {
        run_id,
        boot_id: look.now.boot_id,
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
        early: None,
        is_moving: false,
        unread_looks: 0,
        unread_since: None,
        is_silence_told: false,
    }
}

/// The run goes on: what was heard of it since, then what the look saw.
pub(super) fn go_on(look: Look<'_>, mut run: RunTrack, lives: &Lives, seen: &Run) -> RunTrack {
    run.start_ticks = run.start_ticks.or(seen.started.map(|start| start.ticks));
    let new = amounts(run.amounts, seen);
    // What was told with the event is exact. Otherwise what has shrunk counts from the first event since the look before, what has
    // grown from the last: which of several it was nobody says.
    let is_resize = |heard: &Heard| heard.what == What::Resized;
    let (first, last) = (lives.known.iter().position(is_resize), lives.known.iter().rposition(is_resize));
    for (n, heard) in lives.known.iter().enumerate() {
        apply(&mut run, *heard);
        if is_resize(heard) {
            run.hold_until(heard.at);
            let told = heard.memory_kib.filter(|memory| *memory <= MAX_FIGURE);
            let step = match (Some(n) == first, Some(n) == last) {
                (_, true) => new,
                (true, false) => shrunk(run.amounts, new),
                (false, false) => run.amounts,
            };
            let memory =
                |amounts: Amounts| Amounts { memory_kib: told.unwrap_or(amounts.memory_kib), ..amounts };
            resize(&mut run, if Some(n) == last { step } else { step.map(memory) });
        }
    }
    settle(look, &mut run, seen, lives.is_explained);
    run
}

/// What was heard changes whether it executes.
pub(super) fn apply(run: &mut RunTrack, heard: Heard) {
    match heard.what {
        What::Paused => run.execute(heard.at, false),
        What::Resumed => run.execute(heard.at, true),
        _ => {}
    }
}

/// What the look saw is the case from now on. `is_explained`: from a moment later on, which is the next look's.
fn settle(look: Look<'_>, run: &mut RunTrack, seen: &Run, is_explained: bool) {
    let new = amounts(run.amounts, seen);
    match (run.amounts, new) {
        (None, None) => {}
        (None, Some(new)) if run.early.is_none() => {
            // What is held now was held since the birth. A process that is younger than a start takes did not execute
            // all that time: it counts as running from this look on, which follows a start by Weir at once.
            let is_executing = new.is_executing && START_MAX < run.held_until.until(look.now);
            run.amounts = Some(Amounts { is_executing, ..new });
            run.hold_until(look.now);
            run.amounts = Some(new);
        }
        (before, _) => {
            if let (None, Some(new)) = (before, new) {
                run.know(new);
            }
            if !is_explained {
                agree(run, look.now, seen);
            }
            run.hold_until(look.now);
            resize(run, new);
        }
    }
}

/// Without having been told, it pauses or goes on: only what was seen to run is sold as running.
fn agree(run: &mut RunTrack, now: Mark, seen: &Run) {
    let was_executing = run.amounts.is_some_and(|held| held.is_executing);
    match seen.is_executing {
        Some(true) if !was_executing => run.execute(now, true),
        Some(false) => {
            if let Some(held) = &mut run.amounts {
                held.is_executing = false;
            }
            run.is_moving = seen.is_moving;
        }
        _ => {}
    }
}

/// The smaller of each.
fn shrunk(before: Option<Amounts>, after: Option<Amounts>) -> Option<Amounts> {
    let (before, after) = (before?, after?);
    let (vcpus, memory_kib) = (before.vcpus.min(after.vcpus), before.memory_kib.min(after.memory_kib));
    Some(Amounts { vcpus, memory_kib, ..before })
}

fn resize(run: &mut RunTrack, new: Option<Amounts>) {
    if let (Some(held), Some(new)) = (&mut run.amounts, new) {
        (held.vcpus, held.memory_kib) = (new.vcpus, new.memory_kib);
    }
}

/// What is held from now on: what was seen, and what was known before for what was not.
fn amounts(before: Option<Amounts>, seen: &Run) -> Option<Amounts> {
    let figures = seen.figures.as_ref();
    let vcpus = figures.and_then(|figures| figures.vcpus);
    let memory_kib = figures.and_then(|figures| figures.memory_kib).filter(|memory| *memory <= MAX_FIGURE);
    Some(Amounts {
        is_executing: seen.is_executing.or(before.map(|held| held.is_executing))?,
        vcpus: vcpus.or(before.map(|held| held.vcpus))?,
        memory_kib: memory_kib.or(before.map(|held| held.memory_kib))?,
    })
}

/// What the look read of a run and its devices.
pub(super) fn read(
    state: &mut State,
    look: Look<'_>,
    track: &mut InstanceTrack,
    mut run: RunTrack,
    lives: &Lives,
    seen: &Run,
    outcome: &mut Outcome,
) -> RunTrack {
    tell_silence(look, &mut run, is_silent(look, seen), outcome);
    let Some(figures) = &seen.figures else {
        outcome.gaps.push(busy(look, track.last_read));
        return run;
    };
    let last_read = track.last_read;
    if read_run(look, last_read, &mut run, figures, outcome) {
        track.last_read = Some(look.now);
    }
    let plugged = lives.known.iter().find(|heard| heard.what == What::DevicesChanged).map(|heard| heard.at);
    device::observe_all(state, look, last_read, plugged, &mut run, figures, outcome);
    run
}

/// Whether the hypervisor gave nothing of what only the guest's process can tell.
fn is_silent(look: Look<'_>, seen: &Run) -> bool {
    let Some(figures) = &seen.figures else {
        return true;
    };
    let has_disks = figures.disks.iter().any(|disk| !disk.source.is_empty());
    let is_any_counted = figures.disks.iter().any(|disk| disk.registers.is_some());
    let are_disks_silent = has_disks && !is_any_counted && !look.is_idle();
    seen.is_silent || are_disks_silent || (figures.cpu_ns.is_none() && !look.is_blocks())
}

/// Tells once that an instance does not answer, and once that it does again.
fn tell_silence(look: Look<'_>, run: &mut RunTrack, is_silent: bool, outcome: &mut Outcome) {
    let was_told = run.is_silence_told;
    if is_silent {
        run.unread_looks = run.unread_looks.saturating_add(1);
        let since = *run.unread_since.get_or_insert(look.now);
        run.is_silence_told |= HANGS_AFTER_LOOKS <= run.unread_looks && HANGS_AFTER <= since.until(look.now);
    } else {
        (run.unread_looks, run.unread_since, run.is_silence_told) = (0, None, false);
    }
    let is_told = run.is_silence_told;
    if was_told == is_told {
        return;
    }
    let detail = if is_told {
        "the hypervisor gives no figures of it, only its state: its process hangs, or something else works on it for long. \
         Its time is counted, what it does is not read"
    } else {
        "it is read again"
    };
    outcome.notices.push(Notice {
        kind: NoticeKind::InstanceHangs,
        instance_id: Some(look.instance_id),
        device: None,
        is_over: !is_told,
        detail: detail.to_owned(),
    });
}

/// The reading of a run. False: its figures were not complete, and there is a gap instead unless they were not asked for.
fn read_run(
    look: Look<'_>,
    last_read: Option<Mark>,
    run: &mut RunTrack,
    figures: &Figures,
    outcome: &mut Outcome,
) -> bool {
    let (Some(cpu_ns), Some(_)) = (figures.cpu_ns, run.amounts) else {
        if !look.is_blocks() {
            outcome.gaps.push(busy(look, last_read));
        }
        return false;
    };
    take_cpu(look, last_read, look.now, run, cpu_ns, outcome);
    outcome.readings.instances.extend(reading(look.instance_id, look.now, run));
    true
}

fn take_cpu(
    look: Look<'_>,
    last_read: Option<Mark>,
    at: Mark,
    run: &mut RunTrack,
    cpu_ns: u64,
    outcome: &mut Outcome,
) {
    match impossible(&["cpu_ns"], &[run.cpu_ns], &[cpu_ns]) {
        None => run.cpu_ns = cpu_ns,
        // What is held is true all the same: it is read, and the CPU time stands still.
        Some(detail) => outcome.gaps.push(instance_gap(
            look.instance_id,
            Some("cpu"),
            span(last_read.map(|mark| mark.wall), at.wall),
            GapReason::Impossible,
            detail,
        )),
    }
}

/// The registers as they stand; `None` while it is not known what is held.
pub(super) fn reading(instance_id: InstanceId, at: Mark, run: &RunTrack) -> Option<InstanceReading> {
    let held = run.amounts?;
    Some(InstanceReading {
        instance_id,
        observed_at: at.wall,
        epoch: run.epoch.into(),
        state: if held.is_executing { InstanceState::Running } else { InstanceState::Paused },
        vcpus: held.vcpus,
        memory_kib: held.memory_kib,
        registers: InstanceRegisters {
            cpu_ns: run.cpu_ns,
            running_ms: run.running.value().min(MAX_FIGURE),
            vcpu_ms: run.vcpu.value().min(MAX_FIGURE),
            memory_kib_s: run.memory.value().min(MAX_FIGURE),
        },
    })
}

/// The run has ended: `heard` says when, or else the kernel does. Its last reading has what the kernel kept, the rest is a
/// gap.
pub(super) fn end(
    look: Look<'_>,
    state: &mut State,
    track: &mut InstanceTrack,
    mut run: RunTrack,
    heard: Option<Heard>,
    end: Option<&End>,
    outcome: &mut Outcome,
) {
    tell_silence(look, &mut run, false, outcome);
    let last_read = track.last_read;
    // Since its last reading, or since its birth if there was none and the clock was not wrong then.
    let born_at = run.epoch.born_at.filter(|born_at| *born_at <= look.now.wall);
    let since = last_read.map(|read| read.wall).max(born_at);
    let of_kernel = end.map(|end| Mark { boot_id: look.now.boot_id, wall: end.at.wall, boot: end.at.boot });
    let Some(at) = heard.map(|heard| heard.at).or(of_kernel) else {
        // Nobody knows when, nor what it did until then. When the node has lost its power: before it had it again.
        let is_same_life = run.boot_id == look.now.boot_id;
        let latest = if is_same_life { look.now } else { look.now.before(look.now.boot) };
        unread(look, None, since, latest, outcome);
        return;
    };
    let is_away = heard.is_some_and(|heard| heard.what == What::MigratedAway);
    if run.amounts.is_none() {
        // No look could read it: the best guess is what its last run held.
        let (vcpus, memory_kib) = track.last_held.unwrap_or_default();
        run.know(Amounts { is_executing: false, vcpus, memory_kib });
    }
    let was_executing = run.amounts.is_some_and(|held| held.is_executing);
    // Since it was paused for the last time it is the other node's.
    run.is_moving |= is_away && !was_executing;
    run.hold_until(at);
    let at_last = if run.is_moving { run.held_until } else { at };
    let is_read = last_read.is_some_and(|read| read.boot_id == at_last.boot_id && at_last.boot <= read.boot);
    let until = look.now;
    let look = Look { now: at_last, ..look };
    if let Some(cpu_ns) = end.and_then(|end| end.cpu_ns) {
        take_cpu(look, last_read, at_last, &mut run, cpu_ns, outcome);
    }
    if !is_read || end.is_some() {
        outcome.readings.instances.extend(reading(look.instance_id, at_last, &run));
        let missing = device::end_all(state, look, last_read, &mut run, end, outcome);
        let is_cpu_known = end.is_some_and(|end| end.cpu_ns.is_some());
        let are_devices_known = end.is_some_and(|end| !end.nics.is_empty() || !end.disks.is_empty());
        match (is_cpu_known || are_devices_known, is_read) {
            (_, true) => {}
            (false, false) => unread(look, None, since, at_last, outcome),
            (true, false) => {
                let cpu = (!is_cpu_known).then(|| "cpu".to_owned());
                for device in missing.into_iter().chain(cpu) {
                    unread(look, Some(&device), since, at_last, outcome);
                }
            }
        }
    }
    track.last_read = Some(at_last);
    track.is_elsewhere = is_away;
    let is_told_by_look = until.boot_id == at.boot_id && until.boot <= at.boot + Duration::from_micros(1);
    if !is_away && !is_told_by_look {
        // A microsecond later, so that both can be put in order.
        let wall = at.wall.checked_add(Duration::from_micros(1)).unwrap_or(at.wall);
        outcome.readings.instances.push(at_rest(
            look.instance_id,
            Mark { wall, ..at },
            InstanceState::Stopped,
        ));
    }
}

/// What it did since its last reading is not known.
fn unread(
    look: Look<'_>,
    device: Option<&str>,
    since: Option<Timestamp>,
    until: Mark,
    outcome: &mut Outcome,
) {
    let span = span(since, until.wall);
    let detail = "it ended between two readings, and nobody kept these figures";
    outcome.gaps.push(instance_gap(look.instance_id, device, span, GapReason::EndedUnread, detail));
}

fn busy(look: Look<'_>, last_read: Option<Mark>) -> Gap {
    instance_gap(
        look.instance_id,
        None,
        span(last_read.map(|mark| mark.wall), look.now.wall),
        GapReason::InstanceBusy,
        "the hypervisor gave no figures: something else works on the instance, or its process hangs",
    )
}
