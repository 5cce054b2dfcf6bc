//! Instances: who they are, which lives they had since the look before, and whose they are. What happens within a life is
//! `run`'s, its devices are `device`'s.

use std::time::Duration;

use metering::{Epoch, InstanceFacts, InstanceId, InstanceReading, InstanceRegisters, InstanceState, Makeup};

use super::run::{self, Look};
use super::state::{InstanceTrack, Mark, State};
use super::timeline::{Begun, Lives, Story, Target, Timeline};
use super::{Outcome, device};
use crate::observation::{End, Observation, ObservedInstance, What};

/// All instances of a look, those that were there before and are not any more, and those that came and went in between.
pub(super) fn observe_all(state: &mut State, now: Mark, observation: &Observation, outcome: &mut Outcome) {
    let mut timeline = Timeline::of(state, now, observation);
    let mut before = std::mem::take(&mut state.instances);
    let was_arriving = std::mem::take(&mut state.arriving);
    // Of what had no track then, everything up to the look before was told.
    let last = state.last_observation;
    for observed in &observation.instances {
        let instance_id = observed.instance_id;
        let track = before.remove(&instance_id);
        let told_until = track.as_ref().and_then(|track| track.told_until).or(last);
        let story = timeline.take(instance_id, told_until);
        let look = Look { now, instance_id, scope: &observation.scope };
        let was_arriving = was_arriving.contains(&instance_id);
        let track = if is_arriving(now, track.as_ref(), observed, &story) {
            observe_arriving(state, look, track, &story, outcome)
        } else {
            Some(observe_one(state, look, track, observed, &story, was_arriving, outcome))
        };
        if let Some(track) = track {
            state.instances.insert(instance_id, track);
        }
    }
    for (instance_id, track) in before {
        let story = timeline.take(instance_id, track.told_until.or(last));
        let look = Look { now, instance_id, scope: &observation.scope };
        observe_gone(state, look, track, &story, outcome);
    }
    for instance_id in timeline.others() {
        let story = timeline.take(instance_id, last);
        let look = Look { now, instance_id, scope: &observation.scope };
        observe_unknown(state, look, &story, outcome);
    }
}

/// Whether it only waits for another node to let go of it. One that executed here and is paused for a migration again is on
/// its way out.
fn is_arriving(now: Mark, track: Option<&InstanceTrack>, observed: &ObservedInstance, story: &Story) -> bool {
    let Some(run) = observed.run.as_ref().filter(|run| run.is_moving) else {
        return false;
    };
    let known = track.and_then(|track| track.run.as_ref()).is_some_and(|known| run::is_same(known, now, run));
    let since_arrival = story.heard.iter().rev().take_while(|heard| heard.what != What::MigratedHere);
    !known && !since_arrival.into_iter().any(|heard| matches!(heard.what, What::Resumed | What::Started))
}

/// It is another node's still: what was here before has ended, and nothing is said of what is now.
fn observe_arriving(
    state: &mut State,
    look: Look<'_>,
    track: Option<InstanceTrack>,
    story: &Story,
    outcome: &mut Outcome,
) -> Option<InstanceTrack> {
    state.arriving.insert(look.instance_id);
    let mut track = track?;
    told(state, look, &mut track, story, Target::Off, outcome);
    track.is_elsewhere = true;
    track.told_until = Some(look.now);
    Some(track)
}

fn observe_one(
    state: &mut State,
    look: Look<'_>,
    track: Option<InstanceTrack>,
    observed: &ObservedInstance,
    story: &Story,
    was_arriving: bool,
    outcome: &mut Outcome,
) -> InstanceTrack {
    let mut track = track;
    report_facts(&mut track, observed, outcome);
    let mut track = track.unwrap_or_else(|| new_track(observed));
    let target = match &observed.run {
        None => Target::Off,
        Some(seen) if track.run.as_ref().is_some_and(|known| run::is_same(known, look.now, seen)) => {
            Target::Same { is_executing: seen.is_executing }
        }
        Some(seen) => Target::New { is_executing: seen.is_executing },
    };
    let lives = told(state, look, &mut track, story, target, outcome);
    let look = Look { now: lives.until.unwrap_or(look.now), ..look };
    match &observed.run {
        None => rest(&mut track, look, outcome),
        Some(seen) => {
            let run = match track.run.take() {
                Some(run) => run::go_on(look, run, &lives, seen),
                None => run::begin(state, look, lives.begun.as_ref(), was_arriving, track.last_read, seen),
            };
            track.is_elsewhere = false;
            let run = run::read(state, look, &mut track, run, &lives, seen, outcome);
            track.last_held = run.amounts.map(|held| (held.vcpus, held.memory_kib)).or(track.last_held);
            track.run = Some(run);
        }
    }
    track.told_until = Some(look.now);
    track
}

/// Tells the lives apart, ends the known one where it ended, and accounts for those that no look saw.
fn told(
    state: &mut State,
    look: Look<'_>,
    track: &mut InstanceTrack,
    story: &Story,
    target: Target,
    outcome: &mut Outcome,
) -> Lives {
    let was = track.run.as_ref().map(|run| (run.run_id, run.amounts.is_some_and(|held| held.is_executing)));
    let (mut lives, later) = story.lives(look.now, was, target);
    // A microsecond later, so that it stands behind what it explains.
    lives.until = lives.until.map(|at| at.after(Duration::from_micros(1)));
    let look = Look { now: lives.until.unwrap_or(look.now), ..look };
    state.later.extend(later.into_iter().map(|heard| (look.instance_id, heard)));
    if matches!(target, Target::Same { .. }) {
        let last_read = track.last_read;
        if let Some(run) = &mut track.run {
            let run_id = run.run_id;
            for end in story.ends.iter().filter(|end| end.run_id == run_id) {
                device::unplugged(state, look, last_read, run, &end.nics, outcome);
            }
        }
        return lives;
    }
    let known_id = track.run.as_ref().map(|run| run.run_id);
    if let Some(mut run) = track.run.take() {
        for one in &lives.known {
            run::apply(&mut run, *one);
        }
        let end = story.ends.iter().find(|end| end.run_id == run.run_id);
        run::end(look, state, track, run, lives.known_end, end, outcome);
    }
    let mut ends = story.ends.iter().filter(|end| Some(end.run_id) != known_id);
    for begun in &lives.unseen {
        unseen_life(state, look, track, begun, ends.next(), outcome);
    }
    lives
}

/// A life that no look saw: its existence is known by events, what it did by the kernel's last figures or not at all.
fn unseen_life(
    state: &mut State,
    look: Look<'_>,
    track: &mut InstanceTrack,
    begun: &Begun,
    end: Option<&End>,
    outcome: &mut Outcome,
) {
    let Some(born) = (if begun.is_arrival { begun.first_executed() } else { Some(begun.born) }) else {
        // It never came to be here.
        return;
    };
    let run = run::of_unseen(state, look, track, begun, born, end);
    track.last_read = Some(born);
    run::end(look, state, track, run, begun.end, end, outcome);
}

fn rest(track: &mut InstanceTrack, look: Look<'_>, outcome: &mut Outcome) {
    track.run = None;
    track.last_read = Some(look.now);
    if !track.is_elsewhere {
        outcome.readings.instances.push(at_rest(look.instance_id, look.now, InstanceState::Stopped));
    }
}

fn observe_gone(
    state: &mut State,
    look: Look<'_>,
    mut track: InstanceTrack,
    story: &Story,
    outcome: &mut Outcome,
) {
    let lives = told(state, look, &mut track, story, Target::Off, outcome);
    let now = lives.until.unwrap_or(look.now);
    if !track.is_elsewhere {
        outcome.readings.instances.push(at_rest(look.instance_id, now, InstanceState::Gone));
    }
}

/// It was never seen, before or now. If it lived in between, that is all that is known of it.
fn observe_unknown(state: &mut State, look: Look<'_>, story: &Story, outcome: &mut Outcome) {
    let mut track = InstanceTrack { name: look.instance_id.to_string(), ..InstanceTrack::default() };
    let before = outcome.readings.instances.len();
    let lives = told(state, look, &mut track, story, Target::Off, outcome);
    if before < outcome.readings.instances.len() && !track.is_elsewhere {
        outcome.instances.push(InstanceFacts {
            instance_id: look.instance_id,
            name: track.name,
            tenant_label: None,
            makeup: Makeup::default(),
        });
        let now = lives.until.unwrap_or(look.now);
        outcome.readings.instances.push(at_rest(look.instance_id, now, InstanceState::Gone));
    }
}

fn new_track(observed: &ObservedInstance) -> InstanceTrack {
    InstanceTrack {
        name: observed.name.clone(),
        tenant_label: observed.tenant_label.clone(),
        makeup: observed.makeup.clone(),
        ..InstanceTrack::default()
    }
}

/// Facts are reported when the instance is new or they have changed. A description that could not be read
/// changes nothing; of an instance that is new it keeps the label for later.
fn report_facts(track: &mut Option<InstanceTrack>, observed: &ObservedInstance, outcome: &mut Outcome) {
    let facts = |tenant_label: &Option<String>, makeup: &Makeup| InstanceFacts {
        instance_id: observed.instance_id,
        name: observed.name.clone(),
        tenant_label: tenant_label.clone(),
        makeup: makeup.clone(),
    };
    let Some(track) = track else {
        outcome.instances.push(facts(&observed.tenant_label, &observed.makeup));
        return;
    };
    let (tenant_label, makeup) = if observed.is_described {
        (&observed.tenant_label, makeup_since(&track.makeup, observed))
    } else {
        (&track.tenant_label.clone(), track.makeup.clone())
    };
    if track.name != observed.name || track.tenant_label != *tenant_label || track.makeup != makeup {
        outcome.instances.push(facts(tenant_label, &makeup));
        track.name.clone_from(&observed.name);
        track.tenant_label.clone_from(tenant_label);
        track.makeup = makeup;
    }
}

/// The image is told only while an instance runs: one that is switched off is still made from the same one.
fn makeup_since(before: &Makeup, observed: &ObservedInstance) -> Makeup {
    let mut makeup = observed.makeup.clone();
    if observed.run.is_none() {
        makeup.image = makeup.image.or_else(|| before.image.clone());
    }
    makeup
}

/// Off, or gone.
pub(super) fn at_rest(instance_id: InstanceId, now: Mark, state: InstanceState) -> InstanceReading {
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

/// The wall clock was set back: what was read before lies in the future now. A life whose birth is not known counts from its
/// first reading, so that one is repeated before the others, or what they counted would be lost.
pub(super) fn repeat_baselines(state: &State, now: Mark, outcome: &mut Outcome) {
    let at = now.before(Duration::from_micros(1));
    for (instance_id, track) in &state.instances {
        let Some(run) = track.run.as_ref().filter(|run| run.epoch.born_at.is_none()) else {
            continue;
        };
        if let Some(reading) = run::reading(*instance_id, at, run) {
            outcome.readings.instances.push(reading);
        }
        device::repeat(*instance_id, at, run, outcome);
    }
}
